"""From names on disk to files that appear whole or not at all."""

import errno
import hashlib
import io
import os
import re
import socket
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fmrgb.errors import DiskFullError, InputError

MEMORY_BYTES = 96 * 2**20  # a Spool larger than this goes to disk
HASH_CHUNK = 2**20  # bytes
_HOST = re.sub(r"\W", "", socket.gethostname())[:16] or "host"
_PART = re.compile(r"^\..*\.(?P<host>\w+)-(?P<pid>\d+)\.part(\.\w+)?$", re.DOTALL)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; rename it to `path` when all is written.

    A run that is killed leaves at most a hidden `.part` file, never half a `path`.

    Raises:
        DiskFullError: if there is no room left; the part is removed first.
        InputError: if the folder cannot be written to.
    """
    # Names may have 255 bytes; long ones that begin alike still differ by their sum.
    begin = os.fsencode(path.stem)[:100].decode("utf-8", "ignore")
    mark = f"{zlib.crc32(os.fsencode(path.name)):08x}"
    part = path.with_name(f".{begin}.{mark}.{_HOST}-{os.getpid()}.part{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise _explain(error, path) from error
    finally:
        part.unlink(missing_ok=True)


def _explain(error: OSError, path: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(
            f"no room left to write {shown(path)}; free some and run the same command "
            "again: it goes on where it stopped"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
        return InputError(
            f"cannot write {shown(path)}: {error.strerror}; choose a folder that can "
            "be written to"
        )
    return error


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, unless it is there.

    Raises:
        InputError: if it cannot be made or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        explained = _explain(error, folder)
        if isinstance(explained, OSError):
            explained = InputError(f"cannot use {shown(folder)}: {error.strerror}")
        raise explained from error


def sweep_parts(target: Path) -> int:
    """Remove the `.part` files that killed runs on this machine left; count them.

    Looks into a folder and its sub-folders, or for a single file into its own folder.
    """
    removed = 0
    walk = os.walk(target if target.is_dir() else target.parent)
    for parent, folders, names in walk:
        if not target.is_dir():
            folders.clear()
        for name in names:
            match = _PART.match(name)
            if match and match["host"] == _HOST and not _alive(int(match["pid"])):
                Path(parent, name).unlink(missing_ok=True)
                removed += 1
    return removed


def _alive(pid: int) -> bool:
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


def find_files(target: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """List the files under `target` with one of `suffixes`, sorted.

    Hidden files are left out, hidden folders and links to folders not looked into. A
    single file is a list of one.

    Raises:
        InputError: if `target` does not exist or holds no such file.
    """
    wanted = " or ".join(suffixes)
    if target.is_file():
        if target.suffix.lower() not in suffixes:
            raise InputError(f"expected a {wanted} file, got {shown(target)}")
        return [target]
    if not target.is_dir():
        raise InputError(f"no such file or folder: {shown(target)}")
    found = []
    for parent, folders, names in os.walk(target):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes
        ]
    if not found:
        raise InputError(f"no {wanted} file in {shown(target)} or its sub-folders")
    return sorted(found)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def shown(path: Path | str) -> str:
    """Write a name so that it fits one line: control characters come out escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(path)
    )


class Spool:
    """Bytes appended one piece at a time, in memory while few and on disk when many."""

    def __init__(self, scratch: Path | None = None, limit: int = MEMORY_BYTES) -> None:
        """Keep up to `limit` bytes in memory, more in an unnamed file in `scratch`."""
        self._file: io.BytesIO | io.BufferedRandom = io.BytesIO()
        self._scratch = scratch
        self._limit = limit
        self.n_bytes = 0

    def __del__(self) -> None:
        # A memory map outlives its file; bytes in memory cannot close while in use.
        if not isinstance(self._file, io.BytesIO):
            self._file.close()

    def append(self, array: NDArray[np.generic]) -> None:
        """Add an array's bytes.

        Raises:
            DiskFullError: if the disk is full.
        """
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        in_memory = isinstance(self._file, io.BytesIO)
        try:
            if in_memory and self.n_bytes + data.nbytes > self._limit:
                self._move_to_disk()
            self._file.write(data.data)
        except OSError as error:
            raise _explain(
                error, self._scratch or Path(tempfile.gettempdir())
            ) from error
        self.n_bytes += data.nbytes

    def _move_to_disk(self) -> None:
        assert isinstance(self._file, io.BytesIO)
        # An unnamed file: the system frees it whatever happens to this process.
        file = tempfile.TemporaryFile(dir=self._scratch)  # noqa: SIM115
        file.write(self._file.getbuffer())
        self._file = file

    def view(self, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[np.generic]:
        """Return all bytes as one array `[n, *shape]`, without copying them."""
        item = np.dtype(dtype)
        n = self.n_bytes // (item.itemsize * int(np.prod(shape, dtype=np.int64)))
        if not n:
            return np.empty((0, *shape), item)
        if isinstance(self._file, io.BytesIO):
            flat = np.frombuffer(self._file.getbuffer(), item)
            return flat.reshape(n, *shape)
        try:
            self._file.flush()
        except OSError as error:
            raise _explain(
                error, self._scratch or Path(tempfile.gettempdir())
            ) from error
        return np.memmap(self._file, item, mode="r+", shape=(n, *shape))


def room(shape: tuple[int, ...], scratch: Path | None = None) -> NDArray[np.uint8]:
    """Return an uint8 array of zeros: in memory if small, else in an unnamed file."""
    n_bytes = int(np.prod(shape, dtype=np.int64))
    if n_bytes <= MEMORY_BYTES:
        return np.zeros(shape, np.uint8)
    try:
        with tempfile.TemporaryFile(dir=scratch) as file:
            # A hole in a file would be filled, or kill for want of room, while in use.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            file.truncate(n_bytes)
            return np.memmap(file, np.uint8, mode="r+", shape=shape)
    except OSError as error:
        raise _explain(error, scratch or Path(tempfile.gettempdir())) from error
