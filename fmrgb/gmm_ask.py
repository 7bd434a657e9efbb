"""From one sample, or words, to its concepts, its label, and what its gaps would be.

Axes: N training clips, D numbers of all senses side by side, H height, W width.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrgb.embed import PictureEmbedding
from fmrgb.errors import InputError
from fmrgb.gmm import Floats, filled, label_chances, responsibilities
from fmrgb.gmm_data import TEXT, Seen
from fmrgb.gmm_model import Concepts

TOLD = 5  # concepts and labels are named


@dataclass(frozen=True)
class Answer:
    """What a model says of one sample.

    Attributes:
        there: the kinds that the sample has.
        concepts: the likeliest concepts, by number, with their chances.
        labels: the likeliest labels with their chances.
        nearest: by kind, the training clips nearest to what is there, or, of those of
            the likeliest concept, to what would be there: name, label, words, distance
            in standard deviations.
        drawn: by kind, what is there or would be there: uint8 [H, W, C].
    """

    there: tuple[str, ...]
    concepts: list[tuple[int, float]]
    labels: list[tuple[str, float]]
    nearest: dict[str, list[dict[str, Any]]]
    drawn: dict[str, NDArray[np.uint8]]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "there": list(self.there),
            "concepts": [{"concept": k, "chance": c} for k, c in self.concepts],
            "labels": [{"label": name, "chance": c} for name, c in self.labels],
            "nearest": self.nearest,
        }


def words_alone(concepts: Concepts, text: str) -> Seen:
    """Return words as a sample without picture and sound."""
    levels = {
        kind: np.zeros((1, *shape), np.uint8)
        for kind, (shape, _) in concepts.expected.items()
    }
    there = {kind: np.zeros(1, bool) for kind in levels}
    return Seen(levels, concepts.channels, [text], {**there, TEXT: np.ones(1, bool)})


def ask(concepts: Concepts, seen: Seen, *, n_nearest: int = 3) -> Answer:
    """Ask about one sample.

    Raises:
        InputError: if it has nothing that the model knows of.
    """
    row_1D = concepts.numbers(seen)
    places = concepts.places
    there = tuple(
        k for k, span in places.items() if not np.isnan(row_1D[0, span]).any()
    )
    if not there:
        raise InputError(
            f"the sample has none of what the model knows: {', '.join(places)}"
        )
    share_K = responsibilities(concepts.mixture, row_1D)[0]
    chance_L = label_chances(concepts.mixture, row_1D)[0]
    whole_D = filled(concepts.mixture, row_1D)[0]
    # A mean lies near the mean of all, and so do some clips of every other concept.
    same_N = _concepts_of(concepts) == share_K.argmax()
    drawn = {}
    for kind, one in concepts.embeddings.items():
        if isinstance(one, PictureEmbedding):
            is_there = kind in there
            imagined = one.draw(whole_D[None, places[kind]])[0]
            drawn[kind] = seen.levels[kind][0] if is_there else imagined
    return Answer(
        there=there,
        concepts=[(int(k), float(share_K[k])) for k in _greatest(share_K)],
        labels=[(concepts.labels[n], float(chance_L[n])) for n in _greatest(chance_L)],
        nearest={
            kind: _nearest(
                concepts, kind, whole_D, n_nearest, None if kind in there else same_N
            )
            for kind in places
        },
        drawn=drawn,
    )


def _greatest(chances: Floats) -> list[int]:
    return [int(n) for n in np.argsort(-chances, kind="stable")[:TOLD]]


def _concepts_of(concepts: Concepts) -> NDArray[np.int64]:
    """Return the likeliest concept of each training clip, its label known."""
    labels_N = concepts.known_labels_N
    share_NK = responsibilities(concepts.mixture, concepts.known_ND, labels_N)
    likeliest_N: NDArray[np.int64] = share_NK.argmax(axis=1)
    return likeliest_N


def _nearest(
    concepts: Concepts,
    kind: str,
    whole_D: Floats,
    n_nearest: int,
    among_N: NDArray[np.bool_] | None,
) -> list[dict[str, Any]]:
    """Return the training clips nearest in one kind; the same one only once."""
    span = concepts.places[kind]
    known_ND = concepts.known_ND[:, span]
    apart_N = np.linalg.norm(
        known_ND - whole_D[span], axis=1
    )  # NaN where it is missing
    if among_N is not None:
        apart_N[~among_N] = np.nan
    found: list[dict[str, Any]] = []
    met: list[Floats] = []
    for number in np.argsort(apart_N, kind="stable"):
        is_met = any(np.allclose(known_ND[number], one) for one in met)
        if np.isnan(apart_N[number]) or len(found) == n_nearest:
            break
        if is_met:  # one picture may be in many pairs
            continue
        met.append(known_ND[number])
        label = concepts.labels[concepts.known_labels_N[number]]
        told = {"name": concepts.names[kind][number], "label": label}
        words = {"text": concepts.texts[number]} if kind == TEXT else {}
        found.append({**told, **words, "distance": float(apart_N[number])})
    return found


def means(concepts: Concepts) -> dict[str, NDArray[np.uint8]]:
    """Draw what every concept looks and sounds like: uint8 [K, H, W, C] by kind."""
    return {
        kind: one.draw(concepts.mixture.means_KD[:, concepts.places[kind]])
        for kind, one in concepts.embeddings.items()
        if isinstance(one, PictureEmbedding)
    }
