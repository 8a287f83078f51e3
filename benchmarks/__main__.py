"""Runs the benchmarks: `python -m benchmarks [names] [options]`; fails when a promise is missed."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from benchmarks import machine, shops
from benchmarks.report import Report
from benchmarks.results import write_results
from benchmarks.run import Run

NAMES = (
    "http_orders",
    "order_path",
    "flush",
    "flash",
    "scale_products",
    "scale_orders",
    "import_products",
    "idle",
    "workers",
    "kill",
    "streaming",
    "replay",
    "dynamodb_cost",
    "dynamodb_nodes",
    "dynamodb_replay",
    "sqlite_binding",
    "cache",
    "pages",
)
RESULTS = Path("docs/benchmarks.md")


def main() -> int:
    options = _options()
    if options.list:
        for name in NAMES:
            print(f"{name:<16} {_module(name).TITLE}")
        return 0
    if options.clean:
        shops.clean()
        return 0
    run = Run(
        scale=0.2 if options.quick else 1.0,
        seconds=options.seconds,
        kills=options.rounds or (10 if options.quick else 50),
        data=options.data,
    )
    shops.FOLDER.mkdir(parents=True, exist_ok=True)
    facts = machine.described(shops.FOLDER)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for name, value in facts.items():
        print(f"{name:<14} {value}")
    machine.stay_on(machine.load_cores())
    reports = [_measured(name, run) for name in options.names or NAMES]
    if options.write:
        write_results(RESULTS, reports, facts, run)
        print(f"wrote {RESULTS}")
    missed = [report.name for report in reports if not report.is_met]
    print(f"missed: {', '.join(missed)}" if missed else "all promises kept")
    return 1 if missed else 0


def _measured(name: str, run: Run) -> Report:
    module = _module(name)
    report = Report(name=name, title=module.TITLE)
    started = time.perf_counter()
    try:
        module.run(run, report)
    except Exception as error:
        traceback.print_exc()
        report.target(f"ran to its end ({type(error).__name__}: {error})", 0, "exactly", 1)
    report.seconds = time.perf_counter() - started
    print("\n".join(report.lines()), flush=True)
    return report


def _module(name: str) -> Any:
    return importlib.import_module(f"benchmarks.{name}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[*NAMES, []], metavar="NAME", help="all by default"
    )
    parser.add_argument("--list", action="store_true", help="name the benchmarks and end")
    parser.add_argument("--quick", action="store_true", help="a fifth of the rounds and sizes")
    parser.add_argument("--rounds", type=int, metavar="N", help="kills in `kill`; 50 by default")
    parser.add_argument("--seconds", type=float, default=1.5, help="length of a slice of load")
    parser.add_argument("--data", type=Path, default=Run().data, help="where the real file is")
    parser.add_argument("--write", action="store_true", help=f"put the results into {RESULTS}")
    parser.add_argument("--clean", action="store_true", help="remove the shops that were made")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
