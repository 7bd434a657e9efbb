"""From a folder in the layout of Speech Commands to what becomes a sample.

The layout (Warden 2018, "Speech Commands", arXiv:1804.03209, section 6): a folder per
word with clips `<speaker>_nohash_<n>.wav`, `validation_list.txt`, `testing_list.txt`,
and long recordings of noise in `_background_noise_`.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fmrgb.errors import InputError, ManifestError
from fmrgb.excerpts import Excerpt, Noise
from fmrgb.files import shown
from fmrgb.header import read_sound_header
from fmrgb.manifest import SPLITS
from fmrgb.media import SOUND_SUFFIXES
from fmrgb.names import ALL_WORDS, SILENCE, UNKNOWN

LISTS = {"val": "validation_list.txt", "test": "testing_list.txt"}
NOISES = "_background_noise_"
SILENCE_S = 1.0  # s; length of a clip of silence, as of all clips of the set
SHARE = 0.1  # of the noise that val and test get each, as they get of the clips
SNR_DB = (0.0, 20.0)  # loudness of a clip above the noise mixed in: from, to
SHIFT_S = 0.1  # s; farthest that a noisy copy is shifted, either way
_SPEAKER = re.compile(r"(.+)_nohash_\d+")


@dataclass(frozen=True, kw_only=True)
class Item:
    """A clip, or an excerpt of one, that becomes a sample.

    Attributes:
        clip: the file.
        label: its class.
        group: the speaker, or the noise; empty if the name of the file tells none.
        split: train, val or test.
        excerpt: what is taken of the file; None for all of it as it is.
    """

    clip: Path
    label: str
    group: str
    split: str
    excerpt: Excerpt | None = None


@dataclass(frozen=True)
class _Stretch:
    """Noise that one split alone may use, from `start_s` to `end_s` of a file."""

    clip: Path
    group: str
    start_s: float
    end_s: float

    def draw(self, dice: np.random.Generator) -> float:
        """Return where a piece of SILENCE_S may begin, in s to the millisecond."""
        return round(float(dice.uniform(self.start_s, self.end_s - SILENCE_S)), 3)


def read_keywords(
    folder: Path,
    labels: Sequence[str],
    *,
    noisy: int = 0,
    seed: int = 0,
    seconds_of: Callable[[Path], float] | None = None,
) -> list[Item]:
    """List what becomes samples of a set of spoken words.

    The lists give the split, the names of the files the speaker. `unknown` are clips of
    the words not asked for, drawn by the seed: in each split as many as a word asked
    for has on average there (of ten words, the 10 % of the original). As many clips of
    `silence`, SILENCE_S each, are cut at random places out of the noise. Each noise
    serves one split: whole files where there are three or more, else the first 80 %,
    the next 10 % and the last 10 % of every file serve train, val and test.

    Args:
        folder: of the set.
        labels: words, and `unknown` and `silence` if they are wanted; ALL_WORDS alone
            for every word.
        noisy: copies of every training clip, but of those of silence, that have noise
            of the training mixed in and are shifted; see `excerpts.Noise`.
        seed: of all that is drawn.
        seconds_of: tells how long a file is; None reads its header.

    Returns:
        items in the order of their paths, pieces and copies behind their file.

    Raises:
        InputError: if the folder is not in this layout, or has not what is asked for.
        ManifestError: if the lists are wrong.
    """
    clips = _clips(folder)
    words = sorted(clips) if tuple(labels) == (ALL_WORDS,) else _words(labels, clips)
    split_of = _splits(folder)
    listed = [
        Item(clip=p, label=word, group=_speaker(p), split=split_of(p))
        for word in sorted(clips)
        for p in clips[word]
    ]
    if not any(item.split != "train" for item in listed):
        raise ManifestError(
            f"{' and '.join(LISTS.values())} in {shown(folder)} name none of its "
            f"{len(listed)} clips; they need lines like {_example(listed)}"
        )
    items = [item for item in listed if item.label in words]
    n_mean = {
        split: math.ceil(sum(i.split == split for i in items) / len(words))
        for split in SPLITS
    }
    # Each its own dice: what one draws is not to change what another does.
    dice = {n: np.random.default_rng((seed, n)) for n in range(4)}
    if UNKNOWN in labels:
        others = [item for item in listed if item.label not in words]
        items += _unknown(others, n_mean, dice[0])
    if SILENCE in labels or noisy:
        noise = _stretches(folder, dice[1], seconds_of or _seconds)
        items += list(_noisy(items, noise["train"], noisy, dice[2]))
        if SILENCE in labels:
            items += _silence(noise, n_mean, dice[3])
    return sorted(items, key=_place)


def _place(item: Item) -> tuple[Path, int]:
    return item.clip, item.excerpt.number if item.excerpt else 0


def _clips(folder: Path) -> dict[str, list[Path]]:
    """Return the clips of each word."""
    missing = [name for name in LISTS.values() if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{shown(folder)} is not in the layout of Speech Commands: it has no "
            f"{' and no '.join(missing)}; leave --words out"
        )
    clips = {}
    for inside in sorted(folder.iterdir()):
        if inside.is_dir() and inside.name[0] not in "._":
            found = [p for p in sorted(inside.iterdir()) if _is_clip(p)]
            if found:
                clips[inside.name] = found
    if taken := {UNKNOWN, SILENCE, ALL_WORDS} & set(clips):
        raise InputError(
            f"{shown(folder)} has a folder {min(taken)}, which --words has another use "
            "for; rename it"
        )
    if not clips:
        raise InputError(f"{shown(folder)} has no folder of clips, one for each word")
    return clips


def _is_clip(path: Path) -> bool:
    return path.suffix.lower() in SOUND_SUFFIXES and not path.name.startswith(".")


def _words(labels: Sequence[str], clips: dict[str, list[Path]]) -> list[str]:
    """Return the words among the labels.

    Raises:
        InputError: if there is no such word, or none that could be unknown.
    """
    words = [label for label in labels if label not in (UNKNOWN, SILENCE)]
    if lacking := sorted(set(words) - set(clips)):
        raise InputError(
            f"no folder for the words {', '.join(map(shown, lacking))}; there are: "
            f"{', '.join(map(shown, clips))}"
        )
    if UNKNOWN in labels and not set(clips) - set(words):
        raise InputError(
            "all words of the folder are asked for, so that none is unknown; give "
            f"--words {ALL_WORDS}, or the classes that you want, {SILENCE} among them"
        )
    return words


def _splits(folder: Path) -> Callable[[Path], str]:
    """Return what tells the split of a clip."""
    places: dict[str, str] = {}
    for split, name in LISTS.items():
        text = (folder / name).read_text(encoding="utf-8", errors="surrogateescape")
        for line in filter(None, map(str.strip, text.splitlines())):
            if places.setdefault(line, split) != split:
                raise ManifestError(
                    f"{shown(line)} stands in {' and in '.join(LISTS.values())}; keep "
                    "one of the two lines"
                )
    return lambda clip: places.get(clip.relative_to(folder).as_posix(), "train")


def _speaker(clip: Path) -> str:
    found = _SPEAKER.fullmatch(clip.stem)
    return found[1] if found else ""


def _example(listed: Sequence[Item]) -> str:
    clip = listed[0].clip
    return shown(f"{clip.parent.name}/{clip.name}")


def _seconds(clip: Path) -> float:
    return read_sound_header(clip).seconds


def _unknown(
    others: Sequence[Item], n_wanted: dict[str, int], dice: np.random.Generator
) -> Iterator[Item]:
    """Draw some clips of other words in each split."""
    for split in SPLITS:
        pool = [item for item in others if item.split == split]
        n_taken = min(n_wanted[split], len(pool))
        for place in sorted(dice.choice(len(pool), n_taken, replace=False).tolist()):
            yield replace(pool[place], label=UNKNOWN)


def _stretches(
    folder: Path, dice: np.random.Generator, seconds_of: Callable[[Path], float]
) -> dict[str, list[_Stretch]]:
    """Share the noise out among the splits.

    Raises:
        InputError: if there is not enough of it.
    """
    inside = folder / NOISES
    found = sorted(inside.iterdir()) if inside.is_dir() else []
    lasts = {p: seconds_of(p) for p in found if _is_clip(p)}
    lasts = {p: s for p, s in lasts.items() if s >= SILENCE_S}
    if len(lasts) >= len(SPLITS):
        n_each = max(1, round(SHARE * len(lasts)))
        order = [list(lasts)[n] for n in dice.permutation(len(lasts))]
        parts = {"val": order[:n_each], "test": order[n_each : 2 * n_each]}
        parts["train"] = order[2 * n_each :]
        return {
            split: [_Stretch(p, p.name, 0.0, lasts[p]) for p in sorted(held)]
            for split, held in parts.items()
        }
    least = SILENCE_S / SHARE
    if not lasts or min(lasts.values()) < least:
        raise InputError(
            f"expected noise in {shown(inside)}: three files or more of {SILENCE_S:g} s"
            f" and longer, or one or two of {least:g} s and longer; got "
            f"{len(lasts)} of {SILENCE_S:g} s and longer"
        )
    bounds = {"train": (0, 1 - 2 * SHARE), "val": (1 - 2 * SHARE, 1 - SHARE)}
    bounds["test"] = (1 - SHARE, 1)
    return {
        split: [
            _Stretch(p, f"{p.name} {split}", low * s, high * s)
            for p, s in lasts.items()
        ]
        for split, (low, high) in bounds.items()
    }


def _silence(
    noise: dict[str, list[_Stretch]],
    n_wanted: dict[str, int],
    dice: np.random.Generator,
) -> Iterator[Item]:
    """Draw clips of silence, from all the noises of a split in turn."""
    number: dict[Path, int] = {}
    for split in SPLITS:
        for n in range(n_wanted[split]):
            one = noise[split][n % len(noise[split])]
            number[one.clip] = number.get(one.clip, 0) + 1
            yield Item(
                clip=one.clip,
                label=SILENCE,
                group=one.group,
                split=split,
                excerpt=Excerpt(number[one.clip], (one.draw(dice), SILENCE_S)),
            )


def _noisy(
    items: Sequence[Item],
    noise: Sequence[_Stretch],
    n_copies: int,
    dice: np.random.Generator,
) -> Iterator[Item]:
    """Draw what makes noisy copies of the training clips."""
    for item in items:
        for number in range(1, 1 + n_copies if item.split == "train" else 1):
            one = noise[int(dice.integers(len(noise)))]
            mixed = Noise(
                clip=one.clip,
                start_s=one.draw(dice),
                seconds=SILENCE_S,
                snr_db=round(float(dice.uniform(*SNR_DB)), 2),
                shift_s=round(float(dice.uniform(-SHIFT_S, SHIFT_S)), 4),
            )
            yield replace(item, excerpt=Excerpt(number, noise=mixed))
