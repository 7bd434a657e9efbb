"""Makers of networks that answer without having learned, and of clips to ask about.

Axes: B batch, C channels, T frames, H height, W width, S audio samples.
"""

from dataclasses import replace
from pathlib import Path

import clips
import numpy as np
import tiny
import torch
from numpy.typing import NDArray

from fmrgb.build import Recipe
from fmrgb.card import Card, View
from fmrgb.checkpoint import KEY, PREFIX, Network

RECIPE = Recipe(frames=tiny.N_FRAMES, size=(tiny.WIDTH, tiny.HEIGHT))
CARD = replace(
    tiny.CARD,
    recipe=RECIPE.options(),
    seconds=1.2,
    fps=(8.0, 12.0),
    ratio=(1.4, 1.6),
)
SOUND = ("amplitude", "frequency")
DARK, BRIGHT = (20, 25, 30), (225, 230, 235)


class ByLight:
    """Says "bright" where the picture is, "dark" elsewhere; sure where it is plain."""

    def __init__(self, card: Card = CARD) -> None:
        """Judge as if trained by this card; keep what was asked."""
        self.card = card
        self.asked: list[NDArray[np.uint8]] = []

    def logits(self, levels_BCTHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the difference of the mean level from the middle, float32 [B, 2]."""
        self.asked.append(levels_BCTHW)
        light_B = levels_BCTHW[:, :3].mean(axis=(1, 2, 3, 4)) / 255 - 0.5
        return np.stack([10 * light_B, -10 * light_B], axis=1).astype(np.float32)


def checkpoint(folder: Path, card: Card = CARD, *, seed: int = 0) -> Path:
    """Write a checkpoint with fresh weights; return its path."""
    torch.manual_seed(seed)
    network = Network(card)
    state = {f"{PREFIX}{k}": v for k, v in network.model.state_dict().items()}
    path = folder / "best.ckpt"
    known = card.as_dict() | {"trust": network.trust_SA.tolist()}
    torch.save({KEY: known, "state_dict": state}, path)
    return path


def sound_alone(card: Card = CARD) -> Card:
    """Return the card of a network that judges by sound alone."""
    view = View(SOUND, card.view.frames, card.view.height, card.view.width, SOUND)
    return replace(card, view=view, mean=card.mean[3:], std=card.std[3:])


def picture_alone(card: Card = CARD) -> Card:
    """Return the card of a network that judges by the picture alone."""
    view = View(("R", "G", "B"), card.view.frames, card.view.height, card.view.width)
    return replace(card, view=view, mean=card.mean[:3], std=card.std[:3])


def lights(*seconds: tuple[tuple[int, int, int], float]) -> NDArray[np.uint8]:
    """Return frames [T, H, W, 3] of one colour after the other, each for some s."""
    parts = [
        np.broadcast_to(
            np.array(colour, np.uint8),
            (round(s * clips.FPS), clips.HEIGHT, clips.WIDTH, 3),
        )
        for colour, s in seconds
    ]
    return np.concatenate(parts)


def dusk(path: Path, **how: object) -> Path:
    """Write 8 s: dark for 3, bright for 2, dark for 3, with a tone; return its path."""
    frames = lights((DARK, 3), (BRIGHT, 2), (DARK, 3))
    return clips.make(path, frames, clips.tone(440, 8), **how)  # type: ignore[arg-type]
