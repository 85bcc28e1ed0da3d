"""The progress bar of the command line."""

import contextlib
from collections.abc import Iterator
from typing import Any


class ProgressBar:
    """A bar for each stage of the work, the first of which ends when the next one begins."""

    def __init__(self, bar: Any, first: str):
        self._bar = bar
        self._first = first
        self._tasks = {first: bar.add_task(first, total=1, note="")}

    def update(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` steps of a stage are done, with a note beside the bar."""
        self._bar.update(self._tasks[self._first], completed=1)
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total, note=note)
        self._bar.update(self._tasks[stage], completed=done, total=total, note=note)


@contextlib.contextmanager
def progress_bar(first: str) -> Iterator[ProgressBar | None]:
    """A `ProgressBar` on the error stream, gone when the work is done; `None` where that is no
    terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description:>14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield ProgressBar(bar, first)
