"""The doctor on the database: can it be reached, is its schema ours, does counting move.

Also whether two clocks meet on one stream, which no count survives.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from tidegauge.database_address import DatabaseAddress
from tidegauge.domain.errors import Misconfigured
from tidegauge.domain.event import RejectReason
from tidegauge.domain.health import HealthRules, State
from tidegauge.domain.health_words import lines_of
from tidegauge.domain.snapshot import Snapshot
from tidegauge.ports import PatientClock
from tidegauge.ports.diagnosis import CloudLook, DatabaseLook, ModelStanding
from tidegauge.settings import DatabaseSettings
from tidegauge.steps.doctor_finding import (
    Check,
    Finding,
    Level,
    NotChecked,
    Unsound,
    not_checked,
    ok,
    warning,
    wrong,
)
from tidegauge.steps.health import RULE_VARIABLES, health_rules, look

APART_MS = 5_000
_NOTED_WITHIN_MS = 1_000
_OLDEST = {"MariaDB": (10, 11), "MySQL": (8, 4)}


class DatabaseAt(Protocol):
    """Looks at the database of an address."""

    def __call__(
        self,
        address: DatabaseAddress,
        settings: DatabaseSettings,
        stream_name: str,
        *,
        with_earlier: bool,
    ) -> DatabaseLook:
        """Return the look.

        Args:
            address: Where it listens and who we are to it.
            settings: Whether the connection must be encrypted.
            stream_name: Whose counts are wanted.
            with_earlier: As `HealthRules.with_earlier`.
        """
        ...


class DatabaseChecks:
    """The checks of the database, in order.

    Args:
        variable: Gives a setting, as it stands here or as the functions have it.
        cloud: Reads the secret.
        database_at: Looks at the database.
        clock: This machine's.
        clock_ahead_ms: Gives how far that one is ahead of the cloud's; None where that is unknown.
    """

    def __init__(
        self,
        variable: Callable[[str], str],
        cloud: CloudLook,
        database_at: DatabaseAt,
        clock: PatientClock,
        clock_ahead_ms: Callable[[], int | None],
    ) -> None:
        self._variable = variable
        self._cloud = cloud
        self._database_at = database_at
        self._clock = clock
        self._clock_ahead_ms = clock_ahead_ms
        self._address: DatabaseAddress | None = None
        self._look: DatabaseLook | None = None

    def table(self) -> Sequence[tuple[str, tuple[str, ...], Check]]:
        """Return each check with what it needs."""
        return (
            ("database address", (), self._check_address),
            ("database", ("database address",), self._check_server),
            ("schema", ("database",), self._check_schema),
            ("counting", ("schema",), self._check_counting),
            ("one clock", ("schema",), self._check_one_clock),
        )

    def models(self, endpoint: str) -> Sequence[ModelStanding]:
        """Return every model that was meant for an endpoint, latest first.

        Only once the check of schema has passed.
        """
        return self._connected().models(endpoint)

    def _settings(self) -> DatabaseSettings:
        """Return how to reach the database: as it stands here, else as the functions have it."""
        names = {"DATABASE_TLS": self._variable("DATABASE_TLS")}
        url = self._variable("DATABASE_URL")
        if url:
            names["DATABASE_URL"] = url
        else:
            names["DATABASE_SECRET_ARN"] = self._variable("DATABASE_SECRET_ARN")
        return DatabaseSettings.from_env(names)

    def _check_address(self) -> Iterator[Finding]:
        if not (self._variable("DATABASE_URL") or self._variable("DATABASE_SECRET_ARN")):
            msg = "none is named here (DATABASE_URL or DATABASE_SECRET_ARN), nor by a function"
            raise NotChecked(msg)
        settings = self._settings()
        self._address = settings.address()
        where = "DATABASE_URL"
        if self._address is None:
            if self._clock_ahead_ms() is None:
                msg = "it is kept in a secret, which needs the check of AWS account"
                raise NotChecked(msg)
            self._address = self._cloud.secret(settings.database_secret_arn)
            where = "the secret"
        there = self._address
        yield ok("database address", f"{there.host}:{there.port}/{there.database}, from {where}")

    def _connected(self) -> DatabaseLook:
        if self._look is None:
            if self._address is None:
                raise Unsound
            self._look = self._database_at(
                self._address,
                self._settings(),
                self._variable("EVENTS_STREAM"),
                with_earlier=self._with_earlier(),
            )
        return self._look

    def _check_server(self) -> Iterator[Finding]:
        server = self._connected().server()
        version = _version(server.version)
        secured = "encrypted" if server.encrypted else "not encrypted"
        if version is not None and version[1] < _OLDEST[version[0]]:
            oldest = ".".join(str(part) for part in _OLDEST[version[0]])
            says = f"{server.version} is older than what Tidegauge is tested with"
            yield warning("database", says, f"move to {version[0]} {oldest} or later")
        elif not server.encrypted and self._address is not None and not self._address.is_loopback:
            remedy = "unset DATABASE_TLS, or set it to required"
            yield warning("database", f"{server.version}, {secured}", remedy)
        else:
            yield ok("database", f"{server.version}, {secured}")
        yield self._clock_finding(server.clock_ahead_ms)

    def _clock_finding(self, ahead_ms: int) -> Finding:
        cloud_ahead_ms = self._clock_ahead_ms()
        whose = "this machine's" if cloud_ahead_ms is None else "AWS's"
        apart_ms = (cloud_ahead_ms or 0) - ahead_ms
        if abs(apart_ms) <= APART_MS:
            return ok("database clock", f"within {APART_MS // 1000} s of {whose}")
        side = "ahead of" if apart_ms > 0 else "behind"
        says = f"{abs(apart_ms) / 1000:.0f} s {side} {whose}: ages are told wrong"
        return warning("database clock", says, "let the database server's clock be set by NTP")

    def _check_schema(self) -> Iterator[Finding]:
        schema = self._connected().schema()
        if schema.missing:
            yield wrong("schema", f"lacks {', '.join(schema.missing)}", "run `tidegauge migrate`")
            raise Unsound
        if schema.unknown:
            says = f"is newer than this program: it has {', '.join(schema.unknown)}"
            yield warning("schema", says, "update this program")
        else:
            yield ok("schema", "every migration is done")

    def _check_counting(self) -> Iterator[Finding]:
        stream_name = self._variable("EVENTS_STREAM")
        if not stream_name:
            msg = "EVENTS_STREAM is not set"
            raise NotChecked(msg)
        health = look(self._connected(), self._rules(), self._clock)
        if health is None:
            remedy = "check collect's mapping and log, and that its secret names this database"
            says = f"nothing of stream {stream_name} was ever counted in this database"
            yield warning("counting", says, remedy)
            return
        for line in lines_of(health):
            says = f"{line.state}: {line.says}" if line.state else line.says
            look_at = f"look at {line.look}" if line.look else ""
            yield Finding("counting", _LEVELS.get(line.state, Level.WARNING), says, look_at)

    def _check_one_clock(self) -> Iterator[Finding]:
        snapshot = self._connected().read()
        if snapshot is None:
            yield not_checked("one clock", "nothing is counted yet")
            return
        foreign = snapshot.quarantined.get(RejectReason.FOREIGN_HEARTBEAT, 0)
        if foreign:
            says = f"{foreign:,} heartbeats of another source were set aside: somebody else's clock"
            yield warning("one clock", says, "stop it, or set CLOCK_SOURCE to its source")
        other = self._other_clock(snapshot)
        if other is not None:
            yield other
        elif not foreign:
            who = "the sweep" if self._rules().clock_is_sweep else "a producer"
            yield ok("one clock", f"{who}, and nobody else")

    def _other_clock(self, snapshot: Snapshot) -> Finding | None:
        """Return what `_other_clock` finds, if a second reading finds it too."""
        sweep = self._rules().clock_is_sweep
        if _other_clock(snapshot, sweep=sweep) is None:
            return None
        # A heartbeat may be counted before the sweep has noted that it put it.
        self._clock.wait_until_ms(self._clock.now_ms() + _NOTED_WITHIN_MS)
        again = self._connected().read()
        return None if again is None else _other_clock(again, sweep=sweep)

    def _rules(self) -> HealthRules:
        try:
            return health_rules({name: self._variable(name) for name in RULE_VARIABLES})
        except Misconfigured as error:  # the check of settings has told it, with its remedy
            msg = f"it needs settings that can be used: {error}"
            raise NotChecked(msg) from None

    def _with_earlier(self) -> bool:
        try:
            return self._rules().with_earlier
        except NotChecked:
            return False


_LEVELS: dict[str, Level] = {
    State.STALLED: Level.WRONG,
    State.INCOMPLETE: Level.WRONG,
    State.BEHIND: Level.WARNING,
    State.SILENT: Level.OK,
    State.STARTING: Level.OK,
    State.COUNTING: Level.OK,
}


def _other_clock(snapshot: Snapshot, *, sweep: bool) -> Finding | None:
    """Return the finding that heartbeats came from somebody else than the stream's clock."""
    active = [shard for shard in snapshot.shards if not shard.drained]
    if not sweep:
        swept = [shard.shard_id for shard in active if shard.beat is not None]
        if not swept:
            return None
        says = f"the sweep has put heartbeats on {swept[0]}, though HEARTBEATS=producer: two clocks"
        remedy = "give the replay a stream of its own, or deploy all with the same Heartbeats"
        return wrong("one clock", says, remedy)
    foreign = [
        shard.shard_id
        for shard in active
        if shard.heartbeat is not None and shard.heartbeat > (shard.beat or -1)
    ]
    if not foreign:
        return None
    says = f"the last heartbeat counted on {foreign[0]} is not the sweep's: perhaps two clocks"
    remedy = "stop whoever replays onto this stream; a replay needs one with HEARTBEATS=producer"
    return warning("one clock", says, remedy)


def _version(text: str) -> tuple[str, tuple[int, int]] | None:
    """Return which server a version names, and its first two numbers; None if it names none."""
    numbers = text.split("-")[0].split(".")
    if len(numbers) < 2 or not all(part.isdecimal() for part in numbers[:2]):
        return None
    kind = "MariaDB" if "MariaDB" in text else "MySQL"
    return kind, (int(numbers[0]), int(numbers[1]))
