"""Webhooks by the Standard Webhooks specification: signed, timestamped, to checked addresses.

A host is looked up once for each delivery, its addresses are checked, and the connection is made
to the very address that was checked, so that a name can't point elsewhere in between. Redirects
are never followed.
"""

from __future__ import annotations

import asyncio
import email.utils
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache, partial
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog
from msgspec.structs import replace
from standardwebhooks import Webhook

from storekeeper import __version__
from storekeeper.domain.changes import ChangeSet, Put, Stale
from storekeeper.domain.errors import Invalid
from storekeeper.domain.events import PUBLIC_KINDS, Event
from storekeeper.domain.work import WebhookEndpoint
from storekeeper.notify.addresses import check_url, is_public
from storekeeper.notify.port import DELIVERED, Outcome, Sink, failed
from storekeeper.store.port import Store

log = structlog.get_logger(__name__)
TIMEOUT_S = 10.0
CONNECT_S = 3.0
ADDRESSES_TRIED = 3
BATCH = 32
PARALLEL = 8
# How much of a refusal's body is kept for the integrator to read.
EXCERPT = 300
MAX_ENDPOINTS = 100
PUBLIC_ONLY = "this shop sends to public https:// addresses only (webhook_private_addresses is off)"
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Sender:
    """Signs events and posts them; one for the whole shop, closed by `close`.

    `resolve` answers a host's addresses; `tls` is the context that checks certificates.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        private_allowed: bool = False,
        timeout: float = TIMEOUT_S,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._clock = clock
        self._private_allowed = private_allowed
        # An endpoint made while they were allowed is refused by now, and its owner should see why.
        self._why_closed = "" if private_allowed else f"; {PUBLIC_ONLY}"
        self._timeout = timeout
        # Looking up a name blocks a thread; these are for nothing else.
        self._lookups = ThreadPoolExecutor(16, thread_name_prefix="storekeeper-names")
        self._resolve = resolve or partial(_addresses, self._lookups)
        self._tls = tls
        self._client: httpx.AsyncClient | None = None

    async def send(self, endpoint: WebhookEndpoint, event: Event) -> Outcome:
        """Posts one event to one endpoint and reads the answer's status."""
        body = body_of(event)
        headers = signed(event.id, body, endpoint.secrets, self._clock())
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(endpoint.url, body, headers)
        except TimeoutError:
            return failed(f"no answer within {self._timeout:g} s")
        except httpx.TimeoutException:
            return failed(f"no answer within {self._timeout:g} s")
        except httpx.HTTPError as error:
            return failed(f"no connection: {str(error) or type(error).__name__}")
        except httpx.InvalidURL:
            return failed("not a URL that can be sent to", is_final=True)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> Outcome:
        try:
            check_url(url, private_allowed=self._private_allowed)
        except Invalid as error:
            return failed(f"{error.detail}{self._why_closed}", is_final=True)
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError):
            # UnicodeError: a name that can't be asked for, such as one with an empty label.
            return failed(f"{host} can't be found")
        if not addresses:
            return failed(f"{host} can't be found")
        if not self._private_allowed and not all(is_public(ip_address(a)) for a in addresses):
            return failed(
                f"{host} leads to an address that is not of the public internet{self._why_closed}"
            )
        response = await self._connected(url, addresses, body, headers)
        try:
            return await self._judge(response)
        finally:
            await response.aclose()

    async def _connected(
        self, url: str, addresses: Sequence[str], body: bytes, headers: dict[str, str]
    ) -> httpx.Response:
        """The answer of the first address that can be reached."""
        client = await self._opened()
        parts = urlsplit(url)
        for place, address in enumerate(tried := addresses[:ADDRESSES_TRIED], start=1):
            request = client.build_request(
                "POST",
                httpx.URL(url).copy_with(host=address),
                content=body,
                headers={**headers, "Host": parts.netloc},
                extensions={"sni_hostname": parts.hostname},
            )
            try:
                return await client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if place == len(tried):
                    raise
        raise AssertionError("there is at least one address")

    async def _opened(self) -> httpx.AsyncClient:
        """The client, made when something is sent: most commands send nothing."""
        tls = self._tls
        if tls is None:
            tls = await asyncio.to_thread(_trusting)
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=tls,
                follow_redirects=False,
                # A proxy from the environment would look up the name by itself.
                trust_env=False,
                timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, CONNECT_S)),
                # An open connection was checked for its own name and address, not for the next one.
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
                headers={"User-Agent": f"Storekeeper/{__version__}", "Accept-Encoding": "identity"},
            )
        return self._client

    async def _judge(self, response: httpx.Response) -> Outcome:
        status = response.status_code
        if 200 <= status < 300:
            return replace(DELIVERED, status_code=status)
        if status == 410:
            return failed("the endpoint is gone", status_code=status, is_final=True)
        retry_after = (
            _seconds(response.headers.get("retry-after", ""), self._clock())
            if status in (429, 503)
            else None
        )
        if 300 <= status < 400:
            return failed("a redirect, which is not followed", status_code=status)
        return failed(
            f"answered {status}: {await _excerpt(response)}".rstrip(": "),
            status_code=status,
            retry_after=retry_after,
        )


class WebhookSink:
    """One endpoint as a sink. Events about accounts never go out."""

    batch = BATCH
    parallel = PARALLEL
    keeps_record = True

    def __init__(self, endpoint: WebhookEndpoint, sender: Sender, endpoints: Endpoints) -> None:
        self.name = sink_name(endpoint.id)
        self._endpoint = endpoint
        self._sender = sender
        self._endpoints = endpoints
        self._kinds = frozenset(endpoint.kinds or PUBLIC_KINDS) & frozenset(PUBLIC_KINDS)
        self._is_gone = False

    def wants(self, event: Event) -> bool:
        return event.kind in self._kinds

    async def deliver(self, event: Event) -> Outcome:
        if self._is_gone:
            return failed("the endpoint is gone", is_final=True)
        outcome = await self._sender.send(self._endpoint, event)
        if outcome.status_code == 410:
            self._is_gone = True
            await self._endpoints.switch_off(self._endpoint.id, "answered 410 Gone")
        return outcome


class Endpoints:
    """The sinks of all active endpoints, as they stand now."""

    def __init__(self, store: Store, sender: Sender) -> None:
        self._store = store
        self._sender = sender
        self._known: dict[str, tuple[int, WebhookSink]] = {}

    async def sinks(self) -> Sequence[Sink]:
        page = await self._store.list_all(WebhookEndpoint, limit=MAX_ENDPOINTS)
        known: dict[str, tuple[int, WebhookSink]] = {}
        for endpoint in page.items:
            if endpoint.active:
                held = self._known.get(endpoint.id)
                known[endpoint.id] = (
                    held
                    if held and held[0] == endpoint.version
                    else (endpoint.version, WebhookSink(endpoint, self._sender, self))
                )
        self._known = known
        return [sink for _, sink in known.values()]

    async def switch_off(self, endpoint_id: str, reason: str) -> None:
        """Sends the endpoint nothing more until an admin switches it on again."""
        for _ in range(8):
            endpoint = await self._store.get(WebhookEndpoint, endpoint_id)
            if endpoint is None or not endpoint.active:
                return
            off = replace(endpoint, version=endpoint.version + 1, active=False, switched_off=reason)
            try:
                await self._store.commit(ChangeSet(puts=(Put(off),)))
            except Stale:
                continue
            log.warning("webhook endpoint switched off", endpoint=endpoint_id, reason=reason)
            return


def sink_name(endpoint_id: str) -> str:
    return f"webhook:{endpoint_id}"


def body_of(event: Event) -> bytes:
    """The payload as the specification recommends it."""
    return msgspec.json.encode({"type": event.kind, "timestamp": event.at, "data": event.data})


def signed(id: str, body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """The headers that prove sender and time; each active secret signs, newest first."""
    text = body.decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(
            Webhook(secret).sign(msg_id=id, timestamp=now, data=text) for secret in secrets
        ),
    }


async def _addresses(lookups: ThreadPoolExecutor, host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().run_in_executor(lookups, partial(_look_up, host, port))
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _look_up(host: str, port: int) -> list[tuple[Any, ...]]:
    """Only addresses of families that this machine has itself."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)


@cache
def _trusting() -> ssl.SSLContext:
    """Of the certificates that everybody trusts, which take a while to read."""
    return httpx.create_ssl_context(trust_env=False)


async def _excerpt(response: httpx.Response) -> str:
    """The beginning of a refusal, printable, whatever its length."""
    start = b""
    async for chunk in response.aiter_raw(EXCERPT):
        start += chunk
        if len(start) >= EXCERPT:
            break
    text = start[:EXCERPT].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in text).strip()


def _seconds(retry_after: str, now: datetime) -> float | None:
    """A Retry-After header, which holds seconds or a date (RFC 9110, section 10.2.3)."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())
