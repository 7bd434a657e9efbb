"""Makers of small real media whose every frame and tone is known.

Axes: T frames, H height, W width, S audio samples, A audio channels. No two sizes of
axes are alike.
"""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from fmrgb.files import whole_file

FPS = 10
N_FRAMES = 12
HEIGHT = 32
WIDTH = 48
RATE = 16_000  # Hz

# One colour per frame, far enough apart that no codec mixes them up.
COLOURS = (
    (200, 30, 40),
    (30, 180, 50),
    (40, 50, 210),
    (220, 210, 60),
    (60, 200, 210),
    (190, 60, 200),
    (20, 20, 20),
    (235, 235, 235),
    (120, 120, 120),
    (150, 90, 30),
    (30, 90, 150),
    (90, 30, 150),
)
CODEC_TOLERANCE = 6  # levels; H.264 at crf 12, from RGB to YCbCr and back
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-pix_fmt", "yuv420p")
BT601 = ("-vf", "scale=out_color_matrix=bt601:out_range=tv", "-colorspace", "smpte170m")
AAC = ("-c:a", "aac", "-b:a", "192k")


def ffmpeg(*words: str | Path, stdin: bytes = b"") -> None:
    """Run ffmpeg; fail with its own words if it fails."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, words)]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    assert not done.returncode, done.stderr.decode(errors="replace")


def colours(
    n_frames: int = N_FRAMES, height: int = HEIGHT, width: int = WIDTH
) -> NDArray[np.uint8]:
    """Return frames [T, H, W, 3]; frame t is filled with colour t."""
    table = np.array(COLOURS, np.uint8)[np.arange(n_frames) % len(COLOURS)]
    return np.broadcast_to(table[:, None, None], (n_frames, height, width, 3)).copy()


def quadrants(
    n_frames: int = N_FRAMES, height: int = HEIGHT, width: int = WIDTH
) -> NDArray[np.uint8]:
    """Return frames [T, H, W, 3]: red, green over blue, white."""
    frames = np.empty((n_frames, height, width, 3), np.uint8)
    middle, centre = height // 2, width // 2
    frames[:, :middle, :centre] = (200, 30, 40)
    frames[:, :middle, centre:] = (30, 180, 50)
    frames[:, middle:, :centre] = (40, 50, 210)
    frames[:, middle:, centre:] = (235, 235, 235)
    return frames


def tone(
    hertz: float, seconds: float, *, rate: int = RATE, peak: float = 0.5
) -> NDArray[np.float32]:
    """Return a sine [S]."""
    times_s = np.arange(round(seconds * rate)) / rate
    return (peak * np.sin(2 * np.pi * hertz * times_s)).astype(np.float32)


def dbfs(samples: NDArray[Any]) -> float:
    """Return the root mean square of samples in dBFS."""
    square = np.mean(np.square(samples, dtype=np.float64))
    return float(10 * np.log10(max(square, 1e-20)))


def strongest_hz(samples: NDArray[Any], rate: int) -> float:
    """Return the frequency of the strongest bin of a whole waveform [S]."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * rate / len(samples))


def make(
    path: Path,
    frames: NDArray[np.uint8] | None,
    sound: NDArray[np.float32] | None = None,
    *,
    fps: float | str = FPS,
    rate: int = RATE,
    delay_s: float = 0.0,
    layout: str | None = None,
    video: Sequence[str | Path] = (*BT601, *H264),
    audio: Sequence[str | Path] = AAC,
) -> Path:
    """Write frames [T, H, W, 3] and sound, [S] or [A, S], to a file; return its path.

    Args:
        path: the file; its suffix names the container.
        frames: RGB pictures; None makes a file of sound alone.
        sound: one waveform per channel; None makes a file without a sound track.
        fps: frames per second.
        rate: of the sound, in Hz.
        delay_s: how much later than the first frame the sound starts.
        layout: ffmpeg's name of the channels' layout.
        video: ffmpeg's words for coding the picture.
        audio: ffmpeg's words for coding the sound.
    """
    words: list[str | Path] = []
    raw = b""
    if frames is not None:
        _, height, width, _ = frames.shape
        raw = frames.tobytes()
        words += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
        words += ["-framerate", str(fps), "-i", "pipe:0", *video]
    with tempfile.NamedTemporaryFile(suffix=".f32") as file:
        if sound is not None:
            channels = np.atleast_2d(sound)
            file.write(channels.T.astype("<f4").tobytes())
            file.flush()
            names = layout or {1: "mono", 2: "stereo"}[len(channels)]
            source = ["-f", "f32le", "-ar", str(rate), "-ch_layout", names]
            later = ["-af", f"asetpts=PTS+{delay_s}/TB"] if delay_s else []
            at = words.index("pipe:0") + 1 if frames is not None else 0
            words = [*words[:at], *source, "-i", file.name, *words[at:]]
            words += [*later, *audio]
        ffmpeg(*words, path, stdin=raw)
    return path


def copies(source: Path, folder: Path, *names: str) -> list[Path]:
    """Copy a clip to names below a folder, like fight/a.mp4; return their paths."""
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.read_bytes())
    return paths


def cut(source: Path, path: Path, share: float) -> Path:
    """Write the first `share` of a file's bytes to `path`."""
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def few(folder: Path, n: int) -> Path:
    """Make a folder of n short clips of two labels, and one more that is cut short."""
    one = folder / "high" / "clip00.mp4"
    one.parent.mkdir(parents=True)
    make(one, colours()[:6], tone(440.0, 6 / 30), fps=30)
    for number in range(1, n):
        label = ("high", "low")[number % 2]
        copies(one, folder / label, f"clip{number:02d}.mp4")
    cut(one, folder / "low" / "broken.mp4", 0.5)
    return folder


def full_device(path: Path) -> None:
    """Make `whole_file(path)` write to a disk that is always full."""
    with whole_file(path) as part:
        name = part.name
        part.touch()
    path.unlink()
    path.with_name(name).symlink_to("/dev/full")
