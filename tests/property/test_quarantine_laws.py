"""Laws of counting anew: whenever it is done, whatever comes again, each event counts once."""

import random

import pytest

from tests.support.count_stores import MemoryStores
from tests.support.retried_worlds import RetriedCounting, last_counts, retried_world
from tidegauge.domain.retry import ItemState

N_WORLDS = 300


@pytest.mark.parametrize("part", range(4))
def test_each_event_counts_once_whenever_what_was_set_aside_is_counted_anew(part: int) -> None:
    n_counted = n_known = n_late = 0
    for seed in range(part, N_WORLDS, 4):
        world = retried_world(random.Random(seed))  # noqa: S311
        chance = random.Random(-seed)  # noqa: S311
        counting = RetriedCounting(MemoryStores(), world, chance, name="s")
        rows = counting.finish(chance)
        assert last_counts(rows) == counting.truth(), seed
        n_counted += sum(one.state is ItemState.COUNTED for one in counting.outcomes)
        n_known += sum(one.state is ItemState.KNOWN for one in counting.outcomes)
        n_late += sum(one.counted.late for one in counting.outcomes)
    assert min(n_counted, n_known, n_late) > 50
