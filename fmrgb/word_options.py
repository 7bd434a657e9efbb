"""The options for a set of spoken words, which `fmrgb.options` makes its own.

What `fmrgb.options` says of types and imports holds here too.
"""

import argparse
from dataclasses import dataclass
from typing import Optional

from fmrgb.fields import check_at_least, option
from fmrgb.names import ALL_WORDS, SILENCE, UNKNOWN

CLASSIC = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
_SETS = {
    "10": CLASSIC,
    "12": (*CLASSIC, UNKNOWN, SILENCE),
    ALL_WORDS: (ALL_WORDS,),
}


def asked_words(text: str) -> tuple[str, ...]:
    """Read the labels that are asked for: a known set, or words with commas between."""
    if text in _SETS:
        return _SETS[text]
    names = tuple(name.strip() for name in text.split(","))
    words = [name for name in names if name not in (UNKNOWN, SILENCE)]
    if not all(names) or len({*names}) < len(names) or len(words) < 2:
        raise argparse.ArgumentTypeError(
            f"expected 10, 12, {ALL_WORDS}, or two words or more with commas between, "
            f"each once, like yes,no; got {text!r}"
        )
    # As in the original, both belong to it where neither is named.
    return names if len(words) < len(names) else (*names, UNKNOWN, SILENCE)


@dataclass(frozen=True, kw_only=True)
class WordOptions:
    """How a set of spoken words in the layout of Speech Commands is read."""

    words: Optional[tuple[str, ...]] = option(
        None,
        "read --target as Speech Commands has it (validation_list.txt, "
        "testing_list.txt, _background_noise_, <word>/<speaker>_nohash_<n>.wav) and "
        "take these words: 10, the classic ones; 12, these, unknown and silence; all; "
        "or yes,no and so on, to which unknown and silence are added unless one of "
        "them is among the names. Splits and speakers come from the set",
        asked_words,
        said="labels are the folders' names",
    )
    noisy: int = option(
        0,
        "with --words: so many more copies of each training clip, shifted by up to "
        "0.1 s and with noise 0 to 20 dB less loud mixed in",
    )
    seed: int = option(0, "with --words: seed of what is drawn of unknown and noise")

    def check_words(self) -> None:
        """Raise ValueError if the numbers are wrong."""
        check_at_least(self, 0, "noisy", "seed")
        if self.noisy and not self.words:
            raise ValueError("--noisy takes its noise from the set that --words reads")
