"""From a sample to what a network sees of it.

Axes: C channels, T frames, H height, W width.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fmrgb.card import View
from fmrgb.errors import TrainingError
from fmrgb.names import FEATURES
from fmrgb.sample import Sample
from fmrgb.stack import spread


def choose_view(
    first: Sample,
    *,
    channels: str = "all",
    frames: int | None = None,
    size: tuple[int, int] | None = None,
) -> View:
    """Settle what a network sees, by the first sample and the user's wishes.

    Args:
        first: any sample of the set.
        channels: all, picture, sound, or names separated by commas.
        frames: frames drawn of each sample; None takes as many as the first has.
        size: (width, height) in pixels; None takes the first's.

    Raises:
        TrainingError: if the sample has no such plane.
    """
    have = first.channels
    parts = {
        "all": have,
        "sound": tuple(c for c in have if c in first.sound),
        "picture": tuple(c for c in have if c not in first.sound),
    }
    chosen = parts.get(channels) or tuple(c.strip() for c in channels.split(","))
    if strange := [c for c in chosen if c not in have]:
        raise TrainingError(
            f"--channels: the samples have no plane {', '.join(strange)!r}; they have "
            f"{', '.join(have)}"
        )
    if len(set(chosen)) < len(chosen):
        raise TrainingError(f"--channels names a plane twice: {channels}")
    n_frames, height, width, _ = first.shape
    if size is not None:
        width, height = size
    sound = tuple(c for c in chosen if c in first.sound)
    return View(chosen, frames or n_frames, height, width, sound)


def view_of(sample: Sample, view: View, name: str) -> NDArray[np.uint8]:
    """Read what a network sees of a sample: uint8 [C, T, H, W].

    Frames are drawn at even distances; a sample with fewer frames repeats some.

    Raises:
        TrainingError: if the sample lacks a plane.
    """
    if missing := [c for c in view.channels if c not in sample.channels]:
        raise TrainingError(
            f"{name} lacks the plane {', '.join(missing)}, it has "
            f"{', '.join(sample.channels)}; build all samples with the same options"
        )
    index = np.round(np.linspace(0, len(sample.visual) - 1, view.frames)).astype(int)
    clip_THWC = sample.read(index, view.channels)
    resized = clip_THWC.shape[1:3] != (view.height, view.width)
    if resized:
        smaller = view.height < clip_THWC.shape[1] or view.width < clip_THWC.shape[2]
        how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        side = (view.width, view.height)
        frames = [_resized(frame, side, how) for frame in clip_THWC]
        clip_THWC = np.stack(frames).astype(np.uint8, copy=False)
    if resized and FEATURES in view.channels and FEATURES in sample.sound:
        # Its numbers are read back: never two mixed, never spread a second time.
        plane = sample.sound[FEATURES][index]
        numbers = spread(plane, len(index), view.height, view.width, sharp=True)
        clip_THWC[..., view.channels.index(FEATURES)] = numbers
    return np.ascontiguousarray(clip_THWC.transpose(3, 0, 1, 2))


def _resized(frame: NDArray[Any], side: tuple[int, int], how: int) -> NDArray[Any]:
    """Resize [H, W, C] plane by plane: some of OpenCV's ways take four at most."""
    planes = [
        cv2.resize(np.ascontiguousarray(frame[..., c]), side, interpolation=how)
        for c in range(frame.shape[2])
    ]
    return np.stack(planes, axis=-1)


def size_on_screen(sample: Sample) -> tuple[int | None, int | None]:
    """Return the width and height of a sample's clip; None where it tells none."""
    match sample.meta.get("size"):
        case [int(width), int(height)]:
            return width, height
    return None, None
