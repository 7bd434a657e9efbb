"""Where finished cells are kept: one JSON each, written whole, read for the tables.

Axes: N clips, K classes.
"""

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accuracy_plan import Cell, settings_of

from fmrgb.errors import InputError
from fmrgb.evaluate import sound_of
from fmrgb.files import make_folder, whole_file
from fmrgb.manifest import Row
from fmrgb.metrics import Predictions, pool
from fmrgb.splits import sources

DIGITS = 6  # of a kept probability
PACKAGES = ("torch", "lightning", "scikit-learn", "numpy", "av", "opencv-python")

Kept = dict[str, Any]


def kept_path(work: Path, cell: Cell) -> Path:
    """Return the file that keeps a cell."""
    return work / "cells" / f"{cell.name}.json"


def keep(work: Path, cell: Cell, result: Kept, *, quick: bool = False) -> None:
    """Write what a cell gave, with its name and settings, whole or not at all."""
    path = kept_path(work, cell)
    make_folder(path.parent)
    content = {"cell": cell.name, "settings": settings_of(cell, quick=quick), **result}
    with whole_file(path) as part:
        part.write_text(json.dumps(content))


def kept(work: Path, cell: Cell, *, quick: bool = False) -> Kept | None:
    """Return what a cell gave; None if it was not run, or under other settings."""
    content = any_kept(work, cell)
    if content is None or content["settings"] != settings_of(cell, quick=quick):
        return None
    return content


def any_kept(work: Path, cell: Cell) -> Kept | None:
    """Return what a cell gave under whatever settings; None if it was never run."""
    path = kept_path(work, cell)
    if not path.is_file():
        return None
    content: Kept = json.loads(path.read_text())
    return content


def answers(predictions: Predictions, rows: Sequence[Row]) -> dict[str, Any]:
    """Return what was said of each clip, in plain values.

    Args:
        predictions: of the rows, in their order.
        rows: tell the source and the sound track of each clip.
    """
    return {
        "classes": list(predictions.classes),
        "clips": [Path(path).stem for path in predictions.paths],
        "truth": predictions.truth.tolist(),
        "probabilities": np.round(predictions.probabilities, DIGITS).tolist(),
        "groups": sources(rows),
        "sounds": [sound_of(row) for row in rows],
    }


def pooled(results: Sequence[Kept], condition: str) -> Predictions | None:
    """Return what the cells of several folds said of clips in a condition.

    None if one of them was not asked about it.

    Raises:
        InputError: if a clip was tested twice: the folds were cut otherwise meanwhile.
    """
    told = [result["told"].get(condition) for result in results]
    if not told or None in told:
        return None
    everything = pool([_predictions(part) for part in told])
    if len(set(everything.paths)) < len(everything.paths):
        raise InputError(
            f"the kept folds of {results[0]['cell']} overlap, their clips were split "
            "otherwise before; run them again with --again"
        )
    return everything


def _predictions(part: dict[str, Any]) -> Predictions:
    shares_NK = np.array(part["probabilities"])
    return Predictions(
        classes=tuple(part["classes"]),
        truth=np.array(part["truth"]),
        probabilities=shares_NK / shares_NK.sum(axis=1, keepdims=True),  # were rounded
        paths=tuple(part["clips"]),
        groups=tuple(part["groups"]),
        sounds=tuple(part["sounds"]),
    )


def machine(device: str) -> dict[str, Any]:
    """Return on what a cell ran: processor, cores, device, versions."""
    gpu = device != "cpu" and torch.cuda.is_available()
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if gpu else "cpu",
        "versions": {
            "Python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
    }


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()
