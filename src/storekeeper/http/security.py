"""Who may call what: every route says it, and one that says nothing is closed."""

from __future__ import annotations

import re
from typing import Any, Protocol

from litestar import Request
from litestar.types import ASGIApp, Receive, Scope, Send

from storekeeper.domain.accounts import GUEST, Principal
from storekeeper.domain.errors import Forbidden, Invalid, PreconditionFailed, Unauthenticated
from storekeeper.services.base import Call, fingerprint

# What a route can say with `access=`; anything else is a scope, such as "stock:write".
PUBLIC = "public"
SIGNED_IN = "signed in"
SIGNED_IN_OR_KEY = "signed in or by key"
MAX_KEY = 255
_ENTITY_TAG = re.compile(
    r'(?P<weak>W/)?(?:"(?P<quoted>[0-9]{1,15})(?:-[0-9-]*)?"|(?P<bare>[0-9]{1,15}))'
)


class Authenticator(Protocol):
    """Turns what a request carries into who makes it."""

    async def principal_of(self, authorization: str) -> Principal:
        """Raises `Unauthenticated` for a header that isn't good."""

    def remembered(self, authorization: str) -> Principal | None:
        """The same without any waiting, where it is known already and still true."""


class Door:
    """The middleware of every route. Deny by default: a route without `access` is closed.

    Litestar's guards copy the handler for each request; this only looks.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        check_credentials(scope)
        access = scope["route_handler"].opt.get("access")
        # OPTIONS is answered by the framework, with the methods that the address takes.
        if access != PUBLIC and scope["method"] != "OPTIONS":  # type: ignore[typeddict-item]
            try:
                check_access(scope.get("user") or GUEST, access)
            except Unauthenticated as error:
                if not (scope["route_handler"].opt.get("is_page") and scope["method"] == "POST"):  # type: ignore[typeddict-item]
                    raise
                # Told by the pages when they have read what was typed, before anything is done.
                scope["must_log_in"] = error  # type: ignore[typeddict-unknown-key]
        await self._app(scope, receive, send)


def check_credentials(scope: Any) -> None:
    """Raises what the gate found wrong with the credentials, if anything."""
    refused = scope.get("refused")
    if refused is not None:
        raise refused


def check_access(principal: Principal, access: str | tuple[str, ...] | None) -> None:
    """Raises `Unauthenticated` or `Forbidden` unless the principal may use such a route.

    Of several scopes one is enough.
    """
    if access is None:
        raise Forbidden("this route is closed")
    if principal.account_id is None:
        raise Unauthenticated("log in first: send an access token or an API key as a bearer token")
    if access == SIGNED_IN:
        if principal.api_key_id is not None:
            raise Forbidden("an API key can't do this; log in")
    elif access != SIGNED_IN_OR_KEY:
        scopes = (access,) if isinstance(access, str) else access
        if not any(principal.may(scope) for scope in scopes):
            wanted = " or ".join(scopes)
            raise Forbidden(f"this needs the scope {wanted}", scope=wanted)


def principal_of(request: Request[Any, Any, Any]) -> Principal:
    found: Principal = request.scope.get("user") or GUEST
    return found


def call_of(request: Request[Any, Any, Any], operation: str, data: Any, key: str | None) -> Call:
    """The caller, and the idempotency key with the hash of what it came with."""
    return call_by(principal_of(request), operation, data, key)


def call_by(principal: Principal, operation: str, data: Any, key: str | None) -> Call:
    if key is None:
        return Call(principal=principal)
    if not 0 < len(key) <= MAX_KEY:
        raise Invalid(f"an Idempotency-Key has 1 to {MAX_KEY} characters", field="Idempotency-Key")
    return Call(principal=principal, key=key, fingerprint=fingerprint(operation, data))


def version_of(if_match: str | None) -> int | None:
    """The version that an If-Match header names; None where there is none or it is `*`.

    What follows a dash tells representations of one version apart and doesn't matter here. A weak
    tag matches nothing (RFC 9110, section 13.1.1: the comparison is strong).
    """
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ENTITY_TAG.fullmatch(if_match.strip())
    if found is None:
        raise Invalid('If-Match takes the ETag of the answer, such as "3"', field="If-Match")
    if found["weak"]:
        raise PreconditionFailed(
            "a weak ETag never matches; send the ETag without W/", field="If-Match"
        )
    return int(found["quoted"] or found["bare"])
