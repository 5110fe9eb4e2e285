"""The one place that reads the wall clock, waits, or throws dice.

Steps get a `Clock` handed in; no window is ever closed by what it says. Retrying adapters get a
`Backoff`, so that a test neither waits nor depends on chance.
"""

import random
import time
from collections.abc import Callable, Iterator


class SystemClock:
    """The machine's clock; implements `ports.PatientClock`."""

    def now_ms(self) -> int:
        """Return the wall-clock time, ms since the epoch, UTC."""
        return time.time_ns() // 1_000_000

    def wait_until_ms(self, time_ms: int) -> None:
        """Return once the clock shows `time_ms`, at once if it does already."""
        while (left_ms := time_ms - self.now_ms()) > 0:
            time.sleep(left_ms / 1000.0)


class Backoff:
    """Waits between attempts: exponentially longer, with full jitter.

    The wait before attempt n + 1 is uniform between 0 and `base_s * 2 ** n`, at most `cap_s`
    ("full jitter": many clients that failed together do not come back together).

    Args:
        attempts: How often to try, the first time included; at least 1.
        base_s: Upper bound of the first wait, seconds.
        cap_s: Upper bound of every wait, seconds.
        sleep: Waits so many seconds.
        uniform: Returns a number between its two arguments.
    """

    def __init__(
        self,
        *,
        attempts: int = 8,
        base_s: float = 0.1,
        cap_s: float = 3.0,
        sleep: Callable[[float], None] = time.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._attempts = attempts
        self._base_s = base_s
        self._cap_s = cap_s
        self._sleep = sleep
        self._uniform = uniform

    def attempts(self) -> Iterator[int]:
        """Yield the number of each attempt, from 1, waiting before all but the first."""
        yield 1
        for number in range(2, self._attempts + 1):
            bound_s = min(self._cap_s, self._base_s * 2.0 ** (number - 2))
            self._sleep(self._uniform(0.0, bound_s))
            yield number
