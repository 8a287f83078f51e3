"""The gateway lets through what the application answers, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from deploy.aws.routes import costly_of
from storekeeper.app import open_shop
from storekeeper.app.serving import make_asgi
from storekeeper.config import Settings
from tests.deploy.templates import Assembly

FOR_OPERATORS = {"/healthz", "/readyz", "/metrics"}


@pytest.fixture
async def shop(tmp_path: Path) -> Litestar:
    async with open_shop(Settings(database=str(tmp_path / "shop.db"))) as opened:
        return make_asgi(opened)


def keys(assembly: Assembly) -> set[str]:
    return {one["RouteKey"] for one in assembly.of_type("gateway", "ApiGatewayV2::Route").values()}


async def test_each_operation_of_the_api_has_a_route_of_its_own(
    shop: Litestar, full: Assembly
) -> None:
    document = shop.state.documentation.document
    wanted = {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in item
        if path not in FOR_OPERATORS
    }
    of_pages = {key for key in costly_of(shop) if key.partition(" ")[2] not in document["paths"]}
    assert {key for key in keys(full) if not key.startswith("ANY ")} == wanted | of_pages
    assert len(wanted) > 70


async def test_every_page_is_let_through(shop: Litestar, least: Assembly) -> None:
    allowed = keys(least)
    document = shop.state.documentation.document
    for route in shop.routes:
        if not isinstance(route, HTTPRoute) or route.path_format in document["paths"]:
            continue
        first, _, rest = route.path_format.lstrip("/").partition("/")
        assert (f"ANY /{first}/{{proxy+}}" if rest else f"ANY /{first}") in allowed


def test_what_operators_ask_is_not_let_through(full: Assembly) -> None:
    assert not {key.partition(" ")[2] for key in keys(full)} & FOR_OPERATORS
    assert "$default" not in keys(full)


def test_tokens_of_the_pool_are_asked_for_where_somebody_is_needed(full: Assembly) -> None:
    kinds = {
        one["RouteKey"]: one["AuthorizationType"]
        for one in full.of_type("gateway", "ApiGatewayV2::Route").values()
    }
    assert kinds["GET /orders"] == kinds["POST /products"] == kinds["GET /users/me"] == "JWT"
    # Guests order, and whoever registers has no token yet.
    assert kinds["GET /products"] == kinds["POST /orders"] == kinds["POST /users"] == "NONE"
    assert kinds["ANY /admin/{proxy+}"] == "NONE"


def test_without_a_pool_the_shop_looks_at_tokens_itself(least: Assembly) -> None:
    routes = least.of_type("gateway", "ApiGatewayV2::Route").values()
    assert {one["AuthorizationType"] for one in routes} == {"NONE"}
    assert not least.of_type("gateway", "ApiGatewayV2::Authorizer")


def test_routes_that_cost_most_are_held_back_soonest(shop: Litestar, full: Assembly) -> None:
    stage = full.the("gateway", "ApiGatewayV2::Stage")
    general = stage["DefaultRouteSettings"]["ThrottlingRateLimit"]
    costly = costly_of(shop)
    # Whoever guesses passwords takes the page where the API is held back.
    assert costly == {
        *("POST /auth/login", "POST /auth/forgot", "POST /auth/reset", "POST /users"),
        *("POST /shop/login", "POST /shop/forgot", "POST /reset", "POST /shop/register"),
    }
    assert stage["RouteSettings"].keys() == costly <= keys(full)
    for key in costly:
        assert stage["RouteSettings"][key]["ThrottlingRateLimit"] < general / 10
