"""The right to do what only one process of a shop may do; it ends by itself if its holder dies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from storekeeper.domain.changes import ChangeSet, Put, Stale
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

    @property
    def is_held(self) -> bool:
        """Whether the lease is ours for certain; false as soon as its time is over."""
        return self._until is not None and self._clock() < self._until

    async def hold(self) -> bool:
        """Takes or renews the lease if it is free or ours; answers whether it is ours now."""
        now = self._clock()
        lease = await self._store.get(Lease, self._id)
        if lease is not None and lease.holder != self._holder and lease.until > now:
            self._until = None
            return False
        until = now + self._duration
        try:
            await self._store.commit(ChangeSet(puts=(Put(self._next(lease, until)),)))
        except Stale:
            self._until = None
            return False  # another process was faster
        self._until = until
        return True

    async def let_go(self) -> None:
        """Frees the lease, so that the next process need not wait for its end."""
        self._until = None
        lease = await self._store.get(Lease, self._id)
        if lease is None or lease.holder != self._holder:
            return
        try:
            await self._store.commit(ChangeSet(puts=(Put(self._next(lease, self._clock())),)))
        except Stale:
            return

    def _next(self, lease: Lease | None, until: datetime) -> Lease:
        version = 1 if lease is None else lease.version + 1
        return Lease(id=self._id, version=version, holder=self._holder, until=until)
