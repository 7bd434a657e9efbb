"""Several processes learn what one learns: each clip once, same numbers, one voice."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import together

from fmrgb.manifest import write_manifest

TESTS = Path(__file__).parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
# 15 clips to train on in batches of 4, 9 to judge: parts of 2 and 2, 1 and 2, 0 and 1.
SPLITS = ["train"] * 8 + ["val"] * 5 + ["test"] * 2
LEFT_OUT = (0, 17)
TOOL = (sys.executable, "-m", "fmrgb_tools.main", "train", "--outside", "--seed", "1")
SHORT = ("--batch_size", "4", "--precision", "32", "--lr", "1e-3")
TWO = ("--devices", "2", "--strategy", "ddp")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a manifest whose splits fit no number of processes."""
    folder = tmp_path_factory.mktemp("shared")
    rows = tiny.dark_and_bright(folder, SPLITS)
    rows = [row for number, row in enumerate(rows) if number not in LEFT_OUT]
    write_manifest(folder / "manifest.csv", rows)
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def alone(data: Path) -> dict[str, Any]:
    """Return what one process came to."""
    return {name: together.held(data.parent, "1", name) for name in together.MODELS}


@pytest.fixture(scope="module")
def both(data: Path) -> list[dict[str, Any]]:
    """Return what each of two processes held, and came to."""
    words = [sys.executable, str(TESTS / "together.py"), str(data.parent), "2"]
    subprocess.run(words, check=True, timeout=240, env=ENVIRONMENT)
    names = (f"process{n}of2.json" for n in range(2))
    return [json.loads((data.parent / name).read_text()) for name in names]


@pytest.mark.parametrize("model", together.MODELS)
def test_two_processes_have_the_loss_curve_of_one(alone, both, model):
    for process in both:
        for ours, theirs in zip(
            process[model]["history"], alone[model]["history"], strict=True
        ):
            for name in ("train_loss", "val_loss"):
                assert ours[name] == pytest.approx(theirs[name], rel=1e-4), name
            for name in ("train_accuracy", "val_accuracy"):
                assert ours[name] == pytest.approx(theirs[name], abs=1e-9)


@pytest.mark.parametrize("model", together.MODELS)
def test_every_clip_is_learned_from_once_an_epoch_and_judged_once(both, model):
    shown = [process[model]["shown"] for process in both]
    assert len(shown[0]) == len(shown[1]) == 2 * 4, "as many steps in both"
    for epoch in range(2):
        clips = [n for part in shown for e, *ns in part if e == epoch for n in ns]
        assert sorted(clips) == list(range(15))
    judged = [n for process in both for n in process[model]["judged"]]
    assert sorted(judged) == sorted([*range(9), *range(9)])


def test_a_batch_is_that_of_one_process_whoever_holds_its_clips(alone, both):
    ours = [process["conv3d"]["shown"] for process in both]
    for whole, first, second in zip(alone["conv3d"]["shown"], *ours, strict=True):
        assert whole == first + second[1:]


def test_clips_are_changed_alike_whoever_holds_them(alone, both):
    for model in together.MODELS:
        ours = sorted(tuple(x) for process in both for x in process[model]["looks"])
        theirs = sorted(tuple(x) for x in alone[model]["looks"])
        assert [x[:2] for x in ours] == [x[:2] for x in theirs]
        looks = [x[2] for x in ours]
        assert looks == pytest.approx([x[2] for x in theirs], abs=1e-6)


def test_all_processes_hold_the_same_rows_and_numbers(both):
    first, second = ([process[model] for model in together.MODELS] for process in both)
    assert [one["first"] for one in (*first, *second)] == 3 * [True] + 3 * [False]
    for ours, theirs in zip(first, second, strict=True):
        assert ours["rows"] == theirs["rows"]
        for row, other in zip(ours["history"], theirs["history"], strict=True):
            assert {**row, "seconds": 0} == {**other, "seconds": 0}


def numbers(folder: Path) -> list[dict[str, str]]:
    """Return metrics.csv without the time it took."""
    with open(folder / "metrics.csv", newline="") as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


def children(process: int) -> list[int]:
    """Return the processes that a process has started."""
    listed = Path(f"/proc/{process}/task/{process}/children")
    return [int(word) for word in listed.read_text().split()]


def is_there(process: int) -> bool:
    """Tell whether a process runs."""
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.fixture
def started() -> Iterator[Any]:
    """Return what starts the tool; end what is left of it."""
    running: list[subprocess.Popen[str]] = []

    def start(*words: str, by: tuple[str, ...] = TOOL) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [*by, *SHORT, *words]
        process = subprocess.Popen(command, text=True, env=ENVIRONMENT, **pipes)
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait()


def until(there: Any, process: subprocess.Popen[str], seconds: float = 120) -> None:
    """Wait until something is so, while the process runs."""
    end = time.monotonic() + seconds
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def in_midst(folder: Path) -> bool:
    """Tell whether two epochs are done, and last.ckpt was written in the third."""
    metrics, last = folder / "metrics.csv", folder / "last.ckpt"
    return (
        metrics.is_file()
        and len(numbers(folder)) >= 2
        and last.stat().st_mtime_ns > metrics.stat().st_mtime_ns
    )


@pytest.mark.slow
def test_a_killed_process_ends_the_other_and_the_run_can_be_resumed(
    data, started, tmp_path
):
    short = ("--data", str(data), "--epochs", "4", "--learnmethod", "convlstm")
    words = (*short, *TWO, "--checkpoint_minutes", "0", "--output", str(tmp_path / "a"))
    first = started(*words)
    until(lambda: in_midst(tmp_path / "a"), first)
    (second,) = (n for n in children(first.pid) if is_there(n))
    os.kill(second, signal.SIGKILL)
    begun = time.monotonic()
    out, err = first.communicate(timeout=60)
    assert time.monotonic() - begun < 30
    assert (first.returncode, out) == (1, ""), err
    assert err.count("has ended; what is finished is whole, and --resume goes on") == 1
    assert "Traceback" not in err
    assert not list((tmp_path / "a").glob(".*.part*"))
    # More processes, or fewer, learn the same, and may take over from each other.
    again = started(*short, "--output", str(tmp_path / "a"), "--resume")
    out, err = again.communicate(timeout=240)
    assert again.returncode == 0, err
    assert out.count("test accuracy") == 1
    whole = started(*short, "--output", str(tmp_path / "b"))
    out, err = whole.communicate(timeout=240)
    assert whole.returncode == 0, err
    for ours, theirs in zip(
        numbers(tmp_path / "a"), numbers(tmp_path / "b"), strict=True
    ):
        for name in ("train_loss", "val_loss"):
            assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-4)
    names = [sorted(p.name for p in (tmp_path / n).iterdir()) for n in "ab"]
    assert names[0] == names[1]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "interrupted"])
def test_when_the_first_process_ends_the_other_ends_too(data, started, tmp_path, how):
    words = ("--data", str(data), *TWO, "--checkpoint_minutes", "0", "--epochs", "99")
    first = started(*words, "--output", str(tmp_path / "run"))
    until(lambda: in_midst(tmp_path / "run"), first)
    (second,) = (n for n in children(first.pid) if is_there(n))
    first.send_signal(signal.SIGKILL if how == "killed" else signal.SIGINT)
    _, err = first.communicate(timeout=60)
    until_gone = time.monotonic() + 30
    while is_there(second):
        assert time.monotonic() < until_gone, "it goes on alone"
        time.sleep(0.1)
    assert "Traceback" not in err
    if how == "interrupted":
        assert first.returncode == 130
        assert err.count("stopped; what is finished is whole") == 1
        assert not list((tmp_path / "run").glob(".*.part*"))
    else:
        assert err.count("has ended; what is finished is whole") == 1


def torchrun() -> tuple[str, ...]:
    """Return the words that have torchrun start two processes of the tool."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    how = ("--nproc_per_node", "2", "--master_addr", "127.0.0.1", "--master_port", port)
    return (sys.executable, "-m", "torch.distributed.run", *how, *TOOL[1:])


@pytest.mark.slow
def test_torchrun_starts_them_and_one_process_searches(data, started, tmp_path):
    words = ("--data", str(data), "--epochs", "2", "--output", str(tmp_path / "run"))
    search = ("--islearnrate_search", "true", "--trials", "2", "--search_epochs", "2")
    first = started(*words, *TWO, *search, by=torchrun())
    out, err = first.communicate(timeout=400)
    assert first.returncode == 0, err
    assert out.count("test accuracy") == 1
    assert err.count("clips: ") == 1
    assert (tmp_path / "run" / "lr_search.csv").is_file()
    assert len(numbers(tmp_path / "run")) == 2


@pytest.mark.slow
def test_processes_that_would_train_alone_side_by_side_are_refused(
    data, started, tmp_path
):
    words = ("--data", str(data), "--output", str(tmp_path / "run"))
    first = started(*words, by=torchrun())
    _, err = first.communicate(timeout=200)
    assert first.returncode == 1
    assert "give --devices 2 --nodes 1 to train together" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_fault_that_the_first_process_meets_ends_all_and_is_told_once(
    data, started, tmp_path
):
    words = ("--data", str(tmp_path / "none.csv"), "--output", str(tmp_path / "run"))
    first = started(*words, *TWO)
    out, err = first.communicate(timeout=200)
    assert (first.returncode, out) == (1, "")
    assert len(err.splitlines()) == 1, err
    assert "none.csv" in err
