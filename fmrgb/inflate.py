"""From a network of some planes and one clip size to a network of others.

The first layer is carried over plane by plane, by name, and a plane that it does not
know begins at zero. Carreira and Zisserman 2017 (arXiv:1705.07750) widen a layer so
that its answer to what it was trained on stays the same, and so does this: the network
begins as the one that was trained, whatever the new planes show, and the statistics of
its normalisations hold. (The mean of the known kernels, the other habit, would let a
sound plane speak as if it were a picture.) Zeros learn from the first step: the
gradient of a kernel is made of what goes in and what comes back, not of the kernel
(Zhang et al. 2023, arXiv:2302.05543).

Axes: O features out, P planes of the new network, Q planes of the known one, F moments,
N places, D features.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from fmrgb.card import Card
from fmrgb.models import TWO_BRANCHES
from fmrgb.names import FEATURES

CHANGE = "change of"  # goes before the name of a plane, where its changes are seen
LUMA = {"R": 0.299, "G": 0.587, "B": 0.114}  # shares in `stack.to_gray`, ITU-R BT.601


class Match(NamedTuple):
    """A new network, and the known one that it takes from.

    Attributes:
        part: which of our model it is: picture, sound, or "" for all of it.
        planes: what it sees.
        source: which of the known model the other is.
        theirs: what that one sees.
        shares_PQ: float32, how much of each of their planes each of ours takes.
    """

    part: str
    planes: tuple[str, ...]
    source: str
    theirs: tuple[str, ...]
    shares_PQ: Tensor

    @property
    def known(self) -> tuple[str, ...]:
        """Planes of ours that the other knows."""
        knows_P = self.shares_PQ.any(dim=1).tolist()
        return tuple(p for p, knows in zip(self.planes, knows_P, strict=True) if knows)

    @property
    def derivation(self) -> str:
        """Where the planes of the first layer come from, in words."""
        same = [plane for plane in self.known if plane in self.theirs]
        mixed = [plane for plane in self.known if plane not in self.theirs]
        fresh = [plane for plane in self.planes if plane not in self.known]
        used_Q = self.shares_PQ.any(dim=0).tolist()
        used = [q for q, is_used in zip(self.theirs, used_Q, strict=True) if is_used]
        told = {
            "{} by name": same,
            "{} from " + ", ".join(q for q in used if q not in same): mixed,
            "{} from zero": fresh,
            "{} dropped": [q for q in self.theirs if q not in used],
        }
        return "; ".join(k.format(", ".join(v)) for k, v in told.items() if v)


def matches(card: Card, known: Card) -> list[Match]:
    """Find for each network of `card` the one of `known` that shares most planes."""
    found = []
    for part, planes in _parts(card).items():
        offers = [
            Match(part, planes, source, theirs, _shares(planes, theirs))
            for source, theirs in _parts(known).items()
        ]
        found.append(max(offers, key=lambda match: len(match.known)))
    return found


def _parts(card: Card) -> dict[str, tuple[str, ...]]:
    """Return the planes that each network of a model sees, by its name in the model.

    Where the senses are apart, each sees how its planes change besides, if there are
    frames to change from.
    """
    view = card.view
    if card.model in TWO_BRANCHES:
        return {"": tuple(c for c in view.channels if c != FEATURES)}
    if card.fusion == "stack":
        return {"": view.channels}
    sound = [c for c in view.channels if c in view.sound]
    picture = [c for c in view.channels if c not in view.sound]
    if view.frames > 1:
        picture, sound = ([*p, *(f"{CHANGE} {c}" for c in p)] for p in (picture, sound))
    seen, heard = tuple(picture), tuple(sound)
    if sound and picture:
        return {"picture": seen, "sound": heard}
    return {"": heard or seen}


def _shares(planes: Sequence[str], theirs: Sequence[str]) -> Tensor:
    """Return how much of each of their planes each plane takes, float32 [P, Q].

    A gray clip is one whose R, G and B are alike, so its kernel is their sum; R, G and
    B take gray's kernel in the shares in which they make gray. Their changes do alike.
    """
    shares_PQ = torch.zeros(len(planes), len(theirs))
    for p, plane in enumerate(planes):
        kind, _, name = plane.rpartition(" ")
        split = enumerate(q.rpartition(" ") for q in theirs)
        known = {theirs_name: q for q, (k, _, theirs_name) in split if k == kind}
        if name in known:
            shares_PQ[p, known[name]] = 1
        elif name == "gray" and set(LUMA) <= set(known):
            shares_PQ[p, [known[colour] for colour in LUMA]] = 1
        elif name in LUMA and "gray" in known:
            shares_PQ[p, known["gray"]] = LUMA[name]
    return shares_PQ


def inflate(kernels: Tensor, shares_PQ: Tensor) -> Tensor:
    """Give a first layer other planes.

    Args:
        kernels: [O, Q, ...] of a convolution, or [O, N * Q] of tubelets.
        shares_PQ: how much of each of its planes each new plane takes.

    Returns:
        [O, P, ...] or [O, N * P].
    """
    if kernels.ndim == 2:
        tubelets_ONQ = kernels.reshape(len(kernels), -1, shares_PQ.shape[1])
        return (tubelets_ONQ @ shares_PQ.T).flatten(1)
    return torch.einsum("oq...,pq->op...", kernels, shares_PQ)


def resample(
    positions: Tensor, there: tuple[int, ...], here: tuple[int, ...]
) -> Tensor:
    """Interpolate ViViT's positions, linearly, for clips of another size.

    Args:
        positions: [1, F, N, D].
        there: how many moments, rows and columns of tubelets they are for.
        here: how many are wanted.

    Returns:
        [1, F', N', D].

    Source:
        Dosovitskiy et al. 2021, arXiv:2010.11929, section 3.2, there over two axes.
    """
    if there == here:
        return positions
    grid_1DFHW = positions.reshape(1, *there, -1).permute(0, 4, 1, 2, 3)
    new_1DFHW = functional.interpolate(grid_1DFHW, here, mode="trilinear")
    return new_1DFHW.permute(0, 2, 3, 4, 1).flatten(2, 3)
