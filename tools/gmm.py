"""Learn concepts from pictures, sounds and words with gaps, or ask about them.

Example: fmrgb gmm --fit --data pairs/manifest.csv --output concepts
         fmrgb gmm --model concepts/concepts.npz --text "a small tree in a pot"
"""

import json
import sys
from typing import TYPE_CHECKING, Any

from fmrgb_tools.command import FAILED, OK, run_tool, show

from fmrgb.gmm_options import GmmOptions

if TYPE_CHECKING:
    from pathlib import Path

    from fmrgb.checkpoint import Network


def work(options: GmmOptions) -> int:
    """Learn or answer."""
    return fit(options) if options.fit else answer(options)


def fit(options: GmmOptions) -> int:
    """Learn from the training samples, judge by the test samples, write both."""
    from fmrgb.alone import alone
    from fmrgb.files import make_folder, sha256, shown
    from fmrgb.gmm_data import look_at
    from fmrgb.gmm_file import save
    from fmrgb.gmm_model import Wish, judge, learn
    from fmrgb.gmm_plots import draw_concepts
    from fmrgb.loader import readable
    from fmrgb.manifest import read_manifest
    from fmrgb.page import styled
    from fmrgb.splits import split

    assert options.data is not None  # the options see to it
    rows, faults = readable(read_manifest(options.data, outside=options.outside))
    sizes = {"test_size": options.test_size, "val_size": options.val_size}
    rows = split(rows, **sizes, seed=options.seed)
    network = opened(options.features)
    names = ("dims", "concepts", "covariance", "regular", "seed")
    wish = Wish(**{name: getattr(options, name) for name in names})
    train = [row for row in rows if row.split == "train"]
    seen = look_at(train, network=network)
    found = learn(seen, [row.label for row in train], wish)
    if options.features:
        found.card["network"] = sha256(options.features)
    scores = {}
    for part in ("val", "test"):
        some = [row for row in rows if row.split == part]
        told = look_at(some, expected=found.expected, network=network)
        words = ([r.label for r in some], [str(r.path) for r in some])
        groups = [r.group for r in some] if all(r.group for r in some) else []
        scores[part] = judge(found, told, *words, groups)
    with alone(options.output):
        make_folder(options.output)
        path = options.output / "concepts.npz"
        save(path, found)
        card = {**found.card, "labels": found.labels, "channels": found.channels}
        card["numbers"] = {kind: s.stop - s.start for kind, s in found.places.items()}
        write(options.output / "concepts.json", json.dumps(card, indent=1))
        write(options.output / "metrics.json", json.dumps(scores, indent=1))
        with styled():
            write(options.output / "concepts.png", draw_concepts(found))
    for name, reason in faults.items():
        print(f"set aside: {name}: {shown(reason)}", file=sys.stderr)
    result = {"model": path, "card": card, **scores, "set_aside": faults}
    show(result, [*lines_of(card, scores["test"]), f"model: {path}"],
         as_json=options.json)  # fmt: skip
    return FAILED if faults else OK


def lines_of(card: dict[str, Any], scores: dict[str, Any]) -> list[str]:
    """Say what was learned and how well it tells the test samples."""
    best = min(card["tried"], key=card["tried"].get)
    tried = ", ".join(f"{n} concepts {bic:.0f}" for n, bic in card["tried"].items())
    sizes = ", ".join(f"{n} numbers of {kind}" for kind, n in card["numbers"].items())
    lines = [f"{best} concepts of {sizes}, {card['steps']} steps (BIC: {tried})"]
    for name, told in {"test": scores, **scores["patterns"]}.items():
        low, high = told["interval"]
        lines.append(
            f"{name}: accuracy {told['accuracy']:.1%} (95 % interval {low:.1%} to "
            f"{high:.1%}, {told['right']} of {told['clips']} clips)"
        )
    return lines


def answer(options: GmmOptions) -> int:
    """Ask the model about a sample or words; draw what is missing."""
    from fmrgb.alone import alone
    from fmrgb.errors import TrainingError
    from fmrgb.files import make_folder, sha256, shown
    from fmrgb.gmm_ask import ask, words_alone
    from fmrgb.gmm_data import look_at
    from fmrgb.gmm_file import load
    from fmrgb.gmm_plots import as_picture, draw_answer
    from fmrgb.manifest import Row
    from fmrgb.page import png, styled

    assert options.model is not None  # the options see to it
    concepts = load(options.model)
    used = concepts.card["network"]
    given = sha256(options.features) if options.features else ""
    if options.target and used != given:
        raise TrainingError(
            f"{shown(options.model)} was learned "
            + (
                "from the features of a network; give the same checkpoint as --features"
                if used
                else "without --features; leave them out"
            )
        )
    if options.target:
        row = Row(path=options.target, label="?", text=options.text or "")
        network = opened(options.features)
        seen = look_at([row], expected=concepts.expected, network=network)
    else:
        seen = words_alone(concepts, options.text or "")
    told = ask(concepts, seen, n_nearest=options.nearest)
    written = []
    with alone(options.output):
        make_folder(options.output)
        with styled():
            drawings = {"answer.png": draw_answer(concepts, told)}
        for kind, picture in told.drawn.items():
            if kind not in told.there:
                drawings[f"imagined_{kind}.png"] = png(as_picture(picture))
        for name, data in drawings.items():
            if data:
                write(options.output / name, data)
                written.append(options.output / name)
    lines = [f"there: {', '.join(told.there)}"]
    lines += [f"{chance:6.1%}  {name}" for name, chance in told.labels]
    lines.append("concepts: " + ", ".join(f"{k} {c:.1%}" for k, c in told.concepts))
    for kind, near in told.nearest.items():
        names = (f"{one.get('text') or one['name']} ({one['label']})" for one in near)
        how = "nearest" if kind in told.there else "would be near"
        lines.append(f"{kind}, {how}: {'; '.join(names)}")
    lines += [f"drawn: {path}" for path in written]
    show({**told.as_dict(), "drawn": written}, lines, as_json=options.json)
    return OK


def opened(path: "Path | None") -> "Network | None":
    """Open the checkpoint whose features count, if one is named."""
    if path is None:
        return None
    from fmrgb.checkpoint import load_checkpoint

    return load_checkpoint(path)


def write(path: "Path", data: str | bytes) -> None:
    """Write a file, whole or not at all."""
    from fmrgb.files import whole_file

    with whole_file(path) as part:
        part.write_bytes(data.encode() if isinstance(data, str) else data)


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("gmm", GmmOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
