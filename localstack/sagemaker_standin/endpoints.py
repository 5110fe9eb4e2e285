"""Endpoints, for now: each model file `NAME.tar.gz` in a folder is an endpoint NAME in service.

A file that is replaced is served from the next request on. One that is replaced by something
unusable changes nothing: the old model serves on, as after a roll-back.
"""

import logging
import threading
from pathlib import Path
from typing import NamedTuple

from sagemaker_standin.aws import is_name
from tidegauge.adapters.model_file import read_model
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.linear_model import LinearModel

SUFFIX = ".tar.gz"

_logger = logging.getLogger(__name__)


class Endpoint(NamedTuple):
    """An endpoint with one production variant.

    Attributes:
        name: As it was asked for.
        model: What answers; None if no model could ever be loaded.
        failure: Why there is none.
        created_s: When its first model was seen to have been written, seconds since the epoch.
        modified_s: The same of its present model.
    """

    name: str
    model: LinearModel | None
    failure: str
    created_s: float
    modified_s: float

    @property
    def variant_name(self) -> str:
        """The variant bears the model's version, so that one call tells who answered."""
        return self.model.model_version if self.model else "AllTraffic"


class _FileState(NamedTuple):
    inode: int
    size_bytes: int
    modified_ns: int


class ModelFolder:
    """The endpoints of a folder. Safe to use from several threads.

    Args:
        folder: Where the model files lie; it may still be missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._served: dict[str, tuple[_FileState, Endpoint]] = {}

    def endpoint(self, name: str) -> Endpoint | None:
        """Return an endpoint with the model that its file holds now; None if there is no file."""
        if not is_name(name):
            return None
        path = self._folder / f"{name}{SUFFIX}"
        with self._lock:
            try:
                found = path.stat()
            except FileNotFoundError:
                self._served.pop(name, None)
                return None
            state = _FileState(found.st_ino, found.st_size, found.st_mtime_ns)
            before = self._served.get(name)
            if before and before[0] == state:
                return before[1]
            endpoint = _loaded(name, path, found.st_mtime, before[1] if before else None)
            self._served[name] = (state, endpoint)
            return endpoint


def _loaded(name: str, path: Path, modified_s: float, before: Endpoint | None) -> Endpoint:
    try:
        model = read_model(path)
    except InvalidInput as error:
        _logger.warning("endpoint %s: %s", name, error)
        if before and before.model:
            return before
        return Endpoint(name, None, str(error), modified_s, modified_s)
    _logger.info("endpoint %s serves model %s", name, model.model_version)
    return Endpoint(name, model, "", before.created_s if before else modified_s, modified_s)
