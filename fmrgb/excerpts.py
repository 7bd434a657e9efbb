"""From the sound of a file to a piece of it, or to a copy with noise mixed in.

Axes: S audio samples.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fmrgb.mixdown import Waveform
from fmrgb.tracks import Sound


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What makes a noisy copy of a clip.

    Attributes:
        clip: file that holds the noise.
        start_s: where in it the noise begins.
        seconds: how much is taken; repeated for a longer clip.
        snr_db: how much louder than the noise the clip is, see `mixed`.
        shift_s: by how much the clip is moved before, see `shifted`.
    """

    clip: Path
    start_s: float
    seconds: float
    snr_db: float
    shift_s: float


@dataclass(frozen=True)
class Excerpt:
    """What is taken of a file, where that is not all of it as it is.

    Attributes:
        number: from 1 on; tells the excerpts of one file apart.
        piece: start in s after the file's beginning, and length in s; None for all.
        noise: what is mixed in, if anything.
    """

    number: int
    piece: tuple[float, float] | None = None
    noise: Noise | None = None

    def told(self) -> dict[str, Any]:
        """Say as plain values what it is; a sample that says the same is up to date."""
        told: dict[str, Any] = {}
        if self.piece is not None:
            told["piece"] = list(self.piece)
        if self.noise is not None:
            told["noise"] = {**asdict(self.noise), "clip": self.noise.clip.name}
        return told

    def of(self, sound: Sound, read: Callable[[Path], Sound]) -> Sound:
        """Take it.

        Args:
            sound: of the whole file.
            read: reads the sound of another whole file, at the same rate.
        """
        if self.piece is not None:
            sound = _cut(sound, *self.piece)
        if self.noise is None:
            return sound
        noise = _cut(read(self.noise.clip), self.noise.start_s, self.noise.seconds)
        clip_S = shifted(sound.samples, round(self.noise.shift_s * sound.rate))
        noisy_S = mixed(clip_S, noise.samples, self.noise.snr_db)
        return replace(sound, samples=noisy_S)


def _cut(sound: Sound, start_s: float, seconds: float) -> Sound:
    first = round(start_s * sound.rate)
    samples = sound.samples[first : first + round(seconds * sound.rate)]
    return Sound(samples, sound.rate, sound.start_s + start_s)


def shifted(samples_S: Waveform, n_later: int) -> Waveform:
    """Move a sound by some samples, later or (negative) sooner; its length stays.

    What leaves at one end is lost, at the other silence comes in.
    """
    moved_S = np.zeros_like(samples_S)
    n_kept = max(0, len(samples_S) - abs(n_later))
    if n_later >= 0:
        moved_S[len(samples_S) - n_kept :] = samples_S[:n_kept]
    else:
        moved_S[:n_kept] = samples_S[len(samples_S) - n_kept :]
    return moved_S


def mixed(clip_S: Waveform, noise_S: Waveform, snr_db: float) -> Waveform:
    """Mix noise into a clip, so that the clip's power is so many dB above the noise's.

    Args:
        clip_S: float32 [S] in [-1, 1]; a silent one comes back as it is, as no noise is
            less loud than nothing.
        noise_S: float32, repeated if it is shorter, cut if longer.
        snr_db: 10 log10 of the ratio of mean squares.

    Returns:
        float32 [S]; where the sum would leave [-1, 1] all of it is made less loud.
    """
    if not len(clip_S) or not len(noise_S):
        return clip_S
    long_S = np.resize(noise_S, len(clip_S)).astype(np.float64)
    clip_power = float(np.mean(np.square(clip_S, dtype=np.float64)))
    noise_power = float(np.mean(np.square(long_S)))
    if not clip_power or not noise_power:
        return clip_S
    gain = math.sqrt(clip_power / noise_power / 10 ** (snr_db / 10))
    sum_S = clip_S + gain * long_S
    return (sum_S / max(1.0, float(np.abs(sum_S).max()))).astype(np.float32)
