"""The whole offline replay, from a fixture's bytes to its result file, equals a plain oracle."""

import csv
import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.events import MINUTE_MS, NOON_MS
from tests.support.replay_oracle import Rules, plain_replay
from tidegauge.adapters.replay_output import OutputPaths
from tidegauge.cli.replay_offline import replay_offline
from tidegauge.cli.replay_options import ReplayOptions
from tidegauge.domain.event_time import format_time

HOUR_MS = 60 * MINUTE_MS
SUMS = ("events", "distinct", "duplicates", "quarantined", "late", "windows", "corrected")

# How far an event lies from where the fixture has come to; leaps and strays stay few, else nothing
# confirms anything.
_STEPS = [0, 1_000, 20_000, 59_999, 60_000, 60_000, 120_000, 299_999, 300_000, 300_001]
_LEAPS = [HOUR_MS, 26 * HOUR_MS]
_PACES = st.sampled_from([*_STEPS, *_STEPS, *_STEPS, *_LEAPS])
_BACK = [1, MINUTE_MS, 6 * MINUTE_MS, 2 * HOUR_MS, 23 * HOUR_MS, 24 * HOUR_MS, 25 * HOUR_MS]
_AHEAD = [MINUTE_MS, 5 * MINUTE_MS, 2 * HOUR_MS, 400 * 24 * HOUR_MS]
_STRAYS = st.sampled_from([*([0] * 30), *(-ms for ms in _BACK), *_AHEAD])
_BROKEN = st.sampled_from(
    [b"", b" ", b"\r", b"{", b"null", b"[]", b"[[]]", b'"x"', b"\xff\xfe", b'{"specversion":"1.0"}']
)


class Part(NamedTuple):
    """An event by how far it lies from the one before, and how far it strays from there."""

    pace_ms: int
    stray_ms: int
    number: int
    series: str
    country: str | None


_EVENTS = st.builds(
    Part,
    _PACES,
    _STRAYS,
    st.integers(0, 99),
    st.sampled_from(["a", "b", "c,d", "ü", "__other__"]),
    st.sampled_from([None, "de", "fr"]),
)


def _part(one_in_ten: int) -> st.SearchStrategy[Part | bytes]:
    return _EVENTS if one_in_ten else _BROKEN


_PARTS = st.integers(0, 9).flatmap(_part)


@st.composite
def fixtures(draw: st.DrawFn) -> bytes:
    """Lines of single events, batches of them, and rubbish."""
    lines: list[bytes] = []
    at_ms = NOON_MS + draw(st.sampled_from([0, 1, 61_000]))
    batch: list[bytes] = []
    for part in draw(st.lists(_PARTS, min_size=draw(st.sampled_from([1, 12, 25])), max_size=40)):
        if isinstance(part, bytes):
            lines.append(part)
            continue
        pace_ms, stray_ms, number, series, country = part
        at_ms += pace_ms
        batch.append(
            json.dumps(
                {
                    "specversion": "1.0",
                    "id": str(number),
                    "source": "/s",
                    "type": series,
                    "time": format_time(at_ms + stray_ms),
                    "data": {"country": country},
                }
            ).encode()
        )
        if draw(st.integers(0, 4)):
            lines.append(batch[0] if len(batch) == 1 else b"[" + b",".join(batch) + b"]")
            batch = []
    # at least one line that speaks for a fixture
    return b"\n".join([*lines, *batch, b"{}"])


RULES = st.builds(
    Rules,
    size=st.sampled_from([60_000, 300_000, 300_000, 3_600_000]),
    lateness=st.sampled_from([0, 30_000, 60_000, 600_000]),
    skew=st.sampled_from([60_000, 300_000]),
    age=st.sampled_from([2 * HOUR_MS, 24 * HOUR_MS]),
    idle=st.just(24 * HOUR_MS),
    max_series=st.sampled_from([1, 2, 10_000]),
    series_by=st.sampled_from([("type",), ("type", "data.country")]),
)


def environment(rules: Rules, max_rows: int) -> dict[str, str]:
    return {
        "WINDOW_SECONDS": str(rules.size // 1000),
        "ALLOWED_LATENESS_SECONDS": str(rules.lateness // 1000),
        "MAX_FUTURE_SKEW_SECONDS": str(rules.skew // 1000),
        "MAX_EVENT_AGE_HOURS": str(rules.age // HOUR_MS),
        "SERIES_IDLE_DAYS": str(rules.idle // (24 * HOUR_MS)),
        "MAX_SERIES": str(rules.max_series),
        "SERIES_BY": ",".join(rules.series_by),
        "MAX_ROWS_PER_CLOSE": str(max_rows),
    }


def replayed(data: bytes, env: dict[str, str]) -> tuple[dict[str, int], str]:
    """Return the printed sums and the CSV of one replay."""
    with TemporaryDirectory() as folder, redirect_stdout(io.StringIO()) as shown:
        fixture, windows = Path(folder, "f.jsonl"), Path(folder, "w.csv")
        fixture.write_bytes(data)
        options = ReplayOptions(
            fixture=fixture,
            jobs=1,
            as_json=True,
            outputs=OutputPaths(windows=windows),
            model=None,
            speed=None,
            shift_to_now=False,
        )
        replay_offline(options, env)
        return json.loads(shown.getvalue()), windows.read_bytes().decode()


@settings(max_examples=80, deadline=None)
@given(data=fixtures(), rules=RULES, piece=st.sampled_from([1, 7, 20_000]))
def test_an_offline_replay_equals_a_plain_one(data: bytes, rules: Rules, piece: int) -> None:
    # in small pieces, so that what is given out early is given out too early if it can be
    with patch.multiple("tidegauge.steps.replay", _BATCH_RECORDS=piece, _ROWS_AT_ONCE=piece):
        sums, text = replayed(data, environment(rules, max_rows=max(piece, 50)))
    plain = plain_replay(data, rules)
    assert [sums[name] for name in SUMS] == [
        plain.distinct + plain.duplicates,
        plain.distinct,
        plain.duplicates,
        plain.quarantined,
        plain.late,
        len(plain.rows),
        sum(revision > 1 for _, _, _, revision, _, _ in plain.rows),
    ]
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert rows == [
        [
            series,
            format_time(start),
            format_time(start + rules.size),
            str(count),
            str(revision),
            str(late),
            quality,
            *("", "", "", "NOT_JUDGED"),
        ]
        for start, series, count, revision, late, quality in plain.rows
    ]
