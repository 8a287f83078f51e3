"""The whole shop on the synthesized stacks, at the local engine: it starts with what a machine is
told, a customer's story goes through the gateway, and when the shop fails somebody is woken.

What no engine here can do, and is therefore not tried: the VPC link with TLS to the load balancer
and the load balancer itself, the machine's network and its role's policy (`test_rights.py` holds it
against the calls that the shop makes), alarms on metric math (their expressions are reckoned here
from the figures that arrived), figures made from the log by a filter, the gateway's own figures,
anomaly detection, mails.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storekeeper.telemetry.alarms import BURST, LEAST_REQUESTS
from tests.cli.terminal import eventually
from tests.deploy.lived import (
    Customer,
    Deployed,
    Machine,
    Subscriber,
    page,
    served,
)
from tests.deploy.templates import LIVED_IN
from tests.support.faulty_dynamodb import BROKEN, FaultyDynamo
from tests.support.local_engines import url

DOMAIN = "beside.example.com"
PREFIX = f"storekeeper-{LIVED_IN}-"
PASSWORD = "ridge-carbon-42"
# Of those that wake somebody: metric math, which the engine refuses.
COMPUTED = ("error-rate", "gateway-errors", "no-orders")
MUG = {
    "sku": "MUG",
    "name": "A mug",
    "price": {"amount": 950, "currency": "GBP"},
    "low_stock_threshold": 90,
}


@dataclass
class Shop:
    """An open one, and who is told of what it does."""

    at: Deployed
    machine: Machine
    dynamo: FaultyDynamo
    queues: dict[str, Subscriber] = field(default_factory=dict)
    not_made: set[str] = field(default_factory=set)

    def state(self, name: str) -> str:
        cloudwatch = self.at.aws.client("cloudwatch")
        kinds = ["MetricAlarm", "CompositeAlarm"]
        found = cloudwatch.describe_alarms(AlarmNames=[PREFIX + name], AlarmTypes=kinds)
        (alarm,) = found["MetricAlarms"] + found["CompositeAlarms"]
        return str(alarm["StateValue"])


@pytest.fixture(scope="module")
def shop(at: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("machine")
    with FaultyDynamo(url("ministack")) as dynamo, served(at, folder, dynamo) as machine:
        found = Shop(at, machine, dynamo)
        topics = {
            "orders": at.outputs["notifications"]["OrdersTopic"],
            "stock": machine.settings["STOREKEEPER_SNS_STOCK_TOPIC"],
            "operations": at.outputs["notifications"]["OperationsTopic"],
        }
        (waking,) = at.properties("monitoring", "CloudWatch::CompositeAlarm")
        (topics["pages"],) = map(at.value, waking["AlarmActions"])
        found.queues = {name: Subscriber(at.aws, topic) for name, topic in topics.items()}
        found.not_made = page(at)
        machine.command("create-admin", "boss@example.com", "--password-stdin", stdin=PASSWORD)
        with Customer(DOMAIN) as boss:
            boss.log_in("boss@example.com", PASSWORD)
            boss.did("POST", "/products", json=MUG)
            boss.did("POST", "/stock/receive", json={"sku": "MUG", "quantity": 100})
        yield found


def test_a_customer_orders_through_the_gateway_and_the_topics_tell(shop: Shop) -> None:
    with Customer(DOMAIN) as ada:
        who = {"email": "ada@example.com", "password": PASSWORD, "name": "Ada"}
        ada.did("POST", "/users", json=who)
        ada.log_in("ada@example.com", PASSWORD)
        (mug,) = ada.did("GET", "/products?q=mug&in_stock=true")["items"]
        assert mug["sku"] == "MUG"
        body = {"lines": [{"sku": "MUG", "quantity": 20}]}
        key = {"Idempotency-Key": "first"}
        order = ada.did("POST", "/orders", json=body, headers=key)
        assert ada.did("POST", "/orders", json=body, headers=key)["id"] == order["id"]
        assert ada.did("POST", f"/orders/{order['id']}/confirm")["state"] == "confirmed"
        assert ada.did("GET", f"/orders/{order['id']}")["total"]["amount"] == 20 * 950
    placed = shop.queues["orders"].gets(kind="order.confirmed")
    assert placed["data"]["order_id"] == order["id"]
    alert = shop.queues["stock"].gets(kind="stock.low")
    assert (alert["data"]["sku"], alert["data"]["available"]) == ("MUG", 80)


def test_what_is_none_of_the_customers_business_stays_behind_the_gateway(shop: Shop) -> None:
    with Customer(DOMAIN) as stranger:
        for path in ("/metrics", "/readyz", "/healthz", "/nothing"):
            assert stranger.ask("GET", path).json() == {"message": "Not Found"}
        assert stranger.ask("GET", "/orders").status_code == 401
        assert stranger.ask("GET", "/shop").status_code == 200


def figures(shop: Shop, alarm: dict[str, Any]) -> list[float]:
    """What an alarm on metric math looks at, minute by minute: its expression, of the figures that
    arrived. The engine has the figures and can't compute."""
    (expression,) = [one["Expression"] for one in alarm["Metrics"] if "Expression" in one]
    now = datetime.now(UTC)
    found = shop.at.aws.client("cloudwatch").get_metric_data(
        MetricDataQueries=[
            {"Id": one["Id"], "MetricStat": one["MetricStat"]}
            for one in alarm["Metrics"]
            if "MetricStat" in one
        ],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
    )
    results = found["MetricDataResults"]
    minutes: dict[datetime, dict[str, float]] = {}
    for one in results:
        for minute, value in zip(one["Timestamps"], one["Values"], strict=True):
            minutes.setdefault(minute, {})[one["Id"]] = value
    known: dict[str, Any] = {
        "IF": lambda wanted, value, other: value if wanted else other,
        "__builtins__": {},
    }
    whole = [values for values in minutes.values() if len(values) == len(results)]
    return [float(eval(expression, known, values)) for values in whole]


def test_failures_ring_and_wake_somebody(shop: Shop) -> None:
    (rate,) = [
        one
        for one in shop.at.properties("monitoring", "CloudWatch::Alarm")
        if one["AlarmName"] == f"{PREFIX}error-rate"
    ]
    eventually(lambda: shop.state("fault-burst") == "OK" and figures(shop, rate))
    assert max(figures(shop, rate)) == 0
    shop.dynamo.fail("PutItem", BROKEN)
    body = {"email": "bob@example.com", "lines": [{"sku": "MUG", "quantity": 1}]}
    with Customer(DOMAIN) as bob, ThreadPoolExecutor(2 * BURST) as buyers:
        tries = range(2 * LEAST_REQUESTS)
        answers = list(buyers.map(lambda _: bob.ask("POST", "/orders", json=body), tries))
    assert {one.status_code for one in answers} == {503}
    told = shop.queues["operations"].gets(AlarmName=f"{PREFIX}fault-burst", NewStateValue="ALARM")
    assert "What to do: fault-burst at https://" in told["AlarmDescription"]
    assert shop.state("fault-burst") == shop.state("wakes-somebody") == "ALARM"
    assert shop.queues["pages"].gets(AlarmName=f"{PREFIX}wakes-somebody", NewStateValue="ALARM")
    assert max(figures(shop, rate)) > rate["Threshold"]
    assert shop.not_made == {PREFIX + name for name in COMPUTED}


def test_the_shop_goes_on_when_the_store_is_back(shop: Shop) -> None:
    shop.dynamo.heal()
    body = {"email": "bob@example.com", "lines": [{"sku": "MUG", "quantity": 1}]}
    with Customer(DOMAIN) as bob:
        eventually(lambda: bob.ask("POST", "/orders", json=body).status_code == 201)
