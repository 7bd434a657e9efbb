"""From separate collections with one label each to samples of several senses.

Items are split into train, val and test first and joined only within a part, so that no
picture, sound or text is met on both sides of a split.

Axes: N pairs, S senses, H height, W width, C channels; h and w the sides of a sound
picture.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmrgb.cells import read_csv
from fmrgb.collect import KINDS, PICTURE, Collection, Item
from fmrgb.errors import ManifestError
from fmrgb.files import shown
from fmrgb.manifest import SPLITS, Row
from fmrgb.splits import split

JOIN, GAPS = 1, 2  # what a stream of chances is for
Numbers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Joined:
    """One pair: which items of which senses, None where a sense is left out."""

    label: str
    split: str
    group: str
    items: Mapping[str, Item | None]

    @property
    def pattern(self) -> str:
        """Which senses there are, in words."""
        return "+".join(kind for kind in KINDS if self.items.get(kind))


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How collections are joined.

    Attributes:
        missing: chance that a sense is left out of a pair; one always stays, so that
            fewer are missing than this where it is high.
        pairs: how many of each label; None makes as many in each part as the largest
            collection has items there.
        test_size: share of every collection's items kept for test pairs.
        val_size: share kept for validation pairs.
        seed: of split, joins and gaps.
    """

    missing: float = 0.0
    pairs: int | None = None
    test_size: float = 0.2
    val_size: float = 0.2
    seed: int = 0


def joint_labels(
    collections: Sequence[Collection], table: Path | None
) -> tuple[list[Collection], list[str]]:
    """Give the items of all collections labels of one kind; leave out the others.

    Args:
        collections: with labels of their own.
        table: CSV with label and a column for each collection (picture, sound, text)
            that says which of its labels is meant; a cell may be empty. None takes the
            labels that all collections have by the same name.

    Returns:
        the collections, and a sentence on labels that were left out, for each.

    Raises:
        ManifestError: if the table lacks a column, names a label twice or one that no
            item has, or no label is left.
    """
    kept, notes = [], []
    common = set.intersection(*({i.label for i in c.items} for c in collections))
    for held in collections:
        have = {item.label for item in held.items}
        names = _names(table, held.kind) if table else {name: name for name in common}
        if strange := sorted(set(names) - have):
            told = ", ".join(map(shown, sorted(have)))
            raise ManifestError(
                f"{shown(table or '')}: no {held.kind} has the label "
                f"{shown(strange[0])!r}; there are: {told}"
            )
        if lost := sorted(have - set(names)):
            notes.append(
                f"{held.kind} labels left out, as no other collection or the table has "
                f"them: {', '.join(map(shown, lost))}"
            )
        items = [
            replace(i, label=names[i.label]) for i in held.items if i.label in names
        ]
        kept.append(replace(held, items=items))
    if not any(held.items for held in kept):
        raise ManifestError(
            "the collections have no label in common; give a --table with the columns "
            f"label, {', '.join(held.kind for held in collections)}"
        )
    return kept, notes


def _names(table: Path, kind: str) -> dict[str, str]:
    """Return the joint label of each label of a collection."""
    names: dict[str, str] = {}
    for record in read_csv(table, ("label", kind)):
        if not (own := record[kind]):
            continue
        if not record["label"] or own in names:
            raise ManifestError(
                f"{shown(table)}: expected a label for every {kind}, and every {kind} "
                f"once, got {shown(own)!r} without a label or twice"
            )
        names[own] = record["label"]
    return names


def join(collections: Sequence[Collection], wish: Wish) -> list[Joined]:
    """Split items, join them within each part, and leave senses out.

    Items go round in an order drawn anew each time, so that each is used about as often
    as any other of its label. The gaps of a lower rate are among those of a higher one.

    Raises:
        ManifestError: if a label of a collection has too few items to be split.
    """
    parted = {held.kind: _parted(held, wish) for held in collections}
    dice = np.random.default_rng([wish.seed, JOIN])
    pairs: list[Joined] = []
    labels = sorted({item.label for held in collections for item in held.items})
    for label in labels:
        n_wanted = _counts(parted, label, wish)
        for part in SPLITS:
            dealt = {
                kind: _dealt(places[label, part], n_wanted[part], dice)
                for kind, places in parted.items()
            }
            for number in range(n_wanted[part]):
                items = {kind: deck[number] for kind, deck in dealt.items()}
                pairs.append(Joined(label=label, split=part, group="", items=items))
    pairs = _with_gaps(pairs, list(parted), wish)
    return _grouped(pairs)


def _parted(held: Collection, wish: Wish) -> dict[tuple[str, str], list[Item]]:
    """Split a collection's items; those of a source stay together."""
    rows = [
        Row(
            path=Path(item.name),
            label=item.label,
            group=item.group,
            split=item.split,
            checksum=item.checksum,
        )
        for item in held.items
    ]
    sizes = {"test_size": wish.test_size, "val_size": wish.val_size}
    try:
        marked = split(rows, **sizes, seed=wish.seed)
    except ManifestError as error:
        raise ManifestError(f"--{held.kind}s: {error}") from error
    parts = defaultdict(list)
    for item, row in zip(held.items, marked, strict=True):
        parts[item.label, row.split].append(item)
    return parts


def _counts(
    parted: Mapping[str, Mapping[tuple[str, str], list[Item]]], label: str, wish: Wish
) -> dict[str, int]:
    """Return how many pairs of a label each part gets."""
    most = {
        part: max(len(places[label, part]) for places in parted.values())
        for part in SPLITS
    }
    if wish.pairs is None:
        return most
    shares = {part: wish.pairs * n / sum(most.values()) for part, n in most.items()}
    counts = {part: max(1, int(share)) for part, share in shares.items()}
    # What rounding leaves goes to the training pairs.
    counts["train"] += max(0, wish.pairs - sum(counts.values()))
    return counts


def _dealt(
    items: Sequence[Item], n_wanted: int, dice: np.random.Generator
) -> list[Item | None]:
    """Deal so many items, all of them in each round."""
    if not items:
        return [None] * n_wanted
    rounds = [dice.permutation(len(items)) for _ in range(-(-n_wanted // len(items)))]
    order = np.concatenate([np.zeros(0, np.int64), *rounds])[:n_wanted]
    return [items[number] for number in order]


def _with_gaps(pairs: list[Joined], kinds: Sequence[str], wish: Wish) -> list[Joined]:
    """Leave out each sense at the wished rate; of each pair at least one stays."""
    dice = np.random.default_rng([wish.seed, GAPS])
    chance_NS = dice.random((len(pairs), len(kinds)))
    result = []
    for pair, chance_S in zip(pairs, chance_NS, strict=True):
        drawn = dict(zip(kinds, chance_S, strict=True))
        held = [kind for kind in kinds if pair.items[kind]]
        stays = max(held, key=lambda kind: drawn[kind])
        items = {
            kind: item if drawn[kind] >= wish.missing or kind == stays else None
            for kind, item in pair.items.items()
        }
        result.append(replace(pair, items=items))
    return result


def _grouped(pairs: list[Joined]) -> list[Joined]:
    """Give pairs that share a source, or share one with a third, one group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    places: dict[str, int] = {}
    ties = []
    for number, pair in enumerate(pairs):
        for kind, item in pair.items.items():
            for source in (item.group, item.checksum) if item else ():
                if source:  # a group and the bytes of one kind are not another's
                    key = f"{kind} {source}"
                    ties.append((number, places.setdefault(key, len(places))))
    rows, columns = np.array(ties).T
    size = len(pairs) + len(places)
    graph = coo_array((np.ones(len(ties)), (rows, columns + len(pairs))), (size, size))
    _, parts = connected_components(graph, directed=False)
    return [
        replace(pair, group=f"pairs{part:05d}")
        for pair, part in zip(pairs, parts[: len(pairs)].tolist(), strict=True)
    ]


def patterns(pairs: Sequence[Joined]) -> dict[str, int]:
    """Count the pairs by which senses they have."""
    return dict(sorted(Counter(pair.pattern for pair in pairs).items()))


def checksum_of(pair: Joined) -> str:
    """Return one sum for the bytes of all items of a pair."""
    told = "\n".join(f"{kind} {i.checksum}" for kind, i in pair.items.items() if i)
    return hashlib.sha256(told.encode()).hexdigest()


def picture_size(pair: Joined) -> tuple[int | None, int | None]:
    """Return the width and height that a pair's picture had, if it has one."""
    item = pair.items.get(PICTURE)
    return item.size if item and item.size else (None, None)
