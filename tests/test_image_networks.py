"""models: cnn2d, fusion, timm's, and what a sense does with a single frame."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fmrgb_tools import models as models_tool
from fmrgb_tools import train as train_tool
from torch import nn

from fmrgb.card import Card, ClipShape, View
from fmrgb.checkpoint import Network
from fmrgb.errors import ProgramMissingError, TrainingError
from fmrgb.inflate import matches
from fmrgb.models import MODELS, TWO_BRANCHES, Sense, Senses, build_model
from fmrgb.models.cnn2d import LEAST
from fmrgb.models.fusion import VALUES, FusionNet, centres
from fmrgb.names import FEATURES
from fmrgb.pretrained import Origin, suited, take_weights
from fmrgb.sample import Sample
from fmrgb.seen import choose_view, view_of
from fmrgb.stack import spread
from fmrgb.worth import parts_of

torch.set_num_threads(1)

STILL = ClipShape(channels=2, frames=1, height=34, width=50)
N_CLIPS = 3
PEERS = Path(__file__).parents[1] / "benchmarks" / ".work" / "peers"


def plain(clip: ClipShape, n_classes: int) -> nn.Sequential:
    """Return Keras' example as its file lists it, for channels first."""
    rows, columns = ((side - 2 * 2) // 2 for side in (clip.height, clip.width))
    return nn.Sequential(
        nn.Conv2d(clip.channels, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(64 * rows * columns, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, n_classes),
    )


@pytest.mark.parametrize("size", [(28, 28), (34, 50), (7, 6)])
def test_cnn2d_is_the_example_of_keras_layer_by_layer(size):
    clip = ClipShape(2, 1, *size)
    theirs = plain(clip, 10).eval()
    ours = build_model("cnn2d", "tiny", clip, 10).eval()
    state = zip(ours.state_dict(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict(dict(state))
    seen = torch.randn(N_CLIPS, *clip)
    with torch.no_grad():
        assert torch.allclose(ours(seen), theirs(seen[:, :, 0]), atol=1e-5)


def test_cnn2d_has_the_parameters_that_keras_tells_of():
    model = build_model("cnn2d", "tiny", ClipShape(1, 1, 28, 28), 10)
    assert sum(p.numel() for p in model.parameters()) == 1_199_882


def test_cnn2d_leaves_out_as_much_as_the_example():
    torch.manual_seed(0)
    model = build_model("cnn2d", "tiny", STILL, 2).train()
    pooled = model.network.pictures.convolve(torch.rand(40, 2, 34, 50) + 1)
    still = model.network.pictures.convolve.eval()(torch.rand(40, 2, 34, 50) + 1)
    lost = (pooled == 0).float().mean() - (still == 0).float().mean()
    assert float(lost) == pytest.approx(
        0.25 * float((still > 0).float().mean()), abs=0.01
    )
    assert model.network.pictures.dropout.p == 0.5


def test_cnn2d_averages_the_features_of_the_frames():
    clip = ClipShape(3, 5, 9, 11)
    model = build_model("cnn2d", "tiny", clip, 4, fusion="stack").eval()
    seen = torch.randn(N_CLIPS, *clip)
    with torch.no_grad():
        each = [model.features(seen[:, :, t : t + 1]) for t in range(clip.frames)]
        assert torch.allclose(
            model.features(seen), torch.stack(each).mean(0), atol=1e-6
        )


@pytest.mark.parametrize("size", [(LEAST - 1, 40), (40, LEAST - 1), (1, 1)])
def test_a_picture_too_small_for_cnn2d_is_refused_with_what_would_do(size):
    height, width = size
    said = rf"need pictures of 6x6 or more, got {width}x{height}; give a larger --size"
    with pytest.raises(TrainingError, match=said):
        build_model("cnn2d", "tiny", ClipShape(2, 1, *size), 2)


@pytest.mark.parametrize("name", MODELS)
def test_a_sense_of_one_frame_sees_its_levels_alone(name):
    model = build_model(name, "tiny", STILL, 4, sound=(0, 1)).eval()
    assert isinstance(model, Sense)
    assert not any(k.startswith("scale") for k in model.state_dict())
    bare = MODELS[name].make(STILL, 4, **MODELS[name].sizes["tiny"]).eval()
    bare.load_state_dict(model.network.state_dict())
    seen = torch.randn(N_CLIPS, *STILL)
    with torch.no_grad():
        assert torch.equal(model(seen), bare(seen)), "no plane, no column is lost"


@pytest.mark.parametrize("name", MODELS)
def test_senses_meet_in_a_still_with_sound_and_learn(name):
    clip = STILL._replace(channels=4)
    model = build_model(name, "tiny", clip, 4, sound=(3,)).train()
    assert isinstance(model, Senses)
    answers = model(torch.randn(N_CLIPS, *clip))
    assert answers.shape == (N_CLIPS, 3, 4)
    answers.square().sum().backward()
    assert not [k for k, p in model.named_parameters() if p.grad is None]


# ------------------------------------------------------------------ fusion
PLANES = ("R", FEATURES, "logmel")
BOTH = ClipShape(channels=3, frames=1, height=34, width=50)


def fusion_net(clip: ClipShape = BOTH, **how: object) -> FusionNet:
    """Return fusion's network for clips with a plane of numbers."""
    model = build_model("fusion", "tiny", clip, 4, planes=PLANES, **how)
    assert isinstance(model, FusionNet)
    return model.eval()


@pytest.mark.parametrize("height", range(26, 60))
def test_fusion_reads_back_every_number_of_the_plane(height):
    numbers = np.random.default_rng(height).permutation(256)[:52].astype(np.uint8)
    plane = numbers.reshape(1, *VALUES)
    for width in (6, 7, 50, 64):
        clip = ClipShape(3, 1, height, width)
        levels = torch.zeros(1, *clip)
        told = spread(plane, 1, height, width, sharp=True)
        levels[:, 1] = torch.from_numpy(told.astype(np.float32))
        read = fusion_net(clip).values(levels)
        assert read.flatten().tolist() == numbers.tolist()


@pytest.mark.parametrize("size", [(50, 34), (41, 33), (6, 26), (128, 96)])
def test_the_numbers_survive_another_size_of_the_view(size):
    numbers = np.random.default_rng(2).integers(0, 256, (1, *VALUES)).astype(np.uint8)
    sample = Sample(
        visual=np.zeros((1, 34, 50, 0), np.uint8),
        sound={"logmel": np.full((1, 34, 50), 90, np.uint8), FEATURES: numbers},
        channels=("logmel", FEATURES),
        times=np.zeros(1, np.float32),
        has_sound=True,
        silent=False,
        label="one",
    )
    view = choose_view(sample, size=size)
    clip = torch.from_numpy(view_of(sample, view, "one.pt"))[None].float()
    how = {"planes": view.channels, "sound": (0, 1)}
    model = build_model("fusion", "tiny", view.shape, 2, **how)
    assert model.values(clip).flatten().tolist() == numbers.flatten().tolist()
    assert (clip[:, 0] == 90).all()


def test_centres_of_boxes_lie_in_the_middle():
    assert centres(2, 8) == [2, 6]
    assert centres(3, 9) == [1, 4, 7]
    assert centres(26, 26) == list(range(26))


def test_the_pictures_branch_never_sees_the_numbers_nor_the_other_way_round():
    model, seen = fusion_net(), torch.randn(N_CLIPS, *BOTH)
    other = seen.clone()
    other[:, 1] = torch.randn(N_CLIPS, 1, 34, 50)
    width = model.pictures.dense.out_features
    with torch.no_grad():
        before, after = model.features(seen), model.features(other)
        assert torch.equal(before[:, :width], after[:, :width])
        assert not torch.allclose(before[:, width:], after[:, width:])
        other = seen.clone()
        other[:, [0, 2]] += 1
        after = model.features(other)
        assert torch.equal(before[:, width:], after[:, width:])
        assert not torch.allclose(before[:, :width], after[:, :width])


def test_fusion_is_one_network_however_the_senses_meet():
    for sound in ((), (1, 2), (0, 1, 2)):
        model = fusion_net(sound=sound, fusion="senses")
        assert model(torch.randn(N_CLIPS, *BOTH)).shape == (N_CLIPS, 4)
    counts = [
        sum(
            p.numel()
            for p in build_model("fusion", s, BOTH, 4, planes=PLANES).parameters()
        )
        for s in TWO_BRANCHES["fusion"].sizes
    ]
    assert counts == sorted(set(counts))


def test_every_weight_of_fusion_learns():
    model = fusion_net().train()
    model(torch.rand(4, *BOTH)).square().sum().backward()
    assert not [
        k for k, p in model.named_parameters() if p.grad is None or not p.grad.any()
    ]


@pytest.mark.parametrize(
    ("clip", "planes", "said"),
    [
        (
            BOTH,
            ("R", "G", "logmel"),
            r"fusion needs the plane features .*--soundpicture",
        ),
        (BOTH._replace(channels=1), (FEATURES,), "needs a plane of pictures beside"),
        (
            BOTH._replace(height=25),
            PLANES,
            r"50x25 cannot hold; give a --size of .*6x26",
        ),
        (BOTH._replace(width=5), PLANES, "need pictures of 6x6 or more"),
    ],
)
def test_clips_that_fusion_cannot_take_are_refused_with_the_cure(clip, planes, said):
    with pytest.raises(TrainingError, match=said):
        build_model("fusion", "tiny", clip, 4, planes=planes)


def test_the_worth_of_planes_tells_what_each_branch_gives():
    view = View(
        ("R", "logmel", "stft", FEATURES), 1, 34, 50, ("logmel", "stft", FEATURES)
    )
    parts = parts_of(view)
    assert parts[FEATURES] == [3]
    assert parts["all planes but features"] == [0, 1, 2]
    two = View(("logmel", FEATURES), 1, 34, 50, ("logmel", FEATURES))
    assert list(parts_of(two)) == ["logmel", FEATURES, "all sound planes"]


def card(model: str, *planes: str, size: tuple[int, int] = (34, 50)) -> Card:
    """Return the card of a network of stills."""
    sound = tuple(p for p in planes if p not in ("R", "gray"))
    n = len(planes)
    return Card(
        model=model, model_size="tiny", classes=("a", "b"), recipe={},
        view=View(planes, 1, *size, sound), mean=[100.0] * n, std=[50.0] * n,
        fusion="senses",
    )  # fmt: skip


def test_fusion_begins_with_a_run_of_other_planes():
    known = Network(card("fusion", "logmel", FEATURES)).eval()
    ours = Network(card("fusion", "stft", FEATURES, "logmel")).eval()
    (match,) = matches(ours.card, known.card)
    assert match.planes == ("stft", "logmel"), "nothing changes, and numbers are apart"
    origin = Origin("best.ckpt", known.card, known.model)
    assert suited(ours.card, origin).mean == ours.card.mean
    taken = take_weights(ours, origin)
    seen = torch.randn(N_CLIPS, 3, 1, 34, 50)
    with torch.no_grad():
        wanted = known.model(seen[:, [2, 1]])
        assert torch.allclose(ours.model(seen), wanted, atol=1e-5)
    assert taken.left == ()


def test_weights_for_pictures_of_another_size_are_left_and_named():
    known = Network(card("cnn2d", "logmel"))
    ours = Network(card("cnn2d", "logmel", size=(20, 30)))
    taken = take_weights(ours, Origin("best.ckpt", known.card, known.model))
    assert taken.left == ("pictures.dense.weight, for pictures of another size there",)
    state, theirs = ours.model.state_dict(), known.model.state_dict()
    name = "network.pictures.convolve.2.weight"
    assert torch.equal(state[name], theirs[name])
    assert 0 < taken.n_taken < taken.n_weights


def test_the_list_of_models_holds_all_for_a_still(capsys):
    words = "--frames 1 --size 50x34 --channels_count 2 --sound_count 2 --json"
    assert models_tool.main(words.split()) == 0
    told = json.loads(capsys.readouterr().out)
    listed = {f"{m['learnmethod']} {m['model_size']}": m for m in told["models"]}
    assert told["left_out"] == []
    for name in (*MODELS, *TWO_BRANCHES):
        assert listed[f"{name} tiny"]["gflops"] > 0
        assert listed[f"{name} tiny"]["paper"]
    conv1, conv2 = 32 * 48 * 2 * 32 * 9, 30 * 46 * 32 * 64 * 9
    dense = 64 * 15 * 23 * 128 + 128 * 2
    wanted = 2 * (conv1 + conv2 + dense) / 1e9
    assert listed["cnn2d tiny"]["gflops"] == pytest.approx(wanted)


def test_what_a_clip_is_too_small_for_is_left_out_of_the_list_with_its_reason(capsys):
    assert models_tool.main(["--frames", "1", "--size", "5x4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    left = [line for line in lines if line.startswith("left out: cnn2d tiny: ")]
    assert len(left) == 1
    assert "need pictures of 6x6 or more, got 5x4" in left[0]
    assert models_tool.main(["--learnmethod", "cnn2d", "--size", "5x4"]) == 1
    assert "need pictures of 6x6" in capsys.readouterr().err


# ------------------------------------------------------------------ timm
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--learnmethod conv3", "did you mean conv3d?"),
        ("--learnmethod timm:", "timm:<name> like timm:efficientnetv2_rw_t"),
        ("--learnmethod timm:hf-hub:a/b", "invalid choice: 'timm:hf-hub:a/b'"),
        ("--learnmethod timm:vgg16 --model_size base", "the size is in its name"),
        (
            "--learnmethod timm:vgg16 --islearnrate_search true --search lr,model_size",
            "--model_size does not go with --learnmethod timm:vgg16",
        ),
    ],
)
def test_a_name_that_is_none_is_refused_before_any_work(words, said, capsys):
    with pytest.raises(SystemExit) as left:
        train_tool.main(["--data", "none.csv", *words.split()])
    assert left.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_timm_takes_no_size():
    with pytest.raises(TrainingError, match=r"timm:vgg16 takes no --model_size"):
        build_model("timm:vgg16", "base", STILL, 4)


def test_without_timm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ProgramMissingError, match=r"pip install 'fmrgb\[timm\]'"):
        build_model("timm:vgg16", "tiny", STILL, 4)


def ask_timm(what: str) -> str:
    """Run lines of Python that see timm, in a process of its own; return its words.

    Beside a torch without CUDA torchvision imports only once its missing operators are
    declared: that is done here and nowhere else.
    """
    if not (PEERS / "timm").is_dir():
        pytest.skip("timm is not there; make bench-peers installs it apart")
    script = f"""
import sys, torch
sys.path.append({str(PEERS)!r})
torch.set_num_threads(1)
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from fmrgb.card import ClipShape
from fmrgb.errors import FmrgbError
from fmrgb.models import Senses, build_model
{what}
"""
    words = [sys.executable, "-W", "ignore", "-c", script]
    alone = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    done = subprocess.run(words, capture_output=True, text=True, env=alone, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_architectures_of_timm_learn_from_small_stills_and_say_what_they_cannot():
    said = ask_timm("""
kinds = (("tf_efficientnetv2_b0", (2, 1, 34, 50)), ("resnet10t", (3, 4, 9, 14)))
for name, shape in kinds:
    clip = ClipShape(*shape)
    model = build_model("timm:" + name, "tiny", clip, 5, fusion="stack")
    seen = torch.rand(4, *clip)
    logits = model(seen)
    logits.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert logits.shape == (4, 5)
    assert model.state_dict()[model.first_layer].shape[1] == clip.channels
    model.eval()
    with torch.no_grad():
        each = [model.features(seen[:, :, t : t + 1]) for t in range(clip.frames)]
        mean = torch.stack(each).mean(0)
        assert torch.allclose(model.features(seen), mean, atol=1e-4)
    print(name, model._size)
model = build_model("timm:resnet10t", "tiny", ClipShape(4, 1, 33, 40), 5, sound=(3,))
assert isinstance(model, Senses)
print(tuple(model(torch.rand(2, 4, 1, 33, 40)).shape))
still = ClipShape(2, 1, 34, 50)
for name in ("eficientnetv2_rw_t", "resnet18.a1_in1k", "inception_v3"):
    try:
        build_model("timm:" + name, "tiny", still, 5)
    except FmrgbError as error:
        print(error)
with torch.device("meta"):
    print(build_model("timm:vit_tiny_patch16_224", "tiny", still, 5).network._size)
""")
    plain, enlarged, both, unknown, tagged, deep, fixed = said.splitlines()
    assert plain == "tf_efficientnetv2_b0 None"
    assert enlarged == "resnet10t (32, 50)", "until the shorter side has 32 pixels"
    assert both == "(2, 3, 5)"
    assert (
        "no architecture 'eficientnetv2_rw_t'; near it: efficientnetv2_rw_t" in unknown
    )
    assert "'resnet18.a1_in1k'; near it: resnet18" in tagged
    assert "timm:inception_v3 cannot take 2 planes of 50x34: " in deep
    assert deep.endswith("try a larger --size, or another architecture")
    assert fixed == "(224, 224)", "made for one size: pictures are enlarged to it"


@pytest.mark.slow
def test_a_network_of_timm_is_trained_saved_and_loaded(tmp_path):
    said = ask_timm(f"""
from pathlib import Path
import tiny
from fmrgb.checkpoint import load_checkpoint
from fmrgb.learner import Settings
folder = Path({str(tmp_path)!r})
data = tiny.manifest(folder / "samples", 6)
how = Settings(model="timm:resnet10t", fusion="stack", epochs=1, batch_size=4)
done = tiny.run_on(data, how, folder=folder / "run", frames=1, quiet=True)
network = load_checkpoint(done.trained.best)
print(network.card.model, done.scores["test"]["clips"])
""")
    assert said.splitlines()[-1].startswith("timm:resnet10t ")
