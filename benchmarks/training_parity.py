"""Whether the fast ways learn as the plain ones do: the same batches, real clips.

python benchmarks/training_parity.py conv3d            # 30 steps, as JSON
python benchmarks/training_parity.py seeds MANIFEST    # bf16 and float32, as JSON
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from training_plain import plain
from training_ways import VIEW, card_of, random_levels

from fmrgb.checkpoint import Network
from fmrgb.learner import Settings
from fmrgb.material import gather
from fmrgb.models.chance import Skip
from fmrgb.splits import split
from fmrgb.trainer import train

STEPS, CLIPS = 30, 10
SMALL = replace(VIEW, frames=16, height=32, width=32)
SEEDS, EPOCHS = (0, 1, 2), 12


def curve(network: Network, precision: str) -> list[float]:
    """Return the loss of every step; half of the clips are brighter and louder."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    truth = torch.arange(CLIPS) % 2
    brighter = truth.reshape(-1, 1, 1, 1, 1) * 24
    levels = random_levels(CLIPS * STEPS, SMALL).float() * 0.9
    losses = []
    for batch in levels.split(CLIPS):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits_BAK = network.answers(batch + brighter).float()
        n_answers = logits_BAK.shape[1]
        loss = functional.cross_entropy(
            logits_BAK.flatten(0, 1), truth.repeat_interleave(n_answers)
        )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    return losses


def curves(model: str) -> dict[str, list[float]]:
    """Train the same weights on the same batches in four ways, without dropout."""
    torch.manual_seed(0)
    start = Network(card_of(model, "senses", view=SMALL)).train()
    for module in start.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, Skip):
            module.rate = 0.0
    kept = {name: value.clone() for name, value in start.state_dict().items()}
    told = {}
    ways = (("plain", "32"), ("nudged", "32"), ("ours", "32"), ("ours", "bf16"))
    for way, precision in ways:
        start.load_state_dict(kept)
        if way == "nudged":  # by the last bit: how far rounding alone leads
            for weight in start.parameters():
                weight.data *= 1 + torch.finfo(torch.float32).eps
        network = start if way == "ours" else plain(start)
        told[f"{way}/{precision}"] = curve(network, precision)
    return told


def seeds(manifest: Path, model: str) -> dict[str, list[list[float]]]:
    """Train on real clips in both precisions: lowest loss and its accuracy, by seed."""
    material = gather(manifest, frames=SMALL.frames, size=(SMALL.width, SMALL.height))
    told: dict[str, list[list[float]]] = {}
    for seed in SEEDS:
        rows = split(material.rows, test_size=0.1, val_size=0.3, seed=seed)
        for precision in ("32", "bf16-mixed"):
            settings = Settings(
                model=model, epochs=EPOCHS, seed=seed, precision=precision
            )
            with tempfile.TemporaryDirectory() as folder:
                trained = train(
                    rows, material.view, settings, folder=Path(folder), quiet=True
                )
            best = min(trained.history, key=lambda row: row["val_loss"])
            found = [best["val_loss"], best["val_accuracy"]]
            told.setdefault(f"{model}/{precision}", []).append(found)
            print(model, seed, precision, np.round(found, 3), file=sys.stderr)
    return told


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    _, model, *manifest = sys.argv
    print(json.dumps(seeds(Path(manifest[0]), model) if manifest else curves(model)))
