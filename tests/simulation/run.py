"""Runs seeds and says what came of each: the same seed always comes to the same."""

import traceback
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from tests.simulation.checks import Finding, Result, check, compare
from tests.simulation.faults import Fault
from tests.simulation.world import World

DELIVERIES = 3
# Now and then a history is delivered in so many ways.
MANY_DELIVERIES = 8
MANY_EACH = 25


class Verdict(Struct, frozen=True):
    """What one seed came to.

    Attributes:
        seed: The seed.
        findings: What is wrong; nothing for a seed that holds.
        happened: How often each fault happened, over all deliveries.
        deliveries: In how many ways the history was delivered.
        windows: How many windows of event time the world lasted.
        events: Events put on the stream and counted, over all deliveries.
        revisions: Completed windows announced, corrections too, over all deliveries.
    """

    seed: int
    findings: list[Finding]
    happened: dict[Fault, int]
    deliveries: int
    windows: int
    events: int
    revisions: int

    @property
    def holds(self) -> bool:
        """Return whether nothing was found wrong."""
        return not self.findings


def run_seed(seed: int) -> Verdict:
    """Play a seed's world in several deliveries and hold each against the truth and the others."""
    number = MANY_DELIVERIES if seed % MANY_EACH == 0 else DELIVERIES
    worlds = [World(seed, delivery) for delivery in range(1, number + 1)]
    results = [_result(world) for world in worlds]
    findings = [finding for result in results for finding in result.findings]
    if not worlds[0].plan.loses and not findings:  # what is unread when it is lost is chance
        findings += compare(results)
    happened: Counter[Fault] = Counter()
    for world in worlds:
        happened.update(world.plan.happened)
    return Verdict(
        seed=seed,
        findings=list(dict.fromkeys(findings)),
        happened=dict(happened),
        deliveries=number,
        windows=worlds[0].scenery.windows,
        events=sum(result.events for result in results),
        revisions=sum(result.windows for result in results),
    )


def _result(world: World) -> Result:
    try:
        world.play()
        return check(world)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the seed found
        place = traceback.extract_tb(error.__traceback__)[-1]
        says = f"{error!r} in {place.name}, line {place.lineno}"
        return Result([Finding("errors", says)], [], 0, 0)


class FaultVerdict(Struct, frozen=True):
    """What came of one fault over all seeds.

    Attributes:
        fault: Its name, in words.
        seeds: Seeds in which it happened.
        times: How often it happened, over all seeds and deliveries.
        failed: Those of the seeds that were found wrong.
    """

    fault: str
    seeds: int
    times: int
    failed: list[int]


def by_fault(verdicts: Iterable[Verdict]) -> list[FaultVerdict]:
    """Return what came of each fault, in the order of `Fault`."""
    seeds: Counter[Fault] = Counter()
    times: Counter[Fault] = Counter()
    failed: dict[Fault, list[int]] = {fault: [] for fault in Fault}
    for verdict in verdicts:
        seeds.update(verdict.happened.keys())
        times.update(verdict.happened)
        for fault in verdict.happened:
            failed[fault] += [] if verdict.holds else [verdict.seed]
    return [FaultVerdict(f.value, seeds[f], times[f], sorted(failed[f])) for f in Fault]
