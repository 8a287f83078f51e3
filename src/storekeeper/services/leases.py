"""The right to do what only one process of a shop may do; it ends by itself if its holder dies.

The clocks of machines differ, and a process can be stopped between its look at the clock and its
deed, so for a moment two may believe that they hold it. What they do must be safe then too: every
change that it leads to is guarded by a version of what it was decided on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from storekeeper.domain.work import Lease
from storekeeper.store.port import Store


class Tenure:
    """One process's claim to a lease. `holder` must be no other process's name."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        *,
        id: str,
        holder: str,
        duration: timedelta,
    ) -> None:
        self._store = store
        self._clock = clock
        self._id = id
        self._holder = holder
        self._duration = duration
        self._until: datetime | None = None
        # What stands as we know from having written it, so that the holder need not read first.
        self._kept: Lease | None = None

    @property
    def is_held(self) -> bool:
        """Whether the lease is ours for certain; false as soon as its time is over."""
        return self._until is not None and self._clock() < self._until

    async def hold(self) -> bool:
        """Takes or renews the lease if it is free or ours; answers whether it is ours now."""
        now = self._clock()
        kept = self._kept or await self._store.lease(self._id)
        if kept is not None and kept.holder != self._holder and kept.until > now:
            self._until = None
            return False
        until = now + self._duration
        is_ours = await self._keep(kept, until)
        self._until = until if is_ours else None
        return is_ours

    async def let_go(self) -> None:
        """Frees the lease, so that the next process need not wait for its end."""
        self._until = None
        kept = self._kept or await self._store.lease(self._id)
        if kept is None or kept.holder != self._holder:
            return
        await self._keep(kept, self._clock())
        self._kept = None

    async def _keep(self, kept: Lease | None, until: datetime) -> bool:
        """Writes the next version; false where another process was faster."""
        # Where the answer is lost, or nobody waits for it any more, the next time reads first.
        self._kept = None
        version = 1 if kept is None else kept.version + 1
        lease = Lease(id=self._id, version=version, holder=self._holder, until=until)
        is_ours = await self._store.hold(lease)
        self._kept = lease if is_ours else None
        return is_ours
