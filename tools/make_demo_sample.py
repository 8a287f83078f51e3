"""Picks the demo shop's invoices out of the real file; same file in, same sample out.

    python tools/make_demo_sample.py ../shared/data/online-retail/lines-2010-12-to-2011-08.csv.gz

The demo shop has the best sellers of each category. Customers are taken in an order that is random
but fixed (a hash of their number), each with all their invoices and returns, so that a customer's
history hangs together; guests' invoices and stock corrections are picked by the same hash. Lines
about other products are left out, so an invoice is smaller than it was and never changed otherwise.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
from collections import Counter, defaultdict
from pathlib import Path

from storekeeper.demo.naming import SERVICES, category
from storekeeper.replay.catalogue import CatalogueProduct, catalogue_of
from storekeeper.replay.codes import canonical_sku
from storekeeper.replay.happenings import Adjustment, Happening, Return, Sale
from storekeeper.replay.plan import plan
from storekeeper.replay.source import COLUMNS, read_rows, text_of

PRODUCTS = 300
CARRIAGE = frozenset({"POST", "C2"})
CUSTOMER_LINES = 2_800
GUEST_LINES = 170
GUEST_INVOICE_LINES = range(1, 9)
CORRECTIONS = 40
CUSTOMER_INVOICES = range(2, 13)
LARGEST_QUANTITY = 200
TARGET = Path(__file__).parent.parent / "src" / "storekeeper" / "demo" / "sample.csv.gz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the real file, plain or gzip")
    parser.add_argument("--target", type=Path, default=TARGET)
    options = parser.parse_args()
    rows = list(read_rows(options.source))
    happenings = list(plan(rows))
    skus = best_sellers(catalogue_of(rows), happenings) | CARRIAGE
    invoices = pick_invoices(happenings, skus)
    chosen = {
        row.line
        for row in rows
        if row.invoice_no in invoices and canonical_sku(row.stock_code) in skus
    }
    text = lines_of(options.source, chosen)
    # Without a time in its header the file is the same bytes each time it is made.
    options.target.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    print(f"{len(chosen)} lines of {len(invoices)} invoices, {options.target.stat().st_size} bytes")


def best_sellers(products: list[CatalogueProduct], happenings: list[Happening]) -> frozenset[str]:
    """The `PRODUCTS` goods that stand on the most orders, taking turns between categories."""
    orders = Counter(
        sku
        for happening in happenings
        if isinstance(happening, Sale) and happening.customer_id
        for sku in {line.sku for line in happening.lines}
    )
    by_category: dict[str, list[str]] = defaultdict(list)
    for product in sorted(products, key=lambda product: (-orders[product.sku], product.sku)):
        group = category(product.name)
        if product.tracks_stock and product.price_pence and group != SERVICES:
            by_category[group].append(product.sku)
    chosen: list[str] = []
    rank = 0
    while len(chosen) < PRODUCTS:
        turn = [skus[rank] for skus in by_category.values() if rank < len(skus)]
        chosen.extend(sorted(turn, key=lambda sku: (-orders[sku], sku)))
        rank += 1
    return frozenset(chosen[:PRODUCTS])


def pick_invoices(happenings: list[Happening], skus: frozenset[str]) -> set[str]:
    """The numbers of the invoices whose lines about `skus` make the sample."""
    return (
        customer_invoices(happenings, skus)
        | guest_invoices(happenings, skus)
        | corrections(happenings, skus)
    )


def customer_invoices(happenings: list[Happening], skus: frozenset[str]) -> set[str]:
    """All invoices of some ordinary customers: neither one-time buyers nor wholesalers."""
    invoices: dict[str, list[Sale | Return]] = defaultdict(list)
    for happening in happenings:
        if (
            isinstance(happening, Sale | Return)
            and happening.customer_id
            and about(happening, skus)
        ):
            invoices[happening.customer_id].append(happening)
    picked: set[str] = set()
    lines = 0
    for customer in sorted(invoices, key=shuffled):
        theirs = invoices[customer]
        if len(theirs) not in CUSTOMER_INVOICES or any(is_bulk(one, skus) for one in theirs):
            continue
        if not isinstance(theirs[0], Sale):
            continue
        picked.update(one.invoice_no for one in theirs)
        lines += sum(about(one, skus) for one in theirs)
        if lines >= CUSTOMER_LINES:
            break
    return picked


def guest_invoices(happenings: list[Happening], skus: frozenset[str]) -> set[str]:
    sales = {
        happening.invoice_no: about(happening, skus)
        for happening in happenings
        if isinstance(happening, Sale)
        and happening.customer_id is None
        and len(happening.lines) in GUEST_INVOICE_LINES
        and about(happening, skus)
        and happening.amount_pence
    }
    picked: set[str] = set()
    lines = 0
    for invoice_no in sorted(sales, key=shuffled):
        if lines >= GUEST_LINES:
            break
        picked.add(invoice_no)
        lines += sales[invoice_no]
    return picked


def corrections(happenings: list[Happening], skus: frozenset[str]) -> set[str]:
    numbers = {
        happening.invoice_no
        for happening in happenings
        if isinstance(happening, Adjustment)
        and happening.sku in skus
        and abs(happening.quantity) <= LARGEST_QUANTITY
    }
    return set(sorted(numbers, key=shuffled)[:CORRECTIONS])


def about(happening: Sale | Return, skus: frozenset[str]) -> int:
    """How many lines of goods are about `skus`; carriage alone makes no order."""
    return sum(line.sku in skus - CARRIAGE for line in happening.lines)


def is_bulk(happening: Sale | Return, skus: frozenset[str]) -> bool:
    return any(line.quantity > LARGEST_QUANTITY for line in happening.lines if line.sku in skus)


def shuffled(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def lines_of(source: Path, chosen: set[int]) -> str:
    """The chosen lines with all their columns as they stand in the file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    with source.open("rb") as stream:
        reader = csv.reader(text_of(stream))
        header = next(reader)
        columns = [header.index(name) for name in COLUMNS]
        writer.writerow(COLUMNS)
        for fields in reader:
            if reader.line_num in chosen:
                writer.writerow([fields[column] for column in columns])
    return text.getvalue()


if __name__ == "__main__":
    main()
