"""One way of taking a training step, in a process of its own, one thread.

    python benchmarks/training_ways.py conv3d/senses/ours/bf16

takes one step per line it reads and answers with milliseconds of processor time; at the
end it tells its largest memory. Random clips: speed does not depend on what they show.
"""

import contextlib
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from first_version import FirstConv3D
from torch import Tensor, nn
from torch.nn import functional
from training_plain import plain

from fmrgb.arena import freed_memory_is_kept
from fmrgb.card import Card, View
from fmrgb.checkpoint import Network
from fmrgb.trainer import CLIP_GRADIENT

BATCH = 20
CHANNELS = ("R", "G", "B", "amplitude", "frequency")
VIEW = View(CHANNELS, 32, 64, 64, sound=CHANNELS[3:])
PEERS = Path(__file__).parent / ".work" / "peers"
# Our `base` and R(2+1)D-18, which would take half a minute per step with all twenty.
FEW = 2
LARGE = ("base", "r2plus1d")
N_CLASSES = 2


def card_of(model: str, fusion: str, size: str = "tiny", view: View = VIEW) -> Card:
    """Describe one of our networks for random clips."""
    n_planes = len(view.channels)
    return Card(
        model=model,
        model_size=size,
        classes=("a", "b"),
        view=view,
        mean=[128.0] * n_planes,
        std=[74.0] * n_planes,
        fusion=fusion,
        recipe={"scale": "absolute"},
    )


def random_levels(n_clips: int, view: View = VIEW) -> Tensor:
    """Return uint8 [B, C, T, H, W]; sound planes hold one value per frame."""
    dice = torch.Generator().manual_seed(0)
    shape = (n_clips, *view.shape)
    levels = torch.randint(1, 256, shape, generator=dice, dtype=torch.uint8)
    levels[:, 3:] = levels[:, 3:, :, :1, :1]
    return levels


class AllChannels(nn.Module):
    """A peer's network, behind the normalisation that ours has too."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def answers(self, levels_BCTHW: Tensor) -> Tensor:
        """Normalise and ask."""
        logits: Tensor = self.network((levels_BCTHW.float() - 128) / 74)
        return logits[:, None]


def published_vivit() -> nn.Module:
    """Return vit-pytorch's factorised encoder of our tiny's sizes.

    From its own file: the package asks for torchvision.
    """
    import importlib.util

    package = importlib.util.find_spec("vit_pytorch")
    if package is None or package.origin is None:
        raise ImportError("vit_pytorch")
    file = Path(package.origin).with_name("vivit.py")
    spec = importlib.util.spec_from_file_location("published_vivit", file)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ViViT(
        image_size=64, image_patch_size=8, frames=32, frame_patch_size=2,
        num_classes=N_CLASSES, dim=64, spatial_depth=2, temporal_depth=2, heads=4,
        dim_head=16, mlp_dim=256, channels=5, dropout=0.1, emb_dropout=0.1,
    )  # fmt: skip


def published_r2plus1d() -> nn.Module:
    """Return torchvision's R(2+1)D-18 for five channels; see `make bench-peers`."""
    sys.path.insert(0, str(PEERS))
    # Beside a torch without CUDA its operators have no schemas, and it does not start.
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchvision.models.video import r2plus1d_18

    network = r2plus1d_18(num_classes=N_CLASSES)
    first = network.stem[0]
    network.stem[0] = nn.Conv3d(
        5, first.out_channels, first.kernel_size, first.stride, first.padding,
        bias=False,
    )  # fmt: skip
    return network


def network_of(model: str, fusion: str, kind: str) -> Any:
    """Return something with `answers`, levels to logits [B, A, K]."""
    torch.manual_seed(0)
    if kind == "first":
        return AllChannels(FirstConv3D(VIEW.shape, N_CLASSES))
    if kind == "vit-pytorch":
        return AllChannels(published_vivit())
    if kind == "r2plus1d":
        return AllChannels(published_r2plus1d())
    ours = Network(card_of(model, fusion, "base" if kind == "base" else "tiny"))
    return plain(ours) if kind == "plain" else ours


def step_of(way: str) -> Callable[[], None]:
    """Return one step of "model/fusion/kind/precision": forward to optimiser."""
    model, fusion, kind, precision = way.split("/")
    levels = random_levels(FEW if kind in LARGE else BATCH)
    network = network_of(model, fusion, kind).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    truth = torch.arange(len(levels)) % N_CLASSES

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits_BAK = network.answers(levels).float()
        n_answers = logits_BAK.shape[1]
        loss = functional.cross_entropy(
            logits_BAK.flatten(0, 1), truth.repeat_interleave(n_answers)
        )
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP_GRADIENT)
        optimiser.step()
        optimiser.zero_grad()

    return step


def peak_mib() -> float:
    """Return the most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Answer every line with one step's time."""
    way = sys.argv[1]
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    kept = contextlib.nullcontext() if "/plain/" in way else freed_memory_is_kept()
    with kept:
        bare = peak_mib()
        try:
            step = step_of(way)
        except (ImportError, RuntimeError) as error:
            print(f"not installed: {error}", flush=True)
            return
        print("ready", flush=True)
        for _ in sys.stdin:
            start = time.process_time()
            step()
            print(1e3 * (time.process_time() - start), flush=True)
        print(peak_mib() - bare, flush=True)


if __name__ == "__main__":
    main()
