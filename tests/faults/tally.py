"""The bench's own memory: which faults were injected, and what became of them.

A test notes every fault it injects, `tally.note("SIGKILL", survived=True)`, or does the
work inside `with tally.fault("SIGKILL") as noted:`, which counts the fault as survived
unless the test fails. The table at the end of a run of pytest is made of the notes.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HEADING = (
    "area",
    "faults",
    "survived",
    "files lost",
    "hangs",
    "code run",
    "worst MiB",
    "worst s/clip",
)


@dataclass
class Note:
    """What one fault came to.

    Attributes:
        area: the test module it was injected by, `kill` for test_kill.py.
        fault: what was done, in a few words.
        survived: whether the promise held.
        lost: how many files are gone that nothing replaces.
        hung: how often something did not end in time.
        executed: how often something from a file's content was run as code.
        memory_mib: the most memory the work took, in MiB; None if not measured.
        seconds: how long the work on one clip took at most; None if not measured.
    """

    area: str
    fault: str
    survived: bool = True
    lost: int = 0
    hung: int = 0
    executed: int = 0
    memory_mib: float | None = None
    seconds: float | None = None


@dataclass
class _Tally:
    notes: list[Note] = field(default_factory=list)


_KEPT = _Tally()


def note(
    fault: str,
    *,
    survived: bool,
    lost: int = 0,
    hung: int = 0,
    executed: int = 0,
    memory_mib: float | None = None,
    seconds: float | None = None,
) -> None:
    """Keep what one injected fault came to; see `Note`."""
    _KEPT.notes.append(
        Note(_area(), fault, survived, lost, hung, executed, memory_mib, seconds)
    )


@contextmanager
def fault(name: str) -> Iterator[Note]:
    """Note one fault: survived, unless the block raises; it may fill in the rest."""
    noted = Note(_area(), name)
    try:
        yield noted
    except BaseException:
        noted.survived = False
        raise
    finally:
        _KEPT.notes.append(noted)


def clock() -> float:
    """Return a time in seconds to measure from."""
    return time.perf_counter()


def notes() -> list[Note]:
    """Return all that was noted so far."""
    return list(_KEPT.notes)


def rows(kept: Sequence[Note]) -> list[tuple[str, ...]]:
    """Sum notes up: a heading, a row per area, and one for all of several."""
    areas = sorted({n.area for n in kept})
    found = [_row(area, [n for n in kept if n.area == area]) for area in areas]
    if len(found) > 1:
        found.append(_row("all", kept))
    return [HEADING, *found]


def table() -> list[str]:
    """Write the notes as lines of a table, one row per area and one for all."""
    lines = rows(notes())
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in lines
    ]


def _row(area: str, kept: Sequence[Note]) -> tuple[str, ...]:
    memory = [n.memory_mib for n in kept if n.memory_mib is not None]
    seconds = [n.seconds for n in kept if n.seconds is not None]
    return (
        area,
        str(len(kept)),
        str(sum(n.survived for n in kept)),
        str(sum(n.lost for n in kept)),
        str(sum(n.hung for n in kept)),
        str(sum(n.executed for n in kept)),
        f"{max(memory):.0f}" if memory else "-",
        f"{max(seconds):.2f}" if seconds else "-",
    )


def _area() -> str:
    """Return the name of the running test's module, without test_."""
    now = os.environ.get("PYTEST_CURRENT_TEST", "other.py::")
    return Path(now.partition("::")[0]).stem.removeprefix("test_")
