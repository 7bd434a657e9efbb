"""The tab of a run: its report, and the clips of a manifest to be searched."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmrgb.app_text import pictured, said, sentence
from fmrgb.app_try import WORK
from fmrgb.errors import InputError
from fmrgb.files import shown
from fmrgb.gallery import Answer, Entry, search
from fmrgb.opened import Opened
from fmrgb.tryout import draw_planes, sample_of

REPORT_PATH = "/report"
ANY = "any"
ANSWERS: tuple[Answer, ...] = ("all", "wrong", "right", "not judged")
MOST_LISTED = 200  # clips of a search that are listed
COLUMNS = ("clip", "label", "the model said", "probability", "answer", "split")
NO_REPORT = "There is no report. Name a run folder with --run."
NO_CLIPS = "There are no clips. Name a manifest with --data, or a run with --run."
CHOOSE = "Choose a clip to see its planes."


@dataclass(frozen=True, kw_only=True, eq=False)
class RunTab:
    """What the tab knows, and what it does.

    Attributes:
        opened: the network.
        entries: clips that can be searched.
        report: the run's report.html, if it has one.
    """

    opened: Opened
    entries: Sequence[Entry]
    report: Path | None

    def search(self, wishes: "Wishes") -> list[int]:
        """Return the places of the entries that fit.

        Raises:
            InputError: if no probability can fit.
        """
        if wishes.lowest > wishes.highest:
            raise InputError(
                f"No probability is at least {wishes.lowest:g} % and at most "
                f"{wishes.highest:g} %; move one of the two."
            )
        return search(
            self.entries,
            label=None if wishes.label == ANY else wishes.label,
            answer=wishes.answer,
            split=None if wishes.split == ANY else wishes.split,
            lowest=wishes.lowest / 100,
            highest=wishes.highest / 100,
            name=wishes.name,
        )

    def show(self, place: int) -> str:
        """Draw a clip's planes over time, as HTML."""
        entry = self.entries[place]
        try:
            sheet = draw_planes(sample_of(self.opened, entry.path), entry.path)
        except Exception as error:
            return said(sentence(error, entry.path), "fault")
        return said(line_of(entry)) + pictured(sheet, f"planes of {entry.path.name}")


@dataclass(frozen=True)
class Wishes:
    """What is searched for; probabilities in percent."""

    label: str = ANY
    answer: Answer = "all"
    split: str = ANY
    lowest: float = 0.0
    highest: float = 100.0
    name: str = ""


def named(entry: Entry) -> str:
    """Return a clip's name with its folder's."""
    return shown(f"{entry.path.parent.name}/{entry.path.name}")


def line_of(entry: Entry) -> str:
    """Say in one line what a clip is and what the model said."""
    what = f"{named(entry)}: label {shown(entry.label)}"
    if entry.probability is None:
        return f"{what}; the model's answer is not among the run's predictions"
    told = f"the model said {shown(entry.predicted)}, {entry.probability:.1%}"
    return f"{what}; {told} ({entry.answer})"


def row_of(entry: Entry) -> list[str]:
    """Return a line of the table."""
    sure = "" if entry.probability is None else f"{entry.probability:.1%}"
    told = (shown(entry.predicted), sure, entry.answer, entry.split)
    return [named(entry), shown(entry.label), *told]


def build_run(gr: Any, tab: RunTab) -> None:
    """Lay out the tab, and say what happens when."""
    with gr.Tabs():
        with gr.Tab("Clips"):
            if tab.entries:
                _build_clips(gr, tab)
            else:
                gr.HTML(said(NO_CLIPS))
        with gr.Tab("Report"):
            frame = (
                f'<iframe class="report" src="{REPORT_PATH}" sandbox="" loading="lazy" '
                'title="report of the run"></iframe>'
            )
            gr.HTML(frame if tab.report else said(NO_REPORT))


def _build_clips(gr: Any, tab: RunTab) -> None:
    wishes = _wishes(gr, tab)
    first = tab.search(Wishes())
    found = gr.State(first)
    summary = gr.HTML(said(_summary(tab, first)))
    table = gr.Dataframe(
        _rows(tab, first), headers=list(COLUMNS), interactive=False, max_height=320
    )
    clip = gr.Dropdown(
        _choices(tab, first), value=None, label="Clip to show", filterable=True
    )
    sheet = gr.HTML(said(CHOOSE))

    def look_up(*values: Any) -> list[Any]:
        try:
            places = tab.search(Wishes(*values))
        except InputError as error:
            nothing = gr.update(choices=[], value=None)
            return [[], said(str(error), "fault"), [], nothing]
        choices = gr.update(choices=_choices(tab, places), value=None)
        return [places, said(_summary(tab, places)), _rows(tab, places), choices]

    def pick(places: list[int], event: gr.SelectData) -> Any:
        row = event.index[0]
        return places[row] if row < min(len(places), MOST_LISTED) else None

    def show(place: int | None) -> str:
        return said(CHOOSE) if place is None else tab.show(place)

    private = {"api_visibility": "private"}
    changes = [w.input if isinstance(w, gr.Textbox) else w.change for w in wishes]
    gr.on(changes, look_up, wishes, [found, summary, table, clip], **private)
    # An annotation of Gradio's own tells it to pass the event.
    pick.__annotations__["event"] = gr.SelectData
    table.select(pick, found, clip, **private)
    clip.change(show, clip, sheet, **WORK)


def _wishes(gr: Any, tab: RunTab) -> list[Any]:
    """Lay out what can be searched by, in the order of `Wishes`."""
    entries = tab.entries
    labels = sorted({entry.label for entry in entries})
    splits = [s for s in ("train", "val", "test") if any(s == e.split for e in entries)]
    with gr.Row():
        label = gr.Dropdown(
            [(ANY, ANY), *((shown(name), name) for name in labels)],
            value=ANY,
            label="Label",
        )
        answer = gr.Radio(list(ANSWERS), value="all", label="The model's answer")
        split = gr.Dropdown(
            [ANY, *splits], value=ANY, label="Split", visible=bool(splits)
        )
    with gr.Row():
        lowest = gr.Slider(
            0, 100, 0, step=1, label="Probability of the answer at least, in %"
        )
        highest = gr.Slider(0, 100, 100, step=1, label="At most, in %")
        name = gr.Textbox(label="Words in the name")
    return [label, answer, split, lowest, highest, name]


def _summary(tab: RunTab, places: Sequence[int]) -> str:
    n = len(places)
    text = f"{n} of {len(tab.entries)} clips"
    judged = [tab.entries[p] for p in places if tab.entries[p].predicted]
    if judged:
        n_right = sum(entry.answer == "right" for entry in judged)
        text += f"; the run judged {len(judged)} of them, {n_right} right"
    if n > MOST_LISTED:
        text += f". The first {MOST_LISTED} are listed; search more narrowly"
    return f"{text}."


def _rows(tab: RunTab, places: Sequence[int]) -> list[list[str]]:
    return [row_of(tab.entries[place]) for place in places[:MOST_LISTED]]


def _choices(tab: RunTab, places: Sequence[int]) -> list[tuple[str, int]]:
    return [(line_of(tab.entries[place]), place) for place in places[:MOST_LISTED]]
