"""What the MySQL adapter does without a server: errors, queries, keys, times."""

import ssl

import pymysql
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysql.constants import CR, ER

from tidegauge.adapters.mysql.connection import ERROR_TABLE, translate
from tidegauge.adapters.mysql.ledgers import WarmLedgers, pack_keys, unpack_keys
from tidegauge.adapters.mysql.queries import migrations, query
from tidegauge.adapters.mysql.times import from_sql, to_sql
from tidegauge.domain.errors import BrokenInvariant, Misconfigured, Transient
from tidegauge.domain.event_time import EARLIEST_TIME_MS, LATEST_TIME_MS


@pytest.mark.parametrize("code", sorted(ERROR_TABLE))
def test_every_code_of_the_table_asks_for_what_the_table_says(code: int) -> None:
    kind, meaning = ERROR_TABLE[code]
    error = translate(pymysql.OperationalError(code, "x"))
    assert type(error) is kind
    assert meaning in str(error)


@pytest.mark.parametrize("code", [1205, 1213, 1290, 2002, 2003, 2006, 2013])
def test_what_passes_by_itself_is_transient(code: int) -> None:
    assert type(translate(pymysql.OperationalError(code, "x"))) is Transient


def test_a_missing_table_says_what_to_do() -> None:
    assert isinstance(translate(pymysql.ProgrammingError(ER.NO_SUCH_TABLE, "x")), Misconfigured)
    assert "tidegauge migrate" in str(translate(pymysql.ProgrammingError(1146, "x")))


def test_a_refused_statement_is_a_fault_of_ours_and_a_lost_socket_is_not() -> None:
    assert isinstance(translate(pymysql.DataError(1406, "too long")), BrokenInvariant)
    assert isinstance(translate(pymysql.IntegrityError(1062, "twice")), BrokenInvariant)
    assert isinstance(translate(pymysql.InterfaceError(0, "")), Transient)
    assert isinstance(translate(ConnectionResetError()), Transient)
    assert isinstance(translate(pymysql.OperationalError(CR.CR_UNKNOWN_ERROR, "")), Transient)


def test_an_untrusted_certificate_is_told_from_a_server_that_is_away() -> None:
    error = pymysql.OperationalError(2003, "Can't connect")
    error.original_exception = ssl.SSLCertVerificationError()  # type: ignore[attr-defined]
    assert "SSL_CERT_FILE" in str(translate(error))
    assert isinstance(translate(error), Misconfigured)


def test_an_error_never_repeats_what_the_server_said() -> None:
    error = translate(pymysql.OperationalError(1045, "Access denied, password: s3cret"))
    assert "s3cret" not in str(error)


def test_queries_have_names_and_migrations_have_numbers() -> None:
    assert query("lock_shard").startswith("SELECT shard_id")
    assert query("lock_shard").endswith("FOR UPDATE")  # what follows is said of the next one
    numbers = [number for number, _, _ in migrations()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(s and ";" not in s for _, _, statements in migrations() for s in statements)
    with pytest.raises(KeyError):
        query("no_such_query")


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_keys_come_back_as_they_were_packed(keys: list[int]) -> None:
    assert list(unpack_keys(pack_keys(keys))) == keys


@given(st.integers(EARLIEST_TIME_MS, LATEST_TIME_MS))
def test_times_come_back_as_they_were_stored(time_ms: int) -> None:
    assert from_sql(to_sql(time_ms)) == time_ms


SHARD = (1, "shard-0")


def test_kept_sets_are_trusted_only_where_nobody_else_has_written() -> None:
    warm = WarmLedgers()
    warm.committed(SHARD, {0: {1}}, {0: [2], 5: [3]}, fence=9, ledger_number=4)
    assert warm.trusted(SHARD, fence=9, ledger_number=4) == {0: {1, 2}, 5: {3}}
    assert warm.trusted(SHARD, fence=9, ledger_number=5) == {}
    assert warm.trusted(SHARD, fence=9, ledger_number=4) == {}  # dropped for good


def test_kept_sets_are_forgotten_after_an_error() -> None:
    warm = WarmLedgers()
    warm.committed(SHARD, {}, {0: [2]}, fence=9, ledger_number=4)
    warm.drop(SHARD)
    assert warm.trusted(SHARD, fence=9, ledger_number=4) == {}


def test_the_oldest_windows_are_let_go_first() -> None:
    warm = WarmLedgers(max_keys=3)
    warm.committed(SHARD, {}, {0: [1, 2], 5: [3, 4], 10: [5]}, fence=1, ledger_number=1)
    assert set(warm.trusted(SHARD, fence=1, ledger_number=1)) == {5, 10}


def test_the_limit_holds_for_all_shards_of_a_process_together() -> None:
    warm = WarmLedgers(max_keys=4)
    for number in range(3):
        warm.committed((1, f"s-{number}"), {}, {0: [1, 2]}, fence=1, ledger_number=1)
    assert warm.trusted((1, "s-0"), fence=1, ledger_number=1) == {}
    assert warm.trusted((1, "s-1"), fence=1, ledger_number=1) == {0: {1, 2}}
    assert warm.trusted((1, "s-2"), fence=1, ledger_number=1) == {0: {1, 2}}
