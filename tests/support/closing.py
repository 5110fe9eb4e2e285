"""Closing to the end, as a run of sweeps would."""

from tidegauge.domain.close import CloseRules
from tidegauge.domain.count import CompletedWindow
from tidegauge.ports import CountStore
from tidegauge.steps.close import close_once


def close_all(store: CountStore, generation: int, rules: CloseRules) -> list[CompletedWindow]:
    """Close until no window is left that the watermark has passed; return all rows."""
    rows: list[CompletedWindow] = []
    while True:
        outcome = close_once(store, generation, rules)
        rows.extend(outcome.rows)
        if outcome.finished:
            return rows
