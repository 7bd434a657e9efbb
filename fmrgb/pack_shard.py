"""From samples to one shard, which is read again before anybody is told of it."""

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zipfile import is_zipfile

from fmrgb.cleanup import prove_whole
from fmrgb.errors import SampleError
from fmrgb.files import HASH_CHUNK, shown, whole_file
from fmrgb.ondisk import on_disk
from fmrgb.packed import TEXT, forget, members, open_tar, stretch_of
from fmrgb.sample import load_sample

BLOCK, RECORD = tarfile.BLOCKSIZE, tarfile.RECORDSIZE  # bytes


class Item(NamedTuple):
    """A sample that is to be packed."""

    path: Path
    name: str  # in its shard
    n_bytes: int
    number: int  # of its line in the table


Job = tuple[Path, list[Item]]  # a shard and what it is to hold


class Shard(NamedTuple):
    """What became of a shard."""

    held: list[Item]
    failed: dict[Path, str]
    n_bytes: int
    is_new: bool


def _head(item: Item) -> tarfile.TarInfo:
    """Return what stands before a sample: nothing that differs between machines."""
    head = tarfile.TarInfo(item.name)  # of 1970, and nobody's
    head.size = item.n_bytes
    return head


def bytes_in_tar(item: Item) -> int:
    """Return what a sample takes of a shard, in bytes."""
    head = _head(item).tobuf(tarfile.PAX_FORMAT, *TEXT)
    return len(head) + -(-item.n_bytes // BLOCK) * BLOCK


def rounded(n_bytes: int) -> int:
    """Return how long a tar of so many bytes is with its end."""
    return -(-(n_bytes + 2 * BLOCK) // RECORD) * RECORD


def make_shard(job: Job) -> Shard:
    """Write one shard, unless it is there and as it should be.

    Raises:
        SampleError: if samples were changed meanwhile, or cannot be read again.
    """
    path, items = job
    sums: dict[str, str] = {}
    failed: dict[Path, str] = {}
    for item in items:
        try:
            _prove(item.path)
            with _opened(item.path) as file:
                sums[item.name] = _sum(file, file.tell(), item.n_bytes)
        except (SampleError, OSError) as error:
            failed[item.path] = str(error)
    held = [item for item in items if item.name in sums]
    if not held:
        path.unlink(missing_ok=True)
        return Shard([], failed, 0, False)
    is_new = not (path.is_file() and _is_as_wanted(path, held, sums))
    if is_new:
        with whole_file(path) as part:
            _write(part, held)
            if not _is_as_wanted(part, held, sums):
                raise SampleError(
                    f"{shown(path)} is not what was written to it, or its samples were "
                    "changed meanwhile; run the same command again"
                )
    return Shard(held, failed, path.stat().st_size, is_new)


def _prove(path: Path) -> None:
    """Raise SampleError if a sample cannot be read to its end."""
    load_sample(path)
    lies = stretch_of(path)
    with on_disk(lies.file) as file:
        # Torch's older format carries no checksums; to open it is to read all of it.
        if lies.size is None and is_zipfile(file):
            prove_whole(file)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open the file that a sample lies in, at its first byte."""
    lies = stretch_of(path)
    with on_disk(lies.file) as local, open(local, "rb") as file:
        file.seek(lies.start)
        yield file


def _write(path: Path, items: Sequence[Item]) -> None:
    with open(path, "wb") as shard, open_tar(shard, "w") as tar:
        for item in items:
            with _opened(item.path) as file:
                tar.addfile(_head(item), file)
            forget(tar)


def _is_as_wanted(path: Path, items: Sequence[Item], sums: dict[str, str]) -> bool:
    """Read a shard again: are these samples in it, in this order, and nothing else?"""
    there = members(path)
    wanted = [(item.name, item.n_bytes) for item in items]
    if [(name, size) for name, (_, size) in there.items()] != wanted:
        return False
    if path.stat().st_size != rounded(sum(map(bytes_in_tar, items))):
        return False
    with on_disk(path) as local, open(local, "rb") as file:
        return all(_sum(file, *there[name]) == sums[name] for name in there)


def _sum(file: BinaryIO, start: int, size: int) -> str:
    """Return the SHA-256 of a part of a file."""
    digest = hashlib.sha256()
    file.seek(start)
    while size and (chunk := file.read(min(HASH_CHUNK, size))):
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest()
