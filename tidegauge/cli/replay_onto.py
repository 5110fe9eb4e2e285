"""A replay onto a stream: fixture, decoding, the replay clock, Kinesis.

The fixture is read twice: the first pass finds out whether it is whole and from when to when it
reaches, before a single record is sent.
"""

import time
from collections.abc import Callable, Iterator, Mapping

import msgspec

from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.fixture_decoder import offered_by
from tidegauge.adapters.fixtures import (
    Fixture,
    FixtureKind,
    bare_blocks,
    open_fixture,
    recorded_shards,
)
from tidegauge.cli.recorded import recorded_items
from tidegauge.cli.replay_options import (
    Progress,
    ReplayOptions,
    print_json,
    print_table,
    progress_bar,
    with_stream_names,
)
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event import Event, RejectReason
from tidegauge.domain.event_time import format_time
from tidegauge.domain.offered import Offered
from tidegauge.ports import StreamIdentity
from tidegauge.settings import (
    Clocks,
    DatabaseSettings,
    StreamSettings,
    WindowSettings,
    read_settings,
)
from tidegauge.steps.recorded_clock import RecordedLine, with_least_beats
from tidegauge.steps.replay import SetAside
from tidegauge.steps.replay_clock import Beat, Told, with_beats
from tidegauge.steps.replay_stream import Pace, Sent, StreamReplay, TimedPace, Unhurried

_SHOWN_UNSENT = 5


class _Span(msgspec.Struct, frozen=True):
    """When a fixture begins and ends: its first heartbeat, and its latest confirmed event."""

    first_beat_ms: int
    last_event_ms: int


def replay_onto(options: ReplayOptions, stream_name: str, env: Mapping[str, str]) -> None:
    """Put a fixture on a stream and show what was put.

    Raises:
        InvalidInput: the fixture cannot be used, or starts behind what the stream has counted.
        Misconfigured: a setting or the stream cannot be used.
        Transient: the stream did not take a record.
    """
    from tidegauge.adapters.kinesis import KinesisStream

    began = time.perf_counter()
    windows, stream = read_settings(
        with_stream_names(env, stream_name), WindowSettings, StreamSettings
    )
    source = _Source(options, windows, stream)
    with progress_bar("Checking", source.size_bytes, hidden=options.as_json) as progress:
        span = source.span(progress)
    shift_ms = 0
    if options.shift_to_now and span is not None:
        shift_ms = shift_to_now_ms(
            span.first_beat_ms,
            span.last_event_ms,
            now_ms=SystemClock().now_ms(),
            speed=options.speed,
            size_ms=windows.size_ms,
        )
    target = KinesisStream(stream_name)
    if span is not None:
        _refuse_behind(span.first_beat_ms + shift_ms, target.identity, env)
    replay = StreamReplay(target, source.rules, pace=_pace(options), shift_ms=shift_ms)
    with progress_bar("Sending", source.size_bytes, hidden=options.as_json) as progress:
        sent = replay.run(source.told(progress))
    for line, reason in source.no_records:
        sent.n_unsent += 1
        sent.unsent.append((line, reason))
    _show(options, stream_name, sent, time.perf_counter() - began)


def shift_to_now_ms(
    first_ms: int, last_ms: int, *, now_ms: int, speed: float | None, size_ms: int
) -> int:
    """Return how far to move all times: whole windows, so that the last event is sent at its time.

    Args:
        first_ms: The first heartbeat.
        last_ms: The latest event.
        now_ms: When the replay begins.
        speed: Seconds of event time in a second; None for no waiting at all.
        size_ms: Window length.

    >>> shift_to_now_ms(0, 600_000, now_ms=3_600_000, speed=1.0, size_ms=300_000)
    3600000
    >>> shift_to_now_ms(0, 600_000, now_ms=3_600_000, speed=None, size_ms=300_000)
    3000000
    """
    takes_ms = 0 if speed is None else int((last_ms - first_ms) / speed)
    shift_ms = now_ms + takes_ms - last_ms
    return shift_ms - shift_ms % size_ms


class _Source:
    """A fixture that can be read more than once."""

    def __init__(
        self, options: ReplayOptions, windows: WindowSettings, stream: StreamSettings
    ) -> None:
        self._fixture: Fixture = open_fixture(options.fixture)
        self._jobs = options.jobs
        self._series_by = SeriesBy(windows.series_fields)
        self._bare = self._fixture.kind is FixtureKind.BARE
        self._shards = [] if self._bare else recorded_shards(self._fixture)
        clock = Clocks(self._fixture.manifest.heartbeats or stream.heartbeats)
        self.rules = windows.count_rules(
            clock_source=stream.clock_source,
            clock_is_sweep=not self._bare and clock is Clocks.SWEEP,
        )
        self.size_bytes = self._fixture.size_bytes
        self.no_records: list[tuple[int, RejectReason]] = []

    def told(self, progress: Progress) -> Iterator[Told]:
        """Yield what the fixture holds, with the heartbeats of its replay."""
        if self._bare:
            offered = offered_by(
                bare_blocks(self._fixture), self._series_by, jobs=self._jobs, progress=progress
            )
            return with_beats(offered, self.rules)
        self.no_records.clear()
        records = recorded_items(self._fixture, self._series_by, progress)
        return with_least_beats(self._records_of(records), self._shards, self.rules)

    def _records_of(self, items: Iterator[RecordedLine | SetAside]) -> Iterator[RecordedLine]:
        for item in items:
            if isinstance(item, SetAside):
                self.no_records.append((item.line, item.rejection.reason))
            else:
                yield item

    def span(self, progress: Progress) -> _Span | None:
        """Read the whole fixture once; None if no event of it has a time that others confirm."""
        first_ms: int | None = None
        last_ms: int | None = None
        for one in self.told(progress):
            if isinstance(one, Beat) and first_ms is None:
                first_ms = one.time_ms
            elif isinstance(one, Offered) and isinstance(one.item, Event):
                time_ms = one.item.event_time_ms
                last_ms = time_ms if last_ms is None else max(last_ms, time_ms)
        if first_ms is not None and last_ms is not None:
            return _Span(first_ms, last_ms)
        if not self._bare:
            msg = (
                f"{self._fixture.path} lacks heartbeats of {self.rules.clock_source} on some shard,"
                " so its stream time is unknown; set CLOCK_SOURCE to their source"
            )
            raise InvalidInput(msg)
        return None


def _pace(options: ReplayOptions) -> Pace:
    if options.speed is None:
        return Unhurried()
    return TimedPace(options.speed, SystemClock().now_ms, time.sleep)


def _refuse_behind(
    first_ms: int, identity: Callable[[], StreamIdentity], env: Mapping[str, str]
) -> None:
    """Refuse a replay that starts behind the target's watermark, where the database is known."""
    if not env.get("DATABASE_URL", "").strip():
        return
    from tidegauge.adapters.mysql.connection import Database
    from tidegauge.adapters.mysql.counting import MysqlCountStore

    database = Database.from_settings(DatabaseSettings.from_env(env))
    try:
        store = MysqlCountStore(database)
        with store.closing(store.generation(identity())) as transaction:
            times = [shard.stream_time_ms for shard in transaction.shard_times()]
    finally:
        database.close()
    known = [time_ms for time_ms in times if time_ms is not None]
    watermark_ms = min(known) if known and len(known) == len(times) else None
    if watermark_ms is not None and first_ms < watermark_ms:
        msg = (
            f"the replay starts at {format_time(first_ms)}, but the stream has counted up to "
            f"{format_time(watermark_ms)} already; replay onto a new stream, or use --shift-to-now"
        )
        raise InvalidInput(msg)


def _show(options: ReplayOptions, stream_name: str, sent: Sent, seconds: float) -> None:
    last = None if sent.stream_time_ms is None else format_time(sent.stream_time_ms)
    if options.as_json:
        print_json(
            {
                "stream": stream_name,
                "events": sent.events,
                "rejects": sent.rejects,
                "heartbeats": sent.beats,
                "stream_time": last,
                "unsent": sent.n_unsent,
                "seconds": round(seconds, 3),
            }
        )
        return
    rows = [
        ("events", f"{sent.events:,}"),
        ("other records", f"{sent.rejects:,}"),
        ("heartbeats", f"{sent.beats:,}"),
        ("last stream time", last or "none"),
        ("not sent", f"{sent.n_unsent:,}"),
    ]
    rows += [(f"  line {line}", reason.value) for line, reason in sent.unsent[:_SHOWN_UNSENT]]
    rows.append(("seconds", f"{seconds:.2f}"))
    print_table(f"Replay of {options.fixture} onto {stream_name}", rows)
