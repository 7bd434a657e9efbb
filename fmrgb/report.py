"""From predictions and curves to plots, tables and one HTML page."""

import base64
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from fmrgb import page, plots, verdict
from fmrgb.build import write_failed
from fmrgb.cells import write_csv
from fmrgb.evaluate import Evaluation
from fmrgb.files import make_folder, shown, whole_file
from fmrgb.metrics import Predictions
from fmrgb.mistakes import mistakes_sheet, worst_mistakes
from fmrgb.sample import Sample, load_sample

PACKAGES = ("fmrgb", "torch", "lightning", "av", "librosa", "numpy", "scipy")
NO_BREAK = "\N{NO-BREAK SPACE}"
SEARCH = "lr_search.png"  # what a search for the learning rate leaves in the folder


@dataclass(frozen=True)
class Story:
    """What a report tells.

    Attributes:
        title: heading of the page.
        scores: from `metrics.score`, by the name of the split; "test", else the first,
            is the one that counts. Those named "fold 1", "fold 2", ... are parts of it.
        predictions: of the split that counts.
        history: one dict per epoch (empty if there was no training).
        options: everything that was chosen, by name.
        facts: lines on the data: counts, groups, what was set aside.
        warnings: what may make the numbers mean less than they seem.
        read: makes a sample of the path of a prediction.
    """

    title: str
    scores: dict[str, dict[str, Any]]
    predictions: Predictions
    history: list[dict[str, float]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    facts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    read: Callable[[Path], Sample] = load_sample

    @property
    def main(self) -> dict[str, Any]:
        """The scores that count."""
        return self.scores.get("test") or next(iter(self.scores.values()))

    @property
    def folds(self) -> dict[str, dict[str, Any]]:
        """The scores of the folds, by name; none without folds."""
        return {k: s for k, s in self.scores.items() if k.startswith("fold ")}


def write_report(folder: Path, story: Story) -> Path:
    """Write predictions.csv, metrics.json, the plots and report.html into `folder`.

    A picture of the search for the learning rate is shown if it lies there.

    Returns:
        path of report.html, one file that opens without a network.
    """
    mistakes = worst_mistakes(story.predictions)
    pictures = _draw(story, mistakes)
    for name, png in pictures.items():
        _write(folder / name, png)
    if (folder / SEARCH).is_file():
        pictures[SEARCH] = (folder / SEARCH).read_bytes()
    _write(folder / "metrics.json", json.dumps(story.scores, indent=1).encode())
    write_predictions(folder / "predictions.csv", story.predictions)
    template = files("fmrgb").joinpath("report.html").read_text(encoding="utf-8")
    jinja = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_tame
    )
    html = jinja.from_string(template).render(
        story=story,
        main=story.main,
        pictures={k: base64.b64encode(v).decode() for k, v in pictures.items()},
        mistakes=mistakes,
        versions=versions(),
        percent=verdict.percent,
        verdict=verdict,
    )
    _write(folder / "report.html", html.encode("utf-8", "replace"))
    return folder / "report.html"


def _tame(value: Any) -> Any:
    """Escape what would move the cursor of a terminal or turn a line around."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    # Spaces that do not break are our own, between a number and its unit.
    return NO_BREAK.join(map(shown, value.split(NO_BREAK)))


def _draw(story: Story, mistakes: list[dict[str, Any]]) -> dict[str, bytes]:
    """Draw every picture there is something for, as PNGs by name."""
    with page.styled():
        pictures = {
            "confusion.png": plots.draw_confusion(story.main),
            "probabilities.png": plots.draw_probabilities(
                story.predictions, story.main
            ),
        }
        if story.history:
            pictures["curves.png"] = plots.draw_curves(story.history)
        if "planes" in story.main:
            pictures["planes.png"] = plots.draw_planes(story.main["planes"])
        if (sheet := mistakes_sheet(mistakes, story.read)) is not None:
            pictures["mistakes.png"] = page.png(sheet)
    return pictures


def report_evaluation(
    folder: Path, model: Path, done: Evaluation, against: Path | None = None
) -> Path:
    """Write the report of a model judged on other data than its run's own.

    Clips set aside are listed in failed.csv, what the other model of a comparison said
    in predictions_against.csv.

    Raises:
        InputError: if the folder cannot be written to.
    """
    make_folder(folder)
    write_failed(folder / "failed.csv", {Path(k): r for k, r in done.faults.items()})
    if done.other:
        write_predictions(folder / "predictions_against.csv", done.other)
    card = done.card.as_dict()
    story = Story(
        title=f"{card['model']} {card['model_size']} judged: {done.split} clips",
        scores={done.split: done.scores},
        predictions=done.predictions,
        options={
            "model": str(model),
            "against": str(against) if against else None,
            **card["view"],
            "version": card["version"],
        },
        facts=done.facts + [f"set aside: {r}" for r in done.faults.values()],
        warnings=done.warnings,
        read=done.read,
    )
    return write_report(folder, story)


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as part:
        part.write_bytes(content)


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write one line per clip: path, label, predicted, right, and each probability.

    Windows of recordings also tell their track.
    """
    columns = ["path", "label", "predicted", "right"]
    columns += ["track"] if predictions.tracks else []
    columns += [f"p_{name}" for name in predictions.classes]
    records = []
    for n, clip in enumerate(predictions.paths):
        guess, truth = int(predictions.guesses[n]), int(predictions.truth[n])
        odds = [f"{p:.6f}" for p in predictions.probabilities[n]]
        names = predictions.classes
        record = [clip, names[truth], names[guess], str(guess == truth).lower()]
        record += [*predictions.tracks[n : n + 1], *odds]
        records.append(dict(zip(columns, record, strict=True)))
    write_csv(path, columns, records)


def versions() -> dict[str, str]:
    """Return the versions that a repetition needs to know."""
    return {"Python": platform.python_version(), **{p: version(p) for p in PACKAGES}}
