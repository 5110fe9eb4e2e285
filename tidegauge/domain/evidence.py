"""Evidence: where in a shard's log the events of one series and window stand.

It stands with each partial count, and adds up to the same however the log was cut. Times are ms
since the epoch.
"""

import msgspec

# Of the wall clock, since a window's counts were purged: people ask about an alert after a weekend,
# and a replay passes through a month of windows in seconds.
KEPT_DAYS = 14


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """What one shard gave to the count of one series and window.

    Attributes:
        first_sequence: Of the first record with an event that was counted; None where every event
            was a duplicate.
        last_sequence: Of the last such record.
        on_time: Events counted before the shard's stream time had closed the window.
        late: Events counted after it.
        duplicates: Events whose key was known in the window.
    """

    first_sequence: int | None = None
    last_sequence: int | None = None
    on_time: int = 0
    late: int = 0
    duplicates: int = 0

    @property
    def counted(self) -> int:
        """Return how many events were counted.

        >>> Evidence(7, 9, on_time=2, late=1, duplicates=5).counted
        3
        """
        return self.on_time + self.late

    def __add__(self, other: "Evidence") -> "Evidence":
        """Return both as one: of the same shard, or sums alone where they are of two.

        >>> Evidence(7, 9, on_time=2) + Evidence(3, 3, late=1) + Evidence(duplicates=1)
        Evidence(first_sequence=3, last_sequence=9, on_time=2, late=1, duplicates=1)
        """
        firsts = [one.first_sequence for one in (self, other) if one.first_sequence is not None]
        lasts = [one.last_sequence for one in (self, other) if one.last_sequence is not None]
        return Evidence(
            min(firsts, default=None),
            max(lasts, default=None),
            self.on_time + other.on_time,
            self.late + other.late,
            self.duplicates + other.duplicates,
        )
