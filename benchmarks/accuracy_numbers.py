"""From kept cells to the numbers of a table's line, and to comparisons of two lines.

A line pools the folds that were run. Axes: N clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_cells import Kept, kept, pooled
from accuracy_conditions import seen_by
from accuracy_plan import GRID_COLUMNS, Cell, siblings

from fmrgb.intervals import Range, mean_interval
from fmrgb.metrics import Predictions, score

NOT_RUN = "not run"
COLUMN_HEADS = ("picture", "sound", "both", "both, stacked")  # of GRID_COLUMNS


@dataclass(frozen=True)
class Line:
    """What is known of one thing that was trained and tested, over all its folds.

    Attributes:
        cell: any of its folds.
        results: of the folds that were run.
        predictions: of their test clips; None if none was run.
    """

    cell: Cell
    results: list[Kept]
    predictions: Predictions | None

    @cached_property
    def scores(self) -> dict[str, Any]:
        """From `metrics.score`; only of lines that were run."""
        assert self.predictions is not None
        return score(self.predictions)

    @property
    def minutes(self) -> float:
        """How long its trainings took, all folds together."""
        return sum(float(result["minutes"]) for result in self.results)

    @property
    def folds(self) -> str:
        """How many of its folds were run."""
        return f"{len(self.results)} of {len(siblings(self.cell))}"


class Store:
    """The kept cells of a work folder, as lines."""

    def __init__(self, work: Path, *, quick: bool = False) -> None:
        """Read from `work`; nothing is read before it is asked for."""
        self._line = lru_cache(maxsize=None)(self._read)
        self.work = work
        self.quick = quick

    def line(self, cell: Cell, condition: str | None = None) -> Line:
        """Return the line of a cell.

        Args:
            cell: any of its folds.
            condition: what its test clips suffered; None means what it is asked first.
        """
        condition = cell.asked[0] if condition is None else condition
        return self._line(replace(cell, fold=1), condition)

    def _read(self, cell: Cell, condition: str) -> Line:
        found = [kept(self.work, fold, quick=self.quick) for fold in siblings(cell)]
        results = [r for r in found if r is not None and condition in r["told"]]
        return Line(cell, results, pooled(results, condition))


def grid_lines(store: Store, task: str, learned: str, condition: str) -> list[Line]:
    """Return the lines of picture, sound, both and both stacked.

    Args:
        store: the kept cells.
        task: what is told apart.
        learned: the condition of the clips that the networks learned from.
        condition: that in which they are asked. A network of one sense is the same
            whatever the other sense suffers.
    """
    lines = []
    for planes, fusion in GRID_COLUMNS:
        cell = Cell("grid", task, "conv3d", planes, fusion, seen_by(planes, learned))
        lines.append(store.line(cell, seen_by(planes, condition)))
    return lines


@dataclass(frozen=True)
class Gain:
    """How much better one line is than another on the same clips."""

    mean: float  # difference of the shares of right clips
    interval: Range  # 95 %
    clips: int

    @property
    def verdict(self) -> str:
        """Say it in words."""
        if self.interval[0] > 0:
            return "better"
        return "worse" if self.interval[1] < 0 else "no difference shown"

    def __str__(self) -> str:
        low, high = (100 * bound for bound in self.interval)
        return f"{100 * self.mean:+.1f} ({low:+.1f} to {high:+.1f})"


def gain(one: Line, other: Line) -> Gain | None:
    """Compare two lines clip by clip, on the clips that both were asked about.

    None if they have none in common.
    """
    if one.predictions is None or other.predictions is None:
        return None
    theirs = _right_by_clip(other.predictions)
    ours = one.predictions
    common = [number for number, path in enumerate(ours.paths) if path in theirs]
    if not common:
        return None
    difference_N = np.array(
        [float(ours.right[n]) - theirs[ours.paths[n]] for n in common]
    )
    interval = mean_interval(difference_N, ours.sources[common])
    return Gain(float(difference_N.mean()), interval, len(common))


def _right_by_clip(predictions: Predictions) -> dict[str, float]:
    right = predictions.right.astype(float).tolist()
    return dict(zip(predictions.paths, right, strict=True))


def best(lines: Sequence[Line]) -> Line | None:
    """Return the line with the highest accuracy of those that were run."""
    run = [line for line in lines if line.predictions is not None]
    return max(run, key=lambda line: line.scores["accuracy"], default=None)


def accuracy(line: Line) -> str:
    """Write accuracy and its 95 % interval."""
    if line.predictions is None:
        return NOT_RUN
    return ranged(line.scores["accuracy"], line.scores["interval"])


def ranged(value: float, interval: Sequence[float]) -> str:
    """Write a number with its interval."""
    return f"{value:.3f} ({interval[0]:.2f} to {interval[1]:.2f})"
