"""A shop that is served, with its own background work, tells SNS of a real order exactly once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.shopfront import Seed, front_at, in_one_task, seed_shop
from tests.support.local_engines import engine, use_local_credentials
from tests.support.sns import engine_at


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_shop(tmp_path_factory.mktemp("seed"))


@pytest.mark.parametrize("name", ["ministack", "moto"])
async def test_a_confirmation_and_an_alert_arrive_once_each(
    tmp_path: Path, seed: Seed, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    use_local_credentials(monkeypatch)
    async with engine_at(engine(name).url) as aws:  # type: ignore[arg-type]
        orders, stock = await aws.topic(), await aws.topic()
        confirmed = await aws.subscribe(orders, kind=["order.confirmed"])
        alerts = await aws.subscribe(stock)
        served = front_at(
            tmp_path,
            seed,
            sns_orders_topic=orders,
            sns_stock_topic=stock,
            aws_endpoint_url=aws.url,
            aws_region="eu-west-1",
        )
        async with in_one_task(served) as front:
            first = await front.placed("ada", ("LAMP", 8), confirm=True)
            (told,) = await confirmed.take(1)
            (alert,) = await alerts.take(1)
            # Neither comes again with what follows, nor when the shop ends.
            second = await front.placed("bob", ("LAMP", 1), confirm=True)
            (next_told,) = await confirmed.take(1)
        assert told.body["data"]["order_id"] == first["id"]
        assert alert.body["data"]["sku"] == "LAMP"
        assert alert.body["data"]["available"] == 2
        assert next_told.body["data"]["order_id"] == second["id"]
        assert await confirmed.drained() == await alerts.drained() == []
