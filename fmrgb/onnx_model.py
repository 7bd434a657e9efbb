"""From an exported .onnx file to something that answers, where torch is not installed.

Axes: B batch, C channels, T frames, H height, W width, K classes.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrgb.card import Card
from fmrgb.errors import ProgramMissingError, TrainingError
from fmrgb.files import shown

CARD = "fmrgb"  # key of the file's metadata under which the card lies, as JSON
LEVELS, LOGITS = "levels", "logits"  # names of what goes in and what comes out
FATAL = 4  # onnxruntime's severity; what it complains of below comes as an exception


class OnnxModel:
    """A network that onnxruntime runs on the processor.

    Attributes:
        card: what the network is and what it expects.
    """

    def __init__(self, session: Any, card: Card) -> None:
        """Keep an `onnxruntime.InferenceSession` and the card that lay in its file."""
        self.card = card
        self._session = session

    def logits(self, levels_BCTHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Ask about clips.

        Args:
            levels_BCTHW: [B, C, T, H, W] levels, 0 to 255, of the card's view.

        Returns:
            [B, K] logits, temperature included.
        """
        said: NDArray[np.float32]
        (said,) = self._session.run([LOGITS], {LEVELS: levels_BCTHW})
        return said


def open_onnx(path: Path, *, threads: int = 0) -> OnnxModel:
    """Open a file that `fmrgb.export` wrote.

    Args:
        path: of the .onnx file.
        threads: how many compute side by side; 0 leaves it to onnxruntime.

    Raises:
        ProgramMissingError: if onnxruntime is not installed.
        TrainingError: if the file is damaged, or not one of this toolkit.
    """
    try:
        onnxruntime = import_module("onnxruntime")
    except ModuleNotFoundError:
        raise ProgramMissingError(
            f"{shown(path)} needs onnxruntime: pip install 'fmrgb[export]'"
        ) from None
    name = shown(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise TrainingError(f"no such model: {name}") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = threads
    try:
        # Bytes, not the name: what they hold cannot send for other files beside them.
        session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's exceptions have no parent of their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"{name} is not an .onnx file that onnxruntime can use ({reason}); export "
            "it again from its checkpoint"
        ) from error
    return OnnxModel(session, _card_of(session, name))


def _card_of(session: Any, name: str) -> Card:
    """Read the card, and hold the network against it."""
    known = session.get_modelmeta().custom_metadata_map
    if CARD not in known:
        raise TrainingError(
            f"{name} was not exported by fmrgb; give what export wrote, or the "
            "best.ckpt of a run"
        )
    try:
        card = Card.from_dict(json.loads(known[CARD]))
        promised = {LEVELS: [*card.view.shape], LOGITS: [len(card.classes)]}
        places = [*session.get_inputs(), *session.get_outputs()]
        found = {place.name: place.shape[1:] for place in places}
        if found != promised:
            raise ValueError(f"its card promises {promised}, its network has {found}")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise TrainingError(
            f"{name} does not fit this version of fmrgb: {error}"
        ) from error
    return card
