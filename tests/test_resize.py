"""resize.py and its tool: real mp4s in, smaller mp4s beside them.

Axes: T frames, H height, W width.
"""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from fmrgb_tools.resize_video import main
from groups import wait_for_the_end

from fmrgb.errors import DiskFullError, InputError
from fmrgb.header import read_header
from fmrgb.media import decode_to_end, read_clip
from fmrgb.mp4 import write_mp4
from fmrgb.resize import resize
from fmrgb.tracks import Sound

FPS = 10
N_FRAMES = 7
HEIGHT, WIDTH = 62, 98  # pixels; no multiples of four, nor of three
RATE = 16_000  # Hz
TOOL = Path(__file__).parent.parent / "tools" / "resize_video.py"
# Upper left, upper right, lower left, lower right
CORNERS = ((200, 30, 40), (30, 180, 50), (40, 50, 210), (220, 210, 60))
TOLERANCE = 14  # levels: RGB to YCbCr, two encodings


def picture() -> np.ndarray:
    """Return [H, W, 3], a colour in each quarter."""
    picture_HWC = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    top, left = slice(0, HEIGHT // 2), slice(0, WIDTH // 2)
    bottom, right = slice(HEIGHT // 2, None), slice(WIDTH // 2, None)
    places = ((top, left), (top, right), (bottom, left), (bottom, right))
    for place, colour in zip(places, CORNERS, strict=True):
        picture_HWC[place] = colour
    return picture_HWC


def make(path: Path, *, n_frames: int = N_FRAMES, sound: bool = True) -> Path:
    """Write an mp4 with a tone."""
    time_s = np.arange(n_frames * RATE // FPS) / RATE
    tone = np.sin(2 * np.pi * 440 * time_s).astype(np.float32) / 2
    write_mp4(
        path, [picture()] * n_frames, FPS, Sound(tone, RATE, 0.0) if sound else None
    )
    return path


def corners(path: Path) -> np.ndarray:
    """Return the mean colours [4, 3] of the quarters of the first frame, upright."""
    frame = read_clip(path).frames[0].astype(float)
    height, width = frame.shape[0] // 2, frame.shape[1] // 2
    # Away from the edges, where colours mix.
    rows = (slice(2, height - 2), slice(height + 2, -2))
    columns = (slice(2, width - 2), slice(width + 2, -2))
    return np.array([frame[r, c].mean(axis=(0, 1)) for r in rows for c in columns])


def sound_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size]


def frame_times(path: Path) -> list[float]:
    return read_clip(path).starts_s.tolist()


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def slow_ffmpeg(folder: Path) -> dict[str, str]:
    """Return an environment whose ffmpeg writes half a file and then hangs."""
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(
        "#!/bin/sh\n"
        f'real="{imageio_ffmpeg.get_ffmpeg_exe()}"\n'
        'case "$1" in -h|-version) exec "$real" "$@";; esac\n'
        'for word; do output="$last"; last="$word"; done\n'  # the last but one
        'printf half > "${output#file:}"\n'
        "exec sleep 100\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def wait_for_parts(folder: Path, wanted: int) -> None:
    end = time.monotonic() + 60
    while len(list(folder.glob(".*.part.mp4"))) < wanted:
        assert time.monotonic() < end, "no part was ever begun"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("mag", "width", "height"), [(3, 32, 20), (1.5, 66, 42), (1, 98, 62), (500, 2, 2)]
)
def test_sides_are_divided_and_even(tmp_path, mag, width, height):
    clip = make(tmp_path / "a.mp4")
    result = resize(clip, mag=mag)
    assert result.done == [tmp_path / "resized_a.mp4"]
    header = read_header(result.done[0])
    assert (header.width, header.height) == (width, height)
    assert header.frames == N_FRAMES


def test_colours_stay(tmp_path):
    make(tmp_path / "a.mp4")
    resize(tmp_path, mag=2)
    colours = corners(tmp_path / "resized_a.mp4")
    assert colours == pytest.approx(np.array(CORNERS), abs=TOLERANCE)


def test_the_sound_is_copied_byte_for_byte(tmp_path):
    clip = make(tmp_path / "a.mp4")
    resize(tmp_path)
    copy = tmp_path / "resized_a.mp4"
    assert len(sound_packets(clip)) > 5
    assert sound_packets(copy) == sound_packets(clip)
    assert decode_to_end(copy).sound_seconds == decode_to_end(clip).sound_seconds
    assert read_clip(copy).sound.start_s == read_clip(clip).sound.start_s


def test_a_clip_without_sound_gets_a_copy_without(tmp_path):
    make(tmp_path / "a.mp4", sound=False)
    resize(tmp_path)
    assert not read_header(tmp_path / "resized_a.mp4").has_sound


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_clip_comes_out_upright(tmp_path, turn):
    flat = make(tmp_path / "flat.mp4")
    (tmp_path / "in").mkdir()
    clip = tmp_path / "in" / "a.mp4"
    words = ["-display_rotation", str(turn), "-i", flat, "-c", "copy", clip]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *words]
    subprocess.run(command, check=True)
    resize(clip, mag=2)
    copy = clip.with_name("resized_a.mp4")
    upright = np.rot90(np.array(CORNERS).reshape(2, 2, 3), turn // 90).reshape(4, 3)
    assert corners(clip) == pytest.approx(upright, abs=TOLERANCE)
    assert corners(copy) == pytest.approx(upright, abs=TOLERANCE)
    sides = read_header(copy)
    assert (sides.width, sides.height) == ((50, 32) if turn == 180 else (32, 50))
    with av.open(str(copy)) as container:
        assert next(container.decode(video=0)).rotation == 0
    assert resize(clip, mag=2).skipped == [copy]


def test_uneven_frame_times_stay(tmp_path):
    clip = tmp_path / "a.mp4"
    times_ms = [0, 7, 9, 250, 251, 900, 1800]
    with av.open(str(clip), "w") as container:
        video = container.add_stream("libx264", rate=30)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        for time_ms in times_ms:
            frame = av.VideoFrame.from_ndarray(picture(), format="rgb24")
            frame.pts = time_ms
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    assert frame_times(clip) == pytest.approx(np.array(times_ms) / 1000, abs=1e-4)
    resize(tmp_path)
    copy = tmp_path / "resized_a.mp4"
    assert frame_times(copy) == pytest.approx(frame_times(clip), abs=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "with space.mp4",
        'it\'s "quoted".mp4',
        "two\nlines.mp4",
        "-dash.mp4",
        "100%d %s.mp4",
        "a:b.mp4",
        "http:x.mp4",
        "ünï 映画.mp4",
        "semi;colon,[x]'.mp4",
        "$HOME `id`.mp4",
        "back\\slash.mp4",
        "UPPER.MP4",
        os.fsdecode(b"not \xff utf8.mp4"),
    ],
)
def test_any_name_works(tmp_path, name):
    clip = make(tmp_path / "plain.mp4").rename(tmp_path / name)
    result = resize(tmp_path)
    assert result.failed == {}
    assert result.done == [tmp_path / f"resized_{clip.stem}.mp4"]
    assert decode_to_end(result.done[0]).frames == N_FRAMES


def test_a_relative_name_with_a_dash_works(tmp_path, monkeypatch):
    make(tmp_path / "-a.mp4")
    monkeypatch.chdir(tmp_path)
    assert resize(Path("-a.mp4")).done == [Path("resized_-a.mp4")]


def test_names_that_differ_in_case_only_are_not_mixed_up(tmp_path):
    make(tmp_path / "a.mp4")
    make(tmp_path / "a.MP4", n_frames=4)
    result = resize(tmp_path)
    assert not result.done
    assert all(
        "would also be called resized_a.mp4" in f for f in result.failed.values()
    )
    assert len(result.failed) == 2


def test_what_is_done_is_skipped(tmp_path):
    (tmp_path / "sub").mkdir()
    make(tmp_path / "a.mp4")
    make(tmp_path / "sub" / "b.mp4", sound=False)
    copies = [tmp_path / "resized_a.mp4", tmp_path / "sub" / "resized_b.mp4"]
    assert resize(tmp_path, workers=2).done == copies
    before = [copy.stat() for copy in copies]
    again = resize(tmp_path, workers=2)
    assert (again.done, again.skipped, again.failed) == ([], copies, {})
    assert [copy.stat().st_mtime_ns for copy in copies] == [
        s.st_mtime_ns for s in before
    ]
    assert again.left_alone == copies  # and never resized_resized_*


@pytest.mark.parametrize("flaw", ["older", "cut", "text", "mute", "short", "other mag"])
def test_a_copy_that_is_not_sound_is_made_again(tmp_path, flaw):
    clip = make(tmp_path / "a.mp4")
    copy = tmp_path / "resized_a.mp4"
    resize(tmp_path)
    good = read_header(copy)
    if flaw == "older":
        os.utime(copy, ns=(0, clip.stat().st_mtime_ns - 1))
    elif flaw == "cut":
        copy.write_bytes(copy.read_bytes()[: -copy.stat().st_size // 3])
    elif flaw == "text":
        copy.write_text("no video")
    elif flaw == "other mag":
        resize(tmp_path, mag=1.5)
    else:
        write_mp4(tmp_path / "resized_x.mp4", [picture()[:20, :32]] * 7, FPS)
        if flaw == "short":
            make(tmp_path / "resized_x.mp4", n_frames=5)
        (tmp_path / "resized_x.mp4").replace(copy)
    assert resize(tmp_path).done == [copy]
    assert read_header(copy) == good
    assert copy.stat().st_mtime_ns >= clip.stat().st_mtime_ns


def test_a_copy_is_never_resized_again(tmp_path):
    copy = make(tmp_path / "resized_a.mp4")
    for target in (copy, tmp_path):
        result = resize(target)
        assert (result.done, result.failed, result.left_alone) == ([], {}, [copy])
    assert names(tmp_path) == ["resized_a.mp4"]


def test_broken_clips_are_named_and_the_rest_is_done(tmp_path, capsys):
    whole = make(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "empty.mp4").touch()
    assert main(["--target", str(tmp_path), "--workers", "2"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("1 made, 0 skipped (done before), 3 failed\n")
    lines = err.splitlines()
    assert len(lines) == 3
    for line, name in zip(lines, ("cut", "empty", "text"), strict=True):
        assert line.startswith("failed: ")
        assert f"{name}.mp4" in line
    kept = ["cut.mp4", "empty.mp4", "resized_whole.mp4", "text.mp4", "whole.mp4"]
    assert names(tmp_path) == kept


def test_a_clip_damaged_inside_is_named(tmp_path):
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (40, HEIGHT, WIDTH, 3), np.uint8)
    clip = tmp_path / "a.mp4"
    write_mp4(clip, list(noise), FPS)
    data = bytearray(clip.read_bytes())
    inside = data.index(b"mdat") + len(data) // 4
    for place in rng.integers(inside, inside + len(data) // 2, 40):
        data[place] ^= 0xFF
    clip.write_bytes(data)
    result = resize(tmp_path)
    assert list(result.failed) == [clip]
    assert names(tmp_path) == ["a.mp4"]


def test_a_copy_with_fewer_frames_is_refused_before_it_gets_its_name(
    tmp_path, monkeypatch
):
    clip, short = make(tmp_path / "a.mp4"), make(tmp_path / "resized_s.mp4", n_frames=5)
    resize(tmp_path / "a.mp4", mag=1)
    (tmp_path / "resized_a.mp4").unlink()

    def run(self, command, **_):
        output = command[-2].removeprefix("file:")
        Path(output).write_bytes(short.read_bytes())

    monkeypatch.setattr("fmrgb.ffmpeg_program.Children.run", run)
    result = resize(clip, mag=1)
    assert "expected 7 frames, got 5" in result.failed[clip]
    assert names(tmp_path) == ["a.mp4", "resized_s.mp4"]


def test_a_killed_run_leaves_no_half_copy_and_the_next_completes(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        make(folder / name)
    command = [sys.executable, TOOL, "--target", folder, "--workers", "2"]
    run = subprocess.Popen(
        command, env=slow_ffmpeg(tmp_path / "bin"), start_new_session=True
    )
    try:
        wait_for_parts(folder, 2)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert not list(folder.glob("resized_*"))
    assert resize(folder).failed == {}
    assert names(folder) == ["a.mp4", "b.mp4", "resized_a.mp4", "resized_b.mp4"]


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_every_ffmpeg_at_once(tmp_path, workers):
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        make(folder / name)
    command = [sys.executable, TOOL, "--target", folder, "--workers", str(workers)]
    run = subprocess.Popen(
        command,
        env=slow_ffmpeg(tmp_path / "bin"),
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for_parts(folder, workers)
        run.send_signal(signal.SIGINT)  # to the tool alone, not to its group
        _, err = run.communicate(timeout=30)
        assert wait_for_the_end(run.pid), "somebody is left"
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 130
    assert err == "resize_video: stopped; what is finished is whole\n"
    assert names(folder) == ["a.mp4", "b.mp4", "c.mp4"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_ends_the_run_and_leaves_no_part(tmp_path, monkeypatch, workers):
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        make(folder / name)
    monkeypatch.setenv("PATH", slow_ffmpeg(tmp_path / "bin")["PATH"])
    program = tmp_path / "bin" / "ffmpeg"
    full = "echo 'a.mp4: No space left on device' >&2; exit 1"
    program.write_text(program.read_text().replace("exec sleep 100", full))
    with pytest.raises(DiskFullError, match="no room left to write"):
        resize(folder, workers=workers)
    end = time.monotonic() + 10
    while names(folder) != ["a.mp4", "b.mp4"]:  # the other thread is just ending
        assert time.monotonic() < end, names(folder)
        time.sleep(0.02)


def test_progress_counts_every_clip(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        make(tmp_path / name)
    steps = []
    resize(
        tmp_path, workers=2, progress=lambda done, total: steps.append((done, total))
    )
    assert steps == [(1, 2), (2, 2)]


def test_the_tool_tells_bytes_as_json(tmp_path, capsys):
    clip = make(tmp_path / "a.mp4")
    assert main(["--target", str(tmp_path), "--crf", "30", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    copy = tmp_path / "resized_a.mp4"
    assert told == {
        "done": [str(copy)],
        "skipped": [],
        "failed": {},
        "left_alone": [],
        "bytes_before": clip.stat().st_size,
        "bytes_after": copy.stat().st_size,
    }


@pytest.mark.parametrize("flag", [["--mag", "0"], ["--mag", "nan"], ["--crf", "52"]])
def test_a_wrong_number_is_one_line_and_status_2(tmp_path, capsys, flag):
    with pytest.raises(SystemExit) as left:
        main(["--target", str(tmp_path), *flag])
    assert left.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert flag[0] in err


def test_no_folder_and_no_mp4_are_told(tmp_path, capsys):
    assert main(["--target", str(tmp_path / "none")]) == 1
    assert "no such file or folder" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"no \.mp4 file"):
        resize(tmp_path)
