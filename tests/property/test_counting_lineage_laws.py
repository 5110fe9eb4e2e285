"""Laws of resharding: any delivery of any line of shards gives the windows of a plain recount."""

import random

import pytest

from tests.support.lineage_oracle import recount_lineage
from tests.support.lineage_worlds import Counting, resharded
from tests.support.oracle import LATENESS, SIZE
from tests.support.worlds import as_tuples
from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.adapters.memory_sweeping import MemorySweepStore

N_WORLDS = 300


@pytest.mark.parametrize("part", range(4))
def test_any_delivery_of_a_resharded_stream_gives_the_windows_of_a_plain_recount(part: int) -> None:
    n_late = n_refused = 0
    for seed in range(part, N_WORLDS, 4):
        world = resharded(random.Random(seed))  # noqa: S311
        truth = recount_lineage(world.logs, world.parents, size=SIZE, lateness=LATENESS)
        told = []
        for delivery in range(2):
            counts = MemoryCountStore()
            counting = Counting(counts, MemorySweepStore(counts), world, name="s")
            told.append(counting.run(random.Random(1000 * seed + delivery)))  # noqa: S311
            n_refused += counting.refused
        assert as_tuples(told[0]) == truth, seed
        assert told[0] == told[1], seed
        n_late += sum(row.late for row in told[0])
    assert n_late > 50
    assert n_refused > 50
