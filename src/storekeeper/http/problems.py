"""Errors as RFC 9457 problems, from the one definition in `domain.errors`."""

from __future__ import annotations

from typing import Any

import msgspec
import structlog
from litestar import Request
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)

from storekeeper.domain import errors
from storekeeper.domain.errors import ShopError
from storekeeper.domain.money import Money
from storekeeper.http.answers import Answer
from storekeeper.services.validation import invalid_of

MEDIA_TYPE = "application/problem+json"
# How long a lock or a full disk is likely to last at least.
LOCKED_S = 5
log = structlog.get_logger(__name__)


class ShortLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A product that falls short: `requested` is what all lines of the order ask for together.

    `line_numbers` are these lines, counted from 1 as they were sent; movements of stock name the
    location instead.
    """

    product_id: str
    requested: int
    available: int
    line_numbers: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET
    sku: str | msgspec.UnsetType = msgspec.UNSET
    location_id: str | msgspec.UnsetType = msgspec.UNSET


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """RFC 9457. `code` is stable, `detail` is for people, `field` is the path of what is wrong.

    By code: `lines` (insufficient_stock), `total` (total_changed), `state` (order_state,
    order_expired), `product_id` (product_unavailable, already_exists), the open order's `number`
    (open_orders), `current` version (precondition_failed), missing `scope` or `scopes`
    (forbidden), seconds in `retry_after` (too_many_requests, overloaded,
    provider_unavailable), `allow` (method_not_allowed).
    """

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | msgspec.UnsetType = msgspec.UNSET
    request_id: str | msgspec.UnsetType = msgspec.UNSET
    lines: tuple[ShortLine, ...] | msgspec.UnsetType = msgspec.UNSET
    total: Money | msgspec.UnsetType = msgspec.UNSET
    state: str | msgspec.UnsetType = msgspec.UNSET
    product_id: str | msgspec.UnsetType = msgspec.UNSET
    number: str | msgspec.UnsetType = msgspec.UNSET
    current: int | msgspec.UnsetType = msgspec.UNSET
    scope: str | msgspec.UnsetType = msgspec.UNSET
    scopes: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    retry_after: int | msgspec.UnsetType = msgspec.UNSET
    allow: str | msgspec.UnsetType = msgspec.UNSET


def body_of(error: ShopError, request_id: str | None) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": f"/docs/errors#{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": _told(error, request_id),
    }
    if error.field is not None:
        body["field"] = error.field
    if request_id is not None:
        body["request_id"] = request_id
    for name, value in error.members.items():
        body.setdefault(name, value)
    return body


def _told(error: ShopError, request_id: str | None) -> str:
    """What a caller is told. Why the store is away (paths, addresses, roles) is for operators."""
    if not isinstance(error, errors.StoreUnavailable):
        return error.detail
    log.warning("the store is unavailable", reason=error.detail, request_id=request_id)
    if isinstance(error, errors.OutcomeUnknown):
        return (
            "the shop's store didn't answer, and whether this was done isn't known; send it again "
            "with the same Idempotency-Key, or look first"
        )
    return "the shop's store can't be reached or written now; nothing was done, try again shortly"


def respond(error: ShopError, request_id: str | None) -> Answer[bytes]:
    headers = {}
    if "retry_after" in error.members:
        headers["Retry-After"] = str(error.members["retry_after"])
    elif error.status == 503:
        headers["Retry-After"] = str(LOCKED_S)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == 405 and "allow" in error.members:
        headers["Allow"] = error.members["allow"]
    return Answer(
        msgspec.json.encode(body_of(error, request_id)),
        status_code=error.status,
        media_type=MEDIA_TYPE,
        headers=headers,
    )


def of_shop_error(request: Request[Any, Any, Any], error: ShopError) -> Answer[bytes]:
    return respond(error, request_id_of(request))


def of_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Answer[bytes]:
    """Litestar's own refusals in our words."""
    return respond(translated(request, error), request_id_of(request))


def of_fault(request: Request[Any, Any, Any], error: Exception) -> Answer[bytes]:
    return of_error(error, request_id_of(request))


def of_error(error: Exception, request_id: str | None) -> Answer[bytes]:
    """A refusal as it is; a fault of ours is told to the log with its trace, not to the caller."""
    if isinstance(error, ShopError):
        return respond(error, request_id)
    log.error("request failed", exc_info=error, request_id=request_id)
    return respond(Fault("something went wrong on our side; it was logged"), request_id)


class Fault(ShopError):
    code, status, title = "internal", 500, "Something went wrong on our side"
    remedy = "Tell the shop's operator the `request_id`; the log says what happened."


class MethodNotAllowed(ShopError):
    code, status, title = "method_not_allowed", 405, "The address doesn't take this method"
    remedy = "Use one of the methods in the `Allow` header."


def request_id_of(request: Request[Any, Any, Any]) -> str | None:
    found: str | None = request.scope.get("request_id")  # type: ignore[assignment]
    return found


def translated(request: Request[Any, Any, Any], error: HTTPException) -> ShopError:
    """The framework's refusal as one of ours."""
    if isinstance(error, ValidationException):
        return _of_validation(request, error)
    if isinstance(error, NotFoundException):
        return errors.NotFound(f"there is nothing at {request.url.path}")
    if isinstance(error, MethodNotAllowedException):
        return MethodNotAllowed(
            f"{request.url.path} doesn't take {request.method}", allow=_allowed(error)
        )
    if error.status_code == errors.PayloadTooLarge.status:
        return too_large(request.route_handler.resolve_request_max_body_size() or 0)
    by_status: dict[int, type[ShopError]] = {
        400: errors.Malformed,
        401: errors.Unauthenticated,
        403: errors.Forbidden,
        413: errors.PayloadTooLarge,
        415: errors.UnsupportedMediaType,
        429: errors.TooManyRequests,
        503: errors.StoreUnavailable,
    }
    if error.detail == "client disconnected prematurely":
        return cut_off(request.scope)
    if error.status_code >= 500 and error.status_code != 503:
        log.error("request failed", exc_info=error, request_id=request_id_of(request))
        return Fault("something went wrong on our side; it was logged")
    return by_status.get(error.status_code, errors.Malformed)(error.detail or "refused")


def _allowed(error: MethodNotAllowedException) -> str:
    """The methods of the address; HEAD is taken wherever GET is."""
    named = {name.lower(): value for name, value in (error.headers or {}).items()}.get("allow", "")
    methods = {part.strip() for part in named.split(",") if part.strip()}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


def too_large(limit: int) -> ShopError:
    return errors.PayloadTooLarge(f"the body may have at most {limit} bytes")


def cut_off(scope: Any) -> ShopError:
    """Why a request's body has no end: the server says so where it was the one to end it."""
    told: ShopError | None = scope.get("cut_off")
    return told or errors.Malformed("the request ended in the middle of its body")


def no_body() -> ShopError:
    return errors.Malformed("the request has no body; send it as JSON")


def of_decode_error(error: Exception, kind: Any) -> ShopError:
    """Unreadable JSON is 400; JSON that isn't of this type is 422 with its field."""
    if isinstance(error, msgspec.ValidationError):
        return invalid_of(error, kind)
    if isinstance(error, RecursionError):
        return errors.Malformed("the body is nested too deeply")
    return errors.Malformed(f"the body is not JSON: {error}")


def _of_validation(request: Request[Any, Any, Any], error: ValidationException) -> ShopError:
    """The first parameter that is wrong, by the name under which it was sent."""
    extra = error.extra if isinstance(error.extra, list) else []
    first = extra[0] if extra else {}
    message = str(first.get("message", error.detail))
    key = first.get("key") or None
    if key == "data":
        return no_body()
    if key is None:
        return errors.Invalid(message)
    kind = request.route_handler.signature_model.__annotations__.get(key)
    sent_names = request.route_handler.opt.get("sent_names", {})
    return invalid_of(message, kind, named=sent_names.get(key, key))
