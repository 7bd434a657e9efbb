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
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import torch
from accuracy_cells import Kept, any_kept, keep, kept, pooled
from accuracy_plan import Bench, Cell, guess_minutes, plan
from accuracy_tables import write_tables
from accuracy_train import run_cell

from fmrgb.errors import FmrgbError

HERE = Path(__file__).parent
DATA = HERE.parent.parent / "shared" / "data"
CORES = os.cpu_count() or 1


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, default=DATA, help="folder with fights/ and grid/")
    add("--work", type=Path, help="where cells and samples are kept [benchmarks/.work]")
    add("--only", action="append", metavar="PATTERN", help="cells to run, as in --list")
    add("--list", action="store_true", help="show the cells, run none")
    add("--tables", action="store_true", help="only write the tables anew")
    add("--again", action="store_true", help="run also what is kept already")
    add("--minutes", type=float, help="start no cell after so many minutes")
    add("--threads", type=int, default=CORES, help="of every training")
    add("--workers", type=int, default=CORES, help="processes that make samples")
    add("--device", choices=("auto", "cpu", "gpu"), default="auto")
    add("--quick", action="store_true", help="few clips, one epoch, work folder apart")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """List, run or only tabulate; return the exit status."""
    options = parse(argv)
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch looks for one
    if options.device == "gpu" and not torch.cuda.is_available():
        print("accuracy: --device gpu, but there is none", file=sys.stderr)
        return 2
    cells = plan()
    if options.only:
        wanted = [c for c in cells if any(fnmatch(c.name, p) for p in options.only)]
        if not wanted:
            print(f"accuracy: no cell matches {options.only}", file=sys.stderr)
            return 2
        cells = wanted
    work = options.work or HERE / ".work" / ("quick" if options.quick else "full")
    _ignored_by_git(work, but_cells=not (options.work or options.quick))
    if options.list:
        return show_list(cells, work, options)
    path = (work if options.quick else HERE) / "ACCURACY.md"
    failed = 0 if options.tables else run_all(cells, work, options)
    try:
        print(f"wrote {write_tables(path, work, quick=options.quick)}")
    except FmrgbError as error:
        print(f"accuracy: {error}", file=sys.stderr)
        return 1
    return 1 if failed else 0


def _ignored_by_git(work: Path, *, but_cells: bool) -> None:
    work.mkdir(parents=True, exist_ok=True)
    # Cells are what the tables are made of: small, and hours of work.
    (work / ".gitignore").write_text("*\n" + "!/cells/\n!/cells/**\n" * but_cells)


def run_all(cells: Sequence[Cell], work: Path, options: argparse.Namespace) -> int:
    """Run the cells that are not kept yet, in order; return how many failed."""
    torch.set_num_threads(options.threads)
    bench = Bench(options.data, work, options.workers, options.quick)
    estimates = estimate(cells, work, options)
    if not options.again:
        cells = [cell for cell in cells if estimates[cell][0] != "done"]
    minutes = sum(estimates[cell][1] for cell in cells)
    print(f"{len(cells)} cells to run, about {minutes:.0f} minutes", flush=True)
    most_minutes = float("inf") if options.minutes is None else options.minutes
    start, failed = time.perf_counter(), 0
    for number, cell in enumerate(cells, start=1):
        if time.perf_counter() - start >= 60 * most_minutes:
            print(f"stopped after {most_minutes:g} minutes; run again to go on")
            break
        print(f"[{number} of {len(cells)}] {cell.name}", end=" ", flush=True)
        try:
            result = run_cell(cell, bench, options.device)
        except FmrgbError as error:
            failed += 1
            print(f"failed: {error}", flush=True)
            continue
        keep(work, cell, result, quick=options.quick)
        print(told(result, cell), flush=True)
    return failed


def told(result: Kept, cell: Cell) -> str:
    """Say in a few words what a cell gave."""
    predictions = pooled([result], cell.condition)
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


def show_list(cells: Sequence[Cell], work: Path, options: argparse.Namespace) -> int:
    """Print the cells in order: state, minutes, minutes of all open ones so far."""
    total = 0.0
    print(f"{'state':<15}{'minutes':>8}{'to here':>9}  cell")
    for cell, (state, minutes) in estimate(cells, work, options).items():
        total += 0.0 if state == "done" else minutes
        print(f"{state:<15}{minutes:8.1f}{total:9.0f}  {cell.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
