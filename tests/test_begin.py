"""begin.py: a network of two senses begins as the two that learned them apart."""

from pathlib import Path

import pytest
import tiny
import torch
from fmrgb_tools import train as tool

from fmrgb.begin import begin
from fmrgb.card import Card, View
from fmrgb.checkpoint import Network, load_checkpoint
from fmrgb.errors import TrainingError
from fmrgb.models import MODELS

RGB, HEARD = ("R", "G", "B"), ("amplitude", "mel")


def card(*planes: str, model: str = "conv3d", size: str = "tiny") -> Card:
    """Return the card of a network on clips of 6 frames of 14x10."""
    heard = tuple(plane for plane in planes if plane in HEARD)
    return Card(
        model=model,
        model_size=size,
        fusion="senses",
        classes=("bright", "dark"),
        view=View(planes, 6, 10, 14, heard),
        mean=[100.0 + 3 * len(plane) for plane in planes],
        std=[50.0 + 2 * len(plane) for plane in planes],
        recipe={},
    )


def trained(path: Path, *planes: str, model: str = "conv3d") -> Path:
    """Write a network as training leaves it."""
    network = Network(card(*planes, model=model))
    for values in network.model.buffers():
        if values.is_floating_point():
            values.uniform_(0.5, 2)  # as if it had seen clips
    return tiny.saved(network, path)


@pytest.mark.parametrize("model", MODELS)
def test_both_senses_answer_as_the_networks_that_learned_them_apart(tmp_path, model):
    eye = trained(tmp_path / "eye.ckpt", *RGB, model=model)
    ear = trained(tmp_path / "ear.ckpt", *HEARD, model=model)
    network, taken = begin(card(*RGB, *HEARD, model=model), f"{ear},{eye}")
    clips = torch.randn(3, 5, 6, 10, 14)
    with torch.no_grad():
        answers = network.eval().model(clips)
        seen = load_checkpoint(eye).model(clips[:, :3])
        heard = load_checkpoint(ear).model(clips[:, 3:])
    assert torch.allclose(answers[:, 0], seen, atol=1e-6)
    assert torch.allclose(answers[:, 1], heard, atol=1e-6)
    assert taken is not None
    assert taken.origin == f"{ear} and {eye}"
    assert taken.left == ("joint, which is not there for these senses",)
    assert taken.normalised == (*HEARD, *RGB)
    joint = sum(p.numel() for p in network.model.joint.parameters())
    assert taken.n_taken == taken.n_weights - joint


def test_two_files_that_know_the_same_are_refused(tmp_path):
    one, other = (trained(tmp_path / f"{n}.ckpt", *RGB) for n in "ab")
    with pytest.raises(TrainingError, match=r"a\.ckpt and .*b\.ckpt both know R, G, B"):
        begin(card(*RGB, *HEARD), f"{one},{other}")


def test_a_file_of_another_size_than_the_first_is_refused(tmp_path):
    eye = trained(tmp_path / "eye.ckpt", *RGB)
    ear = tiny.saved(Network(card(*HEARD, size="small")), tmp_path / "ear.ckpt")
    with pytest.raises(TrainingError, match=r"ear\.ckpt fits .* --model_size small"):
        begin(card(*RGB, *HEARD), f"{eye},{ear}")


def test_files_may_have_commas_in_their_names(tmp_path):
    eye = trained(tmp_path / "R,G,B.ckpt", *RGB)
    ear = trained(tmp_path / "amplitude,mel.ckpt", *HEARD)
    _, taken = begin(card(*RGB, *HEARD), f"{eye},{ear}")
    assert taken is not None
    assert taken.origin == f"{eye} and {ear}"
    with pytest.raises(TrainingError, match=r"no such file: .*none"):
        begin(card(*RGB, *HEARD), f"{eye},{tmp_path / 'none'}")


def test_one_file_may_have_a_comma_in_its_name(tmp_path):
    path = trained(tmp_path / "eye, left.ckpt", *RGB)
    _, taken = begin(card(*RGB, *HEARD), str(path))
    assert taken is not None
    assert taken.origin == str(path)
    assert taken.left[0] == "sound, amplitude, mel unknown there"


def test_without_a_file_nothing_is_taken():
    assert begin(card(*RGB), None)[1] is None


def test_train_begins_with_both_and_says_so(tmp_path, capsys):
    data = str(tiny.manifest(tmp_path / "samples", 6))
    line = ["--data", data, "--epochs", "1", "--batch_size", "4", "--precision", "32"]
    files = []
    for planes in ("R,G,B", "amplitude,frequency"):
        run = tmp_path / planes[0]
        more = ["--channels", planes, "--output", str(run)]
        assert tool.main([*line, *more]) == 0
        files.append(str(run / "best.ckpt"))
    capsys.readouterr()
    more = ["--init", ",".join(files), "--output", str(tmp_path / "both")]
    assert tool.main([*line, *more]) == 0
    said = capsys.readouterr().out
    assert f"weights from {files[0]} and {files[1]}, and the normal" in said
    assert "left fresh: joint, which is not there for these senses\n" in said
