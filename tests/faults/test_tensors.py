"""Files of tensors from strangers: .pt, .ckpt, .onnx, a search's store.

None of them runs, or takes memory or time that its bytes do not account for.
"""

import io
import json
import os
import pickle
import random
import sqlite3
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tally
import tiny
import torch
import traps
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from traps import Call, content, saved, springing

from fmrgb.card import Card
from fmrgb.checkpoint import KEY, Network, load_checkpoint
from fmrgb.errors import FmrgbError, InputError, SampleError, TrainingError
from fmrgb.onnx_model import CARD, open_onnx
from fmrgb.pretrained import read_origin
from fmrgb.sample import load_sample, save_sample
from fmrgb.study import ListThenTPE, open_study
from fmrgb.trainer import resumable

HUGE = 10**15
ONE = torch.zeros(1, dtype=torch.uint8)
READERS: dict[str, Callable[[Path], Any]] = {
    "a.pt": load_sample,
    "best.ckpt": load_checkpoint,
    "init.ckpt": read_origin,
    "last.ckpt": resumable,
}
every_reader = pytest.mark.parametrize("name", READERS)


def refused(path: Path, fault: str) -> str:
    """Return the sentence with which a file is refused, by the reader of its name."""
    with traps.measured(fault, path.parent), pytest.raises(FmrgbError) as told:
        READERS[path.name](path)
    assert str(path) in str(told.value)
    return str(told.value)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Return a sound sample."""
    (tmp_path / "other").mkdir()
    return saved(content(), tmp_path / "other" / "whole.pt")


# Code


@every_reader
@pytest.mark.parametrize("how", ["zip", "legacy", "pickle", "pickle 4", "within"])
def test_a_pickle_that_runs_code_is_refused(tmp_path, name, how):
    path, trap = tmp_path / name, springing(tmp_path)
    if how.startswith("pickle"):
        path.write_bytes(pickle.dumps(trap, 4 if how == "pickle 4" else 2))
    elif how == "within":
        saved(content(meta={"fps": trap}), path)
    else:
        saved(trap, path, legacy=how == "legacy")
    assert "would run" in refused(path, f"code in {name}, {how}")


def test_the_trap_would_spring_if_it_could(tmp_path):
    pickle.loads(pickle.dumps(springing(tmp_path))).close()
    assert (tmp_path / traps.CANARY).exists()


@every_reader
def test_an_archive_of_the_oldest_kind_and_a_script_are_refused(tmp_path, name, whole):
    path = tmp_path / name
    trap = pickle.dumps(springing(tmp_path), 2)
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(path, "w") as made:
        for entry in archive.infolist():  # marks of TorchScript
            made.writestr(entry.filename, archive.read(entry))
        made.writestr("archive/constants.pkl", trap)
        made.writestr("archive/code/x.py", f"open({str(tmp_path / traps.CANARY)!r})")
    refused(path, f"TorchScript as {name}")
    import tarfile

    with tarfile.open(path, "w") as archive:
        for inner in ("storages", "tensors", "pickle"):
            known = tarfile.TarInfo(inner)
            known.size = len(trap)
            archive.addfile(known, io.BytesIO(trap))
    refused(path, f"tar as {name}")


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_store_of_trials_that_holds_a_pickle_is_refused(tmp_path, kind):
    path, trap = tmp_path / "trials", pickle.dumps(springing(tmp_path))
    where = str(path)
    if kind == "journal":
        path.write_bytes(trap)
    else:
        where = f"sqlite:///{path}"
        with sqlite3.connect(path) as base:
            base.execute("create table studies (study_id integer, study_name blob)")
            base.execute("insert into studies values (1, ?)", [trap])
        base.close()
    sampler = ListThenTPE([], 0)
    with traps.measured(f"a pickle in a {kind}", tmp_path), pytest.raises(InputError):
        open_study(where, "x", sampler=sampler, first_look=1, alone=True)


# Promises


PROMISES: dict[str, Callable[[], Any]] = {
    "a petabyte of pictures": lambda: content(visual=ONE.expand(6, 10**6, 10**6, 3)),
    "a petabyte of sound": lambda: content(
        sound={"amplitude": ONE.expand(6, 10**7, 10**7)}
    ),
    "a bare petabyte": lambda: ONE.expand(10**6, 10**6, 10**3, 5),
    "a gigabyte from one byte": lambda: ONE.expand(1000, 1000, 200, 5),
    "channels without end": lambda: content(channels=["R"] * 100_000),
    "a label without end": lambda: content(label="x" * 10**6),
    "values in each other": lambda: content(meta={"options": laughing()}),
    "values 300 deep": lambda: content(meta={"options": deep(300)}),
    "values that hold themselves": lambda: content(meta=itself()),
}


def laughing() -> Any:
    """Return 10 ** 12 words in a few lists."""
    values: Any = "ha"
    for _ in range(12):
        values = [values] * 10
    return {"ha": values}


def deep(depth: int) -> Any:
    """Return dicts in dicts."""
    values: Any = {}
    for _ in range(depth):
        values = {"in": values}
    return values


def itself() -> Any:
    """Return a dict that holds itself."""
    values: dict[str, Any] = {}
    values["me"] = values
    return values


@pytest.mark.parametrize("promise", PROMISES)
def test_what_promises_more_than_it_holds_is_refused(tmp_path, promise):
    refused(saved(PROMISES[promise](), tmp_path / "a.pt"), promise)


@every_reader
@pytest.mark.parametrize("n_bytes", [10**9, 10**11, HUGE])
def test_promises_of_the_older_format_are_refused(tmp_path, name, n_bytes):
    path = traps.legacy_promise(tmp_path / name, n_bytes)
    refused(path, f"{n_bytes} bytes promised by {name}")


@every_reader
@pytest.mark.parametrize(
    "call",
    [
        (bytearray, 10**10),
        (bytearray, HUGE),
        (torch.UntypedStorage, 10**11),
        (torch.ByteTensor, 10**11),
    ],
    ids=lambda call: call[0].__name__,
)
def test_a_pickle_that_asks_for_memory_is_refused(tmp_path, name, call, whole):
    path = traps.with_pickle(whole, tmp_path / name, Call(*call))
    refused(path, f"{call[0].__name__}({call[1]}) in {name}")


@every_reader
@pytest.mark.parametrize("entry", ["data.pkl", "0"])
def test_what_unpacks_to_a_thousandfold_is_refused(tmp_path, name, entry, whole):
    bomb = pickle.PROTO + b"\2" + pickle.EMPTY_LIST + b"0" * 2**24
    path = traps.repacked(
        whole, tmp_path / name, lambda n, d: bomb if n == entry else d, packed=True
    )
    assert path.stat().st_size < 10**6
    refused(path, f"a bomb of {entry} in {name}")


def test_entries_that_share_their_bytes_are_refused(tmp_path, whole):
    data = whole.read_bytes()
    at = data.index(b"PK\x01\x02")
    end = data.rindex(b"PK\x05\x06")
    # The list of contents names the same entries a hundred times.
    listed = data[at:end] * 100
    tail = bytearray(data[end:])
    n_entries = int.from_bytes(tail[10:12], "little") * 100
    tail[8:12] = n_entries.to_bytes(2, "little") * 2
    tail[12:16] = len(listed).to_bytes(4, "little")
    path = tmp_path / "a.pt"
    path.write_bytes(data[:at] + listed + tail)
    refused(path, "entries listed a hundred times")


# Shapes and kinds


ODD: dict[str, Callable[[], Any]] = {
    "sparse": lambda: content(visual=torch.zeros(6, 10, 14, 3).to_sparse()),
    "without storage": lambda: torch.zeros(6, 10, 14, 5, device="meta"),
    "conjugated": lambda: torch.zeros(6, 10, 14, 5, dtype=torch.complex64).conj(),
    "bfloat16": lambda: content(visual=torch.zeros(6, 10, 14, 3).bfloat16()),
    "half": lambda: torch.zeros(6, 10, 14, 5).half(),
    "weights": lambda: content(visual=torch.nn.Parameter(torch.zeros(6, 10, 14, 3))),
    "no axis": lambda: torch.tensor(3),
    "NaN times": lambda: content(times=torch.full((6,), torch.nan)),
    "whole times": lambda: content(times=torch.arange(6)),
    "no channel": lambda: content(channels=[]),
    "a number as label": lambda: content(label=3),
    "a word for has_sound": lambda: content(has_sound="no"),
    "a list as options": lambda: content(meta={"options": [1]}),
    "a word as source": lambda: content(meta={"source": "a.mp4"}),
    "a number as meta": lambda: content(meta=3),
    "a list of sounds": lambda: content(sound=[1]),
    "another version": lambda: content(version=2),
}


@pytest.mark.filterwarnings("ignore:.*(Sparse|sparse).*")
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("legacy", [False, True])
def test_tensors_and_values_of_other_kinds_are_refused(tmp_path, kind, legacy):
    path = saved(ODD[kind](), tmp_path / "a.pt", legacy=legacy)
    refused(path, f"{kind}{' (older format)' * legacy}")


def test_a_storage_that_is_too_small_or_has_a_place_below_zero_is_refused(
    tmp_path, whole
):
    for old, new in ((b"K\x06K\x0aK\x0e", b"K\x06K\x0aK\xff"), (b"K\x06", b"K\xf0")):

        def change(name: str, data: bytes, old: bytes = old, new: bytes = new) -> bytes:
            if name == "data.pkl":
                assert old in data
                return data.replace(old, new, 1)
            return data

        path = traps.repacked(whole, tmp_path / "a.pt", change)
        refused(path, "a storage that is too small")


# Networks


def checkpoint(path: Path, **changes: Any) -> Path:
    """Write a checkpoint whose card is changed."""
    tiny.saved(Network(tiny.CARD), path)
    kept = torch.load(path, weights_only=True)
    view = kept[KEY]["view"]
    for name, value in changes.items():
        (view if name in view else kept[KEY])[name] = value
    return saved(kept, path)


CARDS: dict[str, dict[str, Any]] = {
    "frames without end": {"frames": HUGE},
    "a picture without end": {"height": 10**6},
    "no frame": {"frames": 0},
    "a frame below zero": {"frames": -3},
    "a true frame": {"frames": True},
    "half a frame": {"frames": 1.5},
    "classes without end": {"classes": [str(n) for n in range(20_001)]},
    "a class twice": {"classes": ["a", "a"]},
    "numbers as classes": {"classes": [1, 2]},
    "channels twice": {"channels": ["R", "R"]},
    "NaN as mean": {"mean": [float("nan")] * 5},
    "a spread of zero": {"std": [0.0] * 5},
    "too few means": {"mean": [1.0]},
    "no recipe": {"recipe": [1]},
    "NaN seconds": {"seconds": float("nan")},
    "a strange key": {"strange": 1},
    "no such model": {"model": "../../etc"},
    "no such size": {"model_size": "huge"},
    "NaN as trust": {"trust": [[float("nan")] * 3] * 4},
}


@pytest.mark.parametrize("kind", CARDS)
@pytest.mark.parametrize("name", ["best.ckpt", "init.ckpt"])
def test_a_card_that_no_network_fits_is_refused(tmp_path, kind, name):
    path = checkpoint(tmp_path / name, **CARDS[kind])
    assert "does not fit this version" in refused(path, f"{kind} in {name}")


@pytest.mark.parametrize("name", ["best.ckpt", "init.ckpt"])
def test_weights_that_are_no_numbers_are_refused(tmp_path, name):
    network = Network(tiny.CARD)
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    path = tiny.saved(network, tmp_path / name)
    assert "no numbers" in refused(path, f"NaN weights in {name}")


def test_a_card_larger_than_its_weights_takes_no_memory(tmp_path):
    # A network that does cost what its card says: one row for each class.
    path = checkpoint(
        tmp_path / "best.ckpt",
        model_size="base",
        classes=[str(n) for n in range(19_999)],
    )
    refused(path, "a card larger than its weights")


@pytest.mark.parametrize(
    "words",
    [
        "[" * 100_000,
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        "9" * 100_000,
        '{"model": NaN}',
        "null",
        "[]",
        '"' + "x" * 10**6 + '"',
    ],
    ids=["open", "deep", "long", "NaN", "null", "list", "text"],
)
def test_metadata_of_an_onnx_file_is_only_read(tmp_path, words):
    path = onnx_file(tmp_path / "a.onnx", words)
    with traps.measured("metadata of .onnx", tmp_path), pytest.raises(TrainingError):
        open_onnx(path)


def onnx_file(path: Path, card: str, location: str = "") -> Path:
    """Write a small network with `card` as metadata, its weights perhaps elsewhere."""
    onnx = pytest.importorskip("onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        helper, kind = onnx.helper, onnx.TensorProto.FLOAT
        weights = helper.make_tensor("w", kind, [2], bytes(8), raw=True)
        if location:
            onnx.external_data_helper.set_external_data(weights, location)
            weights.ClearField("raw_data")
            weights.data_location = onnx.TensorProto.EXTERNAL
        places = [helper.make_tensor_value_info(n, kind, [2]) for n in ("x", "y")]
        node = helper.make_node("Add", ["x", "w"], ["y"])
        graph = helper.make_graph([node], "g", places[:1], places[1:], [weights])
        opset = helper.make_opsetid("", 17)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        helper.set_model_props(model, {CARD: card})
        path.write_bytes(model.SerializeToString())
    return path


def test_an_onnx_file_cannot_fetch_other_files(tmp_path, monkeypatch):
    (tmp_path / "secret").write_bytes(bytes(8))
    monkeypatch.chdir(tmp_path)
    card = json.dumps(tiny.CARD.as_dict())
    for location in ("secret", str(tmp_path / "secret"), "../secret"):
        path = onnx_file(tmp_path / "a.onnx", card, location)
        fault = traps.measured(f"weights of .onnx in {location}", tmp_path)
        with fault, pytest.raises(TrainingError, match="onnxruntime can use"):
            open_onnx(path)


def test_a_card_goes_through_json_and_back():
    assert Card.from_dict(json.loads(json.dumps(tiny.CARD.as_dict()))) == tiny.CARD


# Damage by chance


def damaged(data: bytes, dice: random.Random) -> bytes:
    """Change some bytes, cut a piece out or write one twice."""
    made = bytearray(data)
    for _ in range(dice.randint(1, 8)):
        at = dice.randrange(len(made))
        kind = dice.random()
        if kind < 0.6:
            made[at] = dice.randrange(256)
        elif kind < 0.8:
            del made[at : at + dice.randint(1, 40)]
        else:
            made[at:at] = made[at // 2 : at // 2 + dice.randint(1, 40)]
        if not made:
            return b""
    return bytes(made)


def read_damaged(path: Path, seeds: range, folder: Path) -> None:
    """Damage a file in many ways; it is read, or refused in a sentence."""
    data, reader = path.read_bytes(), READERS[path.name]
    with traps.measured(f"{len(seeds)} damages of {path.name}", folder) as noted:
        for seed in seeds:
            path.write_bytes(damaged(data, random.Random(seed)))
            with suppress(FmrgbError), traps.one_of(noted):
                read = reader(path)
                if path.name == "a.pt":
                    assert read.clip.size < 10**7


FILES: dict[str, Callable[[Path], Path]] = {
    "a.pt": lambda p: saved(content(), p),
    "best.ckpt": checkpoint,
    "init.ckpt": checkpoint,
}


@pytest.mark.parametrize(
    ("samples", "others"),
    [
        (range(150), range(15)),
        pytest.param(
            range(1000, 7000),
            range(1000, 1600),
            marks=(pytest.mark.faults, pytest.mark.timeout(1500)),
        ),
    ],
    ids=["some", "many"],
)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("legacy", [False, True])
def test_damaged_files_are_read_or_refused(tmp_path, name, legacy, samples, others):
    path = FILES[name](tmp_path / name)
    if legacy:
        saved(torch.load(path, weights_only=True), path, legacy=True)
    read_damaged(path, samples if name == "a.pt" else others, tmp_path)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
TENSORS = st.builds(
    lambda shape, kind: torch.zeros(shape, dtype=kind),
    st.lists(st.integers(0, 4), max_size=5),
    st.sampled_from([torch.uint8, torch.int64, torch.float32, torch.bool]),
)
QUICK = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
LONG = settings(QUICK, max_examples=5000)


def read_any(tmp_path: Path, key: str, value: Any) -> None:
    """Read a sample of which one entry is something else."""
    path = saved(content(**{key: value}), tmp_path / "a.pt")
    try:
        one = load_sample(path)
    except SampleError:
        return
    assert one.clip.shape == one.shape
    save_sample(tmp_path / "again.pt", one)


KEYS = st.sampled_from(sorted(content()))


@QUICK
@given(key=KEYS, value=PLAIN | TENSORS)
def test_any_value_in_a_sample_is_read_or_refused(tmp_path, key, value):
    read_any(tmp_path, key, value)


@pytest.mark.faults
@pytest.mark.timeout(1500)
@LONG
@given(key=KEYS, value=PLAIN | TENSORS)
def test_many_values_in_a_sample_are_read_or_refused(tmp_path, key, value):
    read_any(tmp_path, key, value)


CARD_KEYS = sorted({*tiny.CARD.as_dict(), *tiny.CARD.as_dict()["view"], "trust"})


def read_card(tmp_path: Path, key: str, value: Any) -> None:
    """Open a network of which one entry of the card is something else."""
    path = checkpoint(tmp_path / "best.ckpt", **{key: value})
    try:
        network = load_checkpoint(path)
    except TrainingError:
        return
    assert network.card.classes


@settings(QUICK, max_examples=10)
@given(key=st.sampled_from(CARD_KEYS), value=PLAIN)
def test_any_value_in_a_card_is_read_or_refused(tmp_path, key, value):
    read_card(tmp_path, key, value)


@pytest.mark.faults
@pytest.mark.timeout(1500)
@settings(LONG, max_examples=1000)
@given(key=st.sampled_from(CARD_KEYS), value=PLAIN)
def test_many_values_in_a_card_are_read_or_refused(tmp_path, key, value):
    read_card(tmp_path, key, value)


MINUTE = 60  # s that atheris looks for faults, for each kind of file


@pytest.mark.faults
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kind", ["pt", "csv", "options"])
def test_a_fuzzer_that_learns_finds_nothing_for_a_minute(tmp_path, kind):
    pytest.importorskip("atheris")
    script = Path(__file__).with_name("fuzz.py")
    command = [sys.executable, str(script), kind, str(tmp_path), str(MINUTE)]
    threads = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tally.fault(f"a minute of fuzzing: {kind}") as noted:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=10 * MINUTE, env=threads
        )
        noted.executed = int((tmp_path / traps.CANARY).exists())
        assert done.returncode == 0, done.stderr[-3000:]
        assert not noted.executed
