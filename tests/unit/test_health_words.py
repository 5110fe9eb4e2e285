"""What a person is told of a stream's state: each thing by its own line, with where to look."""

import msgspec
import pytest

from tests.support.snapshots import PRODUCER, SWEEP, at, series, shard, snapshot
from tidegauge.domain.health import Health, HealthRules, State, health_of
from tidegauge.domain.health_words import Line, lines_of
from tidegauge.domain.snapshot import Loss, Snapshot


def told(now: Snapshot, rules: HealthRules = SWEEP, earlier: Snapshot | None = None) -> list[Line]:
    return lines_of(health_of(now, rules, earlier))


def test_a_stream_that_counts_is_told_in_one_line_without_anything_to_look_at() -> None:
    (line,) = told(snapshot(shard("s0", 59.5), series=[series("a", 50, 3)]))
    assert line == Line(
        State.COUNTING,
        "1 series, complete until 2013-02-08T12:55:00Z, the watermark 30 s behind",
    )


def test_a_stream_that_has_closed_no_window_says_so() -> None:
    (line,) = told(snapshot(shard("s0", 60), next_window_ms=None, first_seen_ms=at(59)), PRODUCER)
    assert line.state == State.STALLED  # stream time has passed the first window already
    (line,) = told(snapshot(shard("s0", None), next_window_ms=None, first_seen_ms=at(59)))
    assert (line.state, line.look) == (State.STARTING, "")


@pytest.mark.parametrize(
    ("now", "rules", "says", "look"),
    [
        (snapshot(shard("s0", 40)), SWEEP, "no heartbeat was put on shard s0 since", "the sweep"),
        (
            snapshot(shard("s0", None, fence=1), next_window_ms=None),
            PRODUCER,
            "no heartbeat was put on shard s0 yet",
            "the producer",
        ),
        (
            snapshot(*[shard(f"s{n}", 40, beat=600) for n in range(5)]),
            SWEEP,
            "what lies on any of the 5 shards is not counted since 2013-02-08T12:40:00Z; ",
            "collect",
        ),
        (
            snapshot(shard("fine", 60), *[shard(f"s{n}", 40, beat=600) for n in range(5)]),
            SWEEP,
            "what lies on shards s0, s1, s2 and 2 more is not counted since",
            "collect",
        ),
        (
            snapshot(shard("s0", 40), shard("s1", None, parent_ids=("s0",))),
            SWEEP,
            "shard s0, closed by a resharding, is not read to its end; shard s1 must wait",
            "collect",
        ),
        (
            snapshot(shard("s0", 60), next_window_ms=at(30)),
            SWEEP,
            "windows that nobody closes from 2013-02-08T12:30:00Z on",
            "the logs of collect and sweep",
        ),
        (
            snapshot(listed=False, next_window_ms=None),
            SWEEP,
            "nobody has registered the stream's shards",
            "the sweep",
        ),
    ],
)
def test_each_stall_says_what_stands_and_where_to_look(
    now: Snapshot, rules: HealthRules, says: str, look: str
) -> None:
    (line,) = told(now, rules)
    assert line.state == State.STALLED
    assert says in line.says
    assert line.look.startswith(look)


def test_what_catches_up_is_not_called_stalled() -> None:
    now = snapshot(shard("s0", 40, beat=600), next_window_ms=at(30))
    earlier = snapshot(shard("s0", 35, beat=600), next_window_ms=at(30))
    (line,) = told(now, earlier=earlier)
    assert line.state == State.BEHIND
    assert line.says.endswith("; it is catching up")


def test_a_loss_says_which_span_which_shard_and_why() -> None:
    losses = [
        Loss(at(20), at(25), "batch_skipped", "s0"),
        Loss(at(10), at(15), "stream_recreated"),
    ]
    waiting = shard("s1", 60, lost_from_ms=at(50))
    lines = told(snapshot(shard("s0", 60), waiting, losses=losses))
    assert [line.says for line in lines] == [
        "records on shard s1 are lost from 2013-02-08T12:50:00Z until a heartbeat comes: "
        "a heartbeat that was put never came",
        "records on shard s0 are lost from 2013-02-08T12:20:00Z until 2013-02-08T12:25:00Z: "
        "a batch was given up on",
        "records are lost from 2013-02-08T12:10:00Z until 2013-02-08T12:15:00Z: "
        "the stream was made anew under its name",
    ]
    assert all(line.look for line in lines)


def test_many_losses_and_many_silent_series_stay_short() -> None:
    losses = [Loss(at(n), at(n + 1), "parent_lost", f"s{n}") for n in range(30)]
    silent = [series(f"type-{n}", n) for n in range(0, 50, 5)]
    lines = told(snapshot(shard("s0", 60), losses=losses, series=silent))
    assert [line.state for line in lines] == [State.INCOMPLETE] * 4 + [State.SILENT]
    assert lines[3].says == "27 more losses within the last day"
    assert lines[4].says.startswith("10 of 10 series, proven: type-45 for 5 min")
    assert lines[4].says.endswith("and 7 more")


def test_an_alerted_silence_says_that_people_know() -> None:
    (line,) = told(snapshot(shard("s0", 60), series=[series("a", 30, incident=True)]))
    assert line.says == (
        "1 of 1 series, proven: a for 20 min (since 2013-02-08T12:35:00Z, people were alerted)"
    )


def test_what_waits_beside_the_state_is_told_without_changing_it() -> None:
    busy = snapshot(
        shard("s0", 60), series=[msgspec.structs.replace(series("a", 50, 3), judged_step_ms=at(0))]
    )
    behind: Health = health_of(busy, SWEEP)
    assert [line.says for line in lines_of(behind)[1:]] == [
        "1 series wait for their verdicts, and people for their alerts"
    ]
    stuck = msgspec.structs.replace(
        behind, unsent=1000, unsent_age_ms=600_000, quarantined={"bad_time": 998, "empty": 2}
    )
    assert [(line.state, line.says) for line in lines_of(stuck)[1:]] == [
        ("", "1,000 or more messages wait to be sent, the oldest for 10 min"),
        ("", "set aside: bad_time 998, empty 2 (the first thousand)"),
    ]
