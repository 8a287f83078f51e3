"""What a shop on DynamoDB pays: request units and dollars, per operation and per thousand orders."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import statistics
import tomllib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec

from benchmarks import dynamodb_shops, shops
from benchmarks.dynamodb_units import Charge, Meter, metered
from benchmarks.report import Report, shown
from benchmarks.run import Run
from storekeeper.app import Shop, build_shop, open_shop
from storekeeper.app.serving import make_asgi
from storekeeper.config import Settings
from storekeeper.domain.orders import Order
from storekeeper.domain.types import OrderId, Struct

TITLE = "request units and dollars of the DynamoDB engine, per operation and per thousand orders"
PRICES = Path(__file__).with_name("dynamodb_prices.toml")
PRODUCTS = 300
LINES = (1, 3, 15, 100)
BATCH = 25
# Each operation is done so often, and the median told: a node looks at the log four times a second
# beside it, which is told on a line of its own.
TIMES = 9
IDLE_S = 20.0
# What a node does once after its start isn't what it does idle.
SETTLE_S = 3.0
SHOWN_S = 120.0
HOUR_S = 3_600
MONTH_H = 730


class Cost(Struct, frozen=True, kw_only=True):
    """Request units of one operation; `writes` are the requests that write."""

    write: float
    read: float
    writes: float


class Till:
    """A shop with a client that is charged for what it asks."""

    def __init__(self, meter: Meter, shop: Shop, http: httpx.AsyncClient) -> None:
        self.meter = meter
        self.shop = shop
        self._http = http
        self._numbers = itertools.count()
        self._headers: dict[str, str] = {}

    async def enter(self, email: str) -> None:
        """Whose requests the following are."""
        body = {"email": email, "password": shops.PASSWORD}
        token = (await self.ask("POST", "/auth/login", body))["access_token"]
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = await self._http.request(
            method, path, json=body, headers={**self._headers, **headers}
        )
        if answer.status_code >= 300:
            raise RuntimeError(f"{method} {path} was answered {answer.status_code}: {answer.text}")
        return answer.json()

    async def place(self, lines: int, *, confirm: bool = True) -> str:
        """An order of so many SKUs, the same ones each time, under a key of its own."""
        body = {
            "lines": [{"sku": sku, "quantity": 1} for sku in shops.skus(lines)],
            "confirm": confirm,
        }
        return str((await self.ask("POST", "/orders", body, **{"Idempotency-Key": _key()}))["id"])

    async def change(self, how: str, body: Any = None) -> Cost:
        """A change of an order of three lines that stands already."""
        ready = [await self.place(3, confirm=how != "confirm") for _ in range(TIMES)]
        turns = iter(ready)
        return await self.cost(lambda: self.ask("POST", f"/orders/{next(turns)}/{how}", body))

    async def cost(self, act: Callable[[], Awaitable[Any]], times: int = TIMES) -> Cost:
        found = []
        for _ in range(times):
            self.meter.take()
            await act()
            found.append(summed(self.meter.take()))
        return Cost(
            write=statistics.median_low([one.write for one in found]),
            read=statistics.median_low([one.read for one in found]),
            writes=statistics.median_low([one.writes for one in found]),
        )

    def number(self) -> int:
        return next(self._numbers)


def run(run: Run, report: Report) -> None:
    folder = shops.folder_of("dynamodb-cost")
    prices = tomllib.loads(PRICES.read_text())
    with dynamodb_shops.local_engine(report) as url, metered() as meter:
        if not url:
            return
        settings = dynamodb_shops.settings_at(folder / "a", url, dynamodb_shops.new_prefix())
        dynamodb_shops.make_shop(settings, PRODUCTS)
        asyncio.run(_orders(settings, meter, report, prices))
        asyncio.run(_others(settings, meter, report, prices))
        for views in (False, True):
            asyncio.run(_told(settings, meter, report, prices, views=views))
        first = msgspec.structs.replace(settings, notify_console=True)
        other = msgspec.structs.replace(first, database=str(folder / "b" / "shop.db"))
        Path(other.database).parent.mkdir()
        seconds = max(5.0, IDLE_S * run.scale)
        asyncio.run(_idle([first, other], meter, report, prices, seconds))
    report.notes.append(
        "units are reckoned from the items that went over the wire, by Amazon's rules; prices are "
        f"of {prices['as_of']} ({PRICES.name})"
    )


async def _orders(settings: Settings, meter: Meter, report: Report, prices: Any) -> None:
    async with _open_till(settings, meter) as till:
        for lines in LINES:
            alone = await till.cost(lambda lines=lines: till.place(lines))  # type: ignore[misc]
            size = await _order_size(till, lines)
            report.figure(_order_of(lines), f"{_told_cost(alone, prices)}; the order has {size} B")
            together = await till.cost(
                lambda lines=lines: asyncio.gather(*(till.place(lines) for _ in range(BATCH)))  # type: ignore[misc]
            )
            each = Cost(
                write=together.write / BATCH,
                read=together.read / BATCH,
                writes=together.writes / BATCH,
            )
            report.figure(f"{_order_of(lines)}, {BATCH} at once, each", _told_cost(each, prices))
            if lines == 3:
                _promise(report, alone, each, size)


def _promise(report: Report, alone: Cost, each: Cost, size: int) -> None:
    """At most 2 units per KB of the order, 2 per stock item and 3 for its events."""
    order, stock, events = 2 * -(-size // 1_024), 2 * 3, 3
    report.target(
        "write units of a three-line order alone", alone.write, "at most", order + stock + events
    )
    report.target(
        f"write units of a three-line order, {BATCH} at once over the same SKUs",
        each.write,
        "at most",
        order + stock / BATCH + events,
    )


async def _others(settings: Settings, meter: Meter, report: Report, prices: Any) -> None:
    async with _open_till(settings, meter) as till:
        order = await till.place(3)
        product = (await till.ask("GET", "/products?limit=1"))["items"][0]["id"]
        for name, cost in (
            ("reserve three lines", await till.cost(lambda: till.place(3, confirm=False))),
            ("confirm", await till.change("confirm")),
            ("cancel", await till.change("cancel", {})),
            ("ship", await till.change("shipments", {})),
            ("adjust stock", await till.cost(lambda: _adjust(till))),
            ("edit a product", await till.cost(lambda: _edit(till, product))),
            ("register", await till.cost(lambda: _register(till))),
            ("log in", await till.cost(lambda: till.enter(dynamodb_shops.ADMIN))),
            ("an order's page", await till.cost(lambda: till.ask("GET", f"/orders/{order}"))),
            ("list of orders", await till.cost(lambda: till.ask("GET", "/orders?limit=50"))),
        ):
            report.figure(name, _told_cost(cost, prices))
        for name, path in (("listing", "/products?limit=50"), ("search", "/products?q=lantern")):
            cost = await till.cost(lambda path=path: till.ask("GET", path))  # type: ignore[misc]
            report.figure(f"{name} of products", _told_cost(cost, prices))
            report.target(f"read units of a {name} beyond following", cost.read, "exactly", 0)


async def _told(
    settings: Settings, meter: Meter, report: Report, prices: Any, *, views: bool
) -> None:
    """Orders one after the other while a channel is told of them, with all background work; `views`:
    and with the tables for other programs kept."""
    orders = 100
    settings = msgspec.structs.replace(settings, notify_console=True, dynamodb_views=views)
    with contextlib.redirect_stdout(io.StringIO()):
        async with _open_till(settings, meter, at_work=True) as till:
            await asyncio.sleep(SETTLE_S)
            # What was sold until now is not what these orders cost.
            await _views_shown(till.shop)
            meter.take()
            for _ in range(orders):
                await till.place(3)
            await asyncio.sleep(SETTLE_S)
            await _views_shown(till.shop)
            found = summed(meter.take())
    each = Cost(write=found.write / orders, read=found.read / orders, writes=found.writes / orders)
    report.figure(
        "three lines, one after the other, one channel told, all work of the node"
        + (", tables for other programs kept" if views else ""),
        _told_cost(each, prices),
    )


async def _views_shown(shop: Shop) -> None:
    """Returns when the tables for other programs, if they are kept, are at the log's end."""
    async with asyncio.timeout(SHOWN_S):
        while (await shop.store.gauges()).get("storekeeper_views_lag_entries"):
            await asyncio.sleep(0.1)


async def _idle(
    nodes: Sequence[Settings], meter: Meter, report: Report, prices: Any, seconds: float
) -> None:
    """Nodes that nobody visits: the first leads (relay with one channel, sweeper, tables for other
    programs), the second only follows. Whether the log has grown meanwhile is told too."""
    grown = 0
    async with contextlib.AsyncExitStack() as opened:
        for settings, name in zip(nodes, ("the first, which leads", "a further one"), strict=True):
            first = meter.sessions
            shop = await asyncio.to_thread(build_shop, settings)
            await opened.enter_async_context(make_asgi(shop).lifespan())
            await asyncio.sleep(SETTLE_S)
            meter.take()
            start = shop.store.followed  # type: ignore[attr-defined]
            await asyncio.sleep(seconds)
            # Only its own: what the nodes before it do now isn't what they did while they were measured.
            found = summed([one for one in meter.take() if one.session >= first])
            grown += shop.store.followed - start  # type: ignore[attr-defined]
            hours = seconds / HOUR_S
            write, read = found.write / hours, found.read / hours
            month = MONTH_H * _dollars(write, read, prices["us-east-1"])
            report.figure(
                f"an idle node in an hour: {name}",
                f"{shown(round(write))} write, {shown(round(read))} read; ${month:.2f} a month",
            )
    report.target("entries that the log of an idle shop grew by", grown, "exactly", 0)


@contextlib.asynccontextmanager
async def _open_till(
    settings: Settings, meter: Meter, *, at_work: bool = False
) -> AsyncIterator[Till]:
    """`at_work`: with everything that a node does beside requests."""
    async with contextlib.AsyncExitStack() as opened:
        if at_work:
            shop = await asyncio.to_thread(build_shop, settings)
        else:
            shop = await opened.enter_async_context(open_shop(settings))
        app = make_asgi(shop)
        if at_work:
            await opened.enter_async_context(app.lifespan())
        http = await opened.enter_async_context(
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=app, client=("192.0.2.7", 5_000)),  # type: ignore[arg-type]
                base_url="http://shop.example",
            )
        )
        till = Till(meter, shop, http)
        await till.enter(dynamodb_shops.ADMIN)
        yield till


async def _order_size(till: Till, lines: int) -> int:
    """Bytes of such an order as it is kept."""
    order = await till.shop.store.get(Order, OrderId(await till.place(lines)))
    return len(msgspec.json.encode(order))


async def _adjust(till: Till) -> None:
    body = {"sku": shops.sku(1), "quantity": 1, "reason": "found"}
    await till.ask("POST", "/stock/adjust", body)


async def _edit(till: Till, product: str) -> None:
    await till.ask("PATCH", f"/products/{product}", {"description": f"Edition {till.number()}"})


async def _register(till: Till) -> None:
    name = f"visitor{till.number()}"
    body = {"email": f"{name}@example.com", "name": name, "password": shops.PASSWORD}
    await till.ask("POST", "/users", body)


def summed(charges: Sequence[Charge]) -> Cost:
    return Cost(
        write=sum(one.write for one in charges),
        read=sum(one.read for one in charges),
        writes=sum(one.write > 0 for one in charges),
    )


def _told_cost(cost: Cost, prices: Any) -> str:
    """For one and for a thousand."""
    dollars = ", ".join(
        f"${1_000 * _dollars(cost.write, cost.read, prices[region]):.4f} {region}"
        for region in ("us-east-1", "eu-west-1")
    )
    return (
        f"{shown(cost.write)} write, {shown(cost.read)} read; a thousand: "
        f"{shown(1_000 * cost.write)} write, {shown(1_000 * cost.read)} read, {dollars}"
    )


def _dollars(write: float, read: float, price: Any) -> float:
    total: float = (write * price["write"] + read * price["read"]) / 1e6
    return total


def _order_of(lines: int) -> str:
    return f"order of {lines} line{'' if lines == 1 else 's'}"


def _key() -> str:
    return uuid.uuid4().hex
