"""A database as a source of events: polls a query of yours, and keeps its own position.

The query is a setting (`SOURCE_QUERY`) and gives one row an event, in order of `position`: a whole
number that is unique and grows, such as an auto-increment key. Such numbers are given out before
their rows are committed, so a row may appear behind a position that was read already. Therefore an
overlap is read again each time, and what this process has put of it is left out; a new process puts
it once more, which changes no count, since an event's id is the row's.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import msgspec

from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.queries import query
from tidegauge.domain.errors import BrokenInvariant, Misconfigured, TidegaugeError
from tidegauge.ports import SourceBatch, StreamEntry

_BATCH_ROWS = 2_000
_NEEDED = ("position", "id", "time", "type")
_ATTRIBUTES = (*_NEEDED, "subject", "partition_key")
_START = -1  # before the first number that an auto-increment key gives, and before 0


class DatabaseSource:
    """Rows of a query as CloudEvents; implements `ports.EventSource`.

    Args:
        name: Names the position, and is part of the events' `source`.
        statement: The query, with `%(after)s` and `%(limit)s`.
        rows: Where it runs; read-only.
        positions: Where the position is kept: Tidegauge's own database.
        overlap: So many positions behind the last one are read again: more than other transactions
            insert while the longest one is open.
    """

    def __init__(
        self, name: str, statement: str, rows: Database, positions: Database, *, overlap: int
    ) -> None:
        self._name = name
        self._statement = statement
        self._rows = rows
        self._positions = positions
        self._overlap = overlap
        self._put: set[int] = set()  # positions within the overlap that are on the stream
        self._polled: set[int] = set()

    def position(self) -> str:
        """Return the greatest position of an event that is on the stream. Raises Transient."""
        with self._positions.transaction() as cursor:
            cursor.execute(query("source_position"), {"name": self._name})
            row = cursor.fetchone()
        return str(_START if row is None else int(row[0]))

    def poll(self, position: str) -> SourceBatch:
        """Return the rows behind a position, and those that appeared in the overlap before it.

        Raises:
            Transient: the database cannot answer now.
            Misconfigured: the query gives something else than it must.
        """
        reached = int(position)
        # Positions are unique, so that no more rows than the overlap can lie within it.
        limit = _BATCH_ROWS + self._overlap
        rows = self._read(max(_START, reached - self._overlap), limit)
        new = [row for row in rows if row["position"] not in self._put]
        self._polled = {row["position"] for row in new}
        reached = max([reached, *self._polled])
        return SourceBatch(
            tuple(self._entry(row) for row in new), str(reached), more=len(rows) == limit
        )

    def commit(self, position: str) -> None:
        """Remember a position; it never goes back. Raises Transient."""
        reached = int(position)
        with self._positions.transaction() as cursor:
            cursor.execute(query("note_source_position"), {"name": self._name, "reached": reached})
        self._put |= self._polled
        self._put = {number for number in self._put if number > reached - self._overlap}

    def _read(self, after: int, limit: int) -> list[dict[str, Any]]:
        try:
            with self._rows.transaction() as cursor:
                cursor.execute(query("begin_reading"))
                cursor.execute(self._statement, {"after": after, "limit": limit})
                names = [column[0] for column in cursor.description or ()]
                found = cursor.fetchall()
        except (Misconfigured, BrokenInvariant) as error:
            raise Misconfigured([f"SOURCE_QUERY cannot be run: {_reason(error)}"]) from error
        missing = [name for name in _NEEDED if name not in names]
        if missing:
            listed = ", ".join(names) or "nothing"
            raise Misconfigured(
                [f"SOURCE_QUERY must give the columns {', '.join(missing)} too; it gives {listed}"]
            )
        if len(set(names)) < len(names):
            raise Misconfigured([f"SOURCE_QUERY gives two columns of one name: {', '.join(names)}"])
        rows = [dict(zip(names, row, strict=True)) for row in found]
        _check([row["position"] for row in rows], after, limit)
        return rows

    def _entry(self, row: Mapping[str, Any]) -> StreamEntry:
        # What is missing is left out, so that collect sets the event aside where people see it.
        event: dict[str, Any] = {"specversion": "1.0", "source": f"/tidegauge/source/{self._name}"}
        for name in ("id", "type", "subject"):
            if row.get(name) is not None:
                event[name] = _text(row[name])
        if row["time"] is not None:
            event["time"] = _time(row["time"])
        event["data"] = {
            name: _time(value) if isinstance(value, datetime) else value
            for name, value in row.items()
            if name not in _ATTRIBUTES
        }
        key = row.get("partition_key")
        if key is None:
            key = row["id"] if row["id"] is not None else row["position"]
        return StreamEntry(msgspec.json.encode(event), _text(key)[:256] or "none")


def _check(positions: Sequence[Any], after: int, limit: int) -> None:
    """Raise Misconfigured unless positions are what lets a reading go on from the last one."""
    problem = ""
    if not all(isinstance(number, int) for number in positions):
        odd = next(number for number in positions if not isinstance(number, int))
        problem = f"must give whole numbers as position, not {odd!r}"
    elif any(later <= earlier for earlier, later in pairwise(positions)):
        problem = "must be in order of position, and no two rows may have the same"
    elif positions and positions[0] <= after:
        problem = f"gave position {positions[0]}, though only those above %(after)s were asked for"
    elif len(positions) > limit:
        problem = "gave more rows than %(limit)s"
    if problem:
        raise Misconfigured([f"SOURCE_QUERY {problem}"])


def _reason(error: TidegaugeError) -> str:
    """Return what the server itself says, where it says anything."""
    cause = error.__cause__
    return str(cause.args[1]) if cause is not None and len(cause.args) > 1 else str(error)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _time(value: Any) -> str:
    """Return a time in RFC 3339; a date-time of the database is UTC, as its session is."""
    if not isinstance(value, datetime):
        return _text(value)
    return value.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
