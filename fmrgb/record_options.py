"""The options of recording, as a dataclass that argparse-dataclass can read.

What `fmrgb.options` says of types and imports holds here too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from fmrgb.fields import check_at_least, needed, option
from fmrgb.options import ToolOptions


@dataclass(frozen=True, kw_only=True)
class RecordOptions(ToolOptions):
    """Wait for a sound, cut it out, ask a trained model about it, and again."""

    model: Path = needed(
        "a checkpoint, like run/best.ckpt, or an exported .onnx, that uses sound"
    )
    source: Optional[Path] = option(
        None, "sound file or video that is heard instead", said="the microphone"
    )
    device: Optional[str] = option(
        None,
        "microphone, by number or part of its name; python -m sounddevice lists them",
        said="the system's own",
    )
    level: float = option(
        -40.0, "dBFS from which on a hundredth of a second counts as sound"
    )
    silence: float = option(0.6, "s of quiet that end a sound")
    longest: float = option(5.0, "s after which a sound is cut off")
    lead: float = option(
        0.15, "s kept before and after what is loud, as words begin and end quietly"
    )
    times: Optional[int] = option(
        None, "sounds to answer before it ends", said="until Ctrl-C"
    )
    threshold: float = option(
        0.0, "probability, 0 to 1, below which the answer is 'unsure'"
    )
    save: Optional[Path] = option(
        None,
        "folder for every sound (.wav) and the picture of what the model gets (.png)",
        said="kept nowhere",
    )

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_at_least(self, 1, "times")
        if not -100 < self.level < 0:
            raise ValueError(f"--level must lie between -100 and 0, got {self.level}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"--threshold must lie in 0 to 1, got {self.threshold}")
        if not 0 <= self.lead <= 5:
            raise ValueError(f"--lead must lie in 0 to 5, got {self.lead}")
        for name, least in (("silence", 0.05), ("longest", 0.1)):
            if not least <= getattr(self, name) <= 600:
                raise ValueError(
                    f"--{name} must lie in {least} to 600, got {getattr(self, name)}"
                )
        if self.source and self.device:
            raise ValueError("give either --source (a file) or --device (a microphone)")
