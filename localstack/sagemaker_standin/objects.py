"""S3 as training jobs and endpoints use it, at an address that the environment must name."""

import os
import threading
from typing import TYPE_CHECKING, NamedTuple

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from sagemaker_standin.aws import DEFAULT_REGION, ClientFault

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ADDRESSES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_SCHEME = "s3://"


class Place(NamedTuple):
    """A bucket, and a key or the beginning of one."""

    bucket: str
    key: str

    @classmethod
    def of(cls, url: str) -> "Place":
        """Read an address such as s3://bucket/key.

        Raises:
            ClientFault: It is none.
        """
        bucket, _, key = url.removeprefix(_SCHEME).partition("/")
        if not url.startswith(_SCHEME) or not bucket:
            msg = f"{url} is no S3 address of the form s3://bucket/key"
            raise ClientFault(msg)
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"{_SCHEME}{self.bucket}/{self.key}"


class Listed(NamedTuple):
    """An object that was found."""

    place: Place
    size_bytes: int


class Objects:
    """The objects. Safe to use from several threads; connects at the first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: S3Client | None = None

    def below(self, place: Place) -> list[Listed]:
        """Return the objects whose keys begin so, in the order of their keys.

        Raises:
            ClientFault: They cannot be listed.
        """
        try:
            pages = self._connected().get_paginator("list_objects_v2")
            found = [
                Listed(Place(place.bucket, item["Key"]), item["Size"])
                for page in pages.paginate(Bucket=place.bucket, Prefix=place.key)
                for item in page.get("Contents", [])
            ]
        except (ClientError, BotoCoreError) as error:
            msg = f"cannot list {place}: {error}"
            raise ClientFault(msg) from error
        return sorted(found, key=lambda listed: listed.place.key)

    def read(self, place: Place, *, limit_bytes: int) -> bytes:
        """Return an object's content.

        Raises:
            ClientFault: It cannot be read or is larger than the limit.
        """
        try:
            with self._connected().get_object(Bucket=place.bucket, Key=place.key)["Body"] as body:
                content = body.read(limit_bytes + 1)
        except (ClientError, BotoCoreError) as error:
            msg = f"cannot read {place}: {error}"
            raise ClientFault(msg) from error
        if len(content) > limit_bytes:
            msg = f"{place} has more than {limit_bytes} bytes, which is the stand-in's limit"
            raise ClientFault(msg)
        return bytes(content)

    def write(self, place: Place, content: bytes) -> None:
        """Put an object.

        Raises:
            ClientFault: It cannot be put.
        """
        try:
            self._connected().put_object(Bucket=place.bucket, Key=place.key, Body=content)
        except (ClientError, BotoCoreError) as error:
            msg = f"cannot write {place}: {error}"
            raise ClientFault(msg) from error

    def _connected(self) -> "S3Client":
        with self._lock:
            if self._client is None:
                self._client = _connect()
            return self._client


def _connect() -> "S3Client":
    import boto3

    from tidegauge.adapters.aws_client import client_config

    # Without an address boto3 would turn to AWS itself, which is not what a stand-in is for.
    address = next((os.environ[name] for name in _ADDRESSES if os.environ.get(name)), None)
    if address is None:
        msg = f"the stand-in does not know where S3 is: start it with {_ADDRESSES[0]}"
        raise ClientFault(msg)
    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name=os.environ.get("AWS_DEFAULT_REGION", DEFAULT_REGION),
        # No engine checks them, but boto3 wants some.
        aws_access_key_id=os.environ.get("AWS_ACCESS_KEY_ID", "test"),
        aws_secret_access_key=os.environ.get("AWS_SECRET_ACCESS_KEY", "test"),
        # bucket.127.0.0.1 is no host.
        config=client_config().merge(Config(s3={"addressing_style": "path"})),
    )
