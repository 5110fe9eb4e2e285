"""Evidence: where in a shard's log the events of one series and window stand.

Counting notes it batch by batch; however the log was cut, it adds up to the same. Times are ms
since the epoch.
"""

from collections.abc import Mapping, Sequence

import msgspec

# Of the wall clock, since the row was first written: people ask about an alert after a weekend,
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


def evidence_of(
    counted: Mapping[tuple[int, str, int], Sequence[int]], duplicates: Mapping[tuple[int, str], int]
) -> dict[tuple[int, str], Evidence]:
    """Return the evidence of a batch by window start and series.

    Args:
        counted: By window start, series and step, the sequence number of each event that was
            counted, in order.
        duplicates: Duplicates by window start and series.

    >>> evidence_of({(0, "a", 0): [7, 7, 9], (0, "a", 300_000): [12]}, {(0, "a"): 2})
    {(0, 'a'): Evidence(first_sequence=7, last_sequence=12, on_time=3, late=1, duplicates=2)}
    """
    found: dict[tuple[int, str], Evidence] = {}
    for (window_ms, series, step_ms), numbers in counted.items():
        place = (window_ms, series)
        if step_ms == window_ms:
            one = Evidence(numbers[0], numbers[-1], len(numbers))
        else:
            one = Evidence(numbers[0], numbers[-1], 0, len(numbers))
        before = found.get(place)
        found[place] = one if before is None else before + one
    for place, n_duplicates in duplicates.items():
        found[place] = found.get(place, _NOTHING) + Evidence(duplicates=n_duplicates)
    return found


_NOTHING = Evidence()
