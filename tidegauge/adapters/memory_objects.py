"""Objects in memory: implements `ports.ObjectStore` as S3 does, for tests and trials."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tidegauge.adapters.s3 import bucket_and_key
from tidegauge.domain.errors import InvalidInput, Misconfigured
from tidegauge.ports import Clock, ObjectInfo

_CHUNK_BYTES = 1024 * 1024


class _Held(NamedTuple):
    data: bytes
    modified_ms: int


class MemoryObjectStore:
    """Some buckets.

    Args:
        buckets: Their names; there are no others.
        clock: Tells when an object was stored.
    """

    def __init__(self, *buckets: str, clock: Clock) -> None:
        self._buckets = frozenset(buckets)
        self._clock = clock
        self._objects: dict[str, _Held] = {}

    def look(self, uri: str) -> ObjectInfo | None:
        """Return what is known of an object; None if there is none."""
        held = self._held(uri)
        if held is None:
            return None
        etag = hashlib.md5(held.data, usedforsecurity=False).hexdigest()
        return ObjectInfo(len(held.data), etag, held.modified_ms)

    def read(self, uri: str, *, max_bytes: int) -> bytes | None:
        """Return an object; None if there is none. Raises InvalidInput for one too large."""
        held = self._held(uri)
        if held is None:
            return None
        if len(held.data) > max_bytes:
            msg = f"{uri} is larger than the {max_bytes} bytes that it may have"
            raise InvalidInput(msg)
        return held.data

    def chunks(self, uri: str) -> Iterator[bytes]:
        """Yield an object piece by piece. Raises InvalidInput if there is none."""
        held = self._held(uri)
        if held is None:
            msg = f"there is no {uri}"
            raise InvalidInput(msg)
        for start in range(0, len(held.data), _CHUNK_BYTES):
            yield held.data[start : start + _CHUNK_BYTES]

    def put(self, uri: str, data: bytes, *, content_type: str) -> None:  # noqa: ARG002 - none asks
        """Store an object, in place of one that is there."""
        self._check(uri)
        self._objects.pop(uri, None)  # the dict keeps the order of storing
        self._objects[uri] = _Held(data, self._clock.now_ms())

    def upload(self, uri: str, path: Path, *, content_type: str) -> None:
        """Store a file."""
        self.put(uri, path.read_bytes(), content_type=content_type)

    # --- readers

    def uris(self) -> list[str]:
        """Return the addresses of all objects, in the order of their last storing."""
        return list(self._objects)

    def _held(self, uri: str) -> _Held | None:
        self._check(uri)
        return self._objects.get(uri)

    def _check(self, uri: str) -> None:
        bucket, _ = bucket_and_key(uri)
        if bucket not in self._buckets:
            raise Misconfigured([f"there is no bucket {bucket}"])
