"""From a live stream to what a network makes of each window, as it arrives."""

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from fmrgb.card import Card
from fmrgb.errors import MediaError
from fmrgb.events import Judged
from fmrgb.opened import Opened
from fmrgb.predict import recipe_of
from fmrgb.recording import Judge, layout_of, window_and_hop
from fmrgb.streams import open_live, without_secrets
from fmrgb.windows import Cutter, Window

LAG_S = 1.0  # how far sound may lag behind the picture in a live stream
WAITING = 2  # windows that may wait to be judged
LATE_S = 5.0  # s behind the stream from which on windows are left out
FIRST_WAIT_S = 0.5  # before the first try to reconnect; then twice as long each time
TICK_S = 0.2  # how long Ctrl-C waits to be heard
NEARLY = 0.9  # of its length; a served file that came so far has ended
JOIN_S = 2.0  # how long the end waits for the connection to be let go


@dataclass(frozen=True)
class LiveAnswer:
    """What a network says of one window of a live stream.

    Attributes:
        judged: the window, in s after the first frame ever received, and its answer.
        latency_s: from the arrival of its last frame to this answer.
        silent: whether there is nothing to hear in the stream so far.
        notes: what is unlike the clips of the training; told with the first window.
    """

    judged: Judged
    latency_s: float
    silent: bool
    notes: tuple[str, ...] = ()


def predict_live(
    opened: Opened,
    address: str,
    *,
    window_s: float | None = None,
    hop_s: float | None = None,
    reconnects: int = 3,
    say: Callable[[str], None] | None = None,
) -> Generator[LiveAnswer, None, None]:
    """Judge a live stream window by window until it ends.

    A stream that ends or breaks is tried again. Where the network is slower than the
    stream, windows are left out, so that answers stay fresh.

    Args:
        opened: the network.
        address: anything that `streams.is_address` takes.
        window_s: length of a window; None takes that of the training clips.
        hop_s: from the start of a window to the start of the next; None takes the
            window's length.
        reconnects: how many times in a row it is tried again without a frame.
        say: told what happens to the connection.

    Raises:
        MediaError: if nothing answers at the first try, or the stream lacks what the
            network judges by.
        InputError: if windows would leave time between them.
        TrainingError: if the network does not say how its clips were prepared.
    """
    window_s, hop_s = window_and_hop(opened.card, window_s, hop_s)
    reader = _Reader(opened.card, address, window_s, hop_s, reconnects, say)
    judge, first = Judge(opened, without_secrets(address)), True
    # The first question takes far longer than the others: not with a stream waiting.
    opened.logits(np.zeros((1, *opened.card.view.shape), np.uint8))
    reader.start()
    try:
        for window, arrived in reader.windows():
            judged = judge.ask(window)
            latency = time.monotonic() - arrived
            notes = judge.notes if first else ()
            first = False
            yield LiveAnswer(judged, latency, judge.silent, notes)
    finally:
        reader.stop()


class _Reader(threading.Thread):
    """Receives and decodes, so that nothing is lost while the network thinks."""

    def __init__(
        self,
        card: Card,
        address: str,
        window_s: float,
        hop_s: float,
        reconnects: int,
        say: Callable[[str], None] | None,
    ) -> None:
        super().__init__(name="fmrgb-live", daemon=True)
        self._card = card
        self._address = address
        self._window_s = window_s
        self._hop_s = hop_s
        self._reconnects = reconnects
        self._say = say or (lambda _: None)
        self._ready: queue.Queue[tuple[Window, float]] = queue.Queue(WAITING)
        self._ending = threading.Event()
        self._fault: Exception | None = None
        self._began_s: float | None = None  # when the first frame ever came
        self._n_frames = 0
        self._left_out = 0

    def windows(self) -> Iterator[tuple[Window, float]]:
        """Yield windows and when they were complete, until the stream ends.

        Raises:
            FmrgbError: that ended the reading.
        """
        while True:
            over = not self.is_alive()
            try:
                yield self._ready.get(timeout=TICK_S)
            except queue.Empty:
                if over:
                    break
        if self._left_out:
            self._say(f"{self._left_out} windows left out: the network is too slow")
        if self._fault:
            raise self._fault

    def stop(self) -> None:
        """Let go of the connection."""
        self._ending.set()
        self.join(JOIN_S)

    def run(self) -> None:
        """Receive until the stream ends for good."""
        try:
            self._receive_again_and_again()
        except Exception as error:  # is raised where the windows are read
            self._fault = error

    def _receive_again_and_again(self) -> None:
        tries = 0
        while True:
            before, reason = self._n_frames, "the stream ended"
            try:
                is_over = self._receive()
                if self._ending.is_set():
                    return
                if is_over:
                    self._say(reason)
                    return
            except MediaError as error:
                if not self._n_frames:
                    raise
                reason = str(error)
            tries = 0 if self._n_frames > before else tries
            if tries == self._reconnects:
                self._say(f"{reason}; {tries} tries to reconnect" if tries else reason)
                return
            wait_s = FIRST_WAIT_S * 2**tries
            tries += 1
            self._say(f"{reason}; try {tries} to reconnect in {wait_s:g} s")
            self._ending.wait(wait_s)

    def _receive(self) -> bool:
        """Receive one connection to its end; tell whether more cannot come.

        Raises:
            MediaError: if it cannot be made or breaks.
        """
        with open_live(self._address) as stream:
            layout = layout_of(
                stream, self._card, recipe_of(self._card), self._window_s, self._hop_s
            )
            name = without_secrets(self._address)
            cutter = Cutter(replace(layout, patience_s=LAG_S), name)
            begins_s = None
            try:
                for frame in stream.frames:
                    if self._ending.is_set():
                        return True
                    self._n_frames += 1
                    begins_s = begins_s or time.monotonic()
                    for window in cutter.add(frame):
                        self._hand_over(window, begins_s, in_haste=not stream.seconds)
            finally:
                for window in cutter.finish():
                    self._hand_over(window, begins_s or 0.0, in_haste=False)
            # Only a file that is served tells its length, and has an end for good.
            return bool(stream.seconds) and cutter.reach_s >= NEARLY * stream.seconds

    def _hand_over(self, window: Window, begins_s: float, *, in_haste: bool) -> None:
        """Queue a window; if the network is late, the oldest that waits gives way."""
        arrived_s = time.monotonic()
        self._began_s = self._began_s or begins_s
        zero_s = begins_s - self._began_s
        shifted = Window(window.start_s + zero_s, window.end_s + zero_s, window.clip)
        while not self._ending.is_set():
            try:
                self._ready.put((shifted, arrived_s), timeout=TICK_S)
                return
            except queue.Full:
                late_s = time.monotonic() - begins_s - window.end_s
                if in_haste and late_s > LATE_S:
                    with suppress(queue.Empty):
                        self._ready.get_nowait()
                        self._left_out += 1
