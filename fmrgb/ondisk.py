"""From any path, also an address, to files of this disk.

What is done differently for an object of a store than for a file is done here.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from fmrgb import cache
from fmrgb.address import Remote
from fmrgb.store import ABSENT

AT_ONCE = 16  # objects that are fetched at once


@contextmanager
def on_disk(path: Path, *, keep: bool = True) -> Iterator[Path]:
    """Give a file of this disk with a path's content; a path of the disk itself.

    Args:
        path: to an object of a store, or any other.
        keep: whether an object's copy may stay for the next who asks.
    """
    if not isinstance(path, Remote):
        yield path
        return
    try:
        with path.fetched() as file:
            yield file
    finally:
        if not keep:
            path.drop()


@contextmanager
def outlined(path: Path) -> Iterator[Path]:
    """Give a file that tells all of a sample but its pixels; a path of the disk itself.

    Of a large sample in a store only its begin and its end are fetched: there lie the
    names and places of its parts, and all its plain values. What lies between is zeros.
    """
    if isinstance(path, Remote):
        with path.outline() as file:
            yield file
    else:
        yield path


def scratch_of(folder: Path) -> Path:
    """Return the folder of this disk in which the files of a folder are written."""
    return cache.parts() if isinstance(folder, Remote) else folder


def below(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder but hidden ones; links to folders not followed."""
    if isinstance(folder, Remote):
        yield from folder.below()
        return
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield Path(parent, name)


def fetch_ahead(paths: Iterable[Path], home: Path) -> None:
    """Fetch objects side by side that are all about to be read, if they find room.

    Args:
        paths: of objects, or of files of this disk, of which nothing is done.
        home: the folder that most of them lie in, or a file in it.

    Raises:
        InputError: if the store does not answer.
    """
    remote = [path for path in paths if isinstance(path, Remote)]
    if not remote:
        return
    look_up(remote, home if home.is_dir() else home.parent)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        sizes = pool.map(lambda path: max(path.known().size, 0), remote)
        if sum(sizes) <= cache.FULL * cache.bound():
            for _ in pool.map(_fetch, remote):
                pass


def _fetch(path: Remote) -> None:
    if path.is_file():
        with suppress(FileNotFoundError), path.fetched():
            pass


def look_up(paths: Iterable[Path], folder: Path) -> None:
    """Tell paths below a folder what one listing of it says; nothing on this disk."""
    if not isinstance(folder, Remote):
        return
    known = {path: path.known() for path in folder.below()}
    for path in paths:
        with suppress(ValueError):
            if isinstance(path, Remote) and path.relative_to(folder):
                path.remember(known.get(path, ABSENT))
