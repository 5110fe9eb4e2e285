"""Resharding with nobody waiting for anybody: threads, the real clock, and a replay's own clock."""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.support.crowd import Crowd
from tests.support.events import event_json
from tests.support.oracle import SIZE
from tests.support.resharded_world import MINUTE, ReshardedWorld
from tidegauge.adapters.clock import SystemClock
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.offered import Offered, offered_in
from tidegauge.steps.replay_clock import with_beats
from tidegauge.steps.replay_stream import StreamReplay

pytestmark = [pytest.mark.database, pytest.mark.kinesis]

FIRST, SECOND = "shardId-000000000000", "shardId-000000000001"
Make = Callable[..., ReshardedWorld]


def test_everybody_at_once_while_shards_are_split_and_merged(make_world: Make) -> None:
    world = make_world(shards=2, seed=5, max_event_age_ms=30 * MINUTE)
    crowd = Crowd(world)
    for number in range(1, 31):
        crowd.wait_for_sweep(number)
        world.put(30)
        if number % 3 == 0:
            world.reshard()
        crowd.read_new_shards()
    crowd.finish()
    world.come_to_an_end()
    world.check()
    assert len(world.closed_shards()) >= 10


def test_in_real_time_with_windows_of_a_second(make_world: Make) -> None:
    clock = SystemClock()
    world = make_world(shards=2, clock=clock, size_ms=1000, lateness_ms=500)
    world.base_ms = began_ms = clock.now_ms() // 1000 * 1000
    reshardings = [1500, 1600, 3000, 3500]
    while (passed_ms := clock.now_ms() - began_ms) < 5000:
        world.minute(10)
        if reshardings and passed_ms > reshardings[0]:
            reshardings.pop(0)
            world.reshard()
    world.come_to_an_end()
    world.check()
    windows = {row.window_start_ms for row in world.stores.rows(world.generation)}
    assert len(windows) >= 6
    assert len(world.closed_shards()) >= 4


class Interrupted:
    """A pace that waits for nothing, and lets a test act at each moment that is due."""

    is_timed = False

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def wait(self, time_ms: int) -> None:
        del time_ms
        self._act()

    def is_due(self, time_ms: int) -> bool:
        del time_ms
        return True


def recorded(world: ReshardedWorld, n_windows: int) -> tuple[list[bytes], Counter[int]]:
    """Return events in order of time, some twice, and how many distinct ones each window has."""
    lines: list[bytes] = []
    truth: Counter[int] = Counter()
    for number in range(n_windows * 40):
        at_ms = world.base_ms + number * SIZE // 40
        line = event_json(f"recorded-{number}", at_ms, series="a")
        lines += [line, line] if world.chance.random() < 0.1 else [line]
        truth[at_ms // SIZE * SIZE] += 1
    return lines, truth


def offered(lines: list[bytes]) -> Iterator[Offered]:
    for number, line in enumerate(lines, start=1):
        yield from offered_in(number, line, SeriesBy())


@pytest.mark.parametrize(("seed", "children_first"), [(1, False), (2, True)])
def test_a_replay_with_its_own_clock_goes_on_through_splits_and_merges(
    make_world: Make, seed: int, *, children_first: bool
) -> None:
    world = make_world(seed=seed, is_clock=False, children_first=children_first)
    lines, truth = recorded(world, 30)

    def act() -> None:
        what = world.chance.random()
        if what < 0.3:
            world.reshard()
        elif what < 0.6:
            world.sweep()
        world.mapping.turn()

    replay = StreamReplay(world.adapter, world.count_rules, pace=Interrupted(act))
    sent = replay.run(with_beats(offered(lines), world.count_rules))
    assert sent.n_unsent == 0
    world.come_to_an_end(sent.stream_time_ms)
    world.check()
    rows = world.stores.rows(world.generation)
    assert {row.window_start_ms: row.count for row in rows} == truth
    assert {(row.revision, row.late) for row in rows} == {(1, 0)}
    assert len(world.closed_shards()) > 5
