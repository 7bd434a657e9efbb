"""Tables from strangers, and names from strangers in ours.

No path leads out, no cell is a formula, no name moves the cursor or becomes markup.
"""

import csv
import io
import os
import random
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import tally
import tiny
import traps
from fmrgb_tools import command, evaluate, train
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fmrgb import cells, gallery
from fmrgb.app_run import RunTab, line_of, row_of
from fmrgb.app_text import heading, said, sentence
from fmrgb.cells import LONGEST_LINE, read_csv, write_csv
from fmrgb.errors import FmrgbError, InputError, ManifestError
from fmrgb.files import shown
from fmrgb.loader import readable
from fmrgb.manifest import Row, read_manifest, write_manifest
from fmrgb.targets import find_targets

EVIL = "=cmd|'/C calc'!A0"
FORMULAS = (
    EVIL, "+1+cmd", "-1+cmd", "@SUM(1)", "\t=1", " =1",
    "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20A",
    "'=1", "''=1", "=", "-", "=1\n=2", '="a"', "-inf",
)  # fmt: skip
HARMLESS = ("cat", "a=b", "'tis", "''", "-1", "+2.5", "-3e-5", "1-2", "#x", "映画")
# Red, a clear screen, a title, a bell, a reversal, a line and its like, half a sign.
WILD = "\x1b[31m\x1b[2J \x1b]0;own\x07 \u202egnp.\u2028\x85\r\x00\x9b2J \udcff"
MARKUP = "<script>alert(1)</script>{{7*7}}${7}`\"'<img src=x onerror=alert(1)>"


def table(path: Path, lines: Sequence[str], coding: str = "utf-8") -> Path:
    """Write lines as they stand."""
    path.write_bytes("".join(lines).encode(coding, "surrogateescape"))
    return path


# Paths


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Return a folder with two samples, beside a secret one and links to it."""
    inner, secret = tmp_path / "given", tmp_path / "secret"
    tiny.dark_and_bright(inner, ["train"])
    tiny.dark_and_bright(secret, ["train"])
    (inner / "link.pt").symlink_to(secret / "dark" / "clip000.pt")
    (inner / "way").symlink_to(secret)
    return inner


LEADING_OUT = (
    "../secret/dark/clip000.pt",
    "dark/../../secret/dark/clip000.pt",
    "./.././secret/dark/clip000.pt",
    "{whole}/dark/clip000.pt",
    "link.pt",
    "way/dark/clip000.pt",
    "dark/../way/dark/clip000.pt",
    "/dev/zero",
    "/etc/passwd",
    "..",
)


@pytest.mark.parametrize("path", LEADING_OUT)
def test_a_path_leads_out_of_the_tables_folder_only_where_that_is_allowed(
    samples, path
):
    named = path.format(whole=samples.parent / "secret")
    listed = table(samples / "m.csv", [f"path,label\n{named},dark\n"])
    with tally.fault(f"{path} in a table"):
        for read in (
            read_manifest,
            lambda p: find_targets(p, with_sound=True),
            lambda p: gallery.read_gallery(p, None),
        ):
            with pytest.raises(ManifestError, match=r"leads out .* give --outside"):
                read(listed)
    assert len(read_manifest(listed, outside=True)) == 1


@pytest.mark.parametrize(
    "path", ["dark/clip000.pt", "./dark/../dark/clip000.pt", "{whole}/dark/clip000.pt"]
)
def test_a_path_inside_is_read_however_it_is_written(samples, path):
    named = path.format(whole=samples)
    (row,) = read_manifest(table(samples / "m.csv", [f"path,label\n{named},dark\n"]))
    assert row.path.samefile(samples / "dark" / "clip000.pt")


def test_the_split_of_a_run_leads_to_its_samples(samples):
    run = samples.parent / "run"
    run.mkdir()
    rows = tiny.dark_and_bright(samples.parent / "more", ["test"])
    write_manifest(run / "split.csv", rows)
    with pytest.raises(ManifestError, match="leads out"):
        read_manifest(run / "split.csv")
    (run / "config.json").write_text("{}")
    assert len(read_manifest(run / "split.csv")) == 2


def test_a_run_may_be_trained_on_what_is_allowed(samples, capsys):
    listed = table(samples / "m.csv", ["path,label\nlink.pt,dark\n"])
    words = ["--data", str(listed), "--output", str(samples.parent / "run")]
    assert train.main(words) == 1
    assert "give --outside" in capsys.readouterr().err
    assert train.main([*words, "--outside", "--dry_run"]) == 1
    assert "has 1 group" in capsys.readouterr().err


@pytest.mark.parametrize(
    "path", ["http://127.0.0.1:1/a.pt", "file:///etc/passwd", "pipe.pt", "a\0b.pt"]
)
def test_addresses_pipes_and_zeros_are_no_samples(samples, path):
    os.mkfifo(samples / "pipe.pt")
    table(samples / "m.csv", [f"path,label\n{path},dark\ndark/clip000.pt,dark\n"])
    with tally.fault(f"{path!r} in a table"):
        if "\0" in path:
            with pytest.raises(ManifestError, match="can be no path"):
                read_manifest(samples / "m.csv")
            return
        if path.startswith("http"):
            with pytest.raises(ManifestError, match="leads out"):
                read_manifest(samples / "m.csv")
            return
        good, faults = readable(read_manifest(samples / "m.csv"))
        assert [row.path.name for row in good] == ["clip000.pt"]
        assert len(faults) == 1


# Tables that are none


TABLES: dict[str, tuple[str, str]] = {
    "nothing": ("", "it lacks path, label"),
    "a heading": ("path,label\n", "lists no sample"),
    "an unclosed quote": ('path,label\n"' + "a,b\n" * 99_999, "is not a CSV"),
    "an unclosed quote at the end": ('path,label\na.pt,"x', "is not a CSV"),
    "many columns": ("," * 10**6 + "path,label\n", "1,000,002 columns"),
    "a line without end": ("x" * (LONGEST_LINE + 9), "a line of more than"),
    "a cell without end": ("path,label\n" + "x" * 200_000 + ",a\n", "is not a CSV"),
    "semicolons": ("path;label\na.pt;x\n", "it lacks path, label"),
    "zeros": ("p\0a\0t\0h\0,\0", "save it as CSV UTF-8"),
    "no label": ("path,label\na.pt,\n", "must not be empty"),
    "NaN as rate": ("path,label,fps\na.pt,x,nan\n", "fps cannot be 'nan'"),
    "no end": ("path,label,seconds\na.pt,x,inf\n", "seconds cannot be 'inf'"),
    "below zero": ("path,label,frames\na.pt,x,-3\n", "frames cannot be '-3'"),
    "too many digits": (f"path,label,width\na.pt,x,{'9' * 9999}\n", "width cannot be"),
    "a strange split": ("path,label,split\na.pt,x,training\n", "split must be"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_that_is_none_is_refused_in_a_sentence(tmp_path, kind):
    text, told = TABLES[kind]
    path = table(tmp_path / "m.csv", [text])
    with traps.measured(kind, tmp_path), pytest.raises(FmrgbError) as refused:
        read_manifest(path)
    assert told in str(refused.value)
    assert len(str(refused.value)) < 20_000


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_codings_are_named(tmp_path, coding):
    path = table(tmp_path / "m.csv", ["path,label\na.pt,x\n"], coding)
    with tally.fault(coding), pytest.raises(ManifestError, match="as CSV UTF-8"):
        read_manifest(path)


def test_latin_1_keeps_its_bytes(tmp_path):
    path = table(tmp_path / "m.csv", ["path,label\nn\xe9.pt,\xe9t\xe9\n"], "latin-1")
    (row,) = read_manifest(path)
    assert os.fsencode(row.path.name) == b"n\xe9.pt"
    write_manifest(tmp_path / "again.csv", [row])
    assert read_manifest(tmp_path / "again.csv") == [row]


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_is_no_table(tmp_path, kind):
    os.mkfifo(tmp_path / "m.csv")
    path = tmp_path / "m.csv" if kind == "pipe" else Path("/dev/zero")
    with tally.fault(kind), pytest.raises(InputError, match="give a CSV file"):
        read_csv(path, ())


# Formulas


@pytest.mark.parametrize("cell", FORMULAS)
def test_no_cell_is_a_formula_and_all_come_back(tmp_path, cell):
    path = tmp_path / "t.csv"
    with tally.fault(f"formula {cell!r}"):
        write_csv(path, ("path", "label"), [{"path": cell, "label": cell}])
        with open(path, newline="", encoding="utf-8") as file:
            _, (as_path, as_label) = csv.reader(file)
        for written in (as_path, as_label):
            assert written[0] not in "=+-@\uff1d\uff0b\uff0d\uff20\t\r\n "
        (back,) = read_csv(path, ())
        assert back["label"] == cell
        assert Path(back["path"]) == Path(cell)


@pytest.mark.parametrize("cell", HARMLESS)
def test_other_cells_are_left_alone(tmp_path, cell):
    write_csv(tmp_path / "t.csv", ("label",), [{"label": cell}])
    with open(tmp_path / "t.csv", newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["label"], [cell]]
    assert read_csv(tmp_path / "t.csv", ()) == [{"label": cell}]


def test_a_sample_named_like_a_formula_is_found_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = f"{EVIL.replace('/', '')}.pt"
    tiny.save_sample(Path(name), tiny.sample(label=EVIL))
    write_manifest(Path("m.csv"), [Row(path=Path(name), label=EVIL, group="@a")])
    (row,) = read_manifest(Path("m.csv"))
    assert row.path.is_file()
    assert (row.label, row.group) == (EVIL, "@a")
    assert "\n=" not in Path("m.csv").read_text()
    assert ",=" not in Path("m.csv").read_text()


TEXT = st.text(max_size=12).map(str.rstrip) | st.sampled_from(FORMULAS + HARMLESS)
QUICK = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def back_and_forth(tmp_path: Path, label: str, path: str) -> None:
    """Write a row and read it; check that it is the same and no formula."""
    row = {"path": path, "label": label, "n": 3}
    write_csv(tmp_path / "t.csv", ("path", "label", "n"), [row])
    (back,) = read_csv(tmp_path / "t.csv", ())
    # Blanks around a cell are not read, unless they would hide a formula.
    assert back["label"] in (label, label.strip())
    assert Path(back["path"]) == Path(path)
    assert back["n"] == "3"


NAMES = TEXT.filter(lambda t: "\0" not in t and t == t.rstrip() and t != "")


@QUICK
@given(label=TEXT.filter(lambda t: "\0" not in t), path=NAMES)
def test_any_cell_comes_back(tmp_path, label, path):
    back_and_forth(tmp_path, label, path)


@pytest.mark.faults
@pytest.mark.timeout(1500)
@settings(QUICK, max_examples=5000)
@given(label=TEXT.filter(lambda t: "\0" not in t), path=NAMES)
def test_very_many_cells_come_back(tmp_path, label, path):
    back_and_forth(tmp_path, label, path)


def damage(seeds: range, tmp_path: Path) -> None:
    """Damage a manifest in many ways; it is read, or refused in a sentence."""
    tiny.manifest(tmp_path / "s", 2)
    data = (tmp_path / "s" / "manifest.csv").read_bytes()
    path = tmp_path / "s" / "m.csv"
    with traps.measured(f"{len(seeds)} damages of a manifest", tmp_path) as noted:
        for seed in seeds:
            dice = random.Random(seed)
            made = bytearray(data)
            for _ in range(dice.randint(1, 9)):
                made[dice.randrange(len(made))] = dice.choice(b'",\n\r\0=-/.\xff\xfea9')
            path.write_bytes(made)
            with suppress(FmrgbError), traps.one_of(noted):
                rows = read_manifest(path)
                for row in rows:
                    where = Path(os.path.normpath(row.path))
                    assert where.is_relative_to(path.parent), row.path


def test_damaged_manifests_are_read_or_refused(tmp_path):
    damage(range(60), tmp_path)


@pytest.mark.faults
@pytest.mark.timeout(1500)
def test_many_damaged_manifests_are_read_or_refused(tmp_path):
    damage(range(1000, 7000), tmp_path)


# Names on the terminal and on pages


def is_tame(text: str, but: str = "\n") -> bool:
    """Tell whether nothing in it moves a cursor, reverses or hides."""
    return not [
        c
        for c in text
        if c not in but and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]


def test_what_is_shown_is_tame():
    with tally.fault("control characters in a name"):
        assert is_tame(shown(WILD), but="")
        assert shown("a b-é映.mp4") == "a b-é映.mp4"


def test_results_and_json_on_the_terminal_are_tame(capsys):
    for as_json in (False, True):
        command.show({"name": WILD}, [WILD, "two"], as_json=as_json)
    told = capsys.readouterr()
    assert is_tame(told.out)
    assert told.out.count("\n") == 3


@pytest.mark.parametrize("text", [WILD, MARKUP])
def test_the_page_shows_text_as_text(text):
    entry = gallery.Entry(Path(f"a/{text}.pt"), text, "test", text, 0.5)
    tab = RunTab(opened=None, entries=[entry], report=None)  # type: ignore[arg-type]
    with tally.fault("markup and control characters on the page"):
        shown_html = said(text) + heading(text, text) + tab.show(0)
        shown_html += said(sentence(InputError(text)))
        for mark in ("<script", "<img src=x", "${", "{{", "`"):
            assert mark not in shown_html
        for told in (shown_html, line_of(entry), *row_of(entry)):
            assert is_tame(told, but="")


def run_of_wild_names(folder: Path) -> tuple[Path, list[str]]:
    """Write samples and a manifest whose labels, groups and names are wild."""
    rows = []
    names = (f"{WILD}{MARKUP}$\\bad{{", f"{EVIL}\n{MARKUP}")
    for number, label in enumerate(names):
        label = label.replace("\0", "").replace("/", "|").strip()
        for n in range(6):
            path = folder / f"{label[:60]}{n}.pt"
            level = 40 + 160 * number
            tiny.save_sample(path, tiny.sample(level, label, seed=10 * number + n))
            known = {"has_sound": True, "silent": False}
            rows.append(Row(path=path, label=label, group=f"{label[:20]}{n}", **known))
    write_manifest(folder / "manifest.csv", rows)
    return folder / "manifest.csv", [row.label for row in rows]


def test_wild_names_go_through_training_and_judging_and_come_out_tame(tmp_path, capfd):
    (tmp_path / "s").mkdir()
    manifest, labels = run_of_wild_names(tmp_path / "s")
    assert [row.label for row in read_manifest(manifest)] == labels
    run = tmp_path / "run"
    first = ["--data", str(manifest), "--output", str(run), "--epochs", "1"]
    data = ["--data", str(run / "split.csv"), "--output", str(tmp_path / "judged")]
    second = ["--model", str(run / "best.ckpt"), *data]
    with tally.fault("wild labels and names in a run"):
        for tool, words in ((train, first), (evaluate, second)):
            status = tool.main(words)
            told = "".join(capfd.readouterr())
            assert status == 0, told
            assert is_tame(told), repr(told)
        for page in (run / "report.html", tmp_path / "judged" / "report.html"):
            html = page.read_text(encoding="utf-8")
            assert is_tame(html)
            assert "<script>alert" not in html
            assert "<img src=x" not in html
            assert "{{7*7}}" in html  # as text, not 49
        for path in (*run.glob("*.csv"), *(tmp_path / "judged").glob("*.csv")):
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
            lines = csv.reader(io.StringIO(text, newline=""))
            every = [cell for line in lines for cell in line]
            assert not [c for c in every if c[:1] in ("=", "@", "+")], path


def test_a_fault_of_the_command_line_is_tame(capsys):
    for words in ([WILD.replace("\0", "")], ["--data", WILD.replace("\0", "")]):
        with pytest.raises(SystemExit):
            evaluate.main(words)
        assert is_tame(capsys.readouterr().err)


def test_the_rules_see_what_they_are_for():
    assert not is_tame("\x1b[31m")
    assert not is_tame("a\u202eb")
    assert cells._RUNS.match(EVIL)
