"""From what is said of each window of a recording to what they say together.

Axes: N windows, R recordings, K classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrgb.intervals import share_interval


def vote(
    tracks: Sequence[str],
    truth_N: NDArray[np.int64],
    probabilities_NK: NDArray[np.float64],
    sources_N: NDArray[np.int64],
) -> dict[str, Any] | None:
    """Judge whole recordings by the mean of their windows' probabilities.

    The mean, as `events.Recording.probabilities` has it: this "sum rule" stands errors
    of single windows better than the product of probabilities, which is the mean of
    their logarithms (Kittler et al. 1998, "On combining classifiers",
    doi:10.1109/34.667881, section 4). A clip without a track is a recording of one
    window. Recordings whose windows have several labels cannot be judged as a whole:
    they are counted and left out.

    Args:
        tracks: the recording that each window was cut from, "" for a whole clip.
        truth_N: int [N], number of each window's class.
        probabilities_NK: float [N, K], rows sum to 1.
        sources_N: int [N], number of each window's source.

    Returns:
        plain values: `tracks` (recordings judged, R), `windows` (of these), `mixed`
        (left out), `sources`, `right`, `accuracy`, `majority` (share of the commonest
        label), and `interval`, 95 %, over the recordings or, where several come from
        one source, over the sources (`intervals.share_interval`). None if no window has
        a track, or no recording can be judged.
    """
    if not any(tracks):
        return None
    # A whole clip gets its number, which no track has.
    names = [(track, -1) if track else ("", n) for n, track in enumerate(tracks)]
    places: dict[tuple[str, int], int] = {}
    of_N = np.array([places.setdefault(name, len(places)) for name in names])
    first_R = np.unique(of_N, return_index=True)[1]
    strays_N = truth_N != truth_N[first_R][of_N]
    whole_R = np.bincount(of_N, strays_N, minlength=len(places)) == 0
    if not whole_R.any():
        return None
    sums_RK = np.zeros((len(places), probabilities_NK.shape[1]))
    np.add.at(sums_RK, of_N, probabilities_NK)
    truth_R = truth_N[first_R][whole_R]
    right_R = sums_RK.argmax(axis=1)[whole_R] == truth_R
    sources_R = sources_N[first_R][whole_R]
    return {
        "tracks": int(whole_R.sum()),
        "windows": int(whole_R[of_N].sum()),
        "mixed": int((~whole_R).sum()),
        "sources": len(np.unique(sources_R)),
        "right": int(right_R.sum()),
        "accuracy": float(right_R.mean()),
        "interval": list(share_interval(right_R, sources_R)),
        "majority": float(np.bincount(truth_R).max() / len(truth_R)),
    }
