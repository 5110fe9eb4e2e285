"""The notebook: it runs, what is committed is what it shows, and it leaves nothing behind."""

import base64
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import pytest
from nbclient.exceptions import CellExecutionError

from embedded.engine import EngineAddress
from tests.support.notebook import (
    NOTEBOOK,
    Shown,
    executed,
    notebook_world,
    read_notebook,
    shown,
)

if TYPE_CHECKING:
    from nbformat import NotebookNode

MAX_BYTES = 1_000_000
PNG = b"\x89PNG\r\n\x1a\n"
HASH = re.compile(r"[0-9a-f]{8,}")
COMPRESSED = re.compile(r"(counts\.csv\.gz \| [\d,]+ \| )[\d,]+")
# Folders and addresses of the machine that it was run on.
OF_A_MACHINE = re.compile(r"(/work|/tmp|/root|/home|/Users|/var)\b|127\.0\.0\.1|localhost")


class Runs(NamedTuple):
    """The notebook run twice, as people do.

    Attributes:
        first: With what it made left there.
        second: Told to clean up.
        left: What the stand-in holds at the end.
    """

    first: "NotebookNode"
    second: "NotebookNode"
    left: dict[str, list[str]]


@pytest.fixture(scope="module")
def runs(engine: EngineAddress) -> Iterator[Runs]:
    with notebook_world(engine) as world:
        first = executed(read_notebook(), {**world, "NOTEBOOK_CLEAN_UP": "no"})
        second = executed(first, world)
        yield Runs(first, second, left_in(world))


def left_in(world: dict[str, str]) -> dict[str, list[str]]:
    """Return the names of what SageMaker holds."""
    sagemaker: Any = boto3.client(
        "sagemaker",
        endpoint_url=world["AWS_ENDPOINT_URL_SAGEMAKER"],
        region_name=world["AWS_REGION"],
        aws_access_key_id=world["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=world["AWS_SECRET_ACCESS_KEY"],
    )
    jobs = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    models = sagemaker.list_models()["Models"]
    configs = sagemaker.list_endpoint_configs()["EndpointConfigs"]
    endpoints = sagemaker.list_endpoints()["Endpoints"]
    return {
        "jobs": [one["TrainingJobName"] for one in jobs],
        "models": [one["ModelName"] for one in models],
        "configs": [one["EndpointConfigName"] for one in configs],
        "endpoints": [one["EndpointName"] for one in endpoints],
    }


def alike(notebook: "NotebookNode") -> list[Shown]:
    """Return what a notebook shows wherever it runs.

    Another zlib makes other bytes of the same windows, and so another name of the dataset.
    """
    return [
        one._replace(text=COMPRESSED.sub(r"\1", HASH.sub("#", one.text))) for one in shown(notebook)
    ]


@pytest.mark.engine
def test_a_new_run_shows_what_is_committed(runs: Runs) -> None:
    # Whatever changes what it shows, renews what is committed: `make notebook`.
    assert alike(runs.second) == alike(read_notebook())


@pytest.mark.engine
def test_a_run_that_finds_its_work_done_shows_the_same(runs: Runs) -> None:
    told_by_the_setting = {"settings", "clean"}
    first, second = shown(runs.first), shown(runs.second)
    assert [one.cell for one in first] == [one.cell for one in second]
    differing = {one.cell for one, other in zip(first, second, strict=True) if one != other}
    assert differing == told_by_the_setting


@pytest.mark.engine
def test_the_model_beats_the_naive_forecasts_and_the_baseline(runs: Runs) -> None:
    table = next(one.text for one in shown(runs.second) if one.cell == "compare")
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    errors = {name: float(error) for name, error, *_ in rows}
    model = errors.pop("the model")
    assert set(errors) == {
        "the seasonal baseline",
        "the same window a week ago",
        "the window before",
    }
    assert 0 < model < min(errors.values())


@pytest.mark.engine
def test_two_runs_train_once_and_leave_the_job_alone_behind(runs: Runs) -> None:
    (job,) = runs.left.pop("jobs")
    assert job.startswith("notebook-20130213-")
    assert runs.left == {"models": [], "configs": [], "endpoints": []}


@pytest.mark.parametrize(
    ("environment", "problems"),
    [
        ({}, ["AWS_DEFAULT_REGION is not set"]),
        (
            {"AWS_DEFAULT_REGION": "eu-west-1", "MODELS_BUCKET": "No bucket"},
            [
                "EXPORTS_BUCKET is not set",
                "ENDPOINT_NAME is not set",
                "MODELS_BUCKET must be the name of an S3 bucket",
                "TRAINING_ROLE_ARN is not set",
            ],
        ),
    ],
)
def test_it_refuses_to_begin_where_settings_are_missing(
    environment: dict[str, str], problems: list[str]
) -> None:
    with pytest.raises(CellExecutionError) as raised:
        executed(read_notebook(), environment)
    assert raised.value.ename == "Misconfigured"
    for problem in problems:
        assert problem in raised.value.evalue


def test_what_is_committed_is_small_and_has_outputs() -> None:
    assert NOTEBOOK.stat().st_size < MAX_BYTES
    code = [cell for cell in read_notebook().cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    silent = [one.cell for one in shown(read_notebook()) if not one.text and not one.pictures]
    assert silent == ["look"]  # makes things ready to draw
    assert sum(one.pictures for one in shown(read_notebook())) == 6


def test_its_pictures_are_png_and_nothing_else_is_embedded() -> None:
    for output in outputs():
        kinds = set(output.get("data", {}))
        assert kinds <= {"text/plain", "text/markdown", "image/png"}
        if "image/png" in kinds:
            assert base64.b64decode(output["data"]["image/png"]).startswith(PNG)


def test_nothing_in_it_tells_of_the_machine_or_the_hour_of_the_run() -> None:
    written = json.loads(NOTEBOOK.read_text())
    assert all(cell["metadata"] == {} for cell in written["cells"])
    assert set(written["metadata"]) == {"kernelspec", "language_info"}
    assert "version" not in written["metadata"]["language_info"]
    for cell in written["cells"]:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("image/png", None)
    assert OF_A_MACHINE.findall(json.dumps(written)) == []


def test_no_cell_failed_or_warned() -> None:
    assert [one for one in outputs() if one["output_type"] == "error"] == []
    assert [one for one in outputs() if one.get("name") == "stderr"] == []


def outputs() -> list["NotebookNode"]:
    """Return all outputs of the committed notebook."""
    return [output for cell in read_notebook().cells for output in cell.get("outputs", [])]
