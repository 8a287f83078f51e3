"""The results' part of docs/benchmarks.md, written anew from a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import Report, shown
from benchmarks.run import Run

BEGIN = "<!-- results: written by `python -m benchmarks --write` -->"
END = "<!-- end of results -->"


def write_results(
    page: Path, reports: Sequence[Report], facts: Mapping[str, str], run: Run
) -> None:
    """Replaces what stands between the marks."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RuntimeError(f"{page} lost the marks between which the results go")
    text = "\n".join(_lines(reports, facts, run))
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def _lines(reports: Sequence[Report], facts: Mapping[str, str], run: Run) -> Iterator[str]:
    yield f"Measured on {datetime.now(UTC):%Y-%m-%d}."
    if run.scale < 1:
        yield "A quick run, with a fifth of the rounds and sizes: no proof of the promises."
    yield ""
    yield "| machine | |"
    yield "| --- | --- |"
    yield from (f"| {name} | {value} |" for name, value in facts.items())
    yield ""
    yield "| benchmark | what was promised | promise | measured | |"
    yield "| --- | --- | ---: | ---: | --- |"
    for report in reports:
        for target in report.targets:
            yield (
                f"| {report.name} | {target.text} | {target.sense} "
                f"{shown(target.limit)}{target.unit} | {shown(target.measured)}{target.unit} | "
                f"{'reached' if target.is_met else '**missed**'} |"
            )
        if report.skipped:
            yield f"| {report.name} | | | | skipped: {report.skipped} |"
    for report in reports:
        yield ""
        yield f"### {report.name}"
        yield ""
        yield f"{report.title[0].upper()}{report.title[1:]} ({report.seconds:.0f} s)."
        yield ""
        if report.skipped:
            yield f"Skipped: {report.skipped}."
            continue
        yield "| figure | |"
        yield "| --- | --- |"
        yield from (f"| {name} | {value} |" for name, value in report.figures)
        yield from (f"\n{note[0].upper()}{note[1:]}." for note in report.notes)
    yield ""
