"""Papers of the day as PDF: picking lists, packing slips, label sheets.

Letters are Latin, Greek and Cyrillic (Fira Sans, SIL Open Font License); any other prints as a box.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar, cast

from storekeeper.domain.errors import Overloaded
from storekeeper.domain.orders import Address, Order, Shipment
from storekeeper.domain.picking import Pick
from storekeeper.domain.types import Struct
from storekeeper.http.answers import Answer
from storekeeper.services.picking import PickingList
from storekeeper.web.languages import Language
from storekeeper.web.visit import Visit

if TYPE_CHECKING:
    from fpdf import FPDF

T = TypeVar("T")
PDF = "application/pdf"
# More rows make a document that nobody carries.
MOST_ROWS = 2_000
_MARGIN = 15.0
_WIDTH = 210 - 2 * _MARGIN
_ROW = 5.5
# Of one cell.
_MOST_LINES = 6
# One at a time, so that orders keep most of the processor.
_desk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pdf")
MOST_WAITING = 32
_waiting = 0


class Column(Struct, frozen=True, kw_only=True):
    """A column of a table: its heading and its width in millimetres. `is_tick`: a box to tick."""

    head: str = ""
    width: float
    is_number: bool = False
    is_tick: bool = False


class Paper:
    """A4 sheets that are written from top to bottom, with numbered pages."""

    def __init__(self, language: Language, title: str, now: datetime) -> None:
        self.pdf = new_pdf(language, title, now)
        self._say = language.texts.gettext
        self.pdf.set_margins(_MARGIN, _MARGIN, _MARGIN)
        self.pdf.set_auto_page_break(auto=False)
        self._add_page()

    def heading(self, text: str, size: float = 12) -> None:
        self._room_for(20)
        self.pdf.set_font("Fira", "B", size)
        self.pdf.multi_cell(_WIDTH, size * 0.55, text, new_x="LMARGIN", new_y="NEXT", align="L")
        self.pdf.ln(1)

    def text(self, text: str, size: float = 9) -> None:
        self.pdf.set_font("Fira", "", size)
        self.pdf.multi_cell(_WIDTH, 5, text, new_x="LMARGIN", new_y="NEXT", align="L")

    def gap(self, height: float = 4) -> None:
        self.pdf.ln(height)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Rows with their headings, which stand again on every page that the table goes on to."""
        self._row(columns, [column.head for column in columns], is_head=True)
        for cells in rows:
            lines = self._wrapped(columns, cells)
            height = max(map(len, lines)) * _ROW
            if not self._has_room(height):
                self._add_page()
                self._row(columns, [column.head for column in columns], is_head=True)
            self._lines(columns, lines, height)

    def done(self) -> bytes:
        return bytes(self.pdf.output())

    def _row(
        self, columns: Sequence[Column], cells: Sequence[str], *, is_head: bool = False
    ) -> None:
        self.pdf.set_font("Fira", "B" if is_head else "", 9)
        self._lines(columns, [[cell] for cell in cells], _ROW, is_head=is_head)
        self.pdf.set_font("Fira", "", 9)

    def _wrapped(self, columns: Sequence[Column], cells: Sequence[str]) -> list[list[str]]:
        found: list[list[str]] = []
        for column, cell in zip(columns, cells, strict=True):
            if self.pdf.get_string_width(cell) <= column.width - 2:
                found.append([cell])
            else:
                found.append(wrapped(self.pdf, cell, column.width)[:_MOST_LINES])
        return found

    def _lines(
        self,
        columns: Sequence[Column],
        lines: Sequence[Sequence[str]],
        height: float,
        *,
        is_head: bool = False,
    ) -> None:
        x, y = _MARGIN, self.pdf.get_y()
        for column, cell in zip(columns, lines, strict=True):
            for number, text in enumerate(cell):
                self.pdf.set_xy(x, y + number * _ROW)
                self.pdf.cell(column.width, _ROW, text, align="R" if column.is_number else "L")
            if column.is_tick and not is_head:
                self.pdf.rect(x + column.width - 5, y + 1, 3.5, 3.5)
            x += column.width
        self.pdf.set_draw_color(170)
        self.pdf.line(_MARGIN, y + height + 0.3, _MARGIN + _WIDTH, y + height + 0.3)
        self.pdf.set_draw_color(0)
        self.pdf.set_xy(_MARGIN, y + height + 0.8)

    def _room_for(self, height: float) -> None:
        if not self._has_room(height):
            self._add_page()

    def _has_room(self, height: float) -> bool:
        return bool(self.pdf.get_y() + height < 297 - 18)

    def _add_page(self) -> None:
        self.pdf.add_page()
        at = self.pdf.get_y()
        self.pdf.set_font("Fira", "", 8)
        self.pdf.set_xy(_MARGIN, 297 - 14)
        number = self._say("Page %(number)s of %(all)s") % {
            "number": self.pdf.page_no(),
            "all": "{nb}",
        }
        self.pdf.cell(_WIDTH, 5, number, align="C")
        self.pdf.set_xy(_MARGIN, at)
        self.pdf.set_font("Fira", "", 9)


def new_pdf(language: Language, title: str, now: datetime) -> FPDF:
    """An empty document in the shop's typeface. Slow to import, so only here."""
    import fontpkg
    from fpdf import FPDF

    pdf = FPDF(format="A4", unit="mm")
    pdf.add_font("Fira", "", fontpkg.path("Fira Sans"))
    pdf.add_font("Fira", "B", fontpkg.path("Fira Sans", weight=600))
    pdf.set_font("Fira", "", 9)
    pdf.set_title(title)
    pdf.set_lang(language.code)
    pdf.set_creation_date(now)
    return pdf


def wrapped(pdf: FPDF, text: str, width: float) -> list[str]:
    """A text as the lines that it takes in the typeface that is set."""
    lines = pdf.multi_cell(width, 5, text, dry_run=True, output="LINES", align="L")
    return cast(list[str], lines)


def picking_paper(
    language: Language,
    shop_name: str,
    found: PickingList,
    places: Mapping[str, str],
    now: datetime,
) -> bytes:
    """What to take from which shelf; each location begins with its name."""
    say, number = language.texts.gettext, language.number
    paper = Paper(language, say("Picking list"), now)
    paper.heading(f"{shop_name}: {say('Picking list')}", 16)
    paper.text(
        say("%(orders)s orders, %(units)s units, as of %(time)s")
        % {
            "orders": number(found.orders),
            "units": number(found.units),
            "time": language.moment(now),
        }
    )
    if not found.is_all or len(found.picks) > MOST_ROWS:
        paper.text(say("More is waiting than this list holds."))
    columns = (
        Column(head=say("SKU"), width=35),
        Column(head=say("Product"), width=95),
        Column(head=say("Orders"), width=17, is_number=True),
        Column(head=say("Units"), width=20, is_number=True),
        Column(width=13, is_tick=True),
    )
    for place, group in groupby(found.picks[:MOST_ROWS], key=lambda pick: pick.location_id):
        paper.gap()
        paper.heading(places.get(place, place))
        paper.table(columns, [_pick_cells(pick, number) for pick in group])
    return paper.done()


def _pick_cells(pick: Pick, number: Callable[[int], str]) -> Sequence[str]:
    return pick.sku, pick.name, number(pick.orders), number(pick.units), ""


def packing_paper(
    language: Language, shop_name: str, order: Order, shipment: Shipment | None, now: datetime
) -> bytes:
    """What belongs into the parcel: a shipment's units, or all that hasn't left; no prices."""
    from storekeeper.web.admin.labels import bars_of, draw_bars

    say, number = language.texts.gettext, language.number
    paper = Paper(language, say("Packing slip"), now)
    bars = bars_of(order.number, 55)
    if bars is not None:
        draw_bars(paper.pdf, bars, x=140, y=_MARGIN, width=55, height=10)
    paper.heading(shop_name, 16)
    title = say("Packing slip for order %(number)s") % {"number": order.number}
    paper.heading(title, 12)
    paper.text(say("Placed %(time)s") % {"time": language.moment(order.placed_at)})
    paper.gap()
    if order.shipping_address is not None:
        paper.text("\n".join(address_lines(language, order.shipping_address)), 11)
        paper.gap()
    inside = (
        {one.line_id: one.quantity for one in shipment.lines}
        if shipment is not None
        else {line.id: line.unshipped for line in order.lines}
    )
    lines = [line for line in order.lines if inside.get(line.id)]
    columns = (
        Column(head=say("SKU"), width=35),
        Column(head=say("Product"), width=82),
        Column(head=say("Ordered"), width=22, is_number=True),
        Column(head=say("In this parcel"), width=28, is_number=True),
        Column(width=13, is_tick=True),
    )
    paper.table(
        columns,
        [
            (line.sku, line.name, number(line.quantity), number(inside[line.id]), "")
            for line in lines[:MOST_ROWS]
        ],
    )
    if len(lines) > MOST_ROWS:
        paper.text(say("More is waiting than this list holds."))
    if order.note:
        paper.gap()
        paper.heading(say("Note of the customer"), 10)
        paper.text(order.note)
    return paper.done()


def address_lines(language: Language, address: Address) -> list[str]:
    """An address as it is written on a parcel, without empty lines."""
    parts = (
        address.name,
        address.line1,
        address.line2,
        f"{address.postal_code} {address.city}".strip(),
        address.region,
        language.country(address.country),
    )
    return [part for part in parts if part]


async def made(make: Callable[[], T]) -> T:
    """Makes a document beside the event loop; the next one waits for its turn, and one too many
    is refused: raises `Overloaded`."""
    global _waiting  # noqa: PLW0603
    if _waiting >= MOST_WAITING:
        raise Overloaded("too many papers are being made; try again shortly", retry_after=5)
    _waiting += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_desk, make)
    finally:
        _waiting -= 1


def pdf_answer(visit: Visit, body: bytes, name: str) -> Answer[bytes]:
    """Shown in the browser, and saved under a name of letters, digits and dashes."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in name if letter.isascii())
    return Answer(
        body,
        media_type=PDF,
        headers={"Content-Disposition": f'inline; filename="{plain}.pdf"'},
        raw_headers=visit.jar.headers(),
    )
