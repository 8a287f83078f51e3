"""Every service wired over one store, and the application that serves them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storekeeper import __version__
from storekeeper.app.clients import client_finder, rate_per_process
from storekeeper.app.clock import Clock, utc_now, uuid7_text
from storekeeper.app.keys import signing_secrets
from storekeeper.app.outside import _valkey, outside_of, pictures_of, sns_of, watch_of
from storekeeper.app.places import open_store
from storekeeper.cache.memory import MemoryCache
from storekeeper.cache.port import Cache
from storekeeper.cache.rates import MemoryRates, SharedRates
from storekeeper.cache.reads import Reads
from storekeeper.config import Settings
from storekeeper.identity.authenticator import Proof, StoreAuthenticator, concerns_of
from storekeeper.identity.passwords import Passwords
from storekeeper.identity.tokens import AccessTokens, RefreshSecrets, ResetSecrets
from storekeeper.notify.console import Console
from storekeeper.notify.port import Sink
from storekeeper.notify.relay import Relay
from storekeeper.notify.retry import Retry
from storekeeper.notify.webhook import Endpoints, Sender
from storekeeper.services.account_removal import AccountRemoval
from storekeeper.services.accounts import Accounts
from storekeeper.services.api_keys import ApiKeys
from storekeeper.services.audit import AuditLog
from storekeeper.services.background import Background
from storekeeper.services.base import Tools
from storekeeper.services.carts import Carts
from storekeeper.services.catalog import Catalog
from storekeeper.services.catalog_cache import CatalogCache
from storekeeper.services.checkout import Checkout
from storekeeper.services.credentials import Credentials
from storekeeper.services.csv_export import Exporter
from storekeeper.services.csv_import import Importer
from storekeeper.services.deliveries import Deliveries
from storekeeper.services.gauges import Gauges
from storekeeper.services.images import Images
from storekeeper.services.inventory import Inventory
from storekeeper.services.invoices import Invoices
from storekeeper.services.jobs import Jobs
from storekeeper.services.live_settings import LiveSettings
from storekeeper.services.locations import Locations
from storekeeper.services.needs import Needs
from storekeeper.services.order_changes import OrderChanges
from storekeeper.services.order_notes import OrderNotes
from storekeeper.services.order_views import SavedOrderViews
from storekeeper.services.outside_accounts import OutsideAccounts
from storekeeper.services.picking import Picking
from storekeeper.services.product_reads import ProductReads
from storekeeper.services.reports import Reports
from storekeeper.services.sessions import Sessions
from storekeeper.services.stock_take_posting import StockTakePosting
from storekeeper.services.stock_takes import StockTakes
from storekeeper.services.throttle import Throttle
from storekeeper.services.traffic import Answers, TrafficCounts
from storekeeper.services.webhooks import Webhooks
from storekeeper.store.sqlite.connect import require_folder
from storekeeper.telemetry.logging import log_line
from storekeeper.telemetry.metrics import Metrics
from storekeeper.telemetry.recent import RECENT

if TYPE_CHECKING:
    from storekeeper.http.gate import RateLimiter


class Shop:
    """Every service over one store. Made by `build_shop`, ended by `close`."""

    def __init__(self, settings: Settings, clock: Clock, new_id: Callable[[], str]) -> None:
        valkey = _valkey() if settings.cache_url else None
        require_folder(Path(settings.database))
        self.settings = settings
        self.secrets = signing_secrets(settings)
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{new_id()}"
        self.store = open_store(settings, clock, new_id)
        self.tools = Tools(store=self.store, clock=clock, new_id=new_id)
        self.images = Images(self.tools, pictures_of(settings))
        self.metrics = Metrics()
        self.store.counters.observe_batch = self.metrics.batch
        self._wire_cache(valkey)
        self.client_of = client_finder(settings.trusted_proxies, settings.client_header)
        self.log_request = log_line if settings.log_level in ("debug", "info") else None
        self.live_settings = LiveSettings(self.tools, settings)
        self.catalog_cache = CatalogCache(self.store)
        self.checkout = Checkout(
            self.tools,
            self.catalog_cache,
            reservation=timedelta(seconds=settings.reservation_seconds),
            strategy=settings.allocation,
            secrets=self.secrets,
            live=self.live_settings,
        )
        self.order_changes = OrderChanges(self.tools, self.catalog_cache)
        self.checkout.count = self.order_changes.count = self.metrics.order
        self._wire_accounts()
        self._wire_notifications()
        self.watch = watch_of(self)
        self.catalog = Catalog(self.tools)
        self.product_reads = ProductReads(
            self.store,
            clock,
            near=MemoryCache(),
            far=self.shared_cache,
            count=self.metrics.cache_read,
        )
        self.catalog = Catalog(self.tools, self.product_reads)
        self.carts = Carts(self.tools)
        self.inventory = Inventory(self.tools)
        self.order_views = SavedOrderViews(self.tools)
        self.order_notes = OrderNotes(self.tools)
        self.audit_log = AuditLog(self.tools)
        self.recent_errors = RECENT
        self.invoices = Invoices(self.tools)
        self.picking = Picking(self.tools, self.catalog_cache)
        self.stock_takes = StockTakes(self.tools)
        self.stock_take_posting = StockTakePosting(self.tools, self.stock_takes)
        self.locations = Locations(self.tools)
        self.importer = Importer(self.tools, currency=settings.currency)
        self.exporter = Exporter(self.tools)
        self.reports = Reports(self.tools)
        self.needs = Needs(self.tools)
        self.traffic = TrafficCounts(
            self.tools, lambda: Answers(self.metrics.answered, self.metrics.faulted)
        )
        self.jobs = Jobs(
            self.tools,
            self.importer,
            folder=settings.data_dir / "jobs",
            max_upload_bytes=settings.max_upload_bytes,
            holder=self.holder,
        )

    def _wire_cache(self, valkey: Any) -> None:
        settings = self.settings
        self.cache_link: Any = None
        self.shared_cache: Cache | None = None
        alone = MemoryRates(rate_per_process(settings))
        self.limiter: RateLimiter = alone
        if valkey is not None:
            # Of one shop and one version: what another wrote is never even looked at.
            namespace = f"storekeeper:{self.store.identity}:{__version__}:"
            self.cache_link = valkey.Link(settings.cache_url, count=self.metrics.cache_error)
            self.shared_cache = valkey.ValkeyCache(
                self.cache_link, namespace=namespace, secret=self.secrets[0]
            )
            if settings.requests_per_minute:
                budgets = valkey.ValkeyBudgets(
                    self.cache_link, namespace=namespace, per_minute=settings.requests_per_minute
                )
                self.limiter = SharedRates(settings.requests_per_minute, budgets, alone)

    def cache_trouble(self) -> str | None:
        """What is wrong with the shared cache; empty: nothing, None: there is none."""
        if self.cache_link is None:
            return None
        trouble: str = self.cache_link.trouble
        return trouble

    def _wire_accounts(self) -> None:
        settings = self.settings
        access_tokens = AccessTokens(
            self.secrets, lifetime=timedelta(seconds=settings.access_token_seconds)
        )
        self.outside_accounts = OutsideAccounts(self.tools)
        self.outside = outside_of(settings, self.outside_accounts, self.tools.clock)
        self.proofs = self._shared_proofs()
        self.authenticator = StoreAuthenticator(
            self.store,
            access_tokens,
            clock=self.tools.clock,
            outside=self.outside,
            proofs=self.proofs,
        )
        self.passwords = Passwords(at_once=settings.password_hashes_at_once)
        self.reset_secrets = ResetSecrets(self.secrets)
        throttle = Throttle(self.tools, self.secrets, self.shared_cache)
        self.credentials = Credentials(self.tools, self.passwords, throttle, self.reset_secrets)
        self.accounts = Accounts(self.tools, self.passwords, self.credentials, throttle)
        self.account_removal = AccountRemoval(self.tools, self.credentials)
        self.sessions = Sessions(
            self.tools,
            self.passwords,
            self.credentials,
            access_tokens,
            RefreshSecrets(self.secrets),
            lifetime=timedelta(days=settings.refresh_token_days),
        )
        self.api_keys = ApiKeys(self.tools)

    def _shared_proofs(self) -> Reads[Proof] | None:
        """Sessions that other nodes have looked up; each node remembers its own anyway."""
        if self.shared_cache is None:
            return None
        return Reads(
            "caller",
            Proof,
            concerns_of,
            store=self.store,
            clock=self.tools.clock,
            far=self.shared_cache,
            count=self.metrics.cache_read,
        )

    def _wire_notifications(self) -> None:
        settings = self.settings
        self.sender = Sender(
            clock=self.tools.clock, private_allowed=settings.webhook_private_addresses
        )
        channels: list[Sink] = []
        if settings.notify_console:
            channels.append(Console())
        if settings.smtp_host:
            from storekeeper.notify.mail import Mail

            channels.append(
                Mail(
                    store=self.store,
                    settings=settings,
                    clock=self.tools.clock,
                    guest_token=self.checkout.guest_token,
                    reset_secret=self.reset_secrets.secret,
                    in_force=self.live_settings.refresh,
                )
            )
        self.sns = sns_of(settings, self.store)
        channels.extend(self.sns.sinks if self.sns is not None else ())
        self.relay = Relay(
            store=self.store,
            clock=self.tools.clock,
            channels=channels,
            endpoints=Endpoints(self.store, self.sender),
            retry=Retry(attempts=settings.delivery_attempts),
        )
        self.deliveries = Deliveries(self.tools)
        self.webhooks = Webhooks(
            self.tools,
            self.deliveries,
            ping=self.sender.send,
            private_allowed=settings.webhook_private_addresses,
        )
        self.background = Background(
            store=self.store,
            clock=self.tools.clock,
            holder=self.holder,
            relay=self.relay,
            expire_due=self.order_changes.expire_due,
            sweep_seconds=settings.sweep_seconds,
            finish_removals=self.account_removal.finish,
            remove_pictures=self.images.remove_unused,
        )
        self.gauges = Gauges(self.store, self.relay, self.cache_trouble)

    async def prepare(self) -> bool:
        """Makes what every shop has, its first location, and answers whether it was missing."""
        return await self.locations.ensure_defaults()

    async def start(self) -> None:
        """Begins the work that goes on beside requests: sweeping, relaying, importing."""
        if self.cache_link is not None:
            await self.cache_link.start()
        await self.prepare()
        await self.background.start()
        await self.jobs.start()
        self.traffic.start()
        if self.watch is not None:
            self.watch.start()

    async def stop(self) -> None:
        await self.jobs.stop()
        await self.background.stop()
        await self.traffic.stop()
        if self.watch is not None:
            await self.watch.stop()

    async def close(self) -> None:
        """Finishes what waits to be written, then lets go of everything."""
        await self.sender.close()
        await self.images.close()
        if self.sns is not None:
            await self.sns.close()
        if self.cache_link is not None:
            await self.product_reads.settle()
            if self.proofs is not None:
                await self.proofs.settle()
            await self.cache_link.close()
        if self.outside is not None:
            await self.outside.tokens.close()
        await asyncio.to_thread(self.passwords.close)
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
