"""The `.pt` contract: one clip as tensors and plain values, saved, loaded, checked.

Axes: T frames, H height, W width, C channels; h and w the sides of a mel picture.
"""

import pickle
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fmrgb.errors import ProgramMissingError, SampleError
from fmrgb.files import shown, whole_file
from fmrgb.stack import PICTURE_PLANES, stack

if TYPE_CHECKING:  # prediction by ONNX works where torch is not installed
    import torch

FORMAT = "fmrgb-sample"
VERSION = 1
DENSE_CHANNELS = {  # how the first version ordered its bare tensors
    5: ("R", "G", "B", "amplitude", "frequency"),
    3: ("gray", "amplitude", "frequency"),
}
DENSE_FPS = np.float32(30)  # the first version's frames per second
_NEEDED = (
    "visual",
    "sound",
    "channels",
    "times",
    "has_sound",
    "silent",
    "label",
    "meta",
)

Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """One clip, ready for a network.

    Attributes:
        visual: uint8 [T, H, W, 3] (R, G, B) or [T, H, W, 1] (gray).
        sound: uint8 planes by name, [T] (one value per frame) or [T, h, w] (a picture).
        channels: names of the planes, in the order of C.
        times: float32 [T], when each frame appears, in s.
        has_sound: whether the clip had a sound track.
        silent: whether there was nothing to hear (no track, or below -60 dBFS).
        label: class name.
        meta: source (name, bytes, sha256), fps, options, and what levels stand for.
    """

    visual: Levels
    sound: dict[str, Levels]
    channels: tuple[str, ...]
    times: NDArray[np.float32]
    has_sound: bool
    silent: bool
    label: str
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sizes [T, H, W, C] of the whole clip, without reading it."""
        return (*self.visual.shape[:3], len(self.channels))

    @property
    def clip(self) -> Levels:
        """The whole clip, uint8 [T, H, W, C]."""
        return stack(self.visual, self.sound, self.channels)

    def read(
        self,
        frames: Sequence[int] | NDArray[np.int64],
        channels: Sequence[str] | None = None,
    ) -> Levels:
        """Read some frames and channels only: uint8 [len(frames), H, W, C]."""
        index = np.asarray(frames, np.int64)
        sound = {name: plane[index] for name, plane in self.sound.items()}
        return stack(self.visual[index], sound, channels or self.channels)


def save_sample(path: Path, sample: Sample) -> None:
    """Write a sample, whole or not at all; the same sample gives the same bytes.

    Raises:
        SampleError: if its arrays do not fit together.
        DiskFullError: if there is no room left.
    """
    import torch

    _check(sample, "the sample to be written")
    content = {
        "format": FORMAT,
        "version": VERSION,
        "visual": _tensor(sample.visual),
        "sound": {name: _tensor(plane) for name, plane in sample.sound.items()},
        "channels": list(sample.channels),
        "times": _tensor(sample.times),
        "has_sound": sample.has_sound,
        "silent": sample.silent,
        "label": sample.label,
        "meta": sample.meta,
    }
    with whole_file(path) as part, open(part, "wb") as file:
        try:
            # Given a file, not a name: torch puts the name it is given into the bytes.
            torch.save(content, file)
        except RuntimeError as error:
            # torch hides the system's word (a full disk, say) behind its own.
            raise error.__context__ if error.__context__ else error from error


def _tensor(array: NDArray[Any]) -> "torch.Tensor":
    import torch

    # torch saves all that a view is a part of, and refuses strides below 0.
    return torch.from_numpy(np.ascontiguousarray(array))


def load_sample(path: Path) -> Sample:
    """Open a sample by memory map; pixels are read when they are asked for.

    A bare tensor [T, H, W, C] with levels 0 to 255, as the first version wrote, is read
    too: its label is its folder's name.

    Raises:
        SampleError: if the file is not whole, not a sample, or would run code.
    """
    content = _load(path)
    import torch

    if isinstance(content, torch.Tensor):
        return _from_dense(content, path)
    name = shown(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SampleError(
            f"{name} is not an fmrgb sample; make samples with create_fmrgbdata"
        )
    if content.get("version") != VERSION:
        raise SampleError(
            f"{name} has sample version {content.get('version')!r}, this program reads "
            f"{VERSION}; update fmrgb or make the sample again"
        )
    if missing := [key for key in _NEEDED if key not in content]:
        raise SampleError(f"{name} lacks {', '.join(missing)}; make it again")
    try:
        sample = Sample(
            visual=content["visual"].numpy(),
            sound={str(k): plane.numpy() for k, plane in content["sound"].items()},
            channels=tuple(map(str, content["channels"])),
            times=content["times"].numpy(),
            has_sound=bool(content["has_sound"]),
            silent=bool(content["silent"]),
            label=str(content["label"]),
            meta=dict(content["meta"]),
        )
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise SampleError(f"{name} is not a sound sample: {error}") from error
    _check(sample, name)
    return sample


def _load(path: Path) -> Any:
    torch = _torch(path)
    name = shown(path)
    if path.is_dir():
        raise SampleError(f"expected a .pt sample, got the folder {name}")
    try:
        # No memory map opens torch's legacy format, or a name that is not UTF-8.
        if zipfile.is_zipfile(path) and _is_utf8(str(path)):
            return torch.load(path, weights_only=True, mmap=True)
        with open(path, "rb") as file:
            return torch.load(file, weights_only=True)
    except FileNotFoundError:
        raise SampleError(f"no such sample: {name}") from None
    except pickle.UnpicklingError as error:
        raise SampleError(
            f"{name} is not a plain tensor file: it is damaged or holds code that "
            "would run when opened; it was not opened, make it again from its clip"
        ) from error
    except Exception as error:  # damaged bytes make the unpickler raise anything at all
        raise SampleError(
            f"{name} cannot be opened, it is cut short or not a .pt file: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}; "
            "make it again from its clip"
        ) from error


def _torch(path: Path) -> Any:
    try:
        import torch
    except ModuleNotFoundError:
        raise ProgramMissingError(
            f"{shown(path)}: samples are read by torch, which is not installed: pip "
            "install torch, or give the clip itself"
        ) from None
    return torch


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # surrogates stand for bytes that are no UTF-8
        return False
    return True


def _from_dense(tensor: "torch.Tensor", path: Path) -> Sample:
    name = shown(path)
    if tensor.ndim != 4 or tensor.shape[-1] not in DENSE_CHANNELS:
        raise SampleError(
            f"{name}: expected a tensor [T, H, W, 3 or 5], got {list(tensor.shape)}"
        )
    channels = DENSE_CHANNELS[tensor.shape[-1]]
    n_visual = len(channels) - 2
    if tensor.is_floating_point() or tensor.is_complex():
        raise SampleError(f"{name}: expected whole levels 0 to 255, got {tensor.dtype}")
    levels = tensor.numpy()
    if levels.size and (levels.min() < 0 or levels.max() > 255):
        raise SampleError(f"{name}: expected levels 0 to 255, got others")
    levels = levels.astype(np.uint8)
    sample = Sample(
        visual=levels[..., :n_visual],
        sound={channels[c]: levels[..., c] for c in range(n_visual, len(channels))},
        channels=channels,
        times=np.arange(len(levels), dtype=np.float32) / DENSE_FPS,
        has_sound=bool(levels[..., n_visual:].any()),
        silent=not levels[..., n_visual:].any(),
        label=path.parent.name,
    )
    _check(sample, name)
    return sample


def _check(sample: Sample, name: str) -> None:
    """Raise SampleError, saying what was expected, if arrays do not fit together."""
    visual = sample.visual
    if visual.dtype != np.uint8 or visual.ndim != 4 or visual.shape[-1] not in (1, 3):
        raise SampleError(
            f"{name}: expected visual uint8 [T, H, W, 1 or 3], got {visual.dtype} "
            f"{list(visual.shape)}"
        )
    if 0 in visual.shape:
        raise SampleError(f"{name} holds no pixel: visual is {list(visual.shape)}")
    n_frames = len(visual)
    if sample.times.shape != (n_frames,):
        raise SampleError(f"{name}: {n_frames} frames, but times {sample.times.shape}")
    for plane_name, plane in sample.sound.items():
        fits = plane.dtype == np.uint8 and plane.ndim in (1, 3) and plane.size
        if not fits or len(plane) != n_frames:
            raise SampleError(
                f"{name}: expected {plane_name} uint8 [{n_frames}] or [{n_frames}, h, "
                f"w], got {plane.dtype} {list(plane.shape)}"
            )
    known = {*PICTURE_PLANES[visual.shape[-1]], *sample.sound}
    if strange := [c for c in sample.channels if c not in known]:
        raise SampleError(f"{name} names channels it does not hold: {strange}")
