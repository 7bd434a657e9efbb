"""What tests share: clips made once, and random numbers that repeat."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import clips
import numpy as np
import pytest
import torch

# A shell starts what it runs in the background deaf to Ctrl-C, and children inherit it;
# tests that press Ctrl-C must mean the same there.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Start every test with the same random numbers."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  libraries draw from it
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _signals_stay() -> Iterator[None]:
    """Fail a test that leaves another answer to SIGTERM: it may end all tests later."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for clips that several tests read and none changes."""
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture(scope="session")
def talkie(shelf: Path) -> Path:
    """Return an mp4 of 12 colours, 1.2 s at 10 fps, with a tone of 1000 Hz, -9 dBFS."""
    seconds = clips.N_FRAMES / clips.FPS
    return clips.make(shelf / "talkie.mp4", clips.colours(), clips.tone(1000, seconds))


@pytest.fixture(scope="session")
def mute(shelf: Path) -> Path:
    """Return the same pictures without a sound track."""
    return clips.make(shelf / "mute.mp4", clips.colours())


@pytest.fixture(scope="session")
def long_talkie(shelf: Path) -> Path:
    """Return an mp4 of 150 noisy frames and sound, big enough to be cut short."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (150, 34, 46, 3), np.uint8)
    sound = clips.tone(500, 150 / 30)
    return clips.make(shelf / "long.mp4", frames, sound, fps=30)
