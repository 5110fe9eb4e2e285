"""A client of Kinesis that sees what retention has left of one stream.

The Kinesis for tests keeps everything; here a test says what expired. Whoever reads through this
client, a mapping or the adapter under test, finds trimmed records and expired shards gone.
"""

from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from tidegauge.adapters.kinesis import KinesisStream

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient


class RetainedKinesis:
    """Stands before a client; what it does not name goes to that client as it is.

    Args:
        client: Of the Kinesis for tests.
        stream_name: The stream that expires.

    Attributes:
        unlisted: Shards that listings lack though they are there, as a listing that lags behind.
    """

    def __init__(self, client: "KinesisClient", stream_name: str) -> None:
        self._client = client
        self._stream_name = stream_name
        self._trimmed: dict[str, int] = {}
        self._expired: set[str] = set()
        self._shard_of: dict[str, str] = {}
        self.unlisted: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def adapter(self) -> KinesisStream:
        """Return our adapter of the stream, reading through this client."""
        return KinesisStream(self._stream_name, client=cast("KinesisClient", self))

    def trim(self, shard_id: str, until: int) -> None:
        """Let a shard's records expire, up to and with a sequence number."""
        self._trimmed[shard_id] = until

    def expire(self, shard_id: str) -> None:
        """Let a closed shard expire, with whatever it holds."""
        self._expired.add(shard_id)

    def forget(self) -> None:
        """Begin anew: another stream bears the name now."""
        self._trimmed.clear()
        self._expired.clear()
        self.unlisted.clear()

    def list_shards(self, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = dict(self._client.list_shards(**request))
        hidden = self._expired | self.unlisted
        answer["Shards"] = [s for s in answer["Shards"] if s["ShardId"] not in hidden]
        return answer

    def get_shard_iterator(self, **request: Any) -> dict[str, Any]:
        shard_id = request["ShardId"]
        self._check(shard_id, "GetShardIterator")
        answer: dict[str, Any] = dict(self._client.get_shard_iterator(**request))
        self._shard_of[answer["ShardIterator"]] = shard_id
        return answer

    def get_records(self, **request: Any) -> dict[str, Any]:
        shard_id = self._shard_of[request["ShardIterator"]]
        self._check(shard_id, "GetRecords")
        answer: dict[str, Any] = dict(self._client.get_records(**request))
        until = self._trimmed.get(shard_id, -1)
        if any(int(record["SequenceNumber"]) <= until for record in answer["Records"]):
            # the iterator is older than what expired: reading goes on at the trim horizon
            horizon = self._client.get_shard_iterator(
                StreamName=self._stream_name,
                ShardId=shard_id,
                ShardIteratorType="AFTER_SEQUENCE_NUMBER",
                StartingSequenceNumber=str(until),
            )
            request["ShardIterator"] = horizon["ShardIterator"]
            answer = dict(self._client.get_records(**request))
        following = answer.get("NextShardIterator")
        if following:
            self._shard_of[following] = shard_id
        return answer

    def _check(self, shard_id: str, operation: str) -> None:
        if shard_id in self._expired:
            message = f"{shard_id} does not exist"
            raise ClientError(
                {"Error": {"Code": "ResourceNotFoundException", "Message": message}}, operation
            )
