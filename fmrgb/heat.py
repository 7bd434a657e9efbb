"""From an explanation to its colours over pictures and plots.

Orange speaks for the label, purple against it (a pair that colour-blind eyes can tell
apart); what is worth little is clear. Colours are as strong as the worth of the planes
beneath: the picture of a network that only listens stays grey.

Axes: C channels, T frames that the network saw, H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fmrgb.attribution import Explanation
from fmrgb.page import Picture, sized
from fmrgb.view import View

FOR, AGAINST = "#e66100", "#5d3a9b"
STRONGEST = 0.85  # opacity of the highest worth
HEAT = LinearSegmentedColormap.from_list(
    "heat",
    [
        (0.0, to_rgba(AGAINST, STRONGEST)),
        (0.5, to_rgba(AGAINST, 0)),
        (0.5, to_rgba(FOR, 0)),
        (1.0, to_rgba(FOR, STRONGEST)),
    ],
)
BLUR = 40  # the picture's longer side over the width by which heat is smoothed
PEAK = 0.995  # quantile of the heat that gets the strongest colour
MOST_MEANT = 32  # frames of which the mean picture is made
COLUMNS = 8  # columns of a frame in the heat over a long picture
CELLS = 4  # regions along each side of a picture


@dataclass(frozen=True)
class Heated:
    """A clip beside what an explanation says of it.

    Attributes:
        view: the clip's sample, with its clock.
        told: the explanation.
    """

    view: View
    told: Explanation

    @property
    def edges(self) -> NDArray[np.float64]:
        """When each frame that the network saw begins, and the end, in s: [T + 1]."""
        return self._seconds(np.arange(self.told.heat.shape[1] + 1))

    @property
    def window_edges(self) -> NDArray[np.float64]:
        """When each part of the time that was occluded begins, and the end, in s."""
        return self._seconds(self.told.windows)

    def _seconds(self, frames: NDArray[np.int64]) -> NDArray[np.float64]:
        # The network saw frames at even distances; each stands for those around it.
        n_frames = len(self.view.edges) - 1
        places = frames * n_frames / self.told.heat.shape[1]
        moments: NDArray[np.float64] = np.interp(
            places, np.arange(n_frames + 1), self.view.edges
        )
        return moments

    @cached_property
    def seen(self) -> list[int]:
        """Places of the picture planes."""
        return list(self.told.card.view.picture_places)

    @cached_property
    def heard(self) -> dict[str, int]:
        """Places of the sound planes that the network hears, by name."""
        channels = self.told.card.view.channels
        return {c: channels.index(c) for c in self.view.heard if c in channels}

    def strength(self, places: Sequence[int]) -> float:
        """Tell how strong the colours of planes may be, 0 to 1.

        The root, since the half of most is still much.
        """
        most = max(map(self._volume, [*([p] for p in self.heard.values()), self.seen]))
        share = self._volume(places) / most if most else 0.0
        return float(np.sqrt(share))

    def _volume(self, places: Sequence[int]) -> float:
        """Sum the worth of planes without regard to sign, by frames and regions."""
        heat_THW = self.told.heat[list(places)].sum(axis=0, dtype=np.float64)
        flat = [place for c, place in self.heard.items() if c in self.view.curves]
        # What has one value per frame has no regions.
        cells = 1 if list(places) in [[place] for place in flat] else CELLS
        return float(np.abs(regions(heat_THW, cells)).sum())

    @cached_property
    def maps(self) -> NDArray[np.float64]:
        """Worth of each place of the picture, [T, H, W], -1 to 1 as colours go.

        Smoothed, since single pixels are noise to the eye.
        """
        heat_THW = self.told.heat[self.seen].sum(axis=0, dtype=np.float64)
        blur = max(heat_THW.shape[1:]) / BLUR
        return scaled(gaussian_filter(heat_THW, (0, blur, blur))) * self.strength(
            self.seen
        )

    def painted(self, t: int, size: tuple[int, int]) -> Picture:
        """Return frame t of the sample in grey with heat over it, [height, width, 3].

        A picture that the network does not see stays as it is.

        Args:
            t: number of the frame.
            size: width and height, in pixels.
        """
        picture = sized(self.view.read(t), size)
        if not self.seen:
            return picture
        n_frames = len(self.view.edges) - 1
        return paint(picture, self.maps[int((t + 0.5) * len(self.maps) / n_frames)])

    def overview(self, size: tuple[int, int]) -> Picture:
        """Return the mean picture in grey with the heat of all frames over it."""
        n_frames = len(self.view.edges) - 1
        some = np.linspace(0, n_frames - 1, min(n_frames, MOST_MEANT)).astype(int)
        mean = np.mean([self.view.read(int(t)) for t in some], axis=0).astype(np.uint8)
        if not self.seen:
            return sized(mean, size)
        heat_HW = scaled(self.maps.sum(axis=0)) * self.strength(self.seen)
        return paint(sized(mean, size), heat_HW)

    def lay_over(self, axes: Axes, channel: str) -> None:
        """Lay the heat of a sound plane over (or behind) its plot."""
        place = self.heard[channel]
        strength = self.strength([place])
        if channel in self.view.curves:
            values_hT = scaled(self.told.over_time([place]))[None] * strength
            rows, edges = np.array(axes.get_ylim()), self.edges
        else:
            # Of what lies behind, only light and dark may stay.
            axes.images[0].set_cmap("gray")
            values_hT, edges = self._bands(place)
            values_hT *= strength
            low, high = sorted(axes.get_ylim())  # the first row is the highest
            rows = np.linspace(high, low, len(values_hT) + 1)
        limits = axes.get_xlim(), axes.get_ylim()
        axes.pcolormesh(edges, rows, values_hT, cmap=HEAT, vmin=-1, vmax=1, zorder=0.5)
        axes.set(xlim=limits[0], ylim=limits[1])

    def _bands(self, place: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the heat of a plane of pictures, [H, T * columns], and its times."""
        heat_THW = self.told.heat[place].astype(np.float64)
        n_frames, height, width = heat_THW.shape
        columns = min(COLUMNS, width)
        narrow = [
            cv2.resize(frame, (columns, height), interpolation=cv2.INTER_AREA)
            for frame in heat_THW
        ]
        values = gaussian_filter(np.concatenate(narrow, axis=1), height / BLUR)
        ticks = np.arange(n_frames * columns + 1) / columns
        return scaled(values), np.interp(ticks, np.arange(n_frames + 1), self.edges)


def regions(heat_THW: NDArray[np.float64], cells: int) -> NDArray[np.float64]:
    """Sum heat within `cells` rows and columns (at most one per pixel): [T, n, m]."""
    tops, lefts = (
        np.arange(min(cells, side)) * side // min(cells, side)
        for side in heat_THW.shape[1:]
    )
    rows = np.add.reduceat(heat_THW, tops, axis=1)
    sums: NDArray[np.float64] = np.add.reduceat(rows, lefts, axis=2)
    return sums


def scaled(worth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring worths to -1 to 1, so that all but the very highest differ."""
    peak = float(np.quantile(np.abs(worth), PEAK if worth.ndim > 1 else 1))
    return np.clip(worth / peak, -1, 1) if peak else np.zeros_like(worth)


def paint(picture: Picture, heat_HW: NDArray[np.float64]) -> Picture:
    """Lay heat, -1 to 1, over a picture [H', W', 3] in grey."""
    height, width, _ = picture.shape
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    size = (width, height)
    heat = cv2.resize(heat_HW, size, interpolation=cv2.INTER_LINEAR)
    colours = HEAT((heat + 1) / 2)
    opacity = colours[..., 3:]
    mixed = grey[..., None] * (1 - opacity) + 255 * colours[..., :3] * opacity
    painted: Picture = mixed.round().astype(np.uint8)
    return painted
