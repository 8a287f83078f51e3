"""A replay's figures are the file's, to the unit and the penny, however often it is broken off."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
from pathlib import Path
from typing import Any

import apsw
import pytest

from storekeeper.demo import open_sample
from tests.cli.terminal import Terminal, eventually, terminal_on_dynamodb
from tests.replay.rows import HEADER, correction, csv_line
from tests.replay.test_figures import real_file

SMALL = (
    csv_line(invoice_no="1", quantity="6", price="2.55"),
    csv_line(invoice_no="1", code="POST", description="POSTAGE", quantity="1", price="18.00"),
    csv_line(invoice_no="2", quantity="2", customer_id="", price="5.06"),
    correction(invoice_no="3", quantity="-2", description="damages"),
    csv_line(invoice_no="C4", at="2011-01-05T10:00", quantity="-8", price="2.55"),
    csv_line(invoice_no="C4", at="2011-01-05T10:00", code="M", quantity="-1", price="1.00"),
    csv_line(invoice_no="C5", at="2011-01-05T11:00", quantity="-1", customer_id="", price="5.06"),
    correction(invoice_no="6", at="2011-01-06T10:00", quantity="7", description="found"),
)


@pytest.fixture
def terminal(tmp_path) -> Terminal:
    return Terminal(tmp_path)


@pytest.fixture
def on_dynamodb(tmp_path) -> Terminal:
    return terminal_on_dynamodb(tmp_path)


def write(terminal: Terminal, *lines: str) -> Path:
    path = terminal.folder / "lines.csv"
    path.write_text("\n".join((HEADER, *lines)) + "\n")
    return path


def figures(report: dict[str, Any]) -> dict[str, int]:
    return {row["figure"]: row["found"] for row in report["figures"]}


def orders(terminal: Terminal) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(terminal.ok("export", "orders").out)))


def test_a_small_history_becomes_orders_returns_and_corrections_at_their_own_times(terminal):
    report = terminal.ok("replay", write(terminal, *SMALL), "--json").json
    assert report["equal"]
    assert report["differences"] == []
    found = figures(report)
    assert (found["orders"], found["units sold"], found["revenue"]) == (2, 9, 1530 + 1800 + 1012)
    assert (found["units returned"], found["units returned to an order"]) == (9, 6)
    lines = orders(terminal)
    assert {(line["sku"], line["quantity"], line["returned"], line["email"]) for line in lines} == {
        ("85123A", "6", "6", ""),
        ("POST", "1", "0", ""),
        ("85123A", "2", "0", "guest-2@example.com"),
    }
    assert {line["placed_at"] for line in lines} == {"2010-12-01T08:26:00Z"}


def test_replaying_a_finished_file_again_changes_nothing(terminal):
    path = write(terminal, *SMALL)
    first = terminal.ok("replay", path, "--json").json
    before = terminal.ok("export", "movements").out
    again = terminal.ok("replay", path, "--json").json
    assert (again["orders_played"], again["resumed_at"]) == (0, first["happenings"])
    assert figures(again) == figures(first)
    assert terminal.ok("export", "movements").out == before


def test_a_replay_in_parts_comes_to_the_same_as_one_in_one_go(terminal):
    path = write(terminal, *SMALL)
    part = terminal.ok("replay", path, "--limit", "2", "--json").json
    assert (part["equal"], figures(part)["orders"], figures(part)["returns"]) == (True, 2, 0)
    part = terminal.ok("replay", path, "--until", "2011-01-06", "--json").json
    assert (part["equal"], figures(part)["returns"]) == (True, 2)
    whole = terminal.ok("replay", path, "--json").json
    assert (whole["equal"], figures(whole)["stock corrections"]) == (True, 2)


def test_a_shop_with_goods_of_its_own_is_left_alone(terminal):
    terminal.ok("demo")
    before = terminal.ok("export", "movements").out
    ended = terminal.run("replay", write(terminal, *SMALL))
    assert ended.code == 1
    assert "without products and orders" in ended.err
    assert terminal.ok("export", "movements").out == before


def test_a_bad_file_is_named_with_its_line_and_nothing_is_played(terminal):
    path = write(terminal, SMALL[0], csv_line(invoice_no="7", quantity="many"))
    ended = terminal.run("replay", path)
    assert ended.code == 1
    assert "line 3: quantity 'many'" in ended.err
    assert not (terminal.folder / "data").exists()


def test_a_figure_that_differs_is_named_and_ends_with_1(terminal):
    path = write(terminal, *SMALL)
    terminal.ok("replay", path)
    count = terminal.folder / "count.csv"
    count.write_text("sku,location,on_hand\n85123A,main,1\n")
    terminal.ok("import", "stock", count)
    ended = terminal.run("replay", path, "--json")
    assert ended.code == 1
    assert ended.json["equal"] is False
    assert "units on hand of 85123A" in ended.err


def test_a_killed_replay_goes_on_and_doubles_nothing(terminal):
    path = terminal.folder / "lines.csv.gz"
    with open_sample() as sample:
        path.write_bytes(sample.read())
    kills = 0
    for after in (-1, 60, 200, 400):
        process = terminal.start("replay", path)
        reached = eventually(lambda after=after: _reached(terminal, after) or process.poll() == 0)
        process.kill()
        process.wait()
        process.stdout.close()
        kills += reached is not True
    assert kills, "at least one run was broken off in the middle"
    report = terminal.ok("replay", path, "--json").json
    assert report["resumed_at"] > 0
    assert report["equal"]
    assert report["differences"] == []
    numbers = {line["number"] for line in orders(terminal)}
    assert len(numbers) == figures(report)["orders"] == 451


def test_the_real_first_week_comes_to_the_files_figures(terminal):
    file = real_file()
    process = terminal.start("replay", file, "--until", "2010-12-08")
    eventually(lambda: _reached(terminal, 100))
    process.kill()
    process.wait()
    process.stdout.close()
    report = terminal.ok("replay", file, "--until", "2010-12-08", "--json").json
    found = figures(report)
    assert report["resumed_at"] >= 100
    assert report["equal"]
    assert report["differences"] == []
    assert (found["orders"], found["revenue"]) == (609, 32632016)
    assert (found["returns"], found["units returned"], found["stock corrections"]) == (
        66,
        11205,
        67,
    )
    terminal.ok("verify")


def test_a_history_on_dynamodb_comes_to_the_figures_of_the_embedded_store(on_dynamodb, tmp_path):
    path = write(on_dynamodb, *SMALL)
    far = on_dynamodb.ok("replay", path, "--json").json
    folder = tmp_path / "embedded"
    folder.mkdir()
    near = Terminal(folder).ok("replay", path, "--json").json
    assert (far["equal"], far["differences"]) == (True, [])
    assert figures(far) == figures(near)


def test_the_real_first_day_on_dynamodb_goes_on_on_another_machine(on_dynamodb):
    """The second machine has nothing but the tables."""
    path = _first_day(on_dynamodb)
    on_dynamodb.ok("replay", path, "--limit", "50")
    for file in (on_dynamodb.folder / "data").glob("*replica.db*"):
        file.unlink()
    report = on_dynamodb.ok("replay", path, "--json").json
    found = figures(report)
    assert (report["resumed_at"] > 0, report["equal"], report["differences"]) == (True, True, [])
    assert (found["orders"], found["revenue"]) == (127, 5896079)


def test_a_compressed_file_is_the_same_file(terminal):
    text = "\n".join((HEADER, *SMALL)) + "\n"
    path = terminal.folder / "lines.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert terminal.ok("replay", path, "--json").json["equal"]


def _first_day(terminal: Terminal) -> Path:
    """The lines of the real file's first day, as a file of their own."""
    path = terminal.folder / "day.csv"
    with gzip.open(real_file(), "rt") as lines:
        path.write_text(
            "".join(itertools.takewhile(lambda line: ",2010-12-02T" not in line, lines))
        )
    return path


def _reached(terminal: Terminal, after: int) -> int | None:
    """How far the running replay has come, once that is past `after`; looked up in its file."""
    path = terminal.folder / "data/shop.db"
    if not path.exists():
        return None
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            rows = list(connection.execute("SELECT doc FROM record WHERE kind = 'Position'"))
        finally:
            connection.close()
    except apsw.Error:
        return None
    at = [json.loads(doc)["at"] for (doc,) in rows]
    return at[0] + 1_000_000 if at and at[0] > after else None
