"""From a folder of clips to samples and a manifest.

Axes: T frames, H height, W width, C channels.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fmrgb import engine
from fmrgb.address import Remote
from fmrgb.align import align, align_times
from fmrgb.aligned import read_aligned
from fmrgb.cells import write_csv
from fmrgb.errors import InputError
from fmrgb.files import make_folder, refuse_changed, room, sha256, shown, stamp
from fmrgb.leftovers import and_sweep, sweep_parts
from fmrgb.limits import Allowance, limits_of
from fmrgb.made import row_of, up_to_date
from fmrgb.manifest import Row, write_manifest
from fmrgb.media import SOUND_RATE
from fmrgb.names import FEATURES, Shard
from fmrgb.ondisk import on_disk, scratch_of
from fmrgb.preflight import Found, Survey, check_room
from fmrgb.recipe import Recipe as Recipe  # who builds, asks here for it
from fmrgb.sample import Sample, finish_sample, sample_file
from fmrgb.sound import SOUND_PLANES, Heard, is_silent
from fmrgb.soundbuild import bytes_needed, make_sound_samples, write_features
from fmrgb.soundclip import whole_sample
from fmrgb.stack import to_gray
from fmrgb.tracks import Clip, Sound

Job = tuple[Found, Recipe]
Samples = tuple[list[Row], int]  # rows, and how many of them had to be made


@dataclass(frozen=True)
class Built:
    """What a build left behind."""

    rows: list[Row]
    failed: dict[Path, str]  # clip -> reason
    made: int  # the others were there already
    frames: int | None
    manifest: Path
    reasons: Path  # CSV of what failed and why, if anything did
    features: Path | None = None  # CSV of measured values, where some were wanted


def build(
    surveyed: Survey,
    recipe: Recipe,
    *,
    folder: Path,
    shard: Shard | None = None,
    workers: int = 1,
    allowance: Allowance | None = None,
    cluster: engine.Cluster | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Built:
    """Make a sample of every clip; list them in `folder/manifest.csv`.

    Clips that cannot be read are listed with their reason in `folder/failed.csv`.
    Samples whose clip, recipe and label are unchanged are kept.

    Args:
        surveyed: the clips, from `preflight.survey`.
        recipe: what samples look like; `frames` None means as many as the longest has.
        folder: where manifest and failed list go.
        shard: the share that was surveyed; its lists get its name, and are made one by
            `shards.merge`. There may be nothing in it.
        workers: processes that work side by side.
        allowance: what a clip may take; None means anything.
        cluster: works in the place of processes of this machine.
        progress: called with how many of how many clips are done.

    Raises:
        InputError: if no clip can be used, unless there is a share in which one may,
            or if the folder cannot be written to.
        DiskFullError: if the disk is full, or would be.
    """
    usable = [item for item in surveyed.found if item.header]
    failed = {item.clip: str(item.fault) for item in surveyed.found if item.fault}
    make_folder(folder)
    scratch = scratch_of(folder)
    sweep_parts(scratch)
    rows, made = [], 0
    if usable:
        recipe = _with_frames(recipe, usable)
        outcomes = _made(usable, recipe, folder, workers, allowance, cluster)
        for done, outcome in enumerate(and_sweep(outcomes, scratch), start=1):
            if outcome.result is None:
                failed[outcome.job[0].clip] = str(outcome.fault)
            else:
                rows += outcome.result[0]
                made += outcome.result[1]
            if progress:
                progress(done, len(usable))
    if cluster:
        sweep_parts(scratch, gone=cluster.gone)
    rows = sorted(_still_there(rows, failed), key=lambda row: row.path)
    lists = _listed(rows, failed, recipe, folder, shard)
    return Built(rows, failed, made, recipe.frames, *lists)


def _listed(
    rows: list[Row],
    failed: dict[Path, str],
    recipe: Recipe,
    folder: Path,
    shard: Shard | None,
) -> tuple[Path, Path, Path | None]:
    """Write the lists of a build; return their names, as `Built` has them."""
    files = [folder / f"{name}.csv" for name in ("failed", "manifest", FEATURES)]
    if shard:
        files = [path.with_name(shard.named(path.name)) for path in files]
    reasons, manifest, features = files
    write_failed(reasons, failed)
    if not rows and not shard:
        raise InputError(
            f"none of the {len(failed)} clips can be used; the reasons stand in "
            f"{shown(reasons)}; the first: {next(iter(failed.values()))}"
        )
    write_manifest(manifest, rows)
    if FEATURES not in recipe.sound_planes:
        return manifest, reasons, None
    write_features(features, rows)
    return manifest, reasons, features


def _made(
    usable: Sequence[Found],
    recipe: Recipe,
    folder: Path,
    workers: int,
    allowance: Allowance | None,
    cluster: engine.Cluster | None,
) -> Iterator[engine.Outcome[Job, Samples]]:
    """Make the samples of clips that are taken with their pictures, or by sound alone.

    Raises:
        InputError: if they would not fit on the disk.
    """
    work, n_bytes = make_sample, _bytes_needed
    if recipe.soundpicture:
        work, n_bytes = make_sound_samples, bytes_needed
    check_room(usable, folder, partial(n_bytes, recipe=recipe))
    how: dict[str, Any] = {"limits": limits_of(allowance, _clip_of), "cluster": cluster}
    jobs = [(item, recipe) for item in usable]
    return engine.run(work, jobs, workers=workers, **how)


def _clip_of(job: Job) -> Path:
    return job[0].clip


def _still_there(rows: list[Row], failed: dict[Path, str]) -> list[Row]:
    """Leave out samples that somebody took away while others were being made."""
    paths = [row.path for row in rows if not isinstance(row.path, Remote)]
    # A shared disk may show another machine's file only when its folder is listed.
    gone = [p for p in paths if not (p.exists() or p in p.parent.glob("*"))]
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
    return replace(recipe, frames=frames)


def _bytes_needed(item: Found, recipe: Recipe) -> int:
    assert item.header is not None
    width, height = recipe.size or (item.header.width, item.header.height)
    return width * height * (recipe.n_channels - 2) * (recipe.frames or 0)


def make_sample(job: Job) -> Samples:
    """Make the sample of one clip; return its row and how many had to be made.

    Raises:
        MediaError: if the clip cannot be read.
    """
    # One thread per process: the processes are what works side by side.
    cv2.setNumThreads(1)
    # A clip of a store is fetched once, and goes again when its sample is made.
    with on_disk(job[0].clip, keep=False):
        return _make_sample(*job)


def _make_sample(item: Found, recipe: Recipe) -> Samples:
    before = stamp(item.clip)
    checksum = sha256(item.clip)
    sample = up_to_date(item.sample, item, recipe, checksum)
    if sample is not None:
        return [row_of(item.sample, item, sample)], 0
    make_folder(item.sample.parent)
    n_bytes = item.clip.stat().st_size
    source = {"name": item.clip.name, "bytes": n_bytes, "sha256": checksum}
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
            scratch=scratch_of(item.sample.parent),
            pixels=opened,
        )
        sample = prepare(clip, recipe, label=item.label, source=source)
        finish_sample(opened, sample)
        refuse_changed(item.clip, before)
    return [row_of(item.sample, item, sample)], 1


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
            were made gray or aligned while they were read. Of one to be taken by its
            sound alone only the sound counts.
        recipe: what the sample looks like.
        label: class name, empty if not known.
        source: name, bytes and sha256 of the clip's file.
    """
    if recipe.soundpicture:
        return whole_sample(clip.sound, recipe, label=label, source=source)
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
