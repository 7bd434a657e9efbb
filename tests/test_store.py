"""Addresses as paths, the cache of what is read from them, and files that go there."""

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from fmrgb_tools import main as tools

from fmrgb import cache, store
from fmrgb.address import Remote, place
from fmrgb.alone import alone
from fmrgb.errors import InputError, ManifestError, ProgramMissingError
from fmrgb.fence import Fence
from fmrgb.files import find_files, make_folder, sha256, stamp, whole_file
from fmrgb.manifest import Row, read_manifest, write_manifest
from fmrgb.ondisk import fetch_ahead, look_up, on_disk, outlined
from fmrgb.sample import load_sample, save_sample
from fmrgb.store import ABSENT, FOLDER

fsspec = pytest.importorskip("fsspec")
HOME = "memory://bucket"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give every test an empty store, and a cache of its own."""
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setitem(cache._added, "bytes", float("inf"))
    monkeypatch.setattr("fmrgb.address._looked", {})
    yield
    fsspec.filesystem("memory").store.clear()


def put(key: str, content: bytes | str = b"x") -> Remote:
    """Put an object and return its address."""
    data = content.encode() if isinstance(content, str) else content
    fsspec.filesystem("memory").pipe_file(f"/bucket/{key}", data)
    return at(key)


def at(key: str) -> Remote:
    """Return the address of a key, of which nothing is known yet."""
    path = place(f"{HOME}/{key}")
    assert isinstance(path, Remote)
    return path


def stored() -> dict[str, bytes]:
    """Return all objects."""
    system = fsspec.filesystem("memory")
    return {
        name.removeprefix("/bucket/"): system.cat_file(name) for name in system.find("")
    }


def test_an_address_is_a_path_and_stays_one():
    clip = place("s3://bucket/clips//high/./low/../a.b.mp4")
    assert str(clip) == "s3://bucket/clips/high/a.b.mp4"
    assert isinstance(clip, Path)
    assert (clip.name, clip.suffix, clip.parent.name) == ("a.b.mp4", ".mp4", "high")
    others = [clip.parent, clip.with_name("c"), clip / "d", clip.parent / "e" / "f"]
    assert all(str(other).startswith("s3://bucket/clips/high") for other in others)
    again = pickle.loads(pickle.dumps(clip))
    assert (again, hash(again), str(again)) == (clip, hash(clip), str(clip))
    inside = clip.relative_to(place("s3://bucket"))
    assert str(Path("out") / inside) == "out/clips/high/a.b.mp4"
    assert clip.resolve() == clip.absolute() == clip


def test_what_is_known_goes_along_into_another_process():
    clip = put("a.mp4", b"abc")
    size = clip.known().size
    fsspec.filesystem("memory").rm("/bucket/a.mp4")
    assert pickle.loads(pickle.dumps(clip)).stat().st_size == size == 3


def test_other_texts_are_paths_as_ever():
    for text in ("a/b", "/a", "./s3", "c:/x", "a//b", "file:x"):
        assert place(text) == Path(text)
        assert type(place(text)) is type(Path(text))
    assert place("file:///a/b") == Path("/a/b")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3://", "names no bucket"),
        ("s3:///a", "names no bucket"),
        ("s3://../a", "names no bucket"),
        ("ftp://me:geheim@host/a", "with a password in it"),
    ],
)
def test_an_address_that_is_none_is_refused(text, said):
    with pytest.raises(InputError, match=said) as told:
        place(text)
    assert "geheim" not in str(told.value)


def test_no_address_leads_out_of_its_bucket():
    assert str(place("s3://bucket/../../etc/passwd")) == "s3://bucket/etc/passwd"


def test_an_address_that_is_handed_to_the_system_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for use in (os.fspath, open, os.mkdir, os.path.realpath):
        with pytest.raises(InputError, match="is an address"):
            use(at("a"))
    with pytest.raises(InputError, match="can only be written whole"):
        at("a").open("w")
    assert not [name for name in os.listdir() if name.startswith("memory")]


def test_an_address_answers_what_a_path_is_asked():
    file = put("a/b.txt", "Grüße\r\n")
    assert file.exists()
    assert file.is_file()
    assert not file.is_dir()
    assert (file.stat().st_size, file.read_text("utf-8")) == (9, "Grüße\n")
    assert file.read_bytes() == "Grüße\r\n".encode()
    assert at("a").is_dir()
    assert not at("c").exists()
    assert [path.name for path in at("a").iterdir()] == ["b.txt"]
    assert list(at("").rglob("*.txt")) == [file]
    with pytest.raises(FileNotFoundError):
        at("c").stat()
    with pytest.raises(IsADirectoryError):
        at("a").open("rb")
    file.unlink()
    assert not at("a/b.txt").exists()
    file.unlink(missing_ok=True)


def test_files_of_a_store_are_found_as_those_of_a_folder(tmp_path):
    names = ["b/2.mp4", "b/1.MP4", "a/3.mp4", "a/x.txt", ".h/4.mp4", "b/.5.mp4"]
    for name in names:
        put(f"clips/{name}")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [
        str(path.relative_to(at("clips")))
        for path in find_files(at("clips"), (".mp4",))
    ]
    here = [str(p.relative_to(tmp_path)) for p in find_files(tmp_path, (".mp4",))]
    assert found == here == ["a/3.mp4", "b/1.MP4", "b/2.mp4"]
    assert find_files(at("clips/a/3.mp4"), (".mp4",)) == [at("clips/a/3.mp4")]
    with pytest.raises(InputError, match=r"no \.pt file in memory://bucket/clips"):
        find_files(at("clips"), (".pt",))
    with pytest.raises(InputError, match="no such file or folder: memory://bucket/no"):
        find_files(at("no"), (".pt",))


def test_a_file_appears_in_a_store_whole_or_not_at_all():
    make_folder(at("out"))
    with whole_file(at("out/a.bin")) as part:
        part.write_bytes(b"whole")
        assert not stored()
    assert stored() == {"out/a.bin": b"whole"}
    with pytest.raises(ZeroDivisionError), whole_file(at("out/b.bin")) as part:
        part.write_bytes(bytes(1 // 0))
    assert stored() == {"out/a.bin": b"whole"}
    assert not list(cache.parts().iterdir())


def test_a_newer_object_is_never_taken_for_an_older_one():
    old = put("a", b"first")
    assert old.read_bytes() == b"first"
    before = stamp(old)
    new = put("a", b"other")
    assert new.stat().st_size == old.stat().st_size
    new.remember(store.look(str(new)))
    assert (new.read_bytes(), stamp(new) == before) == (b"other", False)


def test_an_object_that_changes_while_it_is_read_is_refused():
    clip = put("a", b"first")
    clip.known()
    time.sleep(0.002)
    put("a", b"other")
    with pytest.raises(InputError, match="was changed while it was read"):
        clip.read_bytes()
    assert not list(cache.folder().glob("??/*"))


def test_a_copy_is_made_once_and_goes_if_nobody_wants_it(monkeypatch):
    clip, fetched = put("a", b"abc"), []
    fetch = store.fetch
    monkeypatch.setattr(store, "fetch", lambda *a: (fetched.append(a), fetch(*a)))
    for _ in range(3):
        assert len(sha256(clip)) == 64
    assert len(fetched) == 1
    with on_disk(clip, keep=False) as file:
        assert file.read_bytes() == b"abc"
    assert not cache.there(str(clip), clip.known())
    with on_disk(Path(__file__), keep=False) as file:
        assert file == Path(__file__)
    assert Path(__file__).exists()


def sizes() -> list[int]:
    """Return the sizes of what the cache holds."""
    return [path.stat().st_size for path in cache.folder().glob("??/*")]


def test_the_cache_keeps_its_bound_and_what_was_used_last(monkeypatch):
    clips = [put(f"{number}", bytes(1000 + number)) for number in range(12)]
    monkeypatch.setenv(cache.BOUND_VARIABLE, str(5500 / 2**30))
    for number, clip in enumerate(clips):
        clip.read_bytes()
        clips[0].read_bytes()
        for age, path in enumerate(sorted(cache.folder().glob("??/*"))):
            os.utime(path, ns=(1, path.stat().st_mtime_ns - age))
        assert sum(sizes()) <= 5500
        assert cache.there(str(clip), clip.known()), number
    assert 1000 in sizes()
    assert len(sizes()) >= 3


def test_what_is_in_use_stays_and_what_is_not_goes(monkeypatch):
    first, *others = [put(f"{number}", bytes(1000 + number)) for number in range(4)]
    monkeypatch.setenv(cache.BOUND_VARIABLE, str(1500 / 2**30))
    with on_disk(first) as file:
        for other in others:
            other.read_bytes()
        assert file.read_bytes() == bytes(1000)
    others[0].read_bytes()
    assert not file.exists()


def test_a_bound_that_is_no_number_is_told(monkeypatch):
    monkeypatch.setenv(cache.BOUND_VARIABLE, "much")
    with pytest.raises(InputError, match="FMRGB_CACHE_GB must be a number"):
        put("a").read_bytes()


def test_many_are_fetched_at_once_unless_they_are_too_many(monkeypatch):
    clips = [put(f"s/{number}", bytes(1000 + number)) for number in range(9)]
    fetch_ahead([*clips, at("s/none"), Path("here")], at("s"))
    assert sorted(sizes()) == [1000 + number for number in range(9)]
    assert at("s").is_dir()
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(cache.folder() / "other"))
    monkeypatch.setenv(cache.BOUND_VARIABLE, str(5000 / 2**30))
    fetch_ahead(clips, at("s"))
    assert sizes() == []


def test_one_listing_tells_of_many(monkeypatch):
    put("s/a", b"abc")
    paths = [at("s/a"), at("s/b"), at("t/c"), Path("here")]
    asked: list[str] = []
    look_up(paths, at("s"))
    monkeypatch.setattr(store, "look", lambda path: asked.append(path) or ABSENT)
    assert [path.exists() for path in paths] == [True, False, False, False]
    assert asked == [f"{HOME}/t/c"]


@pytest.mark.parametrize(
    "named",
    [
        *("../b.pt", "a/../../b.pt", "/etc/passwd", "memory://bucket/b.pt", ".."),
        *(
            "memory://other/set/b.pt",
            "s3://bucket/set/b.pt",
            "memory://bucket/set/../b",
        ),
        *("memory://bucket/settle/b.pt", "/bucket/set/b.pt"),
    ],
)
def test_a_table_in_a_store_speaks_for_its_own_folder_alone(named):
    table = at("set/manifest.csv")
    with pytest.raises(ManifestError, match="leads out of the table's own folder"):
        Fence(table).path(named)
    assert str(Fence(table).path("a/../c.pt")) == f"{HOME}/set/c.pt"
    assert Fence(table).path(f"{HOME}/set/c.pt") == at("set/c.pt")
    Fence(table, outside=True).path(named)


def test_a_table_of_this_disk_leads_to_no_address_unless_it_may(tmp_path):
    table = tmp_path / "manifest.csv"
    with pytest.raises(ManifestError, match="leads out"):
        Fence(table).path("s3://bucket/a.pt")
    led = Fence(table, outside=True).path("s3://bucket/a.pt")
    assert str(led) == "s3://bucket/a.pt"
    assert isinstance(led, Remote)
    (tmp_path / "config.json").touch()
    of_run = Fence(tmp_path / "split.csv")
    assert isinstance(of_run.path("s3://bucket/a.pt"), Remote)


def test_a_manifest_is_the_same_in_a_store_and_leads_back(tmp_path):
    names = ("low/=b.pt", "low/a.pt", "high/ c.pt")
    for home in (at("set"), tmp_path):
        rows = [Row(path=home / name, label=name[:3]) for name in names]
        write_manifest(home / "manifest.csv", rows)
        listed = read_manifest(home / "manifest.csv")
        assert [row.path for row in listed] == [row.path for row in rows]
    assert stored()["set/manifest.csv"] == (tmp_path / "manifest.csv").read_bytes()
    rows = [
        Row(path=at("set/low/a.pt"), label="a"),
        Row(path=tmp_path / "b", label="b"),
    ]
    for home in (at("other"), tmp_path / "run"):
        home.mkdir()
        write_manifest(home / "split.csv", rows)
        told = read_manifest(home / "split.csv", outside=True)
        assert [row.path.resolve() for row in told] == [row.path for row in rows]


def test_a_sample_in_a_store_is_that_of_a_disk(tmp_path):
    sample = tiny.sample(label="grey")
    for path in (at("s/grey/a.pt"), tmp_path / "a.pt"):
        save_sample(path, sample)
        again = load_sample(path)
        assert (again.clip == sample.clip).all()
        assert again.meta == sample.meta
    assert stored()["s/grey/a.pt"] == (tmp_path / "a.pt").read_bytes()


def test_all_but_the_pixels_is_known_from_begin_and_end(monkeypatch):
    sample = tiny.sample(label="grey")
    save_sample(at("a.pt"), sample)
    monkeypatch.setattr("fmrgb.address.TAIL_BYTES", 3500)
    monkeypatch.setattr("fmrgb.address.HEAD_BYTES", 200)
    asked: list[int] = []
    part = store.part_of

    def count(address: str, begin: int, end: int) -> bytes:
        asked.append(end - begin)
        return part(address, begin, end)

    monkeypatch.setattr(store, "part_of", count)
    with outlined(at("a.pt")) as file:
        seen = load_sample(file)
    assert asked == [200, 3500]
    assert sum(asked) < at("a.pt").stat().st_size
    assert (seen.meta, seen.label, seen.shape) == (sample.meta, "grey", sample.shape)
    assert (seen.sound["amplitude"] == sample.sound["amplitude"]).all()
    assert not file.exists()
    assert load_sample(at("a.pt")).clip.any()


def test_two_runs_of_this_machine_do_not_write_to_one_place_of_a_store():
    with alone(at("out")):
        with (
            pytest.raises(InputError, match="memory://bucket/out is being written"),
            alone(at("out")),
        ):
            pass
        with alone(at("other")):
            pass
    assert not stored()
    assert not list((cache.folder() / "locks").iterdir())


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ProgramMissingError, match=r"gs://bucket/a: .*gcsfs"):
        place("gs://bucket/a").exists()
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ProgramMissingError, match=r"fmrgb\[cloud\]"):
        place("webdav://bucket/a").exists()


def test_an_unknown_kind_of_address_is_told():
    with pytest.raises(InputError, match="expected an address that fsspec knows"):
        place("zzz://bucket/a").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("resize_video", "--target", "s3://bucket/clips"),
        ("delete_not_resized", "--target", "s3://bucket/clips"),
        ("delete_allmp4", "--target", "clips", "--samples", "s3://bucket/samples"),
        ("visualize", "--target", "s3://bucket/a.pt"),
        ("train", "--data", "samples", "--output", "s3://bucket/run"),
        ("create_fmrgbdata", "--target", "clips", "--cache", "s3://bucket/cache"),
        ("create_fmrgbdata", "--target", "s3://me:geheim@bucket/clips"),
        ("merge", "--target", "clips", "--cache_gb", "0"),
    ],
)
def test_a_tool_that_takes_no_address_says_so(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        tools.main(list(words))
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert any(word in told for word in ("no address", "password", "above 0"))
    assert told.count("\n") == 1
    assert "geheim" not in told
    assert not os.listdir()


def test_the_options_say_where_copies_lie(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(cache.FOLDER_VARIABLE, "before")
    monkeypatch.setenv(cache.BOUND_VARIABLE, "1")
    words = ["--cache", str(tmp_path / "c"), "--cache-gb", "2.5"]
    assert tools.main(["merge", "--target", f"{HOME}/none", *words]) == 1
    assert "expected a folder of samples, got memory://" in capsys.readouterr().err
    assert (cache.folder(), cache.bound()) == (tmp_path / "c", 2.5 * 2**30)


def test_work_on_this_disk_imports_nothing_of_stores():
    code = (
        "import sys\nfrom fmrgb_tools.main import main\n"
        "try: main(['create_fmrgbdata', '--help'])\n"
        "except SystemExit: pass\n"
        "from pathlib import Path\n"
        "from fmrgb.files import find_files, sha256\n"
        f"sha256(*find_files(Path({__file__!r}), ('.py',)))\n"
        "found = {'fsspec', 's3fs', 'botocore', 'aiohttp'} & set(sys.modules)\n"
        "sys.exit(f'{found}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_folders_of_a_store_are_known_as_such():
    put("a/b/c")
    assert at("a").known() == FOLDER
    assert [(path.name, path.known() == FOLDER) for path in at("a").iterdir()] == [
        ("b", True)
    ]
    assert [
        path.known() == FOLDER for path in find_files(put("a/b/c.pt"), (".pt",))
    ] == [False]
