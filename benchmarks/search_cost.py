"""What the learning-rate search costs beside a full grid, and how good its rate is.

On the demo's clips and on the fights clips (five channels, conv3d tiny), for each seed:
eight rates trained in full, the search, and a training at the rate it found where that
is none of the eight. Each finished training and search is kept in the work folder, and
a run that was stopped goes on where it was. benchmarks/SEARCH.md is written from them.

Examples:
    python benchmarks/search_cost.py --list
    python benchmarks/search_cost.py --only 'demo/*' --threads 1
    python benchmarks/search_cost.py --tables
"""

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import accuracy_plan
import lightning as L
import torch
from accuracy_cells import Kept, machine
from accuracy_clips import rows_of, view_of_cell
from accuracy_plan import SEED, SENSES, Bench
from cell_runs import (
    chosen,
    in_turn,
    make_work_folder,
    page_folder,
    parser_of,
    show_list,
    work_folder,
)
from lightning.pytorch.callbacks import Callback
from search_plan import (
    QUICK_CLIPS,
    SEARCH,
    SEEDS,
    TEST_SHARE,
    VAL_SHARES,
    WINNER,
    Cell,
    Store,
    guess_minutes,
    settings,
)
from search_tables import write_tables

from fmrgb.build import Recipe, build
from fmrgb.card import View
from fmrgb.cells import read_csv
from fmrgb.demo import MAG, SAMPLE_FRAMES, draw_clips, refuse_other
from fmrgb.errors import InputError, TrainingError
from fmrgb.files import make_folder
from fmrgb.learner import Settings
from fmrgb.lr_search import Plan, search
from fmrgb.manifest import Row
from fmrgb.material import gather
from fmrgb.options import DemoOptions
from fmrgb.preflight import survey
from fmrgb.resize import resize
from fmrgb.sample import load_sample
from fmrgb.splits import split
from fmrgb.trainer import train


@dataclass(frozen=True)
class Material:
    """What is trained on: samples with their splits, and how a network sees them."""

    rows: tuple[Row, ...]
    view: View
    recipe: dict[str, Any]


@lru_cache(maxsize=2)
def material_of(data: str, bench: Bench) -> Material:
    """Return the samples of a data set with its one split; make what is missing.

    Raises:
        InputError: if a clip cannot be read.
    """
    if data == "fights":
        cell = accuracy_plan.Cell("fights", "fight", "conv3d", "simple5", SENSES)
        rows = rows_of(cell, bench)
        view = view_of_cell(cell, rows)
    else:
        known = gather(_demo_samples(bench))
        rows, view = known.rows, known.view
    # Groups stay whole; a split from elsewhere does not count.
    shares = {"test_size": TEST_SHARE[data], "val_size": VAL_SHARES[data]}
    cut = split([replace(row, split="") for row in rows], **shares, seed=SEED)
    return Material(tuple(cut), view, load_sample(rows[0].path).meta["options"])


def _demo_samples(bench: Bench) -> Path:
    """Make the demo's samples as it does itself; return their manifest."""
    n_clips = QUICK_CLIPS if bench.quick else DemoOptions().clips
    folder = bench.work / "samples" / "demo"
    refuse_other(folder, {"clips": n_clips, "seed": SEED})

    def nobody(_: int, __: int) -> None:
        pass

    clips, workers = folder / "clips", bench.workers
    draw_clips(clips, n_clips, SEED, workers=workers, progress=nobody)
    small = resize(clips, mag=MAG, workers=workers)
    found = survey(clips, output=folder / "samples", workers=workers)
    recipe = Recipe(frames=SAMPLE_FRAMES)
    built = build(found, recipe, folder=folder / "samples", workers=workers)
    if failed := {**small.failed, **built.failed}:
        raise InputError(f"clips that cannot be read: {failed}")
    return built.manifest


def run_cell(cell: Cell, store: Store, bench: Bench) -> Kept:
    """Train or search from the beginning; return what is to be kept of it.

    What a killed run left is not gone on with: its time would not be known.

    Raises:
        FmrgbError: if the clips cannot be read or trained on.
    """
    material = material_of(cell.data, bench)
    how = settings(cell.data, cell.seed, quick=store.quick)
    folder = store.work / "runs" / f"search_{cell.name.replace('/', '_')}"
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    start = time.perf_counter()
    if cell.what == SEARCH:
        result = _search(material, how, folder)
    else:
        rate = store.rate_of(cell)
        assert rate is not None, "a winner is run after its search"
        result = _train(material, replace(how, lr=rate), folder)
    seconds = time.perf_counter() - start
    shutil.rmtree(folder)
    return {**result, "seconds": seconds, **machine("auto")}


def _search(material: Material, how: Settings, folder: Path) -> Kept:
    found = search(
        material.rows,
        material.view,
        how,
        plan=Plan(),
        folder=folder,
        recipe=material.recipe,
        quiet=True,
    )
    trials: list[dict[str, Any]] = [
        {
            "lr": float(line["lr"]),
            "state": line["state"],
            "epochs": int(line["epochs"]),
            "val_loss": float(line["val_loss"]) if line["val_loss"] else None,
        }
        for line in read_csv(folder / "lr_search.csv", ("lr", "epochs"))
    ]
    epochs = sum(trial["epochs"] for trial in trials)
    return {"lr": found.values["lr"], "epochs": epochs, "trials": trials}


class _Epochs(Callback):
    """Counts epochs, also those of a training that ends in an error."""

    def __init__(self) -> None:
        self.number = 0

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Count one, and see whether its loss is a number."""
        self.number += 1
        self.loss = trainer.callback_metrics["val_loss"]


def _train(material: Material, how: Settings, folder: Path) -> Kept:
    """Train in full; return the loss (nat) of the epoch whose weights are kept."""
    count = _Epochs()
    history: list[dict[str, float]] = []
    try:
        history = train(
            material.rows,
            material.view,
            how,
            folder=folder,
            recipe=material.recipe,
            quiet=True,
            callbacks=[count],
        ).history
    except TrainingError:
        if count.number == 0 or count.loss.isfinite():  # that is no fault of the rate
            raise
    rows = [row for row in history if row["val_loss"] < float("inf")]
    best = min(rows, key=lambda row: row["val_loss"], default={})
    kept = {name: best.get(name) for name in ("val_loss", "val_accuracy")}
    return {**kept, "lr": how.lr, "epochs": count.number}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__, "fights/")
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", default=SEEDS, help="of weights and search")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """List, run or only tabulate; return the exit status."""
    options = parse(argv)
    store = Store(work_folder(options), options.quick)
    cells = chosen(store.plan(options.seeds), options)
    if not cells:
        return 2
    if options.list:
        return show_list(_listed(cell, store) for cell in cells)
    make_work_folder(store.work)
    failed = 0 if options.tables else run_all(cells, store, options)
    page = page_folder(options) / "SEARCH.md"
    print(f"wrote {write_tables(page, store, options.seeds)}")
    return 1 if failed else 0


def run_all(cells: Sequence[Cell], store: Store, options: argparse.Namespace) -> int:
    """Run the cells that are not kept yet, in order; return how many failed."""
    torch.set_num_threads(options.threads)
    bench = Bench(options.data, store.work, options.workers, options.quick)

    def run(cell: Cell) -> str:
        if cell.what == WINNER and store.found(cell) is None:
            return "waits for its search"
        result = run_cell(cell, store, bench)
        store.keep(cell, result)
        loss = f", loss {result['val_loss']}" if "val_loss" in result else ""
        return f"rate {result['lr']:.2g}{loss} in {result['seconds'] / 60:.1f} minutes"

    def is_done(cell: Cell) -> bool:
        return bool(store.kept(cell)) and not options.again

    return in_turn(cells, options.minutes, is_done, run)


def _listed(cell: Cell, store: Store) -> tuple[str, str, float]:
    """Return name, state and minutes of a cell."""
    if have := store.kept(cell):
        return cell.name, "done", have["seconds"] / 60
    if cell.what == WINNER and (same := store.same_rate(cell)):
        return cell.name, f"is {same}", 0.0
    return cell.name, "open", guess_minutes(cell, quick=store.quick)


if __name__ == "__main__":
    sys.exit(main())
