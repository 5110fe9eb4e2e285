"""The database's credentials, kept in Secrets Manager: takes an ARN, gives who to log in as.

The secret is read once per process. A rotation makes the kept copy stale, and the database says so
by refusing it: then, and only then, ask for `renewed()`.
"""

from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from tidegauge.adapters.aws_client import client_config
from tidegauge.adapters.aws_errors import aws_call
from tidegauge.domain.errors import Misconfigured

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


class DatabaseCredentials(msgspec.Struct, frozen=True):
    """Where the database is and who logs in; the password is never printed."""

    host: str
    port: int
    username: str
    password: str
    dbname: str

    def __repr__(self) -> str:
        """Leave the password out, lest it reach a log."""
        return f"DatabaseCredentials({self.username}@{self.host}:{self.port}/{self.dbname})"


class DatabaseSecret:
    """Reads one secret and keeps it.

    Args:
        arn: The secret's ARN or name.
        client: For tests; None makes one from the environment on first use.
    """

    def __init__(self, arn: str, *, client: "SecretsManagerClient | None" = None) -> None:
        self._arn = arn
        self._given_client = client
        self._kept: DatabaseCredentials | None = None

    @cached_property
    def _client(self) -> "SecretsManagerClient":
        if self._given_client is not None:
            return self._given_client
        import boto3

        with aws_call("making a Secrets Manager client"):
            return boto3.client("secretsmanager", config=client_config())

    def credentials(self) -> DatabaseCredentials:
        """Return the credentials, from memory if they were read before.

        Raises:
            Transient: Secrets Manager cannot answer now.
            Misconfigured: The secret is missing, may not be read, or lacks a field.
        """
        return self._kept or self.renewed()

    def renewed(self) -> DatabaseCredentials:
        """Read the secret anew: for when the database refused what was kept (its error 1045).

        Raises:
            Transient: Secrets Manager cannot answer now.
            Misconfigured: The secret is missing, may not be read, or lacks a field.
        """
        client = self._client
        with aws_call(f"reading secret {self._arn}"):
            answer = client.get_secret_value(SecretId=self._arn)
        try:
            # Rotation templates write the port as a number or as text.
            self._kept = msgspec.json.decode(
                answer.get("SecretString", ""), type=DatabaseCredentials, strict=False
            )
        except msgspec.MsgspecError as error:
            # The error names the field, never its value; it is not chained all the same, since
            # a malformed secret is still a secret.
            problem = f"secret {self._arn} is not host, port, username, password, dbname: {error}"
            raise Misconfigured([problem]) from None
        return self._kept
