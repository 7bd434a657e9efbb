"""The `.pt` contract: one clip as tensors and plain values, saved, loaded, checked.

Axes: T frames, H height, W width, C channels; h and w the sides of a mel picture.
"""

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fmrgb.errors import FmrgbError, ProgramMissingError, SampleError
from fmrgb.files import shown, special, whole_file
from fmrgb.ondisk import on_disk
from fmrgb.packed import stretch_of
from fmrgb.plain import load_plain
from fmrgb.pt_file import PtFile
from fmrgb.stack import PICTURE_PLANES, stack

if TYPE_CHECKING:  # prediction by ONNX works where torch is not installed
    import torch

FORMAT = "fmrgb-sample"
VERSION = 1
DENSE_CHANNELS = {  # how the first version ordered its bare tensors
    5: ("R", "G", "B", "amplitude", "frequency"),
    3: ("gray", "amplitude", "frequency"),
}
MOST_CHANNELS = 64  # each is as large as the picture when it is read
LONGEST_LABEL = 1000  # characters
DENSE_FPS = np.float32(30)  # the first version's frames per second
_NEEDED = (
    *("visual", "sound", "channels", "times"),
    *("has_sound", "silent", "label", "meta"),
)

Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """One clip, ready for a network.

    Attributes:
        visual: uint8 [T, H, W, 3] (R, G, B), [T, H, W, 1] (gray) or [T, H, W, 0] (sound
            alone: H and W are the sides of its pictures).
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


@contextmanager
def sample_file(path: Path) -> Iterator[PtFile]:
    """Open a sample for writing, whole or not at all.

    Its pictures are appended to what this yields, then `finish_sample` ends it.

    Raises:
        DiskFullError: if there is no room left.
    """
    with whole_file(path) as part, open(part, "w+b") as file:
        opened = PtFile(file)
        try:
            yield opened
        finally:
            opened.give_up()


def finish_sample(opened: PtFile, sample: Sample) -> None:
    """Write all of a sample but its pictures, which were appended before.

    Raises:
        SampleError: if its arrays do not fit together.
    """
    _check(sample, "the sample to be written")
    if opened.n_bytes != sample.visual.size:
        raise SampleError(
            f"expected pictures of {sample.visual.size} bytes, got {opened.n_bytes}"
        )
    content = {
        "format": FORMAT,
        "version": VERSION,
        "visual": sample.visual,
        "sound": sample.sound,
        "channels": list(sample.channels),
        "times": sample.times.astype(np.float32, copy=False),
        "has_sound": sample.has_sound,
        "silent": sample.silent,
        "label": sample.label,
        "meta": sample.meta,
    }
    opened.finish(content, appended="visual")


def save_sample(path: Path, sample: Sample) -> None:
    """Write a sample, whole or not at all; the same sample gives the same bytes.

    Raises:
        SampleError: if its arrays do not fit together.
        DiskFullError: if there is no room left.
    """
    with sample_file(path) as opened:
        for frame in sample.visual:
            opened.append(frame)
        finish_sample(opened, sample)


def load_sample(path: Path) -> Sample:
    """Open a sample by memory map; pixels are read when they are asked for.

    A bare tensor [T, H, W, C] with levels 0 to 255, as the first version wrote, is read
    too: its label is its folder's name. `shard.tar/label/x.pt` is one that is packed.

    Raises:
        SampleError: if the file is not whole, not a sample, or would run code.
    """
    content = _load(path)
    import torch

    if isinstance(content, torch.Tensor):
        return _from_dense(content, path)
    name = shown(path)
    # As text: what a stranger's file has there may not let itself be compared.
    if not isinstance(content, dict) or str(content.get("format")) != FORMAT:
        raise SampleError(
            f"{name} is not an fmrgb sample; make samples with create_fmrgbdata"
        )
    if (version := f"{content.get('version')!r:.40}") != str(VERSION):
        raise SampleError(
            f"{name} has sample version {version}, this program reads "
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
            has_sound=content["has_sound"],
            silent=content["silent"],
            label=content["label"],
            meta=dict(content["meta"]),
        )
        _check_words(sample)
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise SampleError(f"{name} is not a sound sample: {error}") from error
    _check(sample, name)
    return sample


def _load(path: Path) -> Any:
    _need_torch(path)
    name = shown(path)
    lies = stretch_of(path)
    if lies.file.is_dir():
        raise SampleError(f"expected a .pt sample, got the folder {name}")
    if kind := special(lies.file):
        raise SampleError(f"{name} is a {kind}, not a file; leave it out")
    try:
        with on_disk(lies.file) as file:
            return load_plain(file, mmap=True, start=lies.start, size=lies.size)
    except FmrgbError:  # a store that does not answer says nothing of the sample
        raise
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


def _need_torch(path: Path) -> None:
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        raise ProgramMissingError(
            f"{shown(path)}: samples are read by torch, which is not installed: pip "
            "install torch, or give the clip itself"
        ) from None


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


def _check_words(sample: Sample) -> None:
    """Raise TypeError or ValueError if a file's plain values are not what they name."""
    if not isinstance(sample.label, str) or len(sample.label) > LONGEST_LABEL:
        raise ValueError(f"its label is no text of up to {LONGEST_LABEL} characters")
    if not (isinstance(sample.has_sound, bool) and isinstance(sample.silent, bool)):
        raise TypeError("has_sound and silent are not true or false")
    for key in ("options", "source"):
        if not isinstance(sample.meta.get(key, {}), dict):
            raise TypeError(f"its {key} are no names with values")


def _check(sample: Sample, name: str) -> None:
    """Raise SampleError, saying what was expected, if arrays do not fit together."""
    visual = sample.visual
    flat = visual.dtype != np.uint8 or visual.ndim != 4
    if flat or visual.shape[-1] not in PICTURE_PLANES:
        raise SampleError(
            f"{name}: expected visual uint8 [T, H, W, 0, 1 or 3], got {visual.dtype} "
            f"{list(visual.shape)}"
        )
    if 0 in visual.shape[:3]:
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
    if sample.times.dtype.kind != "f" or not np.isfinite(sample.times).all():
        raise SampleError(f"{name}: expected times as finite numbers of s")
    n_channels = len(sample.channels)
    if not 1 <= n_channels <= MOST_CHANNELS or len({*sample.channels}) < n_channels:
        raise SampleError(
            f"{name}: expected 1 to {MOST_CHANNELS} channels, each once, got "
            f"{n_channels}"
        )
    known = {*PICTURE_PLANES[visual.shape[-1]], *sample.sound}
    if strange := [c for c in sample.channels if c not in known]:
        raise SampleError(f"{name} names channels it does not hold: {strange}")
