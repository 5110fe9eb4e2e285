"""The doctor: each thing that can be wrong is found, told apart, and comes with its remedy."""

import msgspec
import pytest

from tests.support.diagnosis import (
    PASSWORD,
    READING,
    FakeCloud,
    FakeDatabase,
    all_but,
    examined,
    function,
    levels,
    only,
    stream_arn,
    with_mapping,
)
from tidegauge.domain.errors import Misconfigured, Transient
from tidegauge.ports.diagnosis import (
    Denied,
    FunctionFacts,
    Schedule,
    StreamFacts,
    TopicFacts,
    Unsupported,
)
from tidegauge.steps.doctor_finding import Level

OK, WARNING, WRONG, NOT_CHECKED = Level.OK, Level.WARNING, Level.WRONG, Level.NOT_CHECKED
CHECKS = [
    "settings", "AWS account", "clock", "events stream", "functions", "event source mapping",
    "schedule", "windows stream", "topic", "roles", "database address", "database",
    "database clock", "schema", "counting", "one clock", "endpoint", "retraining",
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
    assert levels(findings, "roles") == [OK] * 6


@pytest.mark.parametrize(
    ("method", "what", "error", "remedy"),
    [
        ("server", "database", Transient("no answer"), "its host and port"),
        ("server", "database", Misconfigured(["refused"]), "user, password or database name"),
        ("schema", "schema", Transient("no answer"), "its host and port"),
        ("schema", "schema", Misconfigured(["denied"]), "SELECT on all tables"),
        ("read", "counting", Misconfigured(["no such column"]), "run `tidegauge migrate`"),
        ("read", "one clock", Transient("no answer"), "its host and port"),
    ],
)
def test_what_a_database_does_not_answer_comes_with_what_helps(
    method: str, what: str, error: Exception, remedy: str
) -> None:
    findings = examined(database=FakeDatabase(failures={method: error}))
    assert levels(findings, what) == [WRONG]
    assert any(f.what == what and remedy in f.remedy for f in findings)


def test_a_database_address_that_is_none_says_how_one_looks() -> None:
    env = {"EVENTS_STREAM": "events", "DATABASE_URL": f"postgres://u:{PASSWORD}@h/d"}
    findings = examined(env=env)
    remedies = [finding.remedy for finding in findings if finding.what == "database address"]
    assert ["mysql://user:password@host:3306/database" in each for each in remedies] == [True]
    assert PASSWORD not in repr(findings)


def test_settings_that_cannot_be_used_spoil_no_check_that_does_not_need_them() -> None:
    env = {"EVENTS_STREAM": "events", "WINDOW_SECONDS": "7", "HEARTBEATS": "sun"}
    findings = examined(env=env)
    for what, level in (("database", OK), ("schema", OK), ("counting", NOT_CHECKED)):
        assert levels(findings, what) == [level]
    assert levels(findings, "one clock") == [NOT_CHECKED]
    assert [f.remedy for f in findings if f.what == "settings"] == [
        "set it so, or unset it for its default"
    ] * 2


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
        "ENDPOINT_NAME": "under_score", "EXPORTS_BUCKET": "A bucket", "GATE_MARGIN": "much",
    }  # fmt: skip
    findings = examined(env=env)
    faults = [finding.says for finding in findings if finding.what == "settings"]
    names = ["WINDOW_SECONDS", "HEARTBEATS", "ALERTS_TOPIC_ARN", "DATABASE_URL"]
    names += ["ENDPOINT_NAME", "EXPORTS_BUCKET", "GATE_MARGIN"]
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
        (all_but("predict"), "there is no predict function"),
        (all_but("sweep", function("sweep"), function("sweep")), "2 functions are sweep of this"),
        (all_but("train", function("train"), function("train")), "2 functions are train of this"),
        (
            all_but("collect", msgspec.structs.replace(function("collect"), state="Failed")),
            "tg-collect is Failed",
        ),
        (all_but("deploy", function("deploy", SERVING="ice")), "deploy: SERVING must be "),
        (
            all_but("deploy", function("deploy", ENDPOINT_NAME="other")),
            "ENDPOINT_NAME is not the same in all functions: predict tides, export tides, "
            "train tides, deploy other",
        ),
        (
            [function("collect", WINDOW_SECONDS="7"), function("predict", WINDOW_SECONDS="7"),
             function("sweep", WINDOW_SECONDS="7")],
            "collect: WINDOW_SECONDS must divide a day",
        ),
        (
            all_but("sweep", function("sweep", HEARTBEATS="producer")),
            "HEARTBEATS is not the same in all functions: collect sweep, predict sweep, "
            "sweep producer, export sweep",
        ),
    ],
)  # fmt: skip
def test_functions_that_cannot_count_together(deployed: list[FunctionFacts], says: str) -> None:
    findings = examined(FakeCloud(deployed=deployed))
    faults = [f.says for f in findings if f.what == "functions" and f.level is WRONG]
    assert any(fault.startswith(says) for fault in faults)


def test_a_function_that_is_being_made_is_no_fault() -> None:
    pending = msgspec.structs.replace(function("sweep"), state="Pending")
    findings = examined(FakeCloud(deployed=all_but("sweep", pending)))
    assert only(findings, WARNING).says == "tg-sweep is Pending"


def test_what_is_set_otherwise_here_than_there_is_a_warning() -> None:
    findings = examined(env={"EVENTS_STREAM": "events", "WINDOW_SECONDS": "60"})
    found = only(findings, WARNING)
    assert found.says == "WINDOW_SECONDS is 60 here, and 300 in the functions"


# --- mapping, schedule, streams, topic ------------------------------------------------------------


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
    cloud = FakeCloud()
    cloud.rules["sweep"] = rules
    found = only(examined(cloud), WRONG)
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
