"""Reads what a replay left: how far it is in MySQL, its windows, and the alerts from the queue."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedded.local import Running
from embedded.report import AlertLine, ModelLine, WindowLine
from tidegauge.domain.event_time import format_time
from tidegauge.domain.window import first_open_window_ms
from tidegauge.ports import ModelLedger, StreamIdentity

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

QUEUE = "tidegauge-run-alerts"
_MS = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {}) DIV 1000"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the functions are with what was put on the stream.

    Attributes:
        stream_time_ms: The least stream time over the shards; None before the first heartbeat.
        next_window_ms: The first window that is not closed; None before the first is.
        announced: Completed windows, revisions counted.
        judged: How many of them have been judged.
        unsent: Outbox messages that were not sent yet.
    """

    stream_time_ms: int | None = None
    next_window_ms: int | None = None
    announced: int = 0
    judged: int = 0
    unsent: int = 0

    def missing(self, last_ms: int, *, window_ms: int, lateness_ms: int) -> str | None:
        """Return what is still to be done up to a last heartbeat; None if nothing is.

        Args:
            last_ms: Stream time of the last heartbeat that was put.
            window_ms: Window length.
            lateness_ms: Allowed lateness.
        """
        if self.stream_time_ms is None or self.stream_time_ms < last_ms:
            return "collect has not read the stream to its end"
        open_ms = first_open_window_ms(last_ms, size_ms=window_ms, lateness_ms=lateness_ms)
        if self.next_window_ms is None or self.next_window_ms < open_ms:
            return "collect has read everything but not closed every window"
        if self.judged < self.announced:
            left = self.announced - self.judged
            return f"predict has {left:,} of {self.announced:,} windows left to judge"
        if self.unsent:
            return f"{self.unsent:,} messages wait in the outbox"
        return None


def generation_of(cursor: "Cursor", stream: StreamIdentity) -> int | None:
    """Return the number of a stream's generation; None before its first record is read."""
    cursor.execute(
        f"SELECT generation FROM generation WHERE stream_arn = %s"  # noqa: S608
        f" AND {_MS.format('stream_created_at')} = %s",
        (stream.arn, stream.created_ms),
    )
    row = cursor.fetchone()
    return None if row is None else row[0]


def progress(cursor: "Cursor", generation: int) -> Progress:
    """Return how far a generation is."""
    cursor.execute(
        f"SELECT {_MS.format('MIN(stream_time)')}, COUNT(*) = COUNT(stream_time)"  # noqa: S608
        " FROM shard WHERE generation = %s AND NOT drained",
        (generation,),
    )
    stream_time_ms, whole = cursor.fetchone() or (None, 0)
    cursor.execute(
        f"SELECT {_MS.format('next_window')} FROM frontier WHERE generation = %s",  # noqa: S608
        (generation,),
    )
    (next_window_ms,) = cursor.fetchone() or (None,)
    counts = [
        _count(cursor, statement, generation)
        for statement in (
            "SELECT COUNT(*) FROM completed_window WHERE generation = %s",
            "SELECT COUNT(*) FROM prediction WHERE generation = %s",
            "SELECT COUNT(*) FROM outbox WHERE generation = %s AND sent_at IS NULL",
        )
    ]
    return Progress(stream_time_ms if whole else None, next_window_ms, *counts)


def busiest_series(cursor: "Cursor", generation: int) -> str | None:
    """Return the series with most events; None if there is none."""
    cursor.execute(
        "SELECT series FROM completed_window WHERE generation = %s"
        " GROUP BY series ORDER BY SUM(count) DESC, series LIMIT 1",
        (generation,),
    )
    row = cursor.fetchone()
    return None if row is None else bytes(row[0]).decode()


def window_lines(cursor: "Cursor", generation: int, series: str) -> list[WindowLine]:
    """Return the last revision of each window of a series with its judgement, in order."""
    cursor.execute(
        f"SELECT {_MS.format('c.window_start')}, c.count, c.revision, c.quality,"  # noqa: S608
        " COALESCE(p.verdict, 'NOT_JUDGED'), p.expected, p.lower_bound, p.upper_bound"
        " FROM completed_window c LEFT JOIN prediction p"
        " USING (generation, series, window_start, revision)"
        " WHERE generation = %s AND series = %s ORDER BY c.window_start, c.revision",
        (generation, series.encode()),
    )
    # A later revision takes the place of an earlier one.
    return list({row[0]: WindowLine(*row) for row in cursor.fetchall()}.values())


def counts_of_all_series(cursor: "Cursor", generation: int) -> dict[int, int]:
    """Return events by window start, ms, over all series, last revisions."""
    cursor.execute(
        f"SELECT {_MS.format('window_start')}, CAST(SUM(count) AS UNSIGNED)"  # noqa: S608
        " FROM completed_window c WHERE generation = %s AND revision = ("
        "  SELECT MAX(revision) FROM completed_window l WHERE l.generation = c.generation"
        "  AND l.series = c.series AND l.window_start = c.window_start)"
        " GROUP BY window_start",
        (generation,),
    )
    return {int(start_ms): int(count) for start_ms, count in cursor.fetchall()}


def quarantined(cursor: "Cursor", generation: int) -> int:
    """Return how many records, or parts of one, were set aside."""
    return _count(cursor, "SELECT COUNT(*) FROM quarantine WHERE generation = %s", generation)


def alerts_decided(cursor: "Cursor", generation: int) -> int:
    """Return how many messages to people the outbox has sent or will send."""
    return _count(
        cursor,
        "SELECT COUNT(*) FROM outbox WHERE generation = %s AND destination = 'alerts'",
        generation,
    )


def models_asked(cursor: "Cursor", generation: int) -> list[tuple[str, int]]:
    """Return the models that answered, and how many windows each was asked about."""
    cursor.execute(
        "SELECT model_version, COUNT(*) FROM prediction"
        " WHERE generation = %s AND status = 'ok' GROUP BY model_version ORDER BY model_version",
        (generation,),
    )
    return [(version, int(windows)) for version, windows in cursor.fetchall()]


def model_line(ledger: ModelLedger, version: str, windows: int) -> ModelLine:
    """Return a model that answered, with what the ledger knows of it."""
    stored = ledger.get(version)
    if stored is None:
        return ModelLine(version, windows)
    record = stored.record
    until = format_time(record.until_ms)
    return ModelLine(version, windows, record.error, record.baseline_error, until)


def subscribe_queue(running: Running, name: str = QUEUE, *, purge: bool = True) -> str:
    """Subscribe a queue to the topic, empty it unless told otherwise, and return its address."""
    clients = running.engine.session()
    url = clients.sqs.create_queue(QueueName=name)["QueueUrl"]
    attributes = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    if purge:
        clients.sqs.purge_queue(QueueUrl=url)
    clients.sns.subscribe(
        TopicArn=running.outputs.alerts_topic_arn,
        Protocol="sqs",
        Endpoint=attributes["Attributes"]["QueueArn"],
    )
    return url


def take_alerts(running: Running, queue_url: str) -> list[AlertLine]:
    """Take what lies in the queue now, and return the alerts in order of window."""
    alerts, _ = take_messages(running, queue_url)
    return alerts


def take_messages(running: Running, queue_url: str) -> tuple[list[AlertLine], list[str]]:
    """Take what lies in the queue now: alerts in order of window, and what is told of models."""
    sqs = running.engine.session().sqs
    alerts: list[AlertLine] = []
    notices: list[str] = []
    while True:
        messages = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages")
        if not messages:
            return sorted(alerts, key=lambda alert: alert.window_start), notices
        for message in messages:
            envelope = json.loads(message["Body"])
            told = json.loads(envelope["Message"])
            if "window_start" in told:
                alerts.append(AlertLine(told["window_start"], told["kind"], envelope["Subject"]))
            else:
                notices.append(envelope["Subject"])
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])


def _count(cursor: "Cursor", statement: str, generation: int) -> int:
    cursor.execute(statement, (generation,))
    row = cursor.fetchone()
    return 0 if row is None else int(row[0])
