"""From a media file to what it says of itself, without decoding."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from fmrgb.errors import MediaError
from fmrgb.files import shown
from fmrgb.media import FAULTS, fps_of, opened, picture_of, said
from fmrgb.whole import check_whole


@dataclass(frozen=True)
class Header:
    """What a file says of itself before anything is decoded."""

    width: int  # pixels, before rotation
    height: int  # pixels, before rotation
    fps: float  # frames per second, on average
    frames: int  # packets of the picture, without those that are not to be shown
    seconds: float
    has_sound: bool
    rate: int = 0  # of the sound, in Hz; told of what is taken by its sound alone


def read_header(path: Path) -> Header:
    """Read what a file says of itself; decode nothing.

    Raises:
        MediaError: if it cannot be opened or has no picture.
    """
    with opened(path) as container:
        video = picture_of(container, path)
        seconds = _seconds(container, video)
        check_whole(container, path)
        n_frames = _frames(container, video, path)
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


def read_sound_header(path: Path) -> Header:
    """Read what a file says of its sound; decode nothing.

    Args:
        path: a sound file, or a video that is taken by its sound alone.

    Raises:
        MediaError: if it cannot be opened or has no sound.
    """
    with opened(path) as container:
        check_whole(container, path)
        if not container.streams.audio:
            raise MediaError(f"{shown(path)} has no sound track; leave it out")
        sound = container.streams.audio[0]
        return Header(0, 0, 0.0, 0, _seconds(container, sound), True, int(sound.rate))


def _frames(container: Any, video: Any, path: Path) -> int:
    """Count the frames to be shown, by the index where there is a whole one.

    A number that stands in the header by itself may be anything.

    Raises:
        MediaError: if the file cannot be read to its end, or ends too early.
    """
    entries = video.index_entries
    if entries and video.frames and len(entries) >= video.frames:
        return sum(not entry.is_discard for entry in entries)
    n_frames, end_s = 0, 0.0
    try:
        for packet in container.demux([video, *container.streams.audio[:1]]):
            if packet.pts is not None:
                ends = packet.pts + (packet.duration or 0)
                end_s = max(end_s, float(ends * packet.time_base))
            if packet.stream is video and packet.size and not packet.is_discard:
                n_frames += 1
    except FAULTS as error:
        raise MediaError(
            f"{shown(path)} cannot be read to its end: {said(error)}; record it again"
        ) from error
    check_whole(container, path, end_s)
    return n_frames


def _seconds(container: Any, track: Any) -> float:
    if track.duration and track.time_base:
        return float(track.duration * track.time_base)
    return (container.duration or 0) / av.time_base
