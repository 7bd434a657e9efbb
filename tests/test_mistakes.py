"""mistakes.py: the surest wrong answers, with what was seen and heard."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

from fmrgb import page
from fmrgb.metrics import Predictions
from fmrgb.mistakes import (
    HEAD,
    HEARD,
    ROW,
    SEEN,
    SHEET,
    WORST_DRAWN,
    WORST_SHOWN,
    mistakes_sheet,
    worst_mistakes,
)
from fmrgb.page import Picture
from fmrgb.sample import Sample, save_sample


def wrong(paths: list[Path]) -> Predictions:
    """Return answers that are all wrong, the first the surest."""
    sure = np.linspace(0.9, 0.6, len(paths))
    odds = np.stack([1 - sure, sure], axis=1)
    truth = np.zeros(len(paths), int)
    return Predictions(("calm", "wild"), truth, odds, tuple(map(str, paths)))


def drawn(paths: list[Path]) -> Picture:
    """Draw the sheet of samples that were all judged wrongly."""
    with page.styled():
        sheet = mistakes_sheet(worst_mistakes(wrong(paths)))
    assert sheet is not None
    return sheet


def saved(path: Path, sample: Sample) -> Path:
    """Write a sample."""
    save_sample(path, sample)
    return path


def test_mistakes_are_the_surest_first_and_all_wrong():
    dice = np.random.default_rng(2)
    told = Predictions(
        classes=("a", "b"),
        truth=dice.integers(0, 2, 100),
        probabilities=dice.dirichlet(np.ones(2), 100),
        paths=tuple(f"{n}.pt" for n in range(100)),
    )
    worst = worst_mistakes(told)
    odds = told.probabilities.max(axis=1)
    assert len(worst) == WORST_SHOWN
    assert [m["probability"] for m in worst] == sorted(odds[~told.right])[:-13:-1]
    assert all(m["label"] != m["predicted"] for m in worst)


def test_the_sheet_shows_frames_and_sound_of_each_clip(tmp_path):
    dark = saved(tmp_path / "dark.pt", tiny.sample(40, "calm"))
    bright = saved(tmp_path / "bright.pt", tiny.sample(200, "calm"))
    sheet = drawn([dark, bright])
    assert sheet.shape == (2 * ROW, SHEET, 3)
    for top, level in ((0, 40), (ROW, 200)):
        seen = sheet[top + HEAD : top + HEAD + 90, : SEEN // 4]
        assert abs(np.median(seen) - level) < 12
        heard = sheet[top + HEAD : top + ROW, HEARD:]
        assert (heard[..., 2] > heard[..., 0].astype(int) + 40).any(), "a blue curve"


@pytest.mark.parametrize("has_sound", [True, False])
def test_clips_without_anything_to_hear_get_words_for_plots(tmp_path, has_sound):
    mute = replace(tiny.sample(), has_sound=has_sound, silent=True)
    sheet = drawn([saved(tmp_path / "mute.pt", mute)])
    heard = sheet[HEAD:, HEARD:].astype(int)
    assert np.ptp(heard, axis=2).max() == 0, "grey words, no coloured plot"
    assert heard.min() < 150


def test_clips_with_other_sizes_fit_on_the_sheet(tmp_path):
    sample = tiny.sample()
    wide = replace(sample, visual=np.repeat(sample.visual, 5, axis=2))
    high = replace(sample, visual=np.repeat(sample.visual, 7, axis=1))
    one = replace(
        sample,
        visual=sample.visual[:1],
        sound={name: plane[:1] for name, plane in sample.sound.items()},
        times=sample.times[:1],
    )
    kinds = {"wide": wide, "high": high, "one": one}
    paths = [saved(tmp_path / f"{name}.pt", kind) for name, kind in kinds.items()]
    sheet = drawn(paths)
    gap = sheet[:, SEEN:HEARD]
    assert (gap == 255).all(), "no frame reaches into the sound"
    for number in range(3):
        top = number * ROW + HEAD
        assert (sheet[top : top + 60, :30] < 255).any()


def test_a_sample_that_is_gone_or_damaged_gets_a_line_that_says_so(tmp_path):
    good = saved(tmp_path / "good.pt", tiny.sample())
    broken = tmp_path / "broken.pt"
    broken.write_bytes(good.read_bytes()[:900])
    sheet = drawn([tmp_path / "gone.pt", good, broken])
    assert ROW < len(sheet) < 2 * ROW
    first = sheet[: HEAD + 20, :300]
    assert (first < 128).any()


def test_without_any_sample_there_is_no_sheet(tmp_path):
    gone = [tmp_path / f"{n}.pt" for n in range(3)]
    assert mistakes_sheet(worst_mistakes(wrong(gone))) is None
    assert mistakes_sheet([]) is None


def test_the_sheet_stays_small_whatever_the_pictures_show(tmp_path):
    dice = np.random.default_rng(0)
    noise = dice.integers(0, 256, (tiny.N_FRAMES, 110, 150, 3)).astype(np.uint8)
    noisy = replace(tiny.sample(), visual=noise)
    path = saved(tmp_path / "noise.pt", noisy)
    sheet = drawn([path] * (WORST_DRAWN + 3))
    assert len(sheet) == WORST_DRAWN * ROW
    assert len(page.png(sheet)) * 4 / 3 < 2e6
