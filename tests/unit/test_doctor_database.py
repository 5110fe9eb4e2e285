"""The doctor on clocks, database, counting and roles: found, told apart, with the remedy."""

import msgspec
import pytest

from tests.support.diagnosis import (
    PASSWORD,
    FakeCloud,
    FakeDatabase,
    counted,
    examined,
    function,
    levels,
    only,
)
from tests.support.snapshots import at, shard
from tidegauge.database_address import DatabaseAddress
from tidegauge.domain.errors import Misconfigured
from tidegauge.domain.snapshot import Loss
from tidegauge.ports.diagnosis import (
    SchemaFacts,
    ServerFacts,
)
from tidegauge.steps.doctor_finding import Level

OK, WARNING, WRONG, NOT_CHECKED = Level.OK, Level.WARNING, Level.WRONG, Level.NOT_CHECKED


# --- clocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead_ms", "level", "says"),
    [
        (900, OK, "this machine's clock is within a second of AWS's"),
        (-5_000, OK, "this machine's clock is 5 s behind AWS's"),
        (60_000, WARNING, "this machine's clock is 60 s ahead of AWS's"),
        (-300_000, WRONG, "this machine's clock is 300 s behind AWS's"),
    ],
)
def test_this_machines_clock_against_the_clouds(ahead_ms: int, level: Level, says: str) -> None:
    database = FakeDatabase(facts=ServerFacts("8.4.3", True, ahead_ms))
    findings = examined(FakeCloud(clock_ahead_ms=ahead_ms), database)
    (clock,) = [finding for finding in findings if finding.what == "clock"]
    assert (clock.level, clock.says) == (level, says)
    # the database agrees with the cloud, whatever this machine thinks
    assert levels(findings, "database clock") == [OK]


def test_a_database_whose_clock_is_off() -> None:
    database = FakeDatabase(facts=ServerFacts("8.4.3", True, -40_000))
    found = only(examined(database=database), WARNING)
    assert (found.what, found.says) == (
        "database clock", "40 s ahead of AWS's: ages are told wrong",
    )  # fmt: skip


def test_a_replay_onto_a_stream_that_the_sweep_keeps() -> None:
    database = FakeDatabase(
        snapshot=msgspec.structs.replace(counted(), shards=[shard("s0", 60, heartbeat=700)])
    )
    found = only(examined(database=database), WARNING)
    assert found.says == ("the last heartbeat counted on s0 is not the sweep's: perhaps two clocks")


def test_a_heartbeat_that_the_sweep_is_about_to_note_is_its_own() -> None:
    ahead = msgspec.structs.replace(counted(), shards=[shard("s0", 60, heartbeat=700)])
    noted = msgspec.structs.replace(counted(), shards=[shard("s0", 60, heartbeat=700, beat=700)])
    database = FakeDatabase(snapshot=ahead, next_snapshots=[ahead, noted])
    assert levels(examined(database=database), "one clock") == [OK]


def test_a_sweep_that_beats_on_a_stream_of_replays() -> None:
    parts = [function(part, HEARTBEATS="producer") for part in ("collect", "predict", "sweep")]
    findings = examined(FakeCloud(deployed=parts))
    found = only(findings, WRONG)
    assert found.says.startswith("the sweep has put heartbeats on s0")
    replayed = msgspec.structs.replace(counted(), shards=[shard("s0", 60, beat=None)])
    findings = examined(FakeCloud(deployed=parts), FakeDatabase(snapshot=replayed))
    assert levels(findings, "one clock") == [OK]


def test_heartbeats_of_another_source_are_somebodys_clock() -> None:
    foreign = msgspec.structs.replace(counted(), quarantined={"foreign_heartbeat": 3})
    found = only(
        [f for f in examined(database=FakeDatabase(snapshot=foreign)) if f.what == "one clock"],
        WARNING,
    )
    assert found.says.startswith("3 heartbeats of another source were set aside")
    assert "CLOCK_SOURCE" in found.remedy


# --- database -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (ServerFacts("8.4.3", True, 0), OK),
        (ServerFacts("10.11.19-MariaDB-0+deb12u1", True, 0), OK),
        (ServerFacts("5.7.44-log", True, 0), WARNING),
        (ServerFacts("10.4.1-MariaDB", True, 0), WARNING),
        (ServerFacts("8.4.3", False, 0), WARNING),  # over a network
        (ServerFacts("cloud edition", True, 0), OK),
    ],
)
def test_a_server_by_its_version_and_whether_the_wire_is_open(
    facts: ServerFacts, level: Level
) -> None:
    assert levels(examined(database=FakeDatabase(facts=facts)), "database") == [level]


def test_an_open_wire_within_this_machine_is_fine() -> None:
    database = FakeDatabase(facts=ServerFacts("8.4.3", False, 0))
    here = DatabaseAddress("127.0.0.1", 3306, "tide", PASSWORD, "gauge")
    assert levels(examined(FakeCloud(address=here), database), "database") == [OK]


def test_a_schema_that_is_behind_keeps_counting_unchecked() -> None:
    database = FakeDatabase(migrations=SchemaFacts(["0002_judging", "0003_ringing"], []))
    findings = examined(database=database)
    found = only(findings, WRONG)
    assert (found.says, found.remedy) == (
        "lacks 0002_judging, 0003_ringing", "run `tidegauge migrate`",
    )  # fmt: skip
    assert levels(findings, "counting") == [NOT_CHECKED]


def test_a_schema_that_is_ahead_is_a_warning() -> None:
    database = FakeDatabase(migrations=SchemaFacts([], ["0009_more"]))
    assert only(examined(database=database), WARNING).says.endswith("it has 0009_more")


def test_a_secret_that_is_no_secret_of_a_database_is_not_repeated() -> None:
    broken = Misconfigured(["the secret of DATABASE_SECRET_ARN must be JSON"])
    findings = examined(FakeCloud(failures={"secret": broken}))
    assert levels(findings, "database address") == [WRONG]
    assert PASSWORD not in repr(findings)


@pytest.mark.parametrize(
    ("changes", "level", "says"),
    [
        ({"shards": [shard("s0", 20)]}, WRONG, "stalled: no heartbeat was put on shard s0"),
        (
            {"losses": [Loss(at(10), at(15), "parent_lost", "s0")]},
            WRONG,
            "incomplete: records on shard s0 are lost",
        ),
        ({"unsent": 3, "unsent_age_ms": 900_000}, WARNING, "3 messages wait to be sent"),
    ],
)
def test_counting_is_told_as_status_tells_it(
    changes: dict[str, object], level: Level, says: str
) -> None:
    database = FakeDatabase(snapshot=msgspec.structs.replace(counted(), **changes))
    found = only(
        [f for f in examined(database=database) if f.what == "counting" and f.remedy], level
    )
    assert found.says.startswith(says)
    assert found.remedy.startswith("look at")


def test_a_stream_of_which_nothing_was_counted() -> None:
    findings = examined(database=FakeDatabase(snapshot=None))
    assert only(findings, WARNING).what == "counting"
    assert levels(findings, "one clock") == [NOT_CHECKED]
