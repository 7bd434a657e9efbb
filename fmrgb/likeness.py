"""From samples to those that show nothing, and those that show the same.

Names and checksums cannot tell: a clip that was written anew has other bytes.
"""

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fmrgb.files import shown
from fmrgb.manifest import Row
from fmrgb.sample import Sample, load_sample

LOOKED_AT = 2000  # samples, from all over the list
NAMED = 3  # of a kind are named, the others counted


def alike_labels(labels: Iterable[str]) -> list[str]:
    """Say which labels differ only in case, blanks or Unicode form.

    Source: Unicode Standard Annex 15, form NFKC, with default case folding.
    """
    kinds = defaultdict(list)
    for label in sorted(labels):
        kinds[_plain(label)].append(label)
    pairs = [pair for same in kinds.values() for pair in combinations(same, 2)]
    told = [
        f"labels {one!a} and {two!a} differ only in case, blanks or Unicode "
        "form and are trained as two classes; if they are one, name them alike"
        for one, two in pairs[:NAMED]
    ]
    more = len(pairs) - NAMED
    return told + ([f"{more} more pairs of such labels"] if more > 0 else [])


def _plain(label: str) -> str:
    kept = unicodedata.normalize("NFKC", label.casefold())
    kept = unicodedata.normalize("NFKC", kept.casefold())
    hidden = ("Cf", "Cc", "Zs")  # zero width, control, blank
    return "".join(c for c in kept if unicodedata.category(c) not in hidden)


def alike_clips(rows: Sequence[Row]) -> list[str]:
    """Say which clips are of one colour all over, and which are the same as another.

    Some frames of at most `LOOKED_AT` samples are read.

    Raises:
        SampleError: if one cannot be read.
    """
    apart = max(1, -(-len(rows) // LOOKED_AT))
    looked = rows[::apart]
    still, same = [], defaultdict(list)
    for row in looked:
        sample = load_sample(row.path)
        middle = len(sample.visual) // 2
        frames_FHWC = sample.visual[[0, middle, -1]]
        if _has_picture(sample) and (frames_FHWC == frames_FHWC[:1, :1, :1]).all():
            still.append(row)
        else:
            same[_sum(sample, frames_FHWC)].append(row)
    told = []
    if still:
        told.append(
            f"{len(still)} of {len(looked)} clips looked at are one colour all over, "
            f"like {shown(still[0].path.name)}: their picture says nothing"
        )
    copies = [of for of in same.values() if len({r.checksum or r.path for r in of}) > 1]
    told += [_of_copies(of) for of in copies[:NAMED]]
    if len(copies) > NAMED:
        told.append(f"{len(copies) - NAMED} more clips have copies of other bytes")
    return told


def _has_picture(sample: Sample) -> bool:
    """Tell whether there is a picture; a still with sound may lack it on purpose."""
    is_still = len(sample.visual) == 1 and sample.has_sound
    return sample.visual.size > 0 and not (is_still and not sample.visual.any())


def _sum(sample: Sample, frames_FHWC: NDArray[np.uint8]) -> bytes:
    """Return what samples of the same pictures and sound share."""
    digest = hashlib.sha256(repr(sample.shape).encode())
    digest.update(frames_FHWC.tobytes())
    for name in sorted(sample.sound):
        digest.update(sample.sound[name].tobytes())
    return digest.digest()


def _of_copies(rows: Sequence[Row]) -> str:
    """Say that clips are the same, and what is wrong with that."""
    named = " and ".join(shown(row.path.name) for row in rows[:2])
    more = f" and {len(rows) - 2} more" if len(rows) > 2 else ""
    splits = sorted({row.split for row in rows if row.split})
    labels = sorted({row.label for row in rows})
    told = f"{named}{more} show and sound the same though their files differ"
    if len(labels) > 1:
        told += f"; their labels do not: {', '.join(map(shown, labels[:NAMED]))}"
    if len(splits) > 1:
        told += f"; they lie in {' and '.join(splits)}: a leak"
    return f"{told}; keep one, or give them one group"
