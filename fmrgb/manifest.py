"""The CSV contract: which samples there are, their labels, groups and splits."""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fmrgb.errors import InputError, ManifestError
from fmrgb.files import find_files, shown, whole_file
from fmrgb.names import SAMPLE

SPLITS = ("train", "val", "test")

Names = Sequence[str]


@dataclass(frozen=True, kw_only=True)
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
    source_width: int | None = None  # of the clip itself, before any rotation
    source_height: int | None = None


COLUMNS = tuple(f.name for f in fields(Row))


def read_manifest(path: Path, label_column: str = "label") -> list[Row]:
    """Read a manifest, or list the samples of a folder `<label>/<sample>.pt`.

    Args:
        path: of the CSV or folder.
        label_column: which column of the CSV holds the labels.

    Raises:
        ManifestError: if a column or label is missing or a path stands twice.
        InputError: if there is no such file or folder.
    """
    if path.is_dir() and (path / "manifest.csv").is_file():
        return read_manifest(path / "manifest.csv", label_column)
    if path.is_dir():
        if label_column != "label":
            raise ManifestError(
                f"{shown(path)} has no manifest with a column {shown(label_column)}: "
                "labels are its folders' names; give a CSV with that column as --labels"
            )
        return [Row(path=p, label=p.parent.name) for p in find_files(path, (SAMPLE,))]
    records = _numbered_records(path, ("path", label_column))
    rows = [
        _row({**record, "label": record[label_column]}, path, line)
        for line, record in records
    ]
    if not rows:
        raise ManifestError(f"{shown(path)} lists no sample")
    twice = [p for p, n in Counter(row.path for row in rows).items() if n > 1]
    if twice:
        raise ManifestError(f"{shown(path)} lists {shown(twice[0])} more than once")
    return rows


def _row(record: dict[str, str], path: Path, line: int) -> Row:
    where = f"{shown(path)}, line {line}"
    if not record["path"] or not record["label"]:
        raise ManifestError(f"{where}: path and label must not be empty")
    split = record.get("split", "")
    if split and split not in SPLITS:
        raise ManifestError(
            f"{where}: split must be {', '.join(SPLITS)}, got {split!r}"
        )
    values: dict[str, Any] = {"path": path.parent / record["path"]}
    for name, read in _READ.items():
        text = record.get(name, "")
        try:
            values[name] = read(text) if text else None
        except (ValueError, KeyError):
            raise ManifestError(f"{where}: {name} cannot be {text!r}") from None
    for name in ("label", "group", "split", "checksum"):
        values[name] = record.get(name, "")
    return Row(**values)


_TRUTH = {"true": True, "false": False, "1": True, "0": False}
_READ: dict[str, Any] = {
    "has_sound": lambda text: _TRUTH[text.lower()],
    "silent": lambda text: _TRUTH[text.lower()],
    "fps": float,
    "frames": int,
    "seconds": float,
    "height": int,
    "width": int,
    "source_width": int,
    "source_height": int,
}


def write_manifest(path: Path, rows: Iterable[Row]) -> None:
    """Write a manifest, whole or not at all, with paths relative to its own folder."""
    folder = path.parent.resolve()
    records = [
        {
            **{name: _text(getattr(row, name)) for name in COLUMNS},
            "path": _relative(row.path, folder),
        }
        for row in rows
    ]
    write_csv(path, COLUMNS, records)


def _relative(path: Path, folder: Path) -> str:
    relative = Path(os.path.relpath(path.resolve(), folder)).as_posix()
    # Spaces around a cell are not read; "./" keeps those a name begins with.
    return f"./{relative}" if relative[:1].isspace() else relative


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def read_csv(path: Path, needed: Names) -> list[dict[str, str]]:
    """Read a CSV (UTF-8) with a heading as one dict per line.

    Raises:
        ManifestError: if it is not a CSV or lacks one of the `needed` columns.
        InputError: if there is no such file.
    """
    return [record for _, record in _numbered_records(path, needed)]


def _numbered_records(path: Path, needed: Names) -> list[tuple[int, dict[str, str]]]:
    """Return records with the number of the line, as an editor counts, they end in."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        have = [name.strip() for name in lines.fieldnames or ()]
        if missing := [name for name in needed if name not in have]:
            raise ManifestError(
                f"{shown(path)} needs the columns {', '.join(needed)}; it lacks "
                f"{', '.join(missing)} (it has: {', '.join(have) or 'nothing'})"
            )
        lines.fieldnames = have
        return [
            (lines.line_num, {k: (v or "").strip() for k, v in r.items() if k})
            for r in lines
        ]
    except OSError as error:
        raise InputError(f"cannot read {shown(path)}: {error.strerror}") from error
    except csv.Error as error:
        raise ManifestError(f"{shown(path)} is not a CSV: {error}") from error


def write_csv(path: Path, columns: Names, records: Iterable[dict[str, Any]]) -> None:
    """Write a CSV, whole or not at all."""
    with (
        whole_file(path) as part,
        open(part, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
