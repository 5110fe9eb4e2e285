"""The pipeline as a test holds it: feed events, let stream time pass, look at what it tells."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event_time import format_time
from tidegauge.domain.fold import Quarantined
from tidegauge.domain.window import closing_time_ms, first_open_window_ms
from tidegauge.ports import StreamEntry
from tidegauge.testing.events import CloudEvent, Fed, bytes_of, partition_key_of
from tidegauge.testing.kinesis import KinesisClient
from tidegauge.testing.model import SEASONAL, Model
from tidegauge.testing.moments import Moment, duration_ms, moment_ms, moment_of
from tidegauge.testing.options import read_options
from tidegauge.testing.pipeline import Pipeline, Sums
from tidegauge.testing.seen import JudgedWindow, SentAlert, judged_window, sent_alert
from tidegauge.testing.telling import told_of

if TYPE_CHECKING:
    from tidegauge.domain.incident import Incident

# A year of five-minute windows: beyond it somebody has mistaken a date.
MAX_WINDOWS_AT_ONCE: Final = 110_000
_MINUTE_MS: Final = 60_000


class Tide:
    """A pipeline in memory: the steps of the deployed one, without AWS, database and wall clock.

    Time is stream time, and passes only when the test says so. As on a real stream, an event that
    lies further ahead of it than `max_future_skew_seconds` is set aside, and a window is complete
    once stream time has passed its end by `allowed_lateness_seconds`.

    Args:
        model: Who says what is expected: `"seasonal"`, a count to expect of every window, a
            function of the features, the path of a model, or a `ports.Predictor`; None to count
            without verdicts, which needs no numpy.
        shards: Of the stream.
        start: When the stream's clock begins. By default with the window of the earliest event fed
            before the first advance.
        settings: The settings of windows and judging by their names in lower case, such as
            `window_seconds=60` or `enough_windows=6`.

    Raises:
        Misconfigured: with one sentence for each setting that is wrong.

    >>> from tidegauge.testing import Tide, events
    >>> tide = Tide(model=None)
    >>> tide.feed(events("order.placed", 3, at="2026-02-02T12:00:00Z"))
    >>> tide.advance("2026-02-02T12:11:00Z")
    >>> [window.count for window in tide.windows("order.placed")]
    [3, 0]
    >>> tide.windows("order.placed")[0]
    <order.placed 2026-02-02T12:00:00Z: 3 NOT_JUDGED (no model)>
    """

    def __init__(
        self,
        *,
        model: Model = SEASONAL,
        shards: int = 1,
        start: Moment | None = None,
        **settings: object,
    ) -> None:
        options = read_options(settings, model=model, shards=shards, start=start)
        self._size_ms = options.windows.size_ms
        self._lateness_ms = options.windows.lateness_ms
        self._pipeline = Pipeline(options)
        self._first_window_ms: int | None = None  # that in which the clock began
        if options.start_ms is not None:
            self._pass_to(options.start_ms)

    # --- in

    def feed(self, *fed: Fed | Iterable[Fed], key: str | None = None) -> None:
        """Put records on the stream, in order; they are counted by the next `advance`.

        Args:
            fed: Events as dicts, records as bytes or text, or lists of these, a record each.
            key: Their partition key; by default each event's own, so that the same one fed twice
                reaches the same shard.

        Raises:
            InvalidInput: something is neither an event nor bytes. Bytes that hold no event are
                fine: they are set aside, as on a real stream.
        """
        entries = [
            StreamEntry(bytes_of(one), partition_key_of(one) if key is None else key)
            for one in _flat(fed)
        ]
        if entries:
            self._pipeline.put(entries)

    def play(self, events: Iterable[CloudEvent], *, key: str | None = None) -> None:
        """Feed events in order of their times, and let stream time follow them by the minute.

        Args:
            events: CloudEvents with times; they may span more than stream time lets be ahead.
            key: As for `feed`.

        Raises:
            InvalidInput: an event has no usable time.
        """
        timed = [(_time_of(event), event) for event in events]
        for time_ms, event in sorted(timed, key=lambda one: one[0]):
            minute_ms = time_ms - time_ms % _MINUTE_MS
            now_ms = self._pipeline.stream_time_ms
            if now_ms is None or minute_ms > now_ms:
                self._pass_to(minute_ms)
            self.feed(event, key=key)

    def fill(self, counts: Mapping[str, Sequence[int]], *, start: Moment | None = None) -> None:
        """Lay a history of counts, whole windows long, and let stream time pass them.

        A series has a history from its first window with an event; leading zeros are no windows.

        Args:
            counts: By series, one a window, oldest first, for the same number of windows. A
                million events take about a second.
            start: Start of the first window; by default of the first that is not complete.

        Raises:
            InvalidInput: the counts are no counts, or their windows are not all still to come.
        """
        _check_counts(counts)
        pipeline = self._pipeline
        start_ms = self._fill_start_ms(start)
        self._check_distance(start_ms, start_ms + len(next(iter(counts.values()))) * self._size_ms)
        if pipeline.stream_time_ms is None or pipeline.stream_time_ms < start_ms:
            self._pass_to(start_ms)
        else:
            pipeline.deliver()
        pipeline.fill(start_ms, counts)

    def advance(self, to: Moment | timedelta | None = None, *, windows: int | None = None) -> None:
        """Count what was fed, then let stream time pass, and judge what that completes.

        Args:
            to: A moment, or how long from now.
            windows: Instead of `to`: how many more windows shall be complete.

        Raises:
            InvalidInput: the moment lies behind stream time, or too far ahead to be meant; or
                neither or both of the arguments are given.
        """
        if (to is None) == (windows is None):
            msg = "advance to a moment, by a timedelta, or by windows=: one of them"
            raise InvalidInput(msg)
        if windows is not None:
            self._pass_to(self._closing_ms(windows))
        elif isinstance(to, timedelta):
            self._pass_to(self._begun_ms() + duration_ms(to))
        elif to is not None:
            self._pass_to(moment_ms(to))

    def deliver(self, *, at_most: int | None = None) -> None:
        """Count what was fed so far, without letting stream time pass.

        Args:
            at_most: Records of a batch; by default each shard's are one batch. It shows in nothing
                that is counted.
        """
        if at_most is not None and at_most < 1:
            msg = f"a batch holds at least one record, not {at_most}"
            raise InvalidInput(msg)
        self._pipeline.deliver(at_most=at_most)

    @cached_property
    def kinesis(self) -> KinesisClient:
        """A client whose `put_record` and `put_records` feed this stream: hand it to producers."""
        return KinesisClient(self._pipeline.put)

    # --- out

    @property
    def now(self) -> datetime | None:
        """Stream time, UTC; None before the first advance."""
        now_ms = self._pipeline.stream_time_ms
        return None if now_ms is None else moment_of(now_ms)

    @property
    def series(self) -> list[str]:
        """All series that have complete windows, in order of name."""
        return sorted(name for name, rows in self._pipeline.completed().items() if rows)

    def windows(self, series: str) -> list[JudgedWindow]:
        """Return the complete windows of a series as they stand now, oldest first."""
        completed = self._pipeline.completed().get(series, {})
        last = {(start_ms, rows[-1].revision) for start_ms, rows in completed.items()}
        return [
            one for one in self._revisions(series) if (moment_ms(one.start), one.revision) in last
        ]

    def revisions(self, series: str) -> list[JudgedWindow]:
        """Return all that was ever announced of a series, in order of window and revision."""
        return self._revisions(series)

    def window(self, series: str, start: Moment) -> JudgedWindow:
        """Return one complete window as it stands now.

        Raises:
            AssertionError: it is not complete; the message tells what is.
        """
        start_ms = moment_ms(start)
        for one in self.windows(series):
            if moment_ms(one.start) == start_ms:
                return one
        msg = f"{series} has no complete window {format_time(start_ms)}\n{self.told()}"
        raise AssertionError(msg)

    @property
    def alerts(self) -> list[SentAlert]:
        """What people were sent, oldest first."""
        return [sent_alert(alert) for alert in self._pipeline.alerts]

    def incidents(self, series: str) -> "list[Incident]":
        """Return the incidents of a series, in the order of opening."""
        return self._pipeline.incidents(series)

    @property
    def quarantine(self) -> list[Quarantined]:
        """What was set aside, with its reason and bytes, in the order it came."""
        return self._pipeline.quarantine()

    @property
    def sums(self) -> Sums:
        """How many events were counted, were duplicates, came late."""
        return self._pipeline.sums

    def told(self) -> str:
        """Return where everything stands, for people; pytest shows it when a test fails."""
        return told_of(self)

    def __repr__(self) -> str:
        now = "before its first advance" if self.now is None else f"at {self.now:%FT%TZ}"
        return f"<Tide {now}, {len(self.series)} series, {len(self.alerts)} alerts>"

    # --- time

    def _pass_to(self, time_ms: int) -> None:
        pipeline = self._pipeline
        if pipeline.stream_time_ms is None:
            first_ms = self._first_ms(time_ms)
            self._check_distance(first_ms, time_ms)
            self._first_window_ms = first_ms - first_ms % self._size_ms
            pipeline.beat(first_ms)
        else:
            self._check_distance(pipeline.stream_time_ms, time_ms)
        pipeline.beat(time_ms)
        pipeline.deliver()

    def _first_ms(self, time_ms: int) -> int:
        earliest_ms = self._pipeline.earliest_ms
        if earliest_ms is None:
            return time_ms
        return min(time_ms, earliest_ms - earliest_ms % self._size_ms)

    def _begun_ms(self) -> int:
        """Return stream time, or when it begins with what was fed."""
        pipeline = self._pipeline
        if pipeline.stream_time_ms is not None:
            return pipeline.stream_time_ms
        if pipeline.earliest_ms is not None:
            return pipeline.earliest_ms - pipeline.earliest_ms % self._size_ms
        msg = "the stream's clock has not begun: feed an event, advance to a moment, or say start="
        raise InvalidInput(msg)

    def _closing_ms(self, windows: int) -> int:
        if windows < 1:
            msg = f"advance by at least one window, not {windows}"
            raise InvalidInput(msg)
        last_ms = self._next_window_ms(self._begun_ms()) + (windows - 1) * self._size_ms
        return closing_time_ms(last_ms, size_ms=self._size_ms, lateness_ms=self._lateness_ms)

    def _next_window_ms(self, time_ms: int) -> int:
        """Return the first window that a stream time leaves open, none before the clock began."""
        first_ms = time_ms if self._first_window_ms is None else self._first_window_ms
        open_ms = first_open_window_ms(
            time_ms, size_ms=self._size_ms, lateness_ms=self._lateness_ms
        )
        return max(first_ms, open_ms)

    def _fill_start_ms(self, start: Moment | None) -> int:
        now_ms = self._pipeline.stream_time_ms
        if start is None:
            if now_ms is None:
                msg = "the stream's clock has not begun: say start= of the first window to fill"
                raise InvalidInput(msg)
            return self._next_window_ms(now_ms)
        start_ms = moment_ms(start)
        if start_ms % self._size_ms:
            window = format_time(start_ms - start_ms % self._size_ms)
            msg = f"{format_time(start_ms)} starts no window: it lies in that of {window}"
            raise InvalidInput(msg)
        if now_ms is not None and start_ms < self._next_window_ms(now_ms):
            msg = (
                f"the window {format_time(start_ms)} is over: fill from "
                f"{format_time(self._next_window_ms(now_ms))} on"
            )
            raise InvalidInput(msg)
        return start_ms

    def _check_distance(self, from_ms: int, to_ms: int) -> None:
        if to_ms < from_ms:
            msg = (
                f"stream time is {format_time(from_ms)} and never goes back to {format_time(to_ms)}"
            )
            raise InvalidInput(msg)
        if (to_ms - from_ms) // self._size_ms > MAX_WINDOWS_AT_ONCE:
            msg = (
                f"from {format_time(from_ms)} to {format_time(to_ms)} are more than "
                f"{MAX_WINDOWS_AT_ONCE:,} windows: is a date wrong? Where an old event was fed on "
                "purpose, say start= of the stream's clock"
            )
            raise InvalidInput(msg)

    def _revisions(self, series: str) -> list[JudgedWindow]:
        completed = self._pipeline.completed().get(series, {})
        predictions = self._pipeline.predictions(series)
        return [
            judged_window(row, predictions.get((start_ms, row.revision)), size_ms=self._size_ms)
            for start_ms in sorted(completed)
            for row in completed[start_ms]
        ]


def _flat(fed: Iterable[Fed | Iterable[Fed]]) -> Iterable[Fed]:
    for one in fed:
        if isinstance(one, bytes | str | Mapping) or not isinstance(one, Iterable):
            yield one
        else:
            yield from one


def _time_of(event: CloudEvent) -> int:
    if not isinstance(event, Mapping) or "time" not in event:
        msg = f"play takes events with a time, not {event!r}"
        raise InvalidInput(msg)
    return moment_ms(event["time"])


def _check_counts(counts: Mapping[str, Sequence[int]]) -> None:
    lengths = {len(numbers) for numbers in counts.values()}
    if not lengths or 0 in lengths:
        msg = "fill takes counts by series, such as {'order.placed': [3, 4]}, one window at least"
        raise InvalidInput(msg)
    if len(lengths) > 1:
        told = ", ".join(f"{name}: {len(numbers)}" for name, numbers in counts.items())
        msg = f"fill takes as many counts of each series, not {told}"
        raise InvalidInput(msg)
    for name, numbers in counts.items():
        for number in numbers:
            if not isinstance(number, int) or isinstance(number, bool) or number < 0:
                msg = f"a count of {name} is {number!r}: counts are whole numbers, zero or more"
                raise InvalidInput(msg)
