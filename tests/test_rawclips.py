"""rawclips.py and evaluate --raw: clips are judged as their samples are."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import clips
import numpy as np
import pytest
import tiny
import torch
from fmrgb_tools import evaluate as tool

from fmrgb import rawclips
from fmrgb.build import Recipe, build
from fmrgb.card import Card, View
from fmrgb.cells import write_csv
from fmrgb.checkpoint import Network
from fmrgb.errors import InputError, ManifestError, TrainingError
from fmrgb.evaluate import evaluate
from fmrgb.manifest import Row, read_manifest
from fmrgb.preflight import survey
from fmrgb.rawclips import list_clips, prepare_clips

RECIPE = Recipe(frames=8, size=(14, 10))
CHANNELS = RECIPE.channels
VIEW = View(CHANNELS, 5, 9, 12, sound=CHANNELS[3:])
CARD = replace(tiny.CARD, view=VIEW, recipe=RECIPE.options(), fusion="senses")
HEARD = replace(CARD, view=replace(VIEW, channels=CHANNELS[3:], frames=8))
HEARD = replace(HEARD, mean=[100.0] * 2, std=[60.0] * 2, classes=("bright", "dark"))


def network(card: Card, path: Path, seed: int) -> Path:
    """Write the checkpoint of a network that has learned nothing."""
    torch.manual_seed(seed)
    return tiny.saved(Network(card), path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, talkie: Path, mute: Path) -> Path:
    """Return a folder with clips, their CSV and samples, and two checkpoints."""
    folder = tmp_path_factory.mktemp("raw")
    named = ["bright/a.mp4", "bright/b.mp4", "dark/c.mp4"]
    paths = clips.copies(talkie, folder / "clips", *named)
    paths += clips.copies(mute, folder / "clips", "dark/d.mp4")
    quiet = clips.tone(300, 0.9, peak=0.1)
    paths.append(folder / "clips" / "dark" / "e.mp4")
    clips.make(paths[-1], clips.quadrants(9), quiet)
    build(survey(folder / "clips", output=folder), RECIPE, folder=folder)
    rows = [{"path": str(p.relative_to(folder)), "label": p.parent.name} for p in paths]
    write_csv(folder / "clips.csv", ("path", "label"), rows)
    network(CARD, folder / "a.ckpt", 1)
    network(HEARD, folder / "b.ckpt", 2)
    return folder


@pytest.mark.parametrize("model", ["a", "b"])
def test_raw_clips_get_the_scores_of_their_samples(folder, model):
    checkpoint = folder / f"{model}.ckpt"
    samples = evaluate(checkpoint, folder / "manifest.csv", repeats=2)
    raw = evaluate(checkpoint, folder / "clips.csv", raw=True, repeats=2)
    names = [Path(path).stem for path in raw.predictions.paths]
    assert names == [Path(path).stem for path in samples.predictions.paths]
    probabilities = raw.predictions.probabilities
    assert np.array_equal(probabilities, samples.predictions.probabilities)
    assert len(np.unique(probabilities[:, 0])) == 3, "clips of different bytes differ"
    assert raw.scores == samples.scores
    assert raw.facts == samples.facts
    assert raw.scores["sources"] == 3, "copies of one clip are one source"


def test_two_models_are_compared_on_the_same_raw_clips(folder):
    against = folder / "b.ckpt"
    how = {"against": against, "repeats": 0}
    raw = evaluate(folder / "a.ckpt", folder / "clips.csv", raw=True, **how)
    samples = evaluate(folder / "a.ckpt", folder / "manifest.csv", **how)
    assert raw.scores["against"] == samples.scores["against"]
    alone = evaluate(against, folder / "clips.csv", raw=True, repeats=0)
    other = raw.other
    assert other is not None
    assert np.array_equal(other.probabilities, alone.predictions.probabilities)
    assert raw.scores["against"]["accuracy_b"] == alone.scores["accuracy"]


def test_a_clip_is_decoded_once_for_networks_that_expect_the_same(folder, monkeypatch):
    asked = []

    def prepare_sample(path: Path, card: Card):
        asked.append(path.name)
        return real(path, card)

    real = rawclips.prepare_sample
    monkeypatch.setattr(rawclips, "prepare_sample", prepare_sample)
    rows = list_clips(folder / "clips.csv")[:2]
    prepare_clips(rows, [CARD, HEARD])
    assert asked == ["a.mp4", "b.mp4"]
    larger = replace(RECIPE, size=(20, 18)).options()
    done = prepare_clips(rows, [CARD, replace(HEARD, recipe=larger)])
    assert asked[2:] == ["a.mp4", "a.mp4", "b.mp4", "b.mp4"]
    seen = [[clip.shape for clip in one] for one in done.ready]
    assert seen == [[(5, 5, 9, 12)] * 2, [(2, 8, 9, 12)] * 2]


def test_clips_prepared_side_by_side_keep_their_order(folder):
    rows = list_clips(folder / "clips.csv")
    told: list[tuple[int, int]] = []
    one = prepare_clips(rows, [CARD], progress=lambda *n: told.append(n))
    assert told == [(n, 5) for n in range(1, 6)]
    two = prepare_clips(rows, [CARD], workers=2)
    assert one.rows == two.rows
    assert [row.path for row in two.rows] == [row.path for row in rows]
    for mine, others in zip(one.ready[0], two.ready[0], strict=True):
        assert np.array_equal(mine, others)


def test_what_is_unlike_the_training_is_counted(folder):
    slow = replace(CARD, fps=(25.0, 30.0), seconds=1.2)
    notes = prepare_clips(list_clips(folder / "clips.csv"), [slow]).notes
    assert notes == ["5 of 5 clips: 10 fps: the training clips had 25 to 30 fps"]


def test_bad_clips_are_set_aside_for_both_models_named_and_counted(
    folder, tmp_path, capsys
):
    rows = read_manifest(folder / "clips.csv")
    bad = tmp_path / "bad.mp4"
    bad.write_text("no clip")
    listed = [{"path": str(row.path), "label": row.label} for row in rows]
    listed.insert(1, {"path": str(bad), "label": "dark"})
    write_csv(tmp_path / "m.csv", ("path", "label"), listed)
    output = tmp_path / "judged"
    words = [
        "--model",
        str(folder / "a.ckpt"),
        "--raw",
        str(tmp_path / "m.csv"),
        "--outside",
    ]
    words += ["--against", str(folder / "b.ckpt"), "--output", str(output)]
    assert tool.main([*words, "--workers", "1", "--json"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"set aside: {bad}: ")
    assert "1 of 6 clips set aside" in said.err
    told = json.loads(said.out)
    assert list(told["set_aside"]) == [str(bad)]
    assert told["clips"] == told["against"]["clips"] == 5
    with open(output / "failed.csv", newline="") as file:
        assert [line["path"] for line in csv.DictReader(file)] == [str(bad)]
    assert json.loads((output / "metrics.json").read_text())["all"]["against"]
    for name in ("predictions.csv", "predictions_against.csv"):
        assert (output / name).read_text().count("\n") == 6
    page = (output / "report.html").read_text()
    assert "Against another model" in page
    assert "McNemar" in page
    assert "Their samples cannot be read any more" not in page


def test_raw_lists_that_cannot_be_used_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match=r"expected a CSV .* got the folder"):
        list_clips(folder)
    gone = [Row(path=tmp_path / "gone.mp4", label="dark")]
    with pytest.raises(ManifestError, match=r"no clip can be judged; .*gone\.mp4"):
        prepare_clips(gone, [CARD])
    record = {"path": str(folder / "clips" / "bright" / "a.mp4"), "label": "grey"}
    write_csv(tmp_path / "m.csv", ("path", "label"), [record])
    other = replace(CARD, classes=("bright", "grey"))
    models = network(other, tmp_path / "c.ckpt", 3), folder / "a.ckpt"
    how = {"raw": True, "against": models[1], "outside": True}
    with pytest.raises(TrainingError, match=r"that .*a\.ckpt does not know: grey; "):
        evaluate(models[0], tmp_path / "m.csv", **how)
    with pytest.raises(TrainingError, match=r"does not say .* how its samples"):
        evaluate(
            network(replace(CARD, recipe={}), tmp_path / "d.ckpt", 3),
            folder / "clips.csv",
            raw=True,
        )


def test_either_samples_or_clips_are_judged(capsys):
    for words in ([], ["--data", "m.csv", "--raw", "clips.csv"]):
        with pytest.raises(SystemExit) as left:
            tool.main(["--model", "best.ckpt", *words])
        assert left.value.code == 2
        said = capsys.readouterr().err
        assert "give either --data (samples) or --raw (clips)" in said
