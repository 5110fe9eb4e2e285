"""The live stack: what follows from the length of its windows, and what keeps it apart."""

import fcntl
import os
import re
import threading
from pathlib import Path

import msgspec
import pytest

from embedded.inject import with_faults
from embedded.live import LiveSettings, keep_settings, settings_at
from embedded.local import LocalStack, Ports, given_database
from embedded.places import REPOSITORY, Places, default_places, live_places
from embedded.processes import ProcessRecord, start_identity
from tidegauge.domain.errors import InvalidInput, Misconfigured
from tidegauge.domain.event_time import parse_time_ms
from tidegauge.simulator_settings import SimulatorSettings


@pytest.mark.parametrize(
    ("size", "lateness", "beats", "tick"),
    [(10, 10, 12, 2), (20, 10, 12, 2), (60, 12, 4, 10), (300, 60, 1, 10), (3600, 60, 1, 10)],
)
def test_all_follows_from_the_length_of_a_window(
    size: int, lateness: int, beats: int, tick: int
) -> None:
    settings = LiveSettings.from_env({"WINDOW_SECONDS": str(size)})
    assert settings.windows.allowed_lateness_seconds == lateness
    assert settings.heartbeats_per_minute == beats
    assert settings.simulator.simulator_tick_seconds == tick
    # What is put a tick after it happened has to be on time.
    assert settings.windows.allowed_lateness_seconds > tick or size >= 60
    busiest = max(kind.per_minute for kind in settings.simulator.types())
    assert busiest * size / 60 == pytest.approx(300)


def test_windows_are_those_of_production_unless_told_otherwise() -> None:
    assert LiveSettings.from_env({}).windows.window_seconds == 300
    assert LiveSettings.from_env({}).wanted.heartbeats == "sweep"


def test_what_is_given_stands() -> None:
    env = {
        "WINDOW_SECONDS": "20",
        "ALLOWED_LATENESS_SECONDS": "5",
        "HEARTBEATS_PER_MINUTE": "6",
        "ENOUGH_WINDOWS": "24",
        "SIMULATOR_TYPES": "a:1,b:2",
        "SIMULATOR_RATE": " ",
    }
    passed = LiveSettings.from_env(env).wanted.parameters
    assert passed["AllowedLatenessSeconds"] == "5"
    assert passed["HeartbeatsPerMinute"] == "6"
    assert passed["EnoughWindows"] == "24"
    assert passed["SimulatorTypes"] == "a:1,b:2"
    assert passed["SimulatorRate"] == "1"


def test_every_parameter_of_a_live_stack_is_the_templates() -> None:
    template = (REPOSITORY / "template.yaml").read_text()
    declared = re.findall(r"^  (\w+):$", template.split("\nConditions:")[0], re.MULTILINE)
    assert set(LiveSettings.from_env({}).wanted.parameters) <= set(declared)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WINDOW_SECONDS", "5", "between 10 and 3600"),
        ("WINDOW_SECONDS", "70", "must divide a day"),
        ("HEARTBEATS_PER_MINUTE", "13", "between 1 and 12"),
        ("ENOUGH_WINDOWS", "5", "between 6 and"),
        ("SIMULATOR_TYPES", "a", "must name event types"),
        ("SIMULATOR_FAULTS", "flood:a", "must have the form"),
    ],
)
def test_a_wrong_setting_is_said_by_its_name(name: str, value: str, said: str) -> None:
    with pytest.raises(Misconfigured, match=f"{name} .*{said}"):
        LiveSettings.from_env({name: value})


def test_it_never_shares_a_state_folder_with_make_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert live_places().state != default_places().state
    monkeypatch.setenv("TIDEGAUGE_STATE", str(tmp_path))
    monkeypatch.setenv("TIDEGAUGE_LIVE_STATE", str(tmp_path))
    with pytest.raises(InvalidInput, match="TIDEGAUGE_LIVE_STATE must be another folder"):
        live_places()


def test_a_database_that_belongs_to_either_stack_is_not_taken_for_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # `tidegauge status` tells people to export it.
    monkeypatch.setenv("TIDEGAUGE_STATE", str(tmp_path / "run"))
    monkeypatch.setenv("TIDEGAUGE_LIVE_STATE", str(tmp_path / "live"))
    for places in (default_places(), live_places()):
        places.password.parent.mkdir(parents=True)
        places.password.write_text(f"of-{places.state.name}")
        url = f"mysql://tidegauge:of-{places.state.name}@127.0.0.1:3307/tidegauge"
        assert given_database({"DATABASE_URL": url}) is None
    other = given_database({"DATABASE_URL": "mysql://me:mine@127.0.0.1:3306/counts"})
    assert other is not None
    assert other.database == "counts"
    assert given_database({}) is None


def test_both_stacks_may_have_ports_of_their_own() -> None:
    env = {"TIDEGAUGE_ENGINE_PORT": "4566", "TIDEGAUGE_LIVE_ENGINE_PORT": "4577"}
    assert (Ports.from_env(env).engine, Ports.from_env(env, "LIVE_").engine) == (4566, 4577)


def test_who_comes_back_to_a_running_stack_need_not_repeat_its_settings(tmp_path: Path) -> None:
    places = Places(tmp_path)
    started = LiveSettings.from_env({"WINDOW_SECONDS": "20", "SIMULATOR_SEED": "7"})
    keep_settings(places, started)
    assert settings_at(places, {}).windows.window_seconds == 300  # nothing runs
    own = ProcessRecord(os.getpid(), start_identity(os.getpid()) or "", 4566)
    (places.state / "engine.pid").write_bytes(msgspec.json.encode(own))
    assert settings_at(places, {}) == started
    again = settings_at(places, {"ENOUGH_WINDOWS": "12"})
    assert (again.enough_windows, again.windows.window_seconds) == (12, 20)
    # One server is left of it: the others come back as they were.
    places.password.parent.mkdir()
    places.password.write_text("secret")
    for gone, left in (("engine", "database"), ("database", "sagemaker")):
        (places.state / f"{gone}.pid").rename(places.state / f"{left}.pid")
        assert settings_at(places, {}) == started
    # Lateness, heartbeats and rates of short windows would not do for long ones.
    longer = {"WINDOW_SECONDS": "300", "ENOUGH_WINDOWS": "12"}
    assert settings_at(places, longer) == LiveSettings.from_env(longer)


def test_a_stack_is_not_stopped_while_another_terminal_starts_it(tmp_path: Path) -> None:
    stopped: list[list[str]] = []
    stack = LocalStack(Places(tmp_path))
    stopping = threading.Thread(target=lambda: stopped.append(stack.down()))
    with (tmp_path / "up.lock").open("w") as started:
        fcntl.flock(started, fcntl.LOCK_EX)
        stopping.start()
        stopping.join(0.2)
        assert (stopping.is_alive(), stopped) == (True, [])
    stopping.join(30)
    assert stopped == [[]]
    assert LocalStack(Places(tmp_path / "never")).down() == []
    assert not (tmp_path / "never").exists()


def test_the_model_of_a_live_stack_follows_its_windows() -> None:
    models = [LiveSettings.from_env({"WINDOW_SECONDS": size}).model for size in ("20", "300")]
    assert models[0].made_from(REPOSITORY) != models[1].made_from(REPOSITORY)


# --- injected faults ------------------------------------------------------------------------------

NOON = "2026-11-24T12:00:00Z"
NOON_MS = parse_time_ms(NOON)
SIMULATED = SimulatorSettings(
    "events", simulator_types="a:60,b:60", simulator_tick_seconds=2,
    simulator_faults=f"silence:b@{NOON}+1m,drop:b@2026-11-24T11:40:00Z+1m",
)  # fmt: skip


def test_a_fault_is_kept_so_that_the_simulator_reads_the_same_at_any_later_time() -> None:
    faults, setting = with_faults(
        SIMULATED, ["spike:ax3", "drop:b@+10+20"], lasting="40s", now_ms=NOON_MS + 1_500
    )
    assert [(fault.start_ms - NOON_MS, fault.end_ms - NOON_MS) for fault in faults] == [
        (4_000, 44_000),
        (14_000, 34_000),
    ]
    assert setting.split(",") == [
        f"silence:b@{NOON}+1m",  # it goes on; what ended a quarter of an hour ago is left out
        "spike:ax3@2026-11-24T12:00:04Z+40s",
        "drop:bx0.2@2026-11-24T12:00:14Z+20s",
    ]
    kept = SimulatorSettings.from_env({"EVENTS_STREAM": "e", "SIMULATOR_TYPES": "a:60,b:60",
                                       "SIMULATOR_FAULTS": setting})  # fmt: skip
    assert kept.simulation().per_minute_at("b", NOON_MS + 14_000) == 0


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["silence:c"], "the types are a, b"),
        (["silence:a@2026-11-24T11:00:00Z+1m"], "is over"),
        (["spike:ax1000", "spike:ax1000"], "more than 1,200,000 events a minute"),
    ],
)
def test_a_fault_that_the_simulator_could_not_have_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        with_faults(SIMULATED, texts, lasting="1m", now_ms=NOON_MS)
