"""From kept trainings and searches to SEARCH.md: cost, excess, and whether it is met.

The grid's best rate is the one with the lowest validation loss on average over seeds:
one seed does not show which is best. A loss that became no number counts as infinite.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import mean, stdev

from accuracy_cells import Kept
from accuracy_tables import table
from search_plan import DATA_SETS, RATES, SEARCH, WINNER, Cell, Store, settings

from fmrgb.files import whole_file

MOST_COST = 0.25  # of a full grid of eight rates
MOST_EXCESS = 0.05  # of the validation loss, over that of the grid's best
TITLES = {"demo": "Demo", "fights": "Fights"}


@dataclass(frozen=True)
class Outcome:
    """All that was run with one seed.

    Attributes:
        seed: of weights, shuffling and search.
        grid: what each rate's training gave, by the rate's name.
        search: what the search gave.
        final: what the training at the rate it found gave.
        same: which of the grid's rates that is; None if it lies between them.
    """

    seed: int
    grid: dict[str, Kept]
    search: Kept
    final: Kept
    same: str | None

    @property
    def own_best(self) -> str:
        """The rate that a full grid with this seed alone would take."""
        return min(self.grid, key=lambda name: loss_of(self.grid[name]))

    def cost(self, what: str = "epochs") -> float:
        """What the search took, of what the grid took: epochs or seconds."""
        return float(self.search[what] / sum(r[what] for r in self.grid.values()))


def loss_of(result: Kept) -> float:
    """Return the loss of the weights that were kept; infinite if it was no number."""
    return math.inf if result["val_loss"] is None else float(result["val_loss"])


@dataclass(frozen=True)
class Figures:
    """What is known of one data set, over the seeds that were run in full; one or more.

    Attributes:
        outcomes: one per seed.
    """

    outcomes: list[Outcome]

    def losses(self, rate: str) -> list[float]:
        """Return the losses (nat) at one of the grid's rates, one per seed."""
        return [loss_of(one.grid[rate]) for one in self.outcomes]

    @property
    def best(self) -> str:
        """The rate with the lowest loss on average over the seeds."""
        return min(self.outcomes[0].grid, key=lambda rate: mean(self.losses(rate)))

    def cost(self, what: str = "epochs", *, with_final: bool = False) -> float:
        """What the searches took, of what the grids took: epochs or seconds.

        Args:
            what: epochs or seconds.
            with_final: count the training at the rate that was found as well.
        """
        spent = sum(
            one.search[what] + (one.final[what] if with_final else 0)
            for one in self.outcomes
        )
        grid = sum(r[what] for one in self.outcomes for r in one.grid.values())
        return float(spent / grid)

    def excess_of(self, one: Outcome) -> float:
        """How far a seed's final loss lies above the best rate's with that seed."""
        return loss_of(one.final) / loss_of(one.grid[self.best]) - 1

    @property
    def excess(self) -> float:
        """How far the mean final loss lies above the mean loss of the best rate."""
        found = mean(loss_of(one.final) for one in self.outcomes)
        return found / mean(self.losses(self.best)) - 1

    def excess_of_rate(self, rate: str | None) -> float | None:
        """How far a rate's mean over all seeds lies above the best rate's.

        None for a rate between those of the grid: it was trained with one seed only.
        """
        if rate is None:
            return None
        return mean(self.losses(rate)) / mean(self.losses(self.best)) - 1

    @property
    def spread(self) -> float | None:
        """Standard deviation between seeds at the best rate, of its mean."""
        losses = self.losses(self.best)
        return stdev(losses) / mean(losses) if len(losses) > 1 else None


def figures(store: Store, data: str, seeds: Sequence[int]) -> Figures | None:
    """Return what is known of a data set; None if no seed was run in full."""
    outcomes = []
    for seed in seeds:
        grid = {rate: store.kept(Cell(data, seed, rate)) for rate in store.rates}
        found, winner = Cell(data, seed, SEARCH), Cell(data, seed, WINNER)
        search, final = store.kept(found), store.kept(winner)
        whole = {rate: result for rate, result in grid.items() if result}
        if len(whole) == len(grid) and search and final:
            same = store.same_rate(winner)
            outcomes.append(Outcome(seed, whole, search, final, same))
    return Figures(outcomes) if outcomes else None


def goal(known: Figures | None, n_seeds: int) -> str:
    """Say whether the search costs and finds what it should."""
    asked = (
        f"The goal (the search costs at most {MOST_COST:.0%} of the grid's epochs; the "
        f"final validation loss lies at most {MOST_EXCESS:.0%} above the grid's best)"
    )
    if known is None or len(known.outcomes) < n_seeds:
        done = len(known.outcomes) if known else 0
        return f"{asked} cannot be judged yet: {done} of {n_seeds} seeds were run."
    cheap, near = known.cost() <= MOST_COST, known.excess <= MOST_EXCESS
    verdict = "is met" if cheap and near else "is not met"
    return (
        f"{asked} {verdict}: it costs {known.cost():.1%}"
        f"{'' if cheap else ', too much'}, and the mean loss over {n_seeds} seed(s) "
        f"lies {known.excess:+.1%} from the grid's best{'' if near else ', too high'}."
    )


def write_tables(path: Path, store: Store, seeds: Sequence[int]) -> Path:
    """Write SEARCH.md from the kept cells alone; return its path."""
    lines = [
        "# What the learning-rate search costs, and how good its rate is",
        "",
        f"Written {date.today()} by `benchmarks/search_cost.py` (`make search`) from "
        "what it has kept. Five channels, conv3d tiny; eight rates, "
        f"{min(RATES.values()):.2g} to {max(RATES.values()):.2g}, trained in full; "
        "seeds are those of weights, shuffling and search, the split is always the "
        "same. A loss is the validation loss (nat) of the epoch that is kept.",
        "",
    ]
    for data in DATA_SETS:
        known = figures(store, data, seeds)
        lines += [f"## {TITLES[data]}", "", goal(known, len(seeds)), ""]
        if known:
            lines += [*_searches(known), *_grid(known), *_words(known, data), ""]
    with whole_file(path) as part:
        part.write_text("\n".join(lines).rstrip() + "\n")
    return path


def _searches(known: Figures) -> list[str]:
    heads = (
        *("seed", "epochs, search / grid", "cost", "time", "rate found", "its loss"),
        *("its accuracy", "loss at the grid's best", "excess", "over all seeds"),
        *("full grid, this seed", "over all seeds"),
    )
    rows = []
    for one in known.outcomes:
        accuracy = one.final["val_accuracy"]
        grid_epochs = sum(result["epochs"] for result in one.grid.values())
        rows.append(
            [
                str(one.seed),
                f"{one.search['epochs']} / {grid_epochs}",
                f"{one.cost():.1%}",
                f"{one.cost('seconds'):.1%}",
                f"{one.search['lr']:.2g}",
                f"{loss_of(one.final):.4f}",
                "-" if accuracy is None else f"{accuracy:.3f}",
                f"{loss_of(one.grid[known.best]):.4f}",
                f"{known.excess_of(one):+.1%}",
                _part(known.excess_of_rate(one.same)),
                f"{RATES[one.own_best]:.2g}",
                _part(known.excess_of_rate(one.own_best)),
            ]
        )
    finals = [loss_of(one.final) for one in known.outcomes]
    rows.append(
        [
            *("all", "", f"{known.cost():.1%}", f"{known.cost('seconds'):.1%}", ""),
            *(f"{mean(finals):.4f}", "", f"{mean(known.losses(known.best)):.4f}"),
            *(f"{known.excess:+.1%}", "", "", ""),
        ]
    )
    return table(heads, rows, left=1)


def _part(share: float | None) -> str:
    return "-" if share is None else f"{share:+.1%}"


def _grid(known: Figures) -> list[str]:
    """Table of every rate's losses."""
    seeds = [f"seed {one.seed}" for one in known.outcomes]
    rows = []
    for rate in known.outcomes[0].grid:
        losses = known.losses(rate)
        # Of losses that are no number there is no deviation.
        spread = stdev(losses) if len(losses) > 1 and max(losses) < math.inf else None
        rows.append(
            [
                f"{RATES[rate]:.2g}{' (best)' if rate == known.best else ''}",
                *(f"{loss:.4f}" for loss in losses),
                f"{mean(losses):.4f}",
                "-" if spread is None else f"{spread:.4f}",
            ]
        )
    return table(("rate", *seeds, "mean", "deviation"), rows, left=1)


def _words(known: Figures, data: str) -> list[str]:
    """Say what the tables show, and what they do not prove."""
    whole = known.cost(with_final=True)
    usual = settings(data, 0)
    longest = max(one.search["epochs"] for one in known.outcomes)
    said = [
        f"A full training has {usual.epochs} epochs (demo: 480 clips as `fmrgb demo` "
        "trains them; fights: 240 clips, no source on both sides of the split, 16 "
        f"frames, augmentation on); a search took at most {longest}.",
        f"The search begins near the rate {usual.lr:g}, which was found by "
        "trying; a worse one to begin with was not tried.",
        f"With the training at the rate it found, the search takes {whole:.1%} of the "
        "grid's epochs; a grid has trained its best already.",
        "`over all seeds`: the mean loss at that rate over all seeds, beside the best "
        "mean. `full grid, this seed`: the rate that a full grid takes if it knows "
        "this seed alone. The grid's best was chosen on these very losses, which "
        "flatters it.",
    ]
    if (spread := known.spread) is not None:
        losses = known.losses(known.best)
        within = abs(known.excess) <= spread
        said.append(
            f"Between seeds the loss at the grid's best rate goes from "
            f"{min(losses):.4f} to {max(losses):.4f}, a standard deviation of "
            f"{spread:.1%} of its mean; the excess of {known.excess:+.1%} lies "
            f"{'within' if within else 'beyond'} it."
        )
    else:
        said.append("One seed shows no spread; it does not tell which rate is best.")
    gap = mean(loss_of(one.final) for one in known.outcomes)
    gap -= mean(known.losses(known.best))
    said.append(
        f"In nats the mean excess is {gap:+.4f}: a share of a loss near 0 says little."
    )
    said.append(_machines(known))
    return [f"- {sentence}" for sentence in said]


def _machines(known: Figures) -> str:
    """Say where the time was taken."""
    results = [
        r for one in known.outcomes for r in (*one.grid.values(), one.search, one.final)
    ]
    found = {f"{r['processor']}, {r['threads']} thread(s)" for r in results}
    seconds = sum(r["seconds"] for one in known.outcomes for r in one.grid.values())
    return (
        f"Time is wall time on {' and '.join(sorted(found))}, and other work on the "
        f"machine counts in it; the grids took {seconds / 60:.0f} minutes."
    )
