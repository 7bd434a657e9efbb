"""From a picture file to a sample of one frame whose sound is missing.

Axes: H height, W width; h and w the sides of a sound picture.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fmrgb.recipe import Recipe
from fmrgb.sample import Sample
from fmrgb.soundclip import whole_sample
from fmrgb.stack import to_gray
from fmrgb.stills import read_still, still_size


def still_sample(
    path: Path, recipe: Recipe, *, source: dict[str, Any] | None = None
) -> Sample:
    """Turn a picture into a sample: visual [1, H, W, 3 or 1], sound planes all zeros.

    Args:
        path: of the picture.
        recipe: of samples of a still and sound pictures, as `pair` makes them.
        source: name, bytes and sha256 of the file.

    Raises:
        MediaError: if it cannot be read.
    """
    visual = read_still(path, recipe.size)[None]
    blank = whole_sample(None, recipe, source=source)
    return replace(
        blank,
        visual=visual if recipe.n_channels == 5 else to_gray(visual),
        # Not what silence looks like, which is grey in signed pictures: nothing.
        sound={name: np.zeros_like(plane) for name, plane in blank.sound.items()},
        meta={**blank.meta, "size": list(still_size(path))},
    )
