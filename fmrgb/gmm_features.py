"""From samples to what the networks of a trained run make of picture and of sound.

Axes: B batch, C channels, T frames, H height, W width, N samples, F features.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fmrgb.checkpoint import Network
from fmrgb.errors import TrainingError
from fmrgb.files import shown
from fmrgb.manifest import Row
from fmrgb.models import Senses
from fmrgb.models.senses import planes
from fmrgb.sample import Sample
from fmrgb.seen import view_of

AT_ONCE = 32  # clips that a network looks at


def features_of(
    network: Network,
    rows: Sequence[Row],
    samples: Sequence[Sample],
    kinds: Sequence[str],
) -> dict[str, NDArray[np.float64]]:
    """Return what the last layer of each sense's network is given: [N, F] by kind.

    Raises:
        TrainingError: if the run has no network of its own for each sense, or does not
            see these samples.
    """
    card, model = network.card, network.model
    if not isinstance(model, Senses):
        raise TrainingError(
            "--features needs a run with a network for each sense: train with --fusion "
            "senses on samples of picture and sound"
        )
    places = {"picture": card.view.picture_places, "sound": card.view.sound_places}
    nets = {"picture": model.picture, "sound": model.sound}
    shape = (1, -1, 1, 1, 1)
    mean, std = (torch.tensor(v).reshape(shape) for v in (card.mean, card.std))
    parts: dict[str, list[NDArray[np.float64]]] = {kind: [] for kind in kinds}
    for at in range(0, len(rows), AT_ONCE):
        some = zip(rows[at : at + AT_ONCE], samples[at : at + AT_ONCE], strict=True)
        clips = [view_of(sample, card.view, shown(row.path)) for row, sample in some]
        levels_BCTHW = torch.from_numpy(np.stack(clips)).float()
        with torch.inference_mode():
            clips_BCTHW = (levels_BCTHW - mean) / std
            for kind in kinds:
                own = planes(clips_BCTHW, list(places[kind]))
                parts[kind].append(nets[kind].features(own).double().numpy())
    return {kind: np.concatenate(found) for kind, found in parts.items()}
