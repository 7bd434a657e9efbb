"""From predictions and curves to plots, tables and one HTML page."""

import base64
import io
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fmrgb.evaluate import Evaluation
from fmrgb.files import make_folder, shown, whole_file
from fmrgb.manifest import write_csv
from fmrgb.metrics import Predictions
from fmrgb.page import plain, styled

WORST_SHOWN = 12  # mistakes listed in the report
NAME_LENGTH = 24  # characters of a class name in the confusion matrix
PACKAGES = ("fmrgb", "torch", "lightning", "av", "librosa", "numpy", "scipy")


@dataclass(frozen=True)
class Story:
    """What a report tells.

    Attributes:
        title: heading of the page.
        scores: from `metrics.score`, by the name of the split.
        predictions: of the split that is judged.
        history: one dict per epoch (empty if there was no training).
        options: everything that was chosen, by name.
        facts: lines on the data: counts, groups, what was set aside.
        warnings: what may make the numbers mean less than they seem.
    """

    title: str
    scores: dict[str, dict[str, Any]]
    predictions: Predictions
    history: list[dict[str, float]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    facts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def write_report(folder: Path, story: Story) -> Path:
    """Write predictions.csv, metrics.json, the plots and report.html into `folder`.

    Returns:
        path of report.html, one file that opens without a network.
    """
    with styled():
        pictures = {"confusion.png": draw_confusion(story)}
        if story.history:
            pictures["curves.png"] = draw_curves(story.history)
    for name, png in pictures.items():
        _write(folder / name, png)
    _write(folder / "metrics.json", json.dumps(story.scores, indent=1).encode())
    write_predictions(folder / "predictions.csv", story.predictions)
    template = files("fmrgb").joinpath("report.html").read_text(encoding="utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    html = page.from_string(template).render(
        story=story,
        pictures={k: base64.b64encode(v).decode() for k, v in pictures.items()},
        mistakes=worst_mistakes(story.predictions),
        versions=versions(),
        percent=lambda share: f"{100 * share:.1f} %",
    )
    _write(folder / "report.html", html.encode("utf-8", "replace"))
    return folder / "report.html"


def report_evaluation(folder: Path, model: Path, done: Evaluation) -> Path:
    """Write the report of a model judged on other data than its run's own.

    Raises:
        InputError: if the folder cannot be written to.
    """
    make_folder(folder)
    card = done.card.as_dict()
    story = Story(
        title=f"{card['model']} {card['model_size']} judged: {done.split} clips",
        scores={done.split: done.scores},
        predictions=done.predictions,
        options={"model": str(model), **card["view"], "version": card["version"]},
        facts=[f"set aside: {reason}" for reason in done.faults.values()],
        warnings=done.warnings,
    )
    return write_report(folder, story)


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as part:
        part.write_bytes(content)


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write one line per clip: path, label, predicted, right, and each probability."""
    columns = ["path", "label", "predicted", "right"]
    columns += [f"p_{name}" for name in predictions.classes]
    records = []
    for n, clip in enumerate(predictions.paths):
        guess, truth = int(predictions.guesses[n]), int(predictions.truth[n])
        odds = [f"{p:.6f}" for p in predictions.probabilities[n]]
        names = predictions.classes
        record = [clip, names[truth], names[guess], str(guess == truth).lower(), *odds]
        records.append(dict(zip(columns, record, strict=True)))
    write_csv(path, columns, records)


def worst_mistakes(predictions: Predictions) -> list[dict[str, Any]]:
    """Return the wrong answers the model was surest of, worst first."""
    guesses, truth = predictions.guesses, predictions.truth
    wrong = np.flatnonzero(guesses != truth)
    sure = predictions.probabilities[wrong, guesses[wrong]]
    return [
        {
            "clip": shown(predictions.paths[n]),
            "label": predictions.classes[truth[n]],
            "predicted": predictions.classes[guesses[n]],
            "probability": float(predictions.probabilities[n, guesses[n]]),
        }
        for n in wrong[np.argsort(-sure)][:WORST_SHOWN]
    ]


def versions() -> dict[str, str]:
    """Return the versions that a repetition needs to know."""
    return {"Python": platform.python_version(), **{p: version(p) for p in PACKAGES}}


def draw_curves(history: Sequence[dict[str, float]]) -> bytes:
    """Draw loss and accuracy over the epochs, training and validation, as a PNG."""
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


def draw_confusion(story: Story) -> bytes:
    """Draw the confusion matrix, counts in cells, as a PNG."""
    predictions = story.predictions
    n = len(predictions.classes)
    counts = np.zeros((n, n), int)
    np.add.at(counts, (predictions.truth, predictions.guesses), 1)
    names = [plain(name, NAME_LENGTH) for name in predictions.classes]
    longest = max(map(len, names))
    side = min(12.0, 2.0 + 0.55 * n + 0.08 * longest)
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
    for row, column in np.ndindex(n, n) if n <= 30 else ():
        ink = "white" if shares[row, column] > 0.5 else "black"
        count = str(counts[row, column])
        axes.text(column, row, count, ha="center", va="center", color=ink)
    return png(figure)


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    about = {"Software": None}
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata=about)
    return buffer.getvalue()
