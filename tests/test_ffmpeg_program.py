"""ffmpeg_program.py: finding an ffmpeg that serves, and ending the ones that run."""

import errno
import os
import stat
import threading
from pathlib import Path

import imageio_ffmpeg
import pytest

from fmrgb.errors import MediaError, ProgramMissingError
from fmrgb.ffmpeg_program import Children, find_program, keep_times
from fmrgb.limits import Limits

CLIP = Path("a\nb.mp4")


def script(path: Path, body: str) -> Path:
    """Write a program that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def only(tmp_path, monkeypatch):
    """Return a function that leaves one ffmpeg, with this body, on the system."""

    def leave(body: str) -> str:
        program = script(tmp_path / "bin" / "ffmpeg", body)
        monkeypatch.setenv("PATH", str(program.parent))
        return str(program)

    return leave


@pytest.mark.parametrize(
    ("version", "timing", "clock"),
    [
        ("ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright", "vsync", "-1"),
        ("ffmpeg version 5.0.1 Copyright", "vsync", "-1"),
        ("ffmpeg version 5.1.9-0+deb12u1 Copyright", "fps_mode", "-1"),
        ("ffmpeg version 6.1.1-3ubuntu5 Copyright", "fps_mode", "-1"),
        ("ffmpeg version 10.2 Copyright", "fps_mode", "demux"),
        ("ffmpeg version n7.1-17-g2a571b6068 Copyright", "fps_mode", "demux"),
        ("ffmpeg version N-118000-gabcdef0123 Copyright", "fps_mode", "demux"),
        ("", "fps_mode", "demux"),
    ],
)
def test_options_are_spelt_as_the_version_knows_them(version, timing, clock):
    assert keep_times(version) == {timing: "passthrough", "enc_time_base:v": clock}


def test_the_program_on_the_path_is_preferred(only):
    path = only('echo "Encoder libx264 [x]"; test "$1" = -version && echo "" || true')
    assert find_program().path == path


def test_a_program_that_cannot_write_h264_is_passed_over(only):
    only('echo "Codec libx264 is not recognized by FFmpeg."')
    assert find_program().path == imageio_ffmpeg.get_ffmpeg_exe()


def test_without_any_program_the_cure_is_told(only, monkeypatch):
    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    only("exit 1")
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(ProgramMissingError, match="sudo apt-get install ffmpeg"):
        find_program()


def test_the_last_word_of_a_failure_is_quoted_in_one_line(tmp_path):
    told = f"{os.path.abspath(CLIP)}: not today"
    failing = script(
        tmp_path / "ffmpeg",
        f"echo first >&2; echo '[h264 @ 0x55aa] {told}' >&2\n"
        "echo 'Conversion failed!' >&2; exit 1",
    )
    with pytest.raises(MediaError, match="cannot convert it") as caught:
        Children().run([str(failing)], limits=Limits(10), about=CLIP)
    assert r"convert it: a\nb.mp4: not today; record" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_failure_without_a_word_gives_its_status(tmp_path):
    failing = script(tmp_path / "ffmpeg", "exit 3")
    with pytest.raises(MediaError, match="exit status 3"):
        Children().run([str(failing)], limits=Limits(10), about=CLIP)


def test_a_full_disk_is_told_apart(tmp_path):
    failing = script(
        tmp_path / "ffmpeg", "echo 'x.mp4: No space left on device' >&2; exit 1"
    )
    with pytest.raises(OSError, match="No space") as caught:
        Children().run([str(failing)], limits=Limits(10), about=CLIP)
    assert caught.value.errno == errno.ENOSPC


def test_a_program_that_hangs_is_killed():
    with pytest.raises(MediaError, match="was stopped: it was not done within 0 s"):
        Children().run(["sleep", "60"], limits=Limits(0.2), about=CLIP)


def test_stop_ends_what_runs_and_starts_nothing_more():
    children, faults = Children(), []

    def run() -> None:
        try:
            children.run(["sleep", "60"], limits=Limits(50), about=CLIP)
        except MediaError as error:
            faults.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    while not children._running:
        pass
    children.stop()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert "was killed (signal 9)" in faults[0]
    with pytest.raises(MediaError, match="stopped before it was begun"):
        children.run(["true"], limits=Limits(50), about=CLIP)
