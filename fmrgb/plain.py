"""From a torch file to plain tensors and values, after a look at what it asks for.

`torch.load(weights_only=True)` calls nothing of a file's choosing, but still does as it
is told: it unpacks what was packed a thousandfold, makes a bytearray of any size, and
hands out tensors of more bytes than the file has, or values that hold themselves. So a
file is looked at before torch reads it, and what torch made of it afterwards.
"""

import pickle
import pickletools
import stat
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

MOST_PICKLE = 16 * 2**20  # bytes; that of a large network's training has one or two
MOST_VALUES, DEEPEST = 300_000, 64  # numbers, words, dicts, ...; one in another
LEGACY_PICKLES = 5  # magic number, version, system, content, names of what follows
ZIP_MARK = b"PK\x03\x04"  # by this torch tells its formats apart
_NAMES = {  # what our files, and plain dicts of weights, are made of
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
}


def load_plain(path: Path, *, mmap: bool = False) -> Any:
    """Read a torch file to the CPU: dicts, lists, words, numbers and plain tensors.

    Args:
        path: the file, in torch's zip format or the older one.
        mmap: leave tensors on the disk until they are asked for, where that can be.

    Raises:
        pickle.UnpicklingError: if it names anything that plain tensors do not need.
        ValueError: if it is of no such kind or promises more than it holds.
        OSError: if it cannot be read, or is no file.
        Exception: of any kind, for damaged bytes, as torch's reader does.
    """
    import torch

    size, is_zip = _vet(path)
    # No memory map opens torch's older format, or a name that is not UTF-8.
    if mmap and is_zip and _is_utf8(str(path)):
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    else:
        with open(path, "rb") as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    _check(content, size)
    return content


def _vet(path: Path) -> tuple[int, bool]:
    """Look at a file's own list of contents and at its pickles; give size and kind."""
    known = path.stat()
    if not stat.S_ISREG(known.st_mode):
        raise OSError("it is no file")
    with open(path, "rb") as file:
        is_zip = file.read(len(ZIP_MARK)) == ZIP_MARK
        file.seek(0)
        if is_zip:
            _vet_zip(file, known.st_size)
        else:
            _vet_legacy(file, known.st_size)
    return known.st_size, is_zip


def _vet_zip(file: BinaryIO, size: int) -> None:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        # torch packs nothing; what is packed, or lies twice, may be without end.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("its content is packed, as torch does not do")
        if (promised := sum(entry.file_size for entry in entries)) > size:
            raise ValueError(f"it promises {promised:,} bytes and has {size:,}")
        for entry in entries:
            if entry.filename.rpartition("/")[2] != "data.pkl":
                continue
            if entry.file_size > MOST_PICKLE:
                raise ValueError(f"it holds more than {MOST_PICKLE:,} bytes of words")
            _vet_pickle(archive.read(entry))


def _vet_legacy(file: BinaryIO, size: int) -> None:
    """Look at the pickles; what they promise stands in them as whole numbers."""
    for number in range(LEGACY_PICKLES):
        _vet_pickle(file, most=None if number == 0 else max(size, MOST_PICKLE))


def _vet_pickle(content: bytes | BinaryIO, most: int | None = None) -> None:
    """Refuse a pickle that names what is not needed, or numbers greater than `most`."""
    for opcode, value, _ in pickletools.genops(content):
        if opcode.name in ("STACK_GLOBAL", "INST"):  # torch writes none
            raise pickle.UnpicklingError("it names what would run")
        if opcode.name == "GLOBAL":
            module, _, name = str(value).rpartition(" ")
            is_storage = module == "torch" and name.endswith("Storage")
            if not is_storage and (module, name) not in _NAMES:
                raise pickle.UnpicklingError(
                    f"it names {module}.{name}, which would run"
                )
        elif most is not None and isinstance(value, int) and value > most:
            raise ValueError(f"it promises {value:,} of something and has {most:,}")


def _check(content: object, size: int) -> None:
    """Refuse what is not plain, and what would be more than the file if written out."""
    import torch

    waiting, seen = [(content, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if seen > MOST_VALUES or depth > DEEPEST:
            raise ValueError("its values lie in each other, or are too many")
        if isinstance(value, torch.Tensor):
            is_plain = value.layout == torch.strided and value.device.type == "cpu"
            if not is_plain or value.is_quantized or value.is_neg() or value.is_conj():
                raise ValueError("it holds a tensor that is not plain")
            if value.numel() * value.element_size() > size:
                raise ValueError(
                    f"it promises a tensor {list(value.shape)}, {value.dtype}, and has "
                    f"{size:,} bytes"
                )
        elif isinstance(value, dict):
            waiting += [(one, depth + 1) for pair in value.items() for one in pair]
        elif isinstance(value, list | tuple):
            waiting += [(one, depth + 1) for one in value]
        elif not isinstance(value, str | int | float | None):
            raise ValueError(f"it holds a {type(value).__name__}")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # surrogates stand for bytes that are no UTF-8
        return False
    return True
