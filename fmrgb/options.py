"""The options of every tool, as dataclasses that argparse-dataclass can read.

No `from __future__ import annotations` here and no `X | None`: argparse-dataclass
calls each field's type, so the types must be real objects (its issue #47). Neither
torch nor numpy is imported, so that `--help` answers at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from fmrgb.engine_options import EngineOptions
from fmrgb.fields import (
    MAX_SIDE,
    channel_count,
    check_at_least,
    default_workers,
    frame_count,
    frame_size,
    location,
    needed,
    option,
    share,
    switch,
)
from fmrgb.sound_options import DrawingOptions
from fmrgb.store_options import StoreOptions
from fmrgb.word_options import WordOptions

AudioMethod = Literal["simple", "mel"]
Scale = Literal["absolute", "relative"]
DemoKind = Literal["video", "keywords"]


@dataclass(frozen=True, kw_only=True)
class ToolOptions:
    """What every tool understands."""

    json: bool = switch("print the result as JSON, for programs")
    debug: bool = switch("show the traceback of a fault")
    log_file: Optional[Path] = option(
        None,
        "file to which what happens is added as lines of JSON: time, tool, clip, "
        "stage, seconds, error",
        said="none",
    )


@dataclass(frozen=True, kw_only=True)
class WorkerOptions(ToolOptions):
    """Options of the tools that do many files at once."""

    workers: int = option(
        default_workers(), "how many files to work on at once", said="one per core"
    )
    clip_timeout: Optional[float] = option(
        None,
        "seconds that the work on one file may take before it is set aside",
        said="600, and one more for every 20 kB of the file",
    )
    clip_memory: Optional[int] = option(
        None,
        "MiB of memory that the work on one file may take before it is set aside",
        said="what is free, divided by --workers; at least 1024",
    )

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_at_least(self, 1, "workers", "clip_timeout", "clip_memory")


@dataclass(frozen=True, kw_only=True)
class ResizeOptions(WorkerOptions):
    """Write a smaller copy, resized_<name>.mp4, beside every mp4; sound is copied."""

    target: Path = needed("an mp4, or a folder with mp4s (sub-folders included)")
    mag: float = option(3.0, "divide width and height by this number, 1 or more")
    crf: int = option(20, "x264 quality: 0 lossless, 23 ordinary, 51 worst")

    def __post_init__(self) -> None:
        """Check the numbers."""
        super().__post_init__()
        check_at_least(self, 1, "mag")
        if self.mag > MAX_SIDE:
            raise ValueError(f"--mag must be at most {MAX_SIDE}, got {self.mag}")
        if not 0 <= self.crf <= 51:
            raise ValueError(f"--crf must be 0 to 51, got {self.crf}")


@dataclass(frozen=True, kw_only=True)
class DeleteNotResizedOptions(WorkerOptions):
    """Delete every mp4 whose resized copy is proved sound; keep and name the others."""

    target: Path = needed("an mp4, or a folder with mp4s (sub-folders included)")
    dry_run: bool = switch("only list what would go and how many bytes that frees")
    force: bool = switch("delete also the mp4s whose copy is missing or not sound")


@dataclass(frozen=True, kw_only=True)
class DeleteAllOptions(WorkerOptions):
    """Delete every mp4 whose sample is proved sound; keep and name the others."""

    target: Path = needed("an mp4, or a folder with mp4s (sub-folders included)")
    samples: Optional[Path] = option(
        None, "folder that holds the samples", said="beside the mp4s"
    )
    dry_run: bool = switch("only list what would go and how many bytes that frees")
    force: bool = switch("delete also the mp4s whose sample is missing or not sound")


@dataclass(frozen=True, kw_only=True)
class SoundOptions(DrawingOptions, WorkerOptions):
    """Options of the tools that make samples of sound alone of many files."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        super().__post_init__()
        self.check_drawing()


@dataclass(frozen=True, kw_only=True)
class BuildOptions(EngineOptions, WordOptions, StoreOptions, SoundOptions):
    """Turn a folder of labelled clips or sounds into samples (.pt) and a manifest."""

    target: Path = needed(
        "a clip, or a folder <label>/<clip>.mp4; sound files (wav, flac, mp3, ogg, "
        "m4a, opus, aac) are taken like clips, but not in one folder with videos "
        "unless --soundpicture takes those too by their sound alone; a folder may be "
        "an address, like s3://bucket/clips",
        location,
    )
    audiomethod: AudioMethod = option(
        "simple",
        "what the last channel shows: simple, the strongest frequency of each frame; "
        "mel, a mel spectrogram of each frame's sound",
    )
    frequency_param: Optional[int] = option(
        None,
        "audio samples per video frame: the sound is resampled to round(fps * N) Hz",
        said="as many as make 16000 Hz",
    )
    fmrgb: int = option(
        5,
        "5: R,G,B,amplitude,frequency-or-mel; 3: gray,amplitude,frequency-or-mel",
        channel_count,
    )
    scale: Scale = option(
        "absolute",
        "levels 0 to 255 stand for fixed dBFS and Hz (absolute) or for parts of the "
        "clip's own maximum (relative)",
    )
    frames: Optional[int] = option(
        None,
        "frames of every sample: a number, or 'max', as many as the longest clip has",
        frame_count,
        said="max",
    )
    skip: int = option(1, "keep one video frame in this many")
    size: Optional[tuple[int, int]] = option(
        None, "picture size in pixels, N or WxH", frame_size, said="the clip's own"
    )
    output: Optional[Path] = option(
        None,
        "folder for samples and manifest, or an address",
        location,
        said="beside the clips",
    )
    groups: Optional[Path] = option(
        None,
        "CSV with path (relative to the CSV) and group, the source recording; clips of "
        "a group are never split; a label column replaces the folder's name",
        location,
        said="every clip is its own group",
    )
    shard: Optional[tuple[int, int]] = option(
        None,
        "i/n: work at the i-th of n shares alone, one on each machine; `fmrgb merge` "
        "makes one manifest of them",
        share,
        said="all of it",
    )

    @property
    def asks_for_pictures(self) -> bool:
        """Whether there is a wish that only videos with pictures can be given."""
        given = (self.frames, self.size, self.frequency_param)
        return any(given) or self.skip != 1 or self.fmrgb != 5

    def __post_init__(self) -> None:
        """Check the numbers."""
        super().__post_init__()
        check_at_least(self, 1, "skip", "frames")
        check_at_least(self, 2, "frequency_param")
        self.check_words()
        self.check_engine()
        if self.words and self.groups:
            raise ValueError("--words takes the groups from the set; drop --groups")


@dataclass(frozen=True, kw_only=True)
class MergeOptions(StoreOptions, ToolOptions):
    """Make one manifest of those that the shares of a build left (--shard)."""

    target: Path = needed(
        "folder of the samples, which holds the shares' manifests, or an address",
        location,
    )


@dataclass(frozen=True, kw_only=True)
class CheckOptions(StoreOptions, WorkerOptions):
    """Prove every sample anew, by its checksums and against its clip; find orphans."""

    target: Path = needed(
        "folder of the clips (sub-folders included), or an address", location
    )
    samples: Optional[Path] = option(
        None,
        "folder that holds the samples, or an address",
        location,
        said="beside the clips",
    )


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(ToolOptions):
    """Tell versions, codecs, machine and disk, and whether one clip goes through."""

    target: Path = option(Path(), "folder whose disk is measured")


@dataclass(frozen=True, kw_only=True)
class VisualizeOptions(ToolOptions):
    """Draw a sample: a grey mp4 per channel, a contact sheet, a side-by-side mp4.

    Of sound alone, and of a still with its sound, only the sheet: nothing moves.
    """

    target: Path = needed("a .pt sample")
    output: Optional[Path] = option(
        None, "folder for the pictures", said="<sample>_view beside the sample"
    )
    source: Optional[Path] = option(
        None,
        "the clip the sample was made from, whose sound the side-by-side mp4 gets, or "
        "whose waveform the sheet of sound alone shows",
        said="looked for beside the sample",
    )


@dataclass(frozen=True, kw_only=True)
class DemoOptions(ToolOptions):
    """Draw labelled clips with sound and walk the whole road with them."""

    kind: DemoKind = option(
        "video",
        "video: clips that only picture and sound together explain; keywords: spoken "
        "words, sound alone, judged by speakers who were never heard",
    )
    output: Path = option(Path("demo"), "folder for clips, samples and runs")
    clips: int = option(480, "how many clips to draw")
    epochs: int = option(20, "passes over the training clips, in each training")
    seed: int = option(0, "seed of drawing, split and training")

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_at_least(self, 40, "clips")
        check_at_least(self, 1, "epochs")
        check_at_least(self, 0, "seed")
