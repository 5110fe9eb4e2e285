"""publish: sends what the outbox holds; transactions decide, this step only delivers.

Takes unsent messages from the outbox, gives them to the sink of their destination. At least once:
after a crash between sending and noting it, a message goes out again with the same content.
"""

from collections.abc import Iterator, Mapping

import msgspec

from tidegauge.domain.errors import TidegaugeError
from tidegauge.ports import Destination, MessageSink, Outbox

# How many messages are taken, handed over and noted as sent at a time. Alerts go one by one: a
# person should not get nine of them again because the tenth was refused, and what is taken belongs
# to its taker for a minute only.
MESSAGES_PER_SEND = {Destination.WINDOWS: 500, Destination.ALERTS: 1}


class PublishOutcome(msgspec.Struct, frozen=True):
    """How many messages were sent, by destination."""

    sent: dict[Destination, int]


def publish_outbox(
    outbox: Outbox, sinks: Mapping[Destination, MessageSink], *, limit: int
) -> PublishOutcome:
    """Send pending messages, oldest first per destination, and mark each sent once accepted.

    A destination that fails ends there, so that nothing of it is overtaken; the others go on.

    Args:
        outbox: Where the messages wait.
        sinks: Who sends them; destinations without a sink are left alone.
        limit: How many messages of each destination to send at most.

    Raises:
        Transient: Some message was not accepted; what had been sent is marked.
        TidegaugeError: Whatever else a sink raised first, after the other destinations' turn.
    """
    sent = dict.fromkeys(sinks, 0)
    failures: list[TidegaugeError] = []
    for destination, sink in sinks.items():
        try:
            for number in _sendings(outbox, destination, sink, limit):
                sent[destination] += number
        except TidegaugeError as error:
            failures.append(error)
    if failures:
        first, *others = failures
        for other in others:
            first.add_note(f"also: {other}")
        raise first
    return PublishOutcome(sent)


def _sendings(
    outbox: Outbox, destination: Destination, sink: MessageSink, limit: int
) -> Iterator[int]:
    """Send up to `limit` messages of a destination; yield how many, each time some are sent."""
    left = limit
    while left > 0:
        taken = outbox.take(destination, min(left, MESSAGES_PER_SEND[destination]))
        if not taken:
            return
        numbers = [stored.number for stored in taken]
        try:
            sink.send([stored.message for stored in taken])
        except TidegaugeError as error:
            _give_back(outbox, numbers, error)
            raise
        outbox.mark_sent(numbers)
        left -= len(taken)
        yield len(taken)


def _give_back(outbox: Outbox, numbers: list[int], error: TidegaugeError) -> None:
    try:
        outbox.release(numbers)
    except TidegaugeError as other:
        # what failed first is the news; what was taken is free again after a minute
        error.add_note(f"and they could not be given back: {other}")
