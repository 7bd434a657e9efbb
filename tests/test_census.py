"""census.py: samples are counted by label, split, source and what varies among them."""

from dataclasses import replace
from pathlib import Path

from fmrgb.census import count
from fmrgb.manifest import Row
from fmrgb.splits import sources


def row(name: str, label: str, group: str = "", **facts: object) -> Row:
    """Return a row of a sample with sound, unless the facts say otherwise."""
    known = Row(path=Path(f"{name}.pt"), label=label, group=group)
    return replace(known, **{"has_sound": True, "silent": False, **facts})


ROWS = [
    row("a", "dog", "one", split="train", width=64, height=48, fps=25.0, seconds=2.5),
    row("b", "dog", "one", split="train", width=64, height=48, fps=30.0, seconds=4.0),
    row("c", "dog", "two", split="val", width=32, height=24, fps=25.0, seconds=1.25),
    row("d", "cat", "one", split="train", silent=True),
    row("e", "cat", "three", split="test", has_sound=False, silent=True),
    row("f", "dog", split="test"),
]


def census_of(rows: list[Row]):
    """Count rows by their own sources."""
    return count(rows, sources(rows))


def test_the_table_counts_every_label_and_all():
    table = census_of(ROWS).table()
    assert [line.split() for line in table] == [
        ["label", "clips", "sources", "train", "val", "test", "no", "sound", "silent"],
        ["cat", "2", "2", "1", "0", "1", "1", "1"],
        ["dog", "4", "3", "2", "1", "1", "0", "0"],
        ["all", "6", "4", "3", "1", "2", "1", "1"],
    ]
    assert len({len(line) for line in table}) == 1


def test_one_line_says_the_most_important():
    said = "6 clips of 4 sources: 2 cat, 4 dog; 3 train, 1 val, 2 test"
    assert census_of(ROWS).short() == said
    bare = [row("a", "dog"), row("b", "cat"), row("c", "cat")]
    assert census_of(bare).short() == "3 clips: 2 cat, 1 dog"


def test_sentences_tell_groups_copies_and_what_varies():
    assert census_of(ROWS).sentences() == [
        "3 groups; 1 of 4 sources hold several labels; the largest group, 'one', holds "
        "1 cat, 2 dog",
        "not known whether clips are copies of each other: no checksums",
        "2 picture sizes, most often 64x48 pixels (2 clips)",
        "2 different frame rates, 25 to 30 fps",
        "3 different lengths, 1.25 to 4 s",
    ]


def test_the_page_tells_the_sound_too():
    facts = census_of(ROWS).facts()
    assert facts[0] == census_of(ROWS).short()
    assert facts[1] == "1 clips have no sound track, 1 a silent one"
    assert facts[2:] == census_of(ROWS).sentences()


def test_what_does_not_vary_is_told_as_one():
    same = [replace(r, width=64, height=48, fps=25.0, seconds=2.0) for r in ROWS]
    assert census_of(same).sentences()[2:] == [
        "all 64x48 pixels (6 clips)",
        "one frame rate, 25 fps",
        "one length, 2 s",
    ]


def test_without_groups_the_user_is_told_what_that_means():
    bare = [row("a", "dog"), row("b", "cat")]
    assert (
        census_of(bare).sentences()[0].startswith("no groups are known: clips of one")
    )
    assert census_of(bare).largest == ""


def test_copies_are_counted_and_those_that_contradict_each_other_named():
    sums = ["p", "q", "p", "", "r", "p"]
    rows = [replace(r, checksum=s) for r, s in zip(ROWS, sums, strict=True)]
    found = census_of(rows)
    assert found.copies == 3
    assert "3 clips come from the same bytes as another one" in found.sentences()[1]
    assert found.contradictions == []
    wrong = [*rows[:5], replace(rows[5], label="cat")]
    assert census_of(wrong).warnings()[0] == (
        "a.pt (dog) and f.pt (cat) come from the same bytes: one of the labels is wrong"
    )
    each = [replace(r, checksum=r.path.stem) for r in ROWS]
    assert census_of(each).copies == 0
    assert census_of(each).sentences()[1] == "no two clips come from the same bytes"


def test_a_group_that_holds_much_of_all_is_a_warning():
    rows = [row(str(i), "dog", "big" if i < 30 else f"g{i}") for i in range(100)]
    (said,) = census_of(rows).warnings()
    assert said.startswith("group 'big' holds 30 of 100 clips: where it falls decides")
    smaller = [replace(r, group=f"h{i}") if i < 6 else r for i, r in enumerate(rows)]
    assert census_of(smaller).warnings() == []
