"""deploy on a real S3, a real database and endpoints that really load what was trained."""

import pytest

from tests.support.real_deployment import MODELS, RealDeployment
from tests.support.standin import put_fault
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.domain.model_record import ModelState
from tidegauge.ports import Destination
from tidegauge.settings import DatabaseSettings

pytestmark = [pytest.mark.database, pytest.mark.engine]


def deployed(there: RealDeployment, number: int) -> str:
    version = there.train(number)
    assert there.ring(version).deployed == [version]
    return version


on_both = pytest.mark.parametrize("there", ["serverless", "instances"], indirect=True)
on_instances = pytest.mark.parametrize("there", ["instances"], indirect=True)


@on_both
def test_no_request_fails_while_a_model_takes_the_place_of_another(there: RealDeployment) -> None:
    first = deployed(there, 1)
    second = there.train(2, 0.4)
    with there.asked_all_the_time() as answers:
        assert there.ring(second).deployed == [second]
    assert answers.errors == []
    assert set(answers.versions) == {first, second}
    # Not one of the first behind the last of the canary: the endpoint has changed over.
    assert there.answering() == second
    record = there.record(second)
    assert record.error == pytest.approx(0.4, abs=0.05)
    assert record.champion == first
    assert there.record(first).state is ModelState.RETIRED


def test_no_request_fails_while_a_person_brings_a_model_back(there: RealDeployment) -> None:
    first, second = deployed(there, 1), deployed(there, 2)
    assert there.answering() == second
    with there.asked_all_the_time() as answers:
        assert there.put_back(first).state is ModelState.LIVE
    assert answers.errors == []
    assert there.answering() == first


@on_instances
def test_a_model_that_fails_in_the_canary_is_taken_back_by_the_alarm(
    there: RealDeployment,
) -> None:
    first = deployed(there, 1)
    second = there.train(2)
    put_fault(there.address, model=second, fault="ModelError", status=500)
    with there.asked_all_the_time():
        assert there.ring(second).rolled_back == [second]
    assert there.answering() == first
    (reason,) = there.record(second).reasons
    assert "the endpoint went back to" in reason
    assert there.record(first).state is ModelState.LIVE


@pytest.mark.parametrize("fault", ["ModelError", "nan"])
def test_a_serverless_model_that_answers_badly_is_taken_back_by_us(
    there: RealDeployment, fault: str
) -> None:
    first = deployed(there, 1)
    second = there.train(2)
    put_fault(there.address, model=second, fault=fault)
    assert there.ring(second).rolled_back == [second]
    assert there.answering() == first


def test_what_was_put_in_an_artifacts_place_is_kept_out(there: RealDeployment) -> None:
    first = there.train(1)
    uri = f"s3://{MODELS}/training/{first}/output/model.tar.gz"
    there.objects.put(uri, b"evil", content_type="application/gzip")
    assert there.ring(first).refused == [first]
    assert there.host.endpoint(there.endpoint) is None
    assert there.host.models(containing=first) == []


def test_throttled_calls_are_made_again_by_the_next_run(there: RealDeployment) -> None:
    first = there.train(1)
    for operation in ("CreateModel", "CreateEndpointConfig", "CreateEndpoint"):
        put_fault(there.address, operation=operation, fault="ThrottlingException", times=1)
    # botocore tries again by itself
    assert there.ring(first).deployed == [first]


def test_a_model_that_nobody_noted_is_found_and_people_hear_of_it(
    there: RealDeployment, fresh_database_url: str
) -> None:
    first = there.train(1, noted=False)
    assert there.ring().deployed == [first]
    database = Database.from_settings(DatabaseSettings(database_url=fresh_database_url))
    (told,) = MysqlOutbox(database).take(Destination.ALERTS, 10)
    database.close()
    assert b"model_deployed" in told.message.payload


def test_the_host_keeps_what_the_settings_say(there: RealDeployment) -> None:
    versions = [deployed(there, number) for number in range(1, 4)]
    assert sorted(there.host.models(containing=there.endpoint)) == versions[1:]
    assert len(there.host.configs(containing=there.endpoint)) == 2
    # and what was cleaned up can be brought back all the same
    assert there.put_back(versions[0]).state is ModelState.LIVE
    assert there.answering() == versions[0]
