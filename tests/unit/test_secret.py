"""The database's secret: read once, read anew on demand, never shown."""

import json
from typing import Any, cast

import pytest

from tests.support.botocore_shapes import request_problems
from tidegauge.adapters.secrets import DatabaseSecret
from tidegauge.domain.errors import Misconfigured
from tidegauge.settings import DatabaseAddress

WHOLE = {"host": "db", "port": 3306, "username": "tide", "password": "s3cret", "dbname": "gauge"}


class FakeSecrets:
    """Answers one secret after the other."""

    def __init__(self, *texts: str) -> None:
        self._texts = iter(texts)

    def get_secret_value(self, **request: Any) -> dict[str, str]:
        assert not request_problems("secretsmanager", "GetSecretValue", request)
        return {"SecretString": next(self._texts)}


def secret_of(*texts: str) -> DatabaseSecret:
    return DatabaseSecret("arn:secret", client=cast("Any", FakeSecrets(*texts)))


def test_a_secret_is_read_once() -> None:
    secret = secret_of(json.dumps(WHOLE))
    assert secret.credentials() == DatabaseAddress("db", 3306, "tide", "s3cret", "gauge")
    assert secret.credentials() is secret.credentials()


def test_a_rotated_secret_is_read_anew_and_kept() -> None:
    secret = secret_of(json.dumps(WHOLE), json.dumps({**WHOLE, "password": "newer"}))
    secret.credentials()
    assert secret.renewed().password == "newer"  # noqa: S105
    assert secret.credentials().password == "newer"  # noqa: S105


def test_a_port_may_be_text_and_other_fields_may_stand_beside() -> None:
    text = json.dumps({**WHOLE, "port": "3307", "engine": "mysql"})
    assert secret_of(text).credentials().port == 3307


@pytest.mark.parametrize("text", ["", "s3cret", "{}", json.dumps({**WHOLE, "port": "s3cret"})])
def test_a_secret_of_another_shape_is_named_without_its_content(text: str) -> None:
    with pytest.raises(Misconfigured, match="DATABASE_SECRET_ARN must be JSON") as raised:
        secret_of(text).credentials()
    assert "s3cret" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_the_password_is_never_shown() -> None:
    assert "s3cret" not in repr(secret_of(json.dumps(WHOLE)).credentials())
