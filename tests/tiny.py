"""Makers of samples so small that a network learns them in seconds.

Axes: T frames, H height, W width, C channels. No two sizes of axes are alike.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fmrgb.build import Recipe
from fmrgb.card import Card, View
from fmrgb.checkpoint import KEY, PREFIX, Network
from fmrgb.learner import Settings
from fmrgb.manifest import Row, write_manifest
from fmrgb.material import gather
from fmrgb.run import Run, run
from fmrgb.sample import Sample, save_sample

N_FRAMES = 6
HEIGHT = 10
WIDTH = 14
CHANNELS = ("R", "G", "B", "amplitude", "frequency")
VIEW = View(CHANNELS, N_FRAMES, HEIGHT, WIDTH, sound=CHANNELS[3:])
LEVELS = {"dark": 40, "bright": 200}  # what the picture of a label looks like
NOISE = 30  # levels to either side

CARD = Card(
    model="conv3d",
    model_size="tiny",
    classes=tuple(sorted(LEVELS)),
    view=VIEW,
    mean=[120.0] * 5,
    std=[80.0] * 5,
    recipe={},
)

torch.set_num_threads(1)  # such small work is done before a second thread has begun


def history(n_epochs: int) -> list[dict[str, float]]:
    """Return losses that fall until the third epoch and then rise."""
    return [
        {
            "epoch": epoch,
            "train_loss": 1 / (epoch + 1),
            "train_accuracy": 0.5,
            "val_loss": 1 + abs(epoch - 2),
            "val_accuracy": 0.6,
            "seconds": 1.0,
        }
        for epoch in range(n_epochs)
    ]


def sample(
    level: int = 120, label: str = "grey", *, loudness: int = 120, seed: int = 0
) -> Sample:
    """Return a noisy sample about a level, with sound planes about a loudness."""
    dice = np.random.default_rng(seed)

    def noisy(middle: int, *shape: int) -> Any:
        return dice.integers(middle - NOISE, middle + NOISE + 1, shape).astype(np.uint8)

    planes = {name: noisy(loudness, N_FRAMES) for name in CHANNELS[3:]}
    return Sample(
        visual=noisy(level, N_FRAMES, HEIGHT, WIDTH, 3),
        sound=planes,
        channels=CHANNELS,
        times=np.arange(N_FRAMES, dtype=np.float32) / 5,
        has_sound=True,
        silent=False,
        label=label,
        meta={"options": {"audiomethod": "simple"}},
    )


def dark_and_bright(
    folder: Path, splits: Sequence[str], *, first_seed: int = 0
) -> list[Row]:
    """Write one dark and one bright sample per entry of `splits`; return their rows.

    Their sound is alike; every sample has its own noise.
    """
    rows = []
    for place, split in enumerate(splits):
        for number, (label, level) in enumerate(LEVELS.items()):
            seed = first_seed + 2 * place + number
            path = folder / label / f"clip{seed:03d}.pt"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_sample(path, sample(level, label, seed=seed))
            known = Row(path=path, label=label, has_sound=True, silent=False)
            rows.append(replace(known, split=split))
    return rows


def saved(network: Network, path: Path) -> Path:
    """Write a network as training does; return its path."""
    state = {PREFIX + name: v for name, v in network.model.state_dict().items()}
    trust = {"trust": network.trust_SA.tolist()}
    torch.save({KEY: network.card.as_dict() | trust, "state_dict": state}, path)
    return path


def untrained(path: Path, *, seconds: float) -> Path:
    """Write a network that judges raw clips of so many s; return its path."""
    recipe = Recipe(frames=N_FRAMES, size=(WIDTH, HEIGHT)).options()
    card = replace(CARD, recipe=recipe, seconds=seconds, longest=seconds)
    torch.manual_seed(0)
    return saved(Network(card), path)


def manifest(folder: Path, n_pairs: int) -> Path:
    """Write pairs of samples, dark and bright, and a manifest without splits."""
    rows = dark_and_bright(folder, [""] * n_pairs)
    write_manifest(folder / "manifest.csv", rows)
    return folder / "manifest.csv"


def run_on(data: Path, settings: Settings, *, folder: Path, **how: Any) -> Run:
    """Gather the samples of a manifest or folder, and run."""
    looks = {
        k: how.pop(k) for k in ("channels", "frames", "size", "given_split") if k in how
    }
    # Tests list samples of one folder in tables of another.
    return run(gather(data, **looks, outside=True), settings, folder=folder, **how)
