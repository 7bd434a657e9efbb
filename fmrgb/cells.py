"""From records to the lines of a CSV, and back, unchanged and harmless.

A spreadsheet runs a cell that begins with =, +, -, @ or a tab as a formula, whoever
wrote the name that stands there (OWASP, "CSV Injection"). So such a cell is written
behind an apostrophe, which spreadsheets take for "text", and which is taken away here
when it is read again. A path gets "./" instead: it stays the same path for every
program that reads it.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from fmrgb.errors import InputError, ManifestError
from fmrgb.files import shown, special, whole_file

Names = Sequence[str]

MOST_COLUMNS = 30_000  # the largest table has one for every class
LONGEST_LINE = 16 * 2**20  # characters
PATH = "path"  # name of the column that holds paths
_SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"  # the wide ones count in East Asian settings
_BEGINS = frozenset(_SIGNS + "'")  # one look that spares most cells the next
_RUNS = re.compile(rf"'*(\s*[{re.escape(_SIGNS)}]|[\t\r\n])")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def read_csv(path: Path, needed: Names) -> list[dict[str, str]]:
    """Read a CSV (UTF-8) with a heading as one dict per line.

    Raises:
        ManifestError: if it is not a CSV or lacks one of the `needed` columns.
        InputError: if there is no such file.
    """
    return [record for _, record in numbered_records(path, needed)]


def numbered_records(path: Path, needed: Names) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield records with the number of the line, as an editor counts, they end in.

    Raises:
        ManifestError: if it is not a CSV or lacks one of the `needed` columns.
        InputError: if there is no such file.
    """
    if kind := special(path):
        raise InputError(f"{shown(path)} is a {kind}; give a CSV file")
    try:
        with path.open(
            encoding="utf-8-sig", errors="surrogateescape", newline=""
        ) as file:
            lines = csv.DictReader(_lines(file, path), strict=True)
            lines.fieldnames = _heading(lines.fieldnames or (), path, needed)
            for record in lines:
                cells = {k: _restored(k, v) for k, v in record.items() if k}
                yield lines.line_num, cells
    except OSError as error:
        raise InputError(f"cannot read {shown(path)}: {error.strerror}") from error
    except csv.Error as error:
        raise ManifestError(f"{shown(path)} is not a CSV: {error}") from error


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    """Yield the lines, none of them without end."""
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise ManifestError(
                f"{shown(path)} has a line of more than {LONGEST_LINE:,} characters; "
                "it is no table of clips"
            )
        yield line


def _heading(names: Names, path: Path, needed: Names) -> list[str]:
    """Return the names of the columns."""
    have = [name.strip() for name in names]
    if len(have) > MOST_COLUMNS:
        raise ManifestError(
            f"{shown(path)} has {len(have):,} columns, and a table of clips at most "
            f"{MOST_COLUMNS:,}"
        )
    if any("\0" in name for name in have):
        raise ManifestError(f"{shown(path)} is not in UTF-8; save it as CSV UTF-8")
    if missing := [name for name in needed if name not in have]:
        raise ManifestError(
            f"{shown(path)} needs the columns {', '.join(needed)}; it lacks "
            f"{', '.join(missing)} (it has: {', '.join(have) or 'nothing'})"
        )
    return have


def _restored(column: str, cell: str | None) -> str:
    """Return a cell as it was before it was made harmless."""
    text = (cell or "").strip()
    if text[:1] == "'" and column != PATH and _RUNS.match(text):
        return text[1:]
    return text


def _harmless(column: str, cell: Any) -> Any:
    """Return a cell that no spreadsheet runs."""
    if not isinstance(cell, str) or not (cell[:1] in _BEGINS or cell[:1].isspace()):
        return cell
    if column == PATH:
        # Spaces around a cell are not read either.
        return f"./{cell}" if cell[0] != "'" else cell
    runs = _RUNS.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if runs else cell


def write_csv(path: Path, columns: Names, records: Iterable[dict[str, Any]]) -> None:
    """Write a CSV, whole or not at all, of which no spreadsheet runs a cell."""
    with (
        whole_file(path) as part,
        open(part, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        plain, quoted = (
            csv.DictWriter(file, columns, lineterminator="\n", quoting=quoting)
            for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        )
        for record in chain([dict(zip(columns, columns, strict=True))], records):
            cells = {name: _harmless(name, cell) for name, cell in record.items()}
            # Python leaves a lone carriage return as it is, and ends the line there
            # when it reads it again.
            has_return = any("\r" in c for c in cells.values() if isinstance(c, str))
            (quoted if has_return else plain).writerow(cells)
