"""What a score is worth: commonest class, sound track or none, simple features.

Each baseline learns from the clips that a network trains and stops on, and is tested on
the same ones. Axes: N clips, T frames, H height, W width, F features, M mel bands.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from accuracy_noise import cropped
from accuracy_plan import CROP, Cell
from numpy.typing import NDArray

from fmrgb.manifest import Row
from fmrgb.metrics import Predictions
from fmrgb.sample import Sample, load_sample
from fmrgb.stack import to_gray

Floats = NDArray[np.float64]

SHARES = (0.0, 0.1, 0.5, 0.9, 1.0)  # quantiles over time
GRID = 4  # the picture is cut into 4 x 4 parts
# Inverse strength of the logistic regressions' ridge.
C_FEATURES = {"fights": 0.1, "grid": 0.01}
C_SPEECH = 0.1
C_FACTS = 1.0
MOMENTS = 12  # of a clip, in the grid's sound features
BANDS = 16
MOUTH = (0.2, 0.5, 0.7, 0.95)  # left, top, right, bottom, as shares of the picture
MOUTH_SIZE = (8, 8)


def over_time(values_T: Floats) -> Floats:
    """Return mean, spread, quantiles and mean step of values over time: [8]."""
    steps = np.abs(np.diff(values_T)).mean() if len(values_T) > 1 else 0.0
    quantiles = np.quantile(values_T, SHARES)
    return np.array([values_T.mean(), values_T.std(), *quantiles, steps])


def motion(sample: Sample) -> Floats:
    """Describe how much the picture changes from frame to frame, and where: [F].

    Absolute differences of grey levels: over time of the whole picture and of its
    liveliest pixels, and the mean in each of 4 x 4 parts.
    """
    gray_THW = _gray(sample)
    change_THW = np.abs(np.diff(gray_THW, axis=0))
    if not len(change_THW):
        change_THW = np.zeros_like(gray_THW)
    flat = change_THW.reshape(len(change_THW), -1)
    parts = cv2.resize(
        change_THW.mean(axis=0), (GRID, GRID), interpolation=cv2.INTER_AREA
    )
    lively_T = np.quantile(flat, 0.99, axis=1)
    return np.concatenate(
        [over_time(flat.mean(axis=1)), over_time(lively_T), parts.reshape(-1)]
    )


def sound(sample: Sample) -> Floats:
    """Describe how loud and how high the clip sounds over time: [F]."""
    planes = [plane.reshape(len(plane), -1) for plane in sample.sound.values()]
    told = [over_time(plane.mean(axis=1, dtype=np.float64)) for plane in planes]
    return np.concatenate(told)


def speech(sample: Sample) -> Floats:
    """Draw the mel planes coarsely: [12 * 16]."""
    mel_TM = sample.sound["mel"].mean(axis=2, dtype=np.float64)
    coarse: Any = cv2.resize(mel_TM, (BANDS, MOMENTS), interpolation=cv2.INTER_AREA)
    drawn: Floats = coarse.reshape(-1)
    return drawn


def mouth(sample: Sample) -> Floats:
    """Draw where the mouth is, coarsely, frame by frame: [T * 8 * 8].

    Without the clip's mean picture, since one talker says everything.
    """
    part = (0.0, 0.0, 1.0, 1.0) if CROP else MOUTH
    rgb: Any = sample.visual
    small = to_gray(cropped(rgb, part, MOUTH_SIZE)).astype(np.float64)
    moved: Floats = small - small.mean(axis=0)
    return moved.reshape(-1)


FEATURES: dict[str, dict[str, tuple[Callable[[Sample], Floats], ...]]] = {
    "fights": {"motion": (motion,), "sound": (sound,), "motion+sound": (motion, sound)},
    "grid": {"sound": (speech,), "picture": (mouth,), "both": (speech, mouth)},
}


def predict(cell: Cell, rows: Sequence[Row]) -> Predictions:
    """Return what a baseline says of the test clips.

    Args:
        cell: model majority, sound_track or logistic; its planes choose the features.
        rows: samples with labels and splits; val counts as training.
    """
    classes = tuple(sorted({row.label for row in rows}))
    learned = [row for row in rows if row.split != "test"]
    tested = [row for row in rows if row.split == "test"]
    truth = {row.path: classes.index(row.label) for row in rows}
    if cell.model == "majority":
        counts = np.bincount([truth[r.path] for r in learned], minlength=len(classes))
        told_NK = np.tile(counts / counts.sum(), (len(tested), 1))
    else:
        features = {row.path: _features(cell, row) for row in rows}
        told_NK = _logistic(
            np.stack([features[row.path] for row in learned]),
            np.array([truth[row.path] for row in learned]),
            np.stack([features[row.path] for row in tested]),
            _strength(cell),
            len(classes),
        )
    return Predictions(
        classes=classes,
        truth=np.array([truth[row.path] for row in tested]),
        probabilities=told_NK,
        paths=tuple(str(row.path) for row in tested),
    )


def _strength(cell: Cell) -> float:
    if cell.model == "sound_track":
        return C_FACTS
    heard = (cell.data, cell.planes) == ("grid", "sound")
    return C_SPEECH if heard else C_FEATURES[cell.data]


def _features(cell: Cell, row: Row) -> Floats:
    if cell.model == "sound_track":
        facts = {"has_sound": row.has_sound, "silent": row.silent}
        return np.array([float(bool(facts[name])) for name in cell.planes.split("+")])
    makers = FEATURES[cell.data][cell.planes]
    return np.concatenate([_of_sample(maker, row.path) for maker in makers])


@lru_cache(maxsize=8192)
def _of_sample(maker: Callable[[Sample], Floats], path: Path) -> Floats:
    return maker(load_sample(path))


def _gray(sample: Sample) -> NDArray[np.float32]:
    """Return the picture in gray levels, float32 [T, H, W]."""
    visual: Any = sample.visual
    gray = visual if visual.shape[-1] == 1 else to_gray(visual)
    levels: NDArray[np.float32] = gray[..., 0].astype(np.float32)
    return levels


def _logistic(
    learned_NF: Floats,
    truth_N: NDArray[np.int64],
    tested_NF: Floats,
    strength: float,
    n_classes: int,
) -> Floats:
    """Return class shares [N, K] by logistic regression on standardised features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=strength, max_iter=2000)
    fitted = make_pipeline(StandardScaler(), regression).fit(learned_NF, truth_N)
    shares_NK = np.zeros((len(tested_NF), n_classes))
    # A class that no training clip has gets no share.
    shares_NK[:, fitted.classes_] = fitted.predict_proba(tested_NF)
    return shares_NK
