"""Puts events of a source on a stream in real time, and shows how far it is."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from tidegauge.adapters.simulated_source import SimulatedSource
from tidegauge.cli.replay_options import print_json, print_table
from tidegauge.cli.simulate_options import Goal, Source
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event_time import format_time
from tidegauge.ports import Clock, EventSource, PatientClock
from tidegauge.settings import DatabaseSettings, read_settings
from tidegauge.source_settings import SourceSettings
from tidegauge.steps.produce import Produced, produce_at


def simulated_source(goal: Goal, clock: Clock) -> SimulatedSource:
    """Return the simulated events of the goal's span."""
    return SimulatedSource(goal.simulation(), clock, goal.start_ms, goal.end_ms)


@contextmanager
def database_source(env: Mapping[str, str]) -> Iterator[EventSource]:
    """Give the polled database of the settings until the block ends.

    Raises:
        Misconfigured: a setting cannot be used.
    """
    from tidegauge.adapters.mysql.connection import ANSWER_SECONDS, Database
    from tidegauge.adapters.mysql.source import DatabaseSource

    settings, databases = read_settings(env, SourceSettings, DatabaseSettings)
    if databases.address() is None:
        msg = "--source database keeps its position in the database of DATABASE_URL: set it"
        raise InvalidInput(msg)
    address = settings.address()
    positions = Database.from_settings(databases, answer_seconds=ANSWER_SECONDS)
    if address is None:
        rows = Database.from_settings(databases, answer_seconds=ANSWER_SECONDS)
    else:
        rows = Database(
            lambda _refused: address,
            needs_tls=lambda where: not where.is_loopback,
            answer_seconds=ANSWER_SECONDS,
        )
    try:
        yield DatabaseSource(
            settings.source_name,
            settings.source_query,
            rows,
            positions,
            overlap=settings.source_overlap,
        )
    finally:
        rows.close()
        positions.close()


def put_events(goal: Goal, source: EventSource, clock: PatientClock) -> None:
    """Put events on the goal's stream until its end, Ctrl-C or SIGTERM, and show the sums.

    Raises:
        Transient: stream or source did not answer for long.
        Misconfigured: they never will before a person mends something.
    """
    from tidegauge.adapters.kinesis import KinesisStream

    began = time.perf_counter()
    produced = Produced()
    try:
        with _shown_progress(goal) as told:
            produce_at(
                moments(clock, tick_ms=goal.settings.tick_ms, end_ms=goal.end_ms),
                source,
                KinesisStream(goal.stream),
                clock,
                produced=produced,
                told=told,
            )
    except (KeyboardInterrupt, SystemExit):
        _show(goal, produced, time.perf_counter() - began)
        raise
    _show(goal, produced, time.perf_counter() - began)


def moments(clock: Clock, *, tick_ms: int, end_ms: int | None) -> Iterator[int]:
    """Yield when to look for events: now, each tick after, and at the end; none twice.

    Ticks that a slow stream or a machine's sleep has used up are left out: the next one puts all
    that has happened meanwhile.
    """
    moment_ms = clock.now_ms()
    while end_ms is None or moment_ms < end_ms:
        yield moment_ms
        moment_ms = max(moment_ms + tick_ms, clock.now_ms())
    yield end_ms


@contextmanager
def _shown_progress(goal: Goal) -> Iterator[Callable[[Produced], None]]:
    if goal.as_json or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"Putting events on {goal.stream}; Ctrl-C ends", total=None)

        def told(produced: Produced) -> None:
            bar.update(
                task, description=f"{produced.events:,} events on {goal.stream}; Ctrl-C ends"
            )

        yield told


def _show(goal: Goal, produced: Produced, seconds: float) -> None:
    simulated = goal.source is Source.SIMULATOR
    until = None
    if simulated and produced.position is not None:
        until = format_time(int(produced.position))
    if goal.as_json:
        told: dict[str, object] = {
            "stream": goal.stream,
            "source": goal.source,
            "events": produced.events,
            "refused": produced.refused,
            "position": until or produced.position,
        }
        if simulated:
            told |= {"seed": goal.settings.simulator_seed, "from": format_time(goal.start_ms)}
        print_json({**told, "seconds": round(seconds, 3)})
        return
    rows = [("events", f"{produced.events:,}")]
    if produced.refused:
        rows.append(("too large for a stream", f"{produced.refused:,}"))
    if simulated:
        rows.append(("from", format_time(goal.start_ms)))
        rows += [
            (f"  {fault.kind} of {fault.type}", f"from {format_time(fault.start_ms)}")
            for fault in goal.faults
        ]
    rows += [
        ("up to" if simulated else "position", until or produced.position or "none"),
        ("seconds", f"{seconds:.1f}"),
    ]
    print_table(f"Put on {goal.stream}", rows)
