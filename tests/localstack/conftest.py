"""LocalStack's runtime in host mode with nothing deployed, for what it does by itself."""

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedded.engine import EngineAddress
from embedded.places import Places
from tests.support.localstack_host import LABEL, LocalStackHost

ROLE = "arn:aws:iam::000000000000:role/any"


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> LocalStackHost:
    """LocalStack that is not up yet; one of its hooks fails."""
    python = os.environ.get("LAMBDA_PYTHON")
    if not python:
        pytest.skip(f"{LABEL}: `make e2e-localstack` runs it")
    state = tmp_path_factory.mktemp("localstack")
    hooks = state / "hooks"
    hooks.mkdir()
    (hooks / "10_passes.py").write_text("")
    (hooks / "20_fails.py").write_text("raise RuntimeError('as it was told to')\n")
    return LocalStackHost(Places(state), python, hooks=hooks)


@pytest.fixture(scope="session")
def localstack(host: LocalStackHost) -> Iterator[EngineAddress]:
    """LocalStack, up."""
    try:
        yield host.up({})
    finally:
        host.down()


@dataclass(frozen=True)
class Function:
    """A deployed function."""

    address: EngineAddress
    name: str

    def call(self, event: object = None) -> tuple[str | None, Any]:
        """Call it; return the kind of its error, if it is one, and what it answered."""
        answer = self.address.session().functions.invoke(
            FunctionName=self.name, Payload=json.dumps(event).encode()
        )
        return answer.get("FunctionError"), json.loads(answer["Payload"].read())


Deploy = Callable[..., Function]


@pytest.fixture
def deploy(localstack: EngineAddress, request: pytest.FixtureRequest) -> Deploy:
    """Deploys a function of the test's name from its code, with keywords of CreateFunction."""
    name = request.node.name.partition("[")[0][-60:]

    def deployed(code: str, *, suffix: str = "", **settings: Any) -> Function:
        functions = localstack.session().functions
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("app.py", code)
        functions.create_function(
            FunctionName=f"{name}{suffix}",
            Runtime="python3.13",
            Handler="app.handler",
            Role=ROLE,
            Code={"ZipFile": packed.getvalue()},
            **settings,
        )
        functions.get_waiter("function_active_v2").wait(
            FunctionName=f"{name}{suffix}", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        return Function(localstack, f"{name}{suffix}")

    return deployed


@pytest.fixture(scope="session")
def no_hooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without hooks."""
    return tmp_path_factory.mktemp("no-hooks")
