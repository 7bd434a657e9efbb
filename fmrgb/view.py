"""From a sample to what a drawing needs of it: times, units, single pictures.

Axes: T frames, H height, W width, C channels; h and w the sides of a mel picture.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrgb.errors import SampleError
from fmrgb.files import shown
from fmrgb.media import DEFAULT_FPS, MAX_FPS, SOUND_RATE
from fmrgb.names import PICTURED
from fmrgb.sample import Sample
from fmrgb.sound import Levels

Picture = NDArray[np.uint8]

MIN_FPS = 0.1
MOST_RATE = 192_000  # Hz; a file that tells more of its sound is not believed
PLAIN = Levels("level", 0.0, 255.0, "Hz")  # where nothing says what levels stand for


@dataclass(frozen=True)
class View:
    """A sample with its clock: frame t is seen from `edges[t]` to `edges[t + 1]` s."""

    sample: Sample
    name: str  # of the clip, or of the sample where the clip's is not known
    edges: NDArray[np.float64]
    fps: float  # constant rate at which the mp4s play
    levels: dict[str, Levels]  # of every sound plane
    curves: dict[str, Picture]  # planes that have one value per frame, [T]
    rate: int = SOUND_RATE  # Hz; pictures of sound reach up to half of it

    @property
    def heard(self) -> list[str]:
        """Names of the channels that show sound, in the order of C, each once."""
        return [
            c for c in dict.fromkeys(self.sample.channels) if c in self.sample.sound
        ]

    def at(self, moments: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the frames on screen at these times in s."""
        found = np.searchsorted(self.edges, moments, side="right") - 1
        return np.clip(found, 0, len(self.edges) - 2).astype(np.int64)

    def read(self, t: int, channel: str = "") -> Picture:
        """Read frame t of a channel as grey, or of the whole picture: [H, W, 3].

        Of sound alone the picture is its first channel.
        """
        sample = self.sample
        if not channel and not sample.visual.shape[-1]:
            channel = sample.channels[0]
        frame = sample.read([t], [channel])[0] if channel else sample.visual[t]
        return np.repeat(frame, 3 // frame.shape[-1], axis=-1)

    def reading(self, channel: str, t: int) -> str:
        """Return in words what a curve stands at in frame t."""
        levels = self.levels[channel]
        value = float(levels.to_units(self.curves[channel][t]))
        if levels.unit not in ("dBFS", "Hz"):
            return f"level {self.curves[channel][t]}"
        return f"{value:.1f} dBFS" if levels.unit == "dBFS" else f"{value:.0f} Hz"


def look(sample: Sample, path: Path) -> View:
    """Work out what drawing needs; times that do not run forwards become 25 fps.

    Raises:
        SampleError: if names or meanings of planes are not sound.
    """
    if strange := [c for c in sample.channels if not re.fullmatch(r"[\w-]{1,40}", c)]:
        raise SampleError(
            f"{shown(path)}: expected channel names of letters, digits, _ and -, got "
            f"{strange}; make it again"
        )
    times = sample.times.astype(np.float64)
    if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        times = np.arange(len(times)) / DEFAULT_FPS
    fps = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else DEFAULT_FPS
    fps = float(np.clip(fps, MIN_FPS, MAX_FPS))
    lasts = 1 / fps
    if is_still(sample):  # which is as long as its sound
        lasts = _positive(sample.meta.get("seconds")) or lasts
    drawn = known(sample, "options").get("soundpicture")
    meant = known(sample, "levels")
    return View(
        sample=sample,
        name=str(known(sample, "source").get("name") or path.name),
        edges=np.append(times, times[-1] + lasts),
        fps=fps,
        levels={name: _levels(meant.get(name), path) for name in sample.sound},
        curves={
            name: plane[:, 0, 0] if plane.ndim == 3 else plane
            for name, plane in sample.sound.items()
            if plane.ndim == 1 or (name not in PICTURED and _is_flat(plane))
        },
        rate=_rate(drawn),
    )


def is_still(sample: Sample) -> bool:
    """Tell whether a sample is one picture, or none, beside its sound as pictures."""
    alone = not sample.visual.shape[-1]
    return len(sample.times) == 1 and (alone or not sample.meta.get("fps", 1))


def _rate(drawn: Any) -> int:
    told = _positive(drawn.get("rate")) if isinstance(drawn, dict) else 0.0
    return int(told) if 1 <= told <= MOST_RATE else SOUND_RATE


def _positive(number: Any) -> float:
    """Return what a file says as a number; 0 if it is none above 0."""
    is_one = type(number) in (int, float) and 0 < number < 1e9
    return float(number) if is_one else 0.0


def known(sample: Sample, what: str) -> dict[str, Any]:
    """Return what a sample's meta says of `what`; nothing where it is silent."""
    said = sample.meta.get(what)
    return said if isinstance(said, dict) else {}


def _levels(said: dict[str, Any] | None, path: Path) -> Levels:
    if said is None:
        return PLAIN
    try:
        levels = Levels(**said)
        if math.isfinite(levels.low) and math.isfinite(levels.high):
            return levels
    except TypeError:
        pass
    raise SampleError(
        f"{shown(path)}: expected levels as unit, low, high and curve, got {said!r}; "
        "make it again"
    )


def _is_flat(plane_Thw: Picture) -> bool:
    """Tell whether every picture of a plane has one single level."""
    return all((picture == picture[0, 0]).all() for picture in plane_Thw)
