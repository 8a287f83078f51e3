"""`kill -9` under load, fifty times: nothing acknowledged is lost, nothing happens twice."""

from __future__ import annotations

import time

from benchmarks import proof, shops
from benchmarks.report import Report, shown
from benchmarks.run import Run

TITLE = "kill -9 at random moments under load: orders, stock and events afterwards"


def run(run: Run, report: Report) -> None:
    database = shops.folder_of("kill") / "shop.db"
    found = proof.prove(database, run.kills, seed=time.time_ns() % 1_000_000, say=run.say)
    report.figure("killed", f"{found.kills} times, 64 clients, seed {found.seed}")
    report.figure("orders acknowledged", shown(found.acknowledged))
    report.figure("orders asked for again under their key", shown(found.retried))
    report.figure("events", f"{shown(found.events)}, {shown(found.told_again)} told again")
    report.figure("slowest start on a killed shop's file", f"{found.slowest_start:.1f} s")
    report.target("kills", found.kills, "at least", run.kills)
    report.target("acknowledged orders lost", found.lost, "exactly", 0)
    report.target("orders made twice", found.doubled, "exactly", 0)
    report.target("keys answered with another order", found.changed, "exactly", 0)
    report.target("differences that verify finds", found.differences, "exactly", 0)
    report.target("events that the receiver was never told of", found.untold, "exactly", 0)
    report.target("events that a channel is behind", found.behind, "exactly", 0)
