"""Drawing a sample: every level, every frame and the right sound reach the files.

Axes: T frames, H height, W width, C channels. No two sizes of axes are alike.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
import torch
from fmrgb_tools import visualize

from fmrgb import page
from fmrgb.errors import InputError, SampleError
from fmrgb.files import sha256
from fmrgb.header import read_header
from fmrgb.media import Clip, read_clip
from fmrgb.sample import Sample, save_sample
from fmrgb.sound import SOUND_PLANES, Heard
from fmrgb.view import look
from fmrgb.visualise import contact_sheet, draw, grey_frames, side_by_side

GREY_TOLERANCE = 4  # levels; H.264 at crf 18 and 219 instead of 256 steps of grey
RAMP = np.arange(7 * 6 * 10, dtype=np.uint8).reshape(7, 6, 10, 1)  # T, H, W


def sample_of(path: Path, *sound: str, picture: slice = slice(3)) -> Sample:
    """Return a sample of a clip with these sound planes."""
    clip: Clip = read_clip(path)
    planes, levels = {}, {}
    for name in sound:
        if clip.sound is None:
            shape = (len(clip.frames), 64, 4)
            planes[name] = np.zeros(shape if name == "mel" else shape[:1], np.uint8)
            continue
        heard = Heard(clip.sound.samples, clip.sound.rate, clip.starts_s, clip.ends_s)
        planes[name], meaning = SOUND_PLANES[name](heard, relative=False)
        levels[name] = asdict(meaning)
    visual = np.ascontiguousarray(clip.frames[..., picture])
    names = ("R", "G", "B") if visual.shape[-1] == 3 else ("gray",)
    source = {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}
    meta = {"source": source, "fps": clip.fps, "seconds": 1.2, "levels": levels}
    return Sample(
        visual=visual,
        sound=planes,
        channels=(*names, *sound),
        times=clip.starts_s.astype(np.float32),
        has_sound=clip.sound is not None,
        silent=clip.sound is None,
        label="colours",
        meta=meta,
    )


def ramp(n_frames: int = 7, **changes: object) -> Sample:
    """Return a grey sample, every pixel of which has its own level; no sound track."""
    content: dict[str, object] = {
        "visual": RAMP[:n_frames],
        "sound": {"amplitude": np.arange(n_frames, dtype=np.uint8) * 40},
        "channels": ("gray", "amplitude"),
        "times": np.arange(n_frames, dtype=np.float32) / 5,
        "has_sound": True,
        "silent": False,
        "label": "ramp",
    }
    return Sample(**{**content, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def seen(talkie: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return all that is drawn of the talkie, by what stands behind its name."""
    folder = tmp_path_factory.mktemp("seen")
    sample = sample_of(talkie, "amplitude", "frequency", "mel")
    save_sample(folder / "clip.pt", sample)
    written = draw(folder / "clip.pt", folder / "view", talkie)
    assert all(path.parent == folder / "view" for path in written)
    return {path.stem.removeprefix("clip_"): path for path in written}


def test_every_channel_a_sheet_and_the_whole_are_written(seen):
    planes = ["R", "G", "B", "amplitude", "frequency", "mel"]
    assert list(seen) == [*planes, "sheet", "sound"]
    assert sorted(seen.values()) == sorted(seen["G"].parent.iterdir())


def test_a_grey_mp4_holds_the_planes_levels_in_every_frame(seen):
    frames = read_clip(seen["G"]).frames
    assert frames.shape == (clips.N_FRAMES, 32 * 6, 48 * 6, 3)
    greens = [green for _, green, _ in clips.COLOURS]
    tolerance = GREY_TOLERANCE + clips.CODEC_TOLERANCE
    for frame, green in zip(frames, greens, strict=True):
        assert np.abs(frame.astype(int) - green).max() <= tolerance


def test_a_sound_planes_mp4_has_one_level_per_frame(seen, talkie):
    plane = sample_of(talkie, "amplitude").sound["amplitude"]
    frames = read_clip(seen["amplitude"]).frames
    assert (
        np.abs(frames.astype(int) - plane[:, None, None, None]).max() <= GREY_TOLERANCE
    )


def test_mp4s_play_at_the_samples_own_rate(seen):
    headers = [read_header(p) for p in seen.values() if p.suffix == ".mp4"]
    assert {(h.frames, h.fps) for h in headers} == {(clips.N_FRAMES, clips.FPS)}


def test_the_sheet_is_a_picture_of_sane_size_with_the_clips_colours(seen):
    sheet = cv2.imread(str(seen["sheet"]))[..., ::-1].astype(int)
    height, width, _ = sheet.shape
    assert width == 1600
    assert 800 < height < 2000
    for colour in (clips.COLOURS[0], clips.COLOURS[-1]):
        near = np.abs(sheet - colour).max(axis=-1) <= clips.CODEC_TOLERANCE
        assert near.sum() > 5000, f"{colour} is not on the sheet"


def test_the_whole_plays_the_picture_and_a_cursor_that_moves_right(seen):
    frames = read_clip(seen["sound"]).frames.astype(int)
    assert len(frames) == clips.N_FRAMES
    cursors = []
    for frame, colour in zip(frames, clips.COLOURS, strict=True):
        middle = frame[frame.shape[0] // 2, 200]
        assert np.abs(middle - colour).max() <= 3 * clips.CODEC_TOLERANCE
        panel = frame[110:200, 48 * 14 :]  # the first plot
        red = (panel[..., 0] > 150) & (panel[..., 1:].max(axis=-1) < 110)
        cursors.append(np.nonzero(red.mean(axis=0) > 0.5)[0].mean())
    even = np.linspace(cursors[0], cursors[-1], clips.N_FRAMES)
    assert even[-1] - even[0] > 400
    np.testing.assert_allclose(
        cursors, even, atol=3
    )  # pixels; colour is coded coarsely


def test_the_whole_has_the_clips_sound_in_step(seen):
    sound = read_clip(seen["sound"]).sound
    assert sound is not None
    assert clips.strongest_hz(sound.samples, sound.rate) == pytest.approx(1000, abs=5)
    assert clips.dbfs(sound.samples[1600:-1600]) == pytest.approx(-9, abs=0.5)
    assert sound.start_s == pytest.approx(0, abs=0.07)
    assert len(sound.samples) / sound.rate == pytest.approx(1.2, abs=0.1)


def test_a_single_frame_keeps_its_own_bit_of_sound(tmp_path, talkie):
    sample = sample_of(talkie, "amplitude")
    first = {"visual": sample.visual[:1], "times": sample.times[:1]}
    sound = {"amplitude": sample.sound["amplitude"][:1]}
    save_sample(tmp_path / "a.pt", replace(sample, sound=sound, **first))
    written = draw(tmp_path / "a.pt", tmp_path / "view", talkie)
    clip = read_clip(written[-1])
    assert len(clip.frames) == 1
    assert clip.sound is not None
    assert 0 < len(clip.sound.samples) / clip.sound.rate <= 0.2


def test_sound_starts_late_where_the_clips_does(tmp_path):
    tone = clips.tone(700, 0.6)
    clip = clips.make(tmp_path / "late.mp4", clips.colours(), tone, delay_s=0.5)
    save_sample(tmp_path / "late.pt", sample_of(clip, "amplitude"))
    sound = read_clip(draw(tmp_path / "late.pt", tmp_path / "view")[-1]).sound
    assert sound is not None
    loud = np.abs(sound.samples) > 0.2
    first_s = sound.start_s + loud.argmax() / sound.rate
    assert first_s == pytest.approx(0.5, abs=0.05)


def test_a_clip_beside_its_sample_gives_the_sound_only_if_it_is_the_same(
    tmp_path, talkie, long_talkie
):
    save_sample(tmp_path / "a.pt", sample_of(talkie, "amplitude"))
    assert not read_header(draw(tmp_path / "a.pt", tmp_path)[-1]).has_sound
    (tmp_path / talkie.name).write_bytes(long_talkie.read_bytes())
    assert not read_header(draw(tmp_path / "a.pt", tmp_path)[-1]).has_sound
    (tmp_path / talkie.name).write_bytes(talkie.read_bytes())
    assert read_header(draw(tmp_path / "a.pt", tmp_path)[-1]).has_sound


def test_a_sample_cannot_make_us_read_a_clip_elsewhere(tmp_path, talkie):
    sample = sample_of(talkie, "amplitude")
    (tmp_path / "samples").mkdir()
    (tmp_path / talkie.name).write_bytes(talkie.read_bytes())
    sample.meta["source"]["name"] = f"../{talkie.name}"
    save_sample(tmp_path / "samples" / "a.pt", sample)
    written = draw(tmp_path / "samples" / "a.pt", tmp_path / "view")
    assert not read_header(written[-1]).has_sound


def test_another_clip_given_as_source_is_refused(tmp_path, talkie, mute):
    save_sample(tmp_path / "a.pt", sample_of(talkie, "amplitude"))
    with pytest.raises(
        InputError, match=r"mute\.mp4 is not the clip .* expected talkie"
    ):
        draw(tmp_path / "a.pt", tmp_path / "view", mute)
    with pytest.raises(InputError, match="no such clip"):
        draw(tmp_path / "a.pt", tmp_path / "view", tmp_path / "none.mp4")
    assert not (tmp_path / "view").exists()


def test_a_clip_without_sound_is_drawn_and_says_so(tmp_path, mute, monkeypatch):
    said = []
    monkeypatch.setattr(page, "note", lambda axes, text: said.append(text))
    save_sample(tmp_path / "a.pt", sample_of(mute, "amplitude", "mel"))
    written = draw(tmp_path / "a.pt", tmp_path / "view", mute)
    assert not read_header(written[-1]).has_sound
    assert set(said) == {"no sound track"}


@pytest.mark.parametrize(
    ("size", "shape"),
    [((6, 10), (192, 320)), ((107, 109), (214, 218)), ((3, 321), (4, 322))],
)
def test_grey_frames_are_enlarged_whole_and_even(size, shape):
    height, width = size
    visual = np.arange(height * width, dtype=np.uint8).reshape(1, height, width, 1)
    view = look(ramp(1, visual=visual), Path("a.pt"))
    (frame,) = grey_frames(view, "gray")
    assert frame.shape == (*shape, 3)
    factor = shape[1] // width
    kept = frame[::factor, ::factor, 0][:height, :width]
    np.testing.assert_array_equal(kept, visual[0, ..., 0])


@pytest.mark.parametrize("size", [(6, 10), (4, 40), (40, 4), (1, 1), (720, 1280)])
@pytest.mark.parametrize("n_frames", [1, 2, 7])
def test_every_size_and_length_can_be_drawn(n_frames, size):
    visual = np.full((n_frames, *size, 1), 99, np.uint8)
    mel = np.zeros((n_frames, 64, 4), np.uint8)
    sound = {"amplitude": mel[:, 0, 0], "mel": mel}
    names = ("gray", "amplitude", "mel")
    sample = ramp(n_frames, visual=visual, sound=sound, channels=names)
    view = look(sample, Path("a.pt"))
    with page.styled():
        assert contact_sheet(view).shape[1] == 1600
        shots = list(side_by_side(view))
    assert len(shots) == n_frames
    height, width, _ = shots[0].shape
    assert (height % 2, width % 2) == (0, 0)
    assert width <= 2100


def test_frames_of_varying_length_play_when_they_were_on_screen():
    times = np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5, 3.0], np.float32)
    view = look(ramp(times=times), Path("a.pt"))
    assert view.fps == pytest.approx(2)
    moments = view.edges[0] + (np.arange(7) + 0.5) / view.fps
    assert view.at(moments).tolist() == [2, 5, 5, 5, 5, 5, 6]


@pytest.mark.parametrize("times", [[0, 0, 0, 0, 0, 0, 0], [0, 1, 2, np.nan, 4, 5, 6]])
def test_times_that_do_not_run_forwards_become_25_fps(times):
    view = look(ramp(times=np.array(times, np.float32)), Path("a.pt"))
    assert view.fps == pytest.approx(25)
    assert view.edges[-1] == pytest.approx(7 / 25)


def test_units_are_read_where_they_are_known_and_levels_where_not(talkie):
    view = look(sample_of(talkie, "amplitude", "frequency"), Path("a.pt"))
    assert float(view.reading("amplitude", 5).split()[0]) == pytest.approx(-9, abs=0.4)
    assert float(view.reading("frequency", 5).split()[0]) == pytest.approx(1000, abs=20)
    assert look(ramp(), Path("a.pt")).reading("amplitude", 5) == "level 200"


def test_a_bare_tensor_of_the_first_version_is_drawn(tmp_path):
    levels = torch.zeros(3, 6, 10, 5, dtype=torch.uint8)
    levels[..., 3] = torch.tensor([0, 128, 255])[:, None, None]
    levels[:, 3:, :, 4] = 77  # a picture: what the first version drew of mel
    (tmp_path / "label").mkdir()
    torch.save(levels, tmp_path / "label" / "bare.pt")
    written = draw(tmp_path / "label" / "bare.pt", tmp_path / "view")
    assert [p.name for p in written[3:5]] == [
        "bare_amplitude.mp4",
        "bare_frequency.mp4",
    ]
    means = read_clip(written[3]).frames.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, [0, 128, 255], atol=GREY_TOLERANCE)


@pytest.mark.parametrize("name", ["$x^2$ \\frac", "a\nb\x1b[31m", "映画 🎬", "n" * 250])
def test_any_name_and_label_fit_into_the_titles(name):
    sample = ramp(meta={"source": {"name": name}}, label=name)
    with page.styled():
        sheet = contact_sheet(look(sample, Path("a.pt")))
        shot = next(side_by_side(look(sample, Path("a.pt"))))
    assert (sheet[:70, 1500:] == 255).all(), "the title runs out of the sheet"
    assert (sheet[:70, :1500] < 128).any()
    assert (shot[:45, -150:-138] == 255).all(), "the title meets the time"
    assert (shot[:70, -15:] == 255).all(), "the title runs out of the panel"
    assert len(page.plain(name, 70)) <= 70
    assert page.plain(name, 70).isprintable()


def test_long_curves_keep_their_peaks():
    values = np.zeros(100_000, np.uint8)
    values[54_321] = 255
    sample = ramp(1)
    view = look(sample, Path("a.pt"))
    with page.styled():
        fig = page.page(800, 300)
        edges = np.arange(100_001) / 25
        levels = view.levels["amplitude"]
        page.plot(fig, (100, 50, 600, 200), "amplitude", values, edges, levels)
        picture = page.pixels(fig).astype(int)
    blue = picture[60:100, 101:699, 2] - picture[60:100, 101:699, 0] > 40
    column = np.nonzero(blue.all(axis=0))[0].mean()
    assert column == pytest.approx(600 * 0.54321, abs=3)


def test_the_mel_picture_has_its_lowest_band_at_the_bottom():
    plane = np.zeros((7, 64, 4), np.uint8)
    plane[3:, -1] = 255  # the lowest band, from frame 3 on
    view = look(ramp(sound={"mel": plane}, channels=("gray", "mel")), Path("a.pt"))
    with page.styled():
        fig = page.page(900, 400)
        box = (100, 50, 700, 320)
        page.plot(fig, box, "mel", plane, view.edges, view.levels["mel"])
        bright = page.pixels(fig)[50:370, 100:800].mean(axis=-1) > 150
    assert bright[317, 400:690].all()
    assert not bright[:310, 5:690].any()
    assert not bright[317, 5:290].any()


def test_names_of_planes_cannot_lead_out_of_the_folder(tmp_path):
    sample = ramp(sound={"../x": np.zeros(7, "u1")}, channels=("gray", "../x"))
    save_sample(tmp_path / "a.pt", sample)
    with pytest.raises(SampleError, match=r"channel names of letters.*\.\./x"):
        draw(tmp_path / "a.pt", tmp_path / "view")
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


@pytest.mark.parametrize(
    "said",
    [
        {"unit": "dBFS"},
        {"unit": "dBFS", "low": "x", "high": 0.0, "curve": "dB"},
        {"unit": "dBFS", "low": float("nan"), "high": 0.0, "curve": "dB"},
        "dBFS",
    ],
)
def test_levels_that_mean_nothing_are_refused(said):
    with pytest.raises(
        SampleError, match="expected levels as unit, low, high and curve"
    ):
        look(ramp(meta={"levels": {"amplitude": said}}), Path("a.pt"))


def test_the_tool_names_what_it_wrote(tmp_path, capsys):
    save_sample(tmp_path / "a.pt", ramp(2))
    assert visualize.main(["--target", str(tmp_path / "a.pt")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(map(Path, lines)) == sorted((tmp_path / "a_view").iterdir())
    output = ["--output", str(tmp_path / "other"), "--json"]
    assert visualize.main(["--target", str(tmp_path / "a.pt"), *output]) == 0
    files = [Path(name) for name in json.loads(capsys.readouterr().out)["files"]]
    assert sorted(files) == sorted((tmp_path / "other").iterdir())


def test_the_tool_says_in_one_line_what_it_cannot_read(tmp_path, capsys):
    save_sample(tmp_path / "whole.pt", ramp())
    clips.cut(tmp_path / "whole.pt", tmp_path / "cut.pt", 0.6)
    for name, reason in (("cut.pt", "cannot be opened"), ("none.pt", "no such sample")):
        assert visualize.main(["--target", str(tmp_path / name)]) == 1
        said = capsys.readouterr()
        assert said.err.count("\n") == 1
        assert name in said.err
        assert reason in said.err
        assert not said.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut.pt", "whole.pt"]
