"""The composition root: the one place that knows which adapters are in use."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import uuid_utils
from litestar import Litestar

from storekeeper import __version__
from storekeeper.cache.memory import MemoryCache
from storekeeper.cache.port import Cache
from storekeeper.cache.rates import MemoryRates, SharedRates
from storekeeper.cache.reads import Reads
from storekeeper.config import SHORTEST_SECRET, TABLE_PREFIX, Settings, SettingsError
from storekeeper.domain.errors import AlreadyExists, NotFound
from storekeeper.domain.types import Struct
from storekeeper.http.api_keys import ApiKeysController
from storekeeper.http.app import make_app
from storekeeper.http.auth import Auth
from storekeeper.http.gate import RateLimiter
from storekeeper.http.health import Operation
from storekeeper.http.imports import Imports, JobsController
from storekeeper.http.locations import LocationsController
from storekeeper.http.orders import Orders
from storekeeper.http.outside import OutsideProfiles
from storekeeper.http.products import Products, list_categories
from storekeeper.http.reports import ReportsController
from storekeeper.http.stock import Stock
from storekeeper.http.users import Users
from storekeeper.http.webhooks import DeliveriesController, WebhooksController
from storekeeper.identity.authenticator import Proof, StoreAuthenticator, concerns_of
from storekeeper.identity.outside import Outside, OutsideTokens
from storekeeper.identity.passwords import Passwords
from storekeeper.identity.tokens import AccessTokens, RefreshSecrets, ResetSecrets
from storekeeper.notify.console import Console
from storekeeper.notify.mail import Mail
from storekeeper.notify.port import Sink
from storekeeper.notify.relay import Relay
from storekeeper.notify.retry import Retry
from storekeeper.notify.webhook import Endpoints, Sender
from storekeeper.services.account_removal import AccountRemoval
from storekeeper.services.accounts import Accounts
from storekeeper.services.api_keys import ApiKeys
from storekeeper.services.background import Background
from storekeeper.services.base import Tools
from storekeeper.services.catalog import Catalog
from storekeeper.services.catalog_cache import CatalogCache
from storekeeper.services.checkout import Checkout
from storekeeper.services.copying import Compared, compare
from storekeeper.services.credentials import Credentials
from storekeeper.services.csv_export import Exporter
from storekeeper.services.csv_import import Importer
from storekeeper.services.deliveries import Deliveries
from storekeeper.services.gauges import Gauges
from storekeeper.services.inventory import Inventory
from storekeeper.services.jobs import Jobs
from storekeeper.services.locations import Locations
from storekeeper.services.order_changes import OrderChanges
from storekeeper.services.outside_accounts import OutsideAccounts
from storekeeper.services.product_reads import ProductReads
from storekeeper.services.reports import Reports
from storekeeper.services.sessions import Sessions
from storekeeper.services.throttle import Throttle
from storekeeper.services.webhooks import Webhooks
from storekeeper.store.sqlite import backup
from storekeeper.store.sqlite.backup import BackedUp, Progress, Restored
from storekeeper.store.sqlite.connect import require_folder, told_clearly
from storekeeper.store.sqlite.store import SqliteStore
from storekeeper.telemetry.logging import log_line
from storekeeper.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from storekeeper.notify.sns.opening import SnsChannels

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


def uuid7_text() -> str:
    return str(uuid_utils.uuid7())


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
        self.metrics = Metrics()
        self.store.counters.observe_batch = self.metrics.batch
        self._wire_cache(valkey)
        self.client_of = client_finder(settings.trusted_proxies)
        self.log_request = log_line if settings.log_level in ("debug", "info") else None
        self.catalog_cache = CatalogCache(self.store)
        self.checkout = Checkout(
            self.tools,
            self.catalog_cache,
            reservation=timedelta(seconds=settings.reservation_seconds),
            strategy=settings.allocation,
            secrets=self.secrets,
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
        self.inventory = Inventory(self.tools)
        self.locations = Locations(self.tools)
        self.importer = Importer(self.tools, currency=settings.currency)
        self.exporter = Exporter(self.tools)
        self.reports = Reports(self.tools)
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
        throttle = Throttle(self.tools, self.shared_cache)
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
            channels.append(
                Mail(
                    store=self.store,
                    settings=settings,
                    clock=self.tools.clock,
                    guest_token=self.checkout.guest_token,
                    reset_secret=self.reset_secrets.secret,
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
        if self.watch is not None:
            self.watch.start()

    async def stop(self) -> None:
        await self.jobs.stop()
        await self.background.stop()
        if self.watch is not None:
            await self.watch.stop()

    async def close(self) -> None:
        """Finishes what waits to be written, then lets go of everything."""
        await self.sender.close()
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


class Place(Struct, frozen=True, kw_only=True):
    """Where a shop is: the file, or the tables whose names begin with `name`."""

    store: Literal["sqlite", "dynamodb"]
    name: str

    @classmethod
    def of(cls, text: str) -> Place:
        """Reads `sqlite:FILE` or `dynamodb:PREFIX`; raises `SettingsError`."""
        store, colon, name = text.partition(":")
        if store == "sqlite" and name:
            return cls(store="sqlite", name=name)
        if store == "dynamodb" and colon and TABLE_PREFIX.fullmatch(name):
            return cls(store="dynamodb", name=name)
        raise SettingsError(f"{text!r} is no place of a shop; say sqlite:FILE or dynamodb:PREFIX")

    def __str__(self) -> str:
        return f"{self.store}:{self.name}"


def open_store(settings: Settings, clock: Clock, new_id: Callable[[], str]) -> SqliteStore:
    """The store that the settings name; raises `StoreUnavailable` where it can't be had."""
    is_file = settings.store == "sqlite"
    name = settings.database if is_file else settings.dynamodb_prefix
    return open_place(settings, Place(store=settings.store, name=name), clock, new_id)


def open_place(
    settings: Settings, place: Place, clock: Clock = utc_now, new_id: Callable[[], str] = uuid7_text
) -> SqliteStore:
    """The store there, with what the settings say of AWS and of queues."""
    if place.store == "dynamodb":
        store: SqliteStore = _dynamodb().open_store(
            settings.data_dir / f"{place.name}replica.db",
            **_aws(settings),
            prefix=place.name,
            clock=clock,
            new_id=new_id,
            batch=settings.write_batch,
            capacity=settings.write_queue,
            views=settings.dynamodb_views,
            snapshots=settings.snapshot_bucket,
            snapshots_endpoint=settings.snapshot_endpoint_url,
            snapshots_every=settings.snapshot_entries,
        )
        return store
    return SqliteStore(
        Path(place.name),
        clock=clock,
        new_id=new_id,
        batch=settings.write_batch,
        capacity=settings.write_queue,
    )


def _aws(settings: Settings) -> dict[str, str]:
    return {
        "region": settings.aws_region,
        "endpoint": settings.aws_endpoint_url,
        "profile": settings.aws_profile,
    }


class ShopCopied(Struct, frozen=True, kw_only=True):
    """A shop in two places. `resumed`: the target had been begun, or was there already."""

    source: str
    target: str
    resumed: bool
    compared: Compared


async def copy_shop(settings: Settings, source: Place, target: Place, *, watch: Any) -> ShopCopied:
    """Copies a whole shop into an empty place and compares both; safe to break off and repeat.

    `watch` is told a stage, what is done and of how much. Raises `AlreadyExists` where another
    shop is, `NotFound` where none is, `StoreUnavailable`.
    """
    if source == target:
        raise SettingsError(f"{source} is the source and the target; name two places")
    if source.store == "sqlite" and not Path(source.name).is_file():
        raise NotFound(f"there is no shop at {source.name}")
    async with contextlib.AsyncExitStack() as stack:
        kept = await asyncio.to_thread(open_place, settings, source)
        stack.push_async_callback(kept.close)
        await kept.catch_up()
        resumed = await asyncio.to_thread(_copy, settings, source, kept.path, target, watch)
        copied = await asyncio.to_thread(open_place, settings, target)
        stack.push_async_callback(copied.close)
        await copied.catch_up()
        compared = await compare(kept, copied, await kept.digests(), await copied.digests())
    if resumed and target.store == "sqlite" and compared.differing:
        raise AlreadyExists(f"there is another shop at {target.name}; name a file that isn't there")
    return ShopCopied(source=str(source), target=str(target), resumed=resumed, compared=compared)


def _copy(settings: Settings, source: Place, file: Path, target: Place, watch: Any) -> bool:
    if target.store == "dynamodb":
        require_folder(Path(settings.database))
        resumed: bool = _dynamodb().copy_shop(
            file,
            settings.data_dir / f"{target.name}copying.db",
            **_aws(settings),
            prefix=target.name,
            watch=watch,
        )
        return resumed
    if Path(target.name).exists():
        return True
    require_folder(Path(target.name))
    backup.back_up(
        file,
        Path(target.name),
        without=_dynamodb().OWN_TABLES if source.store == "dynamodb" else (),
        progress=lambda pages, total: watch("Copying pages", pages, total),
    )
    return False


def create_tables(settings: Settings) -> list[str]:
    """Makes the tables that the settings name; a sentence for each thing that was done."""
    if settings.store != "dynamodb":
        return []
    done: list[str] = _dynamodb().make_tables(**_aws(settings), prefix=settings.dynamodb_prefix)
    return done


def _dynamodb() -> Any:
    """The adapter, which needs packages that an embedded shop doesn't have."""
    try:
        from storekeeper.store.dynamodb import opening
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"store = dynamodb needs more packages ({error.name} is missing); "
            "pip install 'storekeeper[aws]'"
        ) from error
    return opening


def outside_of(settings: Settings, welcome: OutsideAccounts, clock: Clock) -> Outside | None:
    """The identity provider beside the shop's own accounts, where the settings name one."""
    if not settings.cognito_user_pool_id:
        return None
    tokens: OutsideTokens = _cognito().CognitoTokens(
        settings.cognito_user_pool_id,
        client_ids=settings.cognito_client_ids,
        roles=settings.cognito_roles,
        clock=clock,
        jwks_url=settings.cognito_jwks_url,
        audience=settings.public_url,
    )
    return Outside(tokens=tokens, welcome=welcome)


def check_provider(settings: Settings) -> None:
    """Asks for the identity provider's keys once, before anything is served.

    Raises `SettingsError` where there is no such provider. One that can't be reached at the moment
    doesn't keep the shop closed. Not to be called in an event loop.
    """
    if not settings.cognito_user_pool_id:
        return
    why_not = asyncio.run(
        _cognito().check_pool(
            settings.cognito_user_pool_id, settings.cognito_jwks_url, clock=utc_now
        )
    )
    if why_not:
        raise SettingsError(
            f"cognito_user_pool_id = {settings.cognito_user_pool_id!r} has no keys: {why_not}; "
            "check the pool's id"
        )


def _cognito() -> Any:
    """The adapter, which needs packages that an embedded shop doesn't have."""
    try:
        from storekeeper.identity import cognito
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"cognito_user_pool_id needs more packages ({error.name} is missing); "
            "pip install 'storekeeper[aws]'"
        ) from error
    return cognito


def watch_of(shop: Shop) -> Any:
    """Who sends the shop's figures to CloudWatch, where the settings name a namespace."""
    settings = shop.settings
    if not settings.cloudwatch_namespace:
        return None
    try:
        from storekeeper.telemetry.cloudwatch import client, watch
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"cloudwatch_namespace needs more packages ({error.name} is missing); "
            "pip install 'storekeeper[aws]'"
        ) from error
    return watch.Watch(
        metrics=shop.metrics,
        gauges=shop.gauges,
        leads=lambda: shop.background.leads,
        client=client.Client(
            settings.cloudwatch_namespace,
            region=settings.aws_region,
            endpoint=settings.cloudwatch_endpoint_url or settings.aws_endpoint_url,
            profile=settings.aws_profile,
        ),
        clock=shop.tools.clock,
        seconds=settings.cloudwatch_seconds,
        node=settings.cloudwatch_node,
        flush_seconds=min(watch.FLUSH_S, settings.shutdown_seconds),
    )


def sns_of(settings: Settings, store: SqliteStore) -> SnsChannels | None:
    """The channels of the topics that the settings name, where they name some."""
    if not _has_topics(settings):
        return None
    channels: SnsChannels = _sns().SnsChannels(settings, store)
    return channels


def create_topics(settings: Settings) -> list[str]:
    """Makes the topics that the settings name; a sentence for each thing that was done. Not to be
    called in an event loop."""
    made: list[str] = _sns().make_topics(settings) if _has_topics(settings) else []
    return made


def check_topics(settings: Settings) -> None:
    """Looks for the topics once, before anything is served; raises `SettingsError` where they
    can't be used. Not to be called in an event loop."""
    if _has_topics(settings):
        _sns().check_topics(settings)


def _has_topics(settings: Settings) -> bool:
    return bool(settings.sns_orders_topic or settings.sns_stock_topic)


def _sns() -> Any:
    """The adapter, which needs packages that an embedded shop doesn't have."""
    try:
        from storekeeper.notify.sns import opening
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"sns_orders_topic and sns_stock_topic need more packages ({error.name} is missing); "
            "pip install 'storekeeper[aws]'"
        ) from error
    return opening


def _valkey() -> Any:
    """The adapter, which needs packages that a shop of one machine doesn't have."""
    try:
        from storekeeper.cache import valkey
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"cache_url needs more packages ({error.name} is missing); "
            "pip install 'storekeeper[valkey]'"
        ) from error
    return valkey


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


HANDLERS: Sequence[Any] = (
    Auth,
    Users,
    ApiKeysController,
    Products,
    list_categories,
    Imports,
    JobsController,
    Stock,
    LocationsController,
    Orders,
    ReportsController,
    WebhooksController,
    DeliveriesController,
    Operation,
)


def tune_collector() -> None:
    """Keeps the garbage collector from walking the whole application again and again.

    What exists after the start stays; requests make short-lived values that are freed without it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def make_asgi(shop: Shop) -> Litestar:
    """The application that a server runs; it starts and ends the shop's background work."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        try:
            await shop.start()
            tune_collector()
            yield
        finally:
            await shop.stop()
            await shop.close()

    settings = shop.settings
    return make_app(
        shop,
        HANDLERS if shop.outside is None else (*HANDLERS, OutsideProfiles),
        lifespan=lifespan,
        max_body_bytes=settings.max_body_bytes,
        public_url=settings.public_url,
    )


def back_up(settings: Settings, target: Path, *, force: bool, progress: Progress) -> BackedUp:
    """Copies the shop while it is in use; see `store.sqlite.backup`."""
    _require_file(settings, "backup")
    return backup.back_up(Path(settings.database), target, force=force, progress=progress)


def restore(settings: Settings, source: Path, *, now: datetime, progress: Progress) -> Restored:
    """Puts a copy in the shop's place; see `store.sqlite.backup`."""
    _require_file(settings, "restore")
    require_folder(Path(settings.database))
    return backup.restore(source, Path(settings.database), now=now, progress=progress)


def _require_file(settings: Settings, command: str) -> None:
    if settings.store != "sqlite":
        raise SettingsError(
            f"`{command}` copies a file, and this shop is in {settings.place}; these are restored "
            "from their point-in-time recovery (docs/dynamodb.md)"
        )


def _make_secret(path: Path) -> None:
    draft = path.with_name(f".secret.key.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def signing_secrets(settings: Settings) -> tuple[bytes, ...]:
    """The keys that sign tokens and links, newest first.

    Without a setting, one is made beside the database, readable by its owner only; several
    processes that start together end up with the same one.
    """
    if settings.secret_key:
        return tuple(key.encode() for key in (settings.secret_key, *settings.old_secret_keys))
    path = settings.data_dir / "secret.key"
    if not path.exists():
        with told_clearly(path):
            _make_secret(path)
    kept = path.read_bytes().strip()
    if len(kept) < SHORTEST_SECRET:
        raise SettingsError(
            f"{path} needs at least {SHORTEST_SECRET} characters and holds {len(kept)}; put the "
            "kept copy in its place, or remove it and another key is made"
        )
    return (kept, *(key.encode() for key in settings.old_secret_keys))


def rate_per_process(settings: Settings) -> int:
    """Each worker counts for itself, so each allows its share of the rate; 0 means no limit."""
    rate = settings.requests_per_minute
    return max(1, rate // settings.workers) if rate else 0


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
        # Each proxy adds to the line, or a line of its own: together they are one list (RFC 9110,
        # section 5.3). From the right: the last address that isn't one of our own proxies.
        lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        for part in reversed(b",".join(lines).decode("latin-1").split(",")):
            if part.strip():
                address = bare_address(part.strip())
                if not is_trusted(address):
                    return address
        return address

    return forwarded if networks else direct


def bare_address(text: str) -> str:
    """The address of `192.0.2.1:80`, `[2001:db8::1]:80` or `"[2001:db8::1]"`; else the text."""
    text = text.strip('"')
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
