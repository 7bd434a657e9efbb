"""From a folder to what its files hold, but for the times at which they were made."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from killing import contents

from fmrgb.checkpoint import KEY


def timeless(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder, hidden ones too, without the times they hold."""
    found = contents(folder)
    return {
        name: _CLOCKS.get(Path(name).name, lambda data: data)(data)
        for name, data in found.items()
        if "events" not in Path(name).parts
    }


def _table(*times: str) -> Callable[[bytes], bytes]:
    """Return what leaves out columns of a table."""

    def without(data: bytes) -> bytes:
        rows = list(csv.DictReader(io.StringIO(data.decode())))
        return repr([{k: v for k, v in r.items() if k not in times} for r in rows]
                    ).encode()  # fmt: skip

    return without


def _audit(data: bytes) -> bytes:
    known = json.loads(data)
    return repr(sorted(known)).encode()


def _checkpoint(data: bytes) -> bytes:
    content = torch.load(io.BytesIO(data), weights_only=True)
    if "callbacks" not in content:
        return data
    rows = [
        {k: v for k, v in row.items() if k != "seconds"}
        for row in content["callbacks"]["History"]["rows"]
    ]
    parts = ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step")
    return repr(_plain([rows, content[KEY], *(content[p] for p in parts)])).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        held = value.detach().contiguous().reshape(-1).view(torch.uint8)
        digest = hashlib.sha256(held.numpy().tobytes()).hexdigest()
        return value.dtype, tuple(value.shape), digest
    if isinstance(value, dict):
        return [(str(k), _plain(v)) for k, v in value.items()]
    return list(map(_plain, value)) if isinstance(value, list | tuple) else repr(value)


def _report(data: bytes) -> bytes:
    """Leave out how often trials were begun anew, which hangs on the kills."""
    return re.sub(rb"<li>\d+ more were left by processes that ended[^<]*</li>\s*", b"",
                  data)  # fmt: skip


def _log(data: bytes) -> bytes:
    """Leave out all: times stand in every line, and kills in the number of lines."""
    return b""


_CLOCKS: dict[str, Callable[[bytes], bytes]] = {
    "metrics.csv": _table("seconds"),
    # A trial that a killed process left is tried anew, under a number of its own.
    "lr_search.csv": _table("seconds", "trial"),
    "lr_search.journal": _log,
    "found.journal": _log,
    "report.html": _report,
    "audit.json": _audit,
    "best.ckpt": _checkpoint,
    "last.ckpt": _checkpoint,
}
