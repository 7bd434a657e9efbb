"""What a sample looks like: all that decides it, as plain values.

Axes: C channels.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from fmrgb.media import SOUND_RATE, sound_rate
from fmrgb.names import FEATURE_COLUMNS, FEATURE_NAMES, FEATURES
from fmrgb.sound import DB_FLOOR
from fmrgb.sound_options import DrawingOptions
from fmrgb.soundpicture import Drawing
from fmrgb.stack import PICTURE_PLANES


@dataclass(frozen=True, kw_only=True)
class SoundLook:
    """What decides how a sample of sound alone is cut and drawn.

    Attributes:
        pictures: names of `soundpicture.SOUND_PICTURES`, in the order of C.
        bands: rows of a picture.
        columns: of a picture.
        rate: that sound is resampled to, in Hz; pictures reach up to half of it.
        floor: dB below the reference that level 0 stands for; negative.
        window_s: length of the windows that a track is cut into; None takes it whole.
        hop_s: from the start of a window to the start of the next.
        seconds: length that a whole clip is brought to; None keeps its own.
        trim_db: what lies so much below the loudest is silence, and cut away at both
            ends; None cuts nothing.
    """

    pictures: tuple[str, ...]
    bands: int = 64
    columns: int = 64
    rate: int = SOUND_RATE
    floor: float = DB_FLOOR
    window_s: float | None = None
    hop_s: float | None = None
    seconds: float | None = None
    trim_db: float | None = None

    @classmethod
    def of(
        cls, options: DrawingOptions, pictures: tuple[str, ...], usual_s: float | None
    ) -> "SoundLook":
        """Read a tool's options.

        Args:
            options: of the tool.
            pictures: what is drawn.
            usual_s: length of clips where nothing sets one; None keeps their own.
        """
        return cls(
            pictures=pictures,
            bands=options.bands,
            columns=options.columns,
            rate=options.rate,
            floor=options.floor,
            window_s=options.window,
            hop_s=options.hop or options.window,
            seconds=options.seconds or (None if options.window else usual_s),
            trim_db=options.trim_db if options.trim else None,
        )

    @property
    def sides(self) -> tuple[int, int]:
        """Columns and bands of a sample; features alone are 2 and 26."""
        if self.pictures == (FEATURES,):
            return len(FEATURE_COLUMNS), len(FEATURE_NAMES)
        return self.columns, self.bands


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what a sample of a clip looks like."""

    audiomethod: str = "simple"
    samples_per_frame: int | None = None
    n_channels: int = 5
    scale: str = "absolute"
    frames: int | None = None  # of every sample; None keeps the clip's own number
    skip: int = 1
    size: tuple[int, int] | None = None  # width, height
    soundpicture: SoundLook | None = None  # takes clips by their sound alone

    @classmethod
    def of_sound(cls, look: SoundLook, scale: str = "absolute") -> "Recipe":
        """Return the recipe of samples of sound alone."""
        alone = {"n_channels": 2, "frames": 1, "size": look.sides}
        return cls(**alone, scale=scale, soundpicture=look)  # type: ignore[arg-type]

    @property
    def sound_planes(self) -> tuple[str, ...]:
        """Names of the sound planes, in their order."""
        if self.soundpicture:
            return self.soundpicture.pictures
        return ("amplitude", "mel" if self.audiomethod == "mel" else "frequency")

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of all planes, in the order of C."""
        return (*PICTURE_PLANES[self.n_channels - 2], *self.sound_planes)

    @property
    def drawing(self) -> Drawing:
        """How sound pictures are drawn; of recipes that have some."""
        look = self.soundpicture
        assert look is not None
        return Drawing(
            bands=look.bands,
            columns=look.columns,
            floor=look.floor,
            relative=self.scale == "relative",
        )

    def sound_rate(self, fps: float) -> int:
        """Return the rate, in Hz, that the sound of a clip is resampled to."""
        if self.soundpicture:
            return self.soundpicture.rate
        return sound_rate(fps, self.samples_per_frame)

    def of_windows(self) -> "Recipe":
        """Return the recipe of a window of a track, whose silence is left as it is."""
        look = self.soundpicture
        if look is None or look.window_s is None:
            return self
        return replace(self, soundpicture=replace(look, trim_db=None))

    def options(self) -> dict[str, Any]:
        """Return plain values, to be kept in samples and checkpoints."""
        # Interned, so that equal words pickle to the same bytes in every process.
        words = {k: sys.intern(getattr(self, k)) for k in ("audiomethod", "scale")}
        size = list(self.size) if self.size else None
        told = {**asdict(self), **words, "size": size}
        # What was built before there were pictures of sound is still up to date.
        if (look := told.pop("soundpicture")) is not None:
            look["pictures"] = [sys.intern(name) for name in look["pictures"]]
            told["soundpicture"] = look
        return told

    @classmethod
    def from_options(cls, told: Mapping[str, Any]) -> "Recipe":
        """Read what `options` gave.

        Raises:
            TypeError or ValueError: if it is not that.
        """
        known = {**told}
        size, look = known.get("size"), known.pop("soundpicture", None)
        known["size"] = tuple(size) if size else None
        if set(known) != {field.name for field in fields(cls)} - {"soundpicture"}:
            raise ValueError("other names than those of a recipe")
        if look is not None:
            pictures = tuple(map(str, look["pictures"]))
            known["soundpicture"] = SoundLook(**{**look, "pictures": pictures})
        return cls(**known)
