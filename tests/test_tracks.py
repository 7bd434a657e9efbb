"""tracks.py: frames with faulty times, sound with holes, overlaps and bad blocks."""

from fractions import Fraction

import av
import numpy as np
import pytest
from clips import RATE, colours, dbfs, strongest_hz, tone
from numpy.typing import NDArray

from fmrgb.errors import MediaError
from fmrgb.tracks import SoundTrack, VideoTrack, duration_s

MS = Fraction(1, 1000)


def picture(t: int, start_ms: int | None, duration_ms: int = 0) -> av.VideoFrame:
    """Return a frame of colour t."""
    frame = av.VideoFrame.from_ndarray(colours(12, 20, 30)[t], format="rgb24")
    frame.time_base = MS
    frame.pts = start_ms
    frame.duration = duration_ms
    return frame


def block(
    samples: NDArray[np.float32], start_s: float | None, rate: int = RATE
) -> av.AudioFrame:
    """Return a block of sound, [S] or [A, S]."""
    channels = np.atleast_2d(samples).astype(np.float32)
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(channels)]
    frame = av.AudioFrame.from_ndarray(channels, format="fltp", layout=layout)
    frame.sample_rate = rate
    frame.time_base = Fraction(1, rate)
    frame.pts = None if start_s is None else round(start_s * rate)
    return frame


def starts(*times_ms: int | None, fps: float = 10) -> list[float]:
    """Return the times, in s, that a track gives to frames of these times."""
    track = VideoTrack(fps)
    for t, start_ms in enumerate(times_ms):
        track.add(picture(t, start_ms))
    return track.clip(None).starts_s.tolist()


def test_a_frame_lasts_as_long_as_it_says_or_as_the_rate_says():
    assert duration_s(picture(0, 0, 250), fps=10) == pytest.approx(0.25)
    assert duration_s(picture(0, 0), fps=10) == pytest.approx(0.1)


def test_frames_keep_the_times_they_have():
    assert starts(0, 40, 200, 230) == pytest.approx([0, 0.04, 0.2, 0.23])
    assert starts(500, 600) == pytest.approx([0.5, 0.6])
    assert starts(-40, 0, 40) == pytest.approx([-0.04, 0, 0.04])


def test_frames_without_times_follow_one_another_at_the_rate():
    assert starts(None, None, None) == pytest.approx([0, 0.1, 0.2])
    assert starts(0, None, 300) == pytest.approx([0, 0.1, 0.3])


def test_times_that_repeat_or_go_back_are_mended():
    assert starts(0, 0, 100, 50, 400) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_each_frame_ends_where_the_next_begins_and_the_last_by_its_own_word():
    track = VideoTrack(10)
    for t, (start_ms, duration_ms) in enumerate([(0, 0), (40, 0), (200, 70)]):
        track.add(picture(t, start_ms, duration_ms))
    clip = track.clip(None)
    assert clip.ends_s.tolist() == pytest.approx([0.04, 0.2, 0.27])
    assert np.array_equal(clip.frames, colours(3, 20, 30))
    assert (clip.fps, clip.sound) == (10, None)


def test_skipping_gives_a_frames_time_to_the_one_that_is_kept():
    track = VideoTrack(10, skip=3)
    for t in range(8):
        track.add(picture(t, 100 * t))
    clip = track.clip(None)
    assert np.array_equal(clip.frames, colours(8, 20, 30)[::3])
    assert clip.starts_s.tolist() == pytest.approx([0, 0.3, 0.6])
    assert clip.ends_s.tolist() == pytest.approx([0.3, 0.6, 0.8])


def heard(*blocks: av.AudioFrame, rate: int = RATE) -> NDArray[np.float32]:
    """Return the samples [S] that a track makes of blocks."""
    track = SoundTrack(rate)
    for piece in blocks:
        track.add(piece)
    return track.sound().samples


def test_a_hole_becomes_silence():
    a, b = tone(500, 0.1), tone(900, 0.1)
    samples = heard(block(a, 0.0), block(b, 0.3))
    silence = np.zeros(round(0.2 * RATE), np.float32)
    assert np.array_equal(samples, np.concatenate([a, silence, b]))


def test_an_overlap_is_cut():
    a = tone(500, 0.2)
    samples = heard(block(a[:2000], 0.0), block(a[1000:], 1000 / RATE))
    assert np.array_equal(samples, a)


def test_a_block_that_lies_in_the_past_adds_nothing():
    a = tone(500, 0.3)
    samples = heard(block(a, 0.0), block(a[:160], 0.1), block(a[:1600], 0.3))
    assert np.array_equal(samples, np.concatenate([a, a[:1600]]))


def test_trembling_times_are_no_holes():
    a = tone(500, 0.3)
    shaken = [0.0, 0.14, 0.17]
    pieces = np.split(a, 3)
    samples = heard(*(block(p, s) for p, s in zip(pieces, shaken, strict=True)))
    assert np.array_equal(samples, a)


def test_blocks_without_times_follow_one_another():
    a = tone(500, 0.2)
    track = SoundTrack(RATE)
    track.add(block(a[:1000], None))
    track.add(block(a[1000:], None))
    sound = track.sound()
    assert np.array_equal(sound.samples, a)
    assert (sound.rate, sound.start_s) == (RATE, 0.0)


def test_sound_starts_where_its_first_block_does():
    track = SoundTrack(RATE)
    track.add(block(tone(500, 0.1), 0.75))
    assert track.sound().start_s == pytest.approx(0.75)


def test_a_hole_of_hours_is_refused():
    with pytest.raises(MediaError, match="a hole of 7200 s; mend it"):
        heard(block(tone(500, 0.1), 0.0), block(tone(500, 0.1), 7200.1))


@pytest.mark.parametrize("n_channels", [1, 2, 6])
def test_mono_is_the_mean_of_the_channels(n_channels):
    rows = np.stack([tone(200 * (a + 1), 0.1) for a in range(n_channels)])
    pieces = [block(rows[:, :700], 0.0), block(rows[:, 700:], 700 / RATE)]
    assert heard(*pieces) == pytest.approx(rows.mean(axis=0), abs=1e-6)


def test_a_block_keeps_its_time():
    piece = block(tone(500, 0.1), 0.5)
    heard(piece)
    assert piece.time == pytest.approx(0.5)


def test_whole_numbers_are_heard_like_floats():
    wave = tone(500, 0.1)
    whole = np.round(wave * 32_768).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.stack([whole, whole]), "s16p", "stereo")
    frame.sample_rate = RATE
    assert heard(frame) == pytest.approx(wave, abs=1 / 32_768)


def test_loud_channels_do_not_clip():
    # A sum, or ffmpeg's own mixing, would clip or change this.
    loud = np.ones((2, 1600), np.float32)
    assert np.array_equal(heard(block(loud, 0.0)), loud[0])


@pytest.mark.parametrize("source", [8000, 11_025, 44_100, 48_000])
def test_another_rate_keeps_length_loudness_and_frequency(source):
    whole = tone(1000, 1.5, rate=source)
    pieces = np.array_split(whole, 20)
    at = np.cumsum([0, *map(len, pieces)]) / source
    samples = heard(
        *(block(p, s, source) for p, s in zip(pieces, at[:-1], strict=True))
    )
    assert len(samples) == pytest.approx(1.5 * RATE, abs=2)
    assert strongest_hz(samples, RATE) == pytest.approx(1000, abs=1)
    assert dbfs(samples) == pytest.approx(dbfs(whole), abs=0.05)


def test_a_rate_that_changes_half_way_keeps_time_and_tone():
    low, high = tone(500, 0.5, rate=8000), tone(2000, 0.5)
    samples = heard(block(low, 0.0, 8000), block(high, 0.5))
    assert len(samples) == pytest.approx(RATE, abs=2)
    assert strongest_hz(samples[:7800], RATE) == pytest.approx(500, abs=3)
    assert strongest_hz(samples[-7800:], RATE) == pytest.approx(2000, abs=3)


def test_a_number_of_channels_that_changes_half_way_is_mixed_down():
    a, b = tone(500, 0.1), tone(700, 0.1)
    samples = heard(block(a, 0.0), block(np.stack([b, -b]), 0.1), block(a, 0.2))
    assert np.array_equal(samples, np.concatenate([a, np.zeros_like(b), a]))


@pytest.mark.parametrize("source", [8000, RATE])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_block_is_silence_and_harms_no_other(source, bad):
    pieces = np.split(tone(500, 3.0, rate=source), 30)
    good = [block(p, 0.1 * i, source) for i, p in enumerate(pieces)]
    pieces[4][:] = 0
    want = heard(*(block(p, 0.1 * i, source) for i, p in enumerate(pieces)))
    good[4] = block(np.full_like(pieces[4], bad), 0.4, source)
    assert heard(*good) == pytest.approx(want, abs=1e-6)


def test_a_bad_block_is_silence_also_where_sound_is_kept_on_disk(monkeypatch):
    monkeypatch.setattr("fmrgb.files.Spool.__init__.__defaults__", (None, 0))
    samples = heard(block(np.full(1600, np.nan, np.float32), 0.0))
    assert isinstance(samples, np.memmap)
    assert not samples.any()
