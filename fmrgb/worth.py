"""From a network and clips to what each plane is worth: what is lost without it.

A plane is not blanked, which no clip of the training may have looked like, but taken
from another clip: permutation importance (Breiman 2001, doi:10.1023/A:1010933404324).

Axes: B batch, C channels, T frames, H height, W width, N clips.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fmrgb.card import View
from fmrgb.checkpoint import Network
from fmrgb.loader import ClipSet
from fmrgb.names import FEATURES

ALL_PICTURE, ALL_SOUND = "all picture planes", "all sound planes"
ALL_BUT_FEATURES = f"all planes but {FEATURES}"
REPEATS = 5  # times that every clip gets other clips' planes


def parts_of(view: View) -> dict[str, list[int]]:
    """Name what is replaced together: each plane, all picture, all sound planes.

    Beside `features`, which a network may take as numbers, all planes of pictures too.

    Returns:
        places among the channels by name; what is one plane, or all of another part, is
        not named twice.
    """
    parts = {name: [c] for c, name in enumerate(view.channels)}
    seen, heard = list(view.picture_places), list(view.sound_places)
    more = {ALL_PICTURE: seen, ALL_SOUND: heard}
    if FEATURES in parts:
        more[ALL_BUT_FEATURES] = [c for name, (c,) in parts.items() if name != FEATURES]
    for name, planes in more.items():
        if len(planes) > 1 and planes not in parts.values():
            parts[name] = planes
    return parts


def donors(sources: Sequence[str], dice: np.random.Generator) -> NDArray[np.int64]:
    """Draw for each clip another one that gives its planes; each gives once.

    It comes from another source as long as no source holds more than half of the clips,
    else at least from another clip.
    """
    n_clips = len(sources)
    _, places = np.unique(np.array(sources), return_inverse=True)
    # Clips of one source side by side, in random order: moving all on by the size of
    # the largest source or more leads out of every source.
    numbers = dice.permutation(places.max() + 1)[places]
    order = np.lexsort((dice.random(n_clips), numbers))
    largest = int(np.bincount(places).max())
    first, last = largest, n_clips - largest
    if first > last:
        first, last = 1, max(1, n_clips - 1)
    givers = np.empty(n_clips, np.int64)
    givers[order] = np.roll(order, -int(dice.integers(first, last + 1)))
    return givers


def try_planes(
    network: Network,
    clips: ClipSet,
    sources: Sequence[str],
    *,
    batch_size: int,
    repeats: int = REPEATS,
    seed: int = 0,
) -> dict[str, NDArray[np.float64]]:
    """Ask a network about clips that have planes of other clips.

    The same clips give in the same order for every part, so that parts can be compared.

    Args:
        network: in evaluation mode, on the device to be used.
        clips: N labelled clips; those that fit into memory are read once.
        sources: what each clip was cut from; donors are of other sources.
        batch_size: clips per step.
        repeats: how many donors each clip gets.
        seed: of the draw of donors.

    Returns:
        by the names of `parts_of`: [N] share of the tries in which the network was
        still right, 0 to 1.
    """
    parts = parts_of(clips.view)
    dice = np.random.default_rng(seed)
    right = {name: np.zeros(len(clips)) for name in parts}
    device = next(network.parameters()).device
    for _ in range(repeats):
        givers = donors(sources, dice)
        for first in range(0, len(clips), batch_size):
            numbers = np.arange(first, min(first + batch_size, len(clips)))
            own_BCTHW, truth_B = _read(clips, numbers)
            other_BCTHW, _ = _read(clips, givers[numbers])
            for name, planes in parts.items():
                mixed_BCTHW = own_BCTHW.clone()
                mixed_BCTHW[:, planes] = other_BCTHW[:, planes]
                with torch.inference_mode():
                    guesses = network(mixed_BCTHW.to(device)).argmax(dim=1)
                right[name][numbers] += (guesses.cpu() == truth_B).numpy()
    return {name: counts / repeats for name, counts in right.items()}


def _read(clips: ClipSet, numbers: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Return clips uint8 [B, C, T, H, W] and their classes [B]."""
    items = [clips[int(n)] for n in numbers]
    return torch.stack([item[0] for item in items]), torch.tensor([i[1] for i in items])
