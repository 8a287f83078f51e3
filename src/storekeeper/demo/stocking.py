"""How much the demo shop stocks beyond what its history needs; pure and fixed per SKU.

The opening stock that a history needs is the least possible, so that at its end nearly everything
would be sold out. A shop that is worth looking at has most things in stock, some running low and a
few sold out.
"""

from __future__ import annotations

import hashlib

_SOLD_OUT_PER_THOUSAND = 30
_LOW_PER_THOUSAND = 100
_FEWEST = 12


def low_stock_threshold(units_sold: int) -> int:
    """The level to warn at: ten days' worth of what was sold in the history's nine months."""
    return max(3, units_sold // 27)


def spare_units(sku: str, units_sold: int) -> int:
    """Units to add to the opening stock, and so left at the end: none, a few, or some weeks' worth.

    A few is at or below the threshold for warning, the rest well above it.
    """
    lot = int.from_bytes(hashlib.sha256(sku.encode()).digest()[:4]) % 1000
    if lot < _SOLD_OUT_PER_THOUSAND:
        return 0
    threshold = low_stock_threshold(units_sold)
    if lot < _LOW_PER_THOUSAND:
        return 1 + lot % threshold
    return max(_FEWEST, threshold * (2 + lot % 5))
