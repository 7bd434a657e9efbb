"""demo_keywords.py: words that are told by their sounds, and speakers kept apart."""

import io
import json
import wave
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path

import clips
import numpy as np
import pytest
import tiny  # noqa: F401  it settles how many threads torch uses
from fmrgb_tools import demo as tool
from numpy.typing import NDArray

from fmrgb import demo_keywords as demo
from fmrgb.manifest import read_manifest
from fmrgb.sample import load_sample

USUAL = demo.Speaker(pitch=120.0, tract=1.0, speed=1.0)


def said(
    word: str, speaker: demo.Speaker = USUAL, seed: int = 3
) -> NDArray[np.float64]:
    """Return one take of a word, [S]."""
    return demo.speak(word, speaker, np.random.default_rng(seed))


def spectrum_mean(sound: NDArray[np.float64]) -> float:
    """Return the mean frequency of a sound's power, in Hz."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    return float(power @ np.fft.rfftfreq(len(sound), 1 / demo.RATE) / power.sum())


def test_words_and_speakers_are_balanced(tmp_path):
    planned = demo.takes(tmp_path, 144, 0)
    assert set(Counter(t.word for t in planned).values()) == {24}
    assert set(Counter(t.speaker for t in planned).values()) == {12}
    assert set(Counter((t.word, t.speaker) for t in planned).values()) == {2}
    assert len({t.path for t in planned}) == len({t.seed for t in planned}) == 144


def test_every_recording_is_as_long_as_any_other_and_within_full_scale():
    for number in range(demo.N_SPEAKERS):
        speaker = demo.speaker_of(number, 0)
        for word in demo.WORDS:
            sound = said(word, speaker, seed=number)
            assert len(sound) == round(demo.SECONDS * demo.RATE)
            assert 0.1 < np.abs(sound).max() <= 1


def test_a_voice_has_the_pitch_of_its_speaker():
    speaker = demo.Speaker(pitch=200.0, tract=1.0, speed=1.0)
    sizes = [round(0.4 * demo.RATE)]
    dice = np.random.default_rng(0)
    voice = demo._voice("u", sizes, speaker, dice)
    # Of "u" the first formant, 300 Hz, lies between the first two harmonics.
    middle = voice[len(voice) // 2 - 400 : len(voice) // 2 + 400]
    strongest = clips.strongest_hz(middle.astype(np.float32), demo.RATE)
    assert (
        min(abs(strongest - k * 200) / k for k in (1, 2)) <= 20
    )  # it falls by a tenth or so


def test_a_shorter_vocal_tract_moves_the_whole_voice_up():
    short = demo.Speaker(pitch=120.0, tract=1.3, speed=1.0)
    for seed in range(5):
        usual, moved = (
            demo._voice("a", [3000], speaker, np.random.default_rng(seed))
            for speaker in (USUAL, short)
        )
        assert spectrum_mean(moved) > 1.15 * spectrum_mean(usual)


def test_vowels_and_hisses_lie_in_the_bands_that_are_theirs():
    dice = np.random.default_rng(0)
    assert spectrum_mean(demo._consonant("s", np.zeros(800), dice)) > 2000
    low, high = (
        spectrum_mean(demo._voice(vowel, [3000], USUAL, np.random.default_rng(1)))
        for vowel in ("u", "i")
    )
    assert high > 1.5 * low


def test_speakers_differ_and_are_the_same_in_every_run():
    speakers = [demo.speaker_of(number, 0) for number in range(demo.N_SPEAKERS)]
    assert speakers == [demo.speaker_of(n, 0) for n in range(demo.N_SPEAKERS)]
    assert len(set(speakers)) == demo.N_SPEAKERS
    assert demo.speaker_of(0, 1) != speakers[0]
    assert all(90 < s.pitch < 240 and 0.6 < s.tract < 1.4 for s in speakers)


def test_a_recording_is_made_the_same_twice_and_kept(tmp_path):
    first, again = (
        demo.record((demo.Take(tmp_path / name, "sato", 2, 77), 0)).read_bytes()
        for name in ("a.wav", "b.wav")
    )
    assert first == again
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnchannels()) == (demo.RATE, 1)
        assert file.getnframes() == round(demo.SECONDS * demo.RATE)
    (tmp_path / "c.wav").write_bytes(b"mine")
    demo.record((demo.Take(tmp_path / "c.wav", "sato", 2, 77), 0))
    assert (tmp_path / "c.wav").read_bytes() == b"mine"


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder of a demo of 72 recordings and one epoch, and what it said."""
    folder = tmp_path_factory.mktemp("walked") / "demo"
    line = ["--kind", "keywords", "--clips", "72", "--epochs", "1"]
    with redirect_stdout(io.StringIO()) as said:
        assert tool.main(["--output", str(folder), *line]) == 0
    return folder, said.getvalue()


@pytest.fixture
def walked(walk: tuple[Path, str]) -> Path:
    """Return the demo's folder."""
    return walk[0]


def test_the_whole_road_leaves_samples_a_picture_and_three_runs(walked):
    rows = read_manifest(walked / "samples")
    assert set(Counter(row.label for row in rows)) == set(demo.WORDS)
    assert len({row.group for row in rows}) == demo.N_SPEAKERS
    shape = (1, demo.LOOK.bands, demo.LOOK.columns, len(demo.LOOK.pictures))
    assert load_sample(rows[0].path).shape == shape
    assert list((walked / "pictures").glob("*_sheet.png"))
    for number, (planes, _) in enumerate(demo.TRAININGS.values(), start=1):
        folder = walked / f"run_{number}"
        assert (folder / "report.html").stat().st_size > 20_000
        config = json.loads((folder / "config.json").read_text())
        assert (config["model"], config["channels"]) == ("cnn2d", [planes])


def test_speakers_are_kept_apart_unless_the_table_says_otherwise(walked):
    for number, (_, apart) in enumerate(demo.TRAININGS.values(), start=1):
        rows = read_manifest(walked / f"run_{number}" / "split.csv")
        speakers = {
            part: {r.path.stem.split("_")[0] for r in rows if r.split == part}
            for part in ("train", "test")
        }
        assert bool(speakers["train"] & speakers["test"]) != apart


def test_the_table_tells_the_scores_of_the_runs(walk):
    folder, said = walk
    for number, name in enumerate(demo.TRAININGS, start=1):
        (line,) = (x for x in said.splitlines() if x.startswith(name))
        scores = json.loads((folder / f"run_{number}" / "metrics.json").read_text())
        assert f" {scores['test']['accuracy']:.1%} " in line
        assert line.split()[-1] == str(scores["test"]["clips"])
    assert str(folder / "run_1" / "report.html") in said


def test_recordings_that_are_there_are_not_made_again(walked):
    before = {p: p.stat().st_mtime_ns for p in walked.rglob("*.wav")}
    demo.record_all(walked / "clips", 72, 0, workers=1, progress=lambda *_: None)
    assert {p: p.stat().st_mtime_ns for p in walked.rglob("*.wav")} == before


def test_a_demo_of_the_other_kind_is_refused_in_the_same_folder(walked, capsys):
    line = ["--output", str(walked), "--clips", "72", "--epochs", "1"]
    assert tool.main(line) == 1
    assert "holds a demo with other numbers" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_words_of_unknown_speakers_are_told(tmp_path, capsys):
    line = ["--kind", "keywords", "--output", str(tmp_path / "demo"), "--json"]
    assert tool.main(line) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["logmel, never heard"]["accuracy"] >= 0.8
    assert told["logmel, never heard"]["sources"] == 3
