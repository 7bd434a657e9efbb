"""From a folder of clips to what their headers say, before any work is done."""

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from fmrgb import engine
from fmrgb.address import Remote
from fmrgb.errors import InputError, ManifestError
from fmrgb.excerpts import Excerpt
from fmrgb.files import find_files, shown
from fmrgb.grouping import Facts, original, read_groups
from fmrgb.header import Header, read_header, read_sound_header
from fmrgb.keywords import Item
from fmrgb.limits import Allowance, limits_of
from fmrgb.media import SOUND_SUFFIXES, VIDEO_SUFFIXES
from fmrgb.memory import in_bytes
from fmrgb.names import Shard, copy_path, excerpt_path, sample_path
from fmrgb.ondisk import look_up

ROOM_LEFT = 64 * 2**20  # bytes that must stay free on the disk


@dataclass(frozen=True)
class Found:
    """A clip, where its sample goes, and its header or the reason it has none."""

    clip: Path
    sample: Path
    label: str
    group: str
    track: str = ""  # what it is called as a recording that windows are cut from
    header: Header | None = None
    fault: str | None = None
    split: str = ""  # where the set that it comes from says it
    excerpt: Excerpt | None = None  # what is taken of the clip; None for all of it


@dataclass(frozen=True)
class Survey:
    """All clips under a target.

    Attributes:
        found: what to make samples from, in the order of their paths.
        superseded: originals left out because their resized copy stands beside them.
        ungrouped: clips that the groups CSV does not name.
        spare: sound files left out because a video of the same name is beside them.
    """

    found: list[Found]
    superseded: int
    ungrouped: int
    spare: int = 0


def survey(
    target: Path,
    *,
    output: Path | None = None,
    groups: Path | None = None,
    by_sound: bool = False,
    shard: Shard | None = None,
    workers: int = 1,
    allowance: Allowance | None = None,
    cluster: engine.Cluster | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """Read the headers of all clips under `target`.

    Videos and sound files make samples of two shapes. So sound files among videos are
    set aside, unless all are taken by their sound alone.

    Args:
        target: a clip or a folder; a clip's label is its folder's name.
        output: folder the samples will go to; beside the clips if None.
        groups: CSV with path and group, label or both.
        by_sound: take sound files, and videos by their sound track alone.
        shard: read and return this share alone.
        workers: how many headers are read at once.
        allowance: what a clip may take; None means anything.
        cluster: works in the place of processes of this machine.
        progress: called with how many of how many are read.

    Raises:
        InputError: if there is no clip.
        ManifestError: if the groups CSV is wrong or names no clip of the target.
    """
    clips = find_files(target, (*VIDEO_SUFFIXES, *SOUND_SUFFIXES))
    present = set(clips)
    kept = [c for c in clips if copy_path(c) not in present]
    superseded, spare = len(clips) - len(kept), 0
    if not by_sound:
        kept, spare = _without_spare(kept)
    facts = read_groups(groups, target) if groups else {}
    found = [
        Found(
            clip=clip,
            sample=sample_path(clip, target, output),
            label=_label(clip, facts),
            group=facts.get(original(clip), ("", ""))[1],
            track=_track(clip, target),
            fault=None if by_sound else _lone_sound(clip),
        )
        for clip in kept
    ]
    named = sum(original(clip) in facts for clip in kept)
    if groups and not named:
        raise ManifestError(
            f"{shown(groups)} names none of the {len(kept)} clips in {shown(target)}; "
            "its paths are read relative to the CSV's own folder"
        )
    header = _sound_header if by_sound else _header
    mine = _shared(_refuse_twins(found), shard, output or target)
    looked = _look(mine, header, workers, allowance, cluster, progress)
    return Survey(looked, superseded, len(kept) - named if groups else 0, spare)


def survey_items(
    items: Sequence[Item],
    target: Path,
    *,
    output: Path | None = None,
    shard: Shard | None = None,
    workers: int = 1,
    allowance: Allowance | None = None,
    cluster: engine.Cluster | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """Read the headers of sounds of which all else is known, see `fmrgb.keywords`.

    Args:
        items: the sounds and excerpts.
        target: the folder that they lie in.
        output: folder the samples will go to; beside the clips if None.
        shard: read and return this share alone.
        workers: how many headers are read at once.
        allowance: what a clip may take; None means anything.
        cluster: works in the place of processes of this machine.
        progress: called with how many of how many are read.
    """
    found = []
    for item in items:
        sample = sample_path(item.clip, target, output)
        if item.excerpt:
            sample = excerpt_path(sample, item.excerpt.number)
        known = Found(item.clip, sample, item.label, item.group)
        track = _track(item.clip, target)
        known = replace(known, track=track, split=item.split, excerpt=item.excerpt)
        found.append(known)
    how = (_item_header, workers, allowance, cluster, progress)
    mine = _shared(_refuse_twins(found), shard, output or target)
    return Survey(_look(mine, *how), 0, 0)


def sounds_only(target: Path) -> bool:
    """Tell whether a target holds sound files and no video.

    Raises:
        InputError: if it holds neither.
    """
    clips = find_files(target, (*VIDEO_SUFFIXES, *SOUND_SUFFIXES))
    return all(_is_sound(clip) for clip in clips)


def _is_sound(clip: Path) -> bool:
    return clip.suffix.lower() in SOUND_SUFFIXES


def _without_spare(clips: list[Path]) -> tuple[list[Path], int]:
    """Leave out sound files, as are taken out of videos, beside their video."""
    videos = {clip.with_suffix("") for clip in clips if not _is_sound(clip)}
    kept = [c for c in clips if not (_is_sound(c) and c.with_suffix("") in videos)]
    return kept, len(clips) - len(kept)


def _lone_sound(clip: Path) -> str | None:
    """Say why a sound file cannot stand among videos."""
    if not _is_sound(clip):
        return None
    return (
        f"{shown(clip)} is a sound file among videos, and would make a sample of "
        "another shape; give --soundpicture logmel, which takes all by their sound "
        "alone, or a folder of its own"
    )


def _label(clip: Path, facts: Facts) -> str:
    label, _ = facts.get(original(clip), ("", ""))
    # Not resolve: a link's label is its own folder, not its target's.
    whole = clip if isinstance(clip, Remote) else Path(os.path.abspath(clip))
    return label or whole.parent.name


def _track(clip: Path, target: Path) -> str:
    return clip.relative_to(target).as_posix() if target.is_dir() else clip.name


def _refuse_twins(found: list[Found]) -> list[Found]:
    """Set clips aside whose samples would have the same name."""
    by_sample = defaultdict(list)
    for item in found:
        if not item.fault:
            by_sample[item.sample].append(item.clip)
    checked = []
    for item in found:
        others = [c for c in by_sample[item.sample] if c != item.clip]
        if others and not item.fault:
            fault = (
                f"{shown(item.clip)}: its sample would have the same name as that of "
                f"{shown(others[0].name)}; rename one of them"
            )
            item = replace(item, fault=fault)
        checked.append(item)
    return checked


def _shared(found: list[Found], shard: Shard | None, folder: Path) -> list[Found]:
    """Leave out what is not of the share; note which samples are there already."""
    mine = [item for item in found if shard is None or shard.holds(item.track)]
    look_up((item.sample for item in mine), folder)
    return mine


def _look(
    found: list[Found],
    header: Callable[[Found], Header],
    workers: int,
    allowance: Allowance | None,
    cluster: engine.Cluster | None,
    progress: Callable[[int, int], None] | None,
) -> list[Found]:
    todo = [item for item in found if item.fault is None]
    # By both names: a clip may make several samples, two clips may claim the same one.
    looked = {(item.clip, item.sample): item for item in found}
    # Not threads: a header can hang a reader, or kill it, as well as pictures can.
    limits = limits_of(allowance, attrgetter("clip"))
    how: dict[str, Any] = {"limits": limits, "cluster": cluster}
    outcomes = engine.run(header, todo, workers=workers, **how)
    for done, outcome in enumerate(outcomes, start=1):
        item = outcome.job
        known = replace(item, header=outcome.result, fault=outcome.fault)
        looked[item.clip, item.sample] = known
        if progress:
            progress(done, len(todo))
    return [looked[item.clip, item.sample] for item in found]


def _header(item: Found) -> Header:
    return read_header(item.clip)


def _sound_header(item: Found) -> Header:
    return read_sound_header(item.clip)


def _item_header(item: Found) -> Header:
    header = read_sound_header(item.clip)
    if item.excerpt and item.excerpt.piece:
        return replace(header, seconds=item.excerpt.piece[1])
    return header


def check_room(
    usable: Sequence[Found], folder: Path, n_bytes: Callable[[Found], int]
) -> None:
    """Refuse work whose samples cannot fit on the disk, before it is begun.

    Args:
        usable: clips with headers.
        folder: where samples go.
        n_bytes: that the samples of a clip take.

    Raises:
        InputError: if they do not fit.
    """
    if isinstance(folder, Remote):  # has room, and one sample after the other is sent
        return
    needed = [0 if item.sample.exists() else n_bytes(item) for item in usable]
    free = shutil.disk_usage(folder).free - ROOM_LEFT
    if sum(needed) > free:
        most = max(needed)
        largest = usable[needed.index(most)].clip
        raise InputError(
            f"the samples need {in_bytes(sum(needed))} ({len(usable)} "
            f"clips), {shown(folder)} has {in_bytes(max(free, 0))} free; the "
            f"largest is that of {shown(largest)}, {in_bytes(most)}; "
            "use --frames N, --size, --skip or another --output"
        )
