"""From scores, predictions and curves to the plots of a report, as PNGs.

Call these within `page.styled()`. Names are drawn as they are, never as formulas.

Axes: N clips, K classes.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_curve

from fmrgb.metrics import Predictions
from fmrgb.page import CURVE, plain
from fmrgb.worth import ALL_PICTURE, ALL_SOUND

NAME_LENGTH = 24  # characters of a class name
MOST_COUNTS = 30  # classes; beyond, counts do not fit into the cells
MOST_CURVES = 8  # ROC curves with a colour and a name of their own
INK, SOUND_COLOUR, GREY = "#1c1c1e", "#b3541e", "#8a8a8a"


def draw_curves(history: Sequence[dict[str, float]]) -> bytes:
    """Draw loss and accuracy over the epochs, training and validation."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    epochs = [row["epoch"] + 1 for row in history]
    best = min(history, key=lambda row: row["val_loss"])["epoch"] + 1
    for place, what in enumerate(("loss", "accuracy"), start=1):
        axes = figure.add_subplot(1, 2, place)
        for part, name in (("train", "training"), ("val", "validation")):
            values = [row[f"{part}_{what}"] for row in history]
            axes.plot(
                epochs, values, marker="." if len(epochs) < 30 else "", label=name
            )
        axes.axvline(best, color="0.6", linestyle=":", label=f"kept: epoch {best:.0f}")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_ylabel("cross entropy (nat)" if what == "loss" else "accuracy")
        axes.set_ylim(0, 1.02 if what == "accuracy" else None)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return png(figure)


def draw_confusion(scores: dict[str, Any]) -> bytes:
    """Draw the confusion matrix: counts in cells, shares of the label as shades."""
    counts = np.array(scores["confusion"])
    n = len(counts)
    names = [plain(name, NAME_LENGTH) for name in scores["classes"]]
    longest = max(map(len, names))
    side = min(12.0, 1.7 + 0.55 * n + 0.08 * longest)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    style: dict[str, Any] = {"parse_math": False}
    axes.set_yticks(range(n), names, **style)
    if n > 4 or longest > 10:  # side by side, names would run into each other
        style |= {"rotation": 50, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(n), names, **style)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    for row, column in np.ndindex(n, n) if n <= MOST_COUNTS else ():
        ink = "white" if shares[row, column] > 0.5 else "black"
        ink = ink if counts[row, column] else GREY
        count = str(counts[row, column])
        axes.text(column, row, count, ha="center", va="center", color=ink)
    return png(figure)


def draw_probabilities(predictions: Predictions, scores: dict[str, Any]) -> bytes:
    """Draw the ROC curves beside the reliability diagram."""
    figure = Figure(figsize=(9, 4.3), layout="constrained")
    halves: Any = figure.subfigures(1, 2)
    _roc(halves[0].add_subplot(), predictions, scores["classes"])
    above, below = halves[1].subplots(2, 1, sharex=True, height_ratios=(4, 1))
    _reliability(above, below, scores["calibration"])
    return png(figure)


def _roc(axes: Axes, predictions: Predictions, classes: dict[str, Any]) -> None:
    """Draw a curve for each class against the rest; of two classes, for the second."""
    areas = {
        k: c["auc"] for k, c in enumerate(classes.values()) if c["auc"] is not None
    }
    if len(classes) == 2:
        areas.pop(0, None)  # the same curve, seen from the other corner
    by_area = sorted(areas, key=lambda k: -areas[k])
    few = len(areas) <= MOST_CURVES
    named = by_area if few else [by_area[0], by_area[-1]]
    for k in by_area:
        false, true, _ = roc_curve(
            predictions.truth == k,
            predictions.probabilities[:, k],
            drop_intermediate=False,
        )
        name = plain(predictions.classes[k], NAME_LENGTH)
        style: dict[str, Any] = {"label": f"{areas[k]:.3f}  {name}", "linewidth": 1.6}
        if k not in named:
            style = {"color": GREY, "alpha": 0.4, "linewidth": 0.8}
        axes.plot(false, true, zorder=3 if k in named else 2, **style)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set_xlabel("false alarms: share of the other clips")
    axes.set_ylabel("found: share of the class")
    axes.grid(alpha=0.3)
    title = "AUC, one class against the rest" if few else "highest and lowest AUC"
    if areas:
        legend = axes.legend(loc="best", title=title, fontsize=8)
        for text in legend.get_texts():
            text.set_parse_math(False)
    else:
        axes.text(0.5, 0.5, "one class alone has no curve", ha="center", va="center")
    axes.set_title("ROC curves", fontweight="bold", loc="left")


def _reliability(above: Axes, below: Axes, told: dict[str, Any]) -> None:
    """Draw accuracy over confidence with intervals, and below the numbers of clips."""
    bins = told["bins"]
    lows, confidences, accuracies, counts = (
        np.array([b[key] for b in bins])
        for key in ("low", "confidence", "accuracy", "clips")
    )
    width = bins[0]["high"] - bins[0]["low"]
    ranges = np.array([b["interval"] for b in bins]).T
    reach = np.maximum(0, [accuracies - ranges[0], ranges[1] - accuracies])
    above.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.2)
    above.bar(lows, accuracies, width, align="edge", color=CURVE, alpha=0.18)
    above.errorbar(
        confidences, accuracies, reach, fmt="o", color=CURVE, markersize=4, capsize=3
    )
    above.set(xlim=(0, 1), ylim=(0, 1.02))
    above.set_ylabel("right: share of the clips")
    above.grid(alpha=0.3)
    above.set_title("Reliability", fontweight="bold", loc="left")
    below.bar(lows, counts, width, align="edge", color=GREY, alpha=0.5)
    for low, count in zip(lows, counts, strict=True):
        style: Any = {"ha": "center", "va": "bottom", "fontsize": 7}
        below.text(low + width / 2, count, str(count), **style)
    below.set_ylim(0, 1.35 * counts.max())
    below.set_yticks([])
    below.set_ylabel("clips")
    below.set_xlabel("confidence: probability of the class named")


def draw_planes(planes: dict[str, dict[str, Any]]) -> bytes:
    """Draw what accuracy loses without each plane's truth, with intervals.

    Args:
        planes: from `metrics.score`.
    """
    figure = Figure(figsize=(9, 0.9 + 0.34 * len(planes)), layout="constrained")
    axes = figure.add_subplot()
    for place, (name, told) in enumerate(planes.items()):
        ink = SOUND_COLOUR if told["sound"] else CURVE
        drop, low, high = (100 * x for x in (told["drop"], *told["interval"]))
        whole = name in (ALL_PICTURE, ALL_SOUND)
        axes.barh(place, drop, 0.62, color=ink, alpha=0.75 if whole else 0.35)
        axes.plot([low, high], [place, place], color=INK, linewidth=1.3)
        axes.plot([low, high], [place, place], "|", color=INK, markersize=7)
    axes.set_yticks(
        range(len(planes)), [plain(n, NAME_LENGTH) for n in planes], parse_math=False
    )
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.set_xlabel(
        "accuracy lost when it comes from other clips (points), 95 % interval"
    )
    return png(figure)


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    about = {"Software": None}
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata=about)
    return buffer.getvalue()
