"""Who changed a price, gave a right away or took one: told with the change itself, to admins alone."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import timedelta
from typing import Any

import pytest

from storekeeper.domain.audit import AuditEntry
from tests.api.shopfront import Front, Seed

NEW = {"sku": "BOWL", "name": "A bowl", "price": {"amount": 1_200, "currency": "GBP"}}
GOODS = "sku,name,price,currency\nBOWL,A bowl,12.00,GBP\nMUG,The mug,10.99,GBP\n"


@pytest.fixture
def seed(seed_of_each_store: Seed) -> Seed:
    return seed_of_each_store


async def root(front: Front, method: str, path: str, body: Any = None, **headers: str) -> Any:
    answer = await front.http.request(
        method, path, json=body, headers={**front.who("root"), **headers}
    )
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


async def log(front: Front, **filters: Any) -> list[dict[str, Any]]:
    """Entries that were made since the shop was seeded, the oldest first."""
    answer = await front.http.get(
        "/audit", params={"limit": 200, **filters}, headers=front.who("root")
    )
    assert answer.status_code == 200, answer.text
    return [one for one in reversed(answer.json()["items"]) if one["by"] != "system"]


def changes(entry: dict[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    return {one["field"]: (one["before"], one["after"]) for one in entry["fields"]}


async def test_a_products_life_is_told_with_before_and_after(front: Front):
    made = await root(front, "POST", "/products", NEW)
    path = f"/products/{made['id']}"
    price = {"price": {"amount": 900, "currency": "GBP"}}
    await root(front, "PATCH", path, price)
    await root(front, "PATCH", path, price)  # as it was: nothing to tell
    await root(front, "PATCH", path, {"status": "archived"})
    await root(front, "DELETE", path)
    told = await log(front, subject=f"product:{made['id']}")
    assert [one["action"] for one in told] == [
        "product.created",
        "product.changed",
        "product.archived",
        "product.deleted",
    ]
    assert {one["by"] for one in told} == {f"admin:{front.seed.people['root'].id}"}
    assert {one["label"] for one in told} == {"BOWL"}
    assert changes(told[0])["name"] == (None, "A bowl")
    (changed,) = changes(told[1]).values()
    assert changed[0] != changed[1]
    assert "12" in str(changed[0])
    assert "9" in str(changed[1])
    assert changes(told[2]) == {"status": ("active", "archived")}
    assert changes(told[3])["name"] == ("A bowl", None)


async def test_a_change_that_was_refused_and_an_order_leave_nothing(front: Front):
    before = await log(front)
    mug = f"/products/{front.seed.products['MUG']}"
    refused = await front.http.patch(
        mug, json={"name": "Mine"}, headers={**front.who("root"), "If-Match": '"99"'}
    )
    assert refused.status_code == 412
    order = await front.placed("ada", ("MUG", 2), confirm=True)
    await root(front, "POST", f"/orders/{order['id']}/cancel", {})
    assert await log(front) == before


async def test_rights_are_told_and_no_secret_is(front: Front):
    bob = front.seed.people["bob"].id
    await root(front, "PATCH", f"/users/{bob}", {"role": "staff"})
    key = await root(front, "POST", "/api-keys", {"name": "till", "scopes": ["orders:read"]})
    hook = await root(front, "POST", "/webhooks", {"url": "https://hooks.example/a/secret?token=x"})
    await root(front, "DELETE", f"/api-keys/{key['id']}")
    told = await log(front, by=front.seed.people["root"].id)
    assert told == await log(front, by=told[0]["by"])
    assert [one["action"] for one in told] == [
        "account.role_changed",
        "api_key.created",
        "webhook.created",
        "api_key.revoked",
    ]
    assert changes(told[0])["role"] == ("customer", "staff")
    said = str(told)
    for secret in (key["key"], hook["secret"], "/a/secret", "token=x", "bob@example.com"):
        assert secret not in said


async def test_what_a_key_did_names_the_key(front: Front):
    key = await root(front, "POST", "/api-keys", {"name": "erp", "scopes": ["products:write"]})
    made = await front.http.post(
        "/products", json=NEW, headers={"Authorization": f"Bearer {key['key']}"}
    )
    assert made.status_code == 201
    (told,) = await log(front, subject=f"product:{made.json()['id']}")
    assert told["api_key"] == key["id"]


async def test_an_import_is_one_line_and_each_product_has_its_own(front: Front):
    answer = await front.http.post(
        "/products/import",
        content=GOODS,
        headers={**front.who("root"), "Content-Type": "text/csv"},
    )
    assert answer.status_code == 202, answer.text
    path = f"/jobs/{answer.json()['id']}"
    async with asyncio.timeout(30):
        while (await root(front, "GET", path))["state"] not in ("done", "failed"):
            await asyncio.sleep(0.01)
    (summary,) = await log(front, action="products.imported")
    assert (changes(summary)["created"], changes(summary)["updated"]) == (
        (None, "1"),
        (None, "1"),
    )
    (mug,) = await log(front, subject=f"product:{front.seed.products['MUG']}")
    assert (mug["action"], mug["reference"]) == ("product.changed", summary["subject"])
    exported = await front.http.get(
        "/audit/export", params={"action": "product.changed"}, headers=front.who("root")
    )
    rows = list(csv.DictReader(io.StringIO(exported.text)))
    assert {row["label"] for row in rows} == {"MUG"}
    assert set(changes(mug)) == {row["field"] for row in rows}


async def test_the_log_is_paged_and_its_filters_go_together(front: Front):
    for price in range(5):
        await root(
            front,
            "PATCH",
            f"/products/{front.seed.products['MUG']}",
            {"price": {"amount": 100 + price, "currency": "GBP"}},
        )
    await root(front, "PATCH", f"/products/{front.seed.products['LAMP']}", {"name": "A lamp"})
    asked: dict[str, Any] = {
        "subject": f"product:{front.seed.products['MUG']}",
        "by": front.seed.people["root"].id,
        "action": "product.changed",
        "limit": 2,
    }
    seen: list[str] = []
    while True:
        answer = await front.http.get("/audit", params=asked, headers=front.who("root"))
        page = answer.json()
        seen += [one["id"] for one in page["items"]]
        if not page.get("next"):
            break
        asked["cursor"] = page["next"]
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, reverse=True)


async def test_the_log_is_kept_for_three_years(front: Front):
    await root(front, "PATCH", f"/products/{front.seed.products['MUG']}", {"name": "Old"})
    store, made_at = front.shop.store, front.clock()

    async def kept() -> int:
        page = await store.list_all(AuditEntry, limit=200)
        return sum(one.by != "system" for one in page.items)

    async def purged(days: int) -> int:
        while await store.purge(made_at + timedelta(days=days), 500):
            continue
        return await kept()

    assert (await purged(1_095), await purged(1_097)) == (1, 0)
