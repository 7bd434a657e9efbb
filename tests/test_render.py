"""render.py: an mp4 with the label drawn in and the sound kept."""

from pathlib import Path

import answering
import av
import clips
import numpy as np
import pytest
from answering import ByLight

from fmrgb.errors import NoPictureError
from fmrgb.media import read_clip
from fmrgb.recording import predict_recording
from fmrgb.render import render
from fmrgb.timeline import COLOURS


def packets(path: Path, kind: str) -> list[tuple[bytes, float]]:
    """Return the bytes and times of a track's packets."""
    with av.open(str(path)) as container:
        return [
            (bytes(packet), float(packet.pts * packet.time_base))
            for packet in container.demux(**{kind: 0})
            if packet.size and packet.pts is not None
        ]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return 8 s that are dark, bright and dark again, and the mp4 drawn from them."""
    folder = tmp_path_factory.mktemp("render")
    source = answering.dusk(folder / "dusk.mp4")
    told = predict_recording(ByLight(), source, window_s=1.0)
    render(source, folder / "labelled.mp4", told)
    return source, folder / "labelled.mp4"


def test_the_sound_is_copied_as_it_was(pair):
    source, made = pair
    before, after = packets(source, "audio"), packets(made, "audio")
    assert [data for data, _ in before] == [data for data, _ in after]
    times = [[time for _, time in each] for each in (before, after)]
    np.testing.assert_allclose(*times, atol=1e-3)


def test_every_frame_keeps_its_time_and_what_lies_below_the_strip(pair):
    before, after = (read_clip(path) for path in pair)
    np.testing.assert_allclose(after.starts_s, before.starts_s, atol=1e-3)
    assert after.frames.shape == before.frames.shape
    below = np.abs(after.frames[:, 24:].astype(int) - before.frames[:, 24:])
    assert below.mean() < 4
    assert np.abs(after.frames[:, :20].astype(int) - before.frames[:, :20]).mean() > 10


def test_the_strip_has_the_colour_of_the_label(pair):
    made = read_clip(pair[1]).frames
    chip = made[:, 6:14, 6:14].mean(axis=(1, 2))
    wanted = {
        name: np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        for name, colour in zip(("bright", "dark"), COLOURS, strict=False)
    }
    for at, label in ((5, "dark"), (25, "dark"), (35, "bright"), (45, "bright")):
        distance = {k: np.abs(chip[at] - c).mean() for k, c in wanted.items()}
        assert min(distance, key=lambda k: distance[k]) == label
        assert distance[label] < 40


@pytest.mark.parametrize(
    ("name", "audio"),
    [("a.mkv", ("-c:a", "pcm_s16le")), ("a.webm", ("-c:a", "libvorbis"))],
)
def test_sound_that_an_mp4_cannot_hold_becomes_aac(tmp_path, name, audio):
    frames = answering.lights((answering.DARK, 3))
    video = ("-c:v", "libvpx", "-b:v", "300k") if name == "a.webm" else clips.H264
    source = clips.make(
        tmp_path / name, frames, clips.tone(700, 3), video=video, audio=audio
    )
    told = predict_recording(ByLight(), source, window_s=1.0)
    render(source, tmp_path / "made.mp4", told)
    sound = read_clip(tmp_path / "made.mp4").sound
    assert sound is not None
    assert clips.strongest_hz(sound.samples, sound.rate) == pytest.approx(700, abs=3)
    assert len(sound.samples) / sound.rate == pytest.approx(3, abs=0.15)


def test_a_recording_without_sound_and_with_odd_sides_is_drawn(tmp_path):
    frames = np.full((30, 33, 47, 3), 90, np.uint8)
    plain = ("-c:v", "ffv1")
    source = clips.make(tmp_path / "odd.mkv", frames, video=plain)
    told = predict_recording(ByLight(), source, window_s=1.0)
    seen = []
    render(source, tmp_path / "made.mp4", told, lambda *at: seen.append(at))
    made = read_clip(tmp_path / "made.mp4")
    assert made.frames.shape == (30, 34, 48, 3)
    assert made.sound is None
    assert seen[-1] == (pytest.approx(2.9), pytest.approx(3))


def test_sound_alone_has_nothing_to_draw_on(tmp_path):
    source = clips.make(tmp_path / "t.wav", None, clips.tone(440, 3), audio=())
    told = predict_recording(ByLight(), source, window_s=1.0)
    with pytest.raises(NoPictureError, match=r"t\.wav has no picture"):
        render(source, tmp_path / "made.mp4", told)
    assert not (tmp_path / "made.mp4").exists()
