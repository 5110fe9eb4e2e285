"""Laws of the replay clock, and its equality with a plain reading of the protocol."""

from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import MINUTE_MS, NOON_MS, offered_event, offered_rejection
from tidegauge.domain.event import Event
from tidegauge.domain.fold import CountRules
from tidegauge.domain.offered import Offered
from tidegauge.steps.replay_clock import Beat, Unconfirmed, with_beats

RULES = st.builds(
    CountRules,
    size_ms=st.sampled_from([1_000, 60_000, 300_000, 3_600_000]),
    lateness_ms=st.sampled_from([0, 30_000, 60_000, 600_000]),
    max_future_skew_ms=st.sampled_from([60_000, 300_000]),
    max_event_age_ms=st.sampled_from([3_600_000, 86_400_000]),
)
_NEAR = st.integers(0, 30 * MINUTE_MS)
_FAR = st.integers(-90, 90).map(lambda hours: hours * 3_600_000)
_TIMES = st.lists(st.none() | _NEAR | _NEAR | _NEAR | _FAR, max_size=40)


def offered_of(times: list[int | None]) -> list[Offered]:
    return [
        offered_rejection(number) if time is None else offered_event(number, NOON_MS + time)
        for number, time in enumerate(times)
    ]


def oracle(times: list[int | None], rules: CountRules) -> tuple[list[tuple[str, int]], set[int]]:
    """Return heartbeats and accepted events in order, and the unconfirmed, by the letter."""
    events = [(n, NOON_MS + t) for n, t in enumerate(times) if t is not None]
    told: list[tuple[str, int]] = []
    refused: set[int] = set()
    latest: int | None = None
    beat: int | None = None
    for place, (number, time) in enumerate(events):
        following = [t for _, t in events[place + 1 : place + 11]]
        if latest is None or time - latest > rules.max_future_skew_ms:
            agree = [t for t in following if t >= time - rules.max_future_skew_ms]
            if latest is None:
                agree = [t for t in agree if t <= time + rules.max_event_age_ms]
                believed = not following or len(agree) > len(following) / 2
            elif following:
                believed = len(agree) > len(following) / 2
            else:
                believed = time - latest <= rules.max_event_age_ms
            if not believed:
                refused.add(number)
                continue
        minute = time // MINUTE_MS * MINUTE_MS
        closes = beat is None or any(
            beat < end + rules.lateness_ms <= minute
            for end in _ends_between(beat - rules.lateness_ms, minute - rules.lateness_ms, rules)
        )
        if closes or (beat is not None and time - beat >= rules.max_future_skew_ms):
            beat = minute
            told.append(("beat", beat))
        told.append(("event", number))
        latest = time if latest is None else max(latest, time)
    if latest is not None:
        end = latest // rules.size_ms * rules.size_ms + rules.size_ms
        told.append(("beat", end + rules.lateness_ms))
    return told, refused


def _ends_between(low: int, high: int, rules: CountRules) -> list[int]:
    """Return one window end in (low, high], if there is any; which one does not matter."""
    end = high // rules.size_ms * rules.size_ms
    return [end] if end > low else []


@given(_TIMES, RULES)
def test_the_clock_equals_a_plain_reading_of_its_rules(
    times: list[int | None], rules: CountRules
) -> None:
    told: list[tuple[str, int]] = []
    refused: set[int] = set()
    for one in with_beats(offered_of(times), rules):
        if isinstance(one, Beat):
            told.append(("beat", one.time_ms))
        elif isinstance(one, Unconfirmed):
            refused.add(one.offered.line)
        elif isinstance(one.item, Event):
            told.append(("event", one.line))
    assert (told, refused) == oracle(times, rules)


@given(_TIMES, RULES)
def test_nothing_is_lost_and_stream_time_only_rises(
    times: list[int | None], rules: CountRules
) -> None:
    found = list(with_beats(offered_of(times), rules))
    lines = [
        one.offered.line if isinstance(one, Unconfirmed) else one.line
        for one in found
        if not isinstance(one, Beat)
    ]
    assert sorted(lines) == list(range(len(times)))
    beats = [one.time_ms for one in found if isinstance(one, Beat)]
    assert beats == sorted(set(beats))


@given(_TIMES, RULES)
def test_no_event_that_passes_lies_too_far_ahead_of_the_last_heartbeat(
    times: list[int | None], rules: CountRules
) -> None:
    stream_time = None
    for one in with_beats(offered_of(times), rules):
        if isinstance(one, Beat):
            stream_time = one.time_ms
        elif isinstance(one, Offered) and isinstance(one.item, Event):
            assert stream_time is not None
            assert one.item.event_time_ms <= stream_time + rules.max_future_skew_ms
