"""The ledger of models in memory: for tests, and as the plainest statement of what it does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tidegauge.domain.alert import Alert
from tidegauge.domain.model_record import ModelState
from tidegauge.ports import Clock, ModelChange, OutboxMessage, StoredModel, alert_message


class MemoryModelLedger:
    """Implements `ports.ModelLedger`.

    Args:
        clock: Tells when a record is written.

    Attributes:
        messages: What was handed to the outbox, in order.
        datasets: The manifests of datasets that were exported.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._models: dict[str, StoredModel] = {}
        self._locks: set[str] = set()
        self.messages: list[OutboxMessage] = []
        self.datasets: set[str] = set()

    @contextmanager
    def only_one(self, what: str) -> Iterator[bool]:
        """Give True to the one holder of a lock by that name, False to any other meanwhile."""
        free = what not in self._locks
        self._locks.add(what)
        try:
            yield free
        finally:
            if free:
                self._locks.discard(what)

    def get(self, version: str) -> StoredModel | None:
        """Return a model; None if nobody noted it."""
        return self._models.get(version)

    def all(self, *states: ModelState) -> list[StoredModel]:
        """Return the models in some of the states, of any if none is given, latest first."""
        found = [one for one in self._models.values() if one.record.state in (states or ModelState)]
        return sorted(
            found,
            key=lambda one: (one.noted_ms, one.record.until_ms, one.record.version),
            reverse=True,
        )

    def write(self, changes: Sequence[ModelChange], notices: Sequence[Alert] = ()) -> bool:
        """Write all changes and hand over the notices, or nothing where a record is not as told."""
        for change in changes:
            standing = self._models.get(change.record.version)
            if (standing.record.state if standing else None) is not change.was:
                return False
        now_ms = self._clock.now_ms()
        for change in changes:
            standing = self._models.get(change.record.version)
            noted_ms = standing.noted_ms if standing else now_ms
            self._models[change.record.version] = StoredModel(change.record, noted_ms, now_ms)
        self.messages += [alert_message(notice) for notice in notices]
        return True

    def is_dataset(self, manifest_uri: str) -> bool:
        """Return whether a manifest is that of a dataset that was exported here."""
        return manifest_uri in self.datasets

    def was_live(self) -> bool:
        """Return whether any model has ever been live on the endpoint."""
        return bool(self.all(ModelState.LIVE, ModelState.RETIRED))
