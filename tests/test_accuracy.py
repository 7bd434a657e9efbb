"""The accuracy benchmark keeps what it ran, spoils as asked, and hides nothing."""

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import clips
import numpy as np
import pytest
import tiny
import torch

from fmrgb.card import ClipShape, View
from fmrgb.errors import InputError
from fmrgb.metrics import Predictions

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
RATE = 16_000  # Hz
MADE = ("fights/majority", "fights/sound_track", "grid-digit/majority")


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    """Return the benchmark's modules, by what follows `accuracy_` in their names."""
    sys.path.insert(0, str(BENCHMARKS))
    names = (
        *("cells", "clips", "conditions", "grid", "noise", "numbers", "plan"),
        *("tables", "train", "words"),
    )
    modules = {n: importlib.import_module(f"accuracy_{n}") for n in names}
    others = {n: importlib.import_module(n) for n in ("accuracy", "baselines")}
    others["first"] = importlib.import_module("first_version")
    yield SimpleNamespace(**modules, **others)
    sys.path.remove(str(BENCHMARKS))


def speech() -> np.ndarray:
    """Return 1 s of tone, 0.5 s of near silence and 0.3 s of a fainter tone."""
    loud = clips.tone(400, 1.0, peak=0.3)
    faint = clips.tone(700, 0.3, peak=0.1)
    return np.concatenate([loud, clips.tone(50, 0.5, peak=1e-4), faint])


# Noise


@pytest.mark.parametrize("snr_db", [0.0, -10.0, -20.0, 6.0])
def test_noise_has_the_ratio_that_was_asked_where_somebody_speaks(bench, snr_db):
    said = speech()
    noise = bench.noise.white(len(said), bench.noise.dice_of(0, "clip"))
    mixture = bench.noise.mix(said, noise, snr_db, RATE)
    # What was mixed comes out of the mixture by least squares.
    parts = np.stack([said, noise], axis=1).astype(np.float64)
    shares, *_ = np.linalg.lstsq(parts, mixture.astype(np.float64), rcond=None)
    speaks = bench.noise.active(said, RATE)
    of_speech, of_noise = (
        bench.noise.level(share * part, speaks)
        for share, part in zip(shares, parts.T, strict=True)
    )
    assert 20 * np.log10(of_speech / of_noise) == pytest.approx(snr_db, abs=0.01)
    assert np.abs(mixture).max() <= 1 + 1e-6


def test_pauses_do_not_count_as_speech(bench):
    speaks = bench.noise.active(speech(), RATE)
    assert speaks[:RATE].all()
    assert not speaks[RATE + 400 : RATE + 7600].any()
    assert speaks[-4800:].all()


def test_every_clip_has_its_own_noise_and_the_same_in_every_run(bench):
    first, again, other = (
        bench.noise.white(50, bench.noise.dice_of(0, name)) for name in ("a", "a", "b")
    )
    assert (first == again).all()
    assert (first != other).all()


def test_a_babble_hears_every_voice_alike(bench):
    pitches = (300, 500, 800)
    voices = [
        clips.tone(hertz, 1.0, peak=peak)
        for hertz, peak in zip(pitches, (0.9, 0.01, 0.2), strict=True)
    ]
    mixed = bench.noise.babble(voices, RATE, RATE, bench.noise.dice_of(0, "clip"))
    spectrum = np.abs(np.fft.rfft(mixed))
    heard = [spectrum[hertz] for hertz in pitches]  # bins of 1 Hz
    assert max(heard) < 1.01 * min(heard)
    assert sum(h**2 for h in heard) > 0.99 * (spectrum**2).sum()


def test_sound_and_picture_are_spoilt_as_named(bench):
    dice = bench.noise.dice_of(0, "clip")
    said = speech()
    assert not bench.noise.spoil_sound(said, "muted", RATE, dice, []).any()
    assert bench.noise.spoil_sound(said, "clean", RATE, dice, []) is said
    frames = clips.quadrants(3, 40, 64)
    blurred = bench.noise.spoil_picture(frames, "blurred", 1 / 16)
    assert blurred.shape == frames.shape
    assert (blurred[:, 5, 5] == frames[:, 5, 5]).all()
    edge = np.diff(blurred[0, 5, 24:40, 0].astype(int))
    assert np.abs(edge).max() < 30, "the edge of 170 levels is spread out"
    assert not bench.noise.spoil_picture(frames, "blanked", 1 / 16).any()
    cut = bench.noise.cropped(frames, (0.5, 0.5, 1.0, 1.0), (8, 6))
    assert cut.shape == (3, 6, 8, 3)
    assert (cut == 235).all()
    with pytest.raises(ValueError, match="cannot be 'pink3'"):
        bench.noise.spoil_sound(said, "pink3", RATE, dice, [])
    with pytest.raises(ValueError, match="cannot be 'torn'"):
        bench.noise.spoil_picture(frames, "torn", 1 / 16)


def test_babble_comes_from_clips_that_other_folds_test(bench):
    listed = [
        bench.grid.GridClip(Path(f"{n}.mp4"), {}, 1 + n % 3, n) for n in range(60)
    ]
    for clip in listed[:6]:
        voices = bench.grid.voices_of(clip, listed)
        assert len(set(voices)) == bench.conditions.VOICES
        assert all(listed[n].fold != clip.fold for n in voices)


# Cells


@pytest.mark.parametrize(
    ("condition", "heard", "seen"),
    [
        ("clean", "clean", "clean"),
        ("white-10", "white-10", "clean"),
        ("blurred", "clean", "blurred"),
        ("babble0+blanked", "babble0", "blanked"),
    ],
)
def test_a_condition_says_what_each_sense_suffers(bench, condition, heard, seen):
    told = bench.conditions
    assert told.parts(condition) == (heard, seen)
    assert told.named((heard, seen)) == condition
    assert told.seen_by("sound", condition) == heard
    assert told.seen_by("picture", condition) == seen
    assert told.seen_by("both", condition) == condition


def test_a_mixed_clip_comes_as_often_with_each_condition_as_planned(bench):
    told = bench.conditions
    copies = [told.mixture(f"clip{n}", 0) for n in range(40)]
    for suffered in copies:
        heard, seen = zip(*map(told.parts, suffered), strict=True)
        assert {one: heard.count(one) for one in heard} == told.MIX["sound"]
        assert {one: seen.count(one) for one in seen} == told.MIX["picture"]
    assert told.mixture("clip3", 0) == copies[3]
    pairs = {pair for suffered in copies for pair in suffered}
    assert len(pairs) == 21, "every noise meets every picture in some clip"


def test_a_network_is_asked_in_the_conditions_that_it_perceives(bench):
    asked = bench.conditions.asked
    assert asked("picture", "mixed") == ("clean", "blurred")
    assert asked("sound", "clean")[0] == "clean"
    assert "blurred" not in asked("sound", "mixed")
    assert set(asked("both", "mixed")) == {*bench.conditions.CONDITIONS, "muted"}
    assert asked("both", "white-10") == ("white-10",)


def test_the_plan_has_every_cell_once_and_the_telling_ones_early(bench):
    names = [cell.name for cell in bench.plan.plan()]
    assert len(set(names)) == len(names)
    networks = [name for name in names if "/conv3d/" in name]
    assert networks[0] == "fights/conv3d/rgb/one/clean/fold1"
    first_grid = next(n for n in networks if n.startswith("grid"))
    assert first_grid == "grid-command/conv3d/picture/one/clean/fold1"


def fake_result(cell: Any, *, n_right: int = 3) -> dict[str, Any]:
    """Return a result in which `n_right` of 4 test clips were told right."""
    right = [[0.9, 0.1], [0.2, 0.8]]
    shares = [right[n % 2] if n < n_right else right[1 - n % 2] for n in range(4)]
    answers = {
        "classes": ["fight", "noFight"],
        "clips": [f"fold{cell.fold}clip{n}" for n in range(4)],
        "truth": [0, 1, 0, 1],
        "probabilities": shares,
        "groups": [f"source{n}" for n in range(4)],
        "sounds": ["audible", "none", "silent", "audible"],
    }
    return {
        "told": {cell.condition: answers},
        "minutes": 0.5,
        "threads": 2,
        "cores": 2,
        "processor": "abacus",
        "device": "cpu",
        "versions": {"Python": "3"},
        "used": {"epochs": 20},
        "parameters": 7,
    }


def run(bench: SimpleNamespace, work: Path, *words: str) -> int:
    """Run the script on the cheap cells; tables go to the work folder."""
    only = [word for name in MADE for word in ("--only", f"{name}/*")]
    words = (*words, "--quick", "--work", str(work), "--threads", "1")
    return int(bench.accuracy.main([*only, *words]))


def test_a_run_that_was_stopped_goes_on_where_it_was(
    bench, tmp_path, monkeypatch, capsys
):
    ran: list[str] = []

    def run_cell(cell, *_):
        if len(ran) == 4:
            raise KeyboardInterrupt
        ran.append(cell.name)
        return fake_result(cell)

    monkeypatch.setattr(bench.accuracy, "run_cell", run_cell)
    with pytest.raises(KeyboardInterrupt):
        run(bench, tmp_path)
    assert len(ran) == 4
    monkeypatch.setattr(
        bench.accuracy,
        "run_cell",
        lambda cell, *_: ran.append(cell.name) or fake_result(cell),
    )
    assert run(bench, tmp_path) == 0
    wanted = [c.name for c in bench.plan.plan() if c.name.startswith(MADE)]
    assert ran == wanted
    assert run(bench, tmp_path) == 0
    assert ran == wanted, "all was kept"
    capsys.readouterr()
    assert run(bench, tmp_path, "--list") == 0
    assert capsys.readouterr().out.count("done") == len(wanted)
    monkeypatch.setattr(bench.plan, "SEED", 7)
    assert run(bench, tmp_path, "--minutes", "0") == 0
    assert ran == wanted, "no time for any"
    assert run(bench, tmp_path) == 0
    assert ran == wanted * 2, "what was kept under other settings counts for nothing"


def test_a_cell_that_fails_stops_no_other(bench, tmp_path, monkeypatch, capsys):
    def run_cell(cell, *_):
        if cell.fold == 2:
            raise InputError("no such clip")
        return fake_result(cell)

    monkeypatch.setattr(bench.accuracy, "run_cell", run_cell)
    assert run(bench, tmp_path) == 1
    kept = list((tmp_path / "cells").rglob("*.json"))
    assert kept
    assert not [path for path in kept if path.stem == "fold2"]
    assert "failed: no such clip" in capsys.readouterr().out


def test_a_pattern_without_a_cell_is_refused(bench, tmp_path, capsys):
    words = ["--only", "fights/perceptron/*", "--work", str(tmp_path)]
    assert bench.accuracy.main(words) == 2
    assert "no cell matches" in capsys.readouterr().err


# Tables


def keep(bench: SimpleNamespace, work: Path, n_right: int, **named: Any) -> Any:
    """Keep a made result of a cell of the fights data; return the cell."""
    cell = bench.plan.Cell("fights", "fight", **named)
    bench.cells.keep(work, cell, fake_result(cell, n_right=n_right))
    return cell


def test_tables_tell_what_was_run_and_what_was_not(bench, tmp_path):
    for fold in (1, 2):
        keep(bench, tmp_path, 3, model="conv3d", planes="rgb", fold=fold)
        keep(
            *(bench, tmp_path, 1), model="conv3d", planes="simple5", fusion="senses",
            fold=fold,
        )  # fmt: skip
    path = bench.tables.write_tables(tmp_path / "ACCURACY.md", tmp_path)
    text = path.read_text()
    lines = text.splitlines()
    row = next(line for line in lines if line.startswith("| conv3d | rgb"))
    # 6 of 8 are right, of the clips with a track 4 of 6; two folds of half a minute.
    assert "| 2 of 5 | 8 | 0.750 (0.41 to 0.93) | 0.733 |" in row
    assert row.endswith("| 0.667 | 1.0 |")
    row = next(line for line in lines if line.startswith("| vivit | rgb"))
    assert "| 0 of 5 | not run | not run |" in row
    assert f"4 of {len(bench.plan.plan())} were run" in text
    assert "conv3d, simple5 minus rgb: -50.0" in text
    assert "| clean | not run | not run | not run | not run | not run |" in text
    assert "4 cells on abacus" in text
    again = bench.tables.write_tables(tmp_path / "again.md", tmp_path)
    assert again.read_text() == text


def test_folds_that_test_a_clip_twice_are_not_pooled(bench, tmp_path):
    cell = keep(bench, tmp_path, 3, model="conv3d", planes="rgb", fold=1)
    twin = replace(cell, fold=2)
    bench.cells.keep(tmp_path, twin, fake_result(cell))
    with pytest.raises(InputError, match="--again"):
        bench.numbers.Store(tmp_path).line(cell)


def test_lines_are_compared_on_the_clips_that_both_were_asked_about(bench):
    def line(right: dict[str, bool]) -> Any:
        shares = [[0.9, 0.1] if ok else [0.1, 0.9] for ok in right.values()]
        truth = np.zeros(len(right), np.int64)
        told = Predictions(("a", "b"), truth, np.array(shares), tuple(right))
        return bench.numbers.Line(None, [], told)

    one = line({"p": True, "q": True, "r": True, "s": False})
    other = line({"s": True, "q": False, "r": True, "x": False})
    gained = bench.numbers.gain(one, other)
    assert gained.clips == 3
    assert gained.mean == pytest.approx(0.0)
    assert gained.verdict == "no difference shown"
    assert bench.numbers.gain(one, line({"y": True})) is None


# Baselines and the first version


@pytest.fixture
def rows(tmp_path: Path) -> list[Any]:
    """Return rows of dark samples without and bright samples with a sound track."""
    splits = ["train"] * 5 + ["val", "test", "test"]
    made = tiny.dark_and_bright(tmp_path, splits)
    return [replace(row, has_sound=row.label == "bright") for row in made]


def test_the_majority_baseline_says_the_commonest_label(bench, rows):
    cell = bench.plan.Cell("fights", "fight", "majority", "none")
    fewer = [r for r in rows if r.split == "test" or r.label == "dark"]
    fewer += [r for r in rows if r.split == "val" and r.label == "bright"]
    told = bench.baselines.predict(cell, fewer)
    assert told.classes == ("bright", "dark")
    assert told.probabilities == pytest.approx(np.tile([1 / 7, 6 / 7], (4, 1)))


def test_the_sound_track_baseline_knows_nothing_else(bench, rows):
    cell = bench.plan.Cell("fights", "fight", "sound_track", "has_sound")
    assert bench.baselines.predict(cell, rows).right.all()
    deaf = [replace(row, has_sound=True) for row in rows]
    told = bench.baselines.predict(cell, deaf)
    assert told.probabilities == pytest.approx(np.full((4, 2), 0.5))


def test_motion_features_tell_moving_from_still_pictures(bench):
    still = replace(tiny.sample(), visual=np.full((6, 10, 14, 3), 90, np.uint8))
    dice = np.random.default_rng(0)
    noisy = dice.integers(0, 255, (6, 10, 14, 3)).astype(np.uint8)
    assert not bench.baselines.motion(still).any()
    lively = bench.baselines.motion(replace(still, visual=noisy))
    assert lively[0] > 30
    assert len(lively) == 2 * 8 + 16


def test_logistic_regression_on_sound_tells_loud_from_faint(bench, tmp_path):
    made = []
    for number in range(12):
        label = ("faint", "loud")[number % 2]
        sample = tiny.sample(label=label, loudness=(60, 180)[number % 2], seed=number)
        path = tmp_path / f"{label}{number}.pt"
        bench.grid.save_sample(path, sample)
        split = "test" if number > 7 else "train"
        made.append(tiny.Row(path=path, label=label, split=split))
    cell = bench.plan.Cell("fights", "fight", "logistic", "sound")
    assert bench.baselines.predict(cell, made).right.all()


def test_the_first_version_has_the_size_that_was_published(bench):
    network = bench.first.FirstConv3D(ClipShape(3, 32, 64, 64), 2)
    assert sum(p.numel() for p in network.parameters()) == 16_825_794
    small = bench.first.FirstConv3D(ClipShape(5, 6, 10, 14), 3).eval()
    shares = small(torch.rand(2, 5, 6, 10, 14))
    assert shares.shape == (2, 3)
    assert shares.sum(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_the_first_version_learns_what_is_easy(bench, rows):
    view: View = tiny.VIEW
    done = bench.first.train_first(
        rows, view, epochs=25, patience=25, lrs=(1e-4, 3e-3), seed=0
    )
    assert done.predictions.right.all()
    assert done.epochs == 50
    assert done.lr == 3e-3


# The whole way


def grid_of_six(bench: SimpleNamespace, tmp_path: Path, monkeypatch: Any) -> None:
    """Write six clips in the layout of the grid, of which three folds can be cut."""
    monkeypatch.setattr(bench.grid, "VOICES", 2)  # of so few clips
    folder = tmp_path / "data" / "grid"
    (folder / "clips").mkdir(parents=True)
    listed = ["path,label,colour,digit"]
    for number in range(6):
        label, colour = (("bin", "red"), ("set", "blue"))[number % 2]
        name = f"clips/{label}{number}.mp4"
        sound = clips.tone((300, 900)[number % 2], 1.2) * np.float32(0.5 + number / 20)
        clips.make(folder / name, clips.colours(), sound)
        listed.append(f"{name},{label},{colour},{('one', 'two')[number // 3]}")
    (folder / "labels.csv").write_text("\n".join(listed))


def test_a_cell_goes_from_clips_to_answers(bench, tmp_path, monkeypatch, capsys):
    grid_of_six(bench, tmp_path, monkeypatch)
    name = "grid-command/conv3d/both/senses/clean/fold1"
    work = tmp_path / "work"
    words = ["--only", name, "--quick", "--threads", "1", "--workers", "1"]
    words += ["--data", str(tmp_path / "data"), "--work", str(work)]
    assert bench.accuracy.main(words) == 0, capsys.readouterr()
    kept = json.loads((work / "cells" / f"{name}.json").read_text())
    assert set(kept["told"]) == {"clean", *bench.conditions.FAILS}
    assert kept["clips"] == {"train": 2, "val": 2, "test": 2}
    assert kept["used"]["fusion"] == "senses"
    assert not any((work / "runs").iterdir()), "what a training leaves is removed"
    assert (work / ".gitignore").read_text() == "*\n"
    assert "A trial with few clips" in (work / "ACCURACY.md").read_text()


def test_who_learns_from_mixed_clips_is_asked_in_every_condition(
    bench, tmp_path, monkeypatch, capsys
):
    grid_of_six(bench, tmp_path, monkeypatch)
    work, name = tmp_path / "work", "grid-colour/conv3d/both/senses/mixed/fold2"
    words = ["--only", name, "--quick", "--threads", "1", "--workers", "1"]
    words += ["--data", str(tmp_path / "data"), "--work", str(work)]
    assert bench.accuracy.main(words) == 0, capsys.readouterr()
    kept = json.loads((work / "cells" / f"{name}.json").read_text())
    assert set(kept["told"]) == {*bench.conditions.CONDITIONS, "muted"}
    assert all(len(told["clips"]) == 2 for told in kept["told"].values())
    copies = {
        stem: len(set(bench.conditions.mixture(stem, 0)))
        for stem in ("bin0", "set1", "bin2", "set3", "bin4", "set5")
    }
    tested = kept["told"]["clean"]["clips"]
    learned = sum(n for stem, n in copies.items() if stem not in tested)
    assert kept["clips"]["train"] + kept["clips"]["val"] == learned
    assert kept["clips"]["test"] == 2
    senses = [name.replace("both/senses", f"{one}/one") for one in ("picture", "sound")]
    assert kept["used"]["init"] == senses, "it goes on from what was learned before"
    every = [*senses, *(sense.replace("mixed", "clean") for sense in senses)]
    weights = {path.name.rpartition("-")[0] for path in (work / "weights").iterdir()}
    assert weights == {one.replace("/", "_") for one in every}
    cells = {
        one: json.loads((work / "cells" / f"{one}.json").read_text()) for one in every
    }
    for sense, planes in zip(senses, ("picture", "sound"), strict=True):
        clean = sense.replace("mixed", "clean")
        assert cells[sense]["used"]["init"] == [clean]
        assert set(cells[clean]["told"]) == set(bench.conditions.asked(planes, "clean"))
    page = (work / "ACCURACY.md").read_text()
    assert "colour, learned from all conditions: both senses against" in page
    assert "| colour | mixed | conv3d | both | senses | 1 of 3 | 2 |" in page


def test_the_page_names_where_joining_is_better(bench, tmp_path):
    for planes, fusion, n_right in (("sound", "one", 1), ("both", "senses", 4)):
        for fold in (1, 2, 3):
            cell = bench.plan.Cell(
                *("grid", "digit", "conv3d", planes, fusion, "mixed", fold)
            )
            result = fake_result(cell, n_right=n_right)
            result["told"] = {"clean": result["told"]["mixed"]}
            bench.cells.keep(tmp_path, cell, result)
    said = bench.words.grid_words(bench.numbers.Store(tmp_path))
    found = "digit, learned from all conditions: both senses against the better one: "
    assert f"- {found}better: clean." in said
    assert any("both senses minus sound alone" in line for line in said)
