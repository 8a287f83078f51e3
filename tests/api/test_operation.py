"""What operators rely on: limits, overload, readiness and figures that tell the truth."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest
from msgspec.structs import replace

from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.work import Delivery
from storekeeper.store.sqlite.store import SqliteStore
from tests.api.shopfront import Front, Seed, front_at

STOCK_ALERT = 8


@contextmanager
def locked(front: Front) -> Iterator[None]:
    """Another process holds the write lock meanwhile."""
    # By the same library: within one process another one's locks would not be seen.
    other = apsw.Connection(front.shop.settings.database)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


class TestRates:
    async def test_the_header_counts_down_and_then_it_is_429(self, tmp_path: Path, seed: Seed):
        async with front_at(tmp_path, seed, requests_per_minute=3) as front:
            left = []
            for _ in range(3):
                answer = await front.http.get("/users/me", headers=front.who("ada"))
                assert answer.headers["ratelimit-policy"] == '"default";q=3;w=60'
                left.append(answer.headers["ratelimit"])
            assert [re.findall(r'^"default";r=(\d+);t=\d+$', one) for one in left] == [
                ["2"],
                ["1"],
                ["0"],
            ]
            refused = await front.http.get("/users/me", headers=front.who("ada"))
            assert refused.status_code == 429
            wait = refused.headers["retry-after"]
            assert refused.headers["ratelimit"] == f'"default";r=0;t={wait}'
            assert int(refused.headers["retry-after"]) > 0
            assert refused.json()["retry_after"] == int(refused.headers["retry-after"])
            assert (await front.place("ada")).status_code == 429

    async def test_one_accounts_haste_is_not_anothers_trouble(self, tmp_path: Path, seed: Seed):
        async with front_at(tmp_path, seed, requests_per_minute=1) as front:
            for name in ("ada", "bob", "guest"):
                assert (
                    await front.http.get("/products", headers=front.who(name))
                ).status_code == 200
                assert (
                    await front.http.get("/products", headers=front.who(name))
                ).status_code == 429

    async def test_customers_behind_one_gateway_are_clients_of_their_own(
        self, tmp_path: Path, seed: Seed
    ):
        behind: dict[str, Any] = {
            "trusted_proxies": ("192.0.2.0/24",),
            "client_header": "X-Client-IP",
        }
        async with front_at(tmp_path, seed, requests_per_minute=1, **behind) as front:

            async def asked_by(address: str, **headers: str) -> int:
                headers = {"X-Client-IP": address, **headers}
                return (await front.http.get("/products", headers=headers)).status_code

            assert await asked_by("198.51.100.1") == 200
            assert await asked_by("198.51.100.2") == 200
            forged = {"X-Forwarded-For": "6.6.6.6", "Forwarded": "for=6.6.6.6"}
            assert await asked_by("198.51.100.1", **forged) == 429

    async def test_a_client_that_names_itself_stays_who_it_is(self, tmp_path: Path, seed: Seed):
        behind: dict[str, Any] = {
            "trusted_proxies": ("10.0.0.0/8",),
            "client_header": "X-Client-IP",
        }
        async with front_at(tmp_path, seed, requests_per_minute=1, **behind) as front:
            statuses = [
                (await front.http.get("/products", headers={"X-Client-IP": one})).status_code
                for one in ("198.51.100.1", "198.51.100.2")
            ]
        assert statuses == [200, 429]


class TestBusy:
    async def test_when_too_much_waits_it_says_so_and_loses_nothing(
        self, tmp_path: Path, seed: Seed
    ):
        async with front_at(tmp_path, seed, write_queue=1) as front:
            # What the background work still has to write at the start would wait as well.
            await front.shop.background.stop()
            while front.shop.store.queue_depth():
                await asyncio.sleep(0)
            await front.shop.store.check_writable()
            # Who orders and what is known from then on, so that only writing has to wait.
            assert (await front.place("ada", key="before")).status_code == 201
            tries: list[asyncio.Task[httpx.Response]] = []
            with locked(front):
                # One is being written, one waits; whoever comes then is turned away at once.
                while not any(one.done() for one in tries):
                    tries.append(asyncio.create_task(front.place("ada", key=f"{len(tries)}")))
                    await asyncio.sleep(0.05)
            answers = [await one for one in tries]
            refused = [one for one in answers if one.status_code != 201]
            assert 1 <= len(refused) < len(answers)
            for answer in refused:
                assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
                assert answer.headers["retry-after"] == "1"
            for number in range(len(tries)):
                assert (await front.place("ada", key=f"{number}")).status_code == 201
            assert await front.available("MUG") == 99 - len(tries)

    async def test_a_store_that_stays_locked_is_told_and_nothing_is_done(
        self, tmp_path: Path, seed: Seed, monkeypatch: pytest.MonkeyPatch
    ):
        impatient = functools.partial(SqliteStore, busy_ms=500)
        monkeypatch.setattr("storekeeper.app.places.SqliteStore", impatient)
        async with front_at(tmp_path, seed) as front:
            await self.told_while_locked(front)

    async def told_while_locked(self, front: Front) -> None:
        with locked(front):
            ready = await front.http.get("/readyz")
            assert ready.status_code == 503
            assert ready.json()["status"] == "not ready"
            assert ready.json()["store"] != "ok"
            answer = await front.place("ada", key="1")
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
            assert int(answer.headers["retry-after"]) > 0
            alive = await front.http.get("/healthz")
            assert alive.json() == {"status": "ok"}
            assert (await front.http.get("/orders", headers=front.who("sam"))).json()["items"] == []
        assert (await front.http.get("/readyz")).json() == {
            "status": "ready",
            "store": "ok",
            "relay": "ok",
        }
        assert (await front.place("ada", key="1")).status_code == 201


async def test_it_is_not_ready_when_the_relay_has_ended(front: Front):
    await front.shop.background.stop()
    answer = await front.http.get("/readyz")
    assert (answer.status_code, answer.json()["relay"]) == (503, "not running")


async def figures(front: Front) -> dict[str, float]:
    text = (await front.http.get("/metrics")).text
    return {
        name: float(value)
        for name, value in (
            line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")
        )
    }


async def test_deliveries_in_trouble_are_figures_of_their_own(front: Front):
    delivery = Delivery(
        id="webhook:1|e1",
        version=1,
        sink="webhook:1",
        event_id="e1",
        event_seq=1,
        kind="order.placed",
        subject="order:1",
        state="dead",
        attempts=12,
        at=front.clock(),
    )
    failing = replace(delivery, id="webhook:1|e2", state="failing", next_at=front.clock())
    before = await figures(front)
    await front.shop.store.commit(ChangeSet(puts=(Put(delivery), Put(failing))))
    after = await figures(front)
    for name in ("storekeeper_dead_letters", "storekeeper_deliveries_failing"):
        assert (before[name], after[name]) == (0, 1)


async def test_the_figures_move_with_what_happens(front: Front):
    before = await figures(front)
    order = await front.placed("ada", ("LAMP", STOCK_ALERT))
    await front.placed("ada", ("MUG", 1), confirm=True)
    await front.http.post(f"/orders/{order['id']}/confirm", headers=front.who("ada"))
    await front.http.post(f"/orders/{order['id']}/confirm", headers=front.who("ada"))
    await front.place("bob", ("CHAIR", 2))
    cancelled = await front.placed("bob", ("MUG", 1))
    await front.http.post(f"/orders/{cancelled['id']}/cancel", headers=front.who("bob"))
    await front.placed("bob", ("MUG", 1))
    front.clock.advance(minutes=20)
    await front.shop.background.sweep()
    await front.http.get("/nothing/at/all")
    for method, path in (("GET", "/users/me"), ("POST", "/orders")):
        await front.http.request(method, path, headers={"Authorization": "Bearer run.out.token"})
    after = await figures(front)

    def grew(name: str) -> float:
        return after[name] - before.get(name, 0)

    outcomes = {
        outcome: grew(f'storekeeper_orders_total{{outcome="{outcome}"}}')
        for outcome in ("placed", "confirmed", "refused", "expired", "cancelled")
    }
    assert outcomes == {"placed": 4, "confirmed": 2, "refused": 1, "expired": 1, "cancelled": 1}
    assert grew('storekeeper_http_requests_total{method="POST",route="/orders",status="201"}') == 4
    assert grew('storekeeper_http_requests_total{method="POST",route="/orders",status="409"}') == 1
    assert grew('storekeeper_http_requests_total{method="GET",route="unknown",status="404"}') == 1
    assert grew('storekeeper_http_request_seconds_count{method="POST",route="/orders"}') == 6
    for told in ('method="GET",route="/users/me"', 'method="POST",route="/orders"'):
        assert grew(f'storekeeper_http_requests_total{{{told},status="401"}}') == 1
    assert grew("storekeeper_commit_batch_size_count") >= 6
    assert after["storekeeper_low_stock_products"] == before["storekeeper_low_stock_products"] + 1
    for name in ("write_queue_depth", "outbox_lag_events", "outbox_lag_seconds"):
        assert after[f"storekeeper_{name}"] >= 0


async def test_the_lag_of_the_outbox_is_what_has_not_been_delivered(tmp_path: Path, seed: Seed):
    async with front_at(tmp_path, seed, notify_console=True) as front:
        await front.shop.background.stop()
        lag = (await figures(front))["storekeeper_outbox_lag_events"]
        await front.placed("ada")
        front.clock.advance(seconds=30)
        after = await figures(front)
        assert after["storekeeper_outbox_lag_events"] == lag + 1
        assert after["storekeeper_outbox_lag_seconds"] >= 30


async def test_addresses_that_lead_nowhere_make_no_new_series(front: Front):
    for number in range(20):
        await front.http.get(f"/nothing/{number}")
        await front.http.request(f"X{number}", "/orders")
    names = [
        name for name in await figures(front) if name.startswith("storekeeper_http_requests_t")
    ]
    assert not any("nothing" in name or "X1" in name for name in names)


async def test_behind_tls_browsers_are_told_to_stay_there(tmp_path: Path, seed: Seed):
    async with front_at(tmp_path, seed, public_url="https://shop.example") as front:
        answer = await front.http.get("/healthz")
        assert answer.headers["strict-transport-security"].startswith("max-age=")
