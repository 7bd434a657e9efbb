"""ray_engine.py: what a Ray cluster does is what processes do, come what may.

One small cluster, all of it on this machine, serves all quick tests.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import clips
import jobs
import pytest
from fmrgb_tools.create_fmrgbdata import main
from fmrgb_tools.merge import main as merge

from fmrgb import limits, ray_engine, ray_tasks
from fmrgb.engine import AHEAD, DIED, Outcome, run
from fmrgb.errors import ClusterError, DiskFullError
from fmrgb.leftovers import sweep_parts
from fmrgb.limits import Allowance, Limits
from fmrgb.manifest import read_manifest
from fmrgb.ray_engine import Cluster, joined, task_overhead
from fmrgb.ray_order import Round

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray's own processes
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
N_CLIPS = 9
LOOK = ("--frames", "4", "--size", "6x5")
TOOL = Path(__file__).parent.parent / "tools" / "create_fmrgbdata.py"
STOPPED = "create_fmrgbdata: stopped; what is finished is whole\n"
SMALL = {"object_store_memory": 100 << 20}


@pytest.fixture(scope="module")
def machines() -> Iterator[Any]:
    """Start a cluster of one machine with two cores, to which others can be added."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        from ray.cluster_utils import Cluster as Machines

        head = {"num_cpus": 2, "include_dashboard": False, **SMALL}
        machines = Machines(initialize_head=True, head_node_args=head)
        signal.signal(signal.SIGTERM, before)  # Ray puts its own there
        yield machines
        machines.shutdown()


@pytest.fixture(scope="module")
def cluster(machines: Any) -> Iterator[Cluster]:
    """Join it once, for tests that leave it as it was."""
    with joined(machines.address, workers=1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of short clips of two labels, one of which is cut short."""
    return clips.few(tmp_path_factory.mktemp("ray") / "clips", N_CLIPS)


def build(folder: Path, output: Path, *words: str) -> int:
    """Run the tool; return its exit status."""
    return main(["--target", str(folder), "--output", str(output), *LOOK, *words])


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of all files but the lists of shares, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".shard" not in path.name
    }


def faults(outcomes: list[Outcome[Any, Any]]) -> dict[Any, str | None]:
    """Return job -> why it was set aside."""
    return {o.job: o.fault for o in outcomes if o.fault is not None}


@pytest.mark.parametrize("n", [0, 1, 2, 300])
def test_every_job_is_done_once(cluster, n):
    outcomes = list(run(jobs.double, range(n), workers=1, cluster=cluster))
    assert Counter(o.job for o in outcomes) == Counter(range(n))
    assert all(o.result == 2 * o.job and o.fault is None for o in outcomes)


def test_the_work_is_done_elsewhere_and_by_several(cluster):
    outcomes = list(run(jobs.who_slowly, range(100), workers=1, cluster=cluster))
    processes = {o.result[1] for o in outcomes if o.result}
    assert os.getpid() not in processes
    assert len(processes) >= 2


def test_a_job_that_fails_is_set_aside_with_its_reason(cluster):
    outcomes = list(run(jobs.fail_on_odd, range(6), workers=1, cluster=cluster))
    told = {
        1: "clip 1 is broken",
        3: "[Errno 5] the disk is dying",
        5: "MemoryError",
    }
    assert faults(outcomes) == told
    assert {o.job: o.result for o in outcomes if o.job % 2 == 0} == {0: 0, 2: 2, 4: 4}


def test_a_full_disk_ends_the_whole_and_the_next_work_can_begin(cluster):
    seen = []
    with pytest.raises(DiskFullError, match="no room left"):
        seen.extend(run(jobs.fill_disk, range(10_000), workers=1, cluster=cluster))
    assert len(seen) < 1000
    assert len(list(run(jobs.double, range(3), workers=1, cluster=cluster))) == 3


def test_a_fault_of_the_program_is_not_hidden(cluster):
    with pytest.raises(ZeroDivisionError):
        list(run(jobs.stumble, range(4), workers=1, cluster=cluster))


def test_a_job_that_kills_its_process_again_and_again_is_the_only_one_lost(cluster):
    n = 60
    outcomes = list(run(jobs.die, range(n), workers=1, cluster=cluster))
    assert Counter(o.job for o in outcomes) == Counter(range(n))
    assert faults(outcomes) == {jobs.KILLER: DIED}


def short(job: Path) -> Limits:
    """Allow a job less than it takes."""
    return Limits(seconds=0.3)


def test_a_job_that_takes_too_long_is_set_aside(cluster, tmp_path):
    (outcome,) = run(
        jobs.tell_and_wait, [tmp_path], workers=1, cluster=cluster, limits=short
    )
    assert "not done within 0 s" in str(outcome.fault)


def test_jobs_are_handed_out_a_few_at_a_time(machines, tmp_path):
    work = [(i, tmp_path) for i in range(400)]
    with joined(machines.address, workers=1) as cluster:
        outcomes = run(jobs.leave_mark, work, workers=1, cluster=cluster)
        next(outcomes)
        time.sleep(1.0)
        assert len(list(tmp_path.iterdir())) <= 6 * AHEAD
        outcomes.close()  # as a caller that leaves
        done = len(list(tmp_path.iterdir()))
        time.sleep(0.5)
        assert len(list(tmp_path.iterdir())) == done


def test_a_machine_that_does_not_see_the_clips_ends_the_whole(machines, tmp_path):
    with joined(machines.address, workers=1) as cluster:
        cluster.needs(tmp_path / "elsewhere")
        with pytest.raises(ClusterError, match="elsewhere; all machines"):
            list(run(jobs.double, range(9), workers=1, cluster=cluster))


def test_memory_that_no_machine_has_is_refused(machines):
    with (
        pytest.raises(ClusterError, match="no machine of it has the 1048576 MiB"),
        joined(machines.address, workers=1, memory=1 << 40),
    ):
        pass


def test_an_address_nobody_answers_at_is_told_in_one_line(folder, tmp_path, capsys):
    began_s = time.monotonic()
    words = ("--engine", "ray", "--address", "127.0.0.1:9")
    assert build(folder, tmp_path / "out", *words) == 1
    told = capsys.readouterr().err
    assert told.startswith("create_fmrgbdata: nobody answers at 127.0.0.1:9")
    assert told.count("\n") == 1
    assert time.monotonic() - began_s < 10


def test_a_missing_package_is_told_in_one_line(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: None)
    assert build(folder, tmp_path / "out", "--engine", "ray") == 1
    assert "pip install 'fmrgb[ray]'" in capsys.readouterr().err


def test_an_address_needs_the_engine(folder, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        build(folder, tmp_path / "out", "--address", "auto")
    assert "add --engine ray" in capsys.readouterr().err


def test_a_cluster_makes_the_same_bytes(machines, folder, tmp_path, capsys):
    assert build(folder, tmp_path / "one", "--workers", "1") == 1  # one is broken
    capsys.readouterr()
    ray = ("--engine", "ray", "--address", machines.address)
    assert build(folder, tmp_path / "ray", *ray) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1, "Ray speaks to the terminal"
    assert said.err.startswith("set aside: ")
    one = files(tmp_path / "one")
    assert len(one) == N_CLIPS + 2
    assert "failed.csv" in one
    assert files(tmp_path / "ray") == one


@pytest.mark.slow
def test_any_engine_finishes_what_another_began(machines, folder, tmp_path, capsys):
    ray = ("--engine", "ray", "--address", machines.address)
    build(folder, tmp_path / "out", "--workers", "1", "--shard", "1/2")
    half = len(list((tmp_path / "out").rglob("*.pt")))
    assert 0 < half < N_CLIPS
    build(folder, tmp_path / "out", *ray)
    assert f"({N_CLIPS - half} made, {half} kept)" in capsys.readouterr().out
    for path in list((tmp_path / "out").rglob("*.pt"))[:2]:
        path.unlink()
    build(folder, tmp_path / "out", "--workers", "1")
    assert f"(2 made, {N_CLIPS - 2} kept)" in capsys.readouterr().out
    build(folder, tmp_path / "out", *ray, "--shard", "2/2")
    assert "(0 made" in capsys.readouterr().out


def start(folder: Path, output: Path, *words: str) -> subprocess.Popen[str]:
    """Start the tool as the shell does, in a group of processes of its own."""
    line = [sys.executable, str(TOOL), "--target", str(folder), "--output", str(output)]
    how: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [*line, *LOOK, *words], text=True, start_new_session=True, **how
    )


def wait_for(n: int, output: Path, seconds: float = 60) -> int:
    """Wait until so many samples are there; return how many there are then."""
    deadline = time.monotonic() + seconds
    while (done := len(list(output.rglob("*.pt")))) < n:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return done


@pytest.fixture
def many(folder: Path, tmp_path: Path) -> Path:
    """Return a folder of clips that take some seconds."""
    for number in range(300):
        one = folder / "high" / "clip00.mp4"
        label = ("high", "low")[number % 2]
        clips.copies(one, tmp_path / "many" / label, f"clip{number:03d}.mp4")
    return tmp_path / "many"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_tasks_and_leaves_no_parts(machines, many, tmp_path, number):
    output = tmp_path / "out"
    ray = ("--engine", "ray", "--address", machines.address)
    tool = start(many, output, *ray)
    wait_for(10, output)
    os.killpg(tool.pid, number)
    assert tool.stderr is not None
    assert tool.stderr.read() == STOPPED
    assert tool.wait(20) == 128 + number
    left = files(output)
    assert not [name for name in left if ".part" in name]
    assert "manifest.csv" not in left
    time.sleep(0.5)
    assert files(output).keys() == left.keys(), "tasks work on"
    assert 10 <= len(left) < 300


@pytest.mark.slow
def test_a_machine_that_is_killed_loses_nothing(machines, many, tmp_path):
    second = machines.add_node(num_cpus=1, **SMALL)
    output = tmp_path / "out"
    done: list[int] = []
    words = ("--engine", "ray", "--address", machines.address)
    building = threading.Thread(target=lambda: done.append(build(many, output, *words)))
    building.start()
    wait_for(60, output)
    machines.remove_node(second, allow_graceful=False)
    building.join(120)
    assert done == [0]
    names = [row.path.stem for row in read_manifest(output / "manifest.csv")]
    assert Counter(names) == Counter(f"clip{number:03d}" for number in range(300))
    assert not [name for name in files(output) if ".part" in name]


def test_what_a_lost_machine_left_half_written_goes(tmp_path):
    parts = [f".clip.0123abcd.{host}-7.part.pt" for host in ("away1", "here2")]
    for name in parts:
        (tmp_path / name).touch()
    assert sweep_parts(tmp_path, gone={"away1"}) == 1
    assert [path.name for path in tmp_path.iterdir()] == parts[1:]


def test_memory_is_shared_by_the_cores_of_the_machine_that_works(monkeypatch):
    monkeypatch.setattr(limits, "free_memory", lambda: 64 << 30)
    monkeypatch.setattr(limits, "default_workers", lambda: 4)
    assert Allowance(workers=None).n_bytes() == 16 << 30
    assert Allowance(workers=2).n_bytes() == 32 << 30


def test_what_a_task_costs_is_measured(cluster):
    assert 0 < task_overhead(cluster, 200) < 0.1


def of_ray() -> set[str]:
    """Return the processes of Ray."""
    lines = subprocess.check_output(["ps", "-eo", "pid,args"], text=True).splitlines()
    return {line.split()[0] for line in lines if "raylet" in line or "gcs_ser" in line}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps")
@pytest.mark.parametrize("number", [None, signal.SIGINT, signal.SIGTERM])
def test_a_ray_that_was_started_here_ends_with_the_tool(many, tmp_path, number):
    output, before = tmp_path / "out", of_ray()
    tool = start(many, output, "--engine", "ray", "--workers", "2")
    if number:
        wait_for(10, output)
        assert of_ray() - before
        os.killpg(tool.pid, number)
    assert tool.wait(120) == (128 + number if number else 0)
    deadline = time.monotonic() + 20
    while of_ray() - before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not of_ray() - before
    assert not [name for name in files(output) if ".part" in name]
    if number is None:  # and all engines make the same bytes
        for workers in ("1", "2"):
            local = tmp_path / workers
            assert build(many, local, "--workers", workers) == 0
            assert files(local) == files(output)
        for share in ("1/2", "2/2"):
            build(many, tmp_path / "shared", "--workers", "1", "--shard", share)
        assert merge(["--target", str(tmp_path / "shared")]) == 0
        assert files(tmp_path / "shared") == files(output)


@pytest.mark.slow
def test_a_lost_head_is_told_in_one_line(machines, many, tmp_path):
    output = tmp_path / "out"
    ray = ("--engine", "ray", "--address", machines.address)
    tool = start(many, output, *ray)
    wait_for(10, output)
    machines.head_node.kill_gcs_server()
    assert tool.stderr is not None
    assert tool.wait(120) == 1
    told = tool.stderr.read()
    assert "was lost; see whether its head runs" in told
    assert told.count("\n") == 1


class Stuck:
    """A Ray whose first task never ends, as on a machine that was cut off."""

    def __init__(self) -> None:
        import ray

        self.exceptions = ray.exceptions
        self.tasks: list[list[int]] = []
        self.cancelled: list[int] = []

    def nodes(self) -> list[dict[str, Any]]:
        """Return one machine of one core."""
        return [{"NodeID": "a", "Alive": True, "Resources": {"CPU": 1}}]

    def remote(self, **how: Any) -> Any:
        """Return what makes tasks of a function."""
        return lambda work: SimpleNamespace(remote=self.begin)

    def begin(self, order: Any, jobs: list[int]) -> int:
        """Begin a task; its number is its name."""
        self.tasks.append(jobs)
        return len(self.tasks) - 1

    def wait(self, refs: list[int], **how: Any) -> tuple[list[int], list[int]]:
        """Say which tasks have ended: all but the first."""
        return [ref for ref in refs if ref], [0] if 0 in refs else []

    def get(self, ref: int) -> tuple[str, str, list[Outcome[int, int]]]:
        """Return what came of a task."""
        return "here", "a", [Outcome(job, -job, None, 0.0) for job in self.tasks[ref]]

    def cancel(self, ref: int) -> None:
        """Keep what is not wanted any more."""
        self.cancelled.append(ref)


def test_what_never_comes_back_is_done_once_more(monkeypatch):
    monkeypatch.setattr(ray_tasks, "OVERDUE_S", 0.0)
    monkeypatch.setattr(ray_tasks, "LOOK_S", 0.0)
    waiting, told = list(range(1, 8)), []

    def more() -> list[int]:
        given = waiting[: told.pop()[1]]
        del waiting[: len(given)]
        return given

    pipe = SimpleNamespace(send=told.append, recv=more, poll=lambda: False)
    ray = Stuck()
    ray_tasks._Hand(ray, pipe, Round(None, 7, 3), None).run()  # type: ignore[arg-type]
    kinds = [kind for kind, _ in told]
    assert kinds[-1] == "end"
    done = [one.job for kind, what in told if kind == "done" for one in what]
    assert sorted(done) == list(range(1, 8)), "each once"
    assert ray.tasks.count(ray.tasks[0]) == 2
    assert ray.cancelled == [0]
