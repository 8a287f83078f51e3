"""Pictures of products: which of them the shop keeps, and when one that nobody shows may go.

A picture is removed in two steps. It is marked as leaving first, after which no product can begin
to refer to it; whether one had done so before is asked then, and only if not its file goes. So a
picture that a product shows is never removed, whoever edits that product meanwhile.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from storekeeper.domain.types import Struct

ADDRESS = "/images/"
NAME = re.compile(r"[0-9a-f]{32}\.webp")
# Long enough to finish a form into which a picture was put.
UNUSED_KEPT = timedelta(days=1)
# What is gone is known for so long, so that nobody refers to it by an old page or file.
GONE_KEPT = timedelta(days=30)


class Picture(Struct, frozen=True, kw_only=True):
    """A picture that was uploaded. `id` is its file's name; `shop` the identity of the shop that
    took it: a copy of a shop removes nothing that the first one may show.

    `leaving` ones may not be referred to any more; `gone` ones have no file.
    """

    id: str
    version: int
    shop: str
    kept_at: datetime
    state: Literal["kept", "leaving", "gone"] = "kept"
    expires_at: datetime | None = None

    @property
    def address(self) -> str:
        return f"{ADDRESS}{self.id}"

    def may_go(self, shop: str, now: datetime) -> bool:
        """Whether it is to be removed, unless a product shows it."""
        return self.shop == shop and self.state != "gone" and self.kept_at + UNUSED_KEPT <= now

    def turned(self, state: Literal["kept", "leaving", "gone"], now: datetime) -> Picture:
        return msgspec.structs.replace(
            self,
            version=self.version + 1,
            state=state,
            expires_at=None if state == "kept" else now + GONE_KEPT,
        )


def name_of(address: str | None) -> str | None:
    """The file's name in the address of a picture of ours; None for any other."""
    if address is None or not address.startswith(ADDRESS):
        return None
    name = address.removeprefix(ADDRESS)
    return name if NAME.fullmatch(name) else None
