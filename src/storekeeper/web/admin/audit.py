"""Who changed what: the audit log for admins, filtered, with before and after, and as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from litestar import Controller, Request, get

from storekeeper.domain.accounts import EMAIL, Account, normal_email
from storekeeper.domain.audit import ACTIONS, AuditEntry, said_by
from storekeeper.domain.catalog import Product
from storekeeper.domain.errors import Invalid
from storekeeper.domain.shop_settings import SETTINGS
from storekeeper.domain.types import fold_sku
from storekeeper.domain.work import Job, WebhookEndpoint
from storekeeper.http.answers import CSV, Answer
from storekeeper.services.audit import SCOPE, AuditLog, AuditQuery
from storekeeper.store.port import Page, Store
from storekeeper.web.admin.days import MOST_CURSOR
from storekeeper.web.admin.frame import BACK_OFFICE, admin_page
from storekeeper.web.downloads import Download
from storekeeper.web.forms import FormErrors
from storekeeper.web.languages import mark
from storekeeper.web.pages import HTML
from storekeeper.web.visit import Visit, visit_of, with_query

PageRequest = Request[Any, Any, Any]
AUDIT = f"{BACK_OFFICE}/audit"
# Each may have a table of dozens of fields.
ON_A_PAGE = 25
FILTERS = ("who", "action", "what")
SYSTEM = "system"
# What subjects begin with, and where they are looked at.
PLACES = {
    "product": f"{BACK_OFFICE}/products",
    "account": f"{BACK_OFFICE}/people",
    "webhook": f"{BACK_OFFICE}/notifications",
    "import": f"{BACK_OFFICE}/products/imports",
    "api_key": "",
    "location": "",
    "settings": "",
}
NAMES = {
    "product.created": mark("Product made"),
    "product.changed": mark("Product changed"),
    "product.archived": mark("Product archived"),
    "product.deleted": mark("Product deleted"),
    "products.imported": mark("Products imported"),
    "stock.imported": mark("Stock imported"),
    "account.created": mark("Account made"),
    "account.role_changed": mark("Role changed"),
    "account.password_set": mark("Password set for somebody"),
    "account.logged_out": mark("Sessions ended"),
    "account.deleted": mark("Account deleted"),
    "api_key.created": mark("API key made"),
    "api_key.revoked": mark("API key revoked"),
    "webhook.created": mark("Webhook endpoint added"),
    "webhook.changed": mark("Webhook endpoint changed"),
    "webhook.secret_rotated": mark("New webhook secret"),
    "webhook.secrets_dropped": mark("Old webhook secret dropped"),
    "webhook.deleted": mark("Webhook endpoint deleted"),
    "location.created": mark("Location made"),
    "location.changed": mark("Location changed"),
    "settings.changed": mark("Settings changed"),
}
FIELDS = {
    "name": mark("Name"),
    "sku": mark("SKU"),
    "price": mark("Price"),
    "category": mark("Category"),
    "tags": mark("Tags"),
    "description": mark("Description"),
    "image_url": mark("Picture"),
    "status": mark("Status"),
    "track_stock": mark("Has stock"),
    "allow_backorder": mark("May be ordered before it comes"),
    "low_stock_threshold": mark("Reorder point"),
    "is_parent": mark("Has variants"),
    "parent_id": mark("Variant of"),
    "role": mark("Role"),
    "scopes": mark("Scopes"),
    "expires_at": mark("Expires"),
    "owner": mark("Whose"),
    "url": mark("Address"),
    "kinds": mark("Events"),
    "active": mark("Switched on"),
    "priority": mark("Priority"),
    "created": mark("Made"),
    "updated": mark("Changed"),
    "unchanged": mark("Unchanged"),
    "failed": mark("Bad rows"),
    "shop_name": mark("Name of the shop"),
    "contact_email": mark("E-mail address for questions"),
    "invoice_seller": mark("Seller on invoices"),
    "invoice_note": mark("End of invoices"),
    "reservation_seconds": mark("Reservation in seconds"),
}


class Shown(NamedTuple):
    """An entry with the names of whom and what it is about; `address` is empty where nothing can
    be looked at any more. `names`: of accounts that its fields hold, by their value there."""

    entry: AuditEntry
    who: str
    subject: str
    address: str
    names: Mapping[str, str]


class AuditPages(Controller):
    path = AUDIT
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access=SCOPE, media_type=HTML)
    async def show(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        errors = FormErrors(visit)
        filters = _filters(visit)
        query = await _query(visit, filters, errors)
        page: Page[AuditEntry] = Page(items=())
        if not errors:
            try:
                page = await _log(visit).page(visit.call("", None), query)
            except Invalid as error:
                errors.refuse(error)
        return admin_page(
            visit,
            "admin/audit.html",
            status=422 if errors else 200,
            shown=await _shown(visit, page.items),
            next=page.next,
            filters=filters,
            actions=NAMES,
            fields=FIELDS,
            errors=errors,
        )

    @get("/export", access=SCOPE, media_type=CSV)
    async def export(self, request: PageRequest) -> Download | Answer[bytes]:
        """All that the filters let through."""
        visit = visit_of(request)
        errors = FormErrors(visit)
        filters = _filters(visit)
        query = await _query(visit, filters, errors)
        if errors:
            return visit.go(with_query(AUDIT, filters))
        return Download(visit, await _log(visit).export(visit.call("", None), query), "audit")


def _filters(visit: Visit) -> dict[str, str]:
    return {name: visit.query.get(name, "").strip()[:200] for name in FILTERS}


async def _query(visit: Visit, filters: dict[str, str], errors: FormErrors) -> AuditQuery:
    """The filters as they were typed, with what they name looked up."""
    store: Store = visit.pages.shop.store
    action = next((one for one in ACTIONS if one == filters["action"]), None)
    if filters["action"] and action is None:
        errors.add("action", visit.say("There is no such action; choose one of the list."))
    who = filters["who"]
    if "@" in who:
        claim = await store.claim(EMAIL, normal_email(who))
        if claim is None:
            errors.add("who", visit.say("Nobody has this address."))
        else:
            who = claim.owner
    return AuditQuery(
        by=who or None,
        action=action,
        subject=await _subject(visit, store, filters["what"], errors),
        limit=ON_A_PAGE,
        cursor=visit.query.get("cursor", "")[:MOST_CURSOR] or None,
    )


async def _subject(visit: Visit, store: Store, text: str, errors: FormErrors) -> str | None:
    """A subject by its own name, somebody's address, or a SKU."""
    if not text:
        return None
    if text.partition(":")[0] in PLACES and ":" in text:
        return text
    scope, value, kind = (
        (EMAIL, normal_email(text), "account")
        if "@" in text
        else ("sku", fold_sku(text), "product")
    )
    claim = await store.claim(scope, value)
    if claim is None:
        errors.add("what", visit.say("There is nothing of this name now."))
        return None
    return f"{kind}:{claim.owner}"


async def _shown(visit: Visit, entries: tuple[AuditEntry, ...]) -> list[Shown]:
    """With names of people and products, one question for each kind."""
    store: Store = visit.pages.shop.store
    subjects = {entry.subject for entry in entries}
    owners = {owner for entry in entries for owner in _owners(entry)}
    wanted = {said_by(entry.by) for entry in entries} | _ids(subjects | owners, "account")
    people = await store.get_many(Account, sorted(wanted))
    products = await store.get_many(Product, sorted(_ids(subjects, "product")))
    there = {f"product:{id}" for id in products}
    there |= {f"account:{id}" for id, account in people.items() if account.status == "active"}
    for kind, record in (("webhook", WebhookEndpoint), ("import", Job)):
        if ids := _ids(subjects, kind):
            there |= {f"{kind}:{id}" for id in await store.get_many(record, sorted(ids))}
    return [
        Shown(
            entry=entry,
            who=_name(visit, people, said_by(entry.by)),
            subject=_title(visit, entry, people, products),
            address=_address(entry.subject) if entry.subject in there else "",
            names={
                owner: _name(visit, people, owner.partition(":")[2]) for owner in _owners(entry)
            },
        )
        for entry in entries
    ]


def _owners(entry: AuditEntry) -> set[str]:
    """Accounts that an entry's fields name."""
    told = [change for change in entry.fields if change.field == "owner"]
    return {value for change in told for value in (change.before, change.after) if value}


def _ids(subjects: set[str], kind: str) -> set[str]:
    return {one.partition(":")[2] for one in subjects if one.startswith(f"{kind}:")}


def _name(visit: Visit, people: dict[str, Account], id: str) -> str:
    if id == SYSTEM:
        return visit.say("The shop itself, or a command")
    account = people.get(id)
    if account is None or not account.email:
        return visit.say("A deleted account")
    return account.email


def _title(
    visit: Visit, entry: AuditEntry, people: dict[str, Account], products: dict[str, Product]
) -> str:
    kind, _, id = entry.subject.partition(":")
    if kind == "account":
        return _name(visit, people, id)
    if kind == "product" and id in products:
        return f"{products[id].name} ({products[id].sku})"
    return entry.label or ("" if id == SETTINGS else id)


def _address(subject: str) -> str:
    kind, _, id = subject.partition(":")
    return f"{PLACES[kind]}/{id}"


def _log(visit: Visit) -> AuditLog:
    found: AuditLog = visit.pages.shop.audit_log
    return found
