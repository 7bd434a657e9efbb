"""The options of pair, as a dataclass that argparse-dataclass can read.

What `fmrgb.options` says of types and imports holds here too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from fmrgb.fields import (
    check_at_least,
    frame_size,
    needed,
    option,
    outside_switch,
)
from fmrgb.options import SoundOptions

PairFormat = Literal["pt", "npz"]
MOST_MISSING = 0.95
SIZE = (64, 64)


@dataclass(frozen=True, kw_only=True)
class PairOptions(SoundOptions):
    """Join pictures, sounds and texts by label to samples, some with gaps.

    Items are split first, so that none is met in two of train, val and test.
    """

    pictures: Optional[Path] = option(
        None,
        "folder <label>/<picture>, CSV with path, label and perhaps group, or .npz "
        "with images, labels, classes",
        said="none",
    )
    sounds: Optional[Path] = option(
        None,
        "folder <label>/<sound file> or CSV with path, label and perhaps group, of "
        "sound files or of samples (.pt) of sound pictures",
        said="none",
    )
    texts: Optional[Path] = option(
        None,
        "CSV with text, label and perhaps group, or folder <label>/<text>.txt",
        said="none",
    )
    table: Optional[Path] = option(
        None,
        "CSV with label and the columns picture, sound, text: which label of each "
        "collection goes with which; a cell may be empty",
        said="labels of the same name go together",
    )
    output: Path = needed("folder for samples and manifest; new, or of the same pairs")
    format: PairFormat = option(
        "pt", "pt: samples and manifest.csv; npz: all in pairs.npz"
    )
    missing: float = option(
        0.0,
        "chance that a sense is left out of a pair; one always stays, so that fewer "
        "are missing where this is high",
    )
    pairs: Optional[int] = option(
        None,
        "pairs of each label",
        said="as many as the largest collection has items of it",
    )
    size: tuple[int, int] = option(
        SIZE,
        "picture size in pixels, N or WxH; pictures fill it",
        frame_size,
        said="64",
    )
    test_size: float = option(0.2, "share of each collection's items for test pairs")
    val_size: float = option(0.2, "share of each collection's items for val pairs")
    seed: int = option(0, "seed of split, joins and gaps")
    outside: bool = outside_switch()

    def __post_init__(self) -> None:
        """Check the numbers, and that there is something to join."""
        super().__post_init__()
        check_at_least(self, 0, "seed")
        check_at_least(self, 3, "pairs")
        if not (self.pictures or self.sounds or self.texts):
            raise ValueError("give --pictures, --sounds or --texts, or several of them")
        if not 0 <= self.missing <= MOST_MISSING:
            raise ValueError(
                f"--missing must lie in 0 to {MOST_MISSING}, got {self.missing}"
            )
        if self.window:
            raise ValueError(
                "pair takes whole sounds; cut --window with create_fmrgbdata, and give "
                "its manifest as --sounds"
            )
        for name in ("test_size", "val_size"):
            if not 0 < (share := getattr(self, name)) < 1:
                raise ValueError(f"--{name} must lie between 0 and 1, got {share}")
        if self.test_size + self.val_size >= 1:
            raise ValueError("--test_size and --val_size leave nothing to train on")
