"""From a folder of clips to samples and a manifest.

Axes: T frames, H height, W width, C channels.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fmrgb import engine
from fmrgb.align import align, align_times
from fmrgb.aligned import read_aligned
from fmrgb.cells import write_csv
from fmrgb.errors import FmrgbError, InputError
from fmrgb.files import make_folder, refuse_changed, room, sha256, shown, stamp
from fmrgb.leftovers import and_sweep, sweep_parts
from fmrgb.limits import Allowance, limits_of
from fmrgb.manifest import Row, write_manifest
from fmrgb.media import SOUND_RATE
from fmrgb.preflight import Found, Survey, check_room
from fmrgb.sample import Sample, finish_sample, load_sample, sample_file
from fmrgb.seen import size_on_screen
from fmrgb.sound import SOUND_PLANES, Heard, is_silent
from fmrgb.stack import PICTURE_PLANES, to_gray
from fmrgb.tracks import Clip, Sound


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what a sample of a clip looks like."""

    audiomethod: str = "simple"
    samples_per_frame: int | None = None
    n_channels: int = 5
    scale: str = "absolute"
    frames: int | None = None  # of every sample; None keeps the clip's own number
    skip: int = 1
    size: tuple[int, int] | None = None  # width, height

    @property
    def sound_planes(self) -> tuple[str, str]:
        """Names of the sound planes, in their order."""
        return ("amplitude", "mel" if self.audiomethod == "mel" else "frequency")

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of all planes, in the order of C."""
        return (*PICTURE_PLANES[self.n_channels - 2], *self.sound_planes)

    def options(self) -> dict[str, Any]:
        """Return plain values, to be kept in samples and checkpoints."""
        # Interned, so that equal words pickle to the same bytes in every process.
        words = {k: sys.intern(getattr(self, k)) for k in ("audiomethod", "scale")}
        size = list(self.size) if self.size else None
        return {**asdict(self), **words, "size": size}


@dataclass(frozen=True)
class Built:
    """What a build left behind."""

    rows: list[Row]
    failed: dict[Path, str]  # clip -> reason
    made: int  # the others were there already
    frames: int | None
    manifest: Path


def build(
    surveyed: Survey,
    recipe: Recipe,
    *,
    folder: Path,
    workers: int = 1,
    allowance: Allowance | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Built:
    """Make a sample of every clip; list them in `folder/manifest.csv`.

    Clips that cannot be read are listed with their reason in `folder/failed.csv`.
    Samples whose clip, recipe and label are unchanged are kept.

    Args:
        surveyed: the clips, from `preflight.survey`.
        recipe: what samples look like; `frames` None means as many as the longest has.
        folder: where manifest and failed list go.
        workers: processes that work side by side.
        allowance: what a clip may take; None means anything.
        progress: called with how many of how many clips are done.

    Raises:
        InputError: if no clip can be used or the folder cannot be written to.
        DiskFullError: if the disk is full, or would be.
    """
    usable = [item for item in surveyed.found if item.header]
    failed = {item.clip: str(item.fault) for item in surveyed.found if item.fault}
    make_folder(folder)
    sweep_parts(folder)
    rows, made = [], 0
    if usable:
        recipe = _with_frames(recipe, usable)
        pixels = (recipe.n_channels - 2) * (recipe.frames or 0)
        check_room(usable, folder, size=recipe.size, planes=pixels)
        jobs = [(item, recipe) for item in usable]
        limits = limits_of(allowance, lambda job: job[0].clip)
        outcomes = engine.run(make_sample, jobs, workers=workers, limits=limits)
        for done, outcome in enumerate(and_sweep(outcomes, folder), start=1):
            if outcome.result is None:
                failed[outcome.job[0].clip] = str(outcome.fault)
            else:
                rows.append(outcome.result[0])
                made += outcome.result[1]
            if progress:
                progress(done, len(jobs))
    rows = sorted(_still_there(rows, failed), key=lambda row: row.path)
    write_failed(folder / "failed.csv", failed)
    if not rows:
        raise InputError(
            f"none of the {len(surveyed.found)} clips can be used; the reasons stand "
            f"in {shown(folder / 'failed.csv')}; the first: "
            f"{next(iter(failed.values()))}"
        )
    write_manifest(folder / "manifest.csv", rows)
    return Built(rows, failed, made, recipe.frames, folder / "manifest.csv")


def _still_there(rows: list[Row], failed: dict[Path, str]) -> list[Row]:
    """Leave out samples that somebody took away while others were being made."""
    gone = [row.path for row in rows if not row.path.exists()]
    failed |= dict.fromkeys(gone, "it was taken away while others were made; run again")
    return [row for row in rows if row.path not in failed] if gone else rows


def write_failed(path: Path, failed: dict[Path, str]) -> None:
    """List clips and their reasons; remove an older list where none failed."""
    if not failed:
        path.unlink(missing_ok=True)
        return
    records = [{"path": c, "reason": failed[c]} for c in sorted(failed)]
    write_csv(path, ("path", "reason"), records)


def _with_frames(recipe: Recipe, usable: Sequence[Found]) -> Recipe:
    """Settle the number of frames: the longest clip's, unless the user named one."""
    if recipe.frames is not None:
        return recipe
    longest = max(item.header.frames for item in usable if item.header)
    frames = -(-longest // recipe.skip)
    return Recipe(**{**asdict(recipe), "frames": frames, "size": recipe.size})


def make_sample(job: tuple[Found, Recipe]) -> tuple[Row, bool]:
    """Make the sample of one clip; return its row and whether it had to be made.

    Raises:
        MediaError: if the clip cannot be read.
    """
    item, recipe = job
    # One thread per process: the processes are what works side by side.
    cv2.setNumThreads(1)
    before = stamp(item.clip)
    checksum = sha256(item.clip)
    sample = _finished(item, recipe, checksum)
    if sample is not None:
        return _row(item, sample), False
    make_folder(item.sample.parent)
    source = {
        "name": item.clip.name,
        "bytes": item.clip.stat().st_size,
        "sha256": checksum,
    }
    assert item.header is not None  # clips without one were set aside
    with sample_file(item.sample) as opened:
        clip = read_aligned(
            item.clip,
            recipe.frames,
            promised=item.header.frames,
            size=recipe.size,
            skip=recipe.skip,
            samples_per_frame=recipe.samples_per_frame,
            gray=recipe.n_channels == 3,
            scratch=item.sample.parent,
            pixels=opened,
        )
        sample = prepare(clip, recipe, label=item.label, source=source)
        finish_sample(opened, sample)
        refuse_changed(item.clip, before)
    return _row(item, sample), True


def prepare(
    clip: Clip,
    recipe: Recipe,
    *,
    label: str = "",
    source: dict[str, Any] | None = None,
) -> Sample:
    """Turn a decoded clip into a sample; training and prediction both come this way.

    Args:
        clip: frames uint8 [T, H, W, 3] with their times and sound, or frames that
            were made gray or aligned while they were read.
        recipe: what the sample looks like.
        label: class name, empty if not known.
        source: name, bytes and sha256 of the clip's file.
    """
    frames = recipe.frames or len(clip.starts_s)
    planes, levels = hear(clip, recipe)
    visual = clip.frames
    if visual.shape[-1] != recipe.n_channels - 2:
        visual = to_gray(visual)
    if len(visual) != frames:
        visual = align(visual, frames, out=room((frames, *visual.shape[1:])))
    sound = clip.sound
    return Sample(
        visual=visual,
        sound={name: align(plane, frames) for name, plane in planes.items()},
        channels=recipe.channels,
        times=align_times(clip.starts_s, frames).astype(np.float32),
        has_sound=sound is not None,
        silent=sound is None or is_silent(sound.samples),
        label=sys.intern(label),
        meta={
            "source": source or {},
            "size": list(clip.source or ()),
            "fps": clip.fps,
            "seconds": float(clip.ends_s[-1] - clip.starts_s[0]),
            "options": recipe.options(),
            "levels": levels,
        },
    )


def hear(
    clip: Clip, recipe: Recipe
) -> tuple[dict[str, NDArray[np.uint8]], dict[str, dict[str, Any]]]:
    """Draw the sound planes of a clip, uint8 [T] or [T, h, w], and what levels mean."""
    # A clip without a track is heard as one without a sample: silence.
    sound = clip.sound or Sound(np.zeros(0, np.float32), SOUND_RATE, 0.0)
    heard = Heard(
        samples=sound.samples,
        rate=sound.rate,
        starts_s=clip.starts_s - sound.start_s,
        ends_s=clip.ends_s - sound.start_s,
    )
    planes, levels = {}, {}
    for name in recipe.sound_planes:
        plane, meaning = SOUND_PLANES[name](heard, relative=recipe.scale == "relative")
        planes[name], levels[name] = plane, asdict(meaning)
    return planes, levels


def _finished(item: Found, recipe: Recipe, checksum: str) -> Sample | None:
    """Return the sample that is there, if it was made from this clip by this recipe."""
    if not item.sample.exists():
        return None
    try:
        sample = load_sample(item.sample)
    except FmrgbError:
        return None
    same = (
        sample.meta.get("source", {}).get("sha256") == checksum
        and sample.meta.get("source", {}).get("name") == item.clip.name
        and sample.meta.get("options") == recipe.options()
        and sample.label == item.label
    )
    return sample if same else None


def _row(item: Found, sample: Sample) -> Row:
    n_frames, height, width, _ = sample.shape
    source_width, source_height = size_on_screen(sample)
    if source_width is None and item.header:  # a sample of an older version
        source_width, source_height = item.header.width, item.header.height
    return Row(
        path=item.sample,
        label=item.label,
        group=item.group,
        has_sound=sample.has_sound,
        silent=sample.silent,
        fps=float(sample.meta["fps"]),
        frames=n_frames,
        seconds=float(sample.meta["seconds"]),
        height=height,
        width=width,
        checksum=sample.meta["source"]["sha256"],
        source_width=source_width,
        source_height=source_height,
    )
