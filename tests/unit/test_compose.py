"""What docker is asked to do, and what people are told when it cannot: a test plays docker."""

import json
from pathlib import Path

import pytest

from embedded.compose import Compose
from embedded.composed import ComposedServers, ComposedStack
from embedded.engine import EngineAddress
from embedded.places import Places
from tests.support.command import Command
from tests.support.played_docker import PlayedDocker
from tidegauge.domain.errors import InvalidInput


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlayedDocker:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return PlayedDocker(folder)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "state")


def container(service: str, state: str = "running", health: str = "", code: int = 0) -> str:
    told = {"Service": service, "State": state, "Health": health, "ExitCode": code, "ID": "1f"}
    return json.dumps(told) + "\n"


def refusal_of_up(places: Places) -> str:
    with pytest.raises(InvalidInput) as caught:
        Compose(places).up()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_without_docker_make_run_is_named(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match=r"no docker on the PATH.*`make run`.*without Docker"):
        Compose(places).require()


def test_a_docker_whose_engine_is_dead_is_told_with_its_own_words(
    docker: PlayedDocker, places: Places
) -> None:
    docker.answer("version", complains="Cannot connect to the Docker daemon at x.\n", code=1)
    with pytest.raises(InvalidInput, match=r"does not answer \(Cannot connect to .* at x\.\)"):
        Compose(places).require()


@pytest.mark.parametrize("told", ["2.19.1", "1.29.2", "dev", ""])
def test_a_compose_that_is_too_old_is_refused(
    docker: PlayedDocker, places: Places, told: str
) -> None:
    docker.answer("compose version", told)
    with pytest.raises(InvalidInput, match=r"no compose 2\.20 or newer"):
        Compose(places).require()


def test_a_docker_without_compose_is_refused(docker: PlayedDocker, places: Places) -> None:
    docker.answer("compose version", complains="docker: unknown command", code=1)
    with pytest.raises(InvalidInput, match=r"no compose 2\.20 or newer"):
        Compose(places).require()


@pytest.mark.parametrize("told", ["2.20.0", "v2.40.3-desktop.1", "5.0.0"])
def test_a_new_compose_will_do(docker: PlayedDocker, places: Places, told: str) -> None:
    docker.answer("compose version", told)
    Compose(places).require()


def test_up_builds_waits_until_healthy_and_names_our_file(
    docker: PlayedDocker, places: Places
) -> None:
    compose = Compose(places)
    compose.up()
    compose.up("sagemaker", anew=True)
    assert docker.asked() == [
        "compose up --detach --build --wait",
        "compose up --detach --build --wait --force-recreate --no-deps sagemaker",
    ]
    assert compose.file.is_file()


@pytest.mark.parametrize(
    "complaint",
    [
        "Error response from daemon: Bind for 127.0.0.1:{} failed: port is already allocated",
        "failed to bind host port for 127.0.0.1:{}:172.18.0.2:1/tcp: address already in use",
        "Ports are not available: exposing port TCP 127.0.0.1:{} -> 127.0.0.1:0: listen",
    ],
)
def test_a_taken_port_is_told_with_the_variable_that_says_another(
    docker: PlayedDocker, places: Places, monkeypatch: pytest.MonkeyPatch, complaint: str
) -> None:
    docker.answer("compose up", complains=complaint.format(3307), code=1)
    assert refusal_of_up(places) == (
        "port 3307 is taken: stop what listens there,"
        " or set TIDEGAUGE_DATABASE_PORT to another port"
    )
    monkeypatch.setenv("TIDEGAUGE_SAGEMAKER_PORT", "5000")
    docker.answer("compose up", complains=complaint.format(5000), code=1)
    assert "set TIDEGAUGE_SAGEMAKER_PORT to" in refusal_of_up(places)


def test_an_unhealthy_service_is_told_with_the_line_of_its_log_that_says_why(
    docker: PlayedDocker, places: Places
) -> None:
    docker.answer("compose up", complains="dependency failed to start\n", code=1)
    docker.answer(
        "compose ps",
        container("passwords", "exited") + container("localstack", health="unhealthy"),
    )
    docker.answer(
        "compose logs", "Ready.\nERROR Error while running script 20_secret.py: x\nmore\n"
    )
    assert refusal_of_up(places) == (
        "localstack is unhealthy: ERROR Error while running script 20_secret.py: x"
        f" (the whole log: {places.logs / 'localstack.log'})"
    )
    assert docker.asked()[-1].endswith(" localstack")


def test_a_service_that_ended_is_told_and_one_that_did_its_work_is_not(
    docker: PlayedDocker, places: Places
) -> None:
    docker.answer("compose up", code=1)
    docker.answer(
        "compose ps", container("passwords", "exited") + container("mysql", "exited", code=1)
    )
    docker.answer("compose logs", complains="[ERROR] [MY-010187] Could not open file\n")
    assert refusal_of_up(places).startswith("mysql ended with 1: [ERROR] [MY-010187] Could not")


def test_a_newer_localstack_without_a_token_is_told_what_it_wants(
    docker: PlayedDocker, places: Places
) -> None:
    docker.answer("compose up", code=1)
    docker.answer("compose ps", container("localstack", "exited", code=55))
    assert "set LOCALSTACK_AUTH_TOKEN, or unset LOCALSTACK_IMAGE" in refusal_of_up(places)


def test_what_fails_before_any_container_is_told_with_dockers_own_words(
    docker: PlayedDocker, places: Places
) -> None:
    docker.answer("compose up", complains="Error: no route to registry\n", code=1)
    assert refusal_of_up(places) == (
        "docker compose up failed: Error: no route to registry"
        f" (the whole log: {places.logs / 'docker.log'})"
    )


@pytest.mark.parametrize("as_list", [False, True])
def test_services_are_read_as_lines_or_as_one_list(
    docker: PlayedDocker, places: Places, as_list: bool
) -> None:
    lines = [container("mysql", health="healthy"), container("adminer")]
    docker.answer("compose ps", f"[{','.join(lines)}]" if as_list else "".join(lines))
    services = Compose(places).services()
    assert [one.service for one in services] == ["mysql", "adminer"]
    assert not any(one.fails for one in services)


def test_models_are_forgotten_while_nobody_serves_them(
    docker: PlayedDocker, places: Places
) -> None:
    with ComposedServers(Compose(places), EngineAddress(1)).without_models():
        assert docker.asked() == ["compose stop sagemaker"]
    assert docker.asked()[1].endswith("--force-recreate --no-deps sagemaker")


def test_what_was_never_started_is_not_stopped_and_docker_not_asked(
    docker: PlayedDocker, places: Places
) -> None:
    assert ComposedStack(places).down() == []
    assert docker.asked() == []


def test_down_tells_what_ran_and_keeps_the_volumes(docker: PlayedDocker, places: Places) -> None:
    places.state.mkdir()
    (places.state / "started").touch()
    docker.answer("compose ps", container("mysql") + container("passwords", "exited"))
    stack = ComposedStack(places)
    assert stack.down() == ["mysql (Docker)"]
    assert docker.asked()[-1] == "compose down"
    assert stack.down() == []


def test_where_docker_does_not_answer_nothing_runs_and_down_asks_again_next_time(
    docker: PlayedDocker, places: Places
) -> None:
    places.state.mkdir()
    (places.state / "started").touch()
    docker.answer("version", complains="Cannot connect", code=1)
    assert ComposedStack(places).down() == []
    docker.answer("version", "28.2.2")
    docker.answer("compose ps", container("mysql"))
    assert ComposedStack(places).down() == ["mysql (Docker)"]


def test_the_command_ends_with_two_and_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TIDEGAUGE_COMPOSE_STATE", str(tmp_path / "state"))
    done = Command(monkeypatch, capsys)("up", "--engine", "localstack", "--replay", "--json")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "no docker on the PATH" in done.err
