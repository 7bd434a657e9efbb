"""From nothing to a trained classifier of spoken words, asked about unknown speakers.

Words are drawn as speech is made: the harmonics of a voice, shaped by two formants that
glide from sound to sound, with bursts of noise and pauses for consonants. A speaker has
a pitch, a length of the vocal tract (which moves all formants) and a speed; every take
differs a little. Formants after Peterson and Barney 1952, doi:10.1121/1.1906875.

Axes: S audio samples, K harmonics.
"""

import wave
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrgb.build import Built, build
from fmrgb.cells import write_csv
from fmrgb.demo import Demo, Progress, make_all, refuse_other
from fmrgb.files import whole_file
from fmrgb.learner import Settings
from fmrgb.material import Material, gather
from fmrgb.preflight import survey
from fmrgb.recipe import Recipe, SoundLook
from fmrgb.run import Run, run
from fmrgb.visualise import draw

RATE = 8000  # Hz
SECONDS = 1.2  # of every clip; the word begins somewhere in it
N_SPEAKERS = 12
NOISE = 0.003  # of full scale, around the words
VOWELS = {  # first and second formant, Hz
    **{"a": (730, 1090), "e": (530, 1840), "i": (270, 2290)},
    **{"o": (570, 840), "u": (300, 870)},
}
SOUND_S = {"vowel": 0.13, "s": 0.09, "t": 0.05, "n": 0.06}  # s, at the usual speed
WORDS = ("sato", "satu", "nato", "natu", "tise", "tisi")
# Of one length, so that it tells nothing of the word.
LOOK = SoundLook(
    pictures=("logmel", "waveform"),
    bands=32,
    columns=40,
    rate=RATE,
    trim_db=20.0,
    seconds=0.8,
)
TEST_SIZE, VAL_SIZE = 0.25, 0.125  # of the speakers, or of the clips
# What is trained: planes, and whether the test speakers are kept apart.
TRAININGS = {
    "logmel, never heard": ("logmel", True),
    "logmel, heard before": ("logmel", False),
    "waveform, never heard": ("waveform", True),
}

Wave = NDArray[np.float64]


@dataclass(frozen=True)
class Speaker:
    """Whose voice it is.

    Attributes:
        pitch: Hz.
        tract: factor of all formants; above 1 for a short vocal tract.
        speed: factor of how fast the words come.
    """

    pitch: float
    tract: float
    speed: float


@dataclass(frozen=True)
class Take:
    """One recording of one word."""

    path: Path
    word: str
    speaker: int
    seed: int


def speaker_of(number: int, seed: int) -> Speaker:
    """Draw a speaker; those of one seed are the same in every run."""
    dice = np.random.default_rng([seed, number])
    high = dice.random()  # high voices have short vocal tracts, mostly
    return Speaker(
        pitch=95 * 2.4**high,
        tract=0.85 + 0.3 * high + dice.normal(0, 0.05),
        speed=dice.uniform(0.8, 1.25),
    )


def takes(folder: Path, n_clips: int, seed: int) -> list[Take]:
    """Plan recordings in equal numbers of words and speakers, by word in folders."""
    planned = []
    for number in range(n_clips):
        word = WORDS[number % len(WORDS)]
        speaker = number // len(WORDS) % N_SPEAKERS
        name = f"speaker{speaker:02d}_{number:04d}.wav"
        path = folder / word / name
        planned.append(Take(path, word, speaker, seed * 1_000_003 + number))
    return planned


def speak(word: str, speaker: Speaker, dice: np.random.Generator) -> Wave:
    """Say a word: float64 [S] in [-1, 1], with silence and faint noise around it."""
    speed = speaker.speed * dice.uniform(0.9, 1.1)
    kinds = [letter if letter in SOUND_S else "vowel" for letter in word]
    sizes = [
        round(SOUND_S[kind] / speed * dice.uniform(0.85, 1.15) * RATE) for kind in kinds
    ]
    voice = _voice(word, sizes, speaker, dice)
    ends = np.cumsum(sizes)
    for kind, first, last in zip(kinds, ends - sizes, ends, strict=True):
        voice[first:last] = _consonant(kind, voice[first:last], dice)
    said = np.zeros(round(SECONDS * RATE))
    begin = dice.integers(0, max(1, len(said) - len(voice)))
    part = voice[: len(said) - begin]
    said[begin : begin + len(part)] = part * dice.uniform(0.25, 0.6)
    return np.clip(said + dice.normal(0, NOISE, len(said)), -1, 1)


def _voice(
    word: str, sizes: list[int], speaker: Speaker, dice: np.random.Generator
) -> Wave:
    """Sum the harmonics of a voice whose formants glide from vowel to vowel: [S]."""
    n = sum(sizes)
    middles = np.cumsum(sizes) - np.array(sizes) / 2
    places = [k for k, letter in enumerate(word) if letter in VOWELS]
    goals = [
        np.array(VOWELS[word[k]]) * speaker.tract * dice.uniform(0.96, 1.04, 2)
        for k in places
    ]
    moments = np.arange(n)
    formants = [
        np.interp(moments, middles[places], [goal[which] for goal in goals])
        for which in (0, 1)
    ]
    melody = speaker.pitch * np.linspace(dice.uniform(1, 1.15), dice.uniform(0.8, 1), n)
    turns = 2 * np.pi * np.cumsum(melody) / RATE
    voice = np.zeros(n)
    for k in range(1, int(RATE / 2 / melody.max())):
        shape = sum(
            loud * np.exp(-(((k * melody - formant) / wide) ** 2))
            for formant, loud, wide in zip(formants, (1, 0.5), (110, 170), strict=True)
        )
        voice += (shape + 0.01) * np.sin(k * turns + dice.uniform(0, 2 * np.pi))
    return np.asarray(voice / np.abs(voice).max())


def _consonant(kind: str, voiced: Wave, dice: np.random.Generator) -> Wave:
    """Turn a stretch of voice into a consonant; a vowel swells and fades."""
    n = len(voiced)
    if kind == "vowel":
        return np.asarray(voiced * np.minimum(1, 6 * np.hanning(n)))
    if kind == "n":  # hummed
        return np.asarray(np.convolve(voiced, np.full(9, 1 / 9), "same"))
    noise = np.diff(dice.normal(0, 1, n + 1))  # more of the high frequencies
    if kind == "s":
        return np.asarray(0.15 * noise * np.hanning(n))
    burst = np.where(np.arange(n) > 0.6 * n, 1.0, 0.0)  # a stop, then a release
    return np.asarray(0.3 * noise * burst)


def record(job: tuple[Take, int]) -> Path:
    """Write one recording as wav, 16 bits; what is there is kept."""
    take, seed = job
    if take.path.exists():
        return take.path
    dice = np.random.default_rng(take.seed)
    said = speak(take.word, speaker_of(take.speaker, seed), dice)
    with whole_file(take.path) as part, wave.open(str(part), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.round(said * 32767).astype("<i2").tobytes())
    return take.path


def record_all(
    folder: Path, n_clips: int, seed: int, *, workers: int, progress: Progress
) -> Path:
    """Make the recordings that are not there yet; return a CSV of who speaks in each.

    Raises:
        InputError: if one cannot be made.
    """
    planned = takes(folder, n_clips, seed)
    jobs = [(take, seed) for take in planned]
    make_all(record, jobs, folder, WORDS, workers=workers, progress=progress)
    groups = folder / "speakers.csv"
    records = [
        {
            "path": take.path.relative_to(folder).as_posix(),
            "group": f"speaker{take.speaker:02d}",
        }
        for take in planned
    ]
    write_csv(groups, ("path", "group"), records)
    return groups


def demo_keywords(
    folder: Path,
    *,
    n_clips: int,
    epochs: int,
    seed: int,
    workers: int,
    say: Callable[[str], None],
    progress: Callable[[str], Any],
) -> Demo:
    """Walk the whole road of sound alone: speak, draw, look, train, judge.

    Args:
        folder: everything goes here; what is there already is not made again.
        n_clips: how many recordings to make.
        epochs: passes over the training clips, in each training.
        seed: seed of speakers, recordings, split and training.
        workers: files worked on at once.
        say: told what begins, one line each.
        progress: context manager of a progress function, by the name of what it counts.

    Raises:
        InputError: if the folder holds a demo with other numbers.
    """
    numbers = {"clips": n_clips, "epochs": epochs, "seed": seed}
    refuse_other(folder, {"kind": "keywords", **numbers})
    clips, samples = folder / "clips", folder / "samples"
    say(f"1  speak {len(WORDS)} words, {n_clips} recordings by {N_SPEAKERS} speakers")
    with progress("clips") as move:
        groups = record_all(clips, n_clips, seed, workers=workers, progress=move)
    say(f"2  create_fmrgbdata --soundpicture {','.join(LOOK.pictures)} --trim")
    found = survey(clips, output=samples, groups=groups, by_sound=True, workers=workers)
    recipe = Recipe.of_sound(LOOK)
    with progress("clips") as move:
        built = build(found, recipe, folder=samples, workers=workers, progress=move)
    say("3  visualize the first sample")
    first = found.found[0]
    pictures = draw(first.sample, folder / "pictures", first.clip)
    settings = Settings(model="cnn2d", epochs=epochs, patience=epochs, seed=seed)
    return Demo(built, pictures, _train_each(built, settings, folder, say))


def _train_each(
    built: Built, settings: Settings, folder: Path, say: Callable[[str], None]
) -> dict[str, Run]:
    """Train on each of TRAININGS; return the runs by its name."""
    runs = {}
    for number, (name, (planes, apart)) in enumerate(TRAININGS.items(), start=4):
        flags = f"--learnmethod cnn2d --channels {planes} --epochs {settings.epochs}"
        say(f"{number}  train {flags}; test speakers {name.split(', ')[1]}")
        material = gather(built.manifest, channels=planes)
        runs[name] = run(
            material if apart else _mixed(material),
            settings,
            folder=folder / f"run_{number - 3}",
            test_size=TEST_SIZE,
            val_size=VAL_SIZE,
            quiet=True,
            resume=True,
        )
    return runs


def _mixed(material: Material) -> Material:
    """Forget who speaks, so that clips of a speaker fall on all sides of a split."""
    return replace(material, rows=[replace(row, group="") for row in material.rows])
