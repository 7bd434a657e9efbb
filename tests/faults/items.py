"""What an item of the corpus is, and the clean clips that items are made from.

Axes: T frames, H height, W width.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import clips
import numpy as np
from clips import AAC, BT601, FPS, H264, HEIGHT, N_FRAMES, WIDTH, tone

Outcome = Literal["sample", "refused", "either"]
SECONDS = N_FRAMES / FPS
PCM = ("-c:a", "pcm_s16le")


@dataclass(frozen=True)
class Item:
    """One file of the corpus.

    Attributes:
        name: of the file.
        fault: what is odd about it.
        write: writes it to the path it is given.
        outcome: a right sample, a refusal by name, or, where damage may or may not be
            visible, either of them.
        n_frames: pictures that must be there, colour after colour; None where damage
            may have changed them.
        sound: whether there is a sound track; None where damage may have changed it.
        audible: whether the tone must be heard in the middle frame.
        size: (width, height) on screen that the manifest must name.
        seconds: how long the manifest must say it is.
        tolerance: levels that a colour may be off.
    """

    name: str
    fault: str
    write: Callable[[Path], object]
    outcome: Outcome = "sample"
    n_frames: int | None = N_FRAMES
    sound: bool | None = True
    audible: bool = True
    size: tuple[int, int] | None = (WIDTH, HEIGHT)
    seconds: float | None = SECONDS
    tolerance: int = 14


def damaged(
    name: str, fault: str, data: Callable[[], bytes], outcome: Outcome, **more: object
) -> Item:
    """Return an item of bytes; what it holds is only known if `more` says so."""
    unknown = Item(
        *(name, fault, lambda path: path.write_bytes(data()), outcome),
        **{"n_frames": None, "sound": None, "audible": False},
        **{"size": None, "seconds": None},
    )
    return replace(unknown, **more)  # type: ignore[arg-type]


class Shelf:
    """Clean clips, each made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.bytes_of = cache(self._bytes_of)

    def _bytes_of(self, name: str) -> bytes:
        path = self._folder / name
        kind = path.stem
        words: tuple[str, ...] = ()
        if kind == "front":
            words = ("-movflags", "faststart")
        elif kind == "frag":
            words = ("-movflags", "frag_keyframe+empty_moov", "-g", "4")
        elif kind == "moving":
            return clips.make(path, _moving(), tone(700, 4), video=_CODED).read_bytes()
        video: tuple[str, ...] = (*BT601, *H264)
        audio: tuple[str, ...] = (*AAC, *words)
        if path.suffix == ".webm":
            video = ("-c:v", "libvpx", "-b:v", "1M", "-deadline", "realtime")
            audio = ("-c:a", "libopus")
        elif kind == "png":
            video, audio = ("-c:v", "png"), PCM
        elif path.suffix == ".avi":
            video, audio = ("-c:v", "mjpeg", "-q:v", "2"), PCM
        sound = None if kind == "mute" else tone(1000, SECONDS)
        pictures = None if kind == "alone" else clips.colours()
        clips.make(path, pictures, sound, video=video, audio=audio)
        return path.read_bytes()


_CODED = (*BT601, "-c:v", "libx264", "-preset", "medium", "-pix_fmt", "yuv420p")


def _moving() -> np.ndarray:
    """Return frames [40, 96, 128, 3] of coloured squares that move."""
    rng = np.random.default_rng(0)
    base = np.kron(rng.integers(0, 256, (12, 16, 3)), np.ones((8, 8, 1)))
    rolled = [np.roll(base, (2 * t, 3 * t), (0, 1)) for t in range(40)]
    return np.stack(rolled).astype(np.uint8)
