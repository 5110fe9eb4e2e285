"""The stack in Docker brought up as it is, but for Docker: a test plays it before real servers.

The engine stands for LocalStack's container and the database server for MySQL's, so all that is
done to them is really done: schema, build, deployment, secret.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from embedded.composed import ComposedStack
from embedded.engine import EngineAddress
from embedded.places import Places
from embedded.stack import SECRET, own_architecture
from tests.support.embedded import engine_server, missing, places_in
from tests.support.played_docker import PlayedDocker
from tidegauge.adapters.mysql.connection import Database
from tidegauge.domain.errors import InvalidInput
from tidegauge.settings import DatabaseAddress, DatabaseSettings

pytestmark = [pytest.mark.engine, pytest.mark.database]

SAGEMAKER_PORT = 45_990
AS_IN_THE_COMPOSE_FILE = ("tidegauge", "tidegauge")


@pytest.fixture
def bare_engine(tmp_path: Path) -> Iterator[EngineAddress]:
    """An engine for one test alone: whoever deploys needs one that holds no stack."""
    with engine_server(places_in(tmp_path / "engine")) as address:
        yield address


@pytest.fixture
def docker(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bare_engine: EngineAddress,
    database_address: DatabaseAddress,
) -> PlayedDocker:
    """A docker whose services are the servers of this test process."""
    if (database_address.user, database_address.database) != AS_IN_THE_COMPOSE_FILE:
        missing("DATABASE_URL with user and database tidegauge, or none")
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    played = PlayedDocker(folder)
    processor = {"x86_64": "amd64"}.get(own_architecture(), own_architecture())
    played.answer("version --format {{.Server.Arch}}", f"{processor}\n")
    played.answer("compose exec -T mysql cat /run/tidegauge/password", database_address.password)
    for service, port in (
        ("mysql 3306", database_address.port),
        ("localstack 4566", bare_engine.port),
        ("sagemaker 4599", SAGEMAKER_PORT),
    ):
        played.answer(f"compose port {service}", f"127.0.0.1:{port}\n")
    return played


def recreations(docker: PlayedDocker) -> list[str]:
    return [words for words in docker.asked() if "--force-recreate" in words]


def test_functions_get_addresses_of_dockers_network_and_this_machine_gets_loopbacks(
    docker: PlayedDocker,
    bare_engine: EngineAddress,
    database_address: DatabaseAddress,
    tmp_path: Path,
) -> None:
    places = Places(tmp_path / "state")
    stack = ComposedStack(places)
    running = stack.up()

    assert running.engine == bare_engine
    assert running.database == replace(database_address, host="127.0.0.1")
    assert running.sagemaker_url == f"http://127.0.0.1:{SAGEMAKER_PORT}"
    clients = bare_engine.session()
    told = json.loads(clients.secrets.get_secret_value(SecretId=SECRET)["SecretString"])
    assert (told["host"], told["port"]) == ("mysql", 3306)
    assert told["password"] == database_address.password
    collect = clients.functions.get_function_configuration(
        FunctionName=running.outputs.collect_function_name
    )
    assert collect["Architectures"] == [own_architecture()]
    database = Database.from_settings(
        DatabaseSettings(database_url=running.environment["DATABASE_URL"])
    )
    try:
        with database.transaction() as cursor:
            assert cursor.execute("SHOW TABLES LIKE 'completed_window'") == 1
    finally:
        database.close()

    # Coming back to it deploys nothing and makes no container anew.
    deployed = (places.state / "deployed").stat().st_mtime_ns
    assert stack.up() == running
    assert (places.state / "deployed").stat().st_mtime_ns == deployed
    assert recreations(docker) == []

    # What is out of date is not updated in place: LocalStack and SageMaker begin with nothing.
    (places.state / "deployed").write_text("of other sources")
    docker.answer("compose up --detach --build --wait --force-recreate", code=1)
    docker.answer("compose ps", '{"Service":"localstack","State":"exited","ExitCode":1}\n')
    with pytest.raises(InvalidInput, match="localstack ended with 1"):
        stack.up()
    assert [words.split("--no-deps ")[1] for words in recreations(docker)] == [
        "localstack sagemaker"
    ]
