"""What a benchmark found: figures, and targets with whether they were reached."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from storekeeper.domain.types import Struct


class Target(Struct, frozen=True, kw_only=True):
    """A promise, and what was measured of it."""

    text: str
    measured: float
    limit: float
    sense: Literal["at least", "at most", "exactly", "under"]
    unit: str = ""

    @property
    def is_met(self) -> bool:
        if self.sense == "at least":
            return self.measured >= self.limit
        if self.sense == "at most":
            return self.measured <= self.limit
        if self.sense == "under":
            return self.measured < self.limit
        return self.measured == self.limit

    def __str__(self) -> str:
        return (
            f"{self.text}: {shown(self.measured)}{self.unit}, "
            f"promised {self.sense} {shown(self.limit)}{self.unit}"
        )


class Report(msgspec.Struct, kw_only=True):
    """One benchmark's outcome. `skipped` says why it couldn't run."""

    name: str
    title: str
    figures: list[tuple[str, str]] = msgspec.field(default_factory=list)
    targets: list[Target] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)
    skipped: str = ""
    seconds: float = 0.0

    def figure(self, name: str, value: str) -> None:
        self.figures.append((name, value))

    def target(
        self,
        text: str,
        measured: float,
        sense: Literal["at least", "at most", "exactly", "under"],
        limit: float,
        unit: str = "",
    ) -> None:
        self.targets.append(
            Target(text=text, measured=measured, limit=limit, sense=sense, unit=unit)
        )

    @property
    def is_met(self) -> bool:
        return all(target.is_met for target in self.targets)

    def lines(self) -> Iterator[str]:
        """For people at a terminal."""
        yield f"== {self.name}: {self.title}"
        if self.skipped:
            yield f"   skipped: {self.skipped}"
            return
        width = max((len(name) for name, _ in self.figures), default=0)
        for name, value in self.figures:
            yield f"   {name:<{width}}  {value}"
        for note in self.notes:
            yield f"   note: {note}"
        for target in self.targets:
            yield f"   {'reached' if target.is_met else 'MISSED '}  {target}"
        yield f"   ({self.seconds:.0f} s)"


def shown(value: float) -> str:
    """Three significant digits for small figures, whole numbers for large ones."""
    if value == int(value) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def interleaved(
    sides: Mapping[str, Callable[[], float]],
    rounds: int,
    watch: Callable[[str], None] = lambda text: None,
) -> dict[str, list[float]]:
    """Runs short slices of each side in turn, every second round the other way round.

    A machine that gets slower or busier meanwhile then does so to all sides alike.
    """
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        order = list(sides) if number % 2 == 0 else list(sides)[::-1]
        for name in order:
            found[name].append(sides[name]())
        watch(
            f"round {number + 1}/{rounds}: "
            + ", ".join(f"{name} {shown(found[name][-1])}" for name in sides)
        )
    return found


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the ratios of slices that ran beside each other."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def spread(values: Sequence[float], unit: str = "/s") -> str:
    """The median and the range, as text."""
    return (
        f"{shown(statistics.median(values))}{unit} "
        f"({shown(min(values))} to {shown(max(values))}, {len(values)} slices)"
    )
