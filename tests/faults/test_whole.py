"""whole.py: a bench that was stopped goes on, and half of one never looks whole."""

import os
from pathlib import Path

import pytest
import tally
import whole

pytest.importorskip("xdist")
HEAD = "NOT THE WHOLE BENCH"
TESTS = """
import os
from pathlib import Path

import pytest
import tally

HERE = Path(__file__).parent


def test_one_is_well():
    (HERE / "log").open("a").write("one ")
    tally.note("a push", survived=True, memory_mib=7)


@pytest.mark.parametrize("n", [1, 2])
def test_two_needs_a_file(n):
    (HERE / "log").open("a").write("two ")
    with tally.fault("a pull"):
        assert n == 1 or (HERE / "mended").exists()


@pytest.mark.alone
def test_three_is_alone():
    assert "PYTEST_XDIST_WORKER" not in os.environ
    (HERE / "log").open("a").write("three ")
    tally.note("a shove", survived=True, seconds=2.5)


def test_four_is_for_others():
    pytest.skip("no such device")
"""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a small bench, for a pytest that starts quickly."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p xdist.plugin")
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "bench"
    folder.mkdir()
    (folder / "test_pushes.py").write_text(TESTS)
    return folder


def gone_on(bench: Path, *words: str, digest: str = "one") -> whole.State:
    """Run what is left of the small bench; its files are no part of this project's."""
    (bench / "log").write_text("")
    digests = {"test_pushes.py": digest}
    words = ("-p", "no:cacheprovider", *words)
    return whole.go_on(bench, bench.parent / ".work", digests, words=words)


def ran(bench: Path) -> dict[str, int]:
    """Count the tests that ran this time."""
    words = (bench / "log").read_text().split()
    return {word: words.count(word) for word in words}


def test_only_what_is_left_is_run_and_half_a_bench_never_looks_whole(bench):
    first = gone_on(bench, "-k", "not well")
    assert ran(bench) == {"two": 2, "three": 1}
    assert first.n_kept == 0
    assert not first.is_whole
    head = first.head(50)
    assert head[0] == f"{HEAD}: 1 tests failed, 1 were not run."
    assert head[1].startswith("2 of 5 tests passed (0 kept from before)")
    assert "1 cannot be run on this machine (1: no such device)." in head
    assert "test_two_needs_a_file[2] (AssertionError: assert (2 == 1" in head[-1]
    (failed,) = first.of("failed")
    assert "def test_two_needs_a_file" in first.found[failed].report
    (row,) = whole.table(first.notes())[2:]
    assert row == "| pushes | 3 | 2 | 0 | 0 | 0 | - | 2.50 |"
    assert (bench.parent / ".work" / ".gitignore").read_text() == "*\n"

    (bench / "mended").touch()
    second = gone_on(bench)
    assert ran(bench) == {"one": 1, "two": 1}
    assert second.n_kept == 2
    assert second.is_whole
    assert HEAD not in " ".join(second.head(50))
    (row,) = whole.table(second.notes())[2:]
    assert row == "| pushes | 4 | 4 | 0 | 0 | 0 | 7 | 2.50 |"
    assert second.tail(50)[-1].startswith("4 faults injected, 4 survived, 0 files lost")

    third = gone_on(bench, digest="another")
    assert ran(bench) == {"one": 1, "two": 2, "three": 1}
    assert third.n_kept == 0


def state(**notes: int) -> whole.State:
    """Return the state of a whole bench of one test with notes of so many kills."""
    killed = [
        tally.Note("kill", f"SIGTERM in {name}") for name, n in notes.items() for _ in
        range(n)
    ]  # fmt: skip
    one = whole.Outcome("a", whole.PASSED, "", 3600.0, killed)
    return whole.State(["a"], {"a": one}, 0)


def test_tools_that_are_killed_less_often_are_named():
    told = state(train=50, explain=5).tail(50)
    assert told[0] == "Killed at fewer moments: explain (5)."
    assert len(state(train=50, explain=50).tail(50)) == 1


def test_a_bench_whose_sources_were_changed_meanwhile_is_not_whole():
    changed = state(train=2)
    assert changed.is_whole
    changed.changed = True
    assert not changed.is_whole
    assert changed.head(2)[0].endswith("and sources were changed meanwhile.")


def test_a_bench_without_tests_is_not_whole():
    assert not whole.State([], {}, 0).is_whole


def test_what_decides_an_outcome_decides_the_digest():
    files = whole.sources(whole.HERE / "test_kill.py")
    names = {str(path.relative_to(whole.ROOT)) for path in files}
    assert {"fmrgb/files.py", "tools/train.py", "tests/faults/cases.py"} <= names
    assert {"tests/clips.py", "tests/pairing.py", "tests/conftest.py"} <= names
    others = {
        "tests/test_files.py",
        "tests/faults/test_disk.py",
        "tests/faults/traps.py",
    }
    assert not others & names
    assert not [name for name in names if "__pycache__" in name]
    digest = whole.digest_of(files)
    assert digest == whole.digest_of(files)
    assert digest != whole.digest_of(files[1:])


def test_only_make_faults_keeps_anything(pytestconfig):
    keeps = pytestconfig.pluginmanager.has_plugin("keeping")
    assert keeps == (whole.WORK in os.environ)
