"""From a waveform [S] to one value or one small picture per video frame.

Every plane is uint8 with 0 for silence, and comes with a `Levels` that turns its levels
back into units.

Axes: T video frames, S audio samples, N samples of one analysis window, F frequency
bins, M mel bands, K columns of a mel picture.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from fmrgb.files import let_go

Floats = NDArray[np.floating]
Plane = NDArray[np.uint8]
Curve = Literal["dB", "gain", "mel", "Hz"]

DB_FLOOR = -80.0  # dBFS; level 0 of the absolute amplitude and of mel pictures
SILENCE_DBFS = -60.0  # dBFS; a quieter frame has no frequency worth naming
# A relative scale takes at least this for its maximum, so as not to blow silence up.
SILENCE_GAIN = 10 ** (SILENCE_DBFS / 20)
TOP_HZ = 8000.0  # Hz; level 255 of the absolute frequency, top edge of mel pictures
LOWEST_HZ = 20.0  # Hz; below lie offset and rumble, not sound
WINDOW_S = 0.032  # s; the shortest window that still tells low tones apart
LONGEST_S = 1.0  # s; of a window, however long a picture stays: it is memory
MEL_BANDS = 64
MEL_COLUMNS = 4  # per video frame
MEL_BIN_HZ = 31.25  # Hz; finer than the narrowest of 64 bands up to 8 kHz
MEL_HZ = 200 / 3  # Hz in one mel, below MEL_LOG_HZ
MEL_LOG_HZ = 1000.0  # Hz; above, a mel is a factor
MEL_LOG_STEP = np.log(6.4) / 27  # the logarithm of that factor
WINDOWS_AT_ONCE = 2048  # bounds memory on long clips


@dataclass(frozen=True)
class Heard:
    """The sound of a clip beside the times of its frames.

    `samples` is float32 `[S]`, mono, in [-1, 1]. Frame t owns the sound from
    `starts_s[t]` to `ends_s[t]` (`[T]`, in s after the first sample); what lies outside
    the samples is silence.
    """

    samples: Floats
    rate: int
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]

    @cached_property
    def rms_T(self) -> NDArray[np.float64]:
        """Root mean square [T] of each frame's own sound, which two planes ask for."""
        return frame_rms(self)


@dataclass(frozen=True)
class Levels:
    """What the levels of a plane stand for: 0 is `low`, 255 is `high`."""

    unit: str
    low: float
    high: float
    curve: Curve

    def to_units(self, levels: NDArray[np.generic]) -> NDArray[np.float64]:
        """Turn levels 0 to 255 into dBFS or Hz."""
        part = np.asarray(levels, np.float64) / 255
        if self.curve == "gain":
            return np.maximum(self.high + _decibel(part), self.low)
        if self.curve == "mel":
            return mel_to_hz(part * float(hz_to_mel(np.array(self.high))))
        return self.low + part * (self.high - self.low)


def amplitude(heard: Heard, *, relative: bool) -> tuple[Plane, Levels]:
    """Measure how loud each frame's own sound is.

    Returns:
        uint8 [T]; absolute: root mean square in dBFS, -80 to 0 dBFS on 0 to 255;
        relative: root mean square as a part of the loudest frame's.
    """
    rms_T = heard.rms_T
    if relative:
        loudest = max(float(rms_T.max(initial=0.0)), SILENCE_GAIN)
        high = float(_decibel(np.array(loudest)))
        return _to_levels(rms_T / loudest), Levels("dBFS", DB_FLOOR, high, "gain")
    return _db_to_levels(_decibel(rms_T)), Levels("dBFS", DB_FLOOR, 0.0, "dB")


def frequency(heard: Heard, *, relative: bool) -> tuple[Plane, Levels]:
    """Find the strongest frequency of each frame by the short-time Fourier transform.

    The column of `librosa.stft` (Hann window, centred) at the middle of each frame, so
    that variable frame rates are served; the window is as long as a frame, at least
    32 ms. Frames below -60 dBFS get 0.

    Returns:
        uint8 [T]; absolute: mel-scaled, 0 to 8000 Hz on 0 to 255; relative: linear,
        0 Hz to the highest peak of the clip on 0 to 255.
    """
    peaks_T = stft_peak(heard)
    peaks_T[_decibel(heard.rms_T) < SILENCE_DBFS] = 0.0
    if relative:
        high = float(peaks_T.max(initial=0.0))
        levels = _to_levels(peaks_T / high if high else peaks_T)
        return levels, Levels("Hz", 0.0, high, "Hz")
    levels = _to_levels(hz_to_mel(peaks_T) / hz_to_mel(np.array(TOP_HZ)))
    return levels, Levels("Hz", 0.0, TOP_HZ, "mel")


def mel(heard: Heard, *, relative: bool) -> tuple[Plane, Levels]:
    """Draw the mel spectrogram of each frame's sound, lowest band at the bottom.

    librosa's mel filter bank (Slaney's scale, triangles of height 1) on the power of
    four windows spread over each frame; a full-scale sine in the middle of a band has
    0 dB.

    Returns:
        uint8 [T, 64, 4]; 80 dB below the reference to the reference on 0 to 255, where
        the reference is full scale (absolute) or the clip's strongest value (relative).
    """
    n_fft = power_of_two(heard.rate / MEL_BIN_HZ)
    window = min(n_fft, max(2, round(WINDOW_S * heard.rate)))
    basis_FM = mel_basis(heard.rate, n_fft).T
    powers: Iterable[Floats] = (
        np.square(_magnitudes(windows, n_fft)) @ basis_FM
        for windows in _windows(heard, window, MEL_COLUMNS)
    )
    high = 0.0
    if relative:
        powers = list(powers)
        loudest = float(np.sqrt(max(power.max() for power in powers)))
        high = float(_decibel(np.array(max(loudest, SILENCE_GAIN))))
    # Piece by piece: the decibel of an hour would take gigabytes.
    pictures = [_db_to_levels(_decibel(np.sqrt(power)) - high) for power in powers]
    plane_TKM = np.concatenate(pictures).reshape(-1, MEL_COLUMNS, MEL_BANDS)
    plane_TMK = np.ascontiguousarray(plane_TKM.transpose(0, 2, 1)[:, ::-1])
    return plane_TMK, Levels("dB", high + DB_FLOOR, high, "dB")


SOUND_PLANES: dict[str, Callable[..., tuple[Plane, Levels]]] = {
    "amplitude": amplitude,
    "frequency": frequency,
    "mel": mel,
}


def is_silent(samples: Floats) -> bool:
    """Tell whether a whole track lies below -60 dBFS (root mean square)."""
    if not len(samples):
        return True
    square = 0.0
    for part in np.array_split(samples, len(samples) // (1 << 22) + 1):
        square += float(np.square(part, dtype=np.float64).sum())
        let_go(samples)
    return bool(_decibel(np.sqrt(square / len(samples))) < SILENCE_DBFS)


def frame_rms(heard: Heard) -> NDArray[np.float64]:
    """Return the root mean square [T] of the samples that each frame owns."""
    n = len(heard.samples)
    first_T = np.clip(np.round(heard.starts_s * heard.rate), 0, n).astype(np.int64)
    last_T = np.clip(np.round(heard.ends_s * heard.rate), 0, n).astype(np.int64)
    owned_T = np.maximum(np.round((heard.ends_s - heard.starts_s) * heard.rate), 1)
    square_T = np.zeros(len(first_T))
    for t, (first, last) in enumerate(zip(first_T, last_T, strict=True)):
        own = heard.samples[first:last]
        square_T[t] = np.dot(own, own)
        if t % WINDOWS_AT_ONCE == 0:
            let_go(heard.samples)
    rms: NDArray[np.float64] = np.sqrt(square_T / owned_T)
    return rms


def stft_peak(heard: Heard) -> NDArray[np.float64]:
    """Return the frequency [T], in Hz, of the strongest bin above 20 Hz."""
    longest = float(np.max(heard.ends_s - heard.starts_s, initial=0.0))
    typical = float(np.median(heard.ends_s - heard.starts_s)) if longest else 0.0
    window = max(4, round(min(max(typical, WINDOW_S), LONGEST_S) * heard.rate))
    n_fft = power_of_two(2 * window)  # zero-padded, for a finer reading of the peak
    freqs_F = fft.rfftfreq(n_fft, 1 / heard.rate)
    lowest = min(int(np.searchsorted(freqs_F, LOWEST_HZ)), len(freqs_F) - 1)
    peaks = [
        freqs_F[lowest + _magnitudes(windows, n_fft)[:, lowest:].argmax(axis=1)]
        for windows in _windows(heard, window, 1)
    ]
    return np.concatenate(peaks)


def _windows(heard: Heard, length: int, per_frame: int) -> Iterator[Floats]:
    """Yield windows [n, N] centred on `per_frame` times spread over each frame."""
    middle_K = (np.arange(per_frame) + 0.5) / per_frame
    span_T = heard.ends_s - heard.starts_s
    centres = (heard.starts_s[:, None] + span_T[:, None] * middle_K).reshape(-1)
    firsts = np.round(centres * heard.rate).astype(np.int64) - length // 2
    n = len(heard.samples)
    for at in range(0, len(firsts), WINDOWS_AT_ONCE):
        some = firsts[at : at + WINDOWS_AT_ONCE].tolist()
        windows = np.zeros((len(some), length), np.float32)
        for window, first in zip(windows, some, strict=True):
            begin, end = max(first, 0), min(first + length, n)
            if begin < end:
                window[begin - first : end - first] = heard.samples[begin:end]
        yield windows
        let_go(heard.samples)


def _magnitudes(windows: Floats, n_fft: int) -> Floats:
    """Return magnitudes [n, F], scaled so that a full-scale sine reads 1."""
    hann_N = _hann(windows.shape[1])
    spectrum: Floats = np.abs(fft.rfft(windows * hann_N, n_fft, axis=1))
    scaled: Floats = spectrum * (2 / float(hann_N.sum()))
    return scaled


@lru_cache(maxsize=8)
def _hann(length: int) -> NDArray[np.float32]:
    # Periodic, as librosa.stft has it.
    turns = np.arange(length) / length
    return (0.5 - 0.5 * np.cos(2 * np.pi * turns)).astype(np.float32)


@lru_cache(maxsize=8)
def mel_basis(rate: int, n_fft: int) -> NDArray[np.float32]:
    """Return a mel filter bank [M, F], 64 triangles of height 1 up to 8 kHz.

    Where the rate is below 16 kHz the bands above half of it stay empty, so that a band
    means the same in every clip.

    Source:
        `librosa.filters.mel` with norm None, number for number.
    """
    freqs_F = fft.rfftfreq(n_fft, 1 / rate)
    top_mel = hz_to_mel(np.array(TOP_HZ))
    edges_M = mel_to_hz(np.linspace(0.0, top_mel, MEL_BANDS + 2))
    widths_M = np.diff(edges_M)[:, None]
    ramps_MF = edges_M[:, None] - freqs_F
    lower_MF = -ramps_MF[:-2] / widths_M[:-1]
    upper_MF = ramps_MF[2:] / widths_M[1:]
    basis_MF: NDArray[np.float32] = np.maximum(0, np.minimum(lower_MF, upper_MF))
    return basis_MF.astype(np.float32)


def hz_to_mel(hertz: NDArray[np.floating]) -> NDArray[np.float64]:
    """Turn Hz into mel: linear below 1 kHz, logarithmic above.

    Not by librosa itself, which takes a compiler along: a second and 115 MB of every
    process that hears.

    Source:
        Slaney 1998, "Auditory Toolbox"; `librosa.hz_to_mel`, number for number.
    """
    linear = np.asarray(hertz, np.float64) / MEL_HZ
    octaves = np.log(np.maximum(hertz, MEL_LOG_HZ) / MEL_LOG_HZ) / MEL_LOG_STEP
    return np.where(hertz >= MEL_LOG_HZ, MEL_LOG_HZ / MEL_HZ + octaves, linear)


def mel_to_hz(mel: NDArray[np.floating]) -> NDArray[np.float64]:
    """Turn mel into Hz: the inverse of `hz_to_mel`."""
    bend = MEL_LOG_HZ / MEL_HZ
    grown = MEL_LOG_HZ * np.exp(MEL_LOG_STEP * (np.maximum(mel, bend) - bend))
    return np.where(mel >= bend, grown, MEL_HZ * np.asarray(mel, np.float64))


def power_of_two(least: float) -> int:
    """Return the lowest power of two from `least`, and from 16, on."""
    return 1 << max(4, int(np.ceil(np.log2(least))))


def _decibel(gain: NDArray[np.floating] | np.floating) -> NDArray[np.float64]:
    return 20 * np.log10(np.maximum(np.asarray(gain, np.float64), 1e-10))


def _db_to_levels(decibel: NDArray[np.float64]) -> Plane:
    return _to_levels(1 - decibel / DB_FLOOR)


def _to_levels(part: NDArray[np.floating]) -> Plane:
    levels: Plane = np.round(np.clip(part, 0, 1) * 255).astype(np.uint8)
    return levels
