"""The storm through the stack while its functions are killed again and again: nothing shows.

SIGKILL hits a function's process at any moment: while it decodes, in a transaction, after COMMIT
and before the answer, while it closes or publishes. The engine takes a process that died for a
failed batch: it delivers the same batch again a second later, in a new process, before anything
behind it. Nobody tells the function that it was killed.
"""

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import pytest
from rich.console import Console

from embedded import results
from embedded.local import Running
from embedded.places import STORM, Places
from embedded.progress import Phases
from embedded.report import Report, recount
from embedded.run import (
    LATENESS_MS,
    WINDOW_MS,
    Sent,
    events_stream,
    replay,
    replay_and_report,
    report,
    wait_until_done,
)
from embedded.stream import fresh_generation, let_read
from tests.support.function_killer import FunctionKiller
from tidegauge.domain.announcement import read_announcement

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

COLLECT_BATCH, PREDICT_BATCH = 60, 20
COLLECT_KILLS, PREDICT_KILLS = 15, 3
# A fast machine has counted everything before so many have died.
ENOUGH_COLLECT, ENOUGH_PREDICT = 8, 1
SWEEP_CALLS, SWEEP_SECONDS = 30, 0.3


@dataclass(frozen=True)
class Disturbed:
    """What a replay came to whose functions were killed.

    Attributes:
        report: As for an undisturbed one.
        generation: Its number.
        killed: Invocations that died, by function.
        killed_late: How often collect died when it had counted its batch already.
    """

    report: Report
    generation: int
    killed: dict[str, int]
    killed_late: int


class Backlog:
    """How far the functions are with what was put on the stream.

    Args:
        running: The stack.
        sent: What was put.
    """

    def __init__(self, running: Running, sent: Sent) -> None:
        self._stream = events_stream(running).identity()
        self._sent = sent
        self._database = running.connect()

    def close(self) -> None:
        self._database.close()

    def is_counted(self) -> bool:
        """Whether collect has read everything."""
        read_ms = self._progress().stream_time_ms
        return read_ms is not None and read_ms >= self._sent.stream_time_ms

    def is_judged(self) -> bool:
        """Whether everything is closed, judged and published."""
        missing = self._progress().missing(
            self._sent.stream_time_ms, window_ms=WINDOW_MS, lateness_ms=LATENESS_MS
        )
        return missing is None

    def _progress(self) -> results.Progress:
        with self._database.transaction() as cursor:
            generation = results.generation_of(cursor, self._stream)
            if generation is None:
                return results.Progress()
            return results.progress(cursor, generation)


@pytest.fixture(scope="module")
def undisturbed(stack: Running, places: Places, storm: Report) -> Report:
    """Replay the storm with the model that the first replay has trained."""
    assert storm.models
    return replay_and_report(stack, places, Phases(Console(stderr=True)))


@pytest.fixture(scope="module")
def disturbed(stack: Running, places: Places, undisturbed: Report) -> Disturbed:
    """Replay the storm while collect, predict and the sweep are killed."""
    assert undisturbed.check.holds
    phases = Phases(Console(stderr=True))
    fixture = places.repository / STORM
    mappings = fresh_generation(stack.engine, stack.outputs)
    queue_url = results.subscribe_queue(stack, "killed-tests")
    with phases("put on the stream"):
        sent = replay(stack, fixture, lambda _bytes: None)
    killer = FunctionKiller(places, random.Random(20130208))  # noqa: S311
    with small_batches(stack), phases("count, judge, alert, die"):
        let_read(stack.engine, mappings)
        killed = kill_everybody(stack, killer, sent)
        late = killer.log.told("died late", stack.outputs.collect_function_name)
        with phases.bar("the rest", 1) as bar:
            generation = wait_until_done(stack, sent, bar)
    recounted = recount(fixture, window_ms=WINDOW_MS)
    done = report(stack, generation, queue_url, recounted, phases.seconds)
    tell(done, killed, killer.kills.total(), late)
    return Disturbed(done, generation, killed, late)


@contextmanager
def small_batches(stack: Running) -> Iterator[None]:
    """Let functions take small batches until the block ends: there are more to die of."""
    functions = stack.engine.session().functions
    small = {
        stack.outputs.collect_function_name: COLLECT_BATCH,
        stack.outputs.predict_function_name: PREDICT_BATCH,
    }
    mappings = [
        mapping
        for name in small
        for mapping in functions.list_event_source_mappings(FunctionName=name)[
            "EventSourceMappings"
        ]
    ]
    for mapping in mappings:
        size = small[mapping["FunctionArn"].rpartition(":")[2]]
        functions.update_event_source_mapping(UUID=mapping["UUID"], BatchSize=size)
    try:
        yield
    finally:
        for mapping in mappings:
            functions.update_event_source_mapping(
                UUID=mapping["UUID"], BatchSize=mapping["BatchSize"]
            )


def kill_everybody(stack: Running, killer: FunctionKiller, sent: Sent) -> dict[str, int]:
    """Kill collect, predict and the sweep at random moments while there is something to count.

    Returns:
        Invocations that died, by function.
    """
    collect, predict = stack.outputs.collect_function_name, stack.outputs.predict_function_name
    backlog = Backlog(stack, sent)
    swept = False
    try:
        for others in cycle([(), (predict,)]):
            if killer.deaths(collect) >= COLLECT_KILLS or backlog.is_counted():
                break
            killer.kill_at_a_batch(collect, *others)
            if killer.deaths(collect) >= COLLECT_KILLS // 2 and not swept:
                swept = kill_sweep(stack, killer)
        while killer.deaths(predict) < PREDICT_KILLS:
            if not killer.kill_at_a_batch(predict):
                if backlog.is_judged():
                    break
                # a process that died while it published holds the bells for a minute
                sweep(stack)
    finally:
        backlog.close()
    return {
        "collect": killer.deaths(collect),
        "predict": killer.deaths(predict),
        "sweep": int(swept),
    }


def sweep(stack: Running) -> bool:
    """Sweep once, beside the schedule's sweeps; return whether it came to its end."""
    functions = stack.engine.session().functions
    answer = functions.invoke(FunctionName=stack.outputs.sweep_function_name)
    return "FunctionError" not in answer


def kill_sweep(stack: Running, killer: FunctionKiller) -> bool:
    """Sweep until a sweep dies before its end; return whether one did."""
    with ThreadPoolExecutor(1) as caller:
        for _ in range(SWEEP_CALLS):
            swept = caller.submit(sweep, stack)
            wait([swept], killer.chance.uniform(0, SWEEP_SECONDS))
            killer.kill(stack.outputs.sweep_function_name)
            if not swept.result():
                return True
    return False


def tell(done: Report, killed: dict[str, int], kills: int, late: int) -> None:
    """Print what the replay came to."""
    died = ", ".join(f"{name} {number} times" for name, number in killed.items())
    Console(stderr=True).print(
        f"{done.check.events:,} events in {done.check.windows:,} windows,"
        f" {len(done.check.differences)} of them wrong; {kills} kills: died {died};"
        f" {late} times collect had counted its batch already"
    )


def test_functions_died_while_they_ran(disturbed: Disturbed) -> None:
    assert disturbed.killed["collect"] >= ENOUGH_COLLECT
    assert disturbed.killed["predict"] >= ENOUGH_PREDICT
    assert disturbed.killed["sweep"] == 1
    # before COMMIT and after it
    assert 0 < disturbed.killed_late < disturbed.killed["collect"]


def test_every_window_equals_a_plain_recount_all_the_same(disturbed: Disturbed) -> None:
    check = disturbed.report.check
    assert check.holds, list(check.differences)[:5]
    assert check.events == 21_954
    assert disturbed.report.quarantined == 0


def test_each_window_is_announced_and_judged_once(disturbed: Disturbed, stack: Running) -> None:
    def of_the_replay(statement: str) -> list[tuple[Any, ...]]:
        with database.transaction() as cursor:
            cursor.execute(f"{statement} WHERE generation = %s", (disturbed.generation,))
            return list(cursor.fetchall())

    database = stack.connect()
    try:
        completed = of_the_replay("SELECT series, window_start, revision FROM completed_window")
        judged = of_the_replay("SELECT series, window_start, revision FROM prediction")
        messages = of_the_replay("SELECT destination, payload FROM outbox")
        gaps = of_the_replay("SELECT reason FROM gap")
    finally:
        database.close()
    bells = [read_announcement(payload) for to, payload in messages if to == "windows"]
    told = Counter((bell.window_start, one.series) for bell in bells for one in bell.series)
    assert set(told.values()) == {1}
    assert len(told) == len(completed)
    assert {revision for *_, revision in completed} == {1}
    assert sorted(judged) == sorted(completed)
    assert gaps == []


def test_verdicts_and_alerts_are_those_of_an_undisturbed_run(
    disturbed: Disturbed, undisturbed: Report
) -> None:
    assert disturbed.report.windows == undisturbed.windows
    # one that was published by a process that died before it noted so may have come twice
    assert list(dict.fromkeys(disturbed.report.alerts)) == undisturbed.alerts
