"""`make invoke`: each function runs on its example event against the stack, without Docker."""

import json
import os
import subprocess
import sys

import pytest

from embedded.invoke import functions, invoke
from embedded.local import Running
from embedded.places import REPOSITORY, Places
from tidegauge.domain.errors import InvalidInput

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


NAMES = ["collect", "predict", "sweep", "listener_sim", "deploy", "export", "train"]


@pytest.mark.parametrize("name", NAMES)
def test_each_function_answers_to_its_example(name: str, stack: Running, places: Places) -> None:
    # In a process of its own: handlers keep clients and settings of the first environment.
    code = "import sys; from embedded.__main__ import main; sys.exit(main(['invoke', sys.argv[1]]))"
    environment = {
        **os.environ,
        "TIDEGAUGE_STATE": str(places.state),
        "DATABASE_URL": stack.environment["DATABASE_URL"],
    }
    for _ in range(2):  # counting it once must not hide it the second time
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-c", code, name],
            cwd=REPOSITORY / "localstack",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout.splitlines()[-1])
        if name in ("collect", "listener_sim"):
            assert answer["events"] > 0
        if name == "export":  # of the example's stream too little was counted
            assert answer["exported"] is False
            assert answer["reason"]
        if name == "train":  # the dataset of the example is not there
            assert answer == {"started": 0}
        if name == "deploy":  # nor is the model
            assert answer["deployed"] == []


def test_an_unknown_function_is_one_sentence_with_those_there_are(stack: Running) -> None:
    assert list(functions(REPOSITORY)) == NAMES
    with pytest.raises(InvalidInput, match="use F=collect or F=predict or F=sweep or F=listener"):
        invoke("recorder", stack, REPOSITORY)
