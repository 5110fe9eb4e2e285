"""Thinning: of more rows than a training wants, an even part, the same ones every time.

Each row has a hash of its series and its window; those with the smallest hashes stay. So the choice
depends neither on order nor on chance, falls on all series and times alike, and is known to be
exact after one pass in little memory. In order of their hashes the rows are shuffled, as training
by gradients wants them.
"""

from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

_ALL: Final = np.iinfo(np.uint64).max
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)


def row_hashes(series: str, window_start_ms: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return one hash a window of a series, (n,): splitmix64, seeded by the series' name."""
    seed = int.from_bytes(blake2b(series.encode(), digest_size=8).digest(), "big")
    # Unsigned arithmetic wraps, as the algorithm wants it.
    mixed = window_start_ms.astype(np.uint64) * _GOLDEN + np.uint64(seed)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    hashes: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return hashes


class Sample:
    """Keeps the rows with the smallest hashes, at most `limit` of them.

    Args:
        limit: How many rows stay, above zero.

    Attributes:
        n_offered: How many rows there were.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bound = np.uint64(_ALL)
        self._hashes: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
        self._places: NDArray[np.int64] = np.empty((0, 2), dtype=np.int64)
        self.n_offered = 0

    def may_stay(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Count rows, and tell which of them may still be among the smallest, (n,)."""
        self.n_offered += len(hashes)
        return hashes <= self._bound

    def add(self, hashes: NDArray[np.uint64], places: NDArray[np.int64]) -> None:
        """Keep rows that may stay.

        Args:
            hashes: Of them, (n,).
            places: Where each is to be found again, two numbers a row, (n, 2).
        """
        self._hashes = np.concatenate((self._hashes, hashes))
        self._places = np.concatenate((self._places, places))
        # Often enough to turn most rows away early: features cost more than a partition.
        if len(self._hashes) > self._limit + self._limit // 4:
            self._shrink()

    def chosen(self) -> NDArray[np.int64]:
        """Return the places of the rows that stay, in order of their hashes, (n, 2)."""
        self._shrink()
        return self._places[np.argsort(self._hashes, kind="stable")]

    def _shrink(self) -> None:
        if len(self._hashes) <= self._limit:
            return
        smallest = np.argpartition(self._hashes, self._limit - 1)[: self._limit]
        smallest.sort()
        self._hashes, self._places = self._hashes[smallest], self._places[smallest]
        self._bound = self._hashes.max()
