"""A live stack with windows of 20 seconds, through faults of the world and faults of ours.

One stack, one fault after the other, in the order of this file: the counting is disturbed while the
series are too young to be judged, the judging once they are not. What was counted is held against
the stream at the end, over all faults together.
"""

import json
from functools import partial
from itertools import pairwise

import msgspec
import pytest

from embedded.live_watch import Form, watch
from tests.support.live import LATENESS_MS, SIZE_MS, LiveStack, until
from tests.support.live_recount import Recount, records_of, recount
from tidegauge.domain.health import StallCause, State
from tidegauge.simulator_settings import SimulatorSettings

pytestmark = [pytest.mark.stack, pytest.mark.timeout(420)]

ORDERS, PAYMENTS, SIGN_UPS = SERIES = ("order.placed", "payment.taken", "user.signed_up")
# A heartbeat comes every five seconds; patience is three of them, a window and its lateness.
STALLED_SECONDS = 120


def stalled_by(live: LiveStack, cause: StallCause) -> bool:
    return any(stall.cause is cause and not stall.moving for stall in live.health().stalls)


def test_collect_that_reads_nothing_for_a_while_announces_nothing_in_part(live: LiveStack) -> None:
    live.close_beyond(1)
    with live.mapping_disabled(live.running.outputs.events_stream_arn):
        until(
            lambda: stalled_by(live, StallCause.UNREAD_HEARTBEATS),
            seconds=STALLED_SECONDS,
            what="a stall because heartbeats are not read",
        )
        until_ms = live.look().now_ms
        assert live.last_closed_ms() < until_ms - SIZE_MS
    live.close_beyond(until_ms)
    assert {len(revisions) for revisions in live.announced().values()} == {1}
    assert live.health().state is not State.STALLED


def test_a_dead_clock_is_a_stall_and_nothing_else(live: LiveStack) -> None:
    with live.schedule_disabled():
        until(
            lambda: stalled_by(live, StallCause.NO_HEARTBEATS),
            seconds=STALLED_SECONDS,
            what="a stall because no heartbeat is put",
        )
        until_ms = live.look().now_ms
        assert live.health().state is State.STALLED
        assert live.health().silent == ()
        assert live.rows("SELECT COUNT(*) FROM quarantine") == ((0,),)
        assert live.new_alerts() == []
    live.close_beyond(until_ms)
    assert live.new_alerts() == []


def test_an_injected_silence_is_an_alert_that_says_silence(live: LiveStack) -> None:
    until(
        lambda: all(lines[-1].verdict == "NORMAL" for lines in live.look().windows.values()),
        seconds=240,
        what="all series judged",
    )
    start_ms = live.inject("silence", [ORDERS], windows=3)
    alert = until(lambda: live.alert_on(ORDERS), seconds=120, what="an alert")
    assert alert.kind == "opened"
    assert "silent for 20 s" in alert.subject
    (incident,) = [i for name, i in live.look().incidents.items() if name == ORDERS]
    assert (incident.direction, incident.since_ms) == ("TOO_LOW", start_ms)
    assert [alert.subject.partition(":")[0] for alert in live.new_alerts()] == [ORDERS]


def test_dead_predict_and_dead_endpoint_delay_alerts_and_lose_none(live: LiveStack) -> None:
    windows_arn = windows_stream_arn(live)
    with live.endpoint_down():
        with live.mapping_disabled(windows_arn):
            start_ms = live.inject("silence", [PAYMENTS, SIGN_UPS], windows=3)
            live.close_beyond(start_ms + SIZE_MS)
            assert judged_until_ms(live) < start_ms
        # predict runs again, and finds no endpoint
        until(lambda: predict_failed(live), seconds=60, what="a failure of predict")
        assert judged_until_ms(live) < start_ms
        assert live.alert_on(PAYMENTS) is None
    for series in (PAYMENTS, SIGN_UPS):
        alert = until(partial(live.alert_on, series), seconds=90, what="an alert")
        assert alert.kind == "opened"
        assert "silent for 20 s" in alert.subject


def test_every_window_holds_what_was_on_time_and_was_announced_in_order(live: LiveStack) -> None:
    # Up to here; the simulator goes on.
    closed_ms = live.last_closed_ms()
    announced = {place: r for place, r in live.announced().items() if place[1] < closed_ms}
    recounted = recount(records_of(live.running).values(), size_ms=SIZE_MS, lateness_ms=LATENESS_MS)
    first_ms = min(start_ms for _, start_ms in announced)
    places = {(s, at) for s in SERIES for at in range(first_ms, closed_ms, SIZE_MS)}
    assert set(announced) == places
    assert {place: [count for _, count, _ in r] for place, r in announced.items()} == {
        place: [recounted.on_time[place]] for place in places
    }
    assert not recounted.late
    # The first windows began before the clock did.
    assert {r[0][2] for (_, at), r in announced.items() if at > first_ms + SIZE_MS} == {"complete"}
    assert everything_simulated_was_put(live, recounted, first_ms + SIZE_MS, closed_ms)
    assert announcements_in_order(live)
    assert live.rows("SELECT COUNT(*) FROM quarantine") == ((0,),)
    assert live.rows("SELECT COUNT(*) FROM gap") == ((0,),)


def test_people_heard_of_three_silences_once_each(live: LiveStack) -> None:
    opened = [a.subject.partition(":")[0] for a in live.new_alerts() if a.kind == "opened"]
    assert sorted(opened) == sorted(SERIES)


def test_the_view_prints_what_is_new_as_json_lines(
    live: LiveStack, capsys: pytest.CaptureFixture[str]
) -> None:
    watch(live.feed, Form.JSON, size_ms=SIZE_MS, seconds=0)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told[0]["kind"] == "state"
    low = [one for one in told if one["kind"] == "window" and one["verdict"] == "TOO_LOW"]
    silent = [one for one in low if one["count"] == 0]
    assert {one["series"] for one in silent} == set(SERIES)
    assert all(one["lower"] > 0 for one in silent)


def judged_until_ms(live: LiveStack) -> int:
    ((newest,),) = live.rows(
        "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', MAX(window_start)) DIV 1000"
        " FROM prediction"
    )
    return int(newest)


def predict_failed(live: LiveStack) -> bool:
    name = live.running.outputs.predict_function_name
    lines = (live.places.logs / "engine.log").read_text(errors="replace").splitlines()
    return any(name in line and "fail" in line for line in lines)


def windows_stream_arn(live: LiveStack) -> str:
    kinesis = live.running.engine.session().kinesis
    name = live.running.outputs.windows_stream_name
    return kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]


def everything_simulated_was_put(
    live: LiveStack, recounted: Recount, first_ms: int, until_ms: int
) -> bool:
    """Whether the stream holds just what the seed and the injected faults give."""
    functions = live.running.engine.session().functions
    name = live.running.outputs.simulator_function_name
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    simulation = SimulatorSettings.from_env(variables).simulation()
    drawn: dict[tuple[str, int], int] = {}
    for event in simulation.events_between(first_ms, until_ms):
        place = (event.type, event.time_ms // SIZE_MS * SIZE_MS)
        drawn[place] = drawn.get(place, 0) + 1
    put = {place: n for place, n in recounted.on_time.items() if first_ms <= place[1] < until_ms}
    return put == drawn


def announcements_in_order(live: LiveStack) -> bool:
    """Whether the windows were told in the order of event time, all series of one together."""
    payloads = live.rows("SELECT payload FROM outbox WHERE destination = 'windows' ORDER BY id")
    starts = [msgspec.json.decode(payload)["data"]["window_start"] for (payload,) in payloads]
    return bool(starts) and all(before <= after for before, after in pairwise(starts))
