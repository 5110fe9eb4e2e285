"""Tells a person on standard error what is going on, and remembers how long each phase took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn


class Phases:
    """Shows phases as they begin and end.

    Args:
        console: On standard error.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Show one phase while the block runs, and its time afterwards."""
        began = time.monotonic()
        with self._console.status(name):
            yield
        self._ended(name, began)

    @contextmanager
    def bar(self, name: str, total: int) -> Iterator["Bar"]:
        """Show one phase as a bar while the block runs, and its time afterwards."""
        began = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
        )
        with Progress(
            *columns,
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        ) as progress:
            yield Bar(progress, name, total)
        self._ended(name, began)

    def _ended(self, name: str, began: float) -> None:
        self.seconds[name] = time.monotonic() - began
        self._console.print(f"[green]✓[/] {name:<22}[dim]{self.seconds[name]:6.1f} s[/]")


class Bar:
    """A bar that only moves ahead."""

    def __init__(self, progress: Progress, name: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=max(1, total), note="")

    def reach(self, done: int, note: str = "") -> None:
        """Show how much is done, and perhaps what of."""
        self._progress.update(self._task, completed=done, note=note)
