"""From a request to whether the page answers it.

Gradio serves more than this page needs: files by their paths, addresses it fetches for
whoever asks, routes for developers. Here only what the page needs passes, only from
pages of its own, and only so many bytes. Written for ASGI, the way in which Python's
web servers and applications talk.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fmrgb.scratch import Scratch

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

API = "/gradio_api/"
FILE, UPLOAD = API + "file=", API + "upload"
PAGES = re.compile(
    r"/|/report|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt"
    r"|/(assets|static|svelte)/[\w./ -]+"
    r"|/gradio_api/(info|app_id|theme\.css|startup-events|upload|upload_progress|cancel"
    r"|reset|queue/(join|data)|heartbeat/\w+)/?"
)
JSON_BYTES = 1 << 20  # what is said beside uploads is short
FORM_BYTES = 1 << 18  # more, so that Gradio, which tidies up, refuses a file first
UPLOADS = 2  # at once; others wait
UPLOAD_S = 900.0  # s that an upload may take
QUIET_S = 20.0  # s that may pass without a byte of what is being sent
DRAINED, DRAIN_S = 4 << 20, 2.0  # bytes and s, of what is refused
SHORT_S = 60.0  # s that all that is said beside uploads may take
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    # Nothing is fetched from elsewhere, and no other site may frame the page.
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
        "object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class Gate:
    """Lets through what the page needs, and refuses the rest with a sentence."""

    def __init__(
        self, app: App, scratch: Scratch, max_bytes: int, hosts: tuple[str, ...] = ()
    ) -> None:
        """Guard an application.

        Args:
            app: what answers.
            scratch: the only folder of which files are served.
            max_bytes: of an uploaded file.
            hosts: names by which the page may be called; none allows all. A foreign
                site whose name is made to lead here is refused by that.
        """
        self._app = app
        self._scratch = scratch
        self._max_bytes = max_bytes
        self._hosts = hosts
        self._turns = asyncio.Semaphore(UPLOADS)

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no page of ours opens another kind
            return
        if refused := self._refused(scope):
            await _drain(receive)
            await _say(send, *refused)
            return
        answer = _with_headers(send)
        if scope["path"].rstrip("/") != UPLOAD:
            await self._with_short_body(scope, receive, answer)
            return
        async with self._turns:
            self._scratch.sweep(UPLOADS * self._max_bytes)
            await self._uploaded(scope, receive, answer)

    def _refused(self, scope: MutableMapping[str, Any]) -> tuple[int, str] | None:
        """Return status and sentence if a request is not let through."""
        heads = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        host = heads.get("host", "")
        if self._hosts and _name(host) not in self._hosts:
            return 403, "This page is not known by that name."
        origin = heads.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "Another site may not use this page."
        path = scope["path"]
        if path.startswith(FILE):
            if not self._is_own(path[len(FILE) :]):
                return 403, "There is no such file."
        elif not PAGES.fullmatch(path) or ".." in unquote(path):
            return 404, "There is no such page."
        length = heads.get("content-length", "0")
        if not re.fullmatch("[0-9]{1,18}", length) or int(length) > self._most(path):
            return 413, "The file is too large."
        return None

    def _most(self, path: str) -> int:
        is_upload = path.rstrip("/") == UPLOAD
        return self._max_bytes + FORM_BYTES if is_upload else JSON_BYTES

    async def _with_short_body(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        """Read what is said whole, before Gradio sees which files it names."""
        body = b""
        if scope["method"] == "POST":
            try:
                whole = await asyncio.wait_for(_short_body(receive), SHORT_S)
            except asyncio.TimeoutError:
                await _say(send, 408, "That came too slowly.")
                return
            if whole is None:
                return
            if len(whole) > JSON_BYTES:
                await _say(send, 413, "That is too much.")
                return
            body = whole
        if body and not self._names_own_files(body):
            await _say(send, 403, "There is no such file.")
            return
        told = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return told.pop() if told and scope["method"] == "POST" else await receive()

        await self._app(scope, again, send)

    def _names_own_files(self, body: bytes) -> bool:
        """Tell whether all files that a request names were uploaded."""
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            return False
        waiting = [said]
        while waiting:
            one = waiting.pop()
            if isinstance(one, dict):
                path = one.get("path")
                if isinstance(path, str) and not self._is_own(path):
                    return False
                waiting.extend(one.values())
            elif isinstance(one, list):
                waiting.extend(one)
        return True

    def _is_own(self, path: str) -> bool:
        try:
            return self._scratch.holds(Path(path))
        except (OSError, ValueError):  # too long for a name, or a zero in it
            return False

    async def _uploaded(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        """Pass an upload on, and cut it off where it is too large or too slow."""
        held, most, over, begun = 0, self._most(scope["path"]), False, False

        async def counted() -> Message:
            nonlocal held, over
            try:
                message = await asyncio.wait_for(receive(), QUIET_S)
            except asyncio.TimeoutError:
                over = True
                return {"type": "http.disconnect"}
            held += len(message.get("body", b""))
            if held > most:
                over = True
                return {"type": "http.disconnect"}
            return message

        async def unless_over(message: Message) -> None:
            nonlocal begun
            if not over:
                if not begun and message.get("status", 200) >= 400:
                    await _drain(receive)
                begun = True
                await send(message)

        try:
            await asyncio.wait_for(
                self._app(scope, counted, unless_over), timeout=UPLOAD_S
            )
        except asyncio.TimeoutError:
            over = True
        except Exception:
            if not over:
                raise
        if over and not begun:
            await _drain(receive)
            await _say(send, 413, "The file is too large, or came too slowly.")


async def _drain(receive: Receive) -> None:
    """Read a little of what is still being sent, so that its sender hears the answer.

    A connection that is closed on unread bytes is reset, and the answer with it.
    """

    async def read() -> None:
        held = 0
        while held < DRAINED:
            message = await receive()
            held += len(message.get("body", b""))
            if not message.get("more_body"):
                return

    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(read(), DRAIN_S)


async def _short_body(receive: Receive) -> bytes | None:
    """Read what is sent, to little more than is allowed; None if the sender is gone."""
    body = bytearray()
    while len(body) <= JSON_BYTES:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return bytes(body)


def _name(host: str) -> str:
    """Return the name in a Host header, without the port."""
    return re.sub(r":\d*$", "", host).lower()


def _with_headers(send: Send) -> Send:
    """Add `HEADERS` to an answer that has none of these names."""

    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            have = {name.lower() for name, _ in message.get("headers", [])}
            more = [
                (name.encode(), value.encode())
                for name, value in HEADERS.items()
                if name.encode() not in have
            ]
            if message["status"] >= 400:
                # What is still being sent, which may be without end, is not read.
                more.append((b"connection", b"close"))
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await send(message)

    return add


async def _say(send: Send, status: int, sentence: str) -> None:
    body = sentence.encode()
    heads = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # as in `_with_headers`
    ]
    await send({"type": "http.response.start", "status": status, "headers": heads})
    await send({"type": "http.response.body", "body": body})
