"""Builders of invoice lines for these tests."""

from __future__ import annotations

from storekeeper.replay.source import COLUMNS, Row, parse_rows

HEADER = ",".join(COLUMNS)


def csv_line(
    invoice_no="536365",
    at="2010-12-01T08:26",
    customer_id="17850",
    country="United Kingdom",
    code="85123A",
    description="WHITE HANGING HEART T-LIGHT HOLDER",
    quantity="6",
    price="2.55",
) -> str:
    fields = (invoice_no, at, customer_id, country, code, description, str(quantity), price)
    return ",".join(fields)


def correction(invoice_no="536589", quantity="-10", description="", **fields) -> str:
    """A line as the shop writes it when it corrects its stock: no customer, no price."""
    return csv_line(
        invoice_no=invoice_no,
        quantity=quantity,
        description=description,
        **{"customer_id": "", "price": "0.00", **fields},
    )


def rows_of(*lines: str) -> list[Row]:
    return list(parse_rows("\n".join((HEADER, *lines)).splitlines(keepends=True)))
