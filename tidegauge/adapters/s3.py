"""Objects on S3: datasets and model artifacts by their `s3://bucket/key`.

Implements `ports.ObjectStore`. Large objects go piece by piece, so that memory stays flat whatever
their size.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tidegauge.adapters.aws_client import client_config
from tidegauge.adapters.aws_errors import aws_call, code_of
from tidegauge.domain.errors import InvalidInput, Misconfigured
from tidegauge.ports import ObjectInfo

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

SCHEME = "s3://"
PIECE_BYTES = 8 * 1024 * 1024
_READ_BYTES = 1024 * 1024
# A piece is stored before it is answered for.
_READ_TIMEOUT_S = 30.0
_MISSING = "NoSuchKey"
# The answer to a HEAD has no body that could name the code.
_MISSING_HEAD = "404"


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Return the parts of an object's address.

    Raises:
        InvalidInput: it is none.

    >>> bucket_and_key("s3://models/training/a b/model.tar.gz")
    ('models', 'training/a b/model.tar.gz')
    """
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    if not uri.startswith(SCHEME) or not bucket or not key:
        msg = f"an object is named like {SCHEME}bucket/key, not {uri!r}"
        raise InvalidInput(msg)
    return bucket, key


class S3ObjectStore:
    """All buckets that the account may use.

    Args:
        client: For tests; None makes one from the environment on first use.
    """

    def __init__(self, *, client: "S3Client | None" = None) -> None:
        self._given_client = client

    @cached_property
    def _client(self) -> "S3Client":
        if self._given_client is not None:
            return self._given_client
        import boto3

        with aws_call("making an S3 client"):
            return boto3.client("s3", config=client_config(read_timeout_s=_READ_TIMEOUT_S))

    def look(self, uri: str) -> ObjectInfo | None:
        """Return what is known of an object; None if there is none.

        Raises:
            Transient: S3 cannot answer now.
            Misconfigured: There is no such bucket, or the object may not be looked at.
        """
        bucket, key = bucket_and_key(uri)
        client = self._client
        try:
            with aws_call(f"looking at {uri}"):
                head = client.head_object(Bucket=bucket, Key=key)
        except Misconfigured as error:
            if code_of(error) != _MISSING_HEAD:
                raise
            # A bucket that is missing is answered alike, and is a fault that waiting hides.
            with aws_call(f"looking for bucket {bucket}"):
                client.head_bucket(Bucket=bucket)
            return None
        return ObjectInfo(
            size_bytes=head["ContentLength"],
            etag=head["ETag"].strip('"'),
            modified_ms=int(head["LastModified"].timestamp() * 1000),
        )

    def read(self, uri: str, *, max_bytes: int) -> bytes | None:
        """Return an object; None if there is none.

        Raises:
            InvalidInput: It is larger than `max_bytes`.
            Transient: S3 cannot answer now, or stopped in the middle.
            Misconfigured: There is no such bucket, or the object may not be read.
        """
        with self._opened(uri) as body:
            if body is None:
                return None
            with aws_call(f"reading {uri}"):
                data = body.read(max_bytes + 1)
        if len(data) > max_bytes:
            msg = f"{uri} is larger than the {max_bytes} bytes that it may have"
            raise InvalidInput(msg)
        return data

    def chunks(self, uri: str) -> Iterator[bytes]:
        """Yield an object piece by piece; none of a missing one, which raises InvalidInput.

        Raises:
            InvalidInput: There is no such object.
            Transient: S3 cannot answer now, or stopped in the middle.
            Misconfigured: There is no such bucket, or the object may not be read.
        """
        with self._opened(uri) as body:
            if body is None:
                msg = f"there is no {uri}"
                raise InvalidInput(msg)
            while True:
                with aws_call(f"reading {uri}"):
                    chunk = body.read(_READ_BYTES)
                if not chunk:
                    return
                yield chunk

    @contextmanager
    def _opened(self, uri: str) -> "Iterator[StreamingBody | None]":
        bucket, key = bucket_and_key(uri)
        client = self._client
        try:
            with aws_call(f"reading {uri}"):
                answer = client.get_object(Bucket=bucket, Key=key)
        except Misconfigured as error:
            if code_of(error) != _MISSING:
                raise
            yield None
            return
        with closing(answer["Body"]) as body:
            yield body

    def put(self, uri: str, data: bytes, *, content_type: str) -> None:
        """Store an object, in place of one that is there.

        Raises:
            Transient: S3 cannot take it now.
            Misconfigured: There is no such bucket, or it may not be written to.
        """
        bucket, key = bucket_and_key(uri)
        client = self._client
        with aws_call(f"writing {uri}"):
            client.put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type)

    def upload(self, uri: str, path: Path, *, content_type: str) -> None:
        """Store a file of any size, piece by piece; until the last one nothing is there.

        Raises:
            Transient: S3 cannot take it now.
            Misconfigured: There is no such bucket, or it may not be written to.
        """
        from boto3.s3.transfer import TransferConfig

        bucket, key = bucket_and_key(uri)
        client = self._client
        # In one thread: several would hold a piece each.
        one_by_one = TransferConfig(
            multipart_threshold=PIECE_BYTES, multipart_chunksize=PIECE_BYTES, use_threads=False
        )
        with path.open("rb") as file, aws_call(f"writing {uri}"):
            client.upload_fileobj(
                file, bucket, key, ExtraArgs={"ContentType": content_type}, Config=one_by_one
            )
