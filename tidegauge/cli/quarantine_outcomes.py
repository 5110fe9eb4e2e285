"""What came of a retry or of giving up, to people and as JSON: single items, and sums of many."""

from collections import Counter
from collections.abc import Iterator

import typer

from tidegauge.cli.terminal_text import terminal_text
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.quarantine_words import refusal_words
from tidegauge.domain.retry import ItemState
from tidegauge.steps.quarantine import Outcome

# More lines than these make nobody wiser.
_MAX_LINES = 20
_MAX_TOLD = 1_000


class Outcomes:
    """What came of many items: sums, and single ones as far as anybody reads them.

    Args:
        command: `retry` or `discard`.

    Attributes:
        stopped: Why it ended early; empty if it did not.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        self.stopped = ""
        self.n_by_outcome: Counter[str] = Counter()
        self.n_by_refusal: Counter[str] = Counter()
        self.counted = Evidence()
        self.first: list[Outcome] = []
        self.first_amiss: list[Outcome] = []
        self.all_done = True

    def add(self, outcome: Outcome) -> None:
        """Note what came of one more item."""
        self.n_by_outcome[_outcome_name(outcome)] += 1
        self.counted += outcome.counted
        if outcome.refused is not None:
            self.n_by_refusal[outcome.refused.reason or outcome.refused.refusal] += 1
        if len(self.first) < _MAX_TOLD:
            self.first.append(outcome)
        if not self._is_done(outcome):
            self.all_done = False
            if len(self.first_amiss) < _MAX_LINES:
                self.first_amiss.append(outcome)

    def _is_done(self, outcome: Outcome) -> bool:
        if self.command == "discard":
            return outcome.state is ItemState.DISCARDED
        return outcome.state in (ItemState.COUNTED, ItemState.KNOWN)

    @property
    def n_items(self) -> int:
        """How many items there were."""
        return self.n_by_outcome.total()

    def told(self) -> dict[str, object]:
        """Return all as JSON has it; of very many items the first ones."""
        names = ("counted", "known", "discarded", "refused", "settled_before")
        return {
            "outcomes": {name: self.n_by_outcome[name] for name in names},
            "refused": dict(sorted(self.n_by_refusal.items())),
            "events": {
                "on_time": self.counted.on_time,
                "late": self.counted.late,
                "duplicates": self.counted.duplicates,
            },
            "items": [_outcome_told(outcome) for outcome in self.first],
            "items_left_out": self.n_items - len(self.first),
            "stopped": self.stopped or None,
        }


def _outcome_name(outcome: Outcome) -> str:
    if outcome.refused is not None:
        return "refused"
    return outcome.state.value if outcome.changed else "settled_before"


def _outcome_told(outcome: Outcome) -> dict[str, object]:
    refused = outcome.refused
    return {
        "id": outcome.item_id,
        "outcome": _outcome_name(outcome),
        "state": outcome.state,
        "refusal": None if refused is None else refused.refusal,
        "reason": None if refused is None else refused.reason,
        "says": outcome_words(outcome),
        "on_time": outcome.counted.on_time,
        "late": outcome.counted.late,
        "duplicates": outcome.counted.duplicates,
    }


def outcome_words(outcome: Outcome) -> str:
    """Return what came of one item, in words."""
    if outcome.refused is not None:
        return f"not counted: {refusal_words(outcome.refused)}"
    if not outcome.changed:
        return {
            ItemState.COUNTED: "was counted before; nothing changes",
            ItemState.KNOWN: "was found to be counted before; nothing changes",
            ItemState.DISCARDED: "was discarded before; nothing changes",
            ItemState.HELD: "is still held",
        }[outcome.state]
    match outcome.state:
        case ItemState.COUNTED:
            return f"counted: {_evidence_words(outcome.counted)}"
        case ItemState.KNOWN:
            return "known: its events were counted already; nothing is added"
        case _:
            return "discarded: its bytes are gone; position, reason and hash stay"


def _evidence_words(counted: Evidence) -> str:
    n_events = counted.counted
    late = f", {counted.late:,} late" if counted.late else ""
    known = f", {counted.duplicates:,} known already" if counted.duplicates else ""
    return f"{n_events:,} {'event' if n_events == 1 else 'events'}{late}{known}"


def print_outcomes(outcomes: Outcomes) -> None:
    """Print what came of it for people: a line each; of many the sums, and what is amiss."""
    if not outcomes.n_items and not outcomes.stopped:
        typer.echo("Nothing is held for that reason.")
    few = outcomes.n_items <= _MAX_LINES
    for outcome in outcomes.first if few else outcomes.first_amiss:
        typer.echo(f"{outcome.item_id}: {outcome_words(outcome)}")
    if not few:
        for line in _sum_lines(outcomes):
            typer.echo(line)
    if outcomes.counted.counted:
        typer.echo("What was counted is told with the next window that closes.")
    if outcomes.stopped:
        typer.echo(
            f"tidegauge: stopped after {outcomes.n_items:,} items: "
            f"{terminal_text(outcomes.stopped)}; the same command goes on from there",
            err=True,
        )


def _sum_lines(outcomes: Outcomes) -> Iterator[str]:
    n_refused = outcomes.n_by_outcome["refused"]
    n_left_out = n_refused - sum(one.refused is not None for one in outcomes.first_amiss)
    if n_left_out > 0:
        yield f"… and {n_left_out:,} more that were not counted"
    for name, n_items in sorted(outcomes.n_by_outcome.items()):
        said = name.replace("_", " ")
        yield f"{said:<16}{n_items:>12,}"
        if name == "refused":
            for reason, n in sorted(outcomes.n_by_refusal.items()):
                yield f"  {reason:<14}{n:>12,}"
    if outcomes.counted.counted:
        yield f"{'events counted':<16}{outcomes.counted.counted:>12,}"
