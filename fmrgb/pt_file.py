"""From arrays to a file that `torch.load` opens, piece by piece and without torch.

Importing torch takes a second and 180 MB of every process that writes samples, and
`torch.save` wants all of a clip at once. The format is that of `torch.save`: a zip of
uncompressed records, `data.pkl` (a pickle whose tensors name their bytes) and `data/0`,
`data/1` and so on (those bytes, aligned to 64).
"""

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

ALIGNMENT = 64  # bytes
BUFFER = 1 << 20  # bytes; pieces smaller than this are written together
_ROOT = "archive/"
_STORAGES = {np.dtype(np.uint8): "ByteStorage", np.dtype(np.float32): "FloatStorage"}
_PADDING = 0x4246  # name of the field that only fills up, as torch has it
_LOCAL_HEADER, _ZIP64_FIELD = 30, 20  # bytes


class PtFile:
    """Writes one dict of arrays and plain values; one array comes piece by piece.

    Plain values are dicts with str keys, lists, str, int, float, bool and None; arrays
    are uint8 or float32.
    """

    def __init__(self, file: IO[bytes]) -> None:
        """Write to `file`, open for writing and reading, which stays open."""
        self._file = file
        self._waiting = np.empty(BUFFER, np.uint8)
        self._open()

    def _open(self) -> None:
        self._zip = zipfile.ZipFile(self._file, "w")
        self._record = self._begin("data/0")
        self._start = self._file.tell()
        self._n_records = 1
        self._n_waiting = 0
        self.n_bytes = 0

    def clear(self) -> None:
        """Begin anew, with nothing written."""
        self.give_up()
        self._file.seek(0)
        self._file.truncate()
        self._open()

    def append(self, array: NDArray[Any]) -> None:
        """Add an array's bytes to those of the array that comes piece by piece."""
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        if self._n_waiting + len(flat) > BUFFER:
            self._write_waiting()
        if len(flat) > BUFFER:
            self._record.write(flat.data)
        else:
            self._waiting[self._n_waiting : self._n_waiting + len(flat)] = flat
            self._n_waiting += len(flat)
        self.n_bytes += len(flat)

    def _write_waiting(self) -> None:
        self._record.write(self._waiting[: self._n_waiting].data)
        self._n_waiting = 0

    def view(self, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return what was appended, `[n, *shape]`; it is read when looked at."""
        item = np.dtype(dtype)
        n = self.n_bytes // (item.itemsize * int(np.prod(shape, dtype=np.int64)))
        if not n:
            return np.empty((0, *shape), item)
        self._write_waiting()
        self._file.flush()
        return np.memmap(
            self._file, item, mode="r", offset=self._start, shape=(n, *shape)
        )

    def finish(self, content: Mapping[str, Any], appended: str) -> None:
        """Write all the rest.

        Args:
            content: what the file holds.
            appended: key of the array whose bytes were appended; that array gives its
                shape and type, its content is not looked at.
        """
        self._write_waiting()
        self._record.close()
        program = io.BytesIO()
        program.write(pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.MARK)
        for key, value in content.items():
            program.write(_plain(key))
            if key == appended:
                program.write(_tensor(value, "0"))
            else:
                self._write_value(program, value)
        program.write(pickle.SETITEMS + pickle.STOP)
        for name, data in (
            ("data.pkl", program.getvalue()),
            ("byteorder", b"little"),
            ("version", b"3\n"),
        ):
            self._write(name, data)
        self._zip.close()
        self._file.flush()

    def give_up(self) -> None:
        """Let go of a file that is not finished, so that nothing more is written."""
        with suppress(OSError, ValueError):
            self._record.close()
        with suppress(OSError, ValueError):
            self._zip.close()

    def _write_value(self, program: io.BytesIO, value: Any) -> None:
        if isinstance(value, np.ndarray):
            name = str(self._n_records)
            little = value.astype(value.dtype.newbyteorder("<"), copy=False)
            self._write(f"data/{name}", little.tobytes())
            self._n_records += 1
            program.write(_tensor(value, name))
        elif isinstance(value, dict):
            program.write(pickle.EMPTY_DICT + pickle.MARK)
            for key, inner in value.items():
                program.write(_plain(key))
                self._write_value(program, inner)
            program.write(pickle.SETITEMS)
        else:
            program.write(_plain(value))

    def _write(self, name: str, data: bytes) -> None:
        with self._begin(name) as record:
            record.write(data)

    def _begin(self, name: str) -> IO[bytes]:
        info = zipfile.ZipInfo(_ROOT + name)  # of 1980: the same sample, the same bytes
        begin = _LOCAL_HEADER + len(info.filename) + 4 + _ZIP64_FIELD
        padding = -(self._file.tell() + begin) % ALIGNMENT
        info.extra = struct.pack("<HH", _PADDING, padding) + b"Z" * padding
        record: IO[bytes] = self._zip.open(info, "w", force_zip64=True)
        return record


def _plain(value: Any) -> bytes:
    """Return the part of a pickle that makes a plain value."""
    return pickle.dumps(value, protocol=2)[2:-1]  # without its begin and its stop


def _tensor(array: NDArray[Any], record: str) -> bytes:
    """Return the part of a pickle that makes a tensor of a record's bytes."""
    strides = [int(np.prod(array.shape[i + 1 :])) for i in range(array.ndim)]
    storage = _name("torch", _STORAGES[array.dtype])
    size = _plain("cpu") + _plain(array.size)
    where = _tuple(_plain("storage"), storage, _plain(record), size) + pickle.BINPERSID
    hooks = _name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    layout = (_plain(0), _plain(tuple(array.shape)), _plain(tuple(strides)))
    arguments = _tuple(where, *layout, pickle.NEWFALSE, hooks)
    return _name("torch._utils", "_rebuild_tensor_v2") + arguments + pickle.REDUCE


def _name(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _tuple(*parts: bytes) -> bytes:
    return pickle.MARK + b"".join(parts) + pickle.TUPLE
