"""From blocks of sound as they come to the utterances in them, and drawings of those.

Axes: S audio samples, F steps of STEP_S each.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmrgb.mixdown import Waveform

STEP_S = 0.01  # s; how finely loudness is measured and sound is cut
SHORTEST_S = 0.05  # s; what is loud for less is a click
AROUND_S = 0.2  # s before the cut that a take still holds, to be seen in its drawing
QUIETEST_DB = -100.0  # dBFS; digital silence counts as this
TOP_DB, ROW_DB, ROWS = 0.0, 10.0, 6  # dBFS, and of a drawing: dB per row, rows
COLUMNS = 60  # of a drawing


@dataclass(frozen=True, kw_only=True)
class Listening:
    """When a sound begins and ends.

    Attributes:
        rate: of the sound, in Hz.
        level_db: dBFS from which on a step of STEP_S counts as sound; 0 dBFS is a
            square wave of full scale, a sine of full scale has -3.
        silence_s: an utterance ends when it was quieter for so long.
        longest_s: an utterance is cut off at this length.
        lead_s: kept before the first loud step and after the last one, since words
            begin and end more quietly than they are in the middle.
    """

    rate: int
    level_db: float = -40.0
    silence_s: float = 0.6
    longest_s: float = 5.0
    lead_s: float = 0.15


@dataclass(frozen=True, eq=False)
class Utterance:
    """One sound that was heard, in what surrounds it.

    Attributes:
        samples: the take, float32 [S] in [-1, 1], from before the sound to the silence
            that ended it.
        rate: in Hz.
        take_s: when the take begins, in s after the beginning of the source.
        first: of `samples`, where the utterance itself begins.
        last: of `samples`, where it ends: the first one that is cut away.
        levels_db: float [F], loudness of the take's steps in dBFS.
        is_cut_off: whether it was still loud at the greatest length.
    """

    samples: Waveform
    rate: int
    take_s: float
    first: int
    last: int
    levels_db: NDArray[np.float64]
    is_cut_off: bool

    @property
    def kept(self) -> Waveform:
        """The utterance without what surrounds it, [S]."""
        return self.samples[self.first : self.last]

    @property
    def start_s(self) -> float:
        """When the utterance begins, in s after the beginning of the source."""
        return self.take_s + self.first / self.rate

    @property
    def end_s(self) -> float:
        """When the utterance ends, in s after the beginning of the source."""
        return self.take_s + self.last / self.rate


class Segmenter:
    """Takes blocks of sound in the order they come; gives utterances.

    It holds no more than one utterance of the greatest length and what surrounds it.
    """

    def __init__(self, listening: Listening) -> None:
        """Cut by `listening`."""
        self._listening = listening
        self._size = max(1, round(STEP_S * listening.rate))  # samples of a step
        self._lead = self._steps(listening.lead_s)
        self._silence = max(1, self._steps(listening.silence_s))
        self._longest = max(1, self._steps(listening.longest_s))
        self._rest: Waveform = np.empty(0, np.float32)
        # Steps before a sound, then those of its take: loudness and samples.
        around = self._lead + self._steps(AROUND_S)
        self._before: deque[tuple[float, Waveform]] = deque(maxlen=around + 1)
        self._take: list[tuple[float, Waveform]] = []  # empty while it is quiet
        self._first_loud = self._last_loud = self._n_loud = 0  # steps of the take
        self._n_steps = 0  # that came in all
        self.loudest_db = QUIETEST_DB  # of all steps so far

    def _steps(self, seconds: float) -> int:
        return round(seconds * self._listening.rate / self._size)

    def add(self, block: Waveform) -> Iterator[Utterance]:
        """Take the next block, float [S]; yield the utterances that it completes."""
        block = np.nan_to_num(np.asarray(block, np.float32), posinf=0.0, neginf=0.0)
        sound = np.concatenate([self._rest, block])
        n_steps = len(sound) // self._size
        steps_FS = sound[: n_steps * self._size].reshape(n_steps, self._size)
        self._rest = sound[n_steps * self._size :]
        for level, samples in zip(loudness(steps_FS), steps_FS, strict=True):
            self._n_steps += 1
            self.loudest_db = max(self.loudest_db, float(level))
            if (ended := self._step(float(level), samples)) is not None:
                yield ended

    def finish(self) -> Iterator[Utterance]:
        """Yield the utterance that lasts to the end of the source, if one does."""
        if self._take and (ended := self._end(is_cut_off=False)) is not None:
            yield ended

    def _step(self, level: float, samples: Waveform) -> Utterance | None:
        is_loud = level >= self._listening.level_db
        if self._take:
            self._take.append((level, samples))
        else:
            self._before.append((level, samples))
            if not is_loud:
                return None
            self._take = list(self._before)
            self._first_loud, self._n_loud = len(self._take) - 1, 0
        if is_loud:
            self._last_loud = len(self._take) - 1
            self._n_loud += 1
            if self._last_loud + 1 - self._begin >= self._longest:
                return self._end(is_cut_off=True)
        elif len(self._take) - 1 - self._last_loud >= self._silence:
            return self._end(is_cut_off=False)
        return None

    @property
    def _begin(self) -> int:
        """Step of the take where the utterance begins."""
        return max(0, self._first_loud - self._lead)

    def _end(self, *, is_cut_off: bool) -> Utterance | None:
        """End the take; return it unless it was no more than a click."""
        take, self._take = self._take, []
        end = min(
            self._last_loud + 1 + self._lead, self._begin + self._longest, len(take)
        )
        is_click = self._n_loud < self._steps(SHORTEST_S)
        # What is cut away may hold the quiet beginning of the next sound.
        self._before.clear()
        self._before.extend(take if is_click else take[end:])
        if is_click:
            return None
        return Utterance(
            samples=np.concatenate([samples for _, samples in take]),
            rate=self._listening.rate,
            take_s=(self._n_steps - len(take)) * self._size / self._listening.rate,
            first=self._begin * self._size,
            last=end * self._size,
            levels_db=np.array([level for level, _ in take]),
            is_cut_off=is_cut_off,
        )


def loudness(steps_FS: Waveform) -> NDArray[np.float64]:
    """Measure steps of sound [F, S]: float [F], dBFS from QUIETEST_DB on.

    The standard deviation within each step, so that an offset, which many microphones
    have, does not count.
    """
    gain_F = steps_FS.std(axis=1, dtype=np.float64)
    floor = 10 ** (QUIETEST_DB / 20)
    levels_F: NDArray[np.float64] = 20 * np.log10(np.maximum(gain_F, floor))
    return levels_F


def drawn(utterance: Utterance) -> list[str]:
    """Draw the loudness of a take in plain letters, a line for every 10 dB.

    Bars stand for the loudest step of each column, | for the cuts.
    """
    levels_F = utterance.levels_db
    per_column = -(-len(levels_F) // COLUMNS)
    starts = np.arange(0, len(levels_F), per_column)
    tops = np.maximum.reduceat(levels_F, starts)
    # A cut stands before the column in which it lies.
    step = len(utterance.samples) / len(levels_F)
    marks = [round(at / step / per_column) for at in (utterance.first, utterance.last)]
    lines = []
    for row in range(1, ROWS + 1):
        bottom = TOP_DB - ROW_DB * row
        bars = ["#" if top >= bottom else " " for top in tops]
        for mark in reversed(marks):
            bars.insert(mark, "|")
        lines.append(f"{bottom:4.0f} dB {''.join(bars)}".rstrip())
    return lines
