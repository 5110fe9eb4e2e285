"""The quarantine step: counts what was set aside anew, or gives it up.

One transaction an item: bytes are decoded by the present rules before any lock is taken, and
nothing is counted unless all of an item can be. What it adds is announced by the next closing.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

import msgspec

from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.errors import Transient
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.fold import CountRules
from tidegauge.domain.retry import (
    ItemState,
    Refusal,
    Refused,
    count_again,
    events_in,
    refusal_of,
)
from tidegauge.domain.skipped_batch import windows_of
from tidegauge.ports.quarantine import ItemFilter, QuarantineStore, UnknownItem

_T = TypeVar("_T")

# A lock that is held for long is waited for by the store itself.
MAX_ATTEMPTS = 5
ITEMS_PER_DISCARD = 200


class Outcome(msgspec.Struct, frozen=True):
    """What came of one item.

    Attributes:
        item_id: Its number.
        state: What it is now.
        changed: Whether this is what made it so.
        refused: Why it is not counted; None unless a retry was refused.
        counted: What a retry added to counts.
    """

    item_id: int
    state: ItemState
    changed: bool = False
    refused: Refused | None = None
    counted: Evidence = Evidence()


def retry(store: QuarantineStore, item_id: int, series_by: SeriesBy, rules: CountRules) -> Outcome:
    """Count one item anew, exactly once however often it is tried.

    Args:
        store: The quarantine of the item's stream.
        item_id: Its number.
        series_by: As collect has it.
        rules: As collect has them.

    Raises:
        UnknownItem: there is no such item.
        Transient: the store could not answer, several times in a row; nothing was written, or
            nobody knows: trying again is safe.
    """
    return _patiently(lambda: _retry_once(store, item_id, series_by, rules))


def _patiently(work: Callable[[], _T]) -> _T:
    for _ in range(MAX_ATTEMPTS - 1):
        try:
            return work()
        except Transient:
            continue
    return work()


def _retry_once(
    store: QuarantineStore, item_id: int, series_by: SeriesBy, rules: CountRules
) -> Outcome:
    item, data = store.item(item_id)
    if item.state is not ItemState.HELD:
        return Outcome(item_id, item.state)
    if data is None:
        return Outcome(item_id, item.state, refused=Refused(Refusal.NOT_KEPT))
    events = events_in(decode(data, series_by))
    if isinstance(events, Refused):
        return Outcome(item_id, item.state, refused=events)
    windows = windows_of(events, size_ms=rules.size_ms)
    with store.retrying(item_id) as transaction:
        item, standing = transaction.item, transaction.standing
        if item.state is not ItemState.HELD:
            return Outcome(item_id, item.state)
        refused = refusal_of(events, item.arrival_time_ms, standing, rules)
        if refused is not None:
            return Outcome(item_id, item.state, refused=refused)
        known = transaction.known(windows)
        # asked behind the keys: whoever purges by a lesser age waits for nobody
        forgotten = transaction.forgotten(windows)
        if forgotten:
            refused = Refused(Refusal.FORGOTTEN, event_time_ms=min(forgotten))
            return Outcome(item_id, item.state, refused=refused)
        retried = count_again(events, known, standing, rules, sequence_number=item.sequence_number)
        transaction.write(retried)
    return Outcome(item_id, retried.state, changed=True, counted=retried.total)


def discard(store: QuarantineStore, item_ids: Sequence[int], why: str) -> Iterator[Outcome]:
    """Give items up, some hundreds a transaction; what is settled already stays as it is.

    Raises:
        UnknownItem: there is no such item.
        Transient: the store could not answer, several times in a row.
    """
    rest = iter(item_ids)
    while some := list(islice(rest, ITEMS_PER_DISCARD)):
        given_up = set(_patiently(partial(store.discard, some, why)))
        for item_id in some:
            if item_id in given_up:
                yield Outcome(item_id, ItemState.DISCARDED, changed=True)
            else:
                yield Outcome(item_id, store.item(item_id)[0].state)


def named(store: QuarantineStore, item_ids: Sequence[int]) -> list[int]:
    """Return numbers that people named, each once, in their order.

    Raises:
        UnknownItem: one of them, or more, name nothing; all of those are told.
    """
    wanted = list(dict.fromkeys(item_ids))
    known = store.known_ids(wanted)
    unknown = [item_id for item_id in wanted if item_id not in known]
    if unknown:
        raise UnknownItem(unknown)
    return wanted


def held(store: QuarantineStore, wanted: ItemFilter, until: int) -> Iterator[list[int]]:
    """Yield the held items that are meant, oldest first, some at a time.

    What is set aside meanwhile has greater numbers than `until`, so that this comes to its end.

    Args:
        store: The quarantine.
        wanted: Which ones.
        until: The greatest number, as `QuarantineStore.last_id` gave it.
    """
    after: int | None = 0
    while after is not None:
        found, after = store.held_ids(wanted, after=after, until=until)
        if found:
            yield list(found)
