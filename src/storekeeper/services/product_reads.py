"""Products as customers look at them, remembered; no price or stock is decided on these."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from storekeeper.cache.port import Cache, Count, not_counted
from storekeeper.cache.reads import Reads
from storekeeper.domain.errors import NotFound
from storekeeper.domain.types import ProductId
from storekeeper.store.port import ANY_PRODUCT, Listed, Page, ProductQuery, Store, Topic

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class ProductReads:
    """Single products by id and SKU, first pages of lists, and categories.

    A parent is in stock where one of its variants is, and which these are nobody tells of here:
    parents, and pages with one, are always asked of the store.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        *,
        near: Cache | None = None,
        far: Cache | None = None,
        count: Count = not_counted,
    ) -> None:
        self._store = store
        self._one: Reads[Listed] = Reads(
            "product",
            Listed,
            _of_product,
            store=store,
            clock=clock,
            near=near,
            far=far,
            count=count,
        )
        self._pages: Reads[Page[Listed]] = Reads(
            "page",
            Page[Listed],
            _of_page,
            store=store,
            clock=clock,
            near=near,
            far=far,
            count=count,
        )

        self._categories: Reads[Page[str]] = Reads(
            "categories",
            Page[str],
            lambda _: (("catalog", ANY_PRODUCT),),
            store=store,
            clock=clock,
            near=near,
            far=far,
            count=count,
        )

    async def product(self, product_id: ProductId) -> Listed:
        """Raises `NotFound`."""

        async def ask() -> Listed:
            found = await self._store.listed([product_id])
            if product_id not in found:
                raise NotFound(f"there is no product {product_id}")
            return found[product_id]

        return await self._one.read(f"id:{product_id}", ask)

    async def by_sku(self, folded: str, sku: str) -> Listed:
        """By the folded SKU; raises `NotFound`, which names the SKU as it was asked for."""

        async def ask() -> Listed:
            found = await self._store.products_by_sku([folded])
            listed = await self._store.listed([product.id for product in found.values()])
            for one in listed.values():
                return one
            raise NotFound(f"there is no product with the SKU {sku}")

        return await self._one.read(f"sku:{folded}", ask)

    async def page(self, query: ProductQuery) -> Page[Listed]:
        """What is on later pages, or depends on all products' stock, is asked for too rarely, or
        changes too often, to be kept."""
        depends_on_stock = (query.in_stock, query.is_low, query.location_id) != (None, None, None)
        if query.cursor is not None or depends_on_stock:
            return await self._store.products(query)
        key = hashlib.sha256(_encode(query)).hexdigest()
        return await self._pages.read(key, lambda: self._store.products(query))

    async def categories(self, limit: int, cursor: str | None) -> Page[str]:
        """Those of the first page, which a shop's pages show; others are asked of the store."""

        async def ask() -> Page[str]:
            return await self._store.categories(limit=limit, cursor=cursor)

        return await ask() if cursor is not None else await self._categories.read(f"{limit}", ask)

    async def settle(self) -> None:
        """Returns when nothing is on its way into the shared cache."""
        await self._one.settle()
        await self._pages.settle()
        await self._categories.settle()


def _of_product(listed: Listed) -> Sequence[tuple[Topic, str]] | None:
    if listed.product.is_parent:
        return None
    return ("catalog", listed.product.id), ("stock", listed.product.id)


def _of_page(page: Page[Listed]) -> Sequence[tuple[Topic, str]] | None:
    if any(item.product.is_parent for item in page.items):
        return None
    return ("catalog", ANY_PRODUCT), *(("stock", item.product.id) for item in page.items)
