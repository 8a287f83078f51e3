"""Everything that the shop refuses, each with a stable code, an HTTP status and what to do.

The API's problems (RFC 9457), the OpenAPI document and docs/errors.md are made from these classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar


class ShopError(Exception):
    """A refusal that its cause can understand and mend.

    `detail` says what is wrong and what to do; `field` names the input (a dotted path);
    `members` go into the problem as they are. `remedy` is the advice that holds for every case.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request can't be done"
    remedy: ClassVar[str] = "Do what `detail` says."

    def __init__(self, detail: str, *, field: str | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.members = members


class Invalid(ShopError):
    code, status, title = "invalid", 422, "A value is not acceptable"
    remedy = "Mend the value that `field` names as `detail` says, then send the request again."


class NotFound(ShopError):
    code, status, title = "not_found", 404, "There is no such thing"
    remedy = "Check the address and its ids. What belongs to somebody else answers the same."


class Unauthenticated(ShopError):
    code, status, title = "unauthenticated", 401, "Log in first"
    remedy = (
        "Log in with `POST /auth/login`, or send an API key, as `Authorization: Bearer …`. An "
        "access token that has run out is exchanged with `POST /auth/refresh`."
    )


class Forbidden(ShopError):
    code, status, title = "forbidden", 403, "Not allowed"
    remedy = (
        "Use an account or an API key that has the right; `scope` names it where one is missing."
    )


class Conflict(ShopError):
    """Somebody else changed it in between."""

    code, status, title = "conflict", 409, "It was changed by somebody else meanwhile"
    remedy = "Read it again and decide anew, then send the request once more."


class PreconditionFailed(ShopError):
    code, status, title = "precondition_failed", 412, "The If-Match version is not the current one"
    remedy = (
        "Read it again; `current` is its version now. Send the change with the new ETag if it "
        "still makes sense."
    )


class AlreadyExists(ShopError):
    code, status, title = "already_exists", 409, "It exists already"
    remedy = "Use the one that exists, or choose another value for `field`."


class LimitReached(ShopError):
    code, status, title = "limit_reached", 409, "There are as many as there may be"
    remedy = "Remove one that isn't needed any more, then try again."


class InUse(ShopError):
    code, status, title = "in_use", 409, "Something still refers to it"
    remedy = "Archive it, or first remove what refers to it."


class UnitsOwed(ShopError):
    """Backorder can't end while orders are promised more than there is."""

    code, status, title = "units_owed", 409, "Units are still owed to customers"
    remedy = "Receive the units that are owed, or cancel orders that wait for them, then try again."


class InsufficientStock(ShopError):
    """`members["lines"]`: what falls short, each product once, with the units requested of it in
    all and those available."""

    code, status, title = "insufficient_stock", 409, "There is not enough stock"
    remedy = (
        "`lines` names every product that falls short, how much of it is requested in all, and "
        "how much is available. Order at most that much of it."
    )


class ProductUnavailable(ShopError):
    code, status, title = "product_unavailable", 409, "A product is not for sale"
    remedy = "Leave the line that `field` names out, or choose another product."


class TotalChanged(ShopError):
    """`members["total"]`: the total as it is now."""

    code, status, title = "total_changed", 409, "Prices changed since the total was shown"
    remedy = (
        "Show the customer `total`, what it costs now, and order with it as `expected_total` if "
        "they agree."
    )


class OrderExpired(ShopError):
    code, status, title = "order_expired", 409, "The reservation ran out"
    remedy = "The stock was released. Place the order again."


class OrderState(ShopError):
    """The order's state doesn't allow this; `members["state"]` names it."""

    code, status, title = "order_state", 409, "The order's state doesn't allow this"
    remedy = (
        "Read the order; `state` is where it stands, and its description says what that state "
        "allows."
    )


class TooMany(ShopError):
    """More units than there are to ship, cancel or return."""

    code, status, title = "too_many", 422, "More units than the order has"
    remedy = "Read the order and name at most what its lines have left."


class KeyReused(ShopError):
    code, status, title = (
        "idempotency_key_reused",
        422,
        "The Idempotency-Key was used with another request",
    )
    remedy = (
        "Make a new key for each new request; send a key again only with exactly the same request."
    )


class LastAdmin(ShopError):
    code, status, title = "last_admin", 409, "The last admin can't be removed"
    remedy = "Give the admin role to somebody else first."


class OpenOrders(ShopError):
    code, status, title = "open_orders", 409, "There are orders still open"
    remedy = "Cancel the open orders or wait until they are delivered, then try again."


class WeakPassword(ShopError):
    code, status, title = "weak_password", 422, "The password is too easy to guess"
    remedy = "Choose a longer password, of at least ten characters, that isn't a common one."


class WrongPassword(ShopError):
    """The current password, asked for once more before something that can't be undone."""

    code, status, title = "wrong_password", 403, "The password is wrong"
    remedy = "Send the password that the account has now."


class LinkUsed(ShopError):
    code, status, title = "link_invalid", 422, "The link is used up or too old"
    remedy = "Ask for a new link with `POST /auth/forgot`; it is good once and for an hour."


class TooManyRequests(ShopError):
    """`members["retry_after"]`: seconds."""

    code, status, title = "too_many_requests", 429, "Too many requests"
    remedy = "Wait for the seconds in the `Retry-After` header, then go on more slowly."


class Overloaded(ShopError):
    """The write queue is full; nothing was done. `members["retry_after"]`: seconds."""

    code, status, title = "overloaded", 503, "The shop is busy; try again shortly"
    remedy = (
        "Nothing was done. Wait for the seconds in the `Retry-After` header and send the same "
        "request again, with its Idempotency-Key."
    )


class ProviderUnavailable(ShopError):
    """Who keeps the caller's credentials can't be asked, and so can't be believed now.
    `members["retry_after"]`: seconds."""

    code, status, title = "provider_unavailable", 503, "The identity provider can't be asked now"
    remedy = (
        "Nothing was done. Wait for the seconds in the `Retry-After` header and send the same "
        "request again; an account of this shop's own isn't affected."
    )


class StoreUnavailable(ShopError):
    """The store can't take the change now (disk full, locked); nothing was done."""

    code, status, title = "store_unavailable", 503, "The store can't be written now"
    remedy = (
        "Nothing was done. Try again in a while; the shop's operator finds the cause in the log "
        "and at `/readyz`."
    )


class OutcomeUnknown(StoreUnavailable):
    """The store was asked to take the change and didn't answer; it stands, or never will."""

    code, title = "outcome_unknown", "It isn't known whether it was done"
    remedy = (
        "Send the same request again with the same Idempotency-Key: it is done once at most. "
        "Without a key, look first whether it was done."
    )


class PayloadTooLarge(ShopError):
    code, status, title = "payload_too_large", 413, "The request's body is too large"
    remedy = "Send less at once."


class HeadTooLarge(ShopError):
    """What comes before the body: address and headers together."""

    code, status, title = "head_too_large", 431, "The request's head is too large"
    remedy = "Send fewer or shorter headers, and fewer or shorter cookies among them."


class RequestTimeout(ShopError):
    """The client stopped sending in the middle of a request; nothing was done."""

    code, status, title = "request_timeout", 408, "The request came too slowly"
    remedy = "Nothing was done. Send the whole request again, without pauses."


class Malformed(ShopError):
    code, status, title = "malformed", 400, "The request can't be read"
    remedy = "Send well-formed JSON in UTF-8, and headers that can be read."


class UnsupportedMediaType(ShopError):
    code, status, title = "unsupported_media_type", 415, "The body's type is not taken here"
    remedy = "Say in `Content-Type` what you send, as one of the types that the operation takes."


def catalogue() -> Iterator[type[ShopError]]:
    """Every error class once, by code."""
    seen: dict[str, type[ShopError]] = {}
    todo: list[type[ShopError]] = [ShopError]
    while todo:
        for kind in todo.pop().__subclasses__():
            todo.append(kind)
            seen[kind.code] = kind
    yield from (seen[code] for code in sorted(seen))
