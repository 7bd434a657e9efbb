"""What a cluster of hosts has besides them: Ray's nodes, and a store of objects."""

import os
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster_hosts import BIN, HUB, Host

RAY_PORT, STORE_PORT = 6379, 9123
RAY_MEMORY = str(100 * 2**20)  # bytes of Ray's object store; we put nothing there
UP_S = 60.0  # until a service has to answer
BUCKET = "rehearsal"
# All of a cluster, who asks it too, must know the same word.
RAY_ENV = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def ray_up(host: Host, head: Host, log: Path) -> "subprocess.Popen[bytes]":
    """Start a node of Ray on a host; the head's is the first."""
    folder = Path(tempfile.gettempdir()) / "fmrgb_ray"  # short: sockets lie in it
    words = ["--node-ip-address", host.address, "--num-cpus", "1", "--block"]
    words += ["--object-store-memory", RAY_MEMORY, "--disable-usage-stats"]
    if host is head:
        words += ["--head", "--port", str(RAY_PORT), "--include-dashboard", "false"]
        words += ["--temp-dir", str(folder)]
    else:
        words += ["--address", f"{head.address}:{RAY_PORT}"]
    return host.run(BIN / "ray", "start", *words, env=RAY_ENV, log=log)


def answers(address: str, port: int) -> bool:
    """Tell whether something listens there."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_for(address: str, port: int) -> None:
    """Wait until something listens.

    Raises:
        RuntimeError: if nothing does in time.
    """
    begun = time.monotonic()
    while not answers(address, port):
        if time.monotonic() - begun > UP_S:
            raise RuntimeError(f"nothing answers at {address}:{port}")
        time.sleep(0.2)


@contextmanager
def object_store(*, parted: bool, log: Path) -> Iterator[dict[str, str]]:
    """Run a server that speaks S3, with one empty bucket.

    It is moto's, on this machine, which the hosts see over the bridge. The `with`
    gives the environment by which programs find it.
    """
    address = HUB if parted else "127.0.0.1"
    env = {
        "AWS_ACCESS_KEY_ID": "rehearsal",
        "AWS_SECRET_ACCESS_KEY": "rehearsal",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{address}:{STORE_PORT}",
    }
    words = [str(BIN / "moto_server"), "-H", address, "-p", str(STORE_PORT)]
    with open(log, "ab") as told:
        server = subprocess.Popen(words, stdout=told, stderr=told)
    try:
        wait_for(address, STORE_PORT)
        before = {name: os.environ.get(name) for name in env}
        os.environ.update(env)
        try:
            import boto3

            boto3.client("s3").create_bucket(Bucket=BUCKET)
            yield env
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
    finally:
        server.terminate()
        server.wait()
