"""A dataset of the recorded storm: counted, judged and exported by the real steps, on memory."""

from typing import TYPE_CHECKING

import msgspec

from embedded.places import REPOSITORY, STORM
from tests.support.diagnosis import ManualClock
from tidegauge.adapters.fixture_decoder import offered_by
from tidegauge.adapters.fixtures import bare_blocks, open_fixture
from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.adapters.memory_dataset import MemoryDatasetStore
from tidegauge.adapters.memory_models import MemoryModelLedger
from tidegauge.adapters.seasonal import SeasonalPredictor
from tidegauge.cli.offline_judging import OfflineJudging
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.dataset import SeriesIncident
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.event import RejectReason
from tidegauge.domain.event_time import parse_time_ms
from tidegauge.domain.incident import AlertKind, IncidentStatus
from tidegauge.domain.verdict import Verdict
from tidegauge.ports import ObjectStore
from tidegauge.settings import JudgingSettings, StreamSettings, WindowSettings
from tidegauge.steps.export import ExportStep
from tidegauge.steps.export_dataset import ExportRules
from tidegauge.steps.replay import OfflineReplay
from tidegauge.steps.replay_clock import with_beats

if TYPE_CHECKING:
    from tidegauge.domain.prediction import Prediction


STREAM_ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/events"

# Few fly while it is on: the kind of period that a person leaves out.
_SUPER_BOWL = ("2013-02-03T23:00:00Z", "2013-02-04T04:00:00Z", "Super Bowl Sunday")
_DIRECTIONS = {"low": Verdict.TOO_LOW, "high": Verdict.TOO_HIGH}
_ENDS = {
    AlertKind.CLEARED: IncidentStatus.CLEARED,
    AlertKind.RETRACTED: IncidentStatus.RETRACTED,
    AlertKind.EXPIRED: IncidentStatus.EXPIRED,
}


def export_storm(objects: ObjectStore, folder_uri: str) -> str:
    """Export all that the committed fixture holds; return the address of the manifest.

    Args:
        objects: Where to.
        folder_uri: Datasets are folders below it, such as `s3://bucket/exports`.
    """
    windows = WindowSettings()
    counted = _replayed(windows)
    clock = ManualClock()
    store = MemoryDatasetStore(STREAM_ARN, clock)
    store.announce(counted.windows)
    generation = counted.windows[-1].generation
    store.close(generation, counted.windows[-1].window_start_ms + windows.size_ms)
    for incident in counted.incidents(generation):
        store.add_incident(incident)
    start, end, why = _SUPER_BOWL
    store.add(None, parse_time_ms(start), parse_time_ms(end), why)
    rules = ExportRules(folder_uri, windows.size_ms, JudgingSettings().enough_windows)
    outcome = ExportStep(store, MemoryModelLedger(clock), objects, rules).run()
    assert outcome.exported, outcome.reason
    return outcome.manifest_uri


class _Told(msgspec.Struct, frozen=True):
    """What an alert says of its incident."""

    incident: str
    kind: AlertKind
    series: str
    direction: str
    since: str
    window_start: str


class _Alert(msgspec.Struct, frozen=True):
    json: _Told


class _Counted:
    """Implements `steps.replay.ReplayOutput`: keeps windows, and what alerts tell of incidents."""

    def __init__(self) -> None:
        self.windows: list[CompletedWindow] = []
        self._told: dict[str, _Told] = {}

    def window(self, row: CompletedWindow, _prediction: "Prediction | None") -> None:
        self.windows.append(row)

    def alert(self, payload: bytes) -> None:
        told = msgspec.json.decode(payload, type=_Alert).json
        self._told[told.incident] = told

    def set_aside(
        self,
        line: int,
        _shard_id: str,
        _sequence_number: int | None,
        reason: RejectReason,
        _data: bytes,
    ) -> None:
        msg = f"line {line} of the storm was set aside: {reason}"
        raise AssertionError(msg)

    def incidents(self, generation: int) -> list[SeriesIncident]:
        return [
            SeriesIncident(
                generation=generation,
                series=told.series,
                incident_id=told.incident,
                direction=_DIRECTIONS[told.direction],
                status=_ENDS.get(told.kind, IncidentStatus.OPEN),
                first_window_ms=parse_time_ms(told.since),
                closed_window_ms=parse_time_ms(told.window_start) if told.kind in _ENDS else None,
            )
            for told in self._told.values()
        ]


def _replayed(windows: WindowSettings) -> _Counted:
    """Count the storm, and judge it by the seasonal baseline."""
    store = MemoryCountStore(
        size_ms=windows.size_ms, max_event_age_ms=windows.max_event_age_ms, keeps_evidence=False
    )
    rules = windows.count_rules(
        clock_source=StreamSettings("", "").clock_source, clock_is_sweep=False
    )
    judging = JudgingSettings().judging_rules(size_ms=windows.size_ms)
    counted = _Counted()
    replay = OfflineReplay(
        store,
        rules,
        windows.close_rules(),
        judging=OfflineJudging(store, SeasonalPredictor(), judging),
        output=counted,
    )
    blocks = bare_blocks(open_fixture(REPOSITORY / STORM))
    offered = offered_by(
        blocks, SeriesBy(windows.series_fields), jobs=1, progress=lambda _n_bytes: None
    )
    replay.run_bare(with_beats(offered, rules))
    return counted
