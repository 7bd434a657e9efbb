"""Whatever a folder holds: each clip a right sample or a named reason, none lost.

Axes: T frames, H height, W width.
"""

import csv
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import clips
import numpy as np
import pytest
from clips import BT601, FPS, H264, HEIGHT, N_FRAMES, WIDTH
from fmrgb_tools.create_fmrgbdata import main

from fmrgb.manifest import read_manifest
from fmrgb.sample import Sample, load_sample

SECONDS = N_FRAMES / FPS


class Ended(NamedTuple):
    """How a run of the tool ended."""

    status: int
    out: str
    err: str


Tool = Callable[..., Ended]


@pytest.fixture
def tool(capsys: pytest.CaptureFixture[str]) -> Tool:
    """Return a function that runs the tool in this process on words."""

    def run(*words: str | int | Path) -> Ended:
        capsys.readouterr()
        try:
            status = main([str(word) for word in words])
        except SystemExit as left:
            status = int(left.code or 0)
        return Ended(status, *capsys.readouterr())

    return run


def refusal(ended: Ended, status: int) -> str:
    """Return the one line with which the tool refused to work."""
    assert ended.status == status
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("create_fmrgbdata: ")
    return ended.err


def failures(folder: Path) -> dict[str, str]:
    """Return the reasons that failed.csv gives, by the clips' paths."""
    with open(folder / "failed.csv", newline="", encoding="utf-8") as file:
        return {record["path"]: record["reason"] for record in csv.DictReader(file)}


def build_beside_good(tool: Tool, talkie: Path, folder: Path) -> tuple[Ended, Path]:
    """Run the tool on a folder after a good clip was laid in it; check that clip."""
    (good,) = clips.copies(talkie, folder, "good.mp4")
    output = folder.parent / "out"
    ended = tool("--target", folder, "--output", output, "--workers", "1")
    sample = load_sample(output / "good.pt")
    assert sample.shape == (N_FRAMES, HEIGHT, WIDTH, 5)
    assert good.with_suffix(".pt") not in folder.iterdir()
    assert (output / "good.pt") in [row.path for row in read_manifest(output)]
    return ended, output


def assert_set_aside(tool: Tool, talkie: Path, bad: Path, reason: str) -> None:
    """Check that a clip is named with its reason and a good one is built all the same.

    A later run without the bad clip removes the list of failures.
    """
    ended, output = build_beside_good(tool, talkie, bad.parent)
    assert ended.status == 1
    lines = ended.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("set aside: ")
    assert lines[0].count(str(bad)) == 1
    assert reason in lines[0]
    assert "1 samples of 12 frames (1 made, 0 kept)" in ended.out
    assert f"1 clips set aside, see {output}/failed.csv" in ended.out
    assert list(failures(output)) == [str(bad)]
    assert reason in failures(output)[str(bad)]
    assert not (output / f"{bad.stem}.pt").exists()
    bad.unlink()
    clean = tool("--target", bad.parent, "--output", output, "--workers", "1")
    assert (clean.status, clean.err) == (0, "")
    assert "1 samples of 12 frames (0 made, 1 kept)" in clean.out
    assert not (output / "failed.csv").exists()


def sample_beside_good(tool: Tool, talkie: Path, odd: Path) -> Sample:
    """Check that an odd clip is built without a word, and return its sample."""
    ended, output = build_beside_good(tool, talkie, odd.parent)
    assert (ended.status, ended.err) == (0, "")
    assert "2 samples of 12 frames (2 made, 0 kept)" in ended.out
    assert not (output / "failed.csv").exists()
    return load_sample(output / f"{odd.stem}.pt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder for clips."""
    (tmp_path / "clips").mkdir()
    return tmp_path / "clips"


# The command line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--frames", "0"], "--frames must be at least 1, got 0"),
        (["--frames", "most"], "expected 'max' or a number of frames, got 'most'"),
        (["--skip", "0"], "--skip must be at least 1, got 0"),
        (["--size", "0x5"], "sides must be 1 to 8192 pixels, got '0x5'"),
        (["--frequency_param", "1"], "--frequency_param must be at least 2, got 1"),
        (["--workers", "0"], "--workers must be at least 1, got 0"),
        (
            ["--frame", "9"],
            "arguments: --frame 9 (did you mean --frames?)",
        ),
        (["--audiomethod", "fft"], "invalid choice: 'fft' (choose from "),
        (["--fmrgb", "4"], "expected 3 or 5 (or the older false, true), got '4'"),
    ],
)
def test_a_wrong_word_is_one_line_and_status_2(tool, folder, talkie, words, said):
    clips.copies(talkie, folder, "a.mp4")
    assert said in refusal(tool("--target", folder, *words), 2)
    assert [p.name for p in folder.iterdir()] == ["a.mp4"]


def test_a_target_is_asked_for(tool):
    assert "required: --target" in refusal(tool(), 2)


def test_no_such_folder(tool, folder):
    said = refusal(tool("--target", folder / "gone"), 1)
    assert f"no such file or folder: {folder}/gone" in said


def test_a_folder_without_clips(tool, folder):
    (folder / "notes.txt").touch()
    said = refusal(tool("--target", folder), 1)
    assert f"file in {folder} or its sub-folders" in said
    assert os.listdir(folder) == ["notes.txt"]


def test_no_such_groups_csv(tool, folder, talkie):
    clips.copies(talkie, folder, "a.mp4")
    said = refusal(tool("--target", folder, "--groups", folder / "g.csv"), 1)
    assert f"cannot read {folder}/g.csv: No such file" in said


# Clips that cannot be used


def test_an_empty_clip(tool, folder, talkie):
    (folder / "bad.mp4").touch()
    assert_set_aside(tool, talkie, folder / "bad.mp4", "is empty (0 bytes)")


@pytest.mark.parametrize("share", [0.4, 0.9])
@pytest.mark.parametrize("moov", ["in front", "behind"])
def test_a_clip_cut_short(tool, folder, long_talkie, talkie, moov, share):
    whole = long_talkie
    if moov == "in front":
        whole = folder.parent / "front.mp4"
        clips.ffmpeg("-i", long_talkie, "-c", "copy", "-movflags", "faststart", whole)
    bad = clips.cut(whole, folder / "bad.mp4", share)
    reason = "is cut short" if moov == "in front" else "is not a video or lost its head"
    assert_set_aside(tool, talkie, bad, reason)


def test_words_by_the_name_of_a_clip(tool, folder, talkie):
    (folder / "bad.mp4").write_text("Dear diary,\n" * 500)
    assert_set_aside(
        tool, talkie, folder / "bad.mp4", "is not a video or lost its head"
    )


def test_sound_without_a_picture(tool, folder, talkie):
    bad = clips.make(folder / "bad.mp4", None, clips.tone(500, 1))
    assert_set_aside(tool, talkie, bad, "has no picture (it has: audio); leave it out")


def test_spoilt_pictures(tool, folder, talkie):
    noise = np.random.default_rng(0).integers(0, 256, (12, 32, 48, 3), np.uint8)
    bad = clips.make(folder / "bad.mp4", noise)
    data = bytearray(bad.read_bytes())
    inside = data.index(b"mdat") + len(data) // 3
    data[inside : inside + 3000] = bytes(3000)
    bad.write_bytes(data)
    assert_set_aside(tool, talkie, bad, "cannot be decoded after ")


def test_a_sample_that_has_a_folder_in_its_place(tool, folder, talkie):
    clips.copies(talkie, folder, "bad.mp4")
    (folder.parent / "out" / "bad.pt").mkdir(parents=True)
    ended, output = build_beside_good(tool, talkie, folder)
    assert ended.status == 1
    assert f"set aside: {folder}/bad.mp4: " in ended.err
    assert "Is a directory" in failures(output)[f"{folder}/bad.mp4"]


@pytest.mark.parametrize("other", ["a.mov", "a.MP4"])
def test_two_clips_with_one_name_for_their_samples(tool, folder, talkie, other):
    clips.copies(talkie, folder, "a.mp4", other)
    ended, output = build_beside_good(tool, talkie, folder)
    assert ended.status == 1
    assert ended.err.count("its sample would have the same name as that of a.") == 2
    assert sorted(failures(output)) == sorted([f"{folder}/a.mp4", f"{folder}/{other}"])
    assert not (output / "a.pt").exists()


def test_a_name_with_a_line_break_is_shown_escaped(tool, folder, talkie):
    bad = folder / "two\nlines \x1b[31m red.mp4"
    bad.touch()
    ended, output = build_beside_good(tool, talkie, folder)
    assert ended.status == 1
    said = f"set aside: {folder}/two\\nlines \\x1b[31m red.mp4 is empty (0 bytes)"
    assert ended.err.splitlines() == [f"{said}; record it again"]
    assert list(failures(output)) == [str(bad)]


def test_a_good_clip_may_have_any_name(tool, folder, talkie):
    names = ("two\nlines.mp4", "a  b .mp4", "-dash.mp4", "%d.mp4", '"q",é映.mp4')
    clips.copies(talkie, folder, *names, "http:x.mp4")
    ended, output = build_beside_good(tool, talkie, folder)
    assert (ended.status, ended.err) == (0, "")
    paths = [row.path for row in read_manifest(output)]
    listed = ("good.mp4", "http:x.mp4", *names)
    wanted = [output / name.replace(".mp4", ".pt") for name in listed]
    assert sorted(paths) == sorted(wanted)
    assert all(load_sample(path).label == "clips" for path in paths)


# Clips that are only odd


def test_a_clip_without_sound(tool, folder, talkie, mute):
    (odd,) = clips.copies(mute, folder, "odd.mp4")
    sample = sample_beside_good(tool, talkie, odd)
    assert (sample.has_sound, sample.silent) == (False, True)
    assert not any(plane.any() for plane in sample.sound.values())


@pytest.mark.parametrize(("start_s", "seconds"), [(0, 0.5), (0, 3), (0.6, 0.6)])
def test_sound_shorter_longer_or_later_than_the_picture(
    tool, folder, talkie, start_s, seconds
):
    sound = clips.tone(1000, seconds)
    odd = clips.make(folder / "odd.mp4", clips.colours(), sound, delay_s=start_s)
    sample = sample_beside_good(tool, talkie, odd)
    first, last = round(start_s * FPS), round(min(start_s + seconds, SECONDS) * FPS)
    inner = slice(first + (first > 0), last - (last < N_FRAMES))
    assert len(sample.sound["amplitude"]) == N_FRAMES
    assert (sample.sound["amplitude"][inner] > 200).all()
    outside = np.r_[0 : max(first - 1, 0), last + 1 : N_FRAMES]
    assert not (sample.sound["amplitude"][outside] > 60).any()
    assert not sample.sound["frequency"][outside].any()


def test_a_clip_of_one_frame(tool, folder, talkie):
    odd = clips.make(folder / "odd.mp4", clips.colours(1), clips.tone(1000, 0.1))
    sample = sample_beside_good(tool, talkie, odd)
    assert sample.shape == (N_FRAMES, HEIGHT, WIDTH, 5)
    assert (sample.visual == sample.visual[0]).all()
    assert (sample.sound["amplitude"] > 200).all()


def test_odd_sizes(tool, folder, talkie):
    video = (*BT601, *H264[:-1], "yuv444p")
    odd = clips.make(folder / "odd.mp4", clips.quadrants(12, 17, 33), video=video)
    sample = sample_beside_good(tool, talkie, odd)
    assert sample.shape == (N_FRAMES, 17, 33, 5)
    assert sample.visual[5, 2, 2] == pytest.approx((200, 30, 40), abs=9)
    assert sample.visual[5, -3, -3] == pytest.approx((235, 235, 235), abs=9)


def test_a_turned_clip(tool, folder, talkie):
    flat = clips.make(folder.parent / "flat.mp4", clips.quadrants())
    odd = folder / "odd.mp4"
    clips.ffmpeg("-display_rotation", "90", "-i", flat, "-c", "copy", odd)
    sample = sample_beside_good(tool, talkie, odd)
    assert sample.shape == (N_FRAMES, WIDTH, HEIGHT, 5)
    # Counter-clockwise: what was right above is left above now.
    assert sample.visual[5, 5, 5] == pytest.approx((30, 180, 50), abs=9)
    assert sample.visual[5, -5, 5] == pytest.approx((200, 30, 40), abs=9)


def test_ten_bits(tool, folder, talkie):
    video = (*BT601, *H264[:-1], "yuv420p10le")
    odd = clips.make(folder / "odd.mp4", clips.colours(), video=video)
    sample = sample_beside_good(tool, talkie, odd)
    wanted = clips.colours().astype(int)
    assert sample.visual.astype(int) == pytest.approx(wanted, abs=9)


def test_a_transparent_clip(tool, folder, talkie):
    video = ("-vf", "format=rgba,colorchannelmixer=aa=0.5", "-c:v", "qtrle")
    odd = clips.make(folder / "odd.mov", clips.colours(), video=video)
    sample = sample_beside_good(tool, talkie, odd)
    wanted = clips.colours().astype(int)
    assert sample.visual.astype(int) == pytest.approx(wanted, abs=9)


def test_a_variable_frame_rate(tool, folder, talkie):
    own_times = ("-vf", "setpts=20*(N*N+N)", "-fps_mode", "passthrough")
    sound = np.concatenate([clips.tone(500, 0.6), clips.tone(2000, 2.4)])
    odd = clips.make(
        *(folder / "odd.mp4", clips.colours(), sound),
        fps=1000,
        video=(*own_times, *H264, "-video_track_timescale", "1000"),
    )
    sample = sample_beside_good(tool, talkie, odd)
    times_s = [0.02 * (n * n + n) for n in range(N_FRAMES)]
    assert sample.times == pytest.approx(times_s, abs=1e-6)
    pitch = sample.sound["frequency"].astype(int)
    # Frame 5 begins at 0.6 s: the time it is shown, not its number, finds its sound.
    assert (pitch[1:5] == pitch[1]).all()
    assert (pitch[5:11] == pitch[5]).all()
    assert pitch[5] > pitch[1] + 50


@pytest.mark.parametrize(
    ("rate", "layout", "n_channels"), [(8000, "mono", 1), (48_000, "5.1", 6)]
)
def test_other_sound_formats(tool, folder, talkie, rate, layout, n_channels):
    sound = np.stack([clips.tone(1000, SECONDS, rate=rate)] * n_channels)
    # AAC gives the sixth channel nothing but its lowest tones.
    audio = ("-c:a", "pcm_s16le")
    odd = clips.make(
        *(folder / "odd.mov", clips.colours(), sound),
        **{"rate": rate, "layout": layout, "audio": audio},
    )
    planes = sample_beside_good(tool, talkie, odd).sound
    good = load_sample(folder.parent / "out" / "good.pt").sound
    for name, plane in planes.items():
        inner = plane[1:-1].astype(int)
        assert inner == pytest.approx(good[name][1:-1].astype(int), abs=2)


# Places that cannot be written


def test_an_output_below_a_file(tool, folder, talkie):
    clips.copies(talkie, folder, "a.mp4")
    (folder.parent / "file").touch()
    ended = tool("--target", folder, "--output", folder.parent / "file" / "x")
    said = refusal(ended, 1)
    assert f"cannot write {folder.parent}/file/x: Not a directory; choose a " in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to a read-only folder")
def test_a_read_only_output(tool, folder, talkie):
    clips.copies(talkie, folder, "a.mp4")
    (folder.parent / "locked").mkdir(mode=0o555)
    ended = tool("--target", folder, "--output", folder.parent / "locked")
    assert f"cannot write {folder.parent}/locked: " in refusal(ended, 1)


def test_samples_that_cannot_fit_are_refused_before_the_work(
    tool, folder, talkie, monkeypatch
):
    clips.copies(talkie, folder, "a.mp4", "b.mp4")
    free = 10 * 2**30
    usage = shutil.disk_usage(folder)._replace(free=free)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    words = ("--target", folder, "--workers", "1", "--frames")
    n = 10 * 2**30 // (2 * 3 * WIDTH * HEIGHT)
    ended = tool(*words, n)
    said = refusal(ended, 1)
    assert f"the samples need 10.0 GiB (2 clips), {folder} has 9.9" in said
    assert f"the largest is that of {folder}/a.mp4, 5.0 GiB; use --frames N" in said
    assert sorted(os.listdir(folder)) == ["a.mp4", "b.mp4"]
    assert tool(*words, 5).status == 0


def test_a_disk_that_fills_in_the_middle(tool, folder, talkie, monkeypatch):
    # The full disk is laid in the way of this process, not of one that it starts.
    monkeypatch.setattr("fmrgb_tools.create_fmrgbdata.allowance", lambda _: None)
    clips.copies(talkie, folder, "a.mp4", "b.mp4", "c.mp4")
    output = folder.parent / "out"
    words = ("--target", folder, "--output", output, "--workers", "1")
    output.mkdir()
    clips.full_device(output / "b.pt")
    said = refusal(tool(*words), 1)
    assert f"no room left to write {output}/b.pt; free some and run the same" in said
    assert os.listdir(output) == ["a.pt"]
    before = (output / "a.pt").read_bytes()
    assert "3 samples of 12 frames (2 made, 1 kept)" in tool(*words).out
    assert (output / "a.pt").read_bytes() == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of 2 MiB."""
    if os.geteuid():
        pytest.skip("only root may mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    kind = ["-t", "tmpfs", "-o", "size=2m", "tmpfs"]
    mounted = subprocess.run(["mount", *kind, disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small disk could be mounted: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_small_disk_is_seen_before_the_work(tool, folder, talkie, small_disk):
    clips.copies(talkie, folder, "a.mp4")
    ended = tool("--target", folder, "--output", small_disk, "--workers", "1")
    assert re.search(r"the samples need \d+ [KM]iB ", refusal(ended, 1))
    assert os.listdir(small_disk) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_small_disk_that_fills_keeps_what_is_whole(
    tool, folder, talkie, small_disk, monkeypatch, workers
):
    clips.copies(talkie, folder, *(f"{i}.mp4" for i in range(8)))
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    words = ("--target", folder, "--workers", workers, "--frames", 100, "--output")
    said = refusal(tool(*words, small_disk), 1)
    assert f"no room left to write {small_disk}/" in said
    written = sorted(small_disk.glob("[0-9].pt"))
    assert 1 <= len(written) < 5
    # On a bigger disk the same clips give the same bytes.
    roomy = folder.parent / "roomy"
    assert tool(*words, roomy).status == 0
    for path in written:
        assert path.read_bytes() == (roomy / path.name).read_bytes()


def test_a_full_disk_is_met_where_memory_is_outgrown(
    tool, folder, talkie, small_disk, monkeypatch
):
    clips.copies(talkie, folder, "a.mp4")
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    monkeypatch.setattr("fmrgb.files.MEMORY_BYTES", 1000)
    monkeypatch.setattr("fmrgb.files.Spool.__init__.__defaults__", (None, 1000))
    words = ("--target", folder, "--output", small_disk, "--workers", "1")
    said = refusal(tool(*words, "--frames", "1000"), 1)
    assert f"no room left to write {small_disk}" in said
    assert os.listdir(small_disk) == []
    said = refusal(tool(*words, "--size", "600"), 1)
    assert f"no room left to write {small_disk}" in said
    assert os.listdir(small_disk) == []
