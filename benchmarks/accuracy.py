"""How well the models do on real clips, beside baselines and the first version.

Each finished cell (one training and its test) is kept in the work folder, and a run
that was stopped goes on where it was. benchmarks/ACCURACY.md is written from the kept
cells.
The settings to tune are at the top of accuracy_plan.py.

Examples:
    python benchmarks/accuracy.py --list
    python benchmarks/accuracy.py --only 'fights/conv3d/*' --minutes 30
    python benchmarks/accuracy.py --tables
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from accuracy_cells import Kept, any_kept, keep, kept, pooled
from accuracy_plan import Bench, Cell, guess_minutes, plan
from accuracy_tables import write_tables
from accuracy_train import run_cell
from cell_runs import (
    chosen,
    in_turn,
    make_work_folder,
    page_folder,
    parser_of,
    show_list,
    work_folder,
)

from fmrgb.errors import FmrgbError


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__, "fights/ and grid/")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """List, run or only tabulate; return the exit status."""
    options = parse(argv)
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch looks for one
    if options.device == "gpu" and not torch.cuda.is_available():
        print("accuracy: --device gpu, but there is none", file=sys.stderr)
        return 2
    cells = chosen(plan(), options)
    if not cells:
        return 2
    work = work_folder(options)
    make_work_folder(work)
    if options.list:
        known = estimate(cells, work, options)
        return show_list((cell.name, *told) for cell, told in known.items())
    failed = 0 if options.tables else run_all(cells, work, options)
    try:
        page = page_folder(options) / "ACCURACY.md"
        print(f"wrote {write_tables(page, work, quick=options.quick)}")
    except FmrgbError as error:
        print(f"accuracy: {error}", file=sys.stderr)
        return 1
    return 1 if failed else 0


def run_all(cells: Sequence[Cell], work: Path, options: argparse.Namespace) -> int:
    """Run the cells that are not kept yet, in order; return how many failed."""
    torch.set_num_threads(options.threads)
    bench = Bench(options.data, work, options.workers, options.quick)
    estimates = estimate(cells, work, options)
    if not options.again:
        cells = [cell for cell in cells if estimates[cell][0] != "done"]
    minutes = sum(estimates[cell][1] for cell in cells)
    print(f"{len(cells)} cells to run, about {minutes:.0f} minutes", flush=True)

    def run(cell: Cell) -> str:
        result = run_cell(cell, bench, options.device)
        keep(work, cell, result, quick=options.quick)
        return told(result, cell)

    return in_turn(cells, options.minutes, lambda _: False, run)


def told(result: Kept, cell: Cell) -> str:
    """Say in a few words what a cell gave."""
    predictions = pooled([result], cell.asked[0])
    assert predictions is not None
    return f"{predictions.right.mean():.3f} in {result['minutes']:.1f} minutes"


def estimate(
    cells: Sequence[Cell], work: Path, options: argparse.Namespace
) -> dict[Cell, tuple[str, float]]:
    """Return the state of each cell (done, open or other settings) and its minutes.

    The minutes are those it took, or a cell of its kind took, or a guess.
    """
    found = {}
    took: dict[tuple[str, ...], list[float]] = {}
    states = {}
    for cell in cells:
        have = kept(work, cell, quick=options.quick)
        states[cell] = "done" if have else "open"
        if not have and any_kept(work, cell):
            states[cell] = "other settings"
        if have:
            kind = (cell.data, cell.model, cell.planes, cell.fusion)
            took.setdefault(kind, []).append(have["minutes"])
            found[cell] = have["minutes"]
    for cell in cells:
        if cell not in found:
            alike = took.get((cell.data, cell.model, cell.planes, cell.fusion))
            guess = guess_minutes(cell, options.threads, quick=options.quick)
            found[cell] = sum(alike) / len(alike) if alike else guess
    return {cell: (states[cell], found[cell]) for cell in cells}


if __name__ == "__main__":
    sys.exit(main())
