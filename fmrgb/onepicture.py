"""From sounds that are one picture each to ones that might have been recorded instead.

Where a clip is a single frame, a sound plane shows all of its sound: columns are time,
and the rows of a spectrum are bands (see `fmrgb.soundpicture`). Louder, softer, later,
earlier, beside noise, or partly hidden, it is the same sound.

Powers of independent sounds add up, and the planes are mixed so, in dB. What a
spectrum gains in noise would have to change `mfcc`, `waveform` and `features` too,
which cannot be told from a picture: clips with such planes meet no noise. `features`
are numbers on the sound and never changed.

Axes: B batch, C channels, T frames (one), H height, W width.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from fmrgb.card import View
from fmrgb.drown import LOUDEST_DB, RIPPLE_DB, TILT_DB, dice_of, voices
from fmrgb.names import FEATURES, PICTURED
from fmrgb.share import Share, lent

CHANCES = ("shift",)
SIGNED = ("mfcc", "waveform")  # level 128 is nothing; of all others 0
DECIBELS = ("stft", "logmel")  # planes whose levels stand for decibels
SPECTRA = (*DECIBELS, "mel")  # planes whose rows are bands; mel holds amplitudes
NOTHING = -torch.inf  # dB
_POWER = math.log(10) / 10  # natural logarithm of power, per dB

Chances = Mapping[str, Tensor]


class Strength(NamedTuple):
    """How much is changed; 0 switches a change off. See `fmrgb.augment.Augmentation`.

    Attributes:
        gain: largest change of loudness, in dB.
        noise: probability that noise drowns the sound.
        mask: largest share of the time, and of the bands, hidden.
        shift: largest share of the time that all is moved by.
    """

    gain: float
    noise: float
    mask: float
    shift: float


def drawn_whole(view: View) -> dict[int, str]:
    """Return places and names of the planes that show a whole sound; often none.

    A frame of a video with a loudness of its own is no such sound.
    """
    if view.frames > 1 or "amplitude" in view.channels:
        return {}
    names = {c: view.channels[c] for c in view.sound_places}
    return {c: name for c, name in names.items() if name in PICTURED}


def change_sounds(
    levels_BCTHW: Tensor,
    planes: Mapping[int, str],
    how: Strength,
    chances: Chances,
    dice: torch.Generator,
    *,
    floor: float,
    share: Share | None = None,
) -> None:
    """Change every clip by chances of its own, in place; what is not there stays so.

    Args:
        levels_BCTHW: float32 levels 0 to 255, [B, C, 1, H, W].
        planes: from `drawn_whole`.
        how: how much.
        chances: for each of CHANCES, and of those of `fmrgb.augment`, float [B] in
            [0, 1), of the whole batch.
        dice: on the CPU; see `fmrgb.drown.drown`.
        floor: dB that level 0 of DECIBELS stands for; 255 is 0 dB.
        share: which clips of the whole batch these are; None is all of them.
    """
    share = share or Share(len(levels_BCTHW), 0, len(levels_BCTHW))
    of_all = chances
    chances = {name: each[share.first : share.last] for name, each in of_all.items()}
    shown = {c: name for c, name in planes.items() if name != FEATURES}
    alive_B = levels_BCTHW[:, list(planes)].flatten(1).any(dim=1)
    spectra = {c: name for c, name in shown.items() if name in SPECTRA}
    for c, name in spectra.items():
        _turn_up(levels_BCTHW[:, c], name, how.gain * (2 * chances["gain"] - 1), floor)
    if how.noise and len(spectra) == len(planes):
        _drown(levels_BCTHW, spectra, how.noise, of_all, dice, floor, share)
    for c, name in shown.items():
        heard_BTHW = levels_BCTHW[:, c]
        move(heard_BTHW, name, how.shift * (2 * chances["shift"] - 1), alive_B)
        if name in SPECTRA:
            mask(heard_BTHW, 2, how.mask, chances["bands"], chances["lowest"])
        mask(heard_BTHW, 3, how.mask, chances["pause"], chances["pause_begin"])


def move(heard_BTHW: Tensor, name: str, share_B: Tensor, alive_B: Tensor) -> None:
    """Move each clip by a share of its width, later where above 0; silence follows."""
    width = heard_BTHW.shape[3]
    columns_B = (share_B * width).round().long().to(heard_BTHW.device)
    if not columns_B.any():
        return
    from_BW = torch.arange(width, device=heard_BTHW.device) - columns_B[:, None]
    held_BW = (from_BW >= 0) & (from_BW < width)
    index = from_BW.clamp(0, width - 1)[:, None, None].expand_as(heard_BTHW)
    silence_B = (128.0 if name in SIGNED else 0.0) * alive_B
    moved = torch.where(
        held_BW[:, None, None],
        heard_BTHW.gather(3, index),
        per_clip(silence_B.to(heard_BTHW.dtype), heard_BTHW),
    )
    heard_BTHW.copy_(moved)


def mask(
    heard_BTHW: Tensor, axis: int, most: float, width_B: Tensor, place_B: Tensor
) -> None:
    """Hide one stretch of an axis, of at most `most` of its length, in each clip.

    What is hidden holds the mean of the clip's plane. Silence would not hide: beside a
    noisy recording, whose levels hardly vary, it shouts.

    Source: Park et al. 2019, "SpecAugment", arXiv:1904.08779, section 2.
    """
    n = heard_BTHW.shape[axis]
    n_masked_B = (width_B * (int(most * n) + 1)).long()
    first_B = (place_B * (n - n_masked_B + 1)).long()
    after_BN = torch.arange(n) - first_B[:, None]
    hidden_BN = (after_BN >= 0) & (after_BN < n_masked_B[:, None])
    shape = [-1, 1, 1, 1]
    shape[axis] = n
    hidden = hidden_BN.reshape(shape).to(heard_BTHW.device)
    mean_B = heard_BTHW.mean(dim=(1, 2, 3), keepdim=True)
    torch.where(hidden, mean_B, heard_BTHW, out=heard_BTHW)


def per_clip(values_B: Tensor, like: Tensor) -> Tensor:
    """Bring one number per clip to the device and axes of `like`."""
    shape = (-1, *[1] * (like.ndim - 1))
    return values_B.to(like.device).reshape(shape)


def _turn_up(heard_BTHW: Tensor, name: str, gain_B: Tensor, floor: float) -> None:
    """Make each clip louder or softer by so many dB; silence stays silence."""
    if name in DECIBELS:
        audible = heard_BTHW.sign()
        louder = per_clip(-255 / floor * gain_B, heard_BTHW)
        heard_BTHW.addcmul_(audible, louder).clamp_(0, 255)
    else:
        heard_BTHW.mul_(per_clip(10 ** (gain_B / 20), heard_BTHW)).clamp_(0, 255)


def _drown(
    levels_BCTHW: Tensor,
    planes: Mapping[int, str],
    rate: float,
    chances: Chances,
    dice: torch.Generator,
    floor: float,
    share: Share,
) -> None:
    """Mix noise into some clips: steady, or another clip of the batch, begun elsewhere.

    As `fmrgb.drown` does it for sounds of many frames.
    """
    clean = {c: to_db(levels_BCTHW[:, c], name, floor) for c, name in planes.items()}
    others = voices(rate, chances)
    lent_OCTHW = lent(levels_BCTHW[:, list(planes)], list(others.values()), share)
    voice_of = dict(zip(others, lent_OCTHW, strict=True))
    loud_B = torch.stack([db.flatten(1).amax(dim=1) for db in clean.values()]).amax(0)
    for b in torch.nonzero(loud_B.cpu() > NOTHING).flatten().tolist():
        place = share.first + b
        if chances["noise"][place] >= rate:
            continue
        louder = float(chances["noise_level"][place]) * LOUDEST_DB
        shape, other_CTHW = float(chances["noise_shape"][place]), voice_of.get(place)
        mine = dice_of(dice, place)
        for n, (c, name) in enumerate(planes.items()):
            own, top = clean[c][b], clean[c][b].amax()
            other = None if other_CTHW is None else to_db(other_CTHW[n], name, floor)
            if other is not None and (heard := other.amax()) > NOTHING:
                begun = other.roll(int(shape * own.shape[2]), dims=2)
                noise = begun + (top + louder - heard)
            else:
                noise = top + louder + _steady(own, shape, mine)
            mixed = torch.logaddexp(own * _POWER, noise * _POWER) / _POWER
            levels_BCTHW[b, c] = from_db(mixed, name, floor)


def _steady(like_THW: Tensor, shape: float, dice: torch.Generator) -> Tensor:
    """Return steady noise with a slope over the bands, in dB below its loudest band."""
    _, height, width = like_THW.shape
    slope_H = (2 * shape - 1) * TILT_DB * torch.linspace(1, 0, height)
    ripple_HW = RIPPLE_DB * torch.randn(height, width, generator=dice)
    noise: Tensor = (slope_H - slope_H.max())[:, None] + ripple_HW
    return noise.to(like_THW.device)[None]


def to_db(levels: Tensor, name: str, floor: float) -> Tensor:
    """Turn the levels of a spectrum into dB below level 255; level 0 is nothing."""
    if name in DECIBELS:
        db = (1 - levels / 255) * floor
        return torch.where(levels > 0, db, NOTHING)
    return 20 * (levels / 255).log10()


def from_db(db: Tensor, name: str, floor: float) -> Tensor:
    """Turn dB below level 255 into the levels of a spectrum."""
    part = 1 - db / floor if name in DECIBELS else 10 ** (db / 20)
    return (255 * part).clamp(0, 255)
