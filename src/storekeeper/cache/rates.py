"""Request rates per client, in this process's memory."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable


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

    def take(self, who: str) -> tuple[int, int, int] | None:
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
