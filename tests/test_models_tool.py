"""tools/models.py: what the models cost, counted right."""

import json

import pytest
import torch
from fmrgb_tools import models as tool
from torch import nn
from torch.nn import functional

from fmrgb.card import ClipShape
from fmrgb.models import MODELS, build_model

CLIP = ClipShape(channels=5, frames=6, height=11, width=9)  # no two sizes alike
SMALL = "--frames 6 --size 9x11 --classes 3"


def listed(capsys: pytest.CaptureFixture[str], words: str) -> dict[str, dict]:
    """Return what the tool tells as JSON, by flags."""
    assert tool.main([*words.split(), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["models"]
    return {f"{m['learnmethod']} {m['model_size']}": m for m in told}


class Attention(nn.Module):
    """Attention of every pixel to every other, in 3 heads of 7 features."""

    def forward(self, clip_BCTHW: torch.Tensor) -> torch.Tensor:
        """Return [1, 3, 10, 7]."""
        tokens_BHND = clip_BCTHW.flatten(1)[:, :210].reshape(1, 3, 10, 7)
        return functional.scaled_dot_product_attention(*[tokens_BHND] * 3)


class Convolution(nn.Module):
    """One convolution over each frame, 5 features to 4."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(5, 4, (5, 3), stride=2, padding=(2, 1), bias=False)

    def forward(self, clip_BCTHW: torch.Tensor) -> torch.Tensor:
        """Return [T, 4, 6, 5]."""
        return self.conv(clip_BCTHW.transpose(1, 2).flatten(0, 1))


@pytest.mark.parametrize(
    ("make", "multiply_adds"),
    [
        (Convolution, 6 * (6 * 5 * 4) * (5 * 5 * 3)),  # frames, numbers out, kernel
        (Attention, 2 * (3 * 10 * 10 * 7)),  # who looks at whom, then what is seen
        (lambda: nn.Linear(9, 13), 5 * 6 * 11 * 9 * 13),
    ],
)
def test_operations_are_two_per_multiply_add_as_counted_by_hand(make, multiply_adds):
    with torch.device("meta"):
        model = make()
    assert tool.forward_flops(model, CLIP) == 2 * multiply_adds


def test_the_published_network_has_the_published_operations(capsys):
    clip = "--channels_count 3 --sound_count 0 --frames 16 --size 112 --classes 400"
    base = listed(capsys, f"{clip} --fusion stack")["conv3d base"]
    # As torchvision documents r2plus1d_18, which counts a multiply-add as one.
    assert base["gflops"] / 2 == pytest.approx(40.52, abs=0.005)
    assert base["parameters"] == 31_505_325


def test_every_model_and_size_is_listed_with_its_paper(capsys):
    told = listed(capsys, SMALL)
    kinds = [f"{name} {size}" for name, entry in MODELS.items() for size in entry.sizes]
    assert list(told) == kinds
    assert told["vivit tiny"]["paper"] == "Arnab et al. 2021, arXiv:2103.15691"


@pytest.mark.parametrize("fusion", ["senses", "stack"])
def test_parameters_are_those_of_the_network_that_train_builds(capsys, fusion):
    told = listed(capsys, f"{SMALL} --fusion {fusion}")
    for name in MODELS:
        model = build_model(name, "tiny", CLIP, 3, sound=(3, 4), fusion=fusion)
        wanted = sum(p.numel() for p in model.parameters())
        assert told[f"{name} tiny"]["parameters"] == wanted


def test_the_cost_follows_the_size_of_the_clip(capsys):
    one = listed(capsys, "--frames 8 --size 16 --fusion stack")
    four = listed(capsys, "--frames 8 --size 32 --fusion stack")
    for flags in ("conv3d tiny", "convlstm tiny"):
        ratio = four[flags]["gflops"] / one[flags]["gflops"]
        assert ratio == pytest.approx(4, rel=0.01)
        assert four[flags]["parameters"] == one[flags]["parameters"]


def test_the_table_says_for_which_clip_and_holds_every_flag(capsys):
    assert tool.main(SMALL.split()) == 0
    first, heading, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("a clip of 5 planes, 2 of them sound, 6 frames of 9x11; 3 ")
    assert " ".join(heading.split()) == (
        "--learnmethod --model_size parameters GFLOPs paper"
    )
    assert [line.split()[:2] for line in lines[:2]] == [
        ["conv3d", "tiny"],
        ["conv3d", "small"],
    ]
    for name in MODELS:
        assert sum(line.startswith(name) for line in lines) == len(MODELS[name].sizes)


def test_time_is_measured_where_it_is_asked_for():
    model = build_model("conv3d", "tiny", CLIP, 3)
    assert 0 < tool.forward_ms(model, CLIP) < 10_000
    costs = {"learnmethod": "conv3d", "model_size": "tiny", "parameters": 1234}
    costs |= {"gflops": 0.125, "ms_per_clip": 7.25, "paper": "A. 2018"}
    heading, line = tool.table([costs])
    assert heading.split()[-2:] == ["ms/clip", "paper"]
    assert line.split() == ["conv3d", "tiny", "1,234", "0.12", "7.2", "A.", "2018"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--channels_count 0", "--channels_count must be at least 1"),
        ("--sound_count 6", "--sound_count must be at most --channels_count, got 6 of"),
        ("--sound_count -1", "--sound_count must be at least 0"),
        ("--frames 0", "--frames must be at least 1"),
        ("--classes 1", "--classes must be at least 2"),
        ("--size big", "expected N or WxH in pixels"),
    ],
)
def test_a_senseless_clip_is_refused(words, reason, capsys):
    with pytest.raises(SystemExit) as left:
        tool.main(words.split())
    assert left.value.code == 2
    assert reason in capsys.readouterr().err
