"""From a cell to its samples: each with its label, its split, and what is seen of it.

The samples of the fights data are made by the library's own build, once, and kept in
the work folder; those of the grid by `accuracy_grid`.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from accuracy_conditions import MIXED
from accuracy_grid import digest, grid_clips, grid_cut, mixed, spoilt, thinned
from accuracy_plan import (
    FRAMES_SEEN,
    LOOK,
    N_FOLDS,
    SEED,
    SIZE_SEEN,
    VAL_SHARE,
    Bench,
    Cell,
)

from fmrgb.build import Recipe, build
from fmrgb.card import View
from fmrgb.errors import InputError
from fmrgb.manifest import Row
from fmrgb.preflight import survey
from fmrgb.sample import load_sample
from fmrgb.seen import choose_view
from fmrgb.splits import folds

RECIPES: dict[str, dict[str, Any]] = {
    "simple5": {"audiomethod": "simple", "n_channels": 5},
    "mel5": {"audiomethod": "mel", "n_channels": 5},
    "gray3": {"audiomethod": "simple", "n_channels": 3},
}


def rows_of(cell: Cell, bench: Bench) -> list[Row]:
    """Return the samples of a cell, with label and split; make what is missing.

    Raises:
        InputError: if a clip cannot be read.
    """
    val_size = VAL_SHARE * (1 - 1 / N_FOLDS[cell.data])
    if cell.data == "fights":
        rows = _fights(cell.build[0], bench)
        cut = folds(rows, N_FOLDS["fights"], val_size=val_size, seed=SEED)
        return cut[cell.fold - 1]
    labels = {clip.path.stem: clip.words[cell.task] for clip in grid_clips(bench)}
    clips = grid_cut(bench)[cell.fold - 1]
    labelled = [replace(row, label=labels[row.path.stem]) for row in clips]
    if cell.condition == MIXED:
        return mixed(labelled, bench)
    return spoilt(labelled, cell.condition, bench)


def view_of_cell(cell: Cell, rows: Sequence[Row]) -> View:
    """Return which planes and frames of its samples a cell sees."""
    first = load_sample(rows[0].path)
    if cell.model == "first":
        return choose_view(first, channels=cell.build[1])
    return choose_view(
        first,
        channels=cell.build[1],
        frames=FRAMES_SEEN[cell.data],
        size=SIZE_SEEN[cell.data],
    )


@lru_cache(maxsize=4)
def _fights(how: str, bench: Bench) -> tuple[Row, ...]:
    """Build the samples of the fights data by the library's own build."""
    recipe = Recipe(**LOOK["fights"], **RECIPES[how])
    folder = bench.work / "samples" / f"fights-{how}-{digest(recipe.options())}"
    source = bench.data / "fights"
    found = survey(source, output=folder, groups=source / "labels.csv")
    if bench.quick:
        few = thinned(found.found, lambda item: (item.label, item.group), 1)
        found = replace(found, found=few)
    built = build(found, recipe, folder=folder, workers=bench.workers)
    if built.failed:
        raise InputError(f"clips that cannot be read: {built.failed}")
    return tuple(built.rows)
