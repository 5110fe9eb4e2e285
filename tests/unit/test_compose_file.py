"""Our rules for the compose file and the Dockerfile, which nobody here can run: no Docker needed.

`make check` runs these beside the compose specification's schema, hadolint and shellcheck.
"""

import re
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from embedded import composed
from embedded.compose import PORTS, Compose
from embedded.places import Places
from sagemaker_standin.__main__ import LOOPBACK
from tests.support.cloudformation import CloudFormation

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "localstack"
FILE = Compose(Places(Path("nowhere"))).file
DOCKERFILE = FOLDER / "sagemaker_standin" / "Dockerfile"
STACK: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
SERVERS = {name: told for name, told in SERVICES.items() if name != "passwords"}
LOCALSTACK = (
    "localstack/localstack:4.14.0"
    "@sha256:3ebc37595918b8accb852f8048fef2aff047d465167edd655528065b07bc364a"
)
# A name, a tag that begins with a version, and perhaps a digest.
PINNED = re.compile(r"[a-z0-9./-]+:\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?")
# The variable, its default, the port in the container.
PUBLISHED = re.compile(r"127\.0\.0\.1:\$\{(\w+):-(\d+)\}:(\d+)")
each_service = pytest.mark.parametrize("name", SERVICES)
each_server = pytest.mark.parametrize("name", SERVERS)


def image_of(name: str) -> str:
    """Return the image that is used where no variable names another."""
    image: str = SERVICES[name].get("image", "")
    return re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", image)


def variables_of(name: str) -> dict[str, str | None]:
    variables: dict[str, str | None] = SERVICES[name].get("environment", {})
    return variables


def mounts_of(name: str) -> list[list[str]]:
    mounts = SERVICES[name].get("volumes", [])
    return [re.sub(r"\$\{\w+:-(.*?)\}", r"\1", one).split(":") for one in mounts]


# --- images ---------------------------------------------------------------------------------------
@each_service
def test_every_image_is_pinned_or_built_here(name: str) -> None:
    if "build" in SERVICES[name]:
        assert "image" not in SERVICES[name]
        return
    assert PINNED.fullmatch(image_of(name)), image_of(name)


def test_localstack_is_the_last_one_without_a_token_by_digest_and_another_takes_a_variable() -> (
    None
):
    assert image_of("localstack") == LOCALSTACK
    assert SERVICES["localstack"]["image"] == f"${{LOCALSTACK_IMAGE:-{LOCALSTACK}}}"
    # Named without a value: handed on if it is set, not set otherwise.
    assert variables_of("localstack")["LOCALSTACK_AUTH_TOKEN"] is None


def test_the_passwords_are_made_by_the_database_image_which_is_there_anyway() -> None:
    assert image_of("passwords") == image_of("mysql") == "mysql:8.4"


# --- reach ----------------------------------------------------------------------------------------
@each_server
def test_a_server_is_published_on_loopback_alone_under_a_variable(name: str) -> None:
    published = SERVICES[name]["ports"]
    found = [PUBLISHED.fullmatch(one) for one in published]
    assert all(found), published
    for one in found:
        assert one is not None
        assert PORTS[one[1]] == int(one[2])


def test_ports_do_not_meet_and_the_passwords_need_no_network() -> None:
    published = [PUBLISHED.fullmatch(one) for told in SERVERS.values() for one in told["ports"]]
    assert {one[1]: int(one[2]) for one in published if one} == PORTS
    assert len(set(PORTS.values())) == len(PORTS)
    assert SERVICES["passwords"]["network_mode"] == "none"
    assert not any("network_mode" in told for told in SERVERS.values())


def test_docker_is_handed_to_localstack_alone() -> None:
    holders = [name for name in SERVICES for one in mounts_of(name) if "docker.sock" in one[0]]
    assert holders == ["localstack"]


# --- health ---------------------------------------------------------------------------------------
@each_server
def test_every_server_has_a_health_check_that_ends(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert set(check) == {"test", "interval", "timeout", "retries", "start_period"}
    assert check["test"][0] == "CMD"


@each_service
def test_whoever_needs_another_waits_until_it_is_ready(name: str) -> None:
    for needed, told in SERVICES[name].get("depends_on", {}).items():
        once = needed == "passwords"
        wanted = "service_completed_successfully" if once else "service_healthy"
        assert told == {"condition": wanted}


def test_who_reads_a_password_waits_for_the_passwords() -> None:
    for name in SERVERS:
        mounted = any(one[0] == "passwords" for one in mounts_of(name))
        assert mounted == ("passwords" in SERVICES[name].get("depends_on", {}))


# --- secrets and rights ---------------------------------------------------------------------------
SECRET = re.compile(r"PASS|SECRET|TOKEN|KEY", re.IGNORECASE)
# LocalStack takes any, and boto3 none at all.
NO_SECRETS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@each_service
def test_no_secret_stands_in_an_environment_only_files_that_hold_one(name: str) -> None:
    for variable, value in variables_of(name).items():
        if SECRET.search(variable) and NO_SECRETS.get(variable) != value:
            is_file = variable.endswith("_FILE") and str(value).startswith("/run/tidegauge/")
            assert is_file or value is None, variable


def test_no_variable_of_the_compose_file_defaults_to_a_secret_and_no_command_has_one() -> None:
    text = FILE.read_text()
    named = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", text))
    assert set(named) == {*PORTS, "LOCALSTACK_IMAGE", "DOCKER_SOCK"}
    assert not re.search(r"--password|MYSQL_PWD|MYSQL_ALLOW_EMPTY", text)


@each_service
def test_the_passwords_can_be_changed_by_the_service_that_makes_them_alone(name: str) -> None:
    for source, _target, *mode in mounts_of(name):
        if source == "passwords":
            assert mode == ([] if name == "passwords" else ["ro"])


@each_service
def test_what_is_mounted_of_the_clone_is_there_and_cannot_be_changed(name: str) -> None:
    for source, _target, *mode in mounts_of(name):
        if source.startswith("."):
            assert (FOLDER / source).exists()
            assert mode == ["ro"]


@each_service
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    told = SERVICES[name]
    assert "privileged" not in told
    assert "pid" not in told
    if name == "localstack":
        return  # it holds Docker's socket, which is all rights there are
    assert told["security_opt"] == ["no-new-privileges:true"]
    if name == "mysql":
        return  # its image begins as root, and leaves that by itself
    assert told["cap_drop"] == ["ALL"]
    assert told["read_only"] is True


# --- what the code takes for granted --------------------------------------------------------------
def test_the_stack_in_docker_knows_the_services_as_they_are() -> None:
    inside = {
        composed.DATABASE: composed.DATABASE_PORT,
        composed.ENGINE: composed.ENGINE_PORT,
        composed.SAGEMAKER: composed.SAGEMAKER_PORT,
    }
    for name, port in inside.items():
        (published,) = SERVICES[name]["ports"]
        assert published.endswith(f":{port}")
    mysql = variables_of("mysql")
    assert mysql["MYSQL_USER"] == composed.USER
    assert mysql["MYSQL_DATABASE"] == composed.NAME
    assert mysql["MYSQL_PASSWORD_FILE"] == composed.PASSWORD_FILE


def test_hooks_give_functions_the_address_that_the_deployment_gives_them() -> None:
    told = variables_of("localstack")
    assert told["TIDEGAUGE_DB_HOST"] == composed.DATABASE
    assert told["TIDEGAUGE_DB_PORT"] == str(composed.DATABASE_PORT)
    assert told["TIDEGAUGE_DB_USER"] == composed.USER
    assert told["TIDEGAUGE_DB_NAME"] == composed.NAME
    assert told["TIDEGAUGE_DB_PASSWORD_FILE"] == composed.PASSWORD_FILE


def test_functions_find_the_stand_in_by_its_name_and_are_in_its_network() -> None:
    told = variables_of("localstack")
    flags = str(told["LAMBDA_DOCKER_FLAGS"]).split()
    assert flags[::2] == ["-e"] * (len(flags) // 2)
    handed = dict(one.split("=", 1) for one in flags[1::2])
    assert handed == {
        "AWS_ENDPOINT_URL_SAGEMAKER": composed.SAGEMAKER_INSIDE,
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": composed.SAGEMAKER_INSIDE,
        "DATABASE_TLS": "off",
    }
    assert told["LAMBDA_DOCKER_NETWORK"] == STACK["networks"]["default"]["name"]
    assert variables_of("sagemaker")["AWS_ENDPOINT_URL"] == "http://localstack:4566"


def test_localstack_has_the_services_that_the_template_is_made_of_and_no_telemetry() -> None:
    text = (ROOT / "template.yaml").read_text()
    template = yaml.load(text, Loader=CloudFormation)  # noqa: S506 - a safe loader
    kinds = {one["Type"].split("::")[1].lower() for one in template["Resources"].values()}
    kinds -= {"serverless"}  # becomes Lambda, IAM and EventBridge
    wanted = {*kinds, "cloudformation", "events", "lambda", "secretsmanager", "sqs", "sts"}
    told = variables_of("localstack")
    assert wanted <= set(str(told["SERVICES"]).split(","))
    assert told["DISABLE_EVENTS"] == "1"


def test_what_sagemaker_knows_lies_in_no_volume_since_it_is_forgotten_with_the_container() -> None:
    assert "volumes" not in SERVICES["sagemaker"]
    folders = [one.partition(":")[0] for one in SERVICES["sagemaker"]["tmpfs"]]
    assert "/state" in folders


# --- the stand-in's image -------------------------------------------------------------------------
INSTRUCTIONS = [
    line.split(maxsplit=1)
    for line in DOCKERFILE.read_text().replace("\\\n", " ").splitlines()
    if line and not line.startswith("#")
]


def told_by(instruction: str) -> list[str]:
    return [rest for name, rest in INSTRUCTIONS if name == instruction]


def test_the_image_starts_from_lambdas_python_pinned_and_adds_nothing_from_the_net() -> None:
    assert {base.split()[0] for base in told_by("FROM")} == {"python:3.13-slim"}
    assert told_by("ADD") == []
    (install,) = [run for run in told_by("RUN") if "pip install" in run]
    assert "--require-hashes" in install
    (sync,) = [run for run in told_by("RUN") if "uv sync" in run]
    assert "--frozen" in sync
    assert "--no-default-groups" in sync
    assert "--group standin" in sync
    assert not any("curl" in run or "apt" in run for run in told_by("RUN"))


def test_the_image_runs_as_the_user_whose_folder_it_keeps_its_state_in() -> None:
    (user,) = told_by("USER")
    assert int(user) > 0
    state = next(one for one in SERVICES["sagemaker"]["tmpfs"] if one.startswith("/state:"))
    assert f"uid={user}," in state
    assert "mode=0700" in state
    names = [name for name, _ in INSTRUCTIONS]
    assert names.index("USER") > max(at for at, name in enumerate(names) if name == "RUN")


def test_the_image_alone_listens_beyond_loopback_and_has_the_health_check_of_the_service() -> None:
    assert LOOPBACK == "127.0.0.1"
    (entry,) = told_by("ENTRYPOINT")
    assert '"--host", "0.0.0.0", "--port", "4599"' in entry
    (check,) = told_by("HEALTHCHECK")
    words = SERVICES["sagemaker"]["healthcheck"]["test"][1:]
    assert all(f'"{word}"' in check for word in words)


def test_all_that_is_copied_is_let_in_and_nothing_else_but_code() -> None:
    let_in = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    assert let_in[0] == "*"
    allowed = [line.removeprefix("!") for line in let_in[1:]]
    copied = [
        word for copy in told_by("COPY") if "--from" not in copy for word in copy.split()[:-1]
    ]
    for path in copied:
        assert (ROOT / path).exists()
        assert any(one == path or one.startswith(f"{path}/") for one in allowed), path
    assert not any(".tidegauge" in one or ".git" in one for one in allowed)


def test_scripts_that_containers_run_are_executable() -> None:
    for script in (FOLDER / "make_passwords.sh", FOLDER / "localstack_health.py"):
        assert stat.S_IMODE(script.stat().st_mode) & 0o111 == 0o111
