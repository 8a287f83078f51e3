"""Which orders a page shows, as it stands in the page's address."""

from __future__ import annotations

from typing import Any

from storekeeper.domain.errors import Invalid
from storekeeper.domain.orders import OrderState
from storekeeper.domain.types import AccountId, Struct, fold_sku
from storekeeper.services.account_records import account_by_email
from storekeeper.services.order_numbers import normal_number
from storekeeper.store.port import OrderQuery
from storekeeper.web.admin.days import MOST_CURSOR, day_of, next_day
from storekeeper.web.visit import Visit, with_query

STATES: tuple[OrderState, ...] = OrderState.__args__  # type: ignore[attr-defined]


class OrderFilters(Struct, frozen=True, kw_only=True):
    """As typed. `since` and `until` are days in UTC, both included."""

    state: str = ""
    number: str = ""
    sku: str = ""
    customer: str = ""
    since: str = ""
    until: str = ""

    def values(self, **other: Any) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__struct_fields__} | other

    def address(self, **other: Any) -> str:
        """The table with some of the filters changed, from its first page."""
        return with_query("/admin/orders", self.values(**other))

    @property
    def is_any(self) -> bool:
        return any(self.values().values())


def filters_of(visit: Visit) -> OrderFilters:
    return OrderFilters(
        **{name: visit.query.get(name, "").strip()[:254] for name in OrderFilters.__struct_fields__}
    )


async def query_of(visit: Visit, filters: OrderFilters, limit: int) -> OrderQuery | None:
    """What to ask the store; None where no order can fit. Raises `Invalid` with the field."""
    state = next((one for one in STATES if one == filters.state), None)
    if filters.state and state is None:
        raise Invalid(visit.say("There is no such state; choose one of the list."), field="state")
    since = day_of(visit, filters.since, "since")
    until = day_of(visit, filters.until, "until")
    customer_id: AccountId | None = None
    if filters.customer:
        account = await account_by_email(visit.pages.shop.store, filters.customer)
        if account is None:
            return None
        customer_id = account.id
    return OrderQuery(
        state=state,
        number=normal_number(filters.number) if filters.number else None,
        sku=fold_sku(filters.sku) if filters.sku else None,
        customer_id=customer_id,
        placed_from=since,
        placed_before=None if until is None else next_day(until),
        limit=limit,
        cursor=visit.query.get("cursor", "")[:MOST_CURSOR] or None,
    )
