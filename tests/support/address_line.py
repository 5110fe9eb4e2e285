"""The events stream of an address: the tests put events on it and are its clock.

Stream time only goes forward, and all tests of an address share it: each takes windows that no
other has used. What was put is kept, so that a recount needs nothing of what is tested.
"""

import json
from collections import Counter
from dataclasses import dataclass
from itertools import count

from tests.support.address import Address
from tidegauge.adapters.kinesis import KinesisStream
from tidegauge.domain.event_time import format_time, parse_time_ms
from tidegauge.domain.feature_names import DAY_MS
from tidegauge.domain.window import closing_time_ms
from tidegauge.ports import StreamEntry
from tidegauge.steps.heartbeats import Heartbeats

FIRST_MS = parse_time_ms("2024-01-01T00:00:00Z")
_MS = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {}) DIV 1000"


@dataclass(frozen=True, slots=True)
class Counted:
    """What MySQL holds of one revision of a window."""

    count: int
    late: int
    quality: str


class Line:
    """The stream of one address.

    Args:
        address: The deployed stack; its clock must be a producer.
        token: Told apart by it are series and events of one run of the tests from another's.
    """

    def __init__(self, address: Address, token: str) -> None:
        assert address.settings["HEARTBEATS"] == "producer", (
            "the tests are the stream's clock: deploy the stack with Heartbeats=producer"
        )
        self.address = address
        self.token = token
        self.size_ms = int(address.settings["WINDOW_SECONDS"]) * 1000
        self.lateness_ms = int(address.settings["ALLOWED_LATENESS_SECONDS"]) * 1000
        self._stream = KinesisStream(address.outputs.events_stream_name, client=address.kinesis)
        self._beats = Heartbeats(self._stream, address.settings["CLOCK_SOURCE"])
        self._ids = count()
        self._recount: Counter[tuple[str, int]] = Counter()
        self.now_ms = self._first_ms()
        self.beat(self.now_ms)

    def series(self, name: str) -> str:
        """Return the type of events of a test, which no other run has used."""
        return f"e2e.{self.token}.{name}"

    def beat(self, time_ms: int) -> None:
        """Let stream time be so late on every shard."""
        self._beats.put(time_ms)
        self.now_ms = time_ms

    def next_window(self) -> int:
        """Close the window in which stream time is; return the start of the next, where it is now.

        All events put before belong to a window that is closed then.
        """
        self.beat(
            closing_time_ms(self.window_ms, size_ms=self.size_ms, lateness_ms=self.lateness_ms)
        )
        return self.window_ms

    @property
    def window_ms(self) -> int:
        """Start of the window that stream time is in."""
        return self.now_ms - self.now_ms % self.size_ms

    def events(self, series: str, number: int, *, time_ms: int | None = None) -> list[bytes]:
        """Return new events of a series at a time, or at stream time, and note them for a recount.

        Args:
            series: Their type.
            number: How many.
            time_ms: When they happened.
        """
        time_ms = self.now_ms if time_ms is None else time_ms
        self._recount[series, time_ms - time_ms % self.size_ms] += number
        return [
            json.dumps(
                {
                    "specversion": "1.0",
                    "id": f"{self.token}-{next(self._ids)}",
                    "source": "/tidegauge/tests/address",
                    "type": series,
                    "time": format_time(time_ms),
                }
            ).encode()
            for _ in range(number)
        ]

    def put(self, records: list[bytes], *, key: str | None = None) -> None:
        """Put records; each has a partition key of its own unless one is given."""
        entries = [
            StreamEntry(data=data, partition_key=key or f"{self.token}-{n}")
            for n, data in enumerate(records)
        ]
        if entries:
            self._stream.put(entries)

    def recount(self, series: str) -> dict[int, int]:
        """Return how many events of a series were noted, by start of window."""
        return {start: n for (name, start), n in self._recount.items() if name == series}

    @property
    def generation(self) -> int | None:
        """Number of the stream's generation; None before its first record is read."""
        identity = self._stream.identity()
        found = self.address.rows(
            f"SELECT generation FROM generation WHERE stream_arn = %s"  # noqa: S608
            f" AND {_MS.format('stream_created_at')} = %s",
            identity.arn,
            identity.created_ms,
        )
        return found[0][0] if found else None

    def counted(self, series: str) -> dict[int, list[Counted]]:
        """Return all revisions of the windows of a series that are in MySQL, by start of window."""
        told: dict[int, list[Counted]] = {}
        for start_ms, *revision in self.address.rows(
            f"SELECT {_MS.format('window_start')}, count, late, quality"  # noqa: S608
            " FROM completed_window WHERE generation = %s AND series = %s"
            " ORDER BY window_start, revision",
            self.generation,
            series.encode(),
        ):
            told.setdefault(start_ms, []).append(Counted(*revision))
        return told

    def counts(self, series: str) -> dict[int, int]:
        """Return the last count of each window of a series."""
        return {start: revisions[-1].count for start, revisions in self.counted(series).items()}

    def predictions(self, series: str) -> dict[int, tuple[str, str, str]]:
        """Return status, verdict and model of each judged window of a series."""
        return {
            start_ms: (status, verdict, model)
            for start_ms, status, verdict, model in self.address.rows(
                f"SELECT {_MS.format('window_start')}, status, verdict, model_version"  # noqa: S608
                " FROM prediction WHERE generation = %s AND series = %s"
                " ORDER BY window_start, revision",
                self.generation,
                series.encode(),
            )
        }

    def _first_ms(self) -> int:
        """Return where stream time goes on: a whole day behind what the stream has seen."""
        (seen,) = self.address.rows(
            f"SELECT {_MS.format('MAX(stream_time)')} FROM shard WHERE generation = %s",  # noqa: S608
            self.generation,
        )
        return FIRST_MS if seen[0] is None else int(seen[0]) // DAY_MS * DAY_MS + DAY_MS
