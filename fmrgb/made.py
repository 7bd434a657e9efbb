"""From a sample that is there to whether it is up to date, and to its manifest row."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from fmrgb.address import Remote
from fmrgb.errors import FmrgbError
from fmrgb.manifest import Row
from fmrgb.ondisk import on_disk, outlined
from fmrgb.preflight import Found
from fmrgb.recipe import Recipe
from fmrgb.sample import Sample, load_sample
from fmrgb.seen import size_on_screen


def up_to_date(path: Path, item: Found, recipe: Recipe, checksum: str) -> Sample | None:
    """Return the sample that is there, if it was made from this clip by this recipe."""
    if not path.exists():
        return None
    sample = _outline_of(path)
    same = sample is not None and (
        sample.meta.get("source", {}).get("sha256") == checksum
        and sample.meta.get("source", {}).get("name") == item.clip.name
        and sample.meta.get("options") == recipe.options()
        and sample.meta.get("excerpt", {}) == excerpt_of(item)
        and sample.label == item.label
    )
    return sample if same else None


def _outline_of(path: Path) -> Sample | None:
    """Open a sample of which nothing but its pixels may be missing."""
    for give in (outlined, on_disk):
        with suppress(FmrgbError), give(path) as file:
            return load_sample(file)
        if not isinstance(path, Remote):
            return None
    return None


def excerpt_of(item: Found) -> dict[str, Any]:
    """Say as plain values what is taken of a clip; empty for all of it."""
    return item.excerpt.told() if item.excerpt else {}


def row_of(path: Path, item: Found, sample: Sample) -> Row:
    """Return what the manifest says of a clip's sample, or of a window's."""
    n_frames, height, width, _ = sample.shape
    source_width, source_height = size_on_screen(sample)
    alone = not sample.visual.shape[-1]
    # A sample of an older version does not tell.
    if source_width is None and item.header and not alone:
        source_width, source_height = item.header.width, item.header.height
    is_window = "window" in sample.meta
    # Pieces of one file are not the same bytes, however many come from it.
    is_piece = bool(item.excerpt and item.excerpt.piece)
    return Row(
        path=path,
        label=item.label,
        group=item.group or (item.track if is_window else ""),
        split=item.split,
        has_sound=sample.has_sound,
        silent=sample.silent,
        fps=None if alone else float(sample.meta["fps"]),
        frames=n_frames,
        seconds=float(sample.meta["seconds"]),
        height=height,
        width=width,
        checksum="" if is_piece else sample.meta["source"]["sha256"],
        source_width=source_width,
        source_height=source_height,
        track=item.track if is_window else "",
        start=float(sample.meta["start"]) if is_window else None,
    )
