"""From samples with gaps to concepts, and how well they tell labels.

Axes: N samples, D numbers of all senses side by side, K concepts, L labels.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from fmrgb import __version__
from fmrgb.embed import (
    PictureEmbedding,
    TextEmbedding,
    learn_pictures,
    learn_texts,
)
from fmrgb.errors import TrainingError
from fmrgb.files import shown
from fmrgb.gmm import Fit, Floats, Kind, Mixture, Numbers, fit, label_chances
from fmrgb.gmm_data import KINDS, TEXT, Seen
from fmrgb.intervals import share_interval
from fmrgb.metrics import Predictions, score

PER_LABEL = (1, 2, 3)  # concepts of each label that are tried
N_STARTS = 5  # of k-means, of which the best begins
NOTHING = "nothing"  # the pattern of a sample without any sense

Embedding = PictureEmbedding | TextEmbedding


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What concepts are learned: see the options of gmm."""

    dims: int = 16
    concepts: int | None = None
    covariance: Kind = "full"
    regular: float = 0.3
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Concepts:
    """A concept model.

    Attributes:
        labels: the L names.
        embeddings: by kind, in the order of the numbers in a row.
        mixture: over the numbers of all kinds side by side.
        known_ND: the training clips' numbers, NaN where a sense is missing.
        names: by kind, what the training clips were made from.
        known_labels_N: their labels.
        texts: their words.
        channels: names of the planes of each kind that is drawn.
        card: plain values: version, wish, BIC, sum of the network's file.
    """

    labels: tuple[str, ...]
    embeddings: dict[str, Embedding]
    mixture: Mixture
    known_ND: Floats
    names: dict[str, tuple[str, ...]]
    known_labels_N: Numbers
    texts: tuple[str, ...]
    channels: dict[str, tuple[str, ...]]
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def places(self) -> dict[str, slice]:
        """Where the numbers of each kind lie in a row."""
        return _places(self.embeddings)

    @property
    def expected(self) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
        """Shape and channels of each kind that is drawn; see `gmm_data.look_at`."""
        return {
            kind: (one.shape, self.channels[kind])
            for kind, one in self.embeddings.items()
            if isinstance(one, PictureEmbedding)
        }

    def numbers(self, seen: Seen) -> Floats:
        """Embed samples: [N, D], NaN where a sense is missing."""
        return _numbers(self.embeddings, seen)


def _places(embeddings: dict[str, Embedding]) -> dict[str, slice]:
    sizes = [
        one.axes_GD.shape[1] if isinstance(one, TextEmbedding) else one.axes_FD.shape[1]
        for one in embeddings.values()
    ]
    ends = np.cumsum([0, *sizes]).tolist()
    spans = [slice(first, last) for first, last in pairwise(ends)]
    return dict(zip(embeddings, spans, strict=True))


def _numbers(embeddings: dict[str, Embedding], seen: Seen) -> Floats:
    places = _places(embeddings)
    rows_ND = np.full((len(seen.texts), max(s.stop for s in places.values())), np.nan)
    for kind, one in embeddings.items():
        has = np.flatnonzero(seen.there.get(kind, np.zeros(len(rows_ND), bool)))
        if not len(has):
            continue
        if isinstance(one, TextEmbedding):
            rows_ND[has, places[kind]] = one.embed([seen.texts[n] for n in has])
        else:
            flat = seen.levels[kind].reshape(len(rows_ND), -1)
            rows_ND[has, places[kind]] = one.embed(seen.features.get(kind, flat)[has])
    return rows_ND


def learn(seen: Seen, labels: Sequence[str], wish: Wish) -> Concepts:
    """Learn concepts from training samples.

    Args:
        seen: what there is of each.
        labels: of each.
        wish: how.

    Raises:
        TrainingError: if there are fewer than two labels, or nothing to learn from.
    """
    words = tuple(sorted(set(labels)))
    if len(words) < 2:
        raise TrainingError(f"expected two labels or more, all clips have {words[0]!r}")
    embeddings = _embeddings(seen, wish)
    rows_ND = _numbers(embeddings, seen)
    held = ~np.isnan(rows_ND).all(axis=1)
    numbers_N = np.array([words.index(label) for label in labels])
    best, tried = _best(rows_ND[held], numbers_N[held], len(words), wish)
    return Concepts(
        labels=words,
        embeddings=embeddings,
        mixture=best.mixture,
        known_ND=rows_ND,
        names={kind: tuple(seen.names[kind]) for kind in embeddings},
        known_labels_N=numbers_N,
        texts=tuple(seen.texts),
        channels=seen.channels,
        card={
            "version": __version__,
            **asdict(wish),
            "tried": tried,
            "steps": len(best.likelihoods),
            "log_likelihood": best.likelihoods[-1],
        },
    )


def _embeddings(seen: Seen, wish: Wish) -> dict[str, Embedding]:
    """Learn to embed each sense that two samples or more have."""
    embeddings: dict[str, Embedding] = {}
    for kind in KINDS:
        has = seen.there[kind]
        if has.sum() < 2:
            continue
        if kind == TEXT:
            texts = [text for text in seen.texts if text]
            embeddings[kind] = learn_texts(texts, wish.dims, seed=wish.seed)
        else:
            features = seen.features[kind][has] if kind in seen.features else None
            embeddings[kind] = learn_pictures(
                seen.levels[kind][has],
                wish.dims,
                features_NF=features,
                seed=wish.seed,
            )
    if not embeddings:
        raise TrainingError("no two clips have a picture, a sound or words")
    return embeddings


def _best(
    rows_ND: Floats, labels_N: Numbers, n_labels: int, wish: Wish
) -> tuple[Fit, dict[str, float]]:
    """Fit as many concepts as wished, or as the BIC prefers; tell the BIC of each."""
    per_label = [n_labels * each for each in PER_LABEL]
    wanted = [wish.concepts] if wish.concepts else per_label
    wanted = [n for n in wanted if n <= len(rows_ND)] or [min(len(rows_ND), n_labels)]
    fits = {
        n: fit(
            rows_ND,
            labels_N,
            start(rows_ND, labels_N, n, seed=wish.seed),
            n_labels=n_labels,
            kind=wish.covariance,
            regular=wish.regular,
        )
        for n in wanted
    }
    best = min(fits.values(), key=lambda found: found.bic)
    return best, {str(n): found.bic for n, found in fits.items()}


def start(rows_ND: Floats, labels_N: Numbers, n_concepts: int, *, seed: int) -> Floats:
    """Begin with clusters within each label, by k-means; of all rows, if few: [N, K].

    Gaps count as the mean, 0.
    """
    from sklearn.cluster import KMeans

    filled_ND = np.nan_to_num(rows_ND)
    n_labels = int(labels_N.max()) + 1
    alone = n_concepts < n_labels
    groups_N = np.zeros_like(labels_N) if alone else labels_N
    n_groups = 1 if alone else n_labels
    share_NK = np.zeros((len(rows_ND), n_concepts))
    first = 0
    for group in range(n_groups):
        own = np.flatnonzero(groups_N == group)
        wanted = n_concepts // n_groups + (group < n_concepts % n_groups)
        n_clusters = min(wanted, len(np.unique(filled_ND[own], axis=0)))
        if n_clusters:
            clusters = KMeans(n_clusters, n_init=N_STARTS, random_state=seed)
            share_NK[own, first + clusters.fit_predict(filled_ND[own])] = 1
        first += wanted
    return share_NK


def judge(
    concepts: Concepts,
    seen: Seen,
    labels: Sequence[str],
    paths: Sequence[str],
    groups: Sequence[str],
) -> dict[str, Any]:
    """Return the scores (`metrics.score`) of samples, and `patterns` of senses.

    Each pattern, like "picture+text", has clips, sources, right, accuracy, interval.

    Raises:
        TrainingError: if a label is not among the model's.
    """
    if strange := sorted(set(labels) - set(concepts.labels)):
        raise TrainingError(f"the model does not know the label {shown(strange[0])}")
    rows_ND = concepts.numbers(seen)
    told = Predictions(
        classes=concepts.labels,
        truth=np.array([concepts.labels.index(label) for label in labels]),
        probabilities=label_chances(concepts.mixture, rows_ND),
        paths=tuple(paths),
        groups=tuple(groups),
    )
    patterns = np.array(patterns_of(concepts, rows_ND))
    found = {}
    for pattern in sorted(set(patterns.tolist())):
        own = patterns == pattern
        right, sources = told.right[own], told.sources[own]
        found[pattern] = {
            "clips": int(own.sum()),
            "sources": len(np.unique(sources)),
            "right": int(right.sum()),
            "accuracy": float(right.mean()),
            "interval": list(share_interval(right, sources)),
        }
    return {**score(told), "patterns": found}


def patterns_of(concepts: Concepts, rows_ND: Floats) -> list[str]:
    """Say of each row which senses it has, like "picture+text"."""
    places = concepts.places
    return [
        "+".join(k for k, span in places.items() if not np.isnan(row[span]).any())
        or NOTHING
        for row in rows_ND
    ]
