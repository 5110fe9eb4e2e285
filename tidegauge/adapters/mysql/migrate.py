"""Migrations: brings a database's schema up to the numbered files of `sql/migrations`.

Safe to run twice and by two at once: one lock of the server's lets one migrate at a time. DDL
commits by itself, so each statement is noted when it is done and a run that broke off goes on where
it stopped.
"""

from typing import TYPE_CHECKING

import pymysql
from pymysql.constants import ER

from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.queries import migrations
from tidegauge.domain.errors import Transient

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

# Locks are the server's: the name says which database, in the 64 characters that MySQL allows.
_LOCK_NAME = "CONCAT('tidegauge.migrate.', LEFT(SHA2(DATABASE(), 256), 32))"
_LOCK_SECONDS = 60
# What the server says of a change that it has made already.
_DONE_BEFORE = {ER.TABLE_EXISTS_ERROR, ER.DUP_FIELDNAME, ER.DUP_KEYNAME}
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migration (
  number INT UNSIGNED NOT NULL,
  name VARCHAR(128) NOT NULL,
  statements_done INT UNSIGNED NOT NULL DEFAULT 0,
  finished_at DATETIME(3) NULL,
  PRIMARY KEY (number)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4
"""


def migrate(database: Database) -> list[str]:
    """Run the migrations that the database lacks; return their names.

    Raises:
        Transient: another migration holds the lock for too long, or the connection broke.
        Misconfigured: the account may not change the schema.
    """
    with database.transaction() as cursor:
        cursor.execute(f"SELECT GET_LOCK({_LOCK_NAME}, %s)", (_LOCK_SECONDS,))
        row = cursor.fetchone()
        if row is None or row[0] != 1:
            msg = "another migration is still running; try again when it has ended"
            raise Transient(msg)
        try:
            cursor.execute(_TABLE)
            return [
                name
                for number, name, statements in migrations()
                if _run(cursor, number, name, statements)
            ]
        finally:
            cursor.execute(f"SELECT RELEASE_LOCK({_LOCK_NAME})")


def _run(cursor: "Cursor", number: int, name: str, statements: list[str]) -> bool:
    begun_now = cursor.execute(
        "INSERT INTO schema_migration (number, name) VALUES (%s, %s)"
        " ON DUPLICATE KEY UPDATE name = VALUES(name)",
        (number, name),
    )
    cursor.execute(
        "SELECT statements_done, finished_at FROM schema_migration WHERE number = %s", (number,)
    )
    row = cursor.fetchone()
    if row is None or row[1] is not None:
        return False
    for done, statement in enumerate(statements, start=1):
        if done <= row[0]:
            continue
        try:
            cursor.execute(statement)
        except pymysql.MySQLError as error:
            # A run that broke off may have done one more statement than it could note.
            noted_late = begun_now != 1 and done == row[0] + 1
            if not noted_late or error.args[0] not in _DONE_BEFORE:
                raise
        cursor.execute(
            "UPDATE schema_migration SET statements_done = %s WHERE number = %s", (done, number)
        )
        cursor.connection.commit()
    cursor.execute(
        "UPDATE schema_migration SET finished_at = UTC_TIMESTAMP(3) WHERE number = %s", (number,)
    )
    cursor.connection.commit()
    return True


def pending_migrations(database: Database) -> list[str]:
    """Return the names of the migrations that a database lacks; changes nothing."""
    done = _noted(database)
    return [name for number, name, _ in migrations() if not done.get(number, (name, False))[1]]


def unknown_migrations(database: Database) -> list[str]:
    """Return the names of the migrations that a database has and this version lacks."""
    shipped = {number for number, _, _ in migrations()}
    return [name for number, (name, _) in sorted(_noted(database).items()) if number not in shipped]


def _noted(database: Database) -> dict[int, tuple[str, bool]]:
    """Return name and whether it is finished, of each migration that was begun, by number."""
    with database.transaction() as cursor:
        cursor.execute("SHOW TABLES LIKE 'schema_migration'")
        if cursor.fetchone() is None:
            return {}
        cursor.execute("SELECT number, name, finished_at IS NOT NULL FROM schema_migration")
        return {int(number): (name, bool(done)) for number, name, done in cursor.fetchall()}
