"""The export step in memory: when it exports, what the files hold, and what they leave out."""

import hashlib

import numpy as np
import pytest

from tests.support.dataset_stores import ARN, completed
from tests.support.exported import DAY, FOLDER, SIZE, START, Exported, count_at, days_of
from tidegauge.domain.count import Quality
from tidegauge.domain.errors import Transient
from tidegauge.domain.features import FEATURE_NAMES, stabilise
from tidegauge.domain.history import CountHistory, feature_rows
from tidegauge.domain.model_record import ModelRecord, ModelState
from tidegauge.domain.prediction import seasonal_scores
from tidegauge.ports import ModelChange
from tidegauge.steps.export import LOCK, ExportStep

DAYS = 20
FILES = ("train.csv", "validation.csv", "counts.csv.gz", "data_card.json")


@pytest.fixture
def exported() -> Exported:
    """A stream with 20 days of one series."""
    made = Exported()
    made.store.announce(days_of(DAYS))
    made.closed(DAYS)
    return made


def shown(window_start_ms: int) -> str:
    return str(np.datetime64(window_start_ms // 1000, "s")) + "Z"


def label(count: float) -> float:
    return float(stabilise(np.array([count]))[0])


# --- the files


def test_the_manifest_comes_last_and_names_every_file_as_it_is(exported: Exported) -> None:
    manifest = exported.forced()
    names = [uri.rsplit("/", 1)[1] for uri in exported.objects.uris()]
    assert names == [*FILES, "manifest.json"]
    files = (manifest.train, manifest.validation, manifest.counts, manifest.data_card)
    for file in files:
        data = exported.bytes_of(file.name)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size_bytes, file.sha256)
    assert manifest.stream_arn == ARN
    assert (manifest.start, manifest.until) == (shown(START), shown(START + DAYS * DAY))
    assert manifest.split == shown(START + 16 * DAY)
    assert (manifest.series, manifest.window_seconds) == (1, 300)
    assert manifest.feature_names == FEATURE_NAMES


def test_the_same_windows_give_the_same_bytes_under_the_same_name(exported: Exported) -> None:
    first = exported.run(force=True)
    before = {uri: exported.objects.read(uri, max_bytes=10**9) for uri in exported.objects.uris()}
    assert exported.run(force=True) == first
    after = {uri: exported.objects.read(uri, max_bytes=10**9) for uri in exported.objects.uris()}
    assert before == after
    assert first.manifest_uri == f"{FOLDER}/{first.dataset_id}/manifest.json"
    assert first.dataset_id.startswith("20130127T000000Z-")


def test_what_is_announced_later_changes_no_dataset_of_an_earlier_end(exported: Exported) -> None:
    first = exported.run(force=True)
    corrected = completed(
        1, "a", START + DAY, 500, revision=2, step_ms=START + DAYS * DAY, late=450
    )
    exported.store.announce([*days_of(0.5, from_ms=START + DAYS * DAY), corrected])
    exported.closed(DAYS + 0.5)
    assert exported.run(force=True) == first
    exported.store.announce(days_of(0.5, from_ms=START + round((DAYS + 0.5) * DAY)))
    exported.closed(DAYS + 1)
    exported.forced()
    assert exported.counts()[288]["count"] == "500"


def test_the_counts_hold_every_window_with_its_last_revision(exported: Exported) -> None:
    exported.store.announce(
        [completed(1, "a", START, 99, revision=2, step_ms=START + SIZE, late=3)]
    )
    exported.store.announce(days_of(2, series='with "quotes", commas\nand lines'))
    manifest = exported.forced()
    rows = exported.counts()
    assert len(rows) == manifest.counts.rows == DAYS * 288 + 2 * 288
    assert rows[0] == {
        "series": "a",
        "window_start": shown(START),
        "window_end": shown(START + SIZE),
        "count": "99",
        "revision": "2",
        "late": "3",
        "quality": "complete",
        "excluded": "",
    }
    assert rows[-1]["series"] == 'with "quotes", commas\nand lines'
    assert [int(row["count"]) for row in rows[1 : DAYS * 288]] == [
        count_at(START + number * SIZE) for number in range(1, DAYS * 288)
    ]


def test_rows_are_labels_and_the_features_that_serving_asks_with(exported: Exported) -> None:
    manifest = exported.forced()
    windows = list(days_of(DAYS))
    served = feature_rows(nothing(), windows, size_ms=SIZE)
    expected = {
        number: [label(window.count), *row]
        for number, (window, row) in enumerate(zip(windows, served.rows.tolist(), strict=True))
    }
    warm, split = 7 * 288, 16 * 288
    train = [expected[number] for number in range(warm, split)]
    validation = [expected[number] for number in range(split, DAYS * 288)]
    assert sorted(exported.rows("train")) == sorted(train)
    assert sorted(exported.rows("validation")) == sorted(validation)
    assert (manifest.train.rows, manifest.validation.rows) == (len(train), len(validation))
    # Shuffled, as training by gradients wants them.
    assert exported.rows("train") != train


def nothing() -> CountHistory:
    return CountHistory(np.zeros(0, dtype=np.int64), np.zeros(0))


def test_serving_at_any_moment_asks_with_what_was_trained_on() -> None:
    # Two generations, a series that comes later, gaps, a retired series that comes back; judged
    # step by step with what stood before each step, exported at once.
    gap = {(START + number * SIZE) for number in (*range(500, 520), 1000, 2000)}
    first = [
        completed(1, "a", one.window_start_ms, one.count, quality=Quality.GAP)
        if one.window_start_ms in gap
        else one
        for one in days_of(6)
    ]
    second = [
        *days_of(5, generation=2, from_ms=START + 7 * DAY),
        *days_of(4, generation=2, from_ms=START + 16 * DAY),
    ]
    made = Exported()
    made.store.announce([*first, *second])
    made.closed(6)
    made.closed(DAYS, generation=2)
    made.forced()
    rows = {tuple(row) for name in ("train", "validation") for row in made.rows(name)}
    served = 0
    windows = [*first, *second]
    for number in range(3 * 288, len(windows), 97):
        window = windows[number]
        past = windows[:number]
        history = CountHistory(
            np.array([one.window_start_ms for one in past]),
            np.array([one.count if one.quality is Quality.COMPLETE else np.nan for one in past]),
        )
        answer = feature_rows(history, [window], size_ms=SIZE)
        row = (label(window.count), *answer.rows[0].tolist())
        trained = window.quality is Quality.COMPLETE and window.window_start_ms >= START + 7 * DAY
        assert (row in rows) == trained, number
        served += trained
    assert served > 20


def test_the_baseline_is_asked_about_the_validation_rows(exported: Exported) -> None:
    manifest = exported.forced()
    rows = exported.rows("validation")
    errors = [abs(row[0] - seasonal_scores([row[1:]])[0]) for row in rows]
    assert manifest.baseline_error == pytest.approx(sum(errors) / len(errors), rel=1e-12)
    assert exported.card()["baseline_error"] == manifest.baseline_error
    assert manifest.baseline == "seasonal-1"


def test_the_data_card_adds_up(exported: Exported) -> None:
    exported.store.announce(days_of(10, series="b", from_ms=START + 5 * DAY))
    manifest = exported.forced()
    card = exported.card()
    counts = exported.counts()
    assert card["windows"] == len(counts) == 30 * 288
    assert card["events"] == sum(int(row["count"]) for row in counts)
    assert [one["series"] for one in card["series"]] == ["a", "b"]
    assert sum(one["rows"] for one in card["series"]) == (
        card["rows"]["train_kept"] + card["rows"]["validation_kept"]
    )
    assert card["rows"]["train_kept"] == card["rows"]["train"] == manifest.train.rows
    assert card["series"][1] == {
        "series": "b",
        "events": sum(int(row["count"]) for row in counts if row["series"] == "b"),
        "windows": 2880,
        "first_window": shown(START + 5 * DAY),
        "last_window": shown(START + 15 * DAY - SIZE),
        "rows": 5 * 288,  # its half warms up
    }
    assert (card["exclusions"], card["excluded_windows"]) == ([], 0)


def test_of_too_many_rows_an_even_part_stays() -> None:
    made = Exported(max_train_rows=500, max_validation_rows=100)
    for name in ("a", "b", "c", "d"):
        made.store.announce(days_of(DAYS, series=name))
    made.closed(DAYS)
    manifest = made.forced()
    card = made.card()
    assert (manifest.train.rows, manifest.validation.rows) == (500, 100)
    assert card["rows"] == {
        "train": 4 * 9 * 288,
        "train_kept": 500,
        "validation": 4 * 4 * 288,
        "validation_kept": 100,
    }
    assert [110 < one["rows"] < 190 for one in card["series"]] == [True] * 4
    whole = Exported()
    for name in ("a", "b", "c", "d"):
        whole.store.announce(days_of(DAYS, series=name))
    whole.closed(DAYS)
    whole.forced()
    assert set(map(tuple, made.rows("train"))) <= set(map(tuple, whole.rows("train")))


# --- when


def history_of(days: float) -> Exported:
    made = Exported()
    made.store.announce(days_of(days))
    made.closed(days)
    return made


def test_a_cold_start_exports_daily_until_two_weeks_exist_and_weekly_then() -> None:
    made = Exported()
    exported_on: list[int] = []
    reasons: dict[int, str] = {}
    for day in range(1, 40):
        made.store.announce(days_of(1, from_ms=START + (day - 1) * DAY))
        made.closed(day + 0.1)
        outcome = made.run()
        if outcome.exported:
            exported_on.append(day)
            train(made, outcome.manifest_uri, ModelState.LIVE)
        else:
            reasons[day] = outcome.reason
        assert not made.run().exported  # doubled
    assert exported_on == [*range(3, 14), 20, 27, 34]
    assert reasons[1].startswith("too little history: trusted counts from 2013-01-07T00:00:00Z")
    assert reasons[2] == "too little history: no row to train or to validate with yet"
    assert reasons[15] == (
        "not due: the last dataset ends at 2013-01-20T00:00:00Z, the next one at"
        " 2013-01-27T00:00:00Z; closed days end at 2013-01-22T00:00:00Z"
    )


def train(made: Exported, manifest_uri: str, state: ModelState) -> None:
    version = f"job-{len(made.ledger.all())}"
    record = ModelRecord(
        version=version, endpoint="gauge", state=state, until_ms=0, manifest_uri=manifest_uri
    )
    assert made.ledger.write([ModelChange(record, None)])


@pytest.mark.parametrize(
    ("state", "is_due"),
    [
        (ModelState.FAILED, True),
        (None, True),
        (ModelState.REFUSED, False),
        (ModelState.LIVE, False),
    ],
)
def test_a_dataset_that_gave_no_model_waits_no_week(state: ModelState | None, is_due: bool) -> None:
    made = history_of(DAYS)
    outcome = made.run()
    if state is not None:
        train(made, outcome.manifest_uri, state)
    assert not made.run().exported
    made.store.announce(days_of(1, from_ms=START + DAYS * DAY))
    made.closed(DAYS + 1)
    assert made.run().exported is is_due


def test_by_hand_it_is_always_due_but_never_of_too_little() -> None:
    made = history_of(DAYS)
    assert made.run().exported
    assert not made.run().exported
    assert made.run(force=True).exported
    assert not history_of(1.9).run(force=True).exported


def test_a_stream_that_nothing_is_closed_of_has_too_little_history() -> None:
    made = Exported()
    assert made.run(force=True).reason == "too little history: no window of the stream is closed"
    made.store.announce(
        completed(1, "a", one.window_start_ms, 1, quality=Quality.PARTIAL) for one in days_of(5)
    )
    made.closed(5)
    assert "no count before 2013-01-12T00:00:00Z can be trusted" in made.run().reason
    assert made.objects.uris() == []


def test_of_more_than_a_year_the_last_year_is_exported() -> None:
    made = Exported(size_ms=DAY, enough_windows=6)
    made.store.announce(completed(1, "a", START + n * DAY, 100 + n % 7) for n in range(400))
    made.closed(400)
    manifest = made.forced()
    assert manifest.start == shown(START + 35 * DAY)
    assert manifest.counts.rows == 365


def test_windows_longer_than_a_day_end_a_dataset_with_a_window() -> None:
    size = 2 * DAY
    start = START - START % size
    made = Exported(size_ms=size, enough_windows=6)
    made.store.announce(completed(1, "a", start + n * size, 100 + n % 7) for n in range(60))
    made.store.close(1, start + 60 * size)
    manifest = made.forced()
    assert manifest.until == shown(start + 60 * size)
    assert manifest.validation.rows == 3  # six of seven days


# --- two at once, and ends that come early


def test_of_two_at_once_the_second_leaves_it_to_the_first(exported: Exported) -> None:
    with exported.ledger.only_one(LOCK) as alone:
        assert alone
        assert exported.run(force=True).reason == "another export is running"
    assert exported.objects.uris() == []
    assert exported.run(force=True).exported


@pytest.mark.parametrize("stored_before", range(5))
def test_an_end_that_comes_early_triggers_nothing_and_is_made_good_by_the_next(
    exported: Exported, stored_before: int
) -> None:
    class Failing:
        """Takes some objects, then no more."""

        def __init__(self) -> None:
            self.left = stored_before

        def __getattr__(self, name: str) -> object:
            if not self.left:
                msg = "S3 is away"
                raise Transient(msg)
            self.left -= 1
            return getattr(exported.objects, name)

    failing = ExportStep(exported.store, exported.ledger, Failing(), exported.rules)  # type: ignore[arg-type]
    with pytest.raises(Transient):
        failing.run()
    assert len(exported.objects.uris()) == stored_before
    assert not any(uri.endswith("manifest.json") for uri in exported.objects.uris())
    assert exported.store.latest(ARN) is None
    assert exported.run().exported
    assert len(exported.objects.uris()) == 5


def test_progress_is_told_series_by_series(exported: Exported) -> None:
    exported.store.announce(days_of(3, series="b"))
    heard: list[tuple[int, int]] = []
    step = ExportStep(exported.store, exported.ledger, exported.objects, exported.rules)
    step.run(force=True, told=lambda done, of: heard.append((done, of)))
    assert heard == [(0, 2), (1, 2), (2, 2)]
