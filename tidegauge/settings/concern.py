"""One concern's settings, and several of them read together."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Self, TypeVar, overload

from tidegauge.setting_reader import Reader


class Settings:
    """One concern's settings; each kind is a frozen dataclass."""

    __slots__ = ()

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take this concern's variables; faults stay with the reader."""
        raise NotImplementedError

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read this concern alone. Raises Misconfigured with all its faults."""
        reader = Reader(env)
        settings = cls.read(reader)
        reader.raise_faults()
        return settings


S1 = TypeVar("S1", bound=Settings)
S2 = TypeVar("S2", bound=Settings)
S3 = TypeVar("S3", bound=Settings)
S4 = TypeVar("S4", bound=Settings)
S5 = TypeVar("S5", bound=Settings)
S6 = TypeVar("S6", bound=Settings)


@overload
def read_settings(env: Mapping[str, str], kind1: type[S1], /) -> tuple[S1]: ...
@overload
def read_settings(env: Mapping[str, str], kind1: type[S1], kind2: type[S2], /) -> tuple[S1, S2]: ...
@overload
def read_settings(
    env: Mapping[str, str], kind1: type[S1], kind2: type[S2], kind3: type[S3], /
) -> tuple[S1, S2, S3]: ...
@overload
def read_settings(
    env: Mapping[str, str], kind1: type[S1], kind2: type[S2], kind3: type[S3], kind4: type[S4], /
) -> tuple[S1, S2, S3, S4]: ...
@overload
def read_settings(
    env: Mapping[str, str],
    kind1: type[S1],
    kind2: type[S2],
    kind3: type[S3],
    kind4: type[S4],
    kind5: type[S5],
    /,
) -> tuple[S1, S2, S3, S4, S5]: ...
@overload
def read_settings(
    env: Mapping[str, str],
    kind1: type[S1],
    kind2: type[S2],
    kind3: type[S3],
    kind4: type[S4],
    kind5: type[S5],
    kind6: type[S6],
    /,
) -> tuple[S1, S2, S3, S4, S5, S6]: ...


def read_settings(env: Mapping[str, str], /, *kinds: type[Settings]) -> tuple[Settings, ...]:
    """Read several concerns and report the faults of all of them together.

    Args:
        env: Usually the environment.
        kinds: The concerns, for example `WindowSettings, DatabaseSettings`.

    Raises:
        Misconfigured: with one sentence for each faulty variable of any of them.
    """
    reader = Reader(env)
    settings = tuple(kind.read(reader) for kind in kinds)
    reader.raise_faults()
    return settings


def variable_names(kind: type[Settings]) -> tuple[str, ...]:
    """Return the environment variables of one concern, in order of its fields."""
    return tuple(entry.name.upper() for entry in fields(kind))  # type: ignore[arg-type]
