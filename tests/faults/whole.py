"""The whole bench of faults, on all cores, in as many goes as it takes.

Usage: python tests/faults/whole.py [words for pytest]; `make faults` does it.

What every test came to is kept in `.work/<digest>` beside this file, where the digest
is of all that decides the outcomes of its module: a bench that was stopped goes on
where it stopped, a change of the toolkit begins anew, and one of a test module begins
that module anew. A test that failed is run again. At the end stands one table, and
where every test was done `docs/FAULTS.md` is written.
"""

import ast
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import keeping
import tally
from keeping import DIGESTS, FAILED, LIST, ONLY, PASSED, SKIPPED, WORK, Outcome

from fmrgb.files import whole_file

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGE = ROOT / "docs" / "FAULTS.md"
USUAL = 50  # moments at which a tool is killed, by three signals in turn
DECIDING = ("torch", "numpy", "av", "lightning")  # their versions, and Python's
SELECTED = "not slow and not gpu"


def main() -> int:
    """Run what is left of the bench; return 0 if all of it has passed."""
    moments = int(os.environ.get("FAULT_MOMENTS", USUAL))
    digests = digests_of()
    work = HERE / ".work"
    state = go_on(HERE, work, digests, words=sys.argv[1:])
    state.changed = digests_of() != digests
    lines = [*state.head(moments), "", *table(state.notes()), "", *state.tail(moments)]
    say("\n".join(["", *lines]))
    write_page(work / "FAULTS.md", lines)
    if state.is_whole and moments >= USUAL:
        write_page(PAGE, lines)
        say(f"written: {PAGE.relative_to(ROOT)}")
    return 0 if state.is_whole else 1


@dataclass
class State:
    """How far the bench has come.

    Attributes:
        all: names of its tests.
        found: what those came to that were run, by name.
        n_kept: how many were not run now, as they had passed before.
        changed: whether the sources were changed while it ran.
    """

    all: list[str]
    found: dict[str, Outcome]
    n_kept: int
    changed: bool = False

    def of(self, outcome: str) -> list[str]:
        """Return the tests that came to something."""
        found = self.found
        return [n for n in self.all if n in found and found[n].outcome == outcome]

    @property
    def left(self) -> list[str]:
        """Return the tests that have not ended."""
        return [name for name in self.all if name not in self.found]

    @property
    def is_whole(self) -> bool:
        """Whether every test passed that this machine can run."""
        return not (self.of(FAILED) or self.left or self.changed) and bool(self.all)

    def notes(self) -> list[tally.Note]:
        """Return the notes of all tests."""
        return [note for name in self.found for note in self.found[name].notes]

    def head(self, moments: int) -> list[str]:
        """Say what the table holds, and what it does not."""
        failed, skipped = self.of(FAILED), self.of(SKIPPED)
        told = [
            f"{len(self.of(PASSED))} of {len(self.all)} tests passed "
            f"({self.n_kept} kept from before), every tool killed at {moments} moments "
            "by SIGKILL, SIGTERM and SIGINT in turn."
        ]
        if not self.is_whole:
            told.insert(
                0,
                f"NOT THE WHOLE BENCH: {len(failed)} tests failed, {len(self.left)} "
                "were not run"
                + (", and sources were changed meanwhile." if self.changed else "."),
            )
        if skipped:
            why = Counter(self.found[name].why for name in skipped)
            each = "; ".join(f"{n}: {said}" for said, n in why.items())
            told.append(f"{len(skipped)} cannot be run on this machine ({each}).")
        told += [f"failed: {name} ({self.found[name].why})" for name in failed]
        return told

    def tail(self, moments: int) -> list[str]:
        """Say which tools were killed less often, and add all up."""
        notes = self.notes()
        pattern = re.compile(r"SIG\w+ in (.+)")
        matches = [pattern.fullmatch(n.fault) for n in notes if n.area == "kill"]
        counts = Counter(m[1] for m in matches if m)
        fewer = {name: n for name, n in counts.items() if n < moments}
        told = []
        if fewer:
            each = ", ".join(f"{name} ({n})" for name, n in sorted(fewer.items()))
            told += [f"Killed at fewer moments: {each}.", ""]
        hours = sum(outcome.seconds for outcome in self.found.values()) / 3600
        told.append(
            f"{len(notes)} faults injected, {sum(n.survived for n in notes)} survived, "
            f"{sum(n.lost for n in notes)} files lost, {sum(n.hung for n in notes)} "
            f"hangs, {sum(n.executed for n in notes)} times code run from data; "
            f"{len(self.found)} tests in {hours:.1f} h of one core each"
        )
        return told


def go_on(
    bench: Path, work: Path, digests: Mapping[str, str], *, words: Sequence[str] = ()
) -> State:
    """Run what is left: most tests side by side, then one by one those marked alone.

    Args:
        bench: folder of the tests.
        work: folder in which is kept what they came to.
        digests: of what decides the outcomes of each module, by its file's name.
        words: more words for pytest.
    """
    work.mkdir(parents=True, exist_ok=True)
    (work / ".gitignore").write_text("*\n")
    (work / DIGESTS).write_text(json.dumps(dict(digests)))
    found = keeping.kept(work)
    for name, outcome in found.items():
        if outcome.outcome != PASSED:
            keeping.file_of(work, name).unlink()
    listed = work / "tests"
    listed.unlink(missing_ok=True)
    ask = ["--collect-only", "-q", "--no-header", "--no-summary"]
    pytest_on(bench, work, ask, {LIST: str(listed)}, stdout=subprocess.DEVNULL)
    if not listed.exists():  # a test file that cannot be read; say so
        pytest_on(bench, work, ask, {})
        return State([], {}, 0)
    alone: dict[str, bool] = json.loads(listed.read_text())
    done = {name for name in alone if name in found and found[name].outcome == PASSED}
    say(f"{len(done)} of {len(alone)} tests kept from before, {work}")
    n_cores = len(os.sched_getaffinity(0))
    for is_alone in (False, True):
        todo = [n for n in alone if n not in done and alone[n] == is_alone]
        if not todo:
            continue
        (work / "todo").write_text(json.dumps(todo))
        n = 0 if is_alone else min(n_cores, len(todo))
        # Stealing keeps neighbours, which share what they set up, in one process.
        how = ["-n", str(n), "--dist", "worksteal", "--maxfail", "1000"]
        status = pytest_on(bench, work, [*how, *words], {ONLY: str(work / "todo")})
        if status == 2:  # Ctrl-C
            break
    now = keeping.kept(work)
    return State(list(alone), {n: now[n] for n in alone if n in now}, len(done))


def say(text: str) -> None:
    """Write a line before what pytest writes next."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def pytest_on(
    bench: Path,
    work: Path,
    words: Sequence[str],
    variables: dict[str, str],
    **how: int,
) -> int:
    """Run pytest with the plugin that keeps; return its exit status."""
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    others = {k: v for k, v in os.environ.items() if k not in (LIST, ONLY)}
    environment = {**others, **variables, WORK: str(work)}
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    line = [sys.executable, "-m", "pytest", "-q", "-p", "keeping", "-m", SELECTED]
    line += ["--rootdir", str(ROOT)]  # names of tests begin there, whatever is asked
    process = subprocess.Popen(
        [*line, *words, str(bench)], cwd=ROOT, env=environment, **how
    )
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # it has heard it too, and ends well
            continue


def digests_of() -> dict[str, str]:
    """Name what decides the outcomes of each test module, by its file's name.

    How many moments are asked for is none of it: their tests bear their numbers.
    """
    modules = sorted(HERE.glob("test_*.py"))
    return {module.name: digest_of(sources(module)) for module in modules}


def sources(module: Path) -> list[Path]:
    """Return the files that decide what becomes of the faults of a test module."""
    tests = ROOT / "tests"
    found = {
        p for d in ("fmrgb", "tools") for p in (ROOT / d).rglob("*") if p.is_file()
    }
    waiting = [module, tests / "conftest.py", HERE / "conftest.py"]
    found |= set(waiting)
    while waiting:  # the helpers that it imports, and those that these import
        tree = ast.parse(waiting.pop().read_text())
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            helpers = {
                folder / f"{name}.py" for name in names for folder in (tests, HERE)
            }
            new = {path for path in helpers - found if path.is_file()}
            found |= new
            waiting += sorted(new)
    return sorted(p for p in found if "__pycache__" not in p.parts)


def digest_of(files: Sequence[Path]) -> str:
    """Name what decides the outcomes: sources and versions."""
    digest = hashlib.sha256(repr(versions()).encode())
    for path in files:
        digest.update(f"{path.relative_to(ROOT)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def versions() -> dict[str, str]:
    """Return the versions that decide, as far as the packages are there."""
    known = {"python": platform.python_version()}
    for name in DECIDING:
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            known[name] = "-"
    return known


def table(notes: Sequence[tally.Note]) -> list[str]:
    """Write notes as a table of Markdown."""
    first, *rows = tally.rows(notes)
    lines = [first, ["---", *["---:"] * (len(first) - 1)], *rows]
    return [f"| {' | '.join(row)} |" for row in lines]


def write_page(path: Path, lines: Sequence[str]) -> None:
    """Write what a run came to, for those who do not run it."""
    known = ", ".join(f"{name} {number}" for name, number in versions().items())
    n_cores = len(os.sched_getaffinity(0))
    text = [
        "# What the bench of faults came to",
        "",
        "Written by `make faults`; [TRUST.md](TRUST.md) says what is promised.",
        "",
        f"{date.today()}, {platform.system()} {platform.machine()}, {n_cores} cores, "
        f"{known}.",
        "",
        *lines,
    ]
    with whole_file(path) as part:
        part.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    sys.exit(main())
