"""What is left of changes once accounts that they tell of are deleted: the books, nobody's data.

A record that still stands in the shop stays as it is, and of all others the id, the version and
whatever stock, lists and the order of things are made from. So whoever replays the changes has the
same shop in the end, whether they were redacted or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any, NamedTuple

import msgspec

from storekeeper.domain import ordering
from storekeeper.domain.accounts import (
    EMAIL,
    Account,
    ApiKey,
    Attempts,
    OutsideIdentity,
    ResetLink,
    Session,
)
from storekeeper.domain.audit import AuditEntry
from storekeeper.domain.carts import Cart
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.invoices import Invoice, Series
from storekeeper.domain.notes import OrderNote
from storekeeper.domain.orders import Order
from storekeeper.domain.pictures import Picture
from storekeeper.domain.shop_settings import ShopSettings
from storekeeper.domain.stock import Location
from storekeeper.domain.stocktakes import CountLine, StockTake
from storekeeper.domain.views import OrderViews
from storekeeper.domain.work import (
    Delivery,
    Job,
    Lease,
    Position,
    Setting,
    Traffic,
    WebhookEndpoint,
)

# What a key's name or a note becomes: it has at least one letter.
UNNAMED = "removed"


class Rule(NamedTuple):
    """Whose a record is (an account's id, None: nobody's), and how the same version of it reads
    without personal data."""

    owner: Callable[[Any], str | None]
    bare: Callable[[Any], Any]


def _without(**fields: Any) -> Callable[[Any], Any]:
    return lambda record: msgspec.structs.replace(record, **fields)


def _account_of(record: Any) -> str | None:
    return str(record.account_id)


# Every kind of record has its line, so that none is forgotten. None: it says nothing of a person,
# or outlives the account in the shop as well.
RULES: dict[type[Any], Rule | None] = {
    Account: Rule(lambda account: account.id, _without(email="", name="", password_hash="")),
    Session: Rule(_account_of, _without(client="")),
    ApiKey: Rule(_account_of, _without(name=UNNAMED)),
    # A hash over the address, which could be guessed.
    ResetLink: Rule(_account_of, _without(seal="")),
    Order: Rule(lambda order: order.customer_id, ordering.redacted),
    # What staff wrote of a customer.
    OrderNote: Rule(lambda note: note.customer_id, _without(text=UNNAMED)),
    # What was sold, to nobody: the buyer is the order's.
    Invoice: None,
    Series: None,
    # What somebody meant to buy.
    Cart: Rule(lambda cart: cart.id, _without(lines=())),
    OrderViews: Rule(lambda views: views.id, _without(views=())),
    # A hash, and a role: whoever was deleted must not come back by their next token.
    OutsideIdentity: None,
    # Named by a hash of what was typed, whoever typed it; no account is known to it.
    Attempts: None,
    Product: None,
    Location: None,
    StockTake: None,
    CountLine: None,
    WebhookEndpoint: None,
    Delivery: None,
    Job: None,
    Lease: None,
    Position: None,
    Setting: None,
    Traffic: None,
    Picture: None,
    ShopSettings: None,
    # Names accounts by their ids alone, as the ledger does.
    AuditEntry: None,
}


class Gone(NamedTuple):
    """`accounts` whose deletion is done. `standing`: the version at which a record stands in the
    shop now, by kind and id; none of one that doesn't."""

    accounts: Set[str]
    standing: Mapping[tuple[str, str], int]


def owner_of(record: Any) -> str | None:
    """The account whose personal data the record may hold, by its id."""
    rule = RULES[type(record)]
    return None if rule is None else rule.owner(record)


def owners_of(change: ChangeSet) -> set[str]:
    """The accounts whose personal data the change set may hold."""
    found = {owner_of(record) for (record,) in change.puts}
    found |= {claim.owner for claim in change.claims if claim.scope == EMAIL}
    return {owner for owner in found if owner is not None}


def redacted_record(record: Any, gone: Gone) -> Any:
    """The same version of a record without what is gone; the very same where nothing is."""
    rule = RULES[type(record)]
    if rule is None or rule.owner(record) not in gone.accounts:
        return record
    if gone.standing.get((type(record).__name__, record.id)) == record.version:
        return record
    bare = rule.bare(record)
    return record if bare == record else bare


def redacted(change: ChangeSet, gone: Gone) -> ChangeSet:
    """The change set without personal data of accounts that are gone; the very same where it
    holds none.

    Claims on their addresses aren't there any more, and neither are the releases: whoever replays
    the change set releases what an account that is put without an address still holds. Movements
    and events name accounts by their ids alone, and stand in the shop for ever.
    """
    puts = tuple(
        put if (bare := redacted_record(put.record, gone)) is put.record else Put(bare)
        for put in change.puts
    )
    claims = tuple(
        claim for claim in change.claims if claim.scope != EMAIL or claim.owner not in gone.accounts
    )
    releases = change.releases
    accounts = {record.id for (record,) in puts if type(record) is Account}
    # A release doesn't say whose address it was; no change set is about several accounts' addresses.
    if accounts and accounts <= gone.accounts:
        releases = tuple(release for release in releases if release.scope != EMAIL)
    if (puts, claims, releases) == (change.puts, change.claims, change.releases):
        return change
    return msgspec.structs.replace(change, puts=puts, claims=claims, releases=releases)
