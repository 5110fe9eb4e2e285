"""What a replay was asked for, and how its progress and its sums are shown."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tidegauge.adapters.replay_output import OutputPaths
from tidegauge.cli import drop_standard_output
from tidegauge.domain.errors import TidegaugeError

Progress = Callable[[int], None]


class ReplayOptions(msgspec.Struct, frozen=True):
    """The options of the command.

    Attributes:
        fixture: The file.
        jobs: Processes that decode.
        as_json: Print sums as JSON and no progress.
        outputs: Result files of an offline replay.
        model: Who predicts offline; None to count only.
        speed: Seconds of event time in a second; None for as fast as it goes.
        shift_to_now: Move times so that the last event is sent at its own time.
    """

    fixture: Path
    jobs: int
    as_json: bool
    outputs: OutputPaths
    model: str | None
    speed: float | None
    shift_to_now: bool


def with_stream_names(env: Mapping[str, str], stream: str) -> dict[str, str]:
    """Return an environment in which the streams have names: a replay reads neither."""
    names = dict.fromkeys(("EVENTS_STREAM", "WINDOWS_STREAM"), stream)
    return {**env, **names}


@contextmanager
def progress_bar(title: str, total_bytes: int, *, hidden: bool) -> Iterator[Progress]:
    """Show how much of a file was read, on standard error, if that is a terminal.

    Args:
        title: What is being done.
        total_bytes: Size of the file.
        hidden: Show nothing.
    """
    if hidden or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task(title, total=total_bytes)
        yield lambda read_bytes: bar.update(task, completed=read_bytes)


def print_json(values: dict[str, object]) -> None:
    """Print a result as one line of JSON. Raises TidegaugeError if nobody can take it."""
    with _showing():
        sys.stdout.write(msgspec.json.encode(values).decode() + "\n")


def print_table(title: str, rows: list[tuple[str, str]]) -> None:
    """Print a result for people. Raises TidegaugeError if nobody can take it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    console = Console(highlight=False)
    with _showing():
        console.print(Text(title, style="bold"), soft_wrap=True)
        console.print(table)


@contextmanager
def _showing() -> Iterator[None]:
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_standard_output()
        msg = f"standard output cannot be written: {error.strerror or error}"
        raise TidegaugeError(msg) from error
