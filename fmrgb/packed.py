"""From the name of a packed sample to the stretch of its shard that holds it.

A shard is a tar (POSIX.1-2001) of samples as they are, uncompressed: what WebDataset
calls a shard. A sample in it is named like a file in a folder, `shard.tar/label/x.pt`,
and is read from where it lies.
"""

import io
import tarfile
from functools import lru_cache
from pathlib import Path
from typing import IO, Literal, NamedTuple

from fmrgb.errors import SampleError
from fmrgb.files import Stamp, shown, special, stamp
from fmrgb.ondisk import on_disk

SHARD = ".tar"  # how the names of shards end
MOST_SHARDS = 256  # whose contents are remembered
LONGEST_HEADER = 64 * 2**10  # bytes; of a name of any length that a disk takes, one
TEXT = ("utf-8", "surrogateescape")  # how names are written in a shard


class Stretch(NamedTuple):
    """Where the bytes of a sample lie: a whole file, or a part of a shard."""

    file: Path
    start: int = 0  # byte
    size: int | None = None  # bytes; None is all the rest


def shard_of(path: Path) -> tuple[Path, str] | None:
    """Return the shard that a sample is packed in, and its name there.

    Args:
        path: of a sample; `shard.tar/label/x.pt` if it is packed.

    Returns:
        None if it is a file of its own. A folder may be called `x.tar` as well.
    """
    text = path.as_posix()
    end = text.find(f"{SHARD}/")
    while end >= 0:
        end += len(SHARD)
        name = text[end + 1 :]
        shard = _same(path.parents[name.count("/")])
        if not shard.is_dir():
            return shard, name
        end = text.find(f"{SHARD}/", end)
    return None


@lru_cache(MOST_SHARDS)
def _same(shard: Path) -> Path:
    return shard  # the first of its equals: an address remembers what the store told


def stretch_of(path: Path) -> Stretch:
    """Return where the bytes of a sample lie.

    All reading of shards comes through here.

    Raises:
        SampleError: if its shard is not there, or does not hold it.
    """
    packed = shard_of(path)
    if packed is None:
        return Stretch(path)
    shard, name = packed
    if kind := special(shard):
        raise SampleError(f"{shown(shard)} is a {kind}, not a file; leave it out")
    try:
        held = _members(shard, stamp(shard))
    except OSError as error:
        raise SampleError(
            f"cannot read {shown(shard)}, which holds {shown(name)}: {error.strerror}"
        ) from error
    if name not in held:
        raise SampleError(
            f"{shown(shard)} holds no {shown(name)}: it is cut short, damaged or of "
            "another set; run fmrgb pack again"
        )
    start, size = held[name]
    return Stretch(shard, start, size)


def members(shard: Path) -> dict[str, tuple[int, int]]:
    """Return the place and bytes of every file in a shard, in the order they lie.

    Of one that is cut short or damaged, those before the damage.

    Raises:
        OSError: if there is no such shard.
    """
    return _members(shard, stamp(shard))


def open_tar(file: IO[bytes], mode: Literal["r", "w"] = "r") -> tarfile.TarFile:
    """Open a tar, which no program packed, to be read or written."""
    encoding, errors = TEXT
    return tarfile.TarFile(
        fileobj=file,
        mode=mode,
        format=tarfile.PAX_FORMAT,
        encoding=encoding,
        errors=errors,
    )


def forget(tar: tarfile.TarFile) -> None:
    """Let go of what a tar remembers of its members: 2 kB each."""
    tar.members = []  # type: ignore[attr-defined]


class _Heads(io.FileIO):
    """A tar of which only headers are read, none of them without end."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read a header's bytes.

        Raises:
            ValueError: if they are too many.
        """
        if size is None or not 0 <= size <= LONGEST_HEADER:
            raise ValueError("a header without end")
        return super().read(size) or b""


@lru_cache(MOST_SHARDS)
def _members(shard: Path, _stamp: Stamp) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    with on_disk(shard) as local, _Heads(local) as file:
        try:
            with open_tar(file) as tar:
                before = -1
                # A size below 0 would lead back, and so on for ever.
                while (head := tar.next()) and head.offset > before and head.size >= 0:
                    before = head.offset
                    if head.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
                        found[head.name] = (head.offset_data, head.size)
                    forget(tar)
        except OSError:
            raise
        except Exception:  # damaged bytes make tarfile raise anything at all
            return found
    return found
