"""From joined items to samples and a manifest, or to one archive.

Axes: N pairs, H height, W width, C channels; h and w the sides of a sound picture.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrgb import __version__
from fmrgb.alone import LOCK
from fmrgb.archive import write_npz
from fmrgb.cells import write_csv
from fmrgb.collect import PICTURE, SOUND, TEXT, Collection, Item
from fmrgb.errors import InputError
from fmrgb.files import make_folder, room, shown, whole_file
from fmrgb.manifest import Row, write_manifest
from fmrgb.memory import in_bytes
from fmrgb.names import SAMPLE
from fmrgb.pair import Joined, checksum_of, picture_size
from fmrgb.preflight import ROOM_LEFT
from fmrgb.recipe import Recipe
from fmrgb.sample import Sample, save_sample
from fmrgb.stack import PICTURE_PLANES

MARK = "pair.json"  # tells by which choices a folder was written
ARCHIVE = "pairs.npz"
BLANK = (32, 32)  # height and width of a sample of words alone

Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class Senses:
    """What pairs are drawn from.

    Attributes:
        collections: by kind.
        options: what a sample says of how it was made; see `Recipe.options`.
    """

    collections: dict[str, Collection]
    options: dict[str, Any]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of all planes, in the order of C."""
        seen = PICTURE_PLANES[3] if PICTURE in self.collections else ()
        heard = self.collections[SOUND].levels if SOUND in self.collections else ()
        # Words alone have no plane; a sample has one all the same.
        return (*seen, *heard) or ("gray",)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sizes [H, W, 0, 1 or 3] of a picture; of sounds alone, those of theirs."""
        if PICTURE in self.collections:
            height, width, planes = self.collections[PICTURE].levels[PICTURE].shape[1:]
            return height, width, planes
        if SOUND in self.collections:
            planes = self.collections[SOUND].levels.values()
            height, width = np.max([plane.shape[1:] for plane in planes], axis=0)
            return int(height), int(width), 0
        return (*BLANK, 1)

    def of(self, kind: str, name: str, item: Item | None) -> Levels:
        """Return the levels of an item, or zeros where it is left out."""
        levels = self.collections[kind].levels[name]
        return levels[item.place] if item else np.zeros_like(levels[0])


def senses_of(
    collections: Sequence[Collection], size: tuple[int, int] | None
) -> Senses:
    """Put collections together; say how their samples are made.

    Args:
        collections: one of each kind at most.
        size: (width, height) of pictures.
    """
    held = {one.kind: one for one in collections}
    options = held[SOUND].options if SOUND in held else {}
    with suppress(TypeError, ValueError, KeyError):
        if PICTURE in held and SOUND in held:
            look = Recipe.from_options(options).soundpicture
            both = Recipe(n_channels=5, frames=1, size=size, soundpicture=look)
            options = both.options()
    return Senses(held, options if SOUND in held else {"pictures": "still"})


def sample_of(pair: Joined, senses: Senses) -> Sample:
    """Draw a pair: visual [1, H, W, 3] and sound planes [1, h, w], zeros where missing.

    Without pictures at all, visual is [1, H, W, 0].
    """
    shape, held = senses.shape, senses.collections
    visual = np.zeros((1, *shape), np.uint8)
    if PICTURE in held:
        visual[0] = senses.of(PICTURE, PICTURE, pair.items[PICTURE])
    heard = pair.items.get(SOUND)
    sound = {
        name: senses.of(SOUND, name, heard)[None]
        for name in (held[SOUND].levels if SOUND in held else ())
    }
    words = pair.items.get(TEXT)
    width, height = picture_size(pair)
    return Sample(
        visual=visual,
        sound=sound,
        channels=senses.channels,
        times=np.zeros(1, np.float32),
        has_sound=heard is not None,
        silent=heard is None or heard.silent,
        label=pair.label,
        meta={
            "source": {"sha256": checksum_of(pair)},
            "size": [width, height] if width else [],
            "fps": None,
            "seconds": heard.seconds if heard else None,
            "options": senses.options,
            "levels": held[SOUND].meaning if SOUND in held else {},
            "text": words.text if words else "",
            "joined": {
                kind: "/".join(Path(item.name).parts[-2:])
                for kind, item in pair.items.items()
                if item
            },
        },
    )


def write_pairs(
    pairs: Sequence[Joined],
    senses: Senses,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a sample of every pair and `manifest.csv`; return the manifest.

    Samples of an earlier run by the same choices are replaced, and those that are no
    pair any more removed.

    Raises:
        InputError: if they do not fit on the disk.
        DiskFullError: if there is no room left all the same.
    """
    samples = folder / "samples"
    make_folder(samples)
    _check_room(pairs, senses, folder)
    rows = []
    for number, pair in enumerate(pairs):
        path = samples / f"pair{number:06d}{SAMPLE}"
        sample = sample_of(pair, senses)
        save_sample(path, sample)
        rows.append(_row(path, pair, sample))
        if progress:
            progress(number + 1, len(pairs))
    for old in set(samples.glob(f"pair*{SAMPLE}")) - {row.path for row in rows}:
        old.unlink()
    write_manifest(folder / "manifest.csv", rows)
    return folder / "manifest.csv"


def _row(path: Path, pair: Joined, sample: Sample) -> Row:
    width, height = picture_size(pair)
    n_frames, sample_height, sample_width, _ = sample.shape
    return Row(
        path=path,
        label=pair.label,
        group=pair.group,
        split=pair.split,
        has_sound=sample.has_sound,
        silent=sample.silent,
        frames=n_frames,
        seconds=sample.meta["seconds"],
        height=sample_height,
        width=sample_width,
        checksum=checksum_of(pair),
        source_width=width,
        source_height=height,
        text=sample.meta["text"],
    )


def _check_room(pairs: Sequence[Joined], senses: Senses, folder: Path) -> None:
    """Refuse pairs that cannot fit on the disk, before the first is written."""
    needed = sample_of(pairs[0], senses)
    planes = sum(plane.size for plane in needed.sound.values())
    n_bytes = len(pairs) * (needed.visual.size + planes + 4096)
    free = shutil.disk_usage(folder).free - ROOM_LEFT
    if n_bytes > free:
        raise InputError(
            f"{len(pairs)} pairs need {in_bytes(n_bytes)}, {shown(folder)} has "
            f"{in_bytes(max(free, 0))} free; use --size, fewer --pairs or "
            "another --output"
        )


def write_archive(pairs: Sequence[Joined], senses: Senses, folder: Path) -> Path:
    """Write all pairs to `pairs.npz`: images [N, H, W, C], labels, classes.

    Beside them `channels` (names of the C planes), `splits`, `groups` and `texts`.
    """
    height, width, _ = senses.shape
    images = room((len(pairs), height, width, len(senses.channels)))
    for image, pair in zip(images, pairs, strict=True):
        image[:] = sample_of(pair, senses).clip[0]
    classes = tuple(sorted({pair.label for pair in pairs}))
    words = [pair.items.get(TEXT) for pair in pairs]
    more = {
        "channels": senses.channels,
        "splits": [pair.split for pair in pairs],
        "groups": [pair.group for pair in pairs],
        "texts": [item.text if item else "" for item in words],
    }
    write_npz(
        folder / ARCHIVE,
        np.asarray(images),
        np.array([classes.index(pair.label) for pair in pairs]),
        classes,
        **{name: np.array(values, np.str_) for name, values in more.items()},
    )
    return folder / ARCHIVE


def begin(folder: Path, choices: dict[str, Any]) -> None:
    """Mark a folder with the choices its pairs are made by, before anything is made.

    Raises:
        InputError: if it holds something else, or pairs of other choices.
    """
    if folder.is_file():
        raise InputError(f"{shown(folder)} is a file; name a new folder as --output")
    mark = folder / MARK
    told = json.dumps({"version": __version__, **choices}, indent=1, default=str)
    make_folder(folder)
    if mark.is_file():
        if mark.read_text() != told:
            raise InputError(
                f"{shown(folder)} holds pairs that were made by other choices (they "
                f"stand in {MARK}); name a new --output"
            )
        return
    if any(path.name != LOCK for path in folder.iterdir()):
        raise InputError(f"{shown(folder)} is not empty; name a new --output")
    with whole_file(mark) as part:
        part.write_text(told)


def write_failed(folder: Path, collections: Sequence[Collection]) -> int:
    """List files set aside and why in `failed.csv`; return how many.

    An older list goes where none was set aside.
    """
    reasons = {str(p): why for held in collections for p, why in held.failed.items()}
    path = folder / "failed.csv"
    if not reasons:
        path.unlink(missing_ok=True)
        return 0
    records = [{"path": name, "reason": reasons[name]} for name in sorted(reasons)]
    write_csv(path, ("path", "reason"), records)
    return len(reasons)
