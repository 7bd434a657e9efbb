"""From measured builds to docs/SCALE.md: costs, what the model says, where it ends."""

from pathlib import Path

from results import machine
from scale_model import GETS_PER_S, PUTS_PER_S, Cluster, Costs, Prediction, predict

from fmrgb.files import whole_file
from fmrgb.ray_tasks import MOST, TASK_S

NUMBERS = (100, 1000, 10_000)  # clips that are built
CLIP_S = 7.5  # s; length of the clips
LARGE = (10**6, 10**8)  # clips that are foretold
NODES = (1, 10, 100, 1000)
CORES = 16  # of a node that is foretold
NETWORK = 1.25e9  # bytes/s; 10 Gbit/s
PREFIXES = 16
PRICE = 0.04  # of a core for an hour, in dollars; what clouds ask for, roughly
READ_AND_WRITTEN_S = 44e-6  # a row of a manifest, alone (RESULTS.md, Growth)
Figures = dict[str, dict[str, float]]


def costs_of(known: Figures) -> Costs:
    """Return the model's figures: what one more clip costs, and what is left."""
    few, many = known["figures 10"], known["figures 1000"]

    def each(name: str) -> float:
        return (many[name] - few[name]) / (many["clips"] - few["clips"])

    # Of few rows it is mostly imports, and more of them from some hundreds on.
    n, more = NUMBERS[1:]
    merged = [
        known.get(f"two hosts {k}", {"merging": 0.0})["merging"] for k in (n, more)
    ]
    merge_s = max(READ_AND_WRITTEN_S, (merged[1] - merged[0]) / (more - n))
    bucket, ray = known.get("bucket", {}), known.get("ray", {})
    return Costs(
        start_s=few["seconds"] - few["clips"] * each("work_s"),
        clip_s=each("work_s"),
        driver_s=each("driver_cpu_s"),
        merge_s=merge_s,
        merge_start_s=max(0.0, merged[0] - n * merge_s),
        task_s=ray.get("task_s", 0.0),
        # As many as the engine puts into a task.
        per_task=min(MOST, max(1, round(TASK_S / each("work_s")))),
        bytes_in=many["bytes_in"],
        bytes_out=many["bytes_out"],
        row_bytes=many["row_bytes"],
        held=max(0.0, each("driver_bytes")),
        gets=bucket.get("gets", 0.0),
        puts=bucket.get("puts", 0.0),
    )


CLUSTERS = {
    "one core": Cluster(),
    "two cores": Cluster(cores=2),
    "two hosts": Cluster(engine="shards", nodes=2),
}


def write_page(path: Path, known: Figures) -> Path:
    """Write docs/SCALE.md from what is known."""
    costs = costs_of(known)
    text = "\n".join(
        [
            "# What a build costs, and how far it goes",
            "",
            machine("av", "torch"),
            "Written by `benchmarks/scale.py`; disturbed builds and trainings are in "
            "[CLUSTER.md](../benchmarks/CLUSTER.md), written by `make cluster`.",
            "",
            *_costs(costs, known),
            *_checked(costs, known),
            *_foretold(costs),
            *_ends(costs),
        ]
    )
    with whole_file(path) as part:
        part.write_text(text + "\n")
    return path


def _costs(costs: Costs, known: Figures) -> list[str]:
    """Write what was measured of a clip."""
    rows = [
        ("processor of the workers", f"{1e3 * costs.clip_s / CLIP_S:.1f} ms"),
        ("processor of the first process", f"{1e3 * costs.driver_s / CLIP_S:.2f} ms"),
        ("bytes in", f"{costs.bytes_in / CLIP_S / 1e3:.1f} kB"),
        ("bytes out", f"{costs.bytes_out / CLIP_S / 1e3:.1f} kB"),
    ]
    per_clip = [
        ("row of the manifest", f"{costs.row_bytes:.0f} bytes"),
        ("memory of the first process", f"{costs.held:.0f} bytes"),
        ("merging its row, at least", f"{1e6 * costs.merge_s:.0f} us"),
    ]
    if costs.task_s:
        per_clip.append(
            (
                "Ray, per task",
                f"{1e3 * costs.task_s:.1f} ms, {costs.per_task} clips in a task",
            )
        )
    if costs.gets:
        told = f"{costs.gets:.1f} that read, {costs.puts:.1f} that write"
        per_clip.append(("requests to a bucket", told))
    most = known["figures 1000"]["driver_bytes"] / 2**20
    return [
        "## What was measured",
        "",
        f"Clips of {CLIP_S:g} s, 320x180 at 16 frames a second with sound, to samples "
        "of 32 frames of 64x64 with five planes. Real clips of other sizes are in "
        "[RESULTS.md](../benchmarks/RESULTS.md): decoding is most of it, so that "
        "480x270 at 30 frames a second costs about 22 ms, 1280x720 about 115 ms per "
        "second of clip.",
        "",
        "| per second of clip | |",
        "|---|---:|",
        *(f"| {name} | {told} |" for name, told in rows),
        "",
        "| per clip, however long | |",
        "|---|---:|",
        *(f"| {name} | {told} |" for name, told in per_clip),
        "",
        f"Starting and ending takes {costs.start_s:.1f} s. The first process takes "
        f"{most:.0f} MiB besides, a worker 120 to 250 MiB (RESULTS.md), whatever the "
        "number and length of clips.",
        "",
    ]


def _checked(costs: Costs, known: Figures) -> list[str]:
    """Hold what the model says against what was measured."""
    lines = [
        "## The model, and what was measured",
        "",
        "`benchmarks/scale_model.py`: the clips' work divides among cores, of which "
        "the first process takes its time too, but divides that with nobody; the "
        "largest of the shares by hash has a few clips more than the mean; what takes "
        "longest of cores, first process, scheduler, network and object store is what "
        "a build takes, with its "
        "start, and with the merging of shares. Its figures come from builds of 10 and "
        "1,000 clips with one worker, and from the two larger merges; the rest of the "
        "table it did not see. Each cell: measured s, foretold s.",
        "",
        "| clips | " + " | ".join(CLUSTERS) + " |",
        "|---:|" + "---:|" * len(CLUSTERS),
    ]
    off: dict[int, list[float]] = {n: [0.0] for n in NUMBERS}
    for n in NUMBERS:
        cells = []
        for way, cluster in CLUSTERS.items():
            told = predict(n, costs, cluster).seconds
            have = known.get(f"{way} {n}")
            cells.append(f"{have['seconds']:.1f}, {told:.1f}" if have else "not run")
            off[n] += [told / have["seconds"] - 1] if have else []
        lines.append(f"| {n:,} | {' | '.join(cells)} |")
    worst = ", ".join(f"{max(off[n], key=abs):+.0%} for {n:,}" for n in NUMBERS)
    return [*lines, "", f"At worst the model is off by {worst} clips.", ""]


def _foretold(costs: Costs) -> list[str]:
    """Say what many clips would take on many nodes."""
    lines = [
        "## What large builds would take",
        "",
        f"By the model, not measured: nodes of {CORES} cores and 10 Gbit/s, clips and "
        f"samples in a bucket under {PREFIXES} prefixes, {PRICE} dollars for a core "
        f"for an hour (an assumption; put yours in its place), {CLIP_S:g} s clips as "
        "above. Each cell: time, dollars, and what takes longest.",
        "",
        "| clips | nodes | `--shard` | `--engine ray` |",
        "|---:|---:|---|---|",
    ]
    for n in LARGE:
        for nodes in NODES:
            cells = []
            for engine in ("shards", "ray"):
                cluster = Cluster(
                    engine=engine,  # type: ignore[arg-type]
                    nodes=nodes,
                    cores=CORES,
                    network=NETWORK,
                    prefixes=PREFIXES,
                    price=PRICE,
                )
                cells.append(_told(predict(n, costs, cluster)))
            lines.append(f"| {n:,} | {nodes:,} | {' | '.join(cells)} |")
    stored = predict(LARGE[0], costs, Cluster()).stored
    return [
        *lines,
        "",
        f"A million such samples take {stored / 2**40:.2f} TiB; a hundred million "
        f"{100 * stored / 2**40:.0f}.",
        "",
    ]


def _told(told: Prediction) -> str:
    if told.seconds < 5400:
        time = f"{told.seconds / 60:.0f} min"
    else:
        hours = told.seconds / 3600
        time = f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"
    return f"{time}, {told.price:,.0f} $, {told.held_by}"


def _ends(costs: Costs) -> list[str]:
    """Say where each step ends."""
    cores = costs.clip_s / costs.driver_s
    manifest = LARGE[1] * costs.row_bytes / 1e9
    lines = [
        "## Where each step ends",
        "",
        f"- **The first process** feeds about {cores:.0f} cores with clips of this "
        "kind; longer and larger clips let it feed more, as it works per clip and they "
        "per frame. Shares have a first process each, which is why they go further "
        "than one build with many workers.",
    ]
    if costs.task_s:
        rate = costs.per_task / costs.task_s
        lines.append(
            f"- **Ray's scheduler** gives out {rate:,.0f} clips a second at most "
            f"({1e3 * costs.task_s:.1f} ms per task of {costs.per_task} clips, one "
            "driver), however many nodes there are."
        )
    if costs.gets:
        rate = 1 / (costs.gets / GETS_PER_S + costs.puts / PUTS_PER_S)
        lines.append(
            f"- **A bucket** takes {rate:,.0f} clips a second under one prefix, at the "
            f"{GETS_PER_S:,.0f} reads and {PUTS_PER_S:,.0f} writes a second that "
            "Amazon states for S3; lay clips and samples under several prefixes "
            "(labels are such)."
        )
    return [
        *lines,
        f"- **The manifest** has {costs.row_bytes:.0f} bytes a clip: "
        f"{manifest:,.0f} GB for a hundred million. Training keeps its rows in memory, "
        "about 1 KiB each (RESULTS.md, Growth): a million rows are read in half a "
        "minute and take 1 GiB, a hundred million would take 100 GiB and most of an "
        "hour. Beyond some tens of millions train on several manifests in turn, or on "
        "a drawn part: no more than that is promised.",
        f"- **Merging** takes {1e6 * costs.merge_s:.0f} us a row in one process, for "
        f"reading and writing: {LARGE[0] * costs.merge_s:.0f} s for a million, "
        f"{LARGE[1] * costs.merge_s / 3600:.1f} h and a row's memory each for a "
        "hundred million.",
        "- **Shuffling** is exact for samples that lie as files. Packed, 16 shards are "
        "open at a time and their clips mixed ([pack.md](../benchmarks/results/pack.md)"
        "): shards are filled in an order drawn by chance, so that a window holds all "
        "labels in their shares.",
        "- **Training** opens every sample once before the first step "
        "(RESULTS.md, Growth: 1 ms each): a quarter of an hour for a million, more "
        "than a day for a hundred million; pack them and train on fewer.",
    ]
