"""From samples to what they are: labels, sources, copies, what varies among them.

Axes: K labels.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fmrgb.facts import size_of
from fmrgb.files import shown
from fmrgb.likeness import alike_labels
from fmrgb.manifest import SPLITS, Row

LARGE_GROUP = 0.25  # share of the clips from which one group decides too much
COLUMNS = ("clips", "sources", *SPLITS, "no sound", "silent")  # of the table


@dataclass(frozen=True, kw_only=True)
class Census:
    """What the samples are.

    Attributes:
        clips: how many there are.
        labels: numbers of clips of each label, by COLUMNS.
        sources: how many sources there are: groups, same bytes, single clips.
        groups: how many of them have a name.
        mixed: how many sources hold clips of several labels.
        largest: name of the largest group; empty without groups.
        largest_labels: numbers of its clips of each label.
        copies: clips that come from the same bytes as another; None if not known.
        contradictions: pairs of clips of the same bytes but different labels, in words.
        varied: size, frame rate and length: how many kinds, from where to where.
    """

    clips: int
    labels: dict[str, dict[str, int]]
    sources: int
    groups: int
    mixed: int
    largest: str
    largest_labels: dict[str, int]
    copies: int | None
    contradictions: list[str]
    varied: list[str]

    def table(self) -> list[str]:
        """Draw the numbers of each label and of all, in columns."""
        total = Counter[str]()
        for numbers in self.labels.values():
            total.update(numbers)
        named = {shown(label): have for label, have in self.labels.items()}
        named["all"] = {**total, "sources": self.sources}
        cells = [["label", *COLUMNS]]
        cells += [[name, *(str(n[c]) for c in COLUMNS)] for name, n in named.items()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in cells
        ]

    def short(self) -> str:
        """Say it in one line."""
        labels = ", ".join(f"{n['clips']} {shown(k)}" for k, n in self.labels.items())
        parts = {name: sum(n[name] for n in self.labels.values()) for name in SPLITS}
        split = ", ".join(f"{n} {name}" for name, n in parts.items() if n)
        of = f" of {self.sources} sources" if self.groups else ""
        return f"{self.clips} clips{of}: {labels}" + (f"; {split}" if split else "")

    def facts(self) -> list[str]:
        """Say it in sentences, for a page."""
        mute, silent = (
            sum(n[name] for n in self.labels.values())
            for name in ("no sound", "silent")
        )
        sound = f"{mute} clips have no sound track, {silent} a silent one"
        return [self.short(), sound, *self.sentences()]

    def sentences(self) -> list[str]:
        """Say what the table does not."""
        told = []
        if self.groups:
            holds = ", ".join(f"{n} {shown(k)}" for k, n in self.largest_labels.items())
            told.append(
                f"{self.groups} groups; {self.mixed} of {self.sources} sources hold "
                f"several labels; the largest group, {self.largest!r}, holds "
                f"{holds}"
            )
        else:
            told.append(
                "no groups are known: clips of one recording may lie on both sides of "
                "the split, and the score then says too much; name their sources with "
                "create_fmrgbdata --groups"
            )
        if self.copies is None:
            told.append(
                "not known whether clips are copies of each other: no checksums"
            )
        elif self.copies:
            told.append(
                f"{self.copies} clips come from the same bytes as another one; a split "
                "made here keeps them together"
            )
        else:
            told.append("no two clips come from the same bytes")
        return told + self.varied

    def warnings(self) -> list[str]:
        """Say what may make a score mean less than it seems."""
        told = [*self.contradictions, *alike_labels(self.labels)]
        largest = sum(self.largest_labels.values())
        if largest > LARGE_GROUP * self.clips:
            told.append(
                f"group {self.largest!r} holds {largest} of {self.clips} clips: "
                "where it falls decides the score; --folds judges every clip once"
            )
        return told


def count(rows: Sequence[Row], sources: Sequence[str]) -> Census:
    """Count the samples.

    Args:
        rows: samples, with or without splits.
        sources: the source of each, from `splits.sources`.
    """
    held = defaultdict(set)
    for row, source in zip(rows, sources, strict=True):
        held[source].add(row.label)
    groups = Counter(row.group for row in rows if row.group)
    largest = groups.most_common(1)[0][0] if groups else ""
    inside = Counter(row.label for row in rows if row.group and row.group == largest)
    known = Counter(row.checksum for row in rows if row.checksum)
    same = defaultdict(list)
    for row in rows:
        if known[row.checksum] > 1:
            same[row.checksum].append(row)
    return Census(
        clips=len(rows),
        labels=_numbers(rows, held.values()),
        sources=len(held),
        groups=len(groups),
        mixed=sum(len(of) > 1 for of in held.values()),
        largest=largest,
        largest_labels=dict(sorted(inside.items())),
        copies=sum(map(len, same.values())) if known else None,
        contradictions=[c for copies in same.values() for c in _contradiction(copies)],
        varied=_varied(rows),
    )


def _numbers(
    rows: Sequence[Row], sources: Iterable[set[str]]
) -> dict[str, dict[str, int]]:
    """Count, for each label, its clips by COLUMNS, and the sources that hold any."""
    counts = {k: dict.fromkeys(COLUMNS, 0) for k in sorted({r.label for r in rows})}
    for row in rows:
        own = counts[row.label]
        own["clips"] += 1
        own["no sound"] += row.has_sound is False
        own["silent"] += bool(row.has_sound and row.silent)
        if row.split in SPLITS:
            own[row.split] += 1
    for labels in sources:
        for label in labels:
            counts[label]["sources"] += 1
    return counts


def _contradiction(copies: Sequence[Row]) -> list[str]:
    """Name two clips of the same bytes that do not agree in their label."""
    first = copies[0]
    other = next((row for row in copies if row.label != first.label), None)
    if other is None:
        return []
    one, two = (f"{shown(r.path.name)} ({shown(r.label)})" for r in (first, other))
    return [f"{one} and {two} come from the same bytes: one of the labels is wrong"]


def _varied(rows: Sequence[Row]) -> list[str]:
    """Say which sizes, frame rates and lengths there are, and from where to where."""
    told = []
    sizes = Counter(size for r in rows if (size := size_of(r)))
    if sizes:
        size, n = sizes.most_common(1)[0]
        often = f"{len(sizes)} picture sizes, most often" if len(sizes) > 1 else "all"
        told.append(f"{often} {size} pixels ({n} clips)")
    measures: dict[tuple[str, str], Callable[[Row], Any]] = {
        ("frame rate", "fps"): lambda row: row.fps,
        ("length", "s"): lambda row: row.seconds,
    }
    for (name, unit), of in measures.items():
        kinds = {round(of(row), 3) for row in rows if of(row) is not None}
        if len(kinds) > 1:
            span = f"{min(kinds):.4g} to {max(kinds):.4g}"
            told.append(f"{len(kinds)} different {name}s, {span} {unit}")
        elif kinds:
            told.append(f"one {name}, {kinds.pop():.4g} {unit}")
    return told
