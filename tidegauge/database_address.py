"""Where a database listens and who we are to it, from an address or from a secret."""

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

import msgspec

from tidegauge.domain.errors import Misconfigured

_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_MYSQL_PORT = 3306


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """Where the database listens and who we are to it.

    Attributes:
        host: Name or address.
        port: TCP port.
        user: The account.
        password: Never shown.
        database: The schema.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine."""
        return self.host in _LOOPBACK_HOSTS

    @classmethod
    def from_url(cls, url: str, variable: str = "DATABASE_URL") -> Self:
        """Read `mysql://user:password@host:port/database`; reserved characters as %XX.

        Args:
            url: What a variable holds.
            variable: Its name, for messages.

        Raises:
            Misconfigured: it has another form; the message does not repeat it.
        """
        fault = f"{variable} must look like mysql://user:password@host:3306/database"
        try:
            parts = urlsplit(url)
            port = parts.port or _MYSQL_PORT
        except ValueError:
            raise Misconfigured([fault]) from None
        database = unquote(parts.path.removeprefix("/"))
        if parts.scheme != "mysql" or not parts.hostname or not parts.username:
            raise Misconfigured([fault])
        if not database or "/" in database or parts.query or parts.fragment:
            raise Misconfigured([fault])
        return cls(
            parts.hostname, port, unquote(parts.username), unquote(parts.password or ""), database
        )

    @classmethod
    def from_secret(cls, secret: str) -> Self:
        """Read the JSON of a database secret: host, port, username, password, dbname.

        Raises:
            Misconfigured: it has another form; the message does not repeat it.
        """
        try:
            known = msgspec.json.decode(secret, type=_DatabaseSecret, strict=False)
        except (msgspec.MsgspecError, UnicodeEncodeError):
            fault = "the secret of DATABASE_SECRET_ARN must be JSON with host, username, password, "
            raise Misconfigured([fault + "dbname and perhaps port"]) from None
        return cls(known.host, known.port, known.username, known.password, known.dbname)


class _DatabaseSecret(msgspec.Struct):
    host: str
    username: str
    password: str
    dbname: str
    port: int = _MYSQL_PORT
