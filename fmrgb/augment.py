"""From a training batch to one that might have been recorded: augmentation, two senses.

Whatever cuts time cuts it from picture and sound alike, so that they stay in step; the
rest changes one sense and leaves the other. Every clip has chances of its own. Sounds
that are one picture each are changed by `fmrgb.onepicture`.

Axes: B batch, C channels, T frames, H height, W width.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fmrgb.card import View
from fmrgb.drown import CHANCES as NOISE_CHANCES
from fmrgb.drown import LEVELS_PER_DB, drown
from fmrgb.loader import not_empty
from fmrgb.onepicture import CHANCES as PICTURE_CHANCES
from fmrgb.onepicture import Strength, change_sounds, drawn_whole, mask, per_clip
from fmrgb.share import Share
from fmrgb.sound import DB_FLOOR

LOUDNESS = ("amplitude", "mel")  # planes whose levels stand for decibels
SPECTRUM = "mel"  # the plane whose rows are frequencies
GREY = 128.0  # level that a change of contrast leaves as it is
# A change that is switched off leaves the chances of the others as they are.
CHANCES = (
    *("part_time", "begin", "part_side", "top", "left", "mirror", "light", "contrast"),
    *("gain", "pause", "pause_begin", "bands", "lowest", "lose"),
    *NOISE_CHANCES,
)

Chances = Mapping[str, Tensor]  # [B] in [0, 1) for each of CHANCES
Box = tuple[int, int, int, int]  # top, high, left, wide; in pixels


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How much a training batch is changed; 0 switches a change off.

    Attributes:
        crop: largest share of height and width cut away, below 1; the rest is enlarged.
        flip: probability that the picture is mirrored, left for right.
        brightness: largest change of contrast, and of brightness as a share of 128.
        jitter: largest share of the time cut away, below 1; the rest is slowed down.
        gain: largest change of loudness, in dB.
        noise: probability that noise drowns the sound; see `fmrgb.drown`.
        mask: largest share of the sound's time, and of a mel picture's bands, hidden.
        shift: largest share of the width that a sound which is one picture is moved by.
        sense_dropout: probability that one of the senses is blanked, either as often.
    """

    crop: float = 0.2
    flip: float = 0.5
    brightness: float = 0.2
    jitter: float = 0.2
    gain: float = 6.0
    noise: float = 0.15
    mask: float = 0.2
    shift: float = 0.1
    sense_dropout: float = 0.1


USUAL = Augmentation()
OFF = Augmentation(
    crop=0,
    flip=0,
    brightness=0,
    jitter=0,
    gain=0,
    noise=0,
    mask=0,
    shift=0,
    sense_dropout=0,
)


def fitting(how: Augmentation, recipe: Mapping[str, Any]) -> Augmentation:
    """Leave out gain and noise unless the samples' levels are dB below full scale.

    A relative scale shows the same levels however loud a clip was recorded.
    """
    return how if recipe.get("scale") == "absolute" else replace(how, gain=0, noise=0)


def floor_of(recipe: Mapping[str, Any]) -> float:
    """Return the dB that level 0 of the samples' sound pictures stands for."""
    look = recipe.get("soundpicture")
    floor = look.get("floor") if isinstance(look, Mapping) else None
    return float(floor) if floor else DB_FLOOR


def augment(
    levels_BCTHW: Tensor,
    view: View,
    how: Augmentation,
    dice: torch.Generator,
    *,
    floor: float = DB_FLOOR,
    share: Share | None = None,
) -> Tensor:
    """Change every clip of a batch by chances of its own.

    They are the same ones whichever process holds it.

    Args:
        levels_BCTHW: uint8 or float levels 0 to 255, [B, C, T, H, W], on any device.
        view: which of the C planes are sound.
        how: how much.
        dice: on the CPU; the same state gives the same batch.
        floor: dB that level 0 of a sound which is one picture stands for.
        share: which clips of the batch of several processes these are; None is all.

    Returns:
        float32 levels 0 to 255, [B, C, T, H, W]; the batch itself if all is off.
    """
    if how == OFF:
        return levels_BCTHW
    share = share or Share(len(levels_BCTHW), 0, len(levels_BCTHW))
    drawn = torch.rand(len(CHANCES), share.whole, generator=dice)
    of_all = dict(zip(CHANCES, drawn, strict=True))
    chances = {name: each[share.first : share.last] for name, each in of_all.items()}
    sound, picture = list(view.sound_places), list(view.picture_places)
    alive_BC = not_empty(levels_BCTHW).cpu()  # where the chances are
    changed = _moved(levels_BCTHW, picture, how, chances)
    lost = how.sense_dropout if sound and picture else 0.0
    # What is not there (no picture, no sound track) does not come into being.
    seeing_B = alive_BC[:, picture].any(dim=1) & (chances["lose"] >= lost / 2)
    hearing_B = chances["lose"] < 1 - lost / 2
    for c in picture:
        _relight(changed[:, c], how.brightness, chances, seeing_B)
    if whole := drawn_whole(view):
        # Last, as they were not there at first: clips of many frames keep theirs.
        more = torch.rand(len(PICTURE_CHANCES), share.whole, generator=dice)
        of_all |= dict(zip(PICTURE_CHANCES, more, strict=True))
        strength = Strength(how.gain, how.noise, how.mask, how.shift)
        how_given: dict[str, Any] = {"floor": floor, "share": share}
        change_sounds(changed, whole, strength, of_all, dice, **how_given)
    else:
        _change_sound(changed, view, how, of_all, dice, share)
    for c in sound:
        heard_BTHW = changed[:, c]
        heard_BTHW *= per_clip(hearing_B, heard_BTHW)
    return changed


def _change_sound(
    changed: Tensor,
    view: View,
    how: Augmentation,
    of_all: Chances,
    dice: torch.Generator,
    share: Share,
) -> None:
    """Change the sound of every clip of several frames, in place."""
    chances = {name: each[share.first : share.last] for name, each in of_all.items()}
    sound = list(view.sound_places)
    for c in sound:
        heard_BTHW = changed[:, c]
        if view.channels[c] in LOUDNESS:
            _turn_up(heard_BTHW, how.gain, chances)
    drown(changed, view, how.noise, of_all, dice, share=share)
    for c in sound:
        heard_BTHW = changed[:, c]
        if view.channels[c] == SPECTRUM:
            mask(heard_BTHW, 2, how.mask, chances["bands"], chances["lowest"])
        mask(heard_BTHW, 1, how.mask, chances["pause"], chances["pause_begin"])


def _moved(
    levels_BCTHW: Tensor, picture: list[int], how: Augmentation, chances: Chances
) -> Tensor:
    """Cut, slow down, enlarge and mirror every clip: float32 [B, C, T, H, W]."""
    *_, n_frames, height, width = levels_BCTHW.shape
    frames_BT = _frames(n_frames, how.jitter, chances).to(levels_BCTHW.device)
    boxes_B = _boxes(height, width, how.crop, chances)
    mirrored_B = (chances["mirror"] < how.flip).tolist()
    moved = torch.empty_like(levels_BCTHW, dtype=torch.float32)
    for b, (clip_CTHW, box) in enumerate(zip(levels_BCTHW, boxes_B, strict=True)):
        clip = clip_CTHW.index_select(1, frames_BT[b]) if how.jitter else clip_CTHW
        planes = list(clip)
        if picture and (how.crop or mirrored_B[b]):
            seen = _reframed(clip[picture], box, mirrored_B[b])
            for c, plane in zip(picture, seen, strict=True):
                planes[c] = plane
        for c, plane in enumerate(planes):
            moved[b, c] = plane
    return moved


def _frames(n_frames: int, most: float, chances: Chances) -> Tensor:
    """Choose T frames, at even distances and in order, from a part of the time: [B, T].

    Frames are repeated, not mixed: a mixture of two peak frequencies was never heard.
    """
    part_B = 1 - most * chances["part_time"]
    begin_B = chances["begin"] * (1 - part_B)
    way_T = torch.linspace(0, 1, n_frames)
    places_BT = (begin_B[:, None] + part_B[:, None] * way_T) * (n_frames - 1)
    return places_BT.round().long()


def _boxes(height: int, width: int, most: float, chances: Chances) -> list[Box]:
    """Choose a part of each picture, at the picture's proportions."""
    part_B = 1 - most * chances["part_side"]
    high_B, wide_B = ((part_B * n).round().clamp(min=1) for n in (height, width))
    top_B = chances["top"] * (height - high_B + 1)
    left_B = chances["left"] * (width - wide_B + 1)
    box_B4 = torch.stack((top_B, high_B, left_B, wide_B), dim=1).long()
    return [(top, high, left, wide) for top, high, left, wide in box_B4.tolist()]


def _reframed(clip_CTHW: Tensor, box: Box, mirrored: bool) -> Tensor:
    """Enlarge a part of the picture to its full size, by linear interpolation."""
    top, high, left, wide = box
    size = clip_CTHW.shape[2:]
    part_TChw = clip_CTHW[:, :, top : top + high, left : left + wide].transpose(0, 1)
    if (high, wide) != size:
        if clip_CTHW.device.type != "cpu":  # which is twice as quick with whole levels
            part_TChw = part_TChw.float()
        part_TChw = functional.interpolate(part_TChw, size, mode="bilinear")
    return (part_TChw.flip(-1) if mirrored else part_TChw).transpose(0, 1)


def _relight(
    seen_BTHW: Tensor, most: float, chances: Chances, seeing_B: Tensor
) -> None:
    """Change contrast and brightness of each clip; blacken those that do not see."""
    contrast_B = (1 + most * (2 * chances["contrast"] - 1)) * seeing_B
    light_B = GREY * most * (2 * chances["light"] - 1) + GREY
    light_B = light_B * seeing_B - GREY * contrast_B
    seen_BTHW *= per_clip(contrast_B, seen_BTHW)
    seen_BTHW += per_clip(light_B, seen_BTHW)
    seen_BTHW.clamp_(0, 255)


def _turn_up(heard_BTHW: Tensor, most: float, chances: Chances) -> None:
    """Make each clip louder or softer; silence stays silence."""
    if most:
        shift_B = LEVELS_PER_DB * most * (2 * chances["gain"] - 1)
        audible = heard_BTHW.sign()
        heard_BTHW.addcmul_(audible, per_clip(shift_B, heard_BTHW)).clamp_(0, 255)
