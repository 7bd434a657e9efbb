"""From a manifest to batches [B, C, T, H, W], still uint8, and their normalisation.

Axes: B batch, C channels, T frames, H height, W width.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from fmrgb.card import View
from fmrgb.errors import SampleError, TrainingError
from fmrgb.files import shown
from fmrgb.manifest import Row
from fmrgb.order import Order
from fmrgb.sample import load_sample
from fmrgb.seen import view_of

CACHE_BYTES = 2 * 2**30  # clips that fit are read once
LOOKED_AT = 1000  # samples that are asked how long their sound was
STILL = 1.0  # level; a plane that varies less is not stretched by normalisation

Item = tuple[Tensor, int, int]  # clip uint8 [C, T, H, W], class, number of its row


def readable(rows: Sequence[Row]) -> tuple[list[Row], dict[str, str]]:
    """Open every sample once; return the rows that can be used, and reasons by name.

    Raises:
        TrainingError: if none can be used.
    """
    good, faults = [], {}
    for row in rows:
        try:
            load_sample(row.path)
        except SampleError as error:
            faults[shown(row.path)] = str(error)
        else:
            good.append(row)
    if not good:
        raise TrainingError(
            f"no sample can be read; the first: {next(iter(faults.values()))}"
        )
    return good, faults


class ClipSet(Dataset[Item]):
    """Samples as network input; those that fit into memory are read once."""

    def __init__(
        self,
        rows: Sequence[Row],
        classes: Sequence[str],
        view: View,
        ready: Sequence[NDArray[np.uint8]] | None = None,
    ) -> None:
        """Serve `rows`.

        Args:
            rows: what to serve.
            classes: the class of a row is its label's place among them.
            view: what a network sees of a sample.
            ready: what it sees of each row, [C, T, H, W], if that is at hand; the
                samples are then not read.
        """
        self.rows = rows
        self.classes = tuple(classes)
        self.view = view
        self._numbers = {label: i for i, label in enumerate(classes)}
        n_bytes = int(np.prod(view.shape)) * len(rows)
        self._cache: dict[int, Tensor] | None = {} if n_bytes <= CACHE_BYTES else None
        if ready is not None:
            self._cache = dict(enumerate(map(torch.from_numpy, ready)))
        if strange := sorted({r.label for r in rows} - set(classes)):
            raise TrainingError(
                f"labels the model does not know: {', '.join(strange)}; it knows "
                f"{', '.join(classes)}"
            )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Item:
        label = self._numbers[self.rows[number].label]
        if self._cache is not None and number in self._cache:
            return self._cache[number], label, number
        sample = load_sample(self.rows[number].path)
        clip = torch.from_numpy(
            view_of(sample, self.view, shown(self.rows[number].path))
        )
        if self._cache is not None:
            self._cache[number] = clip
        return clip, label, number


def not_empty(levels_BCTHW: Tensor) -> Tensor:
    """Tell of which planes not all levels are 0: bool [B, C]."""
    return levels_BCTHW.flatten(2).amax(dim=2) > 0


def batches(
    clips: ClipSet,
    *,
    batch_size: int,
    shuffle: bool,
    seed: int = 0,
    workers: int = 0,
    blocks: Sequence[Sequence[int]] = (),
) -> DataLoader[Item]:
    """Serve batches: clips uint8 [B, C, T, H, W], classes [B], numbers of rows [B].

    Of several processes each is served its part of every batch of `batch_size`; B may
    be 0. See `fmrgb.order.Order`, which is the loader's `batch_sampler`.
    """
    return DataLoader(
        clips,
        batch_sampler=Order(
            len(clips), batch_size, shuffle=shuffle, seed=seed, blocks=blocks
        ),
        num_workers=workers,
        collate_fn=partial(_together, shape=tuple(clips.view.shape)),
        persistent_workers=workers > 0,
        # Its own, so that starting to load takes nothing from the network's chances.
        generator=torch.Generator().manual_seed(seed),
        pin_memory=torch.cuda.is_available(),
    )


def _together(items: list[Item], shape: tuple[int, ...]) -> Any:
    """Make one batch of items, or of none."""
    if items:
        return default_collate(items)
    none = torch.empty(0, dtype=torch.int64)
    return [torch.empty((0, *shape), dtype=torch.uint8), none, none]


def statistics(clips: ClipSet) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel, in levels.

    Over the clips that have it: one without sound says nothing of what sound is like.
    Meant for the training split alone.
    """
    total = np.zeros(len(clips.view.channels))
    square, count = np.zeros_like(total), np.zeros_like(total)
    for number in range(len(clips)):
        clip_CN = clips[number][0].numpy().reshape(len(total), -1).astype(np.float32)
        total += clip_CN.mean(axis=1, dtype=np.float64)
        square += np.square(clip_CN).mean(axis=1, dtype=np.float64)
        count += clip_CN.any(axis=1)
    mean = total / np.maximum(count, 1)
    std = np.sqrt(np.maximum(square / np.maximum(count, 1) - mean**2, 0))
    # A plane without variation (no clip has sound) must not blow up rounding noise.
    return mean.tolist(), np.maximum(std, STILL).tolist()


def untrimmed(rows: Sequence[Row], recipe: Mapping[str, Any]) -> list[float]:
    """Return how long sounds were, in s, before silence was cut off their ends.

    So long are those that prediction is asked about. Nothing where nothing was cut, or
    where tracks were cut into windows besides; some of many.
    """
    look = recipe.get("soundpicture") or {}
    if look.get("trim_db") is None or look.get("window_s") is not None:
        return []
    looked = rows[:: max(1, len(rows) // LOOKED_AT)]
    told = (load_sample(row.path).meta.get("untrimmed") for row in looked)
    return [float(seconds) for seconds in told if isinstance(seconds, float)]


def class_weights(clips: ClipSet) -> list[float]:
    """Return what a clip of each class counts if all classes are to count the same.

    `n / (k * n_c)` for n clips of k classes, n_c of them of the class: scikit-learn's
    "balanced" weights. Their mean over the clips is 1; a class without clips has 0.
    """
    have = Counter(row.label for row in clips.rows)
    counts = [have[name] for name in clips.classes]
    n_present = sum(count > 0 for count in counts)
    return [len(clips.rows) / (n_present * n) if n else 0.0 for n in counts]
