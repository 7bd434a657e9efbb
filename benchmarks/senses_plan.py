"""Which trainings the tables of sound alone and of pairs are made of, and what is kept.

A cell is one training and its test: data set x variant x model x planes x fold. The
tables of settings at the top are what to tune; a cell that was kept under other
settings counts as not run.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from accuracy_cells import Kept

from fmrgb.augment import OFF, USUAL
from fmrgb.files import make_folder, whole_file
from fmrgb.learner import Settings

SEED = 0
# How sounds are drawn. Digits as the design that they are compared with does: 34 bands
# and 50 columns.
LOOKS: dict[str, dict[str, Any]] = {
    "digits": {
        "pictures": ("logmel", "stft", "features"),
        **{"bands": 34, "columns": 50, "rate": 8000},
    },
    "logmel-relative": {
        "pictures": ("logmel",),
        **{"bands": 34, "columns": 50, "rate": 8000, "scale": "relative"},
    },
    "waveform": {
        "pictures": ("waveform",),
        **{"bands": 34, "columns": 50, "rate": 8000, "scale": "relative"},
    },
    "waveform-wide": {
        "pictures": ("waveform",),
        **{"bands": 12, "columns": 800, "rate": 8000, "scale": "relative"},
    },
    "words": {
        "pictures": ("logmel", "mfcc", "features"),
        **{"bands": 32, "columns": 48, "rate": 16_000},
    },
    "pairs": {
        "pictures": ("logmel",),
        **{"bands": 32, "columns": 32, "rate": 16_000, "trim_db": 30.0},
    },
}
TRIM_DB = 30.0
PICTURE_SIZE = (32, 32)  # width, height, of the pictures in pairs
TEST_SHARE = {"digits": 0.1, "pairs": 0.2}
VAL_SHARE = {"digits": 0.1, "words": 0.2, "pairs": 0.2}
N_SPEAKERS = N_WORD_FOLDS = 5
RATES = {"missing0": 0.0, "missing30": 0.3, "missing60": 0.6}
SENSE_DROPOUT = 0.3  # not tuned; the default of training is 0.1
# Found on validation clips; see "How it was measured" in the page.
TRAIN: dict[str, dict[str, Any]] = {
    "digits": {"epochs": 12, "batch_size": 50, "lr": 3e-3},
    "waveform": {"epochs": 16, "batch_size": 50, "lr": 3e-3},
    "words": {"epochs": 25, "batch_size": 20, "lr": 3e-3},
    "pairs": {"epochs": 25, "batch_size": 20, "lr": 3e-3},
}
PRECISION = "bf16-mixed"  # what `--precision auto` takes for these; named, to repeat it
JOINED = {  # picture -> word
    "bonsai": "alexa",
    "butterfly": "computer",
    "grand_piano": "jarvis",
    "helicopter": "smart mirror",
    "ketch": "snowboy",
    "watch": "view glass",
}
BASELINES = ("majority", "logistic", "forest")
FOREST_TREES = 500
RIDGE = 1.0  # inverse strength of the logistic regression's
MFCC, CLASSIC = "mfcc40", "features52"  # columns of values a baseline learns from
PCA, NETWORK = "pca", "network"  # what a concept model embeds senses by
BOTH, PICTURE, SOUND, GAPS = "picture+sound", "picture", "sound", "gaps"
PATTERNS = (BOTH, PICTURE, SOUND, GAPS)  # of the test pairs; GAPS: as in training
QUICK = {"epochs": 1}
QUICK_PER_LABEL = 10  # sounds and pictures, with --quick
# Seconds of one core per clip and epoch, for a guess.
SECONDS = {"digits": 2.5e-3, "words": 4e-3, "pairs": 5e-3}
CLIPS = {"digits": 2000, "words": 150, "pairs": 290}


@dataclass(frozen=True)
class Cell:
    """One training and its test.

    Attributes:
        data: digits, words or pairs.
        variant: of digits random or speakers (how they are split), of words whole or
            trimmed, of pairs a key of RATES.
        model: cnn2d, conv3d, fusion, gmm, or one of BASELINES.
        planes: what it sees, names with +; of pairs what is special: dropout or none
            for networks, PCA or NETWORK for gmm.
        fold: which clips are tested, from 1.
    """

    data: str
    variant: str
    model: str
    planes: str
    fold: int = 1

    @property
    def name(self) -> str:
        """The name that --only matches and that the kept file has."""
        what = (self.data, self.variant, self.model, self.planes)
        return "/".join((*what, f"fold{self.fold}"))

    @property
    def look(self) -> str:
        """How its sounds are drawn: a key of LOOKS."""
        return self.planes if self.planes in LOOKS else self.data

    @property
    def channels(self) -> str:
        """The planes that a network sees, as `--channels` names them."""
        if self.data == "pairs":
            return "all"
        return self.planes.split("-")[0].replace("+", ",")

    @property
    def n_folds(self) -> int:
        """How many folds there are of its kind."""
        return {
            "speakers": N_SPEAKERS,
            "whole": N_WORD_FOLDS,
            "trimmed": N_WORD_FOLDS,
        }.get(self.variant, 1)


@dataclass(frozen=True)
class Bench:
    """Where the media lie, where the work goes, and how much of it there is."""

    data: Path  # holds fsdd/, keywords/ and caltech/
    work: Path
    workers: int = 1
    quick: bool = False  # few clips, one epoch: to see whether everything works


@dataclass(frozen=True)
class Store:
    """The kept cells of a work folder; those of --quick are others."""

    work: Path
    quick: bool = False

    def path(self, cell: Cell) -> Path:
        """Return the file that keeps a cell."""
        return self.work / "cells" / "senses" / f"{cell.name}.json"

    def keep(self, cell: Cell, result: Kept) -> None:
        """Write what a cell gave, with its name and settings, whole or not at all."""
        path = self.path(cell)
        make_folder(path.parent)
        chosen = settings_of(cell, quick=self.quick)
        with whole_file(path) as part:
            part.write_text(
                json.dumps({"cell": cell.name, "settings": chosen, **result})
            )

    def kept(self, cell: Cell) -> Kept | None:
        """Return what a cell gave; None if it was not run, or under other settings."""
        path = self.path(cell)
        if not path.is_file():
            return None
        content: Kept = json.loads(path.read_text())
        same = content["settings"] == settings_of(cell, quick=self.quick)
        return content if same else None

    def folds(self, cell: Cell) -> list[Kept]:
        """Return what was kept of all folds of a cell."""
        found = [self.kept(fold) for fold in folds_of(cell)]
        return [result for result in found if result]


def folds_of(cell: Cell) -> list[Cell]:
    """Return the cells of all folds of the same thing: one line of a table."""
    return [replace(cell, fold=k) for k in range(1, cell.n_folds + 1)]


def plan() -> list[Cell]:
    """Return every cell, in the order in which they are run."""
    return [fold for cell in lines() for fold in folds_of(cell)]


def lines() -> Iterator[Cell]:
    """Yield the first fold of everything, the cheap and the most telling first."""
    for variant in ("random", "speakers"):
        yield Cell("digits", variant, "majority", "none")
        for model in ("logistic", "forest"):
            yield from (Cell("digits", variant, model, p) for p in (MFCC, CLASSIC))
    for planes in ("logmel", "stft"):
        yield Cell("digits", "random", "cnn2d", planes)
    for variant in ("whole", "trimmed"):
        yield Cell("words", variant, "majority", "none")
        for model in ("logistic", "forest"):
            yield from (Cell("words", variant, model, p) for p in (MFCC, CLASSIC))
    for planes in ("logmel", "mfcc"):
        for variant in ("whole", "trimmed"):
            yield Cell("words", variant, "cnn2d", planes)
    for rate in RATES:
        yield Cell("pairs", rate, "gmm", PCA)
        for model in ("cnn2d", "conv3d"):
            yield from (Cell("pairs", rate, model, p) for p in ("none", "dropout"))
    yield Cell("digits", "speakers", "cnn2d", "logmel")
    for planes in ("waveform", "waveform-wide"):
        yield Cell("digits", "random", "cnn2d", planes)
    yield Cell("digits", "speakers", "cnn2d", "logmel-relative")
    for variant in ("whole", "trimmed"):
        yield Cell("words", variant, "conv3d", "logmel")
    yield Cell("digits", "random", "fusion", "logmel+features")
    yield Cell("digits", "speakers", "fusion", "logmel+features")


def train_settings(cell: Cell, *, quick: bool = False) -> Settings:
    """Return how a network is trained; it stops by no patience."""
    drawn = cell.channels == "waveform"
    how = {**TRAIN["waveform" if drawn else cell.data], **(QUICK if quick else {})}
    # Parts of a drawn waveform that are hidden, and dropout, are more than it bears.
    changes = replace(OFF, shift=USUAL.shift) if drawn else USUAL
    if cell.data == "pairs":
        dropped = SENSE_DROPOUT if cell.planes == "dropout" else 0.0
        changes = replace(USUAL, sense_dropout=dropped)
    settings = Settings(model=cell.model, seed=SEED, precision=PRECISION)
    return replace(settings, patience=how["epochs"], augmentation=changes, **how)


def settings_of(cell: Cell, *, quick: bool = False) -> Kept:
    """Return everything chosen that decides what a cell measures, as JSON has it."""
    chosen: dict[str, Any] = {
        "seed": SEED,
        "look": LOOKS[cell.look],
        "test": TEST_SHARE.get(cell.data, cell.n_folds),
        "val": VAL_SHARE[cell.data],
        "quick": QUICK_PER_LABEL if quick else None,
    }
    if cell.data == "pairs":
        chosen |= {"size": PICTURE_SIZE, "joined": JOINED}
    if cell.model in BASELINES:
        chosen |= {"trees": FOREST_TREES, "ridge": RIDGE}
    elif cell.model != "gmm":
        chosen["train"] = asdict(train_settings(cell, quick=quick))
    back: Kept = json.loads(json.dumps(chosen))
    return back


def guess_minutes(cell: Cell, *, quick: bool = False) -> float:
    """Return about how long a cell takes on one idle core, before any was run."""
    if cell.model in (*BASELINES, "gmm") or quick:
        return 0.05
    each = SECONDS[cell.data] * CLIPS[cell.data]
    return float(each * train_settings(cell).epochs / 60)
