"""From folders and tables of pictures, sounds and words to what can be joined.

Axes: N items, H height, W width; h and w the sides of a sound picture.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrgb import engine
from fmrgb.archive import NPZ, read_npz
from fmrgb.errors import InputError, ManifestError, SampleError
from fmrgb.files import find_files, room, sha256, shown
from fmrgb.limits import Allowance, limits_of
from fmrgb.manifest import read_manifest
from fmrgb.media import SOUND_SUFFIXES, read_sound
from fmrgb.names import SAMPLE
from fmrgb.recipe import Recipe
from fmrgb.sample import load_sample
from fmrgb.soundclip import whole_sample
from fmrgb.stack import PICTURE_PLANES
from fmrgb.stills import STILL_SUFFIXES, read_still, still_size

Levels = NDArray[np.uint8]
Count = Callable[[int, int], None]

PICTURE, SOUND, TEXT = KINDS = ("picture", "sound", "text")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One picture, sound or text with its label.

    `place` is where it lies among the levels of its collection.
    """

    name: str
    label: str
    group: str = ""
    split: str = ""
    checksum: str = ""
    place: int = 0
    text: str = ""
    size: tuple[int, int] | None = None  # of a picture on screen: width, height
    seconds: float | None = None  # of a sound
    silent: bool = False


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Items of one kind that could be read, and those that could not.

    Attributes:
        kind: one of KINDS.
        items: what there is.
        levels: uint8 [N, H, W, 3] of pictures as "picture", [N, h, w] of sound
            pictures by their names; nothing of texts.
        meaning: what the levels of sound pictures stand for, by name.
        options: of the recipe that sound pictures were drawn by.
        failed: files set aside and why.
    """

    kind: str
    items: Sequence[Item]
    levels: dict[str, Levels] = field(default_factory=dict)
    meaning: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files are read: many at once, within limits."""

    workers: int = 1
    allowance: Allowance | None = None
    outside: bool = False  # paths in a CSV may lead out of its folder
    progress: Count | None = None


def read_pictures(
    source: Path, size: tuple[int, int], how: Reading | None = None
) -> Collection:
    """Read pictures: a folder <label>/<file>, a CSV (path, label, group) or an .npz.

    Args:
        source: the folder or file.
        size: (width, height) in pixels that every picture is made to fill.
        how: files are read.

    Raises:
        InputError: if there is none, or none can be read.
        ManifestError: if a CSV lacks a column.
        SampleError: if an .npz is not as `fmrgb.archive` reads it.
    """
    if source.suffix.lower() == NPZ:
        return _of_archive(source, size)
    how = how or Reading()
    listed = _listed(source, STILL_SUFFIXES, how)
    jobs = [(Path(item.name), size) for item in listed]
    read, failed = _read(_picture, jobs, how, source)
    width, height = size
    levels = room((len(read), height, width, 3))
    items: list[Item] = []
    for number, (picture, sides, checksum) in read.items():
        place = len(items)
        levels[place] = picture
        known = replace(listed[number], checksum=checksum, size=sides, place=place)
        items.append(known)
    return Collection(
        kind=PICTURE, items=items, levels={PICTURE: levels}, failed=failed
    )


def read_sounds(source: Path, recipe: Recipe, how: Reading | None = None) -> Collection:
    """Read sounds and draw them, or read samples (.pt) of sound that were made before.

    Args:
        source: folder <label>/<file> or CSV (path, label, group) of sound files, or of
            samples of one frame.
        recipe: what sound pictures look like; samples keep their own look.
        how: files are read.

    Raises:
        InputError: if there is none, or none can be read.
        ManifestError: if a CSV lacks a column.
    """
    how = how or Reading()
    listed = _listed(source, (*SOUND_SUFFIXES, SAMPLE), how)
    jobs = [(Path(item.name), recipe) for item in listed]
    read, failed = _read(_sound, jobs, how, source)
    first = next(iter(read.values()))
    shapes = {name: plane.shape for name, plane in first.planes.items()}
    levels = {name: room((len(read), *shape)) for name, shape in shapes.items()}
    items: list[Item] = []
    for number, heard in read.items():
        if {name: plane.shape for name, plane in heard.planes.items()} != shapes:
            failed[Path(listed[number].name)] = (
                f"expected sound pictures {shapes}, as the first has; draw all alike"
            )
            continue
        place = len(items)
        for name, plane in heard.planes.items():
            levels[name][place] = plane
        item = replace(listed[number], checksum=heard.checksum, place=place)
        items.append(replace(item, seconds=heard.seconds, silent=heard.silent))
    return Collection(
        kind=SOUND,
        items=items,
        levels={name: plane[: len(items)] for name, plane in levels.items()},
        meaning=first.meaning,
        options=first.options,
        failed=failed,
    )


def _listed(source: Path, suffixes: tuple[str, ...], how: Reading) -> list[Item]:
    """List files with their labels, which a folder's name or a CSV gives."""
    if source.is_dir() and not (source / "manifest.csv").is_file():
        found = find_files(source, suffixes)
        return [Item(name=str(path), label=path.parent.name) for path in found]
    rows = read_manifest(source, outside=how.outside)
    for row in rows:
        if row.path.suffix.lower() not in suffixes:
            raise ManifestError(
                f"{shown(source)}: {shown(row.path.name)} is not one of "
                f"{', '.join(suffixes)}"
            )
    return [
        Item(name=str(row.path), label=row.label, group=row.group, split=row.split)
        for row in rows
    ]


def _read(
    work: Callable[[Any], Any], jobs: list[Any], how: Reading, source: Path
) -> tuple[dict[int, Any], dict[Path, str]]:
    """Do all jobs; return results by number, in order, and reasons by file."""
    limits = limits_of(how.allowance, lambda job: job[0])
    numbers = {job[0]: number for number, job in enumerate(jobs)}
    read, failed = {}, {}
    outcomes = engine.run(work, jobs, workers=how.workers, limits=limits)
    for done, outcome in enumerate(outcomes, start=1):
        path = outcome.job[0]
        if outcome.result is None:
            failed[path] = str(outcome.fault)
        else:
            read[numbers[path]] = outcome.result
        if how.progress:
            how.progress(done, len(jobs))
    refuse_none(len(read), failed, source)
    return dict(sorted(read.items())), failed


def refuse_none(n_read: int, failed: dict[Path, str], source: Path) -> None:
    """Raise InputError, with the first reason, if nothing of a source was read."""
    if not n_read:
        first = next(iter(failed.values()), "it lists none")
        raise InputError(f"nothing in {shown(source)} can be read; the first: {first}")


def _picture(job: tuple[Path, tuple[int, int]]) -> tuple[Levels, tuple[int, int], str]:
    path, size = job
    return read_still(path, size), still_size(path), sha256(path)


@dataclass(frozen=True)
class _Heard:
    planes: dict[str, Levels]
    meaning: dict[str, Any]
    options: dict[str, Any]
    checksum: str
    seconds: float | None
    silent: bool


def _sound(job: tuple[Path, Recipe]) -> _Heard:
    path, recipe = job
    if path.suffix.lower() == SAMPLE:
        sample = load_sample(path)
        is_flat = [p.ndim != 3 or len(p) != 1 for p in sample.sound.values()]
        if any(is_flat) or not is_flat:
            raise SampleError(
                f"{shown(path)}: expected a sample of one frame with sound pictures, "
                f"got {len(sample.visual)} frames; make it with --soundpicture"
            )
    else:
        look = recipe.soundpicture
        assert look is not None
        sample = whole_sample(read_sound(path, rate=look.rate), recipe)
    seconds = sample.meta.get("seconds")
    return _Heard(
        {name: plane[0].copy() for name, plane in sample.sound.items()},
        dict(sample.meta.get("levels", {})),
        dict(sample.meta.get("options", {})),
        sha256(path),
        float(seconds) if isinstance(seconds, int | float) else None,
        sample.silent,
    )


def _of_archive(source: Path, size: tuple[int, int]) -> Collection:
    """Take the pictures of an .npz; they are made to fill the size."""
    from PIL import Image

    archive = read_npz(source)
    n_pictures, height, width, n_planes = archive.images.shape
    if n_planes not in PICTURE_PLANES or not n_planes:
        raise SampleError(
            f"{shown(source)}: expected pictures of 1 or 3 planes, got {n_planes}"
        )
    levels = room((n_pictures, size[1], size[0], 3))
    items = []
    for place, image_HWC in enumerate(archive.images):
        picture = Image.fromarray(image_HWC if n_planes == 3 else image_HWC[..., 0])
        picture = picture.convert("RGB")
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.BICUBIC)
        levels[place] = np.asarray(picture)
        item = Item(
            name=f"{source}:{place}",
            label=archive.classes[archive.labels[place]],
            checksum=hashlib.sha256(image_HWC.tobytes()).hexdigest(),
            place=place,
            size=(width, height),
        )
        items.append(item)
    return Collection(kind=PICTURE, items=items, levels={PICTURE: levels})
