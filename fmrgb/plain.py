"""From a torch file to plain tensors and values, after a look at what it asks for.

`torch.load(weights_only=True)` calls nothing of a file's choosing, but still does as it
is told: it unpacks what was packed a thousandfold, makes a bytearray of any size, and
hands out tensors of more bytes than the file has, or values that hold themselves. So a
file is looked at before torch reads it, and what torch made of it afterwards.
"""

import io
import mmap as memory
import pickle
import pickletools
import stat
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from fmrgb.waiting import signals_wait

if TYPE_CHECKING:
    import torch
    from typing_extensions import Buffer

MOST_PICKLE = 16 * 2**20  # bytes; that of a large network's training has one or two
MOST_VALUES, DEEPEST = 300_000, 64  # numbers, words, dicts, ...; one in another
LEGACY_PICKLES = 5  # magic number, version, system, content, names of what follows
ZIP_MARK = b"PK\x03\x04"  # by this torch tells its formats apart
LOCAL_HEADER, NAME_LENGTH = 30, 26  # bytes before an entry's name, and where its length
_NAMES = {  # what our files, and plain dicts of weights, are made of
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
}


def load_plain(
    path: Path, *, mmap: bool = False, start: int = 0, size: int | None = None
) -> Any:
    """Read a torch file to the CPU: dicts, lists, words, numbers and plain tensors.

    Args:
        path: the file, in torch's zip format or the older one.
        mmap: leave tensors on the disk until they are asked for, where that can be.
        start: where in the file it begins, in bytes, if it is packed into another.
        size: how many bytes it has; None means up to the end.

    Raises:
        pickle.UnpicklingError: if it names anything that plain tensors do not need.
        ValueError: if it is of no such kind or promises more than it holds.
        OSError: if it cannot be read, or is no file.
        Exception: of any kind, for damaged bytes, as torch's reader does.
    """
    import torch

    known = path.stat()
    if not stat.S_ISREG(known.st_mode):
        raise OSError("it is no file")
    size = known.st_size - start if size is None else size
    if not 0 <= start <= start + size <= known.st_size:
        raise ValueError(f"it ends before its {size:,} bytes do")
    with open(path, "rb", buffering=0) as whole:
        part: Any = _Part(whole, start, size)
        is_zip = part.read(len(ZIP_MARK)) == ZIP_MARK
        part.seek(0)
        if is_zip:
            part.tensors = _vet_zip(part, size)
            if mmap:
                part.map()
            part.seek(0)
            with signals_wait():  # torch takes what they raise for a fault of the file
                content = torch.load(part, map_location=part.storage, weights_only=True)
        else:
            file = io.BufferedReader(part)
            _vet_legacy(file, size)
            file.seek(0)
            with signals_wait():
                content = torch.load(file, map_location="cpu", weights_only=True)
    _check(content, size)
    return content


class _Part(io.RawIOBase):
    """A stretch of a file as a file of its own, whose tensors may stay on the disk.

    torch maps whole files only. It reads the bytes of a tensor, in one piece, and then
    asks where they should be: at that time they are exchanged for mapped ones.
    """

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        """Read `size` bytes of an open file from `start` on."""
        self._file, self._start, self._size = file, start, size
        self._place = 0
        self._memory: memory.mmap | None = None
        self._read: tuple[int, int] = (0, 0)  # the last tensor's place and bytes
        self.tensors: dict[int, int] = {}  # how many bytes of a tensor lie at a place

    def map(self) -> None:
        """From now on leave tensors where they are."""
        before = self._start % memory.ALLOCATIONGRANULARITY
        self._before = before
        self._memory = memory.mmap(
            self._file.fileno(),
            before + self._size,
            access=memory.ACCESS_COPY,  # who writes to a tensor changes no file
            offset=self._start - before,
        )

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read in any order."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._place = max(0, (0, self._place, self._size)[whence] + offset)
        return self._place

    def readinto(self, buffer: "Buffer") -> int:
        """Read the next bytes, those of a tensor only where nothing is mapped."""
        view = memoryview(buffer).cast("B")
        begin, n = self._place, min(len(view), self._size - self._place)
        if n <= 0:
            return 0
        is_tensor = self.tensors.get(begin) == len(view)
        if is_tensor:
            self._read = begin, n
        if is_tensor and self._memory:
            self._place += n
            return n
        self._file.seek(self._start + begin)
        # A system reads 2 GiB at most in one go, and torch asks once.
        while n and (got := self._file.readinto(view[:n])):  # type: ignore[attr-defined]
            view, n = view[got:], n - got
            self._place += got
        return self._place - begin

    def storage(
        self, storage: "torch.UntypedStorage", _location: str
    ) -> "torch.UntypedStorage":
        """Return the bytes that torch has just read for a tensor, mapped if wanted.

        Raises:
            ValueError: if the tensor is not of as many bytes as lie there.
        """
        import torch

        (begin, n), self._read = self._read, (0, 0)
        if storage.nbytes() != n:
            raise ValueError(f"it promises {storage.nbytes():,} bytes and has {n:,}")
        if not (n and self._memory):
            return storage
        levels = torch.frombuffer(
            self._memory, dtype=torch.uint8, count=n, offset=self._before + begin
        )
        return levels.untyped_storage()


def _vet_zip(file: BinaryIO, size: int) -> dict[int, int]:
    """Look at a zip's list and its words; tell where tensors lie, and their bytes."""
    tensors: dict[int, int] = {}
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        # torch packs nothing; what is packed, or lies twice, may be without end.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("its content is packed, as torch does not do")
        if (promised := sum(entry.file_size for entry in entries)) > size:
            raise ValueError(f"it promises {promised:,} bytes and has {size:,}")
        for entry in entries:
            folder, _, name = entry.filename.rpartition("/")
            if name == "data.pkl":
                if entry.file_size > MOST_PICKLE:
                    raise ValueError(f"it has more than {MOST_PICKLE:,} bytes of words")
                _vet_pickle(archive.read(entry))
            elif folder.rpartition("/")[2] == "data":
                file.seek(entry.header_offset + NAME_LENGTH)
                lengths = struct.unpack("<HH", file.read(4))  # of name and extra field
                begin = entry.header_offset + LOCAL_HEADER + sum(lengths)
                tensors[begin] = entry.file_size
    return tensors


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
