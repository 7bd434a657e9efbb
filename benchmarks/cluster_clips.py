"""The clips that clusters are rehearsed on: drawn here, so that no data is needed."""

import sys
from pathlib import Path

import cv2
import numpy as np
from growth import spread

from fmrgb.demo import FPS, moving_shape, sweep
from fmrgb.media import SOUND_RATE
from fmrgb.mp4 import write_mp4
from fmrgb.tracks import Sound

N_DRAWN = 20  # clips; the others are their copies, of other bytes
SCENES = 5  # one after the other in a clip
WIDTH, HEIGHT = 320, 180


def clips(folder: Path, n: int) -> Path:
    """Draw n clips of two labels with sound, some seconds each; return their folder."""
    done = folder / f"{n}.done"
    if not done.exists():
        drawn = [_draw(folder / "drawn" / f"{k}.mp4", k) for k in range(N_DRAWN)]
        spread(drawn, folder, n)
        done.touch()
    return folder / "clips"


def _draw(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(seed)
    frames, sounds = [], []
    for _ in range(SCENES):
        turn = bool(dice.integers(2))
        scene = moving_shape(dice, right=turn)
        frames += [cv2.resize(frame, (WIDTH, HEIGHT)) for frame in scene]
        sounds.append(sweep(dice, rises=turn))
    write_mp4(path, frames, FPS, Sound(np.concatenate(sounds), SOUND_RATE, 0.0))
    return path


if __name__ == "__main__":
    clips(Path(sys.argv[1]), int(sys.argv[2]))
