"""export.py, onnx_model.py and the tool: one file says what the checkpoint says."""

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny
import torch
from fmrgb_tools import export as tool
from numpy.typing import NDArray
from torch.nn import functional

from fmrgb import export as module
from fmrgb.card import Card, View
from fmrgb.checkpoint import Network, load_checkpoint
from fmrgb.errors import ProgramMissingError, TrainingError
from fmrgb.export import (
    EXTRA_FILE,
    TOLERANCE,
    export,
    shares_of_columns,
    try_clips,
)
from fmrgb.models import MODELS
from fmrgb.names import FEATURES
from fmrgb.onnx_model import CARD, LEVELS, LOGITS, open_onnx

SPREAD = 3.0  # standard deviation that logits are brought to, so that errors would show
SEEN, HEARD = tiny.CHANNELS[:3], tiny.CHANNELS[3:]


def card(model: str, **changes: Any) -> Card:
    """Return the card of a tiny network, with a recipe and numbers of its own."""
    known: dict[str, Any] = {"recipe": {"audiomethod": "simple", "size": [14, 10]}}
    return replace(tiny.CARD, model=model, **{"fusion": "senses"} | known | changes)


def alone(model: str, *channels: str, frames: int = 4, height: int = 9) -> Card:
    """Return the card of a network of one sense, for three classes."""
    heard = tuple(c for c in channels if c in (*HEARD, FEATURES))
    view = View(channels, frames, height, 21, sound=heard)
    numbers = [90.0 + 10 * place for place in range(len(channels))]
    classes = ("a", "b", "c")
    return card(model, view=view, mean=numbers, std=numbers[::-1], classes=classes)


# Each architecture once, and each way of meeting of the senses once.
QUICK = {
    "conv3d": card("conv3d", fusion="stack"),
    "convlstm": card("convlstm", view=replace(tiny.VIEW, frames=3)),
    "vivit": alone("vivit", *HEARD),
    "cnn2d": alone("cnn2d", HEARD[0], frames=1),
}
EVERY = [
    pytest.param(known, id=f"{name} {what}")
    for name in MODELS
    for what, known in (
        ("senses", card(name)),
        ("stack", card(name, fusion="stack")),
        ("picture", alone(name, *SEEN)),
        ("one plane of sound", alone(name, HEARD[0])),
    )
]
TWO = alone("fusion", FEATURES, HEARD[0], frames=1, height=29)
EVERY.append(pytest.param(TWO, id="fusion"))


def keep(known: Card, path: Path) -> Path:
    """Write the checkpoint of a network that answers unlike for unlike clips."""
    torch.manual_seed(3)
    network = Network(known).train()
    clips = torch.from_numpy(try_clips(known, 12, seed=7))
    with torch.no_grad():
        for _ in range(20):  # fills the running values of the normalisations
            network(clips)
        dice = np.random.default_rng(1)
        network.trust_SA = dice.uniform(0.5, 1.5, network.trust_SA.shape)
        network.trust_SA *= SPREAD / network.eval()(clips).std().item()
    return tiny.saved(network, path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return a folder where the tool exported every architecture, and its words."""
    folder, said = tmp_path_factory.mktemp("exported"), {}
    for name, known in QUICK.items():
        words = ["--model", str(keep(known, folder / f"{name}.ckpt"))]
        with (
            redirect_stdout(io.StringIO()) as out,
            redirect_stderr(io.StringIO()) as err,
        ):
            assert tool.main([*words, "--batch_size", "3"]) == 0
        assert err.getvalue() == ""
        said[name] = out.getvalue()
    return folder, said


@pytest.fixture(scope="module")
def folder(made: tuple[Path, dict[str, str]]) -> Path:
    """Return the folder with <architecture>.ckpt and .onnx."""
    return made[0]


def assert_agree(checkpoint: Path, exported: Path) -> None:
    """Compare logits of batches of several sizes, with and without each sense."""
    network, opened = load_checkpoint(checkpoint), open_onnx(exported)
    for n_clips in (1, 3, 7):
        clips = try_clips(network.card, n_clips, seed=50 + n_clips)
        if n_clips == 7:
            clips[-1] = 0
        with torch.no_grad():
            wanted = network(torch.from_numpy(clips)).numpy()
        told = opened.logits(clips)
        assert told.dtype == np.float32
        np.testing.assert_allclose(told, wanted, rtol=0, atol=TOLERANCE)
    assert wanted.std(axis=0).min() > 1000 * TOLERANCE


@pytest.mark.parametrize("name", MODELS)
def test_onnxruntime_says_what_the_checkpoint_says(folder, name):
    assert_agree(folder / f"{name}.ckpt", folder / f"{name}.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("known", EVERY)
def test_every_kind_of_network_can_be_exported(known, tmp_path):
    checkpoint = keep(known, tmp_path / "best.ckpt")
    assert_agree(checkpoint, export(checkpoint).path)


def test_the_card_lies_in_the_file(folder):
    for name in MODELS:
        assert open_onnx(folder / f"{name}.onnx").card == QUICK[name]
    content = onnx.load(folder / "conv3d.onnx")
    (kept,) = (p.value for p in content.metadata_props if p.key == CARD)
    told = json.loads(kept)
    assert told["classes"] == ["bright", "dark"]
    assert told["view"]["channels"] == list(tiny.CHANNELS)
    assert told["recipe"]["size"] == [14, 10]
    assert {"fusion", "version", "mean", "std"} <= set(told)
    assert "levels: uint8 [batch, 5, 6, 10, 14]" in content.doc_string


def test_an_export_is_one_file_and_its_speed_is_told(folder, monkeypatch):
    exported = sorted(path.name for path in folder.iterdir())
    assert exported == sorted(
        f"{n}.{kind}" for n in MODELS for kind in ("ckpt", "onnx")
    )
    clock = [0.0]

    def working(pace: float) -> Any:
        def work(clips: NDArray[np.uint8]) -> None:
            clock[0] += pace if clock[0] > 50 else 100

        return work

    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    clips = np.zeros((4, 1), np.uint8)
    assert module._milliseconds(working(3), working(1), clips) == (750, 250)


def test_the_file_works_where_torch_is_not_installed(folder):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; import numpy as np\n"
        "from fmrgb.onnx_model import open_onnx\n"
        "opened = open_onnx(Path(sys.argv[1]))\n"
        "clips = np.full((2, *opened.card.view.shape), 77, np.uint8)\n"
        "print(opened.logits(clips).tolist())"
    )
    words = [sys.executable, "-c", code, str(folder / "vivit.onnx")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    network = load_checkpoint(folder / "vivit.ckpt")
    clips = torch.full((2, *network.card.view.shape), 77, dtype=torch.uint8)
    with torch.no_grad():
        wanted = network(clips).numpy()
    np.testing.assert_allclose(json.loads(done.stdout), wanted, atol=TOLERANCE)


def test_a_torch_program_says_what_the_checkpoint_says(folder, tmp_path, capsys):
    checkpoint, path = folder / "vivit.ckpt", tmp_path / "new" / "program.pt2"
    words = ["--model", str(checkpoint), "--format", "torch", "--output", str(path)]
    assert tool.main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["path"], told["format"]) == (str(path), "torch")
    assert told["bytes"] == path.stat().st_size
    assert told["difference"] <= TOLERANCE
    assert min(told["ms"], told["checkpoint_ms"]) > 0
    assert [p.name for p in path.parent.iterdir()] == ["program.pt2"]
    extra = {EXTRA_FILE: ""}
    program = torch.export.load(path, extra_files=extra).module()
    assert json.loads(extra[EXTRA_FILE]) == told["card"]
    assert Card.from_dict(told["card"]) == QUICK["vivit"]
    network = load_checkpoint(checkpoint)
    for n_clips in (1, 3):
        clips = torch.from_numpy(try_clips(network.card, n_clips, seed=60))
        with torch.no_grad():
            torch.testing.assert_close(program(clips), network(clips))


def test_pooling_is_the_same_as_torchs():
    for width in (9, 14, 16, 21):
        maps = torch.randn(2, 3, 4, 5, width)
        wanted = functional.adaptive_avg_pool3d(maps, (None, None, 8))
        shares = torch.from_numpy(shares_of_columns(width, 8))
        torch.testing.assert_close(maps @ shares, wanted)


def test_clips_are_tried_with_and_without_each_sense():
    network = Network(card("vivit"))
    kinds = network.kinds(torch.from_numpy(try_clips(network.card, 6)))
    assert kinds.tolist() == [3, 1, 2, 3, 1, 2]


def test_a_file_that_would_answer_differently_is_not_written(
    folder, tmp_path, monkeypatch
):
    path = tmp_path / "program.pt2"
    path.write_text("what was there before")
    monkeypatch.setattr(module, "_difference", lambda *_: float("nan"))
    with pytest.raises(TrainingError, match=r"program\.pt2 was not written: .* nan"):
        export(folder / "vivit.ckpt", form="torch", output=path)
    assert path.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_torch_cannot_export_is_told_in_one_sentence(folder, monkeypatch):
    def kinds(self: Network, levels: torch.Tensor) -> torch.Tensor:
        return torch.tensor([3] * int(levels.amax()))  # hangs on what is in the clip

    monkeypatch.setattr(Network, "kinds", kinds)
    with pytest.raises(TrainingError, match=r"^vivit tiny cannot be exported: [^\n]+$"):
        export(folder / "vivit.ckpt", form="torch", output=folder / "never.pt2")
    assert not (folder / "never.pt2").exists()


def foreign(path: Path, **metadata: str) -> Path:
    """Write an ONNX model that gives back the levels it is given."""
    sizes = ["batch", *tiny.VIEW.shape]
    places = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, sizes)
        for name in (LEVELS, LOGITS)
    ]
    node = onnx.helper.make_node("Identity", [LEVELS], [LOGITS])
    graph = onnx.helper.make_graph([node], "foreign", places[:1], places[1:])
    content = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10
    )
    onnx.helper.set_model_props(content, metadata)
    onnx.save(content, path)
    return path


def test_damaged_and_foreign_files_are_refused_in_one_sentence(folder, tmp_path, capfd):
    whole = (folder / "vivit.onnx").read_bytes()
    cut, empty = tmp_path / "cut.onnx", tmp_path / "empty.onnx"
    cut.write_bytes(whole[: len(whole) // 2])
    empty.write_bytes(b"")
    own = json.dumps(tiny.CARD.as_dict())
    for path, reason in (
        (cut, r"cut\.onnx is not an \.onnx file that .* \(.*protobuf"),
        (empty, r"empty\.onnx is not an \.onnx file that .*"),
        (tmp_path / "none.onnx", "no such model"),
        (foreign(tmp_path / "f.onnx"), "was not exported by fmrgb"),
        (foreign(tmp_path / "j.onnx", **{CARD: "{"}), "does not fit this version"),
        (foreign(tmp_path / "l.onnx", **{CARD: "[]"}), "does not fit this version"),
        (foreign(tmp_path / "o.onnx", **{CARD: own}), "its card promises .* has"),
    ):
        with pytest.raises(TrainingError, match=reason) as told:
            open_onnx(path)
        assert "\n" not in str(told.value)
    assert capfd.readouterr() == ("", "")


def test_a_file_cannot_read_others_beside_it(tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.arange(8, dtype=np.float32).tobytes())
    path = foreign(tmp_path / "thief.onnx")
    content = onnx.load(path)
    weights = onnx.numpy_helper.from_array(np.zeros(8, np.float32), "w")
    onnx.external_data_helper.set_external_data(weights, secret.name)
    weights.ClearField("raw_data")
    content.graph.initializer.append(weights)
    weights = onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [8])
    content.graph.output.append(weights)
    path.write_bytes(content.SerializeToString())
    with pytest.raises(TrainingError, match=r"thief\.onnx"):
        open_onnx(path)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_extra_is_named(folder, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    path = tmp_path / "model.onnx"
    with pytest.raises(ProgramMissingError, match=r"pip install 'fmrgb\[export\]'"):
        export(folder / "vivit.ckpt", output=path)
    assert not path.exists()
    if package == "onnxruntime":
        with pytest.raises(ProgramMissingError, match=r"pip install 'fmrgb\[export\]'"):
            open_onnx(folder / "vivit.onnx")


@pytest.mark.parametrize("name", MODELS)
def test_the_tool_says_size_and_speed_of_both(made, name):
    folder, said = made
    paths = [folder / f"{name}.onnx", folder / f"{name}.ckpt"]
    first, size, speed = said[name].splitlines()
    assert first.startswith(f"{paths[0]}: the logits are the checkpoint's to ")
    sizes = [f"{path.stat().st_size / 2**20:.1f} MiB" for path in paths]
    assert size == f"size {sizes[0]}, checkpoint {sizes[1]}"
    assert "ms per clip, 3 at once, checkpoint in torch " in speed
    session = onnxruntime.InferenceSession(paths[0])
    assert session.get_inputs()[0].shape[0] == "batch"


def test_the_tool_refuses_in_one_line(folder, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        tool.main(["--model", str(folder / "vivit.ckpt"), "--output", "model.pt2"])
    assert left.value.code == 2
    assert "--output must end with .onnx, got model.pt2" in capsys.readouterr().err
    assert tool.main(["--model", str(tmp_path / "none.ckpt")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("export: no such checkpoint")
    assert said.count("\n") == 1
