"""Makers of small collections of pictures, sounds and words, to be joined.

Axes: H height, W width; h and w the sides of a sound picture.
"""

import wave
from pathlib import Path

import numpy as np
from PIL import Image

from fmrgb.sample import Sample, save_sample

COLOURS = {"disc": (220, 130, 20), "square": (20, 60, 200)}
LOUDNESS = {"disc": 200, "square": 80}  # levels of a sound picture
WORDS = {"disc": "まるい円盤", "square": "しかくい箱"}
HEIGHT, WIDTH = 10, 12
BANDS, COLUMNS = 5, 7
NOISE = 20  # levels to either side


def collections(
    folder: Path, n_items: int, *, n_sounds: int | None = None
) -> list[str]:
    """Write pictures, sounds (.pt) and texts of two labels; return flags for them.

    No two items are alike; all are named by their number.
    """
    dice = np.random.default_rng(0)
    lines = ["text,label"]
    for label, colour in COLOURS.items():
        for number in range(n_items):
            picture(folder / "pictures" / label / f"{number}.png", colour, dice)
            lines.append(f"{WORDS[label]} {number},{label}")
        for number in range(n_sounds or n_items):
            sound(folder / "sounds" / label / f"{number}.pt", label, dice)
    (folder / "texts.csv").write_text("\n".join(lines), encoding="utf-8")
    words = ["--pictures", str(folder / "pictures"), "--sounds", str(folder / "sounds")]
    words += ["--texts", str(folder / "texts.csv"), "--size", f"{WIDTH}x{HEIGHT}"]
    return [*words, "--workers", "1"]


def picture(path: Path, colour: tuple[int, ...], dice: np.random.Generator) -> None:
    """Write a noisy picture about a colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = dice.integers(-NOISE, NOISE + 1, (HEIGHT, WIDTH, 3))
    levels = np.clip(noise + colour, 0, 255).astype(np.uint8)
    Image.fromarray(levels).save(path)


def sound(path: Path, label: str, dice: np.random.Generator) -> None:
    """Write a sample of sound alone, a noisy sound picture about a level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    loudness = LOUDNESS[label]
    plane = dice.integers(loudness - NOISE, loudness + NOISE + 1, (1, BANDS, COLUMNS))
    sample = Sample(
        visual=np.zeros((1, BANDS, COLUMNS, 0), np.uint8),
        sound={"logmel": plane.astype(np.uint8)},
        channels=("logmel",),
        times=np.zeros(1, np.float32),
        has_sound=True,
        silent=False,
        label=label,
        meta={"options": {}, "levels": {}, "seconds": 0.5},
    )
    save_sample(path, sample)


def tone(path: Path, hertz: float, *, seconds: float = 0.3, rate: int = 16000) -> None:
    """Write a wav of a sine at half of full scale."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(seconds * rate)) / rate
    samples = np.sin(2 * np.pi * hertz * times) * 2**14
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
