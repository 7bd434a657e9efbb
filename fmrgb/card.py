"""What a network is and what it expects, in plain values that need no torch.

Axes: C channels, T frames, H height, W width.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from fmrgb import __version__


class ClipShape(NamedTuple):
    """Sizes of one clip [C, T, H, W], without the batch."""

    channels: int
    frames: int
    height: int
    width: int


@dataclass(frozen=True)
class View:
    """Which part of a sample a network sees."""

    channels: tuple[str, ...]
    frames: int
    height: int
    width: int
    sound: tuple[str, ...] = ()  # those of the channels that are sound

    @property
    def shape(self) -> ClipShape:
        """Sizes [C, T, H, W] of one clip."""
        return ClipShape(len(self.channels), self.frames, self.height, self.width)

    @property
    def sound_places(self) -> tuple[int, ...]:
        """Places of the sound planes among the channels."""
        return tuple(c for c, name in enumerate(self.channels) if name in self.sound)

    @property
    def picture_places(self) -> tuple[int, ...]:
        """Places of the picture planes among the channels."""
        return tuple(
            c for c, name in enumerate(self.channels) if name not in self.sound
        )


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a network is and what it expects; plain values, kept beside the weights."""

    model: str
    model_size: str
    classes: tuple[str, ...]
    view: View
    mean: list[float]  # of each channel, in levels, over the training clips
    std: list[float]
    fusion: str = "stack"  # how the senses meet; see `fmrgb.models.build_model`
    recipe: dict[str, Any]  # how the samples it learned from were built
    # Of the training clips, where known: median and greatest length in s; lowest and
    # highest frames per second and width / height.
    seconds: float | None = None
    longest: float | None = None
    fps: tuple[float, float] | None = None
    ratio: tuple[float, float] | None = None
    version: str = __version__

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, such as JSON and checkpoints keep."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> "Card":
        """Read what `as_dict` gave.

        Raises:
            KeyError, TypeError or ValueError: if it is not that.
        """
        values = dict(known)
        view = dict(values.pop("view"))
        for name in ("channels", "sound"):
            view[name] = tuple(view[name])
        for name in ("classes", "fps", "ratio"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        return cls(view=View(**view), **values)


def _plain(value: Any) -> Any:
    """Turn tuples into lists, also within."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
