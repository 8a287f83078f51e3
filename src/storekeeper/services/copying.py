"""Whether two stores hold the same shop: asked at the end of every copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storekeeper.domain.types import Struct
from storekeeper.store.port import Store


class Compared(Struct, frozen=True, kw_only=True):
    """Rows by table of the source, the tables that differ, and what `verify` found on each side.

    `is_same`: nothing differs, the figures of both are equal, and both are in order.
    """

    rows: dict[str, int]
    differing: tuple[str, ...]
    source_differences: int
    target_differences: int
    is_same: bool


async def compare(
    source: Store, target: Store, kept: Mapping[str, Any], copied: Mapping[str, Any]
) -> Compared:
    """Compares two shops; `kept` and `copied` are their digests by table."""
    wrong_before = len(await source.verify())
    wrong_after = len(await target.verify())
    is_equal = await source.summary() == await target.summary()
    differing = tuple(name for name, digest in kept.items() if copied.get(name) != digest)
    return Compared(
        rows={name: digest.rows for name, digest in kept.items()},
        differing=differing,
        source_differences=wrong_before,
        target_differences=wrong_after,
        is_same=is_equal and not differing and not wrong_before and not wrong_after,
    )
