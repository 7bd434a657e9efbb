"""From frames and sound as they come to windows, each one a clip of its own.

However long a recording is, no more than a window or two of it is held.

Axes: T frames, H height, W width, S audio samples.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import av
import numpy as np
from numpy.typing import NDArray

from fmrgb.errors import MediaError
from fmrgb.tracks import (
    MAX_GAP_S,
    Clip,
    Frames,
    Sound,
    SoundTrack,
    VideoTrack,
    Waveform,
)

Times = NDArray[np.float64]
Piece = TypeVar("Piece", contravariant=True)
Part = TypeVar("Part", covariant=True)

SOUND_CHUNK = 1 << 12  # audio samples resampled at once: a window need not wait long
CLOCK_S = 1e-3  # s; some containers round times to this
SHORTEST_REST = 0.1  # of a window; a shorter rest of a recording is not judged alone


class Parting(Protocol[Piece, Part]):
    """Takes pieces in the order they come; gives the parts that they complete."""

    def add(self, piece: Piece, /) -> Iterator[Part]:
        """Take the next piece; yield the parts that it completes."""
        ...

    def finish(self) -> Iterator[Part]:
        """Yield what is left when nothing more comes."""
        ...


def cut(pieces: Iterable[Piece], cutter: Parting[Piece, Part]) -> Iterator[Part]:
    """Yield the parts of what comes, also those of what came before a fault.

    Raises:
        MediaError: where it breaks, after the last part before that.
    """
    fault = None
    try:
        for piece in pieces:
            yield from cutter.add(piece)
    except MediaError as error:
        fault = error
    yield from cutter.finish()
    if fault:
        raise fault


@dataclass(frozen=True)
class Layout:
    """What comes, and how it is cut.

    Attributes:
        window_s: length of a window.
        hop_s: from the start of a window to the start of the next.
        fps: of the picture; without one, of the black pictures that stand for it.
        size: (width, height) that frames are scaled to as soon as they are decoded.
        skip: one frame in this many is kept.
        rate: that sound is resampled to, in Hz.
        has_picture: whether there is one.
        has_sound: whether there is a sound track.
        patience_s: how far the sound may lag behind the picture; more is silence.
    """

    window_s: float
    hop_s: float
    fps: float
    size: tuple[int, int]
    skip: int
    rate: int
    has_picture: bool
    has_sound: bool
    patience_s: float = 30.0


@dataclass(frozen=True)
class Window:
    """A piece of a recording, from `start_s` to `end_s` after its beginning."""

    start_s: float
    end_s: float
    clip: Clip


class Cutter:
    """Takes decoded frames and sound in the order they come; gives windows."""

    def __init__(self, layout: Layout, name: str = "a recording") -> None:
        """Cut by `layout`; `name` says in a fault which recording it is."""
        self._layout = layout
        self._seen = VideoTrack(layout.fps, size=layout.size, skip=layout.skip)
        self._heard = _Passing(layout.rate, name=name, chunk=SOUND_CHUNK)
        self._shots: deque[tuple[float, Frames]] = deque()
        self._origin: float | None = None
        self._next = 0  # number of the next window
        self._judged = 0.0  # where the last window ended, on the recording's clock

    def add(self, frame: av.VideoFrame | av.AudioFrame) -> Iterator[Window]:
        """Take the next frame or block of sound; yield the windows that it completes.

        Raises:
            MediaError: if the sound's timestamps leave a hole of ten minutes or more.
        """
        if isinstance(frame, av.AudioFrame):
            self._heard.add(frame)
        elif self._layout.has_picture and (taken := self._seen.take(frame)) is not None:
            self._shots.append(taken)
        if self._origin is None:
            self._origin = self._beginning()
        if self._origin is not None:
            yield from self._complete()

    def _beginning(self) -> float | None:
        if self._layout.has_picture:
            return self._shots[0][0] if self._shots else None
        return self._heard.start

    def _complete(self) -> Iterator[Window]:
        layout = self._layout
        while True:
            start = self._start_of(self._next)
            end = start + layout.window_s
            newest = self._shots[-1][0] if self._shots else self._heard.reach
            lags = layout.has_sound and self._heard.reach < end
            if newest < end or (lags and newest < end + layout.patience_s):
                return
            self._next += 1
            if not self._is_hole(start, end):
                yield self._cut(start, end)
                self._judged = end
            self._forget(min(self._start_of(self._next), newest - layout.window_s))

    def finish(self) -> Iterator[Window]:
        """Yield what is left: windows that miss nothing but what never came.

        The last one ends where the recording ends, and is as long as the others if the
        recording is.
        """
        self._heard.finish()
        if self._origin is None:
            self._origin = self._beginning()
        if self._origin is None:
            return
        window = self._layout.window_s
        end = self._seen.end if self._layout.has_picture else self._heard.reach
        while (start := self._start_of(self._next)) + window <= end + CLOCK_S:
            self._next += 1
            if not self._is_hole(start, start + window):
                yield self._cut(start, start + window)
            self._judged = start + window
        first = self._next == 0
        if first or end - max(self._judged, self._origin) > SHORTEST_REST * window:
            yield self._cut(max(self._origin, end - window), end)

    @property
    def reach_s(self) -> float:
        """How long the recording is as far as it has come, in s."""
        end = self._seen.end if self._layout.has_picture else self._heard.reach
        return max(0.0, end - (self._origin or 0.0)) if self._origin is not None else 0

    @property
    def source(self) -> tuple[int, int] | None:
        """Width and height of the picture on screen, before scaling."""
        return self._seen.source

    def _start_of(self, number: int) -> float:
        assert self._origin is not None
        return self._origin + number * self._layout.hop_s

    def _is_hole(self, start: float, end: float) -> bool:
        """Tell whether timestamps jump over a window and much more."""
        if not self._layout.has_picture:
            return False
        before = [s for s, _ in self._shots if s < end - CLOCK_S]
        return not before or before[-1] < start - MAX_GAP_S

    def _forget(self, before: float) -> None:
        """Let go of what ended before a moment."""
        while len(self._shots) > 1 and self._shots[1][0] <= before:
            self._shots.popleft()
        self._heard.forget(before)

    def _cut(self, start: float, end: float) -> Window:
        layout, origin = self._layout, self._origin
        assert origin is not None
        starts, ends, frames = (
            self._pictures(start, end)
            if layout.has_picture
            else _black(layout, start, end)
        )
        sound = self._heard.cut(start, end) if layout.has_sound else None
        clip = Clip(frames, starts, ends, layout.fps, sound, self.source)
        return Window(start - origin, end - origin, clip)

    def _pictures(self, start: float, end: float) -> tuple[Times, Times, Frames]:
        """Return starts [T], ends [T] and pictures of the frames of a window."""
        all_starts = [s for s, _ in self._shots]
        within = [
            i for i, s in enumerate(all_starts) if start <= s + CLOCK_S < end
        ] or [max(0, int(np.searchsorted(all_starts, start, side="right")) - 1)]
        starts = np.array([all_starts[i] for i in within])
        starts[0] = max(starts[0], start) if len(within) == 1 else starts[0]
        following = [*all_starts, self._seen.end]
        ends = np.array([following[i + 1] for i in within])
        # A still picture that stays on screen is cut where the window ends.
        overhang = 0.0 if len(within) == 1 else 1 / self._layout.fps
        if ends[-1] > end + overhang + CLOCK_S:
            ends[-1] = end
        return starts, ends, np.stack([self._shots[i][1] for i in within])


def _black(layout: Layout, start: float, end: float) -> tuple[Times, Times, Frames]:
    """Return times and black pictures where there is only sound."""
    n_frames = max(1, round((end - start) * layout.fps))
    edges = start + np.arange(n_frames + 1) / layout.fps
    width, height = layout.size
    return edges[:-1], edges[1:], np.zeros((n_frames, height, width, 3), np.uint8)


class _Passing(SoundTrack):
    """A sound track of which only the newest part is held."""

    def __init__(self, rate: int, *, name: str, chunk: int) -> None:
        super().__init__(rate, name=name, chunk=chunk)
        self._held: deque[Waveform] = deque()
        self._first = 0  # number of the first sample that is held
        self._n_samples = 0  # that came in all

    def _keep(self, samples: Waveform) -> None:
        if len(samples):
            self._held.append(samples)
            self._n_samples += len(samples)

    @property
    def start(self) -> float | None:
        """Time of the first sample in s, if there was one."""
        return self._start_s

    @property
    def reach(self) -> float:
        """Time up to which there are samples, in s."""
        return (self._start_s or 0.0) + self._n_samples / self._rate

    def finish(self) -> None:
        """Resample what still waits."""
        self._flush()

    def forget(self, before: float) -> None:
        """Let go of the samples before a moment."""
        last = (before - (self._start_s or 0.0)) * self._rate
        while self._held and self._first + len(self._held[0]) <= last:
            self._first += len(self._held.popleft())

    def cut(self, start: float, end: float) -> Sound:
        """Return a copy of the samples between two moments."""
        zero = self._start_s or 0.0
        first = max(round((start - zero) * self._rate), self._first)
        last = max(first, round((end - zero) * self._rate))
        samples = np.concatenate([np.empty(0, np.float32), *self._held])
        part = samples[first - self._first : last - self._first]
        return Sound(part, self._rate, zero + first / self._rate)
