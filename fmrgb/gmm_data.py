"""From samples to what a concept model sees of them: a picture, a sound picture, words.

Axes: N samples, H height, W width, C planes, T frames, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fmrgb.errors import SampleError
from fmrgb.files import room, shown
from fmrgb.manifest import Row
from fmrgb.sample import Sample, load_sample
from fmrgb.view import known

if TYPE_CHECKING:  # only a network's features need torch
    from fmrgb.checkpoint import Network

PICTURE, SOUND, TEXT = KINDS = ("picture", "sound", "text")

Levels = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """What there is of N samples.

    Attributes:
        levels: uint8 [N, H, W, C] of pictures, and of sound pictures spread over as
            large ones; only of kinds that some sample has.
        channels: names of their planes.
        texts: the words of each, empty where it has none.
        features: what a network makes of pictures and sounds, [N, F]; empty without.
        there: by kind, which samples have it, bool [N].
        names: by kind, what each was made from, where a sample tells, else its own.
    """

    levels: dict[str, Levels]
    channels: dict[str, tuple[str, ...]]
    texts: list[str]
    there: dict[str, NDArray[np.bool_]]
    names: dict[str, list[str]] = field(default_factory=dict)
    features: dict[str, Floats] = field(default_factory=dict)


def look_at(
    rows: Sequence[Row],
    *,
    expected: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] | None = None,
    network: "Network | None" = None,
) -> Seen:
    """Read samples of one frame, or with a network of any length.

    A picture or sound of which all levels are 0 is missing; words are the manifest's,
    or else the sample's own.

    Args:
        rows: of a manifest.
        expected: shape [H, W, C] and channels of each kind; None takes the first's.
        network: whose features count, instead of the levels.

    Raises:
        SampleError: if one cannot be read or is not like the first.
        TrainingError: if the network does not fit the samples.
    """
    samples = [load_sample(row.path) for row in rows]
    told = expected or _told_by(samples[0])
    levels = {k: room((len(rows), *shape)) for k, (shape, _) in told.items()}
    there = {kind: np.zeros(len(rows), bool) for kind in KINDS}
    texts = []
    for number, (row, sample) in enumerate(zip(rows, samples, strict=True)):
        for kind, (shape, channels) in told.items():
            picture = _picture(sample, kind, shape, channels, row.path, network)
            levels[kind][number] = picture
            heard = sample.has_sound or kind != SOUND
            there[kind][number] = bool(picture.any()) and heard
        own = sample.meta.get("text")
        texts.append(row.text or (own if isinstance(own, str) else ""))
        there[TEXT][number] = bool(texts[-1])
    channels_of = {kind: channels for kind, (_, channels) in told.items()}
    names = {kind: _names(rows, samples, kind) for kind in KINDS}
    features = {}
    if network:
        from fmrgb.gmm_features import features_of

        features = features_of(network, rows, samples, tuple(told))
    return Seen(levels, channels_of, texts, there, names, features)


def _names(rows: Sequence[Row], samples: Sequence[Sample], kind: str) -> list[str]:
    """Return the file that each sample's picture, sound or words came from."""
    joined = [known(sample, "joined").get(kind) for sample in samples]
    return [
        name if isinstance(name, str) else row.path.name
        for name, row in zip(joined, rows, strict=True)
    ]


def _told_by(first: Sample) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
    """Return shape and channels of the first sample's picture and sound picture."""
    sound = tuple(c for c in first.channels if c in first.sound)
    seen = tuple(c for c in first.channels if c not in first.sound)
    sides = first.shape[1:3]
    found = {PICTURE: seen, SOUND: sound}
    return {kind: ((*sides, len(c)), c) for kind, c in found.items() if c}


def _picture(
    sample: Sample,
    kind: str,
    shape: tuple[int, ...],
    channels: tuple[str, ...],
    path: Path,
    network: "Network | None",
) -> Levels:
    n_frames, *sides, _ = sample.shape
    if n_frames != 1 and network is None:
        raise SampleError(
            f"{shown(path)}: expected a sample of one frame, got {n_frames}; make it "
            "with pair or with create_fmrgbdata --soundpicture, or give the --features "
            "of a network that was trained on such samples"
        )
    if kind == PICTURE and not sample.visual.shape[-1]:  # a sound alone, asked about
        return np.zeros(shape, np.uint8)
    if missing := [c for c in channels if c not in sample.channels]:
        if kind == SOUND and not sample.sound:  # a still, asked about
            return np.zeros(shape, np.uint8)
        raise SampleError(f"{shown(path)} lacks the plane {', '.join(missing)}")
    if tuple(sides) != shape[:2]:
        raise SampleError(
            f"{shown(path)}: expected pictures of {shape[1]} x {shape[0]} pixels, got "
            f"{sides[1]} x {sides[0]}; make all samples alike"
        )
    levels: Levels = sample.read([n_frames // 2], channels)[0]
    return levels
