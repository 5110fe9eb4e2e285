"""Probing closed shards: records, ends, empty pages, trimmed positions, and refusals."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fake_kinesis import FakeClosedShard, client_error
from tidegauge.adapters.kinesis import KinesisStream
from tidegauge.adapters.kinesis_probe import MAX_PAGES, MAX_SECONDS, EndProbe
from tidegauge.domain.errors import Misconfigured, TidegaugeError, Transient
from tidegauge.domain.fold import NO_FENCE
from tidegauge.ports import ShardEnd

END = ShardEnd(reached=True)
NO_END = ShardEnd(reached=False)


class Seconds:
    """A clock that passes `step` between two looks at it."""

    def __init__(self, step: float = 0.0) -> None:
        self._step = step
        self._now = 0.0

    def __call__(self) -> float:
        self._now += self._step
        return self._now


def probe_of(shard: object, *, step: float = 0.0) -> EndProbe:
    return EndProbe(lambda: cast("Any", shard), "events", seconds=Seconds(step))


def unread(sequence_number: int) -> ShardEnd:
    return ShardEnd(reached=False, unread=sequence_number)


@pytest.mark.parametrize(
    ("records", "fence", "found"),
    [
        ([], NO_FENCE, END),
        ([7, 9], NO_FENCE, unread(7)),
        ([7, 9], 7, unread(9)),
        ([7, 9], 9, END),
        ([10**55 + 3], 9, unread(10**55 + 3)),  # longer, and text would put it before 9
    ],
)
def test_the_first_record_behind_the_fence_is_told_or_the_end(
    records: list[int], fence: int, found: ShardEnd
) -> None:
    assert probe_of(FakeClosedShard(records)).probe("shard-0", fence) == found


def test_empty_pages_are_no_end() -> None:
    shard = FakeClosedShard([7], empty_pages=MAX_PAGES - 1)
    assert probe_of(shard).probe("shard-0", NO_FENCE) == unread(7)
    assert probe_of(shard).probe("shard-0", 7) == END


def test_a_silence_longer_than_one_probe_is_passed_by_the_following() -> None:
    shard = FakeClosedShard([7], empty_pages=2 * MAX_PAGES + 1)
    probe = probe_of(shard)
    found = [probe.probe("shard-0", 7) for _ in range(3)]
    assert found == [NO_END, NO_END, END]
    assert shard.calls.count("GetShardIterator") == 1
    assert shard.calls.count("GetRecords") == 2 * MAX_PAGES + 2


def test_slow_answers_end_a_probe_early_and_it_goes_on_later() -> None:
    shard = FakeClosedShard([], empty_pages=3)
    probe = probe_of(shard, step=MAX_SECONDS)
    assert [probe.probe("shard-0", 7) for _ in range(4)] == [NO_END, NO_END, NO_END, END]


def test_a_moved_fence_begins_anew() -> None:
    shard = FakeClosedShard([7, 9], empty_pages=MAX_PAGES)
    probe = probe_of(shard)
    assert probe.probe("shard-0", 7) == NO_END
    assert probe.probe("shard-0", 9) == NO_END
    assert probe.probe("shard-0", 9) == END
    assert probe.probe("shard-0", 7) == NO_END  # nobody goes on behind 9 with it


def test_an_iterator_that_expired_meanwhile_is_asked_for_again() -> None:
    shard = FakeClosedShard([9], empty_pages=MAX_PAGES + 1)
    probe = probe_of(shard)
    assert probe.probe("shard-0", 7) == NO_END
    shard.dead_iterators = {"7/1"}
    assert probe.probe("shard-0", 7) == NO_END
    shard.dead_iterators = set()
    assert probe.probe("shard-0", 7) == unread(9)


def test_another_stream_of_the_name_begins_anew() -> None:
    shard = FakeClosedShard([], empty_pages=MAX_PAGES)
    probe = probe_of(shard)
    assert probe.probe("shard-0", NO_FENCE) == NO_END
    probe.forget()
    assert probe.probe("shard-0", NO_FENCE) == NO_END


def test_a_trimmed_fence_reads_from_what_is_kept() -> None:
    shard = FakeClosedShard([3, 9])
    shard.refuses_trimmed = True
    assert probe_of(shard).probe("shard-0", 7) == unread(9)
    assert shard.iterator_types == ["AFTER_SEQUENCE_NUMBER", "TRIM_HORIZON"]
    shard.records = [3]
    assert probe_of(shard).probe("shard-0", 7) == END


def test_throttling_is_transient_and_the_next_probe_goes_on() -> None:
    shard = FakeClosedShard([7], empty_pages=2)
    shard.fail = {2: client_error("ProvisionedThroughputExceededException")}
    probe = probe_of(shard)
    with pytest.raises(Transient, match="reading shard-0 of stream events failed"):
        probe.probe("shard-0", NO_FENCE)
    assert probe.probe("shard-0", NO_FENCE) == unread(7)
    assert shard.calls.count("GetShardIterator") == 1


@pytest.mark.parametrize("code", ["ExpiredIteratorException", "InvalidArgumentException"])
def test_a_fresh_iterator_that_is_refused_is_asked_for_again_only_by_the_next_probe(
    code: str,
) -> None:
    shard = FakeClosedShard([7])
    shard.fail = {0: client_error(code)}
    probe = probe_of(shard)
    with pytest.raises(Transient, match=code):
        probe.probe("shard-0", NO_FENCE)
    assert probe.probe("shard-0", NO_FENCE) == unread(7)
    assert shard.calls.count("GetShardIterator") == 2


def test_a_vanished_shard_is_transient_and_says_so() -> None:
    shard = FakeClosedShard([7])
    with pytest.raises(Transient, match="stream events has no shard-9 any more"):
        probe_of(shard).probe("shard-9", 7)
    shard.fail = {0: client_error("ResourceNotFoundException")}
    with pytest.raises(Transient, match="has no shard-0 any more"):
        probe_of(shard).probe("shard-0", 7)


def test_a_missing_permission_is_for_a_person_to_mend() -> None:
    shard = FakeClosedShard([7])
    shard.fail = {0: client_error("AccessDeniedException")}
    with pytest.raises(Misconfigured, match="AccessDenied"):
        probe_of(shard).probe("shard-0", 7)


def test_a_stream_that_is_made_anew_forgets_where_its_probes_stopped() -> None:
    class Client(FakeClosedShard):
        created = 1.0

        def describe_stream_summary(self, **_request: str) -> dict[str, Any]:
            created = datetime.fromtimestamp(self.created, UTC)
            summary = {"StreamARN": "arn:s", "StreamCreationTimestamp": created}
            return {"StreamDescriptionSummary": summary}

    client = Client([], empty_pages=MAX_PAGES)
    stream = KinesisStream("events", client=cast("Any", client))
    stream.identity()
    assert stream.probe("shard-0", NO_FENCE) == NO_END
    client.created = 2.0
    stream.identity()
    assert stream.probe("shard-0", NO_FENCE) == NO_END
    stream.identity()
    assert stream.probe("shard-0", NO_FENCE) == END


@given(
    records=st.lists(st.integers(1, 60), unique=True, max_size=25).map(sorted),
    fence=st.integers(0, 60) | st.just(NO_FENCE),
    empty_pages=st.integers(0, 12),
    refuses_trimmed=st.booleans(),
    codes=st.dictionaries(
        st.integers(0, 8),
        st.sampled_from(
            [
                "ExpiredIteratorException",
                "InternalFailureException",
                "ProvisionedThroughputExceededException",
            ]
        ),
        max_size=4,
    ),
)
def test_whatever_kinesis_refuses_the_end_is_told_only_where_nothing_is_left(
    records: list[int], fence: int, empty_pages: int, refuses_trimmed: bool, codes: dict[int, str]
) -> None:
    shard = FakeClosedShard(records, empty_pages=empty_pages)
    shard.refuses_trimmed = refuses_trimmed
    shard.fail = {number: client_error(code) for number, code in codes.items()}
    probe = probe_of(shard)
    left = [record for record in records if record > fence]
    for _ in range(30):
        try:
            found = probe.probe("shard-0", fence)
        except TidegaugeError as error:
            assert isinstance(error, Transient)  # noqa: PT017 - most probes raise nothing
            continue
        if found != NO_END:
            assert found == (unread(left[0]) if left else END)
            return
    pytest.fail("no end within many probes")
