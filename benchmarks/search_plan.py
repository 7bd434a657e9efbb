"""What the benchmark of the learning-rate search is made of, and what it has kept.

A cell is one training at one rate, one search, or one training at a rate that a search
found and that is none of the grid's. Each is kept as one JSON; one that was kept under
other settings counts as not run.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from accuracy_cells import Kept
from accuracy_plan import (
    FRAMES_SEEN,
    LOOK,
    QUICK,
    SECONDS,
    SEED,
    SIZE_SEEN,
    TRAIN,
    VAL_SHARE,
)

from fmrgb import demo
from fmrgb.augment import OFF
from fmrgb.files import make_folder, whole_file
from fmrgb.learner import Settings
from fmrgb.lr_search import AS_GOOD, TRAININGS, Plan
from fmrgb.lr_trials import GRID
from fmrgb.options import DemoOptions
from fmrgb.study import HALVING

DATA_SETS = ("demo", "fights")
SEEDS = (0, 1, 2)  # of weights, shuffling and search; the split has SEED
RATES = {f"rate{rate:.2g}": rate for rate in GRID}
QUICK_RATES = tuple(RATES)[3:5]
QUICK_CLIPS = 40  # of the demo, with --quick
TEST_SHARE = {"demo": 0.2, "fights": 0.2}
VAL_SHARES = {"demo": demo.VAL_SIZE, "fights": VAL_SHARE * (1 - TEST_SHARE["fights"])}
SEARCH, WINNER = "search", "winner"
FIGHTS_EPOCHS = 24
FIGHTS_SIZE = SIZE_SEEN["fights"] or LOOK["fights"]["size"]
# For a guess of the time: how many clips, and how large (T x H x W).
SIZES = {
    "demo": (DemoOptions().clips, demo.SAMPLE_FRAMES * 24 * 32),
    "fights": (240, FRAMES_SEEN["fights"] * math.prod(FIGHTS_SIZE)),
}
SLOWER = 1.6  # than the larger clips that SECONDS was measured with


@dataclass(frozen=True)
class Cell:
    """One thing to run.

    Attributes:
        data: demo or fights.
        seed: of weights, shuffling and search.
        what: a key of RATES, search, or winner.
    """

    data: str
    seed: int
    what: str

    @property
    def name(self) -> str:
        """The name that --only matches and that the kept file has."""
        return f"{self.data}/seed{self.seed}/{self.what}"


@dataclass(frozen=True)
class Store:
    """The kept cells of a work folder; those of --quick are others."""

    work: Path
    quick: bool = False

    @property
    def rates(self) -> tuple[str, ...]:
        """The names of the grid's rates."""
        return QUICK_RATES if self.quick else tuple(RATES)

    def plan(self, seeds: Sequence[int]) -> list[Cell]:
        """Return every cell, in the order in which they are run."""
        things = (SEARCH, *self.rates, WINNER)
        return [Cell(d, s, what) for d in DATA_SETS for s in seeds for what in things]

    def path(self, cell: Cell) -> Path:
        """Return the file that keeps a cell."""
        return self.work / "cells" / "search" / f"{cell.name}.json"

    def keep(self, cell: Cell, result: Kept) -> None:
        """Write what a cell gave, with its name and settings, whole or not at all."""
        path = self.path(cell)
        make_folder(path.parent)
        content = {"cell": cell.name, "settings": self.settings_of(cell), **result}
        with whole_file(path) as part:
            part.write_text(json.dumps(content))

    def kept(self, cell: Cell) -> Kept | None:
        """Return what a cell gave; None if it was not run, or under other settings.

        A winner that is one of the grid's rates is that rate's training.
        """
        if cell.what == WINNER and (same := self.same_rate(cell)):
            cell = replace(cell, what=same)
        path = self.path(cell)
        if not path.is_file():
            return None
        content: Kept = json.loads(path.read_text())
        return content if content["settings"] == self.settings_of(cell) else None

    def found(self, cell: Cell) -> float | None:
        """Return the rate that the search of this data and seed found, if it was run.

        In JSON and back it stays the number it was.
        """
        result = self.kept(replace(cell, what=SEARCH))
        return float(result["lr"]) if result else None

    def same_rate(self, cell: Cell) -> str | None:
        """Return which of the grid's rates the search found; None if none of them."""
        found = self.found(cell)
        same = [n for n in self.rates if found and math.isclose(RATES[n], found)]
        return same[0] if same else None

    def rate_of(self, cell: Cell) -> float | None:
        """Return the highest rate of a training; None where it is not known yet."""
        return self.found(cell) if cell.what == WINNER else RATES[cell.what]

    def settings_of(self, cell: Cell) -> Kept:
        """Return everything chosen that decides what a cell measures, as JSON has it.

        Threads change the time alone, so they do not count.
        """
        look: dict[str, Any] = {"frames": demo.SAMPLE_FRAMES, "mag": demo.MAG}
        if cell.data == "fights":
            seen = {"frames_seen": FRAMES_SEEN["fights"], "size_seen": FIGHTS_SIZE}
            look = {**LOOK["fights"], **seen}
        chosen: dict[str, Any] = {
            "look": look,
            "split": [SEED, TEST_SHARE[cell.data], VAL_SHARES[cell.data]],
            "train": asdict(settings(cell.data, cell.seed, quick=self.quick)),
            "clips": QUICK_CLIPS if self.quick else None,
        }
        if cell.what == SEARCH:
            known = {"grid": GRID, "as_good": AS_GOOD, "halving": HALVING}
            chosen["search"] = {**Plan().chosen(), **known, "trainings": TRAININGS}
        else:
            chosen["train"]["lr"] = self.rate_of(cell)
        back: Kept = json.loads(json.dumps(chosen))
        return back


def settings(data: str, seed: int, *, quick: bool = False) -> Settings:
    """Return how a data set is trained, at the rate that a search begins near."""
    if data == "fights":
        epochs = FIGHTS_EPOCHS
        how: dict[str, Any] = {"lr": TRAIN["fights/conv3d"]["lr"]}
    else:
        epochs = DemoOptions().epochs
        how = {"lr": demo.LEARNING_RATE, "augmentation": OFF}  # see `demo.demo`
    how |= {"epochs": epochs, "patience": epochs}
    how |= {name: 2 * number for name, number in QUICK.items()} if quick else {}
    return replace(Settings(model="conv3d", model_size="tiny", seed=seed), **how)


def guess_minutes(cell: Cell, *, quick: bool = False) -> float:
    """Return about how long a cell takes on one thread, before any was run."""
    if quick:
        return 0.1
    if cell.what == WINNER:  # mostly one of the grid's rates
        return 0.0
    n_clips, places = SIZES[cell.data]
    n_epochs = settings(cell.data, cell.seed).epochs
    n_epochs *= TRAININGS if cell.what == SEARCH else 1
    seconds = n_clips * (1 - TEST_SHARE[cell.data]) * places * SECONDS["conv3d"]
    return SLOWER * seconds * n_epochs / 60
