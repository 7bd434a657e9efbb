"""Wait for a sound, cut it out, ask a trained model about it, and again.

Example: tools/record.py --model run/best.ckpt --level -35 --save takes
"""

import json
import os
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from fmrgb_tools.command import OK, run_tool

from fmrgb.record_options import RecordOptions

if TYPE_CHECKING:
    from fmrgb.hearing import Source
    from fmrgb.opened import Opened
    from fmrgb.record import Answered
    from fmrgb.utterances import Listening

BAR = 30  # letters that stand for a probability of 1


def work(options: RecordOptions) -> int:
    """Open model and source; answer until Ctrl-C, the end or --times."""
    # As in predict: threads that wait by spinning would make answers slow.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from fmrgb.opened import open_model
    from fmrgb.record import Recorder

    opened = open_model(options.model)
    recorder = Recorder(opened, threshold=options.threshold, save=options.save)
    n_heard = 0
    try:
        with opened_source(opened, options) as source:
            listening = listening_of(options, source.rate)
            say(
                f"listening at {source.rate} Hz for sounds above {options.level:g} "
                "dBFS; Ctrl-C ends it"
            )
            for answered in recorder.answers(source, listening):
                n_heard += 1
                tell(answered, options)
                if n_heard == options.times:
                    break
    except KeyboardInterrupt:
        say("stopped by Ctrl-C")
    say(f"{n_heard} sound{'s' * (n_heard != 1)} answered")
    if not n_heard and recorder.loudest_db is not None:
        say(
            f"the loudest of it had {recorder.loudest_db:.0f} dBFS; a lower --level "
            "lets it through"
        )
    return OK


def opened_source(
    opened: "Opened", options: RecordOptions
) -> "AbstractContextManager[Source]":
    """Open the file or the microphone."""
    from fmrgb.hearing import open_file, open_microphone
    from fmrgb.record import rate_for

    if options.source:
        return open_file(options.source, rate_for(opened))
    return open_microphone(options.device, say)


def listening_of(options: RecordOptions, rate: int) -> "Listening":
    """Return when a sound begins and ends, as the options say."""
    from fmrgb.utterances import Listening

    return Listening(
        rate=rate,
        level_db=options.level,
        silence_s=options.silence,
        longest_s=options.longest,
        lead_s=options.lead,
    )


def say(text: str) -> None:
    """Say what is not an answer."""
    print(text, file=sys.stderr, flush=True)


def tell(answered: "Answered", options: RecordOptions) -> None:
    """Print the cut, and each class with its probability, likeliest first."""
    from fmrgb.events import by_class
    from fmrgb.files import shown
    from fmrgb.utterances import drawn

    heard, answer = answered.utterance, answered.answer
    told = by_class(answer.classes, answer.probabilities)
    for note in answer.notes:
        say(f"note: {shown(note)}")
    if heard.is_cut_off:
        say(
            f"note: cut off at --longest {options.longest:g} s while still loud; "
            "if that is the room's noise, give a higher --level"
        )
    if options.json:
        times = {"start_s": round(heard.start_s, 3), "end_s": round(heard.end_s, 3)}
        files = [str(path) for path in answered.files]
        known = {**times, "label": answer.label, "probabilities": told}
        print(json.dumps({**known, "files": files}), flush=True)
        return
    print("\n".join(drawn(heard)))
    kept_s, of_s = (len(part) / heard.rate for part in (heard.kept, heard.samples))
    print(
        f"{heard.start_s:.2f} to {heard.end_s:.2f} s, {kept_s:.2f} s of {of_s:.2f} s "
        f"kept: {shown(answer.label)}"
    )
    width = max(map(len, map(shown, told)))
    for name, p in sorted(told.items(), key=lambda item: -item[1]):
        print(f"  {shown(name):{width}} {p:6.3f} {'=' * round(BAR * p)}".rstrip())
    for path in answered.files:
        print(f"wrote {shown(path)}")
    print(flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("record", RecordOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
