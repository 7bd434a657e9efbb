"""Disk: full, only read, removed or vanishing in mid-work, and two runs at once."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import clips
import numpy as np
import pytest
import tally
import tiny
from disks import disk, grow, read_only, vanish
from fmrgb_tools import main
from killing import END_S, LIGHT, LONGEST_S, Ended, Started, Tools, contents, tools

from fmrgb import preflight, resize
from fmrgb.alone import LOCK, alone
from fmrgb.cleanup import delete_not_resized
from fmrgb.errors import InputError
from fmrgb.manifest import read_manifest

N_CLIPS = 4
LONG = pytest.mark.faults
SLOWLY = (LONG, pytest.mark.timeout(900))
QUICK = ("create_fmrgbdata", "visualize")  # the tools whose disk fills in every run


@pytest.fixture(scope="module")
def shop() -> Iterator[Tools]:
    """Return a server of the tools about media."""
    with tools(LIGHT) as server:
        yield server


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of noisy clips in two classes, a model, and samples."""
    folder = tmp_path_factory.mktemp("store")
    for k in range(N_CLIPS):
        path = folder / "clips" / f"l{k % 2}" / f"c{k}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(k).integers(0, 256, (24, 64, 96, 3), np.uint8)
        clips.make(path, noise, clips.tone(300 + 100 * k, 2.4))
    tiny.untrained(folder / "m.ckpt", seconds=2.4)
    tiny.manifest(folder / "samples", 6)
    return folder


def same(folder: Path, store: Path) -> None:
    """Check that all that was in the store is in the folder, unchanged."""
    now = contents(folder)
    assert [n for n, data in contents(store).items() if now.get(n) != data] == []


def ended(run: Started, noted: tally.Note, limit_s: float = LONGEST_S) -> Ended:
    """Wait for a run's end; note it if it hangs."""
    try:
        done = run.wait(limit_s)
    except TimeoutError:
        noted.hung = 1
        raise
    assert done.quiet, done.err
    return done


# --- full disk


HOLDER = """
import sys
from pathlib import Path
from fmrgb.alone import alone
with alone(Path("out")):
    print("held", flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Writer:
    """A tool that writes to `disk/out`, and how much of it fits."""

    words: str
    kibibytes: int
    again: str = ""


WRITERS = {
    "create_fmrgbdata": Writer(
        "create_fmrgbdata --target clips --output disk/out --size 64", 600
    ),
    "visualize": Writer(
        "visualize --target samples/dark/clip000.pt --output disk/out", 16
    ),
    "predict": Writer("predict --model m.ckpt --target clips --output disk/out", 0),
    "evaluate": Writer(
        "evaluate --model m.ckpt --data samples/manifest.csv --output disk/out", 40
    ),
    "train": Writer(
        "train --data samples/manifest.csv --output disk/out --epochs 1 "
        "--batch_size 4 --model_size tiny --precision 32",
        1500,
        "--resume",
    ),
    "export": Writer("export --model m.ckpt --format onnx --output disk/out.onnx", 60),
    "explain": Writer(
        "explain --model m.ckpt --target clips/l0/c0.mp4 --output disk/out", 8
    ),
}


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody see beforehand that the disk is too small."""
    monkeypatch.setattr(preflight, "check_room", lambda *_, **__: None)
    monkeypatch.setattr("fmrgb.build.check_room", lambda *_, **__: None)


def full_then_free(
    writer: Writer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run a tool on a disk that is too small, then again on a larger one."""
    with disk(folder / "disk", max(writer.kibibytes, 8)) as small:
        if not writer.kibibytes:  # a tmpfs cannot be as small as that
            (small / "ballast").write_bytes(bytes(8 * 1024))
        ballast = {p.name for p in small.iterdir()}
        status = main.main(writer.words.split())
        said = capsys.readouterr().err
        assert status == 1, said
        assert "Traceback" not in said
        assert re.search(r"no room left to write \S*disk\S*", said)
        assert "free some" in said
        assert not list(small.rglob(".*.part*"))
        before = {p: p.read_bytes() for p in small.rglob("*.p*") if p.is_file()}
        grow(small, 64 * 1024)
        words = [*writer.words.split(), *writer.again.split()]
        assert main.main(words) == 0, capsys.readouterr().err
        capsys.readouterr()
        # What bore its final name before was whole, so it is still the same.
        assert [p for p, data in before.items() if p.read_bytes() != data] == []
        assert {p.name for p in small.iterdir()} >= ballast


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=SLOWLY) for n in WRITERS],
)
def test_a_full_disk_is_told_and_freeing_some_completes_the_work(
    name, store, tmp_path, monkeypatch, capsys, blind
):
    folder = Path(shutil.copytree(store, tmp_path / "work"))
    monkeypatch.chdir(folder)
    with tally.fault(f"full disk in {name}"):
        full_then_free(WRITERS[name], folder, capsys)
        same(folder, store)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=LONG)])
def test_copies_that_do_not_fit_leave_the_clips_untouched(
    store, tmp_path, capsys, workers
):
    words = ["resize_video", "--target", str(tmp_path / "disk"), "--mag", "1"]
    words += ["--workers", str(workers)]
    used = sum(map(len, contents(store / "clips").values())) // 1024
    with (
        tally.fault("full disk in resize_video"),
        disk(tmp_path / "disk", used + 150) as d,
    ):
        shutil.copytree(store / "clips", d, dirs_exist_ok=True)
        assert main.main(words) == 1
        said = capsys.readouterr().err
        assert "no room left to write" in said
        assert "resized_c" in said
        same(d, store / "clips")
        assert not list(d.rglob(".*"))
        grow(d, 64 * 1024)
        assert main.main(words) == 0
        same(d, store / "clips")
        assert len(list(d.rglob("resized_*.mp4"))) == N_CLIPS


# --- a folder that is only read


@pytest.mark.parametrize(
    "words",
    [
        "create_fmrgbdata --target clips --output disk/out --size 16",
        "create_fmrgbdata --target clips --output disk --size 16",
        "visualize --target samples/dark/clip000.pt --output disk",
        *(
            pytest.param(words, marks=LONG)
            for words in (
                "predict --model m.ckpt --target clips --output disk/out",
                "train --data samples/manifest.csv --output disk/out --epochs 1",
                "export --model m.ckpt --format torch --output disk/m.pt2",
            )
        ),
    ],
)
def test_a_folder_that_is_only_read_is_told(
    words, store, tmp_path, monkeypatch, capsys
):
    for name in ("clips", "samples", "m.ckpt"):
        (tmp_path / name).symlink_to(store / name)
    monkeypatch.chdir(tmp_path)
    with tally.fault("read-only folder"), disk(tmp_path / "disk", 64) as d:
        read_only(d)
        assert main.main(words.split()) == 1
        said = capsys.readouterr().err
        assert "cannot write disk" in said
        assert "Read-only file system; choose a folder" in said


@pytest.mark.parametrize("tool", ["resize_video", "delete_not_resized"])
def test_clips_on_a_disk_that_is_only_read_stay(tool, store, tmp_path, capsys):
    with tally.fault(f"read-only folder in {tool}"), disk(tmp_path / "d", 8192) as d:
        clips.copies(store / "clips" / "l0" / "c0.mp4", d, "c0.mp4")
        if tool == "delete_not_resized":
            resize.resize(d)
        before = contents(d)
        read_only(d)
        assert main.main([tool, "--target", str(d)]) == 1
        assert "Read-only file system" in capsys.readouterr().err
        assert contents(d) == before


# --- folders and disks that go in mid-work


def when_one_is_there(run: Started, folder: Path, pattern: str) -> None:
    """Wait until a run has left its first file."""
    end = time.monotonic() + END_S * 4
    hidden = pattern.startswith(".")
    while not any(hidden or p.name[0] != "." for p in folder.rglob(pattern)):
        assert time.monotonic() < end, "nothing was ever written"
        time.sleep(0.002)


@pytest.fixture
def many(store, tmp_path) -> Path:
    """Return a folder of 12 clips in two classes, as `clips`."""
    for k in range(12):
        source = store / "clips" / f"l{k % 2}" / f"c{k % N_CLIPS // 2 * 2 + k % 2}.mp4"
        clips.copies(source, tmp_path / "clips", f"l{k % 2}/c{k:02d}.mp4")
    return tmp_path


BUILDER = "create_fmrgbdata"
BUILD = "create_fmrgbdata --target clips --output out --size 128 --frames 60"


def test_samples_taken_away_in_mid_work_are_not_listed(shop, many):
    with tally.fault("output removed in mid-work") as noted:
        run = shop.start(BUILD.split(), many)
        when_one_is_there(run, many / "out", "*.pt")
        shutil.rmtree(many / "out", ignore_errors=True)
        done = ended(run, noted)
        assert done.status == 1, done.err
        manifest = many / "out" / "manifest.csv"
        rows = read_manifest(manifest) if manifest.exists() else []
        assert all(row.path.exists() for row in rows)
        assert shop.run(BUILD.split(), many).status == 0
        assert len(read_manifest(manifest)) == 12


@LONG
@pytest.mark.parametrize("tool", ["create_fmrgbdata", "resize_video"])
def test_clips_taken_away_in_mid_work_are_set_aside(shop, many, tool):
    words, first = {
        "create_fmrgbdata": (BUILD, "*.pt"),
        "resize_video": ("resize_video --target clips", "resized_*"),
    }[tool]
    with tally.fault(f"clips removed in {tool}") as noted:
        run = shop.start(words.split(), many)
        when_one_is_there(run, many, first)
        (many / "clips").rename(many / "gone")
        done = ended(run, noted)
        assert done.status == 1, done.err
        assert "clips/" in done.err
        (many / "gone").rename(many / "clips")
        assert shop.run(words.split(), many).status == 0
        assert not list(many.rglob(".*.part*"))


@LONG
@pytest.mark.parametrize("what", ["clips", "out"])
def test_a_disk_that_vanishes_in_mid_work_ends_nothing_but_its_clips(shop, many, what):
    with (
        tally.fault(f"the disk of {what} vanishes") as noted,
        disk(many / "d", 262144) as d,
    ):
        if what == "clips":
            shutil.move(many / "clips", d)
        words = BUILD.replace(f" {what}", f" d/{what}").split()
        run = shop.start(words, many)
        when_one_is_there(run, many, "*.pt")
        vanish(d)
        done = ended(run, noted)
        assert done.status == 1, done.err
        assert not list(many.rglob(".*.part*"))
        if what == "clips":
            rows = read_manifest(many / "out" / "manifest.csv")
            assert all(row.path.exists() for row in rows)


# --- files that change while they are read, or are none


def grown(path: Path) -> None:
    """Add to a file, as a copying program does."""
    with open(path, "ab") as file:
        file.write(b"more")


def test_a_clip_that_changes_while_its_sample_is_made_gets_none(
    store, tmp_path, monkeypatch, capsys
):
    import fmrgb.build as build

    clips.copies(store / "clips" / "l0" / "c0.mp4", tmp_path, "a/c0.mp4")
    read = build.read_aligned

    def slow(path: Path, *args: object, **how: object) -> object:
        found = read(path, *args, **how)
        grown(path)
        return found

    words = ["create_fmrgbdata", "--target", str(tmp_path / "a"), "--output"]
    words += [str(tmp_path / "out"), "--size", "16"]
    with tally.fault("clip changed while read"):
        monkeypatch.setattr(build, "read_aligned", slow)
        assert main.main(words) == 1
        assert "was changed while it was read" in capsys.readouterr().err
        assert not list(tmp_path.rglob("*.pt"))
        monkeypatch.undo()
        assert main.main(words) == 0


def test_a_clip_that_changes_while_it_is_resized_gets_no_copy(
    store, tmp_path, monkeypatch
):
    (clip,) = clips.copies(store / "clips" / "l0" / "c0.mp4", tmp_path, "c0.mp4")
    run = resize.Children.run

    def slow(self: resize.Children, command: list[str], **how: object) -> None:
        run(self, command, **how)  # type: ignore[arg-type]
        grown(clip)

    with tally.fault("clip changed while resized"):
        monkeypatch.setattr(resize.Children, "run", slow)
        result = resize.resize(tmp_path)
        assert "was changed while it was read" in result.failed[clip]
        assert [p.name for p in tmp_path.iterdir()] == ["c0.mp4"]


def test_a_clip_put_in_anothers_place_is_not_deleted_for_its_copy(store, tmp_path):
    one, other = (store / "clips" / f"l{k}" / f"c{k}.mp4" for k in (0, 1))
    (clip,) = clips.copies(one, tmp_path, "c0.mp4")
    with tally.fault("clip replaced by one of the same length"):
        resize.resize(tmp_path)
        clip.write_bytes(other.read_bytes())
        os.utime(clip, (0, 0))  # moved here with its own time
        result = delete_not_resized(tmp_path)
        assert result.gone == []
        assert "was made from another file" in result.kept[clip]
        assert clip.read_bytes() == other.read_bytes()
        assert resize.resize(tmp_path).done == [tmp_path / "resized_c0.mp4"]
        assert delete_not_resized(tmp_path).gone == [clip]


def endless(path: Path, kind: str) -> None:
    """Put something in a file's place that never ends."""
    if kind == "named pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            here = os.getcwd()
            os.chdir(path.parent)  # its name has a limit
            server.bind(path.name)
            os.chdir(here)
    else:
        path.symlink_to("/dev/zero")


KINDS = pytest.mark.parametrize(
    "kind",
    ["named pipe", *(pytest.param(k, marks=LONG) for k in ("socket", "device"))],
)


@KINDS
@pytest.mark.parametrize("tool", ["resize_video", "delete_not_resized", BUILDER])
def test_what_never_ends_is_set_aside_and_the_rest_done(
    shop, store, tmp_path, tool, kind
):
    source = store / "clips" / "l0" / "c0.mp4"
    clips.copies(source, tmp_path, "clips/a/c0.mp4", "clips/b/c2.mp4")
    if tool == "delete_not_resized":
        twins = (f"{k}/resized_c{n}.mp4" for k, n in (("a", 0), ("a", 1), ("b", 2)))
        clips.copies(source, tmp_path / "clips", *twins)
    endless(tmp_path / "clips" / "a" / "c1.mp4", kind)
    words = [tool, "--target", "clips"]
    words += ["--output", "out", "--size", "16"] if tool == BUILDER else []
    with tally.fault(f"a {kind} among the clips") as noted:
        done = ended(shop.start(words, tmp_path), noted, 60)
        assert done.status == 1
        told = [x for x in done.err.splitlines() if "c1.mp4" in x]
        assert any(kind in x or "it is a link" in x for x in told), done.err
        left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")}
        if tool == "delete_not_resized":
            assert not {"clips/a/c0.mp4", "clips/b/c2.mp4"} & left
        elif tool == "resize_video":
            assert {"clips/a/resized_c0.mp4", "clips/b/resized_c2.mp4"} <= left
        else:
            assert {"out/a/c0.pt", "out/b/c2.pt"} <= left


@KINDS
@pytest.mark.parametrize(
    "words",
    [
        "resize_video --target x.mp4",
        "create_fmrgbdata --target x.mp4 --output out",
        "create_fmrgbdata --target clips --groups x.csv --output out",
        "delete_allmp4 --target x.mp4",
        "train --data x.csv --output run",
        "predict --model x.ckpt --target clips --output out",
        "visualize --target x.pt --output out",
        "evaluate --model x.ckpt --data samples/manifest.csv --output out",
        "export --model x.ckpt",
        pytest.param("predict --model m.ckpt --target x.mp4 --output out", marks=LONG),
    ],
)
def test_what_never_ends_is_refused_by_name(shop, store, tmp_path, words, kind):
    for name in ("clips", "samples", "m.ckpt"):
        (tmp_path / name).symlink_to(store / name)
    name = next(word for word in words.split() if word.startswith("x."))
    endless(tmp_path / name, kind)
    with tally.fault(f"a {kind} for a file") as noted:
        done = ended(shop.start(words.split(), tmp_path), noted, 60)
        assert done.status == 1
        assert name in done.err
        assert kind in done.err


# --- two runs at once


@pytest.mark.parametrize(
    "words",
    [
        "create_fmrgbdata --target clips --output out --size 16",
        "train --data samples/manifest.csv --output out --epochs 1 --model_size tiny",
    ],
)
def test_of_two_runs_that_write_to_one_folder_the_second_is_refused(
    words, store, tmp_path, monkeypatch, capsys
):
    for name in ("clips", "samples"):
        (tmp_path / name).symlink_to(store / name)
    monkeypatch.chdir(tmp_path)
    with (
        tally.fault("two runs at once"),
        subprocess.Popen(
            [sys.executable, "-c", HOLDER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as first,
    ):
        assert first.stdout is not None
        assert first.stdin is not None
        assert first.stdout.readline() == b"held\n"
        assert main.main(words.split()) == 1
        said = capsys.readouterr().err
        assert f"out is being written to by process {first.pid}; wait" in said
        assert os.listdir("out") == [LOCK]
        first.stdin.close()
        first.wait(END_S)
        assert main.main(words.split()) == 0
        assert LOCK not in os.listdir("out")


def test_a_killed_run_holds_nothing(shop, many):
    with tally.fault("killed while it held a folder"):
        first = shop.start(BUILD.split(), many)
        when_one_is_there(first, many / "out", LOCK)
        first.kill(signal.SIGKILL)
        first.wait()
        assert (many / "out" / LOCK).exists()
        assert shop.run(BUILD.split(), many).status == 0
        assert not (many / "out" / LOCK).exists()


def twice(shop: Tools, words: str, folder: Path, noted: tally.Note) -> list[Ended]:
    """Run the same tool twice at once."""
    runs = [shop.start(words.split(), folder) for _ in range(2)]
    # Both write to logs of one name; what counts is how they end.
    return [ended(run, noted) for run in runs]


@LONG
def test_two_resizings_at_once_leave_what_one_leaves(shop, many):
    with tally.fault("two resizings at once") as noted:
        alone_at_it = Path(shutil.copytree(many / "clips", many / "other"))
        resize.resize(alone_at_it)
        both = twice(shop, "resize_video --target clips", many, noted)
        assert [done.status for done in both] == [0, 0]
        assert contents(many / "clips") == contents(alone_at_it)


@LONG
def test_two_deletions_at_once_lose_nothing(shop, many):
    resize.resize(many / "clips")
    copies = {n: d for n, d in contents(many / "clips").items() if "resized_" in n}
    with tally.fault("two deletions at once") as noted:
        both = twice(shop, "delete_not_resized --target clips", many, noted)
        assert {done.status for done in both} <= {0, 1}
        assert contents(many / "clips") == copies


def test_a_folder_is_held_once_and_given_free(tmp_path):
    folder = tmp_path / "new"
    with tally.fault("one folder asked for twice"):
        with alone(folder):
            said = f"by process {os.getpid()}; wait"
            with pytest.raises(InputError, match=said), alone(folder):
                pass
            assert (folder / LOCK).is_file()
        assert not folder.exists()  # nothing was written to it
        with alone(folder):
            (folder / "a").touch()
        assert os.listdir(folder) == ["a"]


def test_a_folder_whose_lock_cannot_be_named_is_worked_on_all_the_same(
    tmp_path, monkeypatch
):
    import fmrgb.alone as module

    def none(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    with tally.fault("a disk without locks"):
        monkeypatch.setattr(module.fcntl, "lockf", none)
        with alone(tmp_path):
            assert (tmp_path / LOCK).is_file()
        assert os.listdir(tmp_path) == []
