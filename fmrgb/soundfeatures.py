"""From a waveform [S] to the 26 classic values of it, as numbers and as levels.

Axes: S audio samples, F frequency bins, N windows of analysis, M mel bands.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrgb.names import FEATURE_COLUMNS, FEATURE_NAMES
from fmrgb.sound import DB_FLOOR, power_of_two

Values = NDArray[np.float64]

FFT, HOP = 2048, 512  # samples; librosa's own, which the classic values were made with
SHORTEST_FFT = 64  # samples
RMS = FEATURE_NAMES.index("rms")
CEPSTRA = 20
# What librosa's first cepstrum may be: digital silence has -1131.
FIRST_CEPSTRUM = (-1140.0, 300.0)
OTHER_CEPSTRA = 300.0  # by the root of their number, with which they fall


def measure(samples: NDArray[np.floating], rate: int) -> Values:
    """Measure the 26 classic values of a sound over time, by librosa.

    Chroma (the mean of its 12), root mean square, spectral centroid, bandwidth and
    rolloff (85 %) in Hz, zero crossings per sample and 20 cepstra, with librosa's own
    windows of 2048 samples every 512; a sound shorter than that has shorter ones.

    Returns:
        float64 [26, 2], rows `names.FEATURE_NAMES`, columns mean and standard
        deviation over time.
    """
    import librosa

    n_fft = max(SHORTEST_FFT, min(FFT, power_of_two(len(samples) + 1) // 2))
    y = np.pad(samples, (0, max(0, n_fft - len(samples))))
    hop: Any = {"hop_length": n_fft * HOP // FFT}
    gain_FN: Any = np.abs(librosa.stft(y, n_fft=n_fft, **hop))
    power_FN = np.square(gain_FN)
    with warnings.catch_warnings():
        # Of mel bands that lie between two bins, as in a very short sound.
        warnings.simplefilter("ignore", UserWarning)
        mel_MN = librosa.feature.melspectrogram(S=power_FN, sr=rate)
    # A tuning that is guessed is warned of in silence, and shifts clip against clip.
    chroma = librosa.feature.chroma_stft(S=power_FN, sr=rate, n_fft=n_fft, tuning=0.0)
    rows = [
        chroma.mean(axis=0),
        librosa.feature.rms(y=y, frame_length=n_fft, **hop)[0],
        librosa.feature.spectral_centroid(S=gain_FN, sr=rate)[0],
        librosa.feature.spectral_bandwidth(S=gain_FN, sr=rate)[0],
        librosa.feature.spectral_rolloff(S=gain_FN, sr=rate)[0],
        librosa.feature.zero_crossing_rate(y, frame_length=n_fft, **hop)[0],
        *librosa.feature.mfcc(S=librosa.power_to_db(mel_MN), n_mfcc=CEPSTRA),
    ]
    return np.array([(row.mean(), row.std()) for row in rows], np.float64)


def feature_ranges(rate: int) -> Values:
    """Return what levels 0 and 255 of features stand for.

    Chroma 0 to 1; root mean square -80 to 0 dBFS; centroid, bandwidth and rolloff 0 Hz
    to half the rate; zero crossings 0 to 0.5; first cepstrum -1140 to 300, cepstrum
    n + 1 to either side of 0 up to 300 / sqrt(n). Spreads have 0 to half as much as
    means, root mean square -80 to 0 dBFS again.

    Returns:
        float64 [26, 2, 2]: feature; mean and spread; low and high.
    """
    means = [(0.0, 1.0), (DB_FLOOR, 0.0), *[(0.0, rate / 2)] * 3, (0.0, 0.5)]
    tops = OTHER_CEPSTRA / np.sqrt(np.arange(1, CEPSTRA))
    means += [FIRST_CEPSTRUM, *((-float(top), float(top)) for top in tops)]
    # Nothing within a range spreads by more than half of it.
    spreads = [(0.0, (high - low) / 2) for low, high in means]
    spreads[RMS] = means[RMS]
    return np.stack([np.array(means), np.array(spreads)], axis=1)


def feature_levels(values: Values, rate: int) -> NDArray[np.uint8]:
    """Put measured values [26, 2] on levels, each on its own range: uint8 [26, 2]."""
    values = values.copy()
    values[RMS] = 20 * np.log10(np.maximum(values[RMS], 1e-10))
    low, high = np.moveaxis(feature_ranges(rate), -1, 0)
    levels: NDArray[np.float64] = np.clip((values - low) / (high - low), 0, 1) * 255
    return np.round(levels).astype(np.uint8)


def named(values: Values) -> dict[str, float]:
    """Give measured values [26, 2] their names, like mfcc1_mean and mfcc1_spread."""
    return {
        f"{row}_{column}": float(value)
        for row, pair in zip(FEATURE_NAMES, values, strict=True)
        for column, value in zip(FEATURE_COLUMNS, pair, strict=True)
    }
