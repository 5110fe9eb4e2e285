"""One suite for every predictor that answers from a model: a file's, and an endpoint's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.models import first_feature_model
from tests.support.standin import AWS_ENVIRONMENT, running_standin
from tidegauge.adapters.model_file import FileModelPredictor, write_model
from tidegauge.adapters.sagemaker import EndpointPredictor
from tidegauge.domain.errors import Transient
from tidegauge.domain.features import FEATURE_NAMES
from tidegauge.ports import Predictor

REST = [0.0] * (len(FEATURE_NAMES) - 1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "gauge.tar.gz", first_feature_model("job-7"))
    return folder


@pytest.fixture(scope="module")
def standin(models: Path) -> Iterator[str]:
    with running_standin(models) as address:
        yield address


@pytest.fixture
def aws(standin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", standin)


@pytest.fixture(params=["file", "endpoint"])
def predictor(request: pytest.FixtureRequest, models: Path) -> Predictor:
    if request.param == "file":
        return FileModelPredictor(models / "gauge.tar.gz")
    request.getfixturevalue("aws")
    return EndpointPredictor("gauge")


def test_each_row_gets_its_score_to_the_last_bit(predictor: Predictor) -> None:
    firsts = [0.1, -3.0, 1 / 3, 12345.678901, 1e-300]
    scores = predictor.predict([[first, *REST] for first in firsts])
    assert scores.values == tuple(firsts)


def test_the_model_that_answered_is_named(predictor: Predictor) -> None:
    assert predictor.predict([[1.0, *REST]]).model_version == "job-7"


def test_no_rows_get_no_scores(predictor: Predictor) -> None:
    assert predictor.predict([]).values == ()


def test_a_row_that_is_no_number_scores_none_and_leaves_the_others(predictor: Predictor) -> None:
    scores = predictor.predict([[float("nan"), *REST], [2.0, *REST]])
    assert scores.values[0] != scores.values[0]
    assert scores.values[1] == 2.0


def test_many_rows_are_answered(predictor: Predictor) -> None:
    rows = [[float(number), *REST] for number in range(5000)]
    assert predictor.predict(rows).values == tuple(row[0] for row in rows)


@pytest.mark.usefixtures("aws")
def test_an_endpoint_that_is_missing_is_waited_for() -> None:
    with pytest.raises(Transient, match="Endpoint nobody of account"):
        EndpointPredictor("nobody").predict([[1.0, *REST]])


@pytest.mark.usefixtures("aws")
def test_an_endpoint_that_refuses_the_rows_is_waited_for() -> None:
    with pytest.raises(Transient, match="Feature size of csv inference data 1"):
        EndpointPredictor("gauge").predict([[1.0]])


@pytest.mark.usefixtures("aws")
def test_an_endpoint_that_cannot_be_reached_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 9 (discard): nobody listens there.
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", "http://127.0.0.1:9")
    with pytest.raises(Transient, match="invoking endpoint gauge failed"):
        EndpointPredictor("gauge").predict([[1.0, *REST]])
