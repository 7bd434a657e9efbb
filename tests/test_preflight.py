"""preflight.py: what is found, what it is called, and what its headers say."""

import os
import re
from pathlib import Path

import clips
import pytest
from clips import FPS, N_FRAMES

from fmrgb.errors import InputError, ManifestError
from fmrgb.preflight import Survey, survey
from fmrgb.surveyed import table


def facts(surveyed: Survey) -> dict[str, tuple[str, str]]:
    """Return (label, group) of each clip by its name."""
    return {item.clip.name: (item.label, item.group) for item in surveyed.found}


def test_a_folder_of_labels_is_found_in_order(talkie, mute, tmp_path):
    names = ("b/z.mp4", "a/y.MP4", "a/x.mov")
    clips.copies(talkie, tmp_path, *names)
    clips.copies(mute, tmp_path, "b/deep/down.mp4", "a/.hidden.mp4", ".dark/w.mp4")
    (tmp_path / "a" / "notes.txt").write_text("no clip")
    found = survey(tmp_path).found
    assert [str(item.clip.relative_to(tmp_path)) for item in found] == [
        *("a/x.mov", "a/y.MP4", "b/deep/down.mp4", "b/z.mp4")
    ]
    assert [item.label for item in found] == ["a", "a", "deep", "b"]
    assert [item.sample for item in found] == [
        item.clip.with_suffix(".pt") for item in found
    ]
    headers = [item.header for item in found]
    assert all(h and (h.frames, h.fps) == (N_FRAMES, FPS) for h in headers)
    assert [h.has_sound for h in headers if h] == [True, True, False, True]


def test_samples_go_to_the_output_with_the_folders_of_the_clips(talkie, tmp_path):
    clips.copies(talkie, tmp_path / "in", "a/b/x.mp4", "y.mp4")
    found = survey(tmp_path / "in", output=tmp_path / "out").found
    assert [item.sample for item in found] == [
        tmp_path / "out" / "a" / "b" / "x.pt",
        tmp_path / "out" / "y.pt",
    ]
    one = survey(tmp_path / "in" / "a" / "b" / "x.mp4", output=tmp_path / "out").found
    assert [item.sample for item in one] == [tmp_path / "out" / "x.pt"]


@pytest.mark.parametrize("target", [".", "x.mp4", "../fight"])
def test_a_relative_target_still_has_its_folders_name(
    talkie, tmp_path, monkeypatch, target
):
    clips.copies(talkie, tmp_path, "fight/x.mp4")
    monkeypatch.chdir(tmp_path / "fight")
    assert facts(survey(Path(target))) == {"x.mp4": ("fight", "")}


def test_a_link_has_the_label_of_the_folder_it_lies_in(talkie, tmp_path):
    (store,) = clips.copies(talkie, tmp_path / "store", "17.mp4")
    for label in ("fight", "calm"):
        (tmp_path / "clips" / label).mkdir(parents=True)
        (tmp_path / "clips" / label / f"{label}.mp4").symlink_to(store)
    (tmp_path / "clips" / "groups.csv").write_text("path,group\nfight/fight.mp4,g\n")
    surveyed = survey(tmp_path / "clips", groups=tmp_path / "clips" / "groups.csv")
    assert facts(surveyed) == {"calm.mp4": ("calm", ""), "fight.mp4": ("fight", "g")}


def test_originals_beside_their_resized_copies_are_left_out(talkie, tmp_path):
    clips.copies(talkie, tmp_path, "a.mp4", "resized_a.mp4", "b.mp4", "sub/a.mp4")
    surveyed = survey(tmp_path)
    assert list(facts(surveyed)) == ["b.mp4", "resized_a.mp4", "a.mp4"]
    assert surveyed.superseded == 1
    assert "1 originals left out: resized copies are used" in table(surveyed)
    # Named itself, an original is what is wanted.
    assert survey(tmp_path / "a.mp4").superseded == 0


def test_a_groups_csv_gives_groups_and_labels(talkie, tmp_path):
    clips.copies(talkie, tmp_path / "clips", "one/a.mp4", "one/b.mp4", "two/c.mp4")
    (tmp_path / "lists").mkdir()
    csv = tmp_path / "lists" / "groups.csv"
    csv.write_text(
        "path,group,label\n"
        "../clips/one/a.mp4,film 1,loud\n"
        f"{tmp_path}/clips/two/c.mp4,film 2,\n"
        "../clips/one/gone.mp4,film 3,loud\n"
    )
    surveyed = survey(tmp_path / "clips", groups=csv)
    assert facts(surveyed) == {
        "a.mp4": ("loud", "film 1"),
        "b.mp4": ("one", ""),
        "c.mp4": ("two", "film 2"),
    }
    assert surveyed.ungrouped == 1
    assert "1 clips are not in the groups CSV: each is its own group" in table(surveyed)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("path,group\na.mp4,g\n", ("clips", "g")),
        ("path,label\na.mp4,k\n", ("k", "")),
    ],
)
def test_group_or_label_alone_will_do(talkie, tmp_path, text, wanted):
    clips.copies(talkie, tmp_path / "clips", "a.mp4")
    csv = tmp_path / "clips" / "g.csv"
    csv.write_text(text)
    surveyed = survey(tmp_path / "clips", groups=csv)
    assert facts(surveyed) == {"a.mp4": wanted}
    assert surveyed.ungrouped == 0


@pytest.mark.parametrize("named", ["a.mp4", "resized_a.mp4"])
def test_a_resized_copy_is_known_by_its_originals_row(talkie, tmp_path, named):
    clips.copies(talkie, tmp_path, "resized_a.mp4")
    csv = tmp_path / "g.csv"
    csv.write_text(f"path,group,label\n{named},g,k\n")
    assert facts(survey(tmp_path, groups=csv)) == {"resized_a.mp4": ("k", "g")}


def test_a_groups_csv_that_names_no_clip_is_refused(talkie, tmp_path):
    clips.copies(talkie, tmp_path / "clips", "a.mp4", "b.mp4")
    csv = tmp_path / "g.csv"
    csv.write_text("path,group\na.mp4,g\n")  # relative to the CSV: not in clips/
    with pytest.raises(ManifestError, match=r"g\.csv names none of the 2 clips in "):
        survey(tmp_path / "clips", groups=csv)


def test_a_groups_csv_without_group_and_label_is_refused(talkie, tmp_path):
    clips.copies(talkie, tmp_path, "a.mp4")
    (tmp_path / "g.csv").write_text("path,source\na.mp4,g\n")
    with pytest.raises(ManifestError, match="needs a column group, label or both"):
        survey(tmp_path, groups=tmp_path / "g.csv")


def test_a_groups_csv_that_contradicts_itself_is_refused(talkie, tmp_path):
    clips.copies(talkie, tmp_path, "a.mp4")
    csv = tmp_path / "g.csv"
    csv.write_text("path,label\na.mp4,calm\nresized_a.mp4,fight\n")
    with pytest.raises(ManifestError, match=r"names resized_a\.mp4 twice, with diff"):
        survey(tmp_path, groups=csv)
    csv.write_text("path,label\na.mp4,calm\nresized_a.mp4,calm\n")
    assert facts(survey(tmp_path, groups=csv)) == {"a.mp4": ("calm", "")}


@pytest.mark.parametrize("other", ["a.mov", "a.MP4"])
def test_clips_whose_samples_would_have_one_name_are_set_aside(talkie, tmp_path, other):
    clips.copies(talkie, tmp_path, "a.mp4", other, "b.mp4")
    found = {item.clip.name: item for item in survey(tmp_path).found}
    assert found["b.mp4"].header
    for name, rival in (("a.mp4", other), (other, "a.mp4")):
        fault = found[name].fault
        assert fault
        assert f"{name}: its sample would have the same name as that of " in fault
        assert f"{rival}; rename one of them" in fault
        assert found[name].header is None


def test_what_has_no_header_is_set_aside_with_its_reason(talkie, tmp_path):
    clips.copies(talkie, tmp_path, "good.mp4")
    (tmp_path / "empty.mp4").touch()
    bad, good = survey(tmp_path, workers=2).found
    assert (bad.header, good.fault) == (None, None)
    assert bad.fault == f"{tmp_path}/empty.mp4 is empty (0 bytes); record it again"


def test_the_table_has_a_line_per_label_and_one_for_all(talkie, mute, tmp_path):
    clips.copies(talkie, tmp_path, "fight/a.mp4", "fight/b.mp4")
    clips.copies(mute, tmp_path, "calm/c.mp4")
    clips.make(tmp_path / "calm" / "d.mp4", clips.colours(30, 20, 24), fps=20)
    (tmp_path / "calm" / "e.mp4").touch()
    lines = [re.split(r"\s{2,}", line) for line in table(survey(tmp_path))]
    heads = ["label", "clips", "width x height", "fps", "frames", "seconds"]
    size, fps, seconds = "48x32 and 1 more", "10 .. 15 .. 20", "1.2 .. 1.35 .. 1.5"
    assert lines == [
        [*heads, "no sound", "unreadable"],
        ["calm", "3", size, fps, "12 .. 21 .. 30", seconds, "2", "1"],
        ["fight", "2", "48x32", "10", "12", "1.2", "0", "0"],
        [
            *("all", "5", size, "10 .. 10 .. 20", "12 .. 12 .. 30"),
            *("1.2 .. 1.2 .. 1.5", "2", "1"),
        ],
    ]


def test_a_label_that_is_not_utf8_can_be_shown(talkie, tmp_path):
    clips.copies(talkie, tmp_path, os.fsdecode(b"caf\xe9/a.mp4"))
    surveyed = survey(tmp_path)
    assert os.fsencode(surveyed.found[0].label) == b"caf\xe9"
    assert table(surveyed)[1].startswith("caf\\udce9  ")


def test_progress_counts_the_headers(talkie, tmp_path):
    clips.copies(talkie, tmp_path, "a.mp4", "b.mp4", "c.mp4")
    steps: list[tuple[int, int]] = []
    survey(tmp_path, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_a_target_without_clips_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"no \.mp4 or .* file in .* its sub-folders"):
        survey(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        survey(tmp_path / "gone")
    with pytest.raises(InputError, match=r"expected a \.mp4 or .*, got .*notes\.txt"):
        survey(tmp_path / "notes.txt")
