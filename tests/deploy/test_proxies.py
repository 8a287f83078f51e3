"""A shop behind nginx and Caddy as `deploy/single` sets them up, and servers that are replaced one
after the other while customers order."""

from __future__ import annotations

import contextlib
import re
import signal
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.cli.terminal import PATIENCE_S, Served, Terminal, eventually
from tests.deploy import proxies
from tests.deploy.customers import (
    Told,
    assert_all_there_once,
    assert_stock_is_conserved,
    ordering,
    stock_up,
)
from tests.support import tables
from tools.engines.launch import free_port


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
    def file(self) -> Path:
        """Of the shop; of one in tables, what this server has read of them."""
        file = Path(self.terminal.environment["STOREKEEPER_DATABASE"])
        prefix = self.terminal.environment.get("STOREKEEPER_DYNAMODB_PREFIX")
        return file if prefix is None else file.with_name(f"{prefix}replica.db")

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


def node_on(engine: str, folder: Path, name: str, **environment: str) -> Node:
    """One of the servers of the shop in `folder`, which takes whatever number of requests comes."""
    environment["STOREKEEPER_REQUESTS_PER_MINUTE"] = "0"
    if engine == "dynamodb":
        own = str(folder / name / "shop.db")
        environment |= tables.environment_of(folder) | {"STOREKEEPER_DATABASE": own}
    return Node(folder, name, **environment)


class Replacing:
    """Four servers of a shop, of which the first two serve."""

    def __init__(self, nodes: list[Node], stack: contextlib.ExitStack) -> None:
        self.nodes = nodes
        self._stack = stack
        self.first, self.second = self.start(0), self.start(1)

    def start(self, number: int) -> Served:
        """It serves when this returns."""
        served = self._stack.enter_context(self.nodes[number].terminal.serving())
        assert served.get("/readyz").status_code == 200
        return served


def by_hand(at: Replacing, running: proxies.Nginx, told: Told) -> None:
    """Each is taken out of nginx's list, told to end and replaced by the next, as docs/single.md
    has it."""
    running.reload([address(at.second)])
    assert at.first.stop() == 0
    third = at.start(2)
    running.reload([address(at.second), address(third)])
    told.grows(30)

    running.reload([address(third)])
    assert at.second.stop() == 0
    # One that is gone and named still harms nobody.
    running.reload([address(at.second), address(third)])
    told.grows(30)
    assert "refused" in running.log()
    fourth = at.start(3)
    running.reload([address(third), address(fourth)])


def by_the_group(at: Replacing, running: proxies.Nginx, told: Told) -> None:
    """The next one serves before one goes, as the auto scaling group has it; nobody would be spared
    a server that ends too early, as the load balancer tries no other."""
    third = at.start(2)
    running.reload([address(at.first), address(at.second), address(third)])
    # Deregistered: it gets no new request, and ends when it has answered those that it had.
    running.reload([address(at.second), address(third)])
    assert at.first.stop() == 0
    told.grows(30)

    fourth = at.start(3)
    running.reload([address(at.second), address(third), address(fourth)])
    # One that ends by itself: the balancer hears of it at /readyz, and sends requests until then.
    at.second.process.send_signal(signal.SIGTERM)
    eventually(lambda: at.second.get("/readyz").status_code == 503)
    taken = at.nodes[1].orders
    eventually(lambda: told.failures or at.nodes[1].orders > taken)
    running.reload([address(third), address(fourth)])
    # Instead of waiting for the rest of the time in which it would serve on.
    assert at.second.stop(signal.SIGINT) == 0


@pytest.mark.parametrize(
    ("engine", "replace", "like"),
    [("sqlite", by_hand, {}), ("dynamodb", by_the_group, proxies.AS_AMAZONS)],
    ids=["a file, by hand", "tables, by the group"],
)
def test_servers_are_replaced_one_after_the_other_and_nobody_notices(
    engine: str,
    replace: Callable[[Replacing, proxies.Nginx, Told], None],
    like: dict[str, str],
    tmp_path: Path,
) -> None:
    serving_on = {"b": "20"} if replace is by_the_group else {}
    nodes = [
        node_on(engine, tmp_path, name, STOREKEEPER_DRAIN_SECONDS=serving_on.get(name, "0"))
        for name in ("a", "b", "c", "d")
    ]
    nodes[0].terminal.ok("init")
    stock_up(nodes[0].terminal)
    with contextlib.ExitStack() as stack:
        at = Replacing(nodes, stack)
        both = [address(at.first), address(at.second)]
        running = stack.enter_context(proxies.nginx(tmp_path / "nginx", both, like=like))
        with ordering(running.url, pause_s=0.02, verify=running.trust) as told:
            told.grows(30)
            replace(at, running, told)
            told.grows(30)
    assert min(node.orders for node in nodes) > 0, "each had its share"
    assert len(told.orders) == sum(node.orders for node in nodes)
    # By one that hasn't seen any of it: what it finds is in the file or in the tables.
    later = node_on(engine, tmp_path, "later")
    later.terminal.ok("verify")
    assert_all_there_once(told, later.file)
    assert_stock_is_conserved(told, later.file)
