"""How the events stream is read: each wrong setting is told with its remedy, and none is guessed.

The template's own mapping is held against the same rules.
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tests.support.cloudformation import CloudFormation
from tidegauge.domain.stream_reading import StreamReading, reading_faults, untold

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
RIGHT = StreamReading(
    name="uuid-1",
    enabled=True,
    function="collect",
    starting_position="TRIM_HORIZON",
    parallelization_factor=1,
    maximum_retry_attempts=-1,
    maximum_record_age_seconds=-1,
    bisects=False,
    partial_answers=False,
    tumbling_window_seconds=0,
    filters=False,
)


def changed(**settings: Any) -> StreamReading:
    return msgspec.structs.replace(RIGHT, **settings)


def test_the_one_right_mapping_has_no_faults() -> None:
    assert reading_faults([RIGHT]) == []
    assert untold([RIGHT]) == []


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("starting_position", "LATEST", "TRIM_HORIZON"),
        ("starting_position", "AT_TIMESTAMP", "TRIM_HORIZON"),
        ("parallelization_factor", 2, "--uuid uuid-1 --parallelization-factor 1`"),
        ("maximum_retry_attempts", 0, "--uuid uuid-1 --maximum-retry-attempts -1`"),
        ("maximum_record_age_seconds", 60, "--uuid uuid-1 --maximum-record-age-in-seconds -1`"),
        ("bisects", True, "--uuid uuid-1 --no-bisect-batch-on-function-error`"),
        ("partial_answers", True, "--uuid uuid-1 --function-response-types []`"),
        ("tumbling_window_seconds", 60, "--uuid uuid-1 --tumbling-window-in-seconds 0`"),
        ("filters", True, "--uuid uuid-1 --filter-criteria {}`"),
    ],
)
def test_each_wrong_setting_is_told_with_its_remedy(
    setting: str, value: object, remedy: str
) -> None:
    (fault,) = reading_faults([changed(**{setting: value})])
    assert fault.startswith("mapping uuid-1 of function collect ")
    assert remedy in fault
    if not isinstance(value, bool):
        assert str(value) in fault


def test_all_faults_of_a_mapping_are_told_together() -> None:
    assert len(reading_faults([changed(parallelization_factor=10, bisects=True)])) == 2


def test_a_stream_that_nobody_reads_is_a_fault() -> None:
    (fault,) = reading_faults([])
    assert "nothing is counted" in fault


def test_a_disabled_mapping_is_told_by_name_and_its_settings_do_no_harm() -> None:
    (fault,) = reading_faults([changed(enabled=False, parallelization_factor=2)])
    assert "enable uuid-1 of function collect" in fault


def test_a_second_enabled_mapping_is_a_fault_and_a_second_disabled_one_is_none() -> None:
    other = changed(name="uuid-2", function="archive")
    (fault,) = reading_faults([RIGHT, other])
    assert "uuid-1 of function collect, uuid-2 of function archive" in fault
    assert reading_faults([RIGHT, msgspec.structs.replace(other, enabled=False)]) == []


def test_a_setting_that_is_not_told_is_no_fault_but_is_named() -> None:
    silent = changed(maximum_retry_attempts=None, bisects=None)
    assert reading_faults([silent]) == []
    (sentence,) = untold([silent])
    assert "uuid-1 of function collect" in sentence
    assert "maximum retry attempts, bisects" in sentence
    assert untold([msgspec.structs.replace(silent, enabled=False)]) == []


@pytest.mark.parametrize(
    ("function", "mapping"), [("Collect", "EventsMapping"), ("Predict", "WindowsMapping")]
)
def test_the_template_reads_its_streams_as_it_should(function: str, mapping: str) -> None:
    template = yaml.load(TEMPLATE.read_text(), CloudFormation)  # noqa: S506
    events = template["Resources"][f"{function}Function"]["Properties"]["Events"]
    assert [name for name, event in events.items() if event["Type"] == "Kinesis"] == [mapping]
    reading = as_deployed(function, events[mapping]["Properties"])
    assert reading_faults([reading]) == []
    assert untold([reading]) == []


def as_deployed(function: str, properties: dict[str, Any]) -> StreamReading:
    """Return a mapping as CloudFormation makes it; what is not written there is not told."""
    answers = properties.get("FunctionResponseTypes")
    return StreamReading(
        name="template.yaml",
        enabled=properties.get("Enabled", True),
        function=function,
        starting_position=properties.get("StartingPosition"),
        parallelization_factor=properties.get("ParallelizationFactor"),
        maximum_retry_attempts=properties.get("MaximumRetryAttempts"),
        maximum_record_age_seconds=properties.get("MaximumRecordAgeInSeconds"),
        bisects=properties.get("BisectBatchOnFunctionError"),
        partial_answers=None if answers is None else bool(answers),
        tumbling_window_seconds=properties.get("TumblingWindowInSeconds", 0),
        filters=bool(properties.get("FilterCriteria")),
    )
