"""Which stack the tests of an address are about, where the environment names it."""

import pytest

from tests.support.address import address_in


@pytest.mark.parametrize(
    ("env", "missing"),
    [
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "DATABASE_URL": " "},
            "AWS_ENDPOINT_URL_SAGEMAKER, DATABASE_URL",
        ),
        ({"TIDEGAUGE_E2E": "aws"}, "DATABASE_URL"),
    ],
)
def test_what_is_missing_is_told_at_once(env: dict[str, str], missing: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=f"^set {missing} too:"):
        address_in(env)
