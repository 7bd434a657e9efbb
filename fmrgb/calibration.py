"""From probabilities and truths to how far a model's "90 % sure" can be believed.

Axes: N clips, K classes, M bins of confidence.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrgb.intervals import CONFIDENCE, share_interval

# Guo et al. take 15; test sets here are small, and two classes fill only half of them.
N_BINS = 10
N_DRAWS = 1000  # made-up test sets, to see what chance alone does

Floats = NDArray[np.float64]
Numbers = NDArray[np.integer]


def calibration(
    probabilities_NK: Floats, truth_N: Numbers, sources_N: Numbers, seed: int = 0
) -> dict[str, Any]:
    """Compare how sure a model was with how often it was right.

    Args:
        probabilities_NK: rows sum to 1.
        truth_N: class of each clip.
        sources_N: source of each clip, for the intervals.
        seed: of the made-up test sets.

    Returns:
        plain values: the mean `confidence`, i.e. probability of the class named; `ece`,
        the expected calibration error (Guo et al. 2017, arXiv:1706.04599, equation 3);
        `ece_by_chance`, which a model whose probabilities are true stays below in 95 %
        of test sets like this one (as Bröcker and Smith 2007, doi:10.1175/WAF993.1);
        `brier`, the squared distance from the truth summed over classes, 0 to 2 (Brier
        1950); `brier_of_shares`, that of always telling the labels' own shares; `bins`
        that hold clips.
    """
    confidence_N = probabilities_NK.max(axis=1)
    right_N = probabilities_NK.argmax(axis=1) == truth_N
    # Bins are open below and closed above, so that 1.0 lies in the last.
    bins_N = np.clip(np.ceil(confidence_N * N_BINS).astype(int) - 1, 0, N_BINS - 1)
    dice = np.random.default_rng(seed)
    by_chance = [
        _error(dice.random(len(truth_N)) < confidence_N, confidence_N, bins_N)
        for _ in range(N_DRAWS)
    ]
    truth_NK = np.eye(probabilities_NK.shape[1])[truth_N]
    shares_K = truth_NK.mean(axis=0)
    bins = []
    for m in np.unique(bins_N):
        held = bins_N == m
        bins.append(
            {
                "low": m / N_BINS,
                "high": (m + 1) / N_BINS,
                "clips": int(held.sum()),
                "confidence": float(confidence_N[held].mean()),
                "accuracy": float(right_N[held].mean()),
                "interval": list(share_interval(right_N[held], sources_N[held])),
            }
        )
    return {
        "confidence": float(confidence_N.mean()),
        "ece": _error(right_N, confidence_N, bins_N),
        "ece_by_chance": float(np.quantile(by_chance, CONFIDENCE)),
        "brier": float(np.square(probabilities_NK - truth_NK).sum(axis=1).mean()),
        "brier_of_shares": float(1 - np.square(shares_K).sum()),
        "bins": bins,
    }


def _error(
    right_N: NDArray[np.bool_], confidence_N: Floats, bins_N: NDArray[np.int64]
) -> float:
    """Return the mean over clips of their bin's gap of accuracy and confidence."""
    gaps_M = np.bincount(bins_N, right_N - confidence_N)
    return float(np.abs(gaps_M).sum() / len(right_N))
