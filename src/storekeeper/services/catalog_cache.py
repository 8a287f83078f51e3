"""Products and locations as last read, for decisions that a guard checks again at the commit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Protocol

from storekeeper.domain.catalog import Product
from storekeeper.domain.errors import Invalid, ProductUnavailable
from storekeeper.domain.stock import MAIN, Location
from storekeeper.domain.types import LocationId, fold_sku
from storekeeper.store.port import Store


class Wanted(Protocol):
    """A line that names a product by id or by SKU."""

    @property
    def product_id(self) -> str | None: ...
    @property
    def sku(self) -> str | None: ...


class CatalogCache:
    """At most `size` products by id and by SKU, each good while its stamp stands still.

    What is decided on them carries their version into the change set, so a product that was
    stale all the same is refused there and read again.
    """

    def __init__(self, store: Store, size: int = 10_000) -> None:
        self._store = store
        self._size = size
        self._by_key: OrderedDict[str, tuple[Product, int]] = OrderedDict()
        self._locations: tuple[LocationId, ...] | None = None
        self._locations_stamp = -1

    async def products(self, lines: Sequence[Wanted]) -> list[Product]:
        """The product of each line, in order.

        Raises `Invalid` for one that doesn't exist, `ProductUnavailable` for one not for sale.
        """
        found = [self._cached(_key(number, line)) for number, line in enumerate(lines)]
        if None in found:
            await self._read(
                [line for line, product in zip(lines, found, strict=True) if product is None]
            )
            found = [self._cached(_key(number, line)) for number, line in enumerate(lines)]
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
        return products

    def forget(self, product_id: str) -> None:
        """Lets go of a product that turned out to be stale."""
        held = self._by_key.pop(product_id, None)
        if held is not None:
            self._by_key.pop(f"sku:{fold_sku(held[0].sku)}", None)

    async def locations(self) -> tuple[LocationId, ...]:
        """Active locations by priority; `main` where none was ever named."""
        stamp = self._store.stamp("catalog", "locations")
        if self._locations is None or stamp != self._locations_stamp:
            page = await self._store.list_all(Location, limit=1_000)
            active = sorted(
                (place for place in page.items if place.active), key=lambda p: (p.priority, p.id)
            )
            self._locations = tuple(place.id for place in active) or (MAIN,)
            self._locations_stamp = stamp
        return self._locations

    def _cached(self, key: str) -> Product | None:
        held = self._by_key.get(key)
        if held is None:
            return None
        product, stamp = held
        if self._store.stamp("catalog", product.id) != stamp:
            self.forget(product.id)
            return None
        return product

    async def _read(self, lines: Iterable[Wanted]) -> None:
        ids: list[str] = list({line.product_id for line in lines if line.product_id is not None})
        skus = list({fold_sku(line.sku) for line in lines if line.sku is not None})
        # The stamp is taken before the reading: a change in between is then seen as one.
        stamps = {id: self._store.stamp("catalog", id) for id in ids}
        if ids:
            for id, product in (await self._store.get_many(Product, ids)).items():
                self._keep(id, product, stamps[id])
        if skus:
            # A SKU's product isn't known before; the guard finds out if it changed meanwhile.
            for product in (await self._store.products_by_sku(skus)).values():
                stamp = self._store.stamp("catalog", product.id)
                self._keep(f"sku:{fold_sku(product.sku)}", product, stamp)

    def _keep(self, key: str, product: Product, stamp: int) -> None:
        self._by_key[key] = (product, stamp)
        while len(self._by_key) > self._size:
            self._by_key.popitem(last=False)


def _key(number: int, line: Wanted) -> str:
    if (line.product_id is None) == (line.sku is None):
        raise Invalid("name the product by product_id or by sku", field=f"lines[{number}]")
    return line.product_id if line.product_id is not None else f"sku:{fold_sku(str(line.sku))}"
