"""Settings: defaults, every fault reported at once, no secret ever shown."""

import pytest

from tidegauge.domain.errors import Misconfigured
from tidegauge.settings import (
    AlertSettings,
    Clocks,
    DatabaseAddress,
    DatabaseSettings,
    JudgingSettings,
    StreamSettings,
    WindowSettings,
    read_settings,
    variable_names,
)

STREAMS = {"EVENTS_STREAM": "events", "WINDOWS_STREAM": "windows"}
URL = "mysql://tide:s3cret%21@db.example:3307/gauge"


def problems_of(env: dict[str, str], *kinds: type) -> tuple[str, ...]:
    with pytest.raises(Misconfigured) as caught:
        read_settings(env, *kinds)
    return caught.value.problems


def test_an_empty_environment_gives_the_documented_windows() -> None:
    windows = WindowSettings.from_env({})
    assert (windows.size_ms, windows.lateness_ms) == (300_000, 60_000)
    assert windows.max_future_skew_ms == 300_000
    assert windows.max_event_age_ms == 86_400_000
    assert windows.series_fields == ("type",)
    assert windows.quarantine_max_bytes == 512_000_000
    assert windows == WindowSettings()


def test_a_blank_variable_counts_as_not_set() -> None:
    assert JudgingSettings.from_env({"ENDPOINT_NAME": " ", "CLEAR_WINDOWS": ""}).clear_windows == 12


def test_all_faults_of_all_concerns_are_reported_together() -> None:
    env = {
        "WINDOW_SECONDS": "seven",
        "MAX_FUTURE_SKEW_SECONDS": "59",
        "HEARTBEATS": "nobody",
        "INTERVAL_LEVEL": "nan",
    }
    found = problems_of(env, WindowSettings, StreamSettings, JudgingSettings, AlertSettings)
    for name in (*env, "EVENTS_STREAM", "WINDOWS_STREAM", "ALERTS_TOPIC_ARN"):
        assert any(name in problem for problem in found), name


@pytest.mark.parametrize("seconds", ["1", "60", "300", "3600", "86400", "172800", "604800"])
def test_windows_that_fit_the_day_are_accepted(seconds: str) -> None:
    env = {"WINDOW_SECONDS": seconds, "MAX_EVENT_AGE_HOURS": "200"}
    assert WindowSettings.from_env(env).window_seconds == int(seconds)


@pytest.mark.parametrize("seconds", ["0", "-300", "7", "90000", "1.5", "", "604801", "3_00", "٣٠٠"])
def test_windows_that_do_not_fit_the_day_are_refused(seconds: str) -> None:
    if not seconds:
        assert WindowSettings.from_env({"WINDOW_SECONDS": seconds}).window_seconds == 300
        return
    assert problems_of({"WINDOW_SECONDS": seconds}, WindowSettings)


def test_an_age_limit_below_the_window_is_refused() -> None:
    (problem,) = problems_of({"WINDOW_SECONDS": "86400"}, WindowSettings)
    assert "MAX_EVENT_AGE_HOURS" in problem


@pytest.mark.parametrize("fields", ["", "type", "type,data.country", "source, data.a.b"])
def test_series_fields_are_split_at_commas(fields: str) -> None:
    wanted = tuple(part.strip() for part in (fields or "type").split(","))
    assert WindowSettings.from_env({"SERIES_BY": fields}).series_fields == wanted


@pytest.mark.parametrize("fields", [",", "type,", "type,type", "country", "data", "data."])
def test_series_fields_that_name_nothing_are_refused(fields: str) -> None:
    assert "SERIES_BY" in problems_of({"SERIES_BY": fields}, WindowSettings)[0]


def test_the_clock_of_a_stream_is_the_sweep_or_the_producer() -> None:
    assert StreamSettings.from_env(STREAMS).heartbeats is Clocks.SWEEP
    told = StreamSettings.from_env({**STREAMS, "HEARTBEATS": "producer"})
    assert told.heartbeats is Clocks.PRODUCER


def test_a_database_address_is_read_from_its_url() -> None:
    settings = DatabaseSettings.from_env({"DATABASE_URL": URL})
    address = settings.address()
    assert address == DatabaseAddress("db.example", 3307, "tide", "s3cret!", "gauge")
    assert settings.needs_tls(address)
    assert not settings.needs_tls(DatabaseAddress.from_url("mysql://u:p@127.0.0.1/db"))


def test_tls_follows_the_setting_where_it_is_set() -> None:
    far, near = DatabaseAddress.from_url(URL), DatabaseAddress.from_url("mysql://u@localhost/db")
    off = DatabaseSettings.from_env({"DATABASE_URL": URL, "DATABASE_TLS": "off"})
    required = DatabaseSettings.from_env({"DATABASE_URL": URL, "DATABASE_TLS": "required"})
    assert not off.needs_tls(far)
    assert required.needs_tls(near)


def test_a_database_address_is_read_from_its_secret() -> None:
    text = '{"host":"h","port":"3308","username":"u","password":"s3cret","dbname":"d"}'
    assert DatabaseAddress.from_secret(text).port == 3308


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:s3cret@h/db",
        "mysql://:s3cret@h/db",
        "mysql://u:s3cret@h",
        "mysql://u:s3cret@h:port/db",
        "mysql://u:s3cret@h:99999/db",
        "mysql://u:s3cret@h/db?x=1",
        "s3cret",
    ],
)
def test_no_message_and_no_repr_shows_a_secret(url: str) -> None:
    (problem,) = problems_of({"DATABASE_URL": url}, DatabaseSettings)
    assert "s3cret" not in problem
    good = DatabaseSettings.from_env({"DATABASE_URL": URL})
    assert "s3cret" not in repr(good) + repr(good.address())
    with pytest.raises(Misconfigured) as caught:
        DatabaseAddress.from_secret('{"password":"s3cret"}')
    assert "s3cret" not in str(caught.value)


def test_exactly_one_way_to_the_database_is_wanted() -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-abc"
    assert "neither" in problems_of({}, DatabaseSettings)[0]
    both = {"DATABASE_URL": URL, "DATABASE_SECRET_ARN": arn}
    assert "both" in problems_of(both, DatabaseSettings)[0]
    assert DatabaseSettings.from_env({"DATABASE_SECRET_ARN": arn}).address() is None


def test_variables_bear_the_names_of_the_fields() -> None:
    assert variable_names(AlertSettings) == ("ALERTS_TOPIC_ARN",)
    assert "WINDOW_SECONDS" in variable_names(WindowSettings)


def test_a_sweep_has_one_to_twelve_rounds_a_minute() -> None:
    assert StreamSettings.from_env(STREAMS).heartbeats_per_minute == 1
    for rounds in ("1", "12"):
        env = {**STREAMS, "HEARTBEATS_PER_MINUTE": rounds}
        assert StreamSettings.from_env(env).heartbeats_per_minute == int(rounds)
    for rounds in ("0", "13", "6.5", "many"):
        (problem,) = problems_of({**STREAMS, "HEARTBEATS_PER_MINUTE": rounds}, StreamSettings)
        assert "HEARTBEATS_PER_MINUTE" in problem


def test_failed_batches_are_kept_nowhere_or_in_a_bucket() -> None:
    assert StreamSettings.from_env(STREAMS).failed_batches_bucket == ""
    env = {**STREAMS, "FAILED_BATCHES_BUCKET": "tidegauge-failed.1"}
    assert StreamSettings.from_env(env).failed_batches_bucket == "tidegauge-failed.1"
    for name in ("No-Bucket", "ab", "-a-", "s3://bucket", "arn:aws:s3:::bucket"):
        (problem,) = problems_of({**STREAMS, "FAILED_BATCHES_BUCKET": name}, StreamSettings)
        assert "FAILED_BATCHES_BUCKET must be the name of an S3 bucket" in problem
