"""What every store of counts keeps of where a count comes from."""

import random
import secrets
from collections.abc import Iterator
from typing import cast

import pytest

from tests.support.closing import close_all
from tests.support.count_stores import MemoryStores, MysqlStores, Stores
from tests.support.oracle import SIZE, Beat, Log
from tests.support.worlds import BASE, CLOSE_RULES, RULES, records, told
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.partial_counts import add_duplicates, add_partials
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import to_text
from tidegauge.domain.event import Event
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.fold import Partial, ShardState, count_batch
from tidegauge.ports import ShardListing, StreamIdentity
from tidegauge.settings import DatabaseSettings
from tidegauge.steps.collect import collect


@pytest.fixture(params=["memory", pytest.param("mysql", marks=pytest.mark.database)])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    """Each implementation in turn."""
    if request.param == "memory":
        made: Stores = MemoryStores()
    else:
        made = MysqlStores(cast("str", request.getfixturevalue("database_url")))
    yield made
    made.close()


def registered(stores: Stores, *listing: ShardListing) -> int:
    generation = stores.counts.generation(StreamIdentity(f"arn/{secrets.token_hex(6)}", BASE))
    stores.counts.register_shards(generation, listing)
    return generation


def shard(shard_id: str, *parents: str, closed: bool = False) -> ShardListing:
    return ShardListing(shard_id, parents, 0, 0, closed=closed)


def test_batches_add_up_to_one_row_a_shard_that_spans_them(stores: Stores) -> None:
    generation = registered(stores, shard("shard-0"))
    log: Log = [
        Beat(BASE),
        told(1, "a", 1),  # record 2
        told(2, "a", 2),
        told(3, "a", 1),
        Beat(BASE + SIZE + 60_000),
        told(4, "a", 3),  # record 6, late
        told(5, "a", 3),
    ]
    batch = records("shard-0", log)
    for cut in (slice(2), slice(2, 5), slice(5, None), slice(None)):
        collect(stores.counts, generation, "shard-0", batch[cut], RULES)
    assert stores.evidence(generation) == {
        ("shard-0", BASE, "a"): Evidence(2, 6, on_time=2, late=1, duplicates=2)
    }


def test_a_child_that_saw_only_duplicates_of_its_parent_has_no_bounds_of_its_own(
    stores: Stores,
) -> None:
    generation = registered(stores, shard("shard-0", closed=True), shard("shard-1", "shard-0"))
    collect(stores.counts, generation, "shard-0", records("shard-0", [told(1, "a", 1)]), RULES)
    assert stores.sweeps.drain(generation, "shard-0", 1)
    again = records("shard-1", [told(1, "a", 1)])
    collect(stores.counts, generation, "shard-1", again, RULES)
    assert stores.evidence(generation) == {
        ("shard-0", BASE, "a"): Evidence(1, 1, on_time=1),
        ("shard-1", BASE, "a"): Evidence(None, None, duplicates=1),
    }


@pytest.mark.parametrize("seed", range(3))
def test_however_a_log_is_cut_the_evidence_is_that_of_the_log_read_at_once(
    stores: Stores, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311
    log: Log = [Beat(BASE)]
    for _ in range(120):
        offset = chance.randrange(-SIZE, 4 * SIZE)
        log.append(told(offset, chance.choice("abc"), chance.randrange(60)))
        if chance.random() < 0.1:
            log.append(Beat(BASE + chance.randrange(20) * 60_000))
    batch = records("shard-0", log)
    generation = registered(stores, shard("shard-0"))
    position = 0
    while position < len(batch):
        start, position = max(0, position - chance.randrange(4)), position + chance.randrange(1, 30)
        collect(stores.counts, generation, "shard-0", batch[start:position], RULES)
    whole = count_batch(ShardState(), batch, {}, RULES, shard_id="shard-0")
    assert min(whole.duplicates, whole.late, len(whole.quarantined)) > 0
    assert stores.evidence(generation) == {
        ("shard-0", *place): one for place, one in whole.evidence.items()
    }


def test_series_that_differ_by_case_space_or_accent_have_their_own(stores: Stores) -> None:
    generation = registered(stores, shard("shard-0"))
    names = ["Order", "order", "order ", "ordér"]
    log: Log = [told(i, name, i) for i, name in enumerate(names)]
    collect(stores.counts, generation, "shard-0", records("shard-0", log), RULES)
    assert {series for _, _, series in stores.evidence(generation)} == set(names)


def test_a_batch_that_was_given_up_on_gives_nothing_and_what_comes_after_it_its_own_records(
    stores: Stores,
) -> None:
    generation = registered(stores, shard("shard-0"))
    log: Log = [Beat(BASE), told(1, "a", 1), Beat(BASE + SIZE + 60_000)]
    collect(stores.counts, generation, "shard-0", records("shard-0", log), RULES)
    close_all(stores.counts, generation, CLOSE_RULES)
    lost = Event(99, "a", BASE + 2)
    assert stores.sweeps.note_failure(generation, "shard-0", "f", [lost], CLOSE_RULES) == 1
    given = {("shard-0", BASE, "a"): Evidence(2, 2, on_time=1)}
    assert stores.evidence(generation) == given
    log += [told(3, "a", 3), told(SIZE + 1, "a", 4)]
    collect(stores.counts, generation, "shard-0", records("shard-0", log), RULES)
    assert stores.evidence(generation) == {
        ("shard-0", BASE, "a"): Evidence(2, 4, on_time=1, late=1),
        ("shard-0", BASE + SIZE, "a"): Evidence(5, 5, on_time=1),
    }


@pytest.mark.database
@pytest.mark.parametrize("moved", [False, True], ids=["as it was counted", "moved as it comes"])
def test_what_is_added_out_of_order_spans_as_numbers_do(database_url: str, *, moved: bool) -> None:
    stores = MysqlStores(database_url)
    generation = registered(stores, shard("shard-0"))
    on_time, late = Partial(BASE, "a", BASE), Partial(BASE, "a", BASE + SIZE)
    # 99 is less than 100 and 1000, though not as text; a duplicate tells of no record.
    parts: list[tuple[Partial, tuple[int, int]] | None] = [
        None,
        (on_time, (100, 100)),
        (late, (99, 99)),
        None,
        (late, (999, 1000)),
        (on_time, (120, 120)),
        (late, (101, 998)),
    ]
    database = Database.from_settings(DatabaseSettings(database_url=database_url))
    names = {"generation": generation, "window_start": to_text(BASE), "limit": 100}
    for part in parts:
        with database.transaction() as cursor:
            if part is None:
                add_duplicates(cursor, (generation, "shard-0"), {(BASE, "a"): 1})
            else:
                partial, span = part
                add_partials(cursor, (generation, "shard-0"), {partial: 1}, {partial: span})
            if moved:
                before_step = {"before_step": to_text(BASE + 9 * SIZE)}
                cursor.execute(query("move_to_evidence"), {**names, **before_step})
                cursor.execute(query("purge_partial_counts"), {**names, **before_step})
    database.close()
    assert stores.evidence(generation) == {
        ("shard-0", BASE, "a"): Evidence(99, 1000, on_time=2, late=3, duplicates=2)
    }
    stores.close()


def test_a_batch_that_fails_leaves_none(stores: Stores) -> None:
    generation = registered(stores, shard("shard-0"))

    def write_and_fail() -> None:
        with stores.counts.collecting(generation, "shard-0") as transaction:
            batch = records("shard-0", [told(1, "a", 1)])
            transaction.write(count_batch(transaction.state, batch, {}, RULES, shard_id="shard-0"))
            msg = "cut"
            raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="cut"):
        write_and_fail()
    assert stores.evidence(generation) == {}
