"""Products, stock and orders with everything filled in that a test doesn't speak of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from storekeeper.domain import catalog, ordering
from storekeeper.domain.accounts import SCOPES, Account, Principal, Session
from storekeeper.domain.allocation import from_one
from storekeeper.domain.catalog import Product, ProductDetails
from storekeeper.domain.changes import ChangeSet, Claim, Delete, Put, Release
from storekeeper.domain.events import Event
from storekeeper.domain.money import Money
from storekeeper.domain.ordering import Placing, Step, WantedLine
from storekeeper.domain.orders import Allocation, Order
from storekeeper.domain.stock import MAIN, Location, Movement, Reason
from storekeeper.domain.types import AccountId, LocationId, OrderId, ProductId
from storekeeper.services.base import Call
from storekeeper.services.checkout import LineRequest, PlaceOrder
from tests.support.clock import START
from tests.support.ids import Ids

_ids = Ids(node=0xB)


def a_step(now: datetime = START, by: str = "tester", new_id: Any = _ids) -> Step:
    return Step(now=now, by=by, new_id=new_id)


def pounds(amount: int) -> Money:
    return Money(amount=amount, currency="GBP")


def details(sku: str = "MUG", **fields: Any) -> ProductDetails:
    price = fields.pop("price", 999)
    return ProductDetails(
        sku=sku,
        name=fields.pop("name", f"The {sku}"),
        price=price if isinstance(price, Money) else pounds(price),
        **fields,
    )


def a_product(sku: str = "MUG", *, now: datetime = START, **fields: Any) -> Product:
    """A product at version 1; its id is made from its SKU unless one is given."""
    id = ProductId(fields.pop("id", f"product-{sku}"))
    return catalog.create(details(sku, **fields), id=id, now=now)


def revised(product: Product, **fields: Any) -> Product:
    """The product's next version with some details changed."""
    told = {name: getattr(product, name) for name in ProductDetails.__struct_fields__}
    if isinstance(fields.get("price"), int):
        fields["price"] = pounds(fields["price"])
    return catalog.revise(product, ProductDetails(**{**told, **fields}), now=product.updated_at)


def creating(*products: Product) -> ChangeSet:
    """Puts new products on sale, each under its SKU."""
    return ChangeSet(
        puts=tuple(Put(product) for product in products),
        claims=tuple(
            Claim(scope=scope, value=value, owner=product.id)
            for product in products
            for scope, value in catalog.claims(product).items()
        ),
    )


def changing(product: Product) -> ChangeSet:
    return ChangeSet(puts=(Put(product),))


def deleting(product: Product) -> ChangeSet:
    return ChangeSet(
        deletes=(Delete("Product", product.id, product.version),),
        releases=tuple(Release(scope, value) for scope, value in catalog.claims(product).items()),
        unreferenced=(product.id,),
    )


def a_location(id: str, priority: int = 0, **fields: Any) -> Location:
    return Location(id=LocationId(id), version=1, name=f"The {id}", priority=priority, **fields)


def a_movement(
    product: Product | str,
    on_hand: int = 0,
    *,
    reserved: int = 0,
    location: str = MAIN,
    reason: Reason = "received",
    **fields: Any,
) -> Movement:
    product_id = product if isinstance(product, str) else product.id
    return Movement(
        id=fields.pop("id", _ids()),
        product_id=ProductId(product_id),
        location_id=LocationId(location),
        on_hand=on_hand,
        reserved=reserved,
        reason=reason,
        at=fields.pop("at", START),
        by="tester",
        **fields,
    )


def moving(
    product: Product | str, on_hand: int = 0, *, reserved: int = 0, location: str = MAIN
) -> ChangeSet:
    return ChangeSet(
        movements=(a_movement(product, on_hand, reserved=reserved, location=location),)
    )


def an_event(subject: str = "order:1", kind: str = "order.placed", **data: Any) -> Event:
    return Event(id=_ids(), kind=kind, subject=subject, at=START, data=data)


def a_placing(
    lines: Mapping[Product, int] | Sequence[tuple[Product, int]], **fields: Any
) -> Placing:
    pairs = list(lines.items()) if isinstance(lines, Mapping) else list(lines)
    id = fields.pop("id", _ids())
    return Placing(
        id=OrderId(id),
        number=fields.pop("number", f"N-{id}"),
        lines=[WantedLine(product=product, quantity=quantity) for product, quantity in pairs],
        expires_at=fields.pop("expires_at", START + timedelta(minutes=15)),
        **fields,
    )


def an_order(
    *lines: tuple[Product, int],
    step: Step | None = None,
    at: Mapping[int, Mapping[str, int]] | None = None,
    location: str = MAIN,
    **fields: Any,
) -> tuple[Order, ChangeSet]:
    """A placed order and its change set. `at`: units per location by line number."""

    def allocate(wanted: Sequence[WantedLine]) -> dict[int, tuple[Allocation, ...]]:
        if at is None:
            return from_one(wanted, LocationId(location))
        return {
            number: tuple(
                Allocation(location_id=LocationId(place), quantity=units)
                for place, units in places.items()
            )
            for number, places in at.items()
        }

    return ordering.place(a_placing(lines, **fields), allocate, step or a_step())


def an_account(id: str = "ada", version: int = 1, **fields: Any) -> Account:
    return Account(
        id=AccountId(id),
        version=version,
        email=f"{id}@example.com",
        name="Ada",
        role=fields.pop("role", "customer"),
        created_at=START,
        updated_at=START,
        **fields,
    )


def a_session(id: str, version: int = 1, account: str = "ada", **fields: Any) -> Session:
    return Session(
        id=id,
        version=version,
        account_id=AccountId(account),
        token_hash="hash",
        created_at=START,
        used_at=START,
        expires_at=fields.pop("expires_at", START + timedelta(hours=1)),
        **fields,
    )


def a_customer(id: str = "ada", **fields: Any) -> Principal:
    return Principal(account_id=AccountId(id), role="customer", **fields)


STAFF = Principal(account_id=AccountId("sam"), role="admin", scopes=frozenset(SCOPES))
BY_STAFF = Call(principal=STAFF)


def a_call(key: str = "", fingerprint: str = "", customer: str = "ada") -> Call:
    return Call(principal=a_customer(customer), key=key, fingerprint=fingerprint)


def a_request(*lines: tuple[str, int], **fields: Any) -> PlaceOrder:
    """What a customer sends: SKU and quantity by line."""
    return PlaceOrder(
        lines=tuple(LineRequest(sku=sku, quantity=quantity) for sku, quantity in lines), **fields
    )
