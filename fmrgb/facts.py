"""From what is known of clips beside their content to how far it tells the label.

A network learns such a fact instead of what is seen and heard: a shortcut.

Axes: N clips, F facts, K labels, V values of a fact, D draws.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fmrgb.deal import Numbers, deal, numbered, sources_per_label
from fmrgb.files import shown
from fmrgb.manifest import Row

MAX_VALUES = 16  # rarer values of a fact are taken together
N_BINS = 10  # for numbers of which there are more
SHOWN_VALUES = 3  # that differ most between the labels
MAX_P = 0.02
MIN_GAIN = 0.03  # share of labels guessed beyond chance; less is of no use to a network
MAX_FOLDS = 5
IN_ONE_GROUP = 0.5  # share of the clips with a fact from which their group is named

FACTS: dict[str, Callable[[Row], Any]] = {  # None is not known
    "has no sound track": lambda row: _opposite(row.has_sound),
    "has a silent sound track": lambda row: row.has_sound and row.silent,
    "picture size": lambda row: size_of(row),
    "frame rate in fps": lambda row: row.fps,
    "length in s": lambda row: row.seconds,
    "length in frames": lambda row: row.frames,
}


def size_of(row: Row) -> str | None:
    """Name the size of the clip, or of the sample where that is not known.

    Samples of one size still show what the clips' was: by their sharpness and shape.
    """
    width, height = row.source_width or row.width, row.source_height or row.height
    return f"{width}x{height}" if width and height else None


def _opposite(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How one fact goes with the label.

    Attributes:
        fact: what it is, as in FACTS.
        shares: in words, how many clips of each label have it.
        p: chance of so strong a tie where there is none: chi-squared against shuffled
            labels, corrected for the number of facts (Benjamini and Hochberg 1995,
            "Controlling the false discovery rate"). Clips of one source count as
            independent, so it warns rather too often than too seldom.
        same_sources: share of labels guessed right from this fact alone, every label
            counting the same, where the clips themselves have shown what goes with
            what; a split that parts the clips of one source rewards this.
        other_sources: the same where only clips of other sources have shown it; None
            if a label has a single source.
        chance: the same without the fact, 1 / K.
    """

    fact: str
    shares: str
    p: float
    same_sources: float
    other_sources: float | None
    chance: float

    @property
    def is_shortcut(self) -> bool:
        """Whether it goes with the label, and far enough to be of use to a network."""
        return self.p < MAX_P and self.same_sources >= self.chance + MIN_GAIN

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        other = ""
        if self.other_sources is not None:
            helps = self.other_sources >= self.chance + MIN_GAIN
            share = f"{self.other_sources:.0%} for" if helps else "no help with"
            other = f" ({share} sources not seen)"
        p = f"p = {self.p:.2g}" if self.p > 0.001 else "p <= 0.001"
        return (
            f"{self.fact}: {self.shares}; this alone guesses {self.same_sources:.0%} "
            f"of the labels{other}, chance {self.chance:.0%}, {p}"
        )


def find(rows: Sequence[Row], sources: Sequence[str]) -> list[Finding]:
    """Measure every fact that is known and is not the same for all clips.

    Args:
        rows: N samples.
        sources: what must not be split, one word per row.

    Returns:
        one finding per fact in the order of FACTS, those that tell nothing too.
    """
    from scipy.stats import false_discovery_control

    found = []
    dealt: dict[tuple[int, ...], list[Numbers]] = {}  # facts known of the same clips
    for fact in FACTS:
        known = _values(rows, fact)
        labels = [rows[n].label for n in known]
        if len(set(labels)) > 1 and len(set(known.values())) > 1:
            if (clips := tuple(known)) not in dealt:
                dealt[clips] = _parts(labels, [sources[n] for n in known])
            found.append(_measure(rows, fact, known, dealt[clips]))
    if not found:
        return []
    corrected = false_discovery_control([one.p for one in found], method="bh")
    return [replace(one, p=float(p)) for one, p in zip(found, corrected, strict=True)]


def warnings(findings: Sequence[Finding]) -> list[str]:
    """Return one sentence for every fact that goes with the label."""
    found = [one.sentence for one in findings if one.is_shortcut]
    return [f"This goes with the label, a shortcut: {sentence}" for sentence in found]


def guess_from_all(rows: Sequence[Row], sources: Sequence[str]) -> float | None:
    """Guess the labels of clips of other sources from all facts together.

    Returns:
        share guessed right, every label counting the same; None if a label has a single
        source or no fact varies.
    """
    varied = []
    for fact in FACTS:  # one by one, for there may be a million rows
        known = _values(rows, fact)
        codes = numbered([known.get(n, "") for n in range(len(rows))])
        if codes.any():
            varied.append(codes)
    if not varied:
        return None
    labels = [row.label for row in rows]
    return _guess(np.stack(varied, axis=1), labels, _parts(labels, sources))


def _values(rows: Sequence[Row], fact: str) -> dict[int, str]:
    """Return the value of a fact in words, by the number of the row that has it."""
    known = {n: v for n, row in enumerate(rows) if (v := FACTS[fact](row)) is not None}
    numbers = not any(isinstance(v, bool | str) for v in known.values())
    if numbers and len({_rounded(v) for v in known.values()}) > MAX_VALUES:
        return _binned(known)
    said = {v: f"{_rounded(v):g}" if numbers else str(v) for v in set(known.values())}
    words = {n: said[v] for n, v in known.items()}
    counts = Counter(words.values())
    # Values that are as rare as each other must not be told apart by their order.
    rare = sorted([0] * (MAX_VALUES + 1) + [*counts.values()])[-MAX_VALUES - 1]
    return {n: v if counts[v] > rare else "other" for n, v in words.items()}


def _rounded(value: float) -> float:
    return round(value, 3)


def _binned(values: dict[int, float]) -> dict[int, str]:
    """Put numbers into bins of equally many clips, named by their ends."""
    numbers = np.array([_rounded(v) for v in values.values()])
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, N_BINS + 1)[1:-1]))
    ends = [numbers.min(), *edges, numbers.max()]
    bins = np.searchsorted(edges, numbers, side="left")
    return {
        n: f"{ends[b]:.4g} to {ends[b + 1]:.4g}"
        for n, b in zip(values, bins, strict=True)
    }


def _measure(
    rows: Sequence[Row], fact: str, known: dict[int, str], parts: Sequence[Numbers]
) -> Finding:
    """Measure one fact on the clips of which it is known; p is not yet corrected."""
    from fmrgb.intervals import chance_of  # late: scipy.stats is slow to start

    labels = sorted({rows[n].label for n in known})
    names = sorted(set(known.values()))
    counts = Counter((rows[n].label, value) for n, value in known.items())
    table_KV = np.array([[counts[k, v] for v in names] for k in labels])
    shares_KV = table_KV / table_KV.sum(axis=1, keepdims=True)
    codes = numbered(list(known.values()))[:, None]
    truth = [rows[n].label for n in known]
    return Finding(
        fact=fact,
        shares=_in_words(labels, names, table_KV) + _in_one_group(rows, known),
        p=chance_of(table_KV),
        same_sources=float(shares_KV.max(axis=0).sum() / len(labels)),
        other_sources=_guess(codes, truth, parts),
        chance=1 / len(labels),
    )


def _in_words(labels: list[str], names: list[str], table_KV: Numbers) -> str:
    """Say for the values that differ most how many clips of each label have them."""
    totals = table_KV.sum(axis=1)
    shares_KV = table_KV / totals[:, None]
    is_truth = set(names) == {"True", "False"}
    spread = np.ptp(shares_KV, axis=0)
    chosen = np.argsort(-spread, kind="stable")[:SHOWN_VALUES]
    told = []
    for v in [names.index("True")] if is_truth else sorted(chosen):
        each = ", ".join(
            f"{have} of {total} {shown(label)}"
            for label, have, total in zip(labels, table_KV[:, v], totals, strict=True)
        )
        told.append(each if is_truth else f"{names[v]} for {each}")
    return "; ".join(told)


def _in_one_group(rows: Sequence[Row], known: dict[int, str]) -> str:
    """Name the group that most of the clips with a fact belong to, if there is one."""
    have = [rows[n] for n, value in known.items() if value == "True"]
    groups = Counter(row.group for row in have if row.group)
    if not groups or len({row.group for row in rows}) < 2:
        return ""
    group, n = groups.most_common(1)[0]
    if n < max(2, IN_ONE_GROUP * len(have)):
        return ""
    return f" ({n} of these {len(have)} in group {group!r})"


def _parts(labels: Sequence[str], sources: Sequence[str]) -> list[Numbers]:
    """Deal clips into parts that share no source; none if a label has a single one."""
    truth_N, own_N = numbered(labels), numbered(sources)
    fewest = int(sources_per_label(truth_N, own_N).min())
    if fewest < 2:
        return []
    return list(deal(truth_N, own_N, min(MAX_FOLDS, fewest), seed=0))


def _guess(
    codes_NF: Numbers, labels: Sequence[str], parts: Sequence[Numbers]
) -> float | None:
    """Guess each label by what clips of the other parts with the same values have.

    Where several labels are as likely, as for a value not met before, each has its
    share of being right.
    """
    from sklearn.naive_bayes import CategoricalNB
    from sklearn.utils.class_weight import compute_sample_weight

    if not parts:
        return None
    truth_N = numbered(labels)
    right_N = np.zeros(len(truth_N))
    for held_out in parts:
        known = np.delete(np.arange(len(truth_N)), held_out)
        guesser = CategoricalNB(fit_prior=False, min_categories=codes_NF.max() + 1)
        weights = compute_sample_weight("balanced", truth_N[known])
        guesser.fit(codes_NF[known], truth_N[known], weights)
        odds_NK = guesser.predict_proba(codes_NF[held_out])
        best_NK = np.isclose(odds_NK, odds_NK.max(axis=1, keepdims=True))
        is_own_NK = truth_N[held_out, None] == guesser.classes_
        right_N[held_out] = (best_NK & is_own_NK).sum(axis=1) / best_NK.sum(axis=1)
    return float(np.mean([right_N[truth_N == k].mean() for k in set(truth_N)]))
