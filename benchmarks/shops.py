"""Shops to measure on: small ones made through the services, copied for each use."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import itertools
import json
import random
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.load import Source, pieces
from storekeeper.app import Shop, open_shop
from storekeeper.config import Settings
from storekeeper.domain import catalog
from storekeeper.domain.catalog import Product, ProductDetails
from storekeeper.domain.changes import ChangeSet, Claim, Put
from storekeeper.domain.money import Money
from storekeeper.domain.stock import MAIN, Movement
from storekeeper.domain.types import ProductId
from storekeeper.services.base import BY_SYSTEM
from storekeeper.store.sqlite import schema

FOLDER = Path("build/bench")
CUSTOMERS = 8
SMALL = 1_000
PASSWORD = "benchmark customers only"
PLENTY = 9_000_000
# Distinct orders that are built beforehand; each is sent many times under other keys.
VARIETY = 2_000
CHUNK = 100


def settings_for(database: Path) -> Settings:
    return Settings(database=str(database))


def folder_of(name: str) -> Path:
    """A fresh folder for one benchmark's files, on the disk that is measured."""
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def schema_name() -> str:
    """Changes with the tables, so that a shop of an older form isn't used again."""
    return hashlib.sha256("".join(schema.MIGRATIONS).encode()).hexdigest()[:8]


def small_shop(products: int = SMALL) -> Path:
    """A shop with so many products with plenty of stock and a few customers; made once."""
    kept = FOLDER / f"small-{products}-{schema_name()}" / "shop.db"
    if not kept.exists():
        draft = folder_of(f"draft-{products}") / "shop.db"
        asyncio.run(fill(draft, products))
        shutil.rmtree(kept.parent, ignore_errors=True)
        draft.parent.rename(kept.parent)
    return kept


def copy_of(shop: Path, folder: Path, name: str = "shop") -> Path:
    """The shop's files under another name; the secret key goes along."""
    place = folder / name
    shutil.copytree(shop.parent, place)
    return place / shop.name


def sku(number: int) -> str:
    return f"SKU-{number:07d}"


def skus(count: int) -> list[str]:
    """The SKUs of the first so many products."""
    return [sku(number) for number in range(count)]


async def fill(database: Path, products: int) -> None:
    """Makes a shop with so many products with plenty of stock, and a few customers."""
    async with open_shop(settings_for(database)) as shop:
        await shop.prepare()
        await add_customers(shop)
        for start in range(0, products, CHUNK):
            await add_products(shop, range(start, min(products, start + CHUNK)))


async def add_customers(shop: Shop) -> None:
    for number in range(CUSTOMERS):
        await shop.accounts.create(
            BY_SYSTEM,
            email=email(number),
            name=f"Customer {number}",
            role="customer",
            password=PASSWORD,
        )


async def add_products(shop: Shop, numbers: Sequence[int], on_hand: int = PLENTY) -> None:
    """Products by number, each with its opening stock, in one commit."""
    now = shop.tools.clock()
    products = [a_product(number, ProductId(shop.tools.new_id()), now) for number in numbers]
    await shop.store.commit(
        ChangeSet(
            puts=tuple(Put(product) for product in products),
            claims=tuple(
                Claim(scope=scope, value=value, owner=product.id)
                for product in products
                for scope, value in catalog.claims(product).items()
            ),
            movements=tuple(
                Movement(
                    id=shop.tools.new_id(),
                    product_id=product.id,
                    location_id=MAIN,
                    on_hand=on_hand,
                    reserved=0,
                    reason="received",
                    at=now,
                    by="system",
                )
                for product in products
            ),
        )
    )


def a_product(number: int, id: ProductId, now: Any) -> Product:
    """A product of ordinary size, told from others by its number."""
    return catalog.create(details(number), id=id, now=now)


def details(number: int) -> ProductDetails:
    return ProductDetails(
        sku=sku(number),
        name=f"{_COLOURS[number % 7]} {_THINGS[number % 11]} number {number}",
        price=Money(amount=100 + number % 9_900, currency="GBP"),
        description=f"A {_THINGS[number % 11].lower()} that is made to last, item {number}.",
        category=_CATEGORIES[number % 5],
        tags=(_COLOURS[number % 7].lower(),),
        low_stock_threshold=5,
    )


def email(number: int) -> str:
    return f"customer{number}@example.com"


def post(port: int, path: str, body: Any, token: str = "") -> Any:
    """One request outside of any measurement; raises unless it is answered well."""
    return call(port, "POST", path, body, token)


def call(port: int, method: str, path: str, body: Any = None, token: str = "") -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path} was answered {answer.status}: {content!r}")
        return json.loads(content) if content[:1] in (b"{", b"[") else content.decode()
    finally:
        connection.close()


def log_in(port: int, who: int = 0) -> str:
    """The access token of one of the shop's customers, through the API."""
    answer = post(port, "/auth/login", {"email": email(who), "password": PASSWORD})
    token: str = answer["access_token"]
    return token


def log_all_in(port: int) -> list[str]:
    return [log_in(port, number) for number in range(CUSTOMERS)]


def orders(
    tokens: Sequence[str],
    skus: Sequence[str],
    *,
    lines: int = 3,
    quantity: int = 1,
    seed: int = 1,
    variety: int = VARIETY,
) -> Source:
    """Confirmed orders of `lines` different SKUs each, all under keys of their own."""
    draw = random.Random(seed)
    built = []
    for number in range(variety):
        chosen = draw.sample(skus, lines)
        body = {
            "lines": [{"sku": one, "quantity": quantity} for one in chosen],
            "confirm": True,
        }
        head, tail = pieces(
            "POST",
            "/orders",
            token=tokens[number % len(tokens)],
            body=json.dumps(body, separators=(",", ":")).encode(),
        )
        built.append((head + b"idempotency-key: ", b"\r\n" + tail))
    prefix = uuid.uuid4().hex.encode()
    turns = itertools.cycle(built)
    numbers = itertools.count()

    def source() -> tuple[bytes, Any]:
        head, tail = next(turns)
        key = b"%s-%d" % (prefix, next(numbers))
        return head + key + tail, key

    return source


_COLOURS = ("Red", "Green", "Blue", "White", "Black", "Pink", "Ivory")
_THINGS = (
    "Lantern", "Mug", "Bowl", "Candle", "Clock", "Basket", "Lamp", "Tray", "Frame", "Apron", "Doormat",
)  # fmt: skip
_CATEGORIES = ("Kitchen", "Living", "Garden", "Gifts", "Bath")


def metric(port: int, name: str, **labels: str) -> float:
    """A figure of /metrics; 0 where it hasn't been counted yet."""
    wanted = f"{name}{{" if labels else f"{name} "
    for line in call(port, "GET", "/metrics").splitlines():
        if line.startswith(wanted) and all(f'{k}="{v}"' in line for k, v in labels.items()):
            return float(line.rpartition(" ")[2])
    return 0.0


def verify(database: Path) -> int:
    """How many differences there are between the stock, the ledger and the orders."""

    async def differences() -> int:
        async with open_shop(settings_for(database)) as shop:
            return len(await shop.store.verify())

    return asyncio.run(differences())


def clean() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
