"""Sheets of labels: a product's name and its SKU as a barcode or a QR code."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from storekeeper.domain.catalog import Product
from storekeeper.domain.types import Struct
from storekeeper.web.admin.documents import new_pdf, wrapped
from storekeeper.web.languages import Language

if TYPE_CHECKING:
    from fpdf import FPDF

CodeKind = Literal["code128", "qr"]
MOST_LABELS = 1_000
# Bars thinner than this don't read from a common printer (ISO/IEC 15417, GS1 General
# Specifications: 0.19 mm at least for hand scanners).
_THINNEST = 0.19
_WIDEST = 0.38
_QUIET = 10


class Sheet(Struct, frozen=True, kw_only=True):
    """A sheet of A4 as it is sold, in millimetres."""

    id: str
    columns: int
    rows: int
    width: float
    height: float
    left: float
    top: float
    gap: float = 0.0
    # What printers leave white at the edge of the paper, where labels go up to it.
    pad: float = 2.0

    @property
    def on_a_page(self) -> int:
        return self.columns * self.rows

    @property
    def size(self) -> str:
        return f"{self.width:g}\N{MULTIPLICATION SIGN}{self.height:g} mm"


SHEETS = (
    Sheet(id="24", columns=3, rows=8, width=70, height=37, left=0, top=0.5, pad=4.5),
    Sheet(id="21", columns=3, rows=7, width=63.5, height=38.1, left=7.25, top=15.15, gap=2.5),
    Sheet(id="65", columns=5, rows=13, width=38.1, height=21.2, left=4.75, top=10.7, gap=2.5),
    Sheet(id="8", columns=2, rows=4, width=99.1, height=67.7, left=4.65, top=13.1, gap=2.5),
)


class Bars(Struct, frozen=True, kw_only=True):
    """A Code 128: its modules (1: bar, 0: space) and the width of one in millimetres."""

    modules: str
    module: float


class Label(Struct, frozen=True, kw_only=True):
    """A product, how many labels of it, and its price as it is to be printed (empty: without)."""

    product: Product
    copies: int
    price: str = ""


def label_paper(
    language: Language,
    labels: Sequence[Label],
    sheet: Sheet,
    kind: CodeKind,
    *,
    skip: int,
    now: datetime,
) -> bytes:
    """The labels from left to right, after `skip` places that are used up already. A SKU that
    doesn't fit into bars gets a QR code."""
    pdf = new_pdf(language, language.texts.gettext("Labels"), now)
    pdf.set_auto_page_break(auto=False)
    pdf.c_margin = 0
    place = skip
    for label in labels:
        code = _code_of(label.product.sku, kind, sheet)
        for _ in range(label.copies):
            spot = place % sheet.on_a_page
            if not pdf.page or spot == 0:
                pdf.add_page()
            row, column = divmod(spot, sheet.columns)
            x = sheet.left + column * (sheet.width + sheet.gap)
            _draw(pdf, label, sheet, code, x, sheet.top + row * sheet.height)
            place += 1
    return bytes(pdf.output())


def _code_of(sku: str, kind: CodeKind, sheet: Sheet) -> Bars | bytes:
    """What all labels of a product show: bars, or a QR code as a PNG."""
    bars = bars_of(sku, sheet.width - 2 * sheet.pad) if kind == "code128" else None
    return bars or _qr_of(sku)


def _draw(pdf: FPDF, label: Label, sheet: Sheet, code: Bars | bytes, x: float, y: float) -> None:
    is_small = sheet.height < 30
    size = 6.0 if is_small else 8.0
    step = size * 0.42
    name_lines = 1 if is_small else 2
    inner = sheet.width - 2 * sheet.pad
    sku = label.product.sku
    top = y + sheet.pad
    code_height = sheet.height - 2 * sheet.pad - step * (name_lines + 1) - 1.5
    if isinstance(code, Bars):
        text_x, text_width = x + sheet.pad, inner
    else:
        # The QR code stands at the left, the words beside it.
        side = min(sheet.height - 2 * sheet.pad, inner * 0.45)
        pdf.image(io.BytesIO(code), x + sheet.pad, top, side, side)
        text_x, text_width = x + sheet.pad + side + 1.5, inner - side - 1.5
        name_lines += 2
    pdf.set_font("Fira", "", size)
    lines = wrapped(pdf, label.product.name, text_width)[:name_lines]
    for number, text in enumerate(lines):
        pdf.set_xy(text_x, top + number * step)
        pdf.cell(text_width, step, text)
    if isinstance(code, Bars):
        draw_bars(pdf, code, text_x, top + name_lines * step + 0.7, text_width, code_height)
    pdf.set_font("Fira", "B", size)
    pdf.set_xy(text_x, y + sheet.height - sheet.pad - step)
    price_width = pdf.get_string_width(label.price) + 1 if label.price else 0
    pdf.cell(text_width - price_width, step, _fitted(pdf, sku, text_width - price_width))
    if label.price:
        pdf.cell(price_width, step, label.price, align="R")


def bars_of(text: str, width: float) -> Bars | None:
    """A text as Code 128; None for one that it can't say, or not within `width` so that scanners
    read it."""
    from barcode import Code128
    from barcode.errors import IllegalCharacterError

    if not text.isascii():
        return None
    try:
        modules: str = Code128(text).build()[0]
    except IllegalCharacterError:
        return None
    module = min(_WIDEST, width / (len(modules) + 2 * _QUIET))
    return Bars(modules=modules, module=module) if module >= _THINNEST else None


def draw_bars(pdf: FPDF, bars: Bars, x: float, y: float, width: float, height: float) -> None:
    """In the middle of `width`."""
    modules, module = bars.modules, bars.module
    at = x + (width - len(modules) * module) / 2
    pdf.set_fill_color(0)
    start = 0
    while (start := modules.find("1", start)) >= 0:
        end = modules.find("0", start)
        end = len(modules) if end < 0 else end
        pdf.rect(at + start * module, y, (end - start) * module, height, style="F")
        start = end


def _qr_of(text: str) -> bytes:
    """A QR code with its quiet zone of four modules (ISO/IEC 18004), as a PNG."""
    import segno

    picture = io.BytesIO()
    segno.make(text, error="m", micro=False).save(picture, kind="png", scale=8, border=4)
    return picture.getvalue()


def _fitted(pdf: FPDF, text: str, width: float) -> str:
    """As much of a text as there is room for."""
    if pdf.get_string_width(text) <= width:
        return text
    while text and pdf.get_string_width(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
