"""Counts stay exact when things break: many seeds, and rules broken on purpose that they notice."""

import pytest

from tests.simulation.faults import LOSSES, Fault
from tests.simulation.jobs import play_side_by_side, processors
from tests.simulation.mutants import MUTANTS, broken
from tests.simulation.run import by_fault, run_seed
from tests.simulation.world import World
from tidegauge.domain.errors import TidegaugeError

SEEDS = 320
SEEDS_FOR_A_MUTANT = 80

# What must notice a broken rule: more than that something is wrong.
NOTICES: dict[str, set[str]] = {
    "no-fence": {"account"},
    "no-ids": {"account", "counts"},
    "plain-read-first": {"account", "counts"},
    "sets-kept-after-rollback": {"account", "counts"},
    "lateness-by-database": {"counts"},
    "fence-as-text": {"lost", "stuck"},
    "series-by-case": {"counts", "missed"},
    "rogue-clock-believed": {"account"},
    "fast-clock-believed": {"counts"},
    "losses-unnoticed": {"gaps"},
    "no-lineage-rule": {"account", "counts"},
    "child-without-stream-time": {"account", "missed", "counts"},
    "ledger-of-parents-only": {"account", "counts"},
    "closing-by-wall-clock": {"counts", "missed"},
    "partials-before-stream-times": {"counts", "missed"},
    "silence-left-out": {"missed"},
    "no-heartbeats": {"stuck"},
    "sent-before-accepted": {"announced"},
    "parallelization-factor-2": {"lost"},
    "partial-batch-answers": {"lost"},
}


@pytest.mark.timeout(900)
def test_all_seeds_hold_and_every_fault_happened() -> None:
    verdicts = list(play_side_by_side(1, SEEDS, jobs=processors()))
    assert [(one.seed, one.findings) for one in verdicts if not one.holds] == []
    assert sorted(one.seed for one in verdicts) == list(range(1, SEEDS + 1))
    assert min(one.windows for one in verdicts) >= 24
    assert min(one.deliveries for one in verdicts) >= 3
    assert min(one.events for one in verdicts) > 100
    seldom = {one.fault: one.seeds for one in by_fault(verdicts) if one.seeds < SEEDS // 80}
    assert seldom == {}
    print(  # noqa: T201 - what a person asks first
        f"{SEEDS} seeds, {sum(one.windows for one in verdicts):,} windows,"
        f" {sum(one.events for one in verdicts):,} events in"
        f" {sum(one.deliveries for one in verdicts):,} deliveries,"
        f" {sum(sum(one.happened.values()) for one in verdicts):,} faults"
    )


def test_a_seed_always_comes_to_the_same() -> None:
    assert run_seed(25) == run_seed(25)
    assert run_seed(25).deliveries > 3


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_a_history_does_not_depend_on_who_reads_it(seed: int) -> None:
    worlds = [World(seed, delivery) for delivery in (1, 2)]
    logs = []
    for world in worlds:
        world.play()
        logs.append(
            [
                (place, record.sequence_number, record.arrival_time_ms, record.partition_key)
                for place, log in world.stream.accepted.items()
                for record in log
            ]
        )
    assert logs[0] == logs[1]
    assert len(logs[0]) > 300


def test_a_world_either_loses_nothing_or_has_a_loss_that_can_be_proven() -> None:
    losing = [World(seed, 1).plan for seed in range(40)]
    assert sum(plan.loses for plan in losing) == 10
    assert all(plan.loses == plan.has_any(LOSSES) for plan in losing)
    assert not any(plan.loses and plan.has(Fault.TIMEOUT_AFTER_COMMIT) for plan in losing)


def test_every_broken_rule_has_what_must_notice_it() -> None:
    assert NOTICES.keys() == MUTANTS.keys()


@pytest.mark.parametrize("name", NOTICES)
def test_a_broken_rule_is_noticed(name: str) -> None:
    with broken(name):
        for seed in range(1, SEEDS_FOR_A_MUTANT + 1):
            noticed = {finding.check for finding in run_seed(seed).findings}
            if noticed & NOTICES[name]:
                return
    pytest.fail(f"no seed noticed that this rule is broken: {MUTANTS[name].breaks}")


def test_a_player_that_dies_is_no_verdict() -> None:
    with pytest.raises(TidegaugeError, match="ended before its work"):
        list(play_side_by_side(1, 1, jobs=1, mutant="no such rule"))
