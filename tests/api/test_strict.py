"""What is sent wrongly is refused with a problem that says what and where; it never breaks us."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.api.shopfront import Front, Seed, front_at, in_one_task

# One shop for the whole module: nothing here depends on what came before.
pytestmark = pytest.mark.asyncio(loop_scope="module")
GOOD = {"lines": [{"sku": "MUG", "quantity": 1}]}
JSON = {"Content-Type": "application/json"}
# name: body, headers, status, code, field
PLACINGS: dict[str, tuple[Any, dict[str, str], int, str | None, str | None]] = {
    "good": (GOOD, {}, 201, None, None),
    "good, by id": ({"lines": [{"product_id": "?", "quantity": 1}]}, {}, 201, None, None),
    "good, with charset": (GOOD, {"Content-Type": "Application/JSON; charset=utf-8"}, 201, None, None),
    "unknown field": ({**GOOD, "colour": "red"}, {}, 422, "invalid", "colour"),
    "an odd unknown field": ({**GOOD, "a`b": 1}, {}, 422, "invalid", "a`b"),
    "unknown field of a line": (
        {"lines": [{"sku": "MUG", "quantity": 1, "qty": 2}]}, {}, 422, "invalid", "lines[0].qty",
    ),
    "unknown field of the address": (
        {**GOOD, "shipping_address": {"name": "A", "line1": "1", "city": "L", "country": "GB", "planet": "E"}},
        {}, 422, "invalid", "shipping_address.planet",
    ),
    "no country at all": (
        {**GOOD, "shipping_address": {"name": "A", "line1": "1", "city": "L"}},
        {}, 422, "invalid", "shipping_address.country",
    ),
    "a country that is none": (
        {**GOOD, "shipping_address": {"name": "A", "line1": "1", "city": "L", "country": "ZZ"}},
        {}, 422, "invalid", "shipping_address.country",
    ),
    "Kosovo, which has no assigned code": (
        {**GOOD, "shipping_address": {"name": "A", "line1": "1", "city": "L", "country": "XK"}},
        {}, 201, None, None,
    ),
    "string for a number": (
        {"lines": [{"sku": "MUG", "quantity": "1"}]}, {}, 422, "invalid", "lines[0].quantity",
    ),
    "float for a number": (
        {"lines": [{"sku": "MUG", "quantity": 1.5}]}, {}, 422, "invalid", "lines[0].quantity",
    ),
    "bool for a number": (
        {"lines": [{"sku": "MUG", "quantity": True}]}, {}, 422, "invalid", "lines[0].quantity",
    ),
    "number for a string": (
        {"lines": [{"sku": 1, "quantity": 1}]}, {}, 422, "invalid", "lines[0].sku",
    ),
    "string for a bool": ({**GOOD, "confirm": "true"}, {}, 422, "invalid", "confirm"),
    "no units": ({"lines": [{"sku": "MUG", "quantity": 0}]}, {}, 422, "invalid", "lines[0].quantity"),
    "too many units": (
        {"lines": [{"sku": "MUG", "quantity": 10**8}]}, {}, 422, "invalid", "lines[0].quantity",
    ),
    "a number past 64 bits": (
        {"lines": [{"sku": "MUG", "quantity": 10**40}]}, {}, 422, "invalid", "lines[0].quantity",
    ),
    "no lines": ({"lines": []}, {}, 422, "invalid", "lines"),
    "lines missing": ({"note": "x"}, {}, 422, "invalid", "lines"),
    "quantity missing": ({"lines": [{"sku": "MUG"}]}, {}, 422, "invalid", "lines[0].quantity"),
    "neither product nor SKU": ({"lines": [{"quantity": 1}]}, {}, 422, "invalid", "lines[0]"),
    "no such SKU": ({"lines": [{"sku": "NONE", "quantity": 1}]}, {}, 422, "invalid", "lines[0]"),
    "a SKU with a line break": (
        {"lines": [{"sku": "MUG\n", "quantity": 1}]}, {}, 422, "invalid", "lines[0].sku",
    ),
    "a list": ([], {}, 422, "invalid", None),
    "null": (None, {}, 422, "invalid", None),
    "NUL in the note": ({**GOOD, "note": "a\x00b"}, {}, 422, "invalid", "note"),
    "NUL in the address": (
        {**GOOD, "shipping_address": {"name": "A", "line1": "1", "city": "L", "country": "GB", "phone": "\x00"}},
        {}, 422, "invalid", "shipping_address.phone",
    ),
    "a currency that is none": (
        {**GOOD, "expected_total": {"amount": 999, "currency": "XXX"}},
        {}, 422, "invalid", "expected_total.currency",
    ),
    "no body": (b"", {}, 400, "malformed", None),
    "no JSON": (b"lines=MUG", {}, 400, "malformed", None),
    "half of it": (b'{"lines": [', {}, 400, "malformed", None),
    "more after it": (b'{"lines": []} x', {}, 422, "invalid", "lines"),
    "a lone surrogate": (b'{"lines":[{"sku":"MUG","quantity":1}],"note":"\\ud800"}', {}, 400, "malformed", None),
    "no UTF-8": (b'{"lines":[{"sku":"M\xff","quantity":1}]}', {}, 400, "malformed", None),
    "UTF-16": (json.dumps(GOOD).encode("utf-16"), {}, 400, "malformed", None),
    "nested too deeply": (b'{"lines":' + b"[" * 100_000 + b"]" * 100_000 + b"}", {}, 422, "invalid", "lines[0]"),
    "another type": (b"<order/>", {"Content-Type": "application/xml"}, 415, "unsupported_media_type", None),
    "a form": (b"sku=MUG", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type", None),
    "almost the type": (GOOD, {"Content-Type": "application/jsonp"}, 415, "unsupported_media_type", None),
    "too large": (b'{"note":"' + b"x" * 2_200_000 + b'"}', {}, 413, "payload_too_large", None),
    "an empty key": (GOOD, {"Idempotency-Key": ""}, 422, "invalid", "Idempotency-Key"),
    "a key too long": (GOOD, {"Idempotency-Key": "k" * 256}, 422, "invalid", "Idempotency-Key"),
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory, seed: Seed) -> AsyncIterator[Front]:
    async with in_one_task(front_at(tmp_path_factory.mktemp("strict"), seed)) as front:
        yield front


def without_ids(answer: httpx.Response) -> Any:
    """What two orders or two problems of the same kind have in common."""
    body = answer.json()
    if answer.status_code == 201:
        return (body["state"], body["total"], body["lines"], body["version"])
    return {name: value for name, value in body.items() if name != "request_id"}


@pytest.mark.parametrize("name", PLACINGS)
async def test_placing_answers_the_same_by_both_ways(front: Front, name: str):
    """`/orders` is answered before the router, `/orders/` by it; nobody should see a difference."""
    body, headers, status, code, field = PLACINGS[name]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    content = content.replace(b'"?"', f'"{front.seed.products["MUG"]}"'.encode())
    answers = [
        await front.http.post(path, content=content, headers=JSON | front.who("ada") | headers)
        for path in ("/orders", "/orders/")
    ]
    for answer in answers:
        assert answer.status_code == status, answer.text[:500]
        if code is not None:
            assert (answer.json()["code"], answer.json().get("field")) == (code, field)
    assert without_ids(answers[0]) == without_ids(answers[1])
    ignored = {"x-request-id", "location", "content-length"}
    express, routed = ({k: v for k, v in a.headers.items() if k not in ignored} for a in answers)
    assert express == routed


@pytest.mark.parametrize("path", ["/orders", "/orders/"])
async def test_placing_by_both_ways_refuses_what_comes_twice_or_is_unknown(front: Front, path: str):
    headers = JSON | front.who("ada")
    twice = [*headers.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await front.http.post(path, json=GOOD, headers=twice)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    answer = await front.http.post(f"{path}?dry_run=1", json=GOOD, headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (422, "dry_run")


@pytest.mark.parametrize("path", ["/orders", "/orders/"])
async def test_a_token_that_is_none_is_told_before_anything_else(front: Front, path: str):
    for given in ("Bearer nonsense", "Basic YTpi", "Bearer ", "x", "Bearer sk_nonsense"):
        answer = await front.http.post(path, content=b"x", headers={"Authorization": given})
        assert answer.status_code == 401, given
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_two_credentials_are_none(front: Front):
    headers = [*front.who("ada").items(), *front.who("root").items()]
    for path in ("/orders", "/users/me"):
        answer = await front.http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("limit=99999999999999999999999", "limit"),
        ("limit=1e2", "limit"),
        ("limit=5.0", "limit"),
        ("limit=%2B5", "limit"),
        ("limit=1_0", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=%205", "limit"),
        ("placed_from=1700000000", "placed_from"),
        ("placed_from=1.7e9", "placed_from"),
        ("state=lost", "state"),
        ("state=null", "state"),
        ("state=", "state"),
        ("placed_from=yesterday", "placed_from"),
        ("placed_from=2030-01-01T00:00:00", "placed_from"),
        ("placed_from=2030-01-01", "placed_from"),
        ("placed_before=2030-02-30T00:00:00Z", "placed_before"),
        ("placed_from=0001-01-01T00:00:00%2B14:00", "placed_from"),
        ("placed_before=9999-12-31T23:59:59-14:00", "placed_before"),
        ("cursor=nonsense", "cursor"),
        ("cursor=" + "x" * 1_001, "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=%ff", "cursor"),
        ("customer_id=" + "x" * 65, "customer_id"),
        ("colour=red", "colour"),
        ("Limit=10", "Limit"),
        ("limit[]=1", "limit[]"),
        ("%00=1", "\x00"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused_with_its_name(
    front: Front, query: str, field: str
):
    answer = await front.http.get(f"/orders?{query}", headers=front.who("sam"))
    assert answer.status_code == 422, answer.text
    assert (answer.json()["code"], answer.json()["field"]) == ("invalid", field)


@pytest.mark.parametrize("value", ["1", "0", "yes", "True", "TRUE", "on", "t", ""])
async def test_true_and_false_are_spelled_in_one_way(front: Front, value: str):
    answer = await front.http.get("/products", params={"in_stock": value})
    assert (answer.status_code, answer.json()["field"]) == (422, "in_stock")
    for good in ("true", "false"):
        assert (await front.http.get(f"/products?in_stock={good}")).status_code == 200


@pytest.mark.parametrize(
    "query", ["", "&", "limit=5&", "sku=%F0%9F%8D%BA", "number=O0-%20I1", "sku=%00", "sku=null"]
)
async def test_an_odd_query_is_no_error(front: Front, query: str):
    answer = await front.http.get(f"/orders?{query}", headers=front.who("sam"))
    assert answer.status_code == 200


@pytest.mark.parametrize("tag", ["", "abc", '"-1"', '"1', "1,2", '"99999999999999999"', "٣"])
async def test_an_if_match_that_is_none_is_refused(front: Front, tag: str):
    order = await front.placed("ada")
    answer = await front.http.post(
        f"/orders/{order['id']}/cancel",
        headers=httpx.Headers(front.who("ada") | {"If-Match": tag}, encoding="utf-8"),
    )
    assert (answer.status_code, answer.json().get("field")) == (422, "If-Match")


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/orders/%00",
        "/orders/..%2f..%2fetc%2fpasswd",
        "/orders/%ff%fe",
        "/orders/%2e%2e",
        "/orders/" + "x" * 64,
        "/orders/'; drop table orders; --",
        "/orders/%F0%9F%8D%BA",
        "/orders/{order_id}",
        "//orders//nothing//at//all",
    ],
)
async def test_an_address_that_leads_nowhere_is_404(front: Front, path: str):
    answer = await front.http.get(path, headers=front.who("sam"))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_an_id_longer_than_any_is_refused(front: Front):
    answer = await front.http.get("/orders/" + "x" * 65, headers=front.who("sam"))
    assert (answer.status_code, answer.json()["field"]) == (422, "order_id")


async def test_slashes_at_the_end_make_no_difference(front: Front):
    order = await front.placed("ada")
    for path in (f"/orders/{order['id']}", f"/orders/{order['id']}/"):
        answer = await front.http.get(path, headers=front.who("ada"))
        assert answer.json()["id"] == order["id"]


@pytest.mark.parametrize(
    "path", ["/auth/login/", "//auth/login", "/auth//login", "/auth/%6Cogin", "/auth/login%2F"]
)
async def test_what_is_held_back_by_its_address_has_one_only(front: Front, path: str):
    # The gateway counts `/auth/login`; who guesses passwords would send them past it.
    sent = {"email": "a@example.com", "password": "not the password"}
    assert (await front.http.post("/auth/login", json=sent)).status_code in (401, 429)
    refused = await front.http.post(
        httpx.URL(scheme="http", host="shop", raw_path=path.encode()), json=sent
    )
    assert refused.status_code == 404
    assert "/auth/login" in refused.json()["detail"]


async def test_another_method_is_405_and_says_which_there_are(front: Front):
    for method, path, allowed in (
        ("DELETE", "/orders", "GET, HEAD, OPTIONS, POST"),
        ("PUT", "/healthz", "GET, HEAD, OPTIONS"),
        ("PURGE", "/orders", "GET, HEAD, OPTIONS, POST"),
    ):
        answer = await front.http.request(method, path, headers=front.who("ada"))
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert answer.json()["code"] == "method_not_allowed"


async def test_options_tells_the_methods(front: Front):
    answer = await front.http.options("/orders")
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")


async def test_head_is_get_without_the_body(front: Front):
    for path, headers in (("/orders", front.who("sam")), ("/healthz", {}), ("/nothing", {})):
        full = await front.http.get(path, headers=headers)
        head = await front.http.head(path, headers=headers)
        assert (head.status_code, head.content) == (full.status_code, b"")
        for name in ("content-type", "content-length"):
            assert head.headers[name] == full.headers[name]


async def test_a_body_may_be_left_out_where_it_is_optional(front: Front):
    for content in (b"", b"null", b"{}"):
        order = await front.placed("ada")
        answer = await front.http.post(
            f"/orders/{order['id']}/cancel", content=content, headers=front.who("ada") | JSON
        )
        assert answer.json()["state"] == "cancelled"


async def test_a_body_that_is_needed_is_asked_for(front: Front):
    answer = await front.http.post("/auth/login")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


@pytest.mark.parametrize("given", ["mine-123", "x" * 128])
async def test_a_request_id_comes_back(front: Front, given: str):
    answer = await front.http.get("/orders", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == given


@pytest.mark.parametrize("given", [b"", b"x" * 129, b"a b", b"\xff", b'a"\x7f'])
async def test_a_request_id_that_could_do_harm_is_replaced(front: Front, given: bytes):
    answer = await front.http.get("/orders", headers={b"X-Request-ID": given})
    assert answer.headers["x-request-id"].encode("latin-1") != given
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
