"""From arrays to an mp4.

Axes: T frames, H height, W width, S audio samples.
"""

import errno
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np

from fmrgb.errors import MediaError
from fmrgb.files import shown, whole_file
from fmrgb.tracks import Frames, Sound


def write_mp4(
    path: Path, frames: Iterable[Frames], fps: float, sound: Sound | None = None
) -> None:
    """Write frames (and sound) as H.264 (and AAC), whole or not at all.

    Args:
        path: the mp4 to write.
        frames: uint8 RGB pictures `[H, W, 3]`; H and W even and equal throughout.
        fps: frames per second.
        sound: track that starts `sound.start_s` after the first frame.

    Raises:
        MediaError: if there is no picture, a side is odd or the encoder refuses.
        DiskFullError: if there is no room left.
    """
    with whole_file(path) as part:
        try:
            with av.open(str(part), "w", format="mp4") as container:
                _mux(container, iter(frames), fps, sound)
        except av.FFmpegError as error:
            if error.errno == errno.ENOSPC:
                raise OSError(errno.ENOSPC, str(error)) from error
            raise MediaError(f"{shown(path)} cannot be written: {error}") from error


def _mux(
    container: Any, frames: Iterator[Frames], fps: float, sound: Sound | None
) -> None:
    video = container.add_stream(
        "libx264", rate=Fraction(fps).limit_denominator(1000), options={"crf": "18"}
    )
    first = next(frames, None)
    if first is None:
        raise MediaError("expected one picture or more to write, got none")
    height, width, _ = first.shape
    if height % 2 or width % 2:
        raise MediaError(f"H.264 needs even sides, got {first.shape = }")
    video.width, video.height, video.pix_fmt = width, height, "yuv420p"
    audio = (
        container.add_stream("aac", rate=sound.rate, layout="mono") if sound else None
    )
    for picture in chain((first,), frames):
        frame = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(picture), format="rgb24"
        )
        container.mux(video.encode(frame))
    container.mux(video.encode(None))
    if sound and audio:
        samples = np.ascontiguousarray(sound.samples[None], dtype=np.float32)
        heard = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        heard.sample_rate = sound.rate
        heard.time_base = Fraction(1, sound.rate)
        heard.pts = round(sound.start_s * sound.rate)
        container.mux(audio.encode(heard))
        container.mux(audio.encode(None))
