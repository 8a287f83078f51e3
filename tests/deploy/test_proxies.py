"""A shop behind nginx and Caddy as `deploy/single` sets them up, and servers that are replaced one
after the other while customers order."""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.cli.terminal import PATIENCE_S, Served, Terminal
from tests.deploy import proxies
from tests.deploy.customers import assert_all_there_once, ordering, stock_up
from tests.support import tables
from tools.engines.launch import CREDENTIALS, free_port


class Node:
    """One of several servers of a shop, with a folder and so a log of its own."""

    def __init__(self, folder: Path, name: str, **environment: str) -> None:
        place = folder / name
        place.mkdir()
        self.terminal = Terminal(place)
        self.terminal.environment |= {
            "STOREKEEPER_DATABASE": str(folder / "shop.db"),
            "STOREKEEPER_CURRENCY": "GBP",
            "STOREKEEPER_PUBLIC_URL": f"https://{proxies.DOMAIN}",
            "STOREKEEPER_TRUSTED_PROXIES": "127.0.0.1",
            **environment,
        }

    @property
    def orders(self) -> int:
        """How many it took, by its log."""
        lines = self.terminal.errors().splitlines()
        return sum('"method":"POST"' in line and '"status":201' in line for line in lines)


def address(served: Served) -> str:
    return served.url.removeprefix("http://")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    node = Node(tmp_path_factory.mktemp("proxied"), "node", STOREKEEPER_REQUESTS_PER_MINUTE="60")
    node.terminal.ok("init")
    with node.terminal.serving() as served:
        yield served


@pytest.fixture(params=["nginx", "caddy"])
def proxied(request: pytest.FixtureRequest, shop: Served, tmp_path: Path) -> Iterator[httpx.Client]:
    with contextlib.ExitStack() as stack:
        trust: bool | ssl.SSLContext = True
        if request.param == "nginx":
            running = stack.enter_context(proxies.nginx(tmp_path / "nginx", [address(shop)]))
            url, trust = running.url, running.trust
        else:
            url = stack.enter_context(proxies.caddy(tmp_path / "caddy", address(shop)))
        yield stack.enter_context(httpx.Client(verify=trust, trust_env=False, base_url=url))


def test_what_is_for_operators_is_kept_from_the_public(shop: Served, proxied: httpx.Client) -> None:
    for path in ("/metrics", "/readyz"):
        assert shop.get(path).status_code == 200
        ways = (path, f"{path}/", f"{path}/x", f"/{path}", f"/.{path}", f"/x/..{path}")
        for way in (*ways, path.replace("m", "%6d").replace("r", "%72"), path.upper()):
            raw = proxied.build_request("GET", "/")
            raw.url = raw.url.copy_with(raw_path=way.encode())
            assert proxied.send(raw).status_code == 404, way
    answer = proxied.get("/healthz")
    assert answer.status_code == 200
    assert "max-age" in answer.headers["strict-transport-security"]


def test_clients_are_told_apart_by_their_own_address_and_not_by_what_they_say(
    shop: Served, proxied: httpx.Client
) -> None:
    def left_for(address: str, ask: Callable[..., httpx.Response]) -> int:
        answer = ask("/products", headers={"X-Forwarded-For": address})
        (left,) = re.findall(r"r=(\d+)", answer.headers["ratelimit"])
        return int(left)

    assert left_for("192.0.2.1", proxied.get) > left_for("192.0.2.2", proxied.get)
    # The proxy itself is believed.
    assert left_for("192.0.2.3", shop.get) == left_for("192.0.2.4", shop.get)


def test_a_body_of_more_than_a_megabyte_gets_to_the_shop(proxied: httpx.Client) -> None:
    """nginx alone would refuse it; the bounds are the shop's (`max_body_bytes`, uploads)."""
    answer = proxied.post("/orders", content=b" " * 2_000_000)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "malformed"


def test_a_body_that_is_too_large_is_refused_in_the_shops_own_words(proxied: httpx.Client) -> None:
    """The shop answers while the proxy still sends; a 502 would say nothing, and be tried again."""
    for size in (*[3_000_000] * 4, *[30_000_000] * 2):
        refused = proxied.post("/orders", content=b" " * size)
        assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")


def test_plain_http_is_led_to_tls(shop: Served, tmp_path: Path) -> None:
    with proxies.nginx(tmp_path / "nginx", [address(shop)]) as running:
        answer = httpx.get(f"{running.plain}/shop?q=a", headers={"Host": proxies.DOMAIN})
        assert answer.status_code == 308
        assert answer.headers["location"] == f"https://{proxies.DOMAIN}/shop?q=a"


def test_caddy_lets_customers_wait_while_no_server_is_there(tmp_path: Path) -> None:
    """As in containers, where nobody holds the socket while one is replaced."""
    port = free_port()
    node = Node(tmp_path, "node")
    with (
        proxies.caddy(tmp_path / "caddy", f"127.0.0.1:{port}") as url,
        ThreadPoolExecutor(1) as waiting,
    ):
        answer = waiting.submit(httpx.get, f"{url}/healthz", timeout=PATIENCE_S)
        with pytest.raises(TimeoutError):
            answer.result(0.5)
        with node.terminal.serving("--port", str(port)):
            assert answer.result().status_code == 200


REPLACED = {"STOREKEEPER_REQUESTS_PER_MINUTE": "0", "STOREKEEPER_DRAIN_SECONDS": "1"}


def machine(folder: Path, name: str) -> Node:
    """A node with a replica of its own of a shop in tables that all share, as machines at AWS are."""
    shared = {f"STOREKEEPER_{key.upper()}": one for key, one in tables.settings_of(folder).items()}
    own = {"STOREKEEPER_DATABASE": str(folder / name / "shop.db")}
    return Node(folder, name, **REPLACED, **CREDENTIALS, **shared, **own)


def test_servers_are_replaced_one_after_the_other_and_nobody_notices(tmp_path: Path) -> None:
    """Each is taken out of nginx's list, told to end and replaced by the next, as docs/single.md
    has it."""
    nodes = [Node(tmp_path, name, **REPLACED) for name in ("a", "b", "c", "d")]
    nodes[0].terminal.ok("init")
    stock_up(nodes[0].terminal)
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(node.terminal.serving()) for node in nodes[:2])
        both = [address(first), address(second)]
        running = stack.enter_context(proxies.nginx(tmp_path / "nginx", both))
        with ordering(running.url, pause_s=0.02, verify=running.trust) as told:
            told.grows(30)

            running.reload([address(second)])
            assert first.stop() == 0
            third = stack.enter_context(nodes[2].terminal.serving())
            running.reload([address(second), address(third)])
            told.grows(30)

            running.reload([address(third)])
            assert second.stop() == 0
            # One that is gone and named still harms nobody.
            running.reload([address(second), address(third)])
            told.grows(30)
            fourth = stack.enter_context(nodes[3].terminal.serving())
            running.reload([address(third), address(fourth)])
            told.grows(30)
    assert min(node.orders for node in nodes) > 0, "each had its share"
    assert "refused" in running.log()
    assert_all_there_once(told, tmp_path / "shop.db")
    assert len(told.orders) == sum(node.orders for node in nodes)


def test_machines_that_share_tables_are_replaced_as_at_aws_and_nobody_notices(
    tmp_path: Path,
) -> None:
    """A new one with nothing of its own has to serve before an old one gets no more requests; only
    then the old one is told to end, with those under way that it has."""
    first, second, third, fourth, later = (machine(tmp_path, name) for name in "abcde")
    first.terminal.ok("init")
    stock_up(first.terminal)
    with contextlib.ExitStack() as stack:
        old, kept = (stack.enter_context(one.terminal.serving()) for one in (first, second))
        running = stack.enter_context(
            proxies.nginx(tmp_path / "nginx", [address(old), address(kept)])
        )
        with ordering(running.url, pause_s=0.02, verify=running.trust) as told:
            told.grows(30)
            for node in (third, fourth):
                new = stack.enter_context(node.terminal.serving())
                running.reload([address(old), address(kept), address(new)])
                told.grows(10)
                running.reload([address(kept), address(new)])
                assert old.stop() == 0
                old, kept = kept, new
                told.grows(20)
    served = (first, second, third, fourth)
    assert min(node.orders for node in served) > 0, "each had its share"
    assert len(told.orders) == sum(node.orders for node in served)
    # What the tables hold, by a machine that makes its replica only now.
    later.terminal.ok("verify")
    later.terminal.ok("export", "orders")
    (replica,) = later.terminal.folder.glob("*-replica.db")
    assert_all_there_once(told, replica)
