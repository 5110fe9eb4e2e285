"""Logs of a race as records of a stream, with some among them that are no events."""

import random
from collections.abc import Mapping
from typing import NamedTuple

from tests.support.events import event_json
from tests.support.oracle import Beat, Log, Told
from tests.support.worlds import BASE
from tidegauge.domain.event import RejectReason
from tidegauge.domain.heartbeat import heartbeat_record
from tidegauge.domain.record import Record

DAY = 86_400_000
CLOCK = "/clock"


class Junk(NamedTuple):
    """A record that is set aside: where it stands and why."""

    shard_id: str
    sequence_number: int
    reason: str


def bytes_of(item: Told | Beat, shard_id: str) -> bytes:
    """Return an item of a log as a producer writes it."""
    if isinstance(item, Beat):
        return heartbeat_record(
            source=CLOCK, event_time_ms=item.time, shard_id=shard_id, previous=None
        )
    return event_json(item.id, item.time, series=item.series, source="/s")


def stream_records(logs: Mapping[str, Log]) -> dict[str, list[Record]]:
    """Return logs as records, numbered from 1 in each shard."""
    return {
        name: _numbered(name, [bytes_of(item, name) for item in log]) for name, log in logs.items()
    }


def with_junk(
    logs: Mapping[str, Log], chance: random.Random
) -> tuple[dict[str, list[Record]], list[Junk]]:
    """Return logs as records with junk of every kind in each shard, and where that stands."""
    made: dict[str, list[Record]] = {}
    junk: list[Junk] = []
    for name, log in logs.items():
        parts: list[tuple[bytes, str | None]] = [(bytes_of(item, name), None) for item in log]
        for data, reason in _JUNK:
            for _ in range(chance.randrange(1, 5)):
                # behind the first heartbeat: before it nothing is too old or too far ahead
                parts.insert(chance.randrange(1, len(parts)), (data, reason.value))
        made[name] = _numbered(name, [data for data, _ in parts])
        junk += [
            Junk(name, number, reason)
            for number, (_, reason) in enumerate(parts, start=1)
            if reason is not None
        ]
    return made, junk


_JUNK = [
    (b"", RejectReason.EMPTY),
    (b'{"specversion"', RejectReason.MALFORMED_JSON),
    (b"\xff\xfe", RejectReason.NOT_UTF8),
    (event_json("old", BASE - 400 * DAY), RejectReason.TOO_OLD),
    (event_json("ahead", BASE + 400 * DAY), RejectReason.TOO_FAR_AHEAD),
    (
        heartbeat_record(source="/other", event_time_ms=BASE, shard_id="any", previous=None),
        RejectReason.FOREIGN_HEARTBEAT,
    ),
]


def _numbered(name: str, parts: list[bytes]) -> list[Record]:
    return [Record(name, number, None, "k", data) for number, data in enumerate(parts, start=1)]


def duplicates(
    logs: Mapping[str, Log], parents: Mapping[str, tuple[str, ...]], *, size: int
) -> int:
    """Return how many events of the logs were told before, in their shard or an ancestor of it."""
    seen: dict[str, set[tuple[int, str]]] = {}
    number = 0
    for name, above in parents.items():
        known = set().union(*(seen[parent] for parent in above))
        for item in logs[name]:
            if isinstance(item, Told):
                place = (item.time // size, item.id)
                number += place in known
                known.add(place)
        seen[name] = known
    return number
