"""How records become rows: the kinds kept as documents, and what of them is indexed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from storekeeper.domain.accounts import (
    Account,
    ApiKey,
    Attempts,
    OutsideIdentity,
    ResetLink,
    Session,
)
from storekeeper.domain.audit import AuditEntry, said_by
from storekeeper.domain.carts import Cart
from storekeeper.domain.catalog import Product
from storekeeper.domain.invoices import Invoice, Series
from storekeeper.domain.notes import OrderNote
from storekeeper.domain.orders import Order
from storekeeper.domain.pictures import Picture
from storekeeper.domain.shop_settings import ShopSettings
from storekeeper.domain.stock import Location
from storekeeper.domain.stocktakes import CountLine, StockTake
from storekeeper.domain.views import OrderViews
from storekeeper.domain.work import (
    Delivery,
    Job,
    Lease,
    Position,
    Setting,
    Traffic,
    WebhookEndpoint,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# How long a delivery that went well can be looked up.
DELIVERED_KEPT = timedelta(days=30)
_encode = msgspec.json.Encoder().encode
Indexes = Callable[[Any], dict[str, str]]


def micros(at: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)


def sortable(at: datetime) -> str:
    """A time as text that sorts like the time."""
    return f"{micros(at):020d}"


def _none(_: Any) -> dict[str, str]:
    return {}


def _account(record: Account) -> dict[str, str]:
    return {"status": record.status, "role": f"{record.status}:{record.role}"}


def _session(record: Session) -> dict[str, str]:
    return {"account_id": record.account_id, "expires": sortable(record.expires_at)}


def _api_key(record: ApiKey) -> dict[str, str]:
    return {"account_id": record.account_id}


def _expiring(record: ResetLink | Attempts | Cart | Traffic) -> dict[str, str]:
    return {"expires": sortable(record.expires_at)}


def _reset_link(record: ResetLink) -> dict[str, str]:
    return {"expires": sortable(record.expires_at), "account_id": record.account_id}


def _stock_take(record: StockTake) -> dict[str, str]:
    return {"state": record.state, "expires": sortable(record.expires_at)}


def _count_line(record: CountLine) -> dict[str, str]:
    found = {
        "take": record.take_id,
        "status": f"{record.take_id}|{record.status}",
        "product": f"{record.take_id}|{record.product_id}",
        "expires": sortable(record.expires_at),
    }
    if record.code:
        found["code"] = f"{record.take_id}|{record.code}"
    return found


def _delivery(record: Delivery) -> dict[str, str]:
    found = {
        "sink": record.sink,
        "state": record.state,
        "sink_state": f"{record.sink}|{record.state}",
    }
    if record.state == "failing" and record.next_at is not None:
        found["due"] = f"{record.sink}|{sortable(record.next_at)}"
        found["blocked"] = f"{record.sink}|{record.subject}"
    if record.state == "delivered":
        found["expires"] = sortable(record.at + DELIVERED_KEPT)
    return found


def _picture(record: Picture) -> dict[str, str]:
    return {} if record.expires_at is None else {"expires": sortable(record.expires_at)}


def _job(record: Job) -> dict[str, str]:
    return {"state": record.state}


def _audit_entry(record: AuditEntry) -> dict[str, str]:
    return {
        "by": said_by(record.by),
        "action": record.action,
        "subject": record.subject,
        "expires": sortable(record.expires_at),
    }


def _order_note(record: OrderNote) -> dict[str, str]:
    found: dict[str, str] = {"order": record.order_id}
    if record.customer_id is not None:
        found["customer"] = record.customer_id
    return found


# Kinds kept in the `record` table; products and orders have tables of their own.
INDEXES: dict[type[Any], Indexes] = {
    Account: _account,
    Session: _session,
    ApiKey: _api_key,
    ResetLink: _reset_link,
    Attempts: _expiring,
    Cart: _expiring,
    OrderViews: _none,
    Invoice: _none,
    Series: _none,
    StockTake: _stock_take,
    CountLine: _count_line,
    OutsideIdentity: _none,
    Location: _none,
    WebhookEndpoint: _none,
    Delivery: _delivery,
    Job: _job,
    Lease: _none,
    Position: _none,
    Setting: _none,
    Traffic: _expiring,
    Picture: _picture,
    ShopSettings: _none,
    AuditEntry: _audit_entry,
    OrderNote: _order_note,
}
_KINDS: list[type[Any]] = [*INDEXES, Product, Order]
BY_NAME: dict[str, type[Any]] = {kind.__name__: kind for kind in _KINDS}
# Records whose change makes what is remembered of an account untrue.
ACCOUNT_KINDS = frozenset({"Account", "Session", "ApiKey"})
_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in BY_NAME.values()
}


def encode(record: Any) -> str:
    return _encode(record).decode()


def decode(kind: type[Any], doc: str) -> Any:
    return _DECODERS[kind].decode(doc)
