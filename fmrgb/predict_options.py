"""The options of prediction, as a dataclass that argparse-dataclass can read.

What `fmrgb.options` says of types and imports holds here too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from fmrgb.fields import check_at_least, needed, option, outside_switch, switch
from fmrgb.options import WorkerOptions
from fmrgb.store_options import StoreOptions


@dataclass(frozen=True, kw_only=True)
class PredictOptions(StoreOptions, WorkerOptions):
    """Ask a trained model about clips, long recordings or a live stream."""

    model: Path = needed("a checkpoint, like run/best.ckpt, or an exported .onnx")
    target: str = needed(
        "a video, a sound file (where the model uses sound), a sample (.pt), a folder, "
        "a CSV with a column path, one of those at an address, like s3://bucket/clips, "
        "or a live address: rtsp://, http://, /dev/video0"
    )
    output: Optional[Path] = option(
        None,
        "folder for predictions.csv and, of each long recording, events.csv, "
        "events.json, windows.csv and timeline.png",
        said="<target>_predicted beside the target; none for one short clip",
    )
    threshold: float = option(
        0.0, "probability, 0 to 1, below which the answer is 'unsure'"
    )
    window: Optional[float] = option(
        None,
        "length in s of the windows that a long recording is judged by; if it is given "
        "every clip counts as long, else those longer than 1.5 windows and than the "
        "longest training clip",
        said="median length of the training clips",
    )
    hop: Optional[float] = option(
        None,
        "s from the start of a window to the start of the next, at most --window",
        said="--window",
    )
    render: bool = switch(
        "also write labelled.mp4 of each long recording: the label drawn in, the sound "
        "kept"
    )
    outside: bool = outside_switch()
    events: Optional[Path] = option(
        None,
        "live: file to which every window's answer is added as a line of JSON",
        said="print only",
    )
    reconnects: int = option(
        3, "live: how many times in a row a stream that ended or broke is tried again"
    )

    def __post_init__(self) -> None:
        """Check the numbers."""
        super().__post_init__()
        check_at_least(self, 0, "reconnects")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"--threshold must lie in 0 to 1, got {self.threshold}")
        for name in ("window", "hop"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"--{name} must be above 0, got {value}")
        if self.window and self.hop and self.hop > self.window:
            raise ValueError(
                f"--hop must be at most --window, got {self.hop} and {self.window}"
            )
