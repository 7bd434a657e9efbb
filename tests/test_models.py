"""Every model keeps the same promises; conv3d has the published layers."""

from typing import get_args

import pytest
import torch
from torch import nn

from fmrgb.card import ClipShape
from fmrgb.errors import TrainingError
from fmrgb.model_options import MODEL_NAMES, ModelSize
from fmrgb.models import MODELS, TWO_BRANCHES, build_model
from fmrgb.models.conv3d import OverPicture, OverTime, middle_width

CLIP = ClipShape(channels=5, frames=4, height=8, width=16)  # no two sizes alike
KINDS = [(name, size) for name, entry in MODELS.items() for size in entry.sizes]
Sizes = tuple[int, int, int]  # of T, H, W
OFFERED = [(name, size) for name, size in KINDS if size in get_args(ModelSize)]
every_model = pytest.mark.parametrize(("name", "size"), KINDS)

torch.set_num_threads(1)  # such small work is done before a second thread has begun
torch.set_flush_denormal(True)  # as training does


def n_parameters(model: nn.Module) -> int:
    """Count the numbers that training changes."""
    return sum(p.numel() for p in model.parameters())


def test_the_flags_offer_exactly_the_registered_models_and_sizes():
    assert set(MODEL_NAMES) == {*MODELS, *TWO_BRANCHES}
    by_init_alone = {"conv3d": {"mc3", "r3d"}}
    for name, entry in (MODELS | TWO_BRANCHES).items():
        offered = set(entry.sizes) - by_init_alone.get(name, set())
        assert set(get_args(ModelSize)) == offered


@every_model
def test_model_gives_one_logit_per_class(name, size):
    for n_classes in (2, 7):
        logits = build_model(name, size, CLIP, n_classes)(torch.rand(3, *CLIP))
        assert logits.shape == (3, n_classes)


@every_model
def test_logits_are_not_squeezed_into_shares(name, size):
    logits = build_model(name, size, CLIP, 3).eval()(40 * torch.randn(6, *CLIP))
    assert logits.min() < 0
    assert not torch.allclose(logits.sum(dim=1), torch.ones(6), atol=1e-3)


@every_model
def test_every_parameter_gets_a_gradient(name, size):
    model = build_model(name, size, CLIP, 2).eval()  # eval: nothing left out by chance
    model(torch.rand(3, *CLIP)).square().sum().backward()
    without = [k for k, p in model.named_parameters() if p.grad is None]
    assert not without
    assert not [k for k, p in model.named_parameters() if not p.grad.any()]


@pytest.mark.parametrize(("name", "size"), OFFERED)
def test_model_learns_to_tell_dark_from_bright(name, size):
    clips = torch.stack([torch.zeros(CLIP), torch.ones(CLIP)])
    labels = torch.tensor([0, 1])
    model = build_model(name, size, CLIP, 2).eval()  # eval: no dropout
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(60):
        loss = nn.functional.cross_entropy(model(clips), labels)
        if loss < 0.1:
            break
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    assert loss < 0.1


@every_model
def test_the_order_of_frames_matters(name, size):
    # In float64, a model that is blind to order would differ by 1e-16.
    model = build_model(name, size, CLIP, 2).double().eval()
    clip = torch.randn(1, *CLIP, dtype=torch.float64)
    assert (model(clip) - model(clip.flip(2))).abs().max() > 1e-9


@every_model
def test_a_clips_logits_do_not_depend_on_its_neighbours(name, size):
    model = build_model(name, size, CLIP, 2).eval()
    clips = torch.randn(4, *CLIP)
    with torch.no_grad():
        together, alone = model(clips), [model(clip[None]) for clip in clips]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 9, 5), (7, 1, 1), (3, 2, 1), (5, 17, 3)]
)
@every_model
def test_any_length_and_size_goes_through(name, size, shape):
    if name == "cnn2d":  # refuses smaller ones
        shape = (shape[0], *(side + 5 for side in shape[1:]))
    clip = ClipShape(2, *shape)
    with torch.no_grad():
        logits = build_model(name, size, clip, 3).eval()(torch.rand(2, *clip))
    assert logits.shape == (2, 3)
    assert logits.isfinite().all()


def test_larger_sizes_have_more_parameters():
    for name in MODELS:
        sizes = [size for kind, size in OFFERED if kind == name]
        counts = [n_parameters(build_model(name, s, CLIP, 2)) for s in sizes]
        assert counts == sorted(counts)
        assert len(set(counts)) == len(counts)


def test_an_unknown_model_or_size_is_refused_with_the_list():
    with pytest.raises(TrainingError, match=r"no model is called 'resnet'.*conv3d"):
        build_model("resnet", "tiny", CLIP, 2)
    with pytest.raises(TrainingError, match=r"no size 'huge'.*tiny, small, base"):
        build_model("conv3d", "huge", CLIP, 2)


@pytest.mark.parametrize(
    ("clip", "n_classes"), [(CLIP, 1), (CLIP, 0), (CLIP._replace(frames=0), 2)]
)
def test_an_empty_axis_or_a_single_class_is_refused(clip, n_classes):
    with pytest.raises(TrainingError, match=r"no empty axis and two classes or more"):
        build_model("conv3d", "tiny", clip, n_classes)


def shuffled(norm: nn.Module) -> nn.Module:
    """Give a normalisation weights and statistics of its own."""
    for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        values.data.uniform_(0.5, 2)
    return norm


def in_3d(layer: nn.Sequential, kernel: Sizes, stride: Sizes) -> nn.Sequential:
    """Return the three-dimensional layers with the same weights."""
    conv, norm = layer
    width_out, width_in = conv.weight.shape[:2]
    padding = tuple(k // 2 for k in kernel)
    conv3d = nn.Conv3d(width_in, width_out, kernel, stride, padding, bias=False)
    conv3d.weight.data = conv.weight.data.reshape(width_out, width_in, *kernel)
    norm3d = nn.BatchNorm3d(width_out)
    norm3d.load_state_dict(shuffled(norm).state_dict())
    return nn.Sequential(conv3d, norm3d)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("size", [(5, 9, 7), (4, 6, 8), (1, 1, 3)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_both_halves_equal_three_dimensional_convolutions(
    kernel, stride, size, memory, training
):
    maps = torch.randn(2, 3, *size).contiguous(memory_format=memory)
    over_picture = (OverPicture, (1, kernel, kernel), (1, stride, stride))
    over_time = (OverTime, (kernel, 1, 1), (stride, 1, 1))
    for half, kernels, strides in (over_picture, over_time):
        layer = half(3, 4, kernel, stride)
        whole = in_3d(layer, kernels, strides)
        got, wanted = layer.train(training)(maps), whole.train(training)(maps)
        assert got.shape == wanted.shape
        assert (got - wanted).abs().max() <= 1e-5
        assert torch.allclose(layer[1].running_var, whole[1].running_var, atol=1e-5)


@pytest.mark.parametrize(
    ("width_in", "width_out", "middle"),
    [(64, 64, 144), (64, 128, 230), (128, 128, 288), (512, 512, 1152)],
)
def test_the_middle_width_is_that_of_the_paper(width_in, width_out, middle):
    assert middle_width(width_in, width_out) == middle
    pair = 9 * width_in * middle + 3 * middle * width_out
    assert pair == pytest.approx(27 * width_in * width_out, rel=0.005)


@pytest.mark.parametrize(
    ("size", "published"),
    [("base", 31_505_325), ("mc3", 11_695_440), ("r3d", 33_371_472)],
)
def test_large_networks_have_the_parameters_of_the_published_ones(size, published):
    clip = ClipShape(3, 16, 112, 112)
    model = build_model("conv3d", size, clip, 400, fusion="stack")
    assert n_parameters(model) == published
