"""From predictions to numbers with intervals.

Axes: N clips, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as sk

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Predictions:
    """What a model said of N clips.

    Attributes:
        classes: the K class names, in the order of the probabilities.
        truth: [N] number of each clip's class.
        probabilities: [N, K], rows sum to 1.
        paths: the N samples.
    """

    classes: tuple[str, ...]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    paths: tuple[str, ...]

    @property
    def guesses(self) -> NDArray[np.int64]:
        """Number of the likeliest class of each clip, [N]."""
        guesses: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return guesses


def pool(parts: Sequence[Predictions]) -> Predictions:
    """Put predictions on different clips together, as those of several folds."""
    return Predictions(
        classes=parts[0].classes,
        truth=np.concatenate([part.truth for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        paths=tuple(path for part in parts for path in part.paths),
    )


def interval(right: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927, no continuity correction)."""
    if not total:
        return 0.0, 1.0
    outcome: Any = stats.binomtest(right, total).proportion_ci(CONFIDENCE, "wilson")
    return float(outcome.low), float(outcome.high)


def score(predictions: Predictions) -> dict[str, Any]:
    """Return accuracy and its interval, loss, F1, AUC, confusion, each class's own.

    Plain values, ready for JSON. AUC is None where only one class occurs.
    """
    truth, guesses = predictions.truth, predictions.guesses
    numbers = list(range(len(predictions.classes)))
    right = int((truth == guesses).sum())
    precision, recall, f1, count = sk.precision_recall_fscore_support(
        truth, guesses, labels=numbers, zero_division=0
    )
    confusion = sk.confusion_matrix(truth, guesses, labels=numbers)
    _, counts = np.unique(truth, return_counts=True)
    return {
        "clips": len(truth),
        "right": right,
        "accuracy": right / len(truth),
        "interval": list(interval(right, len(truth))),
        "majority": float(counts.max() / len(truth)),
        "loss": float(sk.log_loss(truth, predictions.probabilities, labels=numbers)),
        "macro_f1": float(np.mean(f1)),
        "auc": _auc(predictions),
        "confusion": confusion.tolist(),
        "classes": {
            name: {
                "precision": float(precision[k]),
                "recall": float(recall[k]),
                "f1": float(f1[k]),
                "clips": int(count[k]),
            }
            for k, name in enumerate(predictions.classes)
        },
    }


def _auc(predictions: Predictions) -> float | None:
    """Return the area under the ROC curve; the mean of one-versus-rest beyond two."""
    truth, probabilities = predictions.truth, predictions.probabilities
    areas = [
        sk.roc_auc_score(truth == k, probabilities[:, k])
        for k in range(len(predictions.classes))
        if 0 < (truth == k).sum() < len(truth)
    ]
    return float(np.mean(areas)) if areas else None
