"""The sizes of one clip, as every model is told them."""

from typing import NamedTuple


class ClipShape(NamedTuple):
    """Sizes of a clip `[C, T, H, W]` without its batch."""

    channels: int
    frames: int
    height: int
    width: int
