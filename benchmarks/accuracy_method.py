"""How the tables were made, from the plan and from what the kept cells tell of it."""

import json
from typing import Any

from accuracy_conditions import BLUR, COPIES, MIX, VOICES
from accuracy_noise import ACTIVE_DB, FRAME_S
from accuracy_numbers import Store
from accuracy_plan import (
    CROP,
    FRAMES_SEEN,
    LOOK,
    N_FOLDS,
    SEED,
    SIZE_SEEN,
    VAL_SHARE,
    plan,
    siblings,
)
from cell_runs import machines_told

SHOWN = ("model", "fusion", "seed")  # of the settings: told elsewhere


def method(store: Store) -> list[str]:
    """Write how it was measured: data, folds, noise, settings, machine."""
    results = [
        result
        for cell in dict.fromkeys(siblings(c)[0] for c in plan())
        for result in store.line(cell).results
    ]
    return [
        "## How it was measured",
        "",
        *(f"- {sentence}" for sentence in (*_splits(), *_spoiling(), *_first())),
        *(f"- {sentence}" for sentence in _machines(results)),
        "",
        *_settings(results),
    ]


def _splits() -> list[str]:
    looks = [
        f"{name}: samples of {look['frames']} frames of {look['size'][0]} x "
        f"{look['size'][1]} (one frame in {look['skip']} kept), of which a network "
        f"draws {FRAMES_SEEN[name]}{_shrunk(name)}; {N_FOLDS[name]} folds"
        for name, look in LOOK.items()
    ]
    if CROP:
        looks[1] += f"; of the pictures the part {CROP} (left, top, right, bottom)"
    return [
        *(f"{look}." for look in looks),
        f"Folds by `fmrgb.splits.folds`, seed {SEED}: stratified, sources whole. Of "
        f"the clips that are not tested {VAL_SHARE:.0%} decide which epoch is kept. "
        "Folds of the grid are cut by command and colour together, once for all "
        f"tasks. One training per fold, seed {SEED}.",
        "`simple5` and `mel5` have R, G, B, amplitude and frequency or mel; `gray3` "
        "has gray, amplitude, frequency; `sound` of the fights data is amplitude and "
        "frequency, `sound_mel` and the grid's `sound` amplitude and mel. `senses` is "
        "the default (`--fusion senses`), `stack` one network on all planes; `one` "
        "has nothing to join.",
        "Baselines: the commonest label; logistic regression on whether there is a "
        "sound track (and whether it is silent); logistic regression on statistics of "
        "frame differences and of the sound planes (fights), or on coarse mel planes "
        "and coarse pictures of the mouth (grid). They learn from training and "
        "validation clips.",
    ]


def _shrunk(name: str) -> str:
    size = SIZE_SEEN[name]
    return f", shrunk to {size[0]} x {size[1]}" if size else ""


def _spoiling() -> list[str]:
    return [
        "Noise is mixed into the waveform before the planes are made. The "
        "signal-to-noise ratio is that of mean squares where the talker speaks: "
        f"pieces of {1000 * FRAME_S:.0f} ms no more than {ACTIVE_DB:.0f} dB below his "
        "loudest. A mixture beyond full scale is turned down as a whole. The noise of "
        "a clip is decided by the clip's name and is the same in all runs.",
        f"Babble: {VOICES} other clips, of other folds than the clip's own (so that "
        "no test clip's babble holds a voice of a test clip), each made equally loud "
        "where it speaks and shifted round by chance. The babble of training clips "
        "may hold voices of test clips, under a label that is not theirs.",
        f"Blurred: a Gaussian of {BLUR:.3g} of the picture's width. Blanked: black. "
        "Muted: digital silence.",
        f"Clips to learn from that come in all conditions are {COPIES} copies, equal "
        f"ones once: sound {_shares('sound')}; picture {_shares('picture')}; which "
        "meets which is drawn by the clip's name (training on many conditions at once: "
        "Lippmann, Martin and Paul 1987, ICASSP, multi-style training). These networks "
        "begin with what was learned from the clean clips of the same fold (easy "
        "before hard: Bengio et al. 2009, ICML, curriculum learning), those of both "
        "senses with the picture's and the sound's networks of the same line, which "
        "they go on with for fewer epochs. A test clip is "
        "asked about once in each condition. In the tables by what was learned, "
        "training, validation and test clips are spoilt alike.",
    ]


def _shares(sense: str) -> str:
    return ", ".join(f"{name} {n}" for name, n in MIX[sense].items())


def _first() -> list[str]:
    return [
        "`first` is the first version's Conv3D (commit 939fd42): 3x3x3 convolutions "
        "to 16 and 32 maps, each halved, flattened into linear layers of 256 and 128, "
        "dropout 0.5; 16.8 million weights at 32 frames of 64 x 64 and three planes; "
        "Adam, batches of 20, softmax inside the network and in the loss, as "
        "published. Chosen here: levels divided by 255 (its normalisation did "
        "nothing), frames at even distances, today's samples (its own came out "
        "inverted), the learning rate of its logs.",
    ]


def _machines(results: list[dict[str, Any]]) -> list[str]:
    """Say on what the cells ran, and what their minutes mean."""
    return [
        *machines_told(results),
        "Minutes are of training and testing, all folds together, without making "
        "samples; other work on the machine makes them longer.",
    ]


def _settings(results: list[dict[str, Any]]) -> list[str]:
    """List how each model was trained; more than one line if cells differ."""
    used: dict[str, tuple[int, int]] = {}
    for result in results:
        if "used" in result:
            data, model = result["cell"].split("/")[:2]
            how = {k: v for k, v in result["used"].items() if k not in SHOWN}
            told = f"| {data.split('-')[0]} | {model} | {json.dumps(how)[1:-1]} |"
            count, _ = used.get(told, (0, 0))
            used[told] = (count + 1, result["parameters"])
    if not used:
        return []
    return [
        "| data | model | trained with | cells |",
        "|---|---|---|---:|",
        *(f"{told} {count} |" for told, (count, _) in sorted(used.items())),
    ]
