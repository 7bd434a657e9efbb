"""From predictions to numbers with intervals.

Axes: N clips, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from fmrgb.calibration import calibration
from fmrgb.intervals import (
    auc_interval,
    chance_of,
    effective_size,
    f1_interval,
    mean_interval,
    share_interval,
)
from fmrgb.votes import vote

SOUNDS = ("audible", "silent", "none")  # what a clip's sound track may be
# What the network was shown of a clip, by its kind in `fmrgb.trust`.
SENSES = ("neither", "picture", "sound", "both")
SPREAD = ("accuracy", "macro_f1", "auc", "loss")  # told over folds


@dataclass(frozen=True)
class Predictions:
    """What a model said of N clips.

    Attributes:
        classes: the K class names, in the order of the probabilities.
        truth: [N] number of each clip's class.
        probabilities: [N, K], rows sum to 1.
        paths: the N samples.
        groups: the source of each clip; empty if each clip has its own.
        sounds: one of SOUNDS for each clip; empty if not known.
        without: by what was taken from other clips (see `fmrgb.worth`), [N] share of
            the tries in which the model was still right.
        heard: those names of `without` that are sound.
        senses: one of SENSES for each clip; empty if not known.
        tracks: the recording that each clip is a window of, "" for a whole one; empty
            if all are whole.
    """

    classes: tuple[str, ...]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    paths: tuple[str, ...]
    groups: tuple[str, ...] = ()
    sounds: tuple[str, ...] = ()
    without: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    heard: tuple[str, ...] = ()
    senses: tuple[str, ...] = ()
    tracks: tuple[str, ...] = ()

    @property
    def guesses(self) -> NDArray[np.int64]:
        """Number of the likeliest class of each clip, [N]."""
        guesses: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return guesses

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each guess is the label, [N]."""
        right: NDArray[np.bool_] = self.guesses == self.truth
        return right

    @property
    def sources(self) -> NDArray[np.int64]:
        """Number of each clip's source, [N]."""
        if not self.groups:
            return np.arange(len(self.truth))
        numbers: NDArray[np.int64]
        _, numbers = np.unique(np.array(self.groups), return_inverse=True)
        return numbers


def pool(parts: Sequence[Predictions]) -> Predictions:
    """Put predictions on different clips together, as those of several folds.

    No source may have clips in two parts.
    """
    groups = [
        f"{number} {group}"
        for number, part in enumerate(parts)
        for group in part.groups
    ]
    return Predictions(
        classes=parts[0].classes,
        truth=np.concatenate([part.truth for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        paths=tuple(path for part in parts for path in part.paths),
        groups=tuple(groups),
        sounds=tuple(sound for part in parts for sound in part.sounds),
        without={
            name: np.concatenate([part.without[name] for part in parts])
            for name in parts[0].without
        },
        heard=parts[0].heard,
        senses=tuple(sense for part in parts for sense in part.senses),
        tracks=_pooled_tracks(parts),
    )


def _pooled_tracks(parts: Sequence[Predictions]) -> tuple[str, ...]:
    """Return the recording of every clip, or none if all clips are whole."""
    each = [part.tracks or ("",) * len(part.truth) for part in parts]
    tracks = tuple(track for part in each for track in part)
    return tracks if any(tracks) else ()


def score(predictions: Predictions) -> dict[str, Any]:
    """Return all that is told of predictions, in plain values ready for JSON.

    Accuracy, macro F1 and AUC with their intervals (`fmrgb.intervals`), loss,
    confusion, each class's own numbers, `calibration`; `planes`, `sounds`, `senses` and
    `tracks` (`fmrgb.votes`) where the predictions know of them. AUC is None where only
    one class occurs.
    """
    truth, guesses, right = predictions.truth, predictions.guesses, predictions.right
    numbers = list(range(len(predictions.classes)))
    sources = predictions.sources
    weight = effective_size(right, sources) / len(truth)
    confusion = sk.confusion_matrix(truth, guesses, labels=numbers)
    classes = _classes(predictions, weight)
    areas = [c for c in classes.values() if c["auc"] is not None]
    scores = {
        "clips": len(truth),
        "sources": len(np.unique(sources)),
        "right": int(right.sum()),
        "accuracy": float(right.mean()),
        "interval": list(share_interval(right, sources)),
        "majority": float(np.bincount(truth).max() / len(truth)),
        "loss": float(sk.log_loss(truth, predictions.probabilities, labels=numbers)),
        "macro_f1": float(np.mean([c["f1"] for c in classes.values()])),
        "macro_f1_interval": list(f1_interval(confusion, weight)),
        "auc": float(np.mean([c["auc"] for c in areas])) if areas else None,
        # The classes' errors go together, so that their mean is no surer than they are.
        "auc_interval": np.mean([c["auc_interval"] for c in areas], axis=0).tolist()
        if areas
        else None,
        "confusion": confusion.tolist(),
        "classes": classes,
        "calibration": calibration(predictions.probabilities, truth, sources),
    }
    if predictions.without:
        scores["planes"] = _planes(predictions)
    if predictions.sounds:
        scores["sounds"] = _by_kind(predictions, predictions.sounds, SOUNDS, weight)
    if predictions.senses:
        scores["senses"] = _by_kind(predictions, predictions.senses, SENSES, weight)
    told = (truth, predictions.probabilities, sources)
    if (votes := vote(predictions.tracks, *told)) is not None:
        scores["tracks"] = votes
    return scores


def spread(scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard deviation over folds, of the scores that all have."""
    told = {name: [s[name] for s in scores] for name in SPREAD}
    return {
        name: {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1))}
        for name, values in told.items()
        if None not in values
    }


def _classes(predictions: Predictions, weight: float) -> dict[str, dict[str, Any]]:
    """Return each class's precision, recall, F1, clips, and area against the rest."""
    truth, probabilities = predictions.truth, predictions.probabilities
    told = sk.precision_recall_fscore_support(
        truth,
        predictions.guesses,
        labels=list(range(len(predictions.classes))),
        zero_division=0,
    )
    classes: dict[str, dict[str, Any]] = {}
    for k, name in enumerate(predictions.classes):
        precision, recall, f1, count = (float(column[k]) for column in told)
        classes[name] = {"precision": precision, "recall": recall, "f1": f1}
        classes[name] |= {"clips": int(count), "auc": None, "auc_interval": None}
        own = truth == k
        likely = share_interval(predictions.right[own], predictions.sources[own])
        classes[name]["recall_interval"] = list(likely)
        if rest := len(truth) - count if count else 0:
            area = float(sk.roc_auc_score(own, probabilities[:, k]))
            likely = auc_interval(area, count * weight, rest * weight)
            classes[name] |= {"auc": area, "auc_interval": list(likely)}
    return classes


def _planes(predictions: Predictions) -> dict[str, dict[str, Any]]:
    """Return accuracy without each plane's truth, and the drop with its interval."""
    told = {}
    for name, still_right in predictions.without.items():
        drops = predictions.right - still_right
        told[name] = {
            "accuracy": float(still_right.mean()),
            "drop": float(drops.mean()),
            "interval": list(mean_interval(drops, predictions.sources)),
            "sound": name in predictions.heard,
        }
    return told


def _by_kind(
    predictions: Predictions, kinds: Sequence[str], known: Sequence[str], weight: float
) -> dict[str, Any]:
    """Return accuracy and labels by kind of clip, and what the kind tells.

    `p_label` and `p_right`: how often chance alone ties the kind so closely to the
    label, or to being right; `by_kind`: accuracy of naming each kind's commonest label.
    Only the second takes the sources into account: a tie to the label is there to be
    used, whatever it comes from, and warns rather too often.
    """
    kinds_N = np.array([known.index(kind) for kind in kinds])
    labels = np.zeros((len(known), len(predictions.classes)), int)
    np.add.at(labels, (kinds_N, predictions.truth), 1)
    rights = np.zeros((len(known), 2), int)
    np.add.at(rights, (kinds_N, predictions.right.astype(int)), 1)
    told = {}
    for number, kind in enumerate(known):
        if (held := kinds_N == number).any():
            right = predictions.right[held]
            counts = map(int, labels[number])
            told[kind] = {
                "clips": int(held.sum()),
                "sources": len(np.unique(predictions.sources[held])),
                "right": int(right.sum()),
                "accuracy": float(right.mean()),
                "interval": list(share_interval(right, predictions.sources[held])),
                "labels": dict(zip(predictions.classes, counts, strict=True)),
            }
    return {
        "kinds": told,
        "by_kind": float(labels.max(axis=1).sum() / len(kinds_N)),
        "p_label": chance_of(labels),
        "p_right": chance_of(rights, weight),
    }
