"""Errors as RFC 9457 problems, from the one definition in `domain.errors`."""

from __future__ import annotations

import re
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
from storekeeper.http.answers import Answer

MEDIA_TYPE = "application/problem+json"
log = structlog.get_logger(__name__)
_AT = re.compile(r"^(?P<what>.*?) - at `\$?(?P<where>[^`]*)`$", re.DOTALL)


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """RFC 9457. `code` is stable; `field` is a path into the request; more members by code."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None
    request_id: str | None = None


def body_of(error: ShopError, request_id: str | None) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": f"/docs/errors#{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
    }
    if error.field is not None:
        body["field"] = error.field
    if request_id is not None:
        body["request_id"] = request_id
    for name, value in error.members.items():
        body.setdefault(name, value)
    return body


def respond(error: ShopError, request_id: str | None) -> Answer[bytes]:
    headers = {}
    if "retry_after" in error.members:
        headers["Retry-After"] = str(error.members["retry_after"])
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
    return respond(_translated(request, error), request_id_of(request))


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


class MethodNotAllowed(ShopError):
    code, status, title = "method_not_allowed", 405, "The address doesn't take this method"


def request_id_of(request: Request[Any, Any, Any]) -> str | None:
    found: str | None = request.scope.get("request_id")  # type: ignore[assignment]
    return found


def field_and_reason(message: str) -> tuple[str | None, str]:
    """msgspec's message as the field's path and what is wrong with it."""
    found = _AT.match(message)
    if found is None:
        return None, message
    return found["where"].lstrip(".") or None, found["what"]


def _translated(request: Request[Any, Any, Any], error: HTTPException) -> ShopError:
    if isinstance(error, ValidationException):
        return _of_validation(error)
    if isinstance(error, NotFoundException):
        return errors.NotFound(f"there is nothing at {request.url.path}")
    if isinstance(error, MethodNotAllowedException):
        return MethodNotAllowed(
            f"{request.url.path} doesn't take {request.method}",
            **(
                {"allow": error.headers["Allow"]}
                if error.headers and "Allow" in error.headers
                else {}
            ),
        )
    by_status: dict[int, type[ShopError]] = {
        400: errors.Malformed,
        401: errors.Unauthenticated,
        403: errors.Forbidden,
        413: errors.PayloadTooLarge,
        415: errors.UnsupportedMediaType,
        429: errors.TooManyRequests,
        503: errors.StoreUnavailable,
    }
    if error.status_code >= 500 and error.status_code != 503:
        log.error("request failed", exc_info=error, request_id=request_id_of(request))
        return Fault("something went wrong on our side; it was logged")
    return by_status.get(error.status_code, errors.Malformed)(error.detail or "refused")


def of_decode_error(error: Exception) -> ShopError:
    """Unreadable JSON is 400; JSON of the wrong shape is 422 with its field."""
    if isinstance(error, msgspec.ValidationError):
        field, reason = field_and_reason(str(error))
        return errors.Invalid(reason, field=field)
    return errors.Malformed(f"the body is not JSON: {error}")


def _of_validation(error: ValidationException) -> ShopError:
    """The first thing that is wrong, with its field. Unreadable JSON is 400, the rest 422."""
    extra = error.extra if isinstance(error.extra, list) else []
    first = extra[0] if extra else {}
    message = str(first.get("message", error.detail))
    if (
        "malformed" in message.lower()
        or "invalid utf" in message.lower()
        or ("truncated" in message.lower())
    ):
        return errors.Malformed(message)
    field, reason = field_and_reason(message)
    return errors.Invalid(reason, field=field or first.get("key") or None)
