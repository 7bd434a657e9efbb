"""From clips of any length to clips of one length.

Axes: T frames; whatever follows keeps its size and order.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fmrgb.errors import SampleError


def positions(n_frames: int, wanted: int) -> NDArray[np.float64]:
    """Say where on the old time line each new frame lies.

    `scipy.ndimage.zoom` of the frame numbers by wanted / current (linear): the first
    and the last frame are kept and the others lie evenly between them. Zooming the
    numbers instead of the pixels gives the same frames at a fraction of the work.

    Returns:
        float64 [wanted], from 0 to n_frames - 1.

    Raises:
        SampleError: if either number is below 1.
    """
    if n_frames < 1 or wanted < 1:
        raise SampleError(f"need one frame or more, got {n_frames = }, {wanted = }")
    numbers = np.arange(n_frames, dtype=np.float64)
    places: NDArray[np.float64] = ndimage.zoom(numbers, wanted / n_frames, order=1)
    return places


def align(
    levels: NDArray[np.uint8], wanted: int, *, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Stretch or squeeze an array in time until it has `wanted` frames.

    Each new frame is the mixture of its two neighbours by distance, which is what
    `scipy.ndimage.zoom(levels, (wanted / T, 1, ...), order=1)` computes.

    Args:
        levels: uint8 [T, ...].
        wanted: frames wanted.
        out: uint8 [wanted, ...] to write to; a new array if None.

    Returns:
        uint8 [wanted, ...]; the same array if it already fits.

    Raises:
        SampleError: if there are no frames.
    """
    if len(levels) == wanted:
        return levels
    places = positions(len(levels), wanted)
    aligned = np.empty((wanted, *levels.shape[1:]), np.uint8) if out is None else out
    flat: Any = levels.reshape(len(levels), -1)
    rows: Any = aligned.reshape(wanted, -1)
    for i, place in enumerate(places):
        before = min(int(place), len(levels) - 1)
        after = min(before + 1, len(levels) - 1)
        share = float(place) - before
        rows[i] = cv2.addWeighted(
            flat[before], 1 - share, flat[after], share, 0
        ).reshape(-1)
    return aligned


def align_times(times: NDArray[np.float64], wanted: int) -> NDArray[np.float64]:
    """Stretch or squeeze times [T] in s the way `align` does frames."""
    if len(times) == wanted:
        return times
    return np.interp(positions(len(times), wanted), np.arange(len(times)), times)
