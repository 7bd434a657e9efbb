"""Packed samples are the samples; what is wrong with a shard is told and harms nothing.

Axes: T frames, H height, W width, C channels.
"""

import gc
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3fs
import tiny
import torch
import webdataset
from bucket import NAME, Bucket, served
from fmrgb_tools.pack import main

from fmrgb import pack as pack_module
from fmrgb import store
from fmrgb.address import place
from fmrgb.blocks import blocks_of
from fmrgb.cells import read_csv, write_csv
from fmrgb.errors import InputError, ManifestError, SampleError
from fmrgb.files import sha256
from fmrgb.learner import Settings
from fmrgb.loader import readable
from fmrgb.manifest import Row, read_manifest, write_manifest
from fmrgb.material import gather
from fmrgb.pack import Packed, name_in_shard, pack
from fmrgb.packed import _same, members, shard_of
from fmrgb.plain import load_plain
from fmrgb.sample import Sample, load_sample, save_sample
from fmrgb.trainer import train

N_PAIRS = 9
SHARD = 30_720  # bytes; five tiny samples and the end of a tar
SPLITS = ("train", "train", "train", "train", "train", "val", "val", "test", "test")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Return the rows of 18 samples, whose manifest has a column of its own."""
    folder = tmp_path_factory.mktemp("samples")
    rows = tiny.dark_and_bright(folder, SPLITS)
    rows = [
        replace(row, group=f"g{n // 2}", fps=29.97, checksum=f"{n:064x}", text="a, b")
        for n, row in enumerate(rows)
    ]
    write_manifest(folder / "manifest.csv", rows)
    records = read_csv(folder / "manifest.csv", ("path",))
    for number, record in enumerate(records):
        record["weather"] = ("rain", "")[number % 2]
    write_csv(folder / "manifest.csv", list(records[0]), records)
    return rows


def packed(data: Path, folder: Path, **how: Any) -> Packed:
    """Pack into shards of five."""
    return pack(data, folder, **{"shard_bytes": SHARD, **how})


@pytest.fixture(scope="module")
def done(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the packed samples; no test writes to it."""
    folder = tmp_path_factory.mktemp("packed") / "set"
    packed(rows[0].path.parents[1], folder)
    return folder


@pytest.fixture
def spare(done: Path, tmp_path: Path) -> Path:
    """Return a copy of the packed set, to be damaged."""
    folder = tmp_path / "spare"
    folder.mkdir()
    for path in done.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of all files of a folder by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def same(one: Sample, other: Sample) -> bool:
    """Tell whether two samples are equal in all they hold."""
    planes = one.sound.keys() == other.sound.keys() and all(
        np.array_equal(one.sound[name], other.sound[name]) for name in one.sound
    )
    words = [(s.channels, s.has_sound, s.silent, s.label, s.meta) for s in (one, other)]
    seen = np.array_equal(one.visual, other.visual)
    return (
        planes
        and seen
        and np.array_equal(one.times, other.times)
        and (words[0] == words[1])
    )


def of(rows: Sequence[Row], row: Row) -> Row:
    """Return the row of the same sample in another manifest of the set."""
    (found,) = (r for r in rows if r.checksum == row.checksum)
    return found


def test_a_packed_sample_is_the_sample(rows, done):
    there = read_manifest(done)
    assert len(there) == len(rows) == 2 * N_PAIRS
    for row in there:
        assert same(load_sample(row.path), load_sample(of(rows, row).path))
        assert replace(row, path=of(rows, row).path) == of(rows, row)


def test_all_columns_stay_and_only_the_path_changes(rows, done):
    home = rows[0].path.parents[1]
    before = {r["checksum"]: r for r in read_csv(home / "manifest.csv", ("path",))}
    for record in read_csv(done / "manifest.csv", ("path", "weather")):
        shard, _, name = record["path"].partition("/")
        assert name == before[record["checksum"]]["path"]
        assert shard in files(done)
        assert {**record, "path": name} == before[record["checksum"]]


def test_shards_hold_as_much_as_they_may_and_mix_the_labels(done):
    shards = sorted(done.glob("*.tar"))
    assert [len(members(shard)) for shard in shards] == [5, 5, 5, 3]
    assert max(shard.stat().st_size for shard in shards) <= SHARD
    order = [row.label for row in read_manifest(done)]
    assert order != sorted(order)
    lie = [(row.path.parts[-3], row.path.parts[-2:]) for row in read_manifest(done)]
    assert lie == [
        (shard.name, tuple(name.split("/")))
        for shard in shards
        for name in members(shard)
    ]


def test_the_same_samples_give_the_same_bytes(rows, done, tmp_path):
    twice = packed(rows[0].path.parents[1], tmp_path / "again", workers=2)
    assert (twice.samples, twice.shards, twice.made) == (18, 4, 4)
    assert files(tmp_path / "again") == files(done)
    packed(done, tmp_path / "third")  # a packed set is packed anew
    assert files(tmp_path / "third") == files(done)


def test_the_seed_decides_the_order(rows, done, tmp_path):
    home = rows[0].path.parents[1]
    packed(home, tmp_path / "other", seed=1)
    names = [row.path.name for row in read_manifest(tmp_path / "other")]
    before = [row.path.name for row in read_manifest(done)]
    assert sorted(names) == sorted(before)
    assert names != before


def test_what_is_there_is_proved_and_kept(rows, spare):
    before = {path.name: path.stat().st_ino for path in spare.glob("*.tar")}
    again = packed(rows[0].path.parents[1], spare)
    assert (again.made, again.shards) == (0, 4)
    assert {p.name: p.stat().st_ino for p in spare.glob("*.tar")} == before


@pytest.mark.parametrize("how", ["flipped", "cut", "longer", "gone"])
def test_a_shard_that_is_not_as_wanted_is_written_anew(rows, done, spare, how):
    shard = spare / "shard-000002.tar"
    data = bytearray(shard.read_bytes())
    if how == "flipped":
        data[next(iter(members(shard).values()))[0] + 3000] ^= 1
    elif how == "cut":
        del data[-600:]
    elif how == "longer":
        data += bytes(512)
    shard.write_bytes(data)
    if how == "gone":
        shard.unlink()
    assert packed(rows[0].path.parents[1], spare).made == 1
    assert files(spare) == files(done)


KILLED = """
import os, signal, sys
from pathlib import Path
from fmrgb import pack_shard
from fmrgb.pack import pack

n = 0
def kill(tar, forget=pack_shard.forget):
    global n
    n += 1
    if n == 12:
        os.kill(os.getpid(), signal.SIGKILL)
    forget(tar)

pack_shard.forget = kill
pack(Path(sys.argv[1]), Path(sys.argv[2]), shard_bytes=int(sys.argv[3]))
"""


def test_a_run_that_is_killed_is_finished_by_the_next(rows, done, tmp_path):
    home, output = rows[0].path.parents[1], tmp_path / "out"
    words = [sys.executable, "-c", KILLED, str(home), str(output), str(SHARD)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    left = files(output)
    assert {name for name in left if name[0] != "."} == {
        "pack.json",
        "shard-000000.tar",
        "shard-000001.tar",
    }
    # The third is half written.
    assert len([name for name in left if name[0] == "."]) == 1
    again = packed(home, output)
    assert (again.made, again.shards) == (2, 4)
    assert files(output) == files(done)


def test_training_on_shards_gives_the_same_figures(rows, done, tmp_path):
    there = read_manifest(done)
    as_packed = tmp_path / "manifest.csv"
    write_manifest(as_packed, [of(rows, row) for row in there])
    settings = Settings(epochs=2, batch_size=4, lr=0.02)
    trained = []
    for name, data in (("files", as_packed), ("shards", done)):
        rows_of = gather(data, outside=True).rows
        (tmp_path / name).mkdir()
        how = {"folder": tmp_path / name, "quiet": True}
        trained.append(train(rows_of, tiny.VIEW, settings, **how))
    one, other = ([{**e, "seconds": 0} for e in t.history] for t in trained)
    assert one == other
    assert len(one) == 2


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_pixels_stay_in_the_shard_until_they_are_asked_for(done):
    path = read_manifest(done)[-1].path
    shard = str(path.parents[1])
    loaded = load_sample(path)
    assert Path("/proc/self/maps").read_text().count(shard) == 1
    loaded.visual[:] = 0  # who changes what was read changes no shard
    del loaded
    assert shard not in Path("/proc/self/maps").read_text()
    assert load_sample(path).visual.any()


def test_a_shard_that_is_cut_short_loses_what_it_lacks_alone(spare):
    rows = read_manifest(spare)
    shard = spare / "shard-000001.tar"
    places = list(members(shard).values())
    data = shard.read_bytes()
    shard.write_bytes(data[: places[2][0] + 100])  # within the third of five
    good, faults = readable(rows)
    assert [rows.index(row) for row in good] == [*range(7), *range(10, 18)]
    assert list(faults) == [str(row.path) for row in rows[7:10]]
    assert "cut short" in faults[str(rows[7].path)]
    assert f"{shard} holds no" in faults[str(rows[8].path)]


def test_a_damaged_header_loses_what_comes_behind_it(spare):
    rows = read_manifest(spare)
    shard = spare / "shard-000003.tar"
    data = bytearray(shard.read_bytes())
    data[list(members(shard).values())[1][0] - 512] ^= 255
    shard.write_bytes(data)
    good, faults = readable(rows)
    assert len(good) == 16
    assert list(faults) == [str(row.path) for row in rows[16:]]


@pytest.mark.parametrize("data", [b"", b"no tar at all", bytes(20480), b"\x80" * 20480])
def test_what_is_no_tar_holds_nothing(spare, data):
    (spare / "shard-000000.tar").write_bytes(data)
    good, faults = readable(read_manifest(spare))
    assert (len(good), len(faults)) == (13, 5)


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes_in_a_shard_do_nothing_else(spare, seed):
    dice = random.Random(seed)
    shard = spare / "shard-000002.tar"
    data = bytearray(shard.read_bytes())
    for start, _ in members(shard).values():
        for _ in range(6):
            data[start - 512 + dice.randrange(1100)] = dice.randrange(256)
    shard.write_bytes(data)
    good, faults = readable(read_manifest(spare))
    assert len(good) + len(faults) == 18
    assert len(good) >= 13


class Trap:
    """An object that makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        """Tell pickle to call open(path, "w")."""
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_code_in_a_shard_never_runs(tmp_path, how):
    sprung, trap = tmp_path / "sprung", tmp_path / "trap.pt"
    if how == "pickle":
        trap.write_bytes(pickle.dumps(Trap(sprung)))
    else:
        new = how == "zip"
        torch.save(Trap(sprung), trap, _use_new_zipfile_serialization=new)
    with tarfile.open(tmp_path / "shard-000000.tar", "w") as tar:
        tar.add(trap, "a/trap.pt")
    with pytest.raises(SampleError, match=r"holds code .* it was not opened"):
        load_sample(tmp_path / "shard-000000.tar" / "a" / "trap.pt")
    assert not sprung.exists()


def test_links_and_other_kinds_in_a_shard_lead_nowhere(tmp_path):
    save_sample(tmp_path / "secret.pt", tiny.sample())
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            head = tarfile.TarInfo(f"a/{kind.decode()}.pt")
            head.type, head.linkname = kind, str(tmp_path / "secret.pt")
            tar.addfile(head)
    assert not members(tmp_path / "s.tar")
    with pytest.raises(SampleError, match=r"holds no a/2\.pt"):
        load_sample(tmp_path / "s.tar" / "a" / "2.pt")


def test_a_header_that_leads_back_or_promises_too_much_ends_the_list(tmp_path):
    save_sample(tmp_path / "x.pt", tiny.sample())
    shard = tmp_path / "s.tar"
    for promised in (b"\xff" * 12, b"\x80" + bytes(5) + b"\x7f" * 6):  # -1 and 2^47
        with tarfile.open(shard, "w") as tar:
            tar.add(tmp_path / "x.pt", "a/x.pt")
        data = bytearray(shard.read_bytes())
        data[124:136] = promised
        head = data[:148] + b" " * 8 + data[156:512]
        data[148:156] = f"{sum(head):06o}\0 ".encode()
        shard.write_bytes(data)
        with pytest.raises(SampleError, match=r"holds no|ends before its"):
            load_sample(shard / "a" / "x.pt")


@pytest.mark.parametrize(
    "path",
    [
        "../other.tar/a/x.pt",
        "out.tar/a/x.pt",
        "shard-000000.tar/../../other.tar/a/x.pt",
    ],
)
def test_a_path_that_leads_out_is_refused(spare, tmp_path, path):
    (tmp_path / "other.tar").write_bytes((spare / "shard-000000.tar").read_bytes())
    (spare / "out.tar").symlink_to(tmp_path / "other.tar")
    write_csv(spare / "m.csv", ("path", "label"), [{"path": path, "label": "a"}])
    with pytest.raises(ManifestError, match="leads out"):
        read_manifest(spare / "m.csv")
    assert len(read_manifest(spare / "m.csv", outside=True)) == 1


def test_tar_and_webdataset_read_the_shards(done):
    rows = read_manifest(done)
    shards = sorted(map(str, done.glob("*.tar")))
    listed = [
        name
        for shard in shards
        for name in subprocess.run(
            ["tar", "tf", shard], capture_output=True, text=True, check=True
        ).stdout.splitlines()
    ]
    assert listed == ["/".join(row.path.parts[-2:]) for row in rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves shards open
        stream = webdataset.WebDataset(shards, shardshuffle=False, empty_check=False)
        seen = list(stream)
        del stream
        gc.collect()
    assert [item["__key__"] for item in seen] == [name[:-3] for name in listed]
    for item, row in zip(seen, rows, strict=True):
        start, size = members(row.path.parents[1])[item["__key__"] + ".pt"]
        with open(row.path.parents[1], "rb") as file:
            file.seek(start)
            assert item["pt"] == file.read(size)


def test_names_that_webdataset_would_cut_or_leave_out_are_written_otherwise():
    home = Path("/set")
    names = {
        "a/x.pt": "a/x.pt",
        "a/x.w00001.pt": "a/x%2Ew00001.pt",
        "a/50%.pt": "a/50%25.pt",
        "a/.x.pt": "a/%2Ex.pt",
        "a.b/x.PT": "a.b/x.pt",
        "__a__/x.pt": "%5F_a__/x.pt",
        "x": "x.pt",
        "../far/x.pt": "far/x.pt",
    }
    assert {n: name_in_shard(home / n, home) for n in names} == names


def test_odd_names_come_back(tmp_path):
    odd = [
        "two words.pt",
        "é.pt",
        "\udcff.pt",
        "x" * 200 + ".pt",
        "a.tar/b.pt",
        "=1.pt",
    ]
    kept = {}
    for seed, name in enumerate(odd):
        path = tmp_path / "in" / "label" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_sample(path, tiny.sample(seed=seed))
        kept[name_in_shard(path, tmp_path / "in")] = load_sample(path)
    done = packed(tmp_path / "in", tmp_path / "out")
    assert (done.samples, done.failed) == (6, {})
    for row in read_manifest(tmp_path / "out"):
        found = shard_of(row.path)
        assert found is not None
        assert same(load_sample(row.path), kept.pop(found[1]))
    assert not kept


def test_a_large_sample_gets_a_shard_of_its_own(rows, tmp_path):
    done = packed(rows[0].path.parents[1], tmp_path / "out", shard_bytes=1)
    assert (done.shards, done.samples) == (18, 18)


def test_what_cannot_be_read_is_set_aside_and_named(tmp_path, capsys):
    rows = tiny.dark_and_bright(tmp_path / "in", [""] * 3)
    write_manifest(tmp_path / "in" / "manifest.csv", rows)
    rows[0].path.unlink()
    flipped = bytearray(rows[1].path.read_bytes())
    flipped[1000] ^= 1  # a pixel
    rows[1].path.write_bytes(flipped)
    rows[2].path.write_bytes(rows[2].path.read_bytes()[:-100])
    words = ["--target", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert main([*words, "--json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["samples"] == 3
    assert json.loads(told.out)["failed"] == 3
    assert told.err.count("set aside: ") == 3
    failed = read_csv(tmp_path / "out" / "failed.csv", ("path", "reason"))
    assert {r["path"] for r in failed} == {str(row.path) for row in rows[:3]}
    good = read_manifest(tmp_path / "out")
    assert sorted(row.path.name for row in good) == [f"clip00{n}.pt" for n in (3, 4, 5)]


def test_older_samples_are_packed_too(tmp_path):
    clip_THWC = torch.randint(256, (6, 10, 14, 5))
    for name, new in (("new", True), ("old", False)):
        path = tmp_path / "in" / name / "x.pt"
        path.parent.mkdir(parents=True)
        torch.save(clip_THWC, path, _use_new_zipfile_serialization=new)
    packed(tmp_path / "in", tmp_path / "out")
    rows = read_manifest(tmp_path / "out")
    assert sorted(row.label for row in rows) == ["new", "old"]
    for row in rows:
        sample = load_sample(row.path)
        assert sample.label == row.label
        assert np.array_equal(sample.clip, clip_THWC.numpy())


def test_a_folder_of_anything_else_is_refused(rows, spare, tmp_path):
    home = rows[0].path.parents[1]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(InputError, match="is not empty"):
        packed(home, tmp_path / "full")
    before = files(spare)
    with pytest.raises(InputError, match="shards of other samples, or by another"):
        packed(home, spare, seed=3)
    with pytest.raises(InputError, match="is a file"):
        packed(home, spare / "pack.json")
    with pytest.raises(InputError, match="is not empty"):
        packed(home, home)
    assert files(spare) == before


def test_a_disk_without_room_is_told_before_anything_is_written(
    rows, tmp_path, monkeypatch
):
    monkeypatch.setattr(pack_module, "ROOM_LEFT", 1 << 60)
    with pytest.raises(InputError, match="name another --output"):
        packed(rows[0].path.parents[1], tmp_path / "out")
    assert set(files(tmp_path / "out")) == {"pack.json"}


def test_nothing_is_begun_where_nothing_is_there(tmp_path):
    rows = tiny.dark_and_bright(tmp_path / "in", [""])
    write_manifest(tmp_path / "in" / "manifest.csv", rows)
    away = [row.path.rename(row.path.with_suffix(".away")) for row in rows]
    with pytest.raises(InputError, match=r"no sample .* can be packed; the first"):
        packed(tmp_path / "in", tmp_path / "out")
    for path in away:
        path.rename(path.with_suffix(".pt"))
    assert packed(tmp_path / "in", tmp_path / "out").samples == 2


def test_two_samples_of_one_name_are_told(tmp_path):
    for name in ("x.pt", "x.PT"):
        save_sample(tmp_path / name, tiny.sample())
    with pytest.raises(InputError, match=r"would both be called x\.pt"):
        packed(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("mapped", [False, True])
def test_a_tensor_of_other_bytes_than_lie_there_is_refused(tmp_path, mapped):
    torch.save({"a": torch.arange(200, dtype=torch.uint8)}, tmp_path / "x.pt")
    with (
        zipfile.ZipFile(tmp_path / "x.pt") as before,
        zipfile.ZipFile(tmp_path / "y.pt", "w") as after,
    ):
        for name in before.namelist():
            data = before.read(name)
            if name.endswith("data.pkl"):
                assert data.count(b"K\xc8") == 2  # the storage's 200, and the shape's
                data = data.replace(b"K\xc8", b"K\x64")
            after.writestr(name, data)
    said = r"promises 100 bytes and has 200|200 bytes\) does not match .* \(100"
    with pytest.raises((ValueError, RuntimeError), match=said):
        load_plain(tmp_path / "y.pt", mmap=mapped)


def test_blocks_are_the_shards_in_the_order_their_samples_lie(rows, done):
    there = read_manifest(done)
    assert [len(block) for block in blocks_of(there)] == [5, 5, 5, 3]
    assert [n for block in blocks_of(there) for n in block] == list(range(18))
    mixed = [there[17], rows[0], there[0], there[16], rows[1], there[3]]
    assert blocks_of(mixed) == [[0, 3], [1], [2, 5], [4]]


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Serve a bucket, to this process."""

    def forget() -> None:
        store._systems.clear()
        s3fs.S3FileSystem.clear_instance_cache()

    with served() as bucket:
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        monkeypatch.setenv("FMRGB_CACHE", str(tmp_path / "cache"))
        forget()
        yield bucket
        forget()


def test_shards_in_a_bucket_are_fetched_once_each(rows, done, bucket, tmp_path):
    packed(rows[0].path.parents[1], place(f"s3://{NAME}/packed"))
    assert bucket.objects("packed/") == files(done)
    _same.cache_clear()
    shutil.rmtree(tmp_path / "cache")
    bucket.clear()
    home = place(f"s3://{NAME}/packed")
    there = read_manifest(home)
    for _ in range(2):
        for row in there:
            assert same(load_sample(row.path), load_sample(of(rows, row).path))
    asked = {key for _, key in bucket.keys if ".tar" in key}
    assert asked == {f"/{NAME}/packed/shard-00000{n}.tar" for n in range(4)}
    assert all(bucket.keys["GET", key] == 1 for key in asked)
    assert [len(block) for block in blocks_of(there)] == [5, 5, 5, 3]
    packed(home, tmp_path / "back")
    assert files(tmp_path / "back") == files(done)
    for row in rows:  # the samples themselves
        bucket.put(f"plain/{row.label}/{row.path.name}", row.path.read_bytes())
    table = (rows[0].path.parents[1] / "manifest.csv").read_bytes()
    bucket.put("plain/manifest.csv", table)
    packed(place(f"s3://{NAME}/plain"), tmp_path / "third")
    assert files(tmp_path / "third") == files(done)


def test_the_tool_says_what_it_did(rows, tmp_path, capsys):
    home = rows[0].path.parents[1]
    before = {path: (sha256(path), os.stat(path)) for path in home.rglob("*.pt")}
    words = ["--target", str(home), "--output", str(tmp_path / "out")]
    assert main(words) == 0
    assert "18 samples in 1 shard(s) (1 made, 0 kept)" in capsys.readouterr().out
    assert main(words) == 0
    assert "(0 made, 1 kept)" in capsys.readouterr().out
    after = {path: (sha256(path), os.stat(path)) for path in home.rglob("*.pt")}
    assert {p: (s, m.st_mtime_ns) for p, (s, m) in after.items()} == {
        p: (s, m.st_mtime_ns) for p, (s, m) in before.items()
    }
    assert not list((tmp_path / "out").glob(".*"))


def test_a_shard_needs_a_size(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--target", "a", "--output", "b", "--shard_mb", "0"])
    assert "--shard_mb must be at least 1" in capsys.readouterr().err
