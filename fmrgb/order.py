"""From the number of an epoch to the order of its clips, and who is shown which.

The seed and the epoch decide the order, nothing that came before: a training that is
resumed sees the order it would have seen, and goes on at any batch of it. Batches are
those of all processes together; each process takes its part of every one, so that more
processes change neither what a step learns from nor how many steps there are.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from fmrgb.ranks import n_processes, number

WINDOW = 16  # blocks that are open at a time, where clips lie in blocks


def seed_of_epoch(seed: int, epoch: int, *more: int) -> int:
    """Mix numbers into one, so that neighbouring seeds, epochs and so on do not meet.

    Args:
        seed: the user's.
        epoch: its number.
        more: what else there is several of, counted from 1 (zeros at the end are lost).
    """
    return int(np.random.SeedSequence([seed, epoch, *more]).generate_state(1)[0])


def shuffled(
    n_clips: int, seed: int, epoch: int, blocks: Sequence[Sequence[int]] = ()
) -> Tensor:
    """Return the clips of an epoch in the order that seed and epoch decide: int64 [N].

    Where clips lie in blocks (shards) that are best read one after the other, blocks
    are drawn by chance, and the clips of about `WINDOW` of them mixed at a time.

    Args:
        n_clips: N.
        seed: the user's.
        epoch: its number.
        blocks: the clips of each block, every clip in one of them; none is a full
            shuffle.
    """
    dice = torch.Generator().manual_seed(seed_of_epoch(seed, epoch))
    largest = max(map(len, blocks), default=1)
    if largest == 1 or n_clips <= WINDOW * largest:
        return torch.randperm(n_clips, generator=dice)
    drawn = torch.randperm(len(blocks), generator=dice).tolist()
    order = torch.tensor([n for block in drawn for n in blocks[block]])
    windows = torch.split(order, WINDOW * largest)
    return torch.cat(
        [clips[torch.randperm(len(clips), generator=dice)] for clips in windows]
    )


class Order(Sampler[list[int]]):
    """The batches of an epoch, or what of each this process is shown.

    All processes have as many batches. Of a last batch with fewer clips than there are
    processes some have none.
    """

    def __init__(
        self,
        n_clips: int,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        blocks: Sequence[Sequence[int]] = (),
    ) -> None:
        """Order clips.

        Args:
            n_clips: how many.
            batch_size: clips of a batch, in all processes together.
            shuffle: for training; else clips come in their own order.
            seed: the user's.
            blocks: see `shuffled`.
        """
        self._n_clips, self._size = n_clips, batch_size
        self._shuffle, self._seed, self._blocks = shuffle, seed, blocks
        self._n_parts, self._part = n_processes(), number()
        self._epoch = self._skipped = 0
        self.sampler = self  # which Lightning tells the epoch
        self._n_batches = max(1, -(-n_clips // batch_size)) if n_clips else 0
        # Batch normalisation cannot learn from a batch of one: it joins the last.
        if shuffle and batch_size > 1 and n_clips % batch_size == 1 and n_clips > 1:
            self._n_batches -= 1

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before every epoch."""
        if epoch != self._epoch:
            self._epoch, self._skipped = epoch, 0

    def go_on(self, epoch: int, batches: int) -> None:
        """Begin in an epoch, of which so many batches were shown already."""
        self._epoch, self._skipped = epoch, batches

    def __len__(self) -> int:
        return self._n_batches

    def bounds(self, batch: int) -> tuple[int, int]:
        """Return where a whole batch begins and ends in the epoch."""
        is_last = batch == self._n_batches - 1
        first = batch * self._size
        return first, self._n_clips if is_last else first + self._size

    def part(self, batch: int) -> tuple[int, int, int]:
        """Return clips of a whole batch, and where this process's begin and end in it.

        Parts differ by one clip at most.
        """
        first, last = self.bounds(batch)
        n, k = last - first, self._part
        return n, n * k // self._n_parts, n * (k + 1) // self._n_parts

    def __iter__(self) -> Iterator[list[int]]:
        order = (
            shuffled(self._n_clips, self._seed, self._epoch, self._blocks)
            if self._shuffle
            else torch.arange(self._n_clips)
        )
        for batch in range(self._skipped, self._n_batches):
            start = self.bounds(batch)[0]
            _, first, last = self.part(batch)
            yield order[start + first : start + last].tolist()
