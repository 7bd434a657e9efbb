"""From a sound file, or a video's sound track, to the samples of it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from fmrgb.cells import write_csv
from fmrgb.errors import MediaError
from fmrgb.files import Stamp, make_folder, refuse_changed, sha256, shown, stamp
from fmrgb.made import excerpt_of, row_of, up_to_date
from fmrgb.manifest import Row
from fmrgb.media import read_sound
from fmrgb.names import FEATURE_COLUMNS, FEATURE_NAMES, window_path
from fmrgb.ondisk import on_disk, scratch_of
from fmrgb.preflight import Found
from fmrgb.recipe import Recipe
from fmrgb.sample import Sample, load_sample, save_sample
from fmrgb.soundclip import cut_of, most_windows, picture, piece_at, starts_of, trimmed
from fmrgb.tracks import Sound

FEATURE_COLUMN_NAMES = tuple(f"{n}_{c}" for n in FEATURE_NAMES for c in FEATURE_COLUMNS)
# Besides the pictures: what a sample says of itself.
OVERHEAD = 8192  # bytes


def make_sound_samples(job: tuple[Found, Recipe]) -> tuple[list[Row], int]:
    """Make the samples of one sound file: one, or one for each window.

    The file is decoded once; nothing is done where all its samples are up to date.

    Returns:
        their rows, and how many had to be made.

    Raises:
        MediaError: if the sound cannot be read, or is shorter than half a window.
    """
    item = job[0]
    # Of a file of a store with many pieces in it the copy stays for the next one.
    with on_disk(item.clip, keep=item.excerpt is not None):
        return _made(*job)


def _made(item: Found, recipe: Recipe) -> tuple[list[Row], int]:
    before, checksum = stamp(item.clip), sha256(item.clip)
    there = _there(item, recipe, checksum)
    if there:
        return [row_of(path, item, sample) for path, sample in there], 0
    rows = _make(item, recipe, checksum, before)
    return rows, len(rows)


def _there(
    item: Found, recipe: Recipe, checksum: str
) -> list[tuple[Path, Sample]] | None:
    """Return all samples of a file, if each is up to date."""
    look = recipe.soundpicture
    windows = look is not None and look.window_s is not None
    found: list[tuple[Path, Sample]] = []
    for number in count():
        path = window_path(item.sample, number) if windows else item.sample
        sample = up_to_date(path, item, recipe, checksum)
        if sample is None:
            return None
        found.append((path, sample))
        # Only a decoded track tells how many windows it has; they have written it down.
        n_windows = sample.meta.get("window", [number, number + 1])[1]
        if number + 1 >= n_windows:
            return found
    return None


def _make(item: Found, recipe: Recipe, checksum: str, before: Stamp) -> list[Row]:
    look = recipe.soundpicture
    assert look is not None
    make_folder(item.sample.parent)
    sound = _heard(item, look.rate)
    refuse_changed(item.clip, before)
    cut = trimmed(sound, look.trim_db)
    n_bytes = item.clip.stat().st_size
    source = {"name": item.clip.name, "bytes": n_bytes, "sha256": checksum}
    try:
        starts = starts_of(cut, look, sound.rate)
    except MediaError as error:
        raise MediaError(f"{shown(item.clip)}: {error}") from error
    rows = []
    for number, start in enumerate(starts):
        meta: dict[str, Any] = {"source": source, **cut_of(sound, cut, look)}
        if item.excerpt:
            meta["excerpt"] = excerpt_of(item)
        path = item.sample
        if look.window_s is not None:
            meta["window"] = [number, len(starts)]
            path = window_path(item.sample, number)
        piece = piece_at(start, sound, cut, look)
        if item.excerpt and item.excerpt.piece:
            piece = replace(piece, start_s=piece.start_s + item.excerpt.piece[0])
        sample = picture(piece, recipe, label=item.label, meta=meta)
        save_sample(path, sample)
        rows.append(row_of(path, item, sample))
    return rows


def _heard(item: Found, rate: int) -> Sound:
    """Read a file's sound, or what is taken of it."""

    def again(clip: Path) -> Sound:
        return _read_once(clip, stamp(clip), rate)

    if item.excerpt and item.excerpt.piece:
        return item.excerpt.of(again(item.clip), again)
    scratch = scratch_of(item.sample.parent)
    sound = read_sound(item.clip, rate=rate, scratch=scratch)
    return item.excerpt.of(sound, again) if item.excerpt else sound


@lru_cache(maxsize=8)
def _read_once(clip: Path, _: Stamp, rate: int) -> Sound:
    """Read a noise, of which many pieces are wanted."""
    return read_sound(clip, rate=rate)


def bytes_needed(item: Found, recipe: Recipe) -> int:
    """Return how many bytes the samples of a file take at most."""
    look = recipe.soundpicture
    assert look is not None
    assert item.header is not None
    width, height = look.sides
    each = width * height * len(look.pictures) + OVERHEAD
    return each * most_windows(item.header.seconds, look)


def write_features(path: Path, rows: Sequence[Row]) -> None:
    """Write a CSV of the measured values of samples, a column for each value."""
    columns = ("path", "label", "group", "track", "start", *FEATURE_COLUMN_NAMES)
    records = []
    for row in rows:
        values = load_sample(row.path).meta["features"]
        records.append(
            {
                "path": row.path.relative_to(path.parent).as_posix(),
                **{name: getattr(row, name) for name in columns[1:4]},
                "start": "" if row.start is None else f"{row.start:.6g}",
                **{name: values[name] for name in FEATURE_COLUMN_NAMES},
            }
        )
    write_csv(path, columns, records)
