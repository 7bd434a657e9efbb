"""Items that are not what they say: lists of other files, bombs, no files at all."""

import io
import os
import pickle
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import boxes
import numpy as np
from items import Item, Shelf, damaged

SECRET = "secret.mp4"  # lies beside the corpus; nothing in it may get at it


def lying(shelf: Shelf, folder: Path, canary: str) -> Iterator[Item]:
    """Yield every item that is not what it says.

    `folder` holds a clip that no item may get at; `canary` is a server that must never
    be asked.
    """
    secret = folder / SECRET
    secret.write_bytes(shelf.bytes_of("back.mp4"))
    yield from _lists(secret, canary)
    yield from _strangers(shelf)
    yield from _bombs(shelf)
    yield from _no_files(secret)
    yield from _names(shelf)


def _lists(secret: Path, canary: str) -> Iterator[Item]:
    """Yield lists that lead elsewhere, under the names of clips."""
    for kind, address in (("file", secret), ("http", f"{canary}/x.mp4")):
        hls = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
        texts = {
            "hls": hls,
            "concat": "ffconcat version 1.0\nfile '{}'\n",
            "dash": "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011' "
            "type='static' mediaPresentationDuration='PT1S'><Period><AdaptationSet "
            "mimeType='video/mp4'><Representation id='1' bandwidth='1' width='48' "
            "height='32' codecs='avc1.42c00a'><BaseURL>{}</BaseURL></Representation>"
            "</AdaptationSet></Period></MPD>",
            "asx": "<asx version='3.0'><entry><ref href='{}'/></entry></asx>",
            "rtsp": "RTSPtext\nrtsp://127.0.0.1/{}",
            "svg": "<svg xmlns='http://www.w3.org/2000/svg'><image href='{}'/></svg>",
            "script": "import('{0}', video=true)\nAVISource('{0}')\n",
            "imf": "<?xml version='1.0'?><CompositionPlaylist xmlns='http://www.smpte-"
            "ra.org/schemas/2067-3/2016'><Id>{}</Id></CompositionPlaylist>",
        }
        for name, text in texts.items():
            for suffix in ("mp4", "mkv"):
                said = text.format(address).encode()
                yield damaged(
                    f"list_{name}_{kind}_{suffix}.{suffix}",
                    f"{name} that leads to a {kind}",
                    lambda said=said: said,
                    "refused",
                )
    sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    sdp += "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    yield damaged("list_sdp.mp4", "a session by SDP", sdp.encode, "refused")


def _strangers(shelf: Shelf) -> Iterator[Item]:
    """Yield files of other kinds under the names of clips."""
    noise = np.random.default_rng(0).bytes(1 << 16)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.mp4", bytes(1 << 24))
    contents = {
        "empty": b"",
        "one_byte": b"\0",
        "zeros": bytes(1 << 20),
        "noise": noise,
        "text": b"Dear diary,\n" * 500,
        "page": b"<html><script>alert(1)</script></html>",
        "shell": b"#!/bin/sh\ntouch executed\n",
        "pickle": pickle.dumps(_Touch("executed")),
        "zip": zipped.getvalue(),
        "id3": b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + noise,
        "ftyp": boxes_of((b"ftyp", b"isom\0\0\2\0isomiso2")),
        "rows": boxes_of(*[(b"moov", b"")] * 5000),
        "deep": _deep(b"moov", 3000),
        "ebml": b"\x1a\x45\xdf\xa3" + b"\xff" * 64,
        "riff": b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xffhdrl" + noise,
    }
    for name, content in contents.items():
        for suffix in ("mp4", "avi"):
            yield damaged(
                *(
                    f"stranger_{name}_{suffix}.{suffix}",
                    f"{name} by the name of a clip",
                ),
                *(lambda content=content: content, "refused"),
            )
    for source, name in (("back.webm", "webm.mp4"), ("back.mp4", "mp4.avi")):
        yield Item(
            f"renamed_{name}",
            f"{source} by another name",
            lambda path, source=source: path.write_bytes(shelf.bytes_of(source)),
            tolerance=24,
        )


class _Touch:
    """Unpickled, it would leave a file behind."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self._name}",)


def boxes_of(*parts: tuple[bytes, bytes]) -> bytes:
    """Return boxes of these names that hold these bytes."""
    return b"".join(struct.pack(">I", len(b) + 8) + k + b for k, b in parts)


def _deep(kind: bytes, levels: int) -> bytes:
    held = b""
    for _ in range(levels):
        held = boxes_of((kind, held))
    return boxes_of((b"ftyp", b"isom\0\0\2\0isom")) + held


def _bombs(shelf: Shelf) -> Iterator[Item]:
    """Yield small files that ask for much."""
    yield damaged(
        "bomb_png.mov",
        "a picture of 30000x30000 pixels",
        lambda: _bigger_png(shelf.bytes_of("png.mov"), 30_000),
        "refused",
    )
    yield damaged(
        "bomb_vp8.webm",
        "a picture of 16383x16383 pixels",
        lambda: _bigger_vp8(shelf.bytes_of("back.webm"), 16_383),
        "refused",
    )
    yield damaged(
        "bomb_mjpeg.avi",
        "a picture of 20000x20000 pixels",
        lambda: _bigger_jpeg(shelf.bytes_of("back.avi"), 20_000),
        "refused",
    )
    squeezed = boxes_of(
        (b"dcom", b"zlib"), (b"cmvd", b"\xef\xff\xff\xff" + zlib.compress(bytes(9**7)))
    )
    yield damaged(
        "bomb_header.mov",
        "a header that grows to 4 GB",
        lambda: boxes_of(
            (b"ftyp", b"qt  \0\0\2\0qt  "), (b"moov", boxes_of((b"cmov", squeezed)))
        ),
        "refused",
    )
    yield damaged(
        "bomb_frames.avi",
        "a header of four billion frames",
        lambda: _more_frames(shelf.bytes_of("back.avi")),
        "either",
    )
    yield damaged(
        "bomb_samples.mp4",
        "200000 frames that are one and the same",
        lambda: _repeated(shelf.bytes_of("back.mp4"), 200_000),
        "either",
    )


def _bigger_png(data: bytes, side: int) -> bytes:
    at = data.index(b"IHDR")
    while at >= 0:
        head = b"IHDR" + struct.pack(">II", side, side) + data[at + 12 : at + 17]
        data = data[:at] + head + struct.pack(">I", zlib.crc32(head)) + data[at + 21 :]
        at = data.find(b"IHDR", at + 1)
    return data


def _bigger_vp8(data: bytes, side: int) -> bytes:
    parts = data.split(b"\x9d\x01\x2a")
    return b"\x9d\x01\x2a".join(
        [parts[0], *(struct.pack("<HH", side, side) + part[4:] for part in parts[1:])]
    )


def _bigger_jpeg(data: bytes, side: int) -> bytes:
    parts = data.split(b"\xff\xc0\0\x11\x08")
    return b"\xff\xc0\0\x11\x08".join(
        [parts[0], *(struct.pack(">HH", side, side) + part[4:] for part in parts[1:])]
    )


def _more_frames(data: bytes) -> bytes:
    avih, strh = data.index(b"avih") + 8, data.index(b"strh") + 8
    for at in (avih + 16, strh + 32):
        data = data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]
    return data


def _repeated(data: bytes, n: int) -> bytes:
    """Have one chunk's place told n times; the header is last, so places stay."""
    table = "trak0/mdia/minf/stbl"
    place = boxes.box(data, f"{table}/stco").body + 8
    first = data[place : place + 4]
    size = boxes.box(data, f"{table}/stsz").body + 12
    new = {
        "stco": struct.pack(">II", 0, n) + first * n,
        "stsz": struct.pack(">III", 0, int.from_bytes(data[size : size + 4], "big"), n),
        "stsc": struct.pack(">IIIII", 0, 1, 1, 1, 1),
        "stts": struct.pack(">IIII", 0, 1, n, 1024),
    }
    for name, held in new.items():
        found = boxes.box(data, f"{table}/{name}")
        grown = len(held) - (found.end - found.body)
        data = data[: found.body] + held + data[found.end :]
        for holder in ("moov", "trak0", "mdia", "minf", "stbl", name):
            path = next(b for b in boxes.boxes(data) if b.path.endswith(holder))
            data = boxes.resize(data, path.path, path.end - path.start + grown)
    return data


def _no_files(secret: Path) -> Iterator[Item]:
    """Yield things in a folder that are no ordinary files."""
    made: dict[str, Callable[[Path], object]] = {
        "pipe": os.mkfifo,
        "socket": _socket,
        "endless": lambda path: path.symlink_to("/dev/zero"),
        "random": lambda path: path.symlink_to("/dev/urandom"),
        "nothing": lambda path: path.symlink_to("/dev/null"),
        "dangling": lambda path: path.symlink_to(secret.with_name("gone.mp4")),
        "circle": lambda path: path.symlink_to(path),
    }
    for name, write in made.items():
        gone = damaged(f"no_file_{name}.mp4", name, bytes, "refused")
        yield Item(**{**vars(gone), "write": write})


def _socket(path: Path) -> None:
    # Its path may have a hundred letters only; the folder's own is left out.
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


def _names(shelf: Shelf) -> Iterator[Item]:
    """Yield good clips by names that a careless program would obey."""
    for name in (
        *("concat:a|b.mp4", "http:evil.mp4", "-y.mp4", "pipe:0.mp4", "file:x.mp4"),
        *("with 'quotes' and $(touch executed).mp4", "`touch executed`.mp4"),
        *("; touch executed;.mp4", "&& touch executed.mp4", "new\nline.mp4"),
        *("%d.mp4", "*.mp4", "subfile,,start,0,end,9,,:x.mp4", "tee:x.mp4"),
        *('"q",=cmd()+1.mp4', "=1+1.mp4", "{{7*7}}.mp4", "é映🎬.mp4"),
        *("x" * 240 + ".mp4", " .mp4", "a\\b.mp4", "\x1b[31mred.mp4"),
        os.fsdecode(b"not \xff utf-8.mp4"),
    ):
        yield Item(
            name,
            "a name that might be obeyed",
            lambda path: path.write_bytes(shelf.bytes_of("back.mp4")),
        )
