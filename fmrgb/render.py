"""From a long recording and its labels to an mp4 with these drawn in.

Axes: T frames, H height, W width.
"""

import errno
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from matplotlib.colors import to_rgb

from fmrgb import media, page
from fmrgb.errors import MediaError
from fmrgb.events import UNSURE, Recording, spans_of
from fmrgb.files import shown, whole_file
from fmrgb.page import Picture
from fmrgb.timeline import OTHER, PALE, labels_of, leading
from fmrgb.tracks import VideoTrack

COPIED = ("aac", "mp3", "ac3", "eac3", "opus", "alac", "flac")  # sound mp4 can hold
CLOCK = Fraction(1, 90_000)  # s, a tick of the mp4's own clock
STRIP, LEAST_STRIP = 0.09, 20  # of the picture's height; pixels
SHADE = 0.35  # what the strip leaves of the picture's light
X264 = {"crf": "20", "preset": "veryfast"}

Caption = tuple[str, str, str]  # label, probability in words, colour


def render(
    source: Path,
    path: Path,
    recording: Recording,
    progress: Callable[[float, float], None] | None = None,
) -> None:
    """Write an mp4 of a recording with its label drawn in and its sound kept.

    Sound that an mp4 can hold is copied as it is, other sound becomes AAC. Of a file
    that can be read only in part, that part is written.

    Args:
        source: the recording's file.
        path: the mp4 to write, whole or not at all.
        recording: what the network says of it.
        progress: called with how many of how many s are written.

    Raises:
        NoPictureError: if the recording has no picture to draw on.
        MediaError: if it cannot be read, or the encoder refuses.
        DiskFullError: if there is no room left.
    """
    with media.opened(source) as container:
        video = media.picture_of(container, source)
        with whole_file(path) as part:
            try:
                with av.open(str(part), "w", format="mp4") as target:
                    _copy(container, video, target, recording, source, progress)
            except av.FFmpegError as error:
                if error.errno == errno.ENOSPC:
                    raise OSError(errno.ENOSPC, str(error)) from error
                raise MediaError(f"{shown(path)} cannot be written: {error}") from error


def _copy(
    container: Any,
    video: Any,
    target: Any,
    recording: Recording,
    source: Path,
    progress: Callable[[float, float], None] | None,
) -> None:
    """Decode, draw and encode the picture; pass the sound on."""
    fps = media.fps_of(video)
    drawn = _Drawn(target, fps, recording)
    audio = next(iter(container.streams.audio), None)
    sound = _Sound(target, audio) if audio else None
    try:
        for packet in container.demux([video, *([audio] if audio else [])]):
            if sound and packet.stream is audio:
                sound.add(packet, may_write=drawn.n_frames > 0)
                continue
            for frame in packet.decode():
                drawn.add(frame)
                if progress:
                    progress(drawn.at_s, max(recording.seconds, drawn.at_s))
    except av.InvalidDataError:
        if not recording.fault:  # the judging, which came first, has named it
            raise
    if not drawn.n_frames:
        raise MediaError(f"{shown(source)}: no frame could be decoded")
    drawn.finish()
    if sound:
        sound.finish()


class _Drawn:
    """Draws captions into frames and encodes them."""

    def __init__(self, target: Any, fps: float, recording: Recording) -> None:
        self.n_frames = 0
        self.at_s = 0.0
        self._target = target
        self._track = VideoTrack(fps)
        self._spans = spans_of(recording.judged)
        self._starts = [start for start, _ in self._spans]
        self._captions = _captions(recording)
        rate = Fraction(fps).limit_denominator(1001)
        self._stream = target.add_stream("libx264", rate=rate, options=X264)
        self._stream.codec_context.time_base = CLOCK
        self._origin = 0.0

    def add(self, frame: av.VideoFrame) -> None:
        taken = self._track.take(frame)
        assert taken is not None  # no frame is skipped
        start, picture = taken
        shot = page.even(picture)
        if not self.n_frames:
            self._origin = start
            self._stream.height, self._stream.width = shot.shape[:2]
            self._stream.pix_fmt = "yuv420p"
        self.at_s = start - self._origin
        caption = self._at(self.at_s)
        if caption:
            _draw(shot, caption)
        made = av.VideoFrame.from_ndarray(np.ascontiguousarray(shot), format="rgb24")
        made.pts, made.time_base = round(start / CLOCK), CLOCK
        self._target.mux(self._stream.encode(made))
        self.n_frames += 1

    def _at(self, moment: float) -> Caption | None:
        i = int(np.searchsorted(self._starts, moment, side="right")) - 1
        return self._captions[i] if i >= 0 else None

    def finish(self) -> None:
        self._target.mux(self._stream.encode(None))


class _Sound:
    """Passes sound on: as it is where an mp4 can hold it, else as AAC."""

    def __init__(self, target: Any, source: Any) -> None:
        self._target = target
        self._waiting: list[Any] = []
        self._copied = source.codec_context.codec.canonical_name in COPIED
        if self._copied:
            self._stream = target.add_stream_from_template(source)
            return
        rate = source.codec_context.sample_rate
        layout = "mono" if source.codec_context.channels == 1 else "stereo"
        self._stream = target.add_stream("aac", rate=rate, layout=layout)
        self._convert = av.AudioResampler("fltp", layout, rate)

    def add(self, packet: Any, *, may_write: bool) -> None:
        # The first thing written fixes the tracks, and the picture's size comes with
        # its first frame.
        self._waiting.append(packet)
        if may_write:
            for each in self._waiting:
                self._pass_on(each)
            self._waiting.clear()

    def _pass_on(self, packet: Any) -> None:
        if not self._copied:
            for block in packet.decode():
                for part in self._convert.resample(block):
                    self._target.mux(self._stream.encode(part))
        elif packet.dts is not None:  # the empty packet that ends a stream has none
            packet.stream = self._stream
            self._target.mux(packet)

    def finish(self) -> None:
        for each in self._waiting:
            self._pass_on(each)
        if not self._copied:
            self._target.mux(self._stream.encode(None))


def _captions(recording: Recording) -> list[Caption]:
    """Return what is drawn during each window."""
    colours = {UNSURE: PALE, **leading(recording)}
    return [
        (label, f"{one.probabilities.max():.0%}", colours.get(label, OTHER))
        for label, one in zip(labels_of(recording), recording.judged, strict=True)
    ]


def _draw(shot: Picture, caption: Caption) -> None:
    """Draw a caption into the top of a picture [H, W, 3]."""
    height, width, _ = shot.shape
    high = min(max(LEAST_STRIP, round(STRIP * height)), height)
    strip = shot[:high]
    strip[:] = cv2.convertScaleAbs(strip, alpha=SHADE)
    red, green, blue = (round(255 * part) for part in to_rgb(caption[2]))
    edge = high // 5
    # On a copy: OpenCV draws into whole arrays only.
    chip = cv2.rectangle(
        np.ascontiguousarray(strip),
        (edge, edge),
        (high - edge, high - edge),
        (red, green, blue),
        thickness=cv2.FILLED,
    )
    strip[:] = chip
    words = _words(caption[0], caption[1], high)[:, : max(0, width - high)]
    place = strip[:, high : high + words.shape[1]]
    np.maximum(place, words, out=place)


@lru_cache(maxsize=256)
def _words(label: str, probability: str, high: int) -> Picture:
    """Write white words on black, [high, W, 3], in any script the machine has."""
    # OpenCV's own letters are ASCII alone.
    with page.styled():
        text = f"{page.plain(label, 40)}  {probability}"
        fig = page.page(round(high * (len(text) + 2)), high)
        fig.patch.set_facecolor("black")
        size = 0.55 * high * 72 / page.DPI
        page.write(fig, high * 0.2, high / 2, text, color="white", fontsize=size)
        drawn = page.pixels(fig)
    last = int(np.flatnonzero(drawn.any(axis=(0, 2))).max(initial=0))
    return np.ascontiguousarray(drawn[:, : last + 1])
