"""A large file goes in with honest progress, in bounded memory, every bad row told."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from storekeeper.services.csv_import import CHUNK
from tests.catalog.desk import Desk
from tests.csv.files import importing, products

ROWS = 10_000


def a_file(path: Path, rows: int, every_bad: int = 0) -> Path:
    with path.open("w") as out:
        out.write("sku,name,description,price,category,tags\n")
        for number in range(rows):
            price = "x" if every_bad and number % every_bad == 0 else f"{number % 500}.99"
            out.write(f"SKU-{number},Product {number},Red and round,{price},Cups,red|new\n")
    return path


async def test_ten_thousand_rows_report_their_progress_and_every_bad_one(
    desk: Desk, tmp_path: Path
) -> None:
    file = a_file(tmp_path / "products.csv", ROWS, every_bad=37)
    size = file.stat().st_size
    bad = [number + 2 for number in range(0, ROWS, 37)]

    refused = await importing(desk, file)
    assert not refused.report.applied
    assert refused.report.failed == len(bad)
    assert [error.line for error in refused.errors] == bad
    assert len(refused.report.errors) == 100
    assert not await products(desk)

    done = await importing(desk, file, mode="skip_bad")
    assert done.figures() == (ROWS - len(bad), 0, 0, len(bad))
    steps = done.progress
    assert len(steps) >= ROWS // CHUNK
    assert all(a.bytes_done <= b.bytes_done and a.rows < b.rows for a, b in pairwise(steps))
    assert (steps[-1].bytes_done, steps[-1].bytes_total, steps[-1].rows) == (size, size, ROWS)
    # What is told is what is read: never more than some rows ahead of the truth.
    assert all(abs(step.bytes_done / size - step.rows / ROWS) < 0.15 for step in steps)
    assert len(await products(desk)) == ROWS - len(bad)

    again = await importing(desk, file, mode="skip_bad")
    assert again.figures() == (0, 0, ROWS - len(bad), len(bad))


async def test_all_or_nothing_counts_both_readings_in_its_progress(
    desk: Desk, tmp_path: Path
) -> None:
    file = a_file(tmp_path / "products.csv", 2_000)
    size = file.stat().st_size
    done = await importing(desk, file)
    phases = [step.phase for step in done.progress]
    assert phases == sorted(phases, reverse=True)
    assert {step.bytes_total for step in done.progress} == {2 * size}
    assert done.progress[-1].bytes_done == 2 * size


GROWTH = """
import asyncio, resource, sys
from pathlib import Path
from tests.catalog.desk import desk_at
from tests.csv.files import importing

def resident():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024

async def main():
    place = Path(sys.argv[1])
    async with desk_at(place) as desk:
        before, most = resident(), 0.0
        def look(progress):
            nonlocal most
            most = max(most, resident())
        from tests.catalog.desk import BY_ADMIN
        report = await desk.importer.import_products(
            place / "products.csv", BY_ADMIN, mode="all_or_nothing", on_progress=look
        )
        assert report.created == int(sys.argv[2]), report
        print(most - before)

asyncio.run(main())
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """The benchmark has 100,000 rows and a limit of 64 MiB; this is a tenth in a fresh process."""
    a_file(tmp_path / "products.csv", ROWS)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", GROWTH, str(tmp_path), str(ROWS)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert float(done.stdout) < 48, done.stdout
