"""From labels and sources of clips to parts of about as many; sources stay whole.

Axes: N clips, K labels, S sources.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

# scikit-learn weighs source by source, 0.3 ms each, with a float per source and label.
MOST_SOURCES = 10_000  # are dealt one by one; of more, some go together

Numbers = NDArray[np.int64]


def numbered(words: Sequence[str]) -> Numbers:
    """Number words in their order, equal ones alike, from 0: [N]."""
    places = {word: place for place, word in enumerate(sorted(set(words)))}
    return np.fromiter((places[word] for word in words), np.int64, len(words))


def sources_per_label(labels_N: Numbers, sources_N: Numbers) -> Numbers:
    """Count the sources that hold clips of each label: [K]."""
    n_sources = sources_N.max() + 1
    pairs = np.unique(labels_N * n_sources + sources_N)
    return np.bincount(pairs // n_sources)


def deal(
    labels_N: Numbers, sources_N: Numbers, n_parts: int, *, seed: int
) -> Iterable[Numbers]:
    """Deal clips into parts in which every label has its share; sources stay whole.

    Args:
        labels_N: [N] label of each clip, from 0.
        sources_N: [N] what must not be split, from 0.
        n_parts: how many parts.
        seed: decides between deals that are as good.

    Returns:
        the numbers of the clips of each part, in order.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    cut = StratifiedGroupKFold(n_parts, shuffle=True, random_state=seed)
    together_N = _bundled(labels_N, sources_N, seed)
    return (part for _, part in cut.split(labels_N, labels_N, together_N))


def _bundled(labels_N: Numbers, sources_N: Numbers, seed: int) -> Numbers:
    """Put sources together until there are no more than MOST_SOURCES bundles.

    Sources of a label go round all bundles, so that each holds about as much of every
    label, and those of a rare label do not meet in one.
    """
    n_sources = sources_N.max() + 1
    if n_sources <= MOST_SOURCES:
        return sources_N
    rarity_K = np.argsort(np.argsort(sources_per_label(labels_N, sources_N)))
    rarest_S = np.full(n_sources, len(rarity_K))
    np.minimum.at(rarest_S, sources_N, rarity_K[labels_N])
    mixed_S = np.random.default_rng(seed).permutation(n_sources)
    order_S = mixed_S[np.argsort(rarest_S[mixed_S], kind="stable")]
    bundles_S = np.empty(n_sources, np.int64)
    bundles_S[order_S] = np.arange(n_sources) % MOST_SOURCES
    return bundles_S[sources_N]
