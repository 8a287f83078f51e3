"""Admins look after webhooks and what was sent from the pages; how the shop does is to be seen."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from storekeeper import __version__
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.domain.work import Delivery, WebhookEndpoint
from storekeeper.notify.port import Outcome
from tests.api.shopfront import Seed
from tests.support.clock import START
from tests.web.desk import Desk, desk_at, text_of

NOTIFICATIONS = "/admin/notifications"
DELIVERIES = f"{NOTIFICATIONS}/deliveries"
SYSTEM = "/admin/system"
URL = "https://hooks.example/in"


async def endpoint_of(desk: Desk) -> WebhookEndpoint:
    found = await desk.front.shop.store.list_all(WebhookEndpoint, limit=10)
    (endpoint,) = found.items
    return endpoint


async def added(desk: Desk) -> tuple[str, str]:
    """The page of a new endpoint, and the secret that was shown."""
    made = await desk.send(NOTIFICATIONS, "/notifications", status=200, url=URL)
    return f"{NOTIFICATIONS}/{(await endpoint_of(desk)).id}", secret_in(made.text)


def secret_in(page: str) -> str:
    found = re.search(r'<code class="long">([^<]+)</code>', page)
    assert found is not None
    return html.unescape(found[1])


def dead(number: int, sink: str = "mail") -> Delivery:
    return Delivery(
        id=f"{sink}|event-{number}",
        version=1,
        sink=sink,
        event_id=f"event-{number}",
        event_seq=number,
        kind="order.placed",
        subject=f"order:{number}",
        state="dead",
        attempts=12,
        at=START,
        status_code=500,
        error="<answered nonsense>",
    )


async def keep(desk: Desk, *deliveries: Delivery) -> None:
    # Nothing sends them meanwhile: the tests are about what is recorded.
    await desk.front.shop.background.stop()
    await desk.front.shop.store.commit(
        ChangeSet(puts=tuple(Put(delivery) for delivery in deliveries))
    )


async def state_of(desk: Desk, delivery: Delivery) -> str:
    found = await desk.front.shop.store.get(Delivery, delivery.id)
    assert found is not None
    return found.state


async def test_staff_dont_see_where_events_go(staff: Desk):
    await staff.page(NOTIFICATIONS, status=403)
    await staff.page(DELIVERIES, status=403)


async def test_an_endpoint_is_added_once_and_its_secret_shown_then(desk: Desk):
    page = await desk.page(NOTIFICATIONS)
    fields = {"kinds": ["order.placed", "stock.low"]}
    made = await desk.send("", "/notifications", fields, page=page, status=200, url=URL)
    await desk.send("", "/notifications", fields, page=page, status=200, url=URL)
    endpoint = await endpoint_of(desk)
    assert endpoint.kinds == ("order.placed", "stock.low")
    assert secret_in(made.text) == endpoint.secrets[0]
    assert made.headers["cache-control"] == "no-store"
    for address in (NOTIFICATIONS, f"{NOTIFICATIONS}/{endpoint.id}"):
        shown = await desk.page(address)
        assert URL in shown
        assert endpoint.secrets[0] not in shown


@pytest.mark.parametrize("url", ["", "nonsense", "https://127.0.0.1/hooks"])
async def test_an_address_that_cant_be_is_told_beside_the_field(desk: Desk, url: str):
    wrong = await desk.send(
        NOTIFICATIONS, "/notifications", status=422, url=url, description="<till>"
    )
    assert 'id="url-wrong"' in wrong.text
    assert 'value="&lt;till&gt;"' in wrong.text


async def test_an_event_that_never_goes_out_cant_be_chosen(desk: Desk):
    fields = {"kinds": ["account.registered"]}
    wrong = await desk.send(NOTIFICATIONS, "/notifications", fields, status=422, url=URL)
    assert "account.registered" in text_of(wrong.text)


async def test_a_new_secret_signs_beside_the_old_one_until_that_is_dropped(desk: Desk):
    address, first = await added(desk)
    page = await desk.page(address)
    rotated = await desk.send("", "/rotate", page=page, status=200)
    await desk.send("", "/rotate", page=page, status=200)
    second = secret_in(rotated.text)
    assert (await endpoint_of(desk)).secrets == (second, first)
    assert second not in await desk.page(address)
    await desk.send(address, "/drop")
    assert (await endpoint_of(desk)).secrets == (second,)


async def test_an_endpoint_is_paused_resumed_and_deleted_after_a_question(desk: Desk):
    address, _ = await added(desk)
    await desk.send(address, "/pause")
    assert not (await endpoint_of(desk)).active
    assert "paused" in await desk.look(NOTIFICATIONS)
    await desk.send(address, "/resume")
    assert (await endpoint_of(desk)).active
    question = await desk.page(f"{address}/delete")
    assert URL in question
    await desk.send("", "/delete", page=question)
    await desk.send("", "/delete", page=question)
    await desk.page(address, status=404)


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Outcome(delivered=True, status_code=204), "204"),
        (Outcome(delivered=False, error="nobody answered"), "nobody answered"),
    ],
)
async def test_a_test_tells_how_it_went(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, told: str
):
    address, _ = await added(desk)

    async def ping(*_: object) -> Outcome:
        return outcome

    monkeypatch.setattr(desk.front.shop.webhooks, "_ping", ping)
    await desk.send(address, "/ping")
    assert told in await desk.look(address)


async def test_deliveries_are_listed_by_state_and_sink(desk: Desk):
    other = dead(2, "sns-orders")
    await keep(desk, dead(1), other)
    everything = await desk.look(DELIVERIES)
    assert "order:1" in everything
    assert "<answered nonsense>" in everything
    assert "order:2" in everything
    one = await desk.look(f"{DELIVERIES}?state=dead&sink=mail")
    assert "order:1" in one
    assert "order:2" not in one
    assert "No delivery fits" in await desk.look(f"{DELIVERIES}?state=failing")
    assert "no such state" in await desk.look(f"{DELIVERIES}?state=lost", status=422)
    assert "cursor" in await desk.look(f"{DELIVERIES}?cursor=nonsense", status=422)


async def test_a_dead_letter_is_sent_again(desk: Desk):
    first, second = dead(1), dead(2)
    await keep(desk, first, second)
    # The newest stands first.
    back = await desk.send(f"{DELIVERIES}?state=dead", "/replay")
    assert back.headers["location"] == f"{DELIVERIES}?state=dead"
    assert await state_of(desk, second) == "failing"
    assert await state_of(desk, first) == "dead"


async def test_all_dead_letters_of_one_channel_are_sent_again(desk: Desk):
    first, second, other = dead(1), dead(2), dead(3, "sns-orders")
    await keep(desk, first, second, other)
    await desk.send(f"{DELIVERIES}?state=dead&sink=mail", "/replay-dead")
    assert "2 deliveries" in await desk.look(DELIVERIES)
    states = [await state_of(desk, one) for one in (first, second, other)]
    assert states == ["failing", "failing", "dead"]


async def test_what_cant_be_sent_again_is_told(desk: Desk):
    """Its endpoint was deleted."""
    gone = dead(1, "webhook:gone")
    await keep(desk, gone)
    await desk.send(DELIVERIES, "/replay")
    assert "was deleted" in await desk.look(DELIVERIES)
    assert await state_of(desk, gone) == "dead"


async def test_staff_see_how_the_shop_does_but_not_its_settings(staff: Desk):
    await keep(staff, dead(1))
    text = await staff.look(SYSTEM)
    assert __version__ in text
    page = await staff.page(SYSTEM)
    assert re.search(r'id="storekeeper_dead_letters">1<', page)
    assert "reservation_seconds" not in text


async def test_admins_see_the_settings_without_secrets(tmp_path: Path, seed: Seed):
    async with desk_at(tmp_path, seed, "root") as desk:
        shop = desk.front.shop
        text = await desk.look("/admin/settings")
        assert f"requests_per_minute {shop.settings.requests_per_minute}" in text
        for secret in shop.secrets:
            assert str(secret) not in text


async def test_a_store_in_trouble_is_told_instead_of_hiding_the_page(
    staff: Desk, monkeypatch: pytest.MonkeyPatch
):
    async def away(*_: object) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(staff.front.shop.store, "check_writable", away)
    monkeypatch.setattr(staff.front.shop.store, "low_count", away)
    text = await staff.look(SYSTEM)
    assert "the disk is full" in text
    assert "there are no figures now" in text


async def test_each_store_answers_these_pages_alike(tmp_path: Path, seed_of_each_store: Seed):
    async with desk_at(tmp_path, seed_of_each_store, "root") as desk:
        people = await desk.look("/admin/people?role=staff")
        assert "sam@example.com" in people
        assert "ada@example.com" not in people
        await added(desk)
        assert URL in await desk.look(NOTIFICATIONS)
        letter = dead(1)
        await keep(desk, letter)
        await desk.send(f"{DELIVERIES}?state=dead&sink=mail", "/replay")
        assert await state_of(desk, letter) == "failing"
        assert "Dead letters 0" in await desk.look(SYSTEM)
