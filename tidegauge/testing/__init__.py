"""For tests of whoever sends events to Tidegauge: the whole pipeline in memory.

Feed events, let stream time pass, look at windows and alerts. pytest finds the fixtures `tide` and
`make_tide` by itself; `Tide` works without it. See docs/testing.md.
"""

from tidegauge.testing.events import CloudEvent, event, events, usual_counts
from tidegauge.testing.kinesis import KinesisClient
from tidegauge.testing.seen import JudgedWindow, SentAlert
from tidegauge.testing.tide import Tide

__all__ = [
    "CloudEvent",
    "JudgedWindow",
    "KinesisClient",
    "SentAlert",
    "Tide",
    "event",
    "events",
    "usual_counts",
]
