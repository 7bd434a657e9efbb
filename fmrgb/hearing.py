"""From a microphone, or a file in its place, to blocks of sound as they come.

Axes: S audio samples, A audio channels.
"""

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from fmrgb.errors import MediaError, ProgramMissingError
from fmrgb.files import shown
from fmrgb.media import SOUND_RATE
from fmrgb.mixdown import Waveform
from fmrgb.streams import Stream, open_recording
from fmrgb.tracks import SoundTrack

BLOCK_S = 0.05  # s of sound that the microphone gives at once
WAITING_S = 30.0  # s of sound that may wait while the network thinks
TICK_S = 0.2  # how long Ctrl-C waits to be heard
CHUNK = 1 << 12  # samples of a file resampled at once


@dataclass(frozen=True)
class Source:
    """Mono sound as it comes.

    Attributes:
        rate: in Hz.
        blocks: iterates over float32 [S] in [-1, 1]; raises MediaError where it breaks.
    """

    rate: int
    blocks: Iterator[Waveform]


@contextmanager
def open_file(path: Path, rate: int = SOUND_RATE) -> Iterator[Source]:
    """Open a sound file, or a video with sound, as if it were heard just now.

    Args:
        path: the file.
        rate: what the sound is resampled to, in Hz.

    Raises:
        MediaError: if it cannot be opened or has no sound.
    """
    with open_recording(path) as stream:
        if not stream.has_sound:
            raise MediaError(f"{shown(path)} has no sound to be heard")
        yield Source(rate, _decoded(stream, _Passing(rate, name=shown(path))))


class _Passing(SoundTrack):
    """A sound track that hands on what it has resampled."""

    def __init__(self, rate: int, *, name: str) -> None:
        super().__init__(rate, name=name, chunk=CHUNK)
        self._ready: list[Waveform] = []

    def _keep(self, samples: Waveform) -> None:
        self._ready.append(samples)

    def finish(self) -> None:
        """Resample what still waits."""
        self._flush()

    def take(self) -> list[Waveform]:
        """Return what came since it was last asked."""
        ready, self._ready = self._ready, []
        return ready


def _decoded(stream: Stream, track: _Passing) -> Iterator[Waveform]:
    for frame in stream.frames:
        if isinstance(frame, av.AudioFrame):
            track.add(frame)
            yield from track.take()
    track.finish()
    yield from track.take()


@contextmanager
def open_microphone(
    device: str | None = None, say: Callable[[str], None] | None = None
) -> Iterator[Source]:
    """Open a microphone at its own rate; what comes is kept while nobody listens.

    Args:
        device: number or part of a name, as `python -m sounddevice` lists them; None
            takes the one that the system names.
        say: told if sound was lost.

    Raises:
        ProgramMissingError: if sounddevice or PortAudio is not installed.
        MediaError: if there is no such device, or it cannot be used.
    """
    audio = _sounddevice()
    number = int(device) if device and device.isdigit() else device
    heard = _Heard(say or (lambda _: None))
    try:
        rate = round(audio.query_devices(number, "input")["default_samplerate"])
        stream = audio.InputStream(
            device=number,
            samplerate=rate,
            channels=1,
            dtype="float32",
            blocksize=round(BLOCK_S * rate),
            callback=heard.add,
        )
        stream.start()
    except (audio.PortAudioError, ValueError) as error:
        raise MediaError(
            f"the microphone {shown(device or 'of this system')} cannot be used: "
            f"{shown(str(error))}; python -m sounddevice lists what there is, name one "
            "with --device, or give a sound file as --source"
        ) from error
    with stream:  # closes it
        yield Source(rate, heard.blocks(lambda: bool(stream.active)))


def _sounddevice() -> Any:
    """Import the extra package.

    Raises:
        ProgramMissingError: if it, or the library that it speaks to, is not there.
    """
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        if error.name != "sounddevice":
            raise
        raise ProgramMissingError(
            "a microphone needs sounddevice: pip install 'fmrgb[record]'; --source "
            "takes a sound file without it"
        ) from None
    except OSError as error:
        raise ProgramMissingError(
            f"sounddevice finds no PortAudio ({shown(str(error))}): install the "
            "system's package for it (Debian and Ubuntu: libportaudio2); --source "
            "takes a sound file without it"
        ) from None
    return sounddevice


class _Heard:
    """Blocks that the microphone has given and nobody has taken yet."""

    def __init__(self, say: Callable[[str], None]) -> None:
        most = round(WAITING_S / BLOCK_S)
        self._blocks: queue.Queue[Waveform] = queue.Queue(most)
        self._say = say
        self._lost = 0  # blocks

    def add(self, block_SA: Any, n_samples: int, times: Any, status: Any) -> None:
        """Take a block, on the thread of PortAudio, which must not be kept waiting."""
        if status and status.input_overflow:
            self._lost += 1
        try:
            # PortAudio uses the same memory for the next block.
            self._blocks.put_nowait(np.array(block_SA[:, 0], np.float32))
        except queue.Full:
            self._lost += 1

    def blocks(self, is_active: Callable[[], bool]) -> Iterator[Waveform]:
        """Yield blocks until the microphone stops.

        Raises:
            MediaError: when it does, by itself.
        """
        told = 0
        while True:
            active = is_active()
            try:
                yield self._blocks.get(timeout=TICK_S)
            except queue.Empty:
                if not active:
                    raise MediaError(
                        "the microphone gives nothing any more; is it still plugged in?"
                    ) from None
            if self._lost > told:
                self._say(f"{self._lost - told} blocks of {BLOCK_S:g} s were lost")
                told = self._lost
