"""Other programs and libraries open what they are given, and nothing that leads on."""

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import answering
import clips
import pytest
import tally
import watching
from answering import ByLight
from corpus import SECRET, corpus
from items import Item

from fmrgb.errors import MediaError
from fmrgb.ffmpeg_program import Children
from fmrgb.limits import Allowance, Limits
from fmrgb.predict import Failure, predict_many
from fmrgb.resize import resize
from fmrgb.streams import open_live

PACKAGE = Path(__file__).parents[2] / "fmrgb"
STARTERS = {"run", "Popen", "call", "check_call", "check_output", "system", "popen"}
# A reader of files that are not the user's: each says what it may open.
OPENERS = {"media.py": "only_this(path)", "streams.py": "options"}
# Where a device is opened, by a name that the user has typed.
WRITERS = {"mp4.py", "render.py"}


def calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    """Yield calls of `module.name` or of one of its functions in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id == name:
                    yield path, node


def test_programs_are_started_in_one_place_without_a_shell():
    starts = [c for c in calls("subprocess") if c[1].func.attr in STARTERS]
    assert {path.name for path, _ in starts} == {"ffmpeg_program.py"}
    for _, call in starts:
        words = {word.arg: word.value for word in call.keywords}
        assert "shell" not in words
        assert ast.unparse(words["stdin"]) == "subprocess.DEVNULL"
        assert not isinstance(call.args[0], ast.Constant | ast.JoinedStr)
        if call.func.attr == "run":
            assert "timeout" in words
    assert not [c for c in calls("os") if c[1].func.attr in {*STARTERS, "execv"}]


def test_media_are_opened_with_a_list_of_what_they_may_lead_to():
    seen = {}
    for path, call in calls("av"):
        if call.func.attr != "open":
            continue
        words = {word.arg: ast.unparse(word.value) for word in call.keywords}
        modes = [a.value for a in call.args if isinstance(a, ast.Constant)]
        if "w" not in modes:
            seen[path.name] = words.get("options")
        else:
            assert path.name in WRITERS
    assert seen == OPENERS


def liars(folder: Path, canary: str) -> list[Item]:
    """Return the items of the corpus that lead elsewhere, and some by evil names."""
    wanted = ("list_", "concat:", "http:", "pipe:", "-y", "with 'quotes'", "file:")
    return [i for i in corpus(folder, canary) if i.name.startswith(wanted)]


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """Return items and their folder; nothing may go where they lead."""
    folder = tmp_path / "clips"
    folder.mkdir()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with watching.canary() as (address, asked):
        items = liars(tmp_path, address)
        for item in items:
            item.write(folder / item.name)
        before = set(os.listdir(folder))
        watching.bait(tmp_path / SECRET)
        yield items, folder
    assert asked == []
    assert os.listdir(tmp_path / "empty") == []
    assert not watching.taken(tmp_path / SECRET)
    new = set(os.listdir(folder)) - before
    assert all(name.startswith("resized_") for name in new)


def test_nothing_that_is_predicted_leads_elsewhere(evil):
    items, folder = evil
    paths = {folder / item.name: item for item in items}
    answers = predict_many(
        ByLight(answering.CARD), list(paths), workers=2, allowance=Allowance(60.0)
    )
    for answer in answers:
        item = paths[Path(answer.name)]
        refused = isinstance(answer, Failure)
        tally.note(
            f"predict {item.name}: {item.fault}",
            survived=refused == (item.outcome == "refused"),
            executed=not refused and item.outcome == "refused",
        )
        assert refused == (item.outcome == "refused"), (item.name, answer)


def test_nothing_that_is_resized_leads_elsewhere(evil):
    items, folder = evil
    mp4s = {folder / i.name: i for i in items if i.name.endswith(".mp4")}
    result = resize(folder, mag=2, workers=2)
    made = {path.name.removeprefix("resized_") for path in result.done}
    for path, item in mp4s.items():
        survived = (item.name in made) == (item.outcome == "sample")
        tally.note(f"resize {item.name}: {item.fault}", survived=survived)
        assert survived, (item.name, result.failed.get(path))
    assert set(result.failed) == {p for p, i in mp4s.items() if i.outcome == "refused"}


def test_a_live_playlist_does_not_lead_to_a_file(tmp_path):
    secret = clips.make(tmp_path / "secret.ts", clips.colours())
    watching.bait(secret)
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    said = text.encode()
    with watching.canary({"/x.m3u8": said}) as (address, asked):
        with pytest.raises(MediaError), open_live(f"{address}/x.m3u8") as stream:
            list(stream.frames)
        assert set(asked) == {"/x.m3u8"}
    assert not watching.taken(secret)
    tally.note("a live playlist that leads to a file", survived=True)


def test_a_program_that_takes_too_long_is_ended_and_its_last_words_quoted(tmp_path):
    script = tmp_path / "ffmpeg"
    script.write_text("#!/bin/sh\necho 'I have not' >&2\nexec sleep 60\n")
    script.chmod(0o755)
    about = tmp_path / "a.mp4"
    start = tally.clock()
    with pytest.raises(
        MediaError, match=r"a\.mp4: .*not done within 1 s.*'I have not'"
    ):
        Children().run([str(script)], limits=Limits(1.0), about=about)
    seconds = tally.clock() - start
    tally.note("a program that hangs", survived=seconds < 10, seconds=seconds)
    assert seconds < 10


def test_a_program_is_held_to_its_memory(tmp_path):
    # It waits a little, as any program does until its file is open.
    hungry = "import time; time.sleep(0.3); bytearray(1 << 30)"
    command = [sys.executable, "-c", hungry]
    with pytest.raises(MediaError, match="MemoryError"):
        Children().run(
            command, limits=Limits(30.0, 256 << 20), about=tmp_path / "a.mp4"
        )
    tally.note("a program that takes memory", survived=True)
