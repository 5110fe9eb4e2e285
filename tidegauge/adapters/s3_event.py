"""S3's notifications: the service's shape becomes the objects that were stored."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

from tidegauge.adapters.s3 import SCHEME
from tidegauge.domain.errors import InvalidInput

_SOURCE: Final = "aws:s3"
_CREATED: Final = "ObjectCreated:"
# S3 sends it once when a notification is set up, to show that it may.
_TEST: Final = "s3:TestEvent"


class StoredObject(msgspec.Struct, frozen=True):
    """An object that S3 says was stored.

    Attributes:
        bucket: Its bucket.
        key: Its key, decoded.
        etag: Changes with its content; empty where S3 does not tell it.
        sequencer: Orders the notifications of one key; empty where S3 does not tell it.
    """

    bucket: str
    key: str
    etag: str
    sequencer: str

    @property
    def uri(self) -> str:
        """`s3://bucket/key`."""
        return f"{SCHEME}{self.bucket}/{self.key}"


def stored_objects(event: Mapping[str, Any]) -> list[StoredObject]:
    """Return the objects that a notification says were stored, in its order.

    One may come twice, late, or after a newer one of the same object, and tells nothing of whether
    the object is still there. Test notifications and those of removed objects name none.

    Args:
        event: As S3 hands it to a function.

    Raises:
        InvalidInput: it is no notification of S3: the function is wired to something else.
    """
    if event.get("Event") == _TEST:
        return []
    try:
        found = [_object_of(record) for record in event["Records"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        msg = "this is no notification of S3; let a bucket invoke the function"
        raise InvalidInput(msg) from error
    return [item for item in found if item is not None]


def _object_of(record: Mapping[str, Any]) -> StoredObject | None:
    if record["eventSource"] != _SOURCE:
        raise ValueError(record["eventSource"])
    if not record["eventName"].removeprefix("s3:").startswith(_CREATED):
        return None
    bucket, item = record["s3"]["bucket"]["name"], record["s3"]["object"]
    # Keys are encoded as in a form: a space is a plus.
    key = unquote_plus(item["key"], errors="strict")
    etag, sequencer = item.get("eTag", ""), item.get("sequencer", "")
    if not all(isinstance(text, str) for text in (bucket, etag, sequencer)):
        raise TypeError(record["s3"])
    if not bucket or not key:
        raise ValueError(record["s3"])
    return StoredObject(bucket, key, etag, sequencer)
