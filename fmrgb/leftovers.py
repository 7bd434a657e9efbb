"""From what killed runs left half written to free disk.

A file is written under a hidden name, `.<begin>.<sum>.<host>-<process>.part<suffix>`,
and gets its own when it is whole. A run that is killed leaves the hidden one.
"""

import os
import re
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
OLD_S = 24 * 3600.0  # what nobody has written to for so long is given up


def _name_of_host() -> str:
    """Return a name within which a number of a process means one process only."""
    name = re.sub(r"\W", "", socket.gethostname())[:16] or "host"
    try:  # containers may share the name, but count their processes each for itself
        return f"{name}{os.stat('/proc/self/ns/pid').st_ino % 2**32}"
    except OSError:  # no such file on this system
        return name


HOST = _name_of_host()
_PART = re.compile(r"^\..*\.(?P<host>\w+)-(?P<pid>\d+)\.part(\.\w+)?$", re.DOTALL)
_SWEPT: set[Path] = set()  # folders that this process has swept
WORKED_IN: set[Path] = set()  # folders in which other processes write for this one


def sweep_parts(target: Path, *, deep: bool = True, gone: Collection[str] = ()) -> int:
    """Remove the `.part` files that killed runs left; count them.

    Those of this machine go if their process has ended, those of machines that are
    known to be `gone` at once, others if nobody has written to them for `OLD_S`.

    Args:
        target: a folder, or a single file, which means its own folder alone.
        deep: look into sub-folders as well.
        gone: machines that run no more, by their `HOST`.
    """
    removed = 0
    walk = os.walk(target if target.is_dir() else target.parent)
    for parent, folders, names in walk:
        if not (deep and target.is_dir()):
            folders.clear()
        for name in names:
            match = _PART.match(name)
            if match is None:
                continue
            if match["host"] in gone or _is_left(Path(parent, name), match):
                with suppress(OSError):  # a folder that is only read keeps it
                    Path(parent, name).unlink()
                    removed += 1
    return removed


def is_part(name: str) -> bool:
    """Tell whether a file is, by its name, one that is half written."""
    return _PART.match(name) is not None


def and_sweep(outcomes: Iterator[Item], folder: Path) -> Iterator[Item]:
    """Pass on what comes; where it breaks off, remove what is left half written."""
    WORKED_IN.add(folder)
    try:
        yield from outcomes
    except BaseException:
        sweep_parts(folder)
        raise
    finally:
        WORKED_IN.discard(folder)


def _is_left(part: Path, match: re.Match[str]) -> bool:
    if match["host"] == HOST and not alive(int(match["pid"])):
        return True
    try:
        return time.time() - part.lstat().st_mtime > OLD_S
    except OSError:  # gone since
        return False


def alive(pid: int) -> bool:
    """Tell whether a process of this machine still runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it lives but belongs to somebody else
        return True
    # One that was killed keeps its number until its parent has asked for its end, which
    # the first process of a container may do late or never.
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:  # no such folder on this system
        return True
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def sweep_once(folder: Path) -> None:
    """Sweep a folder, its sub-folders not, unless this process has done so before."""
    if folder not in _SWEPT:
        _SWEPT.add(folder)
        sweep_parts(folder, deep=False)
