"""From an argument list to a finished run of the ffmpeg program."""

import errno
import os
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import imageio_ffmpeg

from fmrgb.errors import MediaError, ProgramMissingError
from fmrgb.files import shown
from fmrgb.limits import Limits, hold, too_long

ENCODER = "libx264"
ANSWER_S = 30.0  # a program that takes longer to tell its version is broken
WORDS_KEPT = 1 << 16  # bytes of what a program says
LONGEST_WORDS = 500  # characters of its last line that are quoted
_VERSION = re.compile(r"ffmpeg version n?(\d+)\.(\d+)")
_FIRST_FPS_MODE = (5, 1)  # before it, the option was called -vsync
# From this release on -enc_time_base takes the word demux; later ones refuse -1.
_FIRST_DEMUX = (7, 0)
_SAYS_NOTHING = ("", "Conversion failed!")
_SPEAKER = re.compile(r"^(\[[^]]* @ 0x[0-9a-f]+\] *)+")  # a part of ffmpeg


@dataclass(frozen=True)
class Program:
    """An ffmpeg that runs here and can write H.264."""

    path: str
    keep_times: dict[str, str]  # the options by which frames keep their own times


def find_program() -> Program:
    """Find the system's ffmpeg, or else the one that imageio-ffmpeg brings.

    Raises:
        ProgramMissingError: if neither is there, runs and can write H.264.
    """
    for path in (shutil.which("ffmpeg"), _bundled()):
        if path and f"Encoder {ENCODER}" in answer(path, "-h", f"encoder={ENCODER}"):
            return Program(path, keep_times(answer(path, "-version")))
    raise ProgramMissingError(
        f"expected an ffmpeg program with {ENCODER}, found none; install it: "
        "sudo apt-get install ffmpeg"
    )


def keep_times(version: str) -> dict[str, str]:
    """Return the options by which every frame keeps its own time, and none is dropped.

    Args:
        version: what -version prints; one without a number, built from the sources of
            a day, counts as new.
    """
    match = _VERSION.match(version)
    number = (int(match[1]), int(match[2])) if match else _FIRST_DEMUX
    return {
        "fps_mode" if number >= _FIRST_FPS_MODE else "vsync": "passthrough",
        # The clip's own clock: that of an average rate would round uneven times.
        "enc_time_base:v": "demux" if number >= _FIRST_DEMUX else "-1",
    }


def _bundled() -> str | None:
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        return None


def answer(program: str, *words: str) -> str:
    """Return what the program prints, nothing if it does not run."""
    try:
        ended = subprocess.run(
            [program, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.decode(errors="replace")


class Children:
    """Programs that were started from any thread and can be ended all at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(self, command: list[str], *, limits: Limits, about: Path) -> None:
        """Run a command to its end.

        Args:
            command: the program and its arguments.
            limits: it is killed if it takes longer, and told of no more memory.
            about: the file it works on, named in faults.

        Raises:
            MediaError: if it fails, or does not end in time; says its last words.
            OSError: if the disk is full.
        """
        with self._start(command) as process:
            hold(process.pid, limits)
            said = bytearray()
            listener = threading.Thread(target=_listen, args=(process.stderr, said))
            listener.start()
            late = False
            try:
                process.wait(limits.seconds)
            except subprocess.TimeoutExpired:
                late = True
            finally:
                process.kill()  # does nothing to one that has ended
                process.wait()  # Popen itself does not, when Ctrl-C interrupts it
                listener.join()
                with self._lock:
                    self._running.discard(process)
        if late:
            words = _last_words(os.fsdecode(bytes(said)), about)
            raise MediaError(
                f"{shown(about)}: ffmpeg was stopped: {too_long(limits.seconds)}"
                + (f"; it said: {words!r}" if words else "")
            )
        if process.returncode:
            _raise(process.returncode, os.fsdecode(bytes(said)), about)

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise MediaError("stopped before it was begun; run the same again")
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            self._running.add(process)
            return process

    def stop(self) -> None:
        """Kill all that run, and start none from now on."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()


def _listen(stream: IO[bytes], said: bytearray) -> None:
    """Keep the last of what a program says: a bad file can make it say gigabytes."""
    while piece := stream.read(WORDS_KEPT):
        said += piece
        del said[:-WORDS_KEPT]


def _last_words(said: str, about: Path) -> str:
    # Its name goes first: a line break in it would tear ffmpeg's last line in two.
    lines = said.replace(os.path.abspath(about), shown(about)).splitlines()
    words = [_SPEAKER.sub("", line.strip()) for line in lines]
    words = [line for line in words if line not in _SAYS_NOTHING]
    return shown(words[-1][:LONGEST_WORDS]) if words else ""


def _raise(status: int, said: str, about: Path) -> None:
    if os.strerror(errno.ENOSPC) in said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if status < 0:
        raise MediaError(
            f"{shown(about)}: ffmpeg was killed (signal {-status}), for want of memory "
            "perhaps; run the same command again"
        )
    last = _last_words(said, about) or f"no word, exit status {status}"
    raise MediaError(
        f"{shown(about)}: ffmpeg cannot convert it: {last}; record it again or leave "
        "it out"
    )
