"""onepicture.py: sounds drawn as one picture each, changed as sounds are.

Axes: B batch, C channels, T frames (one), H height, W width.
"""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fmrgb.augment import OFF, USUAL, augment, fitting, floor_of
from fmrgb.card import View
from fmrgb.drown import LOUDEST_DB
from fmrgb.names import FEATURES
from fmrgb.onepicture import SIGNED, SPECTRA, drawn_whole, from_db, to_db
from fmrgb.sound import DB_FLOOR

N_CLIPS, HEIGHT, WIDTH = 24, 10, 20
SOUND = ("stft", "mel", "logmel", "mfcc", "waveform", FEATURES)
VIEW = View(("R", *SOUND), 1, HEIGHT, WIDTH, SOUND)
SPECTRAL = View(("logmel", "mel"), 1, HEIGHT, WIDTH, ("logmel", "mel"))
FLOOR = -60.0
PER_DB = 255 / 60  # levels


def noise(view: View = VIEW) -> Tensor:
    """Return random levels 1 to 255, uint8 [B, C, 1, H, W]."""
    dice = torch.Generator().manual_seed(5)
    shape = (N_CLIPS, *view.shape)
    return torch.randint(1, 256, shape, generator=dice, dtype=torch.uint8)


def changed(levels: Tensor, view: View = VIEW, **strength: float) -> Tensor:
    """Return the batch with only these changes on."""
    dice = torch.Generator().manual_seed(1)
    return augment(levels, view, replace(OFF, **strength), dice, floor=FLOOR)


def plane(result: Tensor, name: str, view: View = VIEW) -> Tensor:
    """Return one plane of every clip, [B, H, W]."""
    return result[:, view.channels.index(name), 0]


def test_only_single_frames_that_show_a_whole_sound_are_meant():
    assert drawn_whole(VIEW) == dict(enumerate(SOUND, start=1))
    assert drawn_whole(replace(VIEW, frames=2)) == {}
    of_video = View(("R", "amplitude", "mel"), 1, 4, 5, ("amplitude", "mel"))
    assert drawn_whole(of_video) == {}, "a frame of a video is no whole sound"


def test_nothing_is_done_when_all_is_off():
    levels = noise()
    assert changed(levels) is levels


@pytest.mark.parametrize("name", ["shift", "mask", "gain", "sense_dropout"])
def test_numbers_on_a_sound_are_never_changed_but_lost_with_it(name):
    levels = noise()
    result = changed(levels, **{name: 0.5})
    same = plane(result, FEATURES) == plane(levels, FEATURES)
    if name == "sense_dropout":
        heard = plane(result, "logmel").flatten(1).any(dim=1)
        assert not heard.all()
        assert torch.equal(same.flatten(1).all(dim=1), heard)
    else:
        assert same.all()


@pytest.mark.parametrize("name", ["crop", "flip", "brightness"])
def test_what_changes_pictures_leaves_pictures_of_sound(name):
    levels = noise()
    result = changed(levels, **{name: 0.5})
    assert torch.equal(result[:, 1:], levels[:, 1:].float())
    assert not torch.equal(result[:, 0], levels[:, 0].float())


def test_a_shift_moves_all_planes_of_a_clip_alike_and_silence_follows():
    levels = noise()
    result = changed(levels, shift=0.5)
    moved = set()
    for b in range(N_CLIPS):
        (n,) = {
            n
            for n in range(-WIDTH // 2, WIDTH // 2 + 1)
            if torch.equal(
                plane(result, "stft")[b, :, max(n, 0) : WIDTH + min(n, 0)],
                plane(levels, "stft")[b, :, max(-n, 0) : WIDTH - max(n, 0)].float(),
            )
        }
        moved.add(n)
        for name in SOUND[:-1]:
            silence = 128 if name in SIGNED else 0
            before, after = plane(levels, name)[b].float(), plane(result, name)[b]
            wanted = torch.full((HEIGHT, WIDTH), float(silence))
            wanted[:, max(n, 0) : WIDTH + min(n, 0)] = before[
                :, max(-n, 0) : WIDTH - max(n, 0)
            ]
            assert torch.equal(after, wanted)
    assert min(moved) < -5
    assert max(moved) > 5
    assert torch.equal(plane(result, "R"), plane(levels, "R").float())


def test_a_sound_that_is_not_there_does_not_come_into_being():
    levels = noise()
    levels[::2, 1:] = 0
    result = changed(levels, shift=0.5, mask=0.5, gain=6, noise=1)
    assert not result[::2, 1:].any()


def test_a_mask_hides_one_stretch_of_time_in_all_planes_and_bands_of_spectra():
    levels = noise()
    result = changed(levels, mask=0.5)
    same = result == levels
    rows = {n: plane(same, n).any(dim=2) for n in SOUND}  # [B, H]
    columns = {n: plane(same, n).any(dim=1) for n in SOUND}  # [B, W]
    for name in SOUND[:-1]:
        assert torch.equal(columns[name], columns["stft"]), "time is the same for all"
        if name in SPECTRA:
            assert torch.equal(rows[name], rows["stft"])
        else:
            assert rows[name].all(), "cepstra and waveforms have no bands"
        kept = rows[name][:, :, None] & columns[name][:, None]
        assert torch.equal(plane(same, name), kept)
    gone = ~columns["stft"]
    assert gone.sum(dim=1).max() == WIDTH // 2
    assert gone.any(dim=0).all(), "it may lie anywhere"
    assert (~rows["stft"]).sum(dim=1).max() == HEIGHT // 2
    assert (~rows["stft"]).any(dim=0).all()


def test_gain_is_the_same_number_of_decibels_in_every_spectrum():
    levels = torch.full((N_CLIPS, *VIEW.shape), 100.0)
    levels[..., 0] = 0
    result = changed(levels, gain=6)
    louder = (plane(result, "logmel") - 100)[..., 1:] / PER_DB
    assert louder.min() < -5
    assert louder.max() > 5
    assert louder.abs().max() <= 6
    torch.testing.assert_close(plane(result, "stft"), plane(result, "logmel"))
    times = 10 ** (louder / 20)
    torch.testing.assert_close(plane(result, "mel")[..., 1:] / 100, times)
    assert not plane(result, "mel")[..., 0].any(), "silence stays silence"
    assert not plane(result, "logmel")[..., 0].any()
    for name in (*SIGNED, FEATURES):
        assert torch.equal(plane(result, name), plane(levels, name))


@pytest.mark.parametrize("name", SPECTRA)
def test_levels_come_back_from_decibels(name):
    levels = torch.arange(256.0)
    db = to_db(levels, name, FLOOR)
    assert db[0] == -math.inf
    assert db[255] == 0
    torch.testing.assert_close(from_db(db, name, FLOOR), levels, atol=1e-3, rtol=0)
    assert db[51] == pytest.approx(
        FLOOR * 0.8 if name != "mel" else 20 * math.log10(0.2)
    )


def drowned(levels: Tensor, monkeypatch: Any, *, loud: float, kind: float) -> Tensor:
    """Return the clips with noise of a kind, below or above one half, in every one."""
    real = torch.rand

    def drawn(*shape: int, **how: Any) -> Tensor:
        chances = real(*shape, **how)
        if shape[0] > 4:  # the first: noise, noise_level, noise_kind, noise_shape last
            chances[-3], chances[-2] = loud, kind
        return chances

    monkeypatch.setattr(torch, "rand", drawn)
    return changed(levels, SPECTRAL, noise=1)


def test_another_clip_as_loud_adds_three_decibels(monkeypatch):
    levels = torch.full((N_CLIPS, *SPECTRAL.shape), 100.0)
    result = drowned(levels, monkeypatch, loud=0, kind=0.1)
    wanted = 100 + 10 * math.log10(2) * PER_DB
    logmel, mel = (plane(result, n, SPECTRAL) for n in SPECTRAL.channels)
    torch.testing.assert_close(logmel, torch.full_like(logmel, wanted))
    torch.testing.assert_close(mel, torch.full_like(mel, 100 * math.sqrt(2)))


def test_steady_noise_twenty_decibels_louder_drowns_all_with_a_slope(monkeypatch):
    levels = torch.full((N_CLIPS, *SPECTRAL.shape), 60.0)
    result = plane(drowned(levels, monkeypatch, loud=1, kind=0.9), "logmel", SPECTRAL)
    bands = result.mean(dim=2)
    loudest = 60 + LOUDEST_DB * PER_DB
    assert bands.amax(dim=1).numpy() == pytest.approx(loudest, abs=4 * PER_DB)
    slope = bands[:, 0] - bands[:, -1]
    assert slope.min() < -15 * PER_DB / 2 < 15 * PER_DB / 2 < slope.max()
    assert (result >= 60 - 1e-3).all(), "noise takes nothing away"
    assert result.std(dim=2).min() > 0, "it ripples"


def test_clips_whose_other_planes_could_not_follow_meet_no_noise():
    levels = noise()
    assert torch.equal(changed(levels, noise=1), levels.float())
    spectral = noise(SPECTRAL)
    assert not torch.equal(changed(spectral, SPECTRAL, noise=1), spectral.float())


def test_every_clip_has_its_own_chances_and_a_seed_repeats_them():
    levels = noise(SPECTRAL)[:1].expand(N_CLIPS, *SPECTRAL.shape)
    every = [
        augment(levels, SPECTRAL, USUAL, torch.Generator().manual_seed(3))
        for _ in range(2)
    ]
    assert torch.equal(*every)
    assert every[0].min() >= 0
    assert every[0].max() <= 255
    assert len({tuple(clip.flatten().tolist()) for clip in every[0]}) == N_CLIPS


def test_the_floor_is_that_of_the_samples_recipe():
    assert floor_of({"soundpicture": {"floor": -50.0}}) == -50
    for unknown in ({}, {"soundpicture": None}, {"soundpicture": {}}):
        assert floor_of(unknown) == DB_FLOOR
    assert fitting(USUAL, {"scale": "relative"}) == replace(USUAL, gain=0, noise=0)
