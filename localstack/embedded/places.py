"""Where the local stack keeps its things: one state folder, and the tools that all states share.

Takes no decision about processes; gives paths only. Two state folders never share a server, so that
tests leave the stack of `make run` alone.
"""

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one local stack.

    Attributes:
        state: Servers' data, logs and pid files of this stack; may be deleted when it is down.
        tools: Virtual environments of the engine and of SAM, shared by all stacks of a clone.
        repository: The clone that holds `template.yaml`.
    """

    state: Path
    tools: Path
    repository: Path = REPOSITORY

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.state / "logs"

    @property
    def build(self) -> Path:
        """What `sam build` made."""
        return self.state / "build"


def default_places() -> Places:
    """Return the places of `make run`: `.tidegauge` in the clone, or `TIDEGAUGE_STATE`."""
    home = REPOSITORY / ".tidegauge"
    state = os.environ.get("TIDEGAUGE_STATE")
    return Places(state=Path(state).resolve() if state else home / "run", tools=home / "envs")
