"""Items that were clean once: cut short, with bits flipped, with lying headers."""

import random
import zlib
from collections.abc import Callable, Iterator, Sequence

import boxes
from items import Item, Outcome, Shelf, damaged

HUGE = 2**32 - 1
PARTS = "moov/trak0/mdia/minf/stbl"


def spoilt(shelf: Shelf) -> Iterator[Item]:
    """Yield every item that is damaged."""
    for kind in (_cut, _flipped, _edited, _swapped):
        yield from kind(shelf)


def _cut(shelf: Shelf) -> Iterator[Item]:
    """Cut files short: an mp4 before and inside every box, others at every tenth."""
    for kind in ("front", "back", "frag"):
        data = shelf.bytes_of(f"{kind}.mp4")
        cuts = {b.start: f"before {b.path}" for b in boxes.boxes(data)}
        cuts |= {(b.start + b.end) // 2: f"inside {b.path}" for b in boxes.boxes(data)}
        tail = boxes.box(data, "udta").start if kind == "back" else len(data)
        for at, where in sorted(cuts.items()):
            if not at:
                continue
            # Fragments stand alone, and names and dates may go without harm.
            whole = kind == "frag" or at >= tail
            yield damaged(
                f"cut_{kind}_{at}.mp4",
                f"cut {where}",
                lambda data=data, at=at: data[:at],
                "either" if whole else "refused",
            )
    for name in ("back.mkv", "back.webm", "back.avi", "back.mov"):
        data = shelf.bytes_of(name)
        for tenth in range(1, 10):
            at = len(data) * tenth // 10
            suffix = name.partition(".")[2]
            yield damaged(
                f"cut_{suffix}_{tenth}.{suffix}",
                f"{tenth} tenths of an {suffix}",
                lambda data=data, at=at: data[:at],
                "refused",
            )


def _flipped(shelf: Shelf) -> Iterator[Item]:
    """Turn bits over, in the pictures and sound and in what describes them."""
    for name, where, n in (
        ("moving.mp4", "mdat", 40),
        ("front.mp4", "moov", 40),
        ("frag.mp4", "moof0", 15),
        ("back.mkv", "", 15),
        ("back.webm", "", 10),
        ("back.avi", "", 10),
    ):
        data = shelf.bytes_of(name)
        start, end = 0, len(data)
        if where:
            found = boxes.box(data, where)
            start, end = found.body, found.end
        for k in range(n):
            stem, _, suffix = name.partition(".")
            item = f"flip_{stem}_{suffix}_{where}{k}.{suffix}"
            spoilt = _with_flips(data, start, end, item)
            fault = f"bits flipped in {where or suffix}"
            yield damaged(item, fault, spoilt, "either")


def _with_flips(data: bytes, start: int, end: int, seed: str) -> Callable[[], bytes]:
    def spoil() -> bytes:
        rng = random.Random(zlib.crc32(seed.encode()))
        spoilt = bytearray(data)
        for _ in range(3):
            spoilt[rng.randrange(start, end)] ^= 1 << rng.randrange(8)
        return bytes(spoilt)

    return spoil


# Box, place in it, bytes of the number, numbers, outcome.
EDITS: Sequence[tuple[str, int, int, Sequence[int], Outcome]] = (
    ("mvhd", 12, 4, (0, 1, HUGE), "either"),  # time scale
    ("mvhd", 16, 4, (0, 1, 1_000_000, HUGE), "either"),  # duration
    ("trak0/tkhd", 20, 4, (0, 1, 1_000_000, HUGE), "either"),  # duration
    ("trak0/tkhd", 12, 4, (0, 2, HUGE), "either"),  # number of the track
    ("trak0/tkhd", 76, 4, (0, HUGE), "either"),  # width on screen
    ("trak0/tkhd", 80, 4, (0, HUGE), "either"),  # height on screen
    ("trak0/tkhd", 40, 4, (0, 0x80000000, HUGE), "either"),  # matrix
    ("trak0/mdia/mdhd", 12, 4, (0, 1, HUGE), "either"),
    ("trak0/mdia/mdhd", 16, 4, (0, 1_000_000, HUGE), "either"),
    ("trak1/mdia/mdhd", 12, 4, (0, 1, HUGE), "either"),
    ("trak1/mdia/mdhd", 16, 4, (0, HUGE), "either"),
    ("avc1", 24, 2, (0, 1, 65535), "either"),  # width
    ("avc1", 26, 2, (0, 1, 65535), "either"),  # height
    ("mp4a", 16, 2, (0, 255, 65535), "either"),  # channels
    ("mp4a", 24, 4, (0, 1 << 16, HUGE), "either"),  # rate
    ("avcC", 0, 1, (0, 255), "either"),
    ("avcC", 4, 1, (0xFC, 0xFD), "either"),  # how long a length is
    ("avcC", 6, 2, (0, 65535), "either"),  # length of the parameter set
    ("esds", 4, 4, (0, HUGE), "either"),
    ("trak0/edts/elst", 4, 4, (0, 2, HUGE), "either"),  # number of edits
    ("trak0/edts/elst", 8, 4, (0, 1, HUGE), "either"),  # length of the edit
    ("trak0/edts/elst", 12, 4, (-1, -1000, 0x7FFFFFFF), "either"),  # its first time
    ("trak0/edts/elst", 16, 4, (0, 0x7FFF0000), "either"),  # its pace
    (f"{PARTS}/stts", 4, 4, (0, 1000, HUGE), "either"),
    (f"{PARTS}/stts", 8, 4, (0, 1, 1_000_000, HUGE), "either"),  # how many
    (f"{PARTS}/stts", 12, 4, (0, -1, -1000, 0x7FFFFFFF), "either"),  # how long
    (f"{PARTS}/stsc", 4, 4, (0, HUGE), "either"),
    (f"{PARTS}/stsc", 8, 4, (0, HUGE), "either"),  # first chunk
    (f"{PARTS}/stsc", 12, 4, (0, 1_000_000, HUGE), "either"),  # samples in a chunk
    (f"{PARTS}/stsc", 16, 4, (0, HUGE), "either"),  # which description
    (f"{PARTS}/stsz", 4, 4, (1, 1_000_000, HUGE), "either"),  # size of all samples
    (f"{PARTS}/stsz", 8, 4, (0, 1_000_000, HUGE), "either"),  # number of samples
    (f"{PARTS}/stsz", 12, 4, (0, 1_000_000, HUGE), "either"),  # size of the first
    (f"{PARTS}/stco", 4, 4, (0, 1_000_000, HUGE), "either"),
    (f"{PARTS}/stco", 8, 4, (0, HUGE), "either"),  # where the first chunk lies
)


def _edited(shelf: Shelf) -> Iterator[Item]:
    """Have the header tell times, sizes and places that cannot be."""
    data = shelf.bytes_of("front.mp4")
    for path, at, size, values, outcome in EDITS:
        for value in values:
            yield damaged(
                f"edit_{path.replace('/', '.')}_{at}_{value}.mp4",
                f"{value} in {path}",
                lambda p=path, a=at, v=value, s=size: boxes.number(data, p, a, v, s),
                outcome,
            )


def _swapped(shelf: Shelf) -> Iterator[Item]:
    """Take boxes away, give them other names and sizes, and swap the tracks."""
    data = shelf.bytes_of("front.mp4")
    for found in boxes.boxes(data):
        yield damaged(
            f"without_{found.path.replace('/', '.')}.mp4",
            f"no {found.path}",
            lambda path=found.path: boxes.rename(data, path, b"free"),
            "either",
        )
    for path in ("ftyp", "moov", "trak0", "stbl", "stsd", "avc1", "mdat"):
        for size in (0, 1, 7, HUGE):
            yield damaged(
                f"size_{path}_{size}.mp4",
                f"{path} of {size} bytes",
                lambda path=path, size=size: boxes.resize(data, path, size),
                "either",
            )
    for path, kind in (
        *(("avc1", b"hvc1"), ("avc1", b"av01"), ("avc1", b"XXXX"), ("avc1", b"png ")),
        *(("mp4a", b"alac"), ("mp4a", b"XXXX"), ("mp4a", b"twos"), ("avc1", b"mp4a")),
    ):
        yield damaged(
            f"coded_{path}_{kind.decode().strip()}.mp4",
            f"{path} that calls itself {kind.decode()}",
            lambda path=path, kind=kind: boxes.rename(data, path, kind),
            "either",
        )
    for first, second in ((b"soun", b"vide"), (b"text", b"text"), (b"soun", b"soun")):
        yield damaged(
            f"swapped_{first.decode()}_{second.decode()}.mp4",
            f"tracks that call themselves {first.decode()} and {second.decode()}",
            lambda first=first, second=second: _handlers(data, first, second),
            "either" if b"text" in (first, second) else "refused",
        )


def _handlers(data: bytes, first: bytes, second: bytes) -> bytes:
    data = boxes.put(data, "trak0/mdia/hdlr", 8, first)
    return boxes.put(data, "trak1/mdia/hdlr", 8, second)
