"""`fmrgb <tool> ...`: the same tools as `python tools/<tool>.py ...`."""

import sys
from importlib import import_module

from fmrgb_tools import stopping

from fmrgb import __version__

TOOLS = {
    "demo": "draw labelled clips with sound and walk the whole road with them",
    "resize_video": "write smaller copies of mp4s",
    "delete_not_resized": "delete mp4s whose smaller copy is proved sound",
    "create_fmrgbdata": "turn clips into samples and a manifest",
    "merge": "make one manifest of the shares that several machines made",
    "pack": "pack samples into shards, for sets too large for files of their own",
    "pair": "join pictures, sounds and texts by label to samples, some with gaps",
    "delete_allmp4": "delete mp4s whose sample is proved sound",
    "check": "prove samples anew, against their checksums and clips; find orphans",
    "visualize": "draw a sample",
    "models": "list the models with their sizes and costs",
    "train": "train a classifier; leave a run folder",
    "gmm": "learn concepts from senses with gaps, or ask about them",
    "evaluate": "judge a trained model on labelled samples or clips",
    "predict": "ask a trained model about clips, recordings or a live stream",
    "record": "wait for a sound, cut it out, ask a model about it, and again",
    "explain": "show what a model's answer about a clip rests on",
    "app": "open a page to try a model on clips and look through its run",
    "export": "write a trained model as one file, ONNX or torch.export",
    "doctor": "tell what a report of a fault should say, and try one clip",
}


def main(argv: list[str] | None = None) -> int:
    """Find the tool by its name and run it."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ("-h", "--help"):
        print("usage: fmrgb <tool> [options]; fmrgb <tool> --help for its options\n")
        print("\n".join(f"  {name:20}{text}" for name, text in TOOLS.items()))
        return 0
    if words[0] == "--version":
        print(f"fmrgb {__version__}")
        return 0
    name = words[0].replace("-", "_")
    if name not in TOOLS:
        print(
            f"fmrgb: no tool {words[0]!r}; there are: {', '.join(TOOLS)}",
            file=sys.stderr,
        )
        return 2
    if argv is None:
        stopping.listen(name)
    tool = import_module(f"fmrgb_tools.{name}")
    status = int(tool.main(words[1:]))
    return stopping.done(status) if argv is None else status


if __name__ == "__main__":
    sys.exit(main())
