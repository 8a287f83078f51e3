"""The commands of a shop on DynamoDB do what they do in a file, or say why they don't."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from storekeeper.app import open_shop
from storekeeper.config import Settings
from storekeeper.services.base import BY_SYSTEM
from tests.cli.terminal import terminal_on_dynamodb
from tests.support import tables
from tests.support.clock import Clock
from tools.engines.launch import free_port

GOODS = "sku,name,price\nKETTLE,The kettle,29.00\n"
# Nothing listens there, which is worth a line in the log.
NO_BUCKET = {
    "STOREKEEPER_SNAPSHOT_BUCKET": "snapshots",
    "STOREKEEPER_SNAPSHOT_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
}
COUNT = "sku,location,on_hand\nKETTLE,main,7\n"


def test_a_shop_is_made_filled_checked_and_taken_out_again(tmp_path: Path) -> None:
    terminal = terminal_on_dynamodb(tmp_path)
    goods, count = tmp_path / "goods.csv", tmp_path / "count.csv"
    goods.write_text(GOODS)
    count.write_text(COUNT)
    terminal.ok("import", "products", goods)
    terminal.ok("import", "stock", count)
    terminal.ok("verify")
    for file in (tmp_path / "data").glob("*replica.db*"):
        file.unlink()
    ended = terminal.ok("export", "stock", **NO_BUCKET)
    (row,) = csv.DictReader(io.StringIO(ended.out))
    assert (row["sku"], row["on_hand"]) == ("KETTLE", "7")
    # What is logged is never mixed into what a program reads.
    (line,) = ended.err.splitlines()
    assert json.loads(line)["event"] == "no snapshot can be had; following the whole log"


def test_the_demo_shop_can_be_looked_at_on_dynamodb_too(tmp_path: Path) -> None:
    terminal = terminal_on_dynamodb(tmp_path)
    terminal.ok("demo")
    terminal.ok("verify")
    orders = list(csv.DictReader(io.StringIO(terminal.ok("export", "orders").out)))
    assert len({line["number"] for line in orders}) > 100


def test_a_backup_of_a_file_is_not_taken_for_one_of_the_tables(tmp_path: Path) -> None:
    """Who believes in a copy of the replica has no backup of the shop."""
    terminal = terminal_on_dynamodb(tmp_path)
    ended = terminal.run("backup", tmp_path / "copy.db")
    assert ended.code == 2
    assert "point-in-time recovery" in ended.err
    assert not (tmp_path / "copy.db").exists()


async def test_verify_tells_whom_the_log_may_still_name(tmp_path: Path) -> None:
    """Whoever promised to forget somebody wants to know when it is true."""
    terminal = terminal_on_dynamodb(tmp_path)
    settings = Settings(database=str(tmp_path / "data/shop.db"), **tables.settings_of(tmp_path))
    clock = Clock()
    async with open_shop(settings, clock=clock) as shop:
        ada = await shop.accounts.create(
            BY_SYSTEM, email="ada@example.com", name="Ada", role="customer"
        )
        await shop.account_removal.remove(BY_SYSTEM, ada.id)
        clock.advance(minutes=6)
        await shop.account_removal.finish()
    assert "may still tell of 1 deleted account;" in terminal.ok("verify").out
