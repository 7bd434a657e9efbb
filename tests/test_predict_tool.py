"""tools/predict.py, judging.py, targets.py: what the tool says, leaves and returns."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import answering
import clips
import numpy as np
import pytest
import tiny
from fmrgb_tools import predict as tool

from fmrgb.cells import read_csv
from fmrgb.errors import InputError, ManifestError
from fmrgb.events import merge
from fmrgb.judging import Verdicts
from fmrgb.opened import open_model
from fmrgb.predict import Answer, predict_one
from fmrgb.sample import save_sample
from fmrgb.targets import find_targets, own_folder
from fmrgb.unlike import NO_SOUND


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint that has learned nothing."""
    return answering.checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture
def folder(tmp_path: Path, talkie: Path, mute: Path) -> Path:
    """Return a folder with two clips, one broken one and a long one."""
    root = tmp_path / "clips"
    clips.copies(talkie, root, "a/talkie.mp4")
    clips.copies(mute, root, "mute.mp4")
    clips.cut(talkie, root / "cut.mp4", 0.5)
    answering.dusk(root / "a" / "dusk.mp4")
    return root


def run(model: Path, target: Any, *words: str) -> int:
    """Run the tool in this process."""
    return tool.main(["--model", str(model), "--target", str(target), *words])


def test_a_short_clip_gets_one_line_and_no_file(model, talkie, capsys):
    assert run(model, talkie) == 0
    said = capsys.readouterr()
    told = predict_one(open_model(model), talkie)
    first, second = told.probabilities
    wanted = f"talkie.mp4: {told.label} (bright {first:.3f}, dark {second:.3f})\n"
    assert said.out == wanted
    assert said.err == ""
    assert sorted(p.name for p in talkie.parent.glob("*predicted*")) == []


def test_a_folder_is_judged_the_bad_clip_named(model, folder, capsys):
    assert run(model, folder, "--workers", "1") == 1
    said = capsys.readouterr()
    assert "failed: " in said.err
    assert "cut.mp4" in said.err
    assert f"note: 1 of 3 clips, like mute.mp4: {NO_SOUND}" in said.err
    assert "clips per second" in said.err
    output = folder.with_name("clips_predicted")
    assert f"wrote {output / 'predictions.csv'}" in said.out
    rows = {Path(r["path"]).name: r for r in read_csv(output / "predictions.csv", ())}
    assert sorted(rows) == ["cut.mp4", "dusk.mp4", "mute.mp4", "talkie.mp4"]
    assert rows["cut.mp4"]["fault"]
    assert rows["cut.mp4"]["predicted"] == ""
    assert rows["dusk.mp4"]["windows"] == "7"  # of 1.2 s each
    assert rows["mute.mp4"]["has_sound"] == "false"
    for name in ("mute.mp4", "talkie.mp4", "dusk.mp4"):
        told = [float(rows[name][f"p_{k}"]) for k in ("bright", "dark")]
        assert sum(told) == pytest.approx(1, abs=1e-5)
        assert rows[name]["predicted"] == ("bright", "dark")[int(np.argmax(told))]
    left = {p.name for p in (output / "a" / "dusk.mp4").iterdir()}
    assert left == {"events.csv", "events.json", "windows.csv", "timeline.png"}


def test_json_holds_everything(model, folder, tmp_path, capsys):
    words = ("--json", "--output", str(tmp_path / "out"), "--workers", "2")
    assert run(model, folder, *words) == 1
    told = json.loads(capsys.readouterr().out)
    assert [Path(c["name"]).name for c in told["clips"]] == ["talkie.mp4", "mute.mp4"]
    assert [Path(r["name"]).name for r in told["recordings"]] == ["dusk.mp4"]
    assert [Path(name).name for name in told["failed"]] == ["cut.mp4"]
    assert set(told["clips"][0]["probabilities"]) == {"bright", "dark"}
    assert str(tmp_path / "out" / "predictions.csv") in told["files"]
    assert len(told["recordings"][0]["windows"]) == 7


def test_a_long_recording_leaves_its_files(model, tmp_path, capsys):
    dusk = answering.dusk(tmp_path / "dusk.mp4")
    words = ("--window", "2", "--hop", "1", "--render", "--threshold", "0.5")
    assert run(model, dusk, *words) == 0
    said = capsys.readouterr()
    output = tmp_path / "dusk_predicted"
    assert {p.name for p in output.iterdir()} == {
        *("events.csv", "events.json", "windows.csv", "timeline.png", "labelled.mp4")
    }
    told = json.loads((output / "events.json").read_text())
    assert (told["window_s"], told["hop_s"], told["threshold"]) == (2, 1, 0.5)
    assert len(told["windows"]) == 7
    assert said.out.startswith("dusk.mp4: 0:08, 7 windows, ")
    assert said.out.count("wrote ") == 5


def test_a_window_makes_every_clip_long(model, talkie, tmp_path, capsys):
    words = ("--window", "0.5", "--output", str(tmp_path / "out"))
    assert run(model, talkie, *words) == 0
    assert "talkie.mp4: 0:01.2, 3 windows, " in capsys.readouterr().out


def test_samples_and_manifests_are_targets(model, tmp_path, talkie, capsys):
    save_sample(tmp_path / "s.pt", tiny.sample())
    clips.copies(talkie, tmp_path, "t.mp4")
    (tmp_path / "list.csv").write_text("path,label\ns.pt,x\nt.mp4,y\n")
    words = ("--output", str(tmp_path / "out"), "--workers", "1")
    assert run(model, tmp_path / "list.csv", *words) == 0
    out = capsys.readouterr().out
    assert "s.pt: " in out
    assert "t.mp4: " in out
    assert len(read_csv(tmp_path / "out" / "predictions.csv", ())) == 2


def test_a_folder_stands_for_its_media_or_else_its_samples(tmp_path):
    for name in ("a/x.mp4", "a/resized_x.mp4", "b.wav", "c.pt"):
        clips.copies(Path(__file__), tmp_path, name)
    names = [p.name for p in find_targets(tmp_path, with_sound=True)]
    assert names == ["resized_x.mp4", "b.wav"]
    names = [p.name for p in find_targets(tmp_path, with_sound=False)]
    assert names == ["resized_x.mp4"]
    (tmp_path / "only").mkdir()
    clips.copies(Path(__file__), tmp_path / "only", "d.pt")
    found = find_targets(tmp_path / "only", with_sound=True)
    assert [p.name for p in found] == ["d.pt"]


def test_targets_that_are_none_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"no such file or folder: .*nothing\.mp4"):
        find_targets(tmp_path / "nothing.mp4", with_sound=True)
    (tmp_path / "bad.csv").write_text("name\nx\n")
    with pytest.raises(ManifestError, match="path"):
        find_targets(tmp_path / "bad.csv", with_sound=True)
    (tmp_path / "empty.csv").write_text("path\n")
    with pytest.raises(InputError, match="lists no clip"):
        find_targets(tmp_path / "empty.csv", with_sound=True)


def test_every_recording_of_many_has_a_folder_of_its_own(tmp_path):
    root, out = tmp_path / "in", tmp_path / "out"
    root.mkdir()
    assert own_folder(root / "a" / "x.mp4", root, out) == out / "a" / "x.mp4"
    assert own_folder(root / "x.mp4", root / "x.mp4", out) == out
    assert own_folder(Path("/far/x.mp4"), root / "l.csv", out) == out / "x.mp4"


def test_notes_of_one_kind_are_told_once():
    def answer(name: str, *notes: str) -> Answer:
        told = np.array([0.5, 0.5])
        return Answer(name, ("a", "b"), told, "a", True, False, 1.0, notes)

    many = Verdicts([answer(f"{n}.mp4", f"{n} fps: unlike 9") for n in range(3)])
    assert many.notes() == ["3 of 3 clips, like 0.mp4: 0 fps: unlike 9"]
    one = Verdicts([answer("x.mp4", "no sound: a", "9 fps: b")])
    assert one.notes() == ["x.mp4: no sound: a", "x.mp4: 9 fps: b"]


def test_a_live_stream_is_told_line_by_line(model, tmp_path, capsys):
    events = tmp_path / "events.jsonl"
    events.write_text('{"before": 1}\n')
    address = "lavfi://testsrc2=size=48x32:rate=10:duration=3"
    words = ("--window", "1", "--events", str(events), "--reconnects", "0")
    assert run(model, address, *words) == 0
    said = capsys.readouterr()
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert lines[0] == {"before": 1}  # added to, not overwritten
    assert [line["start_s"] for line in lines[1:]] == [0, 1, 2]
    assert set(lines[1]) == {
        *("start_s", "end_s", "label", "probabilities", "latency_s")
    }
    assert said.out.splitlines()[0].startswith("0.0 to 1.0 s: ")
    assert " ms after its last frame" in said.out
    assert "note: no sound track" in said.err
    assert "3 windows judged" in said.err
    assert run(model, address, "--window", "1", "--json", "--reconnects", "0") == 0
    out = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["end_s"] for line in out] == [1, 2, 3]


def test_ctrl_c_ends_a_live_stream_cleanly(model, capsys, monkeypatch):
    real, n_told = tool.tell, []

    def tell(*known: Any) -> None:
        real(*known)
        n_told.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "tell", tell)
    address = "lavfi://testsrc2=size=48x32:rate=10,realtime"
    assert run(model, address, "--window", "0.3") == 0
    assert "stopped by Ctrl-C\n1 windows judged" in capsys.readouterr().err
    assert len(n_told) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--hop", "3", "--window", "2"], "--hop must be at most --window"),
        (["--window", "0"], "--window must be above 0"),
        (["--threshold", "1.5"], "--threshold must lie in 0 to 1"),
        (["--reconnects", "-1"], "--reconnects must be at least 0"),
    ],
)
def test_a_wrong_command_line_is_refused(model, talkie, capsys, words, said):
    with pytest.raises(SystemExit) as caught:
        run(model, talkie, *words)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_a_wrong_model_or_target_is_one_sentence(model, tmp_path, capsys):
    (tmp_path / "bad.ckpt").write_bytes(b"no")
    assert run(tmp_path / "bad.ckpt", "x.mp4") == 1
    assert "not a whole checkpoint" in capsys.readouterr().err
    assert run(model, tmp_path / "x.mp4") == 1
    assert "no such file or folder" in capsys.readouterr().err
    assert run(model, "concat:a.mp4|b.mp4") == 1


def test_help_needs_no_heavy_package():
    code = (
        "import sys\n"
        "for name in ('torch', 'cv2', 'av', 'scipy', 'librosa', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "from fmrgb_tools import predict\n"
        "predict.main(['--help'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--window" in done.stdout


def test_events_of_nothing_are_none():
    assert merge((), ("a",)) == []
