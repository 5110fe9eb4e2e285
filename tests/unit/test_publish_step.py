"""publish: what is sent, in which order, and what is noted when sending fails."""

from collections.abc import Sequence

import pytest

from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.domain.errors import Misconfigured, TidegaugeError, Transient
from tidegauge.ports import Destination, OutboxMessage, StoredMessage
from tidegauge.steps.publish import MESSAGES_PER_SEND, publish_outbox

WINDOWS, ALERTS = Destination.WINDOWS, Destination.ALERTS


class Sink:
    """Accepts messages until it meets one that it refuses."""

    def __init__(self, refuses: bytes = b"", error: TidegaugeError | None = None) -> None:
        self.accepted: list[bytes] = []
        self._refuses = refuses
        self._error = error or Transient("the service is tired")

    def send(self, messages: Sequence[OutboxMessage]) -> None:
        for message in messages:
            if message.payload == self._refuses:
                raise self._error
            self.accepted.append(message.payload)


def outbox_of(*messages: tuple[Destination, bytes]) -> MemoryCountStore:
    store = MemoryCountStore()
    store.put_messages([OutboxMessage(to, payload.decode(), payload) for to, payload in messages])
    return store


def waiting(store: MemoryCountStore, destination: Destination) -> list[bytes]:
    return [stored.message.payload for stored in store.take(destination, 10_000)]


def test_each_destination_gets_its_messages_oldest_first() -> None:
    store = outbox_of((WINDOWS, b"w1"), (ALERTS, b"a1"), (WINDOWS, b"w2"), (ALERTS, b"a2"))
    windows, alerts = Sink(), Sink()
    outcome = publish_outbox(store, {WINDOWS: windows, ALERTS: alerts}, limit=100)
    assert windows.accepted == [b"w1", b"w2"]
    assert alerts.accepted == [b"a1", b"a2"]
    assert outcome.sent == {WINDOWS: 2, ALERTS: 2}
    assert waiting(store, WINDOWS) == waiting(store, ALERTS) == []


def test_nothing_is_sent_twice_by_a_second_run() -> None:
    store, sink = outbox_of((ALERTS, b"a1")), Sink()
    publish_outbox(store, {ALERTS: sink}, limit=100)
    assert publish_outbox(store, {ALERTS: sink}, limit=100).sent == {ALERTS: 0}
    assert sink.accepted == [b"a1"]


def test_a_destination_without_a_sink_is_left_alone() -> None:
    store = outbox_of((WINDOWS, b"w1"), (ALERTS, b"a1"))
    publish_outbox(store, {ALERTS: Sink()}, limit=100)
    assert waiting(store, WINDOWS) == [b"w1"]


def test_no_more_than_the_limit_is_sent() -> None:
    store = outbox_of((ALERTS, b"a1"), (ALERTS, b"a2"), (ALERTS, b"a3"))
    publish_outbox(store, {ALERTS: Sink()}, limit=2)
    assert waiting(store, ALERTS) == [b"a3"]


def test_what_was_sent_before_a_failure_is_noted_and_nothing_overtakes() -> None:
    store = outbox_of((ALERTS, b"a1"), (ALERTS, b"a2"), (ALERTS, b"a3"))
    sink = Sink(refuses=b"a2")
    with pytest.raises(Transient, match="tired"):
        publish_outbox(store, {ALERTS: sink}, limit=100)
    assert sink.accepted == [b"a1"]
    assert waiting(store, ALERTS) == [b"a2", b"a3"]


def test_windows_go_many_at_a_time_and_a_refused_lot_stays_whole() -> None:
    lot = MESSAGES_PER_SEND[WINDOWS]
    texts = [b"%d" % number for number in range(lot + 3)]
    store = outbox_of(*((WINDOWS, text) for text in texts))
    with pytest.raises(Transient):
        publish_outbox(store, {WINDOWS: Sink(refuses=texts[lot + 1])}, limit=10_000)
    assert waiting(store, WINDOWS) == texts[lot:]


def test_one_destination_that_fails_does_not_hold_up_the_other() -> None:
    store = outbox_of((WINDOWS, b"w1"), (ALERTS, b"a1"))
    alerts = Sink()
    broken = Sink(refuses=b"w1", error=Misconfigured(["no such stream"]))
    with pytest.raises(Misconfigured, match="no such stream"):
        publish_outbox(store, {WINDOWS: broken, ALERTS: alerts}, limit=100)
    assert alerts.accepted == [b"a1"]
    assert waiting(store, ALERTS) == []


def test_both_failures_are_told() -> None:
    store = outbox_of((WINDOWS, b"w1"), (ALERTS, b"a1"))
    sinks = {
        WINDOWS: Sink(refuses=b"w1"),
        ALERTS: Sink(refuses=b"a1", error=Misconfigured(["no such topic"])),
    }
    with pytest.raises(Transient) as raised:
        publish_outbox(store, sinks, limit=100)
    assert raised.value.__notes__ == ["also: no such topic"]


class Unwilling(MemoryCountStore):
    """Cannot take anything back."""

    def release(self, numbers: Sequence[int]) -> None:
        msg = f"no database to note {len(numbers)} messages in"
        raise Transient(msg)


def test_what_cannot_be_given_back_hides_neither_the_failure_nor_the_other_destination() -> None:
    store, windows = Unwilling(), Sink()
    messages = [(ALERTS, b"a1"), (WINDOWS, b"w1")]
    store.put_messages([OutboxMessage(to, data.decode(), data) for to, data in messages])
    with pytest.raises(Transient, match="the service is tired"):
        publish_outbox(store, {ALERTS: Sink(refuses=b"a1"), WINDOWS: windows}, limit=100)
    assert windows.accepted == [b"w1"]


def test_an_alert_is_taken_only_when_its_turn_has_come() -> None:
    # Taken all at once, the last would be free for another sender before it is sent.
    limits: list[int] = []

    class Watched(MemoryCountStore):
        def take(self, destination: Destination, limit: int) -> list[StoredMessage]:
            limits.append(limit)
            return super().take(destination, limit)

    store, sink = Watched(), Sink()
    store.put_messages([OutboxMessage(ALERTS, str(n), b"%d" % n) for n in range(3)])
    publish_outbox(store, {ALERTS: sink}, limit=100)
    assert sink.accepted == [b"0", b"1", b"2"]
    assert set(limits) == {1}
