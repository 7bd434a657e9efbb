"""The boxes of an mp4: where they begin and end, and what they are made to say."""

from collections import Counter
from dataclasses import dataclass

# Boxes that hold boxes, and how many bytes of their own come before those.
HOLDERS = {
    **dict.fromkeys(
        ("moov", "trak", "mdia", "minf", "stbl", "edts", "dinf", "udta"), 0
    ),
    **dict.fromkeys(("moof", "traf", "mvex", "mfra"), 0),
    **{"stsd": 8, "dref": 8, "avc1": 78, "mp4a": 28},
}


@dataclass(frozen=True)
class Box:
    """One box: its path, like moov/trak1/tkhd, and its bytes' places in the file."""

    path: str
    start: int  # of its size and name
    body: int  # of what it holds
    end: int


def boxes(data: bytes) -> list[Box]:
    """List all boxes of an mp4, each before the boxes in it."""
    return _inside(data, 0, len(data), "")


def _inside(data: bytes, start: int, end: int, path: str) -> list[Box]:
    found: list[Box] = []
    names: Counter[str] = Counter()
    while start + 8 <= end:
        size = int.from_bytes(data[start : start + 4], "big")
        kind = data[start + 4 : start + 8].decode("latin-1")
        last = min(start + size, end) if size >= 8 else end
        number = f"{names[kind]}" if kind in ("trak", "moof", "traf") else ""
        names[kind] += 1
        box = Box(f"{path}{kind}{number}", start, start + 8, last)
        found.append(box)
        if kind in HOLDERS:
            inner = box.body + HOLDERS[kind]
            found += _inside(data, inner, last, f"{box.path}/")
        start = last
    return found


def box(data: bytes, path: str) -> Box:
    """Return the box of a path; only its end need be given, like trak1/tkhd."""
    return next(b for b in boxes(data) if f"/{b.path}".endswith(f"/{path}"))


def put(data: bytes, path: str, at: int, new: bytes) -> bytes:
    """Write bytes over those `at` so many bytes after a box's own head."""
    place = box(data, path).body + at
    return data[:place] + new + data[place + len(new) :]


def number(data: bytes, path: str, at: int, value: int, size: int = 4) -> bytes:
    """Write a number, of either sign, into a box."""
    return put(data, path, at, (value % (1 << 8 * size)).to_bytes(size, "big"))


def rename(data: bytes, path: str, kind: bytes) -> bytes:
    """Give a box another name."""
    return put(data, path, -4, kind)


def resize(data: bytes, path: str, size: int) -> bytes:
    """Make a box tell another size than it has."""
    return number(data, path, -8, size)
