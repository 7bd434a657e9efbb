"""A plugin of pytest that keeps what every test of the bench came to; see whole.py.

It is loaded by whole.py alone: `make test` keeps nothing. Every test's notes are a file
of the folder `FAULT_WORK`, in a folder named for what decides the outcomes of its
module, written whole as soon as the test has ended, in whichever process of several.
`FAULT_LIST` names a file that gets the names of all tests found, `FAULT_ONLY` one with
the names of those that are to run.
"""

import hashlib
import json
import os
import time
from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tally

from fmrgb.files import whole_file

WORK, LIST, ONLY = "FAULT_WORK", "FAULT_LIST", "FAULT_ONLY"
DIGESTS = "digests.json"  # beside the outcomes: where those of each module lie
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
REPORT_CHARACTERS = 20_000
_REPORTS = pytest.StashKey[list[pytest.TestReport]]()


@dataclass
class Outcome:
    """What one test came to.

    Attributes:
        test: its name, as pytest writes it.
        outcome: passed, failed or skipped.
        why: it was skipped, or failed.
        seconds: that it took.
        notes: of the faults that it injected.
        report: the end of what pytest has to say of a failure, which it does when all
            tests have ended; a bench may be stopped before.
    """

    test: str
    outcome: str
    why: str
    seconds: float
    notes: list[tally.Note] = field(default_factory=list)
    report: str = ""


def file_of(work: Path, test: str) -> Path:
    """Return where the outcome of a test is kept."""
    module = Path(test.partition("::")[0]).name
    digest = json.loads((work / DIGESTS).read_text())[module]
    return work / digest / f"{hashlib.sha256(test.encode()).hexdigest()[:24]}.json"


def keep(work: Path, found: Outcome) -> None:
    """Write an outcome, whole or not at all."""
    path = file_of(work, found.test)
    path.parent.mkdir(exist_ok=True)
    with whole_file(path) as part:
        part.write_text(json.dumps(asdict(found)))


def kept(work: Path) -> dict[str, Outcome]:
    """Read all outcomes that still hold, by the name of the test."""
    found = {}
    for digest in set(json.loads((work / DIGESTS).read_text()).values()):
        for path in sorted((work / digest).glob("[!.]*.json")):  # no half written ones
            told = json.loads(path.read_text())
            notes = [tally.Note(**note) for note in told.pop("notes")]
            found[told["test"]] = Outcome(**told, notes=notes)
    return found


def outcome_of(test: str, reports: Iterable[Any], seconds: float) -> Outcome:
    """Sum up the reports of a test's set-up, call and tear-down."""
    reports = list(reports)
    skipped = [report for report in reports if report.skipped]
    failed = [report for report in reports if report.failed]
    if failed or not reports:
        text = "\n".join(str(report.longrepr) for report in failed)
        lines = text.splitlines()
        why = next((line[1:].strip() for line in lines if line[:2] == "E "), "")
        return Outcome(test, FAILED, why, seconds, report=text[-REPORT_CHARACTERS:])
    if skipped:
        why = skipped[0].longrepr
        said = why[2] if isinstance(why, tuple) else str(why)
        return Outcome(test, SKIPPED, said.removeprefix("Skipped: "), seconds)
    return Outcome(test, PASSED, "", seconds)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known where no pyproject.toml does."""
    config.addinivalue_line("markers", "alone: while no other test runs")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what is not to run now."""
    if path := os.environ.get(ONLY):
        wanted = set(json.loads(Path(path).read_text()))
        left_out = [item for item in items if item.nodeid not in wanted]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.nodeid in wanted]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Tell the names of all tests, and which of them are to run alone."""
    if path := os.environ.get(LIST):
        alone = {
            item.nodeid: item.get_closest_marker("alone") is not None
            for item in session.items
        }
        Path(path).write_text(json.dumps(alone))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Remember the reports of a test."""
    report = yield
    item.stash.setdefault(_REPORTS, []).append(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Keep what a test came to when it has ended."""
    before, start = len(tally.notes()), time.monotonic()
    done = yield
    reports = item.stash.get(_REPORTS, [])
    found = outcome_of(item.nodeid, reports, time.monotonic() - start)
    found.notes = tally.notes()[before:]
    keep(Path(os.environ[WORK]), found)
    return done
