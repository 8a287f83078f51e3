"""What happened between two looks, in the forms that CloudWatch adds up; knows nothing of AWS."""

from __future__ import annotations

from typing import NamedTuple

from storekeeper.domain.types import Struct


class Key(NamedTuple):
    """One metric of CloudWatch: it bills and alarms on name and dimensions together."""

    name: str
    dimensions: tuple[tuple[str, str], ...] = ()


class Totals(Struct, frozen=True):
    """A statistic set: how many samples, their sum, the least and the most of them."""

    samples: float
    total: float
    least: float
    most: float

    @classmethod
    def of(cls, value: float) -> Totals:
        return cls(1.0, value, value, value)

    def plus(self, other: Totals) -> Totals:
        """Both, as if they had been observed together."""
        return Totals(
            self.samples + other.samples,
            self.total + other.total,
            min(self.least, other.least),
            max(self.most, other.most),
        )


class Spread(Struct, frozen=True):
    """A histogram: `counts` in the buckets that end at `bounds` and in one more for what is above
    them all, and the exact `total` of what was observed."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    total: float

    def plus(self, other: Spread) -> Spread:
        """Both together; they have the same bounds."""
        together = zip(self.counts, other.counts, strict=True)
        return Spread(
            self.bounds, tuple(one + two for one, two in together), self.total + other.total
        )

    def values(self) -> dict[float, float]:
        """A value for each bucket in use, and how often: never more of them than buckets.

        Each lies inside its bucket, all at the same share of its width, chosen so that they add up
        to the total. So sum, average and number are exact, and a percentile is to its bucket.
        What is above the last bound gets what the others leave of the total.
        """
        edges = tuple(zip((0.0, *self.bounds), self.bounds, self.counts, strict=False))
        low = sum(start * count for start, _, count in edges)
        width = sum((end - start) * count for start, end, count in edges)
        above = self.counts[-1]
        share = 0.5 if above else (self.total - low) / width if width else 0.0
        share = min(1.0, max(0.0, share))
        found = {start + (end - start) * share: count for start, end, count in edges if count}
        if above:
            rest = self.total - low - width * share
            found[max(self.bounds[-1], rest / above)] = above
        return found


Figure = Totals | Spread
Figures = dict[Key, Figure]


def add(figures: Figures, key: Key, figure: Figure) -> None:
    """Puts `figure` to what `figures` has under `key`."""
    before = figures.get(key)
    figures[key] = figure if before is None else _both(before, figure)


def joined(one: Figures, two: Figures) -> Figures:
    """What happened in both times."""
    both = dict(one)
    for key, figure in two.items():
        add(both, key, figure)
    return both


def _both(one: Figure, two: Figure) -> Figure:
    if isinstance(one, Totals) and isinstance(two, Totals):
        return one.plus(two)
    if isinstance(one, Spread) and isinstance(two, Spread):
        return one.plus(two)
    raise TypeError("a statistic set and a histogram under one name")
