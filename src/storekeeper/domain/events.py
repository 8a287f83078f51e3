"""What happened, as the outside is told; committed with the change that it tells of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from storekeeper.domain.types import Struct

ORDER_PLACED = "order.placed"
ORDER_CONFIRMED = "order.confirmed"
ORDER_CANCELLED = "order.cancelled"
ORDER_EXPIRED = "order.expired"
ORDER_SHIPPED = "order.shipped"
ORDER_DELIVERED = "order.delivered"
ORDER_RETURNED = "order.returned"
STOCK_LOW = "stock.low"
PRODUCT_CREATED = "product.created"
PRODUCT_UPDATED = "product.updated"
PRODUCT_ARCHIVED = "product.archived"
PRODUCT_DELETED = "product.deleted"
PRODUCTS_IMPORTED = "products.imported"
STOCK_IMPORTED = "stock.imported"
ACCOUNT_REGISTERED = "account.registered"
ACCOUNT_DELETED = "account.deleted"
PASSWORD_RESET_REQUESTED = "account.password_reset_requested"  # noqa: S105 - an event's name
PASSWORD_CHANGED = "account.password_changed"  # noqa: S105 - an event's name
SESSION_REUSED = "account.session_reused"
ROLE_CHANGED = "account.role_changed"

PUBLIC_KINDS = (
    ORDER_PLACED,
    ORDER_CONFIRMED,
    ORDER_CANCELLED,
    ORDER_EXPIRED,
    ORDER_SHIPPED,
    ORDER_DELIVERED,
    ORDER_RETURNED,
    STOCK_LOW,
    PRODUCT_CREATED,
    PRODUCT_UPDATED,
    PRODUCT_ARCHIVED,
    PRODUCT_DELETED,
    PRODUCTS_IMPORTED,
    STOCK_IMPORTED,
)


class Event(Struct, frozen=True, kw_only=True):
    """One thing that happened.

    `subject` is what it happened to (`order:ID`, `product:ID`, `account:ID`); events of one
    subject are delivered in order. `data` is small, holds no address, e-mail or secret.
    """

    id: str
    kind: str
    subject: str
    at: datetime
    data: dict[str, Any]
