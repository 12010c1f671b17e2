"""A run folder in words, for a terminal."""

from __future__ import annotations

from pathlib import Path

from crackviz.files import read_json
from crackviz.series.hashes import Hashes
from crackviz.series.records import duration, existing_config, look, stale


def describe_run(folder: str | Path) -> str:
    """Return outcomes, claims that don't hold, parameters and origin of a run, as lines of text.

    Raises
    ------
    CrackvizError
        If the folder is no run, or one of another layout.
    """
    run = Path(folder).expanduser().resolve()
    config = existing_config(run)
    records = config["notebooks"]
    at_glance = look(run)
    hashes = Hashes(config["manifests"])
    why = stale(records, hashes)
    made = read_json(run / "claims.json")
    width = max(map(len, records), default=0)
    lines = [f"{run}: {at_glance.status}{', stale' if why else ''}, {duration(at_glance.seconds)}", ""]
    for stem, record in records.items():
        claims = made.get(stem, [])
        held = f"{sum(claim['holds'] for claim in claims)}/{len(claims)} claims" if claims else ""
        took = duration(record["seconds"]) if "seconds" in record else ""
        memory = f"{record['memory_MiB']:,} MiB" if record.get("memory_MiB") else ""
        lines.append(f"  {stem:{width}}  {record['status']:11}  {took:>8}  {memory:>10}  {held}".rstrip())
        if stem in why:
            lines.append(f"  {'':{width}}  stale: {why[stem]}")
        if "error" in record and record["status"] == "failed":
            lines.append(f"  {'':{width}}  {record['error']['message'][:300]}")
    broken = [f"  {c['id']} {c['statement']}" for claims in made.values() for c in claims if not c["holds"]]
    if broken:
        lines += ["", "Claims that do not hold here:", *broken]
    hardware, manifest = config["hardware"], config["manifests"].get(config["data"] or "", {})
    threads = f", {hardware['threads']} threads used" if hardware["threads"] else ""
    facts = {
        "data": f"{config['data'] or 'synthetic'}" + (f", hash {manifest['hash']}" if manifest else ""),
        "seed": config["seed"],
        "parameters": ", ".join(f"{name} = {value}" for name, value in config["parameters"].items()) or "defaults",
        "begun": config["started"],
        "command": config["command"],
        "crackviz": f"{config['crackviz']}" + (f" ({config['revision']})" if config["revision"] else ""),
        "software": f"Python {config['python']}, "
        + ", ".join(
            f"{name} {config['packages'][name]}" for name in ("tensorflow", "keras") if name in config["packages"]
        ),
        "machine": f"{hardware['system']}, {hardware['processor']}, {hardware['cores']} cores{threads}, "
        f"{hardware['memory_GiB']} GiB",
    }
    lines += ["", *(f"{name:>10}  {value}" for name, value in facts.items())]
    return "\n".join(lines)
