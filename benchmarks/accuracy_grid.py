"""From clips of the grid to samples, spoilt as a condition says.

Every sample comes the library's own way (`read_clip`, `prepare`), with noise added to
the sound or a blur to the picture between the two; once, and kept in the work folder.

Axes: T frames, H height, W width, S audio samples, N clips.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from accuracy_conditions import BLUR, CLEAN, VOICES, mixture, parts
from accuracy_noise import Wave, cropped, dice_of, spoil_picture, spoil_sound
from accuracy_plan import (
    CROP,
    LOOK,
    N_FOLDS,
    QUICK_PER_LABEL,
    SEED,
    TASKS,
    VAL_SHARE,
    Bench,
)

from fmrgb import engine
from fmrgb.build import Recipe, prepare
from fmrgb.cells import read_csv
from fmrgb.errors import InputError
from fmrgb.files import make_folder, whole_file
from fmrgb.manifest import Row
from fmrgb.media import read_clip
from fmrgb.sample import save_sample
from fmrgb.splits import folds

TASK_COLUMNS = dict(zip(TASKS, ("label", "colour", "digit"), strict=True))
THUMB = (16, 16)  # width, height; where only the sound of a clip is wanted

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class GridClip:
    """One clip of the grid: its name, what is said, and the fold that tests it."""

    path: Path
    words: dict[str, str]  # task -> label
    fold: int  # from 1
    number: int  # among all


@dataclass(frozen=True)
class Spoiling:
    """One sample to be made of a clip."""

    clip: Path
    sample: Path
    condition: str
    recipe: Recipe
    waves: Path | None  # sound of all clips, float32 [N, S]; None where none is needed
    voices: tuple[int, ...]  # which of them babble


@lru_cache(maxsize=2)
def grid_clips(bench: Bench) -> tuple[GridClip, ...]:
    """List the clips of the grid, with the fold that tests each."""
    return tuple(
        GridClip(path, words, fold, number)
        for number, (path, words, fold) in enumerate(_with_folds(bench))
    )


def _with_folds(bench: Bench) -> list[tuple[Path, dict[str, str], int]]:
    listed = _grid_list(bench)
    fold_of = {
        row.path: fold
        for fold, cut in enumerate(grid_cut(bench), start=1)
        for row in cut
        if row.split == "test"
    }
    return [(path, words, fold_of[path]) for path, words in listed]


def _grid_list(bench: Bench) -> list[tuple[Path, dict[str, str]]]:
    folder = bench.data / "grid"
    records = read_csv(folder / "labels.csv", ("path", *TASK_COLUMNS.values()))
    listed = [
        (folder / r["path"], {task: r[name] for task, name in TASK_COLUMNS.items()})
        for r in records
    ]
    if bench.quick:
        kind = lambda item: (item[1]["command"], item[1]["colour"])  # noqa: E731
        return thinned(listed, kind, QUICK_PER_LABEL)
    return listed


@lru_cache(maxsize=2)
def grid_cut(bench: Bench) -> tuple[list[Row], ...]:
    """Cut the grid into folds, once for all tasks: by command and colour together.

    All tasks then test the same clips in the same fold. Rows name clips, not samples.
    """
    rows = [
        Row(path=path, label=f"{words['command']} {words['colour']}", has_sound=True)
        for path, words in _grid_list(bench)
    ]
    n_folds = N_FOLDS["grid"]
    val_size = VAL_SHARE * (1 - 1 / n_folds)
    return tuple(folds(rows, n_folds, val_size=val_size, seed=SEED))


def mixed(rows: Sequence[Row], bench: Bench) -> list[Row]:
    """Return clips that are learned from as copies, each spoilt otherwise.

    Those that are tested stay as they are, and come once.
    """
    by_condition: dict[str, list[Row]] = {}
    for row in rows:
        is_test = row.split == "test"
        for condition in [CLEAN] if is_test else mixture(row.path.stem, SEED):
            by_condition.setdefault(condition, []).append(row)
    made = (spoilt(some, condition, bench) for condition, some in by_condition.items())
    # The same again (clean is drawn more often than once) tells nothing new.
    return list(dict.fromkeys(row for some in made for row in some))


def spoilt(rows: Sequence[Row], condition: str, bench: Bench) -> list[Row]:
    """Return the same clips as samples of another condition; make those not there.

    Args:
        rows: clips or samples of the grid; their stems name the clips.
        condition: as "clean", "white-10", "blurred", "babble-10+blurred".
        bench: where they lie.

    Raises:
        InputError: if a clip cannot be read.
    """
    recipe = Recipe(**LOOK["grid"], audiomethod="mel")
    chosen = {**recipe.options(), "folds": N_FOLDS["grid"], "seed": SEED}
    chosen |= {"blur": BLUR, "voices": VOICES, "crop": CROP, "quick": bench.quick}
    folder = bench.work / "samples" / f"grid-{digest(chosen)}" / condition
    clips = {clip.path.stem: clip for clip in grid_clips(bench)}
    moved = [replace(row, path=folder / f"{row.path.stem}.pt") for row in rows]
    missing = [clips[row.path.stem] for row in moved if not row.path.exists()]
    if missing:
        make_folder(folder)
        babbles = parts(condition)[0].startswith("babble")
        waves = _waves(bench) if babbles else None
        jobs = [
            Spoiling(
                clip=clip.path,
                sample=folder / f"{clip.path.stem}.pt",
                condition=condition,
                recipe=recipe,
                waves=waves,
                voices=voices_of(clip, grid_clips(bench)) if babbles else (),
            )
            for clip in missing
        ]
        _do(make_spoilt, jobs, bench.workers)
    return moved


def voices_of(clip: GridClip, clips: Sequence[GridClip]) -> tuple[int, ...]:
    """Choose whose voices babble in a clip: clips that other folds test.

    So no voice of a test clip's babble is that of a test clip.
    """
    others = [other.number for other in clips if other.fold != clip.fold]
    dice = dice_of(SEED, clip.path.stem)
    return tuple(int(n) for n in dice.choice(others, VOICES, replace=False))


def make_spoilt(job: Spoiling) -> Path:
    """Make one sample of the grid: read, spoil, prepare, save.

    Raises:
        MediaError: if the clip cannot be read.
    """
    recipe = job.recipe
    size = None if CROP else recipe.size
    clip = read_clip(job.clip, size=size, skip=recipe.skip)
    heard, seen = parts(job.condition)
    if clip.sound is None:
        raise InputError(f"{job.clip.name} has no sound track, the grid's clips have")
    voices: list[Wave] = []
    if job.waves is not None:
        waves_NS = np.load(job.waves, mmap_mode="r")
        voices = [np.array(waves_NS[number]) for number in job.voices]
    sound, dice = clip.sound, dice_of(SEED + 1, job.clip.stem)
    samples = spoil_sound(sound.samples, heard, sound.rate, dice, voices)
    frames = clip.frames
    if CROP and recipe.size:
        frames = cropped(frames, CROP, recipe.size)
    changed = replace(
        clip,
        frames=spoil_picture(frames, seen, BLUR),
        sound=replace(sound, samples=samples),
    )
    save_sample(job.sample, prepare(changed, recipe))
    return job.sample


def _waves(bench: Bench) -> Path:
    """Keep the sound of all clips in one file, float32 [N, S], and return its path."""
    path = bench.work / "samples" / f"grid-waves{'-quick' if bench.quick else ''}.npy"
    if not path.exists():
        make_folder(path.parent)
        clips = [clip.path for clip in grid_clips(bench)]
        waves = dict(zip(clips, _do(hear_wave, clips, bench.workers), strict=True))
        longest = max(len(wave) for wave in waves.values())
        waves_NS = np.stack([np.resize(waves[clip], longest) for clip in clips])
        with whole_file(path) as part:
            np.save(part, waves_NS)
    return path


def hear_wave(clip: Path) -> Wave:
    """Return the sound of a clip, float32 [S] at the library's rate."""
    sound = read_clip(clip, size=THUMB).sound
    if sound is None:
        raise InputError(f"{clip.name} has no sound track, the grid's clips have")
    return np.array(sound.samples)


def _do(work: Callable[[Any], Any], jobs: Sequence[Any], workers: int) -> list[Any]:
    """Do all jobs side by side; return what came, in the order of the jobs."""
    place = {job: number for number, job in enumerate(jobs)}
    results: list[Any] = [None] * len(jobs)
    for outcome in engine.run(work, jobs, workers=workers):
        if outcome.fault is not None:
            raise InputError(outcome.fault)
        results[place[outcome.job]] = outcome.result
    return results


def digest(chosen: dict[str, Any]) -> str:
    """Return a short name for a set of choices."""
    text = json.dumps(chosen, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def thinned(
    things: Iterable[Thing], key: Callable[[Thing], Any], most: int
) -> list[Thing]:
    """Return the first `most` things of each key."""
    seen: Counter[Any] = Counter()
    kept = []
    for thing in things:
        seen[key(thing)] += 1
        if seen[key(thing)] <= most:
            kept.append(thing)
    return kept
