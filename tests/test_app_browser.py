"""The page in a browser: a clip goes in, the answer comes out, and it looks right.

Skipped where there is no Chromium, or no playwright to drive it.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import answering
import clips
import cv2
import numpy as np
import pytest
from test_app import page as serving

from fmrgb.build import prepare
from fmrgb.cells import write_csv
from fmrgb.manifest import Row, write_manifest
from fmrgb.media import read_clip
from fmrgb.sample import save_sample

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
ODD = "${1+1}<b>{{value}}"  # a file's name that would be markup

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason=f"no browser on the PATH, looked for {', '.join(NAMES)}"
)


def run_folder(folder: Path) -> Path:
    """Write a run of two judged clips, one right; return its checkpoint."""
    model = answering.checkpoint(folder)
    rows, records = [], []
    lights = {"dark": answering.DARK, "bright": answering.BRIGHT}
    for label, light in lights.items():
        clip = clips.make(
            folder / f"{label}.mp4",
            answering.lights((light, 1.2)),
            clips.tone(500, 1.2),
        )
        path = folder / label / f"{ODD}{label}.pt"
        path.parent.mkdir()
        source = {"name": clip.name}
        sample = prepare(read_clip(clip), answering.RECIPE, label=label, source=source)
        save_sample(path, sample)
        rows.append(Row(path=path, label=label, split="test"))
        told = {"path": str(path), "label": label, "predicted": "dark"}
        records.append({**told, "p_bright": 0.25, "p_dark": 0.75})
    write_manifest(folder / "split.csv", rows)
    columns = ("path", "label", "predicted", "p_bright", "p_dark")
    write_csv(folder / "predictions.csv", columns, records)
    (folder / "report.html").write_text("<h1>report of the run</h1>")
    return model


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Open the page in a browser; keep what it asked for elsewhere or complained of."""
    model = run_folder(tmp_path_factory.mktemp("run"))
    with serving(model, max_seconds=20.0) as served, playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        one = browser.new_page(viewport={"width": 1200, "height": 900})
        one.set_default_timeout(60_000)
        one.asked_elsewhere, one.faults = [], []
        one.on("request", lambda request: elsewhere(request.url, served, one))
        one.on("pageerror", lambda error: one.faults.append(str(error)))
        one.goto(served.address)
        yield one
        browser.close()


def elsewhere(url: str, served: SimpleNamespace, one: Any) -> None:
    """Note a request that leaves the page's own server."""
    if not url.startswith((served.address, "data:", "blob:")):
        one.asked_elsewhere.append(url)


def drop(sheet: Any, path: Path, expected: str) -> str:
    """Give the page a file; return what it says when it says what is expected."""
    if sheet.get_by_role("button", name="Clear").is_visible():
        sheet.get_by_role("button", name="Clear").click()
        sheet.get_by_text("Drop a clip to see").wait_for()
    sheet.locator("input[type=file]").first.set_input_files(path)
    told = sheet.get_by_text(expected)
    told.first.wait_for()
    return str(told.first.inner_text())


def test_a_dropped_clip_is_answered(sheet, talkie, tmp_path):
    told = drop(sheet, talkie, "talkie.mp4 (1.")
    assert told.split(": ")[1].split(",")[0] in ("bright", "dark")
    planes = sheet.get_by_alt_text("planes of talkie.mp4 over time")
    planes.wait_for()
    assert planes.evaluate("image => image.naturalWidth") == 1600
    # Layout may still move and the picture still be decoded when it is there.
    planes.evaluate("image => image.decode()")
    planes.scroll_into_view_if_needed()
    planes.screenshot(path=tmp_path / "planes.png")
    picture = cv2.imread(str(tmp_path / "planes.png"))
    # The first of the clip's colours, as the sheet shows it.
    red = np.abs(picture[..., ::-1].astype(int) - clips.COLOURS[0]).max(axis=-1) < 20
    assert red.sum() > 500, "the clip's frames are not on the page"
    sheet.screenshot(path=tmp_path / "page.png", full_page=True)
    assert cv2.imread(str(tmp_path / "page.png")).shape[1] == 1200


def test_the_csv_can_be_downloaded(sheet, talkie):
    drop(sheet, talkie, "talkie.mp4 (1.")
    with sheet.expect_download() as waiting:
        sheet.locator("a[download='predictions.csv']").first.click()
    text = Path(waiting.value.path()).read_text()
    assert text.startswith("path,predicted,p_bright,p_dark")
    assert "\ntalkie.mp4," in text


def test_the_answer_is_explained_on_demand(sheet, talkie):
    pytest.importorskip("captum", reason="needs the extra: explain")
    drop(sheet, talkie, "talkie.mp4 (1.")
    button = sheet.get_by_role("button", name="Explain")
    button.focus()
    sheet.keyboard.press("Enter")
    picture = sheet.get_by_alt_text("what the answer about talkie.mp4 rests on")
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") == 1600


def test_a_long_file_gets_a_timeline(sheet, tmp_path):
    drop(sheet, answering.dusk(tmp_path / "dusk.mp4"), "dusk.mp4 lasts 8")
    timeline = sheet.get_by_alt_text("timeline")
    timeline.wait_for()
    assert timeline.evaluate("image => image.naturalWidth") == 1400
    assert sheet.get_by_text("highest probability").first.is_visible()


def test_a_wrong_file_gets_a_sentence(sheet, tmp_path):
    (tmp_path / "fake.mp4").write_text("no clip")
    told = drop(sheet, tmp_path / "fake.mp4", "fake.mp4 is not a video")
    assert "Traceback" not in told
    assert str(tmp_path) not in told
    long = tmp_path / "long.mp4"
    clips.make(long, answering.lights((answering.DARK, 21)), clips.tone(300, 21))
    assert "up to 20 s; cut it" in drop(sheet, long, "long.mp4 lasts 21")


def test_the_run_s_clips_are_searched_and_shown_by_keyboard(sheet):
    sheet.get_by_role("tab", name="Run").click()
    sheet.get_by_text("2 of 2 clips; the run judged 2 of them, 1 right").wait_for()
    sheet.get_by_label("wrong", exact=True).check()
    sheet.get_by_text("1 of 2 clips; the run judged 1 of them, 0 right").wait_for()
    chooser = sheet.get_by_label("Clip to show")
    chooser.focus()
    sheet.keyboard.press("ArrowDown")
    sheet.keyboard.press("Enter")
    picture = sheet.get_by_alt_text(f"planes of {ODD}bright.pt")
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") == 1600
    told = f"bright/{ODD}bright.pt: label bright; the model said dark, 75.0% (wrong)"
    assert sheet.locator(".said").get_by_text(told, exact=True).is_visible()


def test_the_report_is_shown_offline(sheet):
    sheet.get_by_role("tab", name="Run").click()
    sheet.get_by_role("tab", name="Report").click()
    frame = sheet.frame_locator("iframe[title='report of the run']")
    frame.get_by_text("report of the run").wait_for()


def test_the_page_fits_a_phone(sheet):
    sheet.set_viewport_size({"width": 400, "height": 800})
    try:
        for tab in ("Try a clip", "Run"):
            sheet.get_by_role("tab", name=tab).click()
            sheet.wait_for_timeout(300)
            wide = sheet.evaluate("document.documentElement.scrollWidth")
            assert wide <= 400, f"the tab {tab} is {wide} pixels wide"
    finally:
        sheet.set_viewport_size({"width": 1200, "height": 900})


def test_nothing_was_asked_of_other_machines(sheet):
    assert not sheet.asked_elsewhere
    assert not sheet.faults
