"""A recording on its way to another stream: one clock, the least stream time of its shards."""

from tests.support.events import MINUTE_MS, NOON_MS
from tidegauge.domain.event import Event, Heartbeat
from tidegauge.domain.fold import CountRules
from tidegauge.domain.record import DecodedRecord
from tidegauge.steps.recorded_clock import RecordedLine, with_least_beats
from tidegauge.steps.replay_clock import Beat

RULES = CountRules()
SHARDS = ("a", "b")


def line(
    number: int, shard_id: str, item: Event | Heartbeat, arrival_time_ms: int | None = None
) -> RecordedLine:
    record = DecodedRecord(number, arrival_time_ms, (item,), b"{}")
    return RecordedLine(number, shard_id, "key", record)


def beat(number: int, shard_id: str, minute: int, *, meant_for: str | None = None) -> RecordedLine:
    time_ms = NOON_MS + minute * MINUTE_MS
    return line(
        number, shard_id, Heartbeat(RULES.clock_source, time_ms, meant_for or shard_id, None)
    )


def event(number: int, shard_id: str, minute: float) -> RecordedLine:
    return line(number, shard_id, Event(number, "s", NOON_MS + round(minute * MINUTE_MS)))


def told(*records: RecordedLine, rules: CountRules = RULES) -> list[str]:
    names = []
    for one in with_least_beats(records, SHARDS, rules):
        if isinstance(one, Beat):
            names.append(f"beat {(one.time_ms - NOON_MS) // MINUTE_MS}")
        else:
            assert not hasattr(one, "offered")
            names.append(str(getattr(one, "line", None)))
    return names


def test_no_heartbeat_goes_before_every_shard_has_had_one() -> None:
    assert told(beat(1, "a", 0), event(2, "a", 1), event(3, "b", 1)) == ["2", "3"]


def test_the_slowest_shard_decides_and_only_closing_times_matter() -> None:
    assert told(
        beat(1, "a", 0), beat(2, "b", 0), event(3, "a", 1), beat(4, "a", 3), beat(5, "b", 3),
        beat(6, "a", 7), event(7, "b", 2), beat(8, "b", 4), beat(9, "b", 8),
    ) == ["beat 0", "3", "beat 3", "7", "beat 7"]  # fmt: skip


def test_the_last_heartbeat_tells_all_that_the_recording_knows() -> None:
    assert told(beat(1, "a", 1), beat(2, "b", 1), beat(3, "a", 5), beat(4, "b", 4)) == [
        "beat 1",
        "beat 4",
    ]


def test_an_event_far_ahead_of_what_was_told_gets_what_is_known() -> None:
    hour = CountRules(size_ms=3_600_000)
    records = (beat(1, "a", 2), beat(2, "b", 2), beat(3, "a", 6), beat(4, "b", 6))
    assert told(*records, event(5, "a", 6.9), rules=hour) == ["beat 2", "5", "beat 6"]
    assert told(*records, event(5, "a", 7), rules=hour) == ["beat 2", "beat 6", "5"]


def test_misrouted_heartbeats_do_not_count_and_none_is_passed_on() -> None:
    stray = beat(3, "a", 9, meant_for="b")
    assert told(beat(1, "a", 1), beat(2, "b", 1), stray) == ["beat 1"]


def test_where_the_sweep_is_the_clock_arrival_time_bounds_it() -> None:
    sweep = CountRules(clock_is_sweep=True)
    fast = Heartbeat(RULES.clock_source, NOON_MS + 9 * MINUTE_MS, "a", None)
    records = (beat(1, "b", 9), line(2, "a", fast, NOON_MS + 2 * MINUTE_MS))
    assert told(*records, rules=sweep) == ["beat 2"]
    assert told(*records) == ["beat 9"]
