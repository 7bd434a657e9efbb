"""From a training batch to one in which noise drowns the sound of some clips.

A network that never met noise takes it for speech, and is sure of what it hears. One
that met sound drowned in noise learns to say that it cannot tell, and then the other
sense is believed. It is told the clip's own label all the same: the loss is smallest
when the answer is as uncertain as the noise makes it. Compare outlier exposure
(Hendrycks et al. 2019, arXiv:1812.04606), whose clips have no label.

Powers of independent sounds add up. Planes that hold decibels are mixed so; the
strongest frequency is that of the louder sound.

Axes: B batch, C channels, T frames, H height, W width.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from fmrgb.card import View
from fmrgb.order import seed_of_epoch
from fmrgb.share import Share, lent
from fmrgb.sound import DB_FLOOR

LEVELS_PER_DB = -255 / DB_FLOOR
LOUDEST_DB = 20.0  # of the noise above the clip's loudest frame; its least is 0
TILT_DB = 30.0  # largest difference between noise in the lowest and highest band
RIPPLE_DB = 3.0  # by how much the noise in one band varies from moment to moment
VOICES = 0.5  # share of the noise that is another clip of the batch
CHANCES = ("noise", "noise_level", "noise_kind", "noise_shape")

_POWER = math.log(10) / 10 / LEVELS_PER_DB  # natural logarithm of power, per level


def drown(
    levels_BCTHW: Tensor,
    view: View,
    rate: float,
    chances: Mapping[str, Tensor],
    dice: torch.Generator,
    *,
    share: Share | None = None,
) -> None:
    """Mix noise into the sound planes of some clips, in place.

    Half of the noise is steady, of any slope over the bands; half is the sound of
    another clip of the batch, begun elsewhere. Clips without sound stay without.

    Args:
        levels_BCTHW: float32 levels 0 to 255 that stand for decibels, [B, C, T, H, W].
        view: which of the C planes are sound.
        rate: probability that a clip is drowned.
        chances: for each of CHANCES, float [B] in [0, 1), of the whole batch.
        dice: on the CPU; the seed it was given is what each clip's own chances go by.
        share: which clips of the whole batch these are; None is all of them.
    """
    if not rate or "amplitude" not in view.channels:
        return
    sound = list(view.sound_places)
    names = [view.channels[c] for c in sound]
    heard_BCTHW = levels_BCTHW[:, sound]  # a copy: noise is made of clean clips
    loudest_BC = heard_BCTHW.flatten(2).amax(dim=2).cpu()
    audible_B = loudest_BC[:, names.index("amplitude")] > 0
    louder_B = chances["noise_level"] * LOUDEST_DB * LEVELS_PER_DB
    others = voices(rate, chances)
    lent_OCTHW = lent(heard_BCTHW, list(others.values()), share)
    voice_of = dict(zip(others, lent_OCTHW, strict=True))
    first = share.first if share else 0
    for b in torch.nonzero(audible_B).flatten().tolist():
        place = first + b
        if chances["noise"][place] >= rate:
            continue
        top_C = loudest_BC[b] + louder_B[place]
        shape = float(chances["noise_shape"][place])
        other_CTHW = voice_of.get(place)
        if other_CTHW is not None and other_CTHW[names.index("amplitude")].any():
            louder_C = top_C - other_CTHW.flatten(1).amax(dim=1).cpu()
            noise = _voice(other_CTHW, names, louder_C, shape)
        else:
            noise = _steady(heard_BCTHW[b], names, top_C, shape, dice_of(dice, place))
        levels_BCTHW[b, sound] = _mixed(heard_BCTHW[b], noise, names)


def voices(rate: float, chances: Mapping[str, Tensor]) -> dict[int, int]:
    """Tell which clips are to be drowned in another's sound, and in whose.

    Args:
        rate: probability that a clip is drowned.
        chances: for each of CHANCES, float [B] in [0, 1), of the whole batch.

    Returns:
        the place of the other clip by that of the clip, both in the whole batch.
    """
    shapes = chances["noise_shape"].tolist()
    spoken_B = (chances["noise"] < rate) & (chances["noise_kind"] < VOICES)
    n = len(shapes)
    found = {
        b: (b + 1 + int(shapes[b] * (n - 1))) % n
        for b in torch.nonzero(spoken_B).flatten().tolist()
    }
    return {b: other for b, other in found.items() if other != b}


def dice_of(dice: torch.Generator, place: int) -> torch.Generator:
    """Return chances of one clip alone, by the seed of all and its place among them."""
    return torch.Generator().manual_seed(seed_of_epoch(dice.initial_seed(), place + 1))


def _voice(
    other_CTHW: Tensor, names: list[str], louder_C: Tensor, begin: float
) -> Tensor:
    """Return another clip's sound, louder by so many levels and begun elsewhere."""
    noise_CTHW = other_CTHW.roll(int(begin * other_CTHW.shape[1]), dims=1)
    for c, name in enumerate(names):
        if name != "frequency":
            # Where nothing was heard, louder is nothing too.
            noise_CTHW[c] += float(louder_C[c]) * noise_CTHW[c].sign()
    return noise_CTHW.clamp_(0, 255)


def _steady(
    like_CTHW: Tensor,
    names: list[str],
    top_C: Tensor,
    shape: float,
    dice: torch.Generator,
) -> Tensor:
    """Return steady noise, at most so loud, with a slope over the bands of mel."""
    noise_CTHW = torch.empty_like(like_CTHW)
    _, n_frames, height, _ = like_CTHW.shape
    for c, name in enumerate(names):
        if name == "frequency":
            peaks_T = torch.rand(n_frames, generator=dice) * 255
            noise_CTHW[c] = peaks_T[:, None, None].to(noise_CTHW.device)
            continue
        noise_CTHW[c] = float(top_C[c])
        if name == "mel":
            tilt = (2 * shape - 1) * TILT_DB * LEVELS_PER_DB
            slope_H = tilt * torch.linspace(1, 0, height)
            ripple_TH = torch.randn(n_frames, height, generator=dice)
            ripple_TH *= RIPPLE_DB * LEVELS_PER_DB
            bands_TH = slope_H - slope_H.max() + ripple_TH
            noise_CTHW[c] += bands_TH[..., None].to(noise_CTHW.device)
    return noise_CTHW.clamp_(0, 255)


def _mixed(clip_CTHW: Tensor, noise_CTHW: Tensor, names: list[str]) -> Tensor:
    """Add the powers of two sounds; the louder one's strongest frequency is heard."""
    place = names.index("amplitude")
    louder_THW = noise_CTHW[place] > clip_CTHW[place]
    mixed = torch.logaddexp(clip_CTHW * _POWER, noise_CTHW * _POWER) / _POWER
    # Level 0 stands for nothing, not for a sound of -80 dB.
    mixed = torch.where(noise_CTHW == 0, clip_CTHW, mixed)
    for c, name in enumerate(names):
        if name == "frequency":
            mixed[c] = torch.where(louder_THW, noise_CTHW[c], clip_CTHW[c])
    return mixed.clamp_(0, 255)
