"""aligned.py: frames aligned while they are decoded equal those aligned afterwards."""

import clips
import numpy as np
import pytest
from clips import FPS, N_FRAMES

from fmrgb import aligned
from fmrgb.align import align
from fmrgb.aligned import read_aligned
from fmrgb.errors import MediaError
from fmrgb.media import read_clip
from fmrgb.pt_file import PtFile
from fmrgb.stack import to_gray
from fmrgb.tracks import VideoTrack


@pytest.mark.parametrize("frames", [1, 2, 5, 11, N_FRAMES, 13, 29])
@pytest.mark.parametrize("skip", [1, 3])
@pytest.mark.parametrize("gray", [False, True])
def test_frames_are_those_of_aligning_afterwards(talkie, frames, skip, gray):
    whole = read_clip(talkie, size=(20, 14), skip=skip)
    plain = to_gray(whole.frames) if gray else whole.frames
    clip = read_aligned(
        talkie, frames, promised=N_FRAMES, size=(20, 14), skip=skip, gray=gray
    )
    assert np.array_equal(clip.frames, align(plain, frames))
    assert np.array_equal(clip.starts_s, whole.starts_s)
    assert np.array_equal(clip.ends_s, whole.ends_s)
    assert clip.sound is not None
    assert np.array_equal(clip.sound.samples, whole.sound.samples)


def test_without_a_number_all_frames_are_kept(talkie):
    clip = read_aligned(talkie, None, promised=99)
    assert np.array_equal(clip.frames, read_clip(talkie).frames)


@pytest.mark.parametrize("promised", [1, N_FRAMES - 1, N_FRAMES + 1, 40])
def test_a_header_that_errs_is_put_right(talkie, tmp_path, promised):
    want = align(read_clip(talkie, size=(20, 14)).frames, 7)
    with open(tmp_path / "a", "w+b") as file:
        pixels = PtFile(file)
        clip = read_aligned(talkie, 7, promised=promised, size=(20, 14), pixels=pixels)
        assert pixels.n_bytes == want.size
        assert np.array_equal(clip.frames, want)
        pixels.give_up()


def test_frames_that_nothing_is_made_of_are_not_scaled(tmp_path, monkeypatch):
    drawn = []
    draw = VideoTrack._drawn
    monkeypatch.setattr(
        VideoTrack, "_drawn", lambda self, frame: drawn.append(1) or draw(self, frame)
    )
    path = clips.make(tmp_path / "a.mp4", clips.colours(41), fps=FPS)
    read_aligned(path, 5, promised=41)
    assert len(drawn) == 5  # every tenth is a frame of its own


def test_a_clip_that_changes_meanwhile_is_named(talkie, monkeypatch):
    lengths = iter([3, 4])

    def read(path, **options):
        n = next(lengths)
        clip = read_clip(path)
        return type(clip)(clip.frames[:n], clip.starts_s[:n], clip.ends_s[:n], 10, None)

    monkeypatch.setattr(aligned, "read_clip", read)
    with pytest.raises(MediaError, match=r"talkie\.mp4 has 4 frames, and had others"):
        read_aligned(talkie, 5, promised=9)
