"""Sending to CloudWatch: what arrives, and what the shop does while nobody takes it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from storekeeper.domain.errors import StoreUnavailable
from storekeeper.telemetry.cloudwatch.client import Client, NotTaken
from storekeeper.telemetry.cloudwatch.figures import Figures, Key, Totals
from storekeeper.telemetry.cloudwatch.watch import Watch
from storekeeper.telemetry.metrics import GAUGES, OUTCOMES, SHOP_WIDE, Metrics
from tests.notify.receiver import Answer, a_receiver
from tests.support.clock import START, Clock
from tests.support.local_engines import url, use_local_credentials
from tests.watch.aws import Arrived, a_namespace
from tools.engines.launch import Name, free_port

ORDERS = "storekeeper_orders_total"
SECONDS = "storekeeper_http_request_seconds"
BATCH = "storekeeper_commit_batch_size"
JSON = {"content-type": "application/x-amz-json-1.0"}


class Standing:
    """Gauges of a shop in which everything stands at a number of its own."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.values = {name: float(place) for place, name in enumerate(sorted(GAUGES), start=1)}
        self._fault = fault

    def of_process(self) -> Mapping[str, float]:
        return {name: value for name, value in self.values.items() if name not in SHOP_WIDE}

    async def of_shop(self) -> Mapping[str, float]:
        if self._fault is not None:
            raise self._fault
        return {name: self.values[name] for name in SHOP_WIDE}


class Door:
    """Before a real client: lets so many requests through, then none."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.lets_through = 0

    async def put(self, at: datetime, figures: Figures) -> None:
        if self.lets_through == 0:
            raise NotTaken("CloudWatch can't be reached")
        self.lets_through -= 1
        await self._client.put(at, figures)

    def close(self) -> None:
        self._client.close()


Made = Callable[..., Watch]


@pytest.fixture
async def made(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Made]:
    """Makes a watch on metrics, and lets go of its client in the end."""
    use_local_credentials(monkeypatch)
    doors: list[Any] = []

    def make(metrics: Metrics, door: Any, clock: Clock | None = None, **more: Any) -> Watch:
        doors.append(door)
        defaults: dict[str, Any] = {"gauges": Standing(), "leads": lambda: True, "seconds": 60}
        return Watch(metrics=metrics, client=door, clock=clock or Clock(), **defaults | more)

    yield make
    for door in doors:
        await asyncio.to_thread(door.close)


@pytest.mark.parametrize("engine", ["moto", "ministack"])
async def test_what_a_shop_is_run_by_arrives_with_its_unit(made: Made, engine: Name) -> None:
    metrics, clock, namespace = Metrics(), Clock(), a_namespace()
    standing = Standing()
    watch = made(metrics, Client(namespace, endpoint=url(engine)), clock, gauges=standing)
    for times, outcome in enumerate(OUTCOMES, start=1):
        for _ in range(times):
            metrics.order(outcome)
    for status in (200, 200, 201, 404, 503):
        metrics.observe("POST", "/orders", status, 0.03)
    metrics.batch(5)
    clock.advance(minutes=1)
    await watch.turn()
    arrived = Arrived(url(engine), namespace, clock())

    def read() -> dict[str, float | None]:
        return {
            "faults": arrived.statistic("storekeeper_http_faults_total", "Sum"),
            "2xx": arrived.statistic("storekeeper_http_requests_total", "Sum", status="2xx"),
            "5xx": arrived.statistic("storekeeper_http_requests_total", "Sum", status="5xx"),
            "requests": arrived.statistic(SECONDS, "SampleCount"),
            "batches": arrived.statistic(BATCH, "SampleCount"),
            "changes": arrived.statistic(BATCH, "Sum"),
            **{one: arrived.statistic(ORDERS, "Sum", outcome=one) for one in OUTCOMES},
            **{one: arrived.statistic(one, "Maximum") for one in GAUGES},
        }

    found = await asyncio.to_thread(read)
    assert found == {
        "faults": 1.0,
        "2xx": 3.0,
        "5xx": 1.0,
        "requests": 5.0,
        "batches": 1.0,
        "changes": 5.0,
        **{outcome: float(times) for times, outcome in enumerate(OUTCOMES, start=1)},
        **standing.values,
    }
    named = await asyncio.to_thread(arrived.metrics)
    assert not {name for _, dimensions in named for name, _ in dimensions} - {"status", "outcome"}


async def test_percentiles_of_the_latency_can_be_asked_for(made: Made) -> None:
    metrics, clock, namespace = Metrics(), Clock(), a_namespace()
    watch = made(metrics, Client(namespace, endpoint=url("ministack")), clock)
    for place in range(1_000):
        metrics.observe("GET", "/products", 200, 2.0 if place < 20 else 0.007)
    await watch.turn()
    arrived = Arrived(url("ministack"), namespace, clock())
    half = await asyncio.to_thread(arrived.statistic, SECONDS, "p50")
    slowest = await asyncio.to_thread(arrived.statistic, SECONDS, "p99")
    assert half is not None
    assert slowest is not None
    assert 0.005 <= half <= 0.01
    assert 1.0 <= slowest <= 2.5


async def test_what_happened_while_cloudwatch_was_away_arrives_once(made: Made) -> None:
    metrics, clock, namespace = Metrics(), Clock(), a_namespace()
    door = Door(Client(namespace, endpoint=url("moto")))
    watch = made(metrics, door, clock)

    async def a_minute(*, lets_through: int) -> None:
        door.lets_through = lets_through
        metrics.order("placed")
        clock.advance(minutes=1)
        await watch.turn()

    with capture_logs() as logs:
        # In the fourth minute two of three get through before it closes again.
        for lets_through in (1, 0, 0, 2, 9, 9):
            await a_minute(lets_through=lets_through)
    arrived = Arrived(url("moto"), namespace, clock())
    assert await asyncio.to_thread(arrived.statistic, ORDERS, "Sum", outcome="placed") == 6
    assert [line["event"] for line in logs] == ["figures can't be sent", "figures are sent again"]


async def test_figures_that_are_refused_for_good_are_counted_and_block_nothing(made: Made) -> None:
    metrics, namespace = Metrics(), a_namespace()
    async with a_receiver() as receiver:
        receiver.answer = lambda hook: refusal(400, "InvalidParameterValue", "no such unit")
        watch = made(metrics, Client(namespace, endpoint=receiver.url("")))
        with capture_logs() as logs:
            await watch.turn()
        receiver.answer = lambda hook: (200, JSON, b"{}")
        await watch.turn()
        assert len(receiver.hooks) == 2
    dropped = metrics.registry.get_sample_value("storekeeper_cloudwatch_dropped_total")
    assert dropped == logs[0]["figures"] > len(GAUGES)
    assert "no such unit" in logs[0]["reason"]


async def test_requests_are_compressed(made: Made) -> None:
    metrics = Metrics()
    metrics.batch(3)
    async with a_receiver() as receiver:
        receiver.answer = lambda hook: (200, JSON, b"{}")
        await made(metrics, Client("Shop", endpoint=receiver.url(""))).turn()
        hook = receiver.hooks[0]
    assert hook.headers["content-encoding"] == "gzip"
    assert b"storekeeper_write_queue_depth" in gzip.decompress(hook.body)


async def test_an_answer_that_is_no_answer_of_aws_is_a_trouble_like_others(made: Made) -> None:
    """A proxy in between says what it likes."""
    async with a_receiver() as receiver:
        receiver.answer = lambda hook: (400, {"content-type": "text/html"}, b"\xa2<html>")
        watch = made(Metrics(), Client("Shop", endpoint=receiver.url("")))
        with capture_logs() as logs:
            await watch.turn()
    assert [line["event"] for line in logs] == ["figures can't be sent"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("AccessDenied", ["doesn't allow it", "cloudwatch:PutMetricData"]),
        ("InvalidClientTokenId", ["doesn't know these credentials", "AWS_PROFILE"]),
        ("SignatureDoesNotMatch", ["secret key", "clock"]),
        ("ExpiredToken", ["run out", "renew"]),
        ("InternalServiceFault", ["CloudWatch failed", "InternalServiceFault"]),
    ],
)
async def test_a_refusal_says_what_to_change(made: Made, code: str, words: list[str]) -> None:
    async with a_receiver() as receiver:
        receiver.answer = lambda hook: refusal(403, code, "you may not")
        watch = made(Metrics(), Client("Shop", endpoint=receiver.url("")))
        with capture_logs() as logs:
            await watch.turn()
            await watch.turn()
    (line,) = logs
    assert line["log_level"] == "warning"
    assert all(word in line["reason"] for word in [*words, "you may not"])


@pytest.mark.parametrize(
    ("environ", "given", "words"),
    [
        ({}, {}, ["no AWS region", "STOREKEEPER_AWS_REGION"]),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, {}, ["no AWS credentials", "role"]),
        ({}, {"region": "eu-west-1", "profile": "shop"}, ["(shop)", "STOREKEEPER_AWS_PROFILE"]),
        (
            {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"},
            {"region": "eu-west-9", "endpoint": f"http://127.0.0.1:{free_port()}"},
            ["can't be reached", "region"],
        ),
    ],
)
async def test_wrong_settings_are_told_in_one_sentence_and_stop_nothing(
    made: Made,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    given: dict[str, str],
    words: list[str],
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "DEFAULT_REGION", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    watch = made(Metrics(), Client("Shop", **given))
    with capture_logs() as logs:
        await watch.turn()
    (line,) = logs
    assert all(word in line["reason"] for word in words), line


async def test_the_end_sends_what_came_since_the_last_look(made: Made) -> None:
    metrics, clock, namespace = Metrics(), Clock(), a_namespace()
    watch = made(metrics, Client(namespace, endpoint=url("moto")), clock)
    watch.start()
    metrics.order("confirmed")
    clock.advance(seconds=3)
    await watch.stop()
    arrived = Arrived(url("moto"), namespace, START)
    assert await asyncio.to_thread(arrived.statistic, ORDERS, "Sum", outcome="confirmed") == 1


async def test_an_end_does_not_wait_for_a_cloudwatch_that_is_silent(made: Made) -> None:
    async with a_receiver() as receiver:
        receiver.silence = asyncio.Event()
        client = Client("Shop", endpoint=receiver.url(""))
        watch = made(Metrics(), client, flush_seconds=0.2)
        watch.start()
        with capture_logs() as logs:
            await watch.stop()
    assert [line["event"] for line in logs] == [
        "figures can't be sent",
        "figures are lost with the process's end",
    ]


async def test_only_one_process_speaks_for_the_shop(made: Made) -> None:
    clock, namespace = Clock(), a_namespace()
    for leads in (True, False, False):
        door = Client(namespace, endpoint=url("moto"))
        await made(Metrics(), door, clock, leads=lambda leads=leads: leads).turn()
    arrived = Arrived(url("moto"), namespace, clock())
    for name in GAUGES:
        told = await asyncio.to_thread(arrived.statistic, name, "SampleCount")
        assert told == (1 if name in SHOP_WIDE else 3), name


async def test_a_store_that_is_away_keeps_its_figures_back_and_no_others(made: Made) -> None:
    metrics, clock, namespace = Metrics(), Clock(), a_namespace()
    standing = Standing(StoreUnavailable("the disk is full"))
    watch = made(metrics, Client(namespace, endpoint=url("moto")), clock, gauges=standing)
    metrics.order("refused")
    with capture_logs() as logs:
        await watch.turn()
    arrived = Arrived(url("moto"), namespace, clock())
    assert await asyncio.to_thread(arrived.statistic, ORDERS, "Sum", outcome="refused") == 1
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("the shop's figures can't be read", "the disk is full")
    ]


async def test_a_look_goes_on_after_a_fault_of_its_own(made: Made) -> None:
    """The shop would be watched by nobody until its next start."""
    taken: list[Figures] = []

    class Failing(Standing):
        is_broken = True

        def of_process(self) -> Mapping[str, float]:
            if self.is_broken:
                self.is_broken = False
                raise ZeroDivisionError
            return super().of_process()

    class Ears:
        async def put(self, at: datetime, figures: Figures) -> None:
            taken.append(figures)
            arrived.set()

        def close(self) -> None: ...

    arrived = asyncio.Event()
    metrics = Metrics()
    watch = made(metrics, Ears(), gauges=Failing(), seconds=0.01)
    with capture_logs() as logs:
        metrics.order("placed")
        watch.start()
        await asyncio.wait_for(arrived.wait(), 30)
        await watch.stop()
    assert [line["event"] for line in logs] == ["the figures can't be read"]
    assert taken[0][Key(ORDERS, (("outcome", "placed"),))] == Totals.of(1)


def refusal(status: int, code: str, message: str) -> Answer:
    """As CloudWatch refuses, with the code of its older protocol."""
    body = json.dumps({"__type": code, "message": message}).encode()
    return status, {**JSON, "x-amzn-query-error": f"{code};Sender"}, body
