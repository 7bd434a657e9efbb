"""report.py: the page stands alone, tells the true numbers, and trusts no name."""

import base64
import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes

from fmrgb import report
from fmrgb.metrics import Predictions, score
from fmrgb.report import (
    Story,
    draw_confusion,
    draw_curves,
    worst_mistakes,
    write_report,
)

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
        """Note a text."""
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
    )


def history(n_epochs: int) -> list[dict[str, float]]:
    """Return losses that fall until the third epoch and then rise."""
    return [
        {
            "epoch": epoch,
            "train_loss": 1 / (epoch + 1),
            "train_accuracy": 0.5,
            "val_loss": 1 + abs(epoch - 2),
            "val_accuracy": 0.6,
            "seconds": 1.0,
        }
        for epoch in range(n_epochs)
    ]


def story(**changes: Any) -> Story:
    """Return a story of harmful names, but for the changes."""
    told = predictions()
    content: dict[str, Any] = {
        "title": f"conv3d on {EVIL}",
        "scores": {"val": score(predictions(n_clips=30)), "test": score(told)},
        "predictions": told,
        "history": history(5),
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
    assert len(loads) == 2
    assert all(value.startswith("data:image/png;base64,") for value in loads)
    assert not {"link", "iframe", "object"} & {tag for tag, _ in page.tags}


def test_names_are_shown_and_never_run(page):
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
    assert [a["alt"] for tag, a in page.tags if tag == "img"] == [
        "Confusion matrix",
        "Loss and accuracy over epochs",
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
            f"{told['auc']:.3f}",
            f"{told['loss']:.3f}",
        ]
    for name, told in scores["test"]["classes"].items():
        shares = [f"{told[k]:.3f}" for k in ("precision", "recall", "f1")]
        assert [name, str(told["clips"]), *shares] in page.rows
    test = scores["test"]
    assert f"{100 * test['accuracy']:.1f} % accuracy" in page.text
    assert f"({test['right']} of {test['clips']} clips)" in page.text


def test_options_facts_warnings_and_versions_are_there(page):
    rows = {row[0]: row[1] for row in page.rows if len(row) == 2}
    assert (rows["lr"], rows["channels"]) == ("0.003", "R, G")
    assert f"20 {EVIL} clips" in page.text
    assert f"This goes with the label: {EVIL}" in page.text
    for name, number in report.versions().items():
        assert f"{name} {number}" in page.text


def test_the_pictures_on_the_page_are_those_beside_it(folder, page):
    sources = [a["src"] or "" for tag, a in page.tags if tag == "img"]
    for source, name in zip(sources, ("confusion.png", "curves.png"), strict=True):
        png = (folder / name).read_bytes()
        assert base64.b64decode(source.partition(",")[2]) == png
        picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert min(picture.shape[:2]) > 200
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


def test_the_drawn_counts_are_the_confusion(monkeypatch):
    drawn: dict[tuple[int, int], int] = {}
    draw = Axes.text

    def noting(axes: Axes, x: float, y: float, text: str, **style: Any) -> Any:
        drawn[int(y), int(x)] = int(text)
        return draw(axes, x, y, text, **style)

    monkeypatch.setattr(Axes, "text", noting)
    told = predictions(("a", "b", "c"))
    draw_confusion(story(predictions=told))
    counts = [[drawn[label, guess] for guess in range(3)] for label in range(3)]
    assert counts == score(told)["confusion"]


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


@pytest.mark.parametrize("n_epochs", [1, 2, 29, 400])
def test_any_number_of_epochs_can_be_drawn(n_epochs):
    png = np.frombuffer(draw_curves(history(n_epochs)), np.uint8)
    assert cv2.imdecode(png, cv2.IMREAD_COLOR).shape[1] > 500


def test_curves_name_the_epoch_that_was_kept_also_where_the_loss_is_lost(monkeypatch):
    said = []
    line = Axes.axvline

    def noting(axes: Axes, x: float, **style: Any) -> Any:
        said.append((x, style["label"]))
        return line(axes, x, **style)

    monkeypatch.setattr(Axes, "axvline", noting)
    lost = history(6)
    lost[-1]["val_loss"] = lost[-1]["train_loss"] = float("nan")
    draw_curves(lost)
    assert said == [(3, "kept: epoch 3")] * 2  # people count from one


def test_the_same_story_gives_the_same_bytes(tmp_path, folder):
    write_report(tmp_path, story())
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_mistakes_are_the_surest_first_and_all_wrong():
    told = predictions(n_clips=100)
    worst = worst_mistakes(told)
    wrong = told.guesses != told.truth
    odds = told.probabilities.max(axis=1)
    assert len(worst) == report.WORST_SHOWN
    assert [m["probability"] for m in worst] == sorted(odds[wrong])[:-13:-1]
    assert all(m["label"] != m["predicted"] for m in worst)


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
    assert row[5] == "\N{EN DASH}", "one class alone has no AUC"


@pytest.mark.parametrize(("right", "doubtful"), [(12, True), (20, False)])
def test_a_score_that_guessing_could_reach_is_called_so(tmp_path, right, doubtful):
    truth = np.array([0] * 10 + [1] * 10)
    guesses = np.where(np.arange(20) < right, truth, 1 - truth)
    told = Predictions(
        ("a", "b"), truth, np.eye(2)[guesses] * 0.8 + 0.1, ("x.pt",) * 20
    )
    write_report(tmp_path, story(predictions=told, scores={"test": score(told)}))
    text = Page((tmp_path / "report.html").read_text()).text
    assert ("not shown to know more" in text) == doubtful
