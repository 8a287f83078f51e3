"""Files that people bring in by hand."""

from __future__ import annotations

import contextlib
import re
import signal
import sqlite3

from tests.cli.terminal import PATIENCE_S, Terminal, eventually

ROWS = 40_000


def products_in(terminal: Terminal) -> int:
    path = terminal.folder / "data/shop.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as shop:
        return int(shop.execute("SELECT count(*) FROM product").fetchone()[0])


def test_who_stops_an_import_is_told_what_is_in_already_and_how_to_go_on(terminal: Terminal):
    """Rows go in a thousand at a time; somebody who took it for undone would sell half a catalogue."""
    rows = "".join(f"S{number},Thing {number},1.00,GBP\n" for number in range(ROWS))
    (terminal.folder / "goods.csv").write_text(f"sku,name,price,currency\n{rows}")
    terminal.ok("init")
    importing = terminal.start("import", "products", "goods.csv")
    # One batch is told when the next is written.
    eventually(lambda: products_in(terminal) >= 3_000)
    importing.send_signal(signal.SIGINT)
    with importing.stdout:
        assert importing.wait(PATIENCE_S) == 130
    (told,) = re.findall(r"at least ([\d,]+) products of goods\.csv may be in", terminal.errors())
    come = products_in(terminal)
    # What is being written when the word comes is written to its end.
    assert 0 < int(told.replace(",", "")) <= come < ROWS
    again = terminal.ok("import", "products", "goods.csv", "--json").json
    assert (again["created"], again["unchanged"]) == (ROWS - come, come)
