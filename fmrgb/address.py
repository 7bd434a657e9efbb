"""From an address, like s3://bucket/clips, to a path that the whole library can take.

An address is a kind of path: it has a name, a parent, files below it. What only asks
and reads by the methods of a path takes one without knowing it. What needs a file of
this disk asks for it by `ondisk.on_disk`; whoever hands an address to the system all
the same is told in one line, so that no folder called `s3:` comes to be.
"""

import errno
import io
import os
import re
import stat
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from functools import partial
from pathlib import Path, PosixPath, PurePath, PurePosixPath
from typing import IO, Any, NoReturn

from fmrgb import cache, store
from fmrgb.errors import InputError
from fmrgb.store import ABSENT, FOLDER, Known

WHOLE_BYTES = store.BLOCK  # what is no larger is fetched whole, whatever is read of it
HEAD_BYTES, TAIL_BYTES = 4096, 2**20  # of a sample, in which all but pixels lies
BELIEVED_S, MOST_LOOKED = 60.0, 10_000  # what was there, is; of so many objects
_looked: dict[str, tuple[Known, float]] = {}
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://?(?=[^/]|$)", re.IGNORECASE)
_WRITTEN = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)", re.IGNORECASE | re.DOTALL)
_ON_DISK = ("file", "local")  # an address by name, and yet a path


def place(text: str) -> Path:
    """Return the path that a text names, be it an address or not.

    Raises:
        InputError: if it is an address with a password, or that names nothing.
    """
    match = _WRITTEN.fullmatch(text)
    if not match:
        return Path(text)
    scheme, rest = match[1].lower(), match[2]
    if scheme in _ON_DISK:
        return Path(rest)
    host = rest.partition("/")[0]
    if ":" in host.partition("@")[0] and "@" in host:
        raise InputError(
            f"an address of {scheme}:// with a password in it; credentials come from "
            "the environment or the files of your user, and never from an address"
        )
    # A store knows no "..": it is resolved by its text, and leads out of no bucket.
    inside = PurePath(os.path.normpath("/" + rest.partition("/")[2])).parts[1:]
    if not host or host in (".", ".."):
        raise InputError(f"{scheme}:// names no bucket; expected {scheme}://bucket/...")
    return Remote(f"{scheme}:", host, *inside)


def names_address(text: str) -> bool:
    """Tell whether a text is an address, and no path of this disk."""
    return isinstance(place(text), Remote) if "://" in text else False


def root_of(text: str) -> str:
    """Return scheme and bucket of an address; nothing for a path of this disk."""
    match = _WRITTEN.fullmatch(text)
    return text[: match.end(1) + 3] + match[2].partition("/")[0] if match else ""


def looks_remote(path: PurePath) -> bool:
    """Tell whether a path was an address before it was read as a path of this disk."""
    begin = path.parts[0] if path.parts else ""
    return len(begin) > 2 and _SCHEME.fullmatch(begin + "/") is not None


class Remote(PosixPath):
    """A path in an object store.

    What the store told of it is remembered as long as the object lives, and goes along
    when it is pickled, so that a listing of many spares a question for each.
    """

    _told: Known | None = None
    _below: tuple[list["Remote"], float] | None = None

    def __str__(self) -> str:
        text = super().__str__()
        return _SCHEME.sub(r"\1://", text, count=1) if looks_remote(self) else text

    def __fspath__(self) -> NoReturn:
        raise InputError(
            f"{self} is an address, and this step takes files of this machine's disk "
            "alone; copy it there first"
        )

    def __reduce__(self) -> Any:
        return _again, (self.parts, self._told)

    def as_posix(self) -> str:
        """Return the address."""
        return str(self)

    def known(self) -> Known:
        """Return what the store tells of it: size and version, FOLDER or ABSENT."""
        if self._told is None:
            self._told = _look(str(self))
        return self._told

    def remember(self, known: Known | None) -> None:
        """Note what is known of it, from a listing say; None forgets it."""
        self._told = known

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return its size, and its version as the number that files have."""
        known = self._there()
        number = zlib.crc32(known.version.encode())
        kind = stat.S_IFDIR if known == FOLDER else stat.S_IFREG
        size = max(known.size, 0)
        return os.stat_result(
            (kind | 0o644, number, 0, 1, 0, 0, size, 0, 0, 0), {"st_mtime_ns": 0}
        )

    def lstat(self) -> os.stat_result:
        """Return what `stat` does: there are no links."""
        return self.stat()

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether there is such an object, or any below it."""
        return self.known() != ABSENT

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether it is an object."""
        return self.known() not in (ABSENT, FOLDER)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether there are objects below it."""
        return self.known() == FOLDER

    def is_symlink(self) -> bool:
        """Return False: stores have no links."""
        return False

    def is_absolute(self) -> bool:
        """Return True: an address leads to the same place from anywhere."""
        return True

    def absolute(self) -> "Remote":
        """Return itself."""
        return self

    def resolve(self, strict: bool = False) -> "Remote":
        """Return itself."""
        return self

    def relative_to(self, *other: Any, **how: Any) -> Any:
        """Return its name below another address, which is an address no more."""
        return PurePosixPath(*super().relative_to(*other, **how).parts)

    def mkdir(self, *_: object, **__: object) -> None:
        """Do nothing: folders are there when something is in them."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object; what is not there takes no right to remove."""
        if self.exists() or not missing_ok:
            store.remove(str(self))
            self._forget()

    def iterdir(self) -> Any:
        """Yield what lies in it."""
        return self._listed(deep=False)

    def rglob(self, pattern: str, **_: Any) -> Any:
        """Yield the objects below it whose names match."""
        return (path for path in self._listed() if fnmatch(path.name, pattern))

    def below(self) -> list["Remote"]:
        """List all objects below it but hidden ones; what was a moment ago, is."""
        found, at_s = self._below or ([], 0.0)
        if self._below is None or time.monotonic() - at_s > BELIEVED_S:
            begin = len(self.parts)
            found = [
                path
                for path in self._listed()
                if not any(part.startswith(".") for part in path.parts[begin:])
            ]
            self._below = found, time.monotonic()
        return found

    def _listed(self, *, deep: bool = True) -> Iterator["Remote"]:
        for address, known in store.listed(str(self), deep=deep):
            path = place(address)
            # A key with "//" or "/../" in it is one that no path can have.
            if isinstance(path, Remote) and str(path) == address.rstrip("/"):
                path.remember(known)
                yield path

    def _there(self) -> Known:
        known = self.known()
        if known == ABSENT:
            raise FileNotFoundError(errno.ENOENT, "No such object", str(self))
        return known

    def open(  # type: ignore[override]
        self, mode: str = "r", buffering: int = -1, **how: Any
    ) -> IO[Any]:
        """Open the object to read it: whole if it is small, else as it is read.

        Raises:
            FileNotFoundError: if there is none.
            InputError: if the store does not answer, or it is to be written.
        """
        if mode not in ("r", "rt", "rb"):
            raise InputError(f"{self} is an address: it can only be written whole")
        known = self._there()
        if known == FOLDER:
            raise IsADirectoryError(errno.EISDIR, "It is a folder", str(self))
        small = known.size <= WHOLE_BYTES or mode != "rb"
        if not small and not cache.there(str(self), known):
            return store.opened(str(self), known)
        file = cache.opened(str(self), known, self._fetch(known))
        return file if mode == "rb" else io.TextIOWrapper(file, **how)

    def read_bytes(self) -> bytes:
        """Return what the object holds."""
        with self.open("rb") as file:
            return bytes(file.read())

    def read_text(self, *args: Any, **how: Any) -> str:
        """Return what the object holds, as text."""
        with self.open("r", **dict(zip(("encoding", "errors"), args)), **how) as file:  # noqa: B905
            return str(file.read())

    def _fetch(self, known: Known) -> cache.Fetch:
        return partial(store.fetch, str(self), known)

    @contextmanager
    def fetched(self) -> Iterator[Path]:
        """Give the object as a file, which stays until the block ends."""
        known = self._there()
        with cache.held(str(self), known, self._fetch(known)) as file:
            yield file

    def drop(self) -> None:
        """Have this disk keep no copy of the object."""
        if self._told is not None:
            cache.drop(str(self), self._told)

    def send(self, file: Path) -> None:
        """Put a file in its place, whole or not at all."""
        store.send(file, str(self))
        self._forget()

    def _forget(self) -> None:
        self._told = None
        _looked.pop(str(self), None)

    @contextmanager
    def outline(self) -> Iterator[Path]:
        """Give a file with the object's begin and end alone; holes are between."""
        known = self._there()
        if known.size <= HEAD_BYTES + TAIL_BYTES or cache.there(str(self), known):
            with self.fetched() as file:
                yield file
            return
        part = cache.new_part(f"{zlib.crc32(str(self).encode()):08x}")
        tail = known.size - TAIL_BYTES
        try:
            with open(part, "wb") as file:
                file.truncate(known.size)
                for begin, end in ((0, HEAD_BYTES), (tail, known.size)):
                    file.seek(begin)
                    file.write(store.part_of(str(self), begin, end))
            yield part
        finally:
            part.unlink(missing_ok=True)


def _look(address: str) -> Known:
    """Ask for an object, unless it was there a moment ago.

    Paths come and go; many of them, of samples that share a shard say, ask the same. A
    newer version than the one that is known is not taken for it, see `store.opened`.
    """
    now = time.monotonic()
    known, at_s = _looked.get(address, (ABSENT, 0.0))
    if known == ABSENT or now - at_s > BELIEVED_S:
        if len(_looked) > MOST_LOOKED:
            _looked.clear()
        known = store.look(address)
        _looked[address] = known, now
    return known


def _again(parts: tuple[str, ...], known: Known | None) -> Remote:
    path = Remote(*parts)
    path.remember(known)
    return path
