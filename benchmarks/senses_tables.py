"""From kept cells to SENSES.md: tables, and how they were made."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
from accuracy_cells import Kept, pooled
from accuracy_numbers import NOT_RUN, ranged
from accuracy_tables import table
from numpy.typing import NDArray
from senses_method import method
from senses_plan import (
    BOTH,
    CLASSIC,
    LOOKS,
    MFCC,
    PATTERNS,
    PICTURE,
    RATES,
    SOUND,
    Cell,
    Store,
    folds_of,
    plan,
)
from senses_train import BY_NETWORK

from fmrgb.files import whole_file
from fmrgb.intervals import mean_interval, share_interval
from fmrgb.metrics import Predictions

SAID = {
    MFCC: "mean and spread of 20 MFCC",
    CLASSIC: "mean and spread of all 26 values",
    "majority": "commonest label",
    "logistic": "logistic regression",
    "forest": "random forest",
    "none": "-",
    "logmel+features": "logmel, and the 26 values",
    "logmel-relative": "logmel, below each clip's own loudest",
    "waveform": "waveform, 34 x 50",
    "waveform-wide": "waveform, 12 x 800",
}
REPORTED = {
    **{"stft": "above 97 %", "logmel": "above 97 %"},
    **{"waveform": "94 %", "waveform-wide": "94 %"},
}


def write_tables(path: Path, store: Store) -> Path:
    """Write SENSES.md from the kept cells alone; return its path."""
    told = [*_head(store), *_digits(store), *_words(store), *_pairs(store)]
    text = "\n".join([*told, *method(store)])
    with whole_file(path) as part:
        part.write_text(text.rstrip() + "\n")
    return path


def _head(store: Store) -> list[str]:
    cells = plan()
    done = [result for cell in cells if (result := store.kept(cell))]
    minutes = sum(result["minutes"] for result in done)
    trial = ["**A trial with few clips and one epoch: the numbers mean nothing.**", ""]
    return [
        "# Sound alone, and pictures joined with sounds",
        "",
        *(trial if store.quick else []),
        f"Written {date.today()} by `benchmarks/senses.py` (`make senses`) from the "
        f"cells it has kept: {len(done)} of {len(cells)} were run, in {minutes:.0f} "
        f"minutes together; the others are shown as {NOT_RUN}. Ranges are 95 % "
        "intervals (Wilson's, at the number of clips of different sources that would "
        "tell as much).",
        "",
    ]


def said_by(store: Store, cell: Cell, condition: str = "test") -> Predictions | None:
    """Return what was said of the test clips of all folds; None if one is missing."""
    found = store.folds(cell)
    return pooled(found, condition) if len(found) == len(folds_of(cell)) else None


def shown(said: Predictions | None) -> str:
    """Write accuracy and its interval."""
    if said is None:
        return NOT_RUN
    return ranged(float(said.right.mean()), share_interval(said.right, said.sources))


def _minutes(found: Sequence[Kept]) -> str:
    return f"{sum(result['minutes'] for result in found):.1f}" if found else NOT_RUN


def _lines(data: str, variant: str) -> list[Cell]:
    cells = [c for c in plan() if (c.data, c.variant, c.fold) == (data, variant, 1)]
    order = ("majority", "logistic", "forest", "cnn2d", "fusion", "conv3d", "gmm")
    return sorted(cells, key=lambda cell: order.index(cell.model))


def _names(cell: Cell) -> list[str]:
    return [SAID.get(cell.model, cell.model), SAID.get(cell.planes, cell.planes)]


def _digits(store: Store) -> list[str]:
    rows = []
    for cell in _lines("digits", "random"):
        said, reported = said_by(store, cell), "-"
        if cell.model == "cnn2d":
            reported = REPORTED[cell.planes]
        clips = NOT_RUN if said is None else str(len(said.truth))
        minutes = _minutes(store.folds(cell))
        rows.append([*_names(cell), clips, shown(said), reported, minutes])
    heads = ("model", "learns from", "clips", "accuracy", "reported", "minutes")
    return [
        "## Spoken digits",
        "",
        "2,500 recordings of ten digits by five speakers, 8 kHz, each stretched over "
        "all columns. `stft` and `logmel` are spectrograms of 34 bands and 50 columns, "
        "in dB below full scale; `waveform` is the drawn waveform, the clip's loudest "
        "at the edge. The figures reported are of this network on four speakers; the "
        "size of its waveform pictures is not known.",
        "",
        "### A tenth of the clips is tested, by chance: the same speakers are learned",
        "",
        *table(heads, rows, left=2),
        "### The speaker who is tested was never heard",
        "",
        *_speakers(store),
    ]


def _speakers(store: Store) -> list[str]:
    rows = []
    names: list[str] = []
    for cell in _lines("digits", "speakers"):
        found, said = store.folds(cell), said_by(store, cell)
        each = [NOT_RUN] * cell.n_folds
        if said is not None:
            groups = np.array([group.split(" ", 1)[-1] for group in said.groups])
            names = sorted(set(groups.tolist()))
            each = [f"{said.right[groups == name].mean():.3f}" for name in names]
        rows.append([*_names(cell), shown(said), *each, _minutes(found)])
    speakers = names or [f"fold {k}" for k in range(1, len(rows[0]) - 3)]
    heads = ("model", "learns from", "accuracy", *speakers, "minutes")
    return [
        "Five trainings, each tested on all clips of one speaker; of the other four "
        "speakers' clips a tenth, by chance, says which epoch is kept. Five speakers "
        "tell little about others: hence the width of the intervals.",
        "",
        *table(heads, rows, left=2),
    ]


def _words(store: Store) -> list[str]:
    rows = []
    for cell in _lines("words", "whole"):
        trimmed = Cell(cell.data, "trimmed", cell.model, cell.planes)
        one, other = said_by(store, cell), said_by(store, trimmed)
        minutes = _minutes(store.folds(cell) + store.folds(trimmed))
        change = _change(one, other)
        rows.append([*_names(cell), shown(one), shown(other), change, minutes])
    heads = (
        *("model", "learns from", "whole", "trimmed", "trimmed - whole, points"),
        "minutes",
    )
    return [
        "## Wake words",
        "",
        "240 recordings of six wake words, 2 to 5 s with silence around the word, 16 "
        "kHz; five folds, each clip tested once. Who speaks was not recorded: the same "
        "voices may lie on both sides. Pictures have "
        f"{LOOKS['words']['bands']} bands and {LOOKS['words']['columns']} columns. The "
        "last but one column compares the same clips.",
        "",
        *table(heads, rows, left=2),
    ]


def _change(one: Predictions | None, other: Predictions | None) -> str:
    """Write by how many points of accuracy the second is better on the same clips."""
    if one is None or other is None:
        return NOT_RUN
    right = dict(zip(one.paths, one.right.tolist(), strict=True))
    difference_N = np.array(
        [float(r) - right[p] for p, r in zip(other.paths, other.right, strict=True)]
    )
    return _points(difference_N, other.sources)


MODELS = {
    ("gmm", "pca"): "gmm, on principal components",
    ("cnn2d", "dropout", BY_NETWORK): "gmm, on the features of cnn2d with dropout",
    ("cnn2d", "none"): "cnn2d, no sense dropout",
    ("cnn2d", "dropout"): "cnn2d, sense dropout",
    ("conv3d", "none"): "conv3d, no sense dropout",
    ("conv3d", "dropout"): "conv3d, sense dropout",
}
GMM, GMM_FEATURES, NONE, DROPOUT, *OTHERS = MODELS
COMPARED = (
    ("cnn2d: sense dropout - none", DROPOUT, NONE),
    ("conv3d: sense dropout - none", OTHERS[1], OTHERS[0]),
    ("gmm on principal components - cnn2d without dropout", GMM, NONE),
    ("gmm on the features of cnn2d - that cnn2d", GMM_FEATURES, DROPOUT),
)


def _pairs(store: Store) -> list[str]:
    rows, facts = [], []
    for variant, missing in RATES.items():
        found: list[Kept] = []
        for (model, what, *prefix), said in MODELS.items():
            cell = Cell("pairs", variant, model, what)
            begins = "".join(prefix)
            results = store.folds(cell)
            found = found or results
            columns = [shown(said_by(store, cell, begins + p)) for p in PATTERNS]
            minutes = "-" if prefix else _minutes(results)
            rows.append([f"{missing:.0%}", said, *columns, minutes])
        if found:
            facts.append(_missing(missing, found[0]))
    heads = (
        *("left out in training", "model", BOTH, f"{PICTURE} alone", f"{SOUND} alone"),
        *("gaps as in training", "minutes"),
    )
    return [
        "## Pairs of a picture and a word, with gaps",
        "",
        "Six Caltech categories joined to the six wake words by a table (bonsai - "
        "alexa, butterfly - computer, grand piano - jarvis, helicopter - smart mirror, "
        "ketch - snowboy, watch - view glass): a pair's picture and sound have nothing "
        "in common but this label. Models learn from pairs of which each sense is left "
        "out at the rate of the first column, and are all asked about the same test "
        "pairs: with both senses, with either alone, and with gaps as in training.",
        "",
        *table(heads, rows, left=2),
        *facts,
        "",
        *_compared(store),
    ]


def _compared(store: Store) -> list[str]:
    """Compare models on the same test pairs, the three missing rates together."""
    heads = ("points of accuracy", BOTH, f"{PICTURE} alone", f"{SOUND} alone")
    rows = []
    for said, one, other in COMPARED:
        columns = [_gain(store, one, other, pattern) for pattern in PATTERNS[:3]]
        rows.append([said, *columns])
    return [
        "The same test pairs, models of all three rates together: by how much the "
        "first is better.",
        "",
        *table(heads, rows, left=1),
    ]


def _gain(
    store: Store, one: tuple[str, ...], other: tuple[str, ...], pattern: str
) -> str:
    """Write how many points better the first is; pairs of a source count together."""
    differences, groups = [], []
    for variant in RATES:
        told = [
            said_by(store, Cell("pairs", variant, *key[:2]), "".join(key[2:]) + pattern)
            for key in (one, other)
        ]
        if told[0] is None or told[1] is None:
            return NOT_RUN
        differences.append(told[0].right.astype(float) - told[1].right)
        groups += told[0].groups
    difference_N = np.concatenate(differences)
    sources_N = np.unique(np.array(groups), return_inverse=True)[1]
    return _points(difference_N, sources_N)


def _points(difference_N: NDArray[np.float64], sources_N: NDArray[np.int64]) -> str:
    low, high = mean_interval(difference_N, sources_N)
    mean = 100 * difference_N.mean()
    return f"{mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _missing(wanted: float, result: Kept) -> str:
    """Say how much is really missing where a rate was asked for."""
    counts = result["patterns"]
    total = sum(counts.values())
    lacking = {
        sense: sum(n for pattern, n in counts.items() if sense not in pattern) / total
        for sense in (PICTURE, SOUND)
    }
    patterns = ", ".join(f"{count} {name}" for name, count in counts.items())
    return (
        f"- {wanted:.0%} asked for: the picture is missing in {lacking[PICTURE]:.0%} "
        f"of {total} pairs, the sound in {lacking[SOUND]:.0%} ({patterns}); one "
        "sense always stays."
    )
