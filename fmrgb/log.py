"""From what happens to lines of JSON in a file, one for every clip and stage."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fmrgb.errors import InputError
from fmrgb.files import explained, shown

ROOT = "fmrgb"  # name of the logger whose words, and those below it, are kept
_KNOWN = "fmrgb_known"  # where a record carries what `event` knows
logger = logging.getLogger(f"{ROOT}.events")


def event(
    stage: str, *, clip: str = "", seconds: float | None = None, error: str = ""
) -> None:
    """Tell that something was done.

    Args:
        stage: what, in a word or two.
        clip: with which file, if with one.
        seconds: how long it took.
        error: why it could not be done; empty if it was.
    """
    known = {"clip": clip, "stage": stage, "seconds": seconds, "error": error}
    level = logging.WARNING if error else logging.INFO
    if logger.isEnabledFor(level) and logging.getLogger(ROOT).handlers:
        logger.log(level, stage, extra={_KNOWN: known})


@contextmanager
def to_file(path: Path | None, tool: str) -> Iterator[None]:
    """Append what happens meanwhile to a file, as lines of JSON; None keeps nothing.

    Each line has time (UTC), level, tool, clip, stage, seconds and error. The first and
    the last tell of the tool as a whole.

    Raises:
        InputError: if the file cannot be written to.
    """
    if path is None:
        yield
        return
    try:
        handler = _Appended(path, tool)
    except OSError as error:
        fault = explained(error, path)
        if isinstance(fault, OSError):
            fault = InputError(f"cannot write {shown(path)}: {error.strerror}")
        raise fault from error
    root, before = logging.getLogger(ROOT), logging.getLogger(ROOT).level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    start = time.perf_counter()
    event("begin")
    try:
        yield
    except BaseException as error:
        seconds = time.perf_counter() - start
        event("end", seconds=seconds, error=str(error) or type(error).__name__)
        raise
    else:
        event("end", seconds=time.perf_counter() - start)
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        with suppress(OSError):  # a full disk: what it still held is lost
            handler.close()


class _Appended(logging.FileHandler):
    """Writes records as lines of JSON; where it cannot any more, the work goes on."""

    def __init__(self, path: Path, tool: str) -> None:
        super().__init__(path, encoding="utf-8")
        self._tool = tool

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as JSON in ASCII: no name in it moves a cursor."""
        known = getattr(record, _KNOWN, None) or {
            "clip": "",
            "stage": record.name,
            "seconds": None,
            "error": record.getMessage(),
        }
        when = datetime.fromtimestamp(record.created, timezone.utc)
        head = {"time": when.isoformat(timespec="milliseconds")}
        head |= {"level": record.levelname.lower(), "tool": self._tool}
        line: dict[str, Any] = {**head, **known}
        if line["seconds"] is not None:
            line["seconds"] = round(line["seconds"], 4)
        return json.dumps(line)

    def handleError(self, record: logging.LogRecord) -> None:
        """Give up a full disk's log rather than the work it tells of."""
