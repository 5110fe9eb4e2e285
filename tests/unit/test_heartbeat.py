"""Heartbeats: what the builder writes, the decoder reads."""

import pytest

from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.event import Heartbeat
from tidegauge.domain.heartbeat import heartbeat_record


@pytest.mark.parametrize("previous", [None, 0, 49_590_338_271_490_256_608_559_692_538_361_571_095])
@pytest.mark.parametrize("time_ms", [0, 1_360_339_500_123])
def test_a_heartbeat_decodes_to_what_it_was_built_from(previous: int | None, time_ms: int) -> None:
    data = heartbeat_record(
        source="/c", event_time_ms=time_ms, shard_id="shardId-7", previous=previous
    )
    assert decode(data, SeriesBy()) == (Heartbeat("/c", time_ms, "shardId-7", previous),)
