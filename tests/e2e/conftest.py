"""The recorded storm, replayed once through the stack of the test process."""

import pytest
from rich.console import Console

from embedded.local import Running
from embedded.places import Places
from embedded.progress import Phases
from embedded.report import Report
from embedded.run import learn_and_report


@pytest.fixture(scope="session")
def storm(stack: Running, places: Places) -> Report:
    """What a replay of the storm came to, judged by a model trained on the days before."""
    return learn_and_report(stack, places, Phases(Console(stderr=True)))
