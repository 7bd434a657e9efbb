"""The options that decide how sound is cut and drawn, for the tools that do so.

No `from __future__ import annotations` here and no `X | None`: argparse-dataclass
calls each field's type, so the types must be real objects (its issue #47).
"""

import argparse
from dataclasses import dataclass
from typing import Optional

from fmrgb.fields import MAX_SIDE, check_at_least, option, switch
from fmrgb.names import FEATURE_NAMES, FEATURES, PICTURED

LEAST_RATE, MOST_RATE = 1000, 192_000  # Hz
LONGEST_S = 3600.0  # s; of one picture of sound


def sound_pictures(text: str) -> tuple[str, ...]:
    """Read names of sound pictures, separated by commas."""
    names = tuple(name.strip() for name in text.split(","))
    if strange := [name for name in names if name not in PICTURED]:
        raise argparse.ArgumentTypeError(
            f"expected one or more of {', '.join(PICTURED)}, got {strange[0]!r}"
        )
    if len({*names}) < len(names):
        raise argparse.ArgumentTypeError(f"a picture stands twice in {text!r}")
    return names


@dataclass(frozen=True, kw_only=True)
class DrawingOptions:
    """How samples of sound alone are cut and drawn."""

    soundpicture: Optional[tuple[str, ...]] = option(
        None,
        "take clips by their sound alone, each as one still picture, or several as "
        "channels, separated by commas: stft, linear in Hz, in dB; logmel, mel bands "
        "in dB; mel, mel bands in amplitude up to -20 dBFS; mfcc, cepstra, signed; "
        "waveform, drawn, signed; features, 26 values with mean and spread, also "
        "written to features.csv",
        sound_pictures,
        said="logmel for sound files, none for videos",
    )
    bands: int = option(64, "rows of a sound picture; with features at least 26")
    columns: int = option(64, "columns of a sound picture: its whole length in so many")
    rate: int = option(
        16_000, "Hz that sound is resampled to for pictures, which show half of it"
    )
    floor: float = option(
        -80.0, "dB below full scale, or with --scale relative the loudest, at level 0"
    )
    window: Optional[float] = option(
        None,
        "cut tracks into windows of so many s, a sample each, that share their group; "
        "a last window is filled with silence if at least half of it is sound",
        said="none: a sample for each file",
    )
    hop: Optional[float] = option(
        None, "s from the start of a window to that of the next", said="--window"
    )
    seconds: Optional[float] = option(
        None,
        "bring every clip to so many s: silence behind a shorter one, the middle of a "
        "longer one",
        said="its own length, stretched over all columns; 1 with --words",
    )
    trim: bool = switch("cut silence off the beginning and the end of sounds")
    trim_db: float = option(
        30.0, "what is so many dB below the loudest counts as silence for --trim"
    )

    @property
    def asks_for_sound(self) -> bool:
        """Whether there is a wish that only sound alone can be given."""
        return bool(self.window or self.seconds or self.trim)

    def check_drawing(self) -> None:
        """Raise ValueError, naming the flag, if a number makes no sense."""
        check_at_least(self, 2, "bands", "columns")
        check_at_least(self, LEAST_RATE, "rate")
        check_at_least(self, 0.01, "window", "hop", "seconds")
        check_at_least(self, 1, "trim_db")
        for name, most in (
            *(("bands", MAX_SIDE), ("columns", MAX_SIDE), ("rate", MOST_RATE)),
            *(("floor", -1), ("window", LONGEST_S), ("seconds", LONGEST_S)),
        ):
            value = getattr(self, name)
            if value is not None and not value <= most:
                raise ValueError(f"--{name} must be at most {most}, got {value}")
        if self.window and self.seconds:
            raise ValueError("--window and --seconds both set the length; give one")
        if self.hop and not self.window:
            raise ValueError("--hop is the distance of windows; give --window too")
        if FEATURES in (self.soundpicture or ()) and self.bands < len(FEATURE_NAMES):
            raise ValueError(
                f"features need a row each: --bands must be at least "
                f"{len(FEATURE_NAMES)}, got {self.bands}"
            )
