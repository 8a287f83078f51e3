"""Records kept by id: reading them, finding them by an indexed field, letting go of old ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from storekeeper.domain import stocktakes
from storekeeper.domain.accounts import Account, ApiKey, Attempts, ResetLink, Session
from storekeeper.domain.audit import AuditEntry, FieldChange
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Claim, Delete, Put
from storekeeper.domain.invoices import Invoice, Series
from storekeeper.domain.notes import OrderNote
from storekeeper.domain.orders import Order
from storekeeper.domain.shop_settings import SETTINGS, ShopSettings
from storekeeper.domain.stock import MAIN, Location
from storekeeper.domain.stocktakes import CountLine, StockTake
from storekeeper.domain.types import AccountId, OrderId
from storekeeper.domain.views import OrderView, OrderViews
from storekeeper.domain.work import Delivery, Job, Lease, Position, Setting, WebhookEndpoint
from storekeeper.store.port import Store
from tests.contract.paging import all_items
from tests.support.builders import (
    a_location,
    a_product,
    a_session,
    an_account,
    an_order,
    creating,
    moving,
    pounds,
)
from tests.support.clock import START
from tests.support.shop import Shop, outcomes

LATER = START + timedelta(hours=1)
ADA = AccountId("ada")


def a_delivery(event_seq: int, sink: str = "mail", version: int = 1, **fields: Any) -> Delivery:
    return Delivery(
        id=f"{sink}|{event_seq}",
        version=version,
        sink=sink,
        event_id=f"event-{event_seq}",
        event_seq=event_seq,
        kind="order.placed",
        subject=fields.pop("subject", f"order:{event_seq}"),
        state=fields.pop("state", "failing"),
        attempts=1,
        at=START,
        next_at=fields.pop("next_at", START),
        **fields,
    )


def a_take(id: str = "t1", **fields: Any) -> StockTake:
    return StockTake(
        id=id, version=1, location_id=MAIN, state="open", started_at=START, by="staff:sam",
        expires_at=fields.pop("expires_at", LATER), **fields,
    )  # fmt: skip


def an_entry(
    id: str, by: str = "admin:ada", subject: str = "product:mug", **fields: Any
) -> AuditEntry:
    return AuditEntry(
        id=id, version=1, at=START, by=by, action=fields.pop("action", "product.changed"),
        subject=subject, expires_at=fields.pop("expires_at", LATER), **fields,
    )  # fmt: skip


def a_line(sku: str, take: StockTake | None = None, **fields: Any) -> CountLine:
    product = a_product(sku, attributes={"EAN": f"40{sku}"})
    line = stocktakes.new_line(take or a_take(), product, 5)
    return msgspec.structs.replace(line, **fields)


async def keep(store: Store, *records: Any) -> None:
    await store.commit(ChangeSet(puts=tuple(Put(record) for record in records)))


RECORDS = [
    an_account(),
    a_session("s1"),
    ApiKey(
        id="k1", version=1, account_id=ADA, name="till", key_hash="x", scopes=("stock:read",),
        created_at=START, expires_at=LATER,
    ),
    ResetLink(id="r1", version=1, account_id=ADA, expires_at=LATER),
    Attempts(id="a1", version=1, failures=3, next_at=START, expires_at=LATER),
    a_location("attic", priority=3),
    WebhookEndpoint(
        id="w1", version=1, url="https://example.com", kinds=("order.placed",), secrets=("s",),
        created_at=START,
    ),
    a_delivery(1),
    Job(
        id="j1", version=1, kind="import", state="waiting", created_at=START, updated_at=START,
        created_by="admin:sam",
    ),
    Lease(id="relay", version=1, holder="node-1", until=LATER),
    Position(id="mail", version=1, at=17),
    Setting(id="theme", version=1, value="dunkel ☕"),
    Invoice(
        id=OrderId("o1"), version=1, number=7, issued_at=START, total=pounds(999),
        leaves_out_cancelled=True,
    ),
    Series(id="invoices", version=1, last=7),
    OrderViews(id=ADA, version=1, views=(OrderView(name="To pack", state="confirmed"),)),
    a_take(category="China"),
    a_line("MUG", counted=4, outcome="moved", found=3),
    an_entry(
        "e1", api_key="k1", label="MUG", left_out=3,
        fields=(FieldChange(field="name", before="Mug", after="Becher ☕"), FieldChange(field="tag")),
    ),
    OrderNote(
        id="n1", version=1, order_id=OrderId("o1"), text="Ring\ntwice", at=START, by="staff:sam",
        author_id=AccountId("sam"), customer_id=ADA,
    ),
    ShopSettings(id=SETTINGS, version=1, shop_name="Ada's", low_stock_threshold=0),
]  # fmt: skip


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
async def test_a_record_comes_back_as_it_was_kept(store: Store, record: Any) -> None:
    kind = type(record)
    await keep(store, record)
    assert await store.get(kind, record.id) == record
    assert await store.get_many(kind, [record.id, "none"]) == {record.id: record}
    assert (await store.list_all(kind)).items == (record,)
    await store.commit(ChangeSet(deletes=(Delete(kind.__name__, record.id, 1),)))
    assert await store.get(kind, record.id) is None
    assert (await store.list_all(kind)).items == ()


async def test_products_and_orders_come_back_as_they_were_kept(store: Store) -> None:
    mug = a_product("MUG", description='línea\n☕ "quoted"', attributes={"colour": "blue"})
    order, placing = an_order((mug, 1), note="please 'hurry'", email="a@b.c")
    await store.commit(creating(mug) + moving(mug, 1))
    await store.commit(placing)
    assert await store.get(Product, mug.id) == mug
    assert await store.get(Order, order.id) == order
    assert await store.get_many(Order, [order.id, "none"]) == {order.id: order}


async def test_records_of_two_kinds_may_share_an_id(store: Store) -> None:
    await keep(store, Setting(id="x", version=1, value="1"), Position(id="x", version=1, at=1))
    assert await store.get(Position, "x") == Position(id="x", version=1, at=1)
    assert await store.get(Account, "x") is None


async def test_asking_for_nothing_gives_nothing(store: Store) -> None:
    assert await store.get_many(Account, []) == {}
    assert await store.listed([]) == {}
    assert await store.levels([]) == []
    assert await store.products_by_sku([]) == {}
    assert await store.claims("sku", []) == {}
    assert await store.blocked_subjects("mail", []) == set()
    assert await store.events_at([]) == {}


async def test_many_are_read_at_once(store: Store) -> None:
    settings = [Setting(id=f"s{number}", version=1, value="x") for number in range(2_000)]
    await keep(store, *settings)
    found = await store.get_many(Setting, [setting.id for setting in settings])
    assert found == {setting.id: setting for setting in settings}


async def test_find_follows_the_field_as_it_changes(store: Store) -> None:
    await keep(store, an_account("ada"), an_account("bob"), an_account("sam", role="admin"))
    assert [a.id for a in (await store.find(Account, "role", "active:customer")).items] == [
        "ada",
        "bob",
    ]
    await keep(store, an_account("bob", version=2, role="admin"))
    assert [a.id for a in (await store.find(Account, "role", "active:customer")).items] == ["ada"]
    await store.commit(ChangeSet(deletes=(Delete("Account", "ada", 1),)))
    assert (await store.find(Account, "role", "active:customer")).items == ()
    assert (await store.find(Account, "role", "none")).items == ()


async def test_lists_go_backwards_too(store: Store) -> None:
    await keep(store, *(a_location(f"p{number}") for number in range(5)))
    backwards = await all_items(
        lambda limit, at: store.list_all(Location, limit=limit, cursor=at, newest_first=True), 2
    )
    assert [place.id for place in backwards] == ["p4", "p3", "p2", "p1", "p0"]
    await keep(store, *(a_session(f"s{number}") for number in range(5)))
    backwards = await all_items(
        lambda limit, at: store.find(
            Session, "account_id", "ada", limit=limit, cursor=at, newest_first=True
        ),
        2,
    )
    assert [session.id for session in backwards] == ["s4", "s3", "s2", "s1", "s0"]


async def test_admins_are_the_active_ones(store: Store) -> None:
    sam = an_account("sam", role="admin")
    gone = an_account("eve", role="admin", status="deleted")
    await keep(store, sam, gone, an_account("ada"))
    assert await store.admins() == [sam]


async def test_what_has_expired_is_removed_and_nothing_else(store: Store) -> None:
    past = START - timedelta(seconds=1)
    await keep(
        store,
        a_session("old", expires_at=past),
        a_session("now", expires_at=START),
        a_session("good"),
        ResetLink(id="old", version=1, account_id=ADA, expires_at=past),
        ResetLink(id="good", version=1, account_id=ADA, expires_at=LATER),
        Attempts(id="old", version=1, failures=1, next_at=past, expires_at=past),
        a_take("old", expires_at=past),
        a_line("MUG", a_take("old", expires_at=past)),
        a_take("good"),
        a_line("MUG", a_take("good")),
        an_entry("old", expires_at=past),
        an_entry("good"),
        an_account(),
    )
    assert await store.purge(START, 2) == 2
    assert await store.purge(START, 100) == 5
    assert await store.purge(START, 100) == 0
    assert [session.id for session in (await store.list_all(Session)).items] == ["good"]
    assert [link.id for link in (await store.list_all(ResetLink)).items] == ["good"]
    assert (await store.list_all(Attempts)).items == ()
    assert [take.id for take in (await store.list_all(StockTake)).items] == ["good"]
    assert [line.take_id for line in (await store.list_all(CountLine)).items] == ["good"]
    assert [entry.id for entry in (await store.list_all(AuditEntry)).items] == ["good"]
    assert await store.get(Account, "ada") is not None


async def test_find_takes_what_other_fields_must_say(store: Store) -> None:
    """Whoever asks what Sam did to the mug must be shown all of it, page by page, and no more."""
    await keep(
        store,
        *(an_entry(f"e{number}", by="staff:sam") for number in range(5)),
        an_entry("e5", by="staff:sam", subject="product:bowl"),
        an_entry("e6"),
        an_entry("e7", by="system", action="product.deleted"),
    )

    async def ids(index: str, value: str, **also: str) -> list[str]:
        found = await all_items(
            lambda limit, at: store.find(
                AuditEntry, index, value, limit=limit, cursor=at, newest_first=True, also=also
            ),
            2,
        )
        return [entry.id for entry in found]

    assert await ids("subject", "product:mug", by="sam") == ["e4", "e3", "e2", "e1", "e0"]
    assert await ids("subject", "product:mug", by="ada", action="product.changed") == ["e6"]
    assert await ids("subject", "product:mug", by="ada", action="product.deleted") == []
    assert await ids("by", "system") == ["e7"]
    assert await ids("action", "product.changed", subject="product:bowl") == ["e5"]


async def test_notes_are_found_by_order_and_by_whose_order_it_is(store: Store) -> None:
    """A customer's deletion has to find every note about them."""
    note = next(record for record in RECORDS if isinstance(record, OrderNote))
    of_a_guest = msgspec.structs.replace(note, id="n2", customer_id=None)
    await keep(store, note, of_a_guest)
    assert (await store.find(OrderNote, "order", "o1")).items == (note, of_a_guest)
    assert (await store.find(OrderNote, "customer", "ada")).items == (note,)
    assert await store.count(OrderNote, "order", "o1", at_most=9) == 2


async def test_settings_tell_every_process_that_they_changed(store: Store) -> None:
    """A name that was changed must not stay the old one where it is remembered."""
    await store.catch_up()
    before = store.stamp("catalog", "settings")
    await keep(store, Setting(id="other", version=1, value="x"))
    assert store.stamp("catalog", "settings") == before
    await keep(store, ShopSettings(id=SETTINGS, version=1, shop_name="Ada's"))
    assert store.stamp("catalog", "settings") != before


async def test_an_engine_says_what_it_is(store: Store) -> None:
    facts = await store.facts()
    assert facts.kind
    assert facts.place
    assert facts.file_bytes > 0
    assert store.lag() >= 0


async def test_lines_of_a_count_are_found_by_take_status_product_and_code(store: Store) -> None:
    """What has still to be counted, and whose code was scanned, is looked up by key."""
    mug, bowl = a_line("MUG"), a_line("BOWL", counted=5)
    await keep(store, a_take(), mug, bowl, a_line("MUG", a_take("t2")))
    assert (await store.find(CountLine, "take", "t1")).items == (bowl, mug)
    assert (await store.find(CountLine, "status", "t1|uncounted")).items == (mug,)
    assert (await store.find(CountLine, "status", "t1|equal")).items == (bowl,)
    assert (await store.find(CountLine, "product", "t1|product-MUG")).items == (mug,)
    assert (await store.find(CountLine, "code", "t1|40BOWL")).items == (bowl,)
    await keep(store, stocktakes.counted(mug, 3))
    assert await store.count(CountLine, "status", "t1|different", at_most=9) == 1
    assert await store.count(CountLine, "status", "t1|uncounted", at_most=9) == 0
    assert await store.count(StockTake, "state", "open", at_most=9) == 1


async def test_a_session_used_while_it_is_purged_stays(store: Store) -> None:
    await keep(store, a_session("s", expires_at=START))
    renewed = a_session("s", expires_at=LATER, version=2)
    told = await outcomes(
        store,
        [
            ChangeSet(puts=(Put(renewed),)),
            ChangeSet(deletes=(Delete("Session", "s", 1),)),
        ],
    )
    assert [answer is None for answer in told] == [True, False]
    assert await store.get(Session, "s") == renewed


async def test_deliveries_are_due_when_their_time_has_come(store: Store) -> None:
    await keep(
        store,
        a_delivery(3),
        a_delivery(1, next_at=START + timedelta(minutes=5)),
        a_delivery(2, next_at=START - timedelta(minutes=5)),
        a_delivery(4, state="dead", next_at=None),
        a_delivery(5, state="delivered", next_at=None),
        a_delivery(1, sink="webhook:1"),
    )

    async def due(minutes: int, limit: int = 10) -> list[int]:
        at = START + timedelta(minutes=minutes)
        return [found.event_seq for found in await store.due_deliveries("mail", at, limit)]

    assert await due(-6) == []
    assert await due(0) == [2, 3]
    assert await due(10) == [1, 2, 3]
    assert await due(10, limit=2) == [1, 2]


async def test_a_failing_delivery_holds_back_what_follows_on_its_subject(store: Store) -> None:
    await keep(
        store,
        a_delivery(1, subject="order:a"),
        a_delivery(2, subject="order:b", state="dead", next_at=None),
        a_delivery(3, sink="webhook:1", subject="order:c"),
    )
    asked = ["order:a", "order:b", "order:c"]
    assert await store.blocked_subjects("mail", asked) == {"order:a"}
    assert await store.blocked_subjects("webhook:1", asked) == {"order:c"}
    await keep(store, a_delivery(1, version=2, subject="order:a", state="delivered", next_at=None))
    assert await store.blocked_subjects("mail", asked) == set()


async def test_failing_deliveries_are_the_first_few_of_each_subject(store: Store) -> None:
    await keep(
        store,
        *(a_delivery(number, subject="order:a") for number in (5, 3, 4)),
        a_delivery(1, subject="order:b"),
        a_delivery(2, subject="order:c"),
    )
    found = await store.failing_deliveries("mail", ["order:a", "order:b"], 2)
    assert [delivery.event_seq for delivery in found] == [1, 3, 4]


async def test_a_location_holds_stock_until_the_last_unit_left(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=1)
    main, attic = "main", "attic"
    assert await shop.store.holds_stock(main)  # type: ignore[arg-type]
    assert not await shop.store.holds_stock(attic)  # type: ignore[arg-type]
    await shop.store.commit(moving(mug, -1))
    assert not await shop.store.holds_stock(main)  # type: ignore[arg-type]


async def test_claims_carry_their_note(store: Store) -> None:
    claim = Claim(scope="key", value="abc", owner="order-1", note="fingerprint")
    await store.commit(ChangeSet(claims=(claim,)))
    assert await store.claim("key", "abc") == claim
    assert await store.claims("key", ["abc", "none"]) == {"abc": claim}
