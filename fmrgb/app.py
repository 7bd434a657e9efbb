"""From a checkpoint and its run to a page in the browser."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

from fmrgb.app_options import AppOptions
from fmrgb.app_run import REPORT_PATH, RunTab, build_run
from fmrgb.app_text import STYLE, heading
from fmrgb.app_try import TryTab, build_try
from fmrgb.errors import InputError, ProgramMissingError
from fmrgb.files import shown
from fmrgb.gallery import REPORT, read_gallery, run_of
from fmrgb.gate import LOOPBACK_NAMES, Gate
from fmrgb.opened import open_model
from fmrgb.scratch import Scratch, scratch

KEPT = 4  # of the largest files that fit into the temporary folder
START_S, STOP_S = 60.0, 10.0  # s that the server may take to begin and to end
MEGABYTE = 1_000_000
MOST_WAITING = 64  # requests in the queue
MOST_AT_ONCE = 200  # connections; a browser holds about four
MOST_NAMED = 12  # classes in the heading
RULES = {
    # The report is one file: it needs nothing else and runs nothing.
    "content-security-policy": (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox; "
        "frame-ancestors 'self'"
    ),
}


@contextmanager
def running(options: AppOptions) -> Iterator[str]:
    """Serve the page; give its address; end it and remove its temporary files.

    Raises:
        ProgramMissingError: if gradio is not installed.
        TrainingError: if the model cannot be used.
        ManifestError: if a CSV of the run, or the manifest, is not sound.
        InputError: if there is no such run, or the port is taken.
    """
    # It would ask the network for its newest version, and tell of each start.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import gradio
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise ProgramMissingError(
            "app needs the package gradio; install it with: pip install 'fmrgb[app]'"
        ) from None
    if options.run is not None and not options.run.is_dir():
        raise InputError(f"no such run folder: {shown(options.run)}")
    opened = open_model(options.model)
    run = run_of(options.model, options.run)
    entries = read_gallery(options.data, run, outside=options.outside)
    max_bytes = round(options.max_mb * MEGABYTE)
    with (
        scratch(KEPT * max_bytes) as kept,
        _gradio_keeps_in(kept),
        _bound(options.host, options.port) as door,
    ):
        first = TryTab(
            opened=opened,
            model=options.model,
            scratch=kept,
            max_mb=options.max_mb,
            max_seconds=options.max_seconds,
        )
        report = run / REPORT if run and (run / REPORT).is_file() else None
        second = RunTab(opened=opened, entries=entries, report=report)
        # Gradio, while it is set up, opens an event loop if there is none, for good.
        app = asyncio.run(_mounted(gradio, first, second, max_bytes))
        guarded = Gate(app, kept, max_bytes, _names(options.host))
        with _answering(guarded, door):
            yield _address(options.host, door)


@contextmanager
def _gradio_keeps_in(kept: Scratch) -> Iterator[None]:
    """Let Gradio put what is uploaded and shown into the temporary folder."""
    names = ("GRADIO_TEMP_DIR", "GRADIO_EXAMPLES_CACHE")
    before = {name: os.environ.get(name) for name in names}
    for name in names:
        os.environ[name] = str(kept.folder)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(kind) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((host, port))
            door.listen()
        except OSError as error:
            raise InputError(
                f"cannot listen at {shown(host)}, port {port}: {error.strerror}; give "
                "another --port, or 0 for a free one, or another --host"
            ) from error
        yield door


def _address(host: str, door: socket.socket) -> str:
    port = door.getsockname()[1]
    named = f"[{host}]" if ":" in host else host
    return f"http://{named}:{port}"


def _names(host: str) -> tuple[str, ...]:
    """Return the names by which a page that only this machine reaches is called."""
    try:
        is_here = ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    named = f"[{host}]" if ":" in host else host
    return (*LOOPBACK_NAMES, named.lower()) if is_here else ()


def _laid_out(gradio: Any, first: TryTab, second: RunTab) -> Any:
    """Return the page's parts, and what happens when."""
    card, model = first.opened.card, first.model.resolve()
    more = ", ..." if len(card.classes) > MOST_NAMED else ""
    words = (
        f"Model {model.parent.name}/{model.name} ({card.model} {card.model_size}). It "
        f"judges by {', '.join(card.view.channels)} and answers "
        f"{', '.join(card.classes[:MOST_NAMED])}{more}. What you drop here stays on "
        "the machine that runs this page, and is deleted when the page is closed."
    )
    with gradio.Blocks(title="fmrgb", analytics_enabled=False) as page:
        gradio.HTML(heading("fmrgb", words))
        with gradio.Tabs():
            with gradio.Tab("Try a clip"):
                build_try(gradio, first)
            with gradio.Tab("Run"):
                build_run(gradio, second)
    page.queue(max_size=MOST_WAITING, api_open=False, default_concurrency_limit=4)
    return page


async def _mounted(gradio: Any, first: TryTab, second: RunTab, max_bytes: int) -> Any:
    """Return the whole web application."""
    from fastapi import FastAPI
    from fastapi.responses import FileResponse, PlainTextResponse

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get(REPORT_PATH)
    def report() -> Any:
        if second.report is None or not second.report.is_file():
            return PlainTextResponse("The run has no report.", status_code=404)
        return FileResponse(second.report, headers=RULES, media_type="text/html")

    fonts = ["system-ui", "sans-serif"]  # those of the reader's machine
    return gradio.mount_gradio_app(
        app,
        _laid_out(gradio, first, second),
        path="/",
        allowed_paths=[],
        blocked_paths=[],
        max_file_size=max_bytes,
        show_error=False,
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=gradio.themes.Default(font=fonts, font_mono=["monospace"]),
        css=STYLE,
    )


@contextmanager
def _answering(app: Any, door: socket.socket) -> Iterator[None]:
    """Let a server answer at a socket, in a thread of its own."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="error",
        lifespan="on",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=1,
        limit_concurrency=MOST_AT_ONCE,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([door],), daemon=True)
    thread.start()
    try:
        end = time.monotonic() + START_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > end:
                raise InputError("the page could not be started; see above")
            time.sleep(0.05)
        yield
    finally:
        server.should_exit = True
        thread.join(STOP_S)
