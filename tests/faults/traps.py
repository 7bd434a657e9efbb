"""Makers of files that a stranger might hand over, and a measure of what they cost."""

import io
import pickle
import resource
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tally
import tiny
import torch

SLOW_S = 10.0  # s; what takes longer to refuse a small file counts as a hang
MUCH_MIB = 300.0  # more memory than this for a small file counts as not refused
CANARY = "sprung"  # name of the file that executed code leaves


class Call:
    """An object that calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *words: Any) -> None:
        self._function, self._words = function, words

    def __reduce__(self) -> tuple[Any, ...]:
        """Tell pickle what to call."""
        return self._function, self._words


def springing(folder: Path) -> Call:
    """Return an object that leaves a file in `folder` when it is unpickled."""
    return Call(open, str(folder / CANARY), "w")


def content(**changes: Any) -> dict[str, Any]:
    """Return what a sound sample's file holds, with some of it changed."""
    one = tiny.sample()
    return {
        "format": "fmrgb-sample",
        "version": 1,
        "visual": torch.from_numpy(one.visual),
        "sound": {k: torch.from_numpy(v) for k, v in one.sound.items()},
        "channels": list(one.channels),
        "times": torch.from_numpy(one.times),
        "has_sound": True,
        "silent": False,
        "label": "grey",
        "meta": {"options": {}},
        **changes,
    }


def saved(thing: Any, path: Path, *, legacy: bool = False) -> Path:
    """Write with torch.save."""
    torch.save(thing, path, _use_new_zipfile_serialization=not legacy)
    return path


def repacked(
    whole: Path,
    path: Path,
    change: Callable[[str, bytes], bytes],
    *,
    packed: bool = False,
) -> Path:
    """Write a torch zip anew, with the content of its entries changed."""
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(whole) as before, zipfile.ZipFile(path, "w", kind) as after:
        for entry in before.infolist():
            name = entry.filename
            after.writestr(name, change(name.rpartition("/")[2], before.read(entry)))
    return path


def with_pickle(whole: Path, path: Path, thing: Any) -> Path:
    """Write a torch zip anew whose pickle is that of something else."""
    other = pickle.dumps(thing, 2)
    return repacked(whole, path, lambda n, data: other if n == "data.pkl" else data)


def legacy_promise(path: Path, n_bytes: int) -> Path:
    """Write a file of torch's older format that promises bytes it has not."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing: Any) -> Any:
            promised = ("storage", torch.ByteStorage, "0", "cpu", n_bytes, None)
            return promised if thing == "the storage" else None

    sizes = (n_bytes // 500, 10, 10, 5)
    rest = (sizes, (500, 50, 5, 1), False, OrderedDict())
    tensor = Call(torch._utils._rebuild_tensor_v2, "the storage", 0, *rest)
    system = {"protocol_version": 1001, "little_endian": True}
    heads = (0x1950A86A20F9469CFC6C, 1001, system)
    file = io.BytesIO(b"".join(pickle.dumps(head, 2) for head in heads))
    file.seek(0, io.SEEK_END)
    Pickler(file, 2).dump(tensor)
    file.write(pickle.dumps(["0"], 2) + struct.pack("<q", n_bytes) + b"few")
    path.write_bytes(file.getvalue())
    return path


@contextmanager
def measured(fault: str, folder: Path) -> Iterator[tally.Note]:
    """Note a fault: no code of it ran, and it took neither long nor much memory.

    Where one fault is many, each is to be within `one_of`, and the longest counts.
    """
    before, start = _peak_mib(), tally.clock()
    with tally.fault(fault) as noted:
        yield noted
        noted.executed = int((folder / CANARY).exists())
        noted.seconds = noted.seconds or tally.clock() - start
        noted.memory_mib = _peak_mib() - before
        noted.hung = int(noted.seconds > SLOW_S)
        assert not noted.executed
        assert not noted.hung
        assert noted.memory_mib < MUCH_MIB


@contextmanager
def one_of(noted: tally.Note) -> Iterator[None]:
    """Take the time of one of many faults that are noted as one."""
    start = tally.clock()
    try:
        yield
    finally:
        noted.seconds = max(noted.seconds or 0.0, tally.clock() - start)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
