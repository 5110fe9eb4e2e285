"""The notebook run headless against servers of our own; `make notebook` renews its outputs so.

A run is made to be repeatable: the same dataset, the same names, no time, port or path in what the
cells show. So the committed outputs can be compared with those of a new run.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

from embedded.engine import EngineAddress
from embedded.places import REPOSITORY
from tests.support.embedded import engine_server, places_in
from tests.support.standin import running_standin
from tests.support.storm_dataset import export_storm
from tidegauge.adapters.s3 import S3ObjectStore

if TYPE_CHECKING:
    from nbformat import NotebookNode

_files: Any = nbformat  # its functions carry no types
NOTEBOOK = REPOSITORY / "notebook" / "first_model.ipynb"
CELL_SECONDS = 120

_EXPORTS, _MODELS = "tidegauge-exports", "tidegauge-models"
_SETTINGS = {
    "EXPORTS_BUCKET": _EXPORTS,
    "MODELS_BUCKET": _MODELS,
    "TRAINING_ROLE_ARN": "arn:aws:iam::000000000000:role/tidegauge-model",
    "ENDPOINT_NAME": "tidegauge",
    "NOTEBOOK_CLEAN_UP": "yes",
}
# What any renderer needs; the version of the Python that ran it is nobody's business.
_LANGUAGE = {
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "pygments_lexer": "ipython3",
}


class Shown(NamedTuple):
    """What a cell shows.

    Attributes:
        cell: Its id.
        text: What it printed and its tables.
        pictures: How many pictures it drew.
    """

    cell: str
    text: str
    pictures: int


@contextmanager
def notebook_world(engine: EngineAddress) -> Iterator[dict[str, str]]:
    """Give the environment of a stack that has exported the storm, and no model yet.

    Args:
        engine: Holds its buckets.
    """
    s3 = engine.session().s3
    for bucket in (_EXPORTS, _MODELS):
        s3.create_bucket(Bucket=bucket)
    export_storm(S3ObjectStore(client=s3), f"s3://{_EXPORTS}/exports")
    with running_standin(s3=engine.url) as sagemaker_url:
        yield {
            **engine.environment,
            **_SETTINGS,
            "AWS_ENDPOINT_URL_SAGEMAKER": sagemaker_url,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": sagemaker_url,
        }


def read_notebook() -> "NotebookNode":
    """Return the committed notebook."""
    notebook: NotebookNode = _files.read(NOTEBOOK, as_version=4)
    return notebook


def executed(notebook: "NotebookNode", environment: Mapping[str, str]) -> "NotebookNode":
    """Return a notebook with the outputs of a new run, and nothing that tells of this machine.

    Args:
        notebook: Is left as it is.
        environment: All that the kernel's process sees, beside what any process needs.

    Raises:
        CellExecutionError: A cell failed.
    """
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        client = NotebookClient(
            _files.from_dict(notebook),
            timeout=CELL_SECONDS,
            kernel_name="python3",
            config=_kernel_config(folder),
            coalesce_streams=True,
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        # Nothing of the user's: no profile, no history, no AWS account.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
        own = {"PATH": path, "HOME": folder, "IPYTHONDIR": folder}
        client.execute(env={**own, **environment})
    return _stripped(client.nb)


def shown(notebook: "NotebookNode") -> list[Shown]:
    """Return what the code cells of a notebook show, in order."""
    return [_shown(cell) for cell in notebook.cells if cell.cell_type == "code"]


def renew() -> None:
    """Run the committed notebook on servers of our own and write its new outputs."""
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        with engine_server(places_in(Path(folder))) as engine, notebook_world(engine) as world:
            notebook = executed(read_notebook(), world)
        _files.write(notebook, NOTEBOOK)
    print(f"renewed: {NOTEBOOK.relative_to(REPOSITORY)}, {NOTEBOOK.stat().st_size:,} bytes")  # noqa: T201


def _kernel_config(folder: str) -> Config:
    """Return how a kernel is started: this interpreter, whatever kernels the user has installed."""
    return Config(
        {
            # Sockets in the folder: a port would be open to every user of this machine.
            "KernelManager": {"transport": "ipc", "connection_file": f"{folder}/kernel.json"},
            "KernelSpecManager": {"kernel_dirs": []},
        }
    )


def _stripped(notebook: "NotebookNode") -> "NotebookNode":
    """Return a notebook without what differs between two machines."""
    notebook.metadata.language_info = _files.from_dict(_LANGUAGE)
    for cell in notebook.cells:
        cell.metadata = _files.from_dict({})
    return notebook


def _shown(cell: "NotebookNode") -> Shown:
    texts, pictures = [], 0
    for output in cell.outputs:
        data = output.get("data", {})
        texts.append(output.get("text") or data.get("text/markdown", ""))
        pictures += "image/png" in data
    return Shown(cell.id, "\n".join(texts), pictures)


if __name__ == "__main__":
    renew()
