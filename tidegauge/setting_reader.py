"""Takes typed values out of a mapping of texts, such as the environment, and remembers faults."""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from tidegauge.domain.errors import Misconfigured

Number = TypeVar("Number", int, float)


class Reader:
    """Takes typed values out of a mapping and remembers every fault.

    A variable that is missing or blank has its default. A fault yields the default too, so that
    the faults after it are found as well.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.problems: list[str] = []

    def text(
        self, name: str, default: str | None, pattern: re.Pattern[str] | None, meaning: str
    ) -> str:
        """Return a text; with no default it must be set, with a pattern it must match whole."""
        value = self._env.get(name, "").strip()
        if not value:
            if default is None:
                self.problems.append(f"{name} is not set: it must be {meaning}")
            return default or ""
        if pattern is not None and pattern.fullmatch(value) is None:
            self.problems.append(f"{name} must be {meaning}, not {value!r}")
        return value

    def secret(self, name: str) -> str:
        """Return a text that no message may repeat; empty if it is not set."""
        return self._env.get(name, "").strip()

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number within `low..high`."""
        return self._number(name, default, low, high, int, "a whole number")

    def real(self, name: str, default: float, low: float, high: float) -> float:
        """Return a number within `low..high`."""
        return self._number(name, default, low, high, float, "a number")

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """Return one of the choices."""
        value = self._env.get(name, "").strip() or default
        if value not in choices:
            self.problems.append(f"{name} must be {' or '.join(choices)}, not {value!r}")
            return default
        return value

    def require(self, holds: bool, problem: str) -> None:
        """Remember a fault unless the condition holds."""
        if not holds:
            self.problems.append(problem)

    def raise_faults(self) -> None:
        """Raise Misconfigured with all faults, if there are any."""
        if self.problems:
            raise Misconfigured(self.problems)

    def _number(
        self,
        name: str,
        default: Number,
        low: Number,
        high: Number,
        parse: Callable[[str], Number],
        kind: str,
    ) -> Number:
        text = self._env.get(name, "").strip()
        if not text:
            return default
        try:
            if not text.isascii() or "_" in text:  # Python takes more for a number than people do
                raise ValueError(text)
            value = parse(text)
        except ValueError:
            self.problems.append(f"{name} must be {kind}, not {text!r}")
            return default
        if not low <= value <= high:  # false for NaN too
            self.problems.append(f"{name} must lie between {low} and {high}, not {text}")
            return default
        return value
