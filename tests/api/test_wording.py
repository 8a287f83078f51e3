"""What is wrong with a request is said in words for people, with the field that it is about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from storekeeper.http.api_keys import NewApiKey
from storekeeper.http.document import operations
from storekeeper.services.catalog import ProductInput, ProductPatch
from storekeeper.services.checkout import PlaceOrder
from storekeeper.services.inventory import AdjustRequest
from storekeeper.services.locations import LocationInput
from storekeeper.services.validation import invalid_of
from tests.api.shopfront import Front

ADDRESS = {"name": "A", "line1": "1", "city": "L", "country": "GB"}
LINES = [{"sku": "A", "quantity": 1}]
PRICE = {"amount": 1, "currency": "GBP"}


@pytest.mark.parametrize(
    ("kind", "sent", "field", "words"),
    [
        (PlaceOrder, [], None, "the body must be an object, not a list"),
        (PlaceOrder, {}, "lines", "lines is missing"),
        (PlaceOrder, {"lines": []}, "lines", "lines must have at least 1 item"),
        (
            PlaceOrder,
            {"lines": [{"sku": "A"}]},
            "lines[0].quantity",
            "lines[0].quantity is missing",
        ),
        (
            PlaceOrder,
            {"lines": [{"sku": "A", "quantity": 1, "qty": 2}]},
            "lines[0].qty",
            "lines[0].qty isn't a field here; there are product_id, quantity, sku, unit_price",
        ),
        (
            PlaceOrder,
            {"lines": [{"sku": "A", "quantity": "1"}]},
            "lines[0].quantity",
            "lines[0].quantity must be a whole number, not a string",
        ),
        (
            PlaceOrder,
            {"lines": [{"sku": "A", "quantity": 1.5}]},
            "lines[0].quantity",
            "lines[0].quantity must be a whole number, without decimals",
        ),
        (
            PlaceOrder,
            {"lines": [{"sku": "A", "quantity": 0}]},
            "lines[0].quantity",
            "lines[0].quantity must be at least 1",
        ),
        (
            PlaceOrder,
            {"lines": [{"sku": " A", "quantity": 1}]},
            "lines[0].sku",
            "lines[0].sku must be one line of text without control or invisible characters, and no "
            "space at either end",
        ),
        (
            PlaceOrder,
            {"lines": LINES, "email": "nowhere"},
            "email",
            "email must be an e-mail address such as ada@example.com",
        ),
        (
            PlaceOrder,
            {"lines": LINES, "shipping_address": {**ADDRESS, "country": "gb"}},
            "shipping_address.country",
            "shipping_address.country must be a country's code of two capital letters, such as GB",
        ),
        (
            PlaceOrder,
            {"lines": LINES, "note": "x" * 2_001},
            "note",
            "note must have at most 2000 characters",
        ),
        (
            ProductPatch,
            {"status": "sold"},
            "status",
            "status must be one of active, archived",
        ),
        (
            AdjustRequest,
            {"sku": "A", "quantity": 1, "reason": "because"},
            "reason",
            "reason must be one of correction, damaged, expired, found, lost, sample, stolen",
        ),
        (
            ProductInput,
            {"sku": "A", "name": "A", "price": PRICE, "options": {"": "L"}},
            "options",
            "options has a name that must have at least 1 character",
        ),
        (
            ProductInput,
            {"sku": "A", "name": "A", "price": PRICE, "options": {"size": "a\nb"}},
            "options",
            "options has a value that must be one line of text with something to read in it, "
            "without control characters",
        ),
        (
            ProductInput,
            {"sku": "A", "name": "A", "price": PRICE, "attributes": {"a": 1}},
            "attributes",
            "attributes has a value that must be a string, not a whole number",
        ),
        (
            ProductInput,
            {"sku": "A", "name": " \u200b ", "price": PRICE},
            "name",
            "name must be one line of text with something to read in it, without control characters",
        ),
        (
            LocationInput,
            {"id": "The Attic", "name": "Attic"},
            "id",
            "id must be small letters, digits and dashes, such as shop-2",
        ),
        (
            NewApiKey,
            {"name": "x", "scopes": ["stock:read"], "expires_at": "2030-01-01T00:00:00"},
            "expires_at",
            "expires_at must be a time with its zone, such as 2026-01-31T12:00:00Z",
        ),
    ],
)
def test_a_refusal_says_what_is_allowed(kind: Any, sent: Any, field: str | None, words: str):
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(msgspec.json.encode(sent), type=kind)
    refusal = invalid_of(caught.value, kind)
    assert (refusal.field, refusal.detail) == (field, words)


async def test_every_pattern_of_the_api_has_words_for_people(front: Front):
    """Without them a refusal could only show the regular expression."""
    found = 0
    for route, method, handler, _ in operations(front.app):
        field = handler.parsed_fn_signature.parameters.get("data")
        if field is None:
            continue
        for note, info in strings_in(inspect.type_info(field.annotation)):
            if info.pattern is not None:
                found += 1
                assert (note or {}).get("form"), f"{method} {route.path}: {info.pattern}"
    assert found > 50


def strings_in(info: Any, note: Any = None) -> Iterator[tuple[Any, inspect.StrType]]:
    if isinstance(info, inspect.StrType):
        yield note, info
    for field in getattr(info, "fields", ()):
        yield from strings_in(field.type)
    for name in ("type", "item_type", "key_type", "value_type"):
        if isinstance(getattr(info, name, None), inspect.Type):
            yield from strings_in(getattr(info, name), getattr(info, "extra", None))
    for one in getattr(info, "types", ()):
        yield from strings_in(one)


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("GET", "/orders?state=lost", None),
        ("GET", "/orders?limit=0", None),
        ("GET", "/products?sort=best", None),
        ("GET", "/stock/movements?reason=because", None),
        ("GET", "/orders?placed_from=yesterday", None),
        ("GET", "/orders/" + "x" * 65, None),
        ("POST", "/stock/adjust", {"sku": "MUG", "quantity": 1, "reason": "because"}),
        ("POST", "/products", {"sku": "A\n", "name": "A", "price": PRICE}),
        ("PATCH", "/products/{mug}", {"tags": ["a,b"]}),
        ("PATCH", "/products/{mug}", {"price": {"amount": "9"}}),
        ("POST", "/api-keys", {"name": "x", "scopes": ["everything"]}),
        ("POST", "/webhooks", {"url": "ftp://example.com"}),
    ],
)
async def test_no_library_speaks_to_the_customer(
    front: Front, method: str, path: str, sent: dict[str, Any] | None
):
    address = path.format(mug=front.seed.products["MUG"])
    answer = await front.http.request(method, address, json=sent, headers=front.who("root"))
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid"), answer.text
    assert problem["field"]
    assert not re.search(r"`|regex|\^|Expected|Invalid|enum", problem["detail"]), problem["detail"]
