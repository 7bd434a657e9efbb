"""files.py: names, whole files, and bytes that overflow to disk."""

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fmrgb import files
from fmrgb.errors import DiskFullError, InputError
from fmrgb.files import (
    Spool,
    find_files,
    make_folder,
    room,
    sha256,
    shown,
    whole_file,
)
from fmrgb.leftovers import HOST, sweep_parts


def dead_pid() -> int:
    """Return the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def touch(folder: Path, *names: str) -> None:
    """Make empty files, with their folders."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def half_written(path: Path, error: Exception) -> None:
    """Meet an error half-way through a file."""
    with whole_file(path) as part:
        part.write_text("half")
        raise error


def test_a_whole_file_appears_at_the_end_only(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as part:
        part.write_text("new")
        assert not path.exists()
        assert part.suffix == ".txt"
        assert part.name.startswith(".")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_fault_leaves_the_older_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError, match="a bug"):
        half_written(path, ZeroDivisionError("a bug"))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_very_long_name_can_be_written(tmp_path):
    path = tmp_path / ("n" * 250 + ".pt")
    with whole_file(path) as part:
        part.write_text("x")
    assert path.read_text() == "x"


def test_a_name_of_many_bytes_per_letter_can_be_written(tmp_path):
    path = tmp_path / ("猫" * 80 + ".mp4")  # 244 bytes
    with whole_file(path) as part:
        part.write_text("x")
    assert os.listdir(tmp_path) == [path.name]


def test_long_names_that_begin_alike_are_written_side_by_side(tmp_path):
    one, two = (tmp_path / ("n" * 200 + end + ".pt") for end in "ab")
    with whole_file(one) as part, whole_file(two) as other:
        part.write_text("1")
        other.write_text("2")
        assert part != other
    assert (one.read_text(), two.read_text()) == ("1", "2")
    assert sorted(os.listdir(tmp_path)) == [one.name, two.name]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_as_such_and_cleaned_up(tmp_path, number):
    said = r"no room left to write .*a\.txt; free some"
    with pytest.raises(DiskFullError, match=said):
        half_written(tmp_path / "a.txt", OSError(number, os.strerror(number)))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_folder_that_cannot_be_written_to_is_told(tmp_path, number):
    with (
        pytest.raises(InputError, match=r"cannot write .*a\.txt: .*choose a folder"),
        whole_file(tmp_path / "a.txt"),
    ):
        raise OSError(number, os.strerror(number))


def test_other_faults_of_the_system_pass_unchanged(tmp_path):
    with pytest.raises(OSError, match="Invalid argument"), whole_file(tmp_path / "a"):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def test_make_folder_makes_parents_and_leaves_nothing_in_them(tmp_path):
    folder = tmp_path / "a" / "b"
    make_folder(folder)
    make_folder(folder)
    assert os.listdir(folder) == []


def test_make_folder_refuses_a_file_in_the_way(tmp_path):
    touch(tmp_path, "a")
    with pytest.raises(InputError, match=r"cannot use .*a: File exists"):
        make_folder(tmp_path / "a")
    with pytest.raises(InputError, match=r"cannot write .*b: Not a directory"):
        make_folder(tmp_path / "a" / "b")


def test_sweeping_takes_only_what_dead_processes_here_left(tmp_path):
    host = HOST
    mine, dead = os.getpid(), dead_pid()
    kept = {
        f".living.{host}-{mine}.part.mp4",
        f".elsewhere.otherhost-{dead}.part.mp4",
        f"visible.{host}-{dead}.part.mp4",
        ".hidden.mp4",
        "clip.part.mp4",
    }
    touch(tmp_path, *kept, f".a.{host}-{dead}.part.mp4", f"x/.b\nc.{host}-{dead}.part")
    assert sweep_parts(tmp_path) == 2
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == kept


def test_sweeping_for_one_file_looks_into_its_own_folder_only(tmp_path):
    left = f".a.{HOST}-{dead_pid()}.part.mp4"
    touch(tmp_path, "clip.mp4", left, f"inner/{left}")
    assert sweep_parts(tmp_path / "clip.mp4") == 1
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "inner"]
    assert os.listdir(tmp_path / "inner") == [left]


def test_what_a_killed_process_left_is_swept_though_nobody_asked_for_its_end(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    touch(tmp_path, f".a.{HOST}-{process.pid}.part.mp4")
    assert sweep_parts(tmp_path) == 1
    process.wait()


def test_what_whole_file_leaves_when_killed_is_swept(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from fmrgb.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as part:\n"
        "    part.write_text('half'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "a b.c.mp4"], check=False)
    assert len(os.listdir(tmp_path)) == 1
    assert find_parts(tmp_path) == []
    assert sweep_parts(tmp_path) == 1
    assert os.listdir(tmp_path) == []


def find_parts(folder: Path) -> list[Path]:
    """Return what a search for mp4s finds, nothing included."""
    try:
        return find_files(folder, (".mp4",))
    except InputError:
        return []


def test_files_are_found_in_order_and_hidden_ones_left_out(tmp_path):
    touch(tmp_path, "b/2.MP4", "b/10.mp4", "a.mp4", "c/d/e.mov", "c/.x.mp4", "c/f.txt")
    touch(tmp_path, ".trash/g.mp4")
    found = find_files(tmp_path, (".mp4", ".mov"))
    names = [p.relative_to(tmp_path).as_posix() for p in found]
    assert names == ["a.mp4", "b/10.mp4", "b/2.MP4", "c/d/e.mov"]


def test_links_to_folders_are_not_followed(tmp_path):
    touch(tmp_path, "real/a.mp4")
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    assert find_files(tmp_path, (".mp4",)) == [tmp_path / "real" / "a.mp4"]


def test_a_single_file_is_a_list_of_one(tmp_path):
    touch(tmp_path, "a.MP4", "b.txt")
    assert find_files(tmp_path / "a.MP4", (".mp4",)) == [tmp_path / "a.MP4"]
    with pytest.raises(
        InputError, match=r"expected a \.mp4 or \.mov file, got .*b\.txt"
    ):
        find_files(tmp_path / "b.txt", (".mp4", ".mov"))


def test_finding_nothing_is_told(tmp_path):
    with pytest.raises(InputError, match=r"no \.mp4 file in .* or its sub-folders"):
        find_files(tmp_path, (".mp4",))
    with pytest.raises(InputError, match=r"no such file or folder: .*gone"):
        find_files(tmp_path / "gone", (".mp4",))


def test_sha256_is_that_of_all_bytes(tmp_path):
    data = b"0123456789abcdef" * 70_000  # more than one chunk
    (tmp_path / "a").write_bytes(data)
    assert sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_names_are_shown_on_one_line():
    assert shown(Path("a\nb\t\x1b[31mc\u202ed.mp4")) == r"a\nb\t\x1b[31mc\u202ed.mp4"
    assert shown("Äpfel 猫.mp4") == "Äpfel 猫.mp4"
    assert shown(os.fsdecode(b"\xff.mp4")) == r"\udcff.mp4"


@pytest.mark.parametrize("limit", [0, 100, 10_000], ids=["disk", "both", "memory"])
def test_a_spool_gives_the_same_bytes_wherever_it_keeps_them(tmp_path, limit):
    pieces = np.random.default_rng(1).integers(0, 256, (7, 5, 6, 3), np.uint8)
    spool = Spool(tmp_path, limit)
    for piece in pieces:
        spool.append(piece[:, ::-1])  # not contiguous
    result = spool.view(np.uint8, (5, 6, 3))
    assert isinstance(result, np.memmap) == (limit < pieces.nbytes)
    assert np.array_equal(result, pieces[:, :, ::-1])
    assert spool.n_bytes == pieces.nbytes
    assert os.listdir(tmp_path) == []  # the file has no name


def test_a_spool_keeps_other_types():
    spool = Spool()
    spool.append(np.array([1.5, -2.0], np.float32))
    spool.append(np.array([3.25], np.float32))
    assert spool.view(np.float32, ()).tolist() == [1.5, -2.0, 3.25]
    assert Spool().view(np.uint8, (4, 6, 3)).shape == (0, 4, 6, 3)


class FullFile:
    """Take bytes, as a buffered file does, and have no room when they must go out."""

    def write(self, data: object) -> None:
        """Take them."""

    def flush(self) -> None:
        """Have no room."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Be closed."""


def test_a_spool_on_a_full_disk_says_so(tmp_path, monkeypatch):
    def no_room(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.TemporaryFile", no_room)
    with pytest.raises(DiskFullError, match="no room left"):
        Spool(tmp_path, limit=3).append(np.zeros(4, np.uint8))


def test_a_spool_that_finds_the_disk_full_at_the_end_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: FullFile())
    spool = Spool(tmp_path, limit=3)
    spool.append(np.zeros(4, np.uint8))
    with pytest.raises(DiskFullError, match="no room left"):
        spool.view(np.uint8, ())


@pytest.mark.parametrize("limit", [0, 10_000], ids=["disk", "memory"])
def test_room_is_zeros_that_can_be_written_to(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(files, "MEMORY_BYTES", limit)
    array = room((5, 6, 7), tmp_path)
    assert isinstance(array, np.memmap) == (limit == 0)
    assert not array.any()
    array[2, 3] = 9
    assert array.sum() == 7 * 9
    assert os.listdir(tmp_path) == []


def test_room_on_a_full_disk_is_refused_before_it_is_written_to(tmp_path, monkeypatch):
    # A hole in a file has no blocks yet: writing to it by memory map would kill.
    def no_room(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "MEMORY_BYTES", 0)
    monkeypatch.setattr(os, "posix_fallocate", no_room)
    with pytest.raises(DiskFullError, match="no room left"):
        room((5, 6, 7), tmp_path)
