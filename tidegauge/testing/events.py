"""Events and counts for tests: CloudEvents from a few words, and counts as noisy as real ones."""

import random
from collections.abc import Mapping
from datetime import timedelta
from hashlib import blake2b
from itertools import count
from typing import Any

import msgspec

from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event_time import format_time
from tidegauge.domain.simulation import MAX_POISSON_MEAN, poisson
from tidegauge.testing.moments import Moment, duration_ms, moment_ms

CloudEvent = dict[str, Any]
Fed = bytes | str | Mapping[str, Any]
"""One record: bytes or text as a producer would put them, or an event as a mapping."""

SOURCE = "/tests"
_numbers = count(1)
_NO_TIME = timedelta(0)


def event(
    type: str,  # noqa: A002 - the attribute's name in CloudEvents
    *,
    at: Moment,
    id: str | None = None,  # noqa: A002
    source: str = SOURCE,
    **more: Any,
) -> CloudEvent:
    """Return a CloudEvent.

    Args:
        type: Its type; unless `series_by` says otherwise, the series that it counts for.
        at: When it happened.
        id: Its id; None for one that no other event of this process has.
        source: Its source: source and id together tell one event from another.
        more: Any further attributes, such as `subject` or `data`.

    Raises:
        InvalidInput: `at` is no moment.

    >>> event("order.placed", at="2026-02-02T12:00:00Z", id="7", data={"country": "NO"})["data"]
    {'country': 'NO'}
    """
    return {
        "specversion": "1.0",
        "id": f"test-{next(_numbers)}" if id is None else id,
        "source": source,
        "type": type,
        "time": format_time(moment_ms(at)),
        **more,
    }


def events(
    type: str,  # noqa: A002 - as for `event`
    number: int,
    *,
    at: Moment,
    every: timedelta = _NO_TIME,
    **more: Any,
) -> list[CloudEvent]:
    """Return so many different CloudEvents of a type.

    Args:
        type: As for `event`.
        number: How many.
        at: When the first one happened.
        every: How long after it the next one did, and so on.
        more: As for `event`.

    Raises:
        InvalidInput: `at` is no moment.

    >>> made = events("tick", 3, at="2026-02-02T12:00:00Z", every=timedelta(seconds=20))
    >>> [one["time"][11:] for one in made]
    ['12:00:00Z', '12:00:20Z', '12:00:40Z']
    """
    first_ms, step_ms = moment_ms(at), duration_ms(every)
    return [event(type, at=format_time(first_ms + n * step_ms), **more) for n in range(number)]


def usual_counts(mean: float, number: int, *, seed: int = 0) -> list[int]:
    """Return counts with the noise of independent events: Poisson, the same for the same seed.

    Args:
        mean: Their mean, zero or more.
        number: How many.
        seed: Gives other ones.

    >>> usual_counts(50, 6)
    [59, 46, 49, 52, 51, 58]
    """
    chance = random.Random(seed)  # noqa: S311 - repeats itself on purpose
    return [_drawn(mean, chance) for _ in range(number)]


def _drawn(mean: float, chance: random.Random) -> int:
    # the sum of draws is Poisson too, with the sum of their means
    number = 0
    while mean > 0:
        number += poisson(min(mean, MAX_POISSON_MEAN), chance.random())
        mean -= MAX_POISSON_MEAN
    return number


def bytes_of(fed: Fed) -> bytes:
    """Return what a producer would put.

    Raises:
        InvalidInput: it is no event and no bytes, or holds what JSON cannot say.
    """
    if isinstance(fed, bytes):
        return fed
    if isinstance(fed, str):
        return fed.encode()
    if not isinstance(fed, Mapping):
        msg = f"feed takes events as dicts, bytes or text, not {type(fed).__name__}"
        raise InvalidInput(msg)
    try:
        return msgspec.json.encode(fed)
    except (TypeError, ValueError) as error:
        msg = f"this event is no JSON: {error}"
        raise InvalidInput(msg) from error


def partition_key_of(fed: Fed) -> str:
    """Return a key that is the same for an event fed twice, so that both reach the same shard."""
    if isinstance(fed, Mapping) and "id" in fed:
        return f"{fed.get('source')} {fed['id']}"[:256]
    return blake2b(bytes_of(fed), digest_size=8).hexdigest()
