"""The models that a new stack serves before it has trained one: files `NAME.tar.gz` of a folder.

Each becomes a model, a config and an endpoint NAME in service, unless there is such an endpoint
already. From then on they are like any other; the files are not looked at again.
"""

import logging
from pathlib import Path

from sagemaker_standin.artifacts import Artifacts
from sagemaker_standin.aws import MAX_NAME_CHARS, is_name
from sagemaker_standin.records import (
    Config,
    Endpoint,
    EndpointStatus,
    Known,
    Model,
    Variant,
)
from sagemaker_standin.registry import Registry, is_taken
from tidegauge.adapters.model_file import pack_model, read_model
from tidegauge.domain.errors import InvalidInput

SUFFIX = ".tar.gz"
UNKNOWN_VERSION = "AllTraffic"
IMAGE = "sagemaker-standin/linear-learner:1"
BUCKET = "sagemaker-standin"
SERVERLESS = {"MemorySizeInMB": 2048, "MaxConcurrency": 10}

_logger = logging.getLogger(__name__)


def take_first_models(
    folder: Path, registry: Registry, artifacts: Artifacts, *, now_s: float
) -> None:
    """Make an endpoint of each file; of one that is no model, an endpoint that failed.

    Args:
        folder: Where the files lie; it may be missing.
        registry: Where the endpoints become known.
        artifacts: Where the models are kept.
        now_s: When they are made, seconds since the epoch.
    """
    for path in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []:
        name = path.name.removesuffix(SUFFIX)
        if not is_name(name):
            _logger.warning("%s is passed over: no endpoint can have that name", path)
            continue
        with registry.changing() as known:
            if not is_taken(name, known.endpoints):
                _take(name, path, known, artifacts, now_s)


def _take(name: str, path: Path, known: Known, artifacts: Artifacts, now_s: float) -> None:
    digest: str | None = None
    failure, version = None, UNKNOWN_VERSION
    try:
        digest = artifacts.keep(pack_model(read_model(path)))
        # The variant bears the model's version, so that one call tells who answered.
        version = artifacts.model(digest).model_version
    except InvalidInput as error:
        _logger.warning("endpoint %s: %s", name, error)
        failure = str(error)
    full_name = f"{name}-{version}"[:MAX_NAME_CHARS].rstrip("-")
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/{name}{SUFFIX}"}
    model = {"ModelName": full_name, "PrimaryContainer": container}
    variant = {"VariantName": version, "ModelName": full_name, "InitialVariantWeight": 1.0}
    config = {
        "EndpointConfigName": full_name,
        "ProductionVariants": [{**variant, "ServerlessConfig": SERVERLESS}],
    }
    known.models[full_name] = Model(name=full_name, request=model, created_s=now_s, artifact=digest)
    known.configs[full_name] = Config(name=full_name, request=config, created_s=now_s)
    known.endpoints[name] = Endpoint(
        name=name,
        config_name=full_name,
        created_s=now_s,
        modified_s=now_s,
        status=EndpointStatus.FAILED if digest is None else EndpointStatus.IN_SERVICE,
        fleet=() if digest is None else (Variant(version, full_name, digest, 1.0),),
        failure=failure,
    )
