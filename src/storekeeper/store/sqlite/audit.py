"""Recomputing what the shop keeps from what it wrote down; never on a request's path."""

from __future__ import annotations

from collections import Counter
from typing import Any

from storekeeper.domain.orders import Order, reserved_by
from storekeeper.domain.stock import is_low
from storekeeper.store.port import Difference, Summary
from storekeeper.store.sqlite import kinds
from storekeeper.store.sqlite.reader import Reader

SOLD = (
    "confirmed",
    "partially_shipped",
    "shipped",
    "delivered",
    "partially_returned",
    "returned",
)


def verify(reader: Reader) -> list[Difference]:
    """Every level and total against the ledger's sums and the open orders, in one snapshot."""
    reader.connection.execute("BEGIN")
    try:
        return _verify(reader)
    finally:
        reader.connection.execute("COMMIT")


def _verify(reader: Reader) -> list[Difference]:
    ids: dict[int, str] = dict(reader.rows("SELECT pk, id FROM product"))
    kept = {
        (ids[pk], location): (on_hand, reserved)
        for pk, location, on_hand, reserved in reader.rows(
            "SELECT product_pk, location_id, on_hand, reserved FROM stock"
        )
    }
    ledger = {
        (ids[pk], location): (on_hand, reserved)
        for pk, location, on_hand, reserved in reader.rows(
            "SELECT product_pk, location_id, sum(on_hand), sum(reserved) FROM movement "
            "GROUP BY product_pk, location_id"
        )
    }
    promised: Counter[Any] = Counter()
    for (doc,) in reader.stream("SELECT doc FROM orders WHERE state = 'pending'"):
        promised.update(reserved_by(kinds.decode(Order, doc)))
    found: list[Difference] = []

    def compare(key: Any, what: Any, is_kept: int, recomputed: int) -> None:
        if is_kept != recomputed:
            found.append(
                Difference(
                    product_id=key[0],
                    location_id=key[1],
                    what=what,
                    kept=is_kept,
                    recomputed=recomputed,
                )
            )

    sums: dict[str, list[int]] = {}
    for key in sorted({*kept, *ledger, *promised}):
        on_hand, reserved = kept.get(key, (0, 0))
        told_on_hand, told_reserved = ledger.get(key, (0, 0))
        compare(key, "on_hand", on_hand, told_on_hand)
        compare(key, "ledger_reserved", reserved, told_reserved)
        compare(key, "reserved", reserved, promised.get(key, 0))
        # Not the levels' sums: where both are wrong together, that would say nothing.
        total = sums.setdefault(key[0], [0, 0])
        total[0] += told_on_hand
        total[1] += promised.get(key, 0)
    for pk, on_hand, reserved, threshold, low in reader.rows(
        "SELECT product_pk, on_hand, reserved, threshold, is_low FROM total"
    ):
        wanted = sums.get(ids[pk], [0, 0])
        compare((ids[pk], ""), "total_on_hand", on_hand, wanted[0])
        compare((ids[pk], ""), "total_reserved", reserved, wanted[1])
        compare((ids[pk], ""), "low", low, int(is_low(on_hand - reserved, threshold)))
    return found


def summarize(reader: Reader) -> Summary:
    """The shop in figures, from its orders and levels."""
    states: Counter[str] = Counter()
    revenue: Counter[str] = Counter()
    returned_value: Counter[str] = Counter()
    sold_orders = sold_units = returns = returned_units = 0
    for (doc,) in reader.stream("SELECT doc FROM orders"):
        order: Order = kinds.decode(Order, doc)
        states[order.state] += 1
        if order.state in SOLD:
            sold_orders += 1
            for line in order.lines:
                kept = line.quantity - line.cancelled
                sold_units += kept
                revenue[order.currency] += line.unit_price.amount * kept
                returned_units += line.returned
                returned_value[order.currency] += line.unit_price.amount * line.returned
            returns += len(order.returns)
    on_hand, reserved = reader.rows(
        "SELECT coalesce(sum(on_hand), 0), coalesce(sum(reserved), 0) FROM total"
    )[0]
    return Summary(
        products=reader.rows("SELECT count(*) FROM product WHERE version > 0")[0][0],
        accounts=reader.customer_count(),
        orders=dict(states),
        sold_orders=sold_orders,
        sold_units=sold_units,
        revenue=dict(revenue),
        returns=returns,
        returned_units=returned_units,
        returned_value={code: value for code, value in returned_value.items() if value},
        units_on_hand=on_hand,
        units_reserved=reserved,
        low_products=reader.low_count(),
        movements=reader.rows("SELECT count(*) FROM movement")[0][0],
    )
