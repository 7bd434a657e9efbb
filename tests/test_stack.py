"""stack.py: which plane stands where, and how sound planes fill the picture."""

import numpy as np
import pytest

from fmrgb.errors import SampleError
from fmrgb.stack import PICTURE_PLANES, spread, stack, to_gray

T, H, W = 4, 6, 9
RGB = np.random.default_rng(0).integers(0, 256, (T, H, W, 3), np.uint8)
AMPLITUDE = np.array([0, 80, 160, 255], np.uint8)
FREQUENCY = np.array([9, 8, 7, 6], np.uint8)
SOUND = {"amplitude": AMPLITUDE, "frequency": FREQUENCY}


def test_planes_stand_in_the_order_asked_for():
    clip = stack(RGB, SOUND, ("R", "G", "B", "amplitude", "frequency"))
    assert (clip.shape, clip.dtype) == ((T, H, W, 5), np.uint8)
    assert np.array_equal(clip[..., :3], RGB)
    assert (clip[..., 3] == AMPLITUDE[:, None, None]).all()
    assert (clip[..., 4] == FREQUENCY[:, None, None]).all()


@pytest.mark.parametrize(
    "channels",
    [("frequency", "B", "R"), ("B",), ("amplitude",), ("R", "G"), ("R", "G", "B")],
)
def test_any_planes_can_be_asked_for(channels):
    clip = stack(RGB, SOUND, channels)
    assert clip.shape == (T, H, W, len(channels))
    for c, name in enumerate(channels):
        if name in SOUND:
            assert (clip[..., c] == SOUND[name][:, None, None]).all()
        else:
            assert np.array_equal(clip[..., c], RGB[..., "RGB".index(name)])


def test_gray_is_one_plane():
    gray = RGB[..., :1]
    clip = stack(gray, SOUND, ("gray", "frequency"))
    assert np.array_equal(clip[..., :1], gray)
    assert (clip[..., 1] == FREQUENCY[:, None, None]).all()
    assert PICTURE_PLANES[1] == ("gray",)


def test_a_small_picture_is_stretched_over_the_frame():
    small = np.zeros((T, 3, 2), np.uint8)
    small[1, 0] = 250  # the top row of frame 1
    small[2, :, 1] = 250  # the right column of frame 2
    plane = spread(small, T, 12, 10)
    assert (plane.shape, plane.dtype) == ((T, 12, 10), np.uint8)
    assert not plane[[0, 3]].any()
    assert (plane[1, 0] == 250).all()
    assert not plane[1, -4:].any()
    assert (np.diff(plane[1].astype(int), axis=0) <= 0).all()
    assert (plane[2, :, -1] == 250).all()
    assert not plane[2, :, 0].any()
    clip = stack(np.zeros((T, 12, 10, 3), np.uint8), {"mel": small}, ("R", "mel"))
    assert np.array_equal(clip[..., 1], plane)


def test_one_value_per_frame_is_not_blown_up():
    assert spread(AMPLITUDE, T, H, W).shape == (T, 1, 1)


def test_a_plane_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(
        SampleError, match="called 'mel'; there are: R, G, B, amplitude, f"
    ):
        stack(RGB, SOUND, ("R", "mel"))
    with pytest.raises(SampleError, match="called 'R'; there are: gray"):
        stack(RGB[..., :1], {}, ("R",))


@pytest.mark.parametrize("shape", [(T + 1,), (T - 1, 2, 3), (T, 3), (T, 2, 3, 1)])
def test_a_plane_that_does_not_fit_is_refused(shape):
    with pytest.raises(
        SampleError, match=r"expected a sound plane \[4\] or \[4, h, w\]"
    ):
        stack(RGB, {"mel": np.zeros(shape, np.uint8)}, ("R", "mel"))


def test_gray_is_luma():
    pure = np.zeros((3, 5, 7, 3), np.uint8)
    for c in range(3):
        pure[c, ..., c] = 255
    gray = to_gray(pure)
    assert (gray.shape, gray.dtype) == ((3, 5, 7, 1), np.uint8)
    assert gray[:, 0, 0, 0].tolist() == pytest.approx([76, 150, 29], abs=1)
    assert (to_gray(np.full((2, 5, 7, 3), 93, np.uint8)) == 93).all()
