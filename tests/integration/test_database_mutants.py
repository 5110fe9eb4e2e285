"""Each rule of counting is needed on a real server: without it the same schedule goes wrong.

A schedule is played by worker processes that wait for each other at chosen statements, so that it
is the same in each run: first with the code as it is, then with a fault in it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.crashes.children import Hand, hands
from tests.support.crashes.fates import COMMIT, LOCKS, Deed, Fate, Moment
from tests.support.crashes.mutants import MUTANTS, TEXT_SERIES
from tests.support.crashes.stage import Stage
from tests.support.embedded import empty_database
from tests.support.oracle import SIZE, Beat, Log
from tests.support.worlds import BASE, told
from tidegauge.settings import DatabaseAddress

pytestmark = pytest.mark.database

MINUTE = 60_000
Play = Callable[[Stage, Hand, Hand], None]


def beat(windows: int) -> Beat:
    """A heartbeat that closes so many windows after the base, and no more."""
    return Beat(BASE + windows * SIZE + MINUTE)


def wait(statement: str) -> Fate:
    """Stand still before a statement until the test says `go`."""
    return Fate(Deed.WAIT, Moment.BEFORE, statement)


@dataclass(frozen=True)
class Schedule:
    """What two processes do with a few records, in which order.

    Attributes:
        mutant: The fault that it shows.
        logs: The records.
        play: What is done.
        parents: The parents of shards that have some.
        schema: A statement that belongs to the fault.
    """

    mutant: str
    logs: dict[str, Log]
    play: Play
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    schema: str | None = None


def outdated_zombie(_: Stage, slow: Hand, quick: Hand) -> None:
    """One process is about to lock the shard while another counts its batch, and more."""
    slow.befall(wait(LOCKS["shard"]))
    slow.start("count s 0 2")
    slow.expect("waiting")
    quick.do("count s 0 6")
    quick.do("close")
    slow.start("go")
    slow.expect("done")
    quick.do("count s 6 9")
    quick.do("close")


def warm_process_behind_another(_: Stage, slow: Hand, quick: Hand) -> None:
    """A process that was warm comes back to a shard that another has gone on with."""
    slow.do("count s 0 2")
    quick.do("count s 2 3")
    slow.do("count s 3 5")
    quick.do("close")


def rolled_back_at_its_commit(stage: Stage, slow: Hand, quick: Hand) -> None:
    """The server ends a session that is about to commit; the batch comes again."""
    slow.do("count s 0 2")
    slow.befall(wait(COMMIT))
    slow.start("count s 2 4")
    stage.end_session(slow.expect("waiting"))
    slow.start("go")
    slow.expect("refused")
    slow.do("count s 2 4")
    quick.do("close")


def counted_within_a_closing(_: Stage, slow: Hand, quick: Hand) -> None:
    """A batch is committed just before a closing reads the stream times."""
    quick.do("count s 0 2")
    slow.befall(wait(r"FROM shard WHERE generation = \d+ ORDER BY shard_id"))
    slow.start("close")
    slow.expect("waiting")
    quick.do("count s 2 4")
    slow.start("go")
    slow.expect("done")


def longer_numbers(_: Stage, slow: Hand, quick: Hand) -> None:
    """Sequence numbers get one more digit."""
    slow.do("count s 0 9")
    quick.do("count s 9 12")
    quick.do("close")


def all_at_once(_: Stage, slow: Hand, quick: Hand) -> None:
    """One batch, one closing."""
    slow.do("count s 0 6")
    quick.do("close")


def split_twice(stage: Stage, slow: Hand, quick: Hand) -> None:
    """An event of a grandparent comes again on its grandchild."""
    for hand, shard_id in ((slow, "old"), (quick, "middle"), (slow, "new")):
        hand.do(f"count {shard_id} 0 2")
        stage.stream.reshard_behind(shard_id)
        hand.do("drain")
    slow.do("count new 2 3")
    slow.do("close")


def late_on_a_shard_ahead(_: Stage, slow: Hand, quick: Hand) -> None:
    """A shard has passed a window that the stream has not closed yet, and gets an event of it."""
    slow.do("count behind 0 1")
    quick.do("count ahead 0 5")
    quick.do("close")
    slow.do("count behind 1 2")
    quick.do("close")


E1, E2, E3 = told(1, "a", 1), told(2, "a", 2), told(SIZE + 1, "a", 3)
LATE, LAST = told(3, "a", 4), told(2 * SIZE + 1, "a", 5)
SPELLINGS = [told(n, name, n) for n, name in enumerate(("Order", "order", "order ", "ordér"))]

SCHEDULES = [
    Schedule(
        "plain_read_before_the_lock",
        {"s": [Beat(BASE), E1, E2, beat(1), E3, beat(2), LATE, LAST, beat(3)]},
        outdated_zombie,
    ),
    Schedule(
        "sets_kept_when_others_wrote",
        {"s": [Beat(BASE), E1, E2, E2, beat(1)]},
        warm_process_behind_another,
    ),
    Schedule(
        "sets_kept_after_a_rollback",
        {"s": [Beat(BASE), E1, E2, beat(1)]},
        rolled_back_at_its_commit,
    ),
    Schedule(
        "counts_before_stream_times",
        {"s": [Beat(BASE), E1, E2, beat(1)]},
        counted_within_a_closing,
    ),
    Schedule(
        "fence_as_text",
        {"s": [Beat(BASE), *(told(n, "a", n) for n in range(10)), beat(1)]},
        longer_numbers,
    ),
    Schedule(
        "series_as_text",
        {"s": [Beat(BASE), *SPELLINGS, beat(1)]},
        all_at_once,
        schema=TEXT_SERIES,
    ),
    Schedule(
        "parents_ledgers_only",
        {"old": [Beat(BASE), E1], "middle": [Beat(BASE + 1), E2], "new": [E1, E2, beat(1)]},
        split_twice,
        parents={"middle": ("old",), "new": ("middle",)},
    ),
    Schedule(
        "lateness_by_the_database",
        {"ahead": [Beat(BASE), E1, beat(1), E2, beat(2)], "behind": [Beat(BASE), beat(2)]},
        late_on_a_shard_ahead,
    ),
]


@contextmanager
def played(
    schedule: Schedule, server: DatabaseAddress, folder: Path, *, mutant: str = ""
) -> Iterator[Stage]:
    """Give the stage of a schedule once it has been played, in processes with a fault or none."""
    folder.mkdir()
    with empty_database(server) as url:
        stage = Stage(folder, url, schedule.logs, schedule.parents)
        if mutant and schedule.schema is not None:
            stage.execute(schedule.schema)
        with hands(folder, url, number=2, mutant=mutant) as (slow, quick):
            schedule.play(stage, slow, quick)
        yield stage


def test_every_mutant_has_its_schedule() -> None:
    assert {schedule.mutant for schedule in SCHEDULES} == MUTANTS.keys()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda one: one.mutant)
def test_a_schedule_is_counted_exactly_and_wrongly_with_a_rule_broken(
    schedule: Schedule, database_address: DatabaseAddress, tmp_path: Path
) -> None:
    with played(schedule, database_address, tmp_path / "sound") as stage:
        assert stage.announced() == stage.truth()
    with played(schedule, database_address, tmp_path / "m", mutant=schedule.mutant) as stage:
        assert stage.announced() != stage.truth(), f"the mutant {schedule.mutant} survives"
        print(f"{schedule.mutant}: {stage.announced()} instead of {stage.truth()}")  # noqa: T201
