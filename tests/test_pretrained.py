"""pretrained.py: a training begins as the network of the file, and says so."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from fmrgb_tools import train as tool
from torch import nn
from video_resnet import random_network

from fmrgb.card import Card, View
from fmrgb.checkpoint import KEY, PREFIX, Network, load_checkpoint
from fmrgb.errors import TrainingError
from fmrgb.learner import Learner, Settings
from fmrgb.models import MODELS, Senses
from fmrgb.pretrained import FIRST_LAYER, Origin, read_origin, suited, take_weights

RGB = ("R", "G", "B")
ALL = (*RGB, "amplitude", "mel")
SOUND = {"amplitude", "frequency", "mel"}
KNOWN = 7.0  # what every weight of a file is, where they are counted
every_model = pytest.mark.parametrize("name", MODELS)

# torch's own remark on a file that it then refuses.
pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")


def card(*planes: str, **changes: Any) -> Card:
    """Return the card of a tiny network that sees these planes."""
    heard = tuple(plane for plane in planes if plane in SOUND)
    values = {
        "model": "conv3d",
        "model_size": "tiny",
        "classes": ("bright", "dark"),
        "view": View(planes, 6, 10, 14, heard),
        "mean": [100.0 + 3 * k for k in range(len(planes))],
        "std": [50.0 + 2 * k for k in range(len(planes))],
        "recipe": {},
    }
    return Card(**(values | changes))


def origin(*planes: str, **changes: Any) -> Origin:
    """Return a trained network, but for the training."""
    network = Network(card(*planes, **changes)).eval()
    for values in network.model.buffers():
        if values.is_floating_point():
            values.uniform_(0.5, 2)  # as if it had seen clips
    return Origin("file.ckpt", network.card, network.model)


def begun(wanted: Card, known: Origin) -> Network:
    """Return a network that has begun with the file."""
    network = Network(suited(wanted, known)).eval()
    take_weights(network, known)
    return network


def clips(*planes: str) -> torch.Tensor:
    """Return normalised clips [B, C, T, H, W]."""
    return torch.randn(3, len(planes), 6, 10, 14)


def saved(network: Network, path: Path) -> Path:
    """Write a network as training does."""
    state = {PREFIX + name: v for name, v in network.model.state_dict().items()}
    trust = {"trust": network.trust_SA.tolist()}
    torch.save({KEY: network.card.as_dict() | trust, "state_dict": state}, path)
    return path


@every_model
def test_more_planes_change_nothing_at_first(name):
    known = origin(*RGB, model=name)
    network = begun(card(*ALL, model=name), known)
    seen = clips(*ALL)
    with torch.no_grad():
        assert torch.allclose(network.model(seen), known.model(seen[:, :3]), atol=1e-6)
        louder = seen.clone()
        louder[:, 3:] += 5
        assert torch.equal(network.model(louder), network.model(seen))


@every_model
def test_the_same_planes_and_classes_are_taken_whole(name):
    known = origin(*ALL, model=name, fusion="senses")
    network = Network(suited(card(*ALL, model=name, fusion="senses"), known)).eval()
    taken = take_weights(network, known)
    assert isinstance(network.model, Senses)
    seen = clips(*ALL)
    with torch.no_grad():
        assert torch.equal(network.model(seen), known.model(seen))
    assert taken.n_taken == taken.n_weights
    assert (taken.inflated, taken.left, taken.normalised) == ((), (), ALL)


def test_rows_of_the_classifier_follow_the_names_of_the_classes():
    known = origin(*RGB, classes=("cat", "cow", "dog"))
    network = begun(card(*RGB, classes=("ape", "dog", "cat", "emu")), known)
    seen = clips(*RGB)
    with torch.no_grad():
        ours, theirs = network.model(seen), known.model(seen)
    assert torch.allclose(ours[:, [2, 1]], theirs[:, [0, 2]], atol=1e-6)
    fresh = [ours[:, k] for k in (0, 3)]
    assert not any(torch.allclose(f, t) for f in fresh for t in theirs.T)


def test_a_network_of_two_senses_takes_its_picture_from_one_that_only_sees():
    known = origin(*RGB)
    wanted = card(*ALL, fusion="senses")
    network = Network(suited(wanted, known)).eval()
    before = {k: v.clone() for k, v in network.model.state_dict().items()}
    taken = take_weights(network, known)
    seen = clips(*ALL)
    with torch.no_grad():
        picture = network.model(seen)[:, 0]
        assert torch.allclose(picture, known.model(seen[:, :3]), atol=1e-6)
    after = network.model.state_dict()
    same = {k.split(".")[0] for k, v in after.items() if torch.equal(v, before[k])}
    assert {"sound", "joint"} <= same
    assert taken.left == (
        "sound, amplitude, mel unknown there",
        "joint, which is not there for these senses",
    )
    assert taken.inflated == (
        "picture.stem.0.0.weight: R, G, B by name; change of R, change of G, change of "
        "B from zero",
    )


def test_a_stacked_network_takes_the_picture_of_one_of_two_senses():
    known = origin(*ALL, fusion="senses")
    network = begun(card(*ALL), known)
    still = clips(*ALL)[:, :, :1].expand(-1, -1, 6, -1, -1)  # it sees no changes
    with torch.no_grad():
        picture = known.model(still)[:, 0]
        assert torch.allclose(network.model(still), picture, atol=1e-6)
    assert network.card.mean == card(*ALL).mean


def test_clips_of_another_size_move_the_positions_of_vivit():
    known = origin(*RGB, model="vivit")
    view = View(RGB, 9, 10, 30)
    network = Network(suited(card(*RGB, model="vivit", view=view), known)).eval()
    taken = take_weights(network, known)
    assert taken.inflated == ("positions: 3x2x2 tubelets to 5x2x4",)
    assert taken.n_taken == taken.n_weights
    ours, theirs = network.model.positions, known.model.positions
    assert ours.shape == (1, 5, 8, 64)
    assert torch.allclose(ours.mean(dim=(1, 2)), theirs.mean(dim=(1, 2)), atol=0.01)


@pytest.mark.parametrize("fusion", ["senses", "stack"])
@every_model
def test_what_was_taken_is_counted(name, fusion):
    known = origin("R", "mel", model=name, fusion=fusion, classes=("dark", "dusk"))
    with torch.no_grad():
        for weights in known.model.parameters():
            weights.fill_(KNOWN)
    wanted = card("R", "G", "mel", "amplitude", model=name, fusion=fusion)
    network = Network(suited(wanted, known))
    taken = take_weights(network, known)
    counted = sum(int((p == KNOWN).sum()) for p in network.model.parameters())
    assert taken.n_taken == counted
    assert taken.n_weights == sum(p.numel() for p in network.model.parameters())


def test_it_is_said_what_was_taken_inflated_and_left():
    known = origin(*RGB, classes=("cat", "dog"))
    labels = ("ape", "cat", *(f"class\n{k}" for k in range(9)))
    network = Network(suited(card(*ALL, classes=labels), known))
    first, *others = take_weights(network, known).lines()
    n_weights = 112_594 + 9 * 65  # two classes of five planes, and nine more rows
    n_taken = n_weights - 2 * 16 * 5 * 5 - 10 * 65  # but kernels of planes, and rows
    assert first == (
        f"taken: {n_taken:,} of {n_weights:,} weights from file.ckpt, and the "
        "normalisation of R, G, B"
    )
    assert others == [
        "inflated: stem.0.0.weight: R, G, B by name; amplitude, mel from zero",
        "left fresh: rows of the classifier for ape, class\\n0, class\\n1, class\\n2, "
        "class\\n3 and 5 more, unknown there",
    ]


def test_known_planes_keep_the_normalisation_of_the_file():
    wanted = card("gray", "mel", "R", mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    got = suited(wanted, origin(*RGB))
    assert got.mean == [pytest.approx(103), 2, 100]
    assert got.std == [pytest.approx(52), 5, 50]
    assert replace(got, mean=wanted.mean, std=wanted.std) == wanted


@pytest.mark.parametrize(
    ("size", "fusion"), [("base", "stack"), ("mc3", "senses"), ("r3d", "stack")]
)
def test_torchvisions_weights_see_levels_as_torchvision_does(tmp_path, size, fusion):
    theirs = random_network(size)
    torch.save(theirs.state_dict(), tmp_path / "net.pth")
    known = read_origin(tmp_path / "net.pth")
    wanted = card(*ALL, model_size="base", fusion=fusion)
    network = begun(wanted, known)
    assert network.card.model_size == size
    assert network.card.mean[3:] == wanted.mean[3:]
    levels = torch.randint(0, 256, (2, 5, 6, 10, 14), dtype=torch.uint8)
    mean = torch.tensor([0.43216, 0.394666, 0.37645]).reshape(3, 1, 1, 1)
    std = torch.tensor([0.22803, 0.22145, 0.216989]).reshape(3, 1, 1, 1)
    heard: list[torch.Tensor] = []
    part = network.model.picture if fusion == "senses" else network.model
    *_, last = (layer for layer in part.modules() if isinstance(layer, nn.Linear))
    last.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    with torch.no_grad():
        network(levels)
        wanted_BD = theirs.features((levels[:, :3] / 255 - mean) / std)
    assert torch.allclose(heard[0], wanted_BD, atol=1e-4, rtol=1e-4)


def test_a_file_of_the_older_format_is_read(tmp_path):
    state = random_network("mc3").state_dict()
    path = tmp_path / "old.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert read_origin(path).card.model_size == "mc3"


def test_what_base_became_is_kept_on_the_card(tmp_path):
    torch.save(random_network("mc3").state_dict(), tmp_path / "net.pth")
    network = begun(card(*RGB, model_size="base"), read_origin(tmp_path / "net.pth"))
    again = saved(network, tmp_path / "best.ckpt")
    assert load_checkpoint(again).card.model_size == "mc3"
    # And such a checkpoint serves where base is asked for.
    assert suited(card(*RGB, model_size="base"), read_origin(again)) == network.card


@pytest.mark.parametrize(
    ("known", "wanted", "said"),
    [
        (
            {"model": "vivit", "model_size": "small"},
            {"model": "conv3d"},
            r"file\.ckpt fits --learnmethod vivit --model_size small, got "
            r"--learnmethod conv3d --model_size tiny",
        ),
        (
            {"model_size": "base"},
            {"model_size": "small"},
            r"fits --learnmethod conv3d --model_size base, got .*--model_size small",
        ),
        ({"model_size": "small"}, {"model_size": "base"}, "fits .*--model_size small"),
    ],
)
def test_another_architecture_or_size_is_refused_with_what_would_fit(
    known, wanted, said
):
    with pytest.raises(TrainingError, match=said):
        suited(card(*RGB, **wanted), origin(*RGB, **known))


def test_a_file_that_knows_none_of_the_planes_is_refused():
    with pytest.raises(TrainingError, match="knows the planes R, G, B, none of mel"):
        suited(card("mel"), origin(*RGB))


def write(content: object) -> Callable[[Path], None]:
    """Return what writes a file of the content."""
    return lambda path: torch.save(content, path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, r"no such file: .*odd\.pth"),
        (lambda path: path.mkdir(), r"odd\.pth is not a whole file of weights"),
        (lambda path: path.write_text("R,G,B\n"), "is not a whole file of weights"),
        (write({"model": Path}), "or holds code that would run when opened"),
        (write([1, 2]), r"r2plus1d_18, mc3_18, r3d_18, got a list"),
        (write({}), r"got 0 entries"),
        (
            write({"conv1.weight": torch.zeros(3), "fc\n": torch.zeros(2)}),
            r"expected the best\.ckpt of a run .*got 2 entries, conv1\.weight, fc\\n$",
        ),
        (
            write({"epoch": 3, "global_step": 9, "state_dict": {}}),
            r"bare state dict .*got 3 entries, epoch, global_step, state_dict$",
        ),
    ],
)
def test_what_holds_no_fitting_weights_is_refused(make, said, tmp_path):
    make(tmp_path / "odd.pth")
    with pytest.raises(TrainingError, match=said):
        read_origin(tmp_path / "odd.pth")


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    network = Network(card(*RGB))
    network.model.classify.weight.data[1, 2] = float("nan")
    path = saved(network, tmp_path / "best.ckpt")
    with pytest.raises(TrainingError, match=r"no numbers, in classify\.weight"):
        read_origin(path)


def test_every_model_has_its_first_layer_named():
    for name in MODELS:
        weights = Network(card(*ALL, model=name)).model.state_dict()
        assert FIRST_LAYER[name] == next(
            k for k, v in weights.items() if v.ndim > 1 and k != "positions"
        )


def test_a_learner_begins_with_the_file_of_its_settings(tmp_path):
    path = saved(Network(card(*RGB)), tmp_path / "best.ckpt")
    learner = Learner(card(*ALL), Settings(init=str(path), fusion="stack"))
    assert learner.taken is not None
    assert learner.taken.origin == str(path)
    known = load_checkpoint(path).model.state_dict()
    ours = learner.net.model.state_dict()
    assert torch.equal(
        ours["stages.1.first.0.0.weight"], known["stages.1.first.0.0.weight"]
    )
    assert Learner(card(*ALL), Settings()).taken is None


def test_train_begins_with_a_run_of_other_planes_and_says_so(tmp_path, capsys):
    data = str(tiny.manifest(tmp_path / "samples", 6))
    known = Network(card(*RGB))
    best, run = str(saved(known, tmp_path / "best.ckpt")), tmp_path / "run"
    quick = ["--data", data, "--epochs", "1", "--batch_size", "4"]
    line = [*quick, "--init", best, "--output", str(run)]
    assert tool.main(line) == 0
    said = capsys.readouterr().out
    assert f"weights from {best}, and the normalisation of R, G, B\n" in said
    assert "left fresh: sound, amplitude, frequency unknown there\n" in said
    assert json.loads((run / "config.json").read_text())["init"] == best
    assert f"weights from {best}" in (run / "report.html").read_text()
    assert load_checkpoint(run / "best.ckpt").card.mean[:3] == known.card.mean
    assert tool.main([*line, "--resume", "--json"]) == 0
    taken = json.loads(capsys.readouterr().out)["taken"]
    assert (taken["origin"], taken["normalised"]) == (best, list(RGB))


def test_a_file_that_is_not_there_is_told_before_anything_is_written(tmp_path, capsys):
    data = str(tiny.manifest(tmp_path / "samples", 6))
    run = tmp_path / "run"
    assert tool.main(["--data", data, "--init", "none.pth", "--output", str(run)]) == 1
    said = capsys.readouterr().err
    assert said == "train: --init: no such file: none.pth\n"
    assert not run.exists()
