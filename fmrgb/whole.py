"""From an opened media file to whether it holds all that it promises."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from fmrgb.errors import MediaError
from fmrgb.files import open_plain, shown

# What may lie behind the end of picture and sound: a rounded length.
MISSING_SHARE, MISSING_S = 0.05, 0.5
# Boxes of an mp4 without which something is missing; others hold names and dates.
_BOXES = (b"moov", b"moof", b"mdat")
_SEGMENT = b"\x18\x53\x80\x67"  # all of an mkv behind its first few bytes
_EBML_HEAD = 4096  # bytes in which it begins


def check_whole(
    container: Any, path: Path, end_s: float | None = None, *, picture: bool = True
) -> None:
    """Raise MediaError if the file promises more than it holds.

    By its own index and boxes, which must not point past the file's end, and, where
    `end_s` says how far picture and sound came, by the length that its header tells.
    Without `picture` only the sound was read.
    """
    size = path.stat().st_size
    needed = max(map(_indexed, container.streams), default=0)
    for kind, told in (("mov", _boxed), ("matroska", _segment)):
        if container.format.name.startswith(kind):
            needed = max(needed, told(path, size))
    if needed > size:
        raise MediaError(
            f"{shown(path)} is cut short: its index needs {needed} bytes, it has "
            f"{size}; copy or record it again"
        )
    promised_s = _promised_s(container, picture)
    if end_s is not None and end_s < promised_s * (1 - MISSING_SHARE) - MISSING_S:
        raise MediaError(
            f"{shown(path)} is cut short: its header tells {promised_s:.2f} s, picture "
            f"and sound end at {end_s:.2f} s; copy or record it again"
        )


def _indexed(stream: Any) -> int:
    """Return where the last packet that an index tells of ends, in bytes."""
    return max((e.pos + e.size for e in stream.index_entries or ()), default=0)


def _boxed(path: Path, size: int) -> int:
    """Return where the last of an mp4's own boxes ends that matters, in bytes.

    FFmpeg reads half a list of tracks without a word, and then misses one.
    """
    at = needed = 0
    with open_plain(path) as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:  # it stands, in eight bytes, behind the name
                length = int.from_bytes(head[8:], "big")
            if length < 8:  # to the end of the file, or nothing to go by
                break
            at += length
            if head[4:8] in _BOXES:
                needed = at
    return needed


def _segment(path: Path, size: int) -> int:
    """Return where the one segment of an mkv ends, in bytes; 0 if it does not tell."""
    with open_plain(path) as file:
        head = file.read(_EBML_HEAD)
    at = 4  # behind the name of the header
    length, width = _ebml_number(head, at)
    at += width + length
    if head[at : at + 4] != _SEGMENT:
        return 0
    length, width = _ebml_number(head, at + 4)
    # All ones: it was not known while it was written.
    return 0 if length == (1 << 7 * width) - 1 else at + 4 + width + length


def _ebml_number(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of variable width, and how many bytes it takes (RFC 8794, 4)."""
    first = data[at] if at < len(data) else 0
    width = 9 - first.bit_length()
    number = int.from_bytes(data[at : at + width], "big")
    return number & ((1 << 7 * width) - 1), width


def _promised_s(container: Any, picture: bool) -> float:
    """Return how long the header says that the tracks which are read last, in s."""
    pictures = [
        v
        for v in container.streams.video
        if picture and not v.disposition & Disposition.attached_pic
    ]
    read = [*pictures[:1], *container.streams.audio[:1]]
    if len(read) == len(container.streams):
        return float((container.duration or 0) / av.time_base)
    # Subtitles, or a second sound track, may well be longer.
    return max(map(_told_s, read), default=0.0)


def _told_s(stream: Any) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")
    minutes, _, seconds = rest.partition(":")
    try:
        told = timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))
    except (ValueError, OverflowError):  # it tells none, or nonsense
        return 0.0
    return told.total_seconds()
