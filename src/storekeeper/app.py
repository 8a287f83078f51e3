"""The composition root: the one place that knows which adapters are in use."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uuid_utils
from litestar import Litestar

from storekeeper.cache.rates import MemoryRates
from storekeeper.config import Settings
from storekeeper.http.app import make_app
from storekeeper.http.health import Operation
from storekeeper.http.orders import Orders
from storekeeper.services.base import Tools
from storekeeper.services.catalog_cache import CatalogCache
from storekeeper.services.checkout import Checkout
from storekeeper.store.sqlite.store import SqliteStore
from storekeeper.telemetry.logging import log_request
from storekeeper.telemetry.metrics import Metrics

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


def uuid7_text() -> str:
    return str(uuid_utils.uuid7())


class Shop:
    """Every service over one store. Made by `build_shop`, ended by `close`."""

    def __init__(self, settings: Settings, clock: Clock, new_id: Callable[[], str]) -> None:
        self.settings = settings
        self.secrets = signing_secrets(settings)
        self.store = SqliteStore(
            Path(settings.database),
            clock=clock,
            new_id=new_id,
            batch=settings.write_batch,
            capacity=settings.write_queue,
        )
        self.tools = Tools(store=self.store, clock=clock, new_id=new_id)
        self.metrics = Metrics()
        self.store.counters.observe_batch = self.metrics.batch
        self.limiter = MemoryRates(settings.requests_per_minute)
        self.client_of = client_finder(settings.trusted_proxies)
        self.log_request = log_request if settings.log_level in ("debug", "info") else None
        self.catalog_cache = CatalogCache(self.store)
        self.checkout = Checkout(
            self.tools,
            self.catalog_cache,
            reservation=timedelta(seconds=settings.reservation_seconds),
            strategy=settings.allocation,
            secrets=self.secrets,
        )
        self.checkout.count = self.metrics.order

    async def close(self) -> None:
        await self.store.close()


def build_shop(
    settings: Settings, *, clock: Clock = utc_now, new_id: Callable[[], str] = uuid7_text
) -> Shop:
    """Opens the store and wires the services; raises `StoreUnavailable` where it can't."""
    return Shop(settings, clock, new_id)


@contextlib.asynccontextmanager
async def open_shop(
    settings: Settings, *, clock: Clock = utc_now, new_id: Callable[[], str] = uuid7_text
) -> AsyncIterator[Shop]:
    """A shop for the length of a block; what waits to be written is written at its end."""
    shop = await asyncio.to_thread(build_shop, settings, clock=clock, new_id=new_id)
    try:
        yield shop
    finally:
        await shop.close()


HANDLERS: Sequence[Any] = (Orders, Operation)


def make_asgi(shop: Shop) -> Litestar:
    """The application that a server runs; it starts and ends the shop's background work."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await shop.close()

    return make_app(shop, HANDLERS, lifespan=lifespan, max_body_bytes=shop.settings.max_body_bytes)


def signing_secrets(settings: Settings) -> tuple[bytes, ...]:
    """The keys that sign tokens and links, newest first.

    Without a setting, one is made beside the database, readable by its owner only; several
    processes that start together end up with the same one.
    """
    if settings.secret_key:
        return tuple(key.encode() for key in (settings.secret_key, *settings.old_secret_keys))
    path = settings.data_dir / "secret.key"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f".secret.key.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return (path.read_bytes().strip(), *(key.encode() for key in settings.old_secret_keys))


def client_finder(trusted: Sequence[str]) -> Callable[[Any], str]:
    """How a request's client address is found: the peer, or what a trusted proxy says of it."""
    networks = [ipaddress.ip_network(text, strict=False) for text in trusted]

    def is_trusted(address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in networks)

    def direct(scope: Any) -> str:
        client = scope.get("client")
        return str(client[0]) if client else "unknown"

    def forwarded(scope: Any) -> str:
        address = direct(scope)
        if not is_trusted(address):
            return address
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                # From the right: the last address that isn't one of our own proxies.
                for part in reversed(value.decode("latin-1").split(",")):
                    address = str(part.strip())
                    if not is_trusted(address):
                        return address
        return address

    return forwarded if networks else direct
