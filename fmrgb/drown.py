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
) -> None:
    """Mix noise into the sound planes of some clips, in place.

    Half of the noise is steady, of any slope over the bands; half is the sound of
    another clip of the batch, begun elsewhere. Clips without sound stay without.

    Args:
        levels_BCTHW: float32 levels 0 to 255 that stand for decibels, [B, C, T, H, W].
        view: which of the C planes are sound.
        rate: probability that a clip is drowned.
        chances: for each of CHANCES, float [B] in [0, 1).
        dice: on the CPU.
    """
    if not rate or "amplitude" not in view.channels:
        return
    sound = list(view.sound_places)
    names = [view.channels[c] for c in sound]
    heard_BCTHW = levels_BCTHW[:, sound]  # a copy: noise is made of clean clips
    loudest_BC = heard_BCTHW.flatten(2).amax(dim=2).cpu()
    audible_B = loudest_BC[:, names.index("amplitude")] > 0
    louder_B = chances["noise_level"] * LOUDEST_DB * LEVELS_PER_DB
    n_clips = len(levels_BCTHW)
    for b in torch.nonzero((chances["noise"] < rate) & audible_B).flatten().tolist():
        top_C, shape = loudest_BC[b] + louder_B[b], float(chances["noise_shape"][b])
        other = (b + 1 + int(shape * (n_clips - 1))) % n_clips
        if chances["noise_kind"][b] < VOICES and other != b and audible_B[other]:
            louder_C = top_C - loudest_BC[other]
            noise = _voice(heard_BCTHW[other], names, louder_C, shape)
        else:
            noise = _steady(heard_BCTHW[b], names, top_C, shape, dice)
        levels_BCTHW[b, sound] = _mixed(heard_BCTHW[b], noise, names)


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
