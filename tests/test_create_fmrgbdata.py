"""The tool create_fmrgbdata: what it prints, how it ends, and how it goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import clips
import numpy as np
import pytest
from fmrgb_tools.create_fmrgbdata import main
from groups import wait_for_the_end

from fmrgb.leftovers import HOST
from fmrgb.manifest import read_manifest
from fmrgb.sample import load_sample

TOOL = Path(__file__).parent.parent / "tools" / "create_fmrgbdata.py"
N_CLIPS = 12
# Enlarged, so that a clip takes long enough for a run to be stopped in the middle.
SLOW = ("--size", "160", "--frames", "80")


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, hidden ones too, by its name."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.fixture
def pair(talkie, mute, tmp_path) -> Path:
    """Return a folder of two labels with one clip each, one of them without sound."""
    clips.copies(talkie, tmp_path / "clips", "loud/a.mp4")
    clips.copies(mute, tmp_path / "clips", "still/b.mp4")
    return tmp_path / "clips"


def test_the_survey_and_the_result_are_printed(pair, capsys):
    assert main(["--target", str(pair), "--workers", "1"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["label", "loud", "still", "all"]
    assert lines[4:] == [
        "2 samples of 12 frames (2 made, 0 kept), 1 without a sound track, 0 with a "
        "silent one",
        "0 clips set aside",
        f"manifest: {pair}/manifest.csv",
    ]
    assert [row.path for row in read_manifest(pair)] == [
        pair / "loud" / "a.pt",
        pair / "still" / "b.pt",
    ]
    assert main(["--target", str(pair), "--workers", "1"]) == 0
    assert "(0 made, 2 kept)" in capsys.readouterr().out


def test_json_is_the_only_thing_on_stdout(pair, capsys, tmp_path):
    clips.make(pair / "still" / "c.mp4", clips.colours(), np.zeros(19_200, np.float32))
    (pair / "bad.mp4").touch()
    output = tmp_path / "out"
    words = ["--target", str(pair), "--output", str(output), "--workers", "1", "--json"]
    assert main(words) == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "manifest": str(output / "manifest.csv"),
        "samples": 3,
        "made": 3,
        "failed": 1,
        "frames": 12,
        "no_sound": 1,
        "silent": 1,
    }
    assert err.startswith("label")
    assert err.splitlines()[-1].startswith(f"set aside: {pair}/bad.mp4 is empty")


@pytest.mark.parametrize(
    ("words", "channels"),
    [
        ([], "R G B amplitude frequency"),
        (["--fmrgb", "true"], "R G B amplitude frequency"),
        (["--fmrgb", "false"], "gray amplitude frequency"),
        (["--fmrgb", "5", "--audiomethod", "mel"], "R G B amplitude mel"),
        (["--fmrgb", "3", "--audiomethod", "mel"], "gray amplitude mel"),
    ],
)
def test_flags_choose_the_channels(pair, words, channels):
    assert main(["--target", str(pair / "loud" / "a.mp4"), *words]) == 0
    sample = load_sample(pair / "loud" / "a.pt")
    assert sample.channels == tuple(channels.split())
    assert sample.shape[3] == len(sample.channels)
    assert (sample.label, len(read_manifest(pair / "loud"))) == ("loud", 1)


def test_every_flag_reaches_the_samples(pair, tmp_path):
    words = ["--frequency-param", "400", "--scale", "relative", "--frames", "max"]
    words += ["--skip", "5", "--size", "20x16", "--output", str(tmp_path / "out")]
    (pair / "groups.csv").write_text("path,group\nloud/a.mp4,film\n")
    words += ["--groups", str(pair / "groups.csv"), "--workers", "1"]
    assert main(["--target", str(pair), *words]) == 0
    a, b = read_manifest(tmp_path / "out")
    assert (a.group, b.group, a.frames, a.width, a.height) == ("film", "", 3, 20, 16)
    assert load_sample(a.path).meta["options"] == {
        "audiomethod": "simple",
        "samples_per_frame": 400,
        "n_channels": 5,
        "scale": "relative",
        "frames": 3,
        "skip": 5,
        "size": [20, 16],
    }


def test_what_goes_with_the_label_is_warned_of(talkie, mute, tmp_path, capsys):
    clips.copies(talkie, tmp_path, *(f"loud/{i}.mp4" for i in range(10)))
    clips.copies(mute, tmp_path, *(f"still/{i}.mp4" for i in range(10)))
    words = ["--target", str(tmp_path), "--size", "4", "--workers", "1"]
    assert main(words) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "warning: this goes with the label, a shortcut: has no sound track: 0 of 10 "
        "loud, 10 of 10 still; this alone guesses 100% of the labels"
    )


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(Exception, match="no such file or folder"):
        main(["--target", str(tmp_path / "gone"), "--debug"])


@pytest.mark.parametrize(
    "program", [[TOOL], ["-m", "fmrgb_tools.main", "create-fmrgbdata"]]
)
def test_it_runs_as_a_program(pair, program):
    command = [sys.executable, *program, "--target", pair, "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"manifest: {pair}/manifest.csv\n")
    assert load_sample(pair / "loud" / "a.pt").label == "loud"


# Runs that are stopped


@pytest.fixture(scope="module")
def dozen(long_talkie, tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """Return a folder of clips and what an undisturbed run makes of it."""
    folder = tmp_path_factory.mktemp("dozen")
    names = [f"{'ab'[i % 2]}/{i:02}.mp4" for i in range(N_CLIPS)]
    clips.copies(long_talkie, folder / "clips", *names)
    words = ["--target", str(folder / "clips"), "--output", str(folder / "out")]
    assert main([*words, *SLOW, "--workers", "1"]) == 0
    return folder / "clips", contents(folder / "out")


def samples(folder: Path) -> list[Path]:
    """Return the samples below a folder that have their final names."""
    return [p for p in folder.rglob("*.pt") if not p.name.startswith(".")]


def start(target: Path, output: Path, workers: int) -> "subprocess.Popen[str]":
    """Start a run in a group of its own; return when it has made two samples."""
    words = ["--target", target, "--output", output, "--workers", str(workers)]
    run = subprocess.Popen(
        [sys.executable, TOOL, *words, *SLOW],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 120
    while len(samples(output)) < 2:
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < end, "no sample was ever made"
        time.sleep(0.002)
    return run


def assert_goes_on(target: Path, output: Path, wanted: dict[str, bytes]) -> None:
    """Check that all samples are whole and that the same command completes them."""
    made = samples(output)
    assert 2 <= len(made) < N_CLIPS
    assert all(load_sample(path).shape == (80, 160, 160, 5) for path in made)
    words = ["--target", str(target), "--output", str(output), "--workers", "1"]
    before = [path.stat().st_mtime_ns for path in made]
    assert main([*words, *SLOW]) == 0
    assert contents(output) == wanted  # and so no .part is left
    assert [path.stat().st_mtime_ns for path in made] == before


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on_where_it_stopped(dozen, tmp_path, workers):
    target, wanted = dozen
    run = start(target, tmp_path, workers)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    wait_for_the_end(run.pid)
    assert not (tmp_path / "manifest.csv").exists()
    # What a run killed while it wrote would leave.
    part = f".a.01234567.{HOST}-{run.pid}.part.pt"
    (tmp_path / part).write_bytes(b"half a sample")
    assert_goes_on(target, tmp_path, wanted)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_is_one_line_and_the_next_run_goes_on(dozen, tmp_path, workers):
    target, wanted = dozen
    run = start(target, tmp_path, workers)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert err == "create_fmrgbdata: stopped; what is finished is whole\n"
    assert_goes_on(target, tmp_path, wanted)
