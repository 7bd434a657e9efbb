"""The same sample made with other decoders: torchcodec, decord, OpenCV, ffmpeg.

Only decoding and scaling are theirs: times, sound planes, alignment and writing are
fmrgb's, so that what differs is what is compared. All use one thread.

torchcodec and decord are no part of the project: `install` puts them into a folder of
their own, which git ignores.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fmrgb.build import Recipe, prepare
from fmrgb.ffmpeg_program import find_program
from fmrgb.media import SOUND_RATE, read_sound
from fmrgb.sample import save_sample
from fmrgb.tracks import Clip, Sound

PEERS = Path(__file__).parent / ".work" / "peers"
PACKAGES = ("torchcodec==0.13.0", "decord==0.6.0")
Read = tuple[NDArray[np.uint8], NDArray[np.float32]]


def install() -> None:
    """Put the peers' packages into their folder, unless they are there."""
    if not (PEERS / "decord").exists():
        PEERS.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        # One that cannot be had is shown as not installed.
        for package in PACKAGES:
            subprocess.run([*pip, "--target", str(PEERS), package], check=False)
    (PEERS / ".gitignore").write_text("*\n")


def peers(clip: Path, folder: Path, recipe: Recipe) -> dict[str, Any]:
    """Return the ways that work here, by their names; None for one that does not."""
    # Behind all others, so that nothing of the project's is taken from there.
    if str(PEERS) not in sys.path:
        sys.path.append(str(PEERS))
    readers: dict[str, Callable[[Path, tuple[int, int]], Read]] = {
        "torchcodec": _torchcodec,
        "decord": _decord,
        "OpenCV, sound by PyAV": _opencv,
        "ffmpeg program, pipes": _pipes,
    }
    ways: dict[str, Any] = {}
    for name, read in readers.items():
        way = _maker(read, clip, folder / "peer.pt", recipe)
        try:
            way()
        except (ImportError, OSError, RuntimeError) as error:
            print(f"{name} does not work here: {error}", file=sys.stderr)
        ways[name] = way if (folder / "peer.pt").exists() else None
        (folder / "peer.pt").unlink(missing_ok=True)
    return ways


def _maker(
    read: Callable[[Path, tuple[int, int]], Read],
    clip: Path,
    sample: Path,
    recipe: Recipe,
) -> Callable[[], None]:
    def make() -> None:
        assert recipe.size is not None
        frames, samples = read(clip, recipe.size)
        edges = np.arange(len(frames) + 1) / 30  # the rate of all clips measured here
        sound = Sound(samples, SOUND_RATE, 0.0)
        decoded = Clip(frames, edges[:-1], edges[1:], 30.0, sound)
        save_sample(sample, prepare(decoded, recipe))

    return make


def _torchcodec(clip: Path, size: tuple[int, int]) -> Read:
    from torchcodec.decoders import AudioDecoder, VideoDecoder

    # Its own resizing needs torchvision.
    decoder = VideoDecoder(
        str(clip), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate"
    )
    small = [_area(decoder[i].numpy(), size) for i in range(len(decoder))]
    hearing = AudioDecoder(str(clip), sample_rate=SOUND_RATE, num_channels=1)
    return np.stack(small), hearing.get_all_samples().data[0].numpy()


def _decord(clip: Path, size: tuple[int, int]) -> Read:
    import decord

    reader = decord.VideoReader(str(clip), width=size[0], height=size[1], num_threads=1)
    frames = reader.get_batch(range(len(reader))).asnumpy()
    hearing = decord.AudioReader(str(clip), sample_rate=SOUND_RATE, mono=True)
    return frames, hearing[:].asnumpy()[0]


def _opencv(clip: Path, size: tuple[int, int]) -> Read:
    one = [cv2.CAP_PROP_N_THREADS, 1]
    reader = cv2.VideoCapture(str(clip), cv2.CAP_FFMPEG, one)
    frames = []
    while True:
        there, frame = reader.read()
        if not there:
            break
        frames.append(cv2.cvtColor(_area(frame, size), cv2.COLOR_BGR2RGB))
    return np.stack(frames), read_sound(clip, rate=SOUND_RATE).samples


def _pipes(clip: Path, size: tuple[int, int]) -> Read:
    width, height = size
    out, into = os.pipe()
    scale = ["-vf", f"scale={width}:{height}:flags=area", "-pix_fmt", "rgb24"]
    picture = ["-map", "0:v:0", *scale, "-f", "rawvideo", "pipe:1"]
    rate = ["-ac", "1", "-ar", str(SOUND_RATE)]
    sound = ["-map", "0:a:0", *rate, "-f", "f32le", f"pipe:{into}"]
    program = [str(find_program().path), "-v", "error", "-nostdin", "-threads", "1"]
    heard: list[bytes] = []

    def listen() -> None:
        with open(out, "rb") as pipe:
            heard.append(pipe.read())

    listener = threading.Thread(target=listen)
    with subprocess.Popen(
        [*program, "-i", str(clip), *picture, *sound],
        stdout=subprocess.PIPE,
        pass_fds=[into],
    ) as process:
        os.close(into)
        listener.start()
        assert process.stdout is not None
        pixels = process.stdout.read()
        listener.join()
    frames = np.frombuffer(pixels, np.uint8).reshape(-1, height, width, 3)
    return frames, np.frombuffer(heard[0], np.float32)


def _area(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    small: Any = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return small  # type: ignore[no-any-return]
