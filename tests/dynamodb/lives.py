"""Customers who come, order, move and leave, in any order that Hypothesis thinks of."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Awaitable, Callable

from hypothesis import strategies as st

from storekeeper.domain.accounts import Account, Principal
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import ShopError
from storekeeper.domain.orders import Address, Order
from storekeeper.domain.stock import MAIN
from storekeeper.services.base import BY_SYSTEM, Call
from storekeeper.store.port import OrderQuery
from storekeeper.store.sqlite.store import SqliteStore
from tests.accounts.office import GOOD, Office
from tests.support.builders import a_location, a_product, a_request, creating, moving
from tests.support.clock import Clock
from tests.support.ids import Ids

# Few, so that an address that somebody left is soon another's.
ADDRESSES = tuple(f"Somebody-{number}@example.com" for number in range(4))
VERBS = (
    "register",
    "log_in",
    "make_key",
    "forget_password",
    "order",
    "order",
    "cancel",
    "ship",
    "take_back",
    "move",
    "rename",
    "leave",
    "finish",
    "purge",
)
# What is done, whose it is, and which of theirs.
Deed = tuple[str, int, int]
deeds = st.lists(
    st.tuples(st.sampled_from(VERBS), st.integers(0, 9), st.integers(0, 9)),
    min_size=10,
    max_size=30,
)


class Lives:
    """The people of one shop. `said` has what each ever said of themselves, by account."""

    def __init__(self, store: SqliteStore, clock: Clock, new_id: Ids, start: int = 0) -> None:
        self.office = Office(store, clock, new_id)
        self.clock = clock
        self.said: dict[str, set[str]] = {}
        self._numbers = itertools.count(start)
        self._home = itertools.count()

    async def open(self) -> None:
        mug: Product = a_product("MUG")
        await self.office.store.commit(
            creating(mug) + moving(mug, 1_000) + ChangeSet(puts=(Put(a_location(MAIN)),))
        )

    async def live(self, all_deeds: list[Deed]) -> None:
        for verb, who, which in all_deeds:
            do: Callable[[int, int], Awaitable[object]] = getattr(self, verb)
            self.clock.advance(seconds=1)
            with contextlib.suppress(ShopError):
                await do(who, which)

    async def part(self) -> None:
        """Every second one leaves, so that there is something to forget."""
        for who in range(0, len(self.said), 2):
            for which in range(5):
                await self.live([("cancel", who, which), ("ship", who, which)])
            await self.live([("leave", who, 0)])
        await self.live([("finish", 0, 0)])

    async def register(self, who: int, which: int) -> None:
        name = self._word("Name")
        account = await self.office.accounts.create(
            BY_SYSTEM,
            email=ADDRESSES[which % len(ADDRESSES)],
            name=name,
            role="staff" if who % 3 == 0 else "customer",
            password=GOOD,
        )
        self._says(account.id, name)

    async def log_in(self, who: int, which: int) -> None:
        account = await self._account(who)
        client = self._word("Browser")
        self._says(account.id, client)
        await self.office.sessions.log_in(
            account.email, GOOD, client_address=self._somewhere(), client=client
        )

    async def make_key(self, who: int, which: int) -> None:
        account = await self._account(who)
        name = self._word("Key")
        self._says(account.id, name)
        await self.office.api_keys.create(self._call(account), name=name, scopes=["stock:read"])

    async def forget_password(self, who: int, which: int) -> None:
        account = await self._account(who)
        await self.office.credentials.forgot_password(
            account.email, client_address=self._somewhere()
        )

    async def move(self, who: int, which: int) -> None:
        account = await self._account(who)
        await self.office.accounts.edit_own(
            self._call(account),
            email=ADDRESSES[which % len(ADDRESSES)],
            password=GOOD,
            client_address=self._somewhere(),
        )

    async def rename(self, who: int, which: int) -> None:
        account = await self._account(who)
        name = self._word("Name")
        self._says(account.id, name)
        await self.office.accounts.edit_own(
            self._call(account), name=name, client_address=self._somewhere()
        )

    async def order(self, who: int, which: int) -> None:
        account = await self._account(who)
        if account.status != "active":
            return  # no request of theirs comes through the gate
        street, note = self._word("Street"), self._word("Note")
        self._says(account.id, street, note)
        request = a_request(
            ("MUG", 1 + which),
            shipping_address=Address(name=account.name, line1=street, city="Leeds", country="GB"),
            email=account.email,
            note=note,
            confirm=which % 2 == 0,
        )
        await self.office.checkout.place(self._call(account), request)

    async def cancel(self, who: int, which: int) -> None:
        account, order = await self._order(who, which)
        reason = self._word("Reason")
        self._says(account.id, reason)
        await self.office.order_changes.cancel(BY_SYSTEM, order.id, reason)

    async def ship(self, who: int, which: int) -> None:
        _, order = await self._order(who, which)
        await self.office.order_changes.ship(BY_SYSTEM, order.id, lines=None)

    async def take_back(self, who: int, which: int) -> None:
        account, order = await self._order(who, which)
        reason = self._word("Reason")
        if account.status == "active":
            self._says(account.id, reason)
        await self.office.order_changes.take_back(BY_SYSTEM, order.id, lines=None, reason=reason)

    async def leave(self, who: int, which: int) -> None:
        account = await self._account(who)
        await self.office.account_removal.remove(BY_SYSTEM, account.id)

    async def finish(self, who: int, which: int) -> None:
        self.clock.advance(minutes=6)
        await self.office.account_removal.finish()

    async def purge(self, who: int, which: int) -> None:
        self.clock.advance(hours=5)
        await self.office.store.purge(self.clock(), 100)

    async def deleted(self) -> set[str]:
        """The accounts whose deletion is done."""
        found = await self.office.store.get_many(Account, list(self.said))
        return {id for id, account in found.items() if account.status == "deleted"}

    async def _account(self, who: int) -> Account:
        ids = list(self.said)
        account = await self.office.store.get(Account, ids[who % len(ids)] if ids else "")
        if account is None:
            raise ShopError("there is nobody yet")
        return account

    async def _order(self, who: int, which: int) -> tuple[Account, Order]:
        account = await self._account(who)
        page = await self.office.store.orders(OrderQuery(customer_id=account.id))
        if not page.items:
            raise ShopError("nothing was ordered yet")
        return account, page.items[which % len(page.items)]

    def _says(self, account_id: str, *words: str) -> None:
        self.said.setdefault(account_id, set()).update(words)

    def _word(self, kind: str) -> str:
        return f"{kind}-{next(self._numbers):04}"

    def _somewhere(self) -> str:
        """A client that has failed nowhere yet."""
        number = next(self._home)
        return f"192.0.{number // 250}.{1 + number % 250}"

    @staticmethod
    def _call(account: Account) -> Call:
        return Call(principal=Principal(account_id=account.id, role=account.role))
