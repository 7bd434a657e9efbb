"""Ask a trained model about clips, long recordings or a live stream.

Example: tools/predict.py --model run/best.ckpt --target clips --workers 4
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fmrgb_tools.command import FAILED, OK, allowance, counter, run_tool, show

from fmrgb.predict_options import PredictOptions

if TYPE_CHECKING:
    from fmrgb.events import Recording
    from fmrgb.judging import Verdicts
    from fmrgb.live import LiveAnswer
    from fmrgb.opened import Opened
    from fmrgb.predict import Answer

MOST_LINES = 40  # events of a recording that are printed; all are in events.csv


def work(options: PredictOptions) -> int:
    """Open the model, and judge what the target stands for."""
    # Before torch starts its threads: those that wait for each other by spinning made
    # an answer a hundred times slower on a processor that others use as well.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from fmrgb.opened import open_model
    from fmrgb.streams import is_address

    opened = open_model(options.model)
    if is_address(options.target):
        return watch(opened, options)
    return judge(opened, options)


def judge(opened: "Opened", options: PredictOptions) -> int:
    """Judge files, print the answers, write what there is to write."""
    from fmrgb.address import place
    from fmrgb.files import shown
    from fmrgb.judging import Wishes, as_dict, judge_files
    from fmrgb.targets import find_targets

    target = place(options.target)
    paths = find_targets(
        target,
        with_sound=bool(opened.card.view.sound),
        outside=options.outside,
    )
    wishes = Wishes(
        window_s=options.window,
        hop_s=options.hop,
        threshold=options.threshold,
        workers=options.workers,
        allowance=allowance(options),
    )
    start = time.perf_counter()
    with counter("clips") as clips, counter("s") as seconds:
        done = judge_files(opened, paths, wishes, clips=clips, seconds=seconds)
    took_s = time.perf_counter() - start
    written = write(options, done, target, several=len(paths) > 1)
    for note in done.notes():
        print(f"note: {note}", file=sys.stderr)
    for failure in done.failures:
        # Most reasons name their clip themselves.
        name = shown(failure.name)
        where = "" if name in failure.reason else f"{name}: "
        print(f"failed: {where}{shown(failure.reason)}", file=sys.stderr)
    if len(done.answers) > 1:
        rate = len(done.answers) / took_s
        print(f"{rate:.1f} clips per second, start-up included", file=sys.stderr)
    lines = [told_of(answer) for answer in done.answers]
    for recording in done.recordings:
        lines += events_of(recording)
    if len(done.recordings) > 1:
        told = [path for path in written if path.parent == written[-1].parent]
        folder = shown(written[-1].parent)
        lines.append(f"events and timelines of {len(done.recordings)}: {folder}")
    else:
        told = written
    lines += [f"wrote {shown(path)}" for path in told]
    show({**as_dict(done), "files": written}, lines, as_json=options.json)
    return FAILED if done.failures else OK


def write(
    options: PredictOptions, done: "Verdicts", target: Path, *, several: bool
) -> list[Path]:
    """Write predictions.csv of many, and the files of each long recording."""
    from fmrgb.files import make_folder
    from fmrgb.judging import write_predictions, write_recording
    from fmrgb.targets import own_folder

    if not (several or options.output or done.recordings):
        return []
    folder = options.output or target.parent / f"{target.stem}_predicted"
    make_folder(folder)
    written = []
    for recording in done.recordings:
        into = own_folder(Path(recording.name), target, folder)
        with counter("s") as seconds:
            written += write_recording(
                into, recording, rendered=options.render, progress=seconds
            )
    if several or not done.recordings:
        written.append(folder / "predictions.csv")
        write_predictions(written[-1], done, options.threshold)
    return written


def told_of(answer: "Answer") -> str:
    """Write a clip's label and probabilities in one line."""
    from fmrgb.files import shown

    told = zip(answer.classes, answer.probabilities, strict=True)
    each = ", ".join(f"{shown(name)} {p:.3f}" for name, p in told)
    return f"{shown(Path(answer.name).name)}: {shown(answer.label)} ({each})"


def events_of(recording: "Recording") -> list[str]:
    """Write a recording's events, a line for each."""
    from fmrgb.files import shown
    from fmrgb.timeline import clock

    events = recording.events
    lines = [
        f"{shown(Path(recording.name).name)}: {clock(recording.seconds)}, "
        f"{many(len(recording.judged), 'window')}, {many(len(events), 'event')}"
    ]
    for event in events[:MOST_LINES]:
        when = f"{clock(event.start_s)} to {clock(event.end_s)}"
        lines.append(
            f"  {when}: {shown(event.label)} (up to {event.peak_probability:.3f})"
        )
    if len(events) > MOST_LINES:
        lines.append(f"  and {len(events) - MOST_LINES} more, see events.csv")
    return lines


def many(n: int, thing: str) -> str:
    """Write how many of a thing there are."""
    return f"{n} {thing}{'s' * (n != 1)}"


def watch(opened: "Opened", options: PredictOptions) -> int:
    """Judge a live stream until it ends or Ctrl-C is pressed."""
    from fmrgb.live import predict_live

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    if options.render or options.output:
        say("note: --render and --output are for files; a live stream is not kept")
    answers = predict_live(
        opened,
        options.target,
        window_s=options.window,
        hop_s=options.hop,
        reconnects=options.reconnects,
        say=say,
    )
    n_windows, slowest_s = 0, 0.0
    try:
        for answer in answers:
            n_windows += 1
            slowest_s = max(slowest_s, answer.latency_s)
            for note in answer.notes:
                say(f"note: {note}")
            tell(answer, opened, options)
    except KeyboardInterrupt:
        answers.close()
        say("stopped by Ctrl-C")
    say(f"{n_windows} windows judged, slowest answer after {slowest_s:.3f} s")
    return OK


def tell(answer: "LiveAnswer", opened: "Opened", options: PredictOptions) -> None:
    """Print the answer to a window, and add it to --events at once."""
    from fmrgb.events import window_as_dict
    from fmrgb.files import shown

    classes = opened.card.classes
    told = window_as_dict(answer.judged, classes, options.threshold)
    told["latency_s"] = round(answer.latency_s, 4)
    line = json.dumps(told)
    if options.events:
        with open(options.events, "a", encoding="utf-8") as file:
            file.write(line + "\n")
    if options.json:
        print(line, flush=True)
        return
    best = max(told["probabilities"].values())
    print(
        f"{told['start_s']:.1f} to {told['end_s']:.1f} s: {shown(told['label'])} "
        f"({best:.3f}), {1e3 * answer.latency_s:.0f} ms after its last frame",
        flush=True,
    )


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("predict", PredictOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
