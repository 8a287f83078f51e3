"""A shop on DynamoDB that can't be opened says in one sentence what to change, by the program."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from storekeeper.cli.console import UNAVAILABLE, USAGE
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.store.dynamodb.entries import Copied
from storekeeper.store.dynamodb.log import Log
from storekeeper.store.dynamodb.opening import make_tables
from storekeeper.store.dynamodb.rights import OF_LOG, OF_VIEWS, require_rights
from storekeeper.store.dynamodb.tables import TABLES
from storekeeper.store.sqlite.transfer import Rows
from tests.cli.terminal import Terminal
from tests.contract.engines import prefix_of
from tests.support import faulty_dynamodb as dynamo
from tests.support import local_engines
from tests.support.faulty_dynamodb import Fault, FaultyDynamo
from tests.support.nodes import REGION, node
from tests.support.role import OwnRemote
from tools.engines.launch import CREDENTIALS, free_port

INIT = ("init",)
SERVE = ("serve", "--port", "0")


class Portal(BaseHTTPRequestHandler):
    """A network that answers everything with its own page."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        page = b"<html>Please log in</html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


@pytest.fixture
def proxy() -> Iterator[FaultyDynamo]:
    with FaultyDynamo() as proxy:
        yield proxy


@pytest.fixture
def remote(proxy: FaultyDynamo, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnRemote]:
    local_engines.use_local_credentials(monkeypatch)
    remote = OwnRemote(region=REGION, endpoint=proxy.url)
    yield remote
    remote.close()


@pytest.fixture
def terminal(tmp_path: Path, proxy: FaultyDynamo, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Where everything is as it must be, but for the tables."""
    local_engines.use_local_credentials(monkeypatch)
    terminal = Terminal(tmp_path)
    terminal.environment |= {
        **CREDENTIALS,
        "HOME": str(tmp_path),
        "STOREKEEPER_STORE": "dynamodb",
        "STOREKEEPER_SECRET_KEY": "k" * 48,
        "STOREKEEPER_AWS_REGION": REGION,
        "STOREKEEPER_AWS_ENDPOINT_URL": proxy.url,
        "STOREKEEPER_DYNAMODB_PREFIX": prefix_of(tmp_path),
    }
    return terminal


def with_tables(folder: Path) -> None:
    make_tables(region=REGION, endpoint=local_engines.url("dynamodb"), prefix=prefix_of(folder))


def says(terminal: Terminal, command: tuple[str, ...], *told: str, **environment: str) -> None:
    """The command ends with 3 and one sentence, which names all that is `told`."""
    ended = terminal.run(*command, **environment)
    assert ended.code == UNAVAILABLE, ended.err
    (sentence,) = ended.err.splitlines()
    assert sentence.startswith("storekeeper: ")
    for text in told:
        assert text in sentence


@pytest.mark.parametrize("command", [INIT, SERVE], ids=["init", "serve"])
def test_where_nothing_listens(terminal, command):
    address = f"http://127.0.0.1:{free_port()}"
    says(
        terminal,
        command,
        "can't be reached",
        address,
        "STOREKEEPER_AWS_REGION",
        STOREKEEPER_AWS_ENDPOINT_URL=address,
    )


def test_an_endpoint_that_is_no_address(terminal):
    ended = terminal.run(*SERVE, STOREKEEPER_AWS_ENDPOINT_URL="nowhere")
    assert ended.code == USAGE
    (sentence,) = ended.err.splitlines()
    assert "aws_endpoint_url = 'nowhere' can't be used" in sentence


@pytest.mark.parametrize("field", ["snapshot_endpoint_url", "cloudwatch_endpoint_url"])
def test_another_endpoint_that_is_no_address(terminal, field):
    garbage = {f"STOREKEEPER_{field.upper()}": "garbage"}
    ended = terminal.run(*SERVE, STOREKEEPER_SNAPSHOT_BUCKET="shop-snapshots", **garbage)
    assert ended.code == USAGE
    (sentence,) = ended.err.splitlines()
    assert f"{field} = 'garbage' can't be used" in sentence


@pytest.mark.parametrize("command", [INIT, SERVE], ids=["init", "serve"])
def test_a_page_instead_of_dynamodb(terminal, command):
    with ThreadingHTTPServer(("127.0.0.1", 0), Portal) as portal:
        threading.Thread(target=portal.serve_forever).start()
        try:
            says(
                terminal,
                command,
                "isn't DynamoDB",
                "STOREKEEPER_AWS_ENDPOINT_URL",
                STOREKEEPER_AWS_ENDPOINT_URL=f"http://127.0.0.1:{portal.server_port}",
            )
        finally:
            portal.shutdown()


def test_a_region_that_is_none(terminal):
    says(terminal, INIT, "Mars", "STOREKEEPER_AWS_REGION", STOREKEEPER_AWS_REGION="Mars!")


def test_no_region(terminal):
    for name in ("STOREKEEPER_AWS_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"):
        del terminal.environment[name]
    says(terminal, INIT, "set STOREKEEPER_AWS_REGION")


def test_no_credentials(terminal):
    nothing = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    says(terminal, SERVE, "no AWS credentials", "AWS_PROFILE", **nothing)


def test_a_profile_that_is_not_there(terminal):
    says(
        terminal, INIT, "elsewhere", "STOREKEEPER_AWS_PROFILE", STOREKEEPER_AWS_PROFILE="elsewhere"
    )


def test_missing_tables(terminal):
    says(terminal, SERVE, "there is no table", "storekeeper init", "STOREKEEPER_DYNAMODB_PREFIX")


def test_tables_of_something_else(terminal, tmp_path, proxy):
    remote = OwnRemote(region=REGION, endpoint=local_engines.url("dynamodb"))

    async def make(client):
        await client.create_table(
            TableName=f"{prefix_of(tmp_path)}commits",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )

    async def names(client):
        pages = client.get_paginator("list_tables").paginate()
        return {name async for page in pages for name in page["TableNames"]}

    remote.call(make)
    try:
        for command in (SERVE, INIT):
            says(terminal, command, "isn't one of Storekeeper's", "STOREKEEPER_DYNAMODB_PREFIX")
        made = {name for name in remote.call(names) if name.startswith(prefix_of(tmp_path))}
        assert made == {f"{prefix_of(tmp_path)}commits"}  # `init` leaves nothing behind
        assert proxy.calls["UpdateTimeToLive"] == proxy.calls["UpdateContinuousBackups"] == 0
    finally:
        remote.close()


@pytest.mark.parametrize("command", [SERVE, ("verify",)], ids=["serve", "verify"])
def test_tables_with_half_a_shop(terminal, tmp_path, command):
    with_tables(tmp_path)
    remote = OwnRemote(region=REGION, endpoint=local_engines.url("dynamodb"))
    rows = Rows("claim", ("scope", "value", "owner", "note"), (("sku", "KETTLE", "1", ""),))
    Log(remote, prefix_of(tmp_path)).append_copied(Copied(1, "a copy", 1, rows))
    remote.close()
    says(terminal, command, "isn't finished", "`storekeeper copy` again", "remove the tables")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (dynamo.UNKNOWN, "AWS_PROFILE"),
        (dynamo.UNSIGNED, "secret key"),
        (dynamo.EXPIRED, "renew them"),
        (dynamo.SKEWED, "clock"),
        (dynamo.DENIED, "dynamodb:DescribeTable on"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_what_dynamodb_refuses(terminal, tmp_path, proxy, fault, told):
    with_tables(tmp_path)
    proxy.fail("DescribeTable", fault)
    says(terminal, SERVE, told)


@pytest.mark.parametrize("operation", ["CreateTable", "UpdateTimeToLive"])
def test_a_role_that_may_not_make_the_tables(terminal, tmp_path, proxy, operation):
    proxy.fail(operation, dynamo.DENIED, table="users")
    says(terminal, INIT, f"dynamodb:{operation} on {prefix_of(tmp_path)}users", "docs/dynamodb.md")


def test_rights_that_are_missing_are_told_at_the_start_all_at_once(terminal, tmp_path, proxy):
    """Not when the first customer orders, and not one after the other."""
    with_tables(tmp_path)
    proxy.fail("Query", dynamo.DENIED, table="commits")
    proxy.fail("PutItem", dynamo.DENIED, table="orders")
    prefix = prefix_of(tmp_path)
    missing = (f"dynamodb:Query on {prefix}commits", f"dynamodb:PutItem on {prefix}orders")
    says(terminal, SERVE, *missing, "docs/dynamodb.md")


def test_each_right_is_tried_and_nothing_is_written(remote, tmp_path, proxy):
    with_tables(tmp_path)
    prefix = prefix_of(tmp_path)
    for kind in (OF_LOG, OF_VIEWS):
        for table, actions in kind.items():
            for action in actions:
                proxy.fail(action, dynamo.DENIED, times=1, table=table.name)
                with pytest.raises(StoreUnavailable, match=f"{action} on {prefix}{table.name};"):
                    require_rights(remote, prefix, OF_LOG, OF_VIEWS)
    require_rights(remote, prefix, OF_LOG, OF_VIEWS)
    for table in TABLES:
        found = remote.call(lambda client, table=table: client.scan(TableName=prefix + table.name))
        assert found["Items"] == []


def test_without_tables_for_other_programs_no_right_to_them_is_needed(terminal, tmp_path, proxy):
    with_tables(tmp_path)
    proxy.fail("PutItem", dynamo.DENIED, table="orders")
    terminal.ok("verify", STOREKEEPER_DYNAMODB_VIEWS="false")


def test_verify_tells_that_it_may_not_scan_before_it_compares(terminal, tmp_path, proxy):
    with_tables(tmp_path)
    proxy.fail("Scan", dynamo.DENIED, table="users")
    says(terminal, ("verify",), f"dynamodb:Scan on {prefix_of(tmp_path)}users", "docs/dynamodb.md")


def test_a_copy_is_not_made_for_a_shop_that_could_not_be_opened(terminal, tmp_path, proxy):
    """The rights that it takes are told before the copy, which may last for hours."""
    terminal.ok("init", STOREKEEPER_STORE="sqlite")
    proxy.fail("DeleteItem", dynamo.DENIED, table="commits")
    prefix = prefix_of(tmp_path)
    copy = ("copy", "--from", "sqlite:data/shop.db", "--to", f"dynamodb:{prefix}")
    says(terminal, copy, f"dynamodb:DeleteItem on {prefix}commits")
    tries = proxy.calls["PutItem"]
    proxy.heal()
    terminal.ok(*copy)
    assert proxy.calls["PutItem"] > 2 * tries


@pytest.mark.parametrize("operation", ["DescribeTable", "Query", "PutItem"])
async def test_a_fault_that_passes_keeps_no_shop_closed(tmp_path, proxy, operation):
    for fault in (dynamo.BROKEN, dynamo.RESET, dynamo.RESET_AFTER, dynamo.SLOWED, dynamo.SILENT):
        proxy.fail(operation, fault, times=1)
        async with node(tmp_path, 0, proxy.url) as shop:
            assert await shop.store.verify() == []
    assert proxy.failed[operation] == 5
