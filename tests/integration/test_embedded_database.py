"""The private database server on this machine."""

import shutil
import socket
import stat
from pathlib import Path

import pymysql
import pytest

from embedded import processes
from embedded.database import Database, find_server
from embedded.places import Places
from tests.support.embedded import missing, places_in
from tidegauge.domain.errors import InvalidInput
from tidegauge.settings import DatabaseAddress

pytestmark = pytest.mark.database


def _connect(address: DatabaseAddress) -> pymysql.Connection:
    return pymysql.connect(
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password,
        database=address.database,
    )


@pytest.fixture
def own_places(tmp_path: Path) -> Places:
    if find_server() is None:
        missing("no database server on this machine")
    # Longer than a socket's address may be.
    return places_in(tmp_path / ("long" * 25))


def test_no_two_servers_share_a_folder_for_temporary_tables(own_places: Places) -> None:
    database = Database(own_places)
    address = database.up()
    try:
        with _connect(address) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT @@tmpdir")
            assert cursor.fetchone() == (str(own_places.state / "database" / "tmp"),)
    finally:
        database.down()


def test_data_survive_a_stop_and_a_second_start_keeps_port_and_password(
    own_places: Places,
) -> None:
    database = Database(own_places, durable=False)
    assert not database.is_own(DatabaseAddress("127.0.0.1", 3306, "root", "", "x"))
    try:
        first = database.up()
        connection = _connect(first)
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept (number INT)")
        connection.close()
        assert database.up() == first
        assert database.down()
        assert not database.down()
        assert database.address() is None
        assert database.is_own(first)

        second = database.up()
        assert second == first
        connection = _connect(second)
        with connection.cursor() as cursor:
            assert cursor.execute("SELECT * FROM kept") == 0
        connection.close()
    finally:
        database.down()


def test_only_its_user_may_read_the_password_and_it_listens_on_loopback_only(
    own_places: Places,
) -> None:
    database = Database(own_places, durable=False)
    try:
        address = database.up()
        mode = stat.S_IMODE((own_places.state / "database" / "password").stat().st_mode)
        assert mode == 0o600
        connection = _connect(address)
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@bind_address, @@time_zone")
            assert cursor.fetchone() == ("127.0.0.1", "+00:00")
        connection.close()
        with pytest.raises(pymysql.err.OperationalError, match="denied"):
            pymysql.connect(host=address.host, port=address.port, user="root", password="")
    finally:
        database.down()


def test_a_taken_port_is_one_sentence_that_names_the_setting(own_places: Places) -> None:
    with socket.socket() as other:
        other.bind((processes.LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InvalidInput, match=f"port {port} .*TIDEGAUGE_DATABASE_PORT"):
            Database(own_places, port=port).up()


def test_a_given_server_is_used(database_url: str) -> None:
    _connect(DatabaseAddress.from_url(database_url)).close()


def test_a_full_disk_is_one_sentence_with_the_room_that_is_needed(
    own_places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A disk cannot be filled here: what the system says of it is made up.
    full = shutil.disk_usage("/")._replace(free=20 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: full)
    with pytest.raises(InvalidInput, match=r"the disk is full: .* needs 400 MB .* 20 MB are free"):
        Database(own_places).up()
