"""Bar charts as geometry: where each bar of an SVG stands. The template draws, this measures.

Lengths are in units of the drawing, which is as wide as a phone, so that its text stays readable
there; browsers scale it. Values are whole numbers (units, minor units of money).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from storekeeper.domain.types import Struct

WIDTH = 360
HEIGHT = 190
_TOP = 22
_BOTTOM = 24
_ROW = 44
_LONGEST_NAME = 38


class Bar(Struct, frozen=True, kw_only=True):
    """One bar. `says` is its whole text: what it is of, and how much."""

    x: float
    y: float
    width: float
    height: float
    says: str
    name: str = ""
    value: str = ""


class Mark(Struct, frozen=True, kw_only=True):
    """A line across the drawing at a value, or a text under it."""

    x: float
    y: float
    text: str
    anchor: str = "start"


class Chart(Struct, frozen=True, kw_only=True):
    """A drawing. `id` is its own on the page."""

    id: str
    title: str
    about: str
    height: int
    bars: Sequence[Bar]
    # The time before as steps across the bars: the `d` of a path; empty where none is shown.
    before: str = ""
    lines: Sequence[Mark] = ()
    texts: Sequence[Mark] = ()


def upright(
    id: str,
    title: str,
    about: str,
    points: Sequence[tuple[str, int, int | None]],
    write: Callable[[int], str],
) -> Chart:
    """Bars beside each other, as time goes on. `points`: names in order, values from 0 on, and
    those of the time before (None: it isn't known)."""
    top = ceiling(max((max(value, before or 0) for _, value, before in points), default=0))
    floor = HEIGHT - _BOTTOM
    room = floor - _TOP
    step = WIDTH / max(len(points), 1)
    width = step * (0.8 if len(points) <= WIDTH // 4 else 1)
    bars = tuple(
        Bar(
            x=round(place * step + (step - width) / 2, 2),
            y=round(floor - value * room / top, 2),
            width=round(width, 2),
            height=round(value * room / top, 2),
            says=f"{name}: {write(value)}" + ("" if before is None else f" ({write(before)})"),
        )
        for place, (name, value, before) in enumerate(points)
    )
    values = (top, top // 2) if top > 1 else (top,)
    lines = tuple(
        Mark(x=0, y=round(floor - value * room / top, 2), text=write(value)) for value in values
    )
    return Chart(
        id=id,
        title=title,
        about=about,
        height=HEIGHT,
        bars=bars,
        before=_steps([before for *_, before in points], step, floor, room / top),
        lines=(*lines, Mark(x=0, y=floor, text="")),
        texts=_ends([name for name, *_ in points]),
    )


def lying(
    id: str,
    title: str,
    about: str,
    rows: Sequence[tuple[str, int]],
    write: Callable[[int], str],
) -> Chart:
    """Bars below each other, each under its name. What is below zero has no length."""
    most = max((value for _, value in rows), default=0)
    bars = tuple(
        Bar(
            x=0,
            y=place * _ROW + 22,
            width=round(max(value, 0) * WIDTH / max(most, 1), 2),
            height=14,
            says=f"{name}: {write(value)}",
            name=_short(name, _LONGEST_NAME - len(write(value))),
            value=write(value),
        )
        for place, (name, value) in enumerate(rows)
    )
    return Chart(id=id, title=title, about=about, height=max(len(rows), 1) * _ROW, bars=bars)


def ceiling(value: int) -> int:
    """The next of 1, 2, 4, 6, 8, 10, 20, … that isn't below the value."""
    if value <= 1:
        return 1
    power = int(10 ** (len(str(value)) - 1))
    return next(steps * power for steps in (1, 2, 4, 6, 8, 10) if steps * power >= value)


def _steps(values: Sequence[int | None], step: float, floor: float, unit: float) -> str:
    """A path at the height of each value, with gaps where none is known."""
    parts: list[str] = []
    last: int | None = None
    for place, value in enumerate(values):
        if value is not None:
            y = round(floor - value * unit, 1)
            begin = f"M{place * step:.1f} {y:g}" if last is None else f"V{y:g}"
            parts.append(f"{begin}H{(place + 1) * step:.1f}")
        last = value
    return "".join(parts)


def _ends(names: Sequence[str]) -> Sequence[Mark]:
    if not names:
        return ()
    y = HEIGHT - 8
    first = Mark(x=0, y=y, text=names[0])
    if len(names) == 1:
        return (first,)
    return (first, Mark(x=WIDTH, y=y, text=names[-1], anchor="end"))


def _short(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: max(length - 1, 1)].rstrip()}…"
