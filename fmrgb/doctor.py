"""From this machine to what a report of a fault should say about it."""

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import av
import torch

from fmrgb import demo
from fmrgb.build import Recipe, build
from fmrgb.errors import FmrgbError, InputError
from fmrgb.ffmpeg_program import answer, find_program
from fmrgb.files import shown
from fmrgb.memory import in_bytes
from fmrgb.preflight import survey
from fmrgb.sample import load_sample

PACKAGES = (
    "fmrgb", "torch", "lightning", "av", "opencv-python", "librosa", "numpy", "scipy",
    "scikit-learn", "optuna", "matplotlib", "gradio", "onnx", "onnxruntime", "captum",
)  # fmt: skip
CODECS = ("h264", "hevc", "av1", "vp9", "mpeg4", "aac", "mp3", "opus", "flac")
FEATURES = ("sse4_2", "avx", "avx2", "avx512f", "amx_bf16", "neon", "asimd")
WRITTEN = 64 * 2**20  # bytes that are written to measure speed
PIECE = 2**20  # bytes at once
MISSING = "not installed"

Section = dict[str, str]


def examine(target: Path) -> dict[str, Section]:
    """Look at programs, machine, disk and a clip that goes through the toolkit.

    Args:
        target: folder whose disk is measured.

    Returns:
        what was found, in words, by section and name; a word "fault" begins what is
        wrong.
    """
    sections: dict[str, Callable[[], Section]] = {
        "versions": _versions,
        "codecs": _codecs,
        "machine": _machine,
        "disk": lambda: _disk(target),
        "one clip": _one_clip,
    }
    return {name: look() for name, look in sections.items()}


def is_well(found: dict[str, Section]) -> bool:
    """Tell whether no fault was found."""
    return not any(
        words.startswith("fault") for one in found.values() for words in one.values()
    )


def lines(found: dict[str, Section]) -> list[str]:
    """Write what was found for people, and for a report of a fault."""
    told = []
    for section, words in found.items():
        told.append(section)
        width = max(map(len, words), default=0)
        told += [f"  {name.ljust(width)}  {text}" for name, text in words.items()]
    told.append(
        "well" if is_well(found) else "something is wrong; see the lines with fault"
    )
    told.append(
        "in a report of a fault paste all of this, the command, and what it said with "
        "--debug"
    )
    return told


def _versions() -> Section:
    found = {"Python": platform.python_version(), "system": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = MISSING
    return found


def _codecs() -> Section:
    try:
        path = find_program().path
        said = answer(path, "-hide_banner", "-version")
        found = {"ffmpeg": f"{said.partition(' Copyright')[0]} at {shown(path)}"}
    except (FmrgbError, OSError) as error:
        found = {"ffmpeg": f"fault: {error}"}
    parts = (f"{k} {'.'.join(map(str, v))}" for k, v in av.library_versions.items())
    found["in av"] = ", ".join(parts)
    read = [name for name in CODECS if name in av.codecs_available]
    lacking = [name for name in CODECS if name not in av.codecs_available]
    found["read"] = ", ".join(read)
    if lacking:
        found["not read"] = ", ".join(lacking)
    return found


def _machine() -> Section:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found = {
        "processor": f"{platform.machine()}, {cores or os.cpu_count()} cores",
        "features": ", ".join(_features()) or "not known",
        "torch uses": torch.backends.cpu.get_cpu_capability(),
        "memory": in_bytes(pages),
    }
    if not torch.cuda.is_available():
        return {**found, "graphics card": "none that torch can use"}
    for number in range(torch.cuda.device_count()):
        known = torch.cuda.get_device_properties(number)
        found[f"graphics card {number}"] = (
            f"{known.name}, {in_bytes(known.total_memory)}, compute {known.major}."
            f"{known.minor}, CUDA {torch.version.cuda}"
        )
    return found


def _features() -> list[str]:
    """Return those features of the processor that make a difference here."""
    try:
        words = set(Path("/proc/cpuinfo").read_text(errors="replace").split())
    except OSError:  # no such file on this system
        return []
    return [name for name in FEATURES if name in words]


def _disk(target: Path) -> Section:
    """Measure how fast a folder's disk takes what is written, with `fsync`."""
    if not target.is_dir():
        raise InputError(f"no such folder: {shown(target)}")
    found = {"folder": shown(target.resolve())}
    try:
        free = shutil.disk_usage(target).free
        found["free"] = in_bytes(free)
        if free < 4 * WRITTEN:
            return {**found, "speed": "not measured: too little room"}
        piece = os.urandom(PIECE)  # a disk may squeeze zeros
        start = time.perf_counter()
        with tempfile.TemporaryFile(dir=target) as file:
            for _ in range(WRITTEN // PIECE):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        speed = WRITTEN / (time.perf_counter() - start) / 1e6
        found["speed"] = f"{speed:.0f} MB/s written and synced"
    except OSError as error:
        found["speed"] = f"fault: cannot be written to: {error.strerror}"
    return found


def _one_clip() -> Section:
    """Draw a clip, make its sample and read it again."""
    start = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="fmrgb_doctor_") as folder:
            shape = _walked(Path(folder))
    except Exception as error:  # whatever is wrong here is what the doctor is for
        return {"result": f"fault: {type(error).__name__}: {shown(str(error))}"}
    seconds = time.perf_counter() - start
    return {"result": f"drawn, sampled and read as {list(shape)} in {seconds:.2f} s"}


def _walked(folder: Path) -> tuple[Any, ...]:
    scene = demo.scenes(folder, 1, 0)[0]
    scene.path.parent.mkdir(parents=True)
    demo.draw_clip(scene)
    built = build(survey(scene.path.parent), Recipe(), folder=folder / "s", workers=1)
    sample = load_sample(built.rows[0].path)
    if sample.clip.shape != sample.shape or sample.silent:
        raise InputError(f"the sample is not what was drawn: {list(sample.shape)}")
    return sample.shape
