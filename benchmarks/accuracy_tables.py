"""From kept cells to ACCURACY.md: tables, what they say, how they were made."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from accuracy_conditions import CLEAN, CONDITIONS, FAILS, MIXED, NOTHING_SEEN
from accuracy_method import method
from accuracy_numbers import (
    COLUMN_HEADS,
    NOT_RUN,
    Line,
    Store,
    accuracy,
    best,
    gain,
    grid_lines,
    ranged,
)
from accuracy_plan import (
    ALIKE,
    GRID_BASELINES,
    ONE,
    TASKS,
    Cell,
    plan,
)
from accuracy_words import fights_words, grid_words

from fmrgb.files import whole_file

MODEL_ORDER = (
    *("majority", "sound_track", "logistic", "first", "conv3d", "vivit", "convlstm"),
)


def write_tables(path: Path, work: Path, *, quick: bool = False) -> Path:
    """Write ACCURACY.md from the kept cells alone; return its path.

    Args:
        path: file to write.
        work: folder that keeps the cells.
        quick: whether those of --quick are meant.
    """
    store = Store(work, quick=quick)
    text = "\n".join([*_head(store), *_fights(store), *_grid(store), *method(store)])
    with whole_file(path) as part:
        part.write_text(text.rstrip() + "\n")
    return path


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Draw a Markdown table; the first `left` columns are words, the others numbers."""
    rule = ["---" if n < left else "---:" for n in range(len(heads))]
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)] + [""]


def lines_of(store: Store, wanted: Callable[[Cell], bool]) -> list[Line]:
    """Return the lines of the wanted cells of the plan, by model, then in its order."""
    cells = dict.fromkeys(replace(c, fold=1) for c in plan() if wanted(c))
    return [
        store.line(c) for c in sorted(cells, key=lambda c: MODEL_ORDER.index(c.model))
    ]


def _head(store: Store) -> list[str]:
    cells = plan()
    n_done = sum(len(line.results) for line in lines_of(store, lambda cell: True))
    lines = [
        "# Accuracy on real clips",
        "",
        f"Written {date.today()} by `benchmarks/accuracy.py` (`make accuracy`) from "
        f"the cells it has kept: {n_done} of {len(cells)} were run; the others are "
        f"shown as {NOT_RUN}.",
        "Ranges are 95 % intervals: Wilson's for accuracy, at the number of clips of "
        "different sources that would tell as much; Newcombe's for the area under the "
        "ROC curve (AUC).",
        "",
    ]
    if store.quick:
        lines[2:2] = [
            "**A trial with few clips and one epoch: the numbers mean nothing.**"
        ]
    return lines


def _fights(store: Store) -> list[str]:
    heads = (
        *("model", "planes", "senses", "folds", "clips", "accuracy", "macro F1", "AUC"),
        "with a sound track",
    )
    lines = lines_of(store, lambda cell: cell.data == "fights")
    return [
        "## Fights",
        "",
        "240 clips of surveillance cameras, fight or no fight; no source lies on both "
        "sides of a split.",
        "",
        *table(
            (*heads, _minutes(lines)),
            [_full_row(line, with_sound=True) for line in lines],
            left=3,
        ),
        *fights_words(store),
    ]


def _minutes(lines: Sequence[Line]) -> str:
    """Head the column of minutes, with the number of threads."""
    found = {str(r["threads"]) for line in lines for r in line.results}
    return f"minutes on {' or '.join(sorted(found))} thread(s)" if found else "minutes"


def _full_row(line: Line, *, with_sound: bool) -> list[str]:
    """Write all numbers of one line."""
    cell = line.cell
    named = [cell.model, cell.planes, cell.fusion]
    if line.predictions is None:
        return [*named, line.folds, *[NOT_RUN] * (6 if with_sound else 5)]
    scores = line.scores
    area = scores["auc"]
    row = [
        *(*named, line.folds, str(scores["clips"])),
        accuracy(line),
        f"{scores['macro_f1']:.3f}",
        "-" if area is None else ranged(area, scores["auc_interval"]),
    ]
    if with_sound:
        row.append(_with_track(scores["sounds"]["kinds"]))
    return [*row, f"{line.minutes:.1f}"]


def _with_track(kinds: dict[str, dict[str, int]]) -> str:
    """Write the accuracy on clips that have a sound track, silent or not."""
    have = [kind for name, kind in kinds.items() if name != "none"]
    clips = sum(kind["clips"] for kind in have)
    return f"{sum(kind['right'] for kind in have) / clips:.3f}" if clips else "-"


def _grid(store: Store) -> list[str]:
    lines = [
        "## GRID: one talker, seen and heard",
        "",
        "720 clips of one talker's six-word commands. Both senses carry what is asked "
        "for. `both` joins them by the default (a network for each sense), `stacked` "
        "is one network on all planes. The last column compares `both` with the "
        "better of the two single senses on the same clips, in points of accuracy.",
        "",
        "The networks of the next three tables learned from clips that come in all "
        "conditions, and each is asked about its test clips in every condition.",
        "",
    ]
    for task in TASKS:
        rows = [_grid_row(store, task, MIXED, condition) for condition in CONDITIONS]
        rows += _grid_baselines(store, task)
        lines += [f"### {task.capitalize()}", "", *_grid_table(rows)]
    rows = [_grid_row(store, "command", condition, condition) for condition in ALIKE]
    lines += [
        *("### Command, learned from clips like those that are tested", ""),
        "Every line has networks of its own, which know no other condition.",
        *("", *_grid_table(rows)),
        *("### Command, when a sense fails that was never known to fail", ""),
        *_grid_fails(store),
    ]
    return lines + grid_words(store) + _grid_details(store)


def _grid_table(rows: Sequence[Sequence[str]]) -> list[str]:
    heads = ("condition", *COLUMN_HEADS, "both - better sense, points")
    return table(heads, rows, left=1)


def _grid_row(store: Store, task: str, learned: str, condition: str) -> list[str]:
    """Draw one condition: each sense, both, stacked, and what joining is worth."""
    columns = grid_lines(store, task, learned, condition)
    better = best(columns[:2])
    compared = gain(columns[2], better) if better else None
    shown = [accuracy(line) for line in columns]
    if condition == NOTHING_SEEN:
        shown[0] = "nothing to see"
    verdict = f"{compared}, {compared.verdict}" if compared else NOT_RUN
    return [condition, *shown, verdict]


def _grid_baselines(store: Store, task: str) -> list[list[str]]:
    rows = []
    names = {"majority": "commonest label", "logistic": "logistic regression"}
    for model, said in names.items():
        cells = [Cell("grid", task, model, planes) for planes in GRID_BASELINES[model]]
        by_planes = {cell.planes: accuracy(store.line(cell)) for cell in cells}
        told = [by_planes.get(planes, "-") for planes in ("picture", "sound", "both")]
        if "none" in by_planes:
            told[0] = by_planes["none"]
        rows.append([f"{said}, clean", *told, "-", "-"])
    return rows


def _grid_fails(store: Store) -> list[str]:
    """Draw how much is left where the network learned from clean clips."""
    rows = []
    clean = grid_lines(store, "command", CLEAN, CLEAN)
    for condition in (CLEAN, *FAILS):
        row = [condition]
        asked = grid_lines(store, "command", CLEAN, condition)
        for line, before in zip(asked, clean, strict=True):
            change = gain(line, before) if line is not before else None
            row.append(
                f"{accuracy(line)}{f', {100 * change.mean:+.0f}' if change else ''}"
            )
        if condition == NOTHING_SEEN:
            row[1] = "nothing to see"
        rows.append(row)
    return [
        "The networks of the clean line above, asked about the same test clips spoilt: "
        "they were not trained for it. Behind the comma: points lost. A sense that a "
        "network does not have cannot fail it.",
        "",
        *table(("test clips", *COLUMN_HEADS), rows, left=1),
    ]


def _grid_details(store: Store) -> list[str]:
    heads = (
        *("task", "condition", "model", "planes", "senses", "folds", "clips"),
        *("accuracy", "macro F1", "AUC"),
    )
    lines = lines_of(store, lambda cell: cell.data == "grid")
    rows = [
        [line.cell.task, line.cell.condition, *_full_row(line, with_sound=False)]
        for line in lines
        if line.results
    ]
    open_ = [line.cell for line in lines if not line.results]
    return [
        "### GRID, all numbers",
        "",
        *table((*heads, _minutes(lines)), rows, left=5),
        *(f"- Not run: {said}." for said in _not_run(open_)),
        "",
    ]


def _not_run(cells: Sequence[Cell]) -> list[str]:
    """Name cells that were not run, those of one task and model in one sentence."""
    named: dict[str, dict[str, list[str]]] = {}
    for cell in cells:
        what = cell.planes if cell.fusion == ONE else f"{cell.planes} ({cell.fusion})"
        by_condition = named.setdefault(f"{cell.task}, {cell.model}", {})
        by_condition.setdefault(what, []).append(cell.condition)
    return [
        f"{kind}: " + "; ".join(f"{what}: {', '.join(c)}" for what, c in told.items())
        for kind, told in named.items()
    ]
