"""plots.py: what is drawn is what was measured, whatever the names are."""

from typing import Any

import cv2
import numpy as np
import pytest
import tiny
from matplotlib.axes import Axes
from sklearn.metrics import auc

from fmrgb import page, plots
from fmrgb.metrics import Predictions, score
from fmrgb.worth import ALL_SOUND


def predictions(n_classes: int = 2, n_clips: int = 80) -> Predictions:
    """Return answers that know something."""
    dice = np.random.default_rng(2)
    truth = dice.integers(0, n_classes, n_clips)
    weights = 1.0 + 2 * np.eye(n_classes)[truth]
    odds = np.stack([dice.dirichlet(row) for row in weights])
    names = tuple(f"class {k}" for k in range(n_classes))
    return Predictions(names, truth, odds, ("x.pt",) * n_clips)


class Noted:
    """What was drawn with one method of axes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        draw = getattr(Axes, method)

        def noting(axes: Axes, *given: Any, **style: Any) -> Any:
            self.calls.append((given, style))
            return draw(axes, *given, **style)

        monkeypatch.setattr(Axes, method, noting)


def size_of(png: bytes) -> tuple[int, int]:
    """Return height and width of a picture that is not empty."""
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.std() > 5
    return picture.shape[:2]


def test_the_drawn_counts_are_the_confusion(monkeypatch):
    noted = Noted(monkeypatch, "text")
    scores = score(predictions(3))
    plots.draw_confusion(scores)
    drawn = {(y, x): int(text) for (x, y, text), _ in noted.calls}
    counts = [[drawn[label, guess] for guess in range(3)] for label in range(3)]
    assert counts == scores["confusion"]


@pytest.mark.parametrize("n_epochs", [1, 2, 29, 400])
def test_any_number_of_epochs_can_be_drawn(n_epochs):
    assert size_of(plots.draw_curves(tiny.history(n_epochs)))[1] > 500


def test_curves_name_the_epoch_that_was_kept_also_where_the_loss_is_lost(monkeypatch):
    noted = Noted(monkeypatch, "axvline")
    lost = tiny.history(6)
    lost[-1]["val_loss"] = lost[-1]["train_loss"] = float("nan")
    plots.draw_curves(lost)
    said = [(*given, style["label"]) for given, style in noted.calls]
    assert said == [(3, "kept: epoch 3")] * 2  # people count from one


def test_the_roc_curves_enclose_the_areas_that_are_told(monkeypatch):
    noted = Noted(monkeypatch, "plot")
    told = predictions(3)
    scores = score(told)
    plots.draw_probabilities(told, scores)
    curves = {
        style["label"]: auc(given[0], given[1])
        for given, style in noted.calls
        if "label" in style
    }
    assert len(curves) == 3
    for name, known in scores["classes"].items():
        label = f"{known['auc']:.3f}  {name}"
        assert curves[label] == pytest.approx(known["auc"])
    # Best first.
    assert list(curves) == sorted(curves, reverse=True)


def test_two_classes_have_one_roc_curve_and_one_class_none(monkeypatch):
    noted = Noted(monkeypatch, "plot")
    told = predictions(2)
    plots.draw_probabilities(told, score(told))
    assert sum("label" in style for _, style in noted.calls) == 1
    noted.calls.clear()
    alone = Predictions(told.classes, np.zeros(80, int), told.probabilities, told.paths)
    plots.draw_probabilities(alone, score(alone))
    assert not any("label" in style for _, style in noted.calls)


def test_the_reliability_diagram_shows_every_bin_with_its_clips(monkeypatch):
    bars, texts = Noted(monkeypatch, "bar"), Noted(monkeypatch, "text")
    told = predictions(2)
    scores = score(told)
    plots.draw_probabilities(told, scores)
    bins = scores["calibration"]["bins"]
    (_, accuracies, *_), _ = bars.calls[0]
    assert accuracies.tolist() == [b["accuracy"] for b in bins]
    counts = [int(given[2]) for given, _ in texts.calls]
    assert counts == [b["clips"] for b in bins]
    assert sum(counts) == 80


def test_planes_are_drawn_with_their_drops_in_points(monkeypatch):
    bars = Noted(monkeypatch, "barh")
    lines = Noted(monkeypatch, "plot")
    planes = {
        "R": {"drop": 0.12, "interval": [0.02, 0.2], "sound": False},
        "mel": {"drop": -0.03, "interval": [-0.1, 0.05], "sound": True},
        ALL_SOUND: {"drop": 0.4, "interval": [0.3, 0.5], "sound": True},
    }
    assert size_of(plots.draw_planes(planes))[1] > 500
    drops = [given[1] for given, _ in bars.calls]
    assert drops == pytest.approx([12, -3, 40])
    spans = [given[0] for given, _ in lines.calls[::2]]
    assert spans == [pytest.approx(s) for s in ([2, 20], [-10, 5], [30, 50])]
    inks = [style["color"] for _, style in bars.calls]
    assert inks[0] != inks[1] == inks[2]


@pytest.mark.parametrize("n_classes", [2, 9, 40])
def test_any_number_of_classes_can_be_drawn(n_classes):
    told = predictions(n_classes)
    scores = score(told)
    with page.styled():
        for png in (
            plots.draw_confusion(scores),
            plots.draw_probabilities(told, scores),
        ):
            height, width = size_of(png)
            assert 150 < min(height, width) <= max(height, width) < 2000


def test_the_same_numbers_give_the_same_bytes():
    told = predictions(3)
    first, second = (plots.draw_probabilities(told, score(told)) for _ in range(2))
    assert first == second
