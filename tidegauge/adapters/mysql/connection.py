"""The connection to MySQL or MariaDB, and what its errors ask of the caller.

A transaction is READ COMMITTED. On any error it is rolled back, or its connection closed, and the
whole batch has to come again: 1205 undoes a single statement only, and the outcome of a COMMIT that
did not answer is unknown.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pymysql
from pymysql.constants import CR, ER

from tidegauge.domain.errors import BrokenInvariant, Misconfigured, TidegaugeError, Transient
from tidegauge.settings import DatabaseAddress, DatabaseSettings

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import Cursor

# What each error of server or client asks for; any other one is a fault of ours or of the schema.
ERROR_TABLE: dict[int, tuple[type[TidegaugeError], str]] = {
    ER.LOCK_WAIT_TIMEOUT: (Transient, "waited too long for a lock"),
    ER.LOCK_DEADLOCK: (Transient, "chosen as victim of a deadlock"),
    ER.CON_COUNT_ERROR: (Transient, "the server has too many connections"),
    ER.SERVER_SHUTDOWN: (Transient, "the server is shutting down"),
    ER.OPTION_PREVENTS_STATEMENT: (Transient, "the server is read-only, as during a fail-over"),
    ER.QUERY_INTERRUPTED: (Transient, "the statement was interrupted"),
    ER.DISK_FULL: (Transient, "the server's disk is full"),
    ER.RECORD_FILE_FULL: (Transient, "the server's disk or table is full"),
    ER.TOO_MANY_USER_CONNECTIONS: (Transient, "the account has too many connections"),
    ER.USER_LIMIT_REACHED: (Transient, "the account has reached a limit of its own"),
    ER.NORMAL_SHUTDOWN: (Transient, "the server is shutting down"),
    ER.LOCK_TABLE_FULL: (Transient, "the server has no room for more locks"),
    ER.ERROR_DURING_COMMIT: (Transient, "the server could not commit"),
    1836: (Transient, "the server is read-only, as during a fail-over"),
    1927: (Transient, "the connection was killed"),
    1969: (Transient, "the statement took too long"),  # MariaDB's max_statement_time
    3024: (Transient, "the statement took too long"),  # MySQL's max_execution_time
    CR.CR_SERVER_GONE_ERROR: (Transient, "the server has gone away"),
    CR.CR_SERVER_LOST: (Transient, "the connection to the server was lost"),
    CR.CR_CONN_HOST_ERROR: (
        Transient,
        "the database server cannot be reached: does it run, is its address right?",
    ),
    CR.CR_CONNECTION_ERROR: (
        Transient,
        "the database server cannot be reached: does it run, is its address right?",
    ),
    ER.ACCESS_DENIED_ERROR: (Misconfigured, "the database refuses this account or password"),
    ER.DBACCESS_DENIED_ERROR: (Misconfigured, "the account may not use this database"),
    ER.TABLEACCESS_DENIED_ERROR: (Misconfigured, "the account may not use a table"),
    1820: (Misconfigured, "the account's password has expired"),
    1862: (Misconfigured, "the account's password has expired"),
    ER.BAD_DB_ERROR: (Misconfigured, "the database does not exist"),
    ER.NO_SUCH_TABLE: (Misconfigured, "a table is missing: run `tidegauge migrate`"),
    ER.BAD_FIELD_ERROR: (Misconfigured, "a column is missing: run `tidegauge migrate`"),
}
_CLIENT_ERRORS = range(2000, 3000)
# Below the timeouts of our functions, so that they tell what happened.
ANSWER_SECONDS = 45.0
IDLE_SECONDS = 130
_LOCK_WAIT_SECONDS = 5
_CONNECT_SECONDS = 5


def translate(error: pymysql.MySQLError | OSError) -> TidegaugeError:
    """Return what an error of the driver asks of the caller."""
    if isinstance(getattr(error, "original_exception", None), ssl.SSLCertVerificationError):
        problem = "the database's certificate is not trusted: set SSL_CERT_FILE to its authority's"
        return Misconfigured([problem])
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    known = ERROR_TABLE.get(code)
    if known is None:
        lost = isinstance(error, (pymysql.InterfaceError, OSError)) or code in _CLIENT_ERRORS
        known = (
            (Transient, "the connection to the database broke")
            if lost
            else (BrokenInvariant, "the database refused a statement")
        )
    kind, meaning = known
    sentence = f"{meaning} ({code})" if code else meaning
    return Misconfigured([sentence]) if kind is Misconfigured else kind(sentence)


class Database:
    """One connection, opened on first use, dropped on any error, never shared between threads.

    Args:
        locate: Gives address and account; called with True after the server refused them, so that a
            secret that was rotated is read anew.
        needs_tls: Tells whether a connection to an address must be encrypted.
        idle_seconds: The server closes a connection that is silent for so long: just above the
            function's timeout, so that a dead process does not hold a lock for hours.
        answer_seconds: A server that says nothing for so long is lost; None waits for ever, as a
            migration of large tables has to.
    """

    def __init__(
        self,
        locate: Callable[[bool], DatabaseAddress],
        *,
        needs_tls: Callable[[DatabaseAddress], bool],
        idle_seconds: int = IDLE_SECONDS,
        answer_seconds: float | None = None,
    ) -> None:
        self._locate = locate
        self._needs_tls = needs_tls
        self._idle_seconds = idle_seconds
        self._answer_seconds = answer_seconds
        self._open: Connection[Cursor] | None = None

    @classmethod
    def from_settings(
        cls,
        settings: DatabaseSettings,
        secret: Callable[[bool], DatabaseAddress] | None = None,
        *,
        idle_seconds: int = IDLE_SECONDS,
        answer_seconds: float | None = None,
    ) -> "Database":
        """Return the database that the settings name.

        Args:
            settings: With `DATABASE_URL`, or with the name of a secret.
            secret: Reads that secret; needed where there is no URL.
            idle_seconds: As for the class.
            answer_seconds: As for the class.
        """
        address = settings.address()

        def locate(refused: bool) -> DatabaseAddress:
            if address is not None:
                return address
            if secret is None:
                raise Misconfigured(["set DATABASE_URL to mysql://user:password@host:3306/name"])
            return secret(refused)

        return cls(
            locate,
            needs_tls=settings.needs_tls,
            idle_seconds=idle_seconds,
            answer_seconds=answer_seconds,
        )

    @contextmanager
    def transaction(self) -> Iterator["Cursor"]:
        """Give a cursor in a new transaction; commit on leaving, roll back on any exception.

        Raises:
            Transient: do the whole transaction again; after a lost COMMIT its outcome is unknown.
            Misconfigured: account, database or schema are not what the code needs.
            BrokenInvariant: the server refused a statement that is always sound.
        """
        try:
            connection = self._begun()
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
        except (pymysql.MySQLError, OSError) as error:
            self.close()
            raise translate(error) from error
        except BaseException:
            self._roll_back()
            raise

    def _begun(self) -> "Connection[Cursor]":
        if self._open is not None:
            try:
                self._open.begin()
            except (pymysql.MySQLError, OSError):
                # The server ends a connection that was idle for long. Nothing has begun yet, so a
                # new one loses nothing.
                self.close()
            else:
                return self._open
        connection = self._connection()
        connection.begin()
        return connection

    def _connection(self) -> "Connection[Cursor]":
        if self._open is None:
            try:
                self._open = self._connect(self._locate(False))
            except pymysql.OperationalError as error:
                if error.args[0] != ER.ACCESS_DENIED_ERROR:
                    raise
                self._open = self._connect(self._locate(True))
        return self._open

    def _connect(self, address: DatabaseAddress) -> "Connection[Cursor]":
        options: dict[str, Any] = {}
        if self._needs_tls(address):
            options["ssl"] = ssl.create_default_context()
        connection = pymysql.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=address.database,
            charset="utf8mb4",
            autocommit=False,
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=self._answer_seconds,
            write_timeout=self._answer_seconds,
            init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            **options,
        )
        with connection.cursor() as cursor:
            cursor.execute(
                "SET SESSION time_zone = '+00:00',"
                " sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ENGINE_SUBSTITUTION',"
                " innodb_lock_wait_timeout = %s, wait_timeout = %s",
                (_LOCK_WAIT_SECONDS, self._idle_seconds),
            )
        return connection

    def _roll_back(self) -> None:
        if self._open is None:
            return
        try:
            self._open.rollback()
        except (pymysql.MySQLError, OSError):
            self.close()

    def close(self) -> None:
        """Close the connection, if one is open; the server rolls back what was not committed."""
        connection, self._open = self._open, None
        if connection is not None and connection.open:
            connection._force_close()  # type: ignore[attr-defined]  # noqa: SLF001 - says no goodbye to a dead server
