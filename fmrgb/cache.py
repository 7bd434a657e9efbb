"""From objects of a store to files of this disk, within a bound.

A file's name follows from the object's address and version, so that what is there is
never out of date. Several processes share the folder: a file is written beside and
renamed. What was used longest ago goes first; what is in use is locked, and stays.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fmrgb.errors import InputError
from fmrgb.leftovers import HOST, sweep_parts
from fmrgb.store import Known

try:
    import fcntl
except ModuleNotFoundError:  # not on Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]

FOLDER_VARIABLE, BOUND_VARIABLE = "FMRGB_CACHE", "FMRGB_CACHE_GB"
DEFAULT_GB = 10.0
FULL = 0.9  # share of the bound that is left when old files have gone
PIECES = 50  # each process may add such a part of the bound before it looks again
TRIES = 5  # times that a file may go between its coming and its being opened
_added = {"bytes": float("inf")}  # by this process since it looked; at first it looks
_guard = threading.Lock()

Fetch = Callable[[Path], None]


def folder() -> Path:
    """Return the folder of the cache, which may not be there yet."""
    told = os.environ.get(FOLDER_VARIABLE)
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(told or Path(home, "fmrgb")).expanduser()


def bound() -> float:
    """Return how many bytes the cache may hold.

    Raises:
        InputError: if the environment names no number.
    """
    told = os.environ.get(BOUND_VARIABLE) or DEFAULT_GB
    try:
        return float(told) * 2**30
    except ValueError:
        raise InputError(
            f"{BOUND_VARIABLE} must be a number of GiB, got {told!r}"
        ) from None


def parts() -> Path:
    """Return the folder for what is half written."""
    place = folder() / "parts"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


def new_part(name: str) -> Path:
    """Return a name for a file that this thread is about to write."""
    mark = f"{threading.get_ident():x}.{HOST}-{os.getpid()}"
    return parts() / f".{name}.{mark}.part"


@contextmanager
def held(address: str, known: Known, fetch: Fetch) -> Iterator[Path]:
    """Give the file of an object, which stays there until the block ends.

    Args:
        address: of the object.
        known: its size and version.
        fetch: writes it to the path that it is given.
    """
    with opened(address, known, fetch):
        yield place_of(address, known)


def opened(address: str, known: Known, fetch: Fetch) -> BinaryIO:
    """Open the file of an object, fetched if need be; it stays while this is open."""
    place = place_of(address, known)
    for _ in range(TRIES):
        with suppress(FileNotFoundError):
            file = open(place, "rb")  # noqa: SIM115  it is what the caller gets
            with suppress(OSError):  # a disk that knows no locks
                if fcntl:
                    fcntl.flock(file, fcntl.LOCK_SH)
            # It may have been taken away before it was locked.
            if os.fstat(file.fileno()).st_nlink:
                with suppress(OSError):
                    os.utime(place)
                return file
            file.close()
        _bring(place, known, fetch)
    raise InputError(
        f"{folder()} is emptied as fast as it is filled; give the cache more --cache_gb"
    )


def there(address: str, known: Known) -> bool:
    """Tell whether the file of an object is there."""
    return place_of(address, known).is_file()


def drop(address: str, known: Known) -> None:
    """Remove the file of an object, unless somebody reads it."""
    _remove(place_of(address, known))


def place_of(address: str, known: Known) -> Path:
    """Return where the file of an object lies, if it is there."""
    ends = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    where = next((os.environ[name] for name in ends if os.environ.get(name)), "")
    told = "\n".join((where, address, known.version, str(known.size)))
    digest = hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest()
    return folder() / digest[:2] / digest[2:]


def _bring(place: Path, known: Known, fetch: Fetch) -> None:
    part = new_part(place.name)
    try:
        _make_room(part, known.size)
        fetch(part)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.replace(part, place)
    finally:
        part.unlink(missing_ok=True)


def _make_room(part: Path, n_bytes: int) -> None:
    """Make a file of so many bytes; let old ones go if it is time to look for them."""
    with _guard:
        if _added["bytes"] == float("inf"):
            sweep_parts(parts())
        _added["bytes"] += n_bytes
        looks = _added["bytes"] >= bound() / PIECES
        if looks:
            _added["bytes"] = 0.0
    # One process after the other: two would take the same room for theirs.
    with open(folder() / "lock", "a") as lock:
        with suppress(OSError):  # a disk that knows no locks
            if looks and fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX)
        if looks:
            _let_go(n_bytes)
        with open(part, "wb") as file:
            file.truncate(n_bytes)


def _let_go(n_bytes: int) -> None:
    """Remove what was used longest ago until so many more bytes find room."""
    files, held_bytes, most = [], n_bytes, bound()
    for path in [*folder().glob("??/*"), *parts().iterdir()]:
        with suppress(OSError):  # gone since
            known = path.stat()
            held_bytes += known.st_size
            if path.parent != parts():
                files.append((known.st_mtime_ns, known.st_size, path))
    if held_bytes <= most:
        return
    for _, size, path in sorted(files):
        if held_bytes <= most * FULL:
            break
        if _remove(path):
            held_bytes -= size


def _remove(path: Path) -> bool:
    """Remove a file unless it is in use; tell whether it is gone."""
    try:
        with open(path, "rb") as file:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return True
    except OSError:  # it is in use
        return False
    return True
