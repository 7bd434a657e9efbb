"""What is installed: every package is locked by its hash; the lock is up to date."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

HERE = Path(__file__).parent.parent
LOCK = (HERE / "requirements.lock").read_text()
APART = {"torch"}  # its builds differ: it has a version in requirements.in alone


def blocks() -> list[str]:
    """Return the lines of each package in the lock."""
    return re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^#.*\n", "", LOCK).strip())


def test_every_package_of_the_lock_has_a_version_and_a_hash():
    assert len(blocks()) > 100
    for block in blocks():
        assert re.match(r"[a-z0-9][a-z0-9._-]*==[^ ]+ ", block), block[:80]
        assert "--hash=sha256:" in block, block[:80]


def test_nothing_in_the_lock_brings_another_torch():
    names = {block.partition("==")[0] for block in blocks()}
    assert not names & {"torch", "torchvision", "triton"}
    assert not [name for name in names if name.startswith(("nvidia-", "cuda-"))]


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.13"])
def test_what_the_project_asks_for_is_in_the_lock(python):
    here = {"python_version": python, "python_full_version": f"{python}.0"}
    locked = {}
    for block in blocks():
        one = Requirement(block.partition(" \\")[0])
        if one.marker is None or one.marker.evaluate(here):
            locked[canonicalize_name(one.name)] = Version(str(one.specifier)[2:])
    toml = (HERE / "pyproject.toml").read_text()
    asked = re.findall(r'"([a-z][\w-]*>=[\d.]+)"', toml.partition("timm = [")[0])
    assert len(asked) > 15
    for words in asked:
        wanted = Requirement(words)
        if wanted.name not in (*APART, "setuptools"):
            assert locked[canonicalize_name(wanted.name)] in wanted.specifier, words


def test_the_setup_checks_hashes():
    setup = (HERE / "setup.sh").read_text()
    assert "--no-deps --require-hashes --requirement requirements.lock" in setup
