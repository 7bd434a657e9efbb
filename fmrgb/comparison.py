"""From what two models said of the same clips to which of them is right more often.

Axes: N clips.
"""

from typing import Any

import numpy as np
from scipy import stats

from fmrgb.intervals import bootstrap_interval, mean_interval
from fmrgb.metrics import Predictions


def compare(first: Predictions, second: Predictions) -> dict[str, Any]:
    """Compare two models clip by clip, in plain values ready for JSON.

    Args:
        first: of model A.
        second: of model B, on the same clips in the same order; its classes may stand
            in another order, or be more.

    Returns:
        `clips` and `sources`; `both`, `only_a`, `only_b` and `neither`: how many clips
        who got right; `accuracy_a`, `accuracy_b` and their `difference`, A - B, with
        two 95 % intervals: `bootstrap` (paired, whole sources drawn) and `interval`
        (`intervals.mean_interval`, sound for few clips too); `mcnemar`: p of McNemar's
        exact test, which takes every clip for a source of its own.
    """
    assert first.paths == second.paths
    a, b = first.right, second.right
    differences_N = a.astype(np.float64) - b
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return {
        "clips": len(a),
        "sources": len(np.unique(first.sources)),
        "both": int((a & b).sum()),
        "only_a": only_a,
        "only_b": only_b,
        "neither": int((~a & ~b).sum()),
        "accuracy_a": float(a.mean()),
        "accuracy_b": float(b.mean()),
        "difference": float(differences_N.mean()),
        "bootstrap": list(bootstrap_interval(differences_N, first.sources)),
        "interval": list(mean_interval(differences_N, first.sources)),
        "mcnemar": mcnemar(only_a, only_b),
    }


def mcnemar(only_a: int, only_b: int) -> float:
    """Return how often chance alone splits the clips of one so unevenly, both ways.

    McNemar 1947 (doi:10.1007/BF02295996), exact: of the clips that only one of two
    models gets right, a coin decides which. 1 if there are none.

    Args:
        only_a: clips that only model A got right.
        only_b: clips that only model B got right.
    """
    if not only_a + only_b:
        return 1.0
    return float(stats.binomtest(only_a, only_a + only_b).pvalue)
