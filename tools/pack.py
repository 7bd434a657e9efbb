"""Pack samples into shards, tars that WebDataset reads too, and list them.

Example: python tools/pack.py --target samples --output packed
"""

import sys

from fmrgb_tools.command import FAILED, OK, counter, run_tool, show, tell_set_aside

from fmrgb.pack_options import PackOptions


def work(options: PackOptions) -> int:
    """Write the shards; say what they hold."""
    from fmrgb.alone import alone
    from fmrgb.files import shown
    from fmrgb.pack import pack

    with alone(options.output), counter("shards") as progress:
        packed = pack(
            options.target,
            options.output,
            shard_bytes=options.shard_mb * 2**20,
            seed=options.seed,
            outside=options.outside,
            workers=options.workers,
            progress=progress,
        )
    tell_set_aside(packed.failed)
    result = {
        "manifest": packed.manifest,
        "shards": packed.shards,
        "made": packed.made,
        "samples": packed.samples,
        "failed": len(packed.failed),
        "bytes": packed.n_bytes,
    }
    lines = [
        f"{packed.samples} samples in {packed.shards} shard(s) ({packed.made} made, "
        f"{packed.shards - packed.made} kept), {packed.n_bytes / 2**20:.1f} MiB",
        f"{len(packed.failed)} samples set aside"
        + (f", see {shown(options.output / 'failed.csv')}" if packed.failed else ""),
        f"manifest: {shown(packed.manifest)}",
    ]
    show(result, lines, as_json=options.json)
    return FAILED if packed.failed else OK


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("pack", PackOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
