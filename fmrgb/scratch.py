"""From files that come and go to a folder that stays small and goes at the end."""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fmrgb.leftovers import HOST, alive

OLDEST_S = 3600.0  # s; files that nobody has touched for so long go
EACH = 8192  # bytes that a file takes besides its own: its folder, and its last block
PREFIX = "fmrgb_page_"
_OWNED = re.compile(rf"{PREFIX}(?P<host>\w+)-(?P<pid>\d+)_\w+")


class Scratch:
    """A temporary folder in which the newest files are kept, up to a size."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        """Keep `most_bytes` in `folder` at most, when it is swept."""
        self.folder = folder.resolve()
        self.most_bytes = most_bytes

    def new(self) -> Path:
        """Make an empty folder in it, and room by letting the oldest files go."""
        self.sweep()
        return Path(tempfile.mkdtemp(dir=self.folder))

    def holds(self, path: Path) -> bool:
        """Tell whether a path, links followed, is a file in it."""
        whole = path.resolve()
        return whole.is_relative_to(self.folder) and whole.is_file()

    def sweep(self, room: int = 0) -> None:
        """Remove the oldest files until `room` more bytes fit, and all that are old."""
        files = []
        for path in self.folder.rglob("*"):
            try:
                known = path.lstat()
            except OSError:  # gone since
                continue
            if not path.is_dir():
                files.append((known.st_mtime, known.st_size, path))
        files.sort(reverse=True)  # newest first
        held, now = room, time.time()
        for changed, n_bytes, path in files:
            held += n_bytes + EACH
            if held > self.most_bytes or now - changed > OLDEST_S:
                path.unlink(missing_ok=True)
                if path.parent != self.folder:
                    with suppress(OSError):  # it holds more
                        path.parent.rmdir()
        for folder in sorted(self.folder.rglob("*"), reverse=True):
            self._remove_if_empty(folder, now)

    def _remove_if_empty(self, folder: Path, now: float) -> None:
        try:
            if folder.is_dir() and now - folder.stat().st_mtime > OLDEST_S:
                folder.rmdir()
        except OSError:  # it holds something, or is gone
            pass


def sweep_killed() -> int:
    """Remove the folders of pages on this machine that were killed; count them."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        match = _OWNED.fullmatch(folder.name)
        if not match or match["host"] != HOST or alive(int(match["pid"])):
            continue
        # Not what another user put there under such a name, or a link.
        with suppress(OSError):
            if folder.lstat().st_uid == os.getuid() and not folder.is_symlink():
                shutil.rmtree(folder)
                removed += 1
    return removed


@contextmanager
def scratch(most_bytes: int) -> Iterator[Scratch]:
    """Give a temporary folder of this process; remove it with all it holds.

    Those that killed processes of this machine left go, too.
    """
    sweep_killed()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{HOST}-{os.getpid()}_"))
    try:
        yield Scratch(folder, most_bytes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
