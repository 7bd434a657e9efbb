"""From a manifest and predictions to what can be searched."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fmrgb.cells import read_csv
from fmrgb.errors import ManifestError
from fmrgb.files import shown
from fmrgb.manifest import Row, read_manifest

PREDICTIONS, REPORT, SPLIT = "predictions.csv", "report.html", "split.csv"
NEEDED = ("path", "predicted")

Answer = Literal["all", "right", "wrong", "not judged"]


@dataclass(frozen=True)
class Entry:
    """A clip of a manifest, and what the model said of it.

    Attributes:
        path: of its sample.
        label: what it is.
        split: train, val, test or "".
        predicted: what the model said; "" if it was not asked.
        probability: that the model gave what it said; None if it was not asked.
    """

    path: Path
    label: str
    split: str = ""
    predicted: str = ""
    probability: float | None = None

    @property
    def answer(self) -> Answer:
        """Whether the model was right, wrong or not asked."""
        if not self.predicted:
            return "not judged"
        return "right" if self.predicted == self.label else "wrong"


def run_of(model: Path, run: Path | None) -> Path | None:
    """Return the run folder to show: the given one, else the model's if it is one."""
    if run is not None:
        return run
    marks = (PREDICTIONS, REPORT, SPLIT)
    return model.parent if any((model.parent / m).is_file() for m in marks) else None


def read_gallery(
    data: Path | None, run: Path | None, *, outside: bool = False
) -> list[Entry]:
    """List the clips of a manifest with what a run says of them.

    Args:
        data: manifest or folder of samples; None takes the run's own split.csv, else
            what its predictions are of.
        run: folder that may hold predictions.csv.
        outside: let paths of `data` lead out of its folder; see `fmrgb.fence`.

    Returns:
        the wrong ones first, and the surest answers first; then those not judged.

    Raises:
        ManifestError: if a CSV is not sound.
        InputError: if there is no such file or folder.
    """
    told = _predictions(run / PREDICTIONS) if run else {}
    if data is None and run and (run / SPLIT).is_file():
        data, outside = run / SPLIT, True  # where a run's own samples lie
    if data is not None:
        rows = read_manifest(data, outside=outside)
    else:
        rows = [Row(path=p, label=told[p].label) for p in told if told[p].label]
    found = _Matcher(list(told))
    entries = []
    for row in rows:
        known = told.get(found.like(row.path) or Path())
        predicted = known.predicted if known else ""
        probability = known.probability if known else None
        entries.append(Entry(row.path, row.label, row.split, predicted, probability))
    order = {"wrong": 0, "right": 1, "not judged": 2}
    return sorted(entries, key=lambda e: (order[e.answer], -(e.probability or 0.0)))


def _predictions(path: Path) -> dict[Path, Entry]:
    """Read predictions.csv of `report` or of `judging`, if it is there."""
    if not path.is_file():
        return {}
    told = {}
    for record in read_csv(path, NEEDED):
        name, predicted = record["path"], record["predicted"]
        if not predicted:  # a clip that could not be judged
            continue
        text = record.get(f"p_{predicted}", "")
        try:
            probability = float(text)
        except ValueError:
            probability = math.nan
        if not 0 <= probability <= 1:
            raise ManifestError(
                f"{shown(path)}: the probability of {shown(predicted)} for "
                f"{shown(name)} must be 0 to 1, got {text!r}"
            )
        label = record.get("label", "")
        told[Path(name)] = Entry(Path(name), label, "", predicted, probability)
    return told


class _Matcher:
    """Finds the prediction of a sample whatever folder each path was written from."""

    def __init__(self, told: Sequence[Path]) -> None:
        self._exact = {path.resolve(): path for path in told}
        self._by_name: dict[str, list[Path]] = {}
        for path in told:
            self._by_name.setdefault(path.name, []).append(path)

    def like(self, path: Path) -> Path | None:
        """Return the path of the prediction; None if none or several would do."""
        whole = path.resolve()
        if whole in self._exact:
            return self._exact[whole]
        fitting = [
            other
            for other in self._by_name.get(path.name, [])
            if _ends_with(whole.parts, _below(other))
        ]
        return fitting[0] if len(fitting) == 1 else None


def _below(path: Path) -> tuple[str, ...]:
    """Return the parts of a relative path behind its last `..`."""
    parts = path.parts
    ups = [i for i, part in enumerate(parts) if part == ".."]
    return parts[ups[-1] + 1 :] if ups else parts


def _ends_with(parts: tuple[str, ...], end: tuple[str, ...]) -> bool:
    return parts[-len(end) :] == end


def search(
    entries: Sequence[Entry],
    *,
    label: str | None = None,
    answer: Answer = "all",
    split: str | None = None,
    lowest: float = 0.0,
    highest: float = 1.0,
    name: str = "",
) -> list[int]:
    """Return the places of the entries that fit all wishes.

    Args:
        entries: from `read_gallery`.
        label: what they are; None takes all.
        answer: whether the model was right.
        split: train, val or test; None takes all.
        lowest: probability, 0 to 1, that the model gave its answer at least. Clips that
            were not judged have none, and are found only from 0 to 1.
        highest: probability at most.
        name: words that the file's name, or its folder's, must hold.
    """
    wanted = name.casefold().split()

    def fits(entry: Entry) -> bool:
        where = f"{entry.path.parent.name}/{entry.path.name}".casefold()
        return (
            label in (None, entry.label)
            and answer in ("all", entry.answer)
            and split in (None, entry.split)
            and _is_within(entry.probability, lowest, highest)
            and all(word in where for word in wanted)
        )

    return [place for place, entry in enumerate(entries) if fits(entry)]


def _is_within(probability: float | None, lowest: float, highest: float) -> bool:
    if probability is None:
        return lowest <= 0 and highest >= 1
    return lowest <= probability <= highest
