"""What the stand-in begins with, what it keeps over a restart, and its faults on demand."""

import json
import urllib.error
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from embedded.engine import EngineAddress
from tests.support.models import model_of
from tests.support.standin import clear_faults, faults_left, put_fault, running_standin
from tests.support.standin_world import standin_world
from tidegauge.adapters.model_file import write_model

NO_S3 = "http://127.0.0.1:9"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    write_model(folder / "gauge.tar.gz", model_of(2.0, version="fit-1"))
    (folder / "broken.tar.gz").write_bytes(b"no model")
    (folder / "no_name.tar.gz").write_bytes(b"no model")
    return folder


def data() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return labels and rows that a job can be trained on."""
    drawn = np.random.default_rng(5)
    return drawn.normal(size=30), drawn.normal(size=(30, 2))


@pytest.mark.engine
def test_each_file_is_a_model_a_config_and_an_endpoint(engine: EngineAddress, models: Path) -> None:
    with standin_world(engine.url, "standin-first", models=models) as world:
        assert world.invoke("gauge", b"4") == ("fit-1", [8.0])
        told = world.described("gauge")
        assert told["EndpointConfigName"] == "gauge-fit-1"
        config = world.control.describe_endpoint_config(EndpointConfigName="gauge-fit-1")
        variant = config["ProductionVariants"][0]
        assert (variant["VariantName"], variant["ModelName"]) == ("fit-1", "gauge-fit-1")
        assert world.described("broken")["EndpointStatus"] == "Failed"
        # Whoever deploys makes a new config with the old one's variant, and so goes on.
        world.put_model("job-1", model_of(3.0, version="job-1"))
        world.control.update_endpoint(EndpointName="gauge", EndpointConfigName="job-1")
        world.settled("gauge")
        assert world.invoke("gauge", b"4") == ("job-1", [12.0])
        world.control.update_endpoint(EndpointName="gauge", EndpointConfigName="gauge-fit-1")
        world.settled("gauge")
        assert world.invoke("gauge", b"4") == ("fit-1", [8.0])


@pytest.mark.engine
def test_a_restart_serves_what_was_served_without_s3(
    engine: EngineAddress, models: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with standin_world(engine.url, "standin-kept", models=models, state=state) as world:
        world.put_model("job-1", model_of(3.0, version="job-1"))
        world.control.update_endpoint(EndpointName="gauge", EndpointConfigName="job-1")
        world.settled("gauge")
        world.put_rows("one/train/a.csv", *data())
        world.start_job("one", InputDataConfig=[world.channel("train", "one/train/")])
        job = world.ended_job("one")
        assert job["TrainingJobStatus"] == "Completed"
    # The file of the first model is there still, and is not taken again.
    with standin_world(
        engine.url, "standin-kept", told_s3=NO_S3, models=models, state=state
    ) as again:
        assert again.invoke("gauge", b"4") == ("job-1", [12.0])
        assert again.described("gauge")["EndpointConfigName"] == "job-1"
        assert again.described_job("one") == job
        assert again.described("broken")["EndpointStatus"] == "Failed"


@pytest.mark.engine
def test_what_was_under_way_at_the_end_is_resolved_at_the_start(
    engine: EngineAddress, models: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with standin_world(
        engine.url,
        "standin-cut",
        models=models,
        state=state,
        training_seconds=600.0,
        endpoint_seconds=600.0,
    ) as world:
        world.put_rows("cut/train/a.csv", *data())
        world.start_job("cut", InputDataConfig=[world.channel("train", "cut/train/")])
        world.put_model("new", model_of(3.0, version="new"))
        world.control.create_endpoint(EndpointName="made", EndpointConfigName="new")
        world.control.update_endpoint(EndpointName="gauge", EndpointConfigName="new")
        assert world.described_job("cut")["TrainingJobStatus"] == "InProgress"
        assert world.described("gauge")["EndpointStatus"] == "Updating"
    with standin_world(engine.url, "standin-cut", state=state) as world:
        job = world.described_job("cut")
        assert job["TrainingJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("InternalServerError")
        made = world.settled("made")
        assert made["EndpointStatus"] == "InService", made.get("FailureReason")
        assert world.settled("gauge")["EndpointConfigName"] == "new"
        assert world.invoke("gauge", b"4") == world.invoke("made", b"4") == ("new", [12.0])


def test_faults_are_told_and_forgotten(models: Path) -> None:
    with running_standin(models) as address:
        put_fault(address, endpoint="gauge", fault="latency", milliseconds=1.5)
        put_fault(address, fault="training", times=2, reason="no disk")
        assert faults_left(address) == [
            {"fault": "latency", "endpoint": "gauge", "milliseconds": 1.5},
            {"fault": "training", "times": 2, "reason": "no disk"},
        ]
        clear_faults(address)
        assert faults_left(address) == []


def test_what_is_no_fault_is_refused(models: Path) -> None:
    with running_standin(models) as address:
        with pytest.raises(urllib.error.HTTPError) as raised:
            put_fault(address, fault="nan")
        with raised.value as answer:
            assert answer.code == 400
            assert json.load(answer) == {"message": "nan wants endpoint or model"}
        assert faults_left(address) == []
