"""facts.py: what goes with the label is found and weighed; what does not is let be."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fmrgb.facts import FACTS, Finding, find, guess_from_all, warnings
from fmrgb.manifest import Row
from fmrgb.splits import associations, sources

N = 40  # clips of each label


def rows_of(labels: str = "ab", n: int = N) -> list[Row]:
    """Return n rows of each label of which nothing else is known."""
    return [Row(path=Path(f"{k}{i}"), label=k) for k in labels for i in range(n)]


def with_sound(n_without: tuple[int, int], n_silent: tuple[int, int]) -> list[Row]:
    """Return rows of two labels, some without sound and some silent."""
    rows = rows_of()
    for place, row in enumerate(rows):
        number, label = place % N, place // N
        has_sound = number >= n_without[label]
        silent = not has_sound or number < n_without[label] + n_silent[label]
        rows[place] = replace(row, has_sound=has_sound, silent=silent)
    return rows


def given(fact: str, values: Sequence[float], n: int = N) -> list[Row]:
    """Return rows with one number each, those of the first label first."""
    rows = rows_of(n=n)
    return [replace(r, **{fact: v}) for r, v in zip(rows, values, strict=True)]


def test_a_missing_sound_track_that_goes_with_the_label_is_found():
    (said,) = associations(with_sound((30, 5), (0, 0)))
    assert said.startswith("has no sound track: 30 of 40 a, 5 of 40 b; this alone ")
    # 30 of 40 and 35 of 40 are guessed right: 81.25 % of the labels on average.
    assert "guesses 81% of the labels (81% for sources not seen), chance 50%" in said
    assert said.endswith("p <= 0.001")


def test_a_silent_track_that_goes_with_the_label_is_found():
    (said,) = associations(with_sound((0, 0), (3, 28)))
    assert said.startswith("has a silent sound track: 3 of 40 a, 28 of 40 b; this ")


@pytest.mark.parametrize(
    ("without", "silent"),
    [((0, 0), (0, 0)), ((10, 10), (5, 6)), ((40, 40), (0, 0)), ((3, 0), (0, 3))],
)
def test_facts_that_do_not_go_with_the_label_are_not_told(without, silent):
    assert associations(with_sound(without, silent)) == []


def test_nothing_is_told_of_what_is_not_known_or_of_one_label():
    assert associations(rows_of()) == []
    alone = [r for r in with_sound((20, 20), (5, 5)) if r.label == "a"]
    assert associations(alone) == []


def test_a_picture_size_that_goes_with_the_label_is_found_and_named():
    rows = [
        replace(row, width=64 if i % 8 else 48, height=32)
        for i, row in enumerate(rows_of())
    ]
    assert associations(rows) == []
    rows[:20] = [replace(row, width=96) for row in rows[:20]]
    (said,) = associations(rows)
    assert "picture size: " in said
    assert "96x32 for 20 of 40 a, 0 of 40 b" in said


def test_the_size_of_the_clips_counts_where_it_is_known():
    rows = [
        replace(r, width=32, height=24, source_width=640, source_height=480)
        for r in rows_of()
    ]
    assert associations(rows) == []
    rows[:30] = [replace(r, source_width=320, source_height=240) for r in rows[:30]]
    (said,) = associations(rows)
    assert "picture size: 320x240 for 30 of 40 a, 0 of 40 b; 640x480 for" in said


def test_a_frame_rate_that_goes_with_the_label_is_found():
    rates = [30.0] * 30 + [25.0] * 10 + [30.0] * 10 + [25.0] * 30
    (said,) = associations(given("fps", rates))
    assert "frame rate in fps: 25 for 10 of 40 a, 30 of 40 b; 30 for 30 of 40 a" in said


def test_lengths_that_differ_between_the_labels_are_found_in_bins():
    dice = np.random.default_rng(0)
    same = dice.uniform(2, 4, 2 * N)
    assert associations(given("seconds", same)) == []
    apart = [*dice.uniform(2, 3, N), *dice.uniform(2.5, 4, N)]
    (said,) = associations(given("seconds", apart))
    assert said.startswith("length in s: ")
    assert " to " in said.partition(" for ")[0]


def test_a_tie_that_is_neither_more_nor_less_is_found_too():
    # Means and medians are alike: only one label has both ends.
    frames = [10] * 20 + [30] * 20 + [20] * 40
    (said,) = associations(given("frames", frames))
    assert said.startswith(
        "length in frames: 10 for 20 of 40 a, 0 of 40 b; 20 for 0 of "
    )


def test_false_alarms_are_as_rare_as_promised():
    dice = np.random.default_rng(0)
    alarms = 0
    for _ in range(30):
        rows = [
            replace(
                row,
                has_sound=bool(dice.integers(2)),
                silent=False,
                fps=float(dice.choice([24.0, 25.0, 30.0])),
                seconds=float(dice.uniform(1, 9)),
            )
            for row in rows_of(n=25)
        ]
        alarms += bool(associations(rows))
    assert alarms <= 3  # 2 % of 30 are expected; more than 3 in one of 300 tries


def test_a_sure_but_useless_tie_is_not_a_warning():
    rows = [
        replace(row, has_sound=not (row.label == "a" and i % 50 == 0), silent=False)
        for i, row in enumerate(rows_of(n=1500))
    ]
    (found,) = find(rows, sources(rows))
    assert found.p < 0.001
    assert found.same_sources == pytest.approx(0.51)
    assert not found.is_shortcut
    assert warnings([found]) == []


def test_a_fact_of_one_source_does_not_help_with_other_sources():
    # All clips of b without sound come from one source, as in real data.
    rows = [
        replace(
            row,
            has_sound=not (row.label == "b" and i % N < 14),
            silent=False,
            group="unlisted" if row.label == "b" and i % N < 14 else f"g{i % 9}",
        )
        for i, row in enumerate(rows_of())
    ]
    (found,) = find(rows, sources(rows))
    assert found.is_shortcut
    assert found.same_sources == pytest.approx((40 / 40 + 14 / 40) / 2)
    assert found.other_sources is not None
    assert found.other_sources < 0.6
    assert "14 of 40 b (14 of these 14 in group 'unlisted')" in found.sentence


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            0.44,
            "60% of the labels (no help with sources not seen), chance 50%, p = 0.01",
        ),
        (0.58, "60% of the labels (58% for sources not seen), chance 50%, p = 0.01"),
        (None, "60% of the labels, chance 50%, p = 0.01"),
    ],
)
def test_what_carries_over_to_other_sources_is_told(other, said):
    known = {"fact": "length in s", "shares": "1 for 2 of 3 a, 0 of 3 b", "p": 0.0104}
    found = Finding(**known, same_sources=0.6, other_sources=other, chance=0.5)
    assert (
        found.sentence == f"length in s: {known['shares']}; this alone guesses {said}"
    )


def test_a_label_with_one_source_has_no_guess_for_others():
    rows = [replace(r, group=r.label) for r in with_sound((30, 5), (0, 0))]
    (found,) = (f for f in find(rows, sources(rows)) if f.fact == "has no sound track")
    assert found.other_sources is None
    assert "not seen" not in found.sentence
    assert guess_from_all(rows, sources(rows)) is None


def test_all_facts_together_guess_more_than_each_alone():
    dice = np.random.default_rng(0)
    rows = []
    for row in rows_of(n=200):
        # Each fact has the label's side in seven of ten clips, by a chance of its own.
        own = [(dice.random() < 0.7) == (row.label == "a") for _ in range(3)]
        sound = {"has_sound": bool(own[0]), "silent": False}
        rows.append(replace(row, **sound, fps=24.0 + own[1], seconds=2.0 + own[2]))
    alone = [found.other_sources for found in find(rows, sources(rows))]
    assert alone == pytest.approx([0.7] * 3, abs=0.05)
    # Two or three of three have the label's side: 0.7^3 + 3 * 0.7^2 * 0.3.
    assert guess_from_all(rows, sources(rows)) == pytest.approx(0.784, abs=0.04)
    assert guess_from_all(rows_of(), sources(rows_of())) is None


def test_three_labels_have_a_chance_of_a_third():
    rows = [replace(r, fps={"a": 24.0}.get(r.label, 25.0)) for r in rows_of("abc")]
    (found,) = find(rows, sources(rows))
    assert found.chance == pytest.approx(1 / 3)
    assert found.same_sources == pytest.approx(2 / 3)


def test_rare_values_are_taken_together():
    # Sorted by label, as manifests are: which rare ones are kept must not follow that.
    rows = [
        replace(row, width=100 + i // 2 if i % 4 < 2 else 50, height=10)
        for i, row in enumerate(rows_of())
    ]
    (found,) = find(rows, sources(rows))
    halves = "20 of 40 a, 20 of 40 b"
    assert found.shares == f"50x10 for {halves}; other for {halves}"
    assert not found.is_shortcut


def test_the_facts_are_those_of_a_row():
    assert set(FACTS) == {
        "has no sound track",
        "has a silent sound track",
        "picture size",
        "frame rate in fps",
        "length in s",
        "length in frames",
    }


def test_names_that_would_break_a_line_are_escaped():
    rows = [
        replace(r, label=f"{r.label}\n", group=f"g\n{i % 3}" if r.has_sound else "h\n")
        for i, r in enumerate(with_sound((30, 5), (0, 0)))
    ]
    (said,) = associations(rows)
    assert "\n" not in said
    assert "in group 'h\\n'" in said
