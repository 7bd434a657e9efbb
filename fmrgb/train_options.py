"""The options of training and judging, as dataclasses that argparse-dataclass can read.

What `fmrgb.options` says of types and imports holds here too.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from fmrgb.fields import (
    check_at_least,
    frame_count,
    frame_size,
    location,
    needed,
    option,
    outside_switch,
    switch,
)
from fmrgb.model_options import MODEL_NAMES, TIMM, Fusion, ModelSize, model_name
from fmrgb.options import ToolOptions, WorkerOptions
from fmrgb.store_options import StoreOptions

Precision = Literal["auto", "32", "bf16-mixed", "16-mixed"]
ExportFormat = Literal["onnx", "torch"]
TrueFalse = Literal["true", "false"]
Split = Literal["train", "val", "test", "all"]
EXPORT_SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
SEARCHED = ("lr", "weight_decay", "batch_size", "model_size")
TRIALS = 12


def searched_names(text: str) -> tuple[str, ...]:
    """Read names of settings with commas between them; lr must be among them."""
    names = tuple(dict.fromkeys(text.replace(" ", "").split(",")))
    if "lr" not in names or not set(names) <= set(SEARCHED):
        raise argparse.ArgumentTypeError(
            f"expected lr, or lr and others of {', '.join(SEARCHED)} with commas, got "
            f"{text!r}"
        )
    return names


@dataclass(frozen=True, kw_only=True)
class TrainOptions(StoreOptions, ToolOptions):
    """Train a classifier on samples; leave a run folder with weights and a report."""

    data: Path = needed(
        "a manifest (CSV) or a folder <label>/<sample>.pt, also at an address", location
    )
    output: Path = option(Path("run"), "run folder to write; must be new or empty")
    outside: bool = outside_switch()
    dry_run: bool = switch("only audit the data and try one batch; write nothing")
    labels: Optional[Path] = option(
        None,
        "CSV with path and --label_column; its labels replace those of --data, samples "
        "it does not name are left out",
        location,
        said="those of --data",
    )
    label_column: str = option(
        "label", "column of --labels, or else of --data, that holds the labels"
    )
    split: Optional[Path] = option(
        None,
        "manifest whose split column to use, like the split.csv of a run to repeat; "
        "--test_size and --val_size are not used then",
        location,
        said="made by --seed",
    )
    learnmethod: str = option(
        "conv3d",
        f"architecture: {', '.join(MODEL_NAMES)} (pictures beside the plane features), "
        f"or {TIMM}<name>, any of timm's (needs fmrgb[timm]); fmrgb models lists them",
        model_name,
    )
    model_size: ModelSize = option(
        "tiny", "width and depth of the network; timm's have it in their name"
    )
    fusion: Fusion = option(
        "senses",
        "how the senses meet: a network for each and a joint answer, or one network on "
        "the stacked planes",
    )
    init: Optional[str] = option(
        None,
        "file of weights to begin with: the best.ckpt of a run, or a state dict of "
        "torchvision's r2plus1d_18, mc3_18 or r3d_18 (conv3d base); or one for the "
        "picture and one for the sound, with a comma between",
        said="fresh weights",
    )
    epochs: int = option(120, "at most this many passes over the training clips")
    patience: int = option(30, "stop after this many epochs without a better val loss")
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
    usescheduler: TrueFalse = option(
        "true", "let the rate rise at first, then fall as a cosine; false keeps it"
    )
    balance: bool = switch(
        "let every class count the same in the loss, however many its clips are"
    )
    batch_size: int = option(
        20,
        "clips per step, in all processes together: more processes take smaller parts, "
        "and learn the same",
    )
    accumulate: int = option(1, "steps per update of the weights")
    precision: Precision = option(
        "auto",
        "numbers to compute in; auto takes 32 or bf16-mixed, whichever a few steps "
        "show to be faster: name it to repeat a run exactly",
    )
    frames: Optional[int] = option(
        None, "frames drawn of each sample", frame_count, said="all"
    )
    size: Optional[tuple[int, int]] = option(
        None, "picture size for the network, N or WxH", frame_size, said="the samples'"
    )
    channels: str = option(
        "all", "planes to train on: all, picture, sound, or names like R,G,amplitude"
    )
    augment: TrueFalse = option(
        "true",
        "show every training clip a little changed each time; false switches off all "
        "from --crop to --sense_dropout, of each of which 0 is off",
    )
    crop: float = option(0.2, "largest share of the picture's sides that is cut away")
    flip: float = option(
        0.5,
        "probability that the picture is mirrored; give 0 where left and right matter "
        "to the labels, as in moves left or turns right",
    )
    brightness: float = option(0.2, "largest change of brightness and contrast")
    jitter: float = option(
        0.2, "largest share of the time that is cut away, in picture and sound alike"
    )
    shift: float = option(
        0.1,
        "largest shift of a sound picture in time, as a share of its width, where a "
        "clip is one picture",
    )
    gain: float = option(6.0, "largest change of loudness in dB (--scale absolute)")
    noise: float = option(
        0.15, "probability that noise drowns the sound (--scale absolute)"
    )
    mask: float = option(
        0.2, "largest share of the sound's time, and of the bands of mel, hidden"
    )
    sense_dropout: float = option(
        0.1, "probability that one sense is blanked, picture or sound"
    )
    islearnrate_search: TrueFalse = option(
        "false", "find the learning rate by short trainings, then train with it"
    )
    search: tuple[str, ...] = option(
        ("lr",),
        f"what is searched: lr, or several with commas, out of {', '.join(SEARCHED)}",
        searched_names,
        said="lr",
    )
    trials: int = option(TRIALS, "at most this many short trainings in a search")
    search_epochs: Optional[int] = option(
        None, "epochs that they may take together", said="twice --epochs"
    )
    storage: Optional[str] = option(
        None,
        "file, or URL of a database, that keeps them; processes that share it, on any "
        "machine, share the trials, may come and go, and end with the same values",
        said="a file in --output",
    )
    seed: int = option(0, "seed of split, weights, shuffling and changes")
    resume: bool = switch("go on where a killed run in --output stopped")
    checkpoint_minutes: float = option(
        10.0, "write last.ckpt in the midst of an epoch too, so often; 0 at every step"
    )
    workers: int = option(0, "processes that load samples besides the main one")
    devices: str = option(
        "1",
        "how many GPUs (or processes) to train on, per machine; auto is all; torchrun "
        "and SLURM start as many themselves",
    )
    nodes: int = option(1, "machines that train together, on one --output")
    strategy: str = option("auto", "how devices share the work, as Lightning names it")

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_at_least(self, 1, "epochs", "patience", "batch_size", "frames")
        check_at_least(self, 1, "accumulate", "nodes")
        check_at_least(self, 0, "seed", "workers", "weight_decay", "gain")
        check_at_least(self, 0, "checkpoint_minutes")
        shares = ("crop", "jitter", "shift", "flip", "brightness", "noise", "mask")
        for name in (*shares, "sense_dropout"):
            share, most = getattr(self, name), 0.9 if name in shares[:3] else 1
            if not 0 <= share <= most:
                raise ValueError(f"--{name} must lie in 0 to {most}, got {share}")
        check_at_least(self, 2, "folds")
        check_at_least(self, 1, "trials", "search_epochs")
        wish = (self.search, self.trials, self.search_epochs, self.storage)
        if self.islearnrate_search == "false" and wish != (("lr",), TRIALS, None, None):
            raise ValueError(
                "--search, --trials, --search_epochs and --storage need "
                "--islearnrate_search true"
            )
        sized = self.model_size != "tiny" or "model_size" in self.search
        if self.learnmethod.startswith(TIMM) and sized:
            raise ValueError(
                f"--model_size does not go with --learnmethod {self.learnmethod}: the "
                "size is in its name"
            )
        if self.folds and self.split:
            raise ValueError("--split gives one split, --folds makes several; drop one")
        if not self.lr > 0:
            raise ValueError(f"--lr must be above 0, got {self.lr}")
        for name in ("test_size", "val_size"):
            if not 0 < getattr(self, name) < 1:
                share = getattr(self, name)
                raise ValueError(f"--{name} must lie between 0 and 1, got {share}")
        if self.test_size + self.val_size >= 1:
            raise ValueError("--test_size and --val_size leave nothing to train on")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(StoreOptions, WorkerOptions):
    """Judge a trained model on labelled samples or clips; compare it with another."""

    model: Path = needed("a checkpoint, like run/best.ckpt")
    data: Optional[Path] = option(
        None,
        "a manifest (CSV) or a folder <label>/<sample>.pt, also at an address",
        location,
        said="--raw is given",
    )
    raw: Optional[Path] = option(
        None,
        "CSV of clips (mp4 and others) with path, label and perhaps group, the source "
        "recording; they are prepared as predict does",
        location,
        said="--data is given",
    )
    outside: bool = outside_switch()
    against: Optional[Path] = option(
        None,
        "another checkpoint, to compare with on the same clips: paired bootstrap and "
        "McNemar's exact test",
        said="no comparison",
    )
    split: Split = option(
        "all", "which clips: all, or those a split column marks train, val or test"
    )
    output: Optional[Path] = option(
        None,
        "folder for report.html, metrics.json, predictions.csv and failed.csv",
        said="print only",
    )
    batch_size: int = option(20, "clips per step")

    def __post_init__(self) -> None:
        """Check the numbers, and that there is one thing to judge by."""
        super().__post_init__()
        check_at_least(self, 1, "batch_size")
        if (self.data is None) == (self.raw is None):
            raise ValueError("give either --data (samples) or --raw (clips)")


@dataclass(frozen=True, kw_only=True)
class ExportOptions(ToolOptions):
    """Write a trained network as one file that works without fmrgb; say what it costs.

    The file's logits are compared with the checkpoint's before it appears.
    """

    model: Path = needed("a checkpoint, like run/best.ckpt")
    format: ExportFormat = option(
        "onnx",
        "onnx: .onnx, for onnxruntime, predict takes it where torch is not installed; "
        "torch: .pt2, for torch.export.load",
    )
    output: Optional[Path] = option(
        None, "file to write", said="the checkpoint's name with .onnx or .pt2"
    )
    batch_size: int = option(
        1, "clips per pass when the speed is measured; the file takes any number"
    )

    def __post_init__(self) -> None:
        """Check the numbers and the file's name."""
        check_at_least(self, 1, "batch_size")
        suffix = EXPORT_SUFFIXES[self.format]
        if self.output and self.output.suffix != suffix:
            raise ValueError(f"--output must end with {suffix}, got {self.output}")
