"""Where the local stack keeps its things: one state folder, and the tools that all states share.

Takes no decision about processes; gives paths only. Two state folders never share a server, so that
tests leave the stack of `make run` alone.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from tidegauge.domain.errors import InvalidInput

REPOSITORY = Path(__file__).resolve().parents[2]
# Departures around the storm of 8-9 February 2013.
STORM = "tests/fixtures/departures-2013-storm.jsonl.gz"


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one local stack.

    Attributes:
        state: Servers' data, logs and pid files of this stack; may be deleted when it is down.
        shared: What all stacks of a clone share: tools, and the artifacts that `sam build` made.
        repository: The clone that holds `template.yaml`.
        artifacts: What the folder of the artifacts is called; those of another Python need another.
    """

    state: Path
    shared: Path = REPOSITORY / ".tidegauge"
    repository: Path = REPOSITORY
    artifacts: str = "build"

    @property
    def tools(self) -> Path:
        """Virtual environments of the engine and of SAM."""
        return self.shared / "envs"

    @property
    def build(self) -> Path:
        """What `sam build` made; the same for all stacks, since only sources decide it."""
        return self.shared / self.artifacts

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.state / "logs"

    @property
    def password(self) -> Path:
        """The file with the database's password."""
        return self.state / "database" / "password"


def default_places() -> Places:
    """Return the places of `make run`: `.tidegauge/run` in the clone, or `TIDEGAUGE_STATE`."""
    return _places("run", "TIDEGAUGE_STATE")


def live_places() -> Places:
    """Return the places of `make live`: `.tidegauge/live` in the clone, or `TIDEGAUGE_LIVE_STATE`.

    Raises:
        InvalidInput: they are those of `make run`.
    """
    places = _places("live", "TIDEGAUGE_LIVE_STATE")
    if places.state == default_places().state:
        msg = f"TIDEGAUGE_LIVE_STATE must be another folder than that of `make run`, {places.state}"
        raise InvalidInput(msg)
    return places


def compose_places() -> Places:
    """Return the places of `make up ENGINE=localstack`: logs, and what is deployed in Docker."""
    return _places("compose", "TIDEGAUGE_COMPOSE_STATE")


def all_places() -> tuple[Places, Places]:
    """Return the places of `make run` and of `make live`."""
    return default_places(), live_places()


def _places(name: str, variable: str) -> Places:
    state = os.environ.get(variable)
    return Places(Path(state).resolve() if state else REPOSITORY / ".tidegauge" / name)
