"""From what training_speed.py measured to the lines of its page."""

import statistics
from collections.abc import Mapping
from typing import Any

from results import machine, ratio
from training_ways import BATCH, FEW

MODELS = ("conv3d", "convlstm", "vivit")
N_CLIPS = 240
# Which peak a model's work is measured by.
WORK = {"conv3d": "conv2d", "convlstm": "conv2d", "vivit": "product"}
KINDS = {"32": "float32", "bf16": "bfloat16"}
# What is at least to be reached against the plain way, all told.
GOALS = {"conv3d": 1.7, "convlstm": 4.0, "vivit": 3.0}


def spread(found: tuple[float, float, float], digits: int = 2) -> str:
    """Write a ratio and its range."""
    middle, low, high = (f"{value:.{digits}f}" for value in found)
    return f"{middle} ({low} to {high})"


def faster(told: Mapping[str, Any], way: str, than: str) -> tuple[float, float, float]:
    """Return how many times faster one way is than another, turn by turn."""
    return ratio(told["ms"], than, way)


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Write a Markdown table; the first column is words."""
    rule = "|---|" + "---:|" * (len(head) - 1)
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return ["", f"| {' | '.join(head)} |", rule, *lines, ""]


def step_rows(model: str, told: Mapping[str, Any], peak: Mapping[str, float]) -> Any:
    """One row per way: time, throughput, work, share of the peak, memory."""
    rows = []
    for name, all_ms in told["ms"].items():
        ms = statistics.median(all_ms)
        _, fusion, kind, precision = name.split("/")
        n_clips = FEW if model == "peers" else BATCH
        plain = f"{model}/{fusion}/plain/32"
        known = told["flops"].get(f"{model}/{fusion}/ours/{precision}")
        known = known if kind in ("ours", "plain") else told["flops"].get(name)
        work = share = done = "-"
        if known:
            gflops = known * n_clips / 1e9
            best = peak[f"{WORK.get(model, 'conv2d')}/{KINDS[precision]}"]
            done, work = f"{gflops / ms * 1e3:.0f}", f"{gflops:.0f}"
            share = f"{gflops / ms * 1e3 / best:.0%}"
        against = "-"
        if plain in told["ms"] and kind != "plain":
            against = spread(faster(told, name, plain))
        rows.append([
            f"{fusion}, {kind}, {KINDS[precision]}", f"{ms:.0f}",
            f"{1e3 * n_clips / ms:.1f}", f"{ms / 1e3 * N_CLIPS / n_clips:.1f}", work,
            done, share, f"{told['mib'][name]:.0f}", against,
        ])  # fmt: skip
    rows += [[name, *["not installed"] * 8] for name in told["missing"]]
    return rows


HEAD = [
    "way", "ms per step", "clips/s", "s per 240 clips", "GFLOP", "GFLOP/s",
    "of peak", "peak MiB", "x plain",
]  # fmt: skip


CURVES = {
    "plain, weights changed by their last bit": "nudged/32",
    "ours in float32": "ours/32",
    "ours in bfloat16": "ours/bf16",
}


def curve_rows(known: Mapping[str, Any]) -> list[list[str]]:
    """How far the loss curves lie apart."""
    rows = []
    for model, ways in known.items():
        plain = ways["plain/32"]
        for name, way in CURVES.items():
            if way not in ways:
                continue
            curve = ways[way]
            apart = [abs(a - b) for a, b in zip(curve, plain, strict=True)]
            ends = f"{plain[-1]:.3f}, {curve[-1]:.3f}"
            numbers = [f"{max(apart):.1e}", f"{statistics.mean(apart):.1e}"]
            rows.append([f"{model}, {name}", *numbers, ends])
    return rows


def seed_rows(known: Mapping[str, Any]) -> list[list[str]]:
    """Loss and accuracy on real clips in both precisions, and what is between."""
    rows = []
    for model in MODELS:
        told = known.get(f"seeds-{model}", {})
        full, half = told.get(f"{model}/32"), told.get(f"{model}/bf16-mixed")
        if not full or not half:
            continue
        pairs = list(zip(full, half, strict=False))
        cells = []
        for place in (0, 1):
            by_seed = [(a[place], b[place]) for a, b in pairs]
            cells += [
                " ".join(f"{a:.3f}" for a, _ in by_seed),
                " ".join(f"{b:.3f}" for _, b in by_seed),
                f"{statistics.mean(b - a for a, b in by_seed):+.3f}",
            ]
        rows.append([model, *cells])
    return rows


def goals(known: Mapping[str, Any]) -> list[list[str]]:
    """Every goal, its figure, and whether it was met."""
    rows = []
    for model, wanted in GOALS.items():
        if model not in known:
            continue
        told = known[model]
        for fusion in ("senses", "stack"):
            ours, plain = (f"{model}/{fusion}/{k}" for k in ("ours/bf16", "plain/32"))
            found = faster(told, ours, plain)
            full = faster(told, f"{model}/{fusion}/ours/32", plain)
            rows.append([
                f"{model}, {fusion}: {wanted} x the plain way",
                f"{spread(found)} in bfloat16, {spread(full)} in float32",
                "yes" if found[0] >= wanted else "**no**",
            ])  # fmt: skip
    if "conv3d" in known:
        told, first = known["conv3d"], "conv3d/stack/first/32"
        for fusion, words in (("senses", "default"), ("stack", "one network")):
            found = faster(told, f"conv3d/{fusion}/ours/bf16", first)
            met = "yes" if found[0] >= 4 else "**no**"
            rows.append([f"conv3d, {words}: 4 x the first's", spread(found), met])
    if "convlstm" in known:
        mib = known["convlstm"]["mib"]
        for fusion in ("senses", "stack"):
            ways = (f"convlstm/{fusion}/{k}" for k in ("ours/bf16", "plain/32"))
            share = mib[next(ways)] / mib[next(ways)]
            met = "yes" if share <= 1 / 3 else "**no**"
            name = f"convlstm, {fusion}: memory a third of the plain way's"
            rows.append([name, f"{share:.2f}", met])
    if "loader" in known:
        costs = known["loader"]
        for source, words in (("files", "read from files"), ("memory", "kept")):
            found = costs["first"] / costs[source]
            met = "yes" if found >= 10 else "**no**"
            rows.append([f"loader 10 x the first's, {words}", f"{found:.1f}", met])
        for model in MODELS:
            if model in known:
                all_ms = known[model]["ms"][f"{model}/senses/ours/bf16"]
                share = costs["memory"] / statistics.median(all_ms)
                met = "yes" if share < 0.05 else "**no**"
                rows.append([f"loading, of {model}'s step", f"{share:.1%}", met])
    told = "no_grad (tests/test_training_speed.py)"
    rows.append(["validation without gradient bookkeeping", told, "yes"])
    return rows


def page(known: Mapping[str, Any]) -> list[str]:
    """Write the part."""
    lines = [
        machine("torch", "lightning"),
        "",
        f"One step (forward, loss, backward, clipping, AdamW) on {BATCH} clips of "
        "5x32x64x64, size tiny, one thread, the processor's time; each way in a "
        "process of its own, in turn; medians, and ranges of the turns' ratios. "
        "`plain` is benchmarks/training_plain.py: the same arithmetic as first "
        "written. Memory is what a process held beyond the program itself. "
        "Denormals are flushed for all.",
    ]
    peak = known.get("peak", {})
    if peak:
        words = ", ".join(f"{name} {value:.0f}" for name, value in peak.items())
        lines += ["", f"This machine's peak, one thread, GFLOP/s: {words}."]
    lines += ["", "### Goals", *table(["goal", "figure", "met"], goals(known))]
    for model in MODELS:
        if model in known:
            lines += [
                f"### {model}",
                *table(HEAD, step_rows(model, known[model], peak)),
            ]
            took = known[model]["epoch"]
            lines += [
                f"A whole epoch by `train` in bfloat16, {N_CLIPS} clips and 60 to "
                f"validate, augmentation and loading in it: {took['seconds']:.1f} s of "
                f"the processor, {took['peak']:.0f} MiB in all.",
                "",
            ]
    if "peers" in known:
        head = f"### R(2+1)D-18 of torchvision and our base, {FEW} clips"
        lines += [head, *table(HEAD, step_rows("peers", known["peers"], peak))]
    if "loader" in known:
        rows = [[name, f"{ms:.1f}"] for name, ms in known["loader"].items()]
        lines += ["### A batch", *table(["batch of 20", "ms"], rows)]
    if "curves" in known:
        head = ["30 steps against plain float32", "largest", "mean", "last losses"]
        lines += ["### Loss curves", *table(head, curve_rows(known["curves"]))]
    if rows := seed_rows(known):
        head = ["fights", "loss float32", "bfloat16", "between", "accuracy float32",
                "bfloat16", "between"]  # fmt: skip
        lines += ["### Both precisions on real clips, by seed", *table(head, rows)]
    notes = NOTES.strip().splitlines()
    return [*lines, *notes]


NOTES = """
### What holds what was not met (2026-11-21, EPYC with avx512_bf16 and without AMX)

Shares are of one profiled step each; what was tried is in benchmarks/LOG.md.

- **convlstm, time.** Of a float32 step 0.78 are convolutions, at the machine's peak;
  of a bfloat16 step 0.71 (0.53 of 0.76 s), the recurrence's other operations and the
  input's 0.18, copies 0.07, normalisation and ReLU 0.04. bfloat16 doubles the peak
  here and no more (233 against 94 GFLOP/s): the 96 GFLOP would take 0.41 s if nothing
  else were done, 4.5 x the plain way. Needed: AMX, with which one thread's bfloat16
  convolutions were measured at 12 times float32, and the cell as one kernel.
- **convlstm, memory.** The plain twin already has the strided encoder. Under autocast
  gates and their gradient are held in bfloat16 (40 MiB each), cells in float32 (20).
  What is saved for the backward pass of both networks is 179 MiB then; the most is
  held in the next step's forward pass: the input in three or four stages (31 to 63 MiB
  each) beside what the libraries keep themselves (about 170 MiB of the peak once a
  step is over and all is freed, the plain way's process has them too). The first
  version's ConvLSTM, without an encoder, was measured at 13.3 GB for the whole process
  (on another machine); an epoch of ours is at 1.3. Needed: the input's stages in one
  pass, and the encoder found again instead of kept, which costs time.
- **vivit, stacked.** Of 0.30 s products take 0.13 (0.10 at the peak), softmax, GELU
  and layer normalisation 0.04, copies and changes of type 0.04, drawing chances and
  the rest 0.09. Needed: those fused.
- **conv3d against the first version.** The default is two networks that see changes
  too; one network, as the first was, is above 4 x. Of 0.41 s convolutions take 0.23,
  batch normalisation 0.07, ReLU 0.02. Needed: normalisation and ReLU in one pass,
  forward and back (torch.compile was slower).
- **Loss curves.** In double precision fast and plain agree (tests: gradients to 1e-5,
  losses over steps to 1e-5). In float32 conv3d's differ as much as the plain way does
  from itself after a change of the weights' last bit: statistics with channels last
  are less exact (1e-5 instead of 1e-6 after a layer) and single ReLUs turn.
  convlstm's and vivit's differ by more than after that change, which is smaller than
  what another order of summing does to every operation; the gradient of their first
  step is as near to the exact one as the plain way's (7.5e-6 and 6.5e-6, 1.4e-6 and
  1.3e-6).
- **How firm.** 3 or 4 turns of each way on a machine that others worked on. The plain
  way of conv3d and vivit with two senses wavers (see its range), probably because
  memory is fetched from the system at every step; the stacked rows waver less.
  Against our own code before this work, in quieter minutes: conv3d 757 ms in float32
  and 465 in bfloat16, convlstm 1354 and 812, vivit 901 and 718 (two senses).
- **The loader.** The first version's class is rebuilt from a description of what it
  did, to its favour. In the table it fetches memory anew as it did then; with freed
  memory kept for it too, an earlier run gave 326 ms against 40 from files, 8.1 x,
  below the goal. Clips that fit into 2 GB are read from files in the first epoch
  alone.
- **bfloat16 and `auto`.** On three seeds it is neither better nor worse beyond what
  seeds differ by; a loss of some hundredths is not ruled out.
"""
