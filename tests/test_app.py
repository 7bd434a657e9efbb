"""app.py and gate.py: the page answers its own visitors, and nothing else leaves.

No browser here; see test_app_browser.py.
"""

import http.client
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import answering
import pytest
from answering import ByLight
from fmrgb_tools import app as tool

from fmrgb import app_text
from fmrgb.app import running
from fmrgb.app_options import AppOptions
from fmrgb.app_run import RunTab, Wishes
from fmrgb.app_try import GONE, Tried, TryTab
from fmrgb.errors import InputError
from fmrgb.gallery import Entry
from fmrgb.scratch import Scratch, scratch

MAX_MB = 0.4
BOUNDARY = "edge"


@contextmanager
def page(model: Path, **options: Any) -> Iterator[SimpleNamespace]:
    """Serve a page at a free port; give its address and its temporary folder."""
    with running(AppOptions(model=model, port=0, **options)) as address:
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        yield SimpleNamespace(address=address, folder=folder)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Serve the page of a run whose report holds a secret mark."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "report.html").write_text("<h1>the report</h1>")
    (folder / "secret.txt").write_text("secret")
    with page(answering.checkpoint(folder), max_mb=MAX_MB, max_seconds=30.0) as one:
        one.run = folder
        yield one


def ask(
    served: SimpleNamespace,
    path: str,
    body: Any = None,
    *,
    method: str = "",
    **heads: str,
) -> SimpleNamespace:
    """Send a request as it stands, without tidying the path; return what came."""
    place = urlsplit(served.address)
    line = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    method = method or ("GET" if body is None else "POST")
    named = {name.replace("_", "-"): value for name, value in heads.items()}
    line.request(method, path, body=body, headers=named)
    answer = line.getresponse()
    told = SimpleNamespace(status=answer.status, heads=answer.headers)
    told.text = answer.read().decode(errors="replace")
    line.close()
    return told


def upload(served: SimpleNamespace, name: str, content: bytes) -> SimpleNamespace:
    """Send a file as the page does."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; '
        f'filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    body = head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return ask(served, "/gradio_api/upload", body, content_type=kind)


def test_the_page_is_bound_to_loopback_by_default(served):
    place = urlsplit(served.address)
    assert place.hostname == "127.0.0.1"
    with socket.socket() as line:
        line.settimeout(2)
        # What listens at every address of a machine answers here too, on Linux.
        assert line.connect_ex(("127.0.0.2", place.port or 0)) != 0


def test_the_page_answers_and_forbids_whatever_comes_from_elsewhere(served):
    told = ask(served, "/")
    assert told.status == 200
    assert "default-src 'self'" in told.heads["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../../../../../etc/passwd",
        "/gradio_api/file=..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/gradio_api/file=%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/gradio_api/file={folder}/../../etc/passwd",
        "/gradio_api/file={folder}/..%2f..%2fetc/passwd",
        "/gradio_api/file={folder}/link",
        "/gradio_api/file={folder}",
        "/gradio_api/file={run}/secret.txt",
        "/gradio_api/file={run}/best.ckpt",
        "/gradio_api/file={run}/report.html",
        "/gradio_api/file=pyproject.toml",
        "/gradio_api/file=a%00b",
        "/gradio_api/file=http://127.0.0.1:1/a",
        "/gradio_api/proxy=http://127.0.0.1:1/a",
        "/gradio_api/file/etc/passwd",
        "/file=/etc/passwd",
        "/static/../../../../../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/pyproject.toml",
        "/assets/..%2f..%2f..%2fpackage.json",
        "/report/../secret.txt",
        "/gradio_api/stream/a/b/c/playlist-file",
        "/monitoring",
        "/docs",
        "/openapi.json",
    ],
)
def test_no_path_leads_out(served, path):
    link = served.folder / "link"
    if not link.is_symlink():
        link.symlink_to(served.run / "secret.txt")
    told = ask(served, path.format(folder=served.folder, run=served.run))
    assert told.status in (403, 404)
    assert "secret" not in told.text
    assert "root:" not in told.text


def test_what_was_uploaded_can_be_fetched(served, talkie):
    told = upload(served, "../../talkie.mp4", talkie.read_bytes())
    assert told.status == 200
    (path,) = json.loads(told.text)
    assert Path(path).is_relative_to(served.folder)
    assert ask(served, f"/gradio_api/file={path}").status == 200


def test_a_file_that_is_too_large_is_refused(served):
    told = upload(served, "a.mp4", bytes(round(MAX_MB * 1e6) + 1))
    assert told.status == 413
    told = upload(served, "a.mp4", bytes(round(2 * MAX_MB * 1e6)))
    assert (told.status, told.text) == (413, "The file is too large.")
    assert not list(served.folder.rglob("a.mp4"))


def test_an_endless_upload_is_cut_off(served):
    place = urlsplit(served.address)
    sent, chunk = 0, b"10000\r\n" + bytes(65536) + b"\r\n"
    with socket.create_connection((place.hostname, place.port), timeout=30) as line:
        line.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Type: multipart/form-data; boundary=edge\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        head = b'--edge\r\nContent-Disposition: form-data; name="files"; '
        head += b'filename="endless.mp4"\r\n\r\n'
        line.sendall(f"{len(head):x}\r\n".encode() + head + b"\r\n")
        try:
            while sent < 300:
                line.sendall(chunk)
                sent += 1
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent < 300, "all of it was taken"
    kept = [path.lstat().st_size for path in served.folder.rglob("*")]
    assert sum(kept) < 4 * MAX_MB * 1e6
    assert ask(served, "/").status == 200


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "{run}/best.ckpt", "{folder}/../x", "http://127.0.0.1:1/a"]
)
def test_a_request_that_names_a_file_of_the_machine_is_refused(served, path):
    named = {"path": path.format(**vars(served)), "meta": {"_type": "gradio.FileData"}}
    body = json.dumps({"data": [[named]], "fn_index": 0, "session_hash": "a"})
    told = ask(served, "/gradio_api/queue/join", body, content_type="application/json")
    assert (told.status, told.text) == (403, "There is no such file.")


def test_another_site_is_refused(served):
    told = ask(served, "/", Host="evil.example")
    assert (told.status, told.text) == (403, "This page is not known by that name.")
    told = ask(served, "/gradio_api/upload", b"", Origin="http://evil.example")
    assert (told.status, told.text) == (403, "Another site may not use this page.")


def test_the_report_is_served_and_may_run_nothing(served):
    told = ask(served, "/report")
    assert (told.status, told.text) == (200, "<h1>the report</h1>")
    assert "sandbox" in told.heads["content-security-policy"]
    assert "default-src 'none'" in told.heads["content-security-policy"]


def test_a_port_that_is_taken_is_told_in_a_sentence(served, tmp_path):
    port = urlsplit(served.address).port
    options = AppOptions(model=served.run / "best.ckpt", port=port)
    taken = pytest.raises(InputError, match=r"cannot listen at 127\.0\.0\.1, port \d+")
    with taken, running(options):
        pass


def tab(kept: Scratch, **changes: Any) -> TryTab:
    """Return the tab on which clips are tried, with a network that sees light."""
    known = {"opened": ByLight(), "model": Path("best.ckpt"), "scratch": kept}
    return TryTab(**{**known, "max_mb": MAX_MB, "max_seconds": 30.0, **changes})


def test_a_file_that_was_not_uploaded_is_not_read(talkie):
    with scratch(1 << 20) as kept:
        for work in (tab(kept).ask, lambda path: tab(kept).planes(Tried(path))):
            with pytest.raises(InputError, match=GONE):
                work(talkie)


def test_an_uploaded_clip_gets_its_planes_and_no_path_is_told(talkie):
    with scratch(1 << 20) as kept:
        own = kept.new() / "a.mp4"
        own.write_bytes(talkie.read_bytes())
        told = tab(kept).ask(own)
        assert set(told.probabilities) == {"bright", "dark"}
        drawn = tab(kept).planes(Tried(own))
        assert drawn.count("data:image/png;base64,") == 1
        assert str(kept.folder) not in drawn


def test_a_fault_names_the_file_without_its_folder(tmp_path):
    path = tmp_path / "a.mp4"
    error = InputError(f"{path} is\nodd")
    assert app_text.sentence(error, path) == "a.mp4 is odd"


def test_an_unforeseen_fault_is_a_sentence_too(caplog):
    said = app_text.sentence(ZeroDivisionError("x / 0"))
    assert said.startswith("Something went wrong that nobody foresaw (ZeroDivision")
    assert "x / 0" not in said
    assert "x / 0" in caplog.text


@pytest.mark.parametrize(
    "text", ["<script>", "${1+1}", "{{value}}", "`a`", '" onload="', "a\u202eb\x1b[1m"]
)
def test_text_from_data_cannot_become_markup(text):
    written = app_text.said(text) + app_text.boxed(b"", text)
    for mark in ("<script", "${", "{{", "`", '" onload', "\u202e", "\x1b"):
        assert mark not in written


ENTRIES = [
    Entry(Path("a/x.pt"), "cat", "test", "dog", 0.9),
    Entry(Path("a/y.pt"), "dog", "test", "dog", 0.6),
    Entry(Path("a/z.pt"), "dog", "train"),
]


@pytest.mark.parametrize(
    ("wishes", "found"),
    [
        (Wishes(), [0, 1, 2]),
        (Wishes(label="dog"), [1, 2]),
        (Wishes(answer="wrong"), [0]),
        (Wishes(split="train"), [2]),
        (Wishes(lowest=70), [0]),
        (Wishes(highest=60), [1]),
        (Wishes(name="z"), [2]),
    ],
)
def test_the_second_tab_searches_in_percent(wishes, found):
    assert (
        RunTab(opened=ByLight(), entries=ENTRIES, report=None).search(wishes) == found
    )


def test_a_search_for_nothing_possible_says_so():
    empty = RunTab(opened=ByLight(), entries=ENTRIES, report=None)
    with pytest.raises(InputError, match="at least 80 % and at most 20 %"):
        empty.search(Wishes(lowest=80, highest=20))


def test_a_sample_that_is_gone_is_told_in_a_sentence(tmp_path):
    entries = [Entry(tmp_path / "a" / "gone.pt", "cat")]
    told = RunTab(opened=ByLight(), entries=entries, report=None).show(0)
    assert 'role="alert"' in told
    assert "no such sample: gone.pt" in told


@pytest.fixture
def _sigterm() -> Iterator[None]:
    """Take back the tool's answer to SIGTERM."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_sigterm")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ctrl_c_and_sigterm_end_the_page_and_remove_its_files(
    number, monkeypatch, tmp_path
):
    model = answering.checkpoint(tmp_path)
    home = tmp_path / "tmp"
    home.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(home))
    told: list[int] = []

    def stop(result: dict[str, str], lines: list[str], *, as_json: bool) -> None:
        assert [path.name[:11] for path in home.iterdir()] == ["fmrgb_page_"]
        told.append(ask(SimpleNamespace(**result), "/").status)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(tool, "show", stop)
    assert tool.main(["--model", str(model), "--port", "0"]) == 0
    assert told == [200]
    assert not list(home.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "70000"], "--port must be at most 65535"),
        (["--max_mb", "0"], "--max_mb must be above 0"),
        (["--max_seconds", "nan"], "--max_seconds must be above 0"),
    ],
)
def test_wrong_options_are_told(capsys, words, said):
    with pytest.raises(SystemExit) as end:
        tool.main(["--model", "a.ckpt", *words])
    assert end.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("_sigterm")
def test_without_gradio_one_sentence_says_what_to_install(
    capsys, monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, "gradio", None)
    model = answering.checkpoint(tmp_path)
    assert tool.main(["--model", str(model), "--port", "0"]) == 1
    told = capsys.readouterr().err
    assert "pip install 'fmrgb[app]'" in told
    assert told.count("\n") == 1
