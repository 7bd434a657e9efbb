"""The options of explaining, as a dataclass that argparse-dataclass can read.

What `fmrgb.options` says of types and imports holds here too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from fmrgb.fields import check_at_least, needed, option
from fmrgb.options import ToolOptions

STEPS = 64  # points between baseline and clip at which the slope is taken
WINDOWS = 12  # parts of the time that are left out in turn


@dataclass(frozen=True, kw_only=True)
class ExplainOptions(ToolOptions):
    """Show which planes, moments and regions of a clip a model's answer rests on.

    Needs the extra: pip install 'fmrgb[explain]'.
    """

    model: Path = needed("a checkpoint, like run/best.ckpt")
    target: Path = needed("a clip: mp4, avi, mov, mkv, webm, or a .pt sample")
    label: Optional[str] = option(
        None, "class to explain", said="the one the model says"
    )
    steps: int = option(
        STEPS,
        "points at which integrated gradients take the slope; more are more exact",
    )
    windows: int = option(WINDOWS, "equal parts of the time that are left out in turn")
    output: Optional[Path] = option(
        None, "folder for the PNG and the mp4", said="<clip>_explained beside the clip"
    )
    source: Optional[Path] = option(
        None,
        "the clip that a .pt sample was made from, to give the mp4 its sound",
        said="looked for beside the sample",
    )

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_at_least(self, 2, "steps")
        check_at_least(self, 1, "windows")
