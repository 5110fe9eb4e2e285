"""A client of Kinesis for a producer under test: what it puts stands on the pipeline's stream."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tidegauge.domain.errors import InvalidInput
from tidegauge.ports import PutPosition, StreamEntry

MAX_CALL_RECORDS: Final = 500
MAX_KEY_CHARACTERS: Final = 256
_LAST_HASH_KEY: Final = (1 << 128) - 1


class KinesisClient:
    """Answers `put_record` and `put_records` as boto3's client of Kinesis does.

    Whatever stream a request names, it is the pipeline's. Every record is taken at once.

    Args:
        put: Puts entries on the stream.
    """

    def __init__(self, put: Callable[[Sequence[StreamEntry]], list[PutPosition]]) -> None:
        self._put = put

    def put_record(self, **request: Any) -> dict[str, Any]:
        """Put one record.

        Raises:
            InvalidInput: Kinesis would refuse the request.
        """
        _check_stream(request)
        [position] = self._put([_entry_of(request)])
        return {**_answer_of(position), "EncryptionType": "NONE"}

    def put_records(self, **request: Any) -> dict[str, Any]:
        """Put up to 500 records, in order.

        Raises:
            InvalidInput: Kinesis would refuse the request.
        """
        _check_stream(request)
        records = request.get("Records")
        if not isinstance(records, Sequence) or not 1 <= len(records) <= MAX_CALL_RECORDS:
            msg = f"PutRecords takes Records, 1 to {MAX_CALL_RECORDS} of them"
            raise InvalidInput(msg)
        positions = self._put([_entry_of(record) for record in records])
        return {
            "FailedRecordCount": 0,
            "Records": [_answer_of(position) for position in positions],
            "EncryptionType": "NONE",
        }

    def __getattr__(self, name: str) -> Any:
        msg = f"the Kinesis of a pipeline in memory takes put_record and put_records, no {name}"
        raise AttributeError(msg)


def _check_stream(request: Mapping[str, Any]) -> None:
    if not (request.get("StreamName") or request.get("StreamARN")):
        msg = "Kinesis wants to know the stream: give StreamName or StreamARN"
        raise InvalidInput(msg)


def _entry_of(record: Mapping[str, Any]) -> StreamEntry:
    data, key = record.get("Data"), record.get("PartitionKey")
    if isinstance(data, str):
        data = data.encode()  # as botocore does
    if not isinstance(data, bytes | bytearray):
        msg = f"a record's Data is bytes, not {type(data).__name__}"
        raise InvalidInput(msg)
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY_CHARACTERS:
        msg = f"a record's PartitionKey is a text of 1 to {MAX_KEY_CHARACTERS} characters"
        raise InvalidInput(msg)
    return StreamEntry(bytes(data), key, _hash_key_of(record))


def _hash_key_of(record: Mapping[str, Any]) -> int | None:
    text = record.get("ExplicitHashKey")
    if text is None:
        return None
    if not (isinstance(text, str) and text.isdecimal() and int(text) <= _LAST_HASH_KEY):
        msg = f"a record's ExplicitHashKey is a number of 128 bits, as text, not {text!r}"
        raise InvalidInput(msg)
    return int(text)


def _answer_of(position: PutPosition) -> dict[str, Any]:
    return {"SequenceNumber": str(position.sequence_number), "ShardId": position.shard_id}
