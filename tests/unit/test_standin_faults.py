"""Faults on demand: which there are, and how often each happens."""

import msgspec
import pytest

from sagemaker_standin.faults import Faults
from tidegauge.domain.errors import InvalidInput


def faults_of(*asked: dict[str, object]) -> Faults:
    faults = Faults()
    for fault in asked:
        faults.add(msgspec.json.encode(fault))
    return faults


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"fault": "fire", "endpoint": "gauge"}, "this is no fault"),
        ({"fault": "nan"}, "wants endpoint or model"),
        ({"fault": "nan", "endpoint": "e", "model": "m"}, "wants endpoint or model"),
        ({"fault": "nan", "operation": "CreateModel"}, "wants endpoint or model"),
        ({"fault": "training", "model": "m"}, "wants no target"),
        ({"fault": "latency", "model": "m", "milliseconds": -1}, "from 0 to 600000"),
        ({"fault": "ModelError", "model": "m", "status": 200}, "from 400 to 599"),
        ({"fault": "nan", "model": "m", "times": 0}, "times must be 1 or more"),
        ({"fault": "nan", "model": "m", "often": 1}, "unknown field"),
    ],
)
def test_what_is_no_fault_is_refused(fault: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        faults_of(fault)


def test_each_happens_as_often_as_asked_and_one_after_the_other() -> None:
    faults = faults_of(
        {"fault": "ModelError", "endpoint": "e", "times": 2, "status": 500},
        {"fault": "ModelError", "endpoint": "e", "times": 1, "status": 503},
        {"fault": "latency", "model": "m", "times": 1, "milliseconds": 250},
    )
    assert faults.of_invocation("other", "other").status is None
    taken = [faults.of_invocation("e", "m") for _ in range(4)]
    assert [one.status for one in taken] == [500, 500, 503, None]
    assert [one.wait_s for one in taken] == [0.25, 0.0, 0.0, 0.0]
    assert faults.told() == []


def test_one_without_a_number_happens_for_ever() -> None:
    faults = faults_of({"fault": "nan", "model": "m"})
    assert all(faults.of_invocation("e", "m").is_nan for _ in range(5))
    faults.clear()
    assert not faults.of_invocation("e", "m").is_nan


def test_operations_and_jobs_have_their_own() -> None:
    faults = faults_of(
        {"fault": "ThrottlingException", "operation": "CreateModel", "times": 1},
        {"fault": "training", "times": 1, "reason": "first"},
        {"fault": "training", "times": 1, "reason": "second"},
    )
    assert not faults.of_operation("DeleteModel")
    assert faults.of_operation("CreateModel")
    assert not faults.of_operation("CreateModel")
    assert [faults.of_training() for _ in range(3)] == ["first", "second", None]
