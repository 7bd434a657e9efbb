"""Bad and odd media: each a right sample or a named refusal, and the run goes on.

A few dozen files here, all of the corpus by `make faults`.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import clips
import pytest
import suspects
import tally
import verdicts
import watching
from corpus import SECRET, corpus
from items import Item
from watching import Ran, run_tool

from fmrgb import engine, media
from fmrgb.errors import MediaError
from fmrgb.limits import Limits
from fmrgb.media import SOUND_SUFFIXES, VIDEO_SUFFIXES, read_clip

pytestmark = pytest.mark.alone
ODD = Path(__file__).parents[3] / "shared" / "data" / "odd"
SIZE = f"{verdicts.WIDTH}x{verdicts.HEIGHT}"
MOST_MIB = 1500.0  # that any process of a run may come to hold; 8K pictures take most
# Items that stand for their kind in the quick part.
FEW = (
    *("cut_front_", "cut_back_", "cut_frag_", "flip_moving", "flip_front", "edit_moov"),
    *("without_", "size_moov", "swapped_", "list_hls", "list_concat", "stranger_"),
    *("bomb_png", "bomb_vp8", "bomb_mjpeg", "bomb_header", "no_file_", "edit_avc1"),
)
SOME = {
    *("turned_90.mp4", "offset_-5_mp4.mp4", "sound_of_8_channels.mov", "short.mp4"),
    *("tracks_srt.mkv", "tracks_cover_first_mp4.mp4", "cut_mkv_9.mkv", "mute.mp4"),
    *(
        "size_1x1.mp4",
        "fps_1.mp4",
        "fps_240.mp4",
        "sound_192000.mov",
        "times_sparse.mp4",
    ),
    *("concat:a|b.mp4", "with 'quotes' and $(touch executed).mp4", "new\nline.mp4"),
    *("edit_moov.trak0.mdia.minf.stbl.stts_12_2147483647.mp4", "-y.mp4"),
}


class Bench(NamedTuple):
    """A folder of items and what a tool made of it."""

    items: Sequence[Item]
    folder: Path
    output: Path
    ran: Ran
    lost: list[str]  # names of files that are gone or changed
    executed: list[str]  # what something in the files had done
    asked: list[str]  # of the server, which nothing may ask


def few(items: Sequence[Item]) -> list[Item]:
    """Choose some items of every kind: the first and the middle one."""
    chosen = [item for item in items if item.name in SOME]
    for kind in FEW:
        same = [item for item in items if item.name.startswith(kind)]
        chosen += [same[0], same[len(same) // 2]]
    return list({item.name: item for item in chosen}.values())


def lay_out(items: Sequence[Item], folder: Path) -> dict[str, str]:
    """Write items to a folder; return their checksums."""
    folder.mkdir()
    for item in items:
        item.write(folder / item.name)
    return checksums(folder)


def checksums(folder: Path) -> dict[str, str]:
    """Return what the files of a folder hold; of links and pipes, that they are."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file() and not path.is_symlink()
        else "there"
        for path in folder.iterdir()
    }


def build(items: Sequence[Item], place: Path, address: str, asked: list[str]) -> Bench:
    """Have the tool make samples of items."""
    folder, output = place / "clips", place / "out"
    before = lay_out(items, folder)
    (place / "empty").mkdir()
    secret = place / SECRET
    watching.bait(secret)
    words = ("--target", folder, "--output", output, "--workers", 2)
    more = ("--size", SIZE, "--frames", verdicts.FRAMES)
    limit_s = 60 + 2.0 * len(items)
    ran = run_tool(
        "create_fmrgbdata", *words, *more, cwd=place / "empty", limit_s=limit_s
    )
    after = checksums(folder)
    lost = [name for name, told in before.items() if after.get(name) != told]
    executed = os.listdir(place / "empty") + [n for n in after if n not in before]
    if watching.taken(secret):
        executed.append("the secret file was read")
    return Bench(items, folder, output, ran, lost, executed, asked)


def judge(bench: Bench, seconds: Mapping[str, float]) -> list[str]:
    """Note every item; return what went wrong."""
    rows, failed = verdicts.results(bench.output)
    wrong = []
    for item in bench.items:
        row, reason = rows.get(Path(item.name).stem), failed.get(item.name)
        fault = verdicts.fault_in(item, row, reason)
        tally.note(
            f"{item.name}: {item.fault}",
            survived=fault is None,
            lost=item.name in bench.lost,
            memory_mib=bench.ran.peak_mib,
            seconds=seconds.get(item.name),
        )
        if fault:
            wrong.append(f"{item.name!r} ({item.fault}) {fault}")
    return wrong


def assert_all_is_told(
    bench: Bench, seconds: Mapping[str, float] = MappingProxyType({})
) -> None:
    """Check that a run came to its end and told of every file."""
    assert bench.ran.status == 1, bench.ran.err[-2000:]
    assert "Traceback" not in bench.ran.err
    assert judge(bench, seconds) == []
    rows, failed = verdicts.results(bench.output)
    assert len(rows) + len(failed) == len(bench.items)
    assert (bench.lost, bench.executed, bench.asked) == ([], [], [])
    assert bench.ran.peak_mib < MOST_MIB


def test_some_of_every_kind_are_sampled_right_or_refused_by_name(tmp_path):
    with watching.canary() as (address, asked):
        items = few(corpus(tmp_path, address))
        assert_all_is_told(build(items, tmp_path, address, asked))


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_all_are_sampled_right_or_refused_by_name(tmp_path):
    with watching.canary() as (address, asked):
        items = corpus(tmp_path, address)
        assert len({item.name for item in items}) == len(items) >= 300
        bench = build(items, tmp_path, address, asked)
    jobs = [(bench.folder / item.name, tmp_path) for item in items]
    limits = Limits(120.0)
    seconds = {}
    for outcome in engine.run(suspects.timed, jobs, workers=2, limits=lambda _: limits):
        name = outcome.job[0].name
        assert outcome.result is not None, f"{name!r}: {outcome.fault}"
        seconds[name] = outcome.result
    assert_all_is_told(bench, seconds)


# Time and memory of one clip


def test_a_job_that_misbehaves_is_the_only_one_lost():
    jobs = ["sleep", "good", "take memory", "crash", "fine", "hang", "stumble", "well"]
    told = {
        "sleep": "not done within 1 s",
        "hang": "not done within 1 s",
        "take memory": "more than the 512 MiB of memory that one clip may take",
        "crash": "its process died",
        "stumble": "ZeroDivisionError: by one (suspects.py:",
    }
    limits = Limits(1.0, 512 << 20)
    outcomes = engine.run(suspects.misbehave, jobs, workers=2, limits=lambda _: limits)
    faults = {outcome.job: outcome.fault for outcome in outcomes}
    assert sorted(faults) == sorted(jobs)
    for job, fault in faults.items():
        wanted = told.get(job)
        survived = fault is None if wanted is None else wanted in str(fault)
        tally.note(f"a job: {job}", survived=survived, hung=0)
        assert survived, f"{job}: {fault}"


def test_a_worker_is_kept_where_a_job_hears_that_its_time_is_up():
    limits = Limits(0.5)
    jobs = ["sleep", "good", "sleep", "fine"]
    outcomes = list(
        engine.run(suspects.misbehave, jobs, workers=1, limits=lambda _: limits)
    )
    # In any order: of two that ended while nobody looked, either may be told first.
    assert sorted((o.job, o.fault is None) for o in outcomes) == [
        *(("fine", True), ("good", True)),
        *(("sleep", False), ("sleep", False)),
    ]
    assert len({o.result for o in outcomes if o.result}) == 1


@pytest.mark.parametrize(
    ("name", "words", "reason"),
    [
        (
            "bomb_samples.mp4",
            ("--clip_timeout", 1),
            "it was not done within 1 s; leave",
        ),
        ("size_2k.mp4", ("--clip_memory", 4), "cannot be decoded|it needs more"),
    ],
)
def test_a_clip_that_takes_too_much_is_set_aside(tmp_path, name, words, reason):
    (tmp_path / "clips").mkdir()
    for item in corpus(tmp_path):
        if item.name in (name, "mute.mp4"):
            item.write(tmp_path / "clips" / item.name)
    if name == "size_2k.mp4":
        big = clips.colours(2, 1440, 2560)
        clips.make(tmp_path / "clips" / name, big)
    target = (
        "--target",
        tmp_path / "clips",
        "--size",
        SIZE,
        "--frames",
        4,
        "--workers",
        1,
    )
    ran = run_tool("create_fmrgbdata", *target, *words, cwd=tmp_path, limit_s=120)
    rows, failed = verdicts.results(tmp_path / "clips")
    assert ran.status == 1, ran.err
    assert list(rows) == ["mute"]
    assert list(failed) == [name]
    assert re.search(reason, failed[name])
    tally.note(f"{name} {words[0]}", survived=True, memory_mib=ran.peak_mib)


@pytest.mark.faults
def test_hours_are_streamed(tmp_path):
    (item,) = (i for i in corpus(tmp_path) if i.name == "bomb_samples.mp4")
    (tmp_path / "clips").mkdir()
    item.write(tmp_path / "clips" / item.name)
    target = ("--target", tmp_path / "clips", "--size", "160x120", "--frames", 8)
    ran = run_tool("create_fmrgbdata", *target, cwd=tmp_path, limit_s=120)
    # All of its frames at this size would be 11 GiB.
    tally.note("200000 frames", survived=ran.status == 0, memory_mib=ran.peak_mib)
    assert (ran.status, ran.peak_mib < 700) == (0, True), (ran.err, ran.peak_mib)


# Damage that decoders would paint over


def test_a_picture_with_a_hole_is_named(tmp_path, monkeypatch):
    (item,) = (i for i in corpus(tmp_path) if i.name == "short.mp4")
    item.write(tmp_path / "a.mp4")
    assert read_clip(tmp_path / "a.mp4").frames.shape == (1, 32, 48, 3)
    decoded = media.decode

    class Holed:
        """A packet whose demuxer says that bytes are missing."""

        def __init__(self, packet: object) -> None:
            self._packet, self.is_corrupt = packet, True

        def __getattr__(self, name: str) -> object:
            return getattr(self._packet, name)

    class Container:
        """An opened file of such packets."""

        def __init__(self, container: object) -> None:
            self._container = container

        def demux(self, streams: object) -> Iterator[Holed]:
            return map(Holed, self._container.demux(streams))

        def __getattr__(self, name: str) -> object:
            return getattr(self._container, name)

    monkeypatch.setattr(media, "decode", lambda c, v, p: decoded(Container(c), v, p))
    with pytest.raises(MediaError, match=r"a\.mp4: the picture is damaged at 0\.00 s"):
        read_clip(tmp_path / "a.mp4")


# The other tools


def assert_resized(items: Sequence[Item], place: Path) -> None:
    """Have copies made of items; check that every one is made or named."""
    mp4s = [item for item in items if item.name.endswith(".mp4")]
    folder = place / "resized"
    before = lay_out(mp4s, folder)
    words = ("--target", folder, "--mag", 2, "--workers", 2, "--json")
    limit_s = 60 + 2.0 * len(items)
    ran = run_tool("resize_video", *words, cwd=place, limit_s=limit_s)
    assert ran.status == 1, ran.err[-2000:]
    assert "Traceback" not in ran.err
    told = json.loads(ran.out)
    made = {Path(name).name.removeprefix("resized_") for name in told["done"]}
    failed = {Path(name).name for name in told["failed"]}
    after = checksums(folder)
    for item in mp4s:
        wanted = {"sample": made, "refused": failed}.get(item.outcome, made | failed)
        lost = after.get(item.name) != before[item.name]
        survived = item.name in wanted and not lost
        tally.note(f"resize {item.name}", survived=survived, lost=lost)
        assert survived, f"{item.name!r} {item.fault}: {told['failed'].get(item.name)}"
    assert not [name for name in after if name.endswith(".part")]


def test_some_are_resized_or_refused_by_name(tmp_path):
    assert_resized(few(corpus(tmp_path))[::8], tmp_path)


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_all_are_resized_or_refused_by_name(tmp_path):
    assert_resized(corpus(tmp_path), tmp_path)


# Real odd files


@pytest.mark.faults
@pytest.mark.skipif(not ODD.is_dir(), reason="needs the real odd files")
def test_real_odd_files_are_sampled_or_refused_by_name(tmp_path):
    suffixes = (*VIDEO_SUFFIXES, *SOUND_SUFFIXES)
    found = [p for p in ODD.rglob("*") if p.suffix.lower() in suffixes]
    assert len(found) > 50
    words = ("--target", ODD, "--output", tmp_path / "out", "--workers", 2)
    more = ("--size", SIZE, "--frames", 12)
    ran = run_tool("create_fmrgbdata", *words, *more, cwd=tmp_path, limit_s=120)
    rows, failed = verdicts.results(tmp_path / "out")
    assert ran.status == 1, ran.err
    assert "fault of the program" not in ran.err
    assert len(rows) + len(failed) == len(found)
    refused = {"corrupted.mp4", "result.webm", "sample_audio_only.mp4"}
    assert refused <= set(failed)
    assert {"video_90", "test_video", "chaplin", "h265_video"} <= set(rows)
    tally.note("real odd files", survived=True, memory_mib=ran.peak_mib)
