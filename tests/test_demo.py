"""demo.py: clips whose label neither sense gives away, and the whole road."""

import json
from collections import Counter
from pathlib import Path

import clips
import numpy as np
import pytest
import tiny  # noqa: F401  it settles how many threads torch uses
from fmrgb_tools import demo as tool
from fmrgb_tools import train as train_tool
from numpy.typing import NDArray

from fmrgb import demo
from fmrgb.cells import read_csv
from fmrgb.demo import FPS, FRAMES, HEIGHT, LABELS, WIDTH, Scene
from fmrgb.manifest import read_manifest
from fmrgb.media import SOUND_RATE, read_clip
from fmrgb.sample import load_sample

SEEDS = range(40)
BOTH = (True, False)


def drawn(seed: int, *, right: bool) -> NDArray[np.uint8]:
    """Return the frames [T, H, W, 3] of one moving shape."""
    dice = np.random.default_rng(seed)
    return np.stack(list(demo.moving_shape(dice, right=right)))


def steps(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return by how many pixels the shape moves right from frame to frame, [T - 1].

    The picture closes to a ring, so that a shape that leaves it on one side and comes
    back on the other moves on evenly.
    """
    width = frames.shape[2]
    shape_TW = (frames.max(axis=-1) > 160).sum(axis=1)  # the ground is darker
    turns = np.exp(2j * np.pi * np.arange(width) / width)
    middles = shape_TW @ turns
    return np.angle(middles[1:] / middles[:-1]) * width / (2 * np.pi)


def glide(sound: NDArray[np.float32]) -> float:
    """Return the last tenth's frequency over the first tenth's."""
    n = len(sound) // 10
    first = clips.strongest_hz(sound[:n], SOUND_RATE)
    return clips.strongest_hz(sound[-n:], SOUND_RATE) / first


def tone(seed: int, *, rises: bool) -> NDArray[np.float32]:
    """Return the sound [S] of one sweep."""
    return demo.sweep(np.random.default_rng(seed), rises=rises)


def scene(path: Path, *, right: bool = True, rises: bool = True) -> Scene:
    """Return a scene with a seed of its own."""
    return Scene(path, right, rises, 77)


@pytest.mark.parametrize("n_clips", [40, 320, 42])
def test_the_four_combinations_are_balanced(tmp_path, n_clips):
    planned = demo.scenes(tmp_path, n_clips, 0)
    counts = Counter((s.moves_right, s.tone_rises) for s in planned)
    assert sorted(counts) == sorted((r, t) for r in BOTH for t in BOTH)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len({s.path for s in planned}) == len({s.seed for s in planned}) == n_clips


def test_the_label_is_the_exclusive_or(tmp_path):
    for s in demo.scenes(tmp_path, 40, 0):
        label = "differ" if s.moves_right ^ s.tone_rises else "agree"
        assert s.path.parent == tmp_path / label


def test_neither_direction_nor_sweep_alone_goes_with_the_label(tmp_path):
    planned = demo.scenes(tmp_path, 320, 0)
    for fact in ("moves_right", "tone_rises"):
        counts = Counter((s.path.parent.name, getattr(s, fact)) for s in planned)
        assert set(counts.values()) == {80}


def test_other_seeds_draw_other_clips(tmp_path):
    seeds = [{s.seed for s in demo.scenes(tmp_path, 320, seed)} for seed in (0, 1)]
    assert not seeds[0] & seeds[1]


@pytest.mark.parametrize("right", BOTH)
def test_shapes_move_the_way_they_should(right):
    for seed in SEEDS:
        frames = drawn(seed, right=right)
        assert frames.shape == (FRAMES, HEIGHT, WIDTH, 3)
        forward = steps(frames) * (1 if right else -1)
        assert forward.min() > 1.5, f"seed {seed}"
        assert forward.max() < 6.5, f"seed {seed}"
        assert 2.9 < forward.mean() < 5.1, f"seed {seed}"


@pytest.mark.parametrize("rises", BOTH)
def test_tones_glide_the_way_they_should(rises):
    for seed in SEEDS:
        sound = tone(seed, rises=rises)
        assert sound.dtype == np.float32
        assert len(sound) / SOUND_RATE == pytest.approx(FRAMES / FPS)
        assert np.abs(sound).max() < 0.7
        ratio = glide(sound)
        assert 1.6 < (ratio if rises else 1 / ratio) < 3, f"seed {seed}"


def test_the_first_picture_and_the_loudness_do_not_tell_the_way():
    for seed in range(5):
        right, left = drawn(seed, right=True), drawn(seed, right=False)
        np.testing.assert_array_equal(right[0], left[0])
        up, down = tone(seed, rises=True), tone(seed, rises=False)
        assert clips.dbfs(up) == pytest.approx(clips.dbfs(down), abs=0.1)


def test_a_clip_is_drawn_the_same_twice(tmp_path):
    first = demo.draw_clip(scene(tmp_path / "a.mp4"))
    again = demo.draw_clip(scene(tmp_path / "b.mp4"))
    assert first.read_bytes() == again.read_bytes()
    other = demo.draw_clip(scene(tmp_path / "c.mp4", right=False))
    assert other.read_bytes() != first.read_bytes()


@pytest.mark.parametrize("right", BOTH)
@pytest.mark.parametrize("rises", BOTH)
def test_direction_and_sweep_survive_the_mp4(tmp_path, right, rises):
    path = demo.draw_clip(scene(tmp_path / "a.mp4", right=right, rises=rises))
    clip = read_clip(path)
    assert clip.frames.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert clip.fps == pytest.approx(FPS)
    assert (steps(clip.frames).mean() > 0) == right
    assert clip.sound is not None
    assert (glide(clip.sound.samples) > 1) == rises


def test_clips_that_are_there_are_kept(tmp_path):
    planned = demo.scenes(tmp_path, 4, 0)
    planned[2].path.parent.mkdir(parents=True)
    planned[2].path.write_bytes(b"mine")
    told: list[tuple[int, int]] = []

    def note(done: int, total: int) -> None:
        told.append((done, total))

    demo.draw_clips(tmp_path, 4, 0, workers=1, progress=note)
    assert planned[2].path.read_bytes() == b"mine"
    assert all(s.path.stat().st_size > 1000 for s in planned if s != planned[2])
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a demo of 40 clips and one epoch."""
    folder = tmp_path_factory.mktemp("walked") / "demo"
    assert tool.main(["--output", str(folder), "--clips", "40", "--epochs", "1"]) == 0
    return folder


def test_the_whole_road_leaves_samples_pictures_and_three_runs(walked):
    rows = read_manifest(walked / "samples" / "manifest.csv")
    assert Counter(row.label for row in rows) == {"agree": 20, "differ": 20}
    assert all(row.has_sound and not row.silent for row in rows)
    side = (HEIGHT // demo.MAG, WIDTH // demo.MAG)
    assert load_sample(rows[0].path).shape == (demo.SAMPLE_FRAMES, *side, 5)
    assert list((walked / "pictures").glob("*_sheet.png"))
    planes = {
        "all": ["R", "G", "B", "amplitude", "frequency"],
        "picture": ["R", "G", "B"],
        "sound": ["amplitude", "frequency"],
    }
    for sense, wanted in planes.items():
        folder = walked / f"run_{sense}"
        assert (folder / "report.html").stat().st_size > 20_000
        assert json.loads((folder / "config.json").read_text())["channels"] == wanted


def test_the_samples_show_the_way_and_the_sweep(walked):
    planned = demo.scenes(walked / "clips", 40, 0)
    rows = {row.path.stem: row for row in read_manifest(walked / "samples")}
    for s in planned[:12]:
        row = rows[f"resized_{s.path.stem}"]
        assert row.label == s.path.parent.name
        sample = load_sample(row.path)
        assert (steps(sample.visual).sum() > 0) == s.moves_right
        pitch = sample.sound["frequency"].astype(int)
        assert (pitch[-4:].mean() > pitch[:4].mean()) == s.tone_rises


def test_a_second_demo_in_the_same_folder_makes_nothing_again(walked, capsys):
    def stamps() -> dict[Path, int]:
        """Return when clips, samples and weights were written."""
        kinds = (".mp4", ".pt", ".ckpt")
        files = [p for p in walked.rglob("*") if p.suffix in kinds]
        return {p: p.stat().st_mtime_ns for p in files if "pictures" not in p.parts}

    before = stamps()
    first = json.loads((walked / "run_all" / "metrics.json").read_text())
    line = ["--output", str(walked), "--clips", "40", "--epochs", "1", "--json"]
    assert tool.main(line) == 0
    told = json.loads(capsys.readouterr().out)
    assert stamps() == before
    assert told["all"]["right"] == first["test"]["right"]


def test_a_folder_with_another_demo_is_refused(walked, capsys):
    line = ["--output", str(walked), "--clips", "40", "--epochs", "1", "--seed", "5"]
    assert tool.main(line) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "holds a demo with other numbers" in said.err
    assert "name a new --output" in said.err


def test_the_tool_tells_each_step_and_ends_with_the_table(walked, tmp_path, capsys):
    for part in ("clips", "samples"):  # what is there already is not made again
        (tmp_path / part).symlink_to(walked / part)
    assert tool.main(["--output", str(tmp_path), "--clips", "40", "--epochs", "1"]) == 0
    said = capsys.readouterr()
    for step in (
        "1  draw 40 clips",
        "2  resize_video",
        "3  create_fmrgbdata",
        "7  train",
    ):
        assert step in said.err
    for sense, name in tool.NAMES.items():
        (line,) = (x for x in said.out.splitlines() if x.startswith(name))
        scores = json.loads((tmp_path / f"run_{sense}" / "metrics.json").read_text())
        test = scores["test"]
        assert line.split()[-1] == str(test["clips"])
        assert f" {test['accuracy']:.1%} " in line
    assert str(tmp_path / "run_all" / "report.html") in said.out


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a demo with the numbers that users get."""
    folder = tmp_path_factory.mktemp("whole") / "demo"
    assert tool.main(["--output", str(folder)]) == 0
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_only_both_senses_together_tell_the_label(whole):
    runs = {sense: whole / f"run_{sense}" / "metrics.json" for sense in tool.NAMES}
    told = {sense: json.loads(run.read_text())["test"] for sense, run in runs.items()}
    assert told["all"]["accuracy"] >= 0.95
    for sense in ("picture", "sound"):
        low, high = told[sense]["interval"]
        assert low < 0.5 < high, f"{sense} alone tells the label"
    assert set(told["all"]["classes"]) == set(LABELS.values())


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("model", ["conv3d", "convlstm", "vivit"])
@pytest.mark.parametrize("sense", ["all", "picture", "sound"])
def test_every_model_tells_by_both_senses_and_by_neither_alone(
    whole, tmp_path, model, sense
):
    line = ["--data", str(whole / "samples"), "--output", str(tmp_path / "run")]
    line += ["--learnmethod", model, "--channels", sense, "--augment", "false"]
    line += ["--epochs", "20", "--val_size", str(demo.VAL_SIZE), "--precision", "32"]
    rate = 2e-3 if model == "vivit" else demo.LEARNING_RATE
    line += ["--lr", str(rate)]
    assert train_tool.main(line) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    history = read_csv(tmp_path / "run" / "metrics.csv", ("val_accuracy",))
    best = max(float(row["val_accuracy"]) for row in history)
    low, high = metrics["test"]["interval"]
    if sense == "all":
        assert best >= 0.99
        assert low > 0.9
    else:
        assert low < 0.5 < high
        # The best of twenty epochs is the best of as many guesses, on 48 clips.
        assert best < 0.75
