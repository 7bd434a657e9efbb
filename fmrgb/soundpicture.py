"""From a waveform [S] to one picture of all of it, [bands, columns], or to 52 values.

A picture is uint8, lowest band in the bottom row, and comes with a `Levels` that turns
its levels back into units. Time runs over all columns, whatever the sound's length.

Axes: S audio samples, F frequency bins, N windows of analysis, M mel bands, K columns.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fmrgb.names import FEATURES
from fmrgb.sound import (
    DB_FLOOR,
    MEL_HZ,
    SILENCE_DBFS,
    SILENCE_GAIN,
    WINDOW_S,
    Levels,
    hz_to_mel,
    power_of_two,
)
from fmrgb.soundfeatures import feature_levels, measure

Floats = NDArray[np.floating]
Picture = NDArray[np.uint8]

# dBFS that `mel` shows at level 255 on the absolute scale. On a linear scale of
# amplitudes speech, some -30 dB in its strongest band, would else have 8 levels.
MEL_FULL_DB = -20.0
HANN_ENBW = 1.5  # bins; the power of a sine, spread by a Hann window, over its peak's
MEL_BIN = 0.7  # of the distance of the narrowest bands that two bins have
MFCC_MELS = 64  # mel bands that cepstra are taken of, at least
MFCC_SPAN = 127.0  # of lifted cepstra: one to a level


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How a picture is drawn.

    Attributes:
        bands: rows of a picture: bands of frequency, cepstra or steps of amplitude.
        columns: of a picture; the sound's length is divided among them.
        floor: dB below the reference that level 0 stands for; negative.
        relative: the reference is the picture's own maximum, not full scale.
    """

    bands: int = 64
    columns: int = 64
    floor: float = DB_FLOOR
    relative: bool = False


@dataclass(frozen=True, eq=False)
class Stretch:
    """A stretch of sound: float32 [S], mono, in [-1, 1], and its rate in Hz.

    `known` keeps what more than one picture is drawn from.
    """

    samples: Floats
    rate: int
    known: dict[tuple[int, int], Floats] = field(default_factory=dict)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The 26 classic values, float64 [26, 2]; see `soundfeatures.measure`."""
        return measure(self.samples, self.rate)


def stft(sound: Stretch, how: Drawing) -> tuple[Picture, Levels]:
    """Draw a spectrogram with a linear axis of frequency, 0 Hz to half the rate, in dB.

    The power of a row is that of all bins in it, that of a column the mean of its
    windows of 32 ms: a full-scale sine has 0 dB in its row.

    Returns:
        uint8 [bands, columns]; `floor` dB below the reference to the reference.
    """
    n_fft = power_of_two(max(2 * how.bands, WINDOW_S * sound.rate))
    power_FK = powers(sound, n_fft, how.columns)[:-1]  # half the rate has no row
    firsts = np.arange(how.bands) * len(power_FK) // how.bands
    return _in_db(np.add.reduceat(power_FK, firsts, axis=0), how)


def mel(sound: Stretch, how: Drawing) -> tuple[Picture, Levels]:
    """Draw a mel spectrogram of amplitudes, without logarithm.

    Returns:
        uint8 [bands, columns]; amplitude as a part of -20 dBFS (absolute: what is
        louder is cut) or of the picture's strongest (relative).
    """
    gain_MK = np.sqrt(mel_powers(sound, how.bands, how.columns))
    full = 10 ** (MEL_FULL_DB / 20)
    if how.relative:
        full = max(float(gain_MK.max()), SILENCE_GAIN)
    high = 20 * float(np.log10(full))
    picture = _to_levels(gain_MK[::-1] / full * 255)
    return picture, Levels("dBFS", high + how.floor, high, "gain")


def logmel(sound: Stretch, how: Drawing) -> tuple[Picture, Levels]:
    """Draw a mel spectrogram in dB.

    Returns:
        uint8 [bands, columns]; `floor` dB below the reference to the reference.
    """
    return _in_db(mel_powers(sound, how.bands, how.columns), how)


def mfcc(sound: Stretch, how: Drawing) -> tuple[Picture, Levels]:
    """Draw mel-frequency cepstra, the first (how loud) in the bottom row.

    `librosa.feature.mfcc` of the mel picture in dB above the middle of its range,
    divided by the root of the number of bands, with lifter `2 * bands`, by which all
    rows vary about alike.

    Returns:
        uint8 [bands, columns], signed: level 128 is 0, and a level is 1.
    """
    import librosa

    n_mels = max(MFCC_MELS, how.bands)
    decibel_MK, high = _decibel(mel_powers(sound, n_mels, how.columns), how)
    middle = high + how.floor / 2
    cepstra: Floats = librosa.feature.mfcc(
        S=np.maximum(decibel_MK, high + how.floor) - middle,
        n_mfcc=how.bands,
        lifter=2 * how.bands,
    )
    part = cepstra[::-1] / np.sqrt(n_mels) / MFCC_SPAN
    return _signed(part), signed_levels("cepstrum", MFCC_SPAN)


def waveform(sound: Stretch, how: Drawing) -> tuple[Picture, Levels]:
    """Draw the waveform: each column is filled from its lowest to its highest sample.

    Rows are steps of amplitude, from the reference at the top to its negative at the
    bottom. What is filled above zero is 255, below zero 0, cells filled in part lie
    between, and all else is 128: silence is an even grey, and has no mean of its own.

    Returns:
        uint8 [bands, columns], signed: level 128 is nothing.
    """
    peak = float(np.abs(sound.samples).max(initial=0.0))
    span = max(peak, SILENCE_GAIN) if how.relative else 1.0
    low_K, high_K = extremes(sound.samples / span, how.columns)
    edges = np.linspace(1.0, -1.0, how.bands + 1)[:, None]
    filled = np.zeros((how.bands, how.columns))
    for sign, low, high in ((1, np.maximum(low_K, 0), high_K),
                            (-1, low_K, np.minimum(high_K, 0))):  # fmt: skip
        overlap = np.minimum(high, edges[:-1]) - np.maximum(low, edges[1:])
        filled += sign * np.maximum(overlap, 0) * how.bands / 2
    return _signed(filled), signed_levels("amplitude", span)


def features(sound: Stretch, how: Drawing) -> tuple[Picture, Levels]:
    """Measure the 26 classic values, and put each on the levels of its own range.

    Returns:
        uint8 [26, 2], rows `names.FEATURE_NAMES`, columns mean and spread; row by row,
        level 0 and 255 stand for the ends of `feature_ranges`.
    """
    del how
    return feature_levels(sound.values, sound.rate), Levels("level", 0, 255, "Hz")


SOUND_PICTURES: dict[str, Callable[[Stretch, Drawing], tuple[Picture, Levels]]] = {
    "stft": stft,
    "mel": mel,
    "logmel": logmel,
    "mfcc": mfcc,
    "waveform": waveform,
    FEATURES: features,
}


def powers(sound: Stretch, n_fft: int, columns: int) -> Floats:
    """Return the power in each bin, averaged over each column: float [F, K].

    Windows (Hann, 32 ms, by `librosa.stft`) lie so close that every sample counts. The
    bins of a full-scale sine add up to 1.
    """
    import librosa

    samples = sound.samples if len(sound.samples) else np.zeros(1, np.float32)
    n, window = len(samples), max(4, round(WINDOW_S * sound.rate))
    hop = max(1, min(window // 2, n // (2 * columns)))
    n_windows = -(-n // hop)
    before = n_fft // 2 - hop // 2  # the first window is centred on the first hop
    behind = max(0, (n_windows - 1) * hop + n_fft - n - before)
    found: Floats = librosa.stft(
        np.pad(samples, (before, behind)),
        n_fft=n_fft,
        hop_length=hop,
        win_length=window,
        center=False,
    )[:, :n_windows]
    hann_sum = window / 2
    scale = (2 / hann_sum) ** 2 * window / (n_fft * HANN_ENBW)
    power_FN = np.square(np.abs(found)) * scale
    centres = (np.arange(n_windows) + 0.5) * hop
    firsts = np.searchsorted(centres, np.arange(columns) * n / columns)
    firsts = np.minimum(firsts, n_windows - 1)
    counts = np.maximum(np.diff(np.append(firsts, n_windows)), 1)
    mean_FK: Floats = np.add.reduceat(power_FN, firsts, axis=1) / counts
    return mean_FK


def mel_powers(sound: Stretch, bands: int, columns: int) -> Floats:
    """Return the power in mel bands (triangles of height 1, up to half the rate).

    Returns:
        float [M, K]; a full-scale sine in the middle of a band has 1, less where bands
        are narrower than the window tells frequencies apart.
    """
    import librosa

    key = (bands, columns)
    if key not in sound.known:
        n_fft = _fft_for_mel(sound.rate, bands)
        sound.known[key] = librosa.feature.melspectrogram(
            S=powers(sound, n_fft, columns), sr=sound.rate, n_mels=bands, norm=None
        )
    return sound.known[key]


def extremes(samples: Floats, columns: int) -> tuple[Floats, Floats]:
    """Return the lowest and the highest sample [K] of each of `columns` parts.

    Each part takes in the first sample of the next, as a drawn line would.
    """
    if not len(samples):
        return np.zeros(columns), np.zeros(columns)
    firsts = np.arange(columns) * len(samples) // columns
    following = samples[np.append(firsts[1:], len(samples) - 1)]
    low_K: Floats = np.minimum(np.minimum.reduceat(samples, firsts), following)
    high_K: Floats = np.maximum(np.maximum.reduceat(samples, firsts), following)
    return low_K, high_K


def signed_levels(unit: str, span: float) -> Levels:
    """Return the meaning of a signed plane: 128 is 0, 255 is `span`."""
    return Levels(unit, -span * 128 / 127, span, "Hz")


def _fft_for_mel(rate: int, bands: int) -> int:
    """Return so long a transform that every mel band has a bin, and the window fits."""
    top_mel = float(hz_to_mel(np.array(rate / 2)))
    narrowest_hz = min(top_mel / (bands + 1) * MEL_HZ, rate / 2)
    return power_of_two(max(rate / (MEL_BIN * narrowest_hz), WINDOW_S * rate))


def _in_db(power: Floats, how: Drawing) -> tuple[Picture, Levels]:
    decibel, high = _decibel(power[::-1], how)
    low = high + how.floor
    return _to_levels((decibel - low) / -how.floor * 255), Levels("dB", low, high, "dB")


def _decibel(power: Floats, how: Drawing) -> tuple[Floats, float]:
    """Return powers in dB, and the reference: full scale, or the highest."""
    decibel: Floats = 10 * np.log10(np.maximum(power, 1e-20))
    return decibel, max(float(decibel.max()), SILENCE_DBFS) if how.relative else 0.0


def _signed(part: Floats) -> Picture:
    """Put -1 to 1 on levels, 0 on 128."""
    return _to_levels(128 + 127 * part)


def _to_levels(levels: Floats) -> Picture:
    return np.round(np.clip(levels, 0, 255)).astype(np.uint8)
