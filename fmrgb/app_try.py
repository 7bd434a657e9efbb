"""The tab on which a model is tried: from a dropped clip to its answer and reasons."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmrgb.app_text import boxed, heading, pictured, said, sentence
from fmrgb.errors import InputError
from fmrgb.files import shown
from fmrgb.opened import ONNX, Opened
from fmrgb.sample import save_sample
from fmrgb.scratch import Scratch
from fmrgb.timeline import clock
from fmrgb.tryout import Told, draw_planes, lasting, sample_of, try_file

THE_ANSWER = "what the model says"
GONE = "This file is no longer here: the oldest ones are let go. Drop it again."
WELCOME = "Drop a clip to see what the model makes of it."
NO_REASONS = "Only a checkpoint (.ckpt) can be explained, not an exported .onnx."
GIVEN = "What the model is given: the picture and what was heard with each frame."
EVENTS = ("from", "to", "label", "highest probability")
WORK = {  # one piece of work after the other: each takes whole processors
    "concurrency_id": "work",
    "concurrency_limit": 1,
    "api_visibility": "private",
}


@dataclass(frozen=True)
class Tried:
    """What a visitor looks at: a file of theirs, and the windows to choose from."""

    path: Path
    windows: tuple[float, ...] = ()  # when each begins, in s; none of a short clip


@dataclass(frozen=True, kw_only=True, eq=False)
class TryTab:
    """What the tab knows, and what it does.

    Attributes:
        opened: the network.
        model: its file.
        scratch: where files of visitors lie.
        max_mb: largest file, in MB.
        max_seconds: longest clip, in s.
    """

    opened: Opened
    model: Path
    scratch: Scratch
    max_mb: float
    max_seconds: float

    @property
    def can_explain(self) -> bool:
        """Whether the model can be taken derivatives of."""
        return self.model.suffix.lower() != ONNX

    def own(self, path: Path) -> Path:
        """Return a visitor's file.

        Raises:
            InputError: if it is gone, or never was one.
        """
        if not self.scratch.holds(path):
            raise InputError(GONE)
        return path

    def ask(self, path: Path, progress: Any = None) -> Told:
        """Judge a visitor's file; see `tryout.try_file`."""
        return try_file(
            self.opened,
            self.own(path),
            self.scratch.new(),
            max_seconds=self.max_seconds,
            progress=progress,
        )

    def planes(self, tried: Tried, place: int = 0) -> str:
        """Draw a file's planes over time, or those of a window of it, as HTML."""
        path = self.own(tried.path)
        window_s = tried.windows[place] if tried.windows else None
        sheet = draw_planes(sample_of(self.opened, path, window_s), path)
        return pictured(sheet, f"planes of {path.name} over time")

    def explain(
        self, tried: Tried, place: int = 0, label: str | None = None
    ) -> tuple[str, Path]:
        """Explain the answer to a file or a window: HTML of a picture, and an mp4.

        Raises:
            FmrgbError: as `explain.explain` does.
        """
        from fmrgb.explain import explain

        path, folder = self.own(tried.path), self.scratch.new()
        if tried.windows:
            sample = sample_of(self.opened, path, tried.windows[place])
            path = folder / f"{path.stem}.pt"
            save_sample(path, sample)
        done = explain(self.model, path, folder, label=label)
        png, mp4 = done.files
        alt = f"what the answer about {tried.path.name} rests on"
        return boxed(png.read_bytes(), alt), mp4


def answer_of(told: Told) -> str:
    """Say in sentences what the model makes of a file, as HTML."""
    best = told.probabilities[told.label]
    if told.timeline is None:
        text = f"{told.name} ({lasting(told.seconds)}): {told.label}, {best:.1%}"
    else:
        n = len(told.moments)
        text = (
            f"{told.name} lasts {lasting(told.seconds)}, so it was judged window by "
            f"window: {n} event{'s' * (n != 1)}; over the whole time {told.label}, "
            f"{best:.1%}"
        )
    return said(text) + "".join(said(f"Note: {note}", "note") for note in told.notes)


def events_of(told: Told) -> list[list[str]]:
    """Return the events of a recording as lines of a table."""
    return [
        [clock(m.start_s), clock(m.end_s), shown(m.label), f"{m.probability:.1%}"]
        for m in told.moments
    ]


def build_try(gr: Any, tab: TryTab) -> None:
    """Lay out the tab, and say what happens when."""
    state = gr.State(None)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            dropped, recorded = _inputs(gr, tab)
        with gr.Column(scale=3, min_width=300):
            spoken = gr.HTML(said(WELCOME))
            label = gr.Label(label="Probabilities", visible=False)
            files = gr.File(label="Download (CSV)", visible=False, interactive=False)
    with gr.Column(visible=False) as long:
        gr.HTML(heading("Timeline", "What the model says when, window by window."))
        timeline = gr.HTML()
        events = gr.Dataframe(headers=list(EVENTS), label="Events", max_height=320)
        moment = gr.Dropdown(
            label="Event to look at; its surest window is shown below", type="index"
        )
    with gr.Column(visible=False) as seen:
        gr.HTML(heading("Planes over time", GIVEN))
        planes = gr.HTML()
        chosen, reasons, film = _explanation(gr, tab, state, moment)
    shown_parts = [spoken, label, files, long, timeline, events, moment, seen, planes]
    outputs = [state, *shown_parts, chosen, reasons, film]

    def ask(path: str | None, progress: Any = gr.Progress()) -> list[Any]:  # noqa: B008
        told, tried, fault = _judged(tab, path, progress)
        if told is None or tried is None:
            return [*_nothing(gr, fault), THE_ANSWER, "", _film(gr, None)]
        drawn = _planes(tab, tried)
        return [*_everything(gr, told, tried, drawn), THE_ANSWER, "", _film(gr, None)]

    def look(tried: Tried | None, place: int | None) -> list[Any]:
        return [_planes(tab, tried, place), "", _film(gr, None)]

    gr.on([dropped.upload, dropped.clear], ask, dropped, outputs, **WORK)
    recorded.change(ask, recorded, outputs, **WORK)
    moment.input(look, [state, moment], [planes, reasons, film], **WORK)


def _nothing(gr: Any, fault: str) -> list[Any]:
    """Return what the parts show where there is no answer."""
    hidden = gr.update(visible=False)
    return [None, fault, hidden, hidden, hidden, "", None, gr.update(), hidden, ""]


def _everything(gr: Any, told: Told, tried: Tried, planes: str) -> list[Any]:
    """Return what the parts show of an answer."""
    drawn = "" if told.timeline is None else pictured(told.timeline, "timeline")
    moments = [str(one) for one in told.moments]
    return [
        tried,
        answer_of(told),
        gr.update(value=plain_keys(told.probabilities), visible=True),
        gr.update(value=list(map(str, told.files)), visible=True),
        gr.update(visible=told.timeline is not None),
        drawn,
        events_of(told),
        gr.update(choices=moments, value=moments[0] if moments else None),
        gr.update(visible=True),
        planes,
    ]


def _inputs(gr: Any, tab: TryTab) -> tuple[Any, Any]:
    """Lay out where clips come from."""
    dropped = gr.File(label="Clip", height=170)
    most = f"up to {tab.max_mb:g} MB and {lasting(tab.max_seconds)}"
    gr.HTML(said(f"A video, a sound file or a sample (.pt), {most}."))
    with gr.Accordion("Or record a clip with the camera", open=False):
        recorded = gr.Video(
            label="Camera",
            sources=["webcam"],
            include_audio=True,
            # A mirrored clip would be another clip than the one that was recorded.
            webcam_options=gr.WebcamOptions(mirror=False),
        )
    return dropped, recorded


def _explanation(gr: Any, tab: TryTab, state: Any, moment: Any) -> tuple[Any, Any, Any]:
    """Lay out what explains an answer; return its label, picture and film."""
    words = "Which planes, moments and regions the answer rests on; takes some seconds."
    gr.HTML(heading("Why?", words if tab.can_explain else NO_REASONS))
    with gr.Row(visible=tab.can_explain, equal_height=True):
        classes = [(shown(name), name) for name in tab.opened.card.classes]
        chosen = gr.Dropdown(
            [(THE_ANSWER, THE_ANSWER), *classes],
            value=THE_ANSWER,
            label="Label to explain",
            min_width=220,
        )
        button = gr.Button("Explain", variant="primary", scale=0, min_width=160)
    reasons = gr.HTML()
    film = gr.Video(label="The same as a film", visible=False, interactive=False)

    def explain(tried: Tried | None, place: int | None, label: str) -> list[Any]:
        if tried is None:
            return [said(WELCOME), _film(gr, None)]
        wanted = None if label == THE_ANSWER else label
        try:
            picture, mp4 = tab.explain(tried, place or 0, wanted)
        except Exception as error:
            return [said(sentence(error, tried.path), "fault"), _film(gr, None)]
        return [picture, _film(gr, mp4)]

    button.click(explain, [state, moment, chosen], [reasons, film], **WORK)
    return chosen, reasons, film


def _film(gr: Any, mp4: Path | None) -> Any:
    return gr.update(value=str(mp4) if mp4 else None, visible=mp4 is not None)


def _judged(
    tab: TryTab, path: str | None, progress: Any
) -> tuple[Told | None, Tried | None, str]:
    """Judge a file; where that fails, say why as HTML."""
    if path is None:
        return None, None, said(WELCOME)
    try:
        told = tab.ask(Path(path), lambda done, total: progress(min(1, done / total)))
    except Exception as error:
        return None, None, said(sentence(error, Path(path)), "fault")
    windows = tuple(moment.window_s for moment in told.moments)
    return told, Tried(Path(path), windows), ""


def _planes(tab: TryTab, tried: Tried | None, place: int | None = 0) -> str:
    if tried is None:
        return ""
    try:
        return tab.planes(tried, place or 0)
    except Exception as error:
        return said(sentence(error, tried.path), "fault")


def plain_keys(probabilities: dict[str, float]) -> dict[str, float]:
    """Return probabilities by names that fit one line each."""
    return {shown(name): value for name, value in probabilities.items()}
