"""Fills an empty shop with the demo: real products and orders, moved to the recent past."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from storekeeper.demo import open_sample
from storekeeper.demo.naming import category, display_name
from storekeeper.demo.stocking import low_stock_threshold, spare_units
from storekeeper.domain.catalog import ProductDetails
from storekeeper.domain.changes import ChangeSet, Put, Stale
from storekeeper.domain.errors import InUse
from storekeeper.domain.types import Struct
from storekeeper.domain.work import Position, Setting
from storekeeper.replay.direct import Clock, DirectClient, OpenShop, position_id
from storekeeper.replay.driver import play
from storekeeper.replay.happenings import Happening, Return, Sale
from storekeeper.replay.plan import plan
from storekeeper.replay.script import Part, Person, Script, Stage, Watch, script_of, unwatched
from storekeeper.replay.source import rows_from
from storekeeper.store.port import Store

MARKER = "demo"
SCRIPT_ID = "demo"
PENDING = 2
UNSHIPPED = 10


class Loaded(Struct, frozen=True, kw_only=True):
    """What the demo shop holds; `is_new` is False where it had been loaded before."""

    is_new: bool
    products: int = 0
    orders: int = 0


async def is_loaded(store: Store) -> bool:
    return await store.get(Setting, MARKER) is not None


async def require_room(store: Store) -> None:
    """Raises `InUse` for a shop that has products or orders of its own.

    What a load that was broken off has left is the demo's.
    """
    summary = await store.summary()
    if not (summary.products or summary.orders):
        return
    if await store.get(Position, position_id(SCRIPT_ID)) is None:
        raise InUse(
            "the demo was not loaded, and nothing was changed: this shop has products or orders "
            "of its own. Name a new file with --database for a demo, or serve this one without it"
        )


async def load_demo(
    open_shop: OpenShop, *, customer_email: str | None = None, watch: Watch = unwatched
) -> Loaded:
    """Loads the sample unless it is there; a load that was broken off is finished.

    `customer_email` takes over the history of the customer who bought last. Raises `InUse` for a
    shop that has products or orders of its own.
    """
    clock = Clock()
    async with open_shop(clock) as shop:
        if await is_loaded(shop.store):
            return Loaded(is_new=False)
        await require_room(shop.store)
        script = demo_script(datetime.now(UTC), customer_email)
        played = await play(script, DirectClient(shop, clock), watch)
        try:
            marker = Setting(id=MARKER, version=1, value=f"{datetime.now(UTC):%Y-%m-%d}")
            await shop.store.commit(ChangeSet(puts=(Put(marker),)))
        except Stale:
            return Loaded(is_new=False)
    return Loaded(
        is_new=True, products=len(script.products), orders=played.tally.get("sale_orders", 0)
    )


def demo_script(now: datetime, customer_email: str | None = None) -> Script:
    """The sample as a script whose last orders are of the past days, the newest not yet shipped."""
    with open_sample() as stream:
        rows = list(rows_from(stream))
    shift = whole_days(rows[-1].at, now)
    happenings = list(plan(rows))
    stages = _stages(happenings)

    def moved() -> Iterator[Happening]:
        for happening in happenings:
            is_pending = stages.get(happening.invoice_no) == "pending"
            yield msgspec.structs.replace(happening, at=now if is_pending else happening.at + shift)

    script = script_of(SCRIPT_ID, rows, moved, Part(None, None))
    sold = _units_sold(happenings)
    return msgspec.structs.replace(
        script,
        begins_at=script.begins_at + shift,
        products=tuple(_shown(product, sold[product.sku]) for product in script.products),
        opening={sku: units + spare_units(sku, sold[sku]) for sku, units in script.opening.items()},
        people=_people(script.people, happenings, customer_email),
        stage=lambda sale: stages.get(sale.invoice_no, "shipped"),
    )


def whole_days(last: datetime, now: datetime) -> timedelta:
    """How far to move times so that `last` is of the past day and every hour stays what it was."""
    return (now - last) // timedelta(days=1) * timedelta(days=1)


def _stages(happenings: Sequence[Happening]) -> dict[str, Stage]:
    """The newest orders of which nothing came back: pending, then confirmed; the rest are shipped."""
    newest: list[str] = []
    for happening in reversed(happenings):
        if isinstance(happening, Return):
            # A return needs all that was sold before it shipped.
            break
        if isinstance(happening, Sale):
            newest.append(happening.invoice_no)
        if len(newest) == PENDING + UNSHIPPED:
            break
    return {
        invoice_no: "pending" if rank < PENDING else "confirmed"
        for rank, invoice_no in enumerate(newest)
    }


def _units_sold(happenings: Sequence[Happening]) -> Counter[str]:
    sold: Counter[str] = Counter()
    for happening in happenings:
        if isinstance(happening, Sale):
            for line in happening.lines:
                sold[line.sku] += line.quantity
    return sold


def _shown(product: ProductDetails, units_sold: int) -> ProductDetails:
    return msgspec.structs.replace(
        product,
        name=display_name(product.name),
        category=category(product.name),
        low_stock_threshold=low_stock_threshold(units_sold) if product.track_stock else None,
    )


def _people(
    people: Mapping[str, Person], happenings: Sequence[Happening], customer_email: str | None
) -> dict[str, Person]:
    result = dict(people)
    if customer_email is not None:
        buyers = (one.customer_id for one in reversed(happenings) if isinstance(one, Sale))
        latest = next(id for id in buyers if id is not None)
        result[latest] = Person(email=customer_email, name="Customer")
    return result
