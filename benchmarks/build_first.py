"""The first version's way from a clip to a sample, rebuilt from its description.

Every frame is held as int64 at full size with five channels; sound is worked out frame
by frame: one STFT each, or one mel spectrogram each, drawn by matplotlib and read back
as a picture. What the description leaves open (windows, colours) is chosen here.

Axes: T frames, H height, W width, N audio samples of one frame.
"""

import io
from pathlib import Path

import cv2
import librosa
import matplotlib
import numpy as np
import torch
from matplotlib import pyplot
from numpy.typing import NDArray

from fmrgb.media import read_sound

N = 100  # audio samples per frame
TOP_LEVEL = 255

matplotlib.use("agg")


def first_version(clip: Path, sample: Path, *, mel: bool) -> None:
    """Make one sample the first version's way: int64 [T, H, W, 5]."""
    reader = cv2.VideoCapture(str(clip))
    fps = reader.get(cv2.CAP_PROP_FPS)
    pictures = []
    while True:
        there, frame = reader.read()
        if not there:
            break
        pictures.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    rate = round(fps * N)
    waveform = read_sound(clip, rate=rate).samples
    wanted = np.zeros(N * len(pictures), np.float32)
    wanted[: len(waveform)] = waveform[: len(wanted)]
    frames_TN = wanted.reshape(len(pictures), N)
    loudness_T = np.abs(frames_TN).max(axis=1)
    planes = [_scaled(loudness_T), _scaled(_peaks(frames_TN, rate))]
    stacked = []
    for t, picture in enumerate(pictures):
        height, width, _ = picture.shape
        extra = [np.full((height, width), plane[t], np.int64) for plane in planes]
        if mel:
            extra[1] = _drawn(frames_TN[t], rate, width, height)
        stacked.append(np.dstack([picture.astype(np.int64), *extra]))
    torch.save(torch.tensor(np.array(stacked)), sample)


def _peaks(frames_TN: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Return the frequency [T] of the strongest bin, by one STFT per frame."""
    peaks = []
    for frame_N in frames_TN:
        power = np.abs(librosa.stft(frame_N, n_fft=N))
        peaks.append(power.sum(axis=1).argmax() * rate / N)
    return np.array(peaks)


def _drawn(
    frame_N: NDArray[np.float32], rate: int, width: int, height: int
) -> NDArray[np.int64]:
    """Draw a mel spectrogram, save the picture, read it back."""
    power = librosa.feature.melspectrogram(y=frame_N, sr=rate, n_fft=N, n_mels=32)
    figure, axes = pyplot.subplots()
    axes.imshow(librosa.power_to_db(power), origin="lower", aspect="auto")
    axes.axis("off")
    with io.BytesIO() as file:
        figure.savefig(file, format="png")
        drawn = np.frombuffer(file.getvalue(), np.uint8)
    pyplot.close(figure)
    gray = cv2.imdecode(drawn, cv2.IMREAD_GRAYSCALE)
    return cv2.resize(gray, (width, height)).astype(np.int64)


def _scaled(values_T: NDArray[np.floating]) -> NDArray[np.int64]:
    highest = float(values_T.max(initial=0.0)) or 1.0
    return (values_T / highest * TOP_LEVEL).astype(np.int64)
