"""Model artifacts that endpoints serve: fetched from S3 once, kept by what is in them.

So a restart needs no S3, and a model whose artifact was replaced serves on what it was loaded with.
"""

import hashlib
import threading
from collections.abc import Collection
from pathlib import Path

from sagemaker_standin.aws import ClientFault
from sagemaker_standin.objects import Objects, Place
from sagemaker_standin.records import Model
from tidegauge.adapters.model_file import MAX_PACKED_BYTES, unpack_model
from tidegauge.adapters.whole_file import whole_file
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.linear_model import LinearModel

FOLDER = "artifacts"
SUFFIX = ".tar.gz"


class Artifacts:
    """The artifacts. Safe to use from several threads.

    Args:
        folder: Where they are kept from one start to the next; None keeps them in memory alone.
        objects: Where they come from.
    """

    def __init__(self, folder: Path | None, objects: Objects) -> None:
        self._folder = folder / FOLDER if folder else None
        self._objects = objects
        self._lock = threading.Lock()
        self._loaded: dict[str, LinearModel] = {}

    def keep(self, packed: bytes) -> str:
        """Keep an artifact; return its digest.

        Raises:
            InvalidInput: It is no model that can be served.
        """
        model = unpack_model(packed)
        digest = hashlib.sha256(packed).hexdigest()
        # One at a time: two endpoints may load the same artifact at once.
        with self._lock:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                with whole_file(self._folder / f"{digest}{SUFFIX}") as file:
                    file.write(packed)
            self._loaded[digest] = model
        return digest

    def load(self, model: Model) -> str:
        """Fetch a model's artifact; return its digest.

        Raises:
            ClientFault: It is not there, too large, or no model that can be served.
        """
        if model.artifact is not None:
            return model.artifact
        place = Place.of(artifact_url(model))
        packed = self._objects.read(place, limit_bytes=MAX_PACKED_BYTES)
        try:
            return self.keep(packed)
        except InvalidInput as error:
            msg = f"{place}: {error}"
            raise ClientFault(msg) from error

    def model(self, digest: str) -> LinearModel:
        """Return what an artifact holds.

        Raises:
            ClientFault: It was kept once and is gone.
        """
        with self._lock:
            if digest in self._loaded:
                return self._loaded[digest]
        try:
            if self._folder is None:
                raise FileNotFoundError
            model = unpack_model((self._folder / f"{digest}{SUFFIX}").read_bytes())
        except (OSError, InvalidInput) as error:
            msg = f"the kept artifact {digest} is gone"
            raise ClientFault(msg) from error
        with self._lock:
            return self._loaded.setdefault(digest, model)

    def forget_all_but(self, digests: Collection[str]) -> None:
        """Drop the artifacts that nobody serves; for the start, while nobody loads any."""
        with self._lock:
            self._loaded = {key: self._loaded[key] for key in self._loaded if key in digests}
        if self._folder is not None and self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.name.removesuffix(SUFFIX) not in digests:
                    path.unlink()


def artifact_url(model: Model) -> str:
    """Return where a model says that its artifact lies."""
    container = model.request["PrimaryContainer"]
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    return str(container.get("ModelDataUrl") or source.get("S3Uri") or "")
