"""From a clip's name to the names of what is made from it, and those of planes."""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

TWIN = "resized_"  # how the names of smaller copies begin
SAMPLE = ".pt"  # how the names of samples end
# Labels that --words gives clips which say none of its words, and its word for all.
UNKNOWN, SILENCE, ALL_WORDS = "unknown", "silence", "all"
# How the names of samples end that are of a part of a clip, or of a changed copy.
_PART = re.compile(r"(\.e\d{5,})?(\.w\d{5,})?\.pt$")

FEATURES = "features"  # the sound picture that is no picture: single values, 26 x 2
FEATURE_NAMES = (  # its rows, from the top
    *("chroma", "rms", "centroid", "bandwidth", "rolloff", "zero_crossing_rate"),
    *(f"mfcc{n}" for n in range(1, 21)),
)
FEATURE_COLUMNS = ("mean", "spread")  # over time; the spread is a standard deviation
# What a whole stretch of sound can be drawn as; see `fmrgb.soundpicture`.
PICTURED = ("stft", "mel", "logmel", "mfcc", "waveform", FEATURES)


class Shard(NamedTuple):
    """One share of the work of several machines, counted from 1."""

    number: int
    of: int

    def holds(self, name: str) -> bool:
        """Tell whether a clip of this name, relative to the target, is in the share.

        Its bytes decide, so that every machine agrees, and clips that come or go later
        move no other.
        """
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number - 1

    def named(self, name: str) -> str:
        """Return a file's name for this share: `manifest.shard3of8.csv`."""
        stem, dot, suffix = name.rpartition(".")
        return f"{stem}.shard{self.number}of{self.of}{dot}{suffix}"


def copy_path(clip: Path) -> Path:
    """Return the name of a clip's smaller copy."""
    return clip.with_name(f"{TWIN}{clip.stem}.mp4")


def is_copy(clip: Path) -> bool:
    """Tell whether a clip is, by its name, a smaller copy itself."""
    return clip.name.startswith(TWIN)


def sample_path(clip: Path, target: Path, output: Path | None) -> Path:
    """Return where the sample of `clip` lies.

    Args:
        clip: a clip under `target`.
        target: the folder, or the single clip, that a tool was given.
        output: folder of the samples, with the target's sub-folders; None means beside
            the clips.
    """
    name = clip.stem + SAMPLE
    if output is None:
        return clip.with_name(name)
    inside = clip.parent.relative_to(target) if target.is_dir() else Path()
    return output / inside / name


def window_path(sample: Path, number: int) -> Path:
    """Return the name of a window's sample, by that of its whole track's."""
    return sample.with_name(f"{sample.stem}.w{number:05d}{SAMPLE}")


def excerpt_path(sample: Path, number: int) -> Path:
    """Return the name of an excerpt's sample, by that of its whole clip's."""
    return sample.with_name(f"{sample.stem}.e{number:05d}{SAMPLE}")


def track_path(sample: Path) -> Path:
    """Return the name of a whole track's sample; one of no window keeps its own."""
    return sample.with_name(_PART.sub(SAMPLE, sample.name))
