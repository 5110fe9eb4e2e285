"""How to reach the database."""

import re
from dataclasses import dataclass, field
from typing import Self

from tidegauge.database_address import DatabaseAddress
from tidegauge.domain.errors import Misconfigured
from tidegauge.setting_reader import Reader
from tidegauge.settings.concern import Settings

_SECRET_ARN = re.compile(r"arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:.+")


@dataclass(frozen=True, slots=True)
class DatabaseSettings(Settings):
    """How to reach the database: by a secret in the cloud, by an address on a laptop.

    Attributes:
        database_secret_arn: Secrets Manager secret with address and account; empty for a URL.
        database_url: `mysql://user:password@host:port/database`; empty for a secret.
        database_tls: `required` or `off`; empty for off on this machine and required elsewhere.
    """

    database_secret_arn: str = ""
    database_url: str = field(default="", repr=False)
    database_tls: str = ""

    def address(self) -> DatabaseAddress | None:
        """Return the address of `database_url`, or None where a secret holds it."""
        return DatabaseAddress.from_url(self.database_url) if self.database_url else None

    def needs_tls(self, address: DatabaseAddress) -> bool:
        """Whether a connection to this address must be encrypted."""
        if self.database_tls:
            return self.database_tls == "required"
        return not address.is_loopback

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the variables of this concern."""
        settings = cls(
            database_secret_arn=reader.text(
                "DATABASE_SECRET_ARN", "", _SECRET_ARN, "the ARN of a Secrets Manager secret"
            ),
            database_url=reader.secret("DATABASE_URL"),
            database_tls=reader.choice("DATABASE_TLS", "", ("", "required", "off")),
        )
        given = bool(settings.database_secret_arn) + bool(settings.database_url)
        reader.require(
            given == 1,
            "set one of DATABASE_SECRET_ARN and DATABASE_URL, not "
            + ("both" if given else "neither"),
        )
        try:
            settings.address()
        except Misconfigured as fault:
            reader.problems.extend(fault.problems)
        return settings
