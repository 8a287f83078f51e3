"""What a replay asks of a shop, in the words of its services and of its API alike."""

from __future__ import annotations

from collections.abc import Mapping

from storekeeper.domain.money import Money
from storekeeper.domain.orders import LineQuantity
from storekeeper.domain.types import AccountId
from storekeeper.replay.happenings import Adjustment, Return, Sale
from storekeeper.replay.script import CURRENCY, Stage
from storekeeper.services.checkout import LineRequest, PlaceOrder
from storekeeper.services.inventory import AdjustRequest, ReceiveRequest

NOTE_LENGTH = 2_000


def order(sale: Sale, customer_id: AccountId | None, stage: Stage) -> PlaceOrder:
    """The sale as an order at the file's prices; without a customer it is a guest's."""
    return PlaceOrder(
        lines=tuple(
            LineRequest(
                sku=line.sku,
                quantity=line.quantity,
                unit_price=Money(amount=line.unit_price_pence, currency=CURRENCY),
            )
            for line in sale.lines
        ),
        customer_id=customer_id,
        email=f"guest-{sale.invoice_no}@example.com" if customer_id is None else None,
        note=f"invoice {sale.invoice_no}",
        confirm=stage != "pending",
    )


def returned_lines(units: Mapping[int, int]) -> tuple[LineQuantity, ...]:
    """Units per line, lines counted from 0, as the order's own lines, which count from 1."""
    return tuple(
        LineQuantity(line_id=index + 1, quantity=count) for index, count in sorted(units.items())
    )


def reason(returned: Return) -> str:
    return f"invoice {returned.invoice_no}"


def adjustment(by: Return | Adjustment, sku: str, units: int, note: str) -> AdjustRequest:
    return AdjustRequest(
        sku=sku,
        quantity=units,
        reason="correction",
        reference=f"invoice {by.invoice_no}",
        note=note[:NOTE_LENGTH],
    )


def receipt(sku: str, quantity: int) -> ReceiveRequest:
    return ReceiveRequest(sku=sku, quantity=quantity, reference="opening stock")


# The keys that make every step harmless to repeat, for ever.


def product_key(sku: str) -> str:
    return f"replay:product:{sku}"


def opening_key(sku: str) -> str:
    return f"replay:opening:{sku}"


def person_key(customer_id: str) -> str:
    return f"replay:customer:{customer_id}"


def order_key(sale: Sale) -> str:
    return f"replay:{sale.reference}"


def shipping_key(sale: Sale) -> str:
    return f"replay:{sale.reference}:ship"


def return_key(returned: Return, sale: Sale) -> str:
    return f"replay:{returned.reference}:{sale.reference}"


def adjustment_key(by: Return | Adjustment, sku: str) -> str:
    return f"replay:{by.reference}:stock:{sku}"
