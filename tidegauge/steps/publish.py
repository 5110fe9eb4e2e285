"""publish: sends what the outbox holds; transactions decide, this step only delivers.

Takes unsent messages from the outbox, gives them to the sink of their destination. At least once:
after a crash between sending and noting it, a message goes out again with the same content.
"""

from collections.abc import Mapping

import msgspec

from tidegauge.domain.errors import TidegaugeError
from tidegauge.ports import Destination, MessageSink, Outbox

# How many messages are handed over before they are noted as sent. Alerts go one by one: a person
# should not get nine of them again because the tenth was refused.
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
    sent: dict[Destination, int] = {}
    failures: list[TidegaugeError] = []
    for destination, sink in sinks.items():
        sent[destination] = 0
        taken = outbox.take(destination, limit)
        size = MESSAGES_PER_SEND[destination]
        try:
            for start in range(0, len(taken), size):
                batch = taken[start : start + size]
                sink.send([stored.message for stored in batch])
                outbox.mark_sent([stored.number for stored in batch])
                sent[destination] += len(batch)
        except TidegaugeError as error:
            outbox.release([stored.number for stored in taken[sent[destination] :]])
            failures.append(error)
    if failures:
        first, *others = failures
        for other in others:
            first.add_note(f"also: {other}")
        raise first
    return PublishOutcome(sent)
