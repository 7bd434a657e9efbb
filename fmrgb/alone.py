"""From a folder to the right to write to it alone, for as long as a run takes."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fmrgb.address import Remote
from fmrgb.errors import InputError
from fmrgb.files import explained, shown
from fmrgb.leftovers import HOST
from fmrgb.names import Shard
from fmrgb.ondisk import scratch_of

try:
    import fcntl
except ModuleNotFoundError:  # not on Windows, where nothing is held
    fcntl = None  # type: ignore[assignment]

LOCK = ".fmrgb.lock"  # in the folder; a killed run leaves it, the next one takes it
_held: set[Path] = set()  # by this process, which the system would let in again
_guard = threading.Lock()


@contextmanager
def alone(folder: Path, shard: Shard | None = None) -> Iterator[None]:
    """Hold a folder until the block ends, against all other runs that ask for it.

    Who works at a share of it lets those in that work at another. What is held of a
    folder in a store holds against the runs of this machine alone: stores know no such
    thing. Runs of two machines write the same bytes, whole, and the later one stays.

    The system gives it free when the process ends, however it ends. Where the disk
    knows no locks nothing is held. The folder is made if need be, and goes again if
    nothing was written to it.

    Args:
        folder: to be written to by one run.
        shard: the share that is worked at; None is all of it.

    Raises:
        InputError: if another run holds it, or it cannot be written to.
        DiskFullError: if there is no room left.
    """
    told, folder = folder, _stand_in(folder)
    try:
        made = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explained(error, folder) from error
    # All shares hold the folder's lock together, and each its own besides.
    names = (LOCK, shard.named(LOCK)) if shard else (LOCK,)
    whole = folder.resolve() / names[-1]
    with _guard:
        if whole in _held:
            raise InputError(_busy(told, os.getpid()))
        handles: dict[str, int] = {}
        try:
            for name in names:
                shared = shard is not None and name == LOCK
                handles[name] = _lock(folder, name, shared=shared, told=told)
        except BaseException:
            _release(folder, handles)
            raise
        _held.add(whole)
    try:
        yield
    finally:
        _release(folder, handles)
        _held.discard(whole)
        with suppress(OSError):  # it holds what the run has written
            if made:
                folder.rmdir()


def _stand_in(folder: Path) -> Path:
    """Return the folder of this disk that holds the locks of a folder."""
    if not isinstance(folder, Remote):
        return folder
    mark = hashlib.sha256(str(folder).encode(errors="surrogateescape"))
    return scratch_of(folder).parent / "locks" / mark.hexdigest()


def _release(folder: Path, handles: dict[str, int]) -> None:
    """Give locks free; remove those that nobody else holds."""
    for name, handle in handles.items():
        try:
            if fcntl:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # others hold it too
            os.close(handle)
            continue
        except OSError:  # a disk that knows no locks
            pass
        with suppress(OSError):  # the folder may be gone
            (folder / name).unlink()
        os.close(handle)


def _lock(folder: Path, name: str, *, shared: bool, told: Path) -> int:
    """Return the handle of a lock in the folder, which is held while it is open."""
    path = folder / name
    how = "LOCK_SH" if shared else "LOCK_EX"
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise explained(error, path) from error
        try:
            if fcntl:
                fcntl.lockf(handle, getattr(fcntl, how) | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            said = os.read(handle, 100).decode(errors="replace").split()
            os.close(handle)
            raise InputError(_busy(told, *said[:1])) from None
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
