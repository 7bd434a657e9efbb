"""From the lists that the shares of a build left to one manifest of all samples."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fmrgb.address import place
from fmrgb.build import write_failed
from fmrgb.cells import read_csv
from fmrgb.errors import InputError, ManifestError
from fmrgb.files import shown
from fmrgb.manifest import Row, read_manifest, write_manifest
from fmrgb.names import FEATURES, Shard
from fmrgb.sample import load_sample
from fmrgb.soundbuild import write_features

_NAME = re.compile(r"manifest\.shard(\d{1,6})of(\d{1,6})\.csv")


@dataclass(frozen=True)
class Merged:
    """What a merge left behind.

    Attributes:
        rows: of all shares.
        failed: clips that were set aside, and why.
        shards: how many shares there were.
        manifest: the one that was written.
    """

    rows: list[Row]
    failed: dict[Path, str]
    shards: int
    manifest: Path


def merge(folder: Path) -> Merged:
    """Write `manifest.csv`, `failed.csv` and `features.csv` of all shares of a build.

    They are what a build that was not shared would have written. The shares' own lists
    stay, so that any of them can be worked at again.

    Args:
        folder: of the samples.

    Raises:
        InputError: if the folder holds no share, not all of them, or shares of two
            divisions, or if no clip of any could be used.
        ManifestError: if shares were made with different options, or a list is damaged.
    """
    shards = _shards(folder)
    rows: list[Row] = []
    failed: dict[Path, str] = {}
    options: dict[str, Shard] = {}
    for shard in shards:
        mine = _rows(folder / shard.named("manifest.csv"))
        if mine:
            known = load_sample(mine[0].path)
            options.setdefault(repr(known.meta.get("options")), shard)
        rows += mine
        if (list_ := folder / shard.named("failed.csv")).exists():
            records = read_csv(list_, ("path", "reason"))
            failed |= {place(record["path"]): record["reason"] for record in records}
    if len(options) > 1:
        one, other = list(options.values())[:2]
        raise ManifestError(
            f"{shown(folder)}: shares {one.number} and {other.number} of {one.of} were "
            "made with different options; make one of them again"
        )
    if not rows:
        raise InputError(
            f"none of the {len(failed)} clips of all shares in {shown(folder)} could "
            "be used; the reasons stand in their failed lists"
        )
    rows.sort(key=lambda row: row.path)
    write_failed(folder / "failed.csv", failed)
    write_manifest(folder / "manifest.csv", rows)
    if FEATURES in load_sample(rows[0].path).sound:
        write_features(folder / "features.csv", rows)
    return Merged(rows, failed, len(shards), folder / "manifest.csv")


def _shards(folder: Path) -> Sequence[Shard]:
    """Return all shares of the one division that the folder was made in."""
    if not folder.is_dir():
        raise InputError(f"expected a folder of samples, got {shown(folder)}")
    names = [match for p in folder.iterdir() if (match := _NAME.fullmatch(p.name))]
    found = {Shard(int(name[1]), int(name[2])) for name in names}
    divisions = sorted({shard.of for shard in found})
    if len(divisions) != 1:
        told = " and ".join(map(str, divisions)) or "no"
        raise InputError(
            f"{shown(folder)} holds lists of {told} shares; expected those of one "
            "division, as create_fmrgbdata --shard i/n leaves them; remove the others"
        )
    wanted = [Shard(n + 1, divisions[0]) for n in range(divisions[0])]
    if missing := [shard for shard in wanted if shard not in found]:
        told = ", ".join(f"{shard.number}/{shard.of}" for shard in missing[:9])
        more = ", ..." if len(missing) > 9 else ""
        raise InputError(
            f"{shown(folder)}: {len(missing)} of {divisions[0]} shares are not made; "
            f"run create_fmrgbdata with --shard {told}{more}"
        )
    return wanted


def _rows(path: Path) -> list[Row]:
    """Return the rows of a share, of which there may be none."""
    return read_manifest(path) if read_csv(path, ("path", "label")) else []
