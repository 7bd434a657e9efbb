"""How well sound alone, and pictures joined with sounds, are told apart.

Spoken digits, wake words, and pairs of a picture and a word of which senses are left
out; beside baselines. Each finished cell (one training and its test) is kept in the
work folder, and a run that was stopped goes on where it was. benchmarks/SENSES.md is
written from the kept cells. The settings to tune are at the top of senses_plan.py.

Examples:
    python benchmarks/senses.py --list
    python benchmarks/senses.py --only 'digits/random/*' --threads 1
    python benchmarks/senses.py --tables
"""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

import torch
from accuracy import CORES, DATA, HERE
from senses_plan import Bench, Cell, Store, guess_minutes, plan
from senses_tables import write_tables
from senses_train import run_cell

from fmrgb.errors import FmrgbError
from fmrgb.files import make_folder


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, default=DATA, help="folder with fsdd, keywords, caltech")
    add("--work", type=Path, help="where cells and samples are kept [benchmarks/.work]")
    add("--only", action="append", metavar="PATTERN", help="cells to run, as in --list")
    add("--list", action="store_true", help="show the cells, run none")
    add("--tables", action="store_true", help="only write the tables anew")
    add("--again", action="store_true", help="run also what is kept already")
    add("--minutes", type=float, help="start no cell after so many minutes")
    add("--threads", type=int, default=CORES, help="of every training")
    add("--workers", type=int, default=CORES, help="processes that make samples")
    add("--quick", action="store_true", help="few clips, one epoch, work folder apart")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """List, run or only tabulate; return the exit status."""
    options = parse(argv)
    work = options.work or HERE / ".work" / ("quick" if options.quick else "full")
    store = Store(work, options.quick)
    cells = plan()
    if options.only:
        cells = [c for c in cells if any(fnmatch(c.name, p) for p in options.only)]
        if not cells:
            print(f"senses: no cell matches {options.only}", file=sys.stderr)
            return 2
    if options.list:
        return show_list(cells, store)
    make_folder(work)
    with suppress(FileExistsError), (work / ".gitignore").open("x") as file:
        file.write("*\n")  # that of the usual work folder leaves the cells to git
    failed = 0 if options.tables else run_all(cells, store, options)
    path = (work if options.quick or options.work else HERE) / "SENSES.md"
    try:
        print(f"wrote {write_tables(path, store)}")
    except FmrgbError as error:
        print(f"senses: {error}", file=sys.stderr)
        return 1
    return 1 if failed else 0


def run_all(cells: Sequence[Cell], store: Store, options: argparse.Namespace) -> int:
    """Run the cells that are not kept yet, in order; return how many failed."""
    torch.set_num_threads(options.threads)
    bench = Bench(options.data, store.work, options.workers, options.quick)
    most_minutes = float("inf") if options.minutes is None else options.minutes
    start, failed = time.perf_counter(), 0
    for number, cell in enumerate(cells, start=1):
        if store.kept(cell) and not options.again:
            continue
        if time.perf_counter() - start >= 60 * most_minutes:
            print(f"stopped after {most_minutes:g} minutes; run again to go on")
            break
        print(f"[{number} of {len(cells)}] {cell.name}", end=" ", flush=True)
        try:
            result = run_cell(cell, bench)
        except FmrgbError as error:
            failed += 1
            print(f"failed: {error}", flush=True)
            continue
        store.keep(cell, result)
        print(f"in {result['minutes']:.1f} minutes", flush=True)
    return failed


def show_list(cells: Sequence[Cell], store: Store) -> int:
    """Print the cells in order: state, minutes, minutes of all open ones so far."""
    total = 0.0
    print(f"{'state':<6}{'minutes':>8}{'to here':>9}  cell")
    for cell in cells:
        have = store.kept(cell)
        guess = guess_minutes(cell, quick=store.quick)
        minutes = have["minutes"] if have else guess
        total += 0.0 if have else minutes
        state = "done" if have else "open"
        print(f"{state:<6}{minutes:8.1f}{total:9.0f}  {cell.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
