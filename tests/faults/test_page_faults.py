"""The web page under attack, over real HTTP: it stays up and bounded, shows no more."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import answering
import pytest
import tally
from test_app import ask, page, upload

from fmrgb import gate
from fmrgb.leftovers import HOST
from fmrgb.scratch import PREFIX, scratch, sweep_killed

# Starlette leaves the temporary file of a cut-off upload to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.alone,
]
MAX_MB = 0.4
AT_ONCE = 50
HEAD = (
    b"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: multipart/form-data; boundary=edge\r\n"
)
PART = (
    b'--edge\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
)


def n_open() -> int:
    """Count what this process, which serves the page, holds open."""
    return len(os.listdir("/proc/self/fd"))


def rss() -> int:
    """Return the memory this process holds, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Serve the page of a run that has a secret beside it."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "secret.txt").write_text("secret")
    (folder / "report.html").write_text("<h1>report</h1>")
    with page(answering.checkpoint(folder), max_mb=MAX_MB, max_seconds=5.0) as one:
        one.run = folder
        yield one


@pytest.fixture(autouse=True)
def _stays_up(served: SimpleNamespace) -> Iterator[None]:
    """Check after every attack that the page answers and keeps little."""
    yield
    assert ask(served, "/").status == 200
    kept = [path.lstat().st_size for path in served.folder.rglob("*")]
    assert sum(kept) < 5 * MAX_MB * 1e6


def connected(served: SimpleNamespace) -> socket.socket:
    """Open a connection and say nothing yet."""
    place = urlsplit(served.address)
    return socket.create_connection((place.hostname, place.port), timeout=30)


def said(line: socket.socket) -> bytes:
    """Return what comes until the other side closes or says no more for a while."""
    line.settimeout(30)
    told = b""
    try:
        while piece := line.recv(65536):
            told += piece
    except OSError:
        pass
    return told


@pytest.mark.parametrize(
    "length",
    [
        b"-1",
        b"1e9",
        b"99999999999999999999",
        b"0x10",
        b"10, 10",
        b"5\r\nContent-Length: 9",
    ],
)
def test_a_length_that_is_a_lie_is_refused(served, length):
    with tally.fault(f"Content-Length {length!r}"), connected(served) as line:
        line.sendall(HEAD + b"Content-Length: " + length + b"\r\n\r\nabc")
        line.shutdown(socket.SHUT_WR)
        told = said(line)
    assert told[:12] in (b"HTTP/1.1 413", b"HTTP/1.1 400", b"")


def test_a_length_beside_chunks_and_a_body_that_is_shorter_do_no_harm(served):
    with tally.fault("Content-Length and chunks"), connected(served) as line:
        both = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        line.sendall(HEAD + both + b"0\r\n\r\nGET /secret HTTP/1.1\r\n\r\n")
        line.shutdown(socket.SHUT_WR)
        assert b"secret" not in said(line)
    with tally.fault("a body shorter than promised"), connected(served) as line:
        line.sendall(HEAD + b"Content-Length: 3000\r\n\r\n" + PART + b"few")


def test_a_sender_that_falls_silent_is_let_go(served, monkeypatch):
    monkeypatch.setattr(gate, "QUIET_S", 0.3)
    with tally.fault("a slow upload") as noted, connected(served) as line:
        line.sendall(HEAD + b"Content-Length: 9000\r\n\r\n" + PART)
        start = tally.clock()
        told = said(line)
        noted.seconds = tally.clock() - start
        assert noted.seconds < 10
        assert told[:12] in (b"HTTP/1.1 413", b"HTTP/1.1 400", b"")


def test_one_that_drips_is_let_go_too(served, monkeypatch):
    monkeypatch.setattr(gate, "UPLOAD_S", 1.0)
    with tally.fault("an upload that drips") as noted, connected(served) as line:
        line.sendall(HEAD + b"Content-Length: 9000\r\n\r\n" + PART)
        start = tally.clock()
        try:
            while tally.clock() - start < 20:
                line.sendall(b"x")
                time.sleep(0.05)
        except OSError:
            pass
        noted.seconds = tally.clock() - start
        assert noted.seconds < 15


def test_words_that_come_too_slowly_are_let_go(served, monkeypatch):
    monkeypatch.setattr(gate, "SHORT_S", 0.3)
    with tally.fault("slow words"), connected(served) as line:
        line.sendall(
            b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Length: 900\r\n\r\n{"
        )
        assert b"HTTP/1.1 408" in said(line)


def test_fifty_uploads_at_once_are_all_answered(served):
    with tally.fault("50 uploads at once") as noted:
        start = tally.clock()
        with ThreadPoolExecutor(AT_ONCE) as crowd:
            told = list(
                crowd.map(
                    lambda n: upload(served, f"{n}.mp4", bytes(900)), range(AT_ONCE)
                )
            )
        noted.seconds = (tally.clock() - start) / AT_ONCE
        assert [one.status for one in told] == [200] * AT_ONCE
        paths = {json.loads(one.text)[0] for one in told}
        assert len(paths) == AT_ONCE
        assert all(Path(p).is_relative_to(served.folder) for p in paths)


def test_fifty_pages_and_forbidden_files_at_once_are_all_answered(served):
    ways = (
        "/",
        "/report",
        f"/gradio_api/file={served.run}/secret.txt",
        "/nothing",
        "/config",
    )
    with tally.fault("50 requests at once"):
        with ThreadPoolExecutor(AT_ONCE) as crowd:
            asked = [ways[n % len(ways)] for n in range(AT_ONCE)]
            told = list(crowd.map(lambda way: ask(served, way), asked))
        wanted = {
            "/": 200,
            "/report": 200,
            ways[2]: 403,
            "/nothing": 404,
            "/config": 200,
        }
        assert [one.status for one in told] == [wanted[way] for way in asked]
        assert not any("secret</" in one.text for one in told)


@pytest.mark.parametrize("when", ["in the head", "in the body", "before the answer"])
def test_browsers_that_are_killed_leave_nothing_open(served, when):
    sent = {
        "in the head": HEAD[:40],
        "in the body": HEAD + b"Content-Length: 9000\r\n\r\n" + PART + b"some",
        "before the answer": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    }[when]
    ask(served, "/")
    before = n_open()
    with tally.fault(f"30 browsers killed {when}"):
        for _ in range(30):
            line = connected(served)
            line.sendall(sent)
            # A reset, as the system sends when a program is killed.
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            line.close()
        end = time.monotonic() + 20
        while n_open() > before + 5 and time.monotonic() < end:
            time.sleep(0.1)
        assert n_open() <= before + 5


@pytest.mark.parametrize(
    "name",
    ["../../x.mp4", "/etc/x.mp4", "a\0b.mp4", "x" * 5000 + ".mp4", "..", "\x1b[2J.pt"],
)
def test_names_of_uploads_lead_nowhere(served, name):
    with tally.fault(f"an upload named {name[:20]!r}"):
        told = upload(served, name.replace('"', ""), b"few")
        if told.status == 200:
            (path,) = json.loads(told.text)
            assert Path(path).resolve().is_relative_to(served.folder)
        else:
            assert told.status in (400, 413, 422, 500)


@pytest.mark.parametrize(
    "method", ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "NONSENSE"]
)
def test_other_methods_do_nothing(served, method):
    with tally.fault(method):
        told = ask(served, "/report", method=method)
        assert told.status in (400, 404, 405)


def test_words_that_are_no_json_or_lie_in_each_other_are_refused(served):
    for body in (
        b"{",
        b"[" * 200_000,
        b"\xff\xfe",
        b'{"a":' * 9000 + b"1" + b"}" * 9000,
    ):
        with tally.fault(f"{len(body)} bytes of {body[:3]!r}"):
            told = ask(served, "/gradio_api/queue/join", body)
            assert told.status in (403, 413)


def test_a_page_that_was_killed_leaves_files_that_the_next_one_removes(tmp_path):
    code = (
        "import sys, time\nfrom fmrgb.scratch import scratch\n"
        "with scratch(9) as kept:\n (kept.folder / 'a').write_text('x')\n"
        " print(kept.folder, flush=True)\n time.sleep(60)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with tally.fault("SIGKILL of the page") as noted:
        with subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        ) as killed:
            assert killed.stdout is not None
            left = Path(killed.stdout.readline().strip())
            assert left.is_dir()
            killed.send_signal(signal.SIGKILL)
            killed.wait(30)
        assert left.is_dir()
        code = "from fmrgb.scratch import scratch\nwith scratch(9): pass"
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        noted.lost = 0
        assert not list(tmp_path.iterdir())


def test_folders_of_the_living_and_of_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept = [
        f"{PREFIX}{HOST}-{os.getpid()}_abc",
        f"{PREFIX}elsewhere-99999999_abc",
        f"{PREFIX}abc",
        "something",
    ]
    for name in kept:
        (tmp_path / name).mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / f"{PREFIX}{HOST}-99999999_ab").symlink_to(tmp_path / "target")
    (tmp_path / f"{PREFIX}{HOST}-99999998_ab").mkdir()
    assert sweep_killed() == 1
    assert not (tmp_path / f"{PREFIX}{HOST}-99999998_ab").exists()
    assert all((tmp_path / name).is_dir() for name in [*kept, "target"])
    with scratch(9) as one:
        assert one.folder.is_dir()


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_minutes_of_many_visitors_and_broken_connections_leave_it_as_it_was(served):
    ask(served, "/")
    before, memory = n_open(), rss()

    def visit(n: int) -> int:
        if n % 3 == 0:
            with connected(served) as line:
                line.sendall(
                    (HEAD + b"Content-Length: 9000\r\n\r\n" + PART)[: 20 + n % 300]
                )
            return 0
        return upload(served, f"{n}.mp4", bytes(n % 400_000)).status

    with tally.fault("2,000 visitors, a third of them cut off") as noted:
        with ThreadPoolExecutor(AT_ONCE) as crowd:
            told = set(crowd.map(visit, range(2000)))
        assert told <= {0, 200}
        noted.memory_mib = (rss() - memory) / 2**20
        assert noted.memory_mib < 300
        end = time.monotonic() + 30
        while n_open() > before + 10 and time.monotonic() < end:
            time.sleep(0.2)
        assert n_open() <= before + 10


def test_a_head_without_end_is_refused(served):
    with tally.fault("a head without end"), connected(served) as line:
        try:
            line.sendall(b"GET / HTTP/1.1\r\n")
            for n in range(3000):
                line.sendall(b"X-%d: " % n + b"y" * 100 + b"\r\n")
            told = said(line)
        except OSError:
            told = b""
        assert told[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 431", b"")


def test_a_client_of_the_standard_library_sees_a_whole_answer(served):
    place = urlsplit(served.address)
    line = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    for _ in range(3):  # one connection, kept
        line.request("GET", "/report")
        assert line.getresponse().read() == b"<h1>report</h1>"
    line.close()
