"""How often, how long and how much."""

from __future__ import annotations

from datetime import timedelta

from storekeeper.domain.types import Struct
from storekeeper.store.sqlite.streaming.tail import RESTART_FRAMES, SEGMENT_BYTES


class Plan(Struct, frozen=True, kw_only=True):
    """How a database is streamed. `pace_s`: how often what is new is looked for; `kept`: for how long
    each moment can be restored; `wal_bytes`: how long the -wal may get while the target is away."""

    pace_s: float = 1.0
    snapshot_every: timedelta = timedelta(days=1)
    kept: timedelta = timedelta(days=7)
    wal_bytes: int = 256 * 2**20
    segment_bytes: int = SEGMENT_BYTES
    restart_frames: int = RESTART_FRAMES
