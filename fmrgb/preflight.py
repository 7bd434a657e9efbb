"""From a folder of clips to what their headers say, before any work is done."""

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from fmrgb import engine
from fmrgb.cells import read_csv
from fmrgb.errors import InputError, ManifestError
from fmrgb.files import find_files, shown
from fmrgb.header import Header, read_header
from fmrgb.limits import Allowance, limits_of
from fmrgb.media import VIDEO_SUFFIXES
from fmrgb.names import TWIN, copy_path, sample_path

ROOM_LEFT = 64 * 2**20  # bytes that must stay free on the disk


@dataclass(frozen=True)
class Found:
    """A clip, where its sample goes, and its header or the reason it has none."""

    clip: Path
    sample: Path
    label: str
    group: str
    header: Header | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Survey:
    """All clips under a target.

    Attributes:
        found: what to make samples from, in the order of their paths.
        superseded: originals left out because their resized copy stands beside them.
        ungrouped: clips that the groups CSV does not name.
    """

    found: list[Found]
    superseded: int
    ungrouped: int


def survey(
    target: Path,
    *,
    output: Path | None = None,
    groups: Path | None = None,
    workers: int = 1,
    allowance: Allowance | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """Read the headers of all clips under `target`.

    Args:
        target: a clip or a folder; a clip's label is its folder's name.
        output: folder the samples will go to; beside the clips if None.
        groups: CSV with path and group, label or both.
        workers: how many headers are read at once.
        allowance: what a clip may take; None means anything.
        progress: called with how many of how many are read.

    Raises:
        InputError: if there is no clip.
        ManifestError: if the groups CSV is wrong or names no clip of the target.
    """
    clips = find_files(target, VIDEO_SUFFIXES)
    present = set(clips)
    kept = [c for c in clips if copy_path(c) not in present]
    facts = _read_groups(groups) if groups else {}
    found = []
    for clip in kept:
        label, group = facts.get(_original(clip), ("", ""))
        found.append(
            Found(
                clip=clip,
                sample=sample_path(clip, target, output),
                # Not resolve: a link's label is its own folder, not its target's.
                label=label or Path(os.path.abspath(clip)).parent.name,
                group=group,
            )
        )
    named = sum(_original(clip) in facts for clip in kept)
    if groups and not named:
        raise ManifestError(
            f"{shown(groups)} names none of the {len(kept)} clips in {shown(target)}; "
            "its paths are read relative to the CSV's own folder"
        )
    looked = _look(_refuse_twins(found), workers, allowance, progress)
    return Survey(looked, len(clips) - len(kept), len(kept) - named if groups else 0)


def _original(clip: Path) -> Path:
    """Return the name that a groups CSV knows a clip by, resized or not."""
    return clip.parent.resolve() / clip.stem.removeprefix(TWIN)


def _read_groups(path: Path) -> dict[Path, tuple[str, str]]:
    records = read_csv(path, ("path",))
    if records and not {"group", "label"} & set(records[0]):
        raise ManifestError(f"{shown(path)} needs a column group, label or both")
    facts: dict[Path, tuple[str, str]] = {}
    for record in records:
        said = (record.get("label", ""), record.get("group", ""))
        if facts.setdefault(_original(path.parent / record["path"]), said) != said:
            raise ManifestError(
                f"{shown(path)} names {shown(record['path'])} twice, with different "
                "labels or groups; keep one of the two rows"
            )
    return facts


def _refuse_twins(found: list[Found]) -> list[Found]:
    """Set clips aside whose samples would have the same name."""
    by_sample = defaultdict(list)
    for item in found:
        by_sample[item.sample].append(item.clip)
    checked = []
    for item in found:
        others = [c for c in by_sample[item.sample] if c != item.clip]
        if others:
            fault = (
                f"{shown(item.clip)}: its sample would have the same name as that of "
                f"{shown(others[0].name)}; rename one of them"
            )
            item = replace(item, fault=fault)
        checked.append(item)
    return checked


def _look(
    found: list[Found],
    workers: int,
    allowance: Allowance | None,
    progress: Callable[[int, int], None] | None,
) -> list[Found]:
    todo = [item for item in found if item.fault is None]
    looked = {item.clip: item for item in found}
    # Not threads: a header can hang a reader, or kill it, as well as pictures can.
    limits = limits_of(allowance, lambda item: item.clip)
    outcomes = engine.run(_header, todo, workers=workers, limits=limits)
    for done, outcome in enumerate(outcomes, start=1):
        item = outcome.job
        looked[item.clip] = replace(item, header=outcome.result, fault=outcome.fault)
        if progress:
            progress(done, len(todo))
    return [looked[item.clip] for item in found]


def _header(item: Found) -> Header:
    return read_header(item.clip)


def check_room(
    usable: Sequence[Found],
    folder: Path,
    *,
    size: tuple[int, int] | None,
    planes: int,
) -> None:
    """Refuse work whose samples cannot fit on the disk, before it is begun.

    Args:
        usable: clips with headers.
        folder: where samples go.
        size: (width, height) of every sample in pixels; None means each clip's own.
        planes: of a sample, each of width x height bytes: frames by colours.

    Raises:
        InputError: if they do not fit.
    """
    needed = {}
    for item in usable:
        assert item.header is not None
        width, height = size or (item.header.width, item.header.height)
        pixels = width * height * planes
        needed[item.clip] = 0 if item.sample.exists() else pixels
    free = shutil.disk_usage(folder).free - ROOM_LEFT
    if sum(needed.values()) > free:
        largest = max(needed, key=lambda clip: needed[clip])
        raise InputError(
            f"the samples need {sum(needed.values()) / 2**30:.1f} GiB ({len(usable)} "
            f"clips), {shown(folder)} has {max(free, 0) / 2**30:.1f} GiB free; the "
            f"largest is that of {shown(largest)}, {needed[largest] / 2**30:.1f} GiB; "
            "use --frames N, --size, --skip or another --output"
        )


def table(surveyed: Survey) -> list[str]:
    """Draw the survey: one line per label and one for all."""
    found = surveyed.found
    of_label = defaultdict(list)
    for item in found:
        of_label[item.label].append(item)
    rows = [_line(shown(label), of_label[label]) for label in sorted(of_label)]
    if len(of_label) > 1:
        rows.append(_line("all", found))
    heads = ("label", "clips", "width x height", "fps", "frames", "seconds")
    rows.insert(0, (*heads, "no sound", "unreadable"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    if surveyed.superseded:
        lines.append(
            f"{surveyed.superseded} originals left out: resized copies are used"
        )
    if surveyed.ungrouped:
        lines.append(
            f"{surveyed.ungrouped} clips are not in the groups CSV: each is its own "
            "group"
        )
    return lines


def _line(name: str, found: Sequence[Found]) -> tuple[str, ...]:
    headers = [item.header for item in found if item.header]
    sizes = Counter(f"{h.width}x{h.height}" for h in headers)
    size = sizes.most_common(1)[0][0] if sizes else "-"
    if len(sizes) > 1:
        size += f" and {len(sizes) - 1} more"
    return (
        name,
        str(len(found)),
        size,
        _span([h.fps for h in headers]),
        _span([h.frames for h in headers]),
        _span([h.seconds for h in headers]),
        str(sum(not h.has_sound for h in headers)),
        str(sum(item.fault is not None for item in found)),
    )


def _span(numbers: Sequence[float]) -> str:
    """Write lowest, median and highest number, or the one there is."""
    if not numbers:
        return "-"
    low, middle, high = min(numbers), median(numbers), max(numbers)
    if low == high:
        return f"{low:.4g}"
    return f"{low:.4g} .. {middle:.4g} .. {high:.4g}"
