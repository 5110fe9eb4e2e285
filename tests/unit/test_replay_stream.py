"""Replay onto a stream: the order of puts, heartbeats that reach every shard, pace and shift."""

import json
from collections.abc import Sequence

import pytest

from tests.support.events import MINUTE_MS, NOON_MS, event_json
from tidegauge.cli.replay_onto import shift_to_now_ms
from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.errors import Transient
from tidegauge.domain.event import Event, Heartbeat, Rejection, RejectReason
from tidegauge.domain.fold import CountRules
from tidegauge.domain.offered import Offered, offered_in
from tidegauge.ports import PutPosition, ShardListing, StreamEntry, StreamIdentity
from tidegauge.steps.replay_clock import Told, with_beats
from tidegauge.steps.replay_stream import Sent, StreamReplay, TimedPace, Unhurried, shifted

RULES = CountRules()


class FakeStream:
    """A stream of shards in memory; `reshard` is applied before the next put of heartbeats."""

    def __init__(self, shards: int = 2) -> None:
        width = (1 << 128) // shards
        self.listing = [
            ShardListing(f"s-{n}", (), n * width, (n + 1) * width - 1, closed=False)
            for n in range(shards)
        ]
        self.puts: list[list[StreamEntry]] = []
        self.landed: list[tuple[str, int, StreamEntry]] = []
        self.listed = 0

    def identity(self) -> StreamIdentity:
        return StreamIdentity("arn", 0)

    def shards(self) -> list[ShardListing]:
        self.listed += 1
        return list(self.listing)

    def put(self, entries: Sequence[StreamEntry]) -> list[PutPosition]:
        self.puts.append(list(entries))
        positions = []
        for entry in entries:
            place = self._place(entry)
            number = len(self.landed) + 1000
            self.landed.append((place, number, entry))
            positions.append(PutPosition(place, number))
        return positions

    def _place(self, entry: StreamEntry) -> str:
        if entry.hash_key is None:
            return self.listing[0].shard_id
        return next(
            shard.shard_id
            for shard in self.listing
            if not shard.closed and shard.first_hash_key <= entry.hash_key <= shard.last_hash_key
        )

    def split(self) -> None:
        """Close the first shard and open two for its range."""
        old = self.listing[0]
        middle = (old.first_hash_key + old.last_hash_key) // 2
        self.listing[0] = ShardListing("s-0", (), old.first_hash_key, old.last_hash_key, True)
        self.listing += [
            ShardListing("s-8", ("s-0",), old.first_hash_key, middle, closed=False),
            ShardListing("s-9", ("s-0",), middle + 1, old.last_hash_key, closed=False),
        ]


def heartbeats_of(stream: FakeStream) -> list[tuple[str, int, Heartbeat]]:
    found = []
    for place, number, entry in stream.landed:
        (item,) = decode(entry.data, SeriesBy())
        if isinstance(item, Heartbeat):
            found.append((place, number, item))
    return found


def lines(*minutes: float) -> list[Offered]:
    offered = []
    for number, minute in enumerate(minutes, 1):
        data = event_json(str(number), NOON_MS + round(minute * MINUTE_MS))
        offered += offered_in(number, data, SeriesBy())
    return offered


def told(*minutes: float) -> list[Told]:
    return list(with_beats(lines(*minutes), RULES))


def sent_to(stream: FakeStream, what: Sequence[Told]) -> Sent:
    return StreamReplay(stream, RULES, pace=Unhurried()).run(what)


def test_events_and_heartbeats_never_share_a_put_and_keep_their_order() -> None:
    stream = FakeStream()
    sent = sent_to(stream, told(0.2, 0.4, 7, 7.1))
    kinds = [{type(decode(e.data, SeriesBy())[0]) for e in put} for put in stream.puts]
    assert kinds == [{Heartbeat}, {Event}, {Heartbeat}, {Event}, {Heartbeat}]
    assert [len(put) for put in stream.puts] == [2, 2, 2, 2, 2]
    assert (sent.events, sent.beats, sent.rejects, sent.n_unsent) == (4, 3, 0, 0)
    assert sent.stream_time_ms == NOON_MS + 11 * MINUTE_MS


def test_each_heartbeat_names_its_shard_and_the_one_before_it_there() -> None:
    stream = FakeStream()
    sent_to(stream, told(0, 7, 14))
    for shard_id in ("s-0", "s-1"):
        chain = [
            (number, beat) for place, number, beat in heartbeats_of(stream) if place == shard_id
        ]
        assert all(beat.shard_id == shard_id for _, beat in chain)
        numbers = [number for number, _ in chain]
        assert [beat.previous for _, beat in chain] == [None, *numbers[:-1]]


def test_a_heartbeat_goes_again_to_shards_that_a_split_has_brought() -> None:
    stream = FakeStream()
    replay = StreamReplay(stream, RULES, pace=Unhurried())
    replay.run(told(0)[:2])
    stream.split()
    replay.run(told(7)[:1])
    second = [(place, b) for place, _, b in heartbeats_of(stream) if b.event_time_ms > NOON_MS]
    rightly = [place for place, beat in second if place == beat.shard_id]
    assert sorted(rightly) == ["s-1", "s-8", "s-9"]
    assert stream.listed == 2


def test_heartbeats_that_never_arrive_end_the_replay() -> None:
    class Lost(FakeStream):
        def _place(self, entry: StreamEntry) -> str:
            return f"not {super()._place(entry)}"

    with pytest.raises(Transient, match="heartbeats do not reach"):
        sent_to(Lost(), told(0))


def test_an_event_and_its_duplicate_share_their_partition_key_and_others_do_not() -> None:
    stream = FakeStream()
    sent_to(stream, list(with_beats([*lines(0, 1), lines(0)[0]], RULES)))
    keys = [e.partition_key for e in stream.puts[1]] + [e.partition_key for e in stream.puts[3]]
    assert len(keys) == 3
    assert keys[0] == keys[2] != keys[1]


def test_an_unconfirmed_jump_is_put_since_collect_refuses_it() -> None:
    stream = FakeStream()
    sent = sent_to(stream, told(0, 0, 0, 9999, 0, 0))
    assert (sent.events, sent.rejects, sent.n_unsent) == (5, 1, 0)
    assert all(b.event_time_ms <= NOON_MS + 6 * MINUTE_MS for _, _, b in heartbeats_of(stream))


def test_an_unconfirmed_first_event_waits_for_the_clock_that_refuses_it() -> None:
    stream = FakeStream()
    sent = sent_to(stream, told(9999, *[0.0] * 5))
    assert (sent.events, sent.rejects, sent.n_unsent) == (5, 1, 0)
    first = decode(stream.landed[0][2].data, SeriesBy())[0]
    assert isinstance(first, Heartbeat)


def test_an_unconfirmed_first_event_that_would_be_counted_is_left_out() -> None:
    sent = sent_to(FakeStream(), told(0, 60, *[24.5 * 60] * 4))
    assert sent.unsent[0] == (1, RejectReason.UNCONFIRMED_TIME)


def test_rejected_lines_are_put_as_they_are_and_cut_off_ones_are_left_out() -> None:
    stream = FakeStream()
    broken = Offered(1, Rejection(RejectReason.MALFORMED_JSON, b"{x"), b"{x")
    cut_off = Offered(2, Rejection(RejectReason.TOO_LARGE, b"{..."), b"{...")
    huge = Offered(3, Event(1, "s", NOON_MS), b"x" * 1_100_000)
    sent = sent_to(stream, [broken, cut_off, huge])
    assert [entry.data for _, _, entry in stream.landed] == [b"{x"]
    assert (sent.rejects, sent.events) == (1, 0)
    assert sent.unsent == [(2, RejectReason.TOO_LARGE), (3, RejectReason.TOO_LARGE)]


def test_no_put_exceeds_what_one_call_takes() -> None:
    stream = FakeStream()
    sent_to(stream, told(*[0.0] * 1201))
    assert [len(put) for put in stream.puts] == [2, 500, 500, 201, 2]
    big = [Offered(n, Event(n, "s", NOON_MS), b"x" * 900_000) for n in range(9)]
    stream = FakeStream()
    sent_to(stream, big)
    assert [len(put) for put in stream.puts] == [4, 4, 1]


class FakeTime:
    """A clock that moves by sleeping only."""

    def __init__(self) -> None:
        self.now_ms = 50_000_000

    def read_ms(self) -> int:
        return self.now_ms

    def sleep(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)


def test_a_pace_sends_each_event_when_it_is_due_and_tells_silence_in_between() -> None:
    time, stream = FakeTime(), FakeStream(shards=1)
    sent_at: list[tuple[int, int]] = []

    class Noting(FakeStream):
        def put(self, entries: Sequence[StreamEntry]) -> list[PutPosition]:
            for entry in entries:
                (item,) = decode(entry.data, SeriesBy())
                if isinstance(item, Event | Heartbeat):
                    sent_at.append((time.now_ms, item.event_time_ms))
            return super().put(entries)

    stream = Noting(shards=1)
    pace = TimedPace(60.0, time.read_ms, time.sleep)
    StreamReplay(stream, RULES, pace=pace).run(told(0, 2, 30))
    for wall_ms, event_ms in sent_at:
        due_ms = 50_000_000 + (event_ms - NOON_MS) / 60
        assert wall_ms == pytest.approx(due_ms, abs=2)
    beats = [(b.event_time_ms - NOON_MS) // MINUTE_MS for _, _, b in heartbeats_of(stream)]
    assert beats == [0, 1, 2, 6, 11, 16, 21, 26, 30, 31, 36]


def test_shifting_moves_events_and_heartbeats_alike_and_keeps_all_other_bytes() -> None:
    stream = FakeStream(shards=1)
    hour_ms = 60 * MINUTE_MS
    replay = StreamReplay(stream, RULES, pace=Unhurried(), shift_ms=hour_ms)
    sent = replay.run(told(0, 1))
    items = [decode(entry.data, SeriesBy())[0] for _, _, entry in stream.landed]
    times = [
        (i.event_time_ms - NOON_MS) // MINUTE_MS for i in items if not isinstance(i, Rejection)
    ]
    assert times == [60, 60, 61, 61, 66]
    assert sent.stream_time_ms == NOON_MS + 66 * MINUTE_MS
    rest = b'"data":{"b":1.50,"a":12345678901234567890123}}'
    moved = shifted(b'{"id":"1","time":"1970-01-01T01:00:00.0019999+01:00",' + rest, 1000)
    assert json.loads(moved)["time"] == "1970-01-01T00:00:01.001Z"
    assert moved.endswith(rest)


@pytest.mark.parametrize("speed", [None, 1.0, 60.0])
def test_shift_to_now_moves_whole_windows_and_never_into_the_future(speed: float | None) -> None:
    now_ms = NOON_MS + 123_456_789
    last_ms = NOON_MS + 7 * MINUTE_MS
    shift_ms = shift_to_now_ms(NOON_MS, last_ms, now_ms=now_ms, speed=speed, size_ms=300_000)
    assert shift_ms % 300_000 == 0
    sent_ms = now_ms + (0 if speed is None else 7 * MINUTE_MS / speed)
    assert 0 <= sent_ms - (last_ms + shift_ms) < 300_000
