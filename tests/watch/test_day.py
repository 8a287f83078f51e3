"""A day in the life of a watched shop: served for real, failing for real, on a local engine.

Without this an operator would learn from customers that the shop fails.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from storekeeper.telemetry.alarms import BURST, FAULTS, alarms
from storekeeper.telemetry.cloudwatch.reading import unit_of
from tests.cli.terminal import Served, Terminal, eventually
from tests.support.local_engines import url
from tests.support.processes import ROOT
from tests.watch.aws import Arrived, a_namespace, client
from tools.engines.launch import CREDENTIALS, free_port

PASSWORD = "ridge-carbon-42"
FAULT_BURST = "storekeeper-fault-burst"
QUERIES = re.findall(r"```insights\n(.*?)```", (ROOT / "docs/cloudwatch.md").read_text(), re.DOTALL)
AGENT = json.loads((ROOT / "deploy/cloudwatch-agent.json").read_text())


def a_shop(folder: Path, **settings: str) -> Terminal:
    """A folder with a shop in it, watched on ministack."""
    terminal = Terminal(folder)
    terminal.environment |= {
        **CREDENTIALS,
        "STOREKEEPER_AWS_REGION": CREDENTIALS["AWS_REGION"],
        "STOREKEEPER_CLOUDWATCH_ENDPOINT_URL": url("ministack"),
        **settings,
    }
    terminal.ok("init")
    (folder / "goods.csv").write_text(
        "sku,name,price,currency,low_stock_threshold\nMUG,A mug,9.50,GBP,90\n"
    )
    (folder / "stock.csv").write_text("sku,location,on_hand\nMUG,main,100\n")
    terminal.ok("import", "products", "goods.csv")
    terminal.ok("import", "stock", "stock.csv")
    return terminal


def order(served: Served, quantity: int) -> int:
    body = {"lines": [{"sku": "MUG", "quantity": quantity}], "email": "buyer@example.com"}
    return served.post("/orders", json=body).status_code


@contextlib.contextmanager
def held_shut(database: Path) -> Iterator[None]:
    """No process can write to the shop meanwhile: the turn to write is ours and stays so."""
    with Path(f"{database}-turn").open("rb") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


@dataclass
class Day:
    """What was seen of it."""

    namespace: str
    topic: str
    queue: str
    states: dict[str, str] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    readiness: list[int] = field(default_factory=list)
    message: dict[str, Any] = field(default_factory=dict)
    lines: list[bytes] = field(default_factory=list)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Good hours, an order too many, a webhook that nobody answers, and a database held shut."""
    day = Day(a_namespace(), *a_topic_with_a_queue())
    cloudwatch = client("cloudwatch", url("ministack"))
    for alarm in alarms(day.namespace, topics=[day.topic]):
        cloudwatch.put_metric_alarm(**alarm)

    folder = tmp_path_factory.mktemp("day")
    terminal = a_shop(
        folder,
        STOREKEEPER_CLOUDWATCH_NAMESPACE=day.namespace,
        STOREKEEPER_CLOUDWATCH_SECONDS="1",
        STOREKEEPER_WEBHOOK_PRIVATE_ADDRESSES="true",
    )
    terminal.ok("create-admin", "a@example.com", "--password-stdin", stdin=f"{PASSWORD}\n")
    arrived = Arrived(url("ministack"), day.namespace, datetime.now(UTC))
    with terminal.serving() as served:
        login = {"email": "a@example.com", "password": PASSWORD}
        token = served.post("/auth/login", json=login).json()["access_token"]
        hook = {"url": f"http://127.0.0.1:{free_port()}/nobody"}
        bearer = {"Authorization": f"Bearer {token}"}
        assert served.post("/webhooks", json=hook, headers=bearer).status_code == 201
        assert order(served, 20) == 201
        assert order(served, 1_000) == 409
        for _ in range(30):
            assert served.get("/products").is_success
        requests = "storekeeper_http_request_seconds"
        eventually(lambda: (arrived.statistic(requests, "SampleCount") or 0) >= 34)
        day.states["good"] = state_of(cloudwatch, day)
        eventually(lambda: b"delivery failed" in terminal.errors().encode())

        with held_shut(folder / "data/shop.db"), ThreadPoolExecutor(BURST + 2) as buyers:
            day.statuses = list(buyers.map(lambda _: order(served, 1), range(BURST + 2)))
        eventually(lambda: state_of(cloudwatch, day) == "ALARM")
        day.states["bad"] = state_of(cloudwatch, day)
        day.message = eventually(lambda: message_in(day.queue))
        day.readiness.append(served.get("/readyz").status_code)
        assert served.stop() == 0
    day.lines = [line.encode() for line in terminal.errors().splitlines()]
    return day


def a_topic_with_a_queue() -> tuple[str, str]:
    """The ARN of an SNS topic, and the address of an SQS queue that is subscribed to it."""
    name = a_namespace().replace("/", "-")
    sns, sqs = client("sns", url("ministack")), client("sqs", url("ministack"))
    topic = sns.create_topic(Name=name)["TopicArn"]
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=asked["Attributes"]["QueueArn"])
    return topic, queue


def state_of(cloudwatch: Any, day: Day) -> str:
    found = cloudwatch.describe_alarms(AlarmNames=[FAULT_BURST])["MetricAlarms"]
    return str(found[0]["StateValue"])


def message_in(queue: str) -> dict[str, Any] | None:
    """What the alarm says, once it is there; other alarms' messages are read past."""
    taken = client("sqs", url("ministack")).receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1
    )
    for message in taken.get("Messages", ()):
        told: dict[str, Any] = json.loads(json.loads(message["Body"])["Message"])
        if told["AlarmName"] == FAULT_BURST and told["NewStateValue"] == "ALARM":
            return told
    return None


def test_a_shop_that_fails_rings_and_whoever_subscribed_is_told(day: Day) -> None:
    assert day.states["good"] == "OK", "it rang while all was well"
    assert day.statuses == [503] * (BURST + 2)
    assert day.states["bad"] == "ALARM"
    assert day.message["OldStateValue"] == "OK"
    assert day.message["Trigger"]["MetricName"] == FAULTS
    assert day.readiness == [200], "the shop goes on by itself when it can write again"


def test_the_failures_are_on_cloudwatch_as_they_were(day: Day) -> None:
    now = datetime.now(UTC)
    query = {
        "Id": "faults",
        "MetricStat": {
            "Metric": {"Namespace": day.namespace, "MetricName": FAULTS},
            "Period": 60,
            "Stat": "Sum",
            "Unit": unit_of(FAULTS),
        },
    }
    found = client("cloudwatch", url("ministack")).get_metric_data(
        MetricDataQueries=[query],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
    )
    failed = sum(line.get("status", 0) >= 500 for line in day.events if line["event"] == "request")
    assert sum(found["MetricDataResults"][0]["Values"]) == failed >= BURST
    arrived = Arrived(url("ministack"), day.namespace, now)
    for outcome, count in (("placed", 1.0), ("refused", 1.0)):
        assert arrived.statistic("storekeeper_orders_total", "Sum", outcome=outcome) == count
    assert arrived.statistic("storekeeper_low_stock_products", "Maximum") == 1


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.split("\n")[0][:40])
def test_the_queries_in_the_documents_find_something(day: Day, query: str) -> None:
    """A query on a field that no line has finds nothing, and looks like good news."""
    wanted = dict(re.findall(r'([a-z_.]+) = "([^"]*)"', query))
    names = fields_of(query)
    fitting = [
        line
        for line in day.events
        if all(value_of(line, name) == value for name, value in wanted.items())
    ]
    assert fitting, f"no line is such: {wanted}"
    assert any(all(value_of(line, name) is not ... for name in names) for line in fitting), names
    for name, at_least, number in re.findall(r"([a-z_]+) (>?=) ([0-9]+)", query):
        numbers = [value_of(line, name) for line in fitting]
        assert any(
            one >= int(number) if at_least == ">=" else one == int(number)
            for one in numbers
            if isinstance(one, int | float)
        )


def fields_of(query: str) -> set[str]:
    """The fields of our lines that a query names: neither its words nor names it gives itself."""
    text = re.sub(r'"[^"]*"|/[^/\n]*/', "", query)
    given = set(re.findall(r"\bas ([a-z0-9_]+)", text))
    words = set("filter fields stats sort limit by as and like desc asc count pct max bin".split())
    found = set(re.findall(r"(?<![@\w.])[a-z][a-z_]*(?:\.[a-z_]+)*(?![\w.])", text))
    return found - words - given


def value_of(line: dict[str, Any], name: str) -> Any:
    """The value at a dotted name, `...` where there is none."""
    value: Any = line
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            return ...
        value = value[part]
    return value


def test_a_request_is_found_by_its_id_in_cloudwatch_logs(day: Day) -> None:
    logs = client("logs", url("ministack"))
    group = f"/{day.namespace}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="one")
    now = int(datetime.now(UTC).timestamp() * 1_000)
    events = [{"timestamp": now, "message": line.decode()} for line in day.lines]
    logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=events)
    failed = next(line for line in day.events if line.get("status") == 503)
    (query,) = [query for query in QUERIES if "REQUEST_ID" in query]
    started = logs.start_query(
        logGroupName=group,
        startTime=now // 1_000 - 60,
        endTime=now // 1_000 + 60,
        queryString=query.replace("REQUEST_ID", failed["request_id"]),
    )
    rows = logs.get_query_results(queryId=started["queryId"])["results"]
    found = [
        json.loads(cell["value"]) for row in rows for cell in row if cell["field"] == "@message"
    ]
    assert failed in found
    assert {line["request_id"] for line in found} == {failed["request_id"]}


def test_the_agent_finds_each_lines_own_time(day: Day) -> None:
    """It would date everything by when it read it, which is wrong after any pause."""
    (file,) = AGENT["logs"]["logs_collected"]["files"]["collect_list"]
    parts = {"%Y": r"\d{4}", "%m": r"\d\d", "%d": r"\d\d", "%H": r"\d\d", "%M": r"\d\d"}
    pattern = file["timestamp_format"].replace("%S", r"\d\d")
    for sign, digits in parts.items():
        pattern = pattern.replace(sign, digits)
    for line in day.lines:
        found = re.search(pattern, line.decode())
        assert found is not None, line
        own = json.loads(line)["timestamp"]
        assert found[0] == f'"timestamp":"{own[:19]}'


def test_workers_send_each_its_own_and_the_last_at_the_end(tmp_path: Path) -> None:
    """Counted twice, or not to the end, an hour's orders would be wrong each time it starts anew.

    What the first look found is all that was sent before the end: the next is an hour away.
    """
    namespace = a_namespace()
    terminal = a_shop(
        tmp_path,
        STOREKEEPER_CLOUDWATCH_NAMESPACE=namespace,
        STOREKEEPER_CLOUDWATCH_SECONDS="3600",
    )
    with terminal.serving("--workers", "2") as served:
        for _ in range(40):
            assert served.get("/products").is_success
        assert [order(served, 1) for _ in range(5)] == [201] * 5
        assert served.stop() == 0
    arrived = Arrived(url("ministack"), namespace, datetime.now(UTC))
    requests = "storekeeper_http_requests_total"
    assert arrived.statistic(requests, "Sum", status="2xx") == 45
    assert arrived.statistic("storekeeper_http_request_seconds", "SampleCount") == 45
    assert arrived.statistic("storekeeper_orders_total", "Sum", outcome="placed") == 5
    assert arrived.statistic("storekeeper_write_queue_depth", "SampleCount") == 4


def test_a_shop_whose_cloudwatch_is_not_there_serves_and_says_so(tmp_path: Path) -> None:
    terminal = a_shop(
        tmp_path,
        STOREKEEPER_CLOUDWATCH_NAMESPACE="Shop",
        STOREKEEPER_CLOUDWATCH_SECONDS="1",
        STOREKEEPER_CLOUDWATCH_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}",
    )
    with terminal.serving() as served:
        eventually(lambda: "figures can't be sent" in terminal.errors())
        assert served.get("/readyz").json()["status"] == "ready"
        assert order(served, 1) == 201
        assert served.stop() == 0
    lines = [json.loads(line) for line in terminal.errors().splitlines()]
    (told,) = [line for line in lines if line["event"] == "figures can't be sent"]
    assert "check the network and the region" in told["reason"]
    assert "Traceback" not in terminal.errors()


@pytest.mark.parametrize("engine", ["moto", "ministack"])
def test_both_engines_take_every_alarm_as_it_is_deployed(engine: Any) -> None:
    cloudwatch = client("cloudwatch", url(engine))
    prefix = f"{a_namespace()}-"
    wanted = alarms("Shop", topics=["arn:aws:sns:eu-west-1:123456789012:on-call"], prefix=prefix)
    for alarm in wanted:
        cloudwatch.put_metric_alarm(**alarm)
    found = cloudwatch.describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
    assert {one["AlarmName"] for one in found} == {one["AlarmName"] for one in wanted}
    assert len(wanted) == 8
