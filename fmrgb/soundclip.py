"""From the sound of a clip, or of a window of a track, to a sample of sound alone.

Axes: S audio samples, K columns.
"""

import math
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from fmrgb.errors import MediaError
from fmrgb.names import FEATURES
from fmrgb.recipe import Recipe, SoundLook
from fmrgb.sample import Sample
from fmrgb.sound import is_silent
from fmrgb.soundfeatures import named
from fmrgb.soundpicture import SOUND_PICTURES, Stretch
from fmrgb.tracks import Sound, Waveform

LEAST_SHARE = 0.5  # of a last window that must be sound; a shorter rest is left out


@dataclass(frozen=True)
class Piece:
    """A piece of a recording: float32 `[S]`, filled up with silence.

    `start_s` is when it begins, in s after the recording's own beginning.
    """

    samples: Waveform
    start_s: float


def trimmed(sound: Sound, trim_db: float | None) -> tuple[int, int]:
    """Return the first sample that is no silence, and the one after the last.

    By `librosa.effects.trim`: what is `trim_db` below the loudest window is silence. A
    sound that is all alike, as digital silence is, keeps its length.
    """
    if trim_db is None or not len(sound.samples):
        return 0, len(sound.samples)
    import librosa

    _, (first, last) = librosa.effects.trim(np.asarray(sound.samples), top_db=trim_db)
    return int(first), int(last)


def starts_of(cut: tuple[int, int], look: SoundLook, rate: int) -> list[int]:
    """Return the first sample of each piece that a sound between two samples becomes.

    A whole clip is one piece, brought to `look.seconds` if that is given: the middle of
    a longer one. A track becomes windows, one every `hop_s`; of the last, at least half
    must be sound.

    Raises:
        MediaError: if a track is shorter than half a window.
    """
    first, last = cut
    if look.window_s is not None:
        return [first + start for start in window_starts(last - first, look, rate)]
    if look.seconds is not None:
        first += max(0, last - first - round(look.seconds * rate)) // 2
    return [first]


def piece_at(start: int, sound: Sound, cut: tuple[int, int], look: SoundLook) -> Piece:
    """Take the piece of a sound that begins at a sample; silence fills it up."""
    last, wanted_s = cut[1], look.window_s or look.seconds
    n_wanted = last - start if wanted_s is None else round(wanted_s * sound.rate)
    n_wanted = max(1, n_wanted)
    taken = np.array(sound.samples[start : min(last, start + n_wanted)], np.float32)
    samples = np.pad(taken, (0, n_wanted - len(taken)))
    return Piece(samples, start / sound.rate)


def window_starts(n_samples: int, look: SoundLook, rate: int) -> list[int]:
    """Return where the windows of a track of so many samples begin.

    Raises:
        MediaError: if it is shorter than half a window.
    """
    assert look.window_s is not None
    length = max(1, round(look.window_s * rate))
    hop = max(1, round((look.hop_s or look.window_s) * rate))
    n_whole = max(0, (n_samples - length) // hop + 1)
    covered = (n_whole - 1) * hop + length if n_whole else 0
    rest = n_samples - n_whole * hop
    # Where windows overlap, the next may hold nothing that is new.
    if n_samples > covered and rest >= LEAST_SHARE * length:
        n_whole += 1
    if not n_whole:
        raise MediaError(
            f"it has {n_samples / rate:.2f} s of sound, less than half a window of "
            f"{look.window_s:g} s; give a smaller --window, or leave it out"
        )
    return [number * hop for number in range(n_whole)]


def most_windows(seconds: float, look: SoundLook) -> int:
    """Return how many samples a recording of so many s becomes, trimmed or not."""
    if look.window_s is None:
        return 1
    return 1 + math.ceil(seconds / (look.hop_s or look.window_s))


def picture(
    piece: Piece,
    recipe: Recipe,
    *,
    has_sound: bool = True,
    label: str = "",
    meta: dict[str, Any] | None = None,
) -> Sample:
    """Draw a piece of sound: the sample `[1, bands, columns, C]`.

    Args:
        piece: the sound.
        recipe: what the sample looks like; one of sound alone.
        has_sound: whether there was a sound track.
        label: class name, empty if not known.
        meta: what else is known of the piece.
    """
    look, drawing = recipe.soundpicture, recipe.drawing
    assert look is not None
    stretch = Stretch(piece.samples, look.rate)
    planes, levels = {}, {}
    for name in look.pictures:
        plane, meaning = SOUND_PICTURES[name](stretch, drawing)
        planes[sys.intern(name)] = np.ascontiguousarray(plane)[None]
        levels[sys.intern(name)] = asdict(meaning)
    width, height = recipe.size or look.sides
    more = {"features": named(stretch.values)} if FEATURES in look.pictures else {}
    return Sample(
        # Black where a picture belongs to it: none is there.
        visual=np.zeros((1, height, width, recipe.n_channels - 2), np.uint8),
        sound=planes,
        channels=recipe.channels,
        times=np.array([piece.start_s], np.float32),
        has_sound=has_sound,
        silent=is_silent(piece.samples),
        label=sys.intern(label),
        meta={
            "source": {},
            "size": [],
            "fps": None,
            "seconds": len(piece.samples) / look.rate,
            "start": piece.start_s,
            "options": recipe.options(),
            "levels": levels,
            **more,
            **(meta or {}),
        },
    )


def cut_of(sound: Sound, cut: tuple[int, int], look: SoundLook) -> dict[str, Any]:
    """Say in s where silence was cut away, and how long the sound was before."""
    told: dict[str, Any] = {"untrimmed": len(sound.samples) / sound.rate}
    if look.trim_db is not None:
        told["trim"] = [place / sound.rate for place in cut]
    return told


def whole_sample(
    sound: Sound | None,
    recipe: Recipe,
    *,
    label: str = "",
    source: dict[str, Any] | None = None,
) -> Sample:
    """Turn the sound of a clip into one sample, as prediction wants it.

    Where the recipe cuts tracks into windows, the clip counts as one: it is brought to
    a window's length. A clip without a sound track is heard as silence.
    """
    look = recipe.soundpicture
    assert look is not None
    heard = sound or Sound(np.zeros(0, np.float32), look.rate, 0.0)
    cut = trimmed(heard, look.trim_db)
    one = replace(look, window_s=None, seconds=look.window_s or look.seconds)
    (start,) = starts_of(cut, one, heard.rate)
    piece = piece_at(start, heard, cut, one)
    meta = {"source": source or {}, **cut_of(heard, cut, look)}
    has_sound = sound is not None
    return picture(piece, recipe, has_sound=has_sound, label=label, meta=meta)
