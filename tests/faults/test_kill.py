"""Kill: every tool, at moments drawn by chance, and then run again.

After a kill no half file stands under a final name and no original is gone without
what replaces it; the same command then leaves, byte for byte, what a run leaves that
nobody disturbed. Times are no part of that: the seconds of epochs, TensorBoard's log.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import tally
import tiny
from cases import CASES, Case, Step, ground
from killing import END_S, STOPPED, Started, Tools, tools
from timeless import timeless

from fmrgb.cells import read_csv

MOMENTS = int(os.environ.get("FAULT_MOMENTS", "50"))  # per tool, signals in turn
JOURNAL_LOCK = ".journal.lock"
BLOCK = 10  # of them in one test: what is lost at most of a bench that is stopped
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
LONG_S = 3600  # for all moments of a test, on a slow machine

Files = dict[str, bytes]


@dataclass(frozen=True)
class Undisturbed:
    """What a tool leaves that nobody disturbed, times aside.

    Attributes:
        before: what was there.
        files: what is there then.
        last: what is there when all commands are done that finish it.
        seconds: what the tool takes.
    """

    before: Files
    files: Files
    last: Files
    seconds: float


@dataclass
class Bench:
    """Runs tools in copies of one folder, and knows what undisturbed ones leave."""

    base: Path
    room: Path
    held: ExitStack
    servers: dict[tuple[str, ...], Tools] = field(default_factory=dict)
    homes: dict[tuple[Step, ...], Path] = field(default_factory=dict)
    wanted: dict[object, Undisturbed] = field(default_factory=dict)
    count: int = 0

    def server(self, case: Case) -> Tools:
        """Return the server that has imported what a tool needs."""
        if case.needed not in self.servers:
            self.servers[case.needed] = self.held.enter_context(tools(case.needed))
        return self.servers[case.needed]

    def home(self, case: Case) -> Path:
        """Return the folder that a case begins with, and nobody changes."""
        if not case.before:
            return self.base
        if case.before not in self.homes:
            folder = Path(shutil.copytree(self.base, self._new("home")))
            for step in case.before:
                if isinstance(step, str):
                    done = self.server(case).run(step.split(), folder)
                    assert done.status == 0, done.err
                else:
                    step(folder)
            self.homes[case.before] = folder
        return self.homes[case.before]

    def _new(self, name: str) -> Path:
        self.count += 1
        return self.room / f"{name}{self.count}"

    def fresh(self, case: Case) -> Path:
        """Return a new copy of the folder that a case begins with."""
        return Path(shutil.copytree(self.home(case), self._new("run")))

    def start(self, case: Case, folder: Path) -> Started:
        """Start a case's tool."""
        how = {"forked": case.forked}
        return self.server(case).start(case.words.split(), folder, **how)

    def undisturbed(self, case: Case) -> Undisturbed:
        """Return what the tool leaves, and the seconds it takes."""
        key = (case.before, case.words)
        if key not in self.wanted:
            folder = self.fresh(case)
            done = self.start(case, folder).wait()
            assert done.status == 0, done.err
            files = timeless(folder)
            self.finish(case, folder)
            last = timeless(folder) if case.then else files
            before = timeless(self.home(case))
            for name, data in before.items():
                may_go = name in case.gone or Path(name).name in case.remade
                assert may_go or last[name] == data, f"{name} was changed"
            self.wanted[key] = Undisturbed(before, files, last, done.seconds)
            shutil.rmtree(folder)
        return self.wanted[key]

    def finish(self, case: Case, folder: Path) -> None:
        """Run the commands that finish what a case's tool began."""
        for words in case.then:
            done = self.server(case).run(words.split(), folder)
            assert done.status == 0, done.err


@contextmanager
def bench(factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Give a bench; end its servers."""
    base = factory.mktemp("base")
    ground(base)
    with ExitStack() as held:
        yield Bench(base, factory.mktemp("room"), held)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return a bench."""
    with bench(tmp_path_factory) as one:
        yield one


def check_after_kill(
    case: Case, folder: Path, bench: Bench, number: signal.Signals | None = None
) -> None:
    """Check that a killed run lost nothing and left nothing half under its name."""
    wanted = bench.undisturbed(case)
    before, now = wanted.before, timeless(folder)
    for name, data in before.items():
        if name not in now:
            assert name in case.gone, f"{name} is lost"
        else:  # a file that is written anew is the old one, or the new one
            assert now[name] in (data, wanted.files.get(name)), f"{name} was changed"
    for name in set(now) - set(before):
        is_passing = case.passing and Path(name).is_relative_to(case.passing)
        # Optuna's, held for each write; it breaks one that is half a minute old.
        is_lock = number == signal.SIGKILL and name.endswith(JOURNAL_LOCK)
        if not (Path(name).name.startswith(".") or is_passing or is_lock):
            assert name in wanted.files, f"{name} is nothing that the tool leaves"
            if Path(name).name not in case.growing:
                assert now[name] == wanted.files[name], f"{name} is half written"


def check_at_the_end(case: Case, folder: Path, bench: Bench) -> None:
    """Check that all is as if nobody had disturbed the run."""
    bench.finish(case, folder)
    wanted, now = bench.undisturbed(case).last, timeless(folder)
    assert sorted(now) == sorted(wanted)
    assert [name for name in wanted if now[name] != wanted[name]] == []


def kill_and_run_again(
    bench: Bench, name: str, number: signal.Signals, share: float
) -> None:
    """Kill a run after a share of its time, and run the same again."""
    case = CASES[name]
    whole_s = bench.undisturbed(case).seconds
    with tally.fault(f"{number.name} in {name}") as noted:
        folder = bench.fresh(case)
        run = bench.start(case, folder)
        run.sleep(max(case.first_s, share * whole_s))
        run.kill(number)
        asked = time.monotonic()
        try:
            ended = run.wait(END_S)
        except TimeoutError:
            noted.hung = 1
            raise
        assert time.monotonic() - asked < END_S
        # Python may not have come to listen yet.
        is_early = not case.forked and (ended.status, ended.err) == (-number, "")
        assert is_early or ended.status in (0, STOPPED[number]), ended.err
        assert run.left() == {}
        if number != signal.SIGKILL and not is_early:
            assert ended.quiet, ended.err
            assert ended.err.count("stopped;") == (ended.status != 0)
            assert not list(folder.rglob("*.part*"))
        check_after_kill(case, folder, bench, number)
        again = replace(case, words=f"{case.words} {case.again}")
        done = bench.start(again, folder).wait()
        # All may have been deleted before the kill, which the tool tells.
        assert done.status == 0 or (case.gone and "no .mp4 file" in done.err), done.err
        check_at_the_end(case, folder, bench)
        shutil.rmtree(folder)


def moments(name: str, n: int) -> list[float]:
    """Draw shares of a run's time; the same ones every time."""
    dice = random.Random(name)
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
def test_a_killed_tool_goes_on_to_the_same_files(ready, name, number):
    (share,) = moments(f"{name} {number}", 1)
    kill_and_run_again(ready, name, number, share)


def blocks() -> Iterator[tuple[str, int, int]]:
    """Divide the moments of every tool; give the first and the end."""
    for name, case in CASES.items():
        n = max(1, MOMENTS // case.one_in)
        size = max(1, BLOCK // case.one_in)  # what is killed less often takes longer
        for first in range(0, n, size):
            yield name, first, min(n, first + size)


@pytest.mark.faults
@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize(
    ("name", "first", "end"),
    [pytest.param(*block, id="{}-{}-{}".format(*block)) for block in blocks()],
)
def test_a_tool_killed_at_any_moment_goes_on_to_the_same_files(ready, name, first, end):
    for k, share in enumerate(moments(f"long {name}", end)[first:], start=first):
        kill_and_run_again(ready, name, SIGNALS[k % len(SIGNALS)], share)


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
def test_one_process_that_is_killed_takes_one_clip_with_it(ready, name, words):
    case = CASES[name]
    wanted = ready.undisturbed(case)
    for share in moments(f"worker {name}", BLOCK):
        with tally.fault(f"SIGKILL of one process of {name}"):
            folder = ready.fresh(case)
            run = ready.start(case, folder)
            victim = a_worker_of(run, words)
            time.sleep(share * wanted.seconds / 2)
            with suppress(ProcessLookupError):  # it was quicker
                os.kill(victim, signal.SIGKILL)
            done = run.wait()
            assert done.status in (0, 1), done.err
            assert done.quiet, done.err
            if (failed := folder / "out" / "failed.csv").exists():
                assert len(read_csv(failed, ("path", "reason"))) == 1
                failed.unlink()
                manifest = Path("out") / "manifest.csv"
                lines = (folder / manifest).read_bytes().splitlines()
                every = wanted.files[str(manifest)].splitlines()
                assert set(lines) < set(every)
                assert len(lines) == len(every) - 1
                (folder / manifest).write_bytes(wanted.files[str(manifest)])
            check_after_kill(case, folder, ready)
            assert len(set(wanted.files) - set(timeless(folder))) <= 1
            assert ready.start(case, folder).wait().status == 0
            check_at_the_end(case, folder, ready)
            shutil.rmtree(folder)


def test_what_runs_on_after_its_tool_was_killed_does_no_harm(ready):
    case = CASES["resize_video"]
    with tally.fault("SIGKILL of the tool alone"):
        folder = ready.fresh(case)
        run = ready.start(case, folder)
        a_worker_of(run, "ffmpeg")
        run.kill(signal.SIGKILL, group=False)
        assert run.wait().status == -signal.SIGKILL
        assert ready.start(case, folder).wait().status == 0
        assert run.left(END_S) == {}  # it ends with its clip
        assert ready.start(case, folder).wait().status == 0
        check_at_the_end(case, folder, ready)


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
        "half = type('Half', (), {'__del__': lambda self: self.missing})(); "
        "time.sleep(60)",
    ],
    ids=[
        "in C code",
        "beside a thread that stays",
        "in a destructor",
        "beside what is half made",
    ],
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


WITHIN_AN_IMPORT = """
import sys
sys.path[:0] = [{tests!r}, {folder!r}]
sys.argv = ["fmrgb", "models"]
import fmrgb_tools.models
from fmrgb_tools import main

def work(options):
    import slow  # it is within this that the signal comes

fmrgb_tools.models.work = work
if __name__ == "__main__":  # workers read this file, too
    sys.exit(main.main())
"""
SLOW = """
from pathlib import Path
import jobs
from fmrgb.engine import run
from fmrgb.leftovers import and_sweep

folder = Path(__file__).parent
list(and_sweep(run(jobs.write_and_wait, [folder] * 2, workers=2), folder))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_workers_leave_nothing_half_where_their_tool_is_ended_by_hand(tmp_path, number):
    program = tmp_path / "program.py"
    tests = str(Path(__file__).resolve().parent.parent)
    program.write_text(WITHIN_AN_IMPORT.format(tests=tests, folder=str(tmp_path)))
    (tmp_path / "slow.py").write_text(SLOW)
    process = subprocess.Popen([sys.executable, program], stderr=subprocess.PIPE)
    with tally.fault(f"{number.name} while workers write and a module is imported"):
        end = time.monotonic() + 5 * END_S
        while len(list(tmp_path.glob(".*.part.pt"))) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=END_S)
        assert err == b"models: stopped; what is finished is whole\n"
        assert process.returncode == STOPPED[number]
        assert sorted(path.name for path in tmp_path.glob("*.p*")) == [
            "program.py",
            "slow.py",
        ]


BESIDE = """
import os, sys
sys.path.insert(0, {tools!r})
sys.argv = ["fmrgb", "models"]
import fmrgb_tools.models
from fmrgb_tools import main

def stop():
    os.kill(os.getpid(), {number})

def late(name):
    {before}
    return fmrgb_tools.models

main.import_module = late
fmrgb_tools.models.work = lambda options: 0
status = main.main()
{after}
sys.exit(status)
"""


@pytest.mark.parametrize(("before", "after"), [("stop()", ""), ("", "stop()")])
@pytest.mark.parametrize("number", SIGNALS[1:], ids=lambda n: n.name)
def test_a_tool_stopped_just_before_or_after_its_work_says_one_line(
    before, after, number
):
    code = BESIDE.format(
        tools=str(SCRIPTS), number=int(number), before=before, after=after
    )
    with tally.fault(f"{number.name} beside the work"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.stderr == "models: stopped; what is finished is whole\n"
        assert done.returncode == STOPPED[number]


AT_THE_VERY_END = """
import builtins, os, sys
sys.path.insert(0, {tools!r})
sys.argv = ["fmrgb", "models"]
import fmrgb_tools.models
from fmrgb_tools import main

class Late:
    def __del__(self, kill=os.kill, process=os.getpid()):
        kill(process, {number})

builtins.late = Late()  # it goes when Python takes itself apart
fmrgb_tools.models.work = lambda options: 0
sys.exit(main.main())
"""


@pytest.mark.parametrize("number", SIGNALS[1:], ids=lambda n: n.name)
def test_no_signal_comes_between_the_end_of_the_work_and_its_status(number):
    code = AT_THE_VERY_END.format(tools=str(SCRIPTS), number=int(number))
    with tally.fault(f"{number.name} at the very end"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
