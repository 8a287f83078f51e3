"""Runs a replay over a store of ours or a running shop, and shows what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from storekeeper.cli.console import Console, Failed, counted
from storekeeper.config import Settings
from storekeeper.domain.money import to_decimal_text
from storekeeper.replay.comparison import Comparison, compare
from storekeeper.replay.driver import Played, play
from storekeeper.replay.script import CURRENCY, Script, Watch

if TYPE_CHECKING:
    from storekeeper.store.port import Difference

MOST_SHOWN = 30


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """A replay's end. `differences` is None where the shop can't be asked to verify itself."""

    played: Played
    comparison: Sequence[Comparison]
    differences: Sequence[Difference] | None


async def replay_directly(settings: Settings, script: Script, watch: Watch) -> Finished:
    """Through the services, with the clock of the file."""
    from storekeeper.cli.shops import opened
    from storekeeper.replay.direct import Clock, DirectClient

    clock = Clock()
    async with opened(settings, clock) as shop:
        client = DirectClient(shop, clock)
        played = await play(script, client, watch)
        figures = await client.figures(script)
        return Finished(
            played=played,
            comparison=compare(script.figures, figures, played.tally),
            differences=await shop.store.verify(),
        )


async def replay_by_http(url: str, api_key: str, script: Script, watch: Watch) -> Finished:
    """Through a running shop's API, as of now."""
    from storekeeper.replay.remote import HttpClient

    async with HttpClient(url, api_key) as client:
        played = await play(script, client, watch)
        figures = await client.figures(script)
    return Finished(
        played=played,
        comparison=compare(script.figures, figures, played.tally),
        differences=None,
    )


def tell(console: Console, finished: Finished) -> None:
    """Shows the figures; raises `Failed` when one differs, or `verify` found something."""
    played = finished.played
    if played.resumed_at:
        console.note(f"went on after {counted(played.resumed_at, 'happening')} of an earlier run")
    rate = played.orders / played.seconds if played.seconds else 0.0
    console.say(
        f"played {counted(played.count - played.resumed_at, 'happening')}, "
        f"{counted(played.orders, 'order')} of them, in {played.seconds:.1f} s: {rate:,.0f} orders/s"
    )
    if not console.as_json:
        _show_table(finished.comparison)
    console.note(
        "The shop itself keeps the first figures; those marked 'played' have no place in a shop "
        "and are summed up from what was played."
    )
    console.result(
        {
            "orders_played": played.orders,
            "seconds": round(played.seconds, 3),
            "orders_per_second": round(rate, 1),
            "resumed_at": played.resumed_at,
            "happenings": played.count,
            "equal": all(row.is_equal for row in finished.comparison),
            "figures": finished.comparison,
            "differences": finished.differences,
        }
    )
    wrong = [row.figure for row in finished.comparison if not row.is_equal]
    if wrong:
        raise Failed(f"the shop's figures aren't the file's: {', '.join(wrong[:MOST_SHOWN])}")
    if finished.differences:
        raise Failed(f"verify found {counted(len(finished.differences), 'difference')}")
    if finished.differences is not None:
        console.say("verify: no differences between stock, ledger and orders")


def _show_table(rows: Sequence[Comparison]) -> None:
    from rich.console import Console as RichConsole
    from rich.table import Table

    table = Table(title="The file's figures and the shop's")
    for name in ("", "file", "shop"):
        table.add_column(name, justify="left" if not name else "right")
    table.add_column("")
    for row in rows[: MOST_SHOWN + 15]:
        verdict = "equal" if row.is_equal else "DIFFERS"
        source = " (played)" if row.source == "played" else ""
        table.add_row(
            row.figure,
            _amount(row.expected, row.unit),
            _amount(row.found, row.unit),
            f"{verdict}{source}",
        )
    RichConsole(highlight=False).print(table)


def _amount(value: int, unit: str) -> str:
    if unit == "pence":
        whole, part = to_decimal_text(value, CURRENCY).split(".")
        return f"{int(whole):,}.{part}"
    return f"{value:,}"
