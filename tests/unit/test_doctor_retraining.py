"""The doctor on retraining: a stack without a model is no fault, one that lost its model is."""

import pytest

from tests.support.diagnosis import (
    MODEL,
    FakeCloud,
    FakeDatabase,
    all_but,
    called,
    examined,
    function,
    levels,
)
from tidegauge.domain.errors import Transient
from tidegauge.domain.model_record import ModelState
from tidegauge.ports.diagnosis import (
    Absent,
    Denied,
    EndpointFacts,
    ModelStanding,
    Notification,
    Schedule,
    Unsupported,
)
from tidegauge.steps.doctor_finding import Finding, Level
from tidegauge.steps.doctor_settings import PARTS, RETRAINING

OK, WARNING, WRONG, NOT_CHECKED = Level.OK, Level.WARNING, Level.WRONG, Level.NOT_CHECKED
LIVE, RETIRED = ModelState.LIVE, ModelState.RETIRED
OTHER = "linear-learner-20130205-89abcdef"
NO_ENDPOINT: dict[str, Exception] = {"endpoint": Absent("Could not find endpoint")}


def endpoint_of(cloud: FakeCloud, *standings: tuple[str, ModelState]) -> Finding:
    """Return the finding of the endpoint where our records say this, latest first."""
    models = [ModelStanding(version, state) for version, state in standings]
    findings = examined(cloud, FakeDatabase(standings=models))
    (found,) = [finding for finding in findings if finding.what == "endpoint"]
    return found


def serving(*variants: str) -> FakeCloud:
    return FakeCloud(endpoint_facts=EndpointFacts("InService", variants))


# --- a stack without a model ----------------------------------------------------------------------


def test_a_stack_that_waits_for_its_first_dataset_says_what_is_going_on() -> None:
    found = endpoint_of(FakeCloud(failures=NO_ENDPOINT))
    assert found.level is WARNING
    assert "windows are counted and not judged" in found.says
    for part in ("two whole days of history", "`tidegauge retrain`", "`tidegauge models`"):
        assert part in found.remedy


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (ModelState.TRAINING, f"{MODEL} is being trained"),
        (ModelState.DEPLOYING, f"{MODEL} is being deployed"),
        (ModelState.FAILED, f"{MODEL} was not trained: its job failed"),
        (ModelState.REFUSED, f"{MODEL} was refused"),
        (ModelState.ROLLED_BACK, f"{MODEL} was rolled back"),
    ],
)
def test_a_stack_without_a_live_model_tells_what_became_of_the_last_one(
    state: ModelState, says: str
) -> None:
    found = endpoint_of(
        FakeCloud(failures=NO_ENDPOINT), (MODEL, state), (OTHER, ModelState.REFUSED)
    )
    assert found.level is WARNING
    assert says in found.says
    assert "tidegauge models" in found.remedy


@pytest.mark.parametrize("state", [LIVE, RETIRED])
def test_an_endpoint_that_is_missing_after_a_model_was_live_is_a_fault(state: ModelState) -> None:
    found = endpoint_of(
        FakeCloud(failures=NO_ENDPOINT), (MODEL, ModelState.TRAINING), (OTHER, state)
    )
    assert found.level is WRONG
    assert f"{OTHER} was live" in found.says
    assert "`tidegauge rollback VERSION`" in found.remedy


@pytest.mark.parametrize(
    "database",
    [
        FakeDatabase(failures={"server": Transient("no answer")}),
        FakeDatabase(failures={"models": Transient("the lock is held")}),
    ],
)
def test_without_the_database_nobody_knows_whether_a_model_was_live(database: FakeDatabase) -> None:
    missing = examined(FakeCloud(failures=NO_ENDPOINT), database)
    assert levels(missing, "endpoint") == [NOT_CHECKED]
    assert levels(examined(FakeCloud(), database), "endpoint") == [OK]
    failed = FakeCloud(endpoint_facts=EndpointFacts("Failed", [MODEL], "no such image"))
    assert levels(examined(failed, database), "endpoint") == [WRONG]


def test_a_stack_of_before_without_an_endpoints_name_is_told_how_to_get_one() -> None:
    without = [function(part, ENDPOINT_NAME="") for part in PARTS]
    findings = examined(FakeCloud(deployed=without))
    (found,) = [finding for finding in findings if finding.what == "endpoint"]
    assert (found.level, "ENDPOINT_NAME" in found.says) == (WARNING, True)


# --- an endpoint that is there --------------------------------------------------------------------


@pytest.mark.parametrize("status", ["Updating", "Creating", "RollingBack", "SystemUpdating"])
def test_an_endpoint_that_is_on_its_way_is_waited_for(status: str) -> None:
    found = endpoint_of(FakeCloud(endpoint_facts=EndpointFacts(status)), (MODEL, LIVE))
    assert (found.level, found.says) == (WARNING, f"tides is {status}")


@pytest.mark.parametrize("status", ["Failed", "OutOfService", "UpdateRollbackFailed"])
def test_an_endpoint_that_failed_says_why_and_how_to_get_a_model_back(status: str) -> None:
    facts = EndpointFacts(status, [MODEL], "the image cannot be pulled")
    found = endpoint_of(FakeCloud(endpoint_facts=facts), (MODEL, LIVE))
    assert found.level is WRONG
    assert found.says == f"tides is {status}: the image cannot be pulled"
    for command in ("`tidegauge models`", "`tidegauge rollback VERSION`", "`tidegauge retrain`"):
        assert command in found.remedy


def test_an_endpoint_that_serves_the_live_model_is_sound() -> None:
    found = endpoint_of(serving(MODEL), (OTHER, ModelState.REFUSED), (MODEL, LIVE))
    assert (found.level, found.says) == (OK, f"tides is in service, with {MODEL}")


def test_an_endpoint_that_serves_another_than_the_live_model_is_a_warning() -> None:
    found = endpoint_of(serving(OTHER), (MODEL, LIVE), (OTHER, RETIRED))
    assert found.level is WARNING
    assert found.says == (f"tides serves {OTHER}, which is retired; live by our records is {MODEL}")
    assert endpoint_of(serving("by-hand"), (MODEL, LIVE)).level is WARNING
    assert endpoint_of(serving(), (MODEL, LIVE)).level is WARNING
    assert endpoint_of(serving(OTHER), (OTHER, ModelState.ROLLED_BACK)).level is WARNING


def test_a_model_that_deploy_is_about_to_call_live_is_no_fault() -> None:
    found = endpoint_of(serving(MODEL), (MODEL, ModelState.DEPLOYING), (OTHER, LIVE))
    assert found.level is OK


def test_a_model_that_somebody_deployed_by_hand_is_taken_as_it_is() -> None:
    assert endpoint_of(serving("by-hand")).level is OK
    assert endpoint_of(serving("by-hand"), (MODEL, ModelState.REFUSED)).level is OK


# --- the chain from a dataset to the endpoint -----------------------------------------------------


def chain_of(cloud: FakeCloud) -> list[Finding]:
    """Return what is found of the chain, but for what is sound."""
    found = [finding for finding in examined(cloud) if finding.what == "retraining"]
    assert found
    return [finding for finding in found if finding.level is not OK]


def test_a_stack_of_before_without_retraining_is_not_checked_and_no_fault() -> None:
    findings = examined(FakeCloud(deployed=[function(part) for part in PARTS]))
    assert levels(findings, "retraining") == [NOT_CHECKED]
    assert WRONG not in {finding.level for finding in findings}


@pytest.mark.parametrize("part", RETRAINING)
def test_a_chain_with_a_function_missing_is_a_fault(part: str) -> None:
    found = chain_of(FakeCloud(deployed=all_but(part)))
    assert WRONG in {each.level for each in found}
    assert f"there is no {part} function for this stream" in {each.says for each in found}


@pytest.mark.parametrize(
    ("part", "rules", "level", "remedy"),
    [
        ("export", [Schedule("daily", False)], WARNING, "Retraining=on"),
        ("export", [], WRONG, "deploy template.yaml"),
        ("deploy", [Schedule("often", False)], WRONG, "enable-rule --name often"),
        ("deploy", [], WRONG, "deploy template.yaml"),
    ],
)
def test_a_schedule_that_rings_nobody(
    part: str, rules: list[Schedule], level: Level, remedy: str
) -> None:
    cloud = FakeCloud()
    cloud.rules[part] = rules
    (found,) = chain_of(cloud)
    assert (found.level, remedy in found.remedy) == (level, True)


def test_one_enabled_rule_is_enough() -> None:
    cloud = FakeCloud()
    cloud.rules["export"] = [Schedule("old", False), Schedule("new", True)]
    assert chain_of(cloud) == []


@pytest.mark.parametrize(
    ("bucket", "calls", "part"),
    [
        ("exports", [], "train"),
        ("models", [], "deploy"),
        ("exports", [called("deploy", "exports/", "/manifest.json")], "train"),
        ("exports", [called("train", "other/", "/manifest.json")], "train"),
        ("models", [called("deploy", "training/", ".json")], "deploy"),
        # an artifact that is uploaded in parts would call nobody
        ("models", [called("deploy", "training/", "/model.tar.gz", "s3:ObjectCreated:Put")],
         "deploy"),
    ],
)  # fmt: skip
def test_a_bucket_that_does_not_call_the_function_it_should(
    bucket: str, calls: list[Notification], part: str
) -> None:
    cloud = FakeCloud()
    cloud.calls[bucket] = calls
    (found,) = chain_of(cloud)
    assert found.level is WRONG
    assert f"bucket {bucket} does not call {part}" in found.says


def test_a_bucket_may_call_others_too_and_for_more() -> None:
    cloud = FakeCloud()
    cloud.calls["exports"] = [called("predict", "", ""), called("train", "", ".json")]
    assert chain_of(cloud) == []


def test_a_bucket_that_is_gone_is_a_fault() -> None:
    cloud = FakeCloud()
    del cloud.calls["models"]
    (found,) = chain_of(cloud)
    assert (found.level, "bucket models" in found.says) == (WRONG, True)


def test_what_may_not_be_looked_at_is_not_checked_and_spoils_no_other_link() -> None:
    cloud = FakeCloud(failures={"notifications": Denied("s3:GetBucketNotification", "exports")})
    found = chain_of(cloud)
    assert [each.level for each in found] == [NOT_CHECKED] * 2
    assert "s3:GetBucketNotification" in found[0].says
    rules = FakeCloud(failures={"schedules": Unsupported("nobody knows this call")})
    assert levels(examined(rules), "retraining") == [NOT_CHECKED, NOT_CHECKED, OK, OK]
