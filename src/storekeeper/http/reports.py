"""`/reports`: the shop in figures, for staff and for keys that may read reports."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from litestar import Controller, Request, get
from litestar.params import QueryParameter
from litestar.response import Stream

from storekeeper.domain.money import Money
from storekeeper.domain.types import Struct
from storekeeper.http.answers import CSV, Answer, csv_stream
from storekeeper.http.openapi import BEARER, needs_login
from storekeeper.http.paging import Cursor, Limit, PageView, page_answer
from storekeeper.http.parameters import as_utc
from storekeeper.services.reports import Reports
from storekeeper.store.port import (
    SalesBy,
    SalesQuery,
    SalesRow,
    StockValueBy,
    StockValueQuery,
    StockValueRow,
    Summary,
)

ApiRequest = Request[Any, Any, Any]
ACCESS = "reports:read"
SalesKey = Annotated[
    SalesBy,
    QueryParameter(
        description="What to add up by: buckets of time in UTC (weeks begin on Monday), or what "
        "was sold, or to whom."
    ),
]
StockKey = Annotated[StockValueBy, QueryParameter(description="What to add up by.")]
From = Annotated[
    datetime | None,
    QueryParameter(name="from", description="Placed at this time or later; with its zone."),
]
Before = Annotated[
    datetime | None, QueryParameter(description="Placed before this time; with its zone.")
]


class SummaryView(Struct, frozen=True, kw_only=True):
    """The shop in figures. `orders` by state; a state without orders is left out.

    Sales count what was confirmed and not cancelled, before returns, which stand beside them.
    """

    products: int
    accounts: int
    orders: dict[str, int]
    sold_orders: int
    sold_units: int
    revenue: tuple[Money, ...]
    returns: int
    returned_units: int
    returned_value: tuple[Money, ...]
    units_on_hand: int
    units_reserved: int
    low_products: int
    movements: int


class SalesView(Struct, frozen=True, kw_only=True):
    """The sales of one key in one currency: what was confirmed and not cancelled, before returns.

    `key` is the first day of the bucket, the product's id, the category in small letters (empty:
    without one), or the customer's id (`guests`: orders without an account). `sku` and `name` are
    those of the product or category now. Returned units count under the time of their order.
    """

    key: str
    sku: str | None
    name: str | None
    currency: str
    orders: int
    units: int
    revenue: Money
    returned_units: int
    returned_value: Money


class StockValueView(Struct, frozen=True, kw_only=True):
    """Units on hand of one key in one currency, and what they would sell for at today's prices.

    `key` is the category in small letters (empty: without one) or the location's id. `products` is
    how many of them have units there.
    """

    key: str
    name: str | None
    currency: str
    products: int
    units: int
    value: Money


def summary_view(summary: Summary) -> SummaryView:
    return SummaryView(
        products=summary.products,
        accounts=summary.accounts,
        orders=summary.orders,
        sold_orders=summary.sold_orders,
        sold_units=summary.sold_units,
        revenue=_sums(summary.revenue),
        returns=summary.returns,
        returned_units=summary.returned_units,
        returned_value=_sums(summary.returned_value),
        units_on_hand=summary.units_on_hand,
        units_reserved=summary.units_reserved,
        low_products=summary.low_products,
        movements=summary.movements,
    )


def sales_view(row: SalesRow) -> SalesView:
    return SalesView(
        key=row.key,
        sku=row.sku,
        name=row.name,
        currency=row.currency,
        orders=row.orders,
        units=row.units,
        revenue=Money(amount=row.revenue, currency=row.currency),
        returned_units=row.returned_units,
        returned_value=Money(amount=row.returned_value, currency=row.currency),
    )


def stock_value_view(row: StockValueRow) -> StockValueView:
    return StockValueView(
        key=row.key,
        name=row.name,
        currency=row.currency,
        products=row.products,
        units=row.units,
        value=Money(amount=row.value, currency=row.currency),
    )


def _sums(by_currency: dict[str, int]) -> tuple[Money, ...]:
    return tuple(
        Money(amount=amount, currency=currency) for currency, amount in sorted(by_currency.items())
    )


def reports_of(request: ApiRequest) -> Reports:
    found: Reports = request.app.state.shop.reports
    return found


class ReportsController(Controller):
    path = "/reports"
    tags = ["reports"]
    security = BEARER

    @get("/summary", access=ACCESS, summary="The shop in figures", responses=needs_login())
    async def summary(self, request: ApiRequest) -> Answer[SummaryView]:
        """Of this moment. Reads every order: seconds in a shop that had a million of them."""
        return Answer(summary_view(await reports_of(request).summary()))

    @get("/sales", access=ACCESS, summary="Add up sales", responses=needs_login())
    async def sales(
        self,
        request: ApiRequest,
        by: SalesKey = "day",
        placed_from: From = None,
        before: Before = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Answer[PageView[SalesView]]:
        """Buckets of time come oldest first, without those in which nothing was sold; others in
        the order of their keys. A page by time reads its own orders, any other all of the range.
        """
        page = await reports_of(request).sales(_sales_query(by, placed_from, before, limit, cursor))
        return page_answer(request, page, sales_view)

    @get(
        "/sales/export",
        access=ACCESS,
        summary="Export sales as CSV",
        responses=needs_login(),
        media_type=CSV,
    )
    async def export_sales(
        self,
        request: ApiRequest,
        by: SalesKey = "day",
        placed_from: From = None,
        before: Before = None,
    ) -> Stream:
        """All pages of the report; money as decimals of its currency."""
        query = _sales_query(by, placed_from, before)
        return csv_stream(await reports_of(request).export_sales(query), f"sales-by-{by}")

    @get(
        "/stock-value",
        access=ACCESS,
        summary="Add up the worth of stock",
        responses=needs_login(),
    )
    async def stock_value(
        self,
        request: ApiRequest,
        by: StockKey = "category",
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Answer[PageView[StockValueView]]:
        """Units on hand times the price of now, in the order of the keys. Reads every level."""
        page = await reports_of(request).stock_value(
            StockValueQuery(by=by, limit=limit, cursor=cursor)
        )
        return page_answer(request, page, stock_value_view)

    @get(
        "/stock-value/export",
        access=ACCESS,
        summary="Export the worth of stock as CSV",
        responses=needs_login(),
        media_type=CSV,
    )
    async def export_stock_value(self, request: ApiRequest, by: StockKey = "category") -> Stream:
        """All pages of the report; money as decimals of its currency."""
        text = await reports_of(request).export_stock_value(StockValueQuery(by=by))
        return csv_stream(text, f"stock-value-by-{by}")


def _sales_query(
    by: SalesBy,
    placed_from: datetime | None,
    before: datetime | None,
    limit: int = 50,
    cursor: str | None = None,
) -> SalesQuery:
    return SalesQuery(
        by=by,
        placed_from=as_utc(placed_from, "from"),
        placed_before=as_utc(before, "before"),
        limit=limit,
        cursor=cursor,
    )
