"""What people leave out of training, on MySQL: implements `ports.dataset.Exclusions`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import from_sql, to_sql
from tidegauge.domain.dataset import Exclusion

if TYPE_CHECKING:
    from pymysql.cursors import Cursor


class MysqlExclusions:
    """All exclusions of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def exclusions(self) -> list[Exclusion]:
        """Return all of them, in order of their numbers."""
        with self._database.transaction() as cursor:
            return all_exclusions(cursor)

    def add(self, series: str | None, from_ms: int, until_ms: int, why: str) -> Exclusion:
        """Note a period; None stands for all series."""
        names = {
            "series": None if series is None else series.encode(),
            "starts_at": to_sql(from_ms),
            "ends_at": to_sql(until_ms),
            "why": why,
        }
        with self._database.transaction() as cursor:
            cursor.execute(query("add_exclusion"), names)
            cursor.execute(query("one_exclusion"), {"id": cursor.lastrowid})
            (row,) = cursor.fetchall()
        return _exclusion(row)

    def remove(self, exclusion_id: int) -> Exclusion | None:
        """Forget a period and return it; None if there is none of that number."""
        with self._database.transaction() as cursor:
            cursor.execute(query("lock_exclusion"), {"id": exclusion_id})
            row = cursor.fetchone()
            if row is None:
                return None
            cursor.execute(query("remove_exclusion"), {"id": exclusion_id})
        return _exclusion(row)

    def is_known(self, series: str) -> bool:
        """Return whether anybody has ever seen a series."""
        with self._database.transaction() as cursor:
            cursor.execute(query("series_is_known"), {"series": series.encode()})
            row = cursor.fetchone()
        return row is not None and bool(row[0])


def all_exclusions(cursor: "Cursor") -> list[Exclusion]:
    """Return all exclusions, in order of their numbers."""
    cursor.execute(query("all_exclusions"))
    return [_exclusion(row) for row in cursor.fetchall()]


def _exclusion(row: Sequence[Any]) -> Exclusion:
    number, series, starts_at, ends_at, why, noted_at = row
    return Exclusion(
        int(number),
        None if series is None else series.decode(),
        from_sql(starts_at),
        from_sql(ends_at),
        why,
        from_sql(noted_at),
    )
