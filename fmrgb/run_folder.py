"""What a run folder keeps of a run's choices, so that it can be repeated or resumed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmrgb.alone import LOCK
from fmrgb.errors import InputError
from fmrgb.files import make_folder, shown, whole_file
from fmrgb.manifest import Row, write_manifest
from fmrgb.ranks import first_process

# Of a run that is resumed these may be others: they change its pace, not its numbers.
PACE = ("devices", "nodes", "strategy", "workers", "checkpoint_minutes")


def refuse_used(folder: Path) -> None:
    """Raise InputError if a folder to be written holds something already.

    Of several processes the first one asks: what the others find there is its work.
    """
    if not first_process():
        return
    if folder.is_file():
        raise InputError(f"{shown(folder)} is a file; name a new folder as --output")
    if folder.exists() and any(path.name != LOCK for path in folder.iterdir()):
        raise InputError(
            f"{shown(folder)} is not empty; name a new --output, so nothing is lost, "
            "or --resume what was begun there"
        )


def keep_audit(folder: Path, audit: dict[str, Any]) -> None:
    """Write what was known before the first step to audit.json."""
    with whole_file(folder / "audit.json") as part:
        part.write_text(json.dumps(audit, indent=1))


def keep_choices(folder: Path, rows: Sequence[Row], chosen: dict[str, Any]) -> None:
    """Write config.json and split.csv; a run to be resumed must have the same ones."""
    make_folder(folder)
    known = folder / "config.json"
    if known.is_file():
        before = json.loads(known.read_text())
        now = json.loads(json.dumps(chosen))
        if other := [k for k in now if before.get(k) != now[k] and k not in PACE]:
            told = ", ".join(f"{k} {before.get(k)} there, {now[k]} now" for k in other)
            raise InputError(
                f"{shown(folder)} was begun with other choices: {told}; repeat them to "
                "resume, or name a new --output"
            )
    write_manifest(folder / "split.csv", rows)
    with whole_file(folder / "config.json") as part:
        part.write_text(json.dumps(chosen, indent=1))
