"""From a picture file of any mode and size to planes R, G, B of a chosen size.

By Pillow, not OpenCV: OpenCV paints over the missing part of a cut file without a
word, and shows the colours that lie hidden where a picture is transparent.

Axes: H height, W width.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    Image,
    ImageOps,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from fmrgb.errors import MediaError
from fmrgb.files import open_plain, shown
from fmrgb.media import MAX_PIXELS

STILL_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
# No format that is a program (PostScript) or names other files.
_FORMATS = (
    *("JPEG", "PNG", "BMP", "DIB", "GIF"),
    # Pillow knows these only once they are imported.
    TiffImagePlugin.TiffImageFile.format,
    WebPImagePlugin.WebPImageFile.format,
)
BEHIND = (255, 255, 255)  # what shows through a transparent picture
_ORIENTATION = 0x0112  # the EXIF tag
_ON_ITS_SIDE = (5, 6, 7, 8)  # values of it
_FINER = 2  # a JPEG is decoded at this many times the size wanted, or more

Picture = NDArray[np.uint8]


def read_still(path: Path, size: tuple[int, int] | None = None) -> Picture:
    """Read a picture of any mode: grey, palette, CMYK, alpha, 16 bit, turned by EXIF.

    Of an animation the first frame is read. What is transparent shows white behind it;
    of 16 bits the higher 8 count; other numbers (32 bit, float) are stretched from
    their least to their greatest. Colour profiles are not applied.

    Args:
        path: jpg, png, webp, bmp, tiff or gif.
        size: (width, height) in pixels that the picture is made to fill, as clips are:
            its ratio is not kept; None keeps its own size.

    Returns:
        uint8 [H, W, 3], levels of R, G, B, upright.

    Raises:
        MediaError: if it is not whole, no such picture, or of too many pixels.
    """
    with _opened(path) as picture:
        if size:
            # Eighths, quarters and halves of a JPEG cost less than the whole.
            picture.draft(None, (_FINER * max(size),) * 2)
        upright = _in_colour(ImageOps.exif_transpose(picture))
        if size and upright.size != size:
            upright = upright.resize(size, Image.Resampling.BICUBIC)
        return np.array(upright, np.uint8)


def still_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of a picture as it is shown, from its header.

    Raises:
        MediaError: if it is no picture, or of too many pixels.
    """
    with _opened(path) as picture:
        width, height = picture.size
        turned = picture.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
        return (height, width) if turned else (width, height)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a picture; whatever damaged bytes make Pillow raise becomes a MediaError."""
    name = shown(path)
    try:
        # What Pillow warns of is either refused here or harmless.
        with warnings.catch_warnings(), open_plain(path) as file:
            warnings.simplefilter("ignore")
            with Image.open(file, formats=_FORMATS) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise MediaError(
                        f"{name}: expected a picture of {MAX_PIXELS} pixels or fewer, "
                        f"got {width} x {height}; make it smaller first"
                    )
                yield picture
    except MediaError:
        raise
    except UnidentifiedImageError as error:
        raise MediaError(
            f"{name} is not a picture of a known kind, or lost its header; convert it "
            f"to one of {', '.join(STILL_SUFFIXES)}"
        ) from error
    except Image.DecompressionBombError as error:
        raise MediaError(
            f"{name}: expected a picture of {MAX_PIXELS} pixels or fewer, got many "
            "more; make it smaller first"
        ) from error
    except MemoryError:
        raise
    except Exception as error:
        said = str(error).partition("\n")[0] or type(error).__name__
        raise MediaError(
            f"{name} cannot be read to its end: {said}; save it again or leave it out"
        ) from error


def _in_colour(picture: Any) -> Any:
    """Turn a Pillow picture of any mode into one of R, G, B, 8 bit each."""
    mode = picture.mode
    if mode.startswith("I;16"):
        return _of_grey(np.asarray(picture).astype(np.uint16) >> 8)
    if mode in ("I", "F"):
        return _of_grey(_stretched(np.asarray(picture, np.float64)))
    if "A" in mode or "a" in mode or "transparency" in picture.info:
        seen = picture.convert("RGBA")
        page = Image.new("RGBA", seen.size, (*BEHIND, 255))
        return Image.alpha_composite(page, seen).convert("RGB")
    return picture.convert("RGB")


def _of_grey(levels_HW: NDArray[Any]) -> Any:
    return Image.fromarray(levels_HW.astype(np.uint8)).convert("RGB")


def _stretched(values_HW: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stretch numbers of no known range over 0 to 255."""
    if not np.isfinite(values_HW).all():
        raise ValueError("it holds values that are no numbers")
    low, high = values_HW.min(), values_HW.max()
    span = float(high - low) or 1.0
    stretched_HW: NDArray[np.float64] = np.round((values_HW - low) * (255 / span))
    return stretched_HW
