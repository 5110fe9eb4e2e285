"""How functions read a stream: its event source mappings, as Lambda tells them.

Takes a stream's ARN, gives readings; implements `ports.StreamReadings`. What an answer leaves out
stays unknown: emulators tell less than Lambda does, and a guess would be a false alarm or a false
comfort.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from tidegauge.adapters.aws_client import client_config
from tidegauge.adapters.aws_errors import aws_call
from tidegauge.ports import StreamReading

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import (
        EventSourceMappingConfigurationTypeDef,
        ListEventSourceMappingsRequestTypeDef,
    )

# In these a mapping reads no more, or soon will not; in all others it does, or soon will.
_AWAY = ("Disabled", "Disabling", "Deleting")


class LambdaMappings:
    """The event source mappings of this account and region.

    Args:
        client: For tests; None makes one from the environment on first use.
    """

    def __init__(self, *, client: "LambdaClient | None" = None) -> None:
        self._given_client = client

    @cached_property
    def _client(self) -> "LambdaClient":
        if self._given_client is not None:
            return self._given_client
        import boto3

        with aws_call("making a Lambda client"):
            return boto3.client("lambda", config=client_config())

    def readings(self, stream_arn: str) -> list[StreamReading]:
        """Return every event source mapping of the stream, every page of them.

        Raises:
            Transient: Lambda cannot answer now.
            Misconfigured: The mappings may not be listed.
        """
        client = self._client
        readings: list[StreamReading] = []
        request: ListEventSourceMappingsRequestTypeDef = {"EventSourceArn": stream_arn}
        while True:
            with aws_call(f"listing the event source mappings of {stream_arn}"):
                answer = client.list_event_source_mappings(**request)
            readings.extend(_reading_of(mapping) for mapping in answer["EventSourceMappings"])
            marker = answer.get("NextMarker")
            if not marker:
                return readings
            request = {"EventSourceArn": stream_arn, "Marker": marker}


def _reading_of(mapping: "EventSourceMappingConfigurationTypeDef") -> StreamReading:
    answers = mapping.get("FunctionResponseTypes")
    return StreamReading(
        name=mapping.get("UUID", ""),
        enabled=mapping.get("State") not in _AWAY,
        function=_function_of(mapping.get("FunctionArn", "")),
        starting_position=mapping.get("StartingPosition"),
        parallelization_factor=mapping.get("ParallelizationFactor"),
        maximum_retry_attempts=mapping.get("MaximumRetryAttempts"),
        maximum_record_age_seconds=mapping.get("MaximumRecordAgeInSeconds"),
        bisects=mapping.get("BisectBatchOnFunctionError"),
        partial_answers=None if answers is None else bool(answers),
        tumbling_window_seconds=mapping.get("TumblingWindowInSeconds"),
        # Lambda leaves the criteria out where there are none.
        filters=_has_filters(mapping.get("FilterCriteria")),
    )


def _function_of(arn: str) -> str:
    """Return a function's name, with its version or alias where the mapping names one."""
    return arn.partition(":function:")[2] or arn


def _has_filters(criteria: Any) -> bool:
    return bool(criteria and criteria.get("Filters"))
