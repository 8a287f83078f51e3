"""Reports over HTTP: what a bookkeeper's program asks for, page by page and as a file."""

from __future__ import annotations

import csv
import io

import pytest

from tests.api.shopfront import Front


async def a_week_of_sales(front: Front) -> None:
    for _ in range(2):
        await front.place("ada", confirm=True)
    await front.place("ada")


async def test_sales_and_summary_agree_and_money_names_its_currency(front: Front):
    await a_week_of_sales(front)
    root = front.who("root")
    summary = (await front.http.get("/reports/summary", headers=root)).json()
    assert summary["orders"] == {"confirmed": 2, "pending": 1}
    assert summary["sold_orders"] == 2
    for by in ("day", "week", "month", "product", "category", "customer"):
        answer = await front.http.get("/reports/sales", params={"by": by}, headers=root)
        rows = answer.json()["items"]
        assert sum(row["units"] for row in rows) == summary["sold_units"], by
        assert [
            {"amount": sum(row["revenue"]["amount"] for row in rows), "currency": "GBP"}
        ] == summary["revenue"], by


async def test_pages_lead_through_all_rows(front: Front):
    for sku in ("MUG", "LAMP"):
        await front.place("ada", (sku, 1), confirm=True)
    root = front.who("root")
    address = "/reports/sales?by=product&limit=1&from=2000-01-01T00:00:00Z"
    found = []
    while address:
        answer = await front.http.get(address, headers=root)
        found += [row["sku"] for row in answer.json()["items"]]
        assert len(answer.json()["items"]) <= 1
        address = answer.links.get("next", {}).get("url", "")
    assert sorted(found) == ["LAMP", "MUG"]


@pytest.mark.parametrize("path", ["sales", "stock-value"])
async def test_the_export_says_what_the_pages_say(front: Front, path: str):
    await a_week_of_sales(front)
    root = front.who("root")
    rows = (await front.http.get(f"/reports/{path}", headers=root)).json()["items"]
    answer = await front.http.get(f"/reports/{path}/export", headers=root)
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    exported = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["key"] for row in exported] == [row["key"] for row in rows]
    money = "revenue" if path == "sales" else "value"
    assert [round(float(row[money]) * 100) for row in exported] == [
        row[money]["amount"] for row in rows
    ]
    assert rows, "a shop with sales and stock"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("by=year", "by"),
        ("from=2026-01-01", "from"),
        ("from=2026-01-01T00:00:00", "from"),
        ("from=2026-02-01T00:00:00Z&before=2026-01-01T00:00:00Z", "before"),
        ("limit=0", "limit"),
        ("cursor=nonsense", "cursor"),
        ("placed_from=2026-01-01T00:00:00Z", "placed_from"),
    ],
)
async def test_a_wrong_question_is_told_by_its_field(front: Front, query: str, field: str):
    answer = await front.http.get(f"/reports/sales?{query}", headers=front.who("root"))
    assert (answer.status_code, answer.json()["field"]) == (422, field)


@pytest.mark.parametrize(("scopes", "status"), [(["reports:read"], 200), (["orders:read"], 403)])
async def test_a_key_that_may_read_reports_reads_them_and_no_other(
    front: Front, scopes: list[str], status: int
):
    made = await front.http.post(
        "/api-keys", json={"name": "books", "scopes": scopes}, headers=front.who("root")
    )
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    for path in ("summary", "sales", "sales/export", "stock-value", "stock-value/export"):
        answer = await front.http.get(f"/reports/{path}", headers=key)
        assert answer.status_code == status, path
