"""Where the command is called: locales, closed streams, homes and folders that are gone, other Keras settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from made import json_of, write_notebook

CELLS = [
    "# A", "parameters: run = ''  # run folder\nseed = 0  # seed",
    "from crackviz import series\nfrom crackviz.claims import claim\nfolder = series.open_run(run, 'a_light')\n"
    "claim('T0.1', 'so it is …', True)",
]  # fmt: skip


def shell(command: str, place: Path, **env: str) -> subprocess.CompletedProcess[str]:
    python = f"{sys.executable} -m crackviz.cli"
    return subprocess.run(
        ["bash", "-c", command.replace("crackviz", python, 1)], cwd=place, env=os.environ | env, text=True,
        capture_output=True, timeout=120, check=False, encoding="utf-8", errors="replace",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "env"),
    [
        ("", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        ("", {"PYTHONIOENCODING": "ascii"}),
        ("", {"HOME": "/proc"}),
        (" 2>&-", {}),
        (" >&-", {}),
        (" | true", {}),
    ],
)
def test_a_run_ends_well_wherever_it_is_called(end: str, env: dict[str, str], tmp_path: Path) -> None:
    write_notebook(tmp_path / "a_light.ipynb", CELLS)
    done = shell(f"crackviz run a_light.ipynb --out r{end}", tmp_path, **env)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert json_of(tmp_path / "r" / "config.json")["notebooks"]["a_light"]["status"] == "done"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("mkdir gone; cd gone; rmdir ../gone; crackviz list", "working folder was removed"),
        ("ln -s loop loop; crackviz run a_light.ipynb --out loop", "as the run folder"),
        (f"crackviz run a_light.ipynb --out {'x' * 300}", "as the run folder"),
        ("mkdir -p r/notebooks/a_light.ipynb; crackviz run a_light.ipynb --out r", "Cannot remove"),
        (f"crackviz run a_light.ipynb --out r -p seed '{'-' * 9000}5'", "Parameter seed cannot be"),
        ("crackviz sweep g.toml --out ://x", "is no address"),
        ("crackviz sweep g.toml --out file://", "is no address"),
        ("crackviz sweep g.toml --scheduler local:² --out sw", "expected a number of workers"),
        ("crackviz sweep g.toml --out ftp://127.0.0.1:1/x", "Cannot use ftp://127.0.0.1:1/x"),
    ],
)
def test_what_cant_be_is_said_in_a_sentence(command: str, message: str, tmp_path: Path) -> None:
    write_notebook(tmp_path / "a_light.ipynb", CELLS)
    (tmp_path / "g.toml").write_text("notebooks = ['a_light.ipynb']\n[grid]\nseed = [0, 1]\n")
    done = shell(command, tmp_path)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('{"backend": "jax"}', "gap_cnn"),
        ('{"image_data_format": "channels_first"}', "CrackvizError: Keras is set to channels_first"),
        ('{"floatx": "float64"}', "CrackvizError: Keras is set to float64"),
    ],
)
def test_other_settings_of_keras(settings: str, said: str, tmp_path: Path) -> None:
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(settings)
    code = "import crackviz.models as m; print(m.build('gap_cnn', 32).name)"
    env = os.environ | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert said in done.stdout + done.stderr


def test_keras_loaded_with_another_backend_is_named() -> None:
    code = (
        "import sys, types; k = types.ModuleType('keras'); k.config = types.SimpleNamespace(backend=lambda: 'jax')\n"
        "sys.modules['keras'] = k; import crackviz"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "crackviz needs TensorFlow. Import crackviz before keras" in done.stderr
