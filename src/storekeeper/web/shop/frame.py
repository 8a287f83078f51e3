"""What every page of the shop shows around its content."""

from __future__ import annotations

from typing import Any

from storekeeper.domain.carts import Lines
from storekeeper.http.answers import Answer
from storekeeper.web.carts import lines_of
from storekeeper.web.visit import Visit


async def shop_page(
    visit: Visit, template: str, *, status: int = 200, cart: Lines | None = None, **values: Any
) -> Answer[bytes]:
    """A page with the number of products in the cart; `cart` where it is known already."""
    lines = await lines_of(visit) if cart is None else cart
    return visit.page(template, status=status, cart_count=len(lines), **values)
