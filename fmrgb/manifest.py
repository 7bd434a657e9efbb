"""The CSV contract: which samples there are, their labels, groups and splits."""

import math
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path, PurePath
from typing import Any

from fmrgb.address import root_of
from fmrgb.cells import numbered_records, write_csv
from fmrgb.errors import ManifestError
from fmrgb.fence import Fence, real
from fmrgb.files import find_files, shown
from fmrgb.names import SAMPLE

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True, slots=True)  # slots: there may be a million
class Row:
    """One sample of a manifest; numbers that are not known are None."""

    path: Path
    label: str
    group: str = ""
    split: str = ""
    has_sound: bool | None = None
    silent: bool | None = None
    fps: float | None = None
    frames: int | None = None
    seconds: float | None = None
    height: int | None = None
    width: int | None = None
    checksum: str = ""  # SHA-256 of the source clip
    source_width: int | None = None  # of the clip itself, on screen
    source_height: int | None = None
    track: str = ""  # the recording that a window was cut from; empty: it is whole
    start: float | None = None  # of the window in its track, in s
    text: str = ""  # the words of a clip that has some


COLUMNS = tuple(f.name for f in fields(Row))


def read_manifest(
    path: Path, label_column: str = "label", *, outside: bool = False
) -> list[Row]:
    """Read a manifest, or list the samples of a folder `<label>/<sample>.pt`.

    Args:
        path: of the CSV or folder.
        label_column: which column of the CSV holds the labels.
        outside: let its paths lead out of its folder; see `fmrgb.fence`.

    Raises:
        ManifestError: if a column or label is missing, a path stands twice or leads
            out of the folder.
        InputError: if there is no such file or folder.
    """
    if path.is_dir() and (path / "manifest.csv").is_file():
        return read_manifest(path / "manifest.csv", label_column, outside=outside)
    if path.is_dir():
        if label_column != "label":
            raise ManifestError(
                f"{shown(path)} has no manifest with a column {shown(label_column)}: "
                "labels are its folders' names; give a CSV with that column as --labels"
            )
        return [Row(path=p, label=p.parent.name) for p in find_files(path, (SAMPLE,))]
    rows, listed, fence = [], set(), Fence(path, outside=outside)
    for line, record in numbered_records(path, ("path", label_column)):
        record["label"] = record[label_column]
        row = _row(record, path, line, fence)
        if row.path in listed:
            raise ManifestError(f"{shown(path)} lists {shown(row.path)} more than once")
        listed.add(row.path)
        rows.append(row)
    if not rows:
        raise ManifestError(f"{shown(path)} lists no sample")
    return rows


def _row(record: dict[str, str], path: Path, line: int, fence: Fence) -> Row:
    def wrong(what: str) -> ManifestError:
        return ManifestError(f"{shown(path)}, line {line}: {what}")

    if not record["path"] or not record["label"]:
        raise wrong("path and label must not be empty")
    split = record.get("split", "")
    if split and split not in SPLITS:
        raise wrong(f"split must be {', '.join(SPLITS)}, got {split!r}")
    values: dict[str, Any] = {"path": fence.path(record["path"])}
    for name, read in _READ.items():
        text = record.get(name, "")
        try:
            values[name] = read(text) if text else None
        except (ValueError, KeyError):
            raise wrong(f"{name} cannot be {text!r}") from None
    values["checksum"] = record.get("checksum", "")
    values["text"] = record.get("text", "")
    for name in ("label", "group", "split", "track"):
        # Many rows say the same; they share one word.
        values[name] = sys.intern(record.get(name, ""))
    return Row(**values)


def _number(text: str) -> float:
    """Read a number from 0 on; raise ValueError if it is none."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError(text)
    return number


def _count(text: str) -> int:
    """Read a whole number from 0 on; raise ValueError if it is none."""
    if not 0 <= (number := int(text)) < 2**31:
        raise ValueError(text)
    return number


_TRUTH = {"true": True, "false": False, "1": True, "0": False}
_READ: dict[str, Any] = {
    "has_sound": lambda text: _TRUTH[text.lower()],
    "silent": lambda text: _TRUTH[text.lower()],
    "fps": _number,
    "frames": _count,
    "seconds": _number,
    "start": _number,
    "height": _count,
    "width": _count,
    "source_width": _count,
    "source_height": _count,
}


def write_manifest(path: Path, rows: Iterable[Row]) -> None:
    """Write a manifest, whole or not at all, with paths relative to its own folder."""
    home = real(path.parent)
    ways: dict[str, str] = {}  # from home to each folder that holds samples
    records = (
        {
            **{name: _text(getattr(row, name)) for name in COLUMNS},
            "path": _relative(str(row.path), home, ways),
        }
        for row in rows
    )
    write_csv(path, COLUMNS, records)


def _relative(path: str, home: str, ways: dict[str, str]) -> str:
    if os.path.islink(path):
        path = os.path.realpath(path)
    folder, name = os.path.split(path)
    if folder not in ways:
        ways[folder] = _way(real(folder), home)
    return ways[folder] + name


def _way(folder: str, home: str) -> str:
    if root_of(folder) != root_of(home):  # no way leads from a bucket to another
        return f"{folder}/"
    way = PurePath(os.path.relpath(folder, home))
    return f"{way.as_posix()}/" if way.parts else ""


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
