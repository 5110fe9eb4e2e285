"""A function that cannot reach its database, and what becomes of the events meanwhile."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.address import Address
from tests.support.address_line import Counted, Line
from tests.support.live import until

pytestmark = pytest.mark.stack

SECONDS = 120
# A call asks twice: it reads its secret anew when it is refused. Others may start meanwhile.
REFUSALS = 8


@contextmanager
def wrong_password(address: Address) -> Iterator[None]:
    """Let functions that start find a secret whose password the database refuses."""
    arn = address.settings["DATABASE_SECRET_ARN"]
    right = address.secrets.get_secret_value(SecretId=arn)["SecretString"]
    wrong = json.dumps({**json.loads(right), "password": "not this one"})
    address.secrets.put_secret_value(SecretId=arn, SecretString=wrong)
    try:
        yield
    finally:
        address.secrets.put_secret_value(SecretId=arn, SecretString=right)


def refusals(address: Address) -> int:
    """Return how many logins the database server has refused."""
    return int(address.rows("SHOW GLOBAL STATUS LIKE 'Aborted_connects'")[0][1])


def start_anew(address: Address, function: str) -> None:
    """Let a function start cold: a warm one keeps the connection that it has."""
    found = address.functions.get_function_configuration(FunctionName=function)
    usual = found["Description"].partition(" Started")[0]
    address.functions.update_function_configuration(
        FunctionName=function,
        Description=f"{usual} Started anew: {secrets.token_hex(4)}.",
        # The embedded engine looks whether this is named, AWS whether anything is new.
        Environment={"Variables": found["Environment"]["Variables"]},
    )


def test_a_failing_function_is_tried_again_until_it_counts_and_then_counts_once(
    line: Line, address: Address
) -> None:
    series = line.series("failing")
    start_ms = line.next_window()
    before = refusals(address)
    with wrong_password(address):
        start_anew(address, address.outputs.collect_function_name)
        line.put(line.events(series, 11))
        line.next_window()
        until(
            lambda: refusals(address) >= before + REFUSALS,
            seconds=SECONDS,
            what="the function fails, and is tried again",
        )
        assert not line.counts(series)
    until(lambda: start_ms in line.counts(series), seconds=SECONDS, what="the window")
    assert line.counted(series) == {start_ms: [Counted(11, 0, "complete")]}
