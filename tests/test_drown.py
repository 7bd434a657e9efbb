"""Noise that drowns the sound of clips, against known levels."""

import math
from dataclasses import replace

import pytest
import torch

from fmrgb.card import View
from fmrgb.drown import CHANCES, LEVELS_PER_DB, LOUDEST_DB, drown

VIEW = View(
    ("R", "amplitude", "frequency", "mel"), 5, 6, 7, ("amplitude", "frequency", "mel")
)
N_CLIPS = 4


def clips(level: float = 100.0) -> torch.Tensor:
    """Return clips that sound the same everywhere: float32 [B, C, T, H, W]."""
    return torch.full((N_CLIPS, *VIEW.shape), level)


def chances(**chosen: float) -> dict[str, torch.Tensor]:
    """Return the chances of every clip, 0.5 where none is given."""
    return {name: torch.full((N_CLIPS,), chosen.get(name, 0.5)) for name in CHANCES}


def drowned(levels: torch.Tensor, rate: float = 1, **chosen: float) -> torch.Tensor:
    """Return the clips as noise leaves them."""
    changed = levels.clone()
    dice = torch.Generator().manual_seed(3)
    drown(changed, VIEW, rate, chances(noise=0.2, **chosen), dice)
    return changed


def test_noise_as_loud_as_the_sound_adds_three_decibels():
    heard = drowned(clips(), noise_level=0, noise_kind=0.9)
    wanted = 100 + 10 * math.log10(2) * LEVELS_PER_DB
    assert heard[:, 1].numpy() == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("kind", [0.1, 0.9], ids=["voice", "steady"])
def test_noise_twenty_decibels_louder_is_all_that_is_heard(kind):
    heard = drowned(clips(), noise_level=1, noise_kind=kind)
    louder = LOUDEST_DB * LEVELS_PER_DB
    hundredth = 10 * math.log10(1.01) * LEVELS_PER_DB  # what the sound itself adds
    assert heard[:, 1].numpy() == pytest.approx(100 + louder + hundredth, abs=1e-3)


def test_the_picture_and_clips_that_are_spared_stay_as_they_are():
    levels = clips()
    assert torch.equal(drowned(levels, rate=0.1), levels), "0.2 is no less than 0.1"
    assert torch.equal(drowned(levels)[:, 0], levels[:, 0])
    assert not torch.equal(drowned(levels), levels)


def test_a_clip_without_sound_stays_without():
    levels = clips()
    levels[2, 1:] = 0
    heard = drowned(levels)
    assert not heard[2, 1:].any()
    assert (heard[[0, 1, 3], 1] > levels[[0, 1, 3], 1]).all()


def test_steady_noise_falls_or_rises_over_the_bands():
    for shape, sign in ((0.0, 1), (1.0, -1)):
        loud = drowned(clips(60.0), noise_level=0.5, noise_kind=0.9, noise_shape=shape)
        over_bands_H = loud[:, 3].mean(dim=(0, 1, 3))
        assert sign * float(over_bands_H[-1] - over_bands_H[0]) > 20


def test_the_strongest_frequency_is_that_of_the_louder_sound():
    levels = clips()
    levels[:, 1, 2:] = 20.0  # as soft as the noise is not
    levels[:, 2] = 7.0
    steady = drowned(levels, noise_level=0, noise_kind=0.9)
    assert (steady[:, 2, :2] == 7).all()
    assert (steady[:, 2, 2:] != 7).all()


def test_a_voice_is_another_clips_sound_begun_elsewhere():
    levels = clips()
    levels[:, 2] = torch.arange(N_CLIPS)[:, None, None, None] * 10.0
    heard = drowned(levels, noise_level=1, noise_kind=0.1, noise_shape=0.0)
    assert heard[:, 2, 0, 0, 0].tolist() == [10, 20, 30, 0]


def test_without_an_amplitude_nobody_knows_how_loud_a_clip_is():
    levels = clips()[:, 2:]
    view = replace(VIEW, channels=VIEW.channels[2:], sound=VIEW.sound[1:])
    before = levels.clone()
    drown(levels, view, 1, chances(noise=0), torch.Generator())
    assert torch.equal(levels, before)


def test_a_lone_clip_has_no_other_voice_to_drown_it():
    alone, dice = clips()[:1], torch.Generator().manual_seed(0)
    part = {name: values[:1] for name, values in chances(noise_kind=0.1).items()}
    drown(alone, VIEW, 1, part, dice)
    assert (alone[:, 1] > 100).all()
