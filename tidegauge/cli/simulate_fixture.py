"""Writes simulated events to a fixture."""

import time
from collections import Counter
from pathlib import Path

from tidegauge.adapters.fixture_writer import fixture_writer
from tidegauge.cli.replay_options import print_json, print_table, progress_bar
from tidegauge.cli.simulate_options import Goal
from tidegauge.domain.event_time import format_time
from tidegauge.domain.simulation import source_of

_TOLD_EVENTS = 10_000


def write_fixture(goal: Goal, path: Path) -> None:
    """Write the events of the goal's span and show the sums.

    Raises:
        InvalidInput: the file cannot be written, or the span is no time of events.
    """
    began = time.perf_counter()
    end_ms = goal.end_ms
    assert end_ms is not None, "a fixture has an end"  # noqa: S101 - the command saw to it
    settings = goal.settings
    source = f"{source_of(settings.simulator_seed)}: {settings.simulator_types}"
    by_type: Counter[str] = Counter(dict.fromkeys((kind.name for kind in settings.types()), 0))
    with (
        progress_bar("Simulating", end_ms - goal.start_ms, hidden=goal.as_json) as progress,
        fixture_writer(path, source=source) as fixture,
    ):
        for event in goal.simulation().events_between(goal.start_ms, end_ms):
            fixture.add(event.time_ms, event.data)
            by_type[event.type] += 1
            if not fixture.events % _TOLD_EVENTS:
                progress(event.time_ms - goal.start_ms)
    seconds = time.perf_counter() - began
    span = [format_time(goal.start_ms), format_time(end_ms)]
    if goal.as_json:
        print_json(
            {
                "file": str(path),
                "seed": settings.simulator_seed,
                "from": span[0],
                "until": span[1],
                "events": fixture.events,
                "types": dict(by_type),
                "sha256": fixture.sha256,
                "seconds": round(seconds, 3),
            }
        )
        return
    rows = [("from", span[0]), ("until", span[1]), ("events", f"{fixture.events:,}")]
    rows += [(f"  {name}", f"{number:,}") for name, number in by_type.items()]
    rows += [
        (f"  {fault.kind} of {fault.type}", f"from {format_time(fault.start_ms)}")
        for fault in goal.faults
    ]
    rows += [("seconds", f"{seconds:.2f}"), ("written", str(path))]
    print_table(f"Simulated with seed {settings.simulator_seed}", rows)
