"""The concept model: EM against scikit-learn and closed forms, and its tool."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pairing
import pytest
import tiny
import torch
from fmrgb_tools import gmm as tool
from fmrgb_tools import pair as pair_tool
from PIL import Image
from sklearn.mixture import GaussianMixture

from fmrgb.archive import load_arrays, save_arrays
from fmrgb.checkpoint import Network
from fmrgb.embed import learn_pictures, learn_texts
from fmrgb.errors import SampleError, TrainingError
from fmrgb.gmm import (
    UNKNOWN,
    Mixture,
    filled,
    fit,
    label_chances,
    log_joint,
    responsibilities,
)
from fmrgb.gmm_data import look_at
from fmrgb.gmm_file import load
from fmrgb.gmm_model import start
from fmrgb.sample import load_sample
from fmrgb.seen import view_of

N, D, K = 110, 4, 2
GAPS = np.nan


def two_clouds(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return rows [N, D] of two clouds that meet, and which each is of."""
    dice = np.random.default_rng(seed)
    turn = dice.normal(size=(D, D))
    which = np.repeat([0, 1], [60, 50])
    return dice.normal(size=(N, D)) @ turn + which[:, None] * 2.0, which


def with_gaps(rows: np.ndarray, share: float, seed: int = 1) -> np.ndarray:
    """Take numbers out by chance; of every row one at least stays."""
    dice = np.random.default_rng(seed)
    gone = dice.random(rows.shape) < share
    gone[np.arange(len(rows)), dice.integers(0, rows.shape[1], len(rows))] = False
    return np.where(gone, GAPS, rows)


def fuzzy(seed: int = 2) -> np.ndarray:
    """Return responsibilities [N, K] by chance."""
    return np.random.default_rng(seed).dirichlet(np.ones(K), N)


NO_LABELS = np.full(N, UNKNOWN)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", ["full", "tied", "diag"])
def test_on_whole_rows_em_is_scikit_learns_step_by_step(kind):
    rows, _ = two_clouds()
    how = {"n_labels": 1, "kind": kind, "tolerance": 0}
    first = fit(rows, NO_LABELS, fuzzy(), most_steps=0, **how).mixture
    ours = fit(rows, NO_LABELS, fuzzy(), most_steps=25, **how)
    inverse = np.linalg.inv(first.covariances_KDD)
    diagonals = np.stack([np.diag(one) for one in inverse])
    theirs = GaussianMixture(
        K,
        covariance_type=kind,
        weights_init=first.weights_K,
        means_init=first.means_KD,
        precisions_init={"full": inverse, "tied": inverse[0], "diag": diagonals}[kind],
        max_iter=25,
        tol=0,
    ).fit(rows)
    assert ours.mixture.means_KD == pytest.approx(theirs.means_, abs=1e-9)
    assert ours.mixture.weights_K == pytest.approx(theirs.weights_, abs=1e-9)
    assert ours.bic == pytest.approx(theirs.bic(rows), abs=1e-6)
    told = responsibilities(ours.mixture, rows)
    assert told == pytest.approx(theirs.predict_proba(rows), abs=1e-9)


def test_what_is_to_be_expected_of_a_gap_is_the_closed_form_of_one_gaussian():
    dice = np.random.default_rng(3)
    root = dice.normal(size=(D, D))
    spread, mean = root @ root.T + np.eye(D), dice.normal(size=D)
    one = Mixture(np.ones(1), mean[None], spread[None], np.ones((1, 1)))
    row = np.array([[0.5, GAPS, -1.0, GAPS]])
    there, gone = [0, 2], [1, 3]
    # By the inverse of the whole covariance, which our code never forms.
    precision = np.linalg.inv(spread)
    apart = row[0, there] - mean[there]
    wanted = mean[gone] - np.linalg.solve(
        precision[np.ix_(gone, gone)], precision[np.ix_(gone, there)] @ apart
    )
    assert filled(one, row)[0, gone] == pytest.approx(wanted, abs=1e-12)
    assert filled(one, row)[0, there].tolist() == [0.5, -1.0]


def test_in_a_mixture_a_gap_is_weighed_by_the_concepts_that_the_rest_speaks_for():
    unit = np.tile(np.eye(2), (K, 1, 1))
    both = Mixture(np.full(K, 0.5), np.array([[-3.0, 10], [3, 20]]), unit, np.eye(K))
    row = np.array([[0.1, GAPS]])
    second = 1 / (1 + np.exp(-2 * 3 * 0.1))  # the log odds of two unit Gaussians
    wanted = pytest.approx(10 + 10 * second)
    assert filled(both, row)[0, 1] == wanted
    assert label_chances(both, row)[0] == pytest.approx([1 - second, second])


def test_em_on_rows_with_gaps_never_gets_less_likely():
    rows, which = two_clouds()
    for kind in ("full", "tied", "diag"):
        found = fit(
            with_gaps(rows, 0.4), which, fuzzy(), n_labels=2, kind=kind,
            regular=1e-9, tolerance=0, most_steps=15,
        )  # fmt: skip
        # What is likeliest is the labels' tables with their prior, so a hair is left.
        assert np.diff(found.likelihoods).min() > -1e-5
        assert found.likelihoods[-1] > found.likelihoods[0] + 0.1


def test_rows_with_gaps_lead_to_the_gaussian_that_made_them():
    dice = np.random.default_rng(4)
    spread = np.array([[1.0, 0.8, 0.3], [0.8, 2.0, 0.1], [0.3, 0.1, 0.5]])
    rows = dice.multivariate_normal([1.0, -2, 3], spread, 2000)
    gaps = with_gaps(rows, 0.3)
    one = np.ones((len(rows), 1))
    labels = np.full(len(rows), UNKNOWN)
    found = fit(gaps, labels, one, n_labels=1, tolerance=1e-6, most_steps=200).mixture
    assert found.means_KD[0] == pytest.approx([1, -2, 3], abs=0.1)
    assert found.covariances_KDD[0] == pytest.approx(spread, abs=0.15)
    # Of a mean over what happens to be there, a covariance would not even be one.
    assert np.linalg.eigvalsh(found.covariances_KDD[0]).min() > 0


def test_a_block_that_is_gone_does_not_change_what_the_other_says():
    rows, which = two_clouds()
    found = fit(rows, which, fuzzy(), n_labels=2, regular=0.1).mixture
    alone = rows.copy()
    alone[:, 2:] = GAPS
    part = Mixture(
        found.weights_K,
        found.means_KD[:, :2],
        found.covariances_KDD[:, :2, :2],
        found.table_KL,
    )
    assert log_joint(found, alone, which) == pytest.approx(
        log_joint(part, rows[:, :2], which)
    )


def test_labels_pull_rows_into_concepts_and_are_told_by_them():
    rows, which = two_clouds()
    found = fit(rows, which, start(rows, which, K, seed=0), n_labels=2, regular=0.1)
    table = found.mixture.table_KL
    # 60 and 50 clips of one label each, and one clip's worth of belief in equal ones.
    assert np.sort(table.max(axis=1)) == pytest.approx([50.5 / 51, 60.5 / 61], abs=1e-2)
    told = label_chances(found.mixture, rows)
    assert told.sum(axis=1) == pytest.approx(np.ones(N))
    assert (told.argmax(axis=1) == which).mean() > 0.9


def test_a_label_that_is_not_known_is_no_label():
    rows, which = two_clouds()
    some = np.where(np.arange(N) % 3 == 0, UNKNOWN, which)
    found = fit(rows, some, start(rows, which, K, seed=0), n_labels=2, regular=0.1)
    told = label_chances(found.mixture, rows).argmax(axis=1)
    assert (told[some == UNKNOWN] == which[some == UNKNOWN]).mean() > 0.9


@pytest.mark.parametrize("n_concepts", [1, 2, 5])
def test_every_row_begins_in_one_concept_and_no_concept_is_empty(n_concepts):
    rows, which = two_clouds()
    share = start(with_gaps(rows, 0.3), which, n_concepts, seed=0)
    assert share.shape == (N, n_concepts)
    assert share.sum(axis=1).tolist() == [1] * N
    assert share.any(axis=0).all()
    if n_concepts > 1:  # each of one label
        assert all(len(set(which[share[:, k] > 0])) == 1 for k in range(n_concepts))


def test_rows_that_hold_nothing_and_concepts_of_too_few_clips_are_refused():
    rows, _ = two_clouds()
    empty = rows.copy()
    empty[7] = GAPS
    with pytest.raises(TrainingError, match="row 7 holds nothing"):
        fit(empty, NO_LABELS, fuzzy(), n_labels=1)
    with pytest.raises(TrainingError, match="too few clips; give fewer --concepts"):
        fit(rows * 0, NO_LABELS, fuzzy(), n_labels=1, regular=0)


def test_pictures_come_back_from_as_many_numbers_as_they_differ_in():
    dice = np.random.default_rng(5)
    base = dice.integers(60, 190, (3, 5, 6, 2))
    shares = dice.dirichlet(np.ones(3), 40)  # on a plane: two numbers tell them
    pictures = np.einsum("nk,khwc->nhwc", shares, base).round().astype(np.uint8)
    found = learn_pictures(pictures, 2)
    numbers = found.embed(pictures.reshape(40, -1))
    assert numbers.shape == (40, 2)
    assert numbers.mean(axis=0) == pytest.approx([0, 0], abs=1e-9)
    assert numbers.std(axis=0, ddof=1) == pytest.approx([1, 1], abs=1e-9)
    assert np.abs(found.draw(numbers).astype(int) - pictures).max() <= 1


def test_features_draw_the_picture_that_goes_with_them():
    dice = np.random.default_rng(6)
    features = dice.normal(size=(60, 7))
    levels = 128 + features[:, :3] @ dice.normal(size=(3, 4 * 5 * 3)) * 10
    pictures = np.clip(levels, 0, 255).round().astype(np.uint8).reshape(60, 4, 5, 3)
    found = learn_pictures(pictures, 7, features_NF=features)
    drawn = found.draw(found.embed(features)).astype(int)
    assert np.abs(drawn - pictures).mean() < 3
    assert np.abs(pictures - pictures.mean(axis=0)).mean() > 10


def test_texts_that_share_letters_lie_near_each_other_in_japanese_too():
    plants = ["小さな盆栽", "盆栽の松", "松の盆栽です"]
    clocks = ["腕時計の針", "古い時計", "時計と腕時計"]
    found = learn_texts([*plants, *clocks], 3)
    near, far, unknown = found.embed(["盆栽と松", "時計の針", "xyz"])
    middle = found.embed(plants).mean(axis=0), found.embed(clocks).mean(axis=0)
    apart = [[np.linalg.norm(one - of) for of in middle] for one in (near, far)]
    assert apart[0][0] < apart[0][1]
    assert apart[1][1] < apart[1][0]
    assert np.isnan(unknown).all()  # nothing is known of it: it is as good as missing


def test_the_form_of_letters_and_capitals_make_no_difference():
    found = learn_texts(["\uff21\uff22\uff23 cat", "dog", "ｶﾞﾗｽ"], 2)
    wide, narrow = found.embed(["\uff23\uff21\uff34 ガラス", "cat  ガラス"])
    assert wide == pytest.approx(narrow)


# The tool, on orange discs that are loud and blue squares that are not.


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the manifest of pictures, sound pictures and words with gaps."""
    folder = tmp_path_factory.mktemp("pairs")
    words = pairing.collections(folder, n_items=20)
    words += ["--missing", "0.4", "--output", str(folder / "out")]
    assert pair_tool.main(words) == 0
    return folder / "out" / "manifest.csv"


@pytest.fixture(scope="module")
def learned(pairs: Path) -> Path:
    """Return the folder of concepts that were learned from the pairs."""
    folder = pairs.parent.parent / "concepts"
    words = ["--fit", "--data", str(pairs), "--output", str(folder), "--dims", "3"]
    assert tool.main(words) == 0
    return folder


def asked(capsys: pytest.CaptureFixture[str], model: Path, *words: str) -> dict:
    """Ask a model; return its answer."""
    capsys.readouterr()
    output = str(model.parent / "answer")
    given = ["--model", str(model), "--output", output, "--json", *words]
    assert tool.main(given) == 0
    return json.loads(capsys.readouterr().out)


def test_the_score_is_told_for_every_pattern_of_senses(learned):
    scores = json.loads((learned / "metrics.json").read_text())["test"]
    assert scores["accuracy"] == 1.0
    assert sum(told["clips"] for told in scores["patterns"].values()) == scores["clips"]
    assert {"picture", "sound", "text"} >= {*"+".join(scores["patterns"]).split("+")}
    for told in scores["patterns"].values():
        low, high = told["interval"]
        assert low < told["right"] / told["clips"] <= high
    card = json.loads((learned / "concepts.json").read_text())
    assert card["labels"] == ["disc", "square"]
    assert card["numbers"] == {"picture": 3, "sound": 3, "text": 3}


def test_words_alone_are_told_and_what_they_would_look_like_is_drawn(learned, capsys):
    said = asked(
        capsys, learned / "concepts.npz", "--text", f"{pairing.WORDS['disc']} 99"
    )
    assert said["there"] == ["text"]
    assert said["labels"][0]["label"] == "disc"
    assert said["nearest"]["picture"][0]["name"].startswith("disc/")
    assert said["nearest"]["text"][0]["text"].startswith(pairing.WORDS["disc"])
    drawn = np.asarray(Image.open(learned / "answer" / "imagined_picture.png"))
    assert drawn.shape == (10, 12, 3)
    assert drawn.mean(axis=(0, 1)) == pytest.approx(pairing.COLOURS["disc"], abs=12)
    heard = np.asarray(Image.open(learned / "answer" / "imagined_sound.png"))
    assert heard.mean() == pytest.approx(pairing.LOUDNESS["disc"], abs=12)
    assert (learned / "answer" / "answer.png").stat().st_size > 1000


def test_a_sample_without_a_picture_is_told_by_what_it_has(pairs, learned, capsys):
    lines = pairs.read_text().splitlines()
    columns = lines[0].split(",")
    for line in lines[1:]:
        row = dict(zip(columns, line.split(","), strict=True))
        if row["split"] == "test" and not row["source_width"]:
            break
    target = str(pairs.parent / row["path"])
    said = asked(capsys, learned / "concepts.npz", "--target", target)
    assert "picture" not in said["there"]
    assert said["labels"][0]["label"] == row["label"]
    assert said["labels"][0]["chance"] > 0.9


def test_the_same_data_and_seed_give_the_same_bytes(pairs, learned, tmp_path):
    words = ["--fit", "--data", str(pairs), "--output", str(tmp_path / "b")]
    assert tool.main([*words, "--dims", "3"]) == 0
    names = ("concepts.npz", "concepts.json", "metrics.json", "concepts.png")
    for name in names:
        assert (tmp_path / "b" / name).read_bytes() == (learned / name).read_bytes()


def test_words_of_no_known_letter_are_refused(learned, capsys, tmp_path):
    words = ["--model", str(learned / "concepts.npz"), "--text", "qqq"]
    assert tool.main([*words, "--output", str(tmp_path / "a")]) == 1
    assert "has none of what the model knows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("means", lambda a: a[:, 1:], r"means is \[2, 8\], expected \[2, 9\]"),
        ("means", lambda a: a * np.nan, "its means are no numbers"),
        ("covariances", lambda a: a * -1, "Matrix is not positive definite"),
        ("table", lambda a: a * 0, "chances are not all above 0"),
        ("known_labels", lambda a: a + 9, "labels that it does not name"),
        ("picture_drawn", lambda a: a[:, 1:], "sizes of the pictures' embedding"),
        ("picture_axes", lambda a: a.astype(int), "expected finite numbers"),
        ("kind", lambda a: np.array("odd"), "covariances are of no known kind"),
        ("labels", None, "lacks labels"),
    ],
)
def test_a_model_whose_arrays_do_not_fit_is_refused(
    learned, tmp_path, name, change, said
):
    held = load_arrays(learned / "concepts.npz", ())
    array = held.pop(name)
    if change:
        held[name] = change(array)
    save_arrays(tmp_path / "a.npz", held)
    with pytest.raises(TrainingError, match=rf"not a whole concepts\.npz.*{said}"):
        load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give --fit with --data to learn, or --model"),
        (["--fit"], "--fit needs --data"),
        (["--fit", "--data", "a", "--text", "b"], "--fit needs --data, and no --model"),
        (["--model", "a"], "or --model with --target or --text"),
        (["--fit", "--data", "a", "--dims", "0"], "--dims must be at least 1"),
        (["--fit", "--data", "a", "--regular", "0"], "--regular must be above 0"),
        (["--fit", "--data", "a", "--concepts", "x"], "expected 'auto' or a number"),
    ],
)
def test_a_wrong_command_line_is_refused(capsys, words, said):
    with pytest.raises(SystemExit) as left:
        tool.main(words)
    assert left.value.code == 2
    assert said in capsys.readouterr().err


def test_a_networks_features_are_those_of_each_senses_own_network(tmp_path):
    card = replace(tiny.CARD, fusion="senses")
    torch.manual_seed(0)
    network = Network(card).eval()
    rows = tiny.dark_and_bright(tmp_path, ["", "", ""])
    seen = look_at(rows, network=network)
    assert {k: len(f) for k, f in seen.features.items()} == {"picture": 6, "sound": 6}
    assert seen.channels == {"picture": ("R", "G", "B"), "sound": tiny.CHANNELS[3:]}
    # The sense's own last layer makes of them what the network itself answers.
    clip = view_of(load_sample(rows[0].path), tiny.VIEW, "a clip")
    with torch.inference_mode():
        answers = network.answers(torch.from_numpy(clip)[None])[0]
        for place, kind in enumerate(("picture", "sound")):
            features = torch.from_numpy(seen.features[kind][:1]).float()
            told = getattr(network.model, kind).classify(features)[0]
            assert told.numpy() == pytest.approx(answers[place].numpy(), abs=1e-4)


def test_features_need_a_network_for_each_sense(tmp_path):
    rows = tiny.dark_and_bright(tmp_path, [""])
    network = Network(replace(tiny.CARD, fusion="stack"))
    with pytest.raises(TrainingError, match="train with --fusion senses"):
        look_at(rows, network=network)


def test_samples_of_many_frames_are_refused_without_a_network(tmp_path):
    rows = tiny.dark_and_bright(tmp_path, [""])
    with pytest.raises(SampleError, match="expected a sample of one frame, got 6"):
        look_at(rows)
