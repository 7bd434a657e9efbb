"""From samples in files of their own to shards, and a manifest that names them there.

Millions of files take a disk or a bucket longer to find than to read. A shard holds
hundreds of samples as they are, in an order that mixes the labels. The same samples
give the same bytes; shards that are finished outlive a run that is killed.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from fmrgb import engine
from fmrgb.alone import LOCK
from fmrgb.build import write_failed
from fmrgb.cells import read_csv, write_csv
from fmrgb.errors import InputError, SampleError
from fmrgb.files import make_folder, shown, whole_file
from fmrgb.leftovers import and_sweep
from fmrgb.manifest import read_manifest
from fmrgb.memory import in_bytes
from fmrgb.names import SAMPLE
from fmrgb.ondisk import scratch_of
from fmrgb.pack_shard import Item, Job, Shard, bytes_in_tar, make_shard, rounded
from fmrgb.packed import SHARD, TEXT, shard_of, stretch_of
from fmrgb.preflight import ROOM_LEFT

MARK = "pack.json"  # in the folder of a packed set: what it is made of
MANIFEST, FAILED = "manifest.csv", "failed.csv"
_META = re.compile(r"__[^/]*__($|/)")  # what WebDataset takes for no sample
Cells = dict[str, str]


@dataclass(frozen=True)
class Packed:
    """What packing left behind.

    Attributes:
        manifest: the one that was written.
        samples: how many it lists.
        failed: samples that were set aside, and why.
        shards: how many there are.
        made: how many of them had to be written; the others were there already.
        n_bytes: of all shards.
    """

    manifest: Path
    samples: int
    failed: dict[Path, str]
    shards: int
    made: int
    n_bytes: int


def pack(
    data: Path,
    folder: Path,
    *,
    shard_bytes: int,
    seed: int = 0,
    outside: bool = False,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Packed:
    """Write the samples of a manifest into shards; list them in `folder/manifest.csv`.

    Its rows are those of `data` but for the path, `shard-000000.tar/label/name.pt`, in
    the order in which the samples lie. What cannot be read stands in `failed.csv`.
    Nothing of `data` is changed.

    Args:
        data: manifest, or folder of samples; they may be packed already.
        folder: of the shards.
        shard_bytes: that a shard takes at most; a larger sample gets one of its own.
        seed: decides the order.
        outside: let paths of `data` lead out of its folder; see `fmrgb.fence`.
        workers: shards that are written side by side.
        progress: called with how many of how many shards are done.

    Raises:
        InputError: if the folder holds another set or anything else, if the shards
            would not fit on the disk, or if no sample can be read.
        ManifestError: if the manifest is not sound.
        DiskFullError: if the disk is full.
    """
    paths, columns, records = _listed(data, outside)
    items, failed = _items(paths, data if data.is_dir() else data.parent)
    plan = planned(items, shard_bytes, seed)
    if plan:
        _begin(folder, plan, seed=seed, shard_bytes=shard_bytes)
    jobs = [(folder / f"shard-{n:06d}{SHARD}", part) for n, part in enumerate(plan)]
    _check_room(jobs, folder, workers)
    done = _made(jobs, folder, workers, progress)
    for shard in done.values():
        failed |= shard.failed
    lines = [
        {**records[item.number], "path": f"{path.name}/{item.name}"}
        for path, _ in jobs
        for item in done[path].held
    ]
    if not lines:
        raise InputError(
            f"no sample of {shown(data)} can be packed; the first: "
            f"{next(iter(failed.values()))}"
        )
    write_failed(folder / FAILED, failed)
    write_csv(folder / MANIFEST, columns, lines)
    full = [shard for shard in done.values() if shard.held]
    made, n_bytes = sum(s.is_new for s in full), sum(s.n_bytes for s in full)
    return Packed(folder / MANIFEST, len(lines), failed, len(full), made, n_bytes)


def _made(
    jobs: Sequence[Job],
    folder: Path,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> dict[Path, Shard]:
    """Make all shards; one that cannot be made sets its samples aside."""
    done: dict[Path, Shard] = {}
    outcomes = engine.run(make_shard, jobs, workers=workers)
    for number, outcome in enumerate(and_sweep(outcomes, folder), start=1):
        path, part = outcome.job
        why = str(outcome.fault)
        nothing = Shard([], {item.path: why for item in part}, 0, False)
        done[path] = outcome.result or nothing
        if progress:
            progress(number, len(jobs))
    return done


def _listed(
    data: Path, outside: bool
) -> tuple[list[Path], Sequence[str], Sequence[Cells]]:
    """Return paths, columns and lines of a table; of a folder as a table would be."""
    table = data / MANIFEST if (data / MANIFEST).is_file() else data
    rows = read_manifest(table, outside=outside)
    paths = [row.path for row in rows]
    if table.is_dir():
        return paths, ("path", "label"), [{"label": row.label} for row in rows]
    records = read_csv(table, ("path", "label"))  # columns that we do not know as well
    return paths, list(records[0]), records


def _items(paths: Sequence[Path], home: Path) -> tuple[list[Item], dict[Path, str]]:
    """Name samples and tell their sizes; set aside those that are not there."""
    items: dict[str, Item] = {}
    failed: dict[Path, str] = {}
    for number, path in enumerate(paths):
        name = name_in_shard(path, home)
        try:
            file, _, size = stretch_of(path)
            n_bytes = file.stat().st_size if size is None else size
        except (SampleError, OSError) as error:
            said = "there is no such file" if isinstance(error, OSError) else str(error)
            failed[path] = said
            continue
        if name in items:
            raise InputError(
                f"{shown(items[name].path)} and {shown(path)} would both be called "
                f"{shown(name)} in a shard; rename one of them"
            )
        items[name] = Item(path, name, n_bytes, number)
    return list(items.values()), failed


def name_in_shard(path: Path, home: Path) -> str:
    """Return what a sample is called in its shard: its path within the set's folder.

    One that is packed already keeps its name.

    WebDataset cuts a name at the first dot of its last part and leaves out what begins
    with a part `__x__`, so that such signs are written as in a URL.

    Args:
        path: of the sample.
        home: folder of the set.
    """
    if packed := shard_of(path):
        return packed[1]
    inside = PurePath(os.path.relpath(str(path), str(home)))  # may be addresses
    *folders, last = (
        part for part in inside.parts if part not in ("..", inside.anchor)
    )
    stem = last[: -len(SAMPLE)] if last.lower().endswith(SAMPLE) else last
    stem = stem.replace("%", "%25").replace(".", "%2E")
    name = "/".join((*folders, stem + SAMPLE))
    return f"%5F{name[1:]}" if _META.match(name) else name


def planned(items: Sequence[Item], shard_bytes: int, seed: int) -> list[list[Item]]:
    """Order samples and divide them into shards.

    Name and seed decide, by their SHA-256, where a sample comes, so that every machine
    agrees.
    """

    def place(item: Item) -> bytes:
        return hashlib.sha256(f"{seed}/{item.name}".encode(*TEXT)).digest()

    plan: list[list[Item]] = []
    taken = 0
    for item in sorted(items, key=place):
        n_bytes = bytes_in_tar(item)
        if not plan or rounded(taken + n_bytes) > shard_bytes:
            plan.append([])
            taken = 0
        plan[-1].append(item)
        taken += n_bytes
    return plan


def _begin(folder: Path, plan: list[list[Item]], **choices: int) -> None:
    """Mark a folder with the set that it is to hold, before anything is packed.

    Raises:
        InputError: if it holds something else, or another set.
    """
    if folder.is_file():
        raise InputError(f"{shown(folder)} is a file; name a new folder as --output")
    names = hashlib.sha256()
    for item in (item for part in plan for item in part):
        names.update(f"{item.name}\0{item.n_bytes}\n".encode(*TEXT))
    what = {"format": "fmrgb-pack", "version": 1, **choices}
    what |= {"samples": sum(map(len, plan)), "sha256": names.hexdigest()}
    told = json.dumps(what, indent=1)
    mark = folder / MARK
    make_folder(folder)
    if mark.is_file():
        if mark.read_text() != told:
            raise InputError(
                f"{shown(folder)} holds shards of other samples, or by another --seed "
                "or --shard_mb; name a new --output"
            )
        return
    if any(path.name != LOCK for path in folder.iterdir()):
        raise InputError(f"{shown(folder)} is not empty; name a new --output")
    with whole_file(mark) as part:
        part.write_text(told)


def _check_room(jobs: Sequence[Job], folder: Path, workers: int) -> None:
    """Raise InputError if the shards would not fit on the disk."""
    needed = [
        rounded(sum(map(bytes_in_tar, part)))
        for path, part in jobs
        if not path.exists()
    ]
    scratch = scratch_of(folder)
    if scratch != folder:  # each goes to a store as soon as it is written
        needed = sorted(needed)[-workers:]
    free = shutil.disk_usage(scratch).free - ROOM_LEFT if needed else 0
    if sum(needed) > free:
        raise InputError(
            f"the shards need {in_bytes(sum(needed))}, {shown(folder)} has "
            f"{in_bytes(max(free, 0))} free; name another --output"
        )
