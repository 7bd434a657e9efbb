"""The benchmark of sound alone and of pairs splits as it says, and hides nothing."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import clips
import numpy as np
import pytest
import tiny  # noqa: F401  it settles how many threads torch uses
from PIL import Image

from fmrgb.cells import write_csv
from fmrgb.sample import load_sample

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
RATE = 8000  # Hz
SPEAKERS, TAKES, WORD_CLIPS, PICTURES = 5, 4, 6, 7
ONLY = (
    *("digits/random/logistic/mfcc40/*", "digits/speakers/majority/*"),
    *("words/trimmed/forest/mfcc40/*", "words/whole/cnn2d/logmel/fold1"),
    *("pairs/missing60/gmm/*", "pairs/missing60/cnn2d/dropout/*"),
)


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    """Return the benchmark's modules."""
    sys.path.insert(0, str(BENCHMARKS))
    names = ("clips", "method", "plan", "tables", "train")
    modules = {name: importlib.import_module(f"senses_{name}") for name in names}
    yield SimpleNamespace(main=importlib.import_module("senses").main, **modules)
    sys.path.remove(str(BENCHMARKS))


def sound(path: Path, hz: float, seconds: float = 0.2) -> None:
    """Write a tone with a little noise of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(round(hz))
    n = round(seconds * RATE)
    tone = 0.3 * np.sin(2 * np.pi * hz * np.arange(n) / RATE)
    samples = (tone + noise.normal(0, 0.01, n)).astype(np.float32)
    clips.make(path, None, samples, rate=RATE, audio=("-c:a", "pcm_s16le"))


@pytest.fixture(scope="module")
def run(
    bench: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> SimpleNamespace:
    """Return the folders of a quick run over made media, and its page."""
    data = tmp_path_factory.mktemp("media")
    digits, words, pictures = [], [], []
    for digit in range(2):
        for number in range(SPEAKERS * TAKES):
            speaker, take = divmod(number, TAKES)
            name = f"wav/{digit}_s{speaker}_{take}.wav"
            sound(data / "fsdd" / name, 400 + 900 * digit + 20 * number)
            digits.append({"path": name, "label": digit, "group": f"s{speaker}"})
    for k, (picture, word) in enumerate(bench.plan.JOINED.items()):
        for number in range(WORD_CLIPS):
            name = f"{word}/{number}.wav"
            sound(data / "keywords" / name, 300 + 400 * k + 9 * number)
            words.append({"path": name, "label": word})
        for number in range(PICTURES):
            path = data / "caltech" / picture / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            colour = (40 * k + 5, 7 * number, 99)
            Image.new("RGB", (23, 19), colour).save(path)
            name = f"{picture}/{number}.png"
            pictures.append({"path": name, "label": picture})
    write_csv(data / "fsdd" / "labels.csv", ("path", "label", "group"), digits)
    write_csv(data / "keywords" / "labels.csv", ("path", "label"), words)
    write_csv(data / "caltech" / "labels.csv", ("path", "label"), pictures)
    work = tmp_path_factory.mktemp("work")
    line = ["--data", str(data), "--work", str(work), "--quick"]
    line += ["--threads", "1", "--workers", "1"]
    line += [part for pattern in ONLY for part in ("--only", pattern)]
    assert bench.main(line) == 0
    return SimpleNamespace(
        data=data, work=work, line=line, page=(work / "SENSES.md").read_text()
    )


def line_of(page: str, *words: str) -> list[str]:
    """Return the cells of the one table line that begins so."""
    begins = "| " + " | ".join(words) + " |"
    (line,) = (line for line in page.splitlines() if line.startswith(begins))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_names_of_cells_are_unique_and_every_fold_is_planned(bench):
    cells = bench.plan.plan()
    assert len({cell.name for cell in cells}) == len(cells)
    for cell in cells:
        assert set(bench.plan.folds_of(cell)) <= set(cells)


def test_the_page_tells_what_was_run_and_says_what_was_not(run):
    ran = line_of(run.page, "logistic regression", "mean and spread of 20 MFCC", "4")
    assert ran[3].startswith(("0.", "1."))
    others = line_of(run.page, "cnn2d", "stft")
    assert others[3] == "not run"
    # One fold of five is no result.
    assert line_of(run.page, "cnn2d", "logmel", "not run", "not run", "not run", "0.0")
    assert "numbers mean nothing" in run.page


def test_majority_is_right_as_often_as_its_label_occurs(run):
    told = line_of(run.page, "commonest label", "-", "0.500 (0.30 to 0.70)")
    assert told[3:8] == ["0.500"] * SPEAKERS


def test_a_concept_model_tells_pure_tones_with_a_picture_or_without(run):
    told = line_of(run.page, "60%", "gmm, on principal components")
    assert [told[2], told[4]] == ["1.000 (0.66 to 1.00)"] * 2
    assert line_of(run.page, "60%", "cnn2d, sense dropout")[2] != "not run"
    assert "- 60% asked for: the picture is missing in " in run.page


def test_a_second_run_runs_nothing_and_other_settings_count_as_not_run(
    bench, run, capsys, monkeypatch
):
    assert bench.main(run.line) == 0
    assert "fold" not in capsys.readouterr().out
    store = bench.plan.Store(run.work, quick=True)
    cell = bench.plan.Cell("digits", "random", "logistic", "mfcc40")
    assert store.kept(cell)
    monkeypatch.setattr(bench.plan, "RIDGE", 0.5)
    assert store.kept(cell) is None


def test_the_speaker_who_is_tested_is_in_no_other_part(bench, run):
    where = bench.plan.Bench(run.data, run.work, quick=True)
    for fold in range(1, SPEAKERS + 1):
        cell = bench.plan.Cell("digits", "speakers", "cnn2d", "logmel", fold)
        rows = bench.clips.rows_of(cell, where)
        speakers = {
            part: {row.path.stem.split("_")[1] for row in rows if row.split == part}
            for part in ("train", "val", "test")
        }
        assert speakers["test"] == {f"s{fold - 1}"}
        assert not speakers["test"] & (speakers["train"] | speakers["val"])
        assert len(rows) == 2 * SPEAKERS * TAKES


def test_test_pairs_have_just_the_senses_of_their_pattern(bench, run):
    where = bench.plan.Bench(run.data, run.work, quick=True)
    pairs = bench.clips.pairs_of(where)
    counts = {len(rows) for rows in pairs.tests.values()}
    assert len(counts) == 1
    for pattern, rows in pairs.tests.items():
        for row in rows:
            sample = load_sample(row.path)
            there = {"picture": sample.visual.any(), "sound": sample.has_sound}
            assert {k for k, has in there.items() if has} == set(pattern.split("+"))
    assert pairs.counts["missing0"] == {"picture+sound": len(pairs.rows["missing0"])}


def test_no_picture_or_sound_of_a_test_pair_is_met_in_training(bench, run):
    where = bench.plan.Bench(run.data, run.work, quick=True)
    known: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    for row in bench.clips.pairs_of(where).rows["missing0"]:
        joined = load_sample(row.path).meta["joined"]
        known[row.split] |= {f"{kind} {name}" for kind, name in joined.items()}
    assert all(known.values())
    assert not known["test"] & (known["train"] | known["val"])
