"""A server that is killed under load: whoever was told "placed" must find the order afterwards."""

from __future__ import annotations

import pytest

from benchmarks.proof import Findings, prove
from tests.support.scratch import on_disk

ROUNDS = 3


@pytest.fixture(scope="module")
def findings() -> Findings:
    """Real server processes, real sockets, real kills; fifty of them are in `make bench`."""
    with on_disk() as folder:
        return prove(folder / "shop.db", ROUNDS)


def test_given_kills_under_load_then_there_was_something_to_lose(findings: Findings) -> None:
    assert findings.kills == ROUNDS
    assert findings.acknowledged > ROUNDS
    assert findings.retried > 0


def test_given_kills_under_load_then_no_acknowledged_order_is_lost(findings: Findings) -> None:
    assert findings.lost == 0


def test_given_retries_after_kills_then_no_order_is_made_twice(findings: Findings) -> None:
    assert findings.doubled == 0
    assert findings.changed == 0


def test_given_kills_under_load_then_stock_agrees_with_ledger_and_orders(
    findings: Findings,
) -> None:
    assert findings.differences == 0


def test_given_kills_under_load_then_every_event_reaches_its_receiver(findings: Findings) -> None:
    assert findings.events > findings.acknowledged
    assert findings.untold == 0
    assert findings.behind == 0
