"""What retraining needs: objects, training jobs' and endpoints' records, one run at a time."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from tidegauge.domain.alert import Alert
from tidegauge.domain.model_record import ModelRecord, ModelState


class ObjectInfo(msgspec.Struct, frozen=True):
    """What is known of an object without reading it.

    Attributes:
        size_bytes: Its size.
        etag: Changes with its content.
        modified_ms: When it was stored, ms since the epoch.
    """

    size_bytes: int
    etag: str
    modified_ms: int


class ObjectStore(Protocol):
    """Objects by `s3://bucket/key`; every method raises Transient or Misconfigured."""

    def look(self, uri: str) -> ObjectInfo | None:
        """Return what is known of an object; None if there is none."""
        ...

    def read(self, uri: str, *, max_bytes: int) -> bytes | None:
        """Return an object; None if there is none.

        Raises:
            InvalidInput: it is larger than `max_bytes`.
        """
        ...

    def chunks(self, uri: str) -> Iterator[bytes]:
        """Yield an object piece by piece. Raises InvalidInput if there is none."""
        ...

    def put(self, uri: str, data: bytes, *, content_type: str) -> None:
        """Store an object, in place of one that is there."""
        ...

    def upload(self, uri: str, path: Path, *, content_type: str) -> None:
        """Store a file of any size, piece by piece."""
        ...


class StoredModel(msgspec.Struct, frozen=True):
    """A record as it stands in the store.

    Attributes:
        record: The record.
        noted_ms: When it was first written, ms since the epoch, by the database's clock.
        changed_ms: When it last changed.
    """

    record: ModelRecord
    noted_ms: int
    changed_ms: int


class ModelChange(msgspec.Struct, frozen=True):
    """One record to write.

    Attributes:
        record: As it shall stand.
        was: The state it must be in for that; None for a record that must not exist yet.
    """

    record: ModelRecord
    was: ModelState | None


class ModelLedger(Protocol):
    """Every model and what became of it, for one endpoint."""

    def only_one(self, what: str) -> AbstractContextManager[bool]:
        """Give True to the one holder of a lock by that name, False to any other meanwhile."""
        ...

    def get(self, version: str) -> StoredModel | None:
        """Return a model; None if nobody noted it."""
        ...

    def all(self, *states: ModelState) -> list[StoredModel]:
        """Return the models in some of the states, of any if none is given, latest first.

        Latest by when they were noted.
        """
        ...

    def write(self, changes: Sequence[ModelChange], notices: Sequence[Alert] = ()) -> bool:
        """Write all changes, and hand the notices to the outbox, in one transaction.

        Returns:
            Whether that was done; False, and nothing was written, where a record is not as it was.

        Raises:
            Transient: nothing was written, or the outcome is unknown.
        """
        ...

    def is_dataset(self, manifest_uri: str) -> bool:
        """Return whether a manifest is that of a dataset that was exported here."""
        ...

    def was_live(self) -> bool:
        """Return whether any model has ever been live on the endpoint."""
        ...
