"""What the trials of a search may try, and their table, picture and few words."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
)
from optuna.trial import FrozenTrial

from fmrgb.cells import write_csv
from fmrgb.learner import Settings
from fmrgb.page import CURVE
from fmrgb.plots import GREY, SOUND_COLOUR, png

GRID = tuple(10 ** (exponent / 2) for exponent in range(-9, -1))  # half decades
DONE = "done"  # where a trial keeps what came of it


def spaces(settings: Settings) -> dict[str, BaseDistribution]:
    """Return where each setting that can be searched is looked for, by its name."""
    clips = settings.batch_size
    return {
        "lr": FloatDistribution(GRID[0], GRID[-1], log=True),
        "weight_decay": FloatDistribution(1e-4, 1.0, log=True),
        "batch_size": CategoricalDistribution(
            sorted({max(1, clips // 2), clips, 2 * clips})
        ),
        "model_size": CategoricalDistribution(("tiny", "small", "base")),
    }


def outcome(trial: FrozenTrial) -> dict[str, Any]:
    """Return what is known of a trial that has ended."""
    return dict(trial.user_attrs.get(DONE, {}))


def write_trials(
    path: Path, trials: Sequence[FrozenTrial], best: FrozenTrial, names: Sequence[str]
) -> None:
    """Write one line per trial: what was tried, how far it came, its lowest loss."""
    columns = ["trial", "state", *names, "epochs", "val_loss", "seconds", "chosen"]
    records = []
    for trial in trials:
        done = outcome(trial)
        records.append(
            {
                "trial": trial.number,
                "state": done.get("state", "unfinished"),
                **{name: trial.params.get(name, "") for name in names},
                "epochs": done.get("epochs", ""),
                "val_loss": done.get("val_loss", ""),
                "seconds": f"{done['seconds']:.1f}" if done else "",
                "chosen": str(trial.number == best.number).lower(),
            }
        )
    write_csv(path, columns, records)


def draw_trials(trials: Sequence[FrozenTrial], best: FrozenTrial) -> bytes:
    """Draw the lowest validation loss of each trial over its rate, as a PNG.

    Trials that were given up, and so had fewer epochs, are hollow; those whose loss
    became no number are crosses on the upper edge.
    """
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xscale="log", xlabel="highest learning rate")
    axes.set_ylabel("lowest validation loss (nat)")
    looks: dict[str, dict[str, Any]] = {
        "complete": {"marker": "o", "color": CURVE, "label": "whole schedule"},
        "pruned": {"marker": "o", "color": CURVE, "mfc": "none", "label": "given up"},
        "diverged": {"marker": "x", "color": SOUND_COLOUR, "label": "no number"},
    }
    for state, look in looks.items():
        of_state = [t for t in trials if outcome(t).get("state") == state]
        rates = [t.params["lr"] for t in of_state]
        if state == "diverged":
            # Such a trial has no loss: its place is the edge, in parts of the height.
            losses, look["transform"] = [1.0] * len(rates), axes.get_xaxis_transform()
        else:
            losses = [outcome(t)["val_loss"] for t in of_state]
        if rates:
            axes.plot(rates, losses, linestyle="", clip_on=False, **look)
    ring: dict[str, Any] = {
        "marker": "o",
        "markersize": 14,
        "mfc": "none",
        "color": GREY,
    }
    label = f"chosen: {best.params['lr']:.2g}"
    axes.plot(
        best.params["lr"], outcome(best)["val_loss"], linestyle="", label=label, **ring
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return png(figure)


def told(
    trials: Sequence[FrozenTrial], best: FrozenTrial, *, length: int, anew: int = 0
) -> list[str]:
    """Say what was found, what it cost, and whether it may lie beyond the range."""
    values = [
        f"{k} {v:.2g}" if isinstance(v, float) else f"{k} {v}"
        for k, v in best.params.items()
    ]
    epochs = sum(outcome(t).get("epochs", 0) for t in trials)
    lines = [
        f"searched: {', '.join(values)}, found by {len(trials)} trials of up to "
        f"{length} epochs ({epochs} in all) on the training and validation clips"
    ]
    if anew:
        lines.append(f"{anew} more were left by processes that ended, and tried anew")
    low, high = math.sqrt(GRID[0] * GRID[1]), math.sqrt(GRID[-1] * GRID[-2])
    if not low < best.params["lr"] < high:
        lines.append(
            f"the rate found lies at the edge of what is searched, {GRID[0]:.2g} to "
            f"{GRID[-1]:.2g}; a better one may lie beyond"
        )
    return lines
