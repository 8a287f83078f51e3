"""The first month of the real file through a shop on DynamoDB and one on SQLite: the same figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import dynamodb_shops, machine, shops
from benchmarks.replay import FILE
from benchmarks.report import Report, shown
from benchmarks.run import Run
from storekeeper.app import create_tables

TITLE = "a month of a real shop replayed on DynamoDB and on SQLite, with the same figures"
MONTH_ENDS = "2011-01-01"
WEEK_ENDS = "2010-12-08"


def run(run: Run, report: Report) -> None:
    file = run.data / FILE
    if not file.exists():
        report.skipped = f"{file} isn't there; name the folder that holds it with --data"
        return
    folder = shops.folder_of("dynamodb-replay").resolve()
    until = MONTH_ENDS if run.scale >= 1 else WEEK_ENDS
    with dynamodb_shops.local_engine(report) as url:
        if not url:
            return
        settings = dynamodb_shops.settings_at(folder / "node", url, dynamodb_shops.new_prefix())
        create_tables(settings)
        nodes = dynamodb_shops.environment_of(settings)
        machine.stay_on(set(machine.cores()))
        far = _played(file, until, folder / "node" / "shop.db", nodes)
    machine.stay_on(set(machine.cores()))
    near = _played(file, until, folder / "alone.db", {"store": "sqlite"})
    machine.stay_on(machine.load_cores())
    _tell(report, far, near)


def _played(file: Path, until: str, database: Path, settings: Mapping[str, str]) -> Any:
    """What replay says, with the exit codes of it and of verify."""
    place = ("--database", str(database), "--json")
    done = _storekeeper(settings, "replay", str(file), "--until", until, *place)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"replay ended with code {done.returncode}: {done.stderr[-2_000:]}")
    verified = _storekeeper(settings, "verify", *place)
    return json.loads(done.stdout) | {"exits": done.returncode + verified.returncode}


def _tell(report: Report, far: Any, near: Any) -> None:
    for name, found in (("DynamoDB Local", far), ("SQLite", near)):
        report.figure(
            f"orders a second on {name}",
            f"{shown(found['orders_per_second'])}, {shown(found['orders_played'])} in all",
        )
    for one, other in zip(far["figures"], near["figures"], strict=True):
        report.figure(
            one["figure"],
            f"{one['found']:,} {one['unit']}".rstrip()
            + f", on SQLite {other['found']:,}, in the file {one['expected']:,}",
        )
    unequal = sum(
        not one["found"] == other["found"] == one["expected"]
        for one, other in zip(far["figures"], near["figures"], strict=True)
    )
    report.target("figures that differ between the stores or from the file", unequal, "exactly", 0)
    for name, found in (("DynamoDB", far), ("SQLite", near)):
        report.target(f"exit codes of replay and verify on {name}", found["exits"], "exactly", 0)


def _storekeeper(settings: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    given = {f"STOREKEEPER_{name.upper()}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "storekeeper", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **given},
    )
