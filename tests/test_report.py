"""report.py: the page stands alone, tells the true numbers, and trusts no name."""

import base64
import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tiny

from fmrgb import report, verdict
from fmrgb.metrics import SENSES, SOUNDS, Predictions, score, spread
from fmrgb.report import Story, write_report
from fmrgb.sample import save_sample

EVIL = "<script>alert(1)</script>"
EVIL_PATH = "clips/<img src=x onerror=alert(2)>&amp;\n$x$\udcff.pt"


class Page(HTMLParser):
    """Tags with their attributes, and texts, as a browser sees them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """Note a tag; rows and cells of tables begin with theirs."""
        self.tags.append((tag, dict(attrs)))
        self._in_cell = tag in ("td", "th")
        if tag == "tr":
            self.rows.append([])
        if self._in_cell:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        """Note that a cell ends."""
        self._in_cell = False

    def handle_data(self, data: str) -> None:
        """Note a text, with common spaces."""
        data = data.replace("\N{NO-BREAK SPACE}", " ")
        self.texts.append(data)
        if self._in_cell:
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        """All that is read, with single spaces."""
        return " ".join("".join(self.texts).split())


def predictions(
    names: tuple[str, ...] = (EVIL, "good"), n_clips: int = 40
) -> Predictions:
    """Return chance predictions of clips with names that mean harm."""
    dice = np.random.default_rng(2)
    return Predictions(
        classes=names,
        truth=dice.integers(0, len(names), n_clips),
        probabilities=dice.dirichlet(np.ones(len(names)), n_clips),
        paths=tuple(f"{n}{EVIL_PATH}" for n in range(n_clips)),
        groups=tuple(f"{n // 2}{EVIL_PATH}" for n in range(n_clips)),
        sounds=tuple(dice.choice(SOUNDS, n_clips)),
        senses=tuple(np.resize(SENSES[1:], n_clips).tolist()),
        without={name: dice.random(n_clips) for name in (EVIL, "mel")},
        heard=("mel",),
    )


def story(**changes: Any) -> Story:
    """Return a story of harmful names, but for the changes."""
    told = predictions()
    content: dict[str, Any] = {
        "title": f"conv3d on {EVIL}",
        "scores": {"val": score(predictions(n_clips=30)), "test": score(told)},
        "predictions": told,
        "history": tiny.history(5),
        "options": {"data": EVIL_PATH, "lr": 0.003, "channels": ("R", "G")},
        "facts": [f"20 {EVIL} clips", f"set aside: {EVIL_PATH}"],
        "warnings": [f"This goes with the label: {EVIL}"],
    }
    return Story(**(content | changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the report of the story."""
    folder = tmp_path_factory.mktemp("report")
    assert write_report(folder, story()) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    """Return the page of the story."""
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_the_page_loads_nothing_from_elsewhere(folder, page):
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|url\(|@import", html.split("base64,")[0])
    loads = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action")
    ]
    assert len(loads) == 4
    assert all(value.startswith("data:image/png;base64,") for value in loads)
    assert not {"link", "iframe", "object"} & {tag for tag, _ in page.tags}


def test_names_are_shown_and_never_run(page):
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
    assert [a["alt"] for tag, a in page.tags if tag == "img"] == [
        "Accuracy lost without each plane's truth, with intervals",
        "Confusion matrix",
        "Loss and accuracy over epochs",
        "ROC curves and reliability diagram",
    ]
    for text in (EVIL, "<img src=x onerror=alert(2)>&amp;\\n$x$"):
        assert text in page.text


def test_the_page_tells_the_numbers_of_metrics_json(folder, page):
    scores = json.loads((folder / "metrics.json").read_text())
    assert scores == story().scores
    by_name = {row[0]: row for row in page.rows if row}
    for name, told in scores.items():
        low, high = (f"{100 * edge:.1f} %" for edge in told["interval"])
        assert by_name[name] == [
            name,
            str(told["clips"]),
            f"{100 * told['accuracy']:.1f} %",
            f"{low} to {high}",
            f"{told['macro_f1']:.3f}",
            "{:.3f} to {:.3f}".format(*told["macro_f1_interval"]),
            f"{told['auc']:.3f}",
            "{:.3f} to {:.3f}".format(*told["auc_interval"]),
            f"{told['loss']:.3f}",
        ]
    test = scores["test"]
    assert f"{100 * test['accuracy']:.1f} % accuracy" in page.text
    assert f"({test['right']} of {test['clips']} clips from 20 sources)" in page.text


def test_the_page_tells_the_numbers_of_each_class(folder, page):
    scores = json.loads((folder / "metrics.json").read_text())["test"]
    for name, told in scores["classes"].items():
        precision, recall, f1, auc = (
            f"{told[k]:.3f}" for k in ("precision", "recall", "f1", "auc")
        )
        likely = "{:.3f} to {:.3f}".format(*told["recall_interval"])
        row = [name, str(told["clips"]), precision, recall, likely, f1, auc]
        assert row in page.rows


def test_the_page_tells_what_each_plane_is_worth(folder, page):
    test = json.loads((folder / "metrics.json").read_text())["test"]
    assert ["nothing", f"{100 * test['accuracy']:.1f} %", "", ""] in page.rows
    assert list(test["planes"]) == [EVIL, "mel"]
    for name, told in test["planes"].items():
        drop, low, high = (f"{100 * x:+.1f}" for x in (told["drop"], *told["interval"]))
        share = f"{100 * told['accuracy']:.1f} %"
        assert [name, share, drop, f"{low} to {high}"] in page.rows
    assert verdict.on_planes(test["planes"]) in page.text


def test_the_page_tells_scores_and_labels_with_and_without_sound(folder, page):
    told = json.loads((folder / "metrics.json").read_text())["test"]["sounds"]
    kinds = told["kinds"]
    assert ["", *(verdict.KINDS[kind] for kind in kinds)] in page.rows
    shares = [f"{100 * k['accuracy']:.1f} %" for k in kinds.values()]
    assert ["accuracy", *shares] in page.rows
    for name in (EVIL, "good"):
        counts = [str(k["labels"][name]) for k in kinds.values()]
        assert [f"of these {name}", *counts] in page.rows
    assert "the label" in page.text


def test_the_page_tells_scores_for_every_pattern_of_senses(folder, page):
    told = json.loads((folder / "metrics.json").read_text())["test"]["senses"]["kinds"]
    assert list(told) == ["picture", "sound", "both"], "no clip has neither"
    assert ["", *(verdict.KINDS[kind] for kind in told)] in page.rows
    shares = [f"{100 * k['accuracy']:.1f} %" for k in told.values()]
    assert ["accuracy", *shares] in page.rows
    assert ["clips", *(str(k["clips"]) for k in told.values())] in page.rows
    assert "With and without each sense" in page.text


def test_the_page_is_silent_on_senses_where_all_clips_have_the_same(tmp_path):
    known = replace(predictions(), senses=("both",) * 40)
    write_report(tmp_path, story(predictions=known, scores={"test": score(known)}))
    assert "each sense" not in (tmp_path / "report.html").read_text()


def test_the_page_tells_the_calibration(folder, page):
    told = json.loads((folder / "metrics.json").read_text())["test"]["calibration"]
    assert f"calibration error {told['ece']:.3f}" in page.text
    assert f"Brier score {told['brier']:.3f}" in page.text


def test_what_matters_most_comes_first(page):
    headings = [
        "% accuracy",
        "This goes with the label",
        "What each plane is worth",
        "With and without sound",
        "Classes",
        "Training",
        "Calibration and ROC curves",
        "Surest mistakes",
        "Data",
        "Options",
        "Versions",
    ]
    places = [page.text.index(heading) for heading in headings]
    assert places == sorted(places)


def test_mistakes_are_listed_with_pictures_while_their_samples_are_there(tmp_path):
    path = tmp_path / "clip.pt"
    save_sample(path, tiny.sample())
    wrong = Predictions(
        ("calm", "wild"),
        np.array([0, 1]),
        np.array([[0.1, 0.9], [0.6, 0.4]]),
        (str(path), str(tmp_path / "gone.pt")),
    )
    told = story(predictions=wrong, scores={"test": score(wrong)})
    page = Page(write_report(tmp_path, told).read_text())
    assert [f"1. {path}", "calm", "wild", "90.0 %"] in page.rows
    assert "Frames and sound of the surest mistakes" in {
        attributes.get("alt") for _, attributes in page.tags
    }
    (tmp_path / "mistakes.png").unlink()
    path.unlink()
    page = Page(write_report(tmp_path, told).read_text())
    assert "cannot be read any more" in page.text
    assert not (tmp_path / "mistakes.png").exists()
    assert [f"1. {path}", "calm", "wild", "90.0 %"] in page.rows


def test_folds_have_a_table_with_mean_and_spread(tmp_path):
    folds = [score(predictions(n_clips=n)) for n in (30, 34)]
    pooled = score(predictions(n_clips=64)) | {"folds": spread(folds)}
    scores = {"test": pooled, "fold 1": folds[0], "fold 2": folds[1]}
    told = story(predictions=predictions(n_clips=64), scores=scores, history=[])
    page = Page(write_report(tmp_path, told).read_text())
    by_name = {row[0]: row for row in page.rows if row}
    for name, fold in zip(("fold 1", "fold 2"), folds, strict=True):
        assert by_name[name][1:3] == [
            str(fold["clips"]),
            f"{100 * fold['accuracy']:.1f} %",
        ]
    shares = np.array([fold["accuracy"] for fold in folds])
    assert by_name["mean"][2] == f"{100 * shares.mean():.1f} %"
    assert by_name["standard deviation"][2] == f"{100 * shares.std(ddof=1):.1f} %"
    kept = json.loads((tmp_path / "metrics.json").read_text())
    assert kept["test"]["folds"]["accuracy"]["mean"] == pytest.approx(shares.mean())
    assert "Folds" in page.text


def test_a_search_for_the_learning_rate_is_shown_if_it_was_made(tmp_path, page):
    assert "learning rate" not in page.text
    picture = b"a picture"
    (tmp_path / "lr_search.png").write_bytes(picture)
    html = write_report(tmp_path, story()).read_text(encoding="utf-8")
    assert base64.b64encode(picture).decode() in html
    assert "Search for the learning rate" in Page(html).text


def test_options_facts_warnings_and_versions_are_there(page):
    rows = {row[0]: row[1] for row in page.rows if len(row) == 2}
    assert (rows["lr"], rows["channels"]) == ("0.003", "R, G")
    assert f"20 {EVIL} clips" in page.text
    assert f"This goes with the label: {EVIL}" in page.text
    for name, number in report.versions().items():
        assert f"{name} {number}" in page.text


def test_the_pictures_on_the_page_are_those_beside_it(folder, page):
    sources = [a["src"] or "" for tag, a in page.tags if tag == "img"]
    names = ("planes.png", "confusion.png", "curves.png", "probabilities.png")
    for source, name in zip(sources, names, strict=True):
        png = (folder / name).read_bytes()
        assert base64.b64decode(source.partition(",")[2]) == png
        picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert min(picture.shape[:2]) > 100
        assert picture.std() > 10


def test_predictions_csv_gives_the_same_confusion(folder):
    raw = (folder / "predictions.csv").read_bytes()
    text = raw.decode("utf-8", "surrogateescape")
    records = list(csv.DictReader(io.StringIO(text, newline="")))
    told = predictions()
    assert [record["path"] for record in records] == list(told.paths)
    counts = [
        [
            sum(r["label"] == label and r["predicted"] == guess for r in records)
            for guess in told.classes
        ]
        for label in told.classes
    ]
    assert counts == score(told)["confusion"]
    assert sum(r["right"] == "true" for r in records) == score(told)["right"]
    for record, odds in zip(records, told.probabilities, strict=True):
        read = [float(record[f"p_{name}"]) for name in told.classes]
        assert read == pytest.approx(odds, abs=1e-6)


@pytest.mark.parametrize(
    "names",
    [
        ("$x^2$ \\frac{", "a\nb\x1b[31m"),
        ("喧嘩", "мир", "Straße", "\udcff"),
        ("n" * 250, "m" * 250),
        tuple(f"a rather long class {n}" for n in range(40)),
    ],
)
def test_any_names_and_number_of_classes_can_be_drawn(tmp_path, names):
    told = predictions(names)
    scores = {"all": score(told)}
    write_report(tmp_path, story(predictions=told, scores=scores, title=names[0]))
    picture = cv2.imread(str(tmp_path / "confusion.png"))
    assert 200 < min(picture.shape[:2]) <= max(picture.shape[:2]) < 2000


def test_the_same_story_gives_the_same_bytes(tmp_path, folder):
    write_report(tmp_path, story())
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_report_without_training_or_mistakes_leaves_these_parts_out(tmp_path):
    right = Predictions(("a", "b"), np.array([0]), np.array([[0.9, 0.1]]), ("a.pt",))
    write_report(
        tmp_path, story(history=[], predictions=right, scores={"all": score(right)})
    )
    page = Page((tmp_path / "report.html").read_text())
    assert not (tmp_path / "curves.png").exists()
    assert "Training" not in page.text
    assert "mistakes" not in page.text
    assert "only the test score" not in page.text
    (row,) = (row for row in page.rows if row[0] == "all")
    assert row[6:8] == ["\N{EN DASH}"] * 2, "one class alone has no AUC"
    for heading in ("Folds", "plane", "With and without sound", "learning rate"):
        assert heading not in page.text
