"""The options of training and judging, as dataclasses that argparse-dataclass can read.

What `fmrgb.options` says of types and imports holds here too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from fmrgb.fields import (
    check_at_least,
    frame_count,
    frame_size,
    needed,
    option,
    switch,
)
from fmrgb.options import ToolOptions

ModelName = Literal["conv3d", "convlstm", "vivit"]
ModelSize = Literal["tiny", "small", "base"]
Split = Literal["train", "val", "test", "all"]


@dataclass(frozen=True, kw_only=True)
class TrainOptions(ToolOptions):
    """Train a classifier on samples; leave a run folder with weights and a report."""

    data: Path = needed("a manifest (CSV) or a folder <label>/<sample>.pt")
    output: Path = option(Path("run"), "run folder to write; must be new or empty")
    learnmethod: ModelName = option("conv3d", "architecture")
    model_size: ModelSize = option("tiny", "width and depth of the network")
    epochs: int = option(60, "at most this many passes over the training clips")
    patience: int = option(15, "stop after this many epochs without a better val loss")
    test_size: float = option(0.2, "share of the clips kept for the final score")
    val_size: float = option(0.2, "share of the clips that decides when to stop")
    lr: float = option(3e-3, "highest learning rate")
    weight_decay: float = option(0.01, "AdamW's weight decay")
    folds: Optional[int] = option(
        None,
        "train this many times; each clip is judged once, by a network that never saw "
        "its source",
        said="one split",
    )
    batch_size: int = option(20, "clips per step")
    frames: Optional[int] = option(
        None, "frames drawn of each sample", frame_count, said="all"
    )
    size: Optional[tuple[int, int]] = option(
        None, "picture size for the network, N or WxH", frame_size, said="the samples'"
    )
    channels: str = option(
        "all", "planes to train on: all, picture, sound, or names like R,G,amplitude"
    )
    seed: int = option(0, "seed of split, weights and shuffling")
    resume: bool = switch("go on where a killed run in --output stopped")
    workers: int = option(0, "processes that load samples besides the main one")

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_at_least(self, 1, "epochs", "patience", "batch_size", "frames")
        check_at_least(self, 0, "seed", "workers", "weight_decay")
        check_at_least(self, 2, "folds")
        if not self.lr > 0:
            raise ValueError(f"--lr must be above 0, got {self.lr}")
        for name in ("test_size", "val_size"):
            if not 0 < getattr(self, name) < 1:
                share = getattr(self, name)
                raise ValueError(f"--{name} must lie between 0 and 1, got {share}")
        if self.test_size + self.val_size >= 1:
            raise ValueError("--test_size and --val_size leave nothing to train on")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(ToolOptions):
    """Judge a trained model on labelled samples."""

    model: Path = needed("a checkpoint, like run/best.ckpt")
    data: Path = needed("a manifest (CSV) or a folder <label>/<sample>.pt")
    split: Split = option(
        "all", "which clips: all, or those a split column marks train, val or test"
    )
    output: Optional[Path] = option(
        None, "folder for predictions.csv and report.html", said="print only"
    )
    batch_size: int = option(20, "clips per step")

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_at_least(self, 1, "batch_size")
