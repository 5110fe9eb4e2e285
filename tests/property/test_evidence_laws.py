"""Laws of evidence: it is the same however the log was cut, and it adds up to what was offered."""

from hypothesis import given
from hypothesis import strategies as st

from tests.support.oracle import Log, recount
from tests.support.worlds import RULES, deliver, deliveries, logs, records
from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.domain.event import Event
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.fold import ShardState, count_batch

_SIZE = RULES.size_ms


def evidence_of(world: dict[str, Log], data: st.DataObject) -> dict[tuple[str, int, str], Evidence]:
    store = MemoryCountStore()
    deliver(store, world, data.draw(deliveries(world)), name="s")
    return store.evidence(1)


@given(data=st.data(), world=logs())
def test_however_the_logs_are_cut_and_redelivered_the_evidence_is_that_of_each_log_read_at_once(
    data: st.DataObject, world: dict[str, Log]
) -> None:
    whole = {
        (shard_id, *place): one
        for shard_id, log in world.items()
        for place, one in count_batch(
            ShardState(), records(shard_id, log), {}, RULES, shard_id=shard_id
        ).evidence.items()
    }
    assert evidence_of(world, data) == whole


@given(data=st.data(), world=logs())
def test_on_time_late_duplicate_and_quarantined_are_all_that_was_offered(
    data: st.DataObject, world: dict[str, Log]
) -> None:
    store = MemoryCountStore()
    sums = deliver(store, world, data.draw(deliveries(world)), name="s")
    evidence = store.evidence(1).values()
    offered = sum(1 for log in world.values() for item in log if hasattr(item, "id"))
    told = sum(one.on_time + one.late + one.duplicates for one in evidence)
    assert told + sums.quarantined == offered
    assert sum(one.late for one in evidence) == recount(world).late


@given(data=st.data(), world=logs())
def test_it_adds_up_to_the_last_revision_of_each_window(
    data: st.DataObject, world: dict[str, Log]
) -> None:
    store = MemoryCountStore()
    rows = deliver(store, world, data.draw(deliveries(world)), name="s").rows
    counts = {(row.window_start_ms, row.series): row.count for row in rows}
    sums: dict[tuple[int, str], int] = {}
    for (_, window_ms, series), one in store.evidence(1).items():
        place = (window_ms, series)
        sums[place] = sums.get(place, 0) + one.counted
    assert {place: n for place, n in sums.items() if place in counts and n} == {
        place: n for place, n in counts.items() if n
    }


@given(world=logs())
def test_the_bounds_are_of_records_that_hold_an_event_of_the_place(world: dict[str, Log]) -> None:
    for shard_id, log in world.items():
        made = records(shard_id, log)
        batch = count_batch(ShardState(), made, {}, RULES, shard_id=shard_id)
        events = {record.sequence_number: record.items[0] for record in made}
        for (window_ms, series), one in batch.evidence.items():
            assert (one.first_sequence is None) == (one.counted == 0)
            for number in (one.first_sequence, one.last_sequence):
                if number is None:
                    continue
                event = events[number]
                assert isinstance(event, Event)
                assert event.series == series
                assert event.event_time_ms // _SIZE * _SIZE == window_ms
