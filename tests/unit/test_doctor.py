"""The doctor: each thing that can be wrong is found, told apart, and comes with its remedy."""

import msgspec
import pytest

from tests.support.diagnosis import (
    PASSWORD,
    READING,
    FakeCloud,
    FakeDatabase,
    counted,
    examined,
    function,
    levels,
    only,
    stream_arn,
    with_mapping,
)
from tests.support.snapshots import at, shard
from tidegauge.database_address import DatabaseAddress
from tidegauge.domain.errors import Misconfigured, Transient
from tidegauge.domain.snapshot import Loss
from tidegauge.ports.diagnosis import (
    Absent,
    Denied,
    FunctionFacts,
    Schedule,
    SchemaFacts,
    ServerFacts,
    StreamFacts,
    TopicFacts,
    Unsupported,
)
from tidegauge.steps.doctor_finding import Level

OK, WARNING, WRONG, NOT_CHECKED = Level.OK, Level.WARNING, Level.WRONG, Level.NOT_CHECKED
CHECKS = [
    "settings", "AWS account", "clock", "events stream", "functions", "event source mapping",
    "schedule", "windows stream", "topic", "endpoint", "roles", "database address", "database",
    "database clock", "schema", "counting", "one clock",
]  # fmt: skip


def test_a_sound_deployment_is_found_sound_in_every_check() -> None:
    findings = examined()
    assert list(dict.fromkeys(finding.what for finding in findings)) == CHECKS
    assert {finding.level for finding in findings} == {OK}
    assert not any(finding.remedy for finding in findings)


def test_nothing_but_the_stream_has_to_be_named() -> None:
    database = FakeDatabase()
    examined(database=database, env={"EVENTS_STREAM": "events"})
    assert database.asked_for == [("db.internal", "events", True)]


def test_the_database_of_the_environment_comes_before_the_functions_secret() -> None:
    database = FakeDatabase()
    url = f"mysql://tide:{PASSWORD}@127.0.0.1:3307/gauge"
    findings = examined(database=database, env={"EVENTS_STREAM": "events", "DATABASE_URL": url})
    assert database.asked_for == [("127.0.0.1", "events", True)]
    assert PASSWORD not in repr(findings)


# --- what fails first, and what cannot be checked then --------------------------------------------


def test_without_the_cloud_nothing_that_needs_it_is_called_sound() -> None:
    cloud = FakeCloud(failures={"caller": Misconfigured(["Unable to locate credentials"])})
    findings = examined(cloud)
    wrong = only(findings, WRONG)
    assert (wrong.what, wrong.says) == ("AWS account", "Unable to locate credentials")
    assert "AWS_PROFILE" in wrong.remedy
    assert [finding.what for finding in findings if finding.level is OK] == ["settings"]
    assert len(findings) == len(CHECKS) - 2  # the two clocks are told of by what was not asked
    skipped = [finding.says for finding in findings if finding.level is NOT_CHECKED]
    assert skipped[0] == "it needs the check of AWS account, which failed"


def test_without_the_cloud_a_database_that_is_named_here_is_still_checked() -> None:
    cloud = FakeCloud(failures={"caller": Transient("no answer")})
    env = {"EVENTS_STREAM": "events", "DATABASE_URL": "mysql://tide:x@127.0.0.1/gauge"}
    findings = examined(cloud, env=env)
    for what in ("database", "schema", "counting"):
        assert levels(findings, what) == [OK]


def test_without_the_database_the_cloud_is_still_checked() -> None:
    database = FakeDatabase(failures={"server": Transient("the server cannot be reached (2003)")})
    findings = examined(database=database)
    assert levels(findings, "database") == [WRONG]
    for what in ("schema", "counting", "one clock"):
        assert levels(findings, what) == [NOT_CHECKED]
    assert levels(findings, "roles") == [OK] * 3


def test_a_stream_that_is_missing_says_where_its_name_comes_from() -> None:
    findings = examined(env={"EVENTS_STREAM": "event"})
    (stream,) = [finding for finding in findings if finding.what == "events stream"]
    assert (stream.level, stream.says) == (WRONG, "Stream event not found")
    assert "EVENTS_STREAM" in stream.remedy
    assert levels(findings, "event source mapping") == [NOT_CHECKED]


@pytest.mark.parametrize(
    ("method", "action", "what"),
    [
        ("stream", "kinesis:DescribeStreamSummary", "events stream"),
        ("functions", "lambda:ListFunctions", "functions"),
        ("readings", "lambda:ListEventSourceMappings", "event source mapping"),
        ("schedules", "events:ListRuleNamesByTarget", "schedule"),
        ("topic", "sns:GetTopicAttributes", "topic"),
        ("endpoint", "sagemaker:DescribeEndpoint", "endpoint"),
        ("secret", "secretsmanager:GetSecretValue", "database address"),
    ],
)
def test_a_call_that_is_refused_names_the_permission_and_who_lacks_it(
    method: str, action: str, what: str
) -> None:
    findings = examined(FakeCloud(failures={method: Denied(action, "arn:of:it")}))
    (found,) = [f for f in findings if f.what == what and f.level is WRONG]
    assert found.says == f"not allowed: {action} on arn:of:it"
    assert found.remedy == (
        f"allow {action} on arn:of:it to arn:aws:iam::123456789012:user/operator"
    )


@pytest.mark.parametrize(("method", "what"), [("schedules", "schedule"), ("allowed", "roles")])
def test_a_call_that_the_engine_does_not_know_is_not_checked(method: str, what: str) -> None:
    findings = examined(FakeCloud(failures={method: Unsupported("nobody knows this call")}))
    assert set(levels(findings, what)) == {NOT_CHECKED}


# --- settings and functions -----------------------------------------------------------------------


def test_all_faults_of_settings_are_told_together() -> None:
    env = {
        "EVENTS_STREAM": "events", "WINDOW_SECONDS": "7", "HEARTBEATS": "sun",
        "ALERTS_TOPIC_ARN": "alerts", "DATABASE_URL": f"mysql://{PASSWORD}@",
    }  # fmt: skip
    findings = examined(env=env)
    faults = [finding.says for finding in findings if finding.what == "settings"]
    names = ["WINDOW_SECONDS", "HEARTBEATS", "ALERTS_TOPIC_ARN", "DATABASE_URL"]
    assert all(any(fault.startswith(name) for fault in faults) for name in names)
    assert len(faults) == len(names)
    assert PASSWORD not in repr(findings)


def test_a_stream_that_no_function_reads() -> None:
    findings = examined(FakeCloud(deployed=[]))
    assert levels(findings, "functions") == [WRONG]
    assert levels(findings, "schedule") == levels(findings, "roles") == [NOT_CHECKED]


@pytest.mark.parametrize(
    ("deployed", "says"),
    [
        ([function("collect"), function("sweep")], "there is no predict function"),
        (
            [function("collect"), function("predict"), function("sweep"), function("sweep")],
            "2 functions are sweep of this stream",
        ),
        (
            [msgspec.structs.replace(function("collect"), state="Failed"), function("predict"),
             function("sweep")],
            "tg-collect is Failed",
        ),
        (
            [function("collect", WINDOW_SECONDS="7"), function("predict", WINDOW_SECONDS="7"),
             function("sweep", WINDOW_SECONDS="7")],
            "collect: WINDOW_SECONDS must divide a day",
        ),
        (
            [function("collect"), function("predict"), function("sweep", HEARTBEATS="producer")],
            "HEARTBEATS is not the same in all functions: collect sweep, predict sweep, "
            "sweep producer",
        ),
    ],
)  # fmt: skip
def test_functions_that_cannot_count_together(deployed: list[FunctionFacts], says: str) -> None:
    findings = examined(FakeCloud(deployed=deployed))
    faults = [f.says for f in findings if f.what == "functions" and f.level is WRONG]
    assert any(fault.startswith(says) for fault in faults)


def test_a_function_that_is_being_made_is_no_fault() -> None:
    pending = msgspec.structs.replace(function("sweep"), state="Pending")
    findings = examined(FakeCloud(deployed=[function("collect"), function("predict"), pending]))
    assert only(findings, WARNING).says == "tg-sweep is Pending"


def test_what_is_set_otherwise_here_than_there_is_a_warning() -> None:
    findings = examined(env={"EVENTS_STREAM": "events", "WINDOW_SECONDS": "60"})
    found = only(findings, WARNING)
    assert found.says == "WINDOW_SECONDS is 60 here, and 300 in the functions"


# --- mapping, schedule, streams, topic, endpoint --------------------------------------------------


def test_a_mapping_that_spoils_the_counts_comes_with_the_command_that_mends_it() -> None:
    found = only(examined(with_mapping(parallelization_factor=2)), WRONG)
    assert found.what == "event source mapping"
    assert "ParallelizationFactor 2" in found.says
    assert "--parallelization-factor 1" in found.remedy


def test_what_a_mapping_does_not_tell_is_not_checked() -> None:
    found = only(examined(with_mapping(tumbling_window_seconds=None)), NOT_CHECKED)
    assert "does not tell its tumbling window seconds" in found.says


def test_a_windows_stream_that_nobody_reads() -> None:
    cloud = FakeCloud()
    cloud.mappings[stream_arn("windows")] = [msgspec.structs.replace(READING, enabled=False)]
    found = only(examined(cloud), WRONG)
    assert (found.what, "nothing is judged" in found.says) == ("windows stream", True)


@pytest.mark.parametrize(
    ("rules", "remedy"),
    [([Schedule("tick", False)], "enable-rule --name tick"), ([], "deploy template.yaml")],
)
def test_a_sweep_that_nobody_rings(rules: list[Schedule], remedy: str) -> None:
    found = only(examined(FakeCloud(rules=rules)), WRONG)
    assert found.what == "schedule"
    assert "no clock" in found.says
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (StreamFacts(stream_arn("events"), "DELETING", 2, 24), WRONG),
        (StreamFacts(stream_arn("events"), "UPDATING", 2, 24), OK),
        (StreamFacts(stream_arn("events"), "ACTIVE", 2, 12), WARNING),
    ],
)
def test_a_stream_that_is_going_away_or_forgets_too_soon(facts: StreamFacts, level: Level) -> None:
    cloud = FakeCloud()
    cloud.streams["events"] = facts
    assert levels(examined(cloud), "events stream") == [level]


def test_a_topic_that_nobody_is_subscribed_to() -> None:
    found = only(examined(FakeCloud(subscribers=TopicFacts(0, 1))), WARNING)
    assert found.says == "nobody is subscribed, 1 not confirmed: nobody hears of alerts"
    assert "aws sns subscribe" in found.remedy


@pytest.mark.parametrize(
    ("status", "level"), [("InService", OK), ("Updating", WARNING), ("Failed", WRONG)]
)
def test_an_endpoint_by_its_status(status: str, level: Level) -> None:
    assert levels(examined(FakeCloud(endpoint_status=status)), "endpoint") == [level]


def test_an_endpoint_that_is_missing_is_told_from_one_that_is_not_wanted_yet() -> None:
    missing = FakeCloud(failures={"endpoint": Absent("Could not find endpoint")})
    assert levels(examined(missing), "endpoint") == [WRONG]
    none = [function("collect"), function("predict", ENDPOINT_NAME=""), function("sweep")]
    findings = examined(FakeCloud(deployed=none))
    assert only(findings, WARNING).says == "no model is set (ENDPOINT_NAME): nothing is judged"


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


# --- roles ----------------------------------------------------------------------------------------


def test_a_role_that_lacks_a_permission_is_named_with_the_resource() -> None:
    findings = examined(FakeCloud(denied_actions={"sagemaker:InvokeEndpoint"}))
    found = only(findings, WRONG)
    endpoint = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/tides"
    assert found.says == f"predict may not sagemaker:InvokeEndpoint on {endpoint}"
    assert "role/tg-predict" in found.remedy
    assert levels(findings, "roles") == [OK, WRONG, OK]


def test_a_simulation_that_allows_everything_is_no_green() -> None:
    findings = examined(FakeCloud(allows_all=True))
    assert levels(findings, "roles") == [NOT_CHECKED] * 3


def test_a_simulation_that_is_refused_is_not_checked_and_says_what_is_missing() -> None:
    cloud = FakeCloud(failures={"allowed": Denied("iam:SimulatePrincipalPolicy", "arn:role")})
    findings = [finding for finding in examined(cloud) if finding.what == "roles"]
    assert [finding.level for finding in findings] == [NOT_CHECKED] * 3
    assert "iam:SimulatePrincipalPolicy on arn:role" in findings[0].says


def test_a_resource_that_is_not_known_keeps_its_role_from_being_called_sound() -> None:
    cloud = FakeCloud()
    del cloud.streams["windows"]
    findings = examined(cloud)
    assert levels(findings, "windows stream") == [WRONG]
    assert set(levels(findings, "roles")) == {NOT_CHECKED}
