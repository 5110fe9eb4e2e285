"""Everybody at once: a thread per shard that reads it, and sweeps, with nobody waiting for anybody.

Each shard has two processes of collect; some of its batches are delivered to both, or to one after
the other's death. A failure that nobody should see is kept for the test.
"""

import random
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.support.mapping_driver import Poller
from tests.support.resharded_world import MINUTE, ReshardedWorld, count_in
from tidegauge.domain.errors import Transient
from tidegauge.steps.count_stream import StreamCounter
from tidegauge.steps.sweep import Sweep

PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.005


class Crowd:
    """Threads: a mapping per shard, some of its batches delivered to two at once, and two sweeps.

    Args:
        world: What they work on.
        idle_s: How long a reader waits that has nothing to read, or was refused.
        sweep_s: How long a sweep waits before the next.
        minutes_a_sweep: How far a sweep moves the world's clock; 0 where the test moves it.
        lost_answers: How probably a batch that was counted is told to the mapping as failed.

    Attributes:
        failures: What nobody should have raised.
        swept: Sweeps that found no other at it.
        doubled: Batches that a second process counted too.
    """

    def __init__(
        self,
        world: ReshardedWorld,
        *,
        idle_s: float = 0.02,
        sweep_s: float = 0.02,
        minutes_a_sweep: int = 1,
        lost_answers: float = 0.0,
    ) -> None:
        self.world = world
        self.over = threading.Event()
        self.failures: list[BaseException] = []
        self.swept = 0
        self.doubled = 0
        self._idle_s = idle_s
        self._sweep_s = sweep_s
        self._minutes_a_sweep = minutes_a_sweep
        self._lost_answers = lost_answers
        self._threads: list[threading.Thread] = []
        self._read: set[str] = set()
        for _ in range(2):
            self.start(self._sweeping, world.new_sweep())

    def start(self, work: Callable[..., None], *given: Any) -> threading.Thread:
        """Let one more take part."""
        thread = threading.Thread(target=self._run, args=(work, *given), daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _run(self, work: Callable[..., None], *given: Any) -> None:
        try:
            work(*given)
        except BaseException as failure:  # noqa: BLE001 - shown by the test
            self.failures.append(failure)

    def read_new_shards(self) -> None:
        """Start a reader of each shard that has none."""
        for poller in self.world.mapping.pollers():
            if poller.shard_id not in self._read:
                self._read.add(poller.shard_id)
                some = [self.world.new_environment() for _ in range(2)]
                self.start(self._reading, poller, *some)

    def _reading(self, poller: Poller, one: StreamCounter, other: StreamCounter) -> None:
        chance = random.Random(poller.shard_id)  # noqa: S311

        def invoke(event: dict[str, Any]) -> None:
            if chance.random() < 0.3:
                self.start(self._zombie, other, event).join()
            zombie = self.start(self._zombie, other, event) if chance.random() < 0.3 else None
            try:
                count_in(one, event)
            finally:
                if zombie is not None:
                    zombie.join()
            if chance.random() < self._lost_answers:
                msg = "counted, and the answer was lost"
                raise Transient(msg)

        moved = True
        while not self.over.wait(0.0 if moved else self._idle_s) and not poller.ended:
            moved = self.world.mapping.offer(poller, invoke)

    def _zombie(self, environment: StreamCounter, event: dict[str, Any]) -> None:
        """Count a batch that somebody else counts too, and give up at any trouble."""
        self.doubled += 1
        try:
            count_in(environment, event)
        except Transient:
            return

    def wait_for_sweep(self, number: int) -> None:
        """Return once so many sweeps are done."""
        self.wait_until(lambda: self.swept >= number)

    def wait_until(self, reached: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
        """Return once something is so; nobody may have failed meanwhile."""
        deadline = time.monotonic() + seconds
        while not reached():
            assert self.failures == []
            assert time.monotonic() < deadline
            self.over.wait(POLL_SECONDS)

    def _sweeping(self, sweep: Sweep) -> None:
        while not self.over.wait(self._sweep_s):
            swept = sweep.run()
            self.swept += swept.ran
            self.world.moved.time_ms += MINUTE * self._minutes_a_sweep * swept.ran
            for failure in swept.failures:
                if not isinstance(failure, Transient):
                    raise failure

    def finish(self) -> None:
        """End everybody."""
        self.over.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads)
        assert self.failures == []
