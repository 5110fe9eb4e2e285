"""The streams, their clock, and where what is no count goes."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from tidegauge.setting_reader import Reader
from tidegauge.settings.concern import Settings

_STREAM_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_TOPIC_ARN = re.compile(r"arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}")


class Clocks(StrEnum):
    """Who puts heartbeats on the stream: the sweep, or the producer of a replay."""

    SWEEP = "sweep"
    PRODUCER = "producer"


@dataclass(frozen=True, slots=True)
class StreamSettings(Settings):
    """The streams and their clock.

    Attributes:
        events_stream: Name of the stream that producers write to.
        windows_stream: Name of the stream of announcements.
        heartbeats: Who is the clock of the events stream.
        clock_source: The CloudEvents `source` that its heartbeats bear.
        heartbeats_per_minute: Rounds of heartbeats that a sweep puts, spread over its minute.
        failed_batches_bucket: The S3 bucket of batches that the stream's reader gave up on; empty
            where nobody keeps them.
    """

    events_stream: str
    windows_stream: str
    heartbeats: Clocks = Clocks.SWEEP
    clock_source: str = "/tidegauge/clock"
    heartbeats_per_minute: int = 1
    failed_batches_bucket: str = ""

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the variables of this concern."""
        name = "the name of a Kinesis stream"
        return cls(
            events_stream=reader.text("EVENTS_STREAM", None, _STREAM_NAME, name),
            windows_stream=reader.text("WINDOWS_STREAM", None, _STREAM_NAME, name),
            heartbeats=Clocks(
                reader.choice("HEARTBEATS", Clocks.SWEEP, (Clocks.SWEEP, Clocks.PRODUCER))
            ),
            clock_source=reader.text("CLOCK_SOURCE", "/tidegauge/clock", None, ""),
            heartbeats_per_minute=reader.whole("HEARTBEATS_PER_MINUTE", 1, 1, 12),
            failed_batches_bucket=reader.text(
                "FAILED_BATCHES_BUCKET", "", BUCKET_NAME, "the name of an S3 bucket"
            ),
        )


@dataclass(frozen=True, slots=True)
class AlertSettings(Settings):
    """Where alerts go.

    Attributes:
        alerts_topic_arn: The SNS topic that people subscribe to.
    """

    alerts_topic_arn: str

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the variables of this concern."""
        return cls(
            reader.text("ALERTS_TOPIC_ARN", None, _TOPIC_ARN, "the ARN of an SNS topic"),
        )
