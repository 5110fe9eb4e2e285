"""The S3 bucket where Lambda keeps the batches that a stream's mapping gave up on.

Takes a bucket, gives names and batches; implements `ports.FailedBatches`. Lambda writes one JSON
object a batch below `aws/lambda/`: `KinesisBatchInfo` names stream and shard, `payload` is the text
of the event that the function would have got, records and all. Whatever else lies there is none.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from tidegauge.adapters.aws_client import client_config
from tidegauge.adapters.aws_errors import aws_call, code_of
from tidegauge.adapters.lambda_event import kinesis_batches
from tidegauge.domain.errors import InvalidInput, Misconfigured
from tidegauge.ports import FailedBatch

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2RequestTypeDef

PREFIX = "aws/lambda/"
# Lambda hands a function 6 MB at most; as a text within a text they become a little more.
MAX_BATCH_BYTES = 32 * 1024 * 1024


class _BatchInfo(msgspec.Struct, rename="camel"):
    shard_id: str
    stream_arn: str


class _InvocationRecord(msgspec.Struct):
    batch: _BatchInfo = msgspec.field(name="KinesisBatchInfo")
    payload: str


_decode = msgspec.json.Decoder(_InvocationRecord).decode
_decode_event = msgspec.json.Decoder(dict[str, Any]).decode


class FailedBatchBucket:
    """One bucket.

    Args:
        bucket: Its name.
        client: For tests; None makes one from the environment on first use.
    """

    def __init__(self, bucket: str, *, client: "S3Client | None" = None) -> None:
        self._bucket = bucket
        self._given_client = client

    @cached_property
    def _client(self) -> "S3Client":
        if self._given_client is not None:
            return self._given_client
        import boto3

        with aws_call("making an S3 client"):
            return boto3.client("s3", config=client_config())

    def names(self) -> list[str]:
        """Return the keys of all failed batches that are kept, every page of them.

        Raises:
            Transient: S3 cannot answer now.
            Misconfigured: There is no such bucket, or it may not be listed.
        """
        client = self._client
        names: list[str] = []
        request: ListObjectsV2RequestTypeDef = {"Bucket": self._bucket, "Prefix": PREFIX}
        while True:
            with aws_call(f"listing the failed batches in bucket {self._bucket}"):
                answer = client.list_objects_v2(**request)
            names.extend(found["Key"] for found in answer.get("Contents", []))
            token = answer.get("NextContinuationToken")
            if not token:
                return names
            request = {"Bucket": self._bucket, "Prefix": PREFIX, "ContinuationToken": token}

    def read(self, name: str) -> FailedBatch | None:
        """Return one failed batch; None where the object is no such thing, or gone.

        Raises:
            Transient: S3 cannot answer now.
            Misconfigured: The object may not be read.
        """
        data = self._content(name)
        return None if data is None else failed_batch_in(data)

    def _content(self, name: str) -> bytes | None:
        client = self._client
        try:
            with aws_call(f"reading failed batch {name} in bucket {self._bucket}"):
                body = client.get_object(Bucket=self._bucket, Key=name)["Body"]
                with body:
                    data = body.read(MAX_BATCH_BYTES + 1)
        except Misconfigured as error:
            if code_of(error) == "NoSuchKey":  # its days were over since it was listed
                return None
            raise
        return data if len(data) <= MAX_BATCH_BYTES else None


def failed_batch_in(data: bytes) -> FailedBatch | None:
    """Return the batch that an object holds; None where it is none of Kinesis.

    Args:
        data: The object's content, any bytes.
    """
    try:
        found = _decode(data)
        batches = kinesis_batches(_decode_event(found.payload))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, InvalidInput):
        return None
    if [batch.shard_id for batch in batches] != [found.batch.shard_id]:
        return None
    return FailedBatch(found.batch.stream_arn, found.batch.shard_id, tuple(batches[0].records))
