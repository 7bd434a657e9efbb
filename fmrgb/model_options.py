"""Which architectures there are, by name, and the options of the tool that lists them.

What `fmrgb.options` says of types and imports holds here too.
"""

import argparse
import difflib
import re
from dataclasses import dataclass
from typing import Literal, Optional

from fmrgb.fields import check_at_least, frame_size, option, switch
from fmrgb.options import ToolOptions

MODEL_NAMES = ("conv3d", "convlstm", "vivit", "cnn2d", "fusion")
TIMM = "timm:"  # begins the names of timm's architectures
ModelSize = Literal["tiny", "small", "base"]
Fusion = Literal["senses", "stack"]


def model_name(text: str) -> str:
    """Read the name of an architecture: one of MODEL_NAMES, or timm:<name>."""
    word = text.strip()
    if word in MODEL_NAMES or re.fullmatch(TIMM + r"[a-z0-9_.]+", word):
        return word
    near = difflib.get_close_matches(word, MODEL_NAMES, 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise argparse.ArgumentTypeError(
        f"invalid choice: {text!r} (choose from {', '.join(MODEL_NAMES)}, or "
        f"{TIMM}<name> like {TIMM}efficientnetv2_rw_t){meant}"
    )


@dataclass(frozen=True, kw_only=True)
class ModelsOptions(ToolOptions):
    """List the models: flags, size, GFLOPs for one clip (2 per multiply-add), paper."""

    learnmethod: Optional[str] = option(
        None,
        f"only this one, as in train; {TIMM}<name> is listed only so",
        model_name,
        said="all",
    )
    channels_count: int = option(5, "planes of a clip")
    sound_count: int = option(2, "how many of the planes are sound")
    fusion: Fusion = option("senses", "how the senses meet, as in train")
    frames: int = option(32, "frames of a clip")
    size: Optional[tuple[int, int]] = option(
        None, "picture size in pixels, N or WxH", frame_size, said="64"
    )
    classes: int = option(2, "classes to tell apart")
    measure: bool = switch("also measure the milliseconds per clip on this processor")

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_at_least(self, 1, "channels_count", "frames")
        check_at_least(self, 0, "sound_count")
        check_at_least(self, 2, "classes")
        if self.sound_count > self.channels_count:
            raise ValueError(
                f"--sound_count must be at most --channels_count, got "
                f"{self.sound_count} of {self.channels_count}"
            )
