"""From a file or a live address to decoded frames and sound, as they come."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from fmrgb import media
from fmrgb.errors import MediaError, NoPictureError
from fmrgb.files import shown
from fmrgb.tracks import duration_s
from fmrgb.whole import check_whole

Frame = av.VideoFrame | av.AudioFrame

# What an address may lead to; never "file", so that no playlist reads the user's own.
_NETWORK = "http,https,tcp,tls,udp,rtp,rtsp,srtp,crypto,httpproxy"
_DEVICES = ("v4l2", "avfoundation", "dshow", "lavfi")
_ADDRESS = re.compile(r"^(rtsps?|https?|udp|rtp|tcp|" + "|".join(_DEVICES) + r")://")
_SECRET = re.compile(r"(?<=://)[^/@\s]*@")  # name and password before a host
OPEN_S, READ_S = 10.0, 10.0  # s without a word after which a connection is given up
PROBE_US = "2000000"  # of a live stream that are looked at for its tracks


@dataclass(frozen=True)
class Stream:
    """Decoded frames and blocks of sound, in the order they come.

    Attributes:
        frames: iterates over them; raises MediaError where they cannot be decoded.
        fps: frames per second on average; None without a picture.
        has_sound: whether there is a sound track.
        seconds: how long it says it is; 0 where it says nothing.
    """

    frames: Iterator[Frame]
    fps: float | None
    has_sound: bool
    seconds: float


def is_address(target: str) -> bool:
    """Tell whether a target is a live address or a device, and no file."""
    return bool(_ADDRESS.match(target)) or target.startswith("/dev/video")


def without_secrets(address: str) -> str:
    """Return an address as it may be shown: without name and password."""
    return shown(_SECRET.sub("", address))


@contextmanager
def open_recording(path: Path, threads: int = 1) -> Iterator[Stream]:
    """Open a file to be decoded piece by piece.

    Args:
        path: a video or a sound file.
        threads: that decode its picture.

    Raises:
        MediaError: if it cannot be opened, or has neither picture nor sound.
    """
    with media.opened(path) as container:
        check_whole(container, path)
        try:
            video = media.picture_of(container, path, threads)
        except NoPictureError:
            video = None
            if not container.streams.audio:
                raise
        yield Stream(
            _to_its_end(container, video, path),
            media.fps_of(video) if video else None,
            bool(container.streams.audio),
            (container.duration or 0) / av.time_base,
        )


def _to_its_end(container: Any, video: Any, path: Path) -> Iterator[Frame]:
    """Yield a file's frames.

    Raises:
        MediaError: where they cannot be decoded, or if fewer come than were promised.
    """
    end, fps = 0.0, media.fps_of(video) if video else media.DEFAULT_FPS
    for frame in media.decode(container, video, path):
        if isinstance(frame, av.VideoFrame):
            lasts_s = duration_s(frame, fps)
        else:
            lasts_s = frame.samples / frame.sample_rate
        end = max(end, (frame.time or 0.0) + lasts_s)
        yield frame
    check_whole(container, path, end)


@contextmanager
def open_live(address: str) -> Iterator[Stream]:
    """Open a live address or a device; what arrives damaged is passed over.

    Raises:
        MediaError: if nothing answers, or what answers is no stream.
    """
    kind, source = _device(address)
    options = {"protocol_whitelist": _NETWORK, "analyzeduration": PROBE_US}
    if kind:
        options = {}
    elif address.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"
    try:
        container: Any = av.open(
            source, format=kind, options=options, timeout=(OPEN_S, READ_S)
        )
    except (OSError, ValueError) as error:  # FFmpeg's errors are OSErrors or these
        raise MediaError(
            f"{without_secrets(address)} does not answer with a stream: "
            f"{media.said(error)}"
        ) from error
    with container:
        video = next(iter(container.streams.video), None)
        if not video and not container.streams.audio:
            raise MediaError(
                f"{without_secrets(address)} has neither picture nor sound"
            )
        if video and video.codec_context is None:
            raise MediaError(
                f"{without_secrets(address)} sends a picture that is coded in a way "
                "that this FFmpeg does not know"
            )
        if video:
            video.codec_context.options = {"max_pixels": str(media.MAX_PIXELS)}
        yield Stream(
            _arriving(container, video, address),
            media.fps_of(video) if video else None,
            bool(container.streams.audio),
            (container.duration or 0) / av.time_base,
        )


def _device(address: str) -> tuple[str | None, str]:
    """Return FFmpeg's name for a kind of device, and the device's own."""
    if address.startswith("/dev/") and os.name == "posix":
        return "v4l2", address
    kind, _, name = address.partition("://")
    return (kind, name) if kind in _DEVICES else (None, address)


def _arriving(container: Any, video: Any, address: str) -> Iterator[Frame]:
    """Yield what arrives.

    Raises:
        MediaError: if the connection breaks.
    """
    streams = [*([video] if video else []), *container.streams.audio[:1]]
    try:
        for packet in container.demux(streams):
            try:
                yield from packet.decode()
            except av.InvalidDataError:  # who joins late misses the key frame
                continue
    except (av.FFmpegError, OSError) as error:
        raise MediaError(
            f"{without_secrets(address)} broke off: {media.said(error)}"
        ) from error
