"""Why packed samples lie in tars: size and speed beside LitData and files of their own.

Writes samples that are made up (random levels, which nothing could compress), packs
them in every way, and reads them one after the other and by chance, from the disk (the
pages of the files are given up before) and from memory. First the bytes of clips as
each package hands them out, then whole samples as `fmrgb train` reads them. Writes the
part "pack" of benchmarks/RESULTS.md. LitData is no part of the project; `make
bench-peers` installs what is compared, and without it its rows are left out.

    python benchmarks/pack_speed.py --clips 600

What was chosen, and why: the shards of WebDataset, plain tars of the `.pt` files,
written and read by the standard library's tarfile.

- Speed decides nothing between them. LitData hands out bytes up to three times as fast
  as tars do, webdataset about as fast. But to look at a sample and open it takes 0.9 ms
  whatever it lies in, and from memory tars and files serve as many samples a second;
  from the disk tars serve up to 1.7 times as many as files do. All three take the bytes
  that the samples have; a small sample takes less of the disk than as a file.
- LitData's index names how each value is decoded, and one of the names is `pickle`:
  whoever makes a set has code run at whoever reads it (tried with 0.2.76; it ran). Its
  chunks are a format of its own, which no other program opens, and needs torchvision
  and obstore. It resumes in mid-epoch by the state of its own loader, which had faults
  (Lightning-AI/litData issues 248, 251, 316 and 363, closed, the last unrepaired).
- Any program reads a tar, today's and that of 1988. Samples keep the one way of being
  read, with its look at what they ask for; nothing of webdataset's decoders (which
  unpickle `.pkl` and run what follows `pipe:`) is called.
- webdataset itself streams shards one after the other. It cannot resume within an epoch
  (webdataset/webdataset issues 234 and 271, both open), and leaves an exact epoch of
  several processes to whoever uses it (177). Its 1.0 series left out `wids`, which read
  shards by index, and is a package of its own now (0.1.11). wids keeps an index in a
  pickle beside each shard and unpickles what it finds there, cuts names at 100 bytes,
  and copies each sample whole (wids_tar.py, wids_mmtar.py). So a shard's own headers
  are the index here, 25 us a sample, read once, and the order of an epoch is
  `fmrgb.order`'s, as for files.
- Both packages run on Python 3.10 to 3.12 and later; tarfile wherever Python does.
"""

import argparse
import io
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset
from build_peers import PEERS
from results import machine, write_part
from training_loading import sample_of

from fmrgb.manifest import Row, read_manifest, write_manifest
from fmrgb.order import shuffled
from fmrgb.pack import pack
from fmrgb.packed import stretch_of
from fmrgb.sample import Sample, load_sample, save_sample

SHARD = 64 * 2**20  # bytes
SMALL_TIMES = 2  # as many samples of sound alone as clips
AHEAD = 1000  # clips that webdataset mixes, as its documentation has it
Ways = dict[str, Callable[[bool], Iterator[object]]]  # by chance or not


def sound_of(number: int) -> Sample:
    """Make up a sample of sound alone: a picture of 64 x 48."""
    dice = np.random.default_rng(number)
    return Sample(
        visual=np.zeros((1, 48, 64, 0), np.uint8),
        sound={"logmel": dice.integers(0, 256, (1, 48, 64), dtype=np.uint8)},
        channels=("logmel",),
        times=np.zeros(1, np.float32),
        has_sound=True,
        silent=False,
        label="ab"[number % 2],
        meta={"options": {"soundpicture": {"kinds": ["logmel"]}}},
    )


def written(folder: Path, n: int, make: Callable[[int], Sample]) -> Path:
    """Write samples and their manifest, unless they are there."""
    if not (folder / "manifest.csv").exists():
        rows = []
        for number in range(n):
            made = make(number)
            path = folder / made.label / f"{number:06d}.pt"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_sample(path, made)
            rows.append(Row(path=path, label=made.label))
        write_manifest(folder / "manifest.csv", rows)
    return folder


def to_litdata(samples: Path, folder: Path) -> Any:
    """Write LitData's chunks; return the package, or None where it is not installed."""
    if str(PEERS) not in sys.path:
        sys.path.append(str(PEERS))
    try:
        import litdata
        from litdata.streaming.writer import BinaryWriter
    except ImportError:
        return None
    if not (folder / "index.json").exists():
        folder.mkdir()
        # What litdata.optimize uses in each of its processes.
        writer = BinaryWriter(str(folder), chunk_bytes=SHARD)
        for number, row in enumerate(read_manifest(samples)):
            writer[number] = {"pt": row.path.read_bytes()}
        writer.done()
        writer.merge()
    return litdata


def order(n: int, by_chance: bool, turn: Iterator[int]) -> list[int]:
    """Return the numbers of rows, anew for every turn."""
    return shuffled(n, 0, next(turn)).tolist() if by_chance else list(range(n))


def bytes_at(path: Path) -> bytes:
    """Read the bytes of a sample from its file or its shard."""
    lies = stretch_of(path)
    with open(lies.file, "rb") as file:
        file.seek(lies.start)
        return file.read(-1 if lies.size is None else lies.size)


def ways(folders: dict[str, Path], litdata: Any) -> tuple[Ways, Ways]:
    """Return how bytes, and how samples, are read from each folder."""
    turn = iter(range(10**9))
    files, shards = (
        [row.path for row in read_manifest(folders[name])] for name in ("files", "tar")
    )

    def ours(
        read: Callable[[Path], object], paths: Sequence[Path]
    ) -> Callable[[bool], Iterator[object]]:
        return lambda by_chance: (
            read(paths[n]) for n in order(len(paths), by_chance, turn)
        )

    def web(by_chance: bool) -> Iterator[object]:
        names = sorted(map(str, folders["tar"].glob("*.tar")))
        shuffle = len(names) if by_chance else False
        stream = webdataset.WebDataset(names, shardshuffle=shuffle, empty_check=False)
        return (s["pt"] for s in (stream.shuffle(AHEAD) if by_chance else stream))

    def lit(by_chance: bool) -> Iterator[object]:
        stream = litdata.StreamingDataset(str(folders["litdata"]), shuffle=by_chance)
        return (bytes(sample["pt"]) for sample in stream)

    of_bytes = {
        "files": ours(bytes_at, files),
        "tar, at their places": ours(bytes_at, shards),
        "tar, webdataset": web,
    }
    if litdata:
        of_bytes["LitData"] = lit

    def whole(path: Path) -> object:
        sample = load_sample(path)  # by memory map
        return sample.visual.copy(), [plane.copy() for plane in sample.sound.values()]

    def unpacked(data: object) -> object:
        # As torch alone would, without a look at what the file asks for.
        return torch.load(io.BytesIO(data), weights_only=True)  # type: ignore[arg-type]

    samples = {"files": ours(whole, files), "tar": ours(whole, shards)}
    streams = {"tar, webdataset and torch.load": web}
    streams |= {"LitData and torch.load": lit} if litdata else {}
    for name, stream in streams.items():
        samples[name] = lambda by_chance, s=stream: map(unpacked, s(by_chance))  # type: ignore[misc]
    return of_bytes, samples


def give_up(folder: Path) -> None:
    """Have the system forget what it holds of the files, so that a disk is read."""
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def clips_per_s(
    found: Ways, folders: dict[str, Path], n: int, repeats: int
) -> list[str]:
    """Read in all ways in turn; return the rows of a table."""
    asked = [(chance, cold) for cold in (True, False) for chance in (False, True)]
    speeds: dict[tuple[str, bool, bool], list[float]] = {}
    for turn in range(repeats + 1):
        for by_chance, cold in asked:
            for name, way in found.items():
                key = next(k for k in folders if name.lower().startswith(k))
                if cold:
                    give_up(folders[key])
                start = time.perf_counter()
                count = sum(1 for _ in way(by_chance))
                seconds = time.perf_counter() - start
                assert count == n, f"{name}: {count} of {n}"
                if turn:  # the first turn warms what each keeps
                    speeds.setdefault((name, by_chance, cold), []).append(n / seconds)
    return [
        f"| {name} | "
        + " | ".join(f"{statistics.median(speeds[(name, *a)]):,.0f}" for a in asked)
        + " |"
        for name in found
    ]


def n_bytes(folder: Path) -> tuple[int, int]:
    """Return how many bytes a folder's files have, and take of the disk."""
    known = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum(k.st_size for k in known), sum(512 * k.st_blocks for k in known)


def measured(
    work: Path, n: int, make: Callable[[int], Sample], repeats: int
) -> list[str]:
    """Return the tables of one set."""
    folders = {name: work / name for name in ("files", "tar", "litdata")}
    written(folders["files"], n, make)
    start = time.perf_counter()
    pack(folders["files"], folders["tar"], shard_bytes=SHARD)
    packing = time.perf_counter() - start
    litdata = to_litdata(folders["files"], folders["litdata"])
    if not litdata:
        del folders["litdata"]
    os.sync()  # what is not on the disk yet cannot be given up
    lines = ["| | files | MiB | MiB of the disk |", "|---|---:|---:|---:|"]
    for name, folder in folders.items():
        held, taken = (size / 2**20 for size in n_bytes(folder))
        count = sum(path.is_file() for path in folder.rglob("*"))
        lines.append(f"| {name} | {count:,} | {held:,.1f} | {taken:,.1f} |")
    lines += ["", f"Packed, proved and read again in {packing:.1f} s.", ""]
    columns = "from disk | by chance | from memory | by chance |"
    for title, found in zip(("bytes", "samples"), ways(folders, litdata), strict=True):
        lines += [f"| clips/s as {title} | {columns}", "|---|---:|---:|---:|---:|"]
        lines += [*clips_per_s(found, folders, n, repeats), ""]
    return lines


def main() -> int:
    """Measure and write the part."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=3)
    default = Path(tempfile.gettempdir()) / "fmrgb-pack"
    parser.add_argument("--work", type=Path, default=default, help="folder for it all")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        machine("torch", "webdataset"),
        "",
        f"One process, medians of {asked.repeats} in turn; shards of "
        f"{SHARD // 2**20} MiB. `by chance` is every clip anywhere, but for webdataset "
        f"(shards by chance, and the next {AHEAD:,} clips mixed) and LitData (chunks "
        "by chance, and clips within). As samples, the rows with torch.load lack the "
        "look at what a file asks for.",
    ]
    n = asked.clips
    for name, count, make, title in (
        ("clips", n, sample_of, "Clips of 32 frames of 64x64x5, 0.4 MB each"),
        ("sounds", n * SMALL_TIMES, sound_of, "Sound alone, 64x48, 5 kB each"),
    ):
        lines += ["", f"{title}, {count:,}:", ""]
        lines += measured(asked.work / name, count, make, asked.repeats)
        shutil.rmtree(asked.work / name)
    write_part("pack", lines)
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
