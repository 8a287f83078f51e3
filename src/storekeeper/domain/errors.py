"""Everything that the shop refuses, each with a stable code, an HTTP status and what to do.

The API's problems (RFC 9457), the OpenAPI document and docs/errors.md are made from these classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar


class ShopError(Exception):
    """A refusal that its cause can understand and mend.

    `detail` says what is wrong and what to do; `field` names the input (a dotted path);
    `members` go into the problem as they are.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request can't be done"

    def __init__(self, detail: str, *, field: str | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.members = members


class Invalid(ShopError):
    code, status, title = "invalid", 422, "A value is not acceptable"


class NotFound(ShopError):
    code, status, title = "not_found", 404, "There is no such thing"


class Unauthenticated(ShopError):
    code, status, title = "unauthenticated", 401, "Log in first"


class Forbidden(ShopError):
    code, status, title = "forbidden", 403, "Not allowed"


class Conflict(ShopError):
    """Somebody else changed it in between."""

    code, status, title = "conflict", 409, "It was changed by somebody else meanwhile"


class PreconditionFailed(ShopError):
    code, status, title = "precondition_failed", 412, "The If-Match version is not the current one"


class AlreadyExists(ShopError):
    code, status, title = "already_exists", 409, "It exists already"


class InUse(ShopError):
    code, status, title = "in_use", 409, "Something still refers to it"


class InsufficientStock(ShopError):
    """`members["lines"]`: the lines that fall short, each with requested and available units."""

    code, status, title = "insufficient_stock", 409, "There is not enough stock"


class ProductUnavailable(ShopError):
    code, status, title = "product_unavailable", 409, "A product is not for sale"


class TotalChanged(ShopError):
    """`members["total"]`: the total as it is now."""

    code, status, title = "total_changed", 409, "Prices changed since the total was shown"


class OrderExpired(ShopError):
    code, status, title = "order_expired", 409, "The reservation ran out"


class OrderState(ShopError):
    """The order's state doesn't allow this; `members["state"]` names it."""

    code, status, title = "order_state", 409, "The order's state doesn't allow this"


class TooMany(ShopError):
    """More units than there are to ship, cancel or return."""

    code, status, title = "too_many", 422, "More units than the order has"


class KeyReused(ShopError):
    code, status, title = (
        "idempotency_key_reused",
        422,
        "The Idempotency-Key was used with another request",
    )


class LastAdmin(ShopError):
    code, status, title = "last_admin", 409, "The last admin can't be removed"


class OpenOrders(ShopError):
    code, status, title = "open_orders", 409, "There are orders still open"


class WeakPassword(ShopError):
    code, status, title = "weak_password", 422, "The password is too easy to guess"


class WrongPassword(ShopError):
    """The current password, asked for once more before something that can't be undone."""

    code, status, title = "wrong_password", 403, "The password is wrong"


class LinkUsed(ShopError):
    code, status, title = "link_invalid", 422, "The link is used up or too old"


class TooManyRequests(ShopError):
    """`members["retry_after"]`: seconds."""

    code, status, title = "too_many_requests", 429, "Too many requests"


class Overloaded(ShopError):
    """The write queue is full; nothing was done. `members["retry_after"]`: seconds."""

    code, status, title = "overloaded", 503, "The shop is busy; try again shortly"


class StoreUnavailable(ShopError):
    """The store can't take the change now (disk full, locked); nothing was done."""

    code, status, title = "store_unavailable", 503, "The store can't be written now"


class PayloadTooLarge(ShopError):
    code, status, title = "payload_too_large", 413, "The request's body is too large"


class Malformed(ShopError):
    code, status, title = "malformed", 400, "The request can't be read"


class UnsupportedMediaType(ShopError):
    code, status, title = "unsupported_media_type", 415, "The body's type is not taken here"


def catalogue() -> Iterator[type[ShopError]]:
    """Every error class once, by code."""
    seen: dict[str, type[ShopError]] = {}
    todo: list[type[ShopError]] = [ShopError]
    while todo:
        for kind in todo.pop().__subclasses__():
            todo.append(kind)
            seen[kind.code] = kind
    yield from (seen[code] for code in sorted(seen))
