"""Whatever becomes of the cache, the shop sells at its own prices, and nobody waits for long."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from storekeeper.cache import valkey
from tests.api.shopfront import Front, Seed, front_at
from tests.cache.server import Line, a_server, eventually, told, url_of
from tools.engines.launch import Running, free_port

PRICE = 999
OUTAGE = re.compile("the cache is away|takes no writes")


@asynccontextmanager
async def shop_with(
    folder: Path, seed: Seed, cache_url: str, **settings: Any
) -> AsyncIterator[Front]:
    settings = {"requests_per_minute": 60_000, **settings}
    async with front_at(folder, seed, cache_url=cache_url, **settings) as front:
        # So that a test needs no second to see the cache come back.
        front.shop.cache_link._rest_seconds = 0.01
        yield front


async def look(front: Front, name: str = "ada") -> httpx.Response:
    return await front.http.get(f"/products/{front.seed.products['MUG']}", headers=front.who(name))


async def sells_rightly(front: Front) -> None:
    """A page, a caller, an order: each as the store has it."""
    page = await look(front)
    assert (page.status_code, page.json()["price"]["amount"]) == (200, PRICE)
    assert page.json()["stock"]["available"] == await front.available("MUG")
    listed = (await front.http.get("/products?sku=mug")).json()["items"]
    assert [item["price"]["amount"] for item in listed] == [PRICE]
    me = await front.http.get("/users/me", headers=front.who("ada"))
    assert (me.status_code, me.json()["role"]) == (200, "customer")
    order = await front.placed("ada", ("MUG", 2))
    assert order["total"]["amount"] == 2 * PRICE


async def readiness(front: Front) -> str:
    answer = await front.http.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    return str(answer.json()["cache"])


async def figure(front: Front, name: str) -> float:
    for line in (await front.http.get("/metrics")).text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    return 0.0


def outages(lines: list[Any]) -> list[str]:
    return [line["event"] for line in lines if OUTAGE.search(line["event"])]


async def test_with_a_healthy_cache_it_is_used_and_says_so(
    tmp_path: Path, seed: Seed, server: Running
) -> None:
    with capture_logs() as lines:
        async with shop_with(tmp_path, seed, url_of(server)) as front:
            await sells_rightly(front)
            # The order has moved the stock, so the first of these asks the store again.
            await look(front)
            await look(front)
            assert await readiness(front) == "ok"
            assert await figure(front, "storekeeper_cache_away") == 0
            near = 'storekeeper_cache_reads_total{outcome="near",what="product"}'
            assert await figure(front, near) >= 1
            kinds = {key.split(b":")[3] for key in told(server).scan_iter()}
            assert kinds >= {b"product", b"caller", b"rate"}
    assert outages(lines) == []


async def test_down_at_the_start_it_opens_and_takes_the_cache_up_later(
    tmp_path: Path, seed: Seed
) -> None:
    port = free_port()
    with capture_logs() as lines:
        async with shop_with(tmp_path, seed, f"valkey://127.0.0.1:{port}/0") as front:
            for _ in range(20):
                await sells_rightly(front)
            assert (await readiness(front)).startswith("degraded: ")
            assert await figure(front, "storekeeper_cache_away") == 1
            with a_server(port):
                await eventually(lambda: front.shop.cache_link.is_up)
                await sells_rightly(front)
                assert await readiness(front) == "ok"
                far = 'storekeeper_cache_reads_total{outcome="miss",what="product"}'
                assert await figure(front, far) >= 1
    assert outages(lines) == ["the cache is away; the shop goes on without"]


async def test_it_goes_down_and_comes_back_under_load(tmp_path: Path, seed: Seed) -> None:
    port = free_port()
    ended = asyncio.Event()
    sold: list[int] = []
    wanted = asyncio.Semaphore(0)
    with capture_logs() as lines, ExitStack() as servers:
        first = servers.enter_context(ExitStack())
        first.enter_context(a_server(port))
        async with shop_with(tmp_path, seed, f"valkey://127.0.0.1:{port}/0") as front:

            async def customer(name: str) -> None:
                while not ended.is_set():
                    page = await look(front, name)
                    assert (page.status_code, page.json()["price"]["amount"]) == (200, PRICE)
                    if not wanted.locked():
                        await wanted.acquire()
                        order = await front.placed(name, ("MUG", 1))
                        assert order["total"]["amount"] == PRICE
                        sold.append(1)
                    await asyncio.sleep(0)

            async def some_are_sold() -> None:
                expected = len(sold) + 12
                for _ in range(12):
                    wanted.release()
                await eventually(lambda: len(sold) == expected)

            async def outage() -> None:
                link = front.shop.cache_link
                await some_are_sold()
                assert link.is_up
                await asyncio.to_thread(first.close)
                await eventually(lambda: not link.is_up)
                await some_are_sold()
                await asyncio.to_thread(servers.enter_context, a_server(port))
                await eventually(lambda: link.is_up)
                await some_are_sold()
                ended.set()

            async with asyncio.TaskGroup() as group:
                for name in ("ada", "bob", "sam"):
                    group.create_task(customer(name))
                group.create_task(outage())
            assert await front.available("MUG") == 100 - len(sold)
            assert await front.shop.store.verify() == []
    assert outages(lines) == ["the cache is away; the shop goes on without"]


@pytest.mark.usefixtures("impatience")
async def test_one_that_hangs_costs_a_few_waits_and_no_more(
    tmp_path: Path, seed: Seed, server: Running
) -> None:
    async with Line(server.port).open() as line:
        with capture_logs() as lines:
            async with shop_with(tmp_path, seed, url_of(line)) as front:
                await sells_rightly(front)
                front.shop.cache_link._rest_seconds = 3_600
                line.mode = "hang"
                asked_before = line.asked
                await asyncio.gather(*(look(front, name) for name in ("bob", "sam") * 20))
                for _ in range(10):
                    await sells_rightly(front)
                # Only what was asked before so many had waited.
                assert line.asked - asked_before <= 2 * valkey.MOST_LATE + 8
                assert (await readiness(front)) == "degraded: it doesn't answer in time"
        assert len(outages(lines)) == 1


async def test_one_that_is_slow_makes_nothing_wrong(
    tmp_path: Path, seed: Seed, server: Running
) -> None:
    async with Line(server.port).open() as line:
        line.mode = "slow"
        async with shop_with(tmp_path, seed, url_of(line)) as front:
            for _ in range(10):
                await sells_rightly(front)


async def test_answers_of_the_wrong_kind_are_none(
    tmp_path: Path, seed: Seed, server: Running
) -> None:
    async with (
        Line(server.port).open() as line,
        shop_with(tmp_path, seed, url_of(line)) as front,
    ):
        await sells_rightly(front)
        line.mode = "numbers"
        for name in ("bob", "sam", "root"):
            me = await front.http.get("/users/me", headers=front.who(name))
            assert me.status_code == 200
            await sells_rightly(front)


@pytest.mark.parametrize("is_from_the_start", [True, False])
async def test_one_that_is_no_valkey_is_told_apart_and_left_alone(
    tmp_path: Path, seed: Seed, server: Running, is_from_the_start: bool
) -> None:
    async with Line(server.port).open() as line:
        line.mode = "nonsense" if is_from_the_start else "pass"
        with capture_logs() as lines:
            async with shop_with(tmp_path, seed, url_of(line)) as front:
                assert front.shop.cache_link.is_up is not is_from_the_start
                line.mode = "nonsense"
                for _ in range(5):
                    await sells_rightly(front)
                assert (await readiness(front)).startswith("degraded: ")
        assert len(outages(lines)) == 1


async def test_lies_about_prices_people_and_rates_are_not_believed(
    tmp_path: Path, seed: Seed, server: Running
) -> None:
    """Somebody who can write to the cache sells nothing for a penny and makes nobody an admin."""
    there = told(server)
    async with shop_with(tmp_path, seed, url_of(server)) as front:
        await sells_rightly(front)
        await front.http.get("/users/me", headers=front.who("root"))
        await front.shop.product_reads.settle()
    values = {key: there.get(key) for key in list(there.scan_iter()) if b":rate:" not in key}
    product = next(key for key in values if b":product:id:" in key)
    callers = [key for key in values if b":caller:" in key]
    assert len(callers) >= 2
    cheap = values[product].replace(b"\xcd\x03\xe7", b"\xcd\x00\x01")
    assert cheap != values[product]
    for node, lies in enumerate(
        (
            {product: cheap},
            {product: cheap[32:]},
            dict(zip(callers, map(values.get, reversed(callers)), strict=True)),
            dict.fromkeys(values, b"\x93\x01\x02\x03"),
            dict.fromkeys(values, b""),
            {key: value[: len(value) // 2] for key, value in values.items()},
        ),
        start=3,
    ):
        for key, lie in lies.items():
            there.set(key, lie, ex=60)
        for key in list(there.scan_iter()):
            if b":rate:" in key:
                there.set(key, b"unlimited", ex=60)
        # Another process, that remembers nothing of its own.
        async with shop_with(tmp_path, seed, url_of(server), node=node) as front:
            await sells_rightly(front)
            refused = await front.http.get("/users", headers=front.who("ada"))
            assert refused.status_code == 403
            assert await figure(front, 'storekeeper_cache_errors_total{trouble="garbage"}') >= 1


async def test_a_full_one_is_read_and_written_to_no_more(
    tmp_path: Path, seed: Seed, server: Running
) -> None:
    there = told(server)
    with capture_logs() as lines:
        async with shop_with(tmp_path, seed, url_of(server)) as front:
            await sells_rightly(front)
            there.config_set("maxmemory-policy", "noeviction")
            there.config_set("maxmemory", "1mb")
            front.shop.cache_link._rest_seconds = 3_600
            for _ in range(10):
                await sells_rightly(front)
                await look(front, "bob")
            assert front.shop.cache_link.is_up
            assert (await readiness(front)).startswith("degraded: takes no writes")
            assert await figure(front, 'storekeeper_cache_errors_total{trouble="refused"}') <= 8
    assert outages(lines) == ["the cache takes no writes; the shop goes on"]


async def test_it_connects_anew_when_its_server_has_become_a_replica(
    tmp_path: Path, seed: Seed, server: Running
) -> None:
    there = told(server)
    with capture_logs() as lines, a_server() as primary:
        async with shop_with(tmp_path, seed, url_of(server)) as front:
            await sells_rightly(front)
            there.replicaof("127.0.0.1", primary.port)
            for _ in range(5):
                await sells_rightly(front)
            there.replicaof("NO", "ONE")
            await eventually(lambda: front.shop.cache_link.is_up)
            await sells_rightly(front)
            assert await readiness(front) == "ok"
    assert len(outages(lines)) == 1


async def test_a_wrong_password_is_told_once_and_never_shown(
    tmp_path: Path, seed: Seed, server: Running
) -> None:
    told(server).config_set("requirepass", "the right one")
    url = f"valkey://:the-wrong-one@127.0.0.1:{server.port}/0"
    with capture_logs() as lines:
        async with shop_with(tmp_path, seed, url) as front:
            for _ in range(5):
                await sells_rightly(front)
            said = await readiness(front)
            assert said == "degraded: it refuses the user or the password of cache_url"
    assert len(outages(lines)) == 1
    assert "wrong-one" not in str(lines) + said


async def test_the_right_password_opens_it(tmp_path: Path, seed: Seed, server: Running) -> None:
    there = told(server)
    there.execute_command("ACL", "SETUSER", "shop", "on", ">p@ss:word/", "~*", "&*", "+@all")
    there.config_set("requirepass", "another")
    url = f"valkey://shop:p%40ss%3Aword%2F@127.0.0.1:{server.port}/0"
    async with shop_with(tmp_path, seed, url) as front:
        await sells_rightly(front)
        assert await readiness(front) == "ok"


async def test_a_shop_without_a_cache_says_nothing_of_one(tmp_path: Path, seed: Seed) -> None:
    async with front_at(tmp_path, seed) as front:
        assert "cache" not in (await front.http.get("/readyz")).json()
        assert "storekeeper_cache_away " not in (await front.http.get("/metrics")).text
