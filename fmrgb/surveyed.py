"""From what headers say to a table of it, a line for each label."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import median

from fmrgb.files import shown
from fmrgb.preflight import Found, Survey

HEADS = (
    *("label", "clips", "width x height", "fps", "frames", "seconds"),
    *("no sound", "unreadable"),
)
SOUND_HEADS = ("label", "clips", "Hz", "seconds", "unreadable")


def table(surveyed: Survey) -> list[str]:
    """Draw the survey: one line per label and one for all."""
    found = surveyed.found
    of_label = defaultdict(list)
    for item in found:
        of_label[item.label].append(item)
    by_sound = any(item.header and item.header.rate for item in found)
    line, heads = (_sound_line, SOUND_HEADS) if by_sound else (_line, HEADS)
    rows = [line(shown(label), of_label[label]) for label in sorted(of_label)]
    if len(of_label) > 1:
        rows.append(line("all", found))
    rows.insert(0, heads)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    if surveyed.superseded:
        lines.append(
            f"{surveyed.superseded} originals left out: resized copies are used"
        )
    if surveyed.spare:
        lines.append(
            f"{surveyed.spare} sound files left out: videos of the same names are used"
        )
    if surveyed.ungrouped:
        lines.append(
            f"{surveyed.ungrouped} clips are not in the groups CSV: each is its own "
            "group"
        )
    return lines


def _line(name: str, found: Sequence[Found]) -> tuple[str, ...]:
    headers = [item.header for item in found if item.header]
    sizes = Counter(f"{h.width}x{h.height}" for h in headers)
    size = sizes.most_common(1)[0][0] if sizes else "-"
    if len(sizes) > 1:
        size += f" and {len(sizes) - 1} more"
    return (
        name,
        str(len(found)),
        size,
        _span([h.fps for h in headers]),
        _span([h.frames for h in headers]),
        _span([h.seconds for h in headers]),
        str(sum(not h.has_sound for h in headers)),
        str(sum(item.fault is not None for item in found)),
    )


def _sound_line(name: str, found: Sequence[Found]) -> tuple[str, ...]:
    headers = [item.header for item in found if item.header]
    return (
        name,
        str(len(found)),
        _span([h.rate for h in headers], ".6g"),
        _span([h.seconds for h in headers]),
        str(sum(item.fault is not None for item in found)),
    )


def _span(numbers: Sequence[float], how: str = ".4g") -> str:
    """Write lowest, median and highest number, or the one there is."""
    if not numbers:
        return "-"
    low, middle, high = min(numbers), median(numbers), max(numbers)
    if low == high:
        return f"{low:{how}}"
    return f"{low:{how}} .. {middle:{how}} .. {high:{how}}"
