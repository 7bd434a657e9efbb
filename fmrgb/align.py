"""From clips of any length to clips of one length.

Axes: T frames; whatever follows keeps its size and order.
"""

from collections.abc import Iterator
from functools import lru_cache
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
    # Rounding puts the last place a hair behind the end now and then (30 frames to 8),
    # where zoom's own mode has nothing but zeros: the first frame.
    places: NDArray[np.float64] = ndimage.zoom(
        numbers, wanted / n_frames, order=1, mode="nearest"
    )
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
    mixtures = _mixtures(len(levels), wanted)
    aligned = np.empty((wanted, *levels.shape[1:]), np.uint8) if out is None else out
    for i, (before, after, share) in enumerate(mixtures):
        aligned[i] = _mix(levels[before], levels[after], share)
    return aligned


class Aligner:
    """Aligns frames as they come, one after the other; holds two of them at a time.

    What it yields are the rows of `align`, in their order.
    """

    def __init__(self, n_frames: int, wanted: int) -> None:
        """Get ready for `n_frames` frames, of which `wanted` are to be made.

        Raises:
            SampleError: if either number is below 1.
        """
        self.n_frames = n_frames
        self._mixtures = _mixtures(n_frames, wanted)
        self._needed = {n for m in self._mixtures for n in m[: 2 if m[2] else 1]}
        self._next = 0
        self._last: NDArray[np.uint8] = np.empty(0, np.uint8)

    def needs(self, number: int) -> bool:
        """Tell whether anything is made of frame `number`, 0 the first."""
        return number in self._needed

    def add(self, number: int, frame: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        """Take the next frame that is needed; yield those that it completes.

        Args:
            number: of the frame, 0 the first; must be needed.
            frame: uint8 [...], not written to afterwards.
        """
        while self._next < len(self._mixtures):
            before, after, share = self._mixtures[self._next]
            if number < (after if share else before):
                break
            # Of two neighbours the one before is this frame or the last one added.
            first = frame if before == number else self._last
            yield _mix(first, frame, share)
            self._next += 1
        self._last = frame


@lru_cache(maxsize=1)  # pictures and sound planes of one clip ask for the same
def _mixtures(n_frames: int, wanted: int) -> list[tuple[int, int, float]]:
    """Say of which two frames each new one is made, and the share of the second."""
    if n_frames == wanted:
        return [(n, n, 0.0) for n in range(n_frames)]
    mixtures = []
    for place in positions(n_frames, wanted):
        before = min(int(place), n_frames - 1)
        after = min(before + 1, n_frames - 1)
        mixtures.append((before, after, float(place) - before))
    return mixtures


def _mix(
    before: NDArray[np.uint8], after: NDArray[np.uint8], share: float
) -> NDArray[np.uint8]:
    if not share:
        return before
    first, second = before.reshape(-1), after.reshape(-1)
    mixed: Any = cv2.addWeighted(first, 1 - share, second, share, 0)
    return mixed.reshape(before.shape)  # type: ignore[no-any-return]


def align_times(times: NDArray[np.float64], wanted: int) -> NDArray[np.float64]:
    """Stretch or squeeze times [T] in s the way `align` does frames."""
    if len(times) == wanted:
        return times
    return np.interp(positions(len(times), wanted), np.arange(len(times)), times)
