"""The contact sheet of sound alone: its axes, its pictures, and where it was cut."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import clips
import cv2
import numpy as np
import pytest
from clips import RATE, tone
from fmrgb_tools import visualize

from fmrgb import page, soundsheet
from fmrgb.build import build
from fmrgb.media import read_sound
from fmrgb.mistakes import mistakes_sheet
from fmrgb.names import PICTURED
from fmrgb.preflight import survey
from fmrgb.recipe import Recipe, SoundLook
from fmrgb.sample import Sample, load_sample
from fmrgb.view import View, is_still, look
from fmrgb.visualise import draw

RED = (214, 40, 40)


def made(folder: Path, **how: Any) -> Path:
    """Write 2 s of sound, a tone from 0.5 to 1.5 s; return its first sample's path."""
    sound = np.zeros(2 * RATE, np.float32)
    sound[RATE // 2 : RATE * 3 // 2] = tone(1000, 1.0)
    (folder / "beep").mkdir(parents=True, exist_ok=True)
    path = folder / "beep" / "a.wav"
    clips.make(path, None, sound, audio=("-c:a", "pcm_s16le"))
    recipe = Recipe.of_sound(SoundLook(**{"pictures": ("logmel",), **how}))
    return build(survey(path, by_sound=True), recipe, folder=folder).rows[0].path


def red_columns(sheet: np.ndarray) -> list[int]:
    """Return where vertical red lines stand in a picture, in pixels."""
    near = np.abs(sheet.astype(int) - RED).sum(axis=-1) < 30
    columns = np.flatnonzero(near.sum(axis=0) > 60)
    return [int(c) for n, c in enumerate(columns) if n == 0 or c - columns[n - 1] > 3]


def test_sound_alone_gets_a_sheet_and_no_mp4(tmp_path):
    sample = made(tmp_path)
    (sheet,) = draw(sample, tmp_path / "view")
    assert sheet.name == "a_sheet.png"
    height, width, _ = cv2.imread(str(sheet)).shape
    assert width == soundsheet.SHEET
    assert 400 < height < 900


def test_red_lines_stand_where_silence_was_cut(tmp_path):
    sample = made(tmp_path, trim_db=30.0)
    (path,) = draw(sample, tmp_path / "view")
    lines = red_columns(cv2.imread(str(path))[..., ::-1])
    room = soundsheet.SHEET - soundsheet.LEFT - soundsheet.RIGHT
    cuts = load_sample(sample).meta["trim"]
    wanted = [soundsheet.LEFT + cut / 2 * room for cut in cuts]
    assert lines == [pytest.approx(x, abs=4) for x in wanted]
    assert cuts == [pytest.approx(0.5, abs=0.07), pytest.approx(1.5, abs=0.07)]


def test_what_was_not_trimmed_has_no_red_line(tmp_path):
    (path,) = draw(made(tmp_path), tmp_path / "view")
    assert red_columns(cv2.imread(str(path))[..., ::-1]) == []


def test_without_its_source_the_pictures_are_drawn_alone(tmp_path):
    sample = made(tmp_path)
    (both,) = draw(sample, tmp_path / "view")
    tall = cv2.imread(str(both)).shape[0]
    (tmp_path / "beep" / "a.wav").unlink()
    (alone,) = draw(sample, tmp_path / "alone")
    assert cv2.imread(str(alone)).shape[0] < tall - soundsheet.WAVE


def test_every_kind_of_picture_can_be_drawn(tmp_path):
    sample = made(tmp_path, pictures=PICTURED, bands=33, columns=21)
    assert len(draw(sample, tmp_path / "view")) == 1


def axes_of(folder: Path, name: str) -> dict[str, float]:
    """Return the marks of a picture's vertical axis and the rows they stand at."""
    view = look(load_sample(made(folder, pictures=(name,), bands=32)), folder)
    with page.styled():
        fig = page.page(800, 400)
        plane, box = view.sample.sound[name], (100.0, 50.0, 600.0, 300.0)
        axes = page.plot(fig, box, name, plane, view.edges, view.levels[name], 16_000)
    assert axes.get_xlim() == (0.0, 2.0)
    marks = [text.get_text() for text in axes.get_yticklabels()]
    return dict(zip(marks, axes.get_yticks(), strict=True))


def test_axes_tell_hz_cepstra_and_amplitudes(tmp_path):
    assert axes_of(tmp_path / "a", "stft") == {
        **{"0": 0, "2000": 8, "4000": 16, "6000": 24, "8000": 32}
    }
    mel = axes_of(tmp_path / "b", "logmel")
    assert list(mel) == ["0", "500", "1000", "2000", "4000", "8000"]
    assert mel["1000"] == pytest.approx(33 * 15 / 45.245 - 0.5, abs=0.01)
    assert axes_of(tmp_path / "c", "mfcc")["10"] == 9.5
    assert axes_of(tmp_path / "d", "waveform") == {"-1": 0, "0": 16, "1": 32}


def test_a_still_lasts_as_long_as_its_sound(tmp_path):
    view = look(load_sample(made(tmp_path, trim_db=30.0)), tmp_path)
    assert isinstance(view, View)
    assert is_still(view.sample)
    start, end = view.edges
    assert (start, end) == (pytest.approx(0.5, abs=0.07), pytest.approx(1.5, abs=0.07))


def test_a_still_with_sound_shows_both(tmp_path):
    heard = load_sample(made(tmp_path))
    red = np.zeros((1, 64, 64, 3), np.uint8)
    red[..., 0] = 200
    sample = Sample(
        visual=red,
        sound=heard.sound,
        channels=("R", "G", "B", "logmel"),
        times=heard.times,
        has_sound=True,
        silent=False,
        label="beep",
        meta=heard.meta,
    )
    sound = read_sound(tmp_path / "beep" / "a.wav", rate=RATE)
    with page.styled():
        sheet = soundsheet.sound_sheet(look(sample, tmp_path), sound)
    assert (sheet == (200, 0, 0)).all(axis=-1).sum() == soundsheet.STILL**2


def test_mistakes_of_sound_alone_are_drawn_over_the_whole_width(tmp_path):
    path = made(tmp_path, pictures=("logmel", "mfcc"))
    told = {"path": path, "label": "a", "predicted": "b", "probability": 0.9}
    sheet = mistakes_sheet([told])
    assert sheet is not None
    assert (sheet[60:120, 70:300] < 200).any(axis=-1).mean() > 0.5


def test_the_tool_names_the_sheet(tmp_path, capsys):
    sample = made(tmp_path)
    assert visualize.main(["--target", str(sample)]) == 0
    assert capsys.readouterr().out.strip().endswith("a_view/a_sheet.png")


def test_a_sheet_says_where_the_picture_of_a_pair_is_missing(tmp_path):
    heard = load_sample(made(tmp_path))
    height, width = heard.shape[1:3]
    facts = {}
    for level in (0, 9):
        visual = np.full((1, height, width, 3), level, np.uint8)
        channels = ("R", "G", "B", *heard.channels)
        pair = replace(heard, visual=visual, channels=channels)
        facts[level] = soundsheet._facts(look(pair, Path("pair.pt")))
    assert set(facts[0]) - set(facts[9]) == {"no picture"}
