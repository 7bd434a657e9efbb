"""pair: items joined by label, split before they are joined, some left out."""

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pairing
import pytest
import tiny
from fmrgb_tools import pair as tool

from fmrgb.archive import read_npz
from fmrgb.card import View
from fmrgb.collect import Collection, Item
from fmrgb.errors import ManifestError
from fmrgb.manifest import SPLITS, Row, read_manifest
from fmrgb.material import gather
from fmrgb.pair import Joined, Wish, join, joint_labels, patterns
from fmrgb.predict import prepare_sample
from fmrgb.sample import load_sample
from fmrgb.splits import split
from fmrgb.unlike import NO_PICTURE, NO_SOUND

LABELS = ("disc", "square")


def held(kind: str, n_items: int, *, per_group: int = 0) -> Collection:
    """Return a collection of so many items of each label, some in groups."""
    items = [
        Item(
            name=f"{kind}/{label}/{n}",
            label=label,
            checksum=f"{kind} {label} {n}",
            group=f"{label} {n // per_group}" if per_group else "",
            place=n,
        )
        for label in LABELS
        for n in range(n_items)
    ]
    return Collection(kind=kind, items=items)


def names(pairs: list[Joined], kind: str, part: str) -> set[str]:
    """Return the items of a kind that the pairs of a part use."""
    items = (pair.items[kind] for pair in pairs if pair.split == part)
    return {item.name for item in items if item}


BOTH = [held("picture", 20), held("sound", 10)]


def test_no_item_is_used_on_both_sides_of_a_split():
    pairs = join(BOTH, Wish(missing=0.3))
    for kind in ("picture", "sound"):
        parts = [names(pairs, kind, part) for part in SPLITS]
        assert all(parts)
        assert len(set.union(*parts)) == sum(map(len, parts))


def test_groups_of_a_collection_stay_in_one_part():
    pairs = join([held("picture", 20), held("sound", 12, per_group=3)], Wish())
    homes = {}
    for pair in pairs:
        assert homes.setdefault(pair.items["sound"].group, pair.split) == pair.split
    assert len(homes) == 8


def test_pairs_are_of_one_label_and_as_many_as_the_largest_collection_has():
    pairs = join(BOTH, Wish())
    assert all(i.label == pair.label for pair in pairs for i in pair.items.values())
    assert Counter(pair.label for pair in pairs) == {"disc": 20, "square": 20}
    # Every picture once, every sound twice.
    used = Counter(pair.items["picture"].name for pair in pairs)
    assert set(used.values()) == {1}
    assert set(Counter(p.items["sound"].name for p in pairs).values()) == {2}


def test_as_many_pairs_as_wished_are_made_of_each_label():
    pairs = join(BOTH, Wish(pairs=31))
    assert Counter(pair.label for pair in pairs) == {"disc": 31, "square": 31}
    shares = Counter(pair.split for pair in pairs)
    assert shares["train"] > 3 * shares["test"] * 0.8
    assert min(shares.values()) >= 10


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.6])
def test_senses_are_left_out_at_the_rate_and_one_always_stays(rate):
    pairs = join([held("picture", 600), held("sound", 600)], Wish(missing=rate))
    told = patterns(pairs)
    assert sum(told.values()) == 1200
    # Where chance would take both, one stays: rate^2 of the pairs give one back.
    alone = (rate - rate**2 / 2) * 1200
    for kind in ("picture", "sound"):
        assert told.get("picture+sound", 0) + told.get(kind, 0) == pytest.approx(
            1200 - alone, abs=60
        )
    assert "" not in told


def test_another_rate_leaves_the_joins_as_they_are_and_adds_gaps():
    few, many = (join(BOTH, Wish(missing=rate)) for rate in (0.3, 0.6))
    none = join(BOTH, Wish())
    for a, b, whole in zip(few, many, none, strict=True):
        for kind in ("picture", "sound"):
            assert a.items[kind] in (None, whole.items[kind])
            assert a.items[kind] or not b.items[kind]


def test_the_seed_decides_the_joins():
    one, again, other = (join(BOTH, Wish(seed=seed)) for seed in (0, 0, 1))
    assert one == again
    assert one != other


def test_pairs_that_share_an_item_are_one_group_and_others_are_not():
    pairs = join(BOTH, Wish())
    for a in pairs:
        for b in pairs:
            share = any(a.items[kind] == b.items[kind] for kind in a.items)
            # Each picture is in one pair, so that sounds alone tie pairs together.
            assert share == (a.group == b.group)
    assert len({pair.group for pair in pairs}) == 20


def test_pairs_may_be_split_anew_without_a_leak():
    pairs = join(BOTH, Wish(missing=0.3))
    rows = [
        Row(path=Path(str(n)), label=pair.label, group=pair.group)
        for n, pair in enumerate(pairs)
    ]
    marked = split(rows, test_size=0.25, val_size=0.25, seed=5)
    homes: dict[str, str] = {}
    for pair, row in zip(pairs, marked, strict=True):
        for item in filter(None, pair.items.values()):
            assert homes.setdefault(item.name, row.split) == row.split


def test_a_label_with_too_few_items_is_named_with_its_collection():
    with pytest.raises(ManifestError, match=r"--sounds: label 'disc' has 2 group"):
        join([held("picture", 9), held("sound", 2)], Wish())


def test_splits_that_a_collection_brings_are_kept():
    items = [
        Item(
            name=f"{label}{n}", label=label, split=SPLITS[n % 3], checksum=f"{label}{n}"
        )
        for label in LABELS
        for n in range(9)
    ]
    pairs = join([Collection(kind="sound", items=items)], Wish())
    assert all(p.items["sound"].split == p.split for p in pairs)


def table(folder: Path, *lines: str) -> Path:
    """Write a table of labels; return its path."""
    path = folder / "table.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_table_says_which_labels_go_together(tmp_path):
    path = table(tmp_path, "label,picture,sound", "round,disc,square", "flat,square,")
    seen, heard = joint_labels(BOTH, path)[0]
    assert {i.label for i in seen.items} == {"round", "flat"}
    assert {(i.label, i.name.split("/")[1]) for i in heard.items} == {
        ("round", "square")
    }


def test_a_sense_that_one_label_alone_has_is_refused(tmp_path):
    # It would tell the label by being there.
    path = table(tmp_path, "label,picture,sound", "round,disc,square", "flat,square,")
    with pytest.raises(ManifestError, match="--sounds: a classifier needs two labels"):
        join(joint_labels(BOTH, path)[0], Wish())


def test_without_a_table_the_labels_that_all_have_go_together():
    more = Collection(
        kind="text", items=[Item(name="a", label="disc"), Item(name="b", label="cow")]
    )
    kept, notes = joint_labels([BOTH[0], more], None)
    assert [{i.label for i in one.items} for one in kept] == [{"disc"}, {"disc"}]
    assert [note.split(" labels")[0] for note in notes] == ["picture", "text"]
    assert "cow" in notes[1]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["label,picture", "a,disc"], "lacks sound"),
        (["label,picture,sound", "a,cow,disc"], "no picture has the label 'cow'"),
        (["label,picture,sound", "a,disc,", "b,disc,"], "every picture once"),
        (["label,picture,sound", ",disc,disc"], "expected a label for every picture"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, lines, said):
    with pytest.raises(ManifestError, match=said):
        joint_labels(BOTH, table(tmp_path, *lines))


def test_collections_without_a_common_label_ask_for_a_table():
    other = Collection(kind="text", items=[Item(name="a", label="cow")])
    with pytest.raises(ManifestError, match=r"no label in common; give a --table"):
        joint_labels([BOTH[0], other], None)


# The tool, on small files.


GAPS = ("--missing", "0.5")


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return flags that name collections: 10 pictures and 6 sounds of each label."""
    return pairing.collections(tmp_path_factory.mktemp("all"), 10, n_sounds=6)


def made(flags: list[str], folder: Path, *more: str, status: int = 0) -> Path:
    """Run the tool; return the folder."""
    assert tool.main([*flags, "--output", str(folder), *more]) == status
    return folder


@pytest.fixture(scope="module")
def done(flags: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of pairs with gaps."""
    return made([*flags, *GAPS], tmp_path_factory.mktemp("done") / "out")


def test_samples_hold_what_was_joined_and_zeros_where_it_is_missing(done):
    rows = read_manifest(done / "manifest.csv")
    assert len(rows) == 20
    seen = Counter()
    for row in rows:
        sample = load_sample(row.path)
        assert sample.visual.shape == (1, pairing.HEIGHT, pairing.WIDTH, 3)
        assert sample.sound["logmel"].shape == (1, pairing.BANDS, pairing.COLUMNS)
        assert sample.channels == ("R", "G", "B", "logmel")
        assert sample.label == row.label
        joined = sample.meta["joined"]
        seen.update([*joined])
        assert sample.visual.any() == ("picture" in joined) == bool(row.source_width)
        heard = "sound" in joined
        assert (
            sample.sound["logmel"].any() == heard == sample.has_sound == row.has_sound
        )
        if heard:
            level = sample.sound["logmel"].mean()
            assert level == pytest.approx(pairing.LOUDNESS[row.label], abs=8)
        if "picture" in joined:
            colour = sample.visual.mean(axis=(0, 1, 2))
            assert colour == pytest.approx(pairing.COLOURS[row.label], abs=8)
        assert ("text" in joined) == row.text.startswith(pairing.WORDS[row.label])
    assert all(0 < seen[kind] < 20 for kind in ("picture", "sound", "text"))


def test_training_takes_the_manifest_as_it_is(done):
    material = gather(done / "manifest.csv")
    assert material.faults == {}
    assert material.view.shape == (4, 1, pairing.HEIGHT, pairing.WIDTH)
    assert material.view.sound == ("logmel",)
    assert split(material.rows, test_size=0.2, val_size=0.2, seed=0) == material.rows


def test_the_same_choices_give_the_same_bytes_again(flags, done, tmp_path):
    files = sorted(p.relative_to(done) for p in done.rglob("*") if p.is_file())
    assert len(files) == 22
    other = made([*flags, *GAPS], tmp_path / "b")
    for name in files:
        assert (other / name).read_bytes() == (done / name).read_bytes()
    (other / "samples" / "pair000003.pt").unlink()
    stray = other / "samples" / "pair000999.pt"
    stray.write_bytes(b"of an earlier time")
    made([*flags, *GAPS], other)
    assert sorted(p.relative_to(other) for p in other.rglob("*.*")) == files


def test_a_folder_of_other_choices_or_other_things_is_left_alone(
    done, tmp_path, capsys
):
    # Said before anything is read.
    words = ["--texts", "nowhere.csv"]
    made(words, done, status=1)
    assert "pairs that were made by other choices" in capsys.readouterr().err
    (tmp_path / "letter.txt").write_text("dear")
    made(words, tmp_path, status=1)
    assert "is not empty; name a new --output" in capsys.readouterr().err


def test_files_that_cannot_be_read_are_named_and_the_others_joined(tmp_path, capsys):
    flags = pairing.collections(tmp_path / "in", 8)
    broken = tmp_path / "in" / "pictures" / "disc" / "3.png"
    broken.write_bytes(broken.read_bytes()[:200])
    deaf = tmp_path / "in" / "sounds" / "square" / "2.pt"
    deaf.write_bytes(b"no sample")
    folder = made(flags, tmp_path / "out", "--json", status=1)
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert result["failed"] == 2
    assert result["items"] == {"picture": 15, "sound": 15, "text": 16}
    with open(folder / "failed.csv", newline="") as file:
        assert [r["path"] for r in csv.DictReader(file)] == [str(broken), str(deaf)]
    assert said.err.count("set aside: ") == 2


def test_sound_files_are_drawn(tmp_path):
    for label, hertz in (("low", 300), ("high", 2500)):
        for number in range(4):
            path = tmp_path / "in" / label / f"{number}.wav"
            pairing.tone(path, hertz + 10 * number)
    words = ["--sounds", str(tmp_path / "in"), "--soundpicture", "logmel,waveform"]
    words += ["--bands", "20", "--columns", "9", "--workers", "1"]
    folder = made(words, tmp_path / "out")
    rows = read_manifest(folder / "manifest.csv")
    samples = [load_sample(row.path) for row in rows]
    assert {s.shape for s in samples} == {(1, 20, 9, 2)}
    assert {s.channels for s in samples} == {("logmel", "waveform")}
    for sample in samples:
        row = int(sample.sound["logmel"][0].mean(axis=1).argmax())
        assert (row < 10) == (
            sample.label == "high"
        )  # the lowest band is at the bottom
        assert sample.meta["levels"]["logmel"]["unit"] == "dB"


def test_prediction_prepares_a_still_and_a_sound_as_pair_does(tmp_path):
    dice = np.random.default_rng(3)
    for label, colour in pairing.COLOURS.items():
        for n in range(3):
            pairing.picture(tmp_path / "p" / label / f"{n}.png", colour, dice)
            pairing.tone(tmp_path / "s" / label / f"{n}.wav", 300 + 200 * n)
    words = ["--pictures", str(tmp_path / "p"), "--sounds", str(tmp_path / "s")]
    words += ["--soundpicture", "logmel,waveform", "--size", "40x30"]
    folder = made([*words, "--workers", "1"], tmp_path / "out")
    for row in read_manifest(folder / "manifest.csv"):
        pair = load_sample(row.path)
        view = View(pair.channels, 1, 30, 40, sound=pair.channels[3:])
        card = replace(tiny.CARD, view=view, recipe=pair.meta["options"])
        still, noted = prepare_sample(
            tmp_path / "p" / pair.meta["joined"]["picture"], card
        )
        assert (still.visual == pair.visual).all()
        assert not still.clip[..., 3:].any()
        assert noted == (NO_SOUND,)
        heard, noted = prepare_sample(
            tmp_path / "s" / pair.meta["joined"]["sound"], card
        )
        assert (heard.clip[..., 3:] == pair.clip[..., 3:]).all()
        assert not heard.visual.any()
        assert heard.shape == still.shape == pair.shape
        assert noted == (NO_PICTURE,)


def test_an_archive_is_written_and_read_again(flags, tmp_path):
    pictures = [*flags[:2], *flags[6:]]
    folder = made(pictures, tmp_path / "out", "--format", "npz")
    found = read_npz(folder / "pairs.npz")
    assert found.images.shape == (20, pairing.HEIGHT, pairing.WIDTH, 3)
    assert found.classes == ("disc", "square")
    for number, label in enumerate(found.classes):
        mean = found.images[found.labels == number].mean(axis=(0, 1, 2))
        assert mean == pytest.approx(pairing.COLOURS[label], abs=6)
    words = ["--pictures", str(folder / "pairs.npz"), *flags[6:]]
    again = made(words, tmp_path / "again")
    rows = read_manifest(again / "manifest.csv")
    kept = {load_sample(row.path).visual.tobytes() for row in rows}
    assert kept == {image.tobytes() for image in found.images}


def test_an_archive_of_several_senses_has_all_their_planes(flags, tmp_path):
    folder = made(flags, tmp_path / "out", "--format", "npz", "--missing", "0.3")
    with np.load(folder / "pairs.npz", allow_pickle=False) as held:
        assert held["channels"].tolist() == ["R", "G", "B", "logmel"]
        assert held["images"].shape == (20, pairing.HEIGHT, pairing.WIDTH, 4)
        assert set(held["splits"].tolist()) == set(SPLITS)


def test_a_csv_may_not_lead_out_of_its_folder_unless_trusted(flags, tmp_path, capsys):
    lines = ["path,label"]
    for path in sorted(Path(flags[1]).rglob("*.png")):
        lines.append(f"{path},{path.parent.name}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    words = ["--pictures", str(tmp_path / "list.csv"), *flags[6:]]
    made(words, tmp_path / "a", status=1)
    assert "give --outside" in capsys.readouterr().err
    made(words, tmp_path / "b", "--outside")


def test_texts_may_be_files(tmp_path):
    for label in LABELS:
        for number in range(3):
            path = tmp_path / "in" / label / f"{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{pairing.WORDS[label]}\n {number}\n", encoding="utf-8")
    folder = made(["--texts", str(tmp_path / "in")], tmp_path / "out")
    rows = read_manifest(folder / "manifest.csv")
    assert {row.text for row in rows if row.label == "disc"} == {
        f"{pairing.WORDS['disc']} {number}" for number in range(3)
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give --pictures, --sounds or --texts"),
        (
            ["--texts", "a", "--missing", "1"],
            "--missing must lie in 0 to 0.95, got 1.0",
        ),
        (["--texts", "a", "--missing", "nan"], "--missing must lie in 0 to 0.95"),
        (["--texts", "a", "--pairs", "2"], "--pairs must be at least 3, got 2"),
        (["--texts", "a", "--soundpicture", "x"], "expected one or more of stft, mel"),
        (["--sounds", "a", "--window", "2"], "cut --window with create_fmrgbdata"),
        (["--texts", "a", "--test_size", "0.9"], "leave nothing to train on"),
        (["--texts", "a", "--format", "zip"], "invalid choice: 'zip'"),
    ],
)
def test_a_wrong_command_line_is_refused(capsys, tmp_path, words, said):
    with pytest.raises(SystemExit) as left:
        tool.main([*words, "--output", str(tmp_path / "out")])
    assert left.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
