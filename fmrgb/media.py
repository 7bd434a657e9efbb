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

from fmrgb.align import Aligner
from fmrgb.errors import MediaError, NoPictureError
from fmrgb.files import Spool, open_plain, shown
from fmrgb.pt_file import PtFile
from fmrgb.tracks import Clip, Sound, SoundTrack, VideoTrack, duration_s
from fmrgb.whole import check_whole

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")
SOUND_SUFFIXES = (".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus")
SOUND_RATE = 16_000  # Hz, where the user names no samples per frame
MIN_SOUND_RATE = 64  # Hz
MAX_PIXELS = 1 << 26  # of one picture; 8192 x 8192, which 8K and all-round clips fit in
DEFAULT_FPS = 25.0  # frames per second, where a file names none
MAX_FPS = 240.0  # a rate above this is the clock of the file, not that of its frames
# Playlists and lists of other files are left out: a clip is one file.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2",
    *("matroska", "webm", "avi", "flv", "ogg", "mpegts", "mpeg", "asf"),
)
# Only where the name says so: they take almost any bytes for theirs.
_SOUND_FORMATS = ("wav", "mp3", "aac", "flac")
# What reading may raise: by FFmpeg, by PyAV, by Python's file where FFmpeg has it seek.
FAULTS = (av.FFmpegError, OSError, ValueError, OverflowError)


@dataclass(frozen=True)
class Decoded:
    """What came out of a file that was decoded from its first to its last packet."""

    frames: int
    seconds: float  # from the first frame to the end of the last one
    sound_seconds: float  # 0 without a sound track
    has_sound: bool


def read_clip(
    path: Path,
    *,
    size: tuple[int, int] | None = None,
    skip: int = 1,
    samples_per_frame: int | None = None,
    scratch: Path | None = None,
    pixels: PtFile | None = None,
    aligner: Aligner | None = None,
    gray: bool = False,
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
        pixels: where pictures go; None keeps them in memory while there are few.
        aligner: makes the frames that are kept of those that are decoded.
        gray: turn pictures gray, [T, H, W, 1].

    Raises:
        MediaError: if the file is not whole, has no picture or cannot be decoded.
        DiskFullError: if what outgrows memory does not fit on the disk.
    """
    with opened(path) as container:
        video = picture_of(container, path)
        fps = fps_of(video)
        rate = sound_rate(fps, samples_per_frame)
        into = pixels or Spool(scratch)
        seen = VideoTrack(
            fps, size=size, skip=skip, pixels=into, aligner=aligner, gray=gray
        )
        heard = SoundTrack(rate, scratch=scratch, name=shown(path))
        for frame in decode(container, video, path):
            if isinstance(frame, av.VideoFrame):
                seen.add(frame)
            else:
                heard.add(frame)
        check_whole(container, path, max(seen.end, heard.end))
        if not seen.starts:
            raise MediaError(f"{shown(path)}: no frame could be decoded")
        return seen.clip(heard.sound() if container.streams.audio else None)


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
        lacks = "no" if container.streams.video else "neither picture nor"
        if not container.streams.audio:
            raise MediaError(f"{shown(path)} has {lacks} sound; leave it out")
        heard = SoundTrack(rate, scratch=scratch, name=shown(path))
        for block in decode(container, None, path):
            heard.add(block)
        check_whole(container, path, heard.end, picture=False)
        sound = heard.sound()
        if not len(sound.samples):
            raise MediaError(f"{shown(path)} has {lacks} sound; leave it out")
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
        with open_plain(path) as file:
            if not file.read(1):
                raise MediaError(f"{shown(path)} is empty (0 bytes); record it again")
            file.seek(0)
            try:
                container = av.open(
                    file, metadata_errors="replace", options=only_this(path)
                )
            except FAULTS as error:
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


def only_this(path: Path) -> dict[str, str]:
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
            _check_decodable(video, path)
            # Files are mostly worked on side by side, one thread each.
            video.thread_type = "AUTO" if threads > 1 else "NONE"
            video.codec_context.thread_count = threads
            video.codec_context.options = {
                # A damaged clip is named; FFmpeg would paint over the damage.
                "err_detect": "explode",
                # For what a frame says that its file's header does not.
                "max_pixels": str(MAX_PIXELS),
            }
            return video
    kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
    raise NoPictureError(
        f"{shown(path)} has no picture (it has: {kinds}); leave it out"
    )


def _check_decodable(video: Any, path: Path) -> None:
    coding = video.codec_context
    if coding is None:
        raise MediaError(
            f"{shown(path)}: its picture is coded in a way that this FFmpeg does not "
            "know; convert it, to H.264 say"
        )
    if coding.width * coding.height > MAX_PIXELS:
        raise MediaError(
            f"{shown(path)}: expected pictures of {MAX_PIXELS} pixels or fewer, got "
            f"{coding.width} x {coding.height}; make them smaller first"
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
                # Set where the decoder has painted over a hole all the same.
                if packet.is_corrupt or frame.is_corrupt:
                    raise MediaError(
                        f"{shown(path)}: the {kind} is damaged at {at_s:.2f} s; record "
                        "it again or cut it there"
                    )
                yield frame
    except FAULTS as error:
        raise MediaError(
            f"{shown(path)}: the {kind} cannot be decoded after {at_s:.2f} s: "
            f"{said(error)}; record it again or cut it there"
        ) from error


def fps_of(video: Any) -> float:
    """Return frames per second on average, a sane number whatever the header says."""
    for rate in (video.average_rate, video.guessed_rate, video.base_rate):
        if rate and 0 < rate <= MAX_FPS:
            return float(rate)
    return DEFAULT_FPS
