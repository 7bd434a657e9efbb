"""From the name of a sound picture to what stands on its vertical axis.

Row r of a picture, counted from the bottom, lies from r to r + 1.
"""

import numpy as np
from matplotlib.axes import Axes

from fmrgb.names import FEATURE_NAMES, FEATURES
from fmrgb.sound import Levels, hz_to_mel

HZ_TICKS = (0, 500, 1000, 2000, 4000, 8000)
MORE_HZ_TICKS = (*HZ_TICKS, 16_000, 32_000, 64_000)
SIGNED = {"mfcc": "RdBu_r", "waveform": "gray"}  # their colours; zero in the middle
EVERY = 10  # cepstra that one is marked of


def mark_rows(axes: Axes, name: str, n_rows: int, levels: Levels, rate: int) -> None:
    """Write on the vertical axis of a sound picture what its rows stand for.

    Args:
        axes: of the picture.
        name: of the plane.
        n_rows: of the picture.
        levels: what its levels stand for.
        rate: of the sound, in Hz.
    """
    if name in ("mel", "logmel"):
        # Slaney's triangles: band b peaks (b + 1) / (n + 1) of the way up in mel.
        ticks = np.array([hz for hz in MORE_HZ_TICKS if hz <= rate / 2])
        part = hz_to_mel(ticks) / hz_to_mel(np.array(rate / 2))
        rows = np.clip(part * (n_rows + 1) - 0.5, 0, n_rows)
        words, unit = [str(hz) for hz in ticks], "Hz"
    elif name == "stft":
        rows = np.linspace(0, n_rows, 5)
        words = [f"{row / n_rows * rate / 2:.0f}" for row in rows]
        unit = "Hz"
    elif name == "mfcc":
        numbers = [1, *range(EVERY, n_rows + 1, EVERY)]
        rows = np.array(numbers) - 0.5
        words, unit = [str(n) for n in numbers], "cepstrum"
    elif name == "waveform":
        rows = np.linspace(0, n_rows, 3)
        words = [f"{high:.3g}" for high in (-levels.high, 0, levels.high)]
        unit = "amplitude"
    elif name == FEATURES:
        marked = [n for n in range(len(FEATURE_NAMES)) if n < 6 or (n - 6) % 5 == 0]
        rows = n_rows * (1 - (np.array(marked) + 0.5) / len(FEATURE_NAMES))
        words, unit = [FEATURE_NAMES[n].replace("_", " ") for n in marked], ""
    else:
        return
    fits = [(r, w) for r, w in zip(rows, words, strict=True) if 0 <= r <= n_rows]
    axes.set_yticks([r for r, _ in fits], [w for _, w in fits])
    axes.set_ylabel(unit)
