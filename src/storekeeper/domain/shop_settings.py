"""What the shop's owners change while it is open; what they leave is as the operator set it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import msgspec

from storekeeper.domain.accounts import Email
from storekeeper.domain.types import TEXT, Count, Note, ShortText, Struct

# The one record that there is.
SETTINGS = "shop"
# Up to a week.
Minutes = Annotated[int, msgspec.Meta(ge=1, le=10_080, examples=[15])]
SellerText = Annotated[str, msgspec.Meta(max_length=1_000, pattern=r"^[^\x00]*$", extra=TEXT)]


class ShopValues(Struct, frozen=True, kw_only=True):
    """What was set; None: as the operator set it.

    `invoice_seller` and `invoice_note` have a line for each line of theirs.
    `low_stock_threshold` stands in the form of a new product.
    """

    shop_name: ShortText | None = None
    contact_email: Email | None = None
    invoice_seller: SellerText | None = None
    invoice_note: Note | None = None
    reservation_minutes: Minutes | None = None
    low_stock_threshold: Count | None = None


class ShopSettings(ShopValues, frozen=True, kw_only=True):
    """All that was set, in one record under `SETTINGS`."""

    id: str
    version: int


class InForce(Struct, frozen=True, kw_only=True):
    """What holds now. `version` is that of what was set, 0 where nothing was."""

    version: int
    shop_name: str
    contact_email: str
    invoice_seller: str
    invoice_note: str
    reservation_seconds: int
    low_stock_threshold: int | None

    @property
    def reservation(self) -> timedelta:
        return timedelta(seconds=self.reservation_seconds)


def in_force(defaults: InForce, kept: ShopSettings | None) -> InForce:
    """What was set, in the place of what the operator says."""
    if kept is None:
        return defaults
    said = {name: getattr(kept, name) for name in ShopValues.__struct_fields__}
    given = {name: value for name, value in said.items() if value is not None}
    if (minutes := given.pop("reservation_minutes", None)) is not None:
        given["reservation_seconds"] = minutes * 60
    return msgspec.structs.replace(defaults, version=kept.version, **given)
