"""The OpenAPI document: whole, valid, readable, and the same wherever it is asked for."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from litestar.routes import HTTPRoute
from msgspec import inspect
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from storekeeper.domain.errors import catalogue
from storekeeper.http.document import operations
from storekeeper.http.examples import example_of
from storekeeper.http.openapi import Problems
from storekeeper.http.problems import Problem
from storekeeper.http.security import PUBLIC, SIGNED_IN, SIGNED_IN_OR_KEY
from tests.api.contract import Contract
from tests.api.shopfront import Front
from tests.support.processes import ROOT

KNOWN_SCOPES = re.compile(r"[a-z]+:(read|write)")


def described(front: Front) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in front.contract.document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


async def test_it_is_valid_openapi_3_1(front: Front):
    OPENAPI_31_VALIDATOR.validate(front.contract.document)


async def test_it_is_served_to_everybody(front: Front):
    answer = await front.http.get("/openapi.json")
    assert answer.json() == front.contract.document
    assert answer.headers["content-type"] == "application/json"


async def test_the_command_prints_the_same(front: Front):
    command = [sys.executable, "-m", "storekeeper", "openapi"]
    printed = await asyncio.to_thread(
        subprocess.run, command, check=True, cwd=ROOT, capture_output=True
    )
    assert json.loads(printed.stdout) == front.contract.document


async def test_every_reference_leads_somewhere(front: Front):
    document = front.contract.document
    for reference in set(re.findall(r'"#/([^"]+)"', msgspec.json.encode(document).decode())):
        found: Any = document
        for part in reference.split("/"):
            found = found[part]


async def test_every_route_says_who_may_call_it(front: Front):
    for route in front.app.routes:
        assert isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items():
            if method == "OPTIONS":
                continue
            access = handler.opt.get("access")
            wanted = access if isinstance(access, tuple) else (access,)
            for one in wanted:
                known = one in (PUBLIC, SIGNED_IN, SIGNED_IN_OR_KEY) or KNOWN_SCOPES.fullmatch(one)
                assert known, f"{method} {route.path} says access={access!r}"


async def test_every_route_names_its_problems(front: Front):
    for route, method, handler, _ in operations(front.app):
        kinds = [s for s in (handler.responses or {}).values() if isinstance(s, Problems)]
        assert kinds, f"{method} {route.path} names no problems"


async def test_every_operation_is_described(front: Front):
    tags = {tag["name"] for tag in front.contract.document["tags"]}
    for name, operation in described(front):
        for member in ("summary", "description", "operationId"):
            assert operation[member], f"{name} has no {member}"
        assert set(operation["tags"]) <= tags, f"{name} has a tag that nobody describes"
        assert operation["security"], f"{name} says nothing of security"
        for parameter in operation["parameters"]:
            assert parameter["description"], f"{name}: {parameter['name']} is not described"
        body = operation.get("requestBody", {"content": {}})
        for media, content in body["content"].items():
            if media.endswith("json"):
                assert "example" in content, f"{name}: its body has no example"
        for status in ("400", "401", "422", "429", "503"):
            assert status in operation["responses"], f"{name} hides that it may answer {status}"


async def test_what_needs_a_right_says_so(front: Front):
    for name, operation in described(front):
        if {} not in operation["security"]:
            assert {"401", "403"} <= set(operation["responses"]), name


async def test_operations_have_names_that_stay(front: Front):
    ids = [operation["operationId"] for _, operation in described(front)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", one) for one in ids)
    assert {"orders_place", "orders_confirm", "products_list", "users_register"} <= set(ids)


async def test_every_problem_has_an_example_with_the_right_status(front: Front):
    document = front.contract.document
    statuses = {kind.code: kind.status for kind in catalogue()}
    schema = document["components"]["schemas"]["Problem"]
    for code, example in document["components"]["examples"].items():
        assert example["value"]["status"] == statuses[code]
        front.contract.conforms(schema, example["value"], code)
    for name, operation in described(front):
        for status, answer in operation["responses"].items():
            problem = answer.get("content", {}).get("application/problem+json", {})
            for code in problem.get("examples", ()):
                assert statuses[code] == int(status), f"{name}: {code} is no {status}"


async def test_every_member_of_a_problem_is_documented():
    names = {kind.__name__ for kind in catalogue()}
    known = {field.name for field in msgspec.structs.fields(Problem)}
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            if (
                isinstance(node, ast.Call)
                and getattr(called, "attr", getattr(called, "id", "")) in names
            ):
                members = {keyword.arg for keyword in node.keywords if keyword.arg}
                assert members <= known, f"{path.name}: {members - known}"


async def test_every_example_is_one_that_its_type_takes(front: Front):
    for route, method, handler, _ in operations(front.app):
        field = handler.parsed_fn_signature.parameters.get("data")
        kinds = [field.annotation] if field else []
        returned = handler.parsed_fn_signature.return_type
        kinds += [kind for kind in returned.args if kind is not bytes]
        for kind in kinds:
            example = example_of(kind)
            try:
                msgspec.json.decode(msgspec.json.encode(example), type=kind)
            except msgspec.ValidationError as error:
                pytest.fail(f"{method} {route.path}: {example} is no {kind}: {error}")


async def test_no_type_that_is_sent_takes_unknown_fields(front: Front):
    """A misspelt field would otherwise be passed over in silence."""
    for route, method, handler, _ in operations(front.app):
        field = handler.parsed_fn_signature.parameters.get("data")
        if field is not None:
            for struct in structs_in(inspect.type_info(field.annotation)):
                assert struct.forbid_unknown_fields, f"{method} {route.path}: {struct.cls}"


def structs_in(info: Any) -> Iterator[inspect.StructType]:
    if isinstance(info, inspect.StructType):
        yield info
        for field in info.fields:
            yield from structs_in(field.type)
    for name in ("type", "item_type", "value_type"):
        if isinstance(getattr(info, name, None), inspect.Type):
            yield from structs_in(getattr(info, name))
    for one in getattr(info, "types", ()):
        yield from structs_in(one)


async def test_limits_of_the_types_are_in_it(front: Front):
    schemas = front.contract.document["components"]["schemas"]
    lines = schemas["PlaceOrder"]["properties"]["lines"]
    assert (lines["minItems"], lines["maxItems"]) == (1, 5_000)
    assert schemas["PlaceOrder"]["additionalProperties"] is False
    assert schemas["LineRequest"]["properties"]["quantity"]["minimum"] == 1
    assert schemas["OrderView"]["properties"]["placed_at"]["format"] == "date-time"
    assert set(schemas["OrderView"]["required"]) == set(schemas["OrderView"]["properties"])


async def test_the_contract_would_notice_a_lie(front: Front):
    """The checks of every other test in this folder rest on this one."""
    document = msgspec.json.decode(msgspec.json.encode(front.contract.document))
    del document["paths"]["/orders"]["post"]["responses"]["201"]
    document["components"]["schemas"]["Health"]["properties"]["status"] = {"type": "integer"}
    strict = Contract(document)
    order = await front.place("ada")
    with pytest.raises(AssertionError, match="documented nowhere"):
        strict.check(order.request, order)
    health = await front.http.get("/healthz")
    with pytest.raises(AssertionError, match="breaks its schema"):
        strict.check(health.request, health)


async def test_whoever_sends_an_example_is_understood(front: Front):
    """What the document shows is the first thing that people send."""
    misunderstood = []
    for name, operation in described(front):
        body = operation.get("requestBody", {"content": {}})["content"]
        if "application/json" not in body or operation["operationId"].startswith("auth_"):
            continue
        method, path = name.split(" ")
        example = body["application/json"]["example"]
        address = re.sub(r"\{[^}]+\}", front.seed.products["MUG"], path)
        answer = await front.http.request(method, address, json=example, headers=front.who("root"))
        problem = answer.json() if answer.status_code >= 400 else {}
        is_about_an_id = "there is no" in problem.get("detail", "")
        if answer.status_code in (400, 415, 422) and not is_about_an_id:
            misunderstood.append(f"{name}: {problem}")
    assert not misunderstood
