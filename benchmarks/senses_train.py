"""From a cell of sounds or pairs to its result: make its samples, train, test.

Axes: N clips, F values, K classes.
"""

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_cells import Kept, answers, machine
from numpy.typing import NDArray
from senses_clips import pairs_of, rows_of, test_rows
from senses_plan import (
    BASELINES,
    FOREST_TREES,
    MFCC,
    RIDGE,
    SEED,
    Bench,
    Cell,
    train_settings,
)
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fmrgb.checkpoint import Network, load_checkpoint
from fmrgb.evaluate import predict_rows
from fmrgb.files import make_folder
from fmrgb.gmm import label_chances
from fmrgb.gmm_data import look_at
from fmrgb.gmm_model import Concepts, Wish, learn
from fmrgb.manifest import Row
from fmrgb.metrics import Predictions
from fmrgb.sample import load_sample
from fmrgb.seen import choose_view
from fmrgb.splits import sources
from fmrgb.trainer import train

BY_NETWORK = "gmm "  # begins the conditions that a concept model on a network answers
Floats = NDArray[np.float64]


def run_cell(cell: Cell, bench: Bench) -> Kept:
    """Train and test one cell; return what is to be kept of it.

    Raises:
        FmrgbError: if its clips cannot be read or trained on.
    """
    rows = rows_of(cell, bench)
    tests = test_rows(cell, rows, bench)
    start = time.perf_counter(), time.process_time()
    if cell.model in BASELINES:
        said = _baseline(cell, rows, tests["test"])
        result: Kept = {"told": {"test": _named(said, tests["test"])}}
    elif cell.model == "gmm":
        result = {"told": _concepts(rows, tests)}
    else:
        result = _network(cell, rows, tests, bench)
    result["clips"] = dict(Counter(row.split for row in rows))
    if cell.data == "pairs":
        known = pairs_of(bench)
        result |= {"patterns": known.counts[cell.variant], "items": known.sizes}
    return {
        "minutes": (time.perf_counter() - start[0]) / 60,
        "core_minutes": (time.process_time() - start[1]) / 60,
        **result,
        **machine("cpu"),
    }


def _named(predictions: Predictions, rows: Sequence[Row]) -> dict[str, Any]:
    """Return plain values; clips of the same name in two folders are told apart."""
    names = [f"{row.path.parent.name}/{row.path.stem}" for row in rows]
    return {**answers(predictions, rows), "clips": names}


def _network(
    cell: Cell, rows: Sequence[Row], tests: dict[str, list[Row]], bench: Bench
) -> Kept:
    settings = train_settings(cell, quick=bench.quick)
    first = load_sample(rows[0].path)
    folder = bench.work / "runs" / f"senses_{cell.name.replace('/', '_')}"
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    trained = train(
        rows,
        choose_view(first, channels=cell.channels),
        settings,
        folder=folder,
        recipe=first.meta["options"],
        quiet=True,
    )
    network = load_checkpoint(trained.best)
    told = {
        name: _named(predict_rows(network, some), some) for name, some in tests.items()
    }
    if (cell.model, cell.planes) == ("cnn2d", "dropout"):
        by_network = _concepts(rows, tests, network)
        told |= {BY_NETWORK + name: answer for name, answer in by_network.items()}
    shutil.rmtree(folder)
    best = min(trained.history, key=lambda epoch: epoch["val_loss"])
    return {
        "told": told,
        "parameters": trained.parameters,
        "val_accuracy": best["val_accuracy"],
        "used": asdict(settings),
    }


def _concepts(
    rows: Sequence[Row], tests: dict[str, list[Row]], network: Network | None = None
) -> dict[str, Any]:
    """Learn concepts from the training pairs, as `gmm --fit` does; ask about others."""
    pairs = [row for row in rows if row.split == "train"]
    seen = look_at(pairs, network=network)
    concepts = learn(seen, [row.label for row in pairs], Wish(seed=SEED))
    return {
        name: _named(_asked(concepts, some, network), some)
        for name, some in tests.items()
    }


def _asked(
    concepts: Concepts, rows: Sequence[Row], network: Network | None
) -> Predictions:
    seen = look_at(rows, expected=concepts.expected, network=network)
    chances_NK = label_chances(concepts.mixture, concepts.numbers(seen))
    return _predictions(rows, concepts.labels, chances_NK)


def _baseline(cell: Cell, rows: Sequence[Row], test: Sequence[Row]) -> Predictions:
    """Learn from training and validation clips by fixed settings; ask about others."""
    known = [row for row in rows if row.split != "test"]
    classes = tuple(sorted({row.label for row in known}))
    labels_N = np.array([classes.index(row.label) for row in known])
    if cell.model == "majority":
        counts_K = np.bincount(labels_N, minlength=len(classes))
        chances_NK = np.tile(counts_K / counts_K.sum(), (len(test), 1))
        return _predictions(test, classes, chances_NK)
    model: Any = RandomForestClassifier(FOREST_TREES, random_state=SEED)
    if cell.model == "logistic":
        ridge = LogisticRegression(C=RIDGE, max_iter=2000)
        model = make_pipeline(StandardScaler(), ridge)
    model.fit(_values(known, cell.planes), labels_N)
    chances_NK = model.predict_proba(_values(test, cell.planes))
    return _predictions(test, classes, chances_NK)


def _values(rows: Sequence[Row], which: str) -> Floats:
    """Return mean and spread over time, as features.csv has them: [N, F]."""
    told = [_measured(row.path) for row in rows]
    names = [n for n in told[0] if which != MFCC or n.startswith("mfcc")]
    return np.array([[values[name] for name in names] for values in told])


@lru_cache(maxsize=5000)
def _measured(sample: Path) -> dict[str, float]:
    values: dict[str, float] = load_sample(sample).meta["features"]
    return values


def _predictions(
    rows: Sequence[Row], classes: tuple[str, ...], chances_NK: Floats
) -> Predictions:
    return Predictions(
        classes=classes,
        truth=np.array([classes.index(row.label) for row in rows]),
        probabilities=chances_NK,
        paths=tuple(str(row.path) for row in rows),
        groups=tuple(sources(rows)),
    )
