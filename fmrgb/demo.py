"""From nothing to a trained classifier of clips that take both picture and sound.

A shape moves left or right while a tone rises or falls. The label is the exclusive-or
of the two, so that neither the picture nor the sound alone says anything about it.

Axes: T frames, H height, W width, S audio samples.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from fmrgb import engine
from fmrgb.augment import OFF
from fmrgb.build import Built, Recipe, build
from fmrgb.errors import InputError
from fmrgb.files import make_folder, shown, whole_file
from fmrgb.learner import Settings
from fmrgb.leftovers import sweep_parts
from fmrgb.material import gather
from fmrgb.media import SOUND_RATE
from fmrgb.mp4 import write_mp4
from fmrgb.preflight import survey
from fmrgb.resize import resize
from fmrgb.run import Run, run
from fmrgb.tracks import Sound
from fmrgb.visualise import draw

WIDTH, HEIGHT, FRAMES, FPS = 128, 96, 24, 16  # of the clips drawn
MAG = 4  # the resized clips are 32 x 24
SAMPLE_FRAMES = 16
LABELS = {True: "agree", False: "differ"}  # right goes with rising, left with falling
LEARNING_RATE = (
    5e-3  # found by trying; an exclusive-or is learnt late, so no early stop
)
VAL_SIZE = 0.1  # of the clips; most go to training, where an exclusive-or needs them
SENSES = ("all", "picture", "sound")  # what --channels is set to, in this order

Progress = Callable[[int, int], None]
Job = TypeVar("Job")


@dataclass(frozen=True)
class Scene:
    """What happens in one clip."""

    path: Path
    moves_right: bool
    tone_rises: bool
    seed: int


@dataclass(frozen=True)
class Demo:
    """What the demo left behind."""

    built: Built
    pictures: list[Path]
    runs: dict[str, Run]  # by sense


def scenes(folder: Path, n_clips: int, seed: int) -> list[Scene]:
    """Plan clips in equal numbers of the four combinations, by label in sub-folders."""
    combinations = list(product((True, False), (True, False)))
    planned = []
    for number in range(n_clips):
        right, rises = combinations[number % 4]
        name = f"clip{number:04d}.mp4"
        path = folder / LABELS[right == rises] / name
        planned.append(Scene(path, right, rises, seed * 1_000_003 + number))
    return planned


def draw_clip(scene: Scene) -> Path:
    """Draw one clip as H.264 and AAC; only direction and sweep tell its label."""
    if not scene.path.exists():
        dice = np.random.default_rng(scene.seed)
        frames = list(moving_shape(dice, right=scene.moves_right))
        sound = Sound(sweep(dice, rises=scene.tone_rises), SOUND_RATE, 0.0)
        write_mp4(scene.path, frames, FPS, sound)
    return scene.path


def moving_shape(
    dice: np.random.Generator, *, right: bool
) -> Iterator[NDArray[np.uint8]]:
    """Draw a disc or square that moves over a still, grainy ground: T of [H, W, 3].

    Where it starts, how fast, how large and of what colour is left to chance; it may
    leave the picture on one side and come back on the other.
    """
    side = int(dice.integers(11, 19))
    colour = [int(c) for c in dice.permutation([230, int(dice.integers(60, 230)), 40])]
    ground = dice.integers(70, 130, (HEIGHT // 8, WIDTH // 8, 3)).astype(np.uint8)
    ground = np.asarray(cv2.resize(ground, (WIDTH, HEIGHT)), np.uint8)
    x, y = dice.uniform(0, WIDTH), int(dice.integers(side, HEIGHT - side))
    step = dice.uniform(3.0, 5.0) * (1 if right else -1)
    is_disc = bool(dice.integers(2))
    for t in range(FRAMES):
        frame = ground.copy()
        middle = int((x + t * step) % WIDTH)
        for place in (middle - WIDTH, middle, middle + WIDTH):
            if is_disc:
                cv2.circle(frame, (place, y), side, colour, -1, cv2.LINE_AA)
            else:
                corner = (place + side, y + side)
                cv2.rectangle(frame, (place - side, y - side), corner, colour, -1)
        yield frame


def sweep(dice: np.random.Generator, *, rises: bool) -> NDArray[np.float32]:
    """Return a tone [S] that glides evenly in pitch (octaves per s), over faint noise.

    Its middle, its loudness and how far it glides are left to chance.
    """
    n = FRAMES * SOUND_RATE // FPS
    middle, span = dice.uniform(700, 1200), dice.uniform(2.0, 3.0)
    way = np.linspace(-0.5, 0.5, n) * (1 if rises else -1)
    phase = 2 * np.pi * np.cumsum(middle * span**way) / SOUND_RATE
    tone = dice.uniform(0.15, 0.6) * np.sin(phase + dice.uniform(0, 2 * np.pi))
    return (tone + dice.normal(0, 0.003, n)).astype(np.float32)


def demo(
    folder: Path,
    *,
    n_clips: int,
    epochs: int,
    seed: int,
    workers: int,
    say: Callable[[str], None],
    progress: Callable[[str], Any],
) -> Demo:
    """Walk the whole road: draw, resize, build, look, train with both senses and each.

    Args:
        folder: everything goes here; what is there already is not made again.
        n_clips: how many clips to draw.
        epochs: at most this many passes per training.
        seed: seed of drawing, split and training.
        workers: files worked on at once.
        say: told what begins, one line each.
        progress: context manager of a progress function, by the name of what it counts.

    Raises:
        InputError: if the folder holds a demo with other numbers.
    """
    refuse_other(folder, {"clips": n_clips, "epochs": epochs, "seed": seed})
    clips, samples = folder / "clips", folder / "samples"
    say(f"1  draw {n_clips} clips of {WIDTH}x{HEIGHT}, {FRAMES / FPS} s, with sound")
    with progress("clips") as move:
        draw_clips(clips, n_clips, seed, workers=workers, progress=move)
    say(f"2  resize_video --mag {MAG}")
    with progress("clips") as move:
        small = resize(clips, mag=MAG, workers=workers, progress=move)
    if small.failed:
        raise InputError(next(iter(small.failed.values())))
    say(f"3  create_fmrgbdata --frames {SAMPLE_FRAMES}")
    recipe = Recipe(frames=SAMPLE_FRAMES)
    found = survey(clips, output=samples, workers=workers)
    with progress("clips") as move:
        built = build(found, recipe, folder=samples, workers=workers, progress=move)
    say("4  visualize the first sample")
    first = found.found[0]
    pictures = draw(first.sample, folder / "pictures", first.clip)
    # Drawn clips hold nothing but the lesson: mirroring turns its answer round, and the
    # other changes hide it for longer than the demo lasts.
    settings = Settings(
        epochs=epochs, patience=epochs, seed=seed, lr=LEARNING_RATE, augmentation=OFF
    )
    runs = _train_each(built.manifest, settings, folder, say)
    return Demo(built, pictures, runs)


def _train_each(
    manifest: Path, settings: Settings, folder: Path, say: Callable[[str], None]
) -> dict[str, Run]:
    """Train with both senses and with each alone; return the runs by sense."""
    runs = {}
    for number, sense in enumerate(SENSES, start=5):
        flags = f"--learnmethod conv3d --channels {sense} --epochs {settings.epochs}"
        say(f"{number}  train {flags}")
        material = gather(manifest, channels=sense)
        into = folder / f"run_{sense}"
        runs[sense] = run(
            material, settings, folder=into, val_size=VAL_SIZE, quiet=True, resume=True
        )
    return runs


def refuse_other(folder: Path, numbers: Mapping[str, int | str]) -> None:
    """Keep a demo's numbers in its folder; one that goes on there must have the same.

    Raises:
        InputError: if the folder holds a demo with other numbers.
    """
    make_folder(folder)
    kept = folder / "demo.json"
    if kept.is_file() and json.loads(kept.read_text()) != numbers:
        raise InputError(
            f"{shown(folder)} holds a demo with other numbers, {kept.read_text()}; use "
            "them or name a new --output"
        )
    with whole_file(kept) as part:
        part.write_text(json.dumps(numbers))


def draw_clips(
    folder: Path, n_clips: int, seed: int, *, workers: int, progress: Progress
) -> None:
    """Draw the clips that are not there yet.

    Raises:
        InputError: if one cannot be drawn.
    """
    planned = scenes(folder, n_clips, seed)
    make_all(
        draw_clip, planned, folder, LABELS.values(), workers=workers, progress=progress
    )


def make_all(
    make: Callable[[Job], Path],
    jobs: Sequence[Job],
    folder: Path,
    labels: Iterable[str],
    *,
    workers: int,
    progress: Progress,
) -> None:
    """Make the clips of a demo, several at once, in sub-folders by label.

    Raises:
        InputError: if one cannot be made.
    """
    for label in labels:
        make_folder(folder / label)
    sweep_parts(folder)
    for done, outcome in enumerate(engine.run(make, jobs, workers=workers)):
        if outcome.fault:
            raise InputError(f"a clip could not be made: {outcome.fault}")
        progress(done + 1, len(jobs))
