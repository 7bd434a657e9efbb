"""The options of the web page, as a dataclass that argparse-dataclass can read.

What `fmrgb.options` says of types and imports holds here too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from fmrgb.fields import check_at_least, needed, option, outside_switch
from fmrgb.options import ToolOptions

LOOPBACK = "127.0.0.1"  # reached from this machine alone


@dataclass(frozen=True, kw_only=True)
class AppOptions(ToolOptions):
    """Open a page in the browser to try a model on clips and look through its run.

    Needs the extra: pip install 'fmrgb[app]'.
    """

    model: Path = needed("a checkpoint, like run/best.ckpt, or an exported .onnx")
    data: Optional[Path] = option(
        None,
        "manifest, or folder of samples, to look through",
        said="split.csv of the run",
    )
    run: Optional[Path] = option(
        None,
        "run folder whose report.html and predictions.csv are shown",
        said="the model's folder, if it holds them",
    )
    outside: bool = outside_switch()
    host: str = option(
        LOOPBACK,
        "address to listen at; 0.0.0.0 lets everybody in who can reach this machine, "
        "without a password",
    )
    port: int = option(7860, "port to listen at; 0 takes a free one")
    max_mb: float = option(
        200.0, "largest file that the page takes, in MB; it keeps four times that"
    )
    max_seconds: float = option(600.0, "longest clip that the page takes, in s")

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_at_least(self, 0, "port")
        for name in ("max_mb", "max_seconds"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ValueError(f"--{name} must be above 0, got {value}")
        if self.port > 65535:
            raise ValueError(f"--port must be at most 65535, got {self.port}")
        if not self.host:
            raise ValueError("--host must not be empty")
