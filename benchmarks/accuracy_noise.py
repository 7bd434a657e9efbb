"""What is done to clips of speech: noise, babble, blur, black, mute, and a cut.

Axes: T frames, H height, W width, S audio samples.
"""

import zlib
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]

FRAME_S = 0.02  # s; how long a piece is that counts as speech or as a pause
ACTIVE_DB = 25.0  # dB below the loudest piece; what is quieter is a pause


def dice_of(seed: int, clip: str) -> np.random.Generator:
    """Return the chance of one clip: the same in every run, another for every clip."""
    return np.random.default_rng([seed, zlib.crc32(clip.encode())])


def active(speech_S: Wave, rate: int) -> NDArray[np.bool_]:
    """Tell where somebody speaks: bool [S].

    Pieces of 20 ms whose root mean square lies no more than 25 dB below the loudest
    piece's; a last, shorter piece does not count.
    """
    length = round(FRAME_S * rate)
    n_pieces = len(speech_S) // length
    pieces = speech_S[: n_pieces * length].reshape(n_pieces, length)
    rms = np.sqrt(np.square(pieces, dtype=np.float64).mean(axis=1))
    loud = rms >= rms.max(initial=0.0) * 10 ** (-ACTIVE_DB / 20)
    speaks = np.zeros(len(speech_S), np.bool_)
    speaks[: n_pieces * length] = np.repeat(loud, length)
    return speaks


def level(wave_S: Wave, where_S: NDArray[np.bool_]) -> float:
    """Return the root mean square of the samples marked in `where_S`."""
    square = np.square(wave_S[where_S], dtype=np.float64)
    return float(np.sqrt(square.mean())) if len(square) else 0.0


def white(n_samples: int, dice: np.random.Generator) -> Wave:
    """Return normal noise [S], equally strong at all frequencies."""
    return dice.standard_normal(n_samples, dtype=np.float32)


def babble(
    voices: Sequence[Wave], n_samples: int, rate: int, dice: np.random.Generator
) -> Wave:
    """Sum voices [S], each made equally loud where it speaks and shifted by chance.

    The shift goes round: what leaves at the end comes in at the beginning.
    """
    total = np.zeros(n_samples, np.float32)
    for voice_S in voices:
        loud = level(voice_S, active(voice_S, rate)) or 1.0
        shift = int(dice.integers(n_samples))
        total += np.roll(np.resize(voice_S, n_samples), shift) / np.float32(loud)
    return total


def mix(speech_S: Wave, noise_S: Wave, snr_db: float, rate: int) -> Wave:
    """Add noise to speech at a signal-to-noise ratio.

    Both are measured over the same samples: those where somebody speaks. A mixture that
    leaves [-1, 1] is turned down as a whole, as a recorder would be; that leaves the
    ratio as it is.

    Args:
        speech_S: float32 [S].
        noise_S: float32 [S], of any loudness.
        snr_db: in dB; below 0 the noise is the louder one.
        rate: in Hz.

    Returns:
        float32 [S] in [-1, 1].
    """
    speaks_S = active(speech_S, rate)
    gain = level(speech_S, speaks_S) / (level(noise_S, speaks_S) or 1.0)
    mixture = speech_S + np.float32(gain * 10 ** (-snr_db / 20)) * noise_S
    peak = float(np.abs(mixture).max(initial=0.0))
    quiet: Wave = (mixture / np.float32(max(1.0, peak))).astype(np.float32)
    return quiet


def spoil_sound(
    speech_S: Wave,
    how: str,
    rate: int,
    dice: np.random.Generator,
    voices: Sequence[Wave],
) -> Wave:
    """Return the sound of a clip after "white-10", "babble0", "muted" or "clean".

    Raises:
        ValueError: if there is no such way.
    """
    if how == "clean":
        return speech_S
    if how == "muted":
        return np.zeros_like(speech_S)
    for kind in ("white", "babble"):
        if how.startswith(kind):
            n = len(speech_S)
            noise = white(n, dice) if kind == "white" else babble(voices, n, rate, dice)
            return mix(speech_S, noise, float(how.removeprefix(kind)), rate)
    raise ValueError(f"sound cannot be {how!r}; try clean, muted, white-10, babble0")


def spoil_picture(
    frames_THWC: NDArray[np.uint8], how: str, blur: float
) -> NDArray[np.uint8]:
    """Return frames uint8 [T, H, W, 3] after "blurred", "blanked" or "clean".

    Args:
        frames_THWC: uint8 [T, H, W, 3].
        how: blurred, by a Gaussian; blanked, to black; clean.
        blur: standard deviation of the Gaussian, as a share of W.

    Raises:
        ValueError: if there is no such way.
    """
    if how == "clean":
        return frames_THWC
    if how == "blanked":
        return np.zeros_like(frames_THWC)
    if how == "blurred":
        sigma = blur * frames_THWC.shape[2]
        blurred = [cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames_THWC]
        return np.stack(blurred).astype(np.uint8, copy=False)
    raise ValueError(f"a picture cannot be {how!r}; try clean, blurred, blanked")


def cropped(
    frames_THWC: NDArray[np.uint8],
    part: tuple[float, float, float, float],
    size: tuple[int, int],
) -> NDArray[np.uint8]:
    """Cut a part out of every frame and scale it: uint8 [T, H, W, 3].

    Args:
        frames_THWC: uint8 [T, H, W, 3].
        part: left, top, right, bottom, as shares of the whole.
        size: (width, height) in pixels of what comes out.
    """
    height, width = frames_THWC.shape[1:3]
    left, right = (round(share * width) for share in part[::2])
    top, bottom = (round(share * height) for share in part[1::2])
    cut = frames_THWC[:, top:bottom, left:right]
    scaled = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in cut]
    return np.stack(scaled).astype(np.uint8, copy=False)
