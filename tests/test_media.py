"""media.py against small real files whose every frame and tone is known."""

import os
from pathlib import Path

import clips
import numpy as np
import pytest
from clips import (
    BT601,
    CODEC_TOLERANCE,
    FPS,
    H264,
    N_FRAMES,
    RATE,
    dbfs,
    full_device,
    strongest_hz,
)
from numpy.typing import NDArray

from fmrgb.errors import DiskFullError, MediaError
from fmrgb.header import read_header
from fmrgb.media import (
    VIDEO_SUFFIXES,
    Clip,
    decode_to_end,
    read_clip,
    sound_rate,
)
from fmrgb.mp4 import write_mp4
from fmrgb.sound import Heard, amplitude
from fmrgb.tracks import Sound

SECONDS = N_FRAMES / FPS
AAC_BLOCK_S = 1024 / RATE


def assert_alike(
    frames: NDArray[np.uint8],
    wanted: NDArray[np.uint8],
    tolerance: int = CODEC_TOLERANCE,
) -> None:
    """Assert that pictures are equal but for what a codec does."""
    assert frames.shape == wanted.shape
    assert frames.dtype == np.uint8
    assert np.abs(frames.astype(int) - wanted).max() <= tolerance


def corners(frames: NDArray[np.uint8]) -> list[str]:
    """Name the colours of the first frame's corners, in reading order."""
    known = {"red": (200, 30, 40), "green": (30, 180, 50), "blue": (40, 50, 210)}
    known["white"] = (235, 235, 235)
    names = []
    for y, x in ((3, 3), (3, -4), (-4, 3), (-4, -4)):
        distance = {
            k: np.abs(frames[0, y, x].astype(int) - c).max() for k, c in known.items()
        }
        names.append(min(distance, key=lambda k: distance[k]))
        assert distance[names[-1]] < 25
    return names


def loudness(clip: Clip) -> NDArray[np.uint8]:
    """Return the amplitude plane [T] of a clip."""
    assert clip.sound is not None
    start = clip.sound.start_s
    heard = Heard(
        clip.sound.samples, clip.sound.rate, clip.starts_s - start, clip.ends_s - start
    )
    return amplitude(heard, relative=False)[0]


def test_pictures_times_and_tone_come_as_they_were_made(talkie):
    clip = read_clip(talkie)
    assert_alike(clip.frames, clips.colours())
    assert clip.starts_s == pytest.approx(np.arange(N_FRAMES) / FPS)
    assert clip.ends_s == pytest.approx(np.arange(1, N_FRAMES + 1) / FPS)
    assert clip.fps == FPS
    assert clip.sound is not None
    assert clip.sound.rate == 16_000
    assert clip.sound.start_s == 0
    assert len(clip.sound.samples) / RATE == pytest.approx(SECONDS, abs=AAC_BLOCK_S)
    own = clip.sound.samples[: round(SECONDS * RATE)]
    assert strongest_hz(own, RATE) == pytest.approx(1000, abs=1)
    assert dbfs(own) == pytest.approx(dbfs(clips.tone(1000, 1)), abs=0.2)


def test_the_header_says_the_same_without_decoding(talkie, mute):
    header = read_header(talkie)
    assert (header.width, header.height, header.frames) == (48, 32, N_FRAMES)
    assert (header.fps, header.has_sound) == (FPS, True)
    assert header.seconds == pytest.approx(SECONDS, abs=AAC_BLOCK_S)
    assert not read_header(mute).has_sound


def test_decoding_to_the_end_counts_what_there_is(talkie, mute):
    decoded = decode_to_end(talkie)
    assert (decoded.frames, decoded.has_sound) == (N_FRAMES, True)
    assert decoded.seconds == pytest.approx(SECONDS)
    assert decoded.sound_seconds == pytest.approx(SECONDS, abs=AAC_BLOCK_S)
    decoded = decode_to_end(mute)
    assert (decoded.has_sound, decoded.sound_seconds) == (False, 0)


def test_a_clip_without_a_sound_track_has_no_sound(mute):
    clip = read_clip(mute)
    assert clip.sound is None
    assert_alike(clip.frames, clips.colours())


def test_a_silent_track_is_a_track(tmp_path):
    path = clips.make(tmp_path / "a.mp4", clips.colours(), np.zeros(19_200, np.float32))
    clip = read_clip(path)
    assert clip.sound is not None
    assert dbfs(clip.sound.samples) < -90
    assert not loudness(clip).any()


@pytest.mark.parametrize(("layout", "n_channels"), [("stereo", 2), ("5.1", 6)])
def test_several_channels_become_their_mean(tmp_path, layout, n_channels):
    tones = [
        clips.tone(400 * (a + 1), SECONDS, peak=0.1 * (a + 1))
        for a in range(n_channels)
    ]
    lossless = ("-c:a", "pcm_f32le")
    path = clips.make(
        tmp_path / "a.mkv",
        clips.colours(),
        np.stack(tones),
        layout=layout,
        audio=lossless,
    )
    clip = read_clip(path)
    assert clip.sound is not None
    assert clip.sound.samples == pytest.approx(np.mean(tones, axis=0), abs=1e-6)


def test_left_and_right_are_both_heard(tmp_path):
    both = np.stack([clips.tone(500, SECONDS), clips.tone(3000, SECONDS)])
    clip = read_clip(clips.make(tmp_path / "a.mp4", clips.colours(), both))
    assert clip.sound is not None
    samples = clip.sound.samples[:RATE]
    spectrum = np.abs(np.fft.rfft(samples)) / len(samples) * 2
    assert spectrum[[500, 3000]] == pytest.approx(0.25, abs=0.02)


def test_a_low_rate_is_raised_and_the_tone_stays(tmp_path):
    low = clips.tone(1000, SECONDS, rate=8000)
    clip = read_clip(clips.make(tmp_path / "a.mp4", clips.colours(), low, rate=8000))
    assert clip.sound is not None
    assert clip.sound.rate == 16_000
    assert strongest_hz(clip.sound.samples[:RATE], RATE) == pytest.approx(1000, abs=2)


@pytest.mark.parametrize("n", [134, 534, 1600])
def test_sound_has_n_samples_per_frame_at_any_rate(tmp_path, n):
    fps = 30_000 / 1001
    path = clips.make(
        tmp_path / "a.mp4", clips.colours(), clips.tone(1000, 0.5), fps="30000/1001"
    )
    clip = read_clip(path, samples_per_frame=n)
    assert clip.fps == pytest.approx(fps)
    assert clip.sound is not None
    assert clip.sound.rate == round(fps * n)
    half = clip.sound.samples[: round(0.4 * clip.sound.rate)]
    assert strongest_hz(half, clip.sound.rate) == pytest.approx(1000, abs=3)


def test_the_sounds_rate_is_frames_times_samples():
    assert sound_rate(25.0, 640) == 16_000
    assert sound_rate(30_000 / 1001, 534) == 16_004
    assert sound_rate(25.0, None) == 16_000
    assert sound_rate(1.0, 2) == 64


@pytest.mark.parametrize("seconds", [0.4, 2.5])
def test_sound_shorter_or_longer_than_the_picture_keeps_its_length(tmp_path, seconds):
    path = clips.make(tmp_path / "a.mp4", clips.colours(), clips.tone(1000, seconds))
    clip = read_clip(path)
    assert clip.sound is not None
    assert len(clip.frames) == N_FRAMES
    assert len(clip.sound.samples) / RATE == pytest.approx(seconds, abs=AAC_BLOCK_S)
    full = loudness(clip)[0]
    heard_until = round(min(seconds, SECONDS) * FPS)
    assert (np.abs(loudness(clip)[:heard_until].astype(int) - full) <= 2).all()
    assert not loudness(clip)[heard_until + 1 :].any()


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_sound_that_starts_late_is_heard_late(tmp_path, suffix):
    path = clips.make(
        tmp_path / f"a.{suffix}", clips.colours(), clips.tone(1000, 0.7), delay_s=0.5
    )
    clip = read_clip(path)
    assert clip.sound is not None
    assert clip.sound.start_s == pytest.approx(0.5, abs=AAC_BLOCK_S)
    first = np.flatnonzero(np.abs(clip.sound.samples) > 0.1)[0] / RATE
    assert clip.sound.start_s + first == pytest.approx(0.5, abs=0.002)
    plane = loudness(clip)
    # AAC rings a little before a tone begins: the frame before it is not quite still.
    assert not plane[:4].any()
    assert plane[4] < plane[5] - 50
    assert (plane[5:] > 200).all()


def test_one_frame_is_a_clip(tmp_path):
    path = clips.make(tmp_path / "a.mp4", clips.colours(1), clips.tone(1000, 0.1))
    clip = read_clip(path)
    assert clip.frames.shape == (1, 32, 48, 3)
    assert (clip.starts_s.tolist(), clip.ends_s.tolist()) == ([0], [pytest.approx(0.1)])
    assert read_header(path).frames == 1


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("a.mp4", (*BT601, *H264[:-1], "yuv444p")),
        ("a.avi", ("-c:v", "mpeg4", "-q:v", "1")),
    ],
)
def test_odd_sizes_are_kept(tmp_path, name, video):
    path = clips.make(tmp_path / name, clips.quadrants(5, 17, 33), video=video)
    clip = read_clip(path)
    assert clip.frames.shape == (5, 17, 33, 3)
    assert corners(clip.frames) == ["red", "green", "blue", "white"]
    assert (read_header(path).width, read_header(path).height) == (33, 17)


@pytest.mark.parametrize(
    ("turn", "shape", "wanted"),
    [
        (90, (48, 32), ["green", "white", "red", "blue"]),
        (180, (32, 48), ["white", "blue", "green", "red"]),
        (-90, (48, 32), ["blue", "red", "white", "green"]),
    ],
)
def test_a_turned_phone_gives_upright_pictures(tmp_path, turn, shape, wanted):
    # The turn is counter-clockwise.
    flat = clips.make(tmp_path / "flat.mp4", clips.quadrants())
    path = tmp_path / "turned.mp4"
    clips.ffmpeg("-display_rotation", str(turn), "-i", flat, "-c", "copy", path)
    clip = read_clip(path)
    assert clip.frames.shape == (N_FRAMES, *shape, 3)
    assert corners(clip.frames) == wanted
    small = read_clip(path, size=(18, 22))
    assert small.frames.shape == (N_FRAMES, 22, 18, 3)
    assert corners(small.frames) == wanted


def test_ten_bits_become_eight(tmp_path):
    video = (*BT601, *H264[:-1], "yuv420p10le")
    path = clips.make(tmp_path / "a.mp4", clips.colours(), video=video)
    assert_alike(read_clip(path).frames, clips.colours())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.mov", ("format=rgba,colorchannelmixer=aa=0.5", "-c:v", "qtrle")),
        (
            "a.webm",
            (
                *("scale=out_color_matrix=bt601:out_range=tv,format=yuva420p", "-c:v"),
                *("libvpx-vp9", "-crf", "12", "-b:v", "0", "-deadline", "realtime"),
            ),
        ),
    ],
)
def test_what_is_transparent_keeps_its_colour(tmp_path, name, words):
    path = clips.make(tmp_path / name, clips.colours(), video=("-vf", *words))
    assert_alike(read_clip(path).frames, clips.colours())


def test_frames_of_a_variable_rate_keep_their_own_times(tmp_path):
    own_times = ("-vf", "setpts=20*(N*N+N)", "-fps_mode", "passthrough")
    path = clips.make(
        tmp_path / "a.mp4",
        clips.colours(8),
        clips.tone(1000, 1.5),
        fps=1000,
        video=(*own_times, *H264, "-video_track_timescale", "1000"),
    )
    clip = read_clip(path)
    times_s = np.array([0.02 * (n * n + n) for n in range(8)])
    assert clip.starts_s == pytest.approx(times_s)
    assert clip.ends_s[:-1] == pytest.approx(times_s[1:])
    skipped = read_clip(path, skip=3)
    assert skipped.starts_s == pytest.approx(times_s[::3])
    assert skipped.ends_s[:-1] == pytest.approx(times_s[3::3])


def test_reordered_frames_come_in_order_of_showing(tmp_path):
    video = (*BT601, "-c:v", "libx264", "-crf", "12", "-bf", "3", "-pix_fmt", "yuv420p")
    path = clips.make(tmp_path / "a.mp4", clips.colours(), video=video)
    clip = read_clip(path)
    assert clip.starts_s == pytest.approx(np.arange(N_FRAMES) / FPS)
    assert_alike(clip.frames, clips.colours())


@pytest.mark.parametrize("k", [2, 5, 100])
def test_skipping_keeps_one_frame_in_k_and_all_of_the_sound(tmp_path, k):
    # Only frames 4 and 5 are loud; the kept frame before them must own their sound.
    sound = clips.tone(1000, SECONDS)
    sound[: round(0.4 * RATE)] = sound[round(0.6 * RATE) :] = 0
    path = clips.make(
        tmp_path / "a.mkv", clips.colours(), sound, audio=("-c:a", "flac")
    )
    clip = read_clip(path, skip=k)
    assert_alike(clip.frames, clips.colours()[::k])
    assert clip.starts_s == pytest.approx(np.arange(0, N_FRAMES, k) / FPS)
    assert clip.ends_s[-1] == pytest.approx(SECONDS)
    loud = loudness(clip) > 0
    owners = {4 // k, 5 // k}
    assert set(np.flatnonzero(loud)) == owners


@pytest.mark.parametrize("size", [(24, 20), (10, 6), (60, 70), (48, 32)])
def test_pictures_are_scaled_to_the_size_asked_for(tmp_path, size):
    path = clips.make(tmp_path / "a.mp4", clips.quadrants())
    width, height = size
    frames = read_clip(path, size=size).frames
    assert frames.shape == (N_FRAMES, height, width, 3)
    wanted = clips.quadrants(N_FRAMES, height, width)
    for rows in (slice(0, height // 4), slice(-(height // 4), None)):
        for columns in (slice(0, width // 4), slice(-(width // 4), None)):
            got = frames[:, rows, columns].astype(int)
            assert np.abs(got - wanted[:, rows, columns]).max() <= 2 * CODEC_TOLERANCE


@pytest.mark.parametrize("audio", [("-c:a", "aac", "-b:a", "512k"), ("-c:a", "flac")])
def test_eight_channels_are_mixed_down(tmp_path, audio):
    eight = np.stack([clips.tone(500, 1.2, peak=0.1 * a) for a in range(8)])
    path = tmp_path / "a.mkv"
    clips.make(path, clips.colours(), eight, layout="7.1", audio=audio)
    sound = read_clip(path).sound
    assert sound is not None
    middle = sound.samples[RATE // 4 : RATE]
    # The fourth carries deep tones alone where it is coded as such.
    assert dbfs(middle) == pytest.approx(20 * np.log10(0.35) - 3.01, abs=1.5)


def test_scaled_neighbours_keep_a_colour_each(tmp_path):
    # Where pixels share a colour by twos, each pixel of half the size has its own, but
    # for the one at the edge: MPEG's colours lie a little to the left. On the way to
    # packed RGB FFmpeg would give columns 12 and 13 one colour.
    sharp = ("-vf", BT601[1] + ":flags=neighbor", *BT601[2:])
    video = (*sharp, *H264[:4], "-qp", "0", "-pix_fmt", "yuv420p")
    path = clips.make(tmp_path / "a.mp4", clips.quadrants(width=52), video=video)
    frames = read_clip(path, size=(26, 16)).frames.astype(int)
    faults = np.abs(frames - clips.quadrants(height=16, width=26))
    assert np.delete(faults[:, :6], 12, axis=2).max() <= CODEC_TOLERANCE


def test_a_strong_reduction_averages(tmp_path):
    # Columns black and white by turns: picking pixels would give one of the two.
    frames = clips.colours(3, 40, 60)
    frames[:] = np.where(np.arange(60) % 2, 255, 0)[:, None]
    lossless = (*BT601, *H264[:4], "-qp", "0", "-pix_fmt", "yuv444p")
    path = clips.make(tmp_path / "a.mkv", frames, video=lossless)
    small = read_clip(path, size=(6, 4)).frames
    assert small.astype(int) == pytest.approx(127, abs=8)


def test_what_outgrows_memory_is_read_the_same(talkie, tmp_path, monkeypatch):
    in_memory = read_clip(talkie)
    monkeypatch.setattr("fmrgb.files.Spool.__init__.__defaults__", (None, 1000))
    on_disk = read_clip(talkie, scratch=tmp_path)
    assert isinstance(on_disk.frames, np.memmap)
    assert np.array_equal(in_memory.frames, on_disk.frames)
    assert in_memory.sound is not None
    assert on_disk.sound is not None
    assert np.array_equal(in_memory.sound.samples, on_disk.sound.samples)
    assert os.listdir(tmp_path) == []


def test_two_readings_are_equal(talkie):
    one, two = read_clip(talkie), read_clip(talkie)
    assert np.array_equal(one.frames, two.frames)
    assert one.sound is not None
    assert two.sound is not None
    assert np.array_equal(one.sound.samples, two.sound.samples)


def all_refuse(path: Path, words: str) -> None:
    """Assert that each way to read a file refuses it in these words, by its name."""
    for read in (read_clip, read_header, decode_to_end):
        with pytest.raises(MediaError, match=words) as refusal:
            read(path)
        assert path.name in str(refusal.value)


def test_a_file_cut_short_is_refused(long_talkie, tmp_path):
    # ffmpeg writes the header last; a file sent for streaming has it first.
    clips.ffmpeg(
        "-i", long_talkie, "-c", "copy", "-movflags", "+faststart", tmp_path / "f.mp4"
    )
    short = clips.cut(tmp_path / "f.mp4", tmp_path / "short.mp4", 0.6)
    all_refuse(short, "is cut short: its index needs|cannot be decoded after")
    with pytest.raises(MediaError, match=r"cut short|cannot be decoded"):
        read_clip(clips.cut(tmp_path / "f.mp4", tmp_path / "almost.mp4", 0.995))


@pytest.mark.parametrize(
    ("suffix", "video", "audio"),
    [
        ("mkv", (*BT601, *H264), clips.AAC),
        (
            "webm",
            ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
            ("-c:a", "libopus"),
        ),
    ],
)
def test_a_file_without_an_index_is_judged_by_the_bytes_it_tells(
    tmp_path, suffix, video, audio
):
    whole = clips.make(
        tmp_path / f"whole.{suffix}",
        clips.colours(50),
        clips.tone(1000, 5),
        video=video,
        audio=audio,
    )
    assert decode_to_end(whole).frames == len(read_clip(whole).frames) == 50
    short = clips.cut(whole, tmp_path / f"short.{suffix}", 0.6)
    for read in (read_clip, decode_to_end):
        with pytest.raises(
            MediaError, match=r"short\.\w+ is cut short: its index needs \d+ bytes"
        ):
            read(short)


def test_a_file_without_its_header_is_refused(long_talkie, tmp_path):
    path = clips.cut(long_talkie, tmp_path / "headless.mp4", 0.6)
    all_refuse(path, "not a video or lost its header: .*; record or convert it again")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "empty.mp4").touch()
    all_refuse(tmp_path / "empty.mp4", r"is empty \(0 bytes\); record it again")


@pytest.mark.parametrize(
    "text", ["just words\n" * 50, "#EXTM3U\n", "ffconcat version 1.0"]
)
def test_words_are_no_video(tmp_path, text):
    (tmp_path / "text.mp4").write_text(text)
    all_refuse(tmp_path / "text.mp4", "not a video or lost its header")


def test_a_picture_by_another_name_is_no_video(tmp_path):
    (tmp_path / "still.mp4").write_bytes(cover(tmp_path).read_bytes())
    all_refuse(tmp_path / "still.mp4", "not a video or lost its header")


def test_a_list_of_other_files_is_not_followed(talkie, tmp_path):
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile '{talkie}'\n")
    (tmp_path / "play.mp4").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\nfile://{talkie}\n#EXT-X-ENDLIST\n"
    )
    all_refuse(tmp_path / "list.mp4", "not a video")
    all_refuse(tmp_path / "play.mp4", "not a video")


def test_sound_alone_is_refused_with_what_there_is(tmp_path):
    path = clips.make(tmp_path / "sound.mp4", None, clips.tone(1000, 0.5))
    all_refuse(path, r"has no picture \(it has: audio\); leave it out")


@pytest.mark.parametrize("name", ["gone.mp4", "folder.mp4"])
def test_what_is_no_file_is_refused(tmp_path, name):
    (tmp_path / "folder.mp4").mkdir()
    all_refuse(tmp_path / name, "cannot be read: (No such file|Is a directory)")


def test_a_name_that_looks_like_an_address_is_a_name(talkie, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "concat:a|b.mp4").write_bytes(talkie.read_bytes())
    assert len(read_clip(Path("concat:a|b.mp4")).frames) == N_FRAMES


def cover(tmp_path: Path) -> Path:
    """Return a picture that a player would show while sound plays."""
    clips.make(
        tmp_path / "cover.png", clips.quadrants(1, 18, 22), video=("-c:v", "png")
    )
    return tmp_path / "cover.png"


def test_a_cover_is_no_picture(tmp_path):
    sound = clips.make(tmp_path / "sound.m4a", None, clips.tone(1000, 0.5))
    both = ("-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic")
    clips.ffmpeg("-i", sound, "-i", cover(tmp_path), *both, tmp_path / "song.mp4")
    all_refuse(tmp_path / "song.mp4", r"has no picture \(it has: audio, video\)")


def test_the_moving_picture_is_taken_and_not_the_cover(talkie, tmp_path):
    both = ("-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic")
    clips.ffmpeg("-i", talkie, "-i", cover(tmp_path), *both, tmp_path / "film.mp4")
    assert_alike(read_clip(tmp_path / "film.mp4").frames, clips.colours())
    assert read_header(tmp_path / "film.mp4").width == 48


def test_spoilt_bytes_are_refused_or_read_but_never_crash(long_talkie, tmp_path):
    data = bytearray(long_talkie.read_bytes())
    rng = np.random.default_rng(0)
    refused = 0
    for turn in range(8):
        spoilt = data.copy()
        for at in rng.integers(0, len(data), 200 * turn + 20):
            spoilt[at] = rng.integers(256)
        (tmp_path / "a.mp4").write_bytes(spoilt)
        try:
            assert len(read_clip(tmp_path / "a.mp4", size=(8, 6)).frames) <= 150
        except MediaError:
            refused += 1
    assert refused


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_damaged_picture_is_refused_and_not_painted_over(tmp_path, share):
    frames = np.random.default_rng(0).integers(0, 256, (60, 34, 46, 3), np.uint8)
    data = bytearray(clips.make(tmp_path / "whole.mp4", frames).read_bytes())
    begin = data.index(b"mdat") + 4
    n_bytes = int.from_bytes(data[begin - 8 : begin - 4], "big") - 8
    at = begin + int(share * n_bytes)
    data[at : at + 500] = bytes(byte ^ 0xFF for byte in data[at : at + 500])
    (tmp_path / "spoilt.mp4").write_bytes(data)
    for read in (read_clip, decode_to_end):
        with pytest.raises(
            MediaError, match=r"spoilt\.mp4: the picture cannot be decoded"
        ):
            read(tmp_path / "spoilt.mp4")


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_every_kind_of_file_that_is_looked_for_can_be_read(tmp_path, suffix):
    video = {
        ".webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-crf", "20"),
        ".avi": ("-c:v", "mpeg4", "-q:v", "1"),
    }
    audio = {".webm": ("-c:a", "libopus"), ".avi": ("-c:a", "pcm_s16le")}
    path = clips.make(
        tmp_path / f"a{suffix}",
        clips.quadrants(),
        clips.tone(1000, SECONDS),
        video=video.get(suffix, (*BT601, *H264)),
        audio=audio.get(suffix, clips.AAC),
    )
    clip = read_clip(path)
    assert clip.frames.shape == (N_FRAMES, 32, 48, 3)
    assert corners(clip.frames) == ["red", "green", "blue", "white"]
    assert clip.starts_s == pytest.approx(np.arange(N_FRAMES) / FPS, abs=1e-3)
    assert clip.sound is not None
    assert strongest_hz(clip.sound.samples[:RATE], RATE) == pytest.approx(1000, abs=2)
    assert read_header(path).frames == N_FRAMES


def test_a_written_mp4_reads_back(tmp_path):
    sound = Sound(clips.tone(700, 0.8), RATE, start_s=0.4)
    path = tmp_path / "a.mp4"
    write_mp4(path, iter(clips.quadrants()), 12.5, sound)
    clip = read_clip(path)
    assert clip.fps == 12.5
    assert clip.starts_s == pytest.approx(np.arange(N_FRAMES) / 12.5)
    assert corners(clip.frames) == ["red", "green", "blue", "white"]
    assert clip.sound is not None
    first = np.flatnonzero(np.abs(clip.sound.samples) > 0.1)[0] / RATE
    assert clip.sound.start_s + first == pytest.approx(0.4, abs=0.01)
    assert strongest_hz(clip.sound.samples, RATE) == pytest.approx(700, abs=5)
    write_mp4(path, clips.colours(), FPS)
    assert read_clip(path).sound is None
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(
        MediaError, match=r"even sides, got first.shape = \(17, 33, 3\)"
    ):
        write_mp4(tmp_path / "a.mp4", clips.colours(2, 17, 33), FPS)
    with pytest.raises(
        MediaError, match="expected one picture or more to write, got none"
    ):
        write_mp4(tmp_path / "a.mp4", [], FPS)
    odd_rate = Sound(clips.tone(20, 1.2, rate=12_345), 12_345, start_s=0.0)
    with pytest.raises(MediaError, match=r"a\.mp4 cannot be written: "):
        write_mp4(tmp_path / "a.mp4", clips.colours(), FPS, odd_rate)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    # Whatever is written to this device meets a full disk.
    full_device(tmp_path / "a.mp4")
    with pytest.raises(DiskFullError, match=r"no room left to write .*a\.mp4"):
        write_mp4(
            tmp_path / "a.mp4", clips.colours(), FPS, Sound(clips.tone(9, 1), RATE, 0)
        )
    assert os.listdir(tmp_path) == []
