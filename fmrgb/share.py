"""What processes that train one network together show each other: parts of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from fmrgb.ranks import n_processes


@dataclass
class Share:
    """Which clips of the batch of all processes this process holds just now.

    Attributes:
        whole: clips of the whole batch.
        first: place in it of the first clip held here.
        last: place behind the last one.
        dice: chances that all processes draw alike, on the CPU; None where this process
            is alone and draws from torch's own.
    """

    whole: int = 0
    first: int = 0
    last: int = 0
    dice: torch.Generator | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Share":
        """Stay the same: a copy of a network would not be told of the next batch."""
        return self

    @property
    def is_part(self) -> bool:
        """Tell whether other processes hold clips of this batch, or might."""
        return self.dice is not None


def summed(values: Tensor) -> Tensor:
    """Sum what all processes hold, of equal shape; no gradient follows."""
    if n_processes() == 1:
        return values
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total


def gathered(part: Tensor) -> Tensor:
    """Return the parts of all processes, one behind the other, on the first axis.

    Args:
        part: [N, ...]; N may differ between processes and be 0.
    """
    if n_processes() == 1:
        return part
    size = torch.tensor([len(part)], device=part.device)
    sizes = [torch.empty_like(size) for _ in range(n_processes())]
    distributed.all_gather(sizes, size)
    lengths = [int(n) for n in sizes]
    padded = part.new_zeros((max(lengths), *part.shape[1:]))
    padded[: len(part)] = part
    parts = [torch.empty_like(padded) for _ in lengths]
    distributed.all_gather(parts, padded)
    return torch.cat([one[:n] for one, n in zip(parts, lengths, strict=True)])


def lent(clips: Tensor, places: Sequence[int], share: Share | None) -> Tensor:
    """Return some clips of the whole batch, wherever they are held: [places, ...].

    Args:
        clips: those held here, [B, ...].
        places: in the whole batch; the same ones in all processes.
        share: which clips these are; None is all of them.
    """
    if share is None or not share.is_part:
        return clips[list(places)]
    found = clips.new_zeros((len(places), *clips.shape[1:]))
    for n, place in enumerate(places):
        if share.first <= place < share.last:
            found[n] = clips[place - share.first]
    return summed(found) if places else found
