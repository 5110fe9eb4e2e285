"""A pipeline in memory: how time passes in it, what may be fed, and what its models are."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.botocore_shapes import answer_problems, operation_model
from tests.support.models import first_feature_model
from tidegauge.adapters.kinesis import KinesisStream
from tidegauge.adapters.model_file import write_model
from tidegauge.domain.errors import InvalidInput, Misconfigured
from tidegauge.domain.features import FEATURE_NAMES
from tidegauge.ports import Scores, StreamEntry
from tidegauge.testing import Tide, event, events, usual_counts

NOON = "2026-02-02T12:00:00Z"
MakeTide = Callable[..., Tide]


def at(minutes: float) -> datetime:
    return datetime(2026, 2, 2, 12, tzinfo=UTC) + timedelta(minutes=minutes)


def counts(tide: Tide, series: str = "t") -> list[int]:
    return [window.count for window in tide.windows(series)]


# --- time


@pytest.mark.parametrize("to", [at(11), "2026-02-02T13:11:00+01:00", timedelta(minutes=11)])
def test_time_passes_to_a_moment_or_by_a_span(tide: Tide, to: datetime | str | timedelta) -> None:
    tide.feed(event("t", at=at(1)))
    tide.advance(to)
    assert tide.now == at(11)
    assert counts(tide) == [1, 0]


def test_time_passes_until_so_many_more_windows_are_complete(tide: Tide) -> None:
    tide.feed(event("t", at=at(1)))
    tide.advance(windows=1)
    assert (tide.now, counts(tide)) == (at(6), [1])
    tide.advance(timedelta(minutes=3))
    tide.advance(windows=2)
    assert (tide.now, counts(tide)) == (at(16), [1, 0, 0])


def test_all_that_time_has_passed_is_complete_in_however_many_closings(
    make_tide: MakeTide,
) -> None:
    tide = make_tide(max_rows_per_close=2)
    tide.feed(event("t", at=at(1)), event("u", at=at(2)))
    tide.advance(windows=5)
    assert (counts(tide, "t"), counts(tide, "u")) == ([1, 0, 0, 0, 0], [1, 0, 0, 0, 0])


def test_time_never_goes_back(tide: Tide) -> None:
    tide.advance(at(5))
    tide.advance(at(5))
    with pytest.raises(InvalidInput, match="stream time is 2026-02-02T12:05:00Z and never goes"):
        tide.advance(at(4.99))
    with pytest.raises(InvalidInput, match="never goes back"):
        tide.advance(timedelta(seconds=-1))


def test_time_has_to_begin_with_an_event_or_a_moment(tide: Tide, make_tide: MakeTide) -> None:
    with pytest.raises(InvalidInput, match="clock has not begun"):
        tide.advance(timedelta(minutes=5))
    with pytest.raises(InvalidInput, match="clock has not begun"):
        tide.advance(windows=1)
    with pytest.raises(InvalidInput, match="clock has not begun"):
        tide.fill({"t": [1]})
    begun = make_tide(start=NOON)
    begun.advance(windows=1)
    assert begun.now == at(6)  # the window before noon was not watched
    filled = make_tide(start=at(2))
    filled.fill({"t": [1]})
    assert filled.window("t", NOON).count == 1


def test_the_clock_begins_with_the_earliest_event_that_was_fed_before_it(tide: Tide) -> None:
    tide.feed(event("t", at=at(12)), event("t", at=at(1)), event("t", at=at(7)))
    tide.advance(at(30))
    assert counts(tide) == [1, 1, 1, 0, 0]
    assert {window.quality for window in tide.windows("t")} == {"complete"}


def test_what_lies_before_a_start_that_is_given_is_late_and_partial(make_tide: MakeTide) -> None:
    tide = make_tide(start=at(10))
    tide.feed(event("t", at=at(1)), event("t", at=at(11)))
    tide.advance(windows=2)
    first = tide.windows("t")[0]
    assert (first.start, first.late, first.quality) == (at(0), 1, "partial")
    assert tide.sums.late == 1


def test_a_mistaken_date_is_told_and_closes_nothing(tide: Tide) -> None:
    tide.feed(event("t", at="1970-01-01T00:00:00Z"), event("t", at=at(1)))
    with pytest.raises(InvalidInput, match=r"from 1970-01-01T00:00:00Z .* is a date wrong\?"):
        tide.advance(at(10))
    assert tide.now is None
    tide = Tide(start=NOON)
    with pytest.raises(InvalidInput, match="is a date wrong"):
        tide.advance("2062-02-02T12:00:00Z")


def test_an_event_too_far_ahead_is_set_aside_unless_it_is_played(make_tide: MakeTide) -> None:
    hour = events("t", 12, at=at(1), every=timedelta(minutes=5))
    fed = make_tide(start=NOON)
    fed.feed(hour)
    fed.advance(at(61))
    assert counts(fed) == [1, *[0] * 11]  # 12:06 is 6 minutes ahead of noon
    assert {item.reason for item in fed.quarantine} == {"too_far_ahead"}
    played = make_tide(start=NOON)
    played.play(reversed(hour))
    played.advance(at(61))
    assert counts(played) == [1] * 12


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (datetime(2026, 2, 2, 12), "has no time zone"),  # noqa: DTZ001 - that is the point
        ("2026-02-02 noon", "write it as 2026-02-02T12:00:00Z"),
        (7, "is no time with an offset"),
    ],
)
def test_a_moment_that_is_none_is_told(tide: Tide, moment: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        tide.advance(moment)
    with pytest.raises(InvalidInput, match=words):
        event("t", at=moment)


@pytest.mark.parametrize("windows", [0, -1])
def test_advance_wants_one_thing(tide: Tide, windows: int) -> None:
    for wrong in ({}, {"to": NOON, "windows": 1}, {"windows": windows}):
        with pytest.raises(InvalidInput, match="advance"):
            tide.advance(**wrong)


# --- what is fed


@pytest.mark.parametrize(
    ("fed", "words"), [(7, "not int"), ({"time": object()}, "is no JSON"), (None, "not NoneType")]
)
def test_what_no_producer_could_put_is_told(tide: Tide, fed: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        tide.feed(fed)


def test_records_of_many_events_and_other_forms_are_recognised(tide: Tide) -> None:
    one, other = (
        f'{{"specversion":"1.0","id":"{n}","source":"/s","type":"t","time":"{NOON}"}}' for n in "12"
    )
    envelope = {"id": "3", "source": "s", "detail-type": "t", "time": NOON, "detail": {}}
    tide.feed(f"[{one},{other}]", f"{one}\n{other}", envelope)
    tide.advance(windows=1)
    assert counts(tide) == [3]
    assert tide.sums.duplicates == 2


def test_the_same_event_reaches_the_same_shard_however_often_it_is_fed(
    make_tide: MakeTide,
) -> None:
    tide = make_tide(shards=5)
    fed = events("t", 40, at=NOON)
    tide.feed(fed)
    tide.feed(fed)
    tide.feed([str(one).replace("'", '"') for one in fed])  # as text: other keys, other shards
    tide.advance(windows=1)
    assert tide.sums.duplicates >= 40
    assert 40 < counts(tide)[0] < 80


def test_play_wants_times(tide: Tide) -> None:
    for wrong in ({"id": "1"}, b"{}"):
        with pytest.raises(InvalidInput, match="play takes events with a time"):
            tide.play([wrong])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("filled", "start", "words"),
    [
        ({}, NOON, "one window at least"),
        ({"t": []}, NOON, "one window at least"),
        ({"t": [1], "u": [1, 2]}, NOON, "t: 1, u: 2"),
        ({"t": [1, -1]}, NOON, "a count of t is -1"),
        ({"t": [1.5]}, NOON, "a count of t is 1.5"),
        ({"t": [1]}, at(1), "starts no window: it lies in that of 2026-02-02T12:00:00Z"),
        ({"t": [1]}, at(-15), "is over: fill from 2026-02-02T12:00:00Z on"),
        ({"t": [1]}, "2062-02-02T12:00:00Z", "is a date wrong"),
    ],
)
def test_a_history_that_cannot_be_laid_is_told(
    make_tide: MakeTide, filled: Any, start: Any, words: str
) -> None:
    tide = make_tide(start=NOON)
    with pytest.raises(InvalidInput, match=words):
        tide.fill(filled, start=start)


def test_filling_goes_on_where_it_left_off_and_counts_what_was_fed_meanwhile(tide: Tide) -> None:
    tide.fill({"t": [3, 4], "u": [1, 0]}, start=NOON)
    tide.feed(event("t", at=at(10)))
    tide.fill({"t": [5], "v": [7]})
    assert (counts(tide), counts(tide, "u"), counts(tide, "v")) == ([3, 4, 6], [1, 0, 0], [7])
    assert tide.now == at(16)


def test_a_window_that_is_not_complete_is_told_with_those_that_are(tide: Tide) -> None:
    tide.fill({"t": [3, 4]}, start=NOON)
    assert tide.window("t", at(5)).count == 4
    with pytest.raises(AssertionError, match=r"t has no complete window 2026-02-02T12:10:00Z\n"):
        tide.window("t", at(10))


# --- models


def expects_fifty(features: Mapping[str, float]) -> float:
    assert set(features) == set(FEATURE_NAMES)
    return 50.0


class Scoring:
    """A predictor of somebody else's."""

    def predict(self, rows: Sequence[Sequence[float]]) -> Scores:
        return Scores((2.0 * math.sqrt(50.125),) * len(rows), "theirs")


@pytest.mark.parametrize("model", [50, 50.0, expects_fifty, Scoring()])
def test_what_is_expected_is_a_number_a_function_or_a_predictors_answer(
    make_tide: MakeTide, model: Any
) -> None:
    tide = make_tide(model=model, enough_windows=6)
    tide.fill({"t": usual_counts(50, 13)}, start=NOON)
    last = tide.windows("t")[-1]
    assert (last.expected, last.verdict) == (50.0, "NORMAL")
    assert tide.windows("t")[5].expected is None  # nobody is asked with less than six behind it


def test_a_models_file_may_say_what_is_expected(make_tide: MakeTide, tmp_path: Path) -> None:
    path = tmp_path / "model.tar.gz"
    write_model(path, first_feature_model())
    tide = make_tide(model=path, enough_windows=6)
    tide.fill({"t": [9] * 8}, start=NOON)
    assert tide.windows("t")[-1].expected is not None
    path.write_bytes(b"none")
    with pytest.raises(InvalidInput, match=r"model\.tar\.gz"):
        make_tide(model=path)
    with pytest.raises(Misconfigured, match='neither "seasonal" nor a file'):
        make_tide(model=tmp_path / "elsewhere")


@pytest.mark.parametrize("nonsense", [-1.0, math.nan, 1e300])
def test_a_model_that_answers_nonsense_judges_nothing(make_tide: MakeTide, nonsense: float) -> None:
    tide = make_tide(model=lambda _: nonsense, enough_windows=6)
    tide.fill({"t": [9] * 7}, start=NOON)
    assert tide.windows("t")[-1].reason == "prediction error"
    with pytest.raises(Misconfigured, match="MODEL"):
        make_tide(model=-1)


# --- a producer's client


def test_the_client_answers_as_kinesis_does(make_tide: MakeTide) -> None:
    tide = make_tide(shards=2)
    record = {"Data": b"{", "PartitionKey": "k"}
    requests: dict[str, dict[str, Any]] = {
        "PutRecord": {"StreamName": "events", **record},
        "PutRecords": {"StreamARN": "arn", "Records": [record, {**record, "Data": "{"}]},
    }
    answers = {
        "PutRecord": tide.kinesis.put_record(**requests["PutRecord"]),
        "PutRecords": tide.kinesis.put_records(**requests["PutRecords"]),
    }
    for operation, answer in answers.items():
        shape = operation_model("kinesis", operation).output_shape
        assert shape is not None
        assert not answer_problems(answer, shape)
    tide.advance(NOON)
    assert [item.data for item in tide.quarantine] == [b"{"] * 3


def test_an_explicit_hash_key_aims_at_a_shard(make_tide: MakeTide) -> None:
    tide = make_tide(shards=2)
    last = KinesisStream("events", client=tide.kinesis)  # type: ignore[arg-type]
    entries = [StreamEntry(b"x", "k", hash_key) for hash_key in (0, (1 << 128) - 1)]
    assert [position.shard_id[-1] for position in last.put(entries)] == ["0", "1"]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"Records": [{"Data": b"", "PartitionKey": "k"}]}, "StreamName or StreamARN"),
        ({"StreamName": "s"}, "1 to 500"),
        ({"StreamName": "s", "Records": [{}] * 501}, "1 to 500"),
        ({"StreamName": "s", "Records": [{"Data": 7, "PartitionKey": "k"}]}, "bytes, not int"),
        ({"StreamName": "s", "Records": [{"Data": b"", "PartitionKey": ""}]}, "PartitionKey"),
        (
            {
                "StreamName": "s",
                "Records": [{"Data": b"", "PartitionKey": "k", "ExplicitHashKey": "-1"}],
            },
            "ExplicitHashKey",
        ),
    ],
)
def test_what_kinesis_would_refuse_is_told(
    tide: Tide, request_: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        tide.kinesis.put_records(**request_)
    with pytest.raises(AttributeError, match="put_record and put_records, no list_streams"):
        tide.kinesis.list_streams()
