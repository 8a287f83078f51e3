"""Products: what the shop sells, and the rules that make one sound."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from storekeeper.domain.errors import Invalid
from storekeeper.domain.money import Money, check_currency
from storekeeper.domain.types import (
    MAX_AMOUNT,
    Count,
    LongText,
    ProductId,
    ShortText,
    Sku,
    Struct,
    fold_sku,
)

ProductStatus = Literal["active", "archived"]
Tag = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=50,
        pattern=r"^[^\s,\x00-\x1f](?:[^,\x00-\x1f]*[^\s,\x00-\x1f])?$(?!\n)",
        extra={"form": "one line of text without commas, and no space at either end"},
    ),
]
ImageUrl = Annotated[
    str,
    msgspec.Meta(
        max_length=2_000,
        pattern=r"^(https?://|/)[^\s\x00-\x1f]+$(?!\n)",
        extra={
            "form": "a web address such as https://example.com/mug.jpg, or a path such as /mug.jpg"
        },
    ),
]
Attributes = Annotated[
    dict[ShortText, Annotated[str, msgspec.Meta(max_length=1_000)]], msgspec.Meta(max_length=100)
]
Options = Annotated[dict[ShortText, ShortText], msgspec.Meta(max_length=10)]


class ProductDetails(Struct, frozen=True, kw_only=True):
    """What staff say of a product: everything but its identity and history.

    `price` in minor units per unit sold. `track_stock` is false for what has no stock (a voucher,
    carriage). `low_stock_threshold` is the reorder point: at or below it the product is low.
    A parent only groups its variants; a variant names its parent and its option values.
    """

    sku: Sku
    name: ShortText
    price: Money
    description: LongText = ""
    category: ShortText | None = None
    tags: Annotated[tuple[Tag, ...], msgspec.Meta(max_length=50)] = ()
    image_url: ImageUrl | None = None
    attributes: Attributes = msgspec.field(default_factory=dict)
    status: ProductStatus = "active"
    track_stock: bool = True
    allow_backorder: bool = False
    low_stock_threshold: Count | None = None
    is_parent: bool = False
    parent_id: ProductId | None = None
    options: Options = msgspec.field(default_factory=dict)


class Product(ProductDetails, frozen=True, kw_only=True):
    """A thing sold. `version` grows by one with each change and is the product's ETag."""

    id: ProductId
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def is_sellable(self) -> bool:
        return self.status == "active" and not self.is_parent


_DEFAULTS: dict[str, object] = {
    field.name: (
        field.default_factory()
        if field.default_factory is not msgspec.NODEFAULT
        else None
        if field.default is msgspec.NODEFAULT
        else field.default
    )
    for field in msgspec.structs.fields(ProductDetails)
}


def check(details: ProductDetails) -> None:
    """Raises `Invalid` for details that contradict each other."""
    check_currency(details.price.currency, "price.currency")
    if not 0 <= details.price.amount <= MAX_AMOUNT:
        raise Invalid(f"a price is between 0 and {MAX_AMOUNT} minor units", field="price.amount")
    if len(set(details.tags)) != len(details.tags):
        raise Invalid("a tag stands there twice", field="tags")
    if details.is_parent and details.parent_id is not None:
        raise Invalid("a parent can't be a variant of another product", field="parent_id")
    if details.is_parent and (details.allow_backorder or details.low_stock_threshold is not None):
        raise Invalid(
            "a parent has no stock of its own; set this on its variants", field="is_parent"
        )
    if details.parent_id is not None and not details.options:
        raise Invalid('a variant needs its option values, such as {"size": "L"}', field="options")
    if details.allow_backorder and not details.track_stock:
        raise Invalid("a product without stock has no backorder", field="allow_backorder")


def claims(details: ProductDetails) -> dict[str, str]:
    """What must be unique over all products: scope -> value."""
    wanted = {"sku": fold_sku(details.sku)}
    if details.parent_id is not None:
        wanted["variant"] = f"{details.parent_id}:{_canonical(details.options)}"
    return wanted


def _canonical(options: Mapping[str, str]) -> str:
    folded = sorted((name.casefold(), value.casefold()) for name, value in options.items())
    return msgspec.json.encode(folded).decode()


def create(details: ProductDetails, *, id: ProductId, now: datetime) -> Product:
    check(details)
    return Product(
        id=id, version=1, created_at=now, updated_at=now, **msgspec.structs.asdict(details)
    )


def revise(product: Product, details: ProductDetails, *, now: datetime) -> Product:
    """The product with new details. Its kind (parent or not) stays as it was made."""
    check(details)
    if details.is_parent != product.is_parent:
        raise Invalid("a product can't become a parent, or cease to be one", field="is_parent")
    return Product(
        id=product.id,
        version=product.version + 1,
        created_at=product.created_at,
        updated_at=now,
        **msgspec.structs.asdict(details),
    )


def differences(
    before: ProductDetails | None, after: ProductDetails | None
) -> tuple[dict[str, object], dict[str, object]]:
    """The fields that differ, as they were and as they are. Of a product that is made or removed
    those that say more than their default."""
    left: dict[str, object] = {}
    right: dict[str, object] = {}
    for name, default in _DEFAULTS.items():
        old = default if before is None else getattr(before, name)
        new = default if after is None else getattr(after, name)
        if old != new:
            if before is not None:
                left[name] = old
            if after is not None:
                right[name] = new
    return left, right


def details_of(product: ProductDetails) -> ProductDetails:
    """What is said of a product, without its identity and history."""
    names = ProductDetails.__struct_fields__
    return ProductDetails(**{name: getattr(product, name) for name in names})
