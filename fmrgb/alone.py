"""From a folder to the right to write to it alone, for as long as a run takes."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fmrgb.errors import InputError
from fmrgb.files import explained, shown
from fmrgb.leftovers import HOST

try:
    import fcntl
except ModuleNotFoundError:  # not on Windows, where nothing is held
    fcntl = None  # type: ignore[assignment]

LOCK = ".fmrgb.lock"  # in the folder; a killed run leaves it, the next one takes it
_held: set[Path] = set()  # by this process, which the system would let in again
_guard = threading.Lock()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder until the block ends, against all other runs that ask for it.

    The system gives it free when the process ends, however it ends. Where the disk
    knows no locks nothing is held. The folder is made if need be, and goes again if
    nothing was written to it.

    Args:
        folder: to be written to by one run.

    Raises:
        InputError: if another run holds it, or it cannot be written to.
        DiskFullError: if there is no room left.
    """
    try:
        made = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explained(error, folder) from error
    whole = folder.resolve()
    with _guard:
        if whole in _held:
            raise InputError(_busy(folder, os.getpid()))
        handle = _lock(folder)
        _held.add(whole)
    try:
        yield
    finally:
        with suppress(OSError):  # the folder may be gone
            (folder / LOCK).unlink()
        os.close(handle)
        _held.discard(whole)
        with suppress(OSError):  # it holds what the run has written
            if made:
                folder.rmdir()


def _lock(folder: Path) -> int:
    """Return the handle of the folder's lock, which is held while it is open."""
    path = folder / LOCK
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise explained(error, path) from error
        try:
            if fcntl:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            said = os.read(handle, 100).decode(errors="replace").split()
            os.close(handle)
            raise InputError(_busy(folder, *said[:1])) from None
        except OSError:  # a disk that knows no locks
            pass
        # The one that held it before may just have removed the name of this very file.
        with suppress(OSError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                break
        os.close(handle)
    with suppress(OSError):  # a full disk: the name of the process is a courtesy
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()} {HOST}\n".encode())
    return handle


def _busy(folder: Path, *process: object) -> str:
    who = f"process {process[0]}" if process else "another process"
    return (
        f"{shown(folder)} is being written to by {who}; wait until it has ended, or "
        "name another --output"
    )
