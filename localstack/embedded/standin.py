"""The SageMaker stand-in as a child process, with a first model fitted from the fixture."""

import hashlib
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from embedded import processes
from embedded.places import REPOSITORY, STORM, Places
from embedded.stack import ENDPOINT
from tidegauge.domain.errors import InvalidInput

START_SECONDS = 30.0
FIT_SECONDS = 120.0
PING_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class FirstModel:
    """What the stand-in serves before anything was trained.

    Attributes:
        module: Module of the stand-in that fits and writes it; takes `--out`.
        arguments: Its further arguments.
        sources: Files of the repository, beside the usual code, that decide what comes out.
    """

    module: str
    arguments: tuple[str, ...]
    sources: tuple[str, ...] = ()

    def made_from(self, repository: Path) -> str:
        """Return a hash of everything that decides what the model is."""
        content = b"".join((repository / path).read_bytes() for path in (*_CODE, *self.sources))
        return hashlib.sha256(content + "\0".join(self.arguments).encode()).hexdigest()


# The model learns from the days before the storm that the replay shows.
STORM_MODEL = FirstModel(
    "sagemaker_standin.fit",
    (str(REPOSITORY / STORM), "--until", "2013-02-07T00:00:00Z"),
    (STORM,),
)
# A model's features, its fit and its file.
_CODE = (
    "localstack/sagemaker_standin/fit.py",
    "tidegauge/domain/features.py",
    "tidegauge/domain/linear_model.py",
    "tidegauge/adapters/model_file.py",
)


class StandIn:
    """The SageMaker stand-in of one state folder.

    Args:
        places: Its folders.
        port: Port to listen on; 0 keeps the one it had, or chooses a free one.
    """

    def __init__(self, places: Places, *, port: int = 0) -> None:
        self._places = places
        self._port = port
        self._record = places.state / "sagemaker.pid"
        self._log = places.logs / "sagemaker.log"
        self.models = places.state / "models"

    @property
    def url(self) -> str | None:
        """Its address if it runs."""
        known = processes.running(self._record)
        return None if known is None else _url(known.port)

    def up(self) -> str:
        """Start it if it does not run, and return its address.

        Raises:
            InvalidInput: it cannot be started; says why.
        """
        known = processes.running(self._record)
        if known is not None and _answers(known.port):
            return _url(known.port)
        # The engine's functions know it by its port, so it keeps that one if it can.
        before = processes.read_record(self._record)
        self.down()
        port = self._port or (before.port if before and not processes.listens(before.port) else 0)
        port = processes.choose_port(
            port, what="the SageMaker stand-in", setting="TIDEGAUGE_SAGEMAKER_PORT"
        )
        self.models.mkdir(parents=True, exist_ok=True)
        self._log.unlink(missing_ok=True)
        processes.start(
            [
                sys.executable,
                "-m",
                "sagemaker_standin",
                "--port",
                str(port),
                "--models",
                str(self.models),
            ],
            record=self._record,
            log=self._log,
            port=port,
            folder=self._places.repository / "localstack",
        )
        processes.wait_for(
            lambda: _answers(port),
            record=self._record,
            what="the SageMaker stand-in",
            log=self._log,
            seconds=START_SECONDS,
        )
        return _url(port)

    def down(self) -> bool:
        """Stop it. Returns whether it ran."""
        return processes.stop(self._record)

    def fit(self, first: FirstModel) -> bool:
        """Fit the first model unless that was done.

        Returns:
            Whether anything was done.

        Raises:
            InvalidInput: it cannot be fitted; says why.
        """
        model = self.models / f"{ENDPOINT}.tar.gz"
        stamp = self.models / f"{ENDPOINT}.fitted-from"
        made_from = first.made_from(self._places.repository)
        if model.exists() and stamp.exists() and stamp.read_text() == made_from:
            return False
        self.models.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", first.module, *first.arguments, "--out", str(model)],
            cwd=self._places.repository / "localstack",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FIT_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            told = (done.stderr.strip().splitlines() or ["no output"])[-1]
            msg = f"the first model could not be fitted: {told}"
            raise InvalidInput(msg)
        stamp.write_text(made_from)
        return True


def _url(port: int) -> str:
    return f"http://{processes.LOOPBACK}:{port}"


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(  # noqa: S310 - always http to loopback
            f"{_url(port)}/ping", timeout=PING_SECONDS
        ) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
