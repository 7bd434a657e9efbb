"""How the tables of SENSES.md were made, from the plan and from the kept cells."""

import json
from typing import Any

from cell_runs import machines_told
from senses_plan import (
    FOREST_TREES,
    LOOKS,
    PICTURE_SIZE,
    RIDGE,
    SEED,
    SENSE_DROPOUT,
    TEST_SHARE,
    TRIM_DB,
    VAL_SHARE,
    Store,
    plan,
)

# Of the settings: those that say how it learns.
SHOWN = ("epochs", "batch_size", "lr", "weight_decay", "precision", "augmentation")
CHOSEN = (
    "The learning rate is the default of training; the number of epochs and the batch "
    "were set by what a core does in half an hour, after a look at validation clips of "
    "digits and of one fold of words. No score of a test clip chose a setting, but for "
    "the one exception below. Of digits the spectrograms reached the figure reported "
    "with the default augmentation at once.",
    "`logmel, below each clip's own loudest` was added, before any network was tested "
    "on unknown speakers, because some speakers were recorded far softer than others.",
    "Waveform pictures did not come near theirs. With the default augmentation they "
    "learn slowest, without any by heart: they are shifted in time and nothing else. "
    "Whether a clip fills the picture made no difference. What helps is columns: a "
    "column of 34 x 50 holds some 8 ms, in which the formants are lost, and only the "
    "clip's outline is left. That more columns help was seen first with a small 1-D "
    "network on 250 clips by chance, some of which are test clips here, then with "
    "cnn2d on validation clips. Its 3 x 3 convolutions still see no more than a few "
    "columns at once.",
    "Pairs were tried in one way only: neither the rate of sense dropout nor the gmm "
    "was tuned, on any clips.",
)


def method(store: Store) -> list[str]:
    """Write how it was measured: splits, seeds, settings, machine."""
    results = [result for cell in plan() if (result := store.kept(cell))]
    sentences = (*_splits(), *_models(), *CHOSEN, *_machines(results))
    return [
        "## How it was measured",
        "",
        *(f"- {sentence}" for sentence in sentences),
        "",
        *_settings(results),
    ]


def _splits() -> list[str]:
    digits, pairs = LOOKS["digits"], LOOKS["pairs"]
    return [
        f"Seed {SEED} of every split, join, gap and training; one training each.",
        f"Digits: {TEST_SHARE['digits']:.0%} of the clips test, "
        f"{VAL_SHARE['digits']:.0%} choose the epoch, stratified by label "
        f"(`fmrgb.splits.split`); sound at {digits['rate']} Hz, its whole length over "
        "all columns.",
        "Words: `fmrgb.splits.folds`, five folds; of the clips that are not tested "
        f"{VAL_SHARE['words']:.0%} choose the epoch. `trimmed` cuts what lies "
        f"{TRIM_DB:.0f} dB below the loudest off both ends first.",
        "Pairs: pictures and sounds are each split first, by label (60 % train, 20 % "
        "val, 20 % test), and joined by chance only within a part, so that no picture "
        "or sound is met on two sides. There are as many pairs as pictures; there are "
        "half as many sounds, so that each is used twice, and pairs that share one "
        "count as one source in the intervals. Pictures are "
        f"{PICTURE_SIZE[0]} x {PICTURE_SIZE[1]}, sounds logmel pictures of "
        f"{pairs['bands']} x {pairs['columns']}, trimmed.",
    ]


def _models() -> list[str]:
    return [
        "`cnn2d` is two 3 x 3 convolutions of 32 and 64, 2 x 2 pooling, dropout 0.25, "
        "dense 128, dropout 0.5; `fusion` the same beside dense layers on the 26 "
        "values; `conv3d` the package's own default. With both senses each has a "
        "network of its own (`--fusion senses`). All begin with fresh weights; the "
        "epoch with the lowest validation loss is kept.",
        "Baselines learn from training and validation clips: logistic regression on "
        f"standardised values (C = {RIDGE:g}), random forest of {FOREST_TREES} trees, "
        "all else scikit-learn's defaults.",
        "`gmm`: the tool's defaults (16 numbers for each sense, full covariances, the "
        "number of concepts by the BIC of the training pairs).",
        f"Sense dropout {SENSE_DROPOUT}: so often one of the senses of a training pair "
        "is blanked; without it, 0. All other augmentation is the default of training.",
    ]


def _machines(results: list[dict[str, Any]]) -> list[str]:
    """Say on what the cells ran, and what their minutes mean."""
    minutes = sum(result["core_minutes"] for result in results)
    return [
        *machines_told(results),
        "Minutes are of training and testing, all folds together, by the wall clock, "
        "without making samples; other work on the machine made them longer: of the "
        f"processor the cells took {minutes:.0f} minutes.",
    ]


def _settings(results: list[dict[str, Any]]) -> list[str]:
    """List how networks were trained; more than one line if cells differ."""
    used: dict[str, tuple[int, int]] = {}
    for result in results:
        if "used" in result:
            data, _, model, *_ = result["cell"].split("/")
            how = {k: result["used"][k] for k in SHOWN}
            told = f"| {data} | {model} | {result['parameters']} |"
            told += f" {json.dumps(how)[1:-1]} |"
            used[told] = (used.get(told, (0, 0))[0] + 1, 0)
    if not used:
        return []
    return [
        "| data | model | weights | trained with | cells |",
        "|---|---|---:|---|---:|",
        *(f"{told} {count} |" for told, (count, _) in sorted(used.items())),
    ]
