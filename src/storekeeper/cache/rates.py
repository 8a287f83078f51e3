"""Request rates per client: in this process's memory, or one budget for all nodes."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from storekeeper.cache.port import Budgets, Lease

Taken = tuple[int, int, int]
# A node asks for this share of the rate at once, so that most requests ask nobody.
_LEASE_SHARE: Final = 100
# What a node hasn't used by then is lost to the client, at most one share of a hundred.
_LEASE_S: Final = 1.0
# How often a request that waits beside others of its client comes too late for what was leased.
_MOST_ROUNDS: Final = 100


class MemoryRates:
    """A token bucket per client: `per_minute` at a time, refilled evenly; 0 means no limit.

    At most `size` clients are remembered; the one not seen for longest is forgotten first, which
    forgives it what it had used.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        size: int = 50_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = per_minute
        self._rate = per_minute / 60
        self._size = size
        self._now = monotonic
        self._buckets: OrderedDict[str, list[float]] = OrderedDict()

    def take(self, who: str) -> Taken | None:
        """Counts one request; answers (limit, remaining, seconds until the next or until full).

        `remaining` is -1 for a request too many, which costs nothing.
        """
        if not self._limit:
            return None
        now = self._now()
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = [float(self._limit), now]
            if len(self._buckets) > self._size:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(who)
        tokens = min(self._limit, bucket[0] + (now - bucket[1]) * self._rate)
        bucket[1] = now
        if tokens < 1:
            bucket[0] = tokens
            return self._limit, -1, math.ceil((1 - tokens) / self._rate)
        bucket[0] = tokens - 1
        return self._limit, int(tokens - 1), int((self._limit - bucket[0]) / self._rate)


class _Leased:
    """What a node may let through for one client without asking."""

    __slots__ = ("again", "left", "requests", "until")

    def __init__(self, lease: Lease, now: float) -> None:
        self.requests = lease.granted
        self.left = lease.left
        self.until = now + _LEASE_S
        # One that was refused isn't asked for again before there can be more.
        self.again = now + lease.wait if lease.left == 0 else now


class SharedRates:
    """One budget per client over all nodes: each takes some of it at a time, and uses that alone.

    So all together never let more through than the budget has. While it can't be asked, this
    process counts for itself with `alone`, at no cost per request.
    """

    def __init__(
        self,
        per_minute: int,
        budgets: Budgets,
        alone: MemoryRates,
        *,
        size: int = 50_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = per_minute
        self._rate = per_minute / 60
        self._chunk = max(1, per_minute // _LEASE_SHARE)
        self._budgets = budgets
        self._alone = alone
        self._size = size
        self._now = monotonic
        self._leases: OrderedDict[str, _Leased] = OrderedDict()
        self._flights: dict[str, asyncio.Task[bool]] = {}

    def take(self, who: str) -> Taken | Awaitable[Taken | None] | None:
        """As `MemoryRates.take`; to be awaited where the budget has to be asked."""
        if not self._limit:
            return None
        if not self._budgets.is_up:
            return self._alone.take(who)
        return self._of_lease(who) or self._asked(who)

    async def _asked(self, who: str) -> Taken | None:
        for _ in range(_MOST_ROUNDS):
            flight = self._flights.get(who)
            if flight is None:
                flight = asyncio.create_task(self._lease(who), name="request budget")
                self._flights[who] = flight
                flight.add_done_callback(lambda done: self._flights.pop(who, None))
            if not await asyncio.shield(flight):
                return self._alone.take(who)
            taken = self._of_lease(who)
            if taken is not None:
                return taken
        return self._alone.take(who)

    async def _lease(self, who: str) -> bool:
        lease = await self._budgets.lease(who, self._chunk)
        if lease is None:
            return False
        self._leases[who] = _Leased(lease, self._now())
        self._leases.move_to_end(who)
        if len(self._leases) > self._size:
            self._leases.popitem(last=False)
        return True

    def _of_lease(self, who: str) -> Taken | None:
        """None where the node has nothing left to give, and doesn't know that there is nothing."""
        lease = self._leases.get(who)
        if lease is None:
            return None
        now = self._now()
        if lease.requests > 0 and now < lease.until:
            lease.requests -= 1
            remaining = lease.left + lease.requests
            return self._limit, remaining, int((self._limit - remaining) / self._rate)
        if now < lease.again:
            return self._limit, -1, math.ceil(lease.again - now)
        del self._leases[who]
        return None
