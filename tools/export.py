"""Write a trained network as one file, ONNX or torch.export; say what it costs.

Example: tools/export.py --model run/best.ckpt --format onnx
"""

import sys

from fmrgb_tools.command import OK, run_tool, show

from fmrgb.train_options import ExportOptions


def work(options: ExportOptions) -> int:
    """Export, and print size and speed beside the checkpoint's."""
    from fmrgb.export import export
    from fmrgb.files import shown

    done = export(
        options.model,
        form=options.format,
        output=options.output,
        batch_size=options.batch_size,
    )
    of = "clip" if done.batch_size == 1 else f"clip, {done.batch_size} at once"
    lines = [
        f"{shown(done.path)}: the logits are the checkpoint's to {done.difference:.1e}",
        f"size {mebibytes(done.bytes)}, checkpoint {mebibytes(done.checkpoint_bytes)}",
        f"speed {done.ms:.1f} ms per {of}, checkpoint in torch "
        f"{done.checkpoint_ms:.1f} ms (one thread, median)",
    ]
    result = {name: value for name, value in vars(done).items() if name != "card"}
    result |= {"model": options.model, "format": options.format}
    show({**result, "card": done.card.as_dict()}, lines, as_json=options.json)
    return OK


def mebibytes(n_bytes: int) -> str:
    """Write a size as 1.2 MiB."""
    return f"{n_bytes / 2**20:.1f} MiB"


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("export", ExportOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
