"""The ledger of models on MySQL: every model of an endpoint and what became of it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import msgspec

from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.locks import named_lock
from tidegauge.adapters.mysql.outbox import add_messages
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import from_sql, to_sql
from tidegauge.domain.alert import Alert
from tidegauge.domain.model_record import ModelRecord, ModelState
from tidegauge.ports import ModelChange, StoredModel, alert_message

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(ModelRecord).decode


class MysqlModelLedger:
    """Implements `ports.ModelLedger`.

    Args:
        database: Where the models are noted.
        lock_connection: A second connection, which holds a lock for as long as it is wanted. The
            server must let it be idle for that long.
        endpoint: The endpoint whose models these are.
    """

    def __init__(self, database: Database, lock_connection: Database, *, endpoint: str) -> None:
        self._database = database
        self._lock_connection = lock_connection
        self._endpoint = endpoint

    def only_one(self, what: str) -> AbstractContextManager[bool]:
        """Give True to the one holder of a lock by that name in this database, False to others."""
        return named_lock(self._lock_connection, what)

    def get(self, version: str) -> StoredModel | None:
        """Return a model; None if nobody noted it."""
        names = {"endpoint": self._endpoint, "version": version}
        with self._database.transaction() as cursor:
            cursor.execute(query("one_model"), names)
            row = cursor.fetchone()
        return None if row is None else _stored(row)

    def all(self, *states: ModelState) -> list[StoredModel]:
        """Return the models in some of the states, of any if none is given, latest first."""
        wanted = [state.value for state in states or ModelState]
        with self._database.transaction() as cursor:
            cursor.execute(query("models_in"), {"endpoint": self._endpoint, "states": wanted})
            return [_stored(row) for row in cursor.fetchall()]

    def write(self, changes: Sequence[ModelChange], notices: Sequence[Alert] = ()) -> bool:
        """Write all changes and hand over the notices in one transaction, or nothing.

        Raises:
            Transient: nothing was written, or the outcome is unknown.
        """
        try:
            with self._database.transaction() as cursor:
                self._write(cursor, changes)
                if notices:
                    cursor.execute(query("newest_generation"))
                    row = cursor.fetchone()
                    messages = [alert_message(notice) for notice in notices]
                    add_messages(cursor, int(row[0]) if row else 0, messages)
        except _NotAsItWas:
            return False
        return True

    def is_dataset(self, manifest_uri: str) -> bool:
        """Return whether a manifest is that of a dataset that was exported here."""
        with self._database.transaction() as cursor:
            cursor.execute(query("is_dataset"), {"manifest_uri": manifest_uri})
            row = cursor.fetchone()
        return row is not None and bool(row[0])

    def was_live(self) -> bool:
        """Return whether any model has ever been live on the endpoint."""
        return was_live(self._database, self._endpoint)

    def _write(self, cursor: "Cursor", changes: Sequence[ModelChange]) -> None:
        if not changes:
            return
        versions = [change.record.version for change in changes]
        cursor.execute(query("lock_models"), {"versions": versions})
        standing = {version: ModelState(state) for version, state in cursor.fetchall()}
        for change in changes:
            if standing.get(change.record.version) is not change.was:
                raise _NotAsItWas
            name = "add_model" if change.was is None else "change_model"
            # None is changed where somebody noted a new version behind our look.
            if cursor.execute(query(name), self._row(change.record)) != 1:
                raise _NotAsItWas

    def _row(self, record: ModelRecord) -> dict[str, Any]:
        return {
            "version": record.version,
            "endpoint": self._endpoint,
            "state": record.state.value,
            "history_until": to_sql(record.until_ms),
            "details": _encode(record),
        }


def was_live(database: Database, endpoint: str) -> bool:
    """Return whether any model has ever been live on an endpoint. Raises Transient."""
    with database.transaction() as cursor:
        cursor.execute(query("any_model_was_live"), {"endpoint": endpoint})
        row = cursor.fetchone()
    return row is not None and bool(row[0])


class _NotAsItWas(Exception):
    """A record is in another state than the caller saw: roll back."""


def _stored(row: Sequence[Any]) -> StoredModel:
    details, noted_at, changed_at = row
    return StoredModel(_decode(details), from_sql(noted_at), from_sql(changed_at))
