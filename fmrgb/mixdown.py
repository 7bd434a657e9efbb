"""From decoded blocks of sound to one mono waveform.

Axes: A audio channels, S audio samples.
"""

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]

PLANAR = "fltp"  # FFmpeg's name of float32 with one row per channel
PACKED = "flt"  # and of float32 with the channels of one sample side by side


class MixDown:
    """Collects blocks of one rate, format and number of channels; mixes many at once.

    Mono is the mean of the channels, as `librosa.to_mono` has it, and never clips.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._fifo = av.AudioFifo()
        self._convert: Any = av.AudioResampler(format=PACKED)

    @property
    def waiting(self) -> int:
        """How many samples are not mixed yet."""
        return self._fifo.samples

    def add(self, block: av.AudioFrame) -> None:
        """Take the next block, of the same kind as those before."""
        # Holes and overlaps are the caller's to mend; the queue would refuse them.
        pts, block.pts = block.pts, None
        self._fifo.write(block)
        block.pts = pts

    def take(self) -> Waveform:
        """Return the mixture [S] of all that waits; begin anew."""
        taken = self._fifo.read()
        if taken is None:
            return np.empty(0, np.float32)
        rows_AS = self._rows(taken)
        if not np.isfinite(rows_AS).all():
            # A bad block can hold NaN, which resampling would spread around it.
            rows_AS = np.nan_to_num(rows_AS, posinf=0.0, neginf=0.0)
        mono: Waveform = rows_AS.mean(axis=0, dtype=np.float32)
        return mono

    def _rows(self, taken: av.AudioFrame) -> NDArray[np.float32]:
        """Return samples as float32 [A, S]."""
        n_channels = taken.layout.nb_channels
        # PyAV looks for a ninth plane where there are eight.
        if taken.format.name == PLANAR and n_channels < 8:
            planes: Any = taken.planes
            rows = [np.frombuffer(p, np.float32, taken.samples) for p in planes]
            return np.stack(rows)
        parts = [
            np.frombuffer(part.planes[0], np.float32, part.samples * n_channels)
            for part in self._convert.resample(taken)
        ]
        packed: Any = np.concatenate(parts)
        rows_AS: NDArray[np.float32] = packed.reshape(-1, n_channels).T
        return rows_AS
