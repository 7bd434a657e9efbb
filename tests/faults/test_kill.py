"""Kill: every tool, at moments drawn by chance, and then run again.

After a kill no half file stands under a final name and no original is gone without
what replaces it; the same command then leaves, byte for byte, what a run leaves that
nobody disturbed. Times are no part of that: the seconds of epochs, TensorBoard's log.
"""

import csv
import io
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import clips
import numpy as np
import pytest
import tally
import tiny
import torch
from killing import (
    ALL,
    END_S,
    LIGHT,
    STOPPED,
    Started,
    Tools,
    contents,
    tools,
)

from fmrgb.cells import read_csv
from fmrgb.checkpoint import KEY
from fmrgb.resize import resize

MOMENTS = int(os.environ.get("FAULT_MOMENTS", "50"))  # per tool and signal
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
N_CLIPS = 4
LONG_S = 3 * 3600  # for all moments of one tool, on a slow machine

by_signal = pytest.mark.parametrize("number", SIGNALS, ids=lambda n: n.name)


@dataclass(frozen=True)
class Case:
    """A tool's command, and what is known of what it leaves.

    Attributes:
        words: behind `fmrgb`.
        again: more words for the run after a kill.
        gone: originals that it deletes.
        growing: names of files that are whole at any time, but of another epoch.
        needed: what to import before.
    """

    words: str
    again: str = ""
    gone: tuple[str, ...] = ()
    growing: tuple[str, ...] = ()
    needed: tuple[str, ...] = ALL


CLIPS = tuple(f"clips/l{k % 2}/c{k}.mp4" for k in range(N_CLIPS))
EPOCHS = ("best.ckpt", "last.ckpt", "metrics.csv", "audit.json", "lr_search.csv")
TRAIN = (
    "train --data samples/manifest.csv --output run --epochs 3 --batch_size 4 "
    "--model_size tiny --precision 32"
)
CASES = {
    "resize_video": Case(
        "resize_video --target clips --mag 2 --workers 2", needed=LIGHT
    ),
    "delete_not_resized": Case(
        "delete_not_resized --target twins", gone=("twins/c0.mp4",), needed=LIGHT
    ),
    "create_fmrgbdata": Case(
        "create_fmrgbdata --target clips --output out --size 64 --workers 1",
        needed=LIGHT,
    ),
    "create_fmrgbdata by processes": Case(
        "create_fmrgbdata --target clips --output out --size 64 --workers 2",
        needed=LIGHT,
    ),
    "delete_allmp4": Case("delete_allmp4 --target built", gone=("built/c0.mp4",)),
    "train": Case(TRAIN, again="--resume", growing=EPOCHS),
    "train by folds": Case(f"{TRAIN} --folds 2", "--resume", growing=EPOCHS),
    "predict": Case("predict --model m.ckpt --target clips --output told"),
    "evaluate": Case(
        "evaluate --model m.ckpt --data samples/manifest.csv --output judged"
    ),
    "export": Case("export --model m.ckpt --format onnx --output m.onnx"),
    "visualize": Case("visualize --target samples/dark/clip000.pt --output drawn"),
    "explain": Case("explain --model m.ckpt --target clips/l0/c0.mp4 --output why"),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all that any of the tools reads."""
    folder = tmp_path_factory.mktemp("base")
    for k, name in enumerate(CLIPS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(k).integers(0, 256, (24, 32, 48, 3), np.uint8)
        clips.make(folder / name, noise, clips.tone(300 + 100 * k, 2.4))
    clips.copies(folder / CLIPS[0], folder, "twins/c0.mp4", "built/c0.mp4")
    resize(folder / "twins")
    tiny.untrained(folder / "m.ckpt", seconds=2.4)
    tiny.manifest(folder / "samples", 8)
    return folder


@dataclass
class Bench:
    """Runs tools in copies of one folder, and knows what undisturbed ones leave."""

    base: Path
    room: Path
    servers: dict[tuple[str, ...], Tools] = field(default_factory=dict)
    wanted: dict[str, tuple[dict[str, bytes], float]] = field(default_factory=dict)
    count: int = 0

    def fresh(self) -> Path:
        """Return a new copy of the folder."""
        self.count += 1
        return Path(shutil.copytree(self.base, self.room / f"run{self.count}"))

    def server(self, case: Case) -> Tools:
        """Return the server that has imported what a tool needs."""
        return self.servers[case.needed]

    def undisturbed(self, case: Case) -> tuple[dict[str, bytes], float]:
        """Return what the tool leaves, times aside, and the seconds it takes."""
        if case.words not in self.wanted:
            folder = self.fresh()
            words = case.words.split()
            if "built" in words and not list(folder.glob("built/*.pt")):
                raise AssertionError("the sample that replaces the clip is missing")
            done = self.server(case).run(words, folder)
            assert done.status == 0, done.err
            self.wanted[case.words] = timeless(folder), done.seconds
            shutil.rmtree(folder)
        return self.wanted[case.words]


@pytest.fixture(scope="module")
def light(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return a bench for the tools about media."""
    with tools(LIGHT) as server:
        yield Bench(base, tmp_path_factory.mktemp("light"), {LIGHT: server})


@pytest.fixture(scope="module")
def full(light: Bench, base: Path) -> Iterator[Bench]:
    """Return a bench for all tools."""
    with tools(ALL) as server:
        words = ["create_fmrgbdata", "--target", "built", "--workers", "1"]
        assert server.run(words, base).status == 0
        light.servers[ALL] = server
        yield light


def timeless(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder, hidden ones too, without the times they hold."""
    found = contents(folder)
    return {
        name: _CLOCKS.get(Path(name).name, lambda data: data)(data)
        for name, data in found.items()
        if "events" not in Path(name).parts
    }


def _metrics(data: bytes) -> bytes:
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    return repr([{k: v for k, v in r.items() if k != "seconds"} for r in rows]).encode()


def _audit(data: bytes) -> bytes:
    known = json.loads(data)
    return repr(sorted(known)).encode()


def _checkpoint(data: bytes) -> bytes:
    content = torch.load(io.BytesIO(data), weights_only=True)
    if "callbacks" not in content:
        return data
    rows = [
        {k: v for k, v in row.items() if k != "seconds"}
        for row in content["callbacks"]["History"]["rows"]
    ]
    parts = ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step")
    return pickle.dumps(_plain([rows, content[KEY], *(content[p] for p in parts)]))


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return [(str(k), _plain(v)) for k, v in value.items()]
    return list(map(_plain, value)) if isinstance(value, list | tuple) else repr(value)


_CLOCKS: dict[str, Callable[[bytes], bytes]] = {
    "metrics.csv": _metrics,
    "audit.json": _audit,
    "best.ckpt": _checkpoint,
    "last.ckpt": _checkpoint,
}


def check_after_kill(case: Case, base: Path, folder: Path, bench: Bench) -> None:
    """Check that a killed run lost nothing and left nothing half under its name."""
    wanted, _ = bench.undisturbed(case)
    before, now = timeless(base), timeless(folder)
    for name, data in before.items():
        if name not in now:
            assert name in case.gone, f"{name} is lost"
        else:
            assert now[name] == data, f"{name} was changed"
    for name in set(now) - set(before):
        if not Path(name).name.startswith("."):
            assert name in wanted, f"{name} is nothing that the tool leaves"
            if Path(name).name not in case.growing:
                assert now[name] == wanted[name], f"{name} is half written"


def check_at_the_end(case: Case, folder: Path, bench: Bench) -> None:
    """Check that all is as if nobody had disturbed the run."""
    wanted, now = bench.undisturbed(case)[0], timeless(folder)
    assert sorted(now) == sorted(wanted)
    assert [name for name in wanted if now[name] != wanted[name]] == []


def kill_and_run_again(
    bench: Bench, name: str, number: signal.Signals, share: float
) -> None:
    """Kill a run after a share of its time, and run the same again."""
    case = CASES[name]
    _, whole_s = bench.undisturbed(case)
    with tally.fault(f"{number.name} in {name}") as noted:
        folder = bench.fresh()
        run = bench.server(case).start(case.words.split(), folder)
        run.sleep(share * whole_s)
        run.kill(number)
        asked = time.monotonic()
        try:
            ended = run.wait(END_S)
        except TimeoutError:
            noted.hung = 1
            raise
        assert time.monotonic() - asked < END_S
        assert ended.status in (0, STOPPED[number]), ended.err
        assert run.left() == {}
        if number != signal.SIGKILL:
            assert ended.quiet, ended.err
            assert ended.err.count("stopped;") == (ended.status != 0)
            assert not list(folder.rglob("*.part*"))
        check_after_kill(case, bench.base, folder, bench)
        again = [*case.words.split(), *case.again.split()]
        done = bench.server(case).run(again, folder)
        # All may have been deleted before the kill, which the tool tells.
        assert done.status == 0 or (case.gone and "no .mp4 file" in done.err), done.err
        check_at_the_end(case, folder, bench)
        shutil.rmtree(folder)


def moments(name: str, number: int, n: int) -> list[float]:
    """Draw shares of a run's time; the same ones every time."""
    dice = random.Random(f"{name} {number}")
    return [dice.uniform(0.01, 0.99) for _ in range(n)]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("resize_video", signal.SIGTERM),
        ("delete_not_resized", signal.SIGKILL),
        ("create_fmrgbdata", signal.SIGKILL),
        ("create_fmrgbdata", signal.SIGINT),
    ],
)
def test_a_killed_tool_goes_on_to_the_same_files(light, name, number):
    (share,) = moments(name, number, 1)
    kill_and_run_again(light, name, number, share)


@pytest.mark.faults
@pytest.mark.timeout(LONG_S)
@by_signal
@pytest.mark.parametrize("name", CASES)
def test_a_tool_killed_at_any_moment_goes_on_to_the_same_files(full, name, number):
    for share in moments(f"long {name}", number, MOMENTS):
        kill_and_run_again(full, name, number, share)


SCRIPTS = Path(__file__).resolve().parent.parent.parent / "tools"


def stop_at_import(
    words: Sequence[object], module: str, number: int
) -> tuple[int, str]:
    """Send a signal when a module has just been imported; return status and last words.

    Python tells of every import as it ends, so others are under way then.
    """
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        while line := process.stderr.readline():
            if line.rpartition("|")[2].strip().startswith(module):
                process.send_signal(number)
                break
        said = [x for x in process.stderr if not x.startswith("import time:")]
        return process.wait(END_S), "".join(said)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("number", SIGNALS[1:], ids=lambda n: n.name)
@pytest.mark.parametrize("module", ["argparse", "numpy.", "torch."])
def test_a_tool_stopped_while_it_is_imported_says_one_line(tmp_path, module, number):
    tiny.manifest(tmp_path / "samples", 2)
    words = [SCRIPTS / "train.py", "--data", tmp_path / "samples", "--dry_run"]
    with tally.fault(f"{number.name} while {module} is imported"):
        status, said = stop_at_import(words, module, number)
        assert said == "train: stopped; what is finished is whole\n"
        assert status == STOPPED[number]


@pytest.mark.parametrize("number", SIGNALS[1:], ids=lambda n: n.name)
def test_the_one_command_is_stopped_as_well(tmp_path, number):
    command = Path(sys.executable).parent / "fmrgb"
    words = [command, "resize_video", "--target", tmp_path]
    with tally.fault(f"{number.name} while fmrgb is imported"):
        status, said = stop_at_import(words, "numpy.", number)
        assert said == "resize_video: stopped; what is finished is whole\n"
        assert status == STOPPED[number]


def a_worker_of(run: Started, words: str) -> int:
    """Wait for a process of a run whose command line holds some words."""
    end = time.monotonic() + 2 * END_S
    while time.monotonic() < end:
        if found := [pid for pid, said in run.others().items() if words in said]:
            return random.choice(found)
        time.sleep(0.002)
    raise AssertionError(f"no process of {words} was ever started")


@pytest.mark.faults
@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resize_video", "ffmpeg"),
        ("create_fmrgbdata by processes", "forkserver"),
    ],
)
def test_one_process_that_is_killed_takes_one_clip_with_it(light, name, words):
    case = CASES[name]
    wanted, whole_s = light.undisturbed(case)
    for share in moments(f"worker {name}", 9, max(1, MOMENTS // 5)):
        with tally.fault(f"SIGKILL of one process of {name}"):
            folder = light.fresh()
            run = light.server(case).start(case.words.split(), folder)
            victim = a_worker_of(run, words)
            time.sleep(share * whole_s / 2)
            with suppress(ProcessLookupError):  # it was quicker
                os.kill(victim, signal.SIGKILL)
            done = run.wait()
            assert done.status in (0, 1), done.err
            assert done.quiet, done.err
            if (failed := folder / "out" / "failed.csv").exists():
                assert len(read_csv(failed, ("path", "reason"))) == 1
                failed.unlink()
            check_after_kill(case, light.base, folder, light)
            assert len(set(wanted) - set(timeless(folder))) <= 1
            assert light.server(case).run(case.words.split(), folder).status == 0
            check_at_the_end(case, folder, light)
            shutil.rmtree(folder)


def test_what_runs_on_after_its_tool_was_killed_does_no_harm(light):
    case = CASES["resize_video"]
    with tally.fault("SIGKILL of the tool alone"):
        folder = light.fresh()
        run = light.server(case).start(case.words.split(), folder)
        a_worker_of(run, "ffmpeg")
        run.kill(signal.SIGKILL, group=False)
        assert run.wait().status == -signal.SIGKILL
        assert light.server(case).run(case.words.split(), folder).status == 0
        assert run.left(END_S) == {}  # it ends with its clip
        assert light.server(case).run(case.words.split(), folder).status == 0
        check_at_the_end(case, folder, light)


STUBBORN = """
import sys, time
sys.path.insert(0, {tools!r})
sys.argv = ["fmrgb", "models"]
import fmrgb_tools.models, fmrgb_tools.stopping as stopping
from fmrgb_tools import main
stopping.GRACE_S = 0.3

def work(options):
    print("begun", flush=True)
    {stubborn}

fmrgb_tools.models.work = work
sys.exit(main.main())
"""


@pytest.mark.parametrize(
    "stubborn",
    [
        "__import__('hashlib').pbkdf2_hmac('sha256', b'a', b'b', 10**9)",
        "__import__('threading').Thread(target=time.sleep, args=(60,)).start()",
        "type('Late', (), {'__del__': lambda self: time.sleep(60)})()",
    ],
    ids=["in C code", "beside a thread that stays", "in a destructor"],
)
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.faults)]
)
def test_a_tool_that_cannot_answer_is_ended_all_the_same(stubborn, number):
    code = STUBBORN.format(tools=str(SCRIPTS), stubborn=stubborn)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    with tally.fault(f"{number.name} in stubborn code") as noted:
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(number)
        try:
            _, err = process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            noted.hung = 1
            process.kill()
            raise
        assert err == b"models: stopped; what is finished is whole\n"
        assert process.returncode == STOPPED[number]
