"""From a checkpoint to one file that answers without this toolkit, ONNX or torch.

The file holds the whole network, normalisation, missing senses and trust included, and
the card that says how a clip is prepared for it. What is written has been asked about
clips beforehand: its logits are the checkpoint's own, or there is no file.

Axes: B batch, C channels, T frames, H height, W width, K classes.
"""

import io
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fmrgb.card import Card, View
from fmrgb.checkpoint import Network, load_checkpoint
from fmrgb.errors import ProgramMissingError, TrainingError
from fmrgb.files import make_folder, shown, whole_file
from fmrgb.onnx_model import CARD, LEVELS, LOGITS, open_onnx
from fmrgb.train_options import EXPORT_SUFFIXES

EXTRA_FILE = f"{CARD}.json"  # where the card lies in a .pt2 file
TOLERANCE = 1e-4  # between logits of the checkpoint and of what was exported
TRACED_CLIPS = 2  # one would be taken for a batch that is always one
TRIED_CLIPS = (1, 3)  # batches that are compared
N_PASSES = 15  # of which the median is told

Ask = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # [B, C, T, H, W] to [B, K]
Program = torch.export.ExportedProgram


@dataclass(frozen=True)
class Exported:
    """What was written, and what it costs.

    Attributes:
        path: the file.
        card: what the network is; it lies in the file too.
        bytes: size of the file.
        checkpoint_bytes: size of the checkpoint it was made from.
        difference: largest between its logits and the checkpoint's, on the clips tried.
        ms: median milliseconds per clip of the file, on one thread of this processor.
        checkpoint_ms: the same of the checkpoint's network in torch.
        batch_size: clips per pass when this was measured.
    """

    path: Path
    card: Card
    bytes: int
    checkpoint_bytes: int
    difference: float
    ms: float
    checkpoint_ms: float
    batch_size: int


def export(
    model: Path, *, form: str = "onnx", output: Path | None = None, batch_size: int = 1
) -> Exported:
    """Write a checkpoint's network as a file of its own, once it is proved to agree.

    Args:
        model: checkpoint of a run.
        form: onnx or torch.
        output: the file; None puts it beside the checkpoint, under its name.
        batch_size: clips per pass when the speed is measured; the file takes any.

    Raises:
        TrainingError: if the checkpoint is not sound, the network cannot be exported,
            or what came out answers differently.
        ProgramMissingError: if the packages of the extra `export` are not installed.
        InputError: if the file cannot be written.
    """
    if form == "onnx":
        _need_extra()
    network = load_checkpoint(model)
    path = output or model.with_suffix(EXPORT_SUFFIXES[form])
    make_folder(path.parent)
    with whole_file(path) as part, _one_thread():
        program = trace(network)
        _write(program, network.card, part, form)
        opened = _open(part, network.card, form)
        difference = _difference(network, opened)
        if not difference <= TOLERANCE:
            raise TrainingError(
                f"{shown(path)} was not written: its logits would differ from those of "
                f"{shown(model)} by {difference:.2g}; use the checkpoint itself"
            )
        clips_BCTHW = try_clips(network.card, batch_size)
        ms, checkpoint_ms = _milliseconds(opened, _asking(network), clips_BCTHW)
    return Exported(
        path=path,
        card=network.card,
        bytes=path.stat().st_size,
        checkpoint_bytes=model.stat().st_size,
        difference=difference,
        ms=ms,
        checkpoint_ms=checkpoint_ms,
        batch_size=batch_size,
    )


def trace(network: Network) -> Program:
    """Write down what a network does, for batches of any size.

    Raises:
        TrainingError: if that cannot be done.
    """
    levels = torch.from_numpy(try_clips(network.card, TRACED_CLIPS))
    batch = {0: torch.export.Dim("batch", min=1)}
    try:
        with _quiet():
            program = torch.export.export(network, (levels,), dynamic_shapes=(batch,))
    except Exception as error:  # torch.export raises whatever went wrong inside
        raise _cannot(network.card, error) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names files of this machine
    return program


def try_clips(card: Card, n_clips: int, seed: int = 0) -> NDArray[np.uint8]:
    """Draw clips like those the network was trained on: uint8 [B, C, T, H, W].

    Each has levels about each plane's mean; every third lacks the sound, every third
    the picture.

    Args:
        card: what the network expects.
        n_clips: B.
        seed: of the draw.
    """
    dice = np.random.default_rng(seed)
    view = card.view
    middle, spread = (
        np.array(values).reshape(-1, 1, 1, 1) for values in (card.mean, card.std)
    )
    # A clip is not one grey noise: its planes also differ as a whole.
    whole = dice.standard_normal((n_clips, len(middle), 1, 1, 1))
    noise = dice.standard_normal((n_clips, *view.shape))
    clips_BCTHW = (middle + spread * (whole + noise)).clip(1, 255).astype(np.uint8)
    clips_BCTHW[1::3, list(view.sound_places)] = 0
    clips_BCTHW[2::3, list(view.picture_places)] = 0
    return clips_BCTHW


def _need_extra() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            import_module(name)
        except ModuleNotFoundError:
            raise ProgramMissingError(
                f"export --format onnx needs {name}: pip install 'fmrgb[export]'"
            ) from None


def _write(program: Program, card: Card, path: Path, form: str) -> None:
    said = json.dumps(card.as_dict(), ensure_ascii=False)
    if form == "torch":
        whole = io.BytesIO()  # torch would put a file's name into the bytes
        torch.export.save(program, whole, extra_files={EXTRA_FILE: said})
        path.write_bytes(whole.getbuffer())
        return
    pooling: Any = torch.ops.aten.adaptive_avg_pool3d.default
    batch = {0: torch.export.Dim("batch", min=1)}
    try:
        with _quiet():
            written = torch.onnx.export(
                program,
                input_names=[LEVELS],
                output_names=[LOGITS],
                dynamic_shapes=(batch,),
                custom_translation_table={pooling: _pooled},
                verbose=False,
            )
    except Exception as error:  # as above
        raise _cannot(card, error) from error
    assert written is not None
    written.model.metadata_props[CARD] = said
    written.model.doc_string = _described(card.view, card.classes)
    written.save(path, external_data=False)


def _described(view: View, classes: tuple[str, ...]) -> str:
    """Say what goes in and out, for those who open the file with something else."""
    sizes = ", ".join(str(n) for n in view.shape)
    return (
        f"{LEVELS}: uint8 [batch, {sizes}], levels 0 to 255 of the planes "
        f"{', '.join(view.channels)}, then frames, rows, columns; {LOGITS}: float32 "
        f"[batch, {len(classes)}], whose softmax are the probabilities of "
        f"{', '.join(classes)}; how a clip is prepared stands in the metadata under "
        f"{CARD}, as JSON"
    )


def _pooled(maps_BCTHW: Any, size: list[int]) -> Any:
    """Write torch's adaptive_avg_pool3d over columns, which ONNX lacks, as a product.

    Frames and rows stay.
    """
    from onnx import numpy_helper
    from onnxscript import opset18 as op

    *_, frames, height, width = maps_BCTHW.shape
    assert list(size[:2]) == [frames, height]
    shares = numpy_helper.from_array(shares_of_columns(width, size[2]))
    return op.MatMul(maps_BCTHW, op.Constant(value=shares))


def shares_of_columns(width: int, n_windows: int) -> NDArray[np.float32]:
    """Return how much each of W columns counts in the mean of each window: [W, N].

    Window i goes from floor(i W / N) to ceil((i + 1) W / N), as in torch's
    adaptive_avg_pool3d.
    """
    shares_WN = np.zeros((width, n_windows), np.float32)
    for i in range(n_windows):
        first, end = i * width // n_windows, -(-(i + 1) * width // n_windows)
        shares_WN[first:end, i] = 1 / (end - first)
    return shares_WN


def _open(path: Path, card: Card, form: str) -> Ask:
    """Return what asks the file, on one thread."""
    if form == "onnx":
        try:
            return open_onnx(path, threads=1).logits
        except TrainingError as error:
            raise _cannot(card, error.__cause__ or error) from error
    return _asking(torch.export.load(path).module())


def _asking(module: torch.nn.Module) -> Ask:
    def ask(levels_BCTHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = module(torch.from_numpy(levels_BCTHW)).numpy()
        return logits

    return ask


def _difference(network: Network, opened: Ask) -> float:
    """Return the largest difference of logits on clips with and without each sense."""
    own = _asking(network)
    batches = [try_clips(network.card, n, seed=n) for n in TRIED_CLIPS]
    return max(float(np.abs(opened(clips) - own(clips)).max()) for clips in batches)


def _milliseconds(
    first: Ask, second: Ask, clips_BCTHW: NDArray[np.uint8]
) -> tuple[float, float]:
    """Measure both in turn, so that what else the machine does hits them alike."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(1 + N_PASSES):  # the first also finds out how to work
        for ask, seconds in zip((first, second), taken, strict=True):
            start = time.perf_counter()
            ask(clips_BCTHW)
            seconds.append(time.perf_counter() - start)
    told = [1000 * median(seconds[1:]) / len(clips_BCTHW) for seconds in taken]
    return told[0], told[1]


@contextmanager
def _one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from telling of packages it could use and of its own changes."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _cannot(card: Card, error: BaseException) -> TrainingError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return TrainingError(f"{card.model} {card.model_size} cannot be exported: {reason}")
