"""What the memory stores share: the shards, counts and announcements of each stream generation."""

from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tidegauge.domain.evidence import Evidence
from tidegauge.domain.fold import Gap, Quarantined
from tidegauge.domain.lineage import ShardLine, ancestry, is_waiting
from tidegauge.ports import Frontier, UnknownShard

if TYPE_CHECKING:
    from tidegauge.domain.close import SeriesState
    from tidegauge.domain.count import CompletedWindow


class HeldShard:
    """One shard: its row, its first own heartbeat's time, its ledger and evidence by window."""

    def __init__(self, line: ShardLine) -> None:
        self.line = line
        self.first_ms: int | None = None
        self.ledger: dict[int, set[int]] = {}
        self.evidence: dict[int, dict[str, Evidence]] = {}  # by window and series


class HeldGeneration:
    """All that is known of one generation."""

    def __init__(self) -> None:
        self.shards: dict[str, HeldShard] = {}
        self.frontier = Frontier(None, None, listed=False)
        self.counts: dict[int, dict[tuple[int, str], int]] = {}  # by step, open ones only
        self.in_window: dict[int, int] = {}  # all partial counts of a window
        self.series: dict[str, SeriesState] = {}
        self.gaps: dict[tuple[str, int], Gap] = {}  # by shard and sequence number
        self.quarantine: list[tuple[str, Quarantined]] = []
        self.completed: dict[str, dict[int, list[CompletedWindow]]] = {}

    def shard(self, shard_id: str) -> HeldShard:
        """Return a registered shard. Raises UnknownShard."""
        shard = self.shards.get(shard_id)
        if shard is None:
            raise UnknownShard(shard_id)
        return shard

    def lines(self) -> dict[str, ShardLine]:
        """Return the rows of all shards."""
        return {shard_id: shard.line for shard_id, shard in self.shards.items()}

    def change(self, lines: Mapping[str, ShardLine]) -> None:
        """Write rows of shards, new ones too."""
        for shard_id, line in lines.items():
            if shard_id in self.shards:
                self.shards[shard_id].line = line
            else:
                self.shards[shard_id] = HeldShard(line)

    def is_waiting(self, shard: HeldShard) -> bool:
        """Return whether a registered parent of a shard is not drained."""
        return bool(shard.line.parent_ids) and is_waiting(shard.line, self.lines())

    def known(self, shard_id: str, windows: Set[int]) -> Mapping[int, Set[int]]:
        """Return the keys in the ledgers of a shard and its ancestors, by window start."""
        shard = self.shards[shard_id]
        if not shard.line.parent_ids:
            return shard.ledger
        parents = {name: held.line.parent_ids for name, held in self.shards.items()}
        ledgers = [self.shards[name].ledger for name in ancestry(shard_id, parents)]
        return {
            window: set().union(*(one.get(window, ()) for one in ledgers)) for window in windows
        }

    def add_count(self, step_ms: int, window_ms: int, series: str, count: int) -> None:
        """Add to a partial count."""
        counts = self.counts.setdefault(step_ms, {})
        place = (window_ms, series)
        counts[place] = counts.get(place, 0) + count
        self.in_window[window_ms] = self.in_window.get(window_ms, 0) + count

    def add_evidence(self, shard_id: str, evidence: Mapping[tuple[int, str], Evidence]) -> None:
        """Add to what a shard's log tells of the count of each window and series."""
        windows = self.shards[shard_id].evidence
        for (window_ms, series), one in evidence.items():
            of_window = windows.setdefault(window_ms, {})
            of_window[series] = of_window[series] + one if series in of_window else one

    def add_gaps(self, shard_id: str, gaps: Iterable[Gap]) -> None:
        """Note gaps; one of the same shard and sequence number is replaced."""
        self.gaps.update({(shard_id, gap.sequence_number): gap for gap in gaps})

    def end_listing(self) -> None:
        """Note that a whole listing is registered."""
        self.frontier = replace(self.frontier, listed=True)

    def last_past_ms(self, *, size_ms: int, max_event_age_ms: int) -> int | None:
        """Return the last window that no event is accepted for any more; None for none."""
        next_ms = self.frontier.next_window_ms
        return None if next_ms is None else next_ms - size_ms - max_event_age_ms

    def purge(self, last_ms: int | None) -> int:
        """Forget what decides about events of the windows up to one; return how many windows."""
        held = set(self.in_window)
        for shard in self.shards.values():
            held.update(shard.ledger, shard.evidence)
        past = {window_ms for window_ms in held if last_ms is not None and window_ms <= last_ms}
        for window_ms in past:
            self.in_window.pop(window_ms, None)
            for shard in self.shards.values():
                shard.ledger.pop(window_ms, None)
                shard.evidence.pop(window_ms, None)
        return len(past)
