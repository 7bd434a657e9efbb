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
from collections.abc import Sequence

import torch
from cell_runs import (
    chosen,
    in_turn,
    make_work_folder,
    page_folder,
    parser_of,
    show_list,
    work_folder,
)
from senses_plan import Bench, Cell, Store, guess_minutes, plan
from senses_tables import write_tables
from senses_train import run_cell

from fmrgb.errors import FmrgbError


def main(argv: Sequence[str] | None = None) -> int:
    """List, run or only tabulate; return the exit status."""
    options = parser_of(__doc__, "fsdd, keywords, caltech").parse_args(argv)
    store = Store(work_folder(options), options.quick)
    cells = chosen(plan(), options)
    if not cells:
        return 2
    if options.list:
        return show_list(_listed(cell, store) for cell in cells)
    make_work_folder(store.work)
    failed = 0 if options.tables else run_all(cells, store, options)
    try:
        print(f"wrote {write_tables(page_folder(options) / 'SENSES.md', store)}")
    except FmrgbError as error:
        print(f"senses: {error}", file=sys.stderr)
        return 1
    return 1 if failed else 0


def run_all(cells: Sequence[Cell], store: Store, options: argparse.Namespace) -> int:
    """Run the cells that are not kept yet, in order; return how many failed."""
    torch.set_num_threads(options.threads)
    bench = Bench(options.data, store.work, options.workers, options.quick)

    def run(cell: Cell) -> str:
        result = run_cell(cell, bench)
        store.keep(cell, result)
        return f"in {result['minutes']:.1f} minutes"

    def is_done(cell: Cell) -> bool:
        return bool(store.kept(cell)) and not options.again

    return in_turn(cells, options.minutes, is_done, run)


def _listed(cell: Cell, store: Store) -> tuple[str, str, float]:
    """Return name, state and minutes of a cell."""
    if have := store.kept(cell):
        return cell.name, "done", have["minutes"]
    return cell.name, "open", guess_minutes(cell, quick=store.quick)


if __name__ == "__main__":
    sys.exit(main())
