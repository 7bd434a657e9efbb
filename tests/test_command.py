"""command.py: from words to options, and from faults to one line and a number."""

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from fmrgb_tools import main, stopping
from fmrgb_tools.command import FAILED, INTERRUPTED, OK, WRONG_COMMAND, run_tool, show

from fmrgb import options
from fmrgb.errors import MediaError
from fmrgb.fields import needed
from fmrgb.options import BuildOptions, ToolOptions

TOOLS = [
    kind
    for kind in vars(options).values()
    if isinstance(kind, type) and issubclass(kind, ToolOptions)
]


@dataclass(frozen=True, kw_only=True)
class Words(ToolOptions):
    """A tool of one option."""

    target: Path = needed("a file")


def parse(*words: str) -> BuildOptions:
    """Return the options that create_fmrgbdata reads from words."""
    read: list[BuildOptions] = []

    def keep(given: BuildOptions) -> int:
        read.append(given)
        return OK

    assert run_tool("tool", BuildOptions, keep, list(words)) == OK
    return read[0]


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the one line on stderr with which words are refused."""
    with pytest.raises(SystemExit) as left:
        run_tool("tool", BuildOptions, lambda _: OK, list(words))
    assert left.value.code == WRONG_COMMAND
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("tool: ")
    assert err.endswith("; see tool --help\n")
    return err


def test_options_have_their_types():
    given = parse("--target", "a b", "--size", "96x64", "--frames", "7", "--fmrgb", "3")
    assert given.target == Path("a b")
    assert (given.size, given.frames, given.fmrgb) == ((96, 64), 7, 3)
    assert (given.audiomethod, given.json, given.debug) == ("simple", False, False)


def test_hyphens_do_for_underscores():
    assert parse("--target", "x", "--frequency-param", "99").frequency_param == 99
    assert parse("--target=x-y", "--frequency_param=99").frequency_param == 99
    assert parse("--target=x-y").target == Path("x-y")


def test_words_that_are_no_flags_keep_their_hyphens():
    assert parse("--target", "my-clips").target == Path("my-clips")


def test_an_unknown_flag_is_refused_and_the_near_one_named(capsys):
    said = refused(capsys, "--target", "x", "--audio-metod", "mel")
    assert "--audio_metod" in said
    assert "did you mean --audiomethod?" in said
    assert "did you mean --size?" in refused(capsys, "--target", "x", "--sizes=64")


def test_a_flag_like_no_other_is_refused_without_a_guess(capsys):
    said = refused(capsys, "--target", "x", "--zzzz")
    assert "--zzzz" in said
    assert "did you mean" not in said


def test_a_shortened_flag_is_not_guessed(capsys):
    assert "--targ" in refused(capsys, "--targ", "x", "--target", "y")


def test_a_needed_option_is_asked_for(capsys):
    assert "required: --target" in refused(capsys)


def test_a_choice_that_is_not_offered_is_refused_with_the_offer(capsys):
    said = refused(capsys, "--target", "x", "--audiomethod", "loud")
    assert "'loud'" in said
    assert "simple" in said
    assert "mel" in said


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--size", "big"], "expected N or WxH in pixels, like 64 or 96x64, got 'big'"),
        (["--skip", "0"], "--skip must be at least 1, got 0"),
        (["--skip", "two"], "argument --skip: invalid int value: 'two'"),
        (["--fmrgb", "4"], "expected 3 or 5"),
        (["--size", "a\nb\x1b[31m"], r"got 'a\nb\x1b[31m'"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_one_line(capsys, words, part):
    assert part in refused(capsys, "--target", "x", *words)


@pytest.mark.parametrize("error", [MediaError, FileNotFoundError])
def test_a_fault_is_one_line_and_exit_status_1(capsys, error):
    def work(_: Words) -> int:
        raise error("a\nb.mp4 is broken;\n  mend it")

    assert run_tool("tool", Words, work, ["--target", "x"]) == FAILED
    assert capsys.readouterr() == ("", "tool: a b.mp4 is broken; mend it\n")


def test_debug_shows_where_the_fault_is():
    def work(_: Words) -> int:
        raise MediaError("broken")

    with pytest.raises(MediaError, match="broken"):
        run_tool("tool", Words, work, ["--target", "x", "--debug"])


def test_a_fault_of_the_program_is_not_hidden():
    def work(_: Words) -> int:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        run_tool("tool", Words, work, ["--target", "x"])


def test_ctrl_c_is_one_line_and_exit_status_130(capsys):
    def work(_: Words) -> int:
        raise KeyboardInterrupt

    assert run_tool("tool", Words, work, ["--target", "x"]) == INTERRUPTED == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "tool: stopped; what is finished is whole\n"


def test_the_tools_own_status_is_passed_on():
    assert run_tool("tool", Words, lambda _: FAILED, ["--target", "x"]) == FAILED


def test_words_are_taken_from_the_command_line(monkeypatch):
    # A signal that a later test raises would end all tests.
    listening: list[str] = []
    monkeypatch.setattr(stopping, "listen", listening.append)
    monkeypatch.setattr("sys.argv", ["tool.py", "--target", "here"])
    assert run_tool("tool", Words, lambda o: len(str(o.target))) == len("here")
    assert listening == ["tool"]


@pytest.mark.parametrize("kind", TOOLS)
def test_help_shows_each_option_with_its_default(capsys, kind):
    with pytest.raises(SystemExit) as left:
        run_tool("tool", kind, lambda _: OK, ["--help"])
    assert left.value.code == OK
    out, err = capsys.readouterr()
    assert err == ""
    text = " ".join(out.split())
    for field in dataclasses.fields(kind):
        assert re.search(rf"--{field.name}\b", text)
        said = field.metadata["help"].replace("%%", "%")
        assert " ".join(said.split()) in text
    assert "MISSING" not in text


def test_a_result_is_lines_or_one_json_object(capsys):
    show({"path": Path("a"), "n": 2}, ["one", "two"], as_json=False)
    assert capsys.readouterr().out == "one\ntwo\n"
    show({"path": Path("a"), "n": 2}, ["one", "two"], as_json=True)
    assert json.loads(capsys.readouterr().out) == {"path": "a", "n": 2}


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_the_tools_are_listed(capsys, words):
    assert main.main(words) == OK
    out = capsys.readouterr().out
    assert all(name in out and text in out for name, text in main.TOOLS.items())


def test_an_unknown_tool_is_refused_with_the_list(capsys):
    assert main.main(["fly"]) == WRONG_COMMAND
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fmrgb: no tool 'fly'; there are: demo, ")
