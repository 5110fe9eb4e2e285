"""Closing windows: from the partial counts of all shards to completed windows and corrections.

Takes what one transaction has read under the frontier's lock, gives what it has to write. Windows
close in order; closing window c announces c for every active series, zero counts included, and a
further revision of each earlier window that has partial counts of step c.
"""

from collections.abc import Iterable, Mapping, Sequence, Set

import msgspec

from tidegauge.domain.count import OTHER_SERIES, CompletedWindow, Quality

# Zero windows told at one step before the series' first ones; beyond it each series gets its share
# of the latest. A flood of old events of new series would else outlast the time a closing has.
MAX_FILLS = 100_000


class CloseRules(msgspec.Struct, frozen=True):
    """The settings that decide what is announced; durations in milliseconds."""

    size_ms: int = 300_000
    lateness_ms: int = 60_000
    max_event_age_ms: int = 86_400_000
    series_idle_ms: int = 14 * 86_400_000
    max_series: int = 10_000
    max_rows: int = 20_000


class StepCount(msgspec.Struct, frozen=True, gc=False):
    """Distinct events of one series in one window that are told at one step, over all shards."""

    step_ms: int
    window_start_ms: int
    series: str
    count: int


class SeriesState(msgspec.Struct, frozen=True):
    """A series as the store knows it.

    Attributes:
        first_window_ms: Start of its first window since it is active.
        last_event_window_ms: Start of the last window that holds an event of it.
        retired_window_ms: Its last window before it went idle; None if it never did.
        active: Whether it gets a row in each window that closes.
    """

    first_window_ms: int
    last_event_window_ms: int
    retired_window_ms: int | None = None
    active: bool = True


class Closing(msgspec.Struct):
    """What one closing transaction writes.

    Attributes:
        rows: Completed windows in order of step, window, series.
        series: The new state of each series that changed.
        next_window_ms: Start of the first window that is still open afterwards.
        late_by_observation: Events that are late only because observation began after their
            window; their shard had no stream time yet that would have told.
    """

    rows: list[CompletedWindow]
    series: dict[str, SeriesState]
    next_window_ms: int
    late_by_observation: int = 0


class CloseInput(msgspec.Struct, frozen=True):
    """What a closing transaction has read.

    Attributes:
        generation: The stream generation's number.
        first_ms: Start of the first window to close.
        until_ms: Windows that start before this are closed; as many as `max_rows` allows.
        observed_from_ms: Start of the first window that the stream was watched for.
        counts: Partial counts of the steps `[first_ms, until_ms)`, and of all earlier steps where
            `first_ms` is the first window ever closed.
        latest: The last announced revision of each earlier window that `counts` names.
        series: All series that the generation knows, by name.
        gaps: Spans `[from_ms, until_ms)` in which records are known to be lost.
        suspect: Starts of windows whose partial counts and ledgers disagree.
    """

    generation: int
    first_ms: int
    until_ms: int
    observed_from_ms: int
    counts: Sequence[StepCount]
    latest: Mapping[tuple[int, str], CompletedWindow]
    series: Mapping[str, SeriesState]
    gaps: Sequence[tuple[int, int]]
    suspect: Set[int]


def close_windows(read: CloseInput, rules: CloseRules) -> Closing:
    """Close windows in order, whole windows up to `max_rows` rows but at least one.

    Returns:
        Rows, changed series, and where the next closing begins.
    """
    return _Closer(read, rules).run()


class _Closer:
    def __init__(self, read: CloseInput, rules: CloseRules) -> None:
        self._read = read
        self._rules = rules
        self._series = dict(read.series)
        self._active = sorted(name for name, state in read.series.items() if state.active)
        self._latest = dict(read.latest)
        self._changed: dict[str, SeriesState] = {}
        self._rows: list[CompletedWindow] = []
        self._by_step: dict[int, list[StepCount]] = {}
        self._late_by_observation = 0
        for count in read.counts:
            if count.window_start_ms == count.step_ms < read.first_ms:
                self._late_by_observation += count.count
            self._by_step.setdefault(max(count.step_ms, read.first_ms), []).append(count)

    def run(self) -> Closing:
        size_ms = self._rules.size_ms
        step_ms = self._read.first_ms
        while step_ms < self._read.until_ms:
            if self._rows and len(self._rows) + len(self._active) > self._rules.max_rows:
                break
            if not self._active and step_ms not in self._by_step:
                # nobody to announce: on to the next step that brings someone
                later = (s for s in self._by_step if s > step_ms)
                step_ms = min(later, default=self._read.until_ms)
                continue
            self._close(step_ms)
            step_ms += size_ms
        changed = {name: self._changed[name] for name in sorted(self._changed)}
        next_window_ms = min(step_ms, self._read.until_ms)
        return Closing(self._rows, changed, next_window_ms, self._late_by_observation)

    def _close(self, step_ms: int) -> None:
        counted = self._counted_at(step_ms)
        fills = self._admit(step_ms, counted)
        present = {(step_ms, name) for name in self._active}
        retiring = self._retire(step_ms)
        for window_ms, name in sorted(counted.keys() | present | fills):
            retired = window_ms == step_ms and name in retiring
            quality = Quality.RETIRED if retired else self._quality(window_ms)
            self._announce(step_ms, window_ms, name, counted.get((window_ms, name), 0), quality)

    def _counted_at(self, step_ms: int) -> dict[tuple[int, str], int]:
        """Return the counts of a step by window and series; series beyond the limit as one."""
        counts = self._by_step.get(step_ms, ())
        free = self._rules.max_series - sum(name != OTHER_SERIES for name in self._active)
        active = set(self._active)
        fresh = sorted({count.series for count in counts} - active - {OTHER_SERIES})
        other = set(fresh[max(free, 0) :])
        counted: dict[tuple[int, str], int] = {}
        for count in counts:
            name = OTHER_SERIES if count.series in other else count.series
            place = (count.window_start_ms, name)
            counted[place] = counted.get(place, 0) + count.count
        return counted

    def _admit(self, step_ms: int, counted: Iterable[tuple[int, str]]) -> set[tuple[int, str]]:
        """Note which series have events; return the earlier windows that they now lack a row in."""
        spans: dict[str, tuple[int, int]] = {}
        for window_ms, name in counted:
            low, high = spans.get(name, (window_ms, window_ms))
            spans[name] = (min(low, window_ms), max(high, window_ms))
        fills: set[tuple[int, str]] = set()
        begins = {name: self._begins_ms(name, step_ms) for name in spans}
        n_filled = sum(low_ms < begins[name] for name, (low_ms, _) in spans.items())
        reach_ms = MAX_FILLS // max(1, n_filled) * self._rules.size_ms
        for name, (low_ms, high_ms) in sorted(spans.items()):
            before = self._series.get(name)
            active = before is not None and before.active
            until_ms = begins[name]
            retired_ms = before.retired_window_ms if before is not None else None
            if low_ms < until_ms:
                from_ms = max(low_ms, until_ms - reach_ms)
                fills.update(self._missing(name, from_ms, until_ms, retired_ms))
            last_ms = high_ms if before is None else max(before.last_event_window_ms, high_ms)
            if not active:
                self._active.append(name)
            first_ms = min(low_ms, until_ms)
            self._note(name, SeriesState(first_ms, last_ms, retired_ms, active=True))
        self._active.sort()
        return fills

    def _begins_ms(self, name: str, step_ms: int) -> int:
        """Return where a series' rows begin so far; at this step, where it has none."""
        state = self._series.get(name)
        return state.first_window_ms if state is not None and state.active else step_ms

    def _missing(
        self, name: str, from_ms: int, until_ms: int, retired_ms: int | None
    ) -> Iterable[tuple[int, str]]:
        size_ms = self._rules.size_ms
        # before the stream was watched, zero is claimed only as far back as an event may lie
        watched_ms = self._read.observed_from_ms - self._rules.max_event_age_ms
        start_ms = max(from_ms, watched_ms - watched_ms % size_ms)
        if retired_ms is not None:
            start_ms = max(start_ms, retired_ms + size_ms)
        return ((window_ms, name) for window_ms in range(start_ms, until_ms, size_ms))

    def _announce(
        self, step_ms: int, window_ms: int, name: str, counted: int, quality: Quality
    ) -> None:
        before = self._latest.get((window_ms, name))
        in_time = window_ms == step_ms and before is None
        late = 0 if in_time else counted
        row = CompletedWindow(
            generation=self._read.generation,
            series=name,
            window_start_ms=window_ms,
            revision=1 if before is None else before.revision + 1,
            step_ms=step_ms,
            count=counted if before is None else before.count + counted,
            late=late if before is None else before.late + late,
            quality=quality,
        )
        self._latest[(window_ms, name)] = row
        self._rows.append(row)

    def _quality(self, window_ms: int) -> Quality:
        if window_ms in self._read.suspect:
            return Quality.SUSPECT
        end_ms = window_ms + self._rules.size_ms
        if any(from_ms < end_ms and window_ms < until_ms for from_ms, until_ms in self._read.gaps):
            return Quality.GAP
        if window_ms < self._read.observed_from_ms:
            return Quality.PARTIAL
        return Quality.COMPLETE

    def _retire(self, step_ms: int) -> set[str]:
        """Take the series out that were silent for too long; this window is their last."""
        idle_ms = self._rules.series_idle_ms
        states = {name: self._series[name] for name in self._active}
        retiring = {n for n, s in states.items() if step_ms - s.last_event_window_ms >= idle_ms}
        for name in retiring:
            retired = msgspec.structs.replace(states[name], retired_window_ms=step_ms, active=False)
            self._note(name, retired)
        self._active = [name for name in self._active if name not in retiring]
        return retiring

    def _note(self, name: str, state: SeriesState) -> None:
        self._series[name] = state
        self._changed[name] = state
