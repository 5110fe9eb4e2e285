"""What befalls a worker process at a chosen statement: it dies, freezes, fells the server or waits.

Statements are counted, so that a fate needs no timing and befalls the same statement in each run.
A COMMIT is one of them: before the server has it, and once it is sent, before its answer is read.
"""

import os
import re
import signal
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from pymysql.connections import Connection

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

    Driver = Connection[Cursor]
else:
    Driver = Connection  # cannot be subscripted when it runs

COMMIT = r"\ACOMMIT"
ANY = ""
LOCKS = {
    table: rf"FROM {table}\b.* FOR UPDATE\Z" for table in ("shard", "frontier", "judging")
}  # the locking read of each
_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+(\w+)")
_TEXT_BYTES = 4_000


class Deed(StrEnum):
    """What happens."""

    DIE = "die"
    FREEZE = "freeze"
    FELL = "fell"
    WAIT = "wait"


class Moment(StrEnum):
    """When it happens: before a statement is sent, before its answer is read, or after that."""

    BEFORE = "before"
    SENT = "sent"
    ANSWERED = "answered"


class Fate(msgspec.Struct, frozen=True):
    """One thing that befalls a process.

    Attributes:
        deed: What.
        moment: When; a COMMIT has no `ANSWERED`.
        statement: A pattern of the statements that count; `ANY` for all but those that set up a
            session.
        number: The how manieth of them, from 1; a later one where that was refused.
        ends: Whether the server ends the session of a frozen process after a second.
    """

    deed: Deed
    moment: Moment
    statement: str = ANY
    number: int = 1
    ends: bool = False


class Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line that a worker tells the test.

    Attributes:
        kind: `counting`, `counted`, `done`, `refused`, `sent`, `frozen`, `thawed`, `dying`,
            `felled`, `waiting` or `failed`.
        what: Why it was refused, what was done, or what was sent.
        table: That of the last statement.
        shard: The shard that the worker counts.
        start: Start of its batch.
        end: End of its batch.
        connection: The connection's id on the server.
    """

    kind: str
    what: str = ""
    table: str = ""
    shard: str = ""
    start: int = 0
    end: int = 0
    connection: int = 0


class Fortune:
    """The fate that a process has yet to meet.

    Args:
        tell: Tells the test a word.
        wait: Returns when the test says so.
        server_pid: Returns the process of the database server.
    """

    def __init__(
        self,
        tell: Callable[[Word], None],
        wait: Callable[[], None],
        server_pid: Callable[[], int],
    ) -> None:
        self._tell = tell
        self._wait = wait
        self._server_pid = server_pid
        self._fate: Fate | None = None
        self._left = 0
        self.table = ""

    def await_fate(self, fate: Fate) -> None:
        """Take a new fate; its statements are counted from now on."""
        self._fate, self._left = fate, fate.number

    def before(self, connection: "FatedConnection", statement: str) -> None:
        """Count a statement that is about to be sent."""
        found = _TABLE.search(statement)
        self.table = found[1] if found else statement
        fate = self._fate
        if fate is None or not re.search(fate.statement, statement, re.DOTALL):
            return
        self._left -= 1
        if self._left <= 0 and fate.ends:
            connection.query("SET SESSION wait_timeout = 1")
        self.meet(Moment.BEFORE, connection, statement)

    def meet(self, moment: Moment, connection: "FatedConnection", statement: str) -> None:
        """Meet the fate, if a statement has come to its moment."""
        fate = self._fate
        if fate is None or self._left > 0 or moment is not fate.moment:
            return
        if not re.search(fate.statement, statement, re.DOTALL):
            return
        self._fate = None
        _DEEDS[fate.deed](self, connection.session_id)

    def _die(self, connection_id: int) -> None:
        self._tell(Word("dying", table=self.table, connection=connection_id))
        os.kill(os.getpid(), signal.SIGKILL)

    def _freeze(self, connection_id: int) -> None:
        table = self.table
        self._tell(Word("frozen", table=table, connection=connection_id))
        os.kill(os.getpid(), signal.SIGSTOP)
        self._tell(Word("thawed", table=table, connection=connection_id))

    def _fell(self, connection_id: int) -> None:
        os.kill(self._server_pid(), signal.SIGKILL)
        self._tell(Word("felled", table=self.table, connection=connection_id))

    def _stand_by(self, connection_id: int) -> None:
        self._tell(Word("waiting", table=self.table, connection=connection_id))
        self._wait()


_DEEDS: dict[Deed, Callable[[Fortune, int], None]] = {
    Deed.DIE: Fortune._die,  # noqa: SLF001
    Deed.FREEZE: Fortune._freeze,  # noqa: SLF001
    Deed.FELL: Fortune._fell,  # noqa: SLF001
    Deed.WAIT: Fortune._stand_by,  # noqa: SLF001
}


class FatedConnection(Driver):
    """The driver's connection, with a fate; stands in for `pymysql.connect` in a worker."""

    fortune: ClassVar[Fortune]
    _statement = ""

    @property
    def session_id(self) -> int:
        """The session's number on the server."""
        return int(self.thread_id())  # type: ignore[no-untyped-call]

    def _execute_command(self, command: int, sql: str | bytes) -> None:
        text = sql if isinstance(sql, str) else sql[:_TEXT_BYTES].decode(errors="replace")
        if text.startswith("SET "):  # a session is set up
            super()._execute_command(command, sql)  # type: ignore[misc]
            return
        self._statement = text
        self.fortune.before(self, text)
        super()._execute_command(command, sql)  # type: ignore[misc]
        self.fortune.meet(Moment.SENT, self, text)

    def _read_query_result(self, unbuffered: Any = False) -> None:
        super()._read_query_result(unbuffered)  # type: ignore[misc]
        if self._statement:
            self.fortune.meet(Moment.ANSWERED, self, self._statement)
