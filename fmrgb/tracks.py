"""From decoded video frames and blocks of sound to one clip in arrays.

Axes: T frames, H height, W width, S audio samples.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from fmrgb.errors import MediaError
from fmrgb.files import Spool

Frames = NDArray[np.uint8]
Waveform = NDArray[np.float32]

MAX_GAP_S = 600.0  # a longer hole in a sound track is taken for broken timestamps
GAP_TOLERANCE_S = 0.05  # jitter of sound timestamps that is not a hole
CHUNK = 1 << 15  # audio samples resampled at once


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

    Frame t is on screen, and owns the sound, from `starts_s[t]` to `ends_s[t]`.
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
        scratch: Path | None = None,
    ) -> None:
        """Scale frames to `size` (width, height) and keep one in `skip`."""
        self.starts: list[float] = []
        self._fps = fps
        self._size = size
        self._skip = skip
        self._pixels = Spool(scratch)
        # One scaler for the whole clip: making one per frame costs twice the decoding.
        self._scaler = VideoReformatter()
        self._shape: tuple[int, int, int] | None = None
        self._seen = 0
        self._last_start = -np.inf
        self.source: tuple[int, int] | None = None
        self.end = 0.0

    def add(self, frame: av.VideoFrame) -> None:
        """Take the next frame in order of presentation, and keep it."""
        taken = self.take(frame)
        if taken is not None:
            self.starts.append(taken[0])
            self._pixels.append(taken[1])

    def take(self, frame: av.VideoFrame) -> tuple[float, Frames] | None:
        """Take the next frame in order of presentation, and keep nothing of it.

        Returns:
            its start in s and its picture [H, W, 3]; None for one to be left out.
        """
        start = self._start(frame)
        self._last_start = start
        self.end = start + duration_s(frame, self._fps)
        self._seen += 1
        if (self._seen - 1) % self._skip:
            return None
        return start, self._upright(frame)

    def _start(self, frame: av.VideoFrame) -> float:
        # A file may leave out times or repeat them; frames still follow one another.
        start = frame.time
        if start is None or start <= self._last_start:
            start = max(self._last_start, 0.0 if not self._seen else -np.inf)
            start += 1 / self._fps if self._seen else 0.0
        return float(start)

    def _upright(self, frame: av.VideoFrame) -> Frames:
        turns = round(frame.rotation / 90) % 4  # counter-clockwise
        if self._shape is None:
            own = (frame.width, frame.height)
            self.source = own if turns % 2 == 0 else own[::-1]
            width, height = self._size or self.source
            self._shape = (height, width, 3)
        height, width, _ = self._shape
        if turns % 2:
            height, width = width, height
        smaller = width < frame.width or height < frame.height
        scaled = self._scaler.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            # Averaging whole areas is what keeps a strong reduction free of aliases.
            interpolation=Interpolation.AREA if smaller else Interpolation.BICUBIC,
            threads=1,
        )
        return np.rot90(scaled.to_ndarray(), turns)

    def clip(self, sound: Sound | None) -> Clip:
        """Return all that was collected."""
        assert self._shape is not None
        frames: Any = self._pixels.view(np.uint8, self._shape)
        starts = np.array(self.starts)
        ends = np.append(starts[1:], self.end)
        return Clip(frames, starts, ends, self._fps, sound, self.source)


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
        self._convert: Any = None
        self._resample: Any = None
        self._layout: tuple[int, int] | None = None  # (rate, channels) of the source
        self._waiting: list[Waveform] = []
        self._n_waiting = 0
        self._start_s: float | None = None
        self._heard_s = 0.0

    def add(self, block: av.AudioFrame) -> None:
        """Take the next block; a hole before it becomes silence, an overlap is cut.

        Raises:
            MediaError: if its timestamps leave a hole of more than ten minutes.
        """
        layout = (block.sample_rate, len(block.layout.channels))
        if layout != self._layout:
            self._change_source(block, layout)
        start = block.time
        if self._start_s is None:
            self._start_s = start or 0.0
        gap_s = 0.0 if start is None else start - self._start_s - self._heard_s
        if gap_s > MAX_GAP_S:
            raise MediaError(
                f"{self._name}: the sound track has a hole of {gap_s:.0f} s; mend it "
                "first"
            )
        for planes in self._convert.resample(block):
            # A bad block can hold NaN, which resampling would spread around it.
            finite = np.nan_to_num(planes.to_ndarray(), posinf=0.0, neginf=0.0)
            # Mono is the mean of the channels and never clips (librosa.to_mono).
            mono = finite.mean(axis=0, dtype=np.float32)
            if gap_s > GAP_TOLERANCE_S:
                self._push(np.zeros(round(gap_s * block.sample_rate), np.float32))
            elif gap_s < -GAP_TOLERANCE_S:
                mono = mono[round(-gap_s * block.sample_rate) :]
            gap_s = 0.0
            self._push(mono)

    @property
    def end(self) -> float:
        """When the sound heard so far ends, in s on the clip's clock."""
        return (self._start_s or 0.0) + self._heard_s

    def _change_source(self, block: av.AudioFrame, layout: tuple[int, int]) -> None:
        """Begin anew where a track changes its rate or channels half-way."""
        self._flush()
        self._layout = layout
        self._convert = av.AudioResampler(format="fltp")
        if block.sample_rate != self._rate:
            self._resample = soxr.ResampleStream(
                block.sample_rate, self._rate, 1, dtype="float32"
            )

    def _push(self, mono: Waveform) -> None:
        assert self._layout is not None
        self._heard_s += len(mono) / self._layout[0]
        self._waiting.append(mono)
        self._n_waiting += len(mono)
        if self._n_waiting >= self._chunk:
            self._resample_waiting(last=False)

    def _resample_waiting(self, *, last: bool) -> None:
        chunk = np.concatenate([np.empty(0, np.float32), *self._waiting])
        self._waiting, self._n_waiting = [], 0
        if self._resample is not None:
            chunk = self._resample.resample_chunk(chunk, last=last)
        self._keep(chunk)

    def _keep(self, samples: Waveform) -> None:
        """Take what was resampled."""
        self._samples.append(samples)

    def _flush(self) -> None:
        if self._layout is not None:
            self._resample_waiting(last=True)
        self._resample = None

    def sound(self) -> Sound:
        """Return all that was heard."""
        self._flush()
        samples: Any = self._samples.view(np.float32, ())
        return Sound(samples, self._rate, self._start_s or 0.0)
