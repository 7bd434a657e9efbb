"""From decoded video frames and blocks of sound to one clip in arrays.

Axes: T frames, H height, W width, S audio samples.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import soxr
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from fmrgb.align import Aligner
from fmrgb.errors import MediaError
from fmrgb.files import Spool
from fmrgb.mixdown import MixDown
from fmrgb.pt_file import PtFile

Frames = NDArray[np.uint8]
Waveform = NDArray[np.float32]

MAX_GAP_S = 600.0  # a longer hole in a sound track is taken for broken timestamps
GAP_TOLERANCE_S = 0.05  # jitter of sound timestamps that is not a hole
CHUNK = 1 << 15  # audio samples resampled at once
AREA, BICUBIC = int(Interpolation.AREA), int(Interpolation.BICUBIC)


@dataclass(frozen=True)
class Sound:
    """One mono sound track.

    `samples` is float32 `[S]` in [-1, 1]; `start_s` is the time of its first sample
    on the clip's clock.
    """

    samples: Waveform
    rate: int  # Hz
    start_s: float


@dataclass(frozen=True)
class Clip:
    """A decoded clip: uint8 frames `[T, H, W, 3]` (RGB) and their times `[T]` in s.

    Frame t is on screen, and owns the sound, from `starts_s[t]` to `ends_s[t]`. Frames
    that were aligned or made gray while they were read have their own T or one plane;
    times are those of the clip.
    """

    frames: Frames
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    fps: float
    sound: Sound | None
    source: tuple[int, int] | None = None  # width, height on screen, before scaling


def duration_s(frame: av.VideoFrame, fps: float) -> float:
    """Return how long a frame is on screen, in s, by its own word or by the rate."""
    if frame.duration and frame.time_base:
        return float(frame.duration * frame.time_base)
    return 1 / fps


class VideoTrack:
    """Collects frames as they are decoded: scaled, turned upright, with their times."""

    def __init__(
        self,
        fps: float,
        *,
        size: tuple[int, int] | None = None,
        skip: int = 1,
        pixels: Spool | PtFile | None = None,
        aligner: Aligner | None = None,
        gray: bool = False,
    ) -> None:
        """Scale frames to `size` (width, height) and keep one in `skip`.

        Those kept are turned gray if `gray`, aligned by `aligner` if any, and put into
        `pixels`; what no aligned frame is made of is not even scaled.
        """
        self.starts: list[float] = []
        self.source: tuple[int, int] | None = None
        self._fps = fps
        self._size = size
        self._skip = skip
        self._pixels = pixels or Spool()
        self._aligner = aligner
        self._gray = gray
        # One scaler for the whole clip: making one per frame costs twice the decoding.
        self._scaler = VideoReformatter()
        self._shape: tuple[int, int] | None = None  # height, width on screen
        self._seen = 0
        self._last_start = -np.inf
        self._last: av.VideoFrame | None = None

    @property
    def end(self) -> float:
        """When the last frame ends, in s; 0 before the first."""
        if self._last is None:
            return 0.0
        return self._last_start + duration_s(self._last, self._fps)

    def add(self, frame: av.VideoFrame) -> None:
        """Take the next frame in order of presentation, and keep it."""
        start = self._next(frame)
        if start is None:
            return
        number = len(self.starts)
        self.starts.append(start)
        if self._aligner is None:
            self._pixels.append(self._drawn(frame))
        elif self._aligner.needs(number):
            for picture in self._aligner.add(number, self._drawn(frame)):
                self._pixels.append(picture)

    def take(self, frame: av.VideoFrame) -> tuple[float, Frames] | None:
        """Take the next frame in order of presentation, and keep nothing of it.

        Returns:
            its start in s and its picture [H, W, 3]; None for one to be left out.
        """
        start = self._next(frame)
        return None if start is None else (start, self._drawn(frame))

    def _next(self, frame: av.VideoFrame) -> float | None:
        """Note when the next frame starts; return it unless it is to be left out."""
        # A file may leave out times or repeat them; frames still follow one another.
        start = frame.time
        if start is None or start <= self._last_start:
            start = max(self._last_start, 0.0 if not self._seen else -np.inf)
            start += 1 / self._fps if self._seen else 0.0
        self._last_start = float(start)
        self._last = frame
        self._seen += 1
        return None if (self._seen - 1) % self._skip else self._last_start

    def _drawn(self, frame: av.VideoFrame) -> Frames:
        turns = round(frame.rotation / 90) % 4  # counter-clockwise
        if self._shape is None:
            seen = (frame.width, frame.height)
            self.source = seen if turns % 2 == 0 else seen[::-1]
            width, height = self._size or self.source
            self._shape = (height, width)
        height, width = self._shape
        if turns % 2:
            height, width = width, height
        smaller = width < frame.width or height < frame.height
        own = (width, height) == (frame.width, frame.height)
        scaled = self._scaler.reformat(
            frame,
            width=width,
            height=height,
            # Scaled to packed RGB, FFmpeg gives two neighbours one colour: planes come
            # nearer to the picture, and sooner.
            format="rgb24" if own else "gbrp",
            # Averaging whole areas is what keeps a strong reduction free of aliases.
            interpolation=AREA if smaller else BICUBIC,
            threads=1,
        )
        picture: Any = scaled.to_ndarray() if own else _packed(scaled)
        if turns:
            picture = np.ascontiguousarray(np.rot90(picture, turns))
        if self._gray:
            picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        return picture  # type: ignore[no-any-return]

    def clip(self, sound: Sound | None) -> Clip:
        """Return all that was collected."""
        assert self._shape is not None
        shape = (*self._shape, 1 if self._gray else 3)
        frames: Any = self._pixels.view(np.uint8, shape)
        starts = np.array(self.starts)
        ends = np.append(starts[1:], self.end)
        return Clip(frames, starts, ends, self._fps, sound, self.source)


def _packed(frame: av.VideoFrame) -> Any:
    """Turn three planes, green, blue and red, into a picture [H, W, 3] R, G, B."""
    planes: Any = frame.planes
    shape = (frame.height, planes[0].line_size)
    green, blue, red = [np.frombuffer(p, np.uint8).reshape(shape) for p in planes]
    return cv2.merge((red, green, blue))[:, : frame.width]


class SoundTrack:
    """Collects blocks of sound as they are decoded: mixed down, without holes."""

    def __init__(
        self,
        rate: int,
        *,
        scratch: Path | None = None,
        name: str = "a clip",
        chunk: int = CHUNK,
    ) -> None:
        """Resample to `rate` Hz, `chunk` samples at once.

        `scratch` is where what outgrows memory goes; `name` says in a fault which file
        has it.
        """
        self._rate = rate
        self._name = name
        self._chunk = chunk
        self._samples = Spool(scratch)
        self._mix = MixDown()
        self._resample: Any = None
        self._kind: tuple[int, int, str] | None = None  # rate, channels, format
        self._start_s: float | None = None
        self._heard_s = 0.0

    def add(self, block: av.AudioFrame) -> None:
        """Take the next block; a hole before it becomes silence, an overlap is cut.

        Raises:
            MediaError: if its timestamps leave a hole of more than ten minutes.
        """
        kind = (block.sample_rate, block.layout.nb_channels, block.format.name)
        if kind != self._kind:
            self._change_source(block, kind)
        start = block.time
        if self._start_s is None:
            self._start_s = start or 0.0
        gap_s = 0.0 if start is None else start - self._start_s - self._heard_s
        if gap_s > MAX_GAP_S:
            raise MediaError(
                f"{self._name}: the sound track has a hole of {gap_s:.0f} s; mend it "
                "first"
            )
        if gap_s > GAP_TOLERANCE_S:
            self._hush(round(gap_s * block.sample_rate))
        elif gap_s < -GAP_TOLERANCE_S:
            self._skip(block, round(-gap_s * block.sample_rate))
            return
        self._mix.add(block)
        self._heard_s += block.samples / block.sample_rate
        if self._mix.waiting >= self._chunk:
            self._resampled(self._mix.take())

    @property
    def end(self) -> float:
        """When the sound heard so far ends, in s on the clip's clock."""
        return (self._start_s or 0.0) + self._heard_s

    def _change_source(self, block: av.AudioFrame, kind: tuple[int, int, str]) -> None:
        """Begin anew where a track changes its rate or channels half-way."""
        self._flush()
        self._kind = kind
        self._mix = MixDown()
        if block.sample_rate != self._rate:
            self._resample = soxr.ResampleStream(
                block.sample_rate, self._rate, 1, dtype="float32"
            )

    def _hush(self, n_samples: int) -> None:
        """Take silence, of which there may be minutes."""
        assert self._kind is not None
        self._resampled(self._mix.take())
        self._heard_s += n_samples / self._kind[0]
        for at in range(0, n_samples, self._chunk):
            n = min(self._chunk, n_samples - at)
            self._resampled(np.zeros(n, np.float32))

    def _skip(self, block: av.AudioFrame, n_samples: int) -> None:
        """Take a block without its first samples, which were heard before."""
        self._resampled(self._mix.take())
        self._mix.add(block)
        rest = self._mix.take()[n_samples:]
        self._heard_s += len(rest) / block.sample_rate
        self._resampled(rest)

    def _resampled(self, mono: Waveform, *, last: bool = False) -> None:
        if self._resample is not None:
            mono = self._resample.resample_chunk(mono, last=last)
        self._keep(mono)

    def _keep(self, samples: Waveform) -> None:
        """Take what was resampled."""
        self._samples.append(samples)

    def _flush(self) -> None:
        if self._kind is not None:
            self._resampled(self._mix.take(), last=True)
        self._resample = None

    def sound(self) -> Sound:
        """Return all that was heard."""
        self._flush()
        samples: Any = self._samples.view(np.float32, ())
        return Sound(samples, self._rate, self._start_s or 0.0)
