"""From a manifest to the samples of a training, and how a network looks at them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fmrgb.card import View
from fmrgb.join import marked, relabelled
from fmrgb.loader import readable
from fmrgb.manifest import Row, read_manifest
from fmrgb.ondisk import fetch_ahead
from fmrgb.sample import load_sample
from fmrgb.seen import choose_view
from fmrgb.splits import check_labels, split


@dataclass(frozen=True)
class Material:
    """Samples that can be read, and how a network looks at them.

    Attributes:
        data: where they are listed.
        rows: the samples; each has its split if one was given.
        view: what a network sees of them.
        recipe: how they were built.
        faults: samples set aside and why, by name.
        chosen: data, labels, label_column and split, as they were asked for.
        notes: sentences on samples left out, and on others that were not found.
    """

    data: Path
    rows: list[Row]
    faults: dict[str, str]
    view: View
    recipe: dict[str, Any]
    chosen: dict[str, str | None]
    notes: list[str]


def gather(
    data: Path,
    *,
    labels: Path | None = None,
    label_column: str = "label",
    given_split: Path | None = None,
    channels: str = "all",
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    outside: bool = False,
) -> Material:
    """Find the samples and settle what a network sees of them.

    Args:
        data: manifest, or folder `<label>/<sample>.pt`.
        labels: CSV with path and `label_column`, whose labels replace those of `data`.
        label_column: which column of `labels`, or else of `data`, to train on.
        given_split: manifest whose splits the samples get, like a run's split.csv.
        channels: planes the network sees: all, picture, sound, or names with commas.
        frames: how many it sees of each sample; None shows all.
        size: (width, height) it sees, in pixels; None keeps the samples' own.
        outside: let the paths of `data` lead out of its folder; see `fmrgb.fence`.

    Raises:
        TrainingError: if no sample can be read or a plane is missing.
        ManifestError: if a column is missing, no sample has a label, or one no split.
        InputError: if there is no such file.
    """
    files = {"data": data, "labels": labels, "split": given_split}
    chosen = {name: str(path) if path else None for name, path in files.items()}
    chosen["label_column"] = label_column
    notes: list[str] = []
    rows = read_manifest(data, "label" if labels else label_column, outside=outside)
    if labels:
        rows, notes = relabelled(rows, labels, label_column)
    fetch_ahead((row.path for row in rows), data)
    rows, faults = readable(rows)
    if given_split:
        rows, more = marked(rows, given_split)
        notes += more
    first = load_sample(rows[0].path)
    view = choose_view(first, channels=channels, frames=frames, size=size)
    recipe = first.meta.get("options", {})
    rows = [_known(row) for row in rows]
    return Material(data, rows, faults, view, recipe, chosen, notes)


def parted(
    material: Material, *, test_size: float, val_size: float, seed: int
) -> list[Row]:
    """Give every sample its split: the one that was given, else one made here.

    Raises:
        ManifestError: if a label would be missing in a split.
    """
    if material.chosen["split"]:
        check_labels(material.rows)
        return material.rows
    return split(material.rows, test_size=test_size, val_size=val_size, seed=seed)


def _known(row: Row) -> Row:
    """Ask a sample itself for what no manifest says of it."""
    if row.has_sound is not None and row.checksum:
        return row
    sample = load_sample(row.path)
    n_frames, height, width, _ = sample.shape
    return replace(
        row,
        has_sound=sample.has_sound if row.has_sound is None else row.has_sound,
        silent=sample.silent if row.silent is None else row.silent,
        fps=row.fps or sample.meta.get("fps"),
        frames=n_frames,
        seconds=row.seconds or sample.meta.get("seconds"),
        height=height,
        width=width,
        checksum=row.checksum or sample.meta.get("source", {}).get("sha256", ""),
    )
