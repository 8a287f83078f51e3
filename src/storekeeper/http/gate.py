"""Around everything: names the request, knows the caller, keeps rates, counts and logs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from storekeeper.domain.accounts import GUEST, Principal
from storekeeper.domain.errors import ProviderUnavailable, TooManyRequests, Unauthenticated
from storekeeper.http import problems
from storekeeper.http.answers import Answer
from storekeeper.http.security import Authenticator
from storekeeper.store import asking
from storekeeper.telemetry.logging import AccessLine
from storekeeper.telemetry.metrics import PROBES
from storekeeper.telemetry.recent import RecentErrors, Trouble

# Every answer has these unless it says otherwise itself (OWASP, REST security).
GUARDS: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
HSTS = (b"strict-transport-security", b"max-age=31536000")
GUARDED = frozenset(name for name, _ in GUARDS)


class RequestMetrics(Protocol):
    """Where finished requests are counted."""

    def observe(self, method: str, route: str, status: int, seconds: float) -> None: ...


Taken = tuple[int, int, int]


class RateLimiter(Protocol):
    """Answers (limit, remaining, seconds until full again) and counts one request of `who`."""

    def take(self, who: str) -> Taken | Awaitable[Taken | None] | None:
        """None where there is no limit; remaining is negative for one too many. Only what has to
        ask elsewhere is awaited."""


class Visits(Protocol):
    """The pages for people: who comes is told by cookies, and errors are pages too."""

    def is_page(self, path: str) -> bool: ...

    async def meet(self, scope: Scope) -> Principal: ...

    def refuse(self, scope: Scope, error: Exception) -> Answer[bytes]: ...


class Gate:
    """Wraps the whole application. `client_of` knows which proxies to believe.

    Cookies are looked at under the addresses of `pages` alone, and no header of credentials is
    there: so no other site can make a browser use the API.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator: Authenticator,
        limiter: RateLimiter,
        metrics: RequestMetrics,
        client_of: Callable[[Scope], str],
        new_id: Callable[[], str],
        clock: Callable[[], datetime],
        log: Callable[[AccessLine], None] | None,
        behind_tls: bool = False,
        pages: Visits | None = None,
        recent: RecentErrors | None = None,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._limiter = limiter
        self._metrics = metrics
        self._client_of = client_of
        self._new_id = new_id
        self._clock = clock
        self._log = log
        self._guards = (*GUARDS, HSTS) if behind_tls else GUARDS
        self._pages = pages
        self._recent = recent or RecentErrors()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        began = asking.begin()
        asked_id = authorization = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                # Two of them are no credentials at all, whichever came first.
                authorization = value.decode("latin-1") if authorization is None else ""
            elif name == b"x-request-id":
                asked_id = _safe_id(value)
        request_id = asked_id or self._new_id()
        scope["request_id"] = request_id  # type: ignore[typeddict-unknown-key]
        extra: list[tuple[bytes, bytes]] = [(b"x-request-id", request_id.encode())]
        status = 0
        method = scope["method"]
        if method == "HEAD":
            # Answered as GET, without the body (RFC 9110, section 9.3.2).
            scope = {**scope, "method": "GET"}

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message.get("headers", ())
                guards = self._guards
                own = GUARDED.intersection([name for name, _ in given])
                if own:
                    guards = tuple(pair for pair in guards if pair[0] not in own)
                message["headers"] = [*given, *extra, *guards]
            elif method == "HEAD" and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        principal = GUEST
        try:
            client = self._client_of(scope)
            scope["client_address"] = client  # type: ignore[typeddict-unknown-key]
            refused: Unauthenticated | ProviderUnavailable | None = None
            if self._pages is not None and self._pages.is_page(scope["path"]):
                principal = await self._pages.meet(scope)
            elif authorization is not None:
                try:
                    principal = self._authenticator.remembered(
                        authorization
                    ) or await self._authenticator.principal_of(authorization)
                except (Unauthenticated, ProviderUnavailable) as error:
                    refused = error
            scope["user"] = principal
            # A probe that is told to wait takes the shop for dead.
            if scope["path"] not in PROBES:
                taken = self._limiter.take(principal.account_id or client)
                if taken is not None:
                    # One that is known at once costs no turn of the event loop.
                    if not isinstance(taken, tuple):
                        taken = await taken
                    _keep_rate(taken, extra)
            # Who logs in or refreshes may still send the token that has just run out. Others are
            # told by the door of their route, so that it is counted under the route.
            if refused is not None and not scope["path"].startswith("/auth/"):
                scope["refused"] = refused  # type: ignore[typeddict-unknown-key]
            await self._app(scope, receive, send_named)
        except Exception as error:
            if status:
                raise  # the answer has begun already
            answer = self._refusal(scope, error, request_id)
            await answer.to_asgi_response()(scope, receive, send_named)
        finally:
            asking.end(began)
            seconds = time.perf_counter() - started
            self._finish(scope, method, principal, status or 500, seconds, request_id)

    def _refusal(self, scope: Any, error: Exception, request_id: str) -> Answer[bytes]:
        scope["fault"] = type(error).__name__
        if self._pages is not None and "visit" in scope:
            return self._pages.refuse(scope, error)
        return problems.of_error(error, request_id)

    def _finish(
        self,
        scope: Any,
        method: str,
        principal: Principal,
        status: int,
        seconds: float,
        request_id: str,
    ) -> None:
        route = scope.get("path_template") or "unknown"
        self._metrics.observe(method, route, status, seconds)
        if status >= 500 and scope["path"] not in PROBES:
            self._recent.add(
                Trouble(
                    at=self._clock(),
                    kind=scope.get("fault", ""),
                    request_id=request_id,
                    method=method,
                    route=route,
                    status=status,
                )
            )
        if self._log is not None:
            self._log(
                AccessLine(
                    request_id,
                    method,
                    route,
                    status,
                    int(seconds * 100_000) / 100,
                    principal.name,
                    self._clock(),
                )
            )


def _keep_rate(taken: Taken | None, extra: list[tuple[bytes, bytes]]) -> None:
    """Tells the caller of its rate; raises `TooManyRequests` for one request too many."""
    if taken is None:
        return
    limit, remaining, reset = taken
    # Structured fields, by draft-ietf-httpapi-ratelimit-headers.
    extra.append((b"ratelimit-policy", b'"default";q=%d;w=60' % limit))
    extra.append((b"ratelimit", b'"default";r=%d;t=%d' % (max(0, remaining), reset)))
    if remaining < 0:
        raise TooManyRequests(
            f"at most {limit} requests a minute; wait {reset} s", retry_after=max(1, reset)
        )


def _safe_id(value: bytes) -> str | None:
    """A caller's request id, if it can go into a log and a header as it is."""
    if 0 < len(value) <= 128 and all(0x21 <= byte <= 0x7E for byte in value):
        return value.decode("ascii")
    return None
