"""What there is to see of a live stack now: its state, last windows, open incidents and alerts.

Reads MySQL and the queue that is subscribed to the topic; decides and shows nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from embedded.local import Running
from embedded.report import AlertLine, WindowLine
from embedded.results import generation_of, subscribe_queue, take_alerts
from embedded.run import events_stream
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.status import MysqlSnapshots
from tidegauge.adapters.mysql.times import to_sql
from tidegauge.domain.errors import InvalidInput, Transient
from tidegauge.domain.health import Health, HealthRules, health_of
from tidegauge.domain.snapshot import Snapshot

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

QUEUE = "tidegauge-live-alerts"
# As many as the widest terminal has room for.
RECENT_WINDOWS = 120
RECENT_ALERTS = 50


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """An incident that goes on.

    Attributes:
        direction: TOO_LOW or TOO_HIGH.
        severity: warning or critical.
        since_ms: Start of the window that opened it.
    """

    direction: str
    severity: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class LiveReading:
    """One look at a live stack.

    Attributes:
        now_ms: The database's own clock; 0 while the stream has no generation.
        health: The state of counting; None before the first record or sweep.
        open_windows: Windows that have events and are not closed.
        windows: The last windows of each series, oldest first, last revisions.
        announced: The same in the order of announcement, all revisions.
        incidents: The open incident of each series that has one.
        alerts: What the queue received, by this view and those before it, oldest first.
        new_alerts: Those that came with this look.
    """

    now_ms: int = 0
    health: Health | None = None
    open_windows: int = 0
    windows: dict[str, list[WindowLine]] = field(default_factory=dict)
    announced: Sequence[tuple[str, WindowLine]] = ()
    incidents: dict[str, OpenIncident] = field(default_factory=dict)
    alerts: Sequence[AlertLine] = ()
    new_alerts: Sequence[AlertLine] = ()


class LiveFeed:
    """Looks at a live stack again and again.

    Args:
        running: The stack.
        rules: What is a stall.
        alerts_file: Keeps alerts that were taken from the queue, for the next view.

    Raises:
        InvalidInput: the stack was stopped, or started anew.
    """

    def __init__(self, running: Running, rules: HealthRules, alerts_file: Path) -> None:
        self._running = running
        self._rules = rules
        self._database = running.connect()
        self._alerts_file = alerts_file
        with _still_up():
            self._queue_url = subscribe_queue(running, QUEUE, purge=False)
            self._stream = events_stream(running).identity()
        self._snapshots = MysqlSnapshots(
            self._database, running.outputs.events_stream_name, with_earlier=rules.with_earlier
        )
        self._earlier: Snapshot | None = None

    def close(self) -> None:
        """Give the connection back."""
        self._database.close()

    def read(self) -> LiveReading:
        """Look once.

        Raises:
            InvalidInput: the stack was stopped, or started anew.
            Transient: its database does not answer.
        """
        with _still_up():
            taken = take_alerts(self._running, self._queue_url)
        alerts = self._remembered(taken)
        snapshot = self._snapshots.read()
        with self._database.transaction() as cursor:
            generation = generation_of(cursor, self._stream)
        # What an engine counted that was stopped since tells nothing of this one.
        if snapshot is None or snapshot.generation != generation:
            return LiveReading(alerts=alerts, new_alerts=taken)
        health = health_of(snapshot, self._rules, self._earlier)
        self._earlier = snapshot
        with self._database.transaction() as cursor:
            announced = _windows(cursor, snapshot, self._rules.size_ms)
            open_windows = _open_windows(cursor, snapshot)
            incidents = _incidents(cursor, snapshot.generation)
        windows: dict[str, dict[int, WindowLine]] = {}
        for series, line in announced:
            windows.setdefault(series, {})[line.start_ms] = line
        return LiveReading(
            now_ms=snapshot.now_ms,
            health=health,
            open_windows=open_windows,
            windows={
                series: [lines[start_ms] for start_ms in sorted(lines)]
                for series, lines in sorted(windows.items())
            },
            announced=announced,
            incidents=incidents,
            alerts=alerts,
            new_alerts=taken,
        )

    def _remembered(self, taken: Sequence[AlertLine]) -> list[AlertLine]:
        """Return the last alerts, those of earlier views too: a queue gives each but once."""
        with self._alerts_file.open("ab") as file:
            file.writelines(msgspec.json.encode(alert) + b"\n" for alert in taken)
        lines = self._alerts_file.read_bytes().splitlines()[-RECENT_ALERTS:]
        return [msgspec.json.decode(line, type=AlertLine) for line in lines]


@contextmanager
def _still_up() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError, Transient) as error:
        msg = "the live stack was stopped or started anew: `make live` comes back to it"
        raise InvalidInput(msg) from error


def _windows(cursor: "Cursor", snapshot: Snapshot, size_ms: int) -> list[tuple[str, WindowLine]]:
    if snapshot.next_window_ms is None:
        return []
    from_ms = max(0, snapshot.next_window_ms - RECENT_WINDOWS * size_ms)
    cursor.execute(
        query("live_windows"),
        {"generation": snapshot.generation, "from_step": to_sql(from_ms)},
    )
    return [(row[0].decode(), _line(*row[1:])) for row in cursor.fetchall()]


def _line(
    start_ms: int,
    count: int,
    revision: int,
    quality: str,
    verdict: str | None,
    reason: str | None,
    *bounds: float | None,
) -> WindowLine:
    expected, lower, upper = bounds
    return WindowLine(
        start_ms, count, revision, quality, verdict or "", expected, lower, upper, reason or ""
    )


def _open_windows(cursor: "Cursor", snapshot: Snapshot) -> int:
    next_ms = snapshot.next_window_ms or 0
    cursor.execute(
        query("live_open_windows"),
        {"generation": snapshot.generation, "next_window": to_sql(next_ms)},
    )
    row = cursor.fetchone()
    return 0 if row is None else int(row[0])


def _incidents(cursor: "Cursor", generation: int) -> dict[str, OpenIncident]:
    cursor.execute(query("live_incidents"), {"generation": generation})
    return {row[0].decode(): OpenIncident(*row[1:]) for row in cursor.fetchall()}
