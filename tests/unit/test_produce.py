"""produce: order per key under refusals, positions only after acknowledgement, minutes in ticks."""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import MINUTE_MS, NOON_MS
from tests.support.fake_kinesis import FakeKinesis
from tests.support.sources import ListSource, MemoryWriter, WaitedClock
from tidegauge.adapters.clock import Backoff
from tidegauge.adapters.kinesis import KinesisStream
from tidegauge.adapters.simulated_source import SimulatedSource
from tidegauge.domain.errors import InvalidInput, Transient
from tidegauge.domain.simulation import SimulatedType, Simulation
from tidegauge.ports import StreamEntry
from tidegauge.steps.produce import Produced, in_rounds, produce, produce_at
from tidegauge.steps.simulated_minute import MinuteProducer

THROTTLED = "ProvisionedThroughputExceededException"
SECOND_MS = 1000
SIMULATION = Simulation(1, [SimulatedType("a", 600)], season=0.0)


def entries_of(*texts: str) -> list[StreamEntry]:
    """Return entries whose key is the first letter of each text."""
    return [StreamEntry(text.encode(), text[0]) for text in texts]


def kinesis_on(client: FakeKinesis) -> KinesisStream:
    backoff = Backoff(attempts=9, sleep=lambda _s: None)
    return KinesisStream("events", client=cast("Any", client), backoff=backoff)


def simulated(start_ms: int, end_ms: int) -> list[bytes]:
    return [event.data for event in SIMULATION.events_between(start_ms, end_ms)]


def test_an_entry_behind_a_refused_one_of_its_key_waits_for_it() -> None:
    # in one call a1 would be refused and a2 taken; nothing could bring them in order again
    client = FakeKinesis(refuse=lambda call, index: THROTTLED if (call, index) == (0, 0) else None)
    produce(ListSource(entries_of("a1", "a2", "b1", "b2", "a3")), kinesis_on(client))
    assert client.calls == [[b"a1", b"b1"], [b"a1"], [b"a2", b"b2"], [b"a3"]]
    assert client.stored == [b"b1", b"a1", b"a2", b"b2", b"a3"]


@given(
    keys=st.lists(st.sampled_from("abcde"), max_size=30),
    refusals=st.sets(st.tuples(st.integers(0, 12), st.integers(0, 8)), max_size=50),
)
def test_whatever_is_refused_each_key_keeps_its_order_and_nothing_is_lost(
    keys: list[str], refusals: set[tuple[int, int]]
) -> None:
    texts = [f"{key}{number}" for number, key in enumerate(keys)]
    client = FakeKinesis(
        refuse=lambda call, index: THROTTLED if (call, index) in refusals else None
    )
    produce(ListSource(entries_of(*texts)), kinesis_on(client))
    stored = [data.decode() for data in client.stored]
    assert sorted(stored) == sorted(texts)
    for key in "abcde":
        assert [text for text in stored if text[0] == key] == [t for t in texts if t[0] == key]


def test_spread_keys_need_few_rounds() -> None:
    events = [*Simulation(1, [SimulatedType("a", 60_000)]).events_between(NOON_MS, NOON_MS + 5_000)]
    rounds = in_rounds([StreamEntry(event.data, event.partition_key) for event in events])
    assert len(rounds) <= 8 < len(events) / 500
    assert sum(map(len, rounds)) == len(events)


def test_a_position_is_committed_only_after_all_before_it_is_acknowledged() -> None:
    source = ListSource(entries_of("a1", "b1"), entries_of("a2", "b2"), entries_of("a3"))
    writer = MemoryWriter(fails=lambda put: put == 1)
    produced = Produced()
    with pytest.raises(Transient):
        produce(source, writer, produced)
    assert source.committed == ["1"]
    assert (produced.events, produced.position) == (2, "1")
    produce(source, writer, produced)
    assert source.committed == ["1", "2", "3"]
    assert writer.data == [b"a1", b"b1", b"a2", b"a2", b"b2", b"a3"]
    assert produced.events == 5


def test_a_source_without_news_is_neither_put_nor_committed() -> None:
    source = ListSource()
    writer = MemoryWriter()
    assert produce(source, writer).events == 0
    assert (source.committed, writer.puts) == ([], [])


def test_what_no_stream_takes_is_left_out_and_the_rest_put() -> None:
    writer = MemoryWriter(max_bytes=4)
    source = ListSource(entries_of("a", "b-too-long", "c", "d", "e-too-long", "f"))
    produced = produce(source, writer)
    assert writer.data == [b"a", b"c", b"d", b"f"]
    assert (produced.events, produced.refused, source.committed) == (4, 2, ["1"])


def test_moments_are_waited_for_and_passed_ones_made_up_for() -> None:
    clock = WaitedClock(NOON_MS + 2_500)
    source = SimulatedSource(SIMULATION, clock, NOON_MS, NOON_MS + 5_000)
    told: list[int] = []
    writer = MemoryWriter()
    produce_at(
        [NOON_MS + second * SECOND_MS for second in range(1, 6)],
        source,
        writer,
        clock,
        told=lambda produced: told.append(produced.events),
    )
    assert clock.waits == [NOON_MS + 3_000, NOON_MS + 4_000, NOON_MS + 5_000]
    assert sorted(writer.data) == sorted(simulated(NOON_MS, NOON_MS + 5_000))
    assert told[0] == told[1] == len(simulated(NOON_MS, NOON_MS + 2_500))
    assert told[-1] == len(writer.data)


# --- the simulator as a source


def test_no_simulated_event_is_given_before_its_time() -> None:
    clock = WaitedClock(NOON_MS + 1_234)
    source = SimulatedSource(SIMULATION, clock, NOON_MS)
    batch = source.poll(source.position())
    assert [entry.data for entry in batch.entries] == simulated(NOON_MS, NOON_MS + 1_234)
    assert (batch.position, batch.more) == (str(NOON_MS + 1_234), False)
    clock.advance(-5_000)  # a clock that is set back gives nothing twice
    assert source.poll(batch.position).position == batch.position


def test_a_long_span_comes_in_batches_that_neither_overlap_nor_leave_out() -> None:
    busy = Simulation(1, [SimulatedType("a", 60_000), SimulatedType("b", 60_000)])
    clock = WaitedClock(NOON_MS + MINUTE_MS)
    source = SimulatedSource(busy, clock, NOON_MS, NOON_MS + 12_000)
    writer = MemoryWriter()
    produced = produce(source, writer)
    expected = [event.data for event in busy.events_between(NOON_MS, NOON_MS + 12_000)]
    assert sorted(writer.data) == sorted(expected)
    assert produced.events == len(expected) > 10_000
    assert max(map(len, writer.puts)) < 6_000
    assert source.position() == str(NOON_MS + 12_000)


# --- scheduled minutes


class Minutes:
    """A producer of minutes, and what it needs."""

    def __init__(self, now_ms: int, tick_seconds: int, writer: MemoryWriter | None = None) -> None:
        self.clock = WaitedClock(now_ms)
        self.writer = writer or MemoryWriter()
        self.producer = MinuteProducer(
            lambda start_ms, end_ms: SimulatedSource(SIMULATION, self.clock, start_ms, end_ms),
            self.writer,
            self.clock,
            tick_ms=tick_seconds * SECOND_MS,
        )

    @property
    def stored(self) -> list[bytes]:
        return sorted(self.writer.data)


@pytest.mark.parametrize("tick_seconds", [1, 7, 20, 45, 60])
def test_scheduled_minutes_follow_each_other_without_hole_or_overlap(tick_seconds: int) -> None:
    tick_ms = tick_seconds * SECOND_MS
    minutes = Minutes(NOON_MS + 300, tick_seconds)
    for number in range(3):
        minutes.producer.run(NOON_MS + number * MINUTE_MS)
    end_ms = NOON_MS + 3 * MINUTE_MS - tick_ms
    assert minutes.stored == sorted(simulated(NOON_MS - tick_ms, end_ms))
    assert minutes.clock.now_ms() >= end_ms


def test_each_tick_is_put_when_it_is_over() -> None:
    #      S-20   S     S+20   S+40
    #        |-----|------|------|        each span is put at its end
    minutes = Minutes(NOON_MS, 20)
    minutes.producer.run(NOON_MS + 999)
    assert minutes.clock.waits == [NOON_MS + 20_000, NOON_MS + 40_000]
    spans = [(-20_000, 0), (0, 20_000), (20_000, 40_000)]
    ends = [len(simulated(NOON_MS - 20_000, NOON_MS + end)) for _, end in spans]
    puts = [entry.data for put in minutes.writer.puts for entry in put]
    assert sorted(puts[: ends[0]]) == sorted(simulated(NOON_MS - 20_000, NOON_MS))
    assert sorted(puts[ends[0] : ends[1]]) == sorted(simulated(NOON_MS, NOON_MS + 20_000))


def test_a_tick_of_a_minute_puts_the_last_minute_at_once() -> None:
    minutes = Minutes(NOON_MS + 10, 60)
    minutes.producer.run(NOON_MS)
    assert minutes.stored == sorted(simulated(NOON_MS - MINUTE_MS, NOON_MS))
    assert minutes.clock.waits == []


def test_a_late_start_makes_up_for_what_has_passed_first() -> None:
    minutes = Minutes(NOON_MS + 35_000, 10)
    minutes.producer.run(NOON_MS)
    assert minutes.clock.waits == [NOON_MS + 40_000, NOON_MS + 50_000]
    assert minutes.stored == sorted(simulated(NOON_MS - 10_000, NOON_MS + 50_000))


def test_a_repeated_minute_puts_the_same_events_again() -> None:
    first, second = Minutes(NOON_MS, 20), Minutes(NOON_MS + 5_000, 20)
    for minutes in (first, second):  # two processes
        minutes.producer.run(NOON_MS)
    assert first.stored == second.stored


def test_what_another_process_did_meanwhile_is_not_done_again() -> None:
    minutes = Minutes(NOON_MS, 60)
    minutes.producer.run(NOON_MS)
    minutes.clock.advance(2 * MINUTE_MS)
    minutes.producer.run(NOON_MS + 2 * MINUTE_MS)
    missing = simulated(NOON_MS, NOON_MS + MINUTE_MS)
    whole = simulated(NOON_MS - MINUTE_MS, NOON_MS + 2 * MINUTE_MS)
    assert minutes.stored == sorted(set(whole) - set(missing))


@pytest.mark.parametrize(("later", "made_up_for"), [(1, True), (2, True), (3, False)])
def test_the_next_minute_puts_first_what_the_last_one_left(later: int, made_up_for: bool) -> None:
    minutes = Minutes(NOON_MS, 60, MemoryWriter(fails=lambda put: put == 0))
    with pytest.raises(Transient):
        minutes.producer.run(NOON_MS)
    minutes.clock.advance(later * MINUTE_MS)
    minutes.producer.run(NOON_MS + later * MINUTE_MS)
    stored = set(minutes.stored)
    assert stored >= set(simulated(NOON_MS + (later - 1) * MINUTE_MS, NOON_MS + later * MINUTE_MS))
    assert (stored >= set(simulated(NOON_MS - MINUTE_MS, NOON_MS))) is made_up_for


def test_a_minute_that_broke_off_goes_on_where_it_stopped() -> None:
    minutes = Minutes(NOON_MS, 20, MemoryWriter(fails=lambda put: put == 4))
    with pytest.raises(Transient):
        minutes.producer.run(NOON_MS)
    minutes.producer.run(NOON_MS)
    distinct = set(minutes.writer.data)
    assert sorted(distinct) == sorted(simulated(NOON_MS - 20_000, NOON_MS + 40_000))
    first = set(simulated(NOON_MS - 20_000, NOON_MS))
    assert sum(data in first for data in minutes.writer.data) == len(first)  # it was acknowledged


def test_a_minute_of_the_far_future_is_refused_and_not_waited_for() -> None:
    minutes = Minutes(NOON_MS, 20)
    with pytest.raises(InvalidInput, match="in the future"):
        minutes.producer.run(NOON_MS + 3 * MINUTE_MS)
    assert minutes.clock.waits == []
