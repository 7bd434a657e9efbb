"""Shares of a build: disjoint, complete, and together what one build would be."""

import subprocess
import sys
from pathlib import Path

import clips
import numpy as np
import pytest
from clips import tone
from fmrgb_tools.create_fmrgbdata import main
from fmrgb_tools.merge import main as merge

from fmrgb.alone import alone
from fmrgb.errors import InputError
from fmrgb.names import Shard

N_CLIPS, N_SHARDS = 11, 3
LOOK = ("--frames", "4", "--size", "6x5", "--workers", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of short clips of two labels, one of which is cut short."""
    return clips.few(tmp_path_factory.mktemp("shards") / "clips", N_CLIPS)


def build(folder: Path, output: Path, *words: str) -> int:
    """Run the tool on all clips or on a share of them; return its exit status."""
    return main(["--target", str(folder), "--output", str(output), *LOOK, *words])


def build_shares(folder: Path, output: Path, n_shards: int = N_SHARDS) -> None:
    """Make all shares, the last one first."""
    for number in range(n_shards, 0, -1):
        assert build(folder, output, "--shard", f"{number}/{n_shards}") in (0, 1)


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of all files but the lists of shares, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".shard" not in path.name
    }


def test_every_name_is_in_one_share():
    names = [f"a/clip{number}.mp4" for number in range(200)]
    for of in (1, 2, 7):
        shards = [Shard(number + 1, of) for number in range(of)]
        held = [[shard.holds(name) for shard in shards].count(True) for name in names]
        assert held == [1] * len(names)
        largest = max(sum(map(shard.holds, names)) for shard in shards)
        assert largest < 2 * len(names) / of + 1


def test_shares_merge_into_what_one_build_would_be(tmp_path, folder, capsys):
    assert build(folder, tmp_path / "whole") == 1  # one clip is broken
    build_shares(folder, tmp_path / "shared")
    capsys.readouterr()
    assert merge(["--target", str(tmp_path / "shared")]) == 1
    assert f"{N_CLIPS} samples of {N_SHARDS} shares" in capsys.readouterr().out
    assert files(tmp_path / "shared") == files(tmp_path / "whole")


def test_a_share_is_not_made_twice_and_all_of_it_is_finished_by_one_run(
    tmp_path, folder, capsys
):
    output = tmp_path / "out"
    for _ in range(2):
        build(folder, output, "--shard", "1/2")
    assert "(0 made" in capsys.readouterr().out.splitlines()[-5]
    first = len(list(output.rglob("*.pt")))
    assert 0 < first < N_CLIPS
    assert build(folder, output) == 1
    told = capsys.readouterr().out
    assert f"({N_CLIPS - first} made, {first} kept)" in told


def test_a_share_that_is_missing_is_named(tmp_path, folder, capsys):
    build(folder, tmp_path / "out", "--shard", "2/3")
    assert merge(["--target", str(tmp_path / "out")]) == 1
    assert "--shard 1/3, 3/3" in capsys.readouterr().err


def test_shares_of_two_divisions_are_not_mixed(tmp_path, folder, capsys):
    for share in ("1/2", "1/3"):
        build(folder, tmp_path / "out", "--shard", share)
    assert merge(["--target", str(tmp_path / "out")]) == 1
    assert "lists of 2 and 3 shares" in capsys.readouterr().err


def test_shares_of_two_options_are_not_mixed(tmp_path, folder, capsys):
    build(folder, tmp_path / "out", "--shard", "1/2")
    build(folder, tmp_path / "out", "--shard", "2/2", "--scale", "relative")
    assert merge(["--target", str(tmp_path / "out")]) == 1
    assert "made with different options" in capsys.readouterr().err


def test_a_share_without_clips_is_no_fault(tmp_path, folder):
    few = tmp_path / "few"
    clips.copies(folder / "high" / "clip00.mp4", few / "high", "a.mp4")
    clips.copies(folder / "high" / "clip00.mp4", few / "low", "b.mp4")
    build_shares(few, tmp_path / "shared", 9)
    assert merge(["--target", str(tmp_path / "shared")]) == 0
    assert build(few, tmp_path / "whole") == 0
    assert files(tmp_path / "shared") == files(tmp_path / "whole")


def test_sounds_are_shared_and_their_values_merged(tmp_path):
    target = tmp_path / "sounds"
    for number in range(5):
        path = target / ("high", "low")[number % 2] / f"s{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = tone(300.0 + 100 * number, 0.3).astype(np.float32)
        clips.make(path, None, sound, audio=("-c:a", "pcm_s16le"))
    words = ["--target", str(target), "--soundpicture", "features", "--workers", "1"]
    assert main([*words, "--output", str(tmp_path / "whole")]) == 0
    for share in ("1/2", "2/2"):
        assert main([*words, "--output", str(tmp_path / "out"), "--shard", share]) == 0
    assert merge(["--target", str(tmp_path / "out")]) == 0
    assert "features.csv" in files(tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


@pytest.mark.parametrize("share", ["0/3", "4/3", "1", "a/b", "1/0", "²/3"])
def test_a_share_that_is_none_is_refused(folder, share, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--target", str(folder), "--shard", share, "--frames", "4"])
    assert "expected i/n" in capsys.readouterr().err


def test_a_share_needs_a_number_of_frames(folder, capsys):
    words = ["--target", str(folder), "--shard", "1/2", "--size", "6"]
    assert main(words) == 1
    assert "--shard needs --frames N" in capsys.readouterr().err


def test_a_folder_without_shares_is_told(tmp_path, capsys):
    assert merge(["--target", str(tmp_path)]) == 1
    assert "lists of no shares" in capsys.readouterr().err


def test_two_shares_hold_a_folder_together_against_one_who_wants_it_alone(tmp_path):
    with alone(tmp_path, Shard(1, 2)):
        with (
            pytest.raises(InputError, match="is being written to"),
            alone(tmp_path, Shard(1, 2)),
        ):
            pass
        with alone(tmp_path, Shard(2, 2)):
            assert len(list(tmp_path.glob(".fmrgb*"))) == 3
    assert not list(tmp_path.iterdir())


HOLD = """
import sys
from pathlib import Path
from fmrgb.alone import alone
from fmrgb.names import Shard
with alone(Path(sys.argv[1]), Shard(1, 2)):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_share_in_another_process_keeps_a_whole_build_away(tmp_path):
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, **pipes) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="is being written"), alone(tmp_path):
            pass
        with pytest.raises(InputError), alone(tmp_path, Shard(1, 2)):
            pass
        with alone(tmp_path, Shard(2, 2)):
            pass
        other.communicate()
    with alone(tmp_path):
        pass
    assert not list(tmp_path.iterdir())
