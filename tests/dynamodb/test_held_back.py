"""What a customer is told while the client holds requests back because DynamoDB asked for fewer."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from storekeeper.store.dynamodb.remote import HELD_BACK_S, _Way


def answered(code: str) -> tuple[SimpleNamespace, dict[str, dict[str, str]]]:
    return SimpleNamespace(status_code=400), {"Error": {"Code": code}}


@pytest.mark.parametrize(
    ("code", "after_s", "is_throttled"),
    [
        ("ThrottlingException", 5.0, True),
        ("ThrottlingException", HELD_BACK_S + 1, False),
        ("ValidationException", 0.0, False),
    ],
    ids=["held back", "long over", "another error"],
)
def test_a_call_that_waited_for_the_client_itself_is_told_to_come_back(
    code: str, after_s: float, is_throttled: bool
) -> None:
    """Told that the network is broken, an operator would look for what isn't there."""
    way = _Way()
    way.note(answered(code))
    assert way.is_throttled(time.monotonic() + after_s) is is_throttled
