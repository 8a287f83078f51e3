"""Products: listing, reading and keeping them; never touches stock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from storekeeper.domain import catalog, events
from storekeeper.domain.accounts import Principal
from storekeeper.domain.audit import Action
from storekeeper.domain.catalog import (
    ImageUrl,
    Product,
    ProductDetails,
    ProductStatus,
    Tag,
)
from storekeeper.domain.changes import (
    ChangeSet,
    Check,
    Claim,
    Delete,
    LevelIs,
    Put,
    Referenced,
    Release,
    Short,
    Taken,
)
from storekeeper.domain.errors import (
    AlreadyExists,
    Forbidden,
    InUse,
    Invalid,
    NotFound,
    PreconditionFailed,
    UnitsOwed,
)
from storekeeper.domain.events import Event
from storekeeper.domain.money import Currency, Minor
from storekeeper.domain.stock import Location
from storekeeper.domain.types import (
    Count,
    LongText,
    ProductId,
    ShortText,
    Sku,
    Struct,
    fold_sku,
)
from storekeeper.services.base import (
    Call,
    Tools,
    commit_once,
    made_before,
    require,
    with_fresh_reads,
)
from storekeeper.services.images import checked_picture
from storekeeper.services.product_reads import ProductReads
from storekeeper.services.validation import invalid_of
from storekeeper.store.port import Listed, Page, ProductQuery, Store

T = TypeVar("T")
Decide = Callable[[Product], ProductDetails]
# The field that a caller can change when a claim is held by another product.
CLAIM_FIELDS = {"sku": "sku", "variant": "options"}


class ProductInput(ProductDetails, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A product as an admin describes it, whole: what is left out takes its default."""


class PricePatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The amount in minor units, or the currency, or both."""

    amount: Minor | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET


class ProductPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A merge patch (RFC 7396): what is left out stays, null takes the default again.

    `price`, `attributes` and `options` are merged member by member; `tags` are replaced.
    """

    sku: Sku | UnsetType = UNSET
    name: ShortText | UnsetType = UNSET
    price: PricePatch | UnsetType = UNSET
    description: LongText | UnsetType | None = UNSET
    category: ShortText | UnsetType | None = UNSET
    tags: Annotated[tuple[Tag, ...], msgspec.Meta(max_length=50)] | UnsetType | None = UNSET
    image_url: ImageUrl | UnsetType | None = UNSET
    attributes: (
        Annotated[
            dict[ShortText, Annotated[str, msgspec.Meta(max_length=1000)] | None],
            msgspec.Meta(max_length=200),
        ]
        | UnsetType
        | None
    ) = UNSET
    status: ProductStatus | UnsetType | None = UNSET
    track_stock: bool | UnsetType | None = UNSET
    allow_backorder: bool | UnsetType | None = UNSET
    low_stock_threshold: Count | UnsetType | None = UNSET
    is_parent: bool | UnsetType | None = UNSET
    parent_id: ProductId | UnsetType | None = UNSET
    options: (
        Annotated[dict[ShortText, ShortText | None], msgspec.Meta(max_length=20)] | UnsetType | None
    ) = UNSET


class Catalog:
    """The use cases of products. Guests and customers see active ones only."""

    def __init__(self, tools: Tools, reads: ProductReads | None = None) -> None:
        self._tools = tools
        self._store = tools.store
        self._reads = reads or ProductReads(tools.store, tools.clock)

    async def list_products(self, principal: Principal, query: ProductQuery) -> Page[Listed]:
        """One page; raises `Forbidden` when somebody but staff asks for archived products."""
        if query.status != "active" and not principal.may("products:read"):
            raise Forbidden("only staff see archived products", scope="products:read")
        return await self._reads.page(query)

    async def categories(self, *, limit: int, cursor: str | None = None) -> Page[str]:
        return await self._reads.categories(limit, cursor)

    async def product(self, principal: Principal, product_id: str) -> Listed:
        """A product with its stock; raises `NotFound` for one that the caller may not see."""
        return _seen_by(principal, await self._reads.product(ProductId(product_id)))

    async def several(
        self, principal: Principal, product_ids: Sequence[ProductId]
    ) -> dict[ProductId, Listed]:
        """Those of the products that are there and that the caller may see."""
        found = await self._store.listed(product_ids)
        sees_all = principal.may("products:read")
        return {
            id: listed
            for id, listed in found.items()
            if sees_all or listed.product.status == "active"
        }

    async def by_sku(self, principal: Principal, sku: str) -> Listed:
        """The same by SKU, in any case."""
        return _seen_by(principal, await self._reads.by_sku(fold_sku(sku), sku))

    async def create(self, call: Call, details: ProductDetails) -> Listed:
        """Raises `AlreadyExists` when the SKU, or the parent's variant, is there already."""
        require(call, "products:write")
        made = await made_before(self._store, call)
        if made is not None:
            return await self._listed(ProductId(made))
        plain = catalog.details_of(details)
        product_id = ProductId(self._tools.new_id())

        async def attempt() -> str:
            product = catalog.create(plain, id=product_id, now=self._tools.clock())
            checks = await self._checked_parent(None, plain)
            checks += await checked_picture(self._store, None, plain.image_url)
            change = ChangeSet(
                puts=(Put(product), *self._audited(call, "product.created", None, product)),
                checks=checks,
                claims=claims_of(product),
                events=(self._event(events.PRODUCT_CREATED, product),),
            )
            return await commit_once(self._store, call, product_id, change)

        owner = await _told_clearly(with_fresh_reads(attempt))
        return await self._listed(ProductId(owner))

    async def replace(
        self, call: Call, product_id: str, details: ProductDetails, if_match: int | None = None
    ) -> Listed:
        """Everything anew (PUT); raises what `create` raises and `PreconditionFailed`."""
        plain = catalog.details_of(details)
        return await self._change(call, product_id, if_match, lambda product: plain)

    async def patch(
        self, call: Call, product_id: str, patch: ProductPatch, if_match: int | None = None
    ) -> Listed:
        """Some of it, by the rules of RFC 7396."""
        return await self._change(
            call, product_id, if_match, lambda product: merged(product, patch)
        )

    async def archive(self, call: Call, product_id: str, if_match: int | None = None) -> Listed:
        """Takes it off sale; orders and ledger keep referring to it."""
        return await self.patch(call, product_id, ProductPatch(status="archived"), if_match)

    async def unarchive(self, call: Call, product_id: str, if_match: int | None = None) -> Listed:
        return await self.patch(call, product_id, ProductPatch(status="active"), if_match)

    async def delete(self, call: Call, product_id: str, if_match: int | None = None) -> None:
        """Raises `InUse` while orders, variants or stock refer to it; archive it then."""
        require(call, "products:write")

        async def attempt() -> None:
            product = await self._existing(product_id, if_match)
            await self._store.commit(
                ChangeSet(
                    puts=self._audited(call, "product.deleted", product, None),
                    deletes=(Delete("Product", product.id, product.version),),
                    releases=tuple(Release(*key) for key in catalog.claims(product).items()),
                    unreferenced=(product.id,),
                    events=(self._event(events.PRODUCT_DELETED, product),),
                )
            )

        try:
            await with_fresh_reads(attempt)
        except Referenced:
            raise await self._in_use(ProductId(product_id)) from None

    async def _change(
        self, call: Call, product_id: str, if_match: int | None, decide: Decide
    ) -> Listed:
        require(call, "products:write")

        async def attempt() -> None:
            product = await self._existing(product_id, if_match)
            details = decide(product)
            if details == catalog.details_of(product):
                return
            revised = catalog.revise(product, details, now=self._tools.clock())
            claims, releases = moved_claims(product, revised)
            checks = await self._checked_parent(product, details)
            checks += await checked_picture(self._store, product.image_url, details.image_url)
            action: Action = (
                "product.archived" if _archives(product, revised) else "product.changed"
            )
            await self._store.commit(
                ChangeSet(
                    puts=(Put(revised), *self._audited(call, action, product, revised)),
                    checks=checks,
                    claims=claims,
                    releases=releases,
                    levels=await self._guard_untracking(product, details),
                    events=(self._event(_kind_of(product, revised), revised),),
                )
            )

        await _told_clearly(with_fresh_reads(attempt))
        return await self._listed(ProductId(product_id))

    async def _existing(self, product_id: str, if_match: int | None) -> Product:
        product = await self._store.get(Product, product_id)
        if product is None:
            raise _not_found(product_id)
        if if_match is not None and product.version != if_match:
            raise PreconditionFailed(
                f"the product is at version {product.version}; read it again",
                current=product.version,
            )
        return product

    async def _listed(self, product_id: ProductId) -> Listed:
        found = await self._store.listed([product_id])
        if product_id not in found:
            raise _not_found(product_id)
        return found[product_id]

    async def _checked_parent(
        self, before: Product | None, details: ProductDetails
    ) -> tuple[Check, ...]:
        """The guard that a variant's parent is there, and is one, at the commit."""
        if details.parent_id is None or (before and before.parent_id == details.parent_id):
            return ()
        parent = await self._store.get(Product, details.parent_id)
        if parent is None:
            raise Invalid(f"there is no product {details.parent_id}", field="parent_id")
        if not parent.is_parent:
            raise Invalid(f"{parent.sku} isn't a parent of variants", field="parent_id")
        return (Check("Product", parent.id, parent.version),)

    async def _guard_untracking(
        self, product: Product, details: ProductDetails
    ) -> tuple[LevelIs, ...]:
        if not product.track_stock or details.track_stock:
            return ()
        guards = await untracking_guards(self._store, [product.id])
        if guards[product.id] is None:
            raise InUse(
                f"there are still units of {product.sku}; count its stock to zero first",
                field="track_stock",
            )
        return guards[product.id] or ()

    async def _in_use(self, product_id: ProductId) -> InUse:
        listed = await self._listed(product_id)
        sku = listed.product.sku
        if listed.stock.on_hand or listed.stock.reserved:
            return InUse(
                f"there are {listed.stock.on_hand} units of {sku} on hand; count them to zero "
                "first, or archive the product instead"
            )
        variants = await self._store.products(
            ProductQuery(parent_id=product_id, status=None, limit=1)
        )
        if variants.items:
            return InUse(f"{sku} has variants; delete these first, or archive it instead")
        return InUse(f"orders refer to {sku}; archive it instead")

    def _audited(
        self, call: Call, action: Action, before: Product | None, after: Product | None
    ) -> tuple[Put, ...]:
        return audited_product(self._tools, call.principal, action, before, after)

    def _event(self, kind: str, product: Product) -> Event:
        return Event(
            id=self._tools.new_id(),
            kind=kind,
            subject=f"product:{product.id}",
            at=self._tools.clock(),
            data={"product_id": product.id, "sku": product.sku, "version": product.version},
        )


def merged(product: ProductDetails, patch: ProductPatch) -> ProductDetails:
    """The details after a merge patch, checked anew; raises `Invalid`."""
    target = msgspec.to_builtins(catalog.details_of(product))
    try:
        return msgspec.convert(merge_patch(target, msgspec.to_builtins(patch)), ProductDetails)
    except msgspec.ValidationError as error:
        raise invalid_of(error, ProductDetails) from None


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2, word for word."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def claims_of(product: Product) -> tuple[Claim, ...]:
    return tuple(
        Claim(scope=scope, value=value, owner=product.id)
        for scope, value in catalog.claims(product).items()
    )


def moved_claims(before: Product, after: Product) -> tuple[tuple[Claim, ...], tuple[Release, ...]]:
    """The claims that a revision takes and those that it gives up."""
    old, new = catalog.claims(before).items(), catalog.claims(after).items()
    claims = tuple(Claim(scope=scope, value=value, owner=after.id) for scope, value in new - old)
    return claims, tuple(Release(scope, value) for scope, value in old - new)


async def untracking_guards(
    store: Store, product_ids: Sequence[ProductId]
) -> dict[ProductId, tuple[LevelIs, ...] | None]:
    """The guards under which products may stop having stock; None for one that has some."""
    locations = (await store.list_all(Location, limit=1_000)).items
    guards: dict[ProductId, tuple[LevelIs, ...] | None] = {
        id: tuple(LevelIs(id, location.id, 0) for location in locations) for id in product_ids
    }
    for level in await store.levels(product_ids):
        if level.on_hand or level.reserved:
            guards[level.product_id] = None
    return guards


async def _told_clearly(work: Awaitable[T]) -> T:
    try:
        return await work
    except Taken as taken:
        raise exists_already(taken.claim) from None
    except Short:
        raise UnitsOwed(
            "more units are promised than there are; receive stock before backorder ends",
            field="allow_backorder",
        ) from None


def exists_already(claim: Claim) -> AlreadyExists:
    field = CLAIM_FIELDS.get(claim.scope)
    text = {
        "sku": f"another product has the SKU {claim.value}",
        "variant": "the parent has a variant with these options already",
    }.get(claim.scope, "it exists already")
    return AlreadyExists(text, field=field, product_id=claim.owner)


def audited_product(
    tools: Tools,
    principal: Principal,
    action: Action,
    before: Product | None,
    after: Product | None,
    reference: str = "",
) -> tuple[Put, ...]:
    """The entry of the audit log that tells of a product's change."""
    product = after or before
    if product is None:
        return ()
    left, right = catalog.differences(before, after)
    return tools.audited(
        principal,
        action,
        f"product:{product.id}",
        before=None if before is None else left,
        after=None if after is None else right,
        label=product.sku,
        reference=reference,
    )


def _archives(before: Product, after: Product) -> bool:
    return before.status != "archived" and after.status == "archived"


def _kind_of(before: Product, after: Product) -> str:
    return events.PRODUCT_ARCHIVED if _archives(before, after) else events.PRODUCT_UPDATED


def _seen_by(principal: Principal, listed: Listed) -> Listed:
    """The product; raises `NotFound` where only staff may see it."""
    if listed.product.status != "active" and not principal.may("products:read"):
        raise _not_found(listed.product.id)
    return listed


def _not_found(product_id: str) -> NotFound:
    return NotFound(f"there is no product {product_id}")
