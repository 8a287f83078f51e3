"""What a replay is going to do, worked out from the file alone before anything is played.

The whole file is read once, so that the catalogue and the opening stock are the same however much
of it is played; only the figures keep to the part that is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol

from storekeeper.domain.catalog import ProductDetails
from storekeeper.domain.money import Money
from storekeeper.domain.types import Struct
from storekeeper.replay.catalogue import CatalogueBuilder, CatalogueProduct
from storekeeper.replay.figures import Figures, FiguresCount
from storekeeper.replay.happenings import Happening, Return, Sale
from storekeeper.replay.matching import Claim
from storekeeper.replay.opening import OpeningStock
from storekeeper.replay.plan import plan
from storekeeper.replay.source import Row, SourceError, rows_from

CURRENCY = "GBP"
REPORT_EVERY = 2_000
Stage = Literal["pending", "confirmed", "shipped"]


class Watch(Protocol):
    """Hears how far a stage of long work has come; `unit` is "B" for bytes."""

    def __call__(self, stage: str, done: int, total: int, unit: str = "") -> None: ...


def unwatched(stage: str, done: int, total: int, unit: str = "") -> None:
    """Nobody looks."""


class Person(Struct, frozen=True, kw_only=True):
    """A customer as the shop will know them."""

    email: str
    name: str


class Script(Struct, frozen=True, kw_only=True):
    """Everything that a replay plays, in the order in which it does.

    `happenings` answers the same stream at each call, of which the first `count` are played.
    `claims`: the (customer, SKU) pairs that some return speaks of. `stage`: how far an order goes.
    """

    id: str
    begins_at: datetime
    products: tuple[ProductDetails, ...]
    opening: Mapping[str, int]
    people: Mapping[str, Person]
    happenings: Callable[[], Iterable[Happening]]
    count: int
    claims: frozenset[Claim]
    figures: Figures
    stage: Callable[[Sale], Stage] = lambda sale: "shipped"

    def played(self) -> Iterator[Happening]:
        return islice(self.happenings(), self.count)


class Part:
    """The part of a file that is played: the invoices before `until`, and at most `limit`."""

    def __init__(self, until: datetime | None, limit: int | None) -> None:
        self._until = until
        self._limit = limit
        self._invoices: set[str] = set()
        self._over = False

    def takes(self, invoice_no: str, at: datetime) -> bool:
        """Whether the row's invoice is played. Rows are asked about in order."""
        if invoice_no in self._invoices:
            return True
        if self._limit is not None and len(self._invoices) >= self._limit:
            self._over = True
        if self._until is not None and at >= self._until:
            self._over = True
        if self._over:
            return False
        self._invoices.add(invoice_no)
        return True

    def holds(self, invoice_no: str) -> bool:
        return invoice_no in self._invoices


def script_of_file(
    path: Path,
    *,
    until: datetime | None = None,
    limit: int | None = None,
    watch: Watch = unwatched,
) -> Script:
    """The script of an exported file; raises `SourceError` for one that can't be played."""
    size = path.stat().st_size

    def rows() -> Iterator[Row]:
        with path.open("rb") as stream:
            for number, row in enumerate(rows_from(stream)):
                if number % REPORT_EVERY == 0:
                    watch("Reading the file", stream.tell(), size, "B")
                yield row
            watch("Reading the file", size, size, "B")

    def again() -> Iterator[Happening]:
        with path.open("rb") as stream:
            yield from plan(rows_from(stream))

    return script_of(_hash_of(path), rows(), again, Part(until, limit))


def script_of(
    id: str, rows: Iterable[Row], happenings: Callable[[], Iterable[Happening]], part: Part
) -> Script:
    """The script of `rows`, of which `happenings` answers the plan each time it is asked."""
    catalogue = CatalogueBuilder()
    figures = FiguresCount()
    opening = OpeningStock()
    customers: dict[str, None] = {}
    claims: set[Claim] = set()
    count = 0
    begins_at: datetime | None = None

    def counted() -> Iterator[Row]:
        for row in rows:
            catalogue.add(row)
            if part.takes(row.invoice_no, row.at):
                figures.add(row)
            yield row

    for happening in plan(counted()):
        opening.add(happening)
        begins_at = begins_at or happening.at
        if not part.holds(happening.invoice_no):
            continue
        count += 1
        if isinstance(happening, Sale | Return) and happening.customer_id is not None:
            customers[happening.customer_id] = None
        if isinstance(happening, Return) and happening.customer_id is not None:
            claims.update((happening.customer_id, line.sku) for line in happening.lines)
    if begins_at is None:
        raise SourceError("there are no invoice lines in it", 1)
    units = opening.units()
    return Script(
        id=id,
        begins_at=begins_at,
        products=tuple(details_of(product) for product in catalogue.products()),
        opening=units,
        people={id: person(id) for id in customers},
        happenings=happenings,
        count=count,
        claims=frozenset(claims),
        figures=figures.figures(units),
    )


def person(customer_id: str) -> Person:
    return Person(email=f"customer-{customer_id}@example.com", name=f"Customer {customer_id}")


def details_of(product: CatalogueProduct) -> ProductDetails:
    """What the shop will sell; a product that never had a price costs nothing."""
    return ProductDetails(
        sku=product.sku,
        name=product.name[:200],
        price=Money(amount=product.price_pence or 0, currency=CURRENCY),
        track_stock=product.tracks_stock,
    )


def _hash_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]
