"""From a media file to timed frames and sound.

The only module that reads media. Picture and sound come from one pass over the file.

Axes: T frames, H height, W width, S audio samples.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from fmrgb.errors import MediaError, NoPictureError
from fmrgb.files import shown
from fmrgb.tracks import Clip, Sound, SoundTrack, VideoTrack, duration_s

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")
SOUND_SUFFIXES = (".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus")
SOUND_RATE = 16_000  # Hz, where the user names no samples per frame
MIN_SOUND_RATE = 64  # Hz
DEFAULT_FPS = 25.0  # frames per second, where a file names none
MAX_FPS = 240.0  # a rate above this is the clock of the file, not that of its frames
# What may lie behind the end of picture and sound: subtitles, a rounded length.
MISSING_SHARE, MISSING_S = 0.05, 0.5
# Playlists and lists of other files are left out: a clip is one file.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2",
    *("matroska", "webm", "avi", "flv", "ogg", "mpegts", "mpeg", "asf"),
)
# Only where the name says so: they take almost any bytes for theirs.
_SOUND_FORMATS = ("wav", "mp3", "aac", "flac")


@dataclass(frozen=True)
class Header:
    """What a file says of itself before anything is decoded."""

    width: int  # pixels, before rotation
    height: int  # pixels, before rotation
    fps: float  # frames per second, on average
    frames: int  # packets of the picture
    seconds: float
    has_sound: bool


@dataclass(frozen=True)
class Decoded:
    """What came out of a file that was decoded from its first to its last packet."""

    frames: int
    seconds: float  # from the first frame to the end of the last one
    sound_seconds: float  # 0 without a sound track
    has_sound: bool


def read_header(path: Path) -> Header:
    """Read what a file says of itself; decode nothing.

    Raises:
        MediaError: if it cannot be opened or has no picture.
    """
    with opened(path) as container:
        video = picture_of(container, path)
        seconds = _seconds(container, video)
        n_frames = video.frames or sum(1 for p in container.demux(video) if p.size)
        check_whole(container, path)
        if not n_frames:
            raise MediaError(f"{shown(path)} holds no frame; record it again")
        return Header(
            width=video.codec_context.width,
            height=video.codec_context.height,
            fps=fps_of(video),
            frames=n_frames,
            seconds=seconds or n_frames / fps_of(video),
            has_sound=bool(container.streams.audio),
        )


def read_clip(
    path: Path,
    *,
    size: tuple[int, int] | None = None,
    skip: int = 1,
    samples_per_frame: int | None = None,
    scratch: Path | None = None,
) -> Clip:
    """Decode picture and sound in one pass.

    Args:
        path: an mp4, mov, mkv, webm or avi with a picture, with or without sound.
        size: (width, height) in pixels that frames are scaled to while decoding; None
            keeps the clip's own. Meant as displayed, after rotation.
        skip: keep one frame in this many; a kept one owns the sound of those left out.
        samples_per_frame: sound is resampled to `round(fps * samples_per_frame)` Hz;
            None means 16 kHz.
        scratch: folder for what outgrows memory.

    Raises:
        MediaError: if the file is not whole, has no picture or cannot be decoded.
        DiskFullError: if what outgrows memory does not fit on the disk.
    """
    with opened(path) as container:
        video = picture_of(container, path)
        fps = fps_of(video)
        rate = sound_rate(fps, samples_per_frame)
        seen = VideoTrack(fps, size=size, skip=skip, scratch=scratch)
        heard = SoundTrack(rate, scratch=scratch, name=shown(path))
        for frame in decode(container, video, path):
            if isinstance(frame, av.VideoFrame):
                seen.add(frame)
            else:
                heard.add(frame)
        check_whole(container, path, max(seen.end, heard.end))
        if not seen.starts:
            raise MediaError(f"{shown(path)}: no frame could be decoded")
        has_sound = bool(container.streams.audio)
        return seen.clip(heard.sound() if has_sound else None)


def read_sound(path: Path, *, rate: int, scratch: Path | None = None) -> Sound:
    """Decode the sound of a file that may have no picture.

    Args:
        path: a sound file, or any that `read_clip` takes.
        rate: what the sound is resampled to, in Hz.
        scratch: folder for what outgrows memory.

    Raises:
        MediaError: if the file is not whole, has no sound or cannot be decoded.
    """
    with opened(path) as container:
        heard = SoundTrack(rate, scratch=scratch, name=shown(path))
        for block in decode(container, None, path):
            heard.add(block)
        check_whole(container, path, heard.end)
        sound = heard.sound()
        if not len(sound.samples):
            raise MediaError(f"{shown(path)} has neither picture nor sound")
        return sound


def decode_to_end(path: Path) -> Decoded:
    """Decode every packet of picture and sound, keeping nothing.

    Raises:
        MediaError: if any part of the file cannot be decoded.
    """
    n_frames, first, seen, heard, end = 0, float("inf"), 0.0, 0.0, 0.0
    with opened(path) as container:
        video = picture_of(container, path)
        fps = fps_of(video)
        for frame in decode(container, video, path):
            if isinstance(frame, av.VideoFrame):
                n_frames += 1
                start = frame.time or 0.0
                first = min(first, start)
                seen = max(seen, start + duration_s(frame, fps))
                end = max(end, seen)
            else:
                heard += frame.samples / frame.sample_rate
                end = max(end, (frame.time or 0.0) + frame.samples / frame.sample_rate)
        check_whole(container, path, end)
        has_sound = bool(container.streams.audio)
    if not n_frames:
        raise MediaError(f"{shown(path)}: no frame could be decoded")
    return Decoded(n_frames, seen - first, heard, has_sound)


def sound_rate(fps: float, samples_per_frame: int | None) -> int:
    """Return the rate, in Hz, that sound is resampled to: `round(fps * N)`."""
    if samples_per_frame is None:
        return SOUND_RATE
    return max(MIN_SOUND_RATE, round(fps * samples_per_frame))


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file by its handle, so that its name is never read as a URL.

    Raises:
        MediaError: if it cannot be read, is empty or is no media file.
    """
    try:
        with open(path, "rb") as file:
            if not file.read(1):
                raise MediaError(f"{shown(path)} is empty (0 bytes); record it again")
            file.seek(0)
            try:
                container = av.open(
                    file, metadata_errors="replace", options=_only_this(path)
                )
            except (av.FFmpegError, ValueError) as error:
                raise MediaError(
                    f"{shown(path)} is not a video or lost its header: {said(error)}; "
                    "record or convert it again"
                ) from error
            with container:
                yield container
    except OSError as error:
        if isinstance(error, av.FFmpegError):
            raise MediaError(f"{shown(path)} cannot be read: {said(error)}") from error
        if error.filename is None:  # not about this file: the disk, say
            raise
        raise MediaError(f"{shown(path)} cannot be read: {error.strerror}") from error


def _only_this(path: Path) -> dict[str, str]:
    """Return FFmpeg's options by which it opens no other file and no playlist."""
    more = _SOUND_FORMATS if path.suffix.lower() in SOUND_SUFFIXES else ()
    return {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join((*_FORMATS, *more)),
    }


def said(error: Exception) -> str:
    """Return FFmpeg's own words without the number and the name of the handle."""
    return str(getattr(error, "strerror", None) or error)


def picture_of(container: Any, path: Path, threads: int = 1) -> Any:
    """Return the first stream of moving pictures; covers and posters do not count.

    Raises:
        NoPictureError: if there is none.
    """
    for video in container.streams.video:
        if not video.disposition & Disposition.attached_pic:
            # Files are mostly worked on side by side, one thread each.
            video.thread_type = "AUTO" if threads > 1 else "NONE"
            video.codec_context.thread_count = threads
            # A damaged clip is named; FFmpeg would paint over the damage and go on.
            video.codec_context.options = {"err_detect": "explode"}
            return video
    kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
    raise NoPictureError(
        f"{shown(path)} has no picture (it has: {kinds}); leave it out"
    )


def decode(container: Any, video: Any, path: Path) -> Iterator[Any]:
    """Yield the frames of one picture, if any, and of one sound track, if any.

    Raises:
        MediaError: where they cannot be decoded.
    """
    streams = [*([video] if video else []), *container.streams.audio[:1]]
    kind, at_s = "picture", 0.0
    try:
        for packet in container.demux(streams):
            kind = "picture" if packet.stream is video else "sound"
            for frame in packet.decode():
                at_s = frame.time or at_s
                yield frame
    except av.FFmpegError as error:
        raise MediaError(
            f"{shown(path)}: the {kind} cannot be decoded after {at_s:.2f} s: "
            f"{said(error)}; record it again or cut it there"
        ) from error


def check_whole(container: Any, path: Path, end_s: float | None = None) -> None:
    """Raise MediaError if the file promises more than it holds.

    By its own index, which must not point past the file's end, and, where `end_s` says
    how far picture and sound came, by the length that its header tells.
    """
    size = path.stat().st_size
    for stream in container.streams:
        entries = stream.index_entries
        end = max((e.pos + e.size for e in entries), default=0) if entries else 0
        if end > size:
            raise MediaError(
                f"{shown(path)} is cut short: its index needs {end} bytes, it has "
                f"{size}; copy or record it again"
            )
    promised_s = (container.duration or 0) / av.time_base
    if end_s is not None and end_s < promised_s * (1 - MISSING_SHARE) - MISSING_S:
        raise MediaError(
            f"{shown(path)} is cut short: its header tells {promised_s:.2f} s, picture "
            f"and sound end at {end_s:.2f} s; copy or record it again"
        )


def fps_of(video: Any) -> float:
    """Return frames per second on average, a sane number whatever the header says."""
    for rate in (video.average_rate, video.guessed_rate, video.base_rate):
        if rate and 0 < rate <= MAX_FPS:
            return float(rate)
    return DEFAULT_FPS


def _seconds(container: Any, video: Any) -> float:
    if video.duration and video.time_base:
        return float(video.duration * video.time_base)
    return (container.duration or 0) / av.time_base
