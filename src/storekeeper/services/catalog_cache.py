"""Products and locations as last read, for decisions that a guard checks again at the commit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import Check
from storekeeper.domain.errors import Invalid, ProductUnavailable
from storekeeper.domain.stock import MAIN, Location
from storekeeper.domain.types import LocationId, fold_sku
from storekeeper.store.port import ANY_PRODUCT, Store

T = TypeVar("T")
_SKU = "sku:"


class Wanted(Protocol):
    """A line that names a product by id or by SKU."""

    @property
    def product_id(self) -> str | None: ...
    @property
    def sku(self) -> str | None: ...


class CatalogCache:
    """At most `size` products, each good while its stamp stands still.

    What is decided on them carries their version into the change set, so a product that was
    stale all the same is refused there and read again.
    """

    def __init__(self, store: Store, size: int = 10_000) -> None:
        self._store = store
        self._size = size
        self._by_id: OrderedDict[str, tuple[Product, int]] = OrderedDict()
        self._ids: OrderedDict[str, str] = OrderedDict()
        # Products for sale under the very text that lines name them by, while no product changes.
        self._for_sale: dict[tuple[str | None, str | None], Product] = {}
        self._generation = -1
        self._locations: tuple[LocationId, ...] | None = None
        self._versions: dict[LocationId, int] = {}
        self._locations_stamp = -1

    async def products(self, lines: Sequence[Wanted]) -> list[Product]:
        """The product of each line, in order.

        Raises `Invalid` for one that doesn't exist, `ProductUnavailable` for one not for sale.
        """
        generation = self._store.stamp("catalog", ANY_PRODUCT)
        if generation != self._generation:
            self._for_sale.clear()
            self._generation = generation
        known = self._for_sale
        at_once: list[Product] = []
        for line in lines:
            product = known.get((line.sku, line.product_id))
            if product is None:
                break
            at_once.append(product)
        else:
            return at_once
        keys = [_key(number, line) for number, line in enumerate(lines)]
        found = [self._cached(key) for key in keys]
        if None in found:
            read = await self._read(
                {key for key, product in zip(keys, found, strict=True) if product is None}
            )
            found = [product or read.get(key) for key, product in zip(keys, found, strict=True)]
        products: list[Product] = []
        for number, (line, product) in enumerate(zip(lines, found, strict=True)):
            if product is None:
                raise Invalid(
                    f"there is no product {line.sku or line.product_id}", field=f"lines[{number}]"
                )
            if not product.is_sellable:
                raise ProductUnavailable(
                    f"{product.sku} is not for sale"
                    + ("; order one of its variants" if product.is_parent else ""),
                    field=f"lines[{number}]",
                    product_id=product.id,
                )
            products.append(product)
        if self._store.stamp("catalog", ANY_PRODUCT) == generation:
            if len(known) > self._size:
                known.clear()
            known.update(zip(map(_named, lines), products, strict=True))
        return products

    def forget(self, product_id: str) -> None:
        """Lets go of a product that turned out to be stale."""
        self._by_id.pop(product_id, None)
        self._for_sale.clear()

    async def locations(self) -> tuple[LocationId, ...]:
        """Active locations by priority; `main` where none was ever named."""
        stamp = self._store.stamp("catalog", "locations")
        if self._locations is None or stamp != self._locations_stamp:
            page = await self._store.list_all(Location, limit=1_000)
            active = sorted(
                (place for place in page.items if place.active), key=lambda p: (p.priority, p.id)
            )
            self._locations = tuple(place.id for place in active) or (MAIN,)
            self._versions = {place.id: place.version for place in active}
            self._locations_stamp = stamp
        return self._locations

    async def checks_of(self, places: Iterable[LocationId]) -> tuple[Check, ...]:
        """Guards that these locations are still as `locations` tells of them."""
        await self.locations()
        return tuple(
            Check("Location", place, self._versions[place])
            for place in sorted(set(places))
            if place in self._versions
        )

    def forget_locations(self) -> None:
        """Lets go of the locations, of which one turned out to be stale."""
        self._locations = None

    def _cached(self, key: str) -> Product | None:
        held = self._by_id.get(self._ids.get(key, key))
        if held is None:
            return None
        product, stamp = held
        if self._store.stamp("catalog", product.id) != stamp:
            self.forget(product.id)
            return None
        # A SKU may have gone to another product since.
        return product if key in (product.id, _sku_key(product.sku)) else None

    async def _read(self, keys: set[str]) -> dict[str, Product]:
        """The products of these keys as they are now, of those that there are."""
        generation = self._store.stamp("catalog", ANY_PRODUCT)
        ids = {key: key for key in keys if not key.startswith(_SKU)}
        skus = [key.removeprefix(_SKU) for key in keys if key.startswith(_SKU)]
        products: dict[str, Product] = {}
        if skus:
            for sku, product in (await self._store.products_by_sku(skus)).items():
                ids[_SKU + sku] = product.id
                products[product.id] = product
        # The stamps are taken before the reading: a change in between is then seen as one. What
        # was read for its SKU is good as it is where no product at all has changed meanwhile.
        stamps = {id: self._store.stamp("catalog", id) for id in ids.values()}
        if self._store.stamp("catalog", ANY_PRODUCT) != generation:
            products = {}
        if missing := [id for id in stamps if id not in products]:
            products |= await self._store.get_many(Product, missing)
        found: dict[str, Product] = {}
        for key, id in ids.items():
            if id in products and key in (id, _sku_key(products[id].sku)):
                found[key] = products[id]
                _keep(self._by_id, id, (products[id], stamps[id]), self._size)
                if key != id:
                    _keep(self._ids, key, id, self._size)
        return found


def _keep(kept: OrderedDict[str, T], key: str, value: T, size: int) -> None:
    kept[key] = value
    while len(kept) > size:
        kept.popitem(last=False)


def _named(line: Wanted) -> tuple[str | None, str | None]:
    return line.sku, line.product_id


def _sku_key(sku: str) -> str:
    return _SKU + fold_sku(sku)


def _key(number: int, line: Wanted) -> str:
    if (line.product_id is None) == (line.sku is None):
        raise Invalid("name the product by product_id or by sku", field=f"lines[{number}]")
    return line.product_id if line.product_id is not None else _sku_key(str(line.sku))
