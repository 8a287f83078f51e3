"""The whole real file through the shop: every order, return and correction, to the penny."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import machine, shops
from benchmarks.report import Report, shown
from benchmarks.run import Run

TITLE = "nine months of a real shop replayed, with its figures compared to the file's"
FILE = Path("online-retail/lines-2010-12-to-2011-08.csv.gz")


def run(run: Run, report: Report) -> None:
    file = run.data / FILE
    if not file.exists():
        report.skipped = f"{file} isn't there; name the folder that holds it with --data"
        return
    database = shops.folder_of("replay") / "shop.db"
    limit = [] if run.scale >= 1 else ["--limit", str(run.size(20_000))]
    started = time.perf_counter()
    machine.stay_on(set(machine.cores()))
    try:
        done = _storekeeper("replay", str(file), *limit, "--database", str(database), "--json")
        seconds = time.perf_counter() - started
        verified = _storekeeper("verify", "--database", str(database), "--json")
    finally:
        machine.stay_on(machine.load_cores())
    if done.returncode not in (0, 1):
        raise RuntimeError(f"replay ended with code {done.returncode}: {done.stderr[-2_000:]}")
    found = json.loads(done.stdout)
    report.figure("orders", f"{shown(found['orders_played'])} of many lines each")
    report.figure("orders a second", shown(found["orders_per_second"]))
    for one in found["figures"]:
        report.figure(
            one["figure"],
            f"{one['found']:,} {one['unit']}".rstrip() + f", in the file {one['expected']:,}",
        )
    report.figure("reading, planning and playing", f"{seconds:.0f} s in all")
    report.figure("size of the shop's file", f"{database.stat().st_size / 2**20:.0f} MiB")
    report.target("figures that differ from the file's", len(found["differences"]), "exactly", 0)
    report.target("exit code of replay (1: a figure differs)", done.returncode, "exactly", 0)
    report.target("exit code of verify (1: differences)", verified.returncode, "exactly", 0)


def _storekeeper(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "storekeeper", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
