"""A network that learns the demo's exclusive-or in seconds, without files.

Axes: B batch, C channels, T frames, H height, W width.
"""

from itertools import product

import cv2
import numpy as np
import tiny  # noqa: F401  it settles how many threads torch uses
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fmrgb.build import Recipe, prepare
from fmrgb.card import Card, View
from fmrgb.checkpoint import Network
from fmrgb.demo import FPS, FRAMES, LABELS, moving_shape, sweep
from fmrgb.media import SOUND_RATE
from fmrgb.sample import Sample
from fmrgb.tracks import Clip, Sound
from fmrgb.trust import fit_trust

WIDTH, HEIGHT = 24, 18
RECIPE = Recipe(frames=8, size=(WIDTH, HEIGHT))
CLIPS, EPOCHS, BATCH, RATE = 640, 5, 16, 1e-2  # found by trying
JUDGED = 80  # clips that are not learned from
CLASSES = tuple(sorted(LABELS.values()))


def lesson(number: int, *, right: bool, rises: bool) -> Sample:
    """Return the sample of one clip of the demo."""
    dice = np.random.default_rng(number)
    size, how = (WIDTH, HEIGHT), cv2.INTER_AREA
    shown = moving_shape(dice, right=right)
    frames = np.stack([cv2.resize(f, size, interpolation=how) for f in shown])
    starts = np.arange(FRAMES) / FPS
    sound = Sound(sweep(dice, rises=rises), SOUND_RATE, 0.0)
    clip = Clip(frames.astype(np.uint8), starts, starts + 1 / FPS, float(FPS), sound)
    return prepare(clip, RECIPE, label=LABELS[right == rises])


def lessons(seed: int) -> list[Sample]:
    """Return clips of all four kinds in equal numbers."""
    kinds = list(product((True, False), (True, False)))
    return [
        lesson(seed * CLIPS + n, right=kinds[n % 4][0], rises=kinds[n % 4][1])
        for n in range(CLIPS)
    ]


def levels_of(sample: Sample) -> NDArray[np.uint8]:
    """Return a sample as a network sees it, [C, T, H, W]."""
    return np.ascontiguousarray(sample.clip.transpose(3, 0, 1, 2))


def card_of(clips_BCTHW: torch.Tensor, *, model: str = "conv3d") -> Card:
    """Describe a network for these clips."""
    levels = clips_BCTHW.float().transpose(0, 1).flatten(1)
    sizes = clips_BCTHW.shape[2:]
    return Card(
        model=model,
        model_size="tiny",
        classes=CLASSES,
        view=View(RECIPE.channels, *sizes, sound=RECIPE.sound_planes),
        mean=levels.mean(dim=1).tolist(),
        std=levels.std(dim=1).tolist(),
        fusion="senses",
        recipe=RECIPE.options(),
    )


def taught(seed: int) -> tuple[Network, list[Sample], float]:
    """Teach a network; return it, clips it has not seen, and its accuracy on them."""
    torch.manual_seed(seed)
    samples = lessons(seed)
    clips = torch.stack([torch.from_numpy(levels_of(s)) for s in samples])
    truth = torch.tensor([CLASSES.index(s.label) for s in samples])
    network = Network(card_of(clips[JUDGED:])).train()
    optimiser = torch.optim.AdamW(network.parameters(), RATE)
    n_steps = (CLIPS - JUDGED) // BATCH * EPOCHS
    pace = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=n_steps)
    for _ in range(EPOCHS):
        order = JUDGED + torch.randperm(CLIPS - JUDGED)
        for batch in order.split(BATCH):
            answers_BAK = network.answers(clips[batch])
            truth_BA = truth[batch][:, None].expand(answers_BAK.shape[:2])
            loss = functional.cross_entropy(
                answers_BAK.flatten(0, 1), truth_BA.flatten()
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            pace.step()
    network.eval()
    with torch.inference_mode():
        said = network.answers(clips[:JUDGED]).double().numpy()
        kinds = network.kinds(clips[:JUDGED]).numpy()
        network.trust_SA = fit_trust(said, kinds, truth[:JUDGED].numpy())
        right = network(clips[:JUDGED]).argmax(dim=1) == truth[:JUDGED]
    return network, samples[:JUDGED], float(right.float().mean())
