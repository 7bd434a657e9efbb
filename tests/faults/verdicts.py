"""From what the tool made of an item to whether that is one of the outcomes allowed."""

import csv
from pathlib import Path

import clips
import numpy as np
from items import Item

from fmrgb.manifest import Row, read_manifest
from fmrgb.sample import load_sample

FRAMES, WIDTH, HEIGHT = 12, 26, 18  # of every sample of the bench
LOUD = 150  # level of the amplitude plane that only the tone reaches


def results(folder: Path) -> tuple[dict[str, Row], dict[str, str]]:
    """Return rows of the manifest by sample name, and reasons by the clip's name."""
    rows = {row.path.stem: row for row in read_manifest(folder)}
    failed = folder / "failed.csv"
    if not failed.exists():
        return rows, {}
    with open(failed, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return rows, {Path(r["path"]).name: r["reason"] for r in csv.DictReader(file)}


def fault_in(item: Item, row: Row | None, reason: str | None) -> str | None:
    """Say what is wrong with what became of an item, None if nothing is."""
    if (row is None) == (reason is None):
        return "is in both lists" if row else "is in neither list"
    if reason is not None:
        if item.outcome == "sample":
            return f"was refused: {reason}"
        if not reason.strip() or "\n" in reason:
            return f"was refused for {reason!r}"
        if "fault of the program" in reason:
            return f"was not foreseen: {reason}"
        return None
    if item.outcome == "refused":
        return "was taken for a clip"
    assert row is not None
    return _wrong_in(item, row)


def _wrong_in(item: Item, row: Row) -> str | None:
    sample = load_sample(row.path)
    if sample.shape != (FRAMES, HEIGHT, WIDTH, 5):
        return f"has the shape {sample.shape}"
    if not np.isfinite(sample.times).all() or (np.diff(sample.times) < 0).any():
        return f"has the times {sample.times}"
    if item.sound is not None and sample.has_sound != item.sound:
        return f"has_sound is {sample.has_sound}"
    if item.size and (row.source_width, row.source_height) != item.size:
        return f"was {row.source_width}x{row.source_height}"
    seconds = item.seconds
    if seconds is not None and abs(row.seconds - seconds) > max(0.15, 0.01 * seconds):
        return f"lasts {row.seconds} s"
    if item.n_frames is not None:
        place = np.linspace(0, item.n_frames - 1, FRAMES)
        exact = np.isclose(place, place.round())
        wanted = np.array(clips.COLOURS)[place.round().astype(int) % 12][exact]
        middle = sample.visual[exact][:, HEIGHT // 4 : -3, WIDTH // 4 : -3]
        off = np.abs(middle.astype(int) - wanted[:, None, None]).max()
        if off > item.tolerance:
            return f"shows colours that are {off} levels off"
    amplitude = sample.sound["amplitude"]
    if item.audible and amplitude[FRAMES // 2] < LOUD:
        return f"cannot be heard: {amplitude}"
    if item.sound is False and amplitude.any():
        return f"can be heard: {amplitude}"
    return None
