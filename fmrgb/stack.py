"""From picture planes and sound planes to one array [T, H, W, C].

Axes: T frames, H height, W width, C channels; h and w the sides of a mel picture.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fmrgb.errors import SampleError
from fmrgb.names import FEATURES

Plane = NDArray[np.uint8]

# Planes of the picture -> names; a sample of sound alone has none.
PICTURE_PLANES: dict[int, tuple[str, ...]] = {0: (), 1: ("gray",), 3: ("R", "G", "B")}


def stack(
    visual_THWV: Plane, sound: Mapping[str, Plane], channels: Sequence[str]
) -> Plane:
    """Stack sound planes on picture planes.

    Args:
        visual_THWV: uint8 [T, H, W, 3] (R, G, B), [T, H, W, 1] (gray) or [T, H, W, 0]
            (no picture).
        sound: uint8 planes by name; [T] fills the whole picture with one value, and
            [T, h, w] is stretched over it: `features` by its nearest value, so that
            each is found again in the middle of its own box, all others linearly.
        channels: names of the planes wanted, in the order of C.

    Returns:
        uint8 [T, H, W, C].

    Raises:
        SampleError: if a plane is missing or its T differs from the picture's.
    """
    n_frames, height, width, n_visual = visual_THWV.shape
    names = PICTURE_PLANES[n_visual]
    stacked = np.empty((n_frames, height, width, len(channels)), np.uint8)
    if tuple(channels[:n_visual]) == names:  # one copy is quicker than one per plane
        stacked[..., :n_visual] = visual_THWV
        done = n_visual
    else:
        done = 0
    for c, name in enumerate(channels[done:], start=done):
        if name in names:
            stacked[..., c] = visual_THWV[..., names.index(name)]
        elif name in sound:
            sharp = name == FEATURES
            stacked[..., c] = spread(sound[name], n_frames, height, width, sharp=sharp)
        else:
            have = ", ".join([*names, *sound])
            raise SampleError(f"no plane is called {name!r}; there are: {have}")
    return stacked


def spread(
    plane: Plane, n_frames: int, height: int, width: int, *, sharp: bool = False
) -> Plane:
    """Stretch a sound plane [T] or [T, h, w] over pictures: uint8 [T, H or 1, W or 1].

    Args:
        plane: what is stretched.
        n_frames: that it must have.
        height: of the pictures.
        width: of the pictures.
        sharp: take the nearest value, not one between two.

    Raises:
        SampleError: if T is not `n_frames` or the plane has other axes.
    """
    if len(plane) != n_frames or plane.ndim not in (1, 3):
        raise SampleError(
            f"expected a sound plane [{n_frames}] or [{n_frames}, h, w], got "
            f"{plane.shape}"
        )
    if plane.ndim == 1:
        return plane[:, None, None]
    # Not INTER_NEAREST, which counts from the corners: middles would miss their value.
    how = cv2.INTER_NEAREST_EXACT if sharp else cv2.INTER_LINEAR
    pictures = [cv2.resize(p, (width, height), interpolation=how) for p in plane]
    return np.stack(pictures).astype(np.uint8)


def to_gray(frames_THWC: Plane) -> Plane:
    """Turn RGB frames [T, H, W, 3] into luma [T, H, W, 1] (ITU-R BT.601 weights)."""
    gray_THW = np.empty(frames_THWC.shape[:3], np.uint8)
    for gray, frame in zip(gray_THW, frames_THWC, strict=True):
        gray[:] = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return gray_THW[..., None]
