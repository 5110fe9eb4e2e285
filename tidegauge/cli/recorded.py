"""The lines of a recording, decoded: what both kinds of replay read."""

from collections.abc import Iterator

from tidegauge.adapters.fixtures import Fixture, recorded_lines
from tidegauge.cli.replay_options import Progress
from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.event import Rejection
from tidegauge.domain.record import DecodedRecord
from tidegauge.steps.recorded_clock import RecordedLine
from tidegauge.steps.replay import SetAside


def recorded_items(
    fixture: Fixture, series_by: SeriesBy, progress: Progress
) -> Iterator[RecordedLine | SetAside]:
    """Yield the records of a recording, decoded, and the lines that hold none."""
    for line, found in recorded_lines(fixture, progress=progress):
        if isinstance(found, Rejection):
            yield SetAside(line, found)
            continue
        decoded = DecodedRecord(
            found.sequence_number,
            found.arrival_time_ms,
            decode(found.data, series_by),
            found.data,
        )
        yield RecordedLine(line, found.shard_id, found.partition_key, decoded)
