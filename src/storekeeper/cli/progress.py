"""Progress on stderr where a person looks at it: how far, of how much, how fast, how long yet."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any


class Bars:
    """A bar per stage of the work. Does nothing where stderr is no terminal.

    Call it with a stage's name, what is done, of how much; unit "B" shows sizes.
    """

    def __init__(self, *, beside_output: bool = False) -> None:
        # Output that scrolls through the same terminal leaves no place for a bar.
        self.is_shown = sys.stderr.isatty() and not (beside_output and sys.stdout.isatty())
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Bars:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, stage: str, done: int, total: int, unit: str = "") -> None:
        if not self.is_shown:
            return
        progress = self._started()
        if stage not in self._tasks:
            self._tasks[stage] = progress.add_task(stage, total=total, unit=unit)
        progress.update(self._tasks[stage], completed=done, total=total)

    @contextlib.contextmanager
    def waiting(self, stage: str) -> Iterator[None]:
        """A bar without an end for work that can't say how far it is; it goes when that is over."""
        if not self.is_shown:
            yield
            return
        progress = self._started()
        task = progress.add_task(stage, total=None, unit="")
        try:
            yield
        finally:
            progress.remove_task(task)

    def _started(self) -> Any:
        if self._progress is None:
            self._progress = _progress()
            self._progress.start()
        return self._progress


def _progress() -> Any:
    from rich.console import Console
    from rich.filesize import decimal
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
    from rich.text import Text

    def amount(value: float, unit: str) -> str:
        return decimal(int(value)) if unit == "B" else f"{value:,.0f}"

    class Done(ProgressColumn):
        def render(self, task: Task) -> Text:
            if task.total is None:
                return Text(f"{task.elapsed or 0:.0f} s")
            unit = task.fields["unit"]
            total = amount(task.total, unit)
            return Text(f"{amount(task.completed, unit)} of {total}")

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{amount(speed, task.fields['unit'])}/s" if speed else "", "dim")

    return Progress(
        "{task.description}",
        BarColumn(),
        Done(),
        Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True),
    )
