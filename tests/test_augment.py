"""augment.py: what is changed, by how much, and what is left alone.

Axes: B batch, C channels, T frames, H height, W width.
"""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from fmrgb.augment import LEVELS_PER_DB, OFF, Augmentation, augment, fitting
from fmrgb.card import View

N_CLIPS, N_FRAMES, HEIGHT, WIDTH = 24, 7, 10, 14
CHANNELS = ("R", "G", "B", "amplitude", "mel")
VIEW = View(CHANNELS, N_FRAMES, HEIGHT, WIDTH, sound=CHANNELS[3:])
SIMPLE = replace(
    VIEW, channels=(*CHANNELS[:4], "frequency"), sound=("amplitude", "frequency")
)
# Planes in no order, to catch what takes picture planes for the first ones.
MIXED = replace(VIEW, channels=("mel", "G", "amplitude", "R"), sound=VIEW.sound)
EVERY = Augmentation()


def noise(view: View = VIEW, n_clips: int = N_CLIPS) -> Tensor:
    """Return random levels 1 to 255, uint8 [B, C, T, H, W]; none is silence."""
    dice = torch.Generator().manual_seed(5)
    shape = (n_clips, *view.shape)
    return torch.randint(1, 256, shape, generator=dice, dtype=torch.uint8)


def changed(
    levels: Tensor, how: Augmentation, view: View = VIEW, seed: int = 0
) -> Tensor:
    """Return the batch as the seed changes it."""
    return augment(levels, view, how, torch.Generator().manual_seed(seed))


def planes(view: View) -> tuple[list[int], list[int]]:
    """Return the places of picture planes and of sound planes."""
    sound = list(view.sound_places)
    return [c for c in range(len(view.channels)) if c not in sound], sound


def only(**strength: float) -> Augmentation:
    """Return an augmentation of which all else is off."""
    return replace(OFF, **strength)


def test_nothing_is_done_when_all_is_off():
    levels = noise()
    assert changed(levels, OFF) is levels


@pytest.mark.parametrize("name", [f.name for f in fields(Augmentation)])
def test_everything_is_on_by_default_and_0_is_off(name):
    assert getattr(EVERY, name) > 0
    assert getattr(OFF, name) == 0
    if name == "shift":  # of sounds that are one picture, see test_onepicture.py
        assert torch.equal(changed(noise(), only(shift=1 / 2)), noise().float())
        return
    assert not torch.equal(changed(noise(), only(**{name: 1 / 2})), noise())


@pytest.mark.parametrize("view", [VIEW, SIMPLE, MIXED], ids=["mel", "simple", "mixed"])
def test_levels_stay_levels_and_the_batch_that_came_is_not_touched(view):
    levels = noise(view)
    result = changed(levels, EVERY, view)
    assert (result.dtype, result.shape) == (torch.float32, levels.shape)
    assert result.min() >= 0
    assert result.max() <= 255
    assert torch.equal(levels, noise(view))


def test_levels_may_be_whole_numbers_or_not():
    whole = changed(noise(), EVERY)
    assert (whole - changed(noise().float(), EVERY)).abs().max() <= 1.2  # rounding


@pytest.mark.parametrize("view", [VIEW, MIXED], ids=["mel", "mixed"])
def test_a_flip_mirrors_the_picture_and_no_sound(view):
    levels, (picture, sound) = noise(view), planes(view)
    result = changed(levels, only(flip=1), view)
    assert torch.equal(result[:, picture], levels[:, picture].flip(-1).float())
    assert torch.equal(result[:, sound], levels[:, sound].float())


def test_half_of_the_clips_are_flipped_and_a_clip_wholly_or_not():
    levels = noise(n_clips=200)
    result = changed(levels, only(flip=0.5))[:, :3]
    as_is = (result == levels[:, :3]).flatten(1).all(dim=1)
    mirrored = (result == levels[:, :3].flip(-1)).flatten(1).all(dim=1)
    assert (as_is ^ mirrored).all()
    assert 70 <= int(mirrored.sum()) <= 130  # 100 and four standard deviations


def test_a_crop_enlarges_a_part_of_the_picture_at_its_proportions():
    levels = torch.empty(N_CLIPS, *VIEW.shape, dtype=torch.uint8)
    levels[:, 0] = 10 * torch.arange(WIDTH)
    levels[:, 1] = 10 * torch.arange(HEIGHT)[:, None]
    levels[:, 2] = 77
    levels[:, 3:] = noise()[:, 3:]
    result = changed(levels, only(crop=0.5))
    across = result[:, 0, :, :, 4:10].diff(dim=-1).mean(dim=-1) / 10  # [B, T, H]
    down = result[:, 1, :, 3:7].diff(dim=-2).mean(dim=-2) / 10  # [B, T, W]
    part = across[:, 0, 0]
    assert part.min() > 0.45
    assert part.max() < 1.05
    assert len(set(part.tolist())) > 3, "each clip has a part of its own"
    assert (across - part[:, None, None]).abs().max() < 0.05, "all frames are cut alike"
    assert (down - part[:, None, None]).abs().max() < 0.15, "a pixel is a tenth of it"
    assert torch.equal(result[:, 2:], levels[:, 2:].float())
    first, last = result[:, 0, 0, 0, 0], result[:, 0, 0, 0, -1]
    assert first.max() > 20, "some parts lie to the right"
    assert last.min() < 110, "some parts lie to the left"


@pytest.mark.parametrize("view", [VIEW, SIMPLE], ids=["mel", "simple"])
def test_jitter_keeps_picture_and_sound_in_step(view):
    levels = (10 + 10 * torch.arange(N_FRAMES, dtype=torch.uint8))[:, None, None]
    levels = levels.expand(N_CLIPS, *view.shape)
    result = changed(levels, only(jitter=0.5), view)
    times = result[:, 0, :, 0, 0] / 10 - 1  # [B, T], the frame that is shown
    assert torch.equal(
        result, (10 + 10 * times)[:, None, :, None, None].expand(*result.shape)
    )
    assert torch.equal(times, times.round()), "frames are shown as they are"
    assert (times.diff(dim=1) >= 0).all()
    span = times[:, -1] - times[:, 0]
    assert span.min() >= (N_FRAMES - 1) / 2 - 1
    assert span.min() < span.max()
    assert times[:, 0].max() > 0
    assert times[:, -1].min() < N_FRAMES - 1


def test_brightness_stretches_levels_about_the_middle_and_shifts_them():
    levels = (100 + torch.arange(WIDTH, dtype=torch.uint8)).expand(N_CLIPS, *VIEW.shape)
    result = changed(levels, only(brightness=0.2))
    contrast = result.diff(dim=-1)[:, 0, 0, 0, 0]
    light = result[:, 0, 0, 0, 0] - 128 - contrast * (100 - 128)
    wanted = 128 + contrast[:, None] * (levels[0, 0, 0, 0] - 128.0) + light[:, None]
    torch.testing.assert_close(
        result[:, :3], wanted[:, None, None, None].expand(*result[:, :3].shape)
    )
    assert contrast.min() >= 0.8 - 1e-4
    assert contrast.max() <= 1.2 + 1e-4
    assert light.abs().max() <= 0.2 * 128 + 1e-3
    assert min(contrast.std(), light.std()) > 0.05, "each clip has its own"
    assert torch.equal(result[:, 3:], levels[:, 3:].float())


def test_a_picture_that_is_not_there_is_not_lit():
    levels = noise()
    levels[::2, :3] = 0
    result = changed(levels, only(brightness=1))
    assert not result[::2, :3].any()
    assert result[1::2, :3].any()


@pytest.mark.parametrize("view", [VIEW, SIMPLE, MIXED], ids=["mel", "simple", "mixed"])
def test_gain_shifts_loudness_alone_and_keeps_silence(view):
    levels = 100 + noise(view) // 16  # far from either end
    levels[:, :, 2:4, :5] = 0
    result = changed(levels, only(gain=6), view)
    shift = result - levels.float()
    for c, name in enumerate(view.channels):
        if name not in ("amplitude", "mel"):
            assert not shift[:, c].any()
            continue
        assert not result[:, c, 2:4, :5].any()
        heard = shift[:, c][(levels[:, c] > 0)].reshape(N_CLIPS, -1)
        torch.testing.assert_close(heard, heard[:, :1].expand(*heard.shape))
        assert heard.abs().max() <= 6 * LEVELS_PER_DB
        assert heard[:, 0].std() > 1
    assert 80 * LEVELS_PER_DB == 255


def test_gain_ends_at_the_ends_of_the_scale():
    levels = torch.tensor([1, 255], dtype=torch.uint8).repeat_interleave(7)
    result = changed(levels.expand(N_CLIPS, *VIEW.shape), only(gain=6))[:, 3:]
    assert (result.min(), result.max()) == (0, 255)


@pytest.mark.parametrize("view", [VIEW, SIMPLE, MIXED], ids=["mel", "simple", "mixed"])
def test_a_mask_hides_one_stretch_of_time_in_all_sound_planes(view):
    levels, (picture, sound) = noise(view), planes(view)
    result = changed(levels, only(mask=0.5), view)
    assert torch.equal(result[:, picture], levels[:, picture].float())
    flat = result.flatten(3)[:, sound]  # [B, sound planes, T, H * W]
    hidden = flat.amin(dim=3) == flat.amax(dim=3)
    assert (hidden == hidden[:, :1]).all()
    pauses = hidden[:, 0].int()
    starts = (pauses.diff(dim=1, prepend=torch.zeros(N_CLIPS, 1, dtype=int)) == 1).sum(
        1
    )
    assert starts.max() == 1, "one stretch, or none"
    assert pauses.sum(dim=1).max() == N_FRAMES // 2
    assert pauses.sum(dim=1).min() == 0
    assert pauses.any(dim=0).all(), "it may lie anywhere"


@pytest.mark.parametrize("view", [VIEW, MIXED], ids=["mel", "mixed"])
def test_a_mask_hides_the_same_bands_of_a_mel_picture_at_all_times(view):
    levels = noise(view)
    result = changed(levels, only(mask=0.5), view)
    there = (result == levels).all(dim=4)  # [B, C, T, H]
    mel, amplitude = (there[:, view.channels.index(n)] for n in ("mel", "amplitude"))
    heard = amplitude.any(dim=2, keepdim=True)
    assert torch.equal(amplitude, heard.expand(*amplitude.shape)), "only mel has bands"
    bands = mel.any(dim=1)  # [B, H]
    assert torch.equal(mel, heard & bands[:, None])
    gone = (~bands).int()
    assert gone.sum(dim=1).max() == HEIGHT // 2
    assert gone.sum(dim=1).min() == 0
    edges = gone.diff(dim=1, prepend=torch.zeros(N_CLIPS, 1, dtype=int))
    assert ((edges == 1).sum(dim=1) <= 1).all()


@pytest.mark.parametrize("view", [VIEW, MIXED], ids=["mel", "mixed"])
def test_what_is_hidden_holds_the_mean_of_the_clips_own_plane(view):
    levels = noise(view)
    place = view.channels.index("amplitude")
    result = changed(levels, only(mask=0.5), view)[:, place]
    before = levels[:, place].float()
    hidden = result.flatten(2).amin(dim=2) == result.flatten(2).amax(dim=2)  # [B, T]
    assert hidden.any()
    mean = before.mean(dim=(1, 2, 3))[:, None].expand_as(hidden)
    torch.testing.assert_close(result[:, :, 0, 0][hidden], mean[hidden])
    empty = changed(torch.zeros_like(levels), only(mask=0.5), view)
    assert not empty.any(), "a clip without sound stays one"


def lost_senses(result: Tensor, view: View) -> tuple[Tensor, Tensor]:
    """Tell which clips have no picture, and which have no sound."""
    picture, sound = planes(view)
    return tuple(~result[:, part].flatten(1).any(dim=1) for part in (picture, sound))


@pytest.mark.parametrize("view", [VIEW, MIXED], ids=["mel", "mixed"])
@pytest.mark.parametrize(("rate", "share"), [(0, 0), (0.5, 0.25), (1, 0.5)])
def test_senses_are_lost_at_the_rate_given_and_never_both(view, rate, share):
    small = replace(view, frames=1, height=2, width=3)
    levels = noise(small, n_clips=2000)
    # A flip of nothing, so that there is something to do at rate 0.
    result = changed(levels, only(sense_dropout=rate, jitter=0.1), small)
    blind, deaf = lost_senses(result, small)
    assert not (blind & deaf).any()
    for lost in (blind, deaf):
        assert float(lost.float().mean()) == pytest.approx(share, abs=0.045)
    whole = ~(blind | deaf)
    if rate == 1:
        assert not whole.any()
    assert torch.equal(result[whole], levels[whole].float())
    picture, sound = planes(small)
    assert torch.equal(result[blind][:, sound], levels[blind][:, sound].float())
    assert torch.equal(result[deaf][:, picture], levels[deaf][:, picture].float())


@pytest.mark.parametrize("channels", [("R", "G"), ("mel", "amplitude")])
def test_the_only_sense_there_is_is_never_lost(channels):
    sound = tuple(c for c in channels if c in VIEW.sound)
    view = replace(VIEW, channels=channels, sound=sound)
    levels = noise(view)
    assert torch.equal(changed(levels, only(sense_dropout=1), view), levels.float())
    result = changed(levels, EVERY, view)
    assert result.flatten(1).any(dim=1).all()
    assert not torch.equal(result, levels.float())


def test_the_same_seed_gives_the_same_batch_and_another_seed_another():
    first = changed(noise(), EVERY, seed=3)
    assert torch.equal(changed(noise(), EVERY, seed=3), first)
    others = changed(noise(), EVERY, seed=4)
    assert not any(torch.equal(a, b) for a, b in zip(first, others, strict=True))


def test_chances_of_other_users_are_left_alone():
    state = torch.get_rng_state()
    changed(noise(), EVERY)
    assert torch.equal(torch.get_rng_state(), state)


def test_every_clip_has_its_own_chances():
    levels = noise()[:1].expand(N_CLIPS, *VIEW.shape)
    result = changed(levels, EVERY)
    assert len({tuple(clip.flatten().tolist()) for clip in result}) == N_CLIPS


@pytest.mark.parametrize(
    "other", ["crop", "flip", "brightness", "jitter", "gain", "mask"]
)
def test_switching_one_off_leaves_the_chances_of_the_others(other):
    how = replace(EVERY, sense_dropout=0.5)
    lost = lost_senses(changed(noise(), how), VIEW)
    again = lost_senses(changed(noise(), replace(how, **{other: 0})), VIEW)
    assert lost[0].any()
    for a, b in zip(lost, again, strict=True):
        assert torch.equal(a, b)


def test_the_smallest_clip_there_can_be_comes_through():
    view = replace(VIEW, frames=1, height=1, width=1)
    result = changed(noise(view), replace(EVERY, sense_dropout=0), view)
    assert (result[:, 3:] > 0).all()


@pytest.mark.parametrize(
    ("recipe", "gain"),
    [({"scale": "absolute"}, 6), ({"scale": "relative"}, 0), ({}, 0)],
)
def test_gain_and_noise_are_for_levels_that_are_decibels(recipe, gain):
    noise = EVERY.noise if gain else 0
    assert fitting(EVERY, recipe) == replace(EVERY, gain=gain, noise=noise)
