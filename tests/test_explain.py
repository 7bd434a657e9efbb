"""explain.py and what it draws with: heat lies where and when the worth is.

Axes: C channels, T frames, H height, W width. No two sizes of axes are alike.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import clips
import cv2
import numpy as np
import pytest
import tiny
import torch
from fmrgb_tools import explain as tool

from fmrgb import page
from fmrgb.attribution import Explanation, explain_clip
from fmrgb.build import Recipe
from fmrgb.card import Card, View
from fmrgb.checkpoint import KEY, PREFIX, Network
from fmrgb.explain import explain, film, numbers, sheet
from fmrgb.explain_options import ExplainOptions
from fmrgb.header import read_header
from fmrgb.heat import AGAINST, FOR, Heated, paint, regions, scaled
from fmrgb.media import read_clip
from fmrgb.predict import prepare_sample
from fmrgb.sample import Sample, save_sample
from fmrgb.view import look

HERE = Path()
RECIPE = Recipe(frames=tiny.N_FRAMES, size=(tiny.WIDTH, tiny.HEIGHT))
SIDES = (tiny.N_FRAMES, tiny.HEIGHT, tiny.WIDTH)


def checkpoint(path: Path, **changes: Any) -> Path:
    """Write the checkpoint of a network with weights of chance."""
    card = replace(tiny.CARD, recipe=RECIPE.options(), **changes)
    network = Network(card)
    known = card.as_dict() | {"trust": network.trust_SA.tolist()}
    weights = {PREFIX + k: v for k, v in network.model.state_dict().items()}
    torch.save({KEY: known, "state_dict": weights}, path)
    return path


def told_of(card: Card, heat: np.ndarray, **changes: Any) -> Explanation:
    """Return an explanation with this heat."""
    known: dict[str, Any] = {
        "label": 0,
        "probabilities": np.array([0.8, 0.2]),
        "log_odds": float(np.log(4)),
        "baseline": float(np.log(4) - heat.sum()),
        "windows": np.array([0, 2, heat.shape[1]]),
        "moments": np.array([0.5, -0.25]),
    }
    told = Explanation(card=card, heat=heat.astype(np.float32), planes={}, **known)
    return replace(told, planes=told.shares, **changes)


def heated(
    heat: np.ndarray, sample: Sample | None = None, card: Card = tiny.CARD
) -> Heated:
    """Return heat beside a tiny clip."""
    view = look(sample or tiny.sample(), Path("a.pt"))
    return Heated(view, told_of(card, heat))


def heat_in(plane: int, *where: Any, worth: float = 1.0) -> np.ndarray:
    """Return heat [5, T, H, W] that is 0 but for some places of one plane."""
    heat = np.zeros((5, *SIDES))
    heat[(plane, *where)] = worth
    return heat


def is_like(picture: np.ndarray, colour: str) -> np.ndarray:
    """Tell which pixels lean to orange (FOR) or purple (AGAINST)."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    if colour == FOR:
        return (red - blue > 40) & (green > blue)
    return (blue - green > 40) & (red > green)


def test_heat_lies_where_and_when_the_worth_is():
    drawn = heated(heat_in(1, 3, slice(2, 6), slice(8, 13)))
    painted = [drawn.painted(t, (140, 100)) for t in range(tiny.N_FRAMES)]
    assert is_like(painted[3][30:50, 90:120], FOR).mean() > 0.9
    assert not is_like(painted[3][:, :60], FOR).any()
    assert not is_like(painted[3][80:], FOR).any()
    for t in (0, 1, 2, 4, 5):
        assert (np.ptp(painted[t], axis=-1) == 0).all(), "not grey"


def test_what_speaks_against_is_purple():
    drawn = heated(heat_in(0, 3, slice(2, 6), slice(8, 13), worth=-1.0))
    painted = drawn.painted(3, (140, 100))
    assert is_like(painted[30:50, 90:120], AGAINST).mean() > 0.9
    assert not is_like(painted, FOR).any()


def test_planes_of_the_picture_add_up():
    both = heat_in(0, 3, 2, 8) + heat_in(1, 3, 2, 8, worth=-1.0)
    assert not heated(both + heat_in(4, 0)).maps.any()


def test_paint_mixes_grey_with_the_colour_of_the_worth():
    grey = np.full((6, 4, 3), 100, np.uint8)
    np.testing.assert_array_equal(paint(grey, np.zeros((3, 2))), grey)
    for worth, colour in ((1.0, FOR), (-1.0, AGAINST)):
        whole = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        pixel = paint(grey, np.full((3, 2), worth))[0, 0]
        np.testing.assert_allclose(pixel, 0.15 * 100 + 0.85 * whole, atol=2)


def test_a_sense_of_no_worth_has_no_colour():
    drawn = heated(heat_in(4, slice(None), slice(None), slice(None)))
    assert drawn.strength([4]) == 1
    assert drawn.strength([3]) == drawn.strength(drawn.seen) == 0
    assert not drawn.maps.any()
    less = heated(heat_in(4) + heat_in(3, worth=-0.25))
    assert less.strength([4]) == 1
    assert less.strength([3]) == pytest.approx(0.5)


def test_a_clip_of_no_worth_at_all_is_drawn_in_grey():
    drawn = heated(heat_in(0, worth=0.0))
    with page.styled():
        assert sheet(drawn).shape[1] == 1600
    assert (np.ptp(drawn.painted(0, (140, 100)), axis=-1) == 0).all()
    assert (np.ptp(drawn.overview((140, 100)), axis=-1) == 0).all()


def test_scaled_keeps_signs_and_ends_at_one():
    worth = scaled(np.array([-4.0, 0.0, 1.0, 2.0]))
    np.testing.assert_allclose(worth, [-1, 0, 0.25, 0.5])
    assert not scaled(np.zeros((3, 2))).any()


@pytest.mark.parametrize("cells", [1, 2, 4, 100])
def test_regions_add_up_and_know_their_places(cells):
    heat = np.zeros(SIDES)
    heat[2, 1, 13] = 3.0
    found = regions(heat, cells)
    shape = (tiny.N_FRAMES, min(cells, tiny.HEIGHT), min(cells, tiny.WIDTH))
    assert found.shape == shape
    assert found.sum() == found[2, 0 if cells < 100 else 1, -1] == 3


def test_frames_of_the_network_stand_for_the_time_around_them():
    card = replace(tiny.CARD, view=replace(tiny.VIEW, frames=3))
    drawn = heated(np.zeros((5, 3, tiny.HEIGHT, tiny.WIDTH)), card=card)
    np.testing.assert_allclose(drawn.edges, [0, 0.4, 0.8, 1.2], atol=1e-6)
    np.testing.assert_allclose(drawn.window_edges, [0, 0.8, 1.2], atol=1e-6)


def strip(drawn: Heated, channel: str) -> np.ndarray:
    """Return the plot of a sound plane with its heat, [100, 600, 3]."""
    with page.styled():
        fig = page.page(800, 300)
        view = drawn.view
        plane = view.curves.get(channel, view.sample.sound[channel])
        box = (100, 50, 600, 100)
        axes = page.plot(fig, box, channel, plane, view.edges, view.levels[channel])
        drawn.lay_over(axes, channel)
        return page.pixels(fig)[50:150, 100:700]


def test_heat_of_a_curve_lies_behind_its_own_frames():
    plot = strip(heated(heat_in(4, 2)), "frequency")
    # The plot spans 6 frames; where heat is, the curve's blue filling mixes with it.
    assert is_like(plot[5:20, 205:295], FOR).mean() > 0.9
    assert not is_like(plot[:, :195], FOR).any()
    assert not is_like(plot[:, 305:], FOR).any()


def test_heat_of_a_small_picture_keeps_its_bands():
    mel = np.zeros((tiny.N_FRAMES, 8, 4), np.uint8)
    channels = ("R", "G", "B", "amplitude", "mel")
    sound = {"amplitude": mel[:, 0, 0], "mel": mel}
    sample = replace(tiny.sample(), sound=sound, channels=channels)
    view = replace(tiny.VIEW, channels=channels, sound=channels[3:])
    card = replace(tiny.CARD, view=view)
    # The lowest band is the last row.
    plot = strip(heated(heat_in(4, 5, slice(8, 10)), sample, card), "mel")
    assert is_like(plot[85:98, 510:590], FOR).mean() > 0.9
    assert not is_like(plot[:60], FOR).any()
    assert not is_like(plot[:, :480], FOR).any()


def test_the_film_shows_heat_beside_the_moving_cursor():
    drawn = heated(heat_in(0, 4, slice(2, 6), slice(8, 13)))
    with page.styled():
        shots = list(film(drawn))
    width = 448  # 14 columns, each 32 pixels wide
    orange = [is_like(shot[:, :width], FOR).mean() for shot in shots]
    assert np.argmax(orange) == 4
    assert sorted(orange)[-2] == 0
    red = [(s[..., 0] > 150) & (s[..., 1:].max(axis=-1) < 110) for s in shots]
    cursors = [np.nonzero(r[120:200].mean(axis=0) > 0.9)[0].mean() for r in red]
    assert (np.diff(cursors) > 50).all()


@pytest.mark.parametrize(
    ("planes", "size", "n_frames"),
    [
        ("all", (6, 10), 1),
        ("all", (4, 40), 7),
        ("all", (40, 4), 2),
        ("all", (288, 512), 2),
        ("picture", (1, 1), 1),
        ("picture", (40, 4), 7),
        ("sound", (6, 10), 7),
        ("sound", (4, 40), 1),
    ],
)
def test_every_size_length_and_choice_of_planes_can_be_drawn(n_frames, size, planes):
    visual = np.full((n_frames, *size, 1), 99, np.uint8)
    mel = np.zeros((n_frames, 64, 4), np.uint8)
    sample = Sample(
        visual=visual,
        sound={"amplitude": mel[:, 0, 0], "mel": mel},
        channels=("gray", "amplitude", "mel"),
        times=np.arange(n_frames, dtype=np.float32) / 5,
        has_sound=planes == "all",
        silent=True,
        label="",
    )
    chosen = {"all": sample.channels, "picture": ("gray",), "sound": ("mel",)}[planes]
    heard = tuple(name for name in chosen if name != "gray")
    card = replace(tiny.CARD, view=View(chosen, 3, 9, 8, sound=heard))
    heat = np.random.default_rng(0).normal(size=(len(chosen), 3, 9, 8))
    drawn = heated(heat, sample, card)
    with page.styled():
        assert sheet(drawn).shape[1] == 1600
        shots = list(film(drawn))
    height, width, _ = shots[0].shape
    assert len(shots) == n_frames
    assert (height % 2, width % 2) == (0, 0)


@pytest.mark.parametrize("name", ["$x^2$ \\frac", "映画 🎬", "n" * 250])
def test_any_name_and_label_fit(name):
    sample = replace(tiny.sample(), label=name, meta={"source": {"name": name}})
    card = replace(tiny.CARD, classes=(name, f"{name}b"))
    drawn = heated(heat_in(0, 2), sample, card)
    with page.styled():
        drawn_sheet, shot = sheet(drawn), next(film(drawn))
    assert (drawn_sheet[:70, 1570:] == 255).all(), "the title runs out of the sheet"
    assert (drawn_sheet[:70, :1000] < 128).any()
    assert (shot[:70, -8:] == 255).all(), "the title runs out of the film"


def test_a_clip_and_its_sample_get_the_same_explanation(tmp_path, talkie):
    model = checkpoint(tmp_path / "a.ckpt")
    card = replace(tiny.CARD, recipe=RECIPE.options())
    sample, _ = prepare_sample(talkie, card)
    save_sample(tmp_path / "a.pt", sample)
    raw = explain(model, talkie, tmp_path / "raw", steps=4)
    prepared = explain(model, tmp_path / "a.pt", tmp_path / "view", steps=4)
    np.testing.assert_array_equal(raw.told.heat, prepared.told.heat)
    assert [p.name for p in raw.files] == [
        "talkie_explained.png",
        "talkie_explained.mp4",
    ]
    assert sorted(raw.files) == sorted((tmp_path / "raw").iterdir())
    assert cv2.imread(str(raw.files[0])).shape[1] == 1600
    clip = read_clip(raw.files[1])
    assert len(clip.frames) == tiny.N_FRAMES
    assert clip.sound is not None
    assert clips.strongest_hz(clip.sound.samples, clip.sound.rate) == pytest.approx(
        1000, abs=5
    )
    # No clip that is proved to be the sample's lies beside it.
    assert not read_header(prepared.files[1]).has_sound
    given = explain(model, tmp_path / "a.pt", tmp_path / "b", steps=4, source=talkie)
    assert read_header(given.files[1]).has_sound


def test_a_sound_file_is_explained_with_its_sound(tmp_path):
    view = View(tiny.CHANNELS[3:], *SIDES, sound=tiny.CHANNELS[3:])
    known = {"mean": [120.0] * 2, "std": [80.0] * 2, "seconds": 1.2, "fps": (10, 10)}
    model = checkpoint(tmp_path / "a.ckpt", view=view, **known)
    clip = clips.make(tmp_path / "a.mp4", clips.colours(), clips.tone(700, 1.2))
    sound = tmp_path / "a.wav"
    clips.ffmpeg("-i", clip, "-vn", sound)
    done = explain(model, sound, tmp_path / "view", steps=4)
    heard = read_clip(done.files[1]).sound
    assert heard is not None
    assert clips.strongest_hz(heard.samples, heard.rate) == pytest.approx(700, abs=5)


def test_the_numbers_add_up():
    network = Network(tiny.CARD).eval()
    levels = np.random.default_rng(0).integers(1, 256, (5, *SIDES)).astype(np.uint8)
    told = explain_clip(network, levels, windows=4)
    said = numbers(Heated(look(tiny.sample(), Path("a.pt")), told))
    said = json.loads(json.dumps(said))
    planes = said["planes"]
    shared = sum(planes[name]["gradients"] for name in tiny.CHANNELS)
    apart = said["log_odds"] - said["baseline_log_odds"]
    assert shared + said["missing"] == pytest.approx(apart, abs=1e-6)
    for sense in ("picture", "sound"):
        whole = planes[f"all {sense} planes"]["gradients"]
        over_time = sum(frame[sense] for frame in said["frames"])
        assert over_time == pytest.approx(whole, abs=1e-6)
    assert np.sum(said["regions"]) == pytest.approx(
        planes["all picture planes"]["gradients"], abs=1e-6
    )
    assert np.shape(said["regions"]) == (3, 3)
    assert len(said["frames"]) == tiny.N_FRAMES
    ends = [(moment["start"], moment["end"]) for moment in said["moments"]]
    assert (ends[0][0], len(ends)) == (0, 4)
    assert ends[-1][1] == pytest.approx(1.2, abs=1e-6)
    assert sum(said["probabilities"].values()) == pytest.approx(1)
    assert said["label"] == said["predicted"]


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Return a command line that explains a sample."""
    save_sample(tmp_path / "a.pt", tiny.sample())
    model = checkpoint(tmp_path / "a.ckpt")
    named = ["--model", str(model), "--target", str(tmp_path / "a.pt")]
    return [*named, "--steps", "4"]


def test_the_tool_names_planes_and_files(words, tmp_path, capsys):
    assert tool.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "predicted" in lines[0]
    assert [line.split()[0] for line in lines[2:7]] == list(tiny.CHANNELS)
    assert sorted(map(Path, lines[-2:])) == sorted((tmp_path / "a_explained").iterdir())


def test_the_tool_explains_the_label_that_is_asked_for(words, tmp_path, capsys):
    more = ["--json", "--label", "dark", "--windows", "3", "--output"]
    assert tool.main([*words, *more, str(tmp_path / "b")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["label"] == "dark"
    assert len(said["moments"]) == 3
    assert sorted(map(Path, said["files"])) == sorted((tmp_path / "b").iterdir())


def test_the_tool_says_in_one_line_what_it_cannot_do(words, tmp_path, capsys):
    assert tool.main([*words, "--label", "red"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "no 'red'; it knows bright, dark" in said
    assert not (tmp_path / "a_explained").exists()


@pytest.mark.parametrize("wrong", [{"steps": 1}, {"windows": 0}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=f"--{next(iter(wrong))} must be at least"):
        ExplainOptions(model=HERE, target=HERE, **wrong)
