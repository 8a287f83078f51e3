"""`init` makes topics and says so; a shop with a wrong topic doesn't open and says why."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.terminal import Terminal
from tests.support.local_engines import url, use_local_credentials


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    use_local_credentials(monkeypatch)
    return Terminal(tmp_path)


@pytest.mark.parametrize("name", ["ministack", "moto"])
def test_topics_that_are_named_and_missing_are_made_once(terminal: Terminal, name: str) -> None:
    orders, stock = f"orders-{uuid4().hex}.fifo", f"stock-{uuid4().hex}"
    settings = {
        "STOREKEEPER_AWS_ENDPOINT_URL": url(name),  # type: ignore[arg-type]
        "STOREKEEPER_SNS_ORDERS_TOPIC": orders,
        "STOREKEEPER_SNS_STOCK_TOPIC": stock,
    }
    refused = terminal.run("serve", "--port", "0", **settings)
    assert refused.code == 2
    assert refused.err.startswith(
        f"storekeeper: sns_orders_topic = '{orders}' can't be used: there is no topic {orders}"
    )
    assert len(refused.err.splitlines()) == 1
    first = terminal.ok("init", "--json", **settings)
    made = first.json["done"]
    assert [sentence.partition(": arn:")[0] for sentence in made] == [
        f"made the topic {orders} for order events",
        f"made the topic {stock} for stock alerts",
    ]
    assert all(sentence in first.err for sentence in made)
    assert terminal.ok("init", "--json", **settings).json["done"] == []
    arn = made[1].partition(": ")[2]
    by_arn = {**settings, "STOREKEEPER_SNS_STOCK_TOPIC": arn}
    assert terminal.ok("init", "--json", **by_arn).json["done"] == []


def test_a_topic_given_by_its_arn_is_never_made(terminal: Terminal) -> None:
    arn = f"arn:aws:sns:eu-west-1:000000000000:orders-{uuid4().hex}"
    refused = terminal.run(
        "init",
        STOREKEEPER_AWS_ENDPOINT_URL=url("ministack"),
        STOREKEEPER_SNS_ORDERS_TOPIC=arn,
    )
    assert refused.code == 2
    assert f"there is no topic {arn}" in refused.err
    assert not (terminal.folder / "data").exists()


@pytest.mark.parametrize("command", [("init",), ("serve", "--port", "0")], ids=["init", "serve"])
def test_an_endpoint_that_is_not_sns_is_named(terminal: Terminal, command: tuple[str, ...]) -> None:
    refused = terminal.run(
        *command,
        STOREKEEPER_AWS_ENDPOINT_URL=url("dynamodb"),
        STOREKEEPER_SNS_ORDERS_TOPIC=f"orders-{uuid4().hex}",
    )
    assert refused.code == 2
    (sentence,) = refused.err.splitlines()
    assert "what answers there isn't SNS; check STOREKEEPER_AWS_ENDPOINT_URL" in sentence
