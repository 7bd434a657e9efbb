"""From an address in an object store to its objects: listed, read, written whole.

Everything goes through fsspec, which has a package for almost any store. Credentials
come from where those packages look for them (environment, files of the user, the role
of the machine) and are never shown: of a store's faults only the kind is told.
"""

import errno
import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from fmrgb.errors import DiskFullError, FmrgbError, InputError, ProgramMissingError
from fmrgb.leftovers import HOST

BLOCK = 8 * 2**20  # bytes that are asked for at once
# What is put there appears whole or not at all; elsewhere it is put beside and moved.
_WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss"}
_VERSIONS = ("ETag", "etag", "generation", "mtime", "LastModified", "created")
_KEYLESS = ("Credential", "SSOToken", "ProfileNotFound", "TokenRetrieval")
_systems: dict[tuple[int, str], Any] = {}  # never let go: they may be a parent's
_guard = threading.Lock()


class Known(NamedTuple):
    """What a store tells of an object: its bytes, and what changes with its content."""

    size: int
    version: str


class _RefusedError(InputError):
    """The store will not, and will not the next time."""


FOLDER, ABSENT = Known(-1, "folder"), Known(-1, "absent")


def look(address: str) -> Known:
    """Ask for an object; it may be FOLDER or ABSENT.

    Raises:
        InputError: if the store does not answer, or will not.
    """
    system, path = _system(address)
    try:
        with _told(address):
            return _known(system.info(path))
    except FileNotFoundError:
        return ABSENT


def listed(address: str, *, deep: bool = True) -> Iterator[tuple[str, Known]]:
    """Yield what lies below an address, in no order; without folders if `deep`.

    Raises:
        InputError: if there is no such bucket, or the store does not answer.
    """
    system, path = _system(address)
    try:
        with _told(address):
            found = (system.find if deep else system.ls)(path, detail=True)
    except FileNotFoundError:
        return
    entries = found.values() if isinstance(found, dict) else found
    base = path.rstrip("/")
    for entry in entries:
        name = entry["name"]
        # Stores keep empty objects in the place of folders.
        if name.startswith(base + "/") and len(name) > len(base) + 1:
            inside = name[len(base) :]
            if not (deep and inside.endswith("/")):
                yield address.rstrip("/") + inside, _known(entry)


def fetch(address: str, known: Known, into: Path) -> None:
    """Write an object, as it is known, to a file that has room for it.

    Raises:
        InputError: if it is not, or no longer, that object.
        FileNotFoundError: if it is gone.
        DiskFullError: if there is no room left for the file.
    """
    with opened(address, known, cache="none") as source, open(into, "r+b") as file:
        while True:
            with _told(address):
                block = source.read(BLOCK)
            if not block:
                break
            try:
                file.write(block)
            except OSError as error:
                raise DiskFullError(
                    f"no room left to fetch {address}: {error.strerror}; free some, or "
                    "give another --cache or less --cache_gb"
                ) from error
        n_bytes = file.tell()
    # S3 itself refuses a version that is not the one asked for.
    same = hasattr(source, "read_kw") or look(address) == known
    if n_bytes != known.size or not same:
        raise InputError(_changed(address))


def opened(address: str, known: Known, *, cache: str = "readahead") -> BinaryIO:
    """Open an object to read parts of it, each asked for when it is read.

    Args:
        address: of the object.
        known: what it was when it was looked at; a newer one is not read in its place.
        cache: one of fsspec's.

    Raises:
        FileNotFoundError: if it is gone.
        InputError: if the store does not answer.
    """
    system, path = _system(address)
    how: dict[str, Any] = {"block_size": BLOCK, "cache_type": cache}
    with _told(address):
        file = system.open(path, "rb", **how, size=known.size)
    if hasattr(file, "read_kw"):  # s3fs's, which does so itself where it asks first
        told = {"name": path, "type": "file", "ETag": known.version}
        file.details = {**told, "size": known.size}
        file.read_kw = {**file.read_kw, "IfMatch": known.version}
    return cast(BinaryIO, file)


def part_of(address: str, begin: int, end: int) -> bytes:
    """Return some bytes of an object.

    Raises:
        FileNotFoundError: if it is gone.
        InputError: if the store does not answer.
    """
    system, path = _system(address)
    with _told(address):
        return cast(bytes, system.cat_file(path, start=begin, end=end))


def send(file: Path, address: str) -> None:
    """Put a file in a store; it appears whole or not at all.

    Raises:
        DiskFullError: if there is no such bucket, or no right to write to it, so that
            nothing more can be written there.
        InputError: if the store does not answer.
    """
    system, path = _system(address)
    scheme = address.partition("://")[0]
    try:
        with _told(address):
            if scheme in _WHOLE:
                system.put_file(str(file), path)
                return
            folder, _, name = path.rpartition("/")
            mark = f"{zlib.crc32(os.fsencode(name)):08x}"
            beside = f"{folder}/.{mark}.{HOST}-{os.getpid()}.part"
            system.makedirs(folder, exist_ok=True)
            system.put_file(str(file), beside)
            system.mv(beside, path)
    except FileNotFoundError:
        raise DiskFullError(f"{address}: {_NO_BUCKET}") from None
    except _RefusedError as error:
        raise DiskFullError(str(error)) from None


def remove(address: str) -> None:
    """Remove an object; it may be gone already.

    Raises:
        InputError: if that is not allowed, or the store does not answer.
    """
    system, path = _system(address)
    with suppress(FileNotFoundError), _told(address):
        system.rm_file(path)


_NO_BUCKET = "there is no such bucket; make it, or correct the address"


def _changed(address: str) -> str:
    return (
        f"{address} was changed while it was read; run the same command again once it "
        "is whole"
    )


def _known(entry: dict[str, Any]) -> Known:
    if entry.get("type") == "directory":
        return FOLDER
    told = next((entry[key] for key in _VERSIONS if entry.get(key)), "")
    if isinstance(told, datetime):  # some write a time in two ways
        told = told.timestamp()
    return Known(int(entry.get("size") or 0), str(told))


def _system(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and its path there."""
    scheme, _, rest = address.partition("://")
    # A store's buckets share its connections; a host has its own.
    host = "" if scheme in _WHOLE else rest.partition("/")[0]
    key = os.getpid(), f"{scheme}://{host}"  # after a fork none of them works any more
    with _guard:
        if key not in _systems:
            _systems[key] = _new_system(address)
    system = _systems[key]
    # Others write there too: what was listed once is not believed later.
    system.invalidate_cache()
    return system, cast(str, system._strip_protocol(address))


def _new_system(address: str) -> Any:
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise ProgramMissingError(
            f"{address} is read by fsspec, which is not installed: pip install "
            "'fmrgb[cloud]'"
        ) from None
    try:
        return url_to_fs(address)[0]
    except ImportError as error:  # fsspec names the package
        raise ProgramMissingError(
            f"{address}: {str(error).rstrip('.')}; s3:// comes with pip install "
            "'fmrgb[cloud]'"
        ) from None
    except ValueError:
        raise InputError(
            f"{address}: expected an address that fsspec knows, like s3:// or gs://"
        ) from None
    except Exception as error:
        raise _fault(error, _code(error), address) from None


@contextmanager
def _told(address: str) -> Iterator[None]:
    """Turn a store's faults into one line without anything secret.

    Raises:
        FileNotFoundError: if there is no such object.
        InputError: for anything else.
    """
    try:
        yield
    except (FmrgbError, ImportError):
        raise
    except Exception as error:
        code = _code(error)
        if code == "NoSuchBucket":
            raise _RefusedError(f"{address}: {_NO_BUCKET}") from None
        if isinstance(error, FileNotFoundError):
            no_such = os.strerror(errno.ENOENT)
            raise FileNotFoundError(errno.ENOENT, no_such, address) from None
        raise _fault(error, code, address) from None


def _fault(error: Exception, code: str, address: str) -> Exception:
    kind = type(error).__name__
    if kind == "FileExpired" or code == "PreconditionFailed":
        return InputError(_changed(address))
    if isinstance(error, PermissionError) or any(part in kind for part in _KEYLESS):
        return _RefusedError(
            f"{address}: access denied ({code or kind}); check the credentials, from "
            "the environment, the files of your user or the machine's role, and what "
            "they allow"
        )
    return InputError(
        f"{address} does not answer as it should ({code or kind}); check the network "
        "and the endpoint (AWS_ENDPOINT_URL for s3://), and run the same command "
        "again: it goes on where it stopped"
    )


def _code(error: BaseException | None) -> str:
    """Return the word by which a store names a fault, if it gave one."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        error = error.__cause__ or error.__context__
    return ""
