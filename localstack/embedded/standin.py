"""The SageMaker stand-in as a child process, with a first model where a stack begins with one."""

import hashlib
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from embedded import processes
from embedded.engine import EngineAddress
from embedded.places import Places
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


# A model's features, its fit and its file.
_CODE = (
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
        self._kept = places.state / "sagemaker"
        self.models = places.state / "models"

    @property
    def url(self) -> str | None:
        """Its address if it runs."""
        known = processes.running(self._record)
        return None if known is None else _url(known.port)

    def choose_url(self) -> str:
        """Return the address that it has, or will have once it is up.

        The engine's functions know it by its port, so it keeps the one that it had if it can.

        Raises:
            InvalidInput: its port is taken.
        """
        known = processes.running(self._record)
        if known is not None:
            return _url(known.port)
        before = processes.read_record(self._record)
        kept = before.port if before and not processes.listens(before.port) else 0
        return _url(
            processes.choose_port(
                self._port or kept,
                what="the SageMaker stand-in",
                setting="TIDEGAUGE_SAGEMAKER_PORT",
            )
        )

    def up(self, url: str, engine: EngineAddress) -> None:
        """Start it unless it runs there already.

        Args:
            url: As `choose_url` gave it.
            engine: Whose S3 holds its datasets and models.

        Raises:
            InvalidInput: it cannot be started; says why.
        """
        port = int(url.rpartition(":")[2])
        known = processes.running(self._record)
        if known is not None and known.port == port and _answers(port) and self._uses(engine):
            return
        self.down()
        self._log.unlink(missing_ok=True)
        for folder in (self.models, self._kept):
            folder.mkdir(parents=True, exist_ok=True)
        processes.start(
            [
                *(sys.executable, "-m", "sagemaker_standin"),
                *("--port", str(port)),
                *("--models", str(self.models)),
                *("--state", str(self._kept)),
            ],
            record=self._record,
            log=self._log,
            port=port,
            environment=engine.within(os.environ),
            folder=self._places.repository / "localstack",
        )
        processes.wait_for(
            lambda: _answers(port),
            record=self._record,
            what="the SageMaker stand-in",
            log=self._log,
            seconds=START_SECONDS,
        )
        self._engine_file.write_text(engine.url)

    def forget(self) -> None:
        """Stop it, and forget jobs, models and endpoints."""
        self.down()
        shutil.rmtree(self._kept, ignore_errors=True)

    @property
    def _engine_file(self) -> Path:
        return self._kept / "engine"

    def _uses(self, engine: EngineAddress) -> bool:
        return self._engine_file.exists() and self._engine_file.read_text() == engine.url

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
