"""A server on loopback that speaks S3, counts what it is asked, and fails on demand."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

NAME = "media"  # of the bucket
KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "notasecret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class _Quiet(MotoRequestHandler):
    def log(self, *_: Any) -> None:
        """Say nothing of requests."""


class Bucket:
    """One bucket of the server, asked directly.

    Attributes:
        asked: how many requests of which method came, since `clear`.
        keys: the same by method and path.
        fault: given a method and a path, says which status to answer in the place of
            the true answer; 0 for none.
    """

    def __init__(self) -> None:
        """Begin with nothing asked and no fault."""
        self.asked: Counter[str] = Counter()
        self.keys: Counter[tuple[str, str]] = Counter()
        self.fault: Callable[[str, str], int] = lambda method, path: 0
        self._app = DomainDispatcherApplication(create_backend_app)
        self.server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet
        )
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        self.environment = KEYS | {"AWS_ENDPOINT_URL": self.endpoint}

    def _answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        ours = self.server.server_port and "boto3" not in environ.get(
            "HTTP_X_ASKED_BY", ""
        )
        if ours:
            kind = "LIST" if "list-type=2" in environ["QUERY_STRING"] else method
            self.asked[kind] += 1
            self.keys[kind, path] += 1
            if status := self.fault(method, path):
                start(f"{status} Fault", [("Content-Length", "0")])
                return [b""]
        answer: Iterable[bytes] = self._app(environ, start)
        return answer

    def clear(self) -> None:
        """Count from nothing."""
        self.asked.clear()
        self.keys.clear()

    @property
    def client(self) -> Any:
        """A client of its own, whose requests do not count."""
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            region_name=KEYS["AWS_DEFAULT_REGION"],
        )

        def sign(request: Any, **_: Any) -> None:
            request.headers["X-Asked-By"] = "boto3"

        client.meta.events.register("before-sign.s3", sign)
        return client

    def put(self, key: str, content: bytes) -> None:
        """Put an object."""
        self.client.put_object(Bucket=NAME, Key=key, Body=content)

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """Return what all objects below a prefix hold, by the rest of their key."""
        client = self.client
        listed = client.list_objects_v2(Bucket=NAME, Prefix=prefix).get("Contents", [])
        return {
            entry["Key"].removeprefix(prefix): client.get_object(
                Bucket=NAME, Key=entry["Key"]
            )["Body"].read()
            for entry in listed
        }


@contextmanager
def served() -> Iterator[Bucket]:
    """Serve an empty bucket until the block ends."""
    bucket = Bucket()
    thread = threading.Thread(target=bucket.server.serve_forever, daemon=True)
    thread.start()
    try:
        bucket.client.create_bucket(Bucket=NAME)
        yield bucket
    finally:
        bucket.server.shutdown()
        thread.join()
        bucket.server.server_close()
