"""Data that would make a score mean something else: refused, or warned of in words.

Every case goes through the real train, audit or evaluate, on tiny samples.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tally
import tiny
import torch
from fmrgb_tools import train as tool

from fmrgb.audit import audit
from fmrgb.callbacks import diverged
from fmrgb.census import count
from fmrgb.checkpoint import Network, load_checkpoint
from fmrgb.errors import ManifestError, TrainingError
from fmrgb.evaluate import evaluate
from fmrgb.learner import Learner, Settings
from fmrgb.likeness import alike_clips, alike_labels
from fmrgb.manifest import Row, write_manifest
from fmrgb.material import gather, parted
from fmrgb.run import run
from fmrgb.sample import Sample, save_sample
from fmrgb.splits import folds

SETTINGS = Settings(epochs=1, batch_size=4)
SHARES: dict[str, Any] = {"test_size": 0.2, "val_size": 0.2, "seed": 0}
SPLITS = ("train", "train", "train", "val", "test")


def written(
    folder: Path,
    make: Callable[[int], tuple[Sample, dict[str, Any]]],
    n_clips: int,
) -> Path:
    """Write samples, and a manifest of what else is said of them."""
    rows = []
    for number in range(n_clips):
        sample, known = make(number)
        path = folder / "s" / f"clip{number:04d}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_sample(path, sample)
        known = {"checksum": f"sum{number}", "has_sound": True, **known}
        rows.append(Row(path=path, label=sample.label, silent=False, **known))
    write_manifest(folder / "m.csv", rows)
    return folder / "m.csv"


def usual(number: int) -> Sample:
    """Return a dark or a bright sample with noise of its own."""
    label = ("bright", "dark")[number % 2]
    return tiny.sample(tiny.LEVELS[label], label, seed=number)


def warnings_of(data: Path, **how: Any) -> str:
    """Return what the audit, which comes before every training, warns of."""
    material = gather(data, **how)
    rows = parted(material, **SHARES)
    return "\n".join(audit(rows, material.view, SETTINGS, recipe={}).warnings)


def refused(data: Path, match: str) -> None:
    """Check that training is refused in a sentence and leaves no weights."""
    folder = data.parent / "run"
    with pytest.raises((ManifestError, TrainingError), match=match):
        run(gather(data), SETTINGS, folder=folder, quiet=True)
    assert not list(folder.glob("*.ckpt"))


# Leaks


def leaky(number: int) -> tuple[Sample, dict[str, Any]]:
    """Return a sample of a group that lies in all splits."""
    known = {"group": f"g{number % 2}", "split": SPLITS[number // 2]}
    return usual(number), known


def test_a_leaky_split_of_the_manifest_is_refused(tmp_path):
    with tally.fault("a leaky split"):
        refused(written(tmp_path, leaky, 10), "clips of one source must stay")


def test_a_leaky_split_that_is_asked_for_is_a_warning_in_report_and_audit(tmp_path):
    data = written(tmp_path, leaky, 10)
    with tally.fault("a leaky split, asked for"):
        told = warnings_of(data, given_split=data)
        assert "group 'g0' lies in train and val and test: a leak" in told
        assert "rewards known sources" in told


def test_copies_of_a_clip_stay_on_one_side(tmp_path):
    data = written(
        tmp_path, lambda n: (usual(n % 10), {"checksum": f"sum{n % 10}"}), 20
    )
    with tally.fault("clips copied"):
        rows = parted(gather(data), **SHARES)
        places: dict[str, set[str]] = {}
        for row in rows:
            places.setdefault(row.checksum, set()).add(row.split)
        assert all(len(of) == 1 for of in places.values())


@pytest.mark.parametrize("sums", ["known", "other"])
def test_copies_that_lie_on_both_sides_are_told(tmp_path, sums):
    def copies(number: int) -> tuple[Sample, dict[str, Any]]:
        # The last of each label is the first one again.
        one = usual(number % 8)
        known = {"split": SPLITS[number // 2]}
        same = number % 8 if sums == "known" else number
        return one, {**known, "checksum": f"sum{same}"}

    data = written(tmp_path, copies, 10)
    with tally.fault(f"copies on both sides, checksums {sums}"):
        told = warnings_of(data, given_split=data)
        assert "a leak" in told
        assert "clip0000.pt and clip0008.pt" in told


def test_copies_with_different_labels_are_told(tmp_path):
    def liar(number: int) -> tuple[Sample, dict[str, Any]]:
        one = usual(number % 12)
        return (replace(one, label="dark") if number == 12 else one), {}

    with tally.fault("copies with two labels"):
        told = warnings_of(written(tmp_path, liar, 13))
        assert "their labels do not: bright, dark" in told


def test_checksums_are_asked_of_the_samples_where_a_table_has_none(tmp_path):
    def plain(number: int) -> tuple[Sample, dict[str, Any]]:
        meta = {"source": {"sha256": f"sum{number % 10}"}, "options": {}}
        return replace(usual(number % 10), meta=meta), {"checksum": ""}

    with tally.fault("a table without checksums"):
        rows = gather(written(tmp_path, plain, 20)).rows
        assert {row.checksum for row in rows} == {f"sum{n}" for n in range(10)}


# Labels


def test_one_class_is_refused(tmp_path):
    data = written(tmp_path, lambda n: (tiny.sample(label="only", seed=n), {}), 6)
    with tally.fault("one class"):
        refused(data, "needs two labels or more")


def rare(number: int) -> tuple[Sample, dict[str, Any]]:
    """Return samples of which one is of a class of its own."""
    one = usual(number)
    return (replace(one, label="rare") if number == 10 else one), {}


def test_a_class_of_one_clip_is_refused(tmp_path):
    data = written(tmp_path, rare, 11)
    with tally.fault("a class of one clip"):
        refused(data, "label 'rare' has 1 group")
        with pytest.raises(ManifestError, match="label 'rare' has 1 group"):
            folds(gather(data).rows, 2, val_size=0.2, seed=0)


def test_a_class_that_a_split_lacks_is_refused(tmp_path):
    def lacking(number: int) -> tuple[Sample, dict[str, Any]]:
        split = "train" if number % 2 else SPLITS[number // 2]
        return usual(number), {"split": split}

    with tally.fault("a split without a class"):
        refused(written(tmp_path, lacking, 10), "split has no clip of dark")


ALIKE = [
    ("Cat", "cat"),
    ("caf\xe9", unicodedata.normalize("NFD", "caf\xe9")),
    ("stra\xdfe", "STRASSE"),
    ("a b", "a\xa0b"),
    ("ab", "a\u200bb"),
    ("\uff41", "a"),
    ("\ufb01n", "fin"),
]


@pytest.mark.parametrize(("one", "two"), ALIKE)
def test_labels_that_differ_only_in_case_or_form_are_a_warning(one, two):
    rows = [Row(path=Path(f"{n}.pt"), label=x) for n, x in enumerate((one, two, "z"))]
    with tally.fault(f"labels {one!a} and {two!a}"):
        (told,) = count(rows, ["a", "b", "c"]).warnings()
        assert ascii(two) in told
        assert "name them alike" in told


def test_other_labels_are_not_alike():
    assert alike_labels(["cat", "cats", "c\xe4t", "dog", "1", "2"]) == []
    assert len(alike_labels([f"{n}{c}" for n in range(9) for c in "aA"])) == 4


def test_the_tool_warns_of_labels_that_are_alike(tmp_path, capsys):
    def twofold(number: int) -> tuple[Sample, dict[str, Any]]:
        return replace(usual(number), label=("Dark", "dark")[number % 2]), {}

    data = written(tmp_path, twofold, 12)
    assert tool.main(["--data", str(data), "--dry_run"]) == 0
    assert "differ only in case" in capsys.readouterr().out


# Clips that show nothing


def test_constant_clips_are_a_warning(tmp_path):
    def still(number: int) -> tuple[Sample, dict[str, Any]]:
        one = usual(number)
        return replace(one, visual=np.full_like(one.visual, number % 7)), {}

    with tally.fault("constant clips"):
        told = warnings_of(written(tmp_path, still, 12))
        assert "12 of 12 clips looked at are one colour all over" in told


def test_a_still_whose_picture_is_left_out_is_no_constant_clip(tmp_path):
    def pictureless(number: int) -> tuple[Sample, dict[str, Any]]:
        one = usual(number)
        sound = {name: plane[:1] for name, plane in one.sound.items()}
        black = np.zeros_like(one.visual[:1])
        return replace(one, visual=black, sound=sound, times=one.times[:1]), {}

    rows = gather(written(tmp_path, pictureless, 10)).rows
    assert not [told for told in alike_clips(rows) if "colour" in told]


def test_clips_without_any_level_are_trained_to_a_finite_loss(tmp_path):
    def empty(number: int) -> tuple[Sample, dict[str, Any]]:
        one = usual(number)
        nothing = {name: np.zeros_like(plane) for name, plane in one.sound.items()}
        return replace(one, visual=np.zeros_like(one.visual), sound=nothing), {}

    with tally.fault("clips without any level"):
        material = gather(written(tmp_path, empty, 12))
        done = run(material, SETTINGS, folder=tmp_path / "run", quiet=True)
        assert np.isfinite(done.scores["test"]["loss"])
        assert any("one colour all over" in one for one in done.warnings)


def test_clips_that_differ_are_not_told(tmp_path):
    rows = gather(written(tmp_path, lambda n: (usual(n), {}), 10)).rows
    assert alike_clips(rows) == []


# Losses


def test_a_loss_that_is_no_number_at_once_ends_the_training(tmp_path):
    data = written(tmp_path, lambda n: (usual(n), {}), 12)
    wild = replace(SETTINGS, lr=1e30, usescheduler=False, epochs=3)
    with tally.fault("NaN in the first epoch"):
        folder = tmp_path / "run"
        with pytest.raises(TrainingError, match=r"no number .* smaller --lr"):
            run(gather(data), wild, folder=folder, quiet=True)
        assert not list(folder.glob("*.ckpt"))


@pytest.mark.parametrize(
    "value", [torch.nan, pytest.param(torch.inf, marks=pytest.mark.faults)]
)
def test_a_loss_that_is_no_number_later_keeps_the_weights_from_before(
    tmp_path, monkeypatch, value
):
    data = written(tmp_path, lambda n: (usual(n), {}), 12)

    def spoil(self: Learner) -> None:
        if self.current_epoch == 2:
            with torch.no_grad():
                for weights in self.parameters():
                    weights.fill_(value)

    monkeypatch.setattr(Learner, "on_train_epoch_start", spoil)
    longer = replace(SETTINGS, epochs=6)
    with tally.fault(f"{value} in the third epoch"):
        done = run(gather(data), longer, folder=tmp_path / "run", quiet=True)
        assert len(done.trained.history) == 3
        assert any("no number in epoch 2" in one for one in done.warnings)
        network = load_checkpoint(done.trained.best)
        assert all(p.isfinite().all() for p in network.parameters())
        page = done.report.read_text()
        assert "the loss became no number in epoch 2" in page


def test_a_history_of_numbers_is_not_told():
    assert diverged(tiny.history(4)) == []


# Judging


def test_judging_one_class_is_told_and_no_score_is_made_up(tmp_path):
    model = tiny.saved(Network(tiny.CARD), tmp_path / "best.ckpt")
    data = written(tmp_path, lambda n: (tiny.sample(40, "dark", seed=n), {}), 5)
    with tally.fault("one class to judge"):
        done = evaluate(model, data, repeats=0)
        assert done.scores["majority"] == 1.0
        assert done.scores["auc"] is None


def test_labels_that_the_model_does_not_know_are_refused(tmp_path):
    model = tiny.saved(Network(tiny.CARD), tmp_path / "best.ckpt")
    data = written(tmp_path, lambda n: (tiny.sample(40, "Dark", seed=n), {}), 5)
    with tally.fault("a strange label"), pytest.raises(TrainingError, match="not know"):
        evaluate(model, data)


# Very many classes


def many(number: int) -> tuple[Sample, dict[str, Any]]:
    """Return samples of a thousand classes, three or four of each."""
    one = tiny.sample(
        level=40 + number % 150, label=f"class {number % 1000}", seed=number
    )
    return one, {"group": f"g{number}"}


@pytest.mark.alone
@pytest.mark.faults
@pytest.mark.timeout(1500)
def test_a_thousand_classes_are_trained_judged_and_reported(tmp_path):
    data = written(tmp_path, many, 3300)
    with tally.fault("1,000 classes") as noted:
        start = tally.clock()
        settings = replace(SETTINGS, batch_size=64)
        done = run(gather(data), settings, folder=tmp_path / "run", quiet=True)
        noted.seconds = (tally.clock() - start) / 3300
        assert len(done.predictions.classes) == 1000
        assert 0 <= done.scores["test"]["accuracy"] < 0.5
        assert done.report.stat().st_size < 50 * 2**20


def test_thirty_classes_of_three_clips_are_split_and_counted(tmp_path):
    def some(number: int) -> tuple[Sample, dict[str, Any]]:
        return tiny.sample(label=f"class {number % 30}", seed=number), {}

    with tally.fault("30 classes of three clips"):
        rows: Sequence[Row] = parted(gather(written(tmp_path, some, 90)), **SHARES)
        for split in ("train", "val", "test"):
            assert len({row.label for row in rows if row.split == split}) == 30
