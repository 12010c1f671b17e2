"""The METU data set, downloaded when asked for and checked."""

from __future__ import annotations

import hashlib
from pathlib import Path

from crackviz import CrackvizError
from crackviz.data.layouts import METU
from crackviz.data.table import index

# Eight pictures of each class as published: enough to tell METU from a look-alike.
_METU_SHA256 = {
    "Negative/00002.jpg": "69c3c205a53006697f877e1a356721408b29d1c2a9641e2c9546fc9648d76800",
    "Negative/02424.jpg": "002ad60464e5827e9c0b52a70fce0d66a8831eb30f39b8867be5d7978749aed4",
    "Negative/05010.jpg": "60f7c12981d1ba146eaf346c14bd3ec3b26d866eeb45c6340294736bfb9e34da",
    "Negative/07553.jpg": "ef522c657acc12172b779c5819092617fae5b409c28f7dc6a83b5050bcf89753",
    "Negative/10039.jpg": "83798a2cd80e1a9067dad2efd4d0d6c399416dabb15c5eb4a953fba8ba8624f0",
    "Negative/12446.jpg": "e0835b8db2817b88cae3b6511dc04f973aedab5b1452c0e1aa474cb21e3a9cb2",
    "Negative/14859.jpg": "3765301ca3aa002256387feff2bea68c712268a2ad785954ce4ecca3fbc9f23c",
    "Negative/17334.jpg": "c05c14d8b73d57fe87f89b3b6c36246840079f75947c5cfd590ccdb4017a3283",
    "Positive/00011.jpg": "d7461d2eb2293fc90cea7bfb0dc4844187fd783da0d165bd4c552745dd91fce5",
    "Positive/02438.jpg": "12acc8fd414b116cd950f6fef32f5d20b3d5863267915c5f9631cf1f69915c70",
    "Positive/04911.jpg": "bac1fda3c7ce82815b657b18ed56a61f85f89103e05301e62d3b37a3bb74ee0f",
    "Positive/07531.jpg": "5badc07aa28fa488a5c3e248df4c92e48070d83cf0feef28ad64c286f5df1f1a",
    "Positive/10072_1.jpg": "ab28f48d939f259d83e95355efbeb780273d027e3b3b337f7cdb9c5728a35b15",
    "Positive/12630_1.jpg": "1d9bab69672c5d5df05fce385a5fd3f840641fcdcbae928c802c20f66777d332",
    "Positive/15084_1.jpg": "b1d2f5c50ea51af0b09fb82ea8fa8546ba6a9780ad333deee13af329898c4e3f",
    "Positive/17424_1.jpg": "eca7be3341de4721343c7e394c05e00db4a2abb2d850e81a55424cc496de0519",
}


def fetch_metu() -> Path:
    """Download METU's 40,000 patches (235 MB) from Kaggle, check them, and return their folder.

    Needs the optional extra kagglehub: ``pip install kagglehub``. Kept in kagglehub's cache, so done once.

    Raises
    ------
    CrackvizError
        kagglehub missing, no connection, or another content than the published one.
    """
    try:
        import kagglehub

        folder = Path(kagglehub.dataset_download("arunrk7/surface-crack-detection"))
    except Exception as error:  # kagglehub passes on whatever its HTTP libraries raise
        hint = "Install it with pip install kagglehub, or" if isinstance(error, ImportError) else "You can"
        raise CrackvizError(f"METU was not fetched ({error}). {hint} download it by hand.\n{METU}") from error
    return _check_metu(folder)


def _check_metu(folder: Path) -> Path:
    table = index(folder)
    found = {Path(p).relative_to(folder).as_posix(): Path(p) for p in table["path"]}
    by_name = {"/".join(Path(name).parts[-2:]): path for name, path in found.items()}
    counts = table["label"].value_counts().to_dict()
    wrong = [
        name
        for name, sha256 in _METU_SHA256.items()
        if name not in by_name or hashlib.sha256(by_name[name].read_bytes()).hexdigest() != sha256
    ]
    if counts != {0: 20_000, 1: 20_000} or wrong:
        raise CrackvizError(
            f"{folder} is not METU as published: {counts} pictures per class instead of 20,000 each; missing or "
            f"different: {', '.join(wrong) or 'none of those checked'}. Delete the folder and fetch it again."
        )
    return folder
