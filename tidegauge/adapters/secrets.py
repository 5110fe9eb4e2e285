"""The database's credentials, kept in Secrets Manager: takes an ARN, gives who to log in as.

The secret is read once per process. A rotation makes the kept copy stale, and the database says so
by refusing it: then, and only then, ask for `renewed()`.
"""

from functools import cached_property
from typing import TYPE_CHECKING

from tidegauge.adapters.aws_client import client_config
from tidegauge.adapters.aws_errors import aws_call
from tidegauge.settings import DatabaseAddress, DatabaseSettings

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


class DatabaseSecret:
    """Reads one secret and keeps it.

    Args:
        arn: The secret's ARN or name.
        client: For tests; None makes one from the environment on first use.
    """

    def __init__(self, arn: str, *, client: "SecretsManagerClient | None" = None) -> None:
        self._arn = arn
        self._given_client = client
        self._kept: DatabaseAddress | None = None

    @cached_property
    def _client(self) -> "SecretsManagerClient":
        if self._given_client is not None:
            return self._given_client
        import boto3

        with aws_call("making a Secrets Manager client"):
            return boto3.client("secretsmanager", config=client_config())

    def locate(self, refused: bool) -> DatabaseAddress:
        """Return where to log in; read anew if the database refused what was kept."""
        return self.renewed() if refused else self.credentials()

    def credentials(self) -> DatabaseAddress:
        """Return the credentials, from memory if they were read before.

        Raises:
            Transient: Secrets Manager cannot answer now.
            Misconfigured: The secret is missing, may not be read, or lacks a field.
        """
        return self._kept or self.renewed()

    def renewed(self) -> DatabaseAddress:
        """Read the secret anew: for when the database refused what was kept (its error 1045).

        Raises:
            Transient: Secrets Manager cannot answer now.
            Misconfigured: The secret is missing, may not be read, or lacks a field.
        """
        client = self._client
        with aws_call(f"reading secret {self._arn}"):
            answer = client.get_secret_value(SecretId=self._arn)
        self._kept = DatabaseAddress.from_secret(answer.get("SecretString", ""))
        return self._kept


def secret_of(settings: DatabaseSettings) -> DatabaseSecret | None:
    """Return the secret that the settings name, or None where they hold an address."""
    arn = settings.database_secret_arn
    return DatabaseSecret(arn) if arn else None
