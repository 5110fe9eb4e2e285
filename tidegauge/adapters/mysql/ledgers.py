"""Ledgers between database and memory: keys as blobs, and the sets that a warm process keeps.

Kept sets are trusted only if the shard's fence and ledger number are those that this process left;
they grow only after COMMIT has answered and are dropped on any error, else a rollback would lose
events.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence, Set

_KEY_BYTES = 8


def pack_keys(keys: Sequence[int]) -> bytes:
    """Return event keys as one blob, 8 bytes each, little-endian."""
    return struct.pack(f"<{len(keys)}Q", *keys)


def unpack_keys(blob: bytes) -> tuple[int, ...]:
    """Return the event keys of a blob."""
    return struct.unpack(f"<{len(blob) // _KEY_BYTES}Q", blob)


class WarmLedgers:
    """The key sets of recently counted windows, by shard.

    Args:
        max_keys: Over all shards. Above this first the shards that were counted longest ago are let
            go, then the oldest windows; a key takes some 60 bytes in a set.
    """

    def __init__(self, *, max_keys: int = 1_000_000) -> None:
        self._max_keys = max_keys
        self._left: dict[tuple[int, str], tuple[int, int]] = {}
        self._sets: dict[tuple[int, str], dict[int, set[int]]] = {}

    def trusted(
        self, shard: tuple[int, str], *, fence: int, ledger_number: int
    ) -> Mapping[int, Set[int]]:
        """Return the kept sets of a shard if nobody else has written since; else none."""
        if self._left.get(shard) != (fence, ledger_number):
            self.drop(shard)
        return self._sets.get(shard, {})

    def committed(
        self,
        shard: tuple[int, str],
        known: Mapping[int, Set[int]],
        new: Mapping[int, Iterable[int]],
        *,
        fence: int,
        ledger_number: int,
    ) -> None:
        """Keep what a committed batch has loaded and added; call after COMMIT has answered."""
        sets = self._sets[shard] = self._sets.pop(shard, {})  # the dict keeps the order of use
        for window_ms, keys in known.items():
            if window_ms not in sets:
                sets[window_ms] = set(keys)
        for window_ms, added in new.items():
            sets.setdefault(window_ms, set()).update(added)
        self._left[shard] = (fence, ledger_number)
        self._trim(sets)

    def _trim(self, sets: dict[int, set[int]]) -> None:
        n_keys = sum(len(keys) for of_shard in self._sets.values() for keys in of_shard.values())
        for other in list(self._sets)[:-1]:
            if n_keys <= self._max_keys:
                return
            n_keys -= sum(len(keys) for keys in self._sets[other].values())
            self.drop(other)
        for window_ms in sorted(sets):
            if n_keys <= self._max_keys:
                return
            n_keys -= len(sets.pop(window_ms))

    def drop(self, shard: tuple[int, str]) -> None:
        """Forget a shard, as after any error."""
        self._left.pop(shard, None)
        self._sets.pop(shard, None)
