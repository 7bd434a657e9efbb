"""align.py against scipy.ndimage.zoom, which it promises to equal."""

import numpy as np
import pytest
from scipy import ndimage

from fmrgb.align import Aligner, align, align_times, positions
from fmrgb.errors import SampleError

LENGTHS = [
    *[(1, 1), (1, 2), (1, 7), (2, 1), (7, 1), (2, 3), (3, 2), (2, 50), (50, 2)],
    *[(7, 7), (7, 8), (8, 7), (10, 33), (33, 10), (12, 24), (24, 12), (97, 31)],
]


def random_levels(*shape: int) -> np.ndarray:
    """Return random levels."""
    return np.random.default_rng(5).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(("n_frames", "wanted"), LENGTHS)
def test_aligning_is_zooming_along_time(n_frames, wanted):
    clip = random_levels(n_frames, 4, 6, 5)
    zoomed = ndimage.zoom(clip, (wanted / n_frames, 1, 1, 1), order=1)
    aligned = align(clip, wanted)
    assert (aligned.shape, aligned.dtype) == ((wanted, 4, 6, 5), np.uint8)
    assert np.abs(aligned.astype(int) - zoomed).max() <= 1


@pytest.mark.parametrize("shape", [(), (1,), (4,), (3, 2), (64, 4), (1, 1, 1)])
@pytest.mark.parametrize(("n_frames", "wanted"), [(5, 9), (9, 5), (4, 1), (1, 4)])
def test_planes_and_mel_pictures_are_aligned_the_same_way(shape, n_frames, wanted):
    plane = random_levels(n_frames, *shape)
    zoomed = ndimage.zoom(plane, (wanted / n_frames, *[1] * len(shape)), order=1)
    assert align(plane, wanted).shape == (wanted, *shape)
    assert np.abs(align(plane, wanted).astype(int) - zoomed).max() <= 1


@pytest.mark.parametrize(("n_frames", "wanted"), LENGTHS)
def test_the_first_and_the_last_frame_are_kept(n_frames, wanted):
    clip = random_levels(n_frames, 4, 6, 5)
    aligned = align(clip, wanted)
    assert np.array_equal(aligned[0], clip[0])
    if wanted > 1:
        assert np.array_equal(aligned[-1], clip[-1])
    places = positions(n_frames, wanted)
    assert places[0] == 0
    assert places[-1] == pytest.approx(n_frames - 1 if wanted > 1 else 0)
    assert places == pytest.approx(np.linspace(0, places[-1], wanted))


def test_a_clip_that_fits_is_not_touched():
    clip = random_levels(7, 4, 6, 5)
    assert align(clip, 7) is clip


def test_frames_between_are_mixtures():
    clip = np.array([0, 100, 40], np.uint8)
    assert align(clip, 5).tolist() == [0, 50, 100, 70, 40]
    assert align(align(clip, 5), 3).tolist() == clip.tolist()


@pytest.mark.parametrize(("n_frames", "wanted"), [(5, 9), (9, 5), (1, 3)])
def test_the_result_can_go_where_it_is_wanted(n_frames, wanted):
    clip = random_levels(n_frames, 4, 6, 3)
    out = np.full((wanted, 4, 6, 3), 7, np.uint8)
    assert align(clip, wanted, out=out) is out
    assert np.array_equal(out, align(clip, wanted))


def test_views_are_aligned_like_copies():
    clip = random_levels(9, 4, 6, 5)
    view = clip[::2, ::-1, :, 1:4]
    assert np.array_equal(align(view, 7), align(view.copy(), 7))


def test_times_are_stretched_like_frames():
    times_s = np.array([0.0, 0.1, 0.5])
    assert align_times(times_s, 5) == pytest.approx([0, 0.05, 0.1, 0.3, 0.5])
    assert align_times(times_s, 2) == pytest.approx([0, 0.5])
    assert align_times(times_s, 1) == pytest.approx([0])
    assert align_times(times_s[:1], 4) == pytest.approx([0] * 4)
    assert align_times(times_s, 3) is times_s


@pytest.mark.parametrize(("n_frames", "wanted"), [(0, 3), (3, 0), (3, -1)])
def test_no_frames_are_refused(n_frames, wanted):
    with pytest.raises(
        SampleError, match=f"need one frame or more, got {n_frames = }, w"
    ):
        align(np.zeros((n_frames, 4, 6, 5), np.uint8), wanted)


@pytest.mark.parametrize("wanted", [7, 64, 150, 200, 333])
def test_places_rise_to_the_last_frame_for_every_length(wanted):
    for n_frames in range(1, 400):
        places = positions(n_frames, wanted)
        assert (np.diff(places) >= 0).all()
        assert places[-1] == pytest.approx(n_frames - 1)


@pytest.mark.parametrize(("n_frames", "wanted"), [*LENGTHS, (30, 8), (44, 150)])
def test_frames_that_come_one_by_one_are_aligned_the_same(n_frames, wanted):
    clip = random_levels(n_frames, 4, 6, 5)
    aligner = Aligner(n_frames, wanted)
    made = []
    for number, frame in enumerate(clip):
        if aligner.needs(number):
            made += aligner.add(number, frame)
    assert np.array_equal(np.stack(made), align(clip, wanted))


def test_only_frames_that_something_is_made_of_are_needed():
    aligner = Aligner(41, 5)
    assert [n for n in range(50) if aligner.needs(n)] == [0, 10, 20, 30, 40]
    assert sum(Aligner(150, 64).needs(n) for n in range(150)) == 126
