"""The options of gmm, as a dataclass that argparse-dataclass can read.

What `fmrgb.options` says of types and imports holds here too.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from fmrgb.fields import check_at_least, option, outside_switch, switch
from fmrgb.options import ToolOptions

Covariance = Literal["full", "tied", "diag"]
MOST_NUMBERS = 1000


def concept_count(text: str) -> Optional[int]:
    """Read `auto` as None and `N` as a number of concepts."""
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected 'auto' or a number of concepts, got {text!r}"
        ) from None


@dataclass(frozen=True, kw_only=True)
class GmmOptions(ToolOptions):
    """Learn concepts from pictures, sounds and words with gaps, or ask about them.

    --fit with --data learns a Gaussian mixture; --model with --target or --text answers
    which concept and label it is, and draws what is missing.
    """

    fit: bool = switch("learn from --data; without it --model is asked")
    data: Optional[Path] = option(
        None, "manifest (CSV) of samples of one frame, such as pair makes", said="none"
    )
    outside: bool = outside_switch()
    model: Optional[Path] = option(
        None, "concepts.npz of an earlier --fit, to be asked", said="none"
    )
    target: Optional[Path] = option(None, "sample (.pt) to ask about", said="none")
    text: Optional[str] = option(None, "words to ask about", said="none")
    output: Path = option(
        Path("concepts"), "folder for model, metrics.json and drawings"
    )
    features: Optional[Path] = option(
        None,
        "checkpoint, like run/best.ckpt, whose features of picture and sound are "
        "learned from",
        said="principal components of the pictures themselves",
    )
    dims: int = option(16, "numbers that each sense becomes")
    concepts: Optional[int] = option(
        None,
        "how many concepts; auto is one, two or three for each label, whichever the "
        "Bayesian information criterion of the training clips prefers",
        concept_count,
        said="auto",
    )
    covariance: Covariance = option(
        "full", "full: one for each concept; tied: one for all; diag: variances only"
    )
    regular: float = option(
        0.3, "added to every variance, where 1 is that of all training clips"
    )
    nearest: int = option(3, "how many of the nearest training clips are named")
    test_size: float = option(0.2, "share of clips for the score, if none are marked")
    val_size: float = option(0.2, "share of clips kept out of both, if none are marked")
    seed: int = option(0, "seed of split and start")

    def __post_init__(self) -> None:
        """Check the numbers, and that there is one thing to do."""
        check_at_least(self, 1, "dims", "concepts", "nearest")
        check_at_least(self, 0, "seed")
        if not self.regular > 0:
            raise ValueError(f"--regular must be above 0, got {self.regular}")
        if self.dims > MOST_NUMBERS:
            raise ValueError(f"--dims must be at most {MOST_NUMBERS}, got {self.dims}")
        for name in ("test_size", "val_size"):
            if not 0 < (share := getattr(self, name)) < 1:
                raise ValueError(f"--{name} must lie between 0 and 1, got {share}")
        if self.test_size + self.val_size >= 1:
            raise ValueError("--test_size and --val_size leave nothing to learn from")
        if self.fit and (self.data is None or self.model or self.target or self.text):
            raise ValueError("--fit needs --data, and no --model, --target or --text")
        if not self.fit and (self.model is None or not (self.target or self.text)):
            raise ValueError(
                "give --fit with --data to learn, or --model with --target or --text "
                "to ask"
            )
