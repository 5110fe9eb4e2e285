"""What the sweep's function tells: every metric that it knows, and none that it does not."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from consumers.sweep import app
from tidegauge.domain.errors import Misconfigured, Transient
from tidegauge.ports import Backlog
from tidegauge.signals import Metric
from tidegauge.steps.sweep import Swept

CONTEXT: Any = SimpleNamespace(
    function_name="f", memory_limit_in_mb=1, invoked_function_arn="arn", aws_request_id="r"
)
WHOLE = Swept(
    ran=True,
    drained=1,
    ended=2,
    lost_events=3,
    completed=4,
    watermark_ms=10,
    watermark_lag_ms=5,
    rung=6,
    alerts_sent=7,
    purged_windows=8,
    reading_checked=True,
    reading_faults=["mapping u is wrong; mend it"],
    backlog=Backlog(open_windows=9, gaps=10, outbox_age_ms=11, unjudged_series=12),
)


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch) -> list[Swept]:
    """What each sweep comes to, as a test puts it here."""
    outcomes: list[Swept] = []

    class Step:
        def run(self) -> Swept:
            return outcomes.pop(0)

    monkeypatch.setattr(app, "sweep_step", Step)
    return outcomes


def written(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the metrics of one invocation by name."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (blob,) = (line for line in lines if "_aws" in line)
    (told,) = blob["_aws"]["CloudWatchMetrics"]
    return {each["Name"]: blob[each["Name"]][0] for each in told["Metrics"]}


def test_a_whole_sweep_tells_every_metric_of_the_sweep(
    swept: list[Swept], capsys: pytest.CaptureFixture[str]
) -> None:
    swept.append(WHOLE)
    assert app.handler({}, CONTEXT) == {"completed": 4}
    assert written(capsys) == {
        "ShardsDrained": 1,
        "GenerationsEnded": 2,
        "LostEvents": 3,
        "WindowsCompleted": 4,
        "WatermarkLag": 5,
        "SeriesRungAgain": 6,
        "AlertsSent": 7,
        "WindowsPurged": 8,
        "MappingFaults": 1,
        "OpenWindows": 9,
        "GapsKnown": 10,
        "OutboxAge": 11,
        "UnjudgedSeries": 12,
    }


def test_what_a_sweep_could_not_find_out_is_not_told_as_nought() -> None:
    known = app.measured(Swept(ran=True))
    unknown = {
        Metric.WATERMARK_LAG,
        Metric.MAPPING_FAULTS,
        Metric.OPEN_WINDOWS,
        Metric.OUTBOX_AGE,
        Metric.UNJUDGED_SERIES,
        Metric.GAPS_KNOWN,
    }
    assert not unknown & known.keys()
    assert app.measured(Swept(ran=True, watermark_lag_ms=0))[Metric.WATERMARK_LAG] == 0
    assert app.measured(Swept(ran=True, reading_checked=True))[Metric.MAPPING_FAULTS] == 0


def test_a_part_that_failed_is_raised_after_all_is_told(
    swept: list[Swept], capsys: pytest.CaptureFixture[str]
) -> None:
    failures = [Transient("the stream is busy"), Misconfigured(["no such bucket"])]
    swept.append(Swept(ran=True, completed=2, failures=list(failures)))
    with pytest.raises(Transient, match="the stream is busy"):
        app.handler({}, CONTEXT)
    assert written(capsys)["WindowsCompleted"] == 2


@pytest.mark.filterwarnings("ignore:No application metrics to publish")
def test_a_sweep_that_found_another_at_work_tells_nothing(
    swept: list[Swept], capsys: pytest.CaptureFixture[str]
) -> None:
    swept.append(Swept(ran=False))
    assert app.handler({}, CONTEXT) == {"completed": 0}
    assert "_aws" not in capsys.readouterr().out
