#!/usr/bin/env python3
"""Makes the secret by which functions find the database, or brings it up to date.

Takes the address from TIDEGAUGE_DB_HOST, TIDEGAUGE_DB_PORT, TIDEGAUGE_DB_USER and
TIDEGAUGE_DB_NAME, and the password from the file that TIDEGAUGE_DB_PASSWORD_FILE names, so that it
stands in no environment. Run and failing as 10_artifacts.py.
"""

import json
import os
import sys
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

SECRET = "tidegauge/database"  # noqa: S105 - its name


class HookFailed(Exception):
    """The secret is not there; the message says why."""


def keep_secret() -> None:
    """Make the secret, or bring it up to date.

    Raises:
        HookFailed: a variable is missing, the password cannot be read, or LocalStack refused.
    """
    secret = _secret()
    url = os.environ.get("AWS_ENDPOINT_URL") or "http://127.0.0.1:4566"
    secrets = boto3.session.Session().client(
        "secretsmanager",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - LocalStack takes any
        config=Config(connect_timeout=5, read_timeout=30),
    )
    try:
        try:
            secrets.create_secret(Name=SECRET, SecretString=secret)
        except secrets.exceptions.ResourceExistsException:
            secrets.put_secret_value(SecretId=SECRET, SecretString=secret)
    except (BotoCoreError, ClientError) as error:
        msg = f"the secret {SECRET} could not be kept at {url}: {error}"
        raise HookFailed(msg) from error


def _secret() -> str:
    """Return the JSON that functions read."""
    names = ("HOST", "PORT", "USER", "NAME", "PASSWORD_FILE")
    found = {name: os.environ.get(f"TIDEGAUGE_DB_{name}", "").strip() for name in names}
    missing = [f"TIDEGAUGE_DB_{name}" for name in names if not found[name]]
    if missing:
        msg = f"set {', '.join(missing)}: the functions must find their database"
        raise HookFailed(msg)
    if not found["PORT"].isdecimal():
        msg = f"TIDEGAUGE_DB_PORT must be a port, not {found['PORT']!r}"
        raise HookFailed(msg)
    file = Path(found["PASSWORD_FILE"])
    try:
        password = file.read_text().strip()
    except OSError as error:
        msg = f"the database's password cannot be read from {file}: {error.strerror}"
        raise HookFailed(msg) from error
    if not password:
        msg = f"{file} holds no password"
        raise HookFailed(msg)
    return json.dumps(
        {
            "host": found["HOST"],
            "port": int(found["PORT"]),
            "username": found["USER"],
            "password": password,
            "dbname": found["NAME"],
        }
    )


if __name__ == "__main__":
    try:
        keep_secret()
    except HookFailed as fault:
        sys.exit(str(fault))
elif __name__ == "builtins":  # what `exec` in LocalStack leaves as a name
    keep_secret()
