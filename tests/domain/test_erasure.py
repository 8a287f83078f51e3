"""What is forgotten of whoever left, and what the shop's books keep."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from storekeeper.domain.accounts import EMAIL, Account, ApiKey, ResetLink, Session
from storekeeper.domain.carts import Cart, CartLine
from storekeeper.domain.changes import ChangeSet, Claim, Put, Release
from storekeeper.domain.erasure import RULES, Gone, owners_of, redacted, redacted_record
from storekeeper.domain.notes import OrderNote
from storekeeper.domain.orders import Address, Order, Return, Transition
from storekeeper.domain.stock import MAIN
from storekeeper.domain.types import AccountId, OrderId
from storekeeper.domain.views import OrderView, OrderViews
from storekeeper.domain.work import Setting
from storekeeper.store.sqlite import kinds
from tests.support.builders import a_product, an_account, an_order, moving, pounds
from tests.support.clock import START

ADA = AccountId("ada")
NOBODY_STANDS = Gone({ADA}, {})
LATER = START + timedelta(hours=1)
ADDRESS = Address(name="Ada", line1="12 Square", city="London", country="GB", phone="0113")


def an_order_of_ada() -> Order:
    order, _ = an_order(
        (a_product(), 2),
        customer_id=ADA,
        email="ada@example.com",
        shipping_address=ADDRESS,
        note="Ring at Ada's",
        fingerprint="a hash",
    )
    said = Transition(at=START, kind="cancelled", by="customer:ada", detail="moving to Leeds")
    sent = Transition(at=START, kind="shipped", by="staff:sam", detail="by pigeon")
    back = Return(
        id="r", location_id=MAIN, lines=(), restock=True, at=START, reason="her mother has one"
    )
    fields = {name: getattr(order, name) for name in Order.__struct_fields__}
    return Order(**{**fields, "returns": (back,), "timeline": (*order.timeline, said, sent)})


RECORDS: dict[type[Any], Any] = {
    Account: an_account(
        "ada", 3, password_hash="$argon2id$", epoch=4, provider="cognito", not_before=START
    ),
    Session: Session(
        id="s",
        version=2,
        account_id=ADA,
        token_hash="hash",
        created_at=START,
        used_at=START,
        expires_at=LATER,
        client="Ada's telephone",
    ),
    ApiKey: ApiKey(
        id="k",
        version=1,
        account_id=ADA,
        name="Ada's till",
        key_hash="hash",
        scopes=("stock:read",),
        created_at=START,
    ),
    Cart: Cart(
        id=ADA,
        version=3,
        lines=(CartLine(sku="LEEDS-MAP", quantity=1, seen=pounds(500)),),
        updated_at=START,
        expires_at=LATER,
    ),
    OrderViews: OrderViews(id=ADA, version=2, views=(OrderView(name="Ada's Leeds"),)),
    ResetLink: ResetLink(id="l", version=1, account_id=ADA, expires_at=LATER, seal="a hash"),
    Order: an_order_of_ada(),
    OrderNote: OrderNote(
        id="n", version=1, order_id=OrderId("o"), text="Ada's mother takes it in, 12 Square",
        at=START, by="staff:sam", author_id=AccountId("sam"), customer_id=ADA,
    ),
}  # fmt: skip
GOES: dict[type[Any], set[str]] = {
    Account: {"email", "name", "password_hash"},
    Session: {"client"},
    ApiKey: {"name"},
    Cart: {"lines"},
    OrderViews: {"views"},
    ResetLink: {"seal"},
    OrderNote: {"text"},
    Order: {"email", "shipping_address", "note", "timeline", "returns"},
}
# A new field has to be put here or into the rule, or somebody's data stays for ever.
STAYS: dict[type[Any], str] = {
    Account: "id version role created_at updated_at epoch status provider not_before",
    Session: (
        "id version account_id token_hash previous_hash created_at used_at expires_at epoch provider "
        "is_over"
    ),
    ApiKey: "id version account_id key_hash scopes created_at expires_at",
    Cart: "id version updated_at expires_at",
    OrderViews: "id version",
    ResetLink: "id version account_id expires_at",
    OrderNote: "id version order_id at by author_id customer_id",
    Order: (
        "id version number state currency lines total placed_at updated_at expires_at customer_id "
        "fingerprint confirmed_at shipments"
    ),
}
kinds_with_rules = pytest.mark.parametrize(
    "kind", [kind for kind, rule in RULES.items() if rule], ids=lambda kind: kind.__name__
)


def test_every_kind_of_record_is_decided_on() -> None:
    assert set(RULES) == set(kinds.BY_NAME.values())


@kinds_with_rules
def test_every_field_is_decided_on_and_the_personal_ones_go(kind: type[Any]) -> None:
    record = RECORDS[kind]
    bare = redacted_record(record, NOBODY_STANDS)
    changed = {
        name for name in kind.__struct_fields__ if getattr(bare, name) != getattr(record, name)
    }
    assert changed == GOES[kind]
    assert set(kind.__struct_fields__) - changed == set(STAYS[kind].split())
    for word in ("Ada", "ada@example.com", "12 Square", "Leeds", "mother", "argon2", "0113"):
        assert word not in repr(bare).replace("customer:ada", "")


@kinds_with_rules
def test_what_is_left_is_a_record_that_is_found_where_it_was(kind: type[Any]) -> None:
    record = RECORDS[kind]
    bare = redacted_record(record, NOBODY_STANDS)
    assert kinds.decode(kind, kinds.encode(bare)) == bare
    if kind is not Order:
        assert kinds.INDEXES[kind](bare) == kinds.INDEXES[kind](record)


@kinds_with_rules
def test_what_stands_in_the_shop_and_what_is_others_stays(kind: type[Any]) -> None:
    record = RECORDS[kind]
    stands = Gone({ADA}, {(kind.__name__, record.id): record.version})
    assert redacted_record(record, stands) is record
    assert redacted_record(record, Gone({"bob"}, {})) is record
    bare = redacted_record(record, NOBODY_STANDS)
    assert redacted_record(bare, NOBODY_STANDS) is bare


def test_an_order_keeps_what_happened_and_how_it_was_sent() -> None:
    order = RECORDS[Order]
    bare = redacted_record(order, NOBODY_STANDS)
    assert [entry.kind for entry in bare.timeline] == [entry.kind for entry in order.timeline]
    assert [entry.detail for entry in bare.timeline][-2:] == ["", "by pigeon"]
    assert bare.returns[0].restock


def test_addresses_that_were_claimed_and_given_up_go_and_other_claims_stay() -> None:
    change = ChangeSet(
        puts=(Put(an_account("ada", 2)), Put(Setting(id="admins", version=2, value="ada"))),
        claims=(
            Claim(scope=EMAIL, value="new@example.com", owner="ada"),
            Claim(scope=EMAIL, value="bob@example.com", owner="bob"),
            Claim(scope="key", value="hash", owner="ada"),
        ),
        releases=(Release(EMAIL, "ada@example.com"), Release("sku", "mug")),
    ) + moving("product-MUG", 3)
    left = redacted(change, NOBODY_STANDS)
    assert [claim.owner for claim in left.claims] == ["bob", "ada"]
    assert left.releases == (Release("sku", "mug"),)
    assert left.puts[1] is change.puts[1]
    assert left.movements == change.movements
    assert owners_of(change) == {"ada", "bob"}


def test_a_change_that_says_nothing_personal_is_the_very_same() -> None:
    for change in (moving("product-MUG", 3), ChangeSet(puts=(Put(an_account("bob")),))):
        assert redacted(change, NOBODY_STANDS) is change
    released = ChangeSet(
        puts=(Put(an_account("bob", 2)),), releases=(Release(EMAIL, "bob@example.com"),)
    )
    assert redacted(released, NOBODY_STANDS) is released
