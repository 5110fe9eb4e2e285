"""Laws of counting: any batches, any redelivery, any interleaving give the oracle's windows."""

from hypothesis import given
from hypothesis import strategies as st

from tests.support.oracle import Log, recount
from tests.support.worlds import as_tuples, deliver, deliveries, logs
from tidegauge.adapters.memory import MemoryCountStore


@given(data=st.data(), world=logs())
def test_any_delivery_gives_the_windows_of_a_plain_recount(
    data: st.DataObject, world: dict[str, Log]
) -> None:
    truth = recount(world)
    sums = deliver(MemoryCountStore(), world, data.draw(deliveries(world)), name="s")
    assert as_tuples(sums.rows) == truth.rows
    assert (sums.distinct, sums.duplicates) == (truth.distinct, truth.duplicates)
    assert (sums.late, sums.quarantined) == (truth.late, truth.quarantined)


@given(data=st.data(), world=logs())
def test_rows_are_announced_in_the_same_order_whatever_the_delivery(
    data: st.DataObject, world: dict[str, Log]
) -> None:
    one = deliver(MemoryCountStore(), world, data.draw(deliveries(world)), name="s")
    other = deliver(MemoryCountStore(), world, data.draw(deliveries(world)), name="s")
    assert one.rows == other.rows


@given(data=st.data(), world=logs())
def test_everything_received_is_counted_once_or_told_apart(
    data: st.DataObject, world: dict[str, Log]
) -> None:
    sums = deliver(MemoryCountStore(), world, data.draw(deliveries(world)), name="s")
    received = sum(1 for log in world.values() for item in log if hasattr(item, "id"))
    assert sums.distinct + sums.duplicates + sums.quarantined == received
