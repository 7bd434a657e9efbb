"""The whole road with clips, samples and manifests in a bucket that speaks S3."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing import forkserver, get_context
from pathlib import Path
from typing import Any

import clips
import pytest
import tiny
from fmrgb_tools import main as tools
from groups import wait_for_the_end

from fmrgb import cache, store
from fmrgb.address import Remote, place
from fmrgb.build import Built, Recipe, build
from fmrgb.check import check
from fmrgb.errors import InputError
from fmrgb.learner import Settings
from fmrgb.loader import ClipSet, batches
from fmrgb.material import gather
from fmrgb.media import read_clip
from fmrgb.names import Shard
from fmrgb.ondisk import fetch_ahead
from fmrgb.preflight import survey
from fmrgb.sample import load_sample

s3fs = pytest.importorskip("s3fs")
pytest.importorskip("moto.server")
from bucket import KEYS, NAME, Bucket, served  # noqa: E402  it needs moto

N_CLIPS = 6
HOME = f"s3://{NAME}"
CLIPS = place(f"{HOME}/clips")
LOOK = Recipe(frames=4, size=(8, 6))
# Newer versions of Python warn of what DataLoader does.
forking = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
WORDS = ("--frames", "4", "--size", "8x6", "--workers", "1")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """Serve a bucket, to this process and those that it starts."""
    with served() as bucket, pytest.MonkeyPatch.context() as patch:
        for name, value in bucket.environment.items():
            patch.setenv(name, value)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        cache_folder = tmp_path_factory.mktemp("cache")
        patch.setenv(cache.FOLDER_VARIABLE, str(cache_folder))
        forkserver._forkserver._stop()  # it keeps the environment it was started in
        store._systems.clear()
        s3fs.S3FileSystem.clear_instance_cache()
        yield bucket
        forkserver._forkserver._stop()
        store._systems.clear()
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(autouse=True)
def _afresh(bucket, tmp_path, monkeypatch) -> None:
    """Give every test a cache of its own and a server without faults."""
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setitem(cache._added, "bytes", float("inf"))
    monkeypatch.setattr("fmrgb.address._looked", {})
    bucket.fault = lambda method, path: 0
    bucket.clear()


@pytest.fixture(scope="module")
def folder(shelf: Path, bucket: Bucket) -> Path:
    """Return a folder of clips of two labels, which lie in the bucket as well."""
    folder = shelf / "clouded"
    for number in range(N_CLIPS):
        path = folder / ("high", "low")[number % 2] / f"clip{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        seconds = clips.N_FRAMES / clips.FPS
        clips.make(path, clips.colours(), clips.tone(200.0 + 100 * number, seconds))
        bucket.put(f"clips/{path.relative_to(folder)}", path.read_bytes())
    return folder


def built(target: Path, output: Path | None, shard: Shard | None = None) -> Built:
    """Build in this process."""
    surveyed = survey(target, output=output, shard=shard)
    return build(surveyed, LOOK, folder=output or target, shard=shard)


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of all files of a folder, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def made(folder: Path, shelf: Path) -> dict[str, bytes]:
    """Return what a build from disk to disk leaves, by name."""
    built(folder, shelf / "made")
    return files(shelf / "made")


def test_what_is_built_in_a_bucket_is_what_is_built_on_a_disk(bucket, made):
    target, output = place(f"{HOME}/clips"), place(f"{HOME}/built")
    assert built(target, output).made == N_CLIPS
    assert bucket.objects("built/") == made
    assert not list(cache.folder().glob("*/*")), "no copy stays"
    # A clip is fetched once and its sample is put once; the rest is for all of them.
    per_clip = {kind: bucket.asked.pop(kind) for kind in ("GET", "PUT")}
    assert per_clip == {"GET": N_CLIPS, "PUT": N_CLIPS + 1}
    assert sum(bucket.asked.values()) <= 10, bucket.asked


def test_what_is_there_is_not_made_again(bucket, made):
    target, output = place(f"{HOME}/clips"), place(f"{HOME}/resumed")
    built(target, output)
    bucket.client.delete_object(Bucket=NAME, Key="resumed/high/clip2.pt")
    bucket.clear()
    assert built(place(str(target)), place(str(output))).made == 1
    puts = {path for kind, path in bucket.keys if kind == "PUT"}
    assert puts == {f"/{NAME}/resumed/{n}" for n in ("high/clip2.pt", "manifest.csv")}
    assert bucket.objects("resumed/") == made


def test_bucket_and_disk_mix(bucket, folder, made, tmp_path):
    built(place(f"{HOME}/clips"), tmp_path / "here")
    assert files(tmp_path / "here") == made
    built(folder, place(f"{HOME}/sent"))
    assert bucket.objects("sent/") == made
    for name, content in files(folder).items():
        bucket.put(f"beside/{name}", content)
    built(place(f"{HOME}/beside"), None)
    beside = bucket.objects("beside/")
    assert {k: v for k, v in beside.items() if k in made} == made


def test_shares_that_other_processes_made_merge_into_the_same(bucket, made, capsys):
    words = ["--target", f"{HOME}/clips", "--output", f"{HOME}/shares", *WORDS]
    words[-1] = "2"  # at once
    for share in ("2/2", "1/2"):
        assert tools.main(["create_fmrgbdata", *words, "--shard", share]) == 0
    assert tools.main(["merge", "--target", f"{HOME}/shares"]) == 0
    told = capsys.readouterr().out
    assert f"fmrgb merge --target {HOME}/shares" in told
    assert f"{N_CLIPS} samples of 2 shares" in told
    left = bucket.objects("shares/")
    assert {k: v for k, v in left.items() if ".shard" not in k} == made
    assert not [name for name in os.listdir() if name.startswith("s3")]


def test_groups_may_lie_on_the_disk_or_in_the_bucket(bucket, folder, tmp_path):
    table = "path,group\n" + "".join(
        f"{name},film{number % 2}\n"
        for number, name in enumerate(sorted(files(folder)))
    )
    (tmp_path / "groups.csv").write_text(table)
    bucket.put("clips/groups.csv", table.encode())
    target = place(f"{HOME}/clips")
    for groups in (tmp_path / "groups.csv", target / "groups.csv"):
        found = survey(target, groups=groups).found
        assert [item.group for item in found] == ["film0", "film1"] * 3
        assert [item.label for item in found] == ["high"] * 3 + ["low"] * 3


def test_a_killed_build_leaves_whole_objects_and_the_next_one_goes_on(bucket, made):
    puts: list[str] = []
    stuck, killed = threading.Event(), threading.Event()

    def stall(method: str, path: str) -> int:
        if method != "PUT" or puts.append(path) or len(puts) < 3:
            return 0
        stuck.set()
        killed.wait(60)
        return 503

    bucket.fault = stall
    program = [sys.executable, "-m", "fmrgb_tools.main", "create_fmrgbdata"]
    words = ["--target", f"{HOME}/clips", "--output", f"{HOME}/killed", *WORDS]
    with subprocess.Popen(
        [*program, *words], start_new_session=True, stdout=subprocess.DEVNULL
    ) as run:
        assert stuck.wait(100)
        os.killpg(run.pid, signal.SIGKILL)
    wait_for_the_end(run.pid)
    killed.set()
    bucket.fault = lambda method, path: 0
    left = bucket.objects("killed/")
    assert len(left) == 2
    assert left == {name: made[name] for name in left}, "every object is whole"
    assert list(cache.parts().iterdir()), "it was killed while it sent the third"
    done = built(place(f"{HOME}/clips"), place(f"{HOME}/killed"))
    assert done.made == N_CLIPS - len(left)
    assert bucket.objects("killed/") == made
    assert not list(cache.parts().iterdir()), "what was half written is swept"


def test_an_object_that_cannot_be_had_is_set_aside_and_named(bucket, folder):
    bucket.fault = lambda method, path: 403 * path.endswith("clip3.mp4")
    done = built(place(f"{HOME}/clips"), place(f"{HOME}/odd"))
    assert [str(path) for path in done.failed] == [f"{HOME}/clips/low/clip3.mp4"]
    assert "access denied" in next(iter(done.failed.values()))
    assert len(done.rows) == N_CLIPS - 1
    assert b"clip3.mp4: access denied" in bucket.objects("odd/")["failed.csv"]


def test_a_fault_that_passes_is_tried_again(bucket, made):
    seen: list[str] = []

    def fault(method: str, path: str) -> int:
        first = path.endswith(("clip1.mp4", "clip2.pt")) and path not in seen
        seen.append(path)
        return 503 if first else 0

    bucket.fault = fault
    assert built(place(f"{HOME}/clips"), place(f"{HOME}/again")).made == N_CLIPS
    assert bucket.objects("again/") == made


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("s3://nobody/clips", "s3://nobody/clips: there is no such bucket"),
        (f"{HOME}/nothing", f"no such file or folder: {HOME}/nothing"),
    ],
)
def test_a_place_that_is_not_there_is_one_line(target, said, capsys, tmp_path):
    words = ["--target", target, "--output", str(tmp_path / "out"), *WORDS]
    assert tools.main(["create_fmrgbdata", *words]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_no_bucket_to_write_to_is_told_before_any_work(bucket, folder, capsys):
    words = ["--target", str(folder), "--output", "s3://nobody/samples", *WORDS]
    assert tools.main(["create_fmrgbdata", *words]) == 1
    assert "s3://nobody/samples: there is no such bucket" in capsys.readouterr().err
    assert not bucket.asked["PUT"]


def test_a_bucket_that_may_not_be_written_to_ends_the_work_at_once(
    bucket, folder, capsys
):
    bucket.fault = lambda method, path: 403 * (method == "PUT")
    words = ["--target", str(folder), "--output", f"{HOME}/closed", *WORDS]
    assert tools.main(["create_fmrgbdata", *words]) == 1
    told = capsys.readouterr().err
    assert "access denied (403); check the credentials" in told
    assert told.count("\n") == 1
    assert bucket.asked["PUT"] < N_CLIPS


def test_keys_that_are_refused_are_told_and_never_shown(bucket, capsys, tmp_path):
    bucket.fault = lambda method, path: 403
    words = ["--target", f"{HOME}/clips", "--output", str(tmp_path / "out"), *WORDS]
    log = tmp_path / "log.jsonl"
    assert tools.main(["create_fmrgbdata", *words, "--log_file", str(log)]) == 1
    told = capsys.readouterr().err
    assert f"{HOME}/clips: access denied (403); check the credentials" in told
    assert told.count("\n") == 1
    told += log.read_text()
    assert not [key for key in list(KEYS.values())[:2] if key in told]


def test_a_server_that_does_not_answer_is_one_line(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(store, "_systems", {})
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(InputError, match=r"does not answer as it should \(Endpoint"):
        place(f"{HOME}/clips").exists()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def taught(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of tiny samples with a manifest, both also in the bucket."""
    folder = tmp_path_factory.mktemp("taught")
    tiny.manifest(folder, 6)
    for name, content in files(folder).items():
        bucket.put(f"taught/{name}", content)
    return folder


SETTINGS = Settings(epochs=2, batch_size=4, patience=9, precision="32")


def scores(data: Path, folder: Path) -> dict[str, Any]:
    """Train a little; return what was measured."""
    done = tiny.run_on(data, SETTINGS, folder=folder, test_size=0.3, val_size=0.3)
    losses = [epoch["train_loss"] for epoch in done.trained.history]
    return {"losses": losses, **done.scores["test"]}


def test_training_from_a_bucket_is_training_from_a_disk(bucket, taught, tmp_path):
    here = scores(taught / "manifest.csv", tmp_path / "here")
    bucket.clear()
    there = scores(place(f"{HOME}/taught"), tmp_path / "there")
    assert there == here
    # The manifest and each sample once, however many epochs.
    assert bucket.asked["GET"] == 13
    assert sum(bucket.asked.values()) < 20, bucket.asked
    split = (tmp_path / "there" / "split.csv").read_text()
    assert split.count(f"\n{HOME}/taught/") == 12


@forking
@pytest.mark.parametrize("workers", [0, 2])
def test_a_cache_that_is_too_small_still_serves_all(
    bucket, taught, workers, monkeypatch
):
    one = (taught / "dark" / "clip000.pt").stat().st_size
    bound = 4 * one
    monkeypatch.setenv(cache.BOUND_VARIABLE, str(bound / 2**30))
    material = gather(place(f"{HOME}/taught/manifest.csv"))
    told: list[list[Any]] = []
    for rows in (material.rows, gather(taught).rows):
        clips_ = ClipSet(rows, sorted(tiny.LEVELS), tiny.VIEW)
        clips_._cache = None  # as where they do not fit into memory
        served_ = batches(clips_, batch_size=5, shuffle=True, seed=3, workers=workers)
        told.append([batch for _ in range(2) for batch in served_])
        held = [path.stat().st_size for path in cache.folder().glob("??/*")]
        assert sum(held) <= bound
    for there, here in zip(*told, strict=True):
        assert all((a == b).all() for a, b in zip(there, here, strict=True))
    assert bucket.asked["GET"] > 13


def _read(address: str) -> int:
    return len(place(address).read_bytes())


@forking
def test_forked_processes_share_the_cache(bucket, taught):
    address = f"{HOME}/taught/dark/clip000.pt"
    assert place(address).exists(), "this process has spoken with the server itself"
    with get_context("fork").Pool(3) as pool:
        read = pool.map(_read, [address] * 6, chunksize=1)
    content = (taught / "dark" / "clip000.pt").read_bytes()
    assert read == [len(content)] * 6
    (held,) = cache.folder().glob("??/*")
    assert held.read_bytes() == content
    bucket.clear()
    assert load_sample(place(address)).label == "dark"
    assert not bucket.asked["GET"]


def test_a_sample_that_is_missing_is_set_aside(bucket, taught):
    for name, content in files(taught).items():
        bucket.put(f"holed/{name}", content)
    bucket.client.delete_object(Bucket=NAME, Key="holed/dark/clip000.pt")
    material = gather(place(f"{HOME}/holed"))
    lost = f"{HOME}/holed/dark/clip000.pt"
    assert material.faults == {lost: f"no such sample: {lost}"}
    assert len(material.rows) == 11


def test_a_server_that_fails_in_mid_training_blames_no_sample(bucket, taught):
    bucket.fault = lambda method, path: 403 * (method == "GET" and ".pt" in path)
    with pytest.raises(InputError, match="access denied"):
        gather(place(f"{HOME}/taught"))


def test_samples_in_a_bucket_are_proved_against_its_clips(bucket, folder, made):
    for name, content in made.items():
        bucket.put(f"proved/{name}", content)
    bucket.put("proved/low/clip1.pt", made["low/clip3.pt"])
    bucket.put("proved/low/other.pt", made["low/clip5.pt"][:900])
    bucket.client.delete_object(Bucket=NAME, Key="proved/high/clip0.pt")
    found = check(place(f"{HOME}/clips"), samples=place(f"{HOME}/proved"))
    at = f"{HOME}/proved"
    assert found.proved == [
        f"{at}/{n}.pt" for n in ("high/clip2", "high/clip4", "low/clip3", "low/clip5")
    ]
    assert sorted(found.faults) == [f"{at}/low/clip1.pt", f"{at}/low/other.pt"]
    assert found.missing == [f"{at}/high/clip0.pt"]
    assert found.unlisted == [f"{at}/low/other.pt"]
    assert found.without_sample == [f"{HOME}/clips/high/clip0.mp4"]


def test_large_clips_are_surveyed_by_parts(bucket, folder, monkeypatch):
    monkeypatch.setattr("fmrgb.address.WHOLE_BYTES", 100)
    monkeypatch.setattr(store, "BLOCK", 500)
    found = survey(CLIPS).found
    assert not [item.fault for item in found if item.fault]
    assert [item.header for item in found] == [i.header for i in survey(folder).found]
    there, here = (read_clip(where / "low/clip1.mp4") for where in (CLIPS, folder))
    assert (there.frames == here.frames).all()
    assert there.sound is not None
    assert here.sound is not None
    assert (there.sound.samples == here.sound.samples).all()
    assert not list(cache.folder().glob("??/*"))


def test_many_objects_are_fetched_side_by_side(bucket, taught):
    together = threading.Barrier(4)
    asked: list[str] = []

    def wait(method: str, path: str) -> int:
        # The first four are answered when all of them have come.
        if path.endswith(".pt") and (asked.append(path) or len(asked) <= 4):
            together.wait(10)
        return 0

    paths = [place(f"{HOME}/taught/{name}") for name in files(taught) if "pt" in name]
    bucket.fault = wait
    fetch_ahead(paths, place(f"{HOME}/taught"))
    assert not together.broken
    assert all(isinstance(path, Remote) for path in paths)
    assert len(list(cache.folder().glob("??/*"))) == 12
