"""All account services over one shop, and the API in front of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from litestar import Litestar

from storekeeper.cache.rates import MemoryRates
from storekeeper.domain.accounts import Account, Principal, Role
from storekeeper.domain.events import Event
from storekeeper.domain.orders import Address, Order
from storekeeper.http.api_keys import ApiKeysController
from storekeeper.http.app import make_app
from storekeeper.http.auth import Auth
from storekeeper.http.orders import Orders
from storekeeper.http.users import Users
from storekeeper.identity.authenticator import StoreAuthenticator
from storekeeper.identity.passwords import Passwords
from storekeeper.identity.tokens import AccessTokens, RefreshSecrets, ResetSecrets
from storekeeper.services.account_removal import AccountRemoval
from storekeeper.services.accounts import Accounts
from storekeeper.services.api_keys import ApiKeys
from storekeeper.services.base import BY_SYSTEM, Call
from storekeeper.services.credentials import Credentials
from storekeeper.services.sessions import Sessions, Tokens
from storekeeper.services.throttle import Throttle
from storekeeper.store.sqlite.store import SqliteStore
from storekeeper.telemetry.metrics import Metrics
from tests.support.builders import a_request
from tests.support.clock import Clock
from tests.support.ids import Ids
from tests.support.shop import Shop

GOOD = "correct horse battery"
OTHER = "a wholly different one"
SECRETS = (b"the shop's secret",)
HOME = "192.0.2.1"
ADDRESS = Address(name="Ada Lovelace", line1="12 Square", city="London", country="GB")


class Office:
    """The services as the composition root wires them, with hashes made cheap."""

    def __init__(
        self, store: SqliteStore, clock: Clock, new_id: Ids, secrets: Sequence[bytes] = SECRETS
    ) -> None:
        self.shop = Shop(store=store, clock=clock, new_id=new_id)
        self.store = store
        self.clock = clock
        self.tools = self.shop.tools
        self.checkout = self.shop.checkout
        self.order_changes = self.shop.order_changes
        self.passwords = Passwords(memory_kib=64, passes=1)
        self.access_tokens = AccessTokens(secrets, lifetime=timedelta(minutes=15))
        self.throttle = Throttle(self.tools, secrets)
        self.credentials = Credentials(
            self.tools, self.passwords, self.throttle, ResetSecrets(secrets)
        )
        self.sessions = Sessions(
            self.tools,
            self.passwords,
            self.credentials,
            self.access_tokens,
            RefreshSecrets(secrets),
            lifetime=timedelta(days=30),
        )
        self.accounts = Accounts(self.tools, self.passwords, self.credentials, self.throttle)
        self.account_removal = AccountRemoval(self.tools, self.credentials)
        self.api_keys = ApiKeys(self.tools)
        self.authenticator = StoreAuthenticator(store, self.access_tokens, clock=clock)

    async def person(
        self, name: str = "ada", role: Role = "customer", password: str | None = GOOD
    ) -> Account:
        return await self.accounts.create(
            BY_SYSTEM,
            email=f"{name}@example.com",
            name=name.title(),
            role=role,
            password=password,
        )

    async def log_in(
        self, name: str = "ada", password: str = GOOD, client_address: str = HOME
    ) -> Tokens:
        return await self.sessions.log_in(
            f"{name}@example.com", password, client_address=client_address, client="Firefox"
        )

    async def known(self, tokens: Tokens | str) -> Principal:
        """Who the authenticator says it is, as the gate asks it."""
        text = tokens if isinstance(tokens, str) else tokens.access_token
        header = f"Bearer {text}"
        return self.authenticator.remembered(header) or await self.authenticator.principal_of(
            header
        )

    async def call(self, name: str = "ada", key: str = "", fingerprint: str = "") -> Call:
        principal = await self.known(await self.log_in(name))
        return Call(principal=principal, key=key, fingerprint=fingerprint)

    async def order(self, account: Account, *skus: str, **fields: Any) -> Order:
        """A customer's confirmed order, a unit of each SKU, that says who it is for."""
        principal = Principal(account_id=account.id, role="customer")
        request = a_request(
            *((sku, 1) for sku in skus or ("MUG",)),
            **{
                "shipping_address": ADDRESS,
                "email": account.email,
                "note": "Ring at Lovelace's",
                "confirm": True,
                **fields,
            },
        )
        return (await self.checkout.place(Call(principal=principal), request)).order

    async def told(self, kind: str) -> list[Event]:
        stored = await self.store.events_after(0, 1_000)
        return [found.event for found in stored if found.event.kind == kind]

    def api(self) -> Litestar:
        shop = SimpleNamespace(
            **vars(self),
            limiter=MemoryRates(0),
            metrics=Metrics(),
            client_of=lambda scope: HOME,
            log_request=None,
        )
        return make_app(
            shop,
            (Auth, Users, ApiKeysController, Orders),
            lifespan=_nothing_to_do,
            max_body_bytes=100_000,
        )

    def client(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.api())  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url="http://shop.example")


@asynccontextmanager
async def office_at(
    path: Path, *, clock: Clock | None = None, node: int = 0, secrets: Sequence[bytes] = SECRETS
) -> AsyncIterator[Office]:
    """The services of one process; a second one at the same path sees the same shop."""
    clock, new_id = clock or Clock(), Ids(node)
    store = SqliteStore(path, clock=clock, new_id=new_id)
    office = Office(store, clock, new_id, secrets)
    try:
        yield office
    finally:
        office.passwords.close()
        await store.close()


@asynccontextmanager
async def _nothing_to_do(app: Litestar) -> AsyncIterator[None]:
    yield
