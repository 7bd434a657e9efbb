"""A program that trains in one process or two, and writes what each of them held.

Usage: python tests/together.py <folder> <devices>; the folder holds manifest.csv.
"""

import json
import sys
from pathlib import Path
from typing import Any

import tiny
from lightning.pytorch.callbacks import Callback

from fmrgb.learner import Settings
from fmrgb.manifest import read_manifest
from fmrgb.ranks import first_process, from_first, join, leave, number
from fmrgb.trainer import train

MODELS = ("conv3d", "convlstm", "vivit")
# Level 0 of the sound planes stands for -80 dB: noise may drown it.
RECIPE = {"scale": "absolute"}


class Watch(Callback):
    """Notes which clips this process is shown, and what they look like once changed."""

    def __init__(self) -> None:
        self.shown: list[list[int]] = []
        self.looks: list[tuple[int, int, float]] = []
        self.judged: list[int] = []

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, *_: Any
    ) -> None:
        """Note the numbers of the clips, and have the network tell what it is shown."""
        numbers = batch[2].tolist()
        self.shown.append([trainer.current_epoch, *numbers])

        def note(_: Any, inputs: tuple[Any, ...]) -> None:
            means = inputs[0].double().mean(dim=(1, 2, 3, 4)).tolist()
            epoch = trainer.current_epoch
            self.looks += [(epoch, n, m) for n, m in zip(numbers, means, strict=True)]
            hook.remove()

        hook = pl_module.net.model.register_forward_pre_hook(note)

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, *_: Any
    ) -> None:
        """Note the numbers of the clips."""
        self.judged += batch[2].tolist()


def held(folder: Path, devices: str, model: str) -> dict[str, Any]:
    """Train; return what this process held and what it came to."""
    settings = Settings(
        model=model,
        epochs=2,
        batch_size=4,
        lr=1e-3,
        seed=1,
        precision="32",
        devices=devices,
        strategy="ddp" if devices != "1" else "auto",
    )
    join(settings.devices, settings.nodes, settings.strategy)
    rows = from_first(lambda: read_manifest(folder / "manifest.csv", outside=True))
    watch = Watch()
    done = train(
        rows,
        tiny.VIEW,
        settings,
        folder=folder / f"{model}{devices}",
        recipe=RECIPE,
        quiet=True,
        callbacks=[watch],
    )
    return {
        "first": first_process(),
        "rows": [[str(r.path), r.label, r.split] for r in rows],
        "shown": watch.shown,
        "looks": watch.looks,
        "judged": watch.judged,
        "history": done.history,
    }


def main() -> None:
    """Train every network; write a file for each process."""
    folder, devices = Path(sys.argv[1]), sys.argv[2]
    found = {model: held(folder, devices, model) for model in MODELS}
    path = folder / f"process{number()}of{devices}.json"
    path.write_text(json.dumps(found))
    leave()


if __name__ == "__main__":
    main()
