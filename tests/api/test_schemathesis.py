"""Requests made up from the document, good and bad, by everybody: answers keep what it promises.

`HYPOTHESIS_PROFILE=soak` looks for much longer and draws anew each time.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure as CheckFailure
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.shopfront import PASSWORD, PEOPLE, Seed
from tests.api.test_server import Served, served

# Made for each operation, person and kind of request; there are some hundreds of those.
EXAMPLES = max(3, settings().max_examples // 8)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# They end the session with which everything else is asked, so they come last.
LAST = ("auth_logout", "users_change_password", "users_end_session", "users_delete_own")
# Nothing listens there, and nothing leaves this machine.
NOWHERE = "http://127.0.0.1:9/hook"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, seed: Seed) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("made-up")
    shutil.copytree(seed.folder, folder, dirs_exist_ok=True)
    with served(folder, webhook_private_addresses=True, delivery_attempts=1) as server:
        yield server


@pytest.mark.parametrize("name", ["guest", *(name for name in PEOPLE if name != "bob")])
@pytest.mark.timeout(600)
def test_made_up_requests_are_answered_as_documented(server: Served, seed: Seed, name: str):
    schema = schemathesis.openapi.from_dict(server.http.get("/openapi.json").json())
    schema.config.update(base_url=str(server.http.base_url))
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    operations.sort(key=lambda one: one.definition.raw["operationId"].endswith(LAST))
    known = things_there_are(server.http, seed)
    headers = log_in(server.http, name)
    failed = []
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                try_out(operation, mode, headers, known)
            except* CheckFailure as group:
                failed.append(f"{operation.label} ({mode.value}): {told(group)}")
    assert not failed, "\n\n".join(failed)


def try_out(
    operation: Any, mode: GenerationMode, headers: dict[str, str], known: dict[str, str]
) -> None:
    """Sends made-up requests to one operation, half of them about things that there are."""
    checks = [*CHECKS, negative_data_rejection] if mode.is_negative else CHECKS

    @settings(
        max_examples=EXAMPLES,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_there=st.booleans())
    def asked(case: Any, is_there: bool) -> None:
        # An empty list is bad data to its maker, but nothing of it is sent.
        assume(all(value not in ([], {}) for value in (case.query or {}).values()))
        if is_there and mode.is_positive:
            for parameter in case.path_parameters or {}:
                case.path_parameters[parameter] = known.get(parameter, "none")
        if isinstance(case.body, dict) and "url" in case.body and mode.is_positive:
            case.body["url"] = NOWHERE
        case.call_and_validate(headers=headers, checks=checks)

    # Without any parameter there is nothing to get wrong.
    with contextlib.suppress(Unsatisfiable):
        asked()


def told(group: BaseExceptionGroup[Any]) -> str:
    """Every failure in a group, however deep, with the request that shows it."""
    parts = [
        told(one) if isinstance(one, BaseExceptionGroup) else str(one) for one in group.exceptions
    ]
    return "\n".join([*parts, *getattr(group, "__notes__", ())])


def things_there_are(http: httpx.Client, seed: Seed) -> dict[str, str]:
    """An id for each kind of path parameter that leads somewhere."""
    admin = log_in(http, "root")
    order = http.post(
        "/orders",
        json={"lines": [{"sku": "MUG", "quantity": 1}], "customer_id": seed.people["ada"].id},
        headers=admin,
    )
    endpoint = http.post("/webhooks", json={"url": NOWHERE}, headers=admin)
    return {
        "order_id": order.json()["id"],
        "endpoint_id": endpoint.json()["id"],
        "product_id": seed.products["MUG"],
        "user_id": seed.people["bob"].id,
        "location_id": "main",
    }


def log_in(http: httpx.Client, name: str) -> dict[str, str]:
    if name not in PEOPLE:
        return {}
    answer = http.post("/auth/login", json={"email": f"{name}@example.com", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}
