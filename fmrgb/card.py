"""What a network is and what it expects, in plain values that need no torch.

Axes: C channels, T frames, H height, W width.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from fmrgb import __version__
from fmrgb.fields import MAX_SIDE

MOST_CHANNELS, MOST_CLASSES = 64, 20_000
MOST_LEVELS = 2**32  # of one clip, in bytes as many


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
        card = cls(view=View(**view), **values)
        _check(card)
        return card


def _plain(value: Any) -> Any:
    """Turn tuples into lists, also within."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _check(card: Card) -> None:
    """Raise ValueError or TypeError if a card holds what no network can be."""
    view = card.view
    sizes = {"channels": len(view.channels), **view.shape._asdict()}
    most = {
        "channels": MOST_CHANNELS,
        "frames": MOST_LEVELS,
        "height": MAX_SIDE,
        "width": MAX_SIDE,
    }
    for name, size in sizes.items():
        if type(size) is not int or not 1 <= size <= most[name]:
            raise ValueError(f"{name} must be 1 to {most[name]:,}, got {size!r:.40}")
    if math.prod(view.shape) > MOST_LEVELS:
        raise ValueError(f"clips {list(view.shape)} would be larger than 4 GiB")
    _check_names("classes", card.classes, MOST_CLASSES)
    _check_names("channels", (*view.channels,), MOST_CHANNELS)
    if not {*view.sound} <= {*view.channels}:
        raise ValueError("its sound planes are not among its channels")
    for name, values in (("mean", card.mean), ("std", card.std)):
        least = 0.0 if name == "mean" else 1e-6
        if len(values) != len(view.channels) or not all(
            least <= value < math.inf for value in values
        ):
            raise ValueError(f"{name} is not one sensible number for each channel")
    for known in (card.seconds, card.longest, *(card.fps or ()), *(card.ratio or ())):
        if known is not None and not 0 <= known < math.inf:
            raise ValueError(f"lengths and rates must be numbers, got {known!r:.40}")
    if not isinstance(card.recipe, dict):
        raise TypeError("its recipe is not made of names and values")


def _check_names(what: str, names: Sequence[str], most: int) -> None:
    """Raise ValueError unless `names` are words, each another, and not too many."""
    are_words = all(isinstance(name, str) and name for name in names)
    if not are_words or len({*names}) < len(names) or not 1 <= len(names) <= most:
        raise ValueError(f"its {what} are not 1 to {most:,} names, each another")
