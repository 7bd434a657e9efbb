"""Which trainings the accuracy tables are made of, in which order, with which settings.

A cell is one training and its test: data set x task x model x planes x fusion x
condition x fold. The tables of settings at the top are what to tune; a cell that was
kept under other settings counts as not run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accuracy_conditions import (
    BLUR,
    CLEAN,
    COPIES,
    MIX,
    MIXED,
    NOTHING_SEEN,
    VOICES,
    asked,
    seen_by,
)

SEED = 0
VAL_SHARE = 0.2  # of the clips that are not tested; decides when to stop
N_FOLDS = {"fights": 5, "grid": 3}
# What a sample holds. Of the grid every third frame is kept (8.3 frames per second); it
# owns the sound of those left out.
LOOK: dict[str, dict[str, Any]] = {
    "fights": {"frames": 32, "skip": 1, "size": (64, 64)},
    "grid": {"frames": 25, "skip": 3, "size": (32, 24)},
}
# Part of the grid's pictures that is kept: left, top, right, bottom, as shares of the
# whole; None keeps all. The mouth lies within (0.2, 0.5, 0.7, 0.95).
CROP: tuple[float, float, float, float] | None = (0.2, 0.5, 0.7, 0.95)
# What our networks draw of each sample, and (width, height) it is shrunk to; the first
# version takes all of it.
FRAMES_SEEN = {"fights": 16, "grid": 25}
SIZE_SEEN: dict[str, tuple[int, int] | None] = {
    "fights": (40, 40),
    "grid": None,
}  # width, height
TRAIN: dict[str, dict[str, Any]] = {
    "fights/conv3d": {"epochs": 48, "patience": 48, "lr": 3e-3},
    "fights/convlstm": {"epochs": 48, "patience": 48, "lr": 3e-3},
    "fights/vivit": {"epochs": 48, "patience": 48, "lr": 1e-3},
    # The rate of its kept logs and of its later --lr; its search tried five.
    "fights/first": {"epochs": 20, "patience": 20, "lrs": (1e-3,)},
    "grid/conv3d": {"epochs": 120, "patience": 120, "lr": 3e-3},
    "grid/convlstm": {"epochs": 120, "patience": 120, "lr": 3e-3},
    "grid/vivit": {"epochs": 120, "patience": 120, "lr": 1e-3},
}
# Those that learn from mixed clips begin with what was learned from clean ones. A mixed
# clip comes as ten copies, so that one epoch is ten of the others'.
MIXED_TRAIN = {"epochs": 12, "patience": 12, "lr": 1e-3}
# Both senses begin with the two that have learned so.
MIXED_BOTH = {"epochs": 4, "patience": 4, "lr": 1e-3}
QUICK = {"epochs": 1, "patience": 1}
QUICK_PER_LABEL = 3  # clips of each kind, with --quick

SENSES, STACK, ONE = "senses", "stack", "one"  # ONE: there is nothing to be joined
BOTH_SENSES = ("gray3", "simple5", "mel5", "both")
# Planes -> how samples are built, and which of their planes a network sees.
PLANES: dict[str, tuple[str, str]] = {
    "rgb": ("simple5", "picture"),
    "sound": ("simple5", "sound"),
    "sound_mel": ("mel5", "sound"),
    "gray3": ("gray3", "all"),
    "simple5": ("simple5", "all"),
    "mel5": ("mel5", "all"),
    "grid picture": ("mel5", "picture"),
    "grid sound": ("mel5", "sound"),
    "grid both": ("mel5", "all"),
}
TASKS = ("command", "colour", "digit")
GRID_COLUMNS = (("picture", ONE), ("sound", ONE), ("both", SENSES), ("both", STACK))
# Tables of networks that learned from clips spoilt like those that they are tested on.
ALIKE = (CLEAN, "white-10", "white-10+blurred", "babble-10+blurred")
FIGHTS_BASELINES = {
    "majority": ("none",),
    "sound_track": ("has_sound", "has_sound+silent"),
    "logistic": ("motion", "sound", "motion+sound"),
}
GRID_BASELINES = {"majority": ("none",), "logistic": ("sound", "picture", "both")}
BASELINES = {*FIGHTS_BASELINES, *GRID_BASELINES}
# Seconds of one core per clip, epoch and place (T x H x W), measured with random input.
SECONDS = {"conv3d": 3.2e-7, "vivit": 2.7e-7, "convlstm": 4.2e-7, "first": 5.6e-7}
CLIPS = {"fights": 240, "grid": 720}
GAIN = 0.7  # of every further thread


@dataclass(frozen=True)
class Bench:
    """Where the clips lie, where the work goes, and how much of it there is."""

    data: Path  # holds fights/ and grid/
    work: Path
    workers: int = 1
    quick: bool = False  # few clips, one epoch: to see whether everything works


@dataclass(frozen=True)
class Cell:
    """One training and its test.

    Attributes:
        data: fights or grid.
        task: what is told apart: fight, command, colour or digit.
        model: a key of `fmrgb.models.MODELS`, first, or a baseline.
        planes: what it sees.
        fusion: how the senses meet: senses, stack, or one.
        condition: what was done to the clips it learns from and is tested on; those
            that learn from mixed clips are tested on clean ones, and on all others.
        fold: which clips are tested, from 1.
    """

    data: str
    task: str
    model: str
    planes: str
    fusion: str = ONE
    condition: str = "clean"
    fold: int = 1

    @property
    def name(self) -> str:
        """The name that --only matches and that the kept file has."""
        place = self.data if self.data == "fights" else f"{self.data}-{self.task}"
        what = (self.model, self.planes, self.fusion, self.condition)
        return "/".join((place, *what, f"fold{self.fold}"))

    @property
    def asked(self) -> tuple[str, ...]:
        """In what conditions its network is asked about the test clips."""
        if self.data == "fights" or self.model in BASELINES:
            return (self.condition,)
        return asked(self.planes, self.condition)

    @property
    def build(self) -> tuple[str, str]:
        """How its samples are built, and which of their planes it sees."""
        if self.data == "grid":
            return PLANES.get(f"grid {self.planes}", PLANES["grid both"])
        return PLANES.get(self.planes, PLANES["simple5"])


def plan() -> list[Cell]:
    """Return every cell, the most telling first."""
    return list(dict.fromkeys(_in_order()))


def _in_order() -> Iterator[Cell]:
    yield from _fights(FIGHTS_BASELINES)
    yield from _fights({"conv3d": ("rgb", "simple5", "mel5", "gray3", "sound")})
    yield from _fights({"conv3d": ("simple5",)}, STACK)
    for task in TASKS:
        for model, planes in GRID_BASELINES.items():
            for name, fold in ((n, k) for k in _folds("grid") for n in planes):
                yield Cell("grid", task, model, name, fold=fold)
    yield from _grid("command", CLEAN, MIXED)
    for task in ("colour", "digit"):
        yield from _grid(task, CLEAN, MIXED, columns=GRID_COLUMNS[:3])
    for fold in _folds("grid")[1:]:
        yield from _grid("command", CLEAN, MIXED, fold=fold)
    for model in ("vivit", "convlstm"):
        yield from _fights({model: ("rgb", "simple5", "mel5", "gray3", "sound")})
    yield from _fights({"first": ("gray3",)}, ONE)
    # What follows is beyond three hours on two cores.
    for fold in _folds("grid"):
        yield from _grid("command", *ALIKE, fold=fold)
    yield from _fights({"first": ("rgb", "simple5")}, ONE)
    yield from _fights({"conv3d": ("sound_mel",)})
    yield from _fights({model: ("simple5",) for model in ("vivit", "convlstm")}, STACK)
    for task in ("colour", "digit"):
        yield from _grid(task, CLEAN, MIXED, columns=GRID_COLUMNS[3:])
        for fold in _folds("grid")[1:]:
            yield from _grid(task, CLEAN, MIXED, fold=fold, columns=GRID_COLUMNS[:3])
    for model in ("vivit", "convlstm"):
        yield from _grid("command", CLEAN, MIXED, model=model)


def _folds(data: str) -> range:
    return range(1, N_FOLDS[data] + 1)


def _fights(
    models: dict[str, tuple[str, ...]], fusion: str | None = None
) -> Iterator[Cell]:
    """Yield the cells of some models and planes; senses meet by the default fusion."""
    for model, all_planes in models.items():
        for planes in all_planes:
            joined = SENSES if planes in BOTH_SENSES else ONE
            for fold in _folds("fights"):
                yield Cell(
                    "fights", "fight", model, planes, fusion or joined, fold=fold
                )


def _grid(
    task: str,
    *conditions: str,
    fold: int = 1,
    model: str = "conv3d",
    columns: tuple[tuple[str, str], ...] = GRID_COLUMNS,
) -> Iterator[Cell]:
    """Yield the cells of some rows of the grid's table: each sense, both, stacked."""
    for condition in conditions:
        for planes, fusion in columns:
            left = seen_by(planes, condition)
            # A picture that is blanked, alone, leaves nothing to learn from.
            if planes == "both" or left != NOTHING_SEEN:
                yield Cell("grid", task, model, planes, fusion, left, fold)


def settings_of(cell: Cell, *, quick: bool = False) -> dict[str, Any]:
    """Return everything chosen here that decides what a cell measures, for JSON."""
    chosen: dict[str, Any] = {
        "seed": SEED,
        "folds": N_FOLDS[cell.data],
        "val_share": VAL_SHARE,
        "look": {**LOOK[cell.data], "size": list(LOOK[cell.data]["size"])},
    }
    if cell.model not in BASELINES:
        train = _train_of(cell) | (QUICK if quick else {})
        chosen["train"] = {
            k: list(v) if isinstance(v, tuple) else v for k, v in train.items()
        }
        if cell.model != "first":
            chosen["frames_seen"] = FRAMES_SEEN[cell.data]
            if size := SIZE_SEEN[cell.data]:
                chosen["size_seen"] = list(size)
    if cell.data == "grid":
        chosen |= {"blur": BLUR, "voices": VOICES, "crop": list(CROP or ()) or None}
    if cell.condition == MIXED:
        known = [settings_of(one, quick=quick) for one in begun_with(cell)]
        # One stands by itself, as the cells have it that were kept before.
        chosen |= {"mix": MIX, "begins_with": known[0] if len(known) == 1 else known}
    return chosen | ({"quick": QUICK_PER_LABEL} if quick else {})


def _train_of(cell: Cell) -> dict[str, Any]:
    usual = dict(TRAIN[f"{cell.data}/{cell.model}"])
    if cell.condition != MIXED:
        return usual
    return usual | (MIXED_BOTH if cell.fusion == SENSES else MIXED_TRAIN)


def guess_minutes(cell: Cell, threads: int, *, quick: bool = False) -> float:
    """Return about how long a cell takes, in minutes, before one like it was run."""
    if cell.model in BASELINES or quick:
        return 0.05
    train = _train_of(cell)
    copies = COPIES if cell.condition == MIXED else 1
    size = SIZE_SEEN[cell.data]
    frames = FRAMES_SEEN[cell.data]
    if cell.model == "first":
        frames, size = LOOK[cell.data]["frames"], None
    width, height = size or LOOK[cell.data]["size"]
    share = (1 - 1 / N_FOLDS[cell.data]) * (1 - VAL_SHARE * 2 / 3)  # no gradient there
    places = frames * width * height
    per_epoch = copies * CLIPS[cell.data] * share * places * SECONDS[cell.model]
    n_trainings = len(train.get("lrs", (0,)))
    seconds: float = (
        per_epoch * train["epochs"] * n_trainings / (1 + GAIN * (threads - 1))
    )
    return (seconds + 5) / 60


def begun_with(cell: Cell) -> list[Cell]:
    """Return the cells whose weights one that learns from mixed clips begins with.

    Those of the same network and clean clips; both senses begin with each of the two
    that has learned from mixed clips alone.
    """
    if cell.condition != MIXED:
        return []
    if cell.fusion == SENSES:
        return [replace(cell, planes=p, fusion=ONE) for p in ("picture", "sound")]
    return [replace(cell, condition=CLEAN)]


def siblings(cell: Cell) -> list[Cell]:
    """Return the cells of all folds of the same thing: one line of a table."""
    return [replace(cell, fold=fold) for fold in _folds(cell.data)]
