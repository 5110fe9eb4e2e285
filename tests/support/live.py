"""A live stack with windows of 20 seconds, and what may be done to it and asked of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from botocore.config import Config

from embedded.engine import EngineAddress
from embedded.inject import inject
from embedded.live import LiveSettings
from embedded.live_reading import LiveFeed, LiveReading
from embedded.local import LocalStack, Running
from embedded.places import Places
from embedded.report import AlertLine
from embedded.results import subscribe_queue, take_alerts
from embedded.standin import StandIn
from tests.support.embedded import missing
from tidegauge.adapters.clock import SystemClock
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event_time import format_time
from tidegauge.domain.health import Health
from tidegauge.settings import DatabaseAddress

POLL_SECONDS = 0.5
SETTINGS = LiveSettings.from_env(
    {
        "WINDOW_SECONDS": "20",
        "ALLOWED_LATENESS_SECONDS": "8",
        "HEARTBEATS_PER_MINUTE": "12",
        "ENOUGH_WINDOWS": "6",
        # Even rates, so many that one window proves a silence by a memory of six.
        "SIMULATOR_TYPES": "order.placed:900,payment.taken:900,user.signed_up:900",
        "SIMULATOR_SEASON": "0",
        "SIMULATOR_SEED": "20130208",
        "SIMULATOR_TICK_SECONDS": "2",
    }
)
SIZE_MS = SETTINGS.size_ms
LATENESS_MS = SETTINGS.windows.lateness_ms

_T = TypeVar("_T")


def until(reached: Callable[[], _T | None], *, seconds: float, what: str) -> _T:
    """Ask again and again until there is an answer that is true, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        answer = reached()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(POLL_SECONDS)


@dataclass
class LiveStack:
    """A live stack that is up.

    Attributes:
        running: Its addresses.
        places: Its folders.
        queue_url: A queue that is subscribed to the topic.
        feed: Looks at it as the view does.
        alerts: What was taken from the queue so far.
    """

    running: Running
    places: Places
    queue_url: str
    feed: LiveFeed
    alerts: list[AlertLine] = field(default_factory=list)

    def look(self) -> LiveReading:
        """Look at it once."""
        return self.feed.read()

    def health(self) -> Health:
        """Return the state of counting, once there is any."""
        health = self.look().health
        assert health is not None, "nothing was counted yet"
        return health

    def new_alerts(self) -> list[AlertLine]:
        """Return all alerts so far, those that lie in the queue now among them."""
        self.alerts += take_alerts(self.running, self.queue_url)
        return self.alerts

    def alert_on(self, series: str) -> AlertLine | None:
        """Return the first alert on a series, if it has come."""
        return next((a for a in self.new_alerts() if a.subject.startswith(f"{series}:")), None)

    def announced(self) -> dict[tuple[str, int], list[tuple[int, int, str]]]:
        """Return (revision, count, quality) of all revisions by series and window start, ms."""
        found: dict[tuple[str, int], list[tuple[int, int, str]]] = {}
        for series, start_ms, *revision in self.rows(
            "SELECT series, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', window_start) DIV 1000,"
            " revision, count, quality FROM completed_window"
            " ORDER BY series, window_start, revision"
        ):
            found.setdefault((series.decode(), start_ms), []).append(tuple(revision))
        return found

    def rows(self, statement: str) -> tuple[tuple[Any, ...], ...]:
        """Return what one statement reads."""
        database = self.running.connect()
        try:
            with database.transaction() as cursor:
                cursor.execute(statement)
                return tuple(cursor.fetchall())
        finally:
            database.close()

    def last_closed_ms(self) -> int:
        """Return the end of the last closed window; 0 before the first."""
        health = self.look().health
        return 0 if health is None else health.counted_until_ms or 0

    def close_beyond(self, time_ms: int, *, seconds: float = 90) -> None:
        """Wait until all windows up to a time are closed."""
        until(
            lambda: self.last_closed_ms() >= time_ms,
            seconds=seconds,
            what=f"windows closed up to {format_time(time_ms)}",
        )

    def inject(self, kind: str, types: list[str], *, windows: int) -> int:
        """Inject a fault that begins and ends with a window; return its start."""
        now_ms = SystemClock().now_ms()
        start_ms = (now_ms + 3 * SETTINGS.simulator.tick_ms) // SIZE_MS * SIZE_MS + SIZE_MS
        span = f"{format_time(start_ms)}+{windows * SIZE_MS // 1000}s"
        texts = [f"{kind}:{name}@{span}" for name in types]
        inject(self.running, texts, lasting="", now_ms=now_ms)
        return start_ms

    @contextmanager
    def mapping_disabled(self, stream_arn: str) -> Iterator[None]:
        """Keep a function from reading its stream until the block ends."""
        functions = self.running.engine.session().functions
        (mapping,) = functions.list_event_source_mappings(EventSourceArn=stream_arn)[
            "EventSourceMappings"
        ]
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        try:
            yield
        finally:
            functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)

    @contextmanager
    def schedule_disabled(self) -> Iterator[None]:
        """Keep the sweep's schedule from firing until the block ends."""
        with schedule_disabled(self.running):
            yield

    @contextmanager
    def endpoint_down(self) -> Iterator[None]:
        """Stop the SageMaker stand-in until the block ends."""
        port = int(self.running.sagemaker_url.rpartition(":")[2])
        stand_in = StandIn(self.places, port=port)
        assert stand_in.down()
        try:
            yield
        finally:
            stand_in.up(self.running.sagemaker_url, self.running.engine)


@contextmanager
def live_stack(places: Places, database: DatabaseAddress) -> Iterator[LiveStack]:
    """Give a live stack of our own until the block ends."""
    local = LocalStack(places, SETTINGS.wanted, database=database, model=SETTINGS.model)
    try:
        try:
            running = local.up()
        except InvalidInput as error:
            missing(error)  # what was up already is taken down all the same
        queue_url = subscribe_queue(running, "live-tests")
        feed = LiveFeed(running, SETTINGS.health_rules, places.state / "alerts.jsonl")
        try:
            sweep_at_once(running)
            yield LiveStack(running, places, queue_url, feed)
        finally:
            feed.close()
    finally:
        local.down()


def sweep_at_once(running: Running) -> None:
    """Sweep the first minute now, where the schedule would begin with the second.

    A sweep lasts a minute here, and the schedule's own would find it running and go away.
    """
    functions = running.engine.session().session.client(
        "lambda",
        endpoint_url=running.engine.url,
        config=Config(read_timeout=90, retries={"total_max_attempts": 1}),
    )
    with schedule_disabled(running):
        answer = functions.invoke(FunctionName=running.outputs.sweep_function_name)
    told = answer["Payload"].read()
    assert "FunctionError" not in answer, told


@contextmanager
def schedule_disabled(running: Running) -> Iterator[None]:
    """Keep the sweep's schedule from firing until the block ends."""
    events = _events(running.engine)
    function = running.engine.session().functions.get_function_configuration(
        FunctionName=running.outputs.sweep_function_name
    )
    (rule,) = events.list_rule_names_by_target(TargetArn=function["FunctionArn"])["RuleNames"]
    events.disable_rule(Name=rule)
    try:
        yield
    finally:
        events.enable_rule(Name=rule)


def _events(engine: EngineAddress) -> Any:
    return engine.session().session.client("events", endpoint_url=engine.url)
