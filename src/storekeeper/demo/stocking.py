"""How much the demo shop has on its shelves after its history was played; pure and fixed per SKU.

The opening stock that the history needs is the least possible, so at its end nearly everything
would be sold out. A shop that is worth looking at has most things in stock, some running low and a
few sold out.
"""

from __future__ import annotations

import hashlib

_SOLD_OUT_PER_THOUSAND = 30
_LOW_PER_THOUSAND = 100
_FEWEST = 12


def low_stock_threshold(units_sold: int) -> int:
    """The level to warn at: about ten days' worth of what the history sold, which runs 9 months."""
    return max(3, units_sold // 27)


def shelf_units(sku: str, units_sold: int) -> int:
    """The units to have on hand at the end: none for a few SKUs, few for some, else a good stock."""
    lot = int.from_bytes(hashlib.sha256(sku.encode()).digest()[:4]) % 1000
    if lot < _SOLD_OUT_PER_THOUSAND:
        return 0
    threshold = low_stock_threshold(units_sold)
    if lot < _LOW_PER_THOUSAND:
        return 1 + lot % threshold
    return max(_FEWEST, threshold * (2 + lot % 5))
