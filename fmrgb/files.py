"""From names on disk to files that appear whole or not at all."""

import errno
import hashlib
import io
import mmap
import os
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:  # every --help comes through here; numpy is most of its time
    import numpy as np
    from numpy.typing import DTypeLike, NDArray

from fmrgb.address import Remote
from fmrgb.errors import DiskFullError, InputError
from fmrgb.leftovers import HOST, sweep_once
from fmrgb.ondisk import below, scratch_of

MEMORY_BYTES = 96 * 2**20  # a Spool larger than this goes to disk
HASH_CHUNK = 2**20  # bytes
Stamp = tuple[int, int, int]  # inode, bytes, time of change in ns
# A disk or a network that fails.
_BROKEN = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.EHOSTDOWN)
WRITING: set[Path] = set()  # `.part` files of this process; a forced end removes them


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; rename it to `path` when all is written.

    A run that is killed leaves at most a hidden `.part` file, never half a `path`. What
    is to go to a store is written to this disk first.

    Raises:
        DiskFullError: if there is no room left; the part is removed first.
        InputError: if the folder cannot be written to.
    """
    # Names may have 255 bytes; long ones that begin alike still differ by their sum.
    begin = os.fsencode(path.stem)[:100].decode("utf-8", "ignore")
    of = str(path) if isinstance(path, Remote) else path.name
    mark = f"{zlib.crc32(os.fsencode(of)):08x}"
    name = f".{begin}.{mark}.{HOST}-{os.getpid()}.part{path.suffix}"
    part = scratch_of(path.parent) / name
    WRITING.add(part)
    try:
        yield part
        if isinstance(path, Remote):
            path.send(part)
        else:
            os.replace(part, path)
    except OSError as error:
        raise explained(error, path) from error
    finally:
        with suppress(OSError):  # its folder is gone: there is nothing to remove
            part.unlink(missing_ok=True)
        WRITING.discard(part)


def explained(error: OSError, path: Path) -> Exception:
    """Return a system's fault while writing as one that says what to do.

    Args:
        error: what the system said.
        path: what was to be written.

    Returns:
        the same error, if there is nothing better to say.
    """
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
    if error.errno == errno.ENOENT and not path.parent.is_dir():
        return InputError(
            f"cannot write {shown(path)}: its folder has just gone; put it back, or "
            "the disk that holds it, and run the same command again"
        )
    if error.errno in _BROKEN:
        return InputError(
            f"cannot write {shown(path)}: {error.strerror}; see to the disk or network "
            "that holds it and run the same command again: it goes on where it stopped"
        )
    return error


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, unless it is there.

    What killed runs left in it half written goes, the first time. A store has no
    folders to make.

    Raises:
        InputError: if it cannot be made or cannot be written to.
    """
    folder = scratch_of(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        fault = explained(error, folder)
        if isinstance(fault, OSError):
            fault = InputError(f"cannot use {shown(folder)}: {error.strerror}")
        raise fault from error
    sweep_once(folder)


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
    if kind := special(target):
        raise InputError(f"{shown(target)} is a {kind}; give a file or a folder")
    if not target.is_dir():
        raise InputError(f"no such file or folder: {shown(target)}")
    found = [path for path in below(target) if path.suffix.lower() in suffixes]
    if not found:
        raise InputError(f"no {wanted} file in {shown(target)} or its sub-folders")
    return sorted(found)


def special(path: Path) -> str:
    """Say what a path is that is neither file nor folder: reading it may never end.

    Returns:
        "named pipe", "socket" or "device"; nothing for files, folders and what is not
        there.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return ""
    kinds = {"named pipe": stat.S_ISFIFO, "socket": stat.S_ISSOCK}
    kinds |= {"device": lambda m: stat.S_ISCHR(m) or stat.S_ISBLK(m)}
    return next((kind for kind, is_such in kinds.items() if is_such(mode)), "")


def open_plain(path: Path) -> BinaryIO:
    """Open a file to read its bytes.

    Raises:
        OSError: if that cannot be, or if it is a pipe, a socket or a device.
    """
    if kind := special(path):
        raise OSError(errno.EINVAL, f"it is a {kind}, not a file", str(path))
    return cast(BinaryIO, path.open("rb"))


def stamp(path: Path) -> Stamp:
    """Return what changes whenever a file's content does.

    Raises:
        OSError: if there is no such file.
    """
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def refuse_changed(path: Path, before: Stamp) -> None:
    """Raise InputError if a file is not, or no longer, what it was by its stamp."""
    try:
        same = stamp(path) == before
    except OSError:
        same = False
    if not same:
        raise InputError(
            f"{shown(path)} was changed while it was read; run the same command again "
            "once it is whole"
        )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def shown(path: Path | str) -> str:
    """Write a name so that it fits one line: control characters come out escaped."""
    text = str(path)
    if text.isprintable():  # as almost all are
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
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

    def append(self, array: "NDArray[np.generic]") -> None:
        """Add an array's bytes.

        Raises:
            DiskFullError: if the disk is full.
        """
        import numpy as np

        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        in_memory = isinstance(self._file, io.BytesIO)
        try:
            if in_memory and self.n_bytes + data.nbytes > self._limit:
                self._move_to_disk()
            self._file.write(data.data)
        except OSError as error:
            raise explained(
                error, self._scratch or Path(tempfile.gettempdir())
            ) from error
        self.n_bytes += data.nbytes

    def _move_to_disk(self) -> None:
        assert isinstance(self._file, io.BytesIO)
        # An unnamed file: the system frees it whatever happens to this process.
        file = tempfile.TemporaryFile(dir=self._scratch)  # noqa: SIM115
        file.write(self._file.getbuffer())
        self._file = file

    def view(self, dtype: "DTypeLike", shape: tuple[int, ...]) -> "NDArray[np.generic]":
        """Return all bytes as one array `[n, *shape]`, without copying them."""
        import numpy as np

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
            raise explained(
                error, self._scratch or Path(tempfile.gettempdir())
            ) from error
        return np.memmap(self._file, item, mode="r+", shape=(n, *shape))


def let_go(array: "NDArray[np.generic]") -> None:
    """Give back the memory that a mapped file takes; what it holds stays on disk."""
    held = getattr(array, "_mmap", None)  # numpy.memmap's
    if held is not None and hasattr(mmap, "MADV_DONTNEED"):
        held.madvise(mmap.MADV_DONTNEED)


def room(shape: tuple[int, ...], scratch: Path | None = None) -> "NDArray[np.uint8]":
    """Return an uint8 array of zeros: in memory if small, else in an unnamed file."""
    import numpy as np

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
        raise explained(error, scratch or Path(tempfile.gettempdir())) from error
