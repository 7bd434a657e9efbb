"""From a cell to its result: make its samples, train, test."""

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import baselines
from accuracy_cells import Kept, answers, keep, machine
from accuracy_clips import rows_of, view_of_cell
from accuracy_grid import digest, spoilt
from accuracy_plan import (
    BASELINES,
    ONE,
    SEED,
    Bench,
    Cell,
    begun_with,
    plan,
    settings_of,
)
from first_version import train_first

from fmrgb.checkpoint import Network, load_checkpoint
from fmrgb.evaluate import predict_rows
from fmrgb.files import make_folder, whole_file
from fmrgb.learner import Settings
from fmrgb.manifest import Row
from fmrgb.sample import load_sample
from fmrgb.trainer import Trained, train


def run_cell(cell: Cell, bench: Bench, device: str) -> Kept:
    """Train and test one cell; return what is to be kept of it.

    Raises:
        FmrgbError: if its clips cannot be read or trained on.
    """
    rows = rows_of(cell, bench)
    start = time.perf_counter()
    if cell.model in BASELINES:
        test = [row for row in rows if row.split == "test"]
        told = {cell.condition: answers(baselines.predict(cell, rows), test)}
        result: Kept = {"told": told}
    elif cell.model == "first":
        result = _run_first(cell, rows, bench)
    else:
        result = _run_network(cell, rows, bench, device)
    return {
        "minutes": (time.perf_counter() - start) / 60,
        "clips": dict(Counter(row.split for row in rows)),
        **result,
        **machine(device),
    }


def _run_first(cell: Cell, rows: Sequence[Row], bench: Bench) -> Kept:
    how = settings_of(cell, quick=bench.quick)["train"]
    done = train_first(rows, view_of_cell(cell, rows), seed=SEED, **how)
    test = [row for row in rows if row.split == "test"]
    return {
        "told": {cell.condition: answers(done.predictions, test)},
        "parameters": done.parameters,
        "epochs": done.epochs,
        "used": {**how, "lr": done.lr},
    }


def _run_network(cell: Cell, rows: Sequence[Row], bench: Bench, device: str) -> Kept:
    for begun in begun_with(cell):
        if not weights_of(begun, bench).exists():
            keep(bench.work, begun, run_cell(begun, bench, device), quick=bench.quick)
    trained, settings = _learn(cell, rows, bench)
    network = load_checkpoint(trained.best)
    told = _ask(network, cell, rows, bench)
    if any(cell in begun_with(other) for other in plan()):
        make_folder(weights_of(cell, bench).parent)
        with whole_file(weights_of(cell, bench)) as part:
            shutil.copyfile(trained.best, part)
    shutil.rmtree(trained.best.parent)
    return {
        "told": told,
        "parameters": trained.parameters,
        "epochs": len(trained.history),
        "used": {**asdict(settings), "init": [one.name for one in begun_with(cell)]},
    }


def weights_of(cell: Cell, bench: Bench) -> Path:
    """Return the file for what a network has learned that others begin with."""
    mark = digest(settings_of(cell, quick=bench.quick))
    return bench.work / "weights" / f"{cell.name.replace('/', '_')}-{mark}.ckpt"


def _learn(cell: Cell, rows: Sequence[Row], bench: Bench) -> tuple[Trained, Settings]:
    """Train, from the beginning or from what others have learned."""
    chosen = settings_of(cell, quick=bench.quick)
    settings = replace(Settings(model=cell.model, seed=SEED), **chosen["train"])
    if cell.fusion != ONE:
        settings = replace(settings, fusion=cell.fusion)
    mark = digest({"chosen": chosen, **asdict(settings)})
    if begun := begun_with(cell):
        files = ",".join(str(weights_of(one, bench)) for one in begun)
        settings = replace(settings, init=files)
    trained = train(
        rows,
        view_of_cell(cell, rows),
        settings,
        folder=_run_folder(cell, mark, bench.work),
        recipe=load_sample(rows[0].path).meta["options"],
        quiet=True,
        resume=True,
    )
    return trained, settings


def _run_folder(cell: Cell, mark: str, work: Path) -> Path:
    """Make the folder of a training; what was killed goes on if nothing was changed."""
    folder = work / "runs" / f"{cell.name.replace('/', '_')}-{mark}"
    make_folder(folder)
    return folder


def _ask(
    network: Network, cell: Cell, rows: Sequence[Row], bench: Bench
) -> dict[str, Any]:
    """Ask about the test clips as they are, and spoilt in other ways."""
    test = [row for row in rows if row.split == "test"]
    told = {}
    for condition in cell.asked:
        asked = spoilt(test, condition, bench) if cell.data == "grid" else test
        told[condition] = answers(predict_rows(network, asked), asked)
    return told
