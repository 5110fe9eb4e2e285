"""Series to judge: seasonal noise, outages and corrections, as the closing side announces them."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.judging import JudgingRules

SIZE = 300_000
DAY = 288
# A Monday, 00:00 UTC, and the start of a fit.
BASE = 1_357_516_800_000

# A young series is judged early, so that a test needs a day of windows and not three.
YOUNG = JudgingRules(enough_windows=12)


def seasonal_counts(n_windows: int, *, mean: float = 30.0, seed: int = 1) -> list[int]:
    """Poisson counts around a daily wave, oldest first."""
    noise = np.random.default_rng(seed)
    waves = [mean * (1.0 + 0.5 * math.sin(2.0 * math.pi * i / DAY)) for i in range(n_windows)]
    return [int(count) for count in noise.poisson(waves)]


def window(
    index: int,
    count: int,
    *,
    series: str = "a",
    generation: int = 1,
    revision: int = 1,
    step: int | None = None,
    quality: Quality = Quality.COMPLETE,
) -> CompletedWindow:
    """One announced revision of the window with an index; its step likewise, by default its own."""
    return CompletedWindow(
        generation,
        series,
        BASE + index * SIZE,
        revision,
        BASE + (index if step is None else step) * SIZE,
        count,
        revision - 1,
        quality,
    )


def announced(
    counts: Sequence[int],
    *,
    series: str = "a",
    generation: int = 1,
    first: int = 0,
    corrections: Mapping[tuple[int, int], int] | None = None,
) -> list[CompletedWindow]:
    """One series' windows in the order of announcement.

    Args:
        counts: One a window.
        series: Its name.
        generation: Its generation.
        first: Index of the first window.
        corrections: New counts by (step, window), both indices, window before step.
    """
    rows: list[CompletedWindow] = []
    revisions: dict[int, int] = {}
    corrected = corrections or {}
    for index, count in enumerate(counts, start=first):
        for (step, past), new in sorted(corrected.items()):
            if step == index:
                revisions[past] = revisions.get(past, 1) + 1
                row = window(
                    past,
                    new,
                    series=series,
                    generation=generation,
                    revision=revisions[past],
                    step=step,
                )
                rows.append(row)
        rows.append(window(index, count, series=series, generation=generation))
    return rows
