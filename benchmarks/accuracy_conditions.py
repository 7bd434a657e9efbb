"""What is done to the sound and the picture of the grid's clips, by name.

A condition names what both senses suffer: `clean`, `white-10` (noise ten decibels above
the talker), `blurred`, `babble-10+blurred`. Clips that are `mixed` come with each of
them: a network that learned from those can be asked in every condition.
"""

import random
from collections.abc import Sequence

CLEAN, MIXED = "clean", "mixed"
NOTHING_SEEN = "blanked"
# Of the picture's width: sigma of the Gaussian. So strong that it takes about half of
# what a picture tells beyond chance; 1 / 32 took next to nothing.
BLUR = 1 / 5
VOICES = 8  # of other clips, in a babble
# A sense fails: what the network that learned from clean clips is tested on besides.
FAILS = (
    *("white-10", "white-20", "babble-10", "babble-20", "muted"),
    *("blurred", NOTHING_SEEN),
)
NOISES = ("white0", "white-10", "white-20", "babble0", "babble-10", "babble-20")
CONDITIONS = (  # in the order of the tables
    *(CLEAN, *NOISES, "blurred", NOTHING_SEEN),
    *("white-10+blurred", "babble-10+blurred"),
)
# How often a mixed clip comes with each. Clean clips are known before; what leaves half
# of what there is to hear or see comes most often, as there is most to learn from it.
MIX: dict[str, dict[str, int]] = {
    "sound": {CLEAN: 2} | dict.fromkeys(NOISES, 1) | {"white-10": 2, "babble0": 2},
    "picture": {CLEAN: 4, "blurred": 4, NOTHING_SEEN: 2},
}
COPIES = sum(MIX["sound"].values())  # those of the picture come to as many


def parts(condition: str) -> tuple[str, str]:
    """Return what a condition does to the sound and to the picture.

    >>> parts("white-10+blurred")
    ('white-10', 'blurred')
    """
    done = [part for part in condition.split("+") if part != CLEAN]
    seen = [part for part in done if part in ("blurred", NOTHING_SEEN)]
    heard = [part for part in done if part not in seen]
    return "".join(heard) or CLEAN, "".join(seen) or CLEAN


def seen_by(planes: str, condition: str) -> str:
    """Return what is left of a condition for a model that has only one sense."""
    if condition == MIXED:
        return MIXED
    heard, seen = parts(condition)
    return {"sound": heard, "picture": seen}.get(planes, condition)


def asked(planes: str, condition: str) -> tuple[str, ...]:
    """Return the conditions in which a network is asked, the most important first.

    Args:
        planes: what the network perceives; what it does not changes nothing for it.
        condition: of the clips that it learned from.
    """
    wanted = {CLEAN: (CLEAN, *FAILS), MIXED: (*CONDITIONS, "muted")}
    told = [seen_by(planes, one) for one in wanted.get(condition, (condition,))]
    blind = planes == "picture"  # it sees nothing at all then
    return tuple(dict.fromkeys(t for t in told if not (blind and t == NOTHING_SEEN)))


def mixture(name: str, seed: int) -> list[str]:
    """Return the conditions of the copies of one mixed clip, by its name.

    What is heard and what is seen are shuffled apart from each other.
    """
    dice = random.Random(f"{seed} {name}")
    heard, seen = (
        dice.sample(list(shares), COPIES, counts=list(shares.values()))
        for shares in (MIX["sound"], MIX["picture"])
    )
    return [named(pair) for pair in zip(heard, seen, strict=True)]


def named(suffered: Sequence[str]) -> str:
    """Return the name of a condition of which the parts are known.

    >>> named(("clean", "blurred")), named(("clean", "clean"))
    ('blurred', 'clean')
    """
    return "+".join(part for part in suffered if part != CLEAN) or CLEAN
