"""`make run`: brings the stack up, replays a recorded storm through it, and shows what came out.

Takes the committed fixture, gives a report. Waits by conditions in MySQL, never by a length of
time: a run that makes no headway says what is stuck.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from embedded import results
from embedded.circle import first_model, forget_models, ledger_on
from embedded.local import Phase, Running
from embedded.places import STORM, Places
from embedded.report import Report, compare, recount
from embedded.stream import fresh_generation, let_read
from tidegauge.adapters.fixture_decoder import offered_by
from tidegauge.adapters.fixtures import bare_blocks, open_fixture
from tidegauge.adapters.kinesis import KinesisStream
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.errors import InvalidInput
from tidegauge.settings import StreamSettings, WindowSettings
from tidegauge.steps.replay_clock import Beat, Told, with_beats
from tidegauge.steps.replay_stream import StreamReplay, Unhurried

if TYPE_CHECKING:
    from embedded.progress import Bar, Phases

WINDOW_MS = 300_000
LATENESS_MS = 60_000
# Seventeen days to learn from, five before the storm for the model to show how far it is off.
HISTORY_UNTIL_MS = 1_359_849_600_000  # 2013-02-03
HISTORY_WINDOWS = 17 * 288
# So long without any headway is a fault; the engine's schedule rings the sweep each minute.
STUCK_SECONDS = 150.0
POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Sent:
    """What was put on the stream.

    Attributes:
        stream_time_ms: Stream time of the last heartbeat.
        events: Events put.
    """

    stream_time_ms: int
    events: int


class Startable(Protocol):
    """A local stack, in processes or in containers."""

    def up(self, phase: Phase) -> Running:
        """Bring up what is not up, telling each phase."""
        ...


def run(local: Startable, places: Places, phases: "Phases") -> tuple[Running, Report]:
    """Bring the stack up, let it learn from history, replay the rest, and return what came out.

    Raises:
        InvalidInput: something cannot be brought up, or the replay got stuck; says what to do.
    """
    running = local.up(phases)
    return running, learn_and_report(running, places, phases)


def learn_and_report(running: Running, places: Places, phases: "Phases") -> Report:
    """Begin with no model; replay history, train on it, and replay the storm judged by that model.

    Raises:
        InvalidInput: it got stuck; says where.
    """
    with phases("fresh stream"):
        forget_models(running)
        mappings = fresh_generation(running.engine, running.outputs)
        queue_url = results.subscribe_queue(running)
    fixture = places.repository / STORM
    feed = Feed(running, fixture)
    with phases.bar("history", fixture.stat().st_size) as bar:
        sent = feed.put_until(HISTORY_UNTIL_MS, bar.reach)
    let_read(running.engine, mappings)
    with phases.bar("count history", 2 * HISTORY_WINDOWS) as bar:
        wait_until_done(running, sent, bar)
    first_model(running, phases)
    let_read(running.engine, mappings, go_on=False)
    with phases.bar("put on the stream", fixture.stat().st_size) as bar:
        sent = feed.put_rest(bar.reach)
    return _rest(running, places, phases, mappings, sent, queue_url)


def replay_and_report(running: Running, places: Places, phases: "Phases") -> Report:
    """Replay the storm on a fresh generation, judged by whatever model is live.

    Raises:
        InvalidInput: the replay got stuck; says where.
    """
    with phases("fresh stream"):
        mappings = fresh_generation(running.engine, running.outputs)
        queue_url = results.subscribe_queue(running)
    fixture = places.repository / STORM
    with phases.bar("put on the stream", fixture.stat().st_size) as bar:
        sent = replay(running, fixture, bar.reach)
    return _rest(running, places, phases, mappings, sent, queue_url)


def _rest(
    running: Running,
    places: Places,
    phases: "Phases",
    mappings: list[str],
    sent: Sent,
    queue_url: str,
) -> Report:
    """Let everything that was put be counted and judged, and report."""
    let_read(running.engine, mappings)
    with phases("recount"):
        recounted = recount(places.repository / STORM, window_ms=WINDOW_MS)
    windows = (max(recounted) - min(recounted)) // WINDOW_MS + 1
    with phases.bar("count, judge, alert", 2 * windows) as bar:
        generation = wait_until_done(running, sent, bar)
    return report(running, generation, queue_url, recounted, phases.seconds)


class Feed:
    """One replay of a fixture onto the events stream, in parts, with heartbeats of its own.

    Args:
        running: The stack.
        fixture: The events.
    """

    def __init__(self, running: Running, fixture: Path) -> None:
        windows = WindowSettings()
        rules = windows.count_rules(
            clock_source=StreamSettings("", "").clock_source, clock_is_sweep=False
        )
        self._fixture = fixture
        self._reached: Callable[[int], None] = lambda _bytes: None
        offered = offered_by(
            bare_blocks(open_fixture(fixture)),
            SeriesBy(windows.series_fields),
            jobs=1,
            progress=lambda n_bytes: self._reached(n_bytes),
        )
        self._told = with_beats(offered, rules)
        self._replay = StreamReplay(events_stream(running), rules, pace=Unhurried())

    def put_until(self, time_ms: int, reached: Callable[[int], None]) -> Sent:
        """Put so much that all windows before a time are closed."""
        self._reached = reached
        return self._put(_until(self._told, time_ms + LATENESS_MS))

    def put_rest(self, reached: Callable[[int], None]) -> Sent:
        """Put what is left, as fast as it goes."""
        self._reached = reached
        return self._put(self._told)

    def _put(self, told: Iterable[Told]) -> Sent:
        sent = self._replay.run(told)
        if sent.stream_time_ms is None:
            msg = f"{self._fixture} holds no event"
            raise InvalidInput(msg)
        return Sent(sent.stream_time_ms, sent.events)


def _until(told: Iterator[Told], time_ms: int) -> Iterator[Told]:
    """Yield what is told up to the first heartbeat at a time or behind it."""
    for one in told:
        yield one
        if isinstance(one, Beat) and one.time_ms >= time_ms:
            return


def replay(running: Running, fixture: Path, reached: Callable[[int], None]) -> Sent:
    """Put a fixture on the events stream with heartbeats of its own, as fast as it goes."""
    return Feed(running, fixture).put_rest(reached)


def events_stream(running: Running) -> KinesisStream:
    """Return the stream that the functions count."""
    return KinesisStream(
        running.outputs.events_stream_name, client=running.engine.session().kinesis
    )


def wait_until_done(running: Running, sent: Sent, bar: "Bar") -> int:
    """Wait until every window is closed, judged and published; return the generation's number.

    Raises:
        InvalidInput: nothing moved for `STUCK_SECONDS`; says what is stuck.
    """
    database = running.connect()
    stream = events_stream(running).identity()
    seen: results.Progress | None = None
    moved = time.monotonic()
    try:
        while True:
            with database.transaction() as cursor:
                generation = results.generation_of(cursor, stream)
                now = results.Progress()
                if generation is not None:
                    now = results.progress(cursor, generation)
            missing = now.missing(sent.stream_time_ms, window_ms=WINDOW_MS, lateness_ms=LATENESS_MS)
            bar.reach(now.announced + now.judged, missing or "")
            if missing is None and generation is not None:
                return generation
            if now != seen:
                seen, moved = now, time.monotonic()
            elif time.monotonic() - moved > STUCK_SECONDS:
                log = running.servers.engine_log()
                msg = f"stuck: {missing}; {last_failure(log)} (the functions' log: {log})"
                raise InvalidInput(msg)
            time.sleep(POLL_SECONDS)
    finally:
        database.close()


def report(
    running: Running,
    generation: int,
    queue_url: str,
    recounted: Mapping[int, int],
    seconds: Mapping[str, float],
) -> Report:
    """Read what the run left in MySQL and in the queue, and hold it against the recount.

    Raises:
        InvalidInput: nothing was counted, or an alert was published but did not arrive.
    """
    database, lock = running.connect(), running.connect()
    ledger = ledger_on(database, lock)
    try:
        with database.transaction() as cursor:
            series = results.busiest_series(cursor, generation)
            if series is None:
                msg = "the replay left no window in MySQL"
                raise InvalidInput(msg)
            windows = results.window_lines(cursor, generation, series)
            counted = results.counts_of_all_series(cursor, generation)
            quarantined = results.quarantined(cursor, generation)
            asked = results.models_asked(cursor, generation)
            decided = results.alerts_decided(cursor, generation)
        models = [results.model_line(ledger, *one) for one in asked]
    finally:
        database.close()
    alerts, notices = results.take_messages(running, queue_url)
    received = len(alerts) + len(notices)
    if received < decided:
        msg = f"{decided} messages were published, but the subscribed queue received {received}"
        raise InvalidInput(msg)
    return Report(
        series=series,
        window_ms=WINDOW_MS,
        windows=windows,
        alerts=alerts,
        check=compare(counted, recounted),
        models=models,
        notices=notices,
        quarantined=quarantined,
        seconds=seconds,
    )


def last_failure(log: Path) -> str:
    """Return what the engine's log tells of the last function that failed."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "the engine left no log"
    signs = ("failed processing", "[ERROR]", '"level":"ERROR"')
    failures = [line for line in lines if any(sign in line for sign in signs)]
    return failures[-1].strip() if failures else "no function failed"
