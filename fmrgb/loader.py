"""From a manifest to batches [B, C, T, H, W], still uint8, and their normalisation.

Axes: B batch, C channels, T frames, H height, W width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fmrgb.errors import SampleError, TrainingError
from fmrgb.files import shown
from fmrgb.manifest import Row
from fmrgb.models import ClipShape
from fmrgb.sample import Sample, load_sample

CACHE_BYTES = 2 * 2**30  # clips that fit are read once
STILL = 1.0  # level; a plane that varies less is not stretched by normalisation

Item = tuple[Tensor, int, int]  # clip uint8 [C, T, H, W], class, number of its row


@dataclass(frozen=True)
class View:
    """Which part of a sample a network sees."""

    channels: tuple[str, ...]
    frames: int
    height: int
    width: int
    sound: tuple[str, ...] = ()  # those of the channels that are sound

    @property
    def shape(self) -> ClipShape:
        """Sizes [C, T, H, W] of one clip."""
        return ClipShape(len(self.channels), self.frames, self.height, self.width)

    @property
    def sound_places(self) -> tuple[int, ...]:
        """Places of the sound planes among the channels."""
        return tuple(c for c, name in enumerate(self.channels) if name in self.sound)

    @property
    def picture_places(self) -> tuple[int, ...]:
        """Places of the picture planes among the channels."""
        return tuple(
            c for c, name in enumerate(self.channels) if name not in self.sound
        )


def choose_view(
    first: Sample,
    *,
    channels: str = "all",
    frames: int | None = None,
    size: tuple[int, int] | None = None,
) -> View:
    """Settle what a network sees, by the first sample and the user's wishes.

    Args:
        first: any sample of the set.
        channels: all, picture, sound, or names separated by commas.
        frames: frames drawn of each sample; None takes as many as the first has.
        size: (width, height) in pixels; None takes the first's.

    Raises:
        TrainingError: if the sample has no such plane.
    """
    have = first.channels
    parts = {
        "all": have,
        "sound": tuple(c for c in have if c in first.sound),
        "picture": tuple(c for c in have if c not in first.sound),
    }
    chosen = parts.get(channels) or tuple(c.strip() for c in channels.split(","))
    if strange := [c for c in chosen if c not in have]:
        raise TrainingError(
            f"--channels: the samples have no plane {', '.join(strange)!r}; they have "
            f"{', '.join(have)}"
        )
    if len(set(chosen)) < len(chosen):
        raise TrainingError(f"--channels names a plane twice: {channels}")
    n_frames, height, width, _ = first.shape
    if size is not None:
        width, height = size
    sound = tuple(c for c in chosen if c in first.sound)
    return View(chosen, frames or n_frames, height, width, sound)


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

    def __init__(self, rows: Sequence[Row], classes: Sequence[str], view: View) -> None:
        """Serve `rows`; the class of a row is its label's place in `classes`."""
        self.rows = rows
        self.classes = tuple(classes)
        self.view = view
        self._numbers = {label: i for i, label in enumerate(classes)}
        n_bytes = int(np.prod(view.shape)) * len(rows)
        self._cache: dict[int, Tensor] | None = {} if n_bytes <= CACHE_BYTES else None
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


def view_of(sample: Sample, view: View, name: str) -> NDArray[np.uint8]:
    """Read what a network sees of a sample: uint8 [C, T, H, W].

    Frames are drawn at even distances; a sample with fewer frames repeats some.

    Raises:
        TrainingError: if the sample lacks a plane.
    """
    if missing := [c for c in view.channels if c not in sample.channels]:
        raise TrainingError(
            f"{name} lacks the plane {', '.join(missing)}, it has "
            f"{', '.join(sample.channels)}; build all samples with the same options"
        )
    index = np.round(np.linspace(0, len(sample.visual) - 1, view.frames)).astype(int)
    clip_THWC = sample.read(index, view.channels)
    if clip_THWC.shape[1:3] != (view.height, view.width):
        smaller = view.height < clip_THWC.shape[1] or view.width < clip_THWC.shape[2]
        how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        side = (view.width, view.height)
        frames = [_resized(frame, side, how) for frame in clip_THWC]
        clip_THWC = np.stack(frames).astype(np.uint8, copy=False)
    return np.ascontiguousarray(clip_THWC.transpose(3, 0, 1, 2))


def _resized(frame: NDArray[Any], side: tuple[int, int], how: int) -> NDArray[Any]:
    """Resize [H, W, C] plane by plane: some of OpenCV's ways take four at most."""
    planes = [
        cv2.resize(np.ascontiguousarray(frame[..., c]), side, interpolation=how)
        for c in range(frame.shape[2])
    ]
    return np.stack(planes, axis=-1)


def not_empty(levels_BCTHW: Tensor) -> Tensor:
    """Tell of which planes not all levels are 0: bool [B, C], on the CPU."""
    return levels_BCTHW.flatten(2).amax(dim=2).cpu() > 0


def seed_of_epoch(seed: int, epoch: int, *more: int) -> int:
    """Mix numbers into one, so that neighbouring seeds, epochs and so on do not meet.

    Args:
        seed: the user's.
        epoch: its number.
        more: what else there is several of, counted from 1 (zeros at the end are lost).
    """
    return int(np.random.SeedSequence([seed, epoch, *more]).generate_state(1)[0])


class Shuffled(Sampler[int]):
    """All clips in an order that the seed and the number of the epoch decide.

    Not what came before: a training that is resumed sees the order it would have seen.
    """

    def __init__(self, n_clips: int, seed: int) -> None:
        """Order `n_clips` clips."""
        self._n_clips = n_clips
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before every epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._n_clips

    def __iter__(self) -> Iterator[int]:
        dice = torch.Generator().manual_seed(seed_of_epoch(self._seed, self._epoch))
        return iter(torch.randperm(self._n_clips, generator=dice).tolist())


def batches(
    clips: ClipSet, *, batch_size: int, shuffle: bool, seed: int = 0, workers: int = 0
) -> DataLoader[Item]:
    """Serve batches: clips uint8 [B, C, T, H, W], classes [B], numbers of rows [B]."""
    return DataLoader(
        clips,
        batch_size=batch_size,
        sampler=Shuffled(len(clips), seed) if shuffle else None,
        num_workers=workers,
        # Batch normalisation cannot learn from a batch of one.
        drop_last=shuffle and len(clips) % batch_size == 1 and len(clips) > batch_size,
        persistent_workers=workers > 0,
        # Its own, so that starting to load takes nothing from the network's chances.
        generator=torch.Generator().manual_seed(seed),
        pin_memory=torch.cuda.is_available(),
    )


def statistics(clips: ClipSet) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel over all clips, in levels.

    Meant for the training split alone.
    """
    total = np.zeros(len(clips.view.channels))
    square = np.zeros_like(total)
    for number in range(len(clips)):
        clip_CN = clips[number][0].numpy().reshape(len(total), -1).astype(np.float32)
        total += clip_CN.mean(axis=1, dtype=np.float64)
        square += np.square(clip_CN).mean(axis=1, dtype=np.float64)
    mean = total / len(clips)
    std = np.sqrt(np.maximum(square / len(clips) - mean**2, 0))
    # A plane without variation (no clip has sound) must not blow up rounding noise.
    return mean.tolist(), np.maximum(std, STILL).tolist()


def class_weights(clips: ClipSet) -> list[float]:
    """Return what a clip of each class counts if all classes are to count the same.

    `n / (k * n_c)` for n clips of k classes, n_c of them of the class: scikit-learn's
    "balanced" weights. Their mean over the clips is 1; a class without clips has 0.
    """
    labels = [row.label for row in clips.rows]
    counts = [labels.count(name) for name in clips.classes]
    n_present = sum(count > 0 for count in counts)
    return [len(labels) / (n_present * n) if n else 0.0 for n in counts]
