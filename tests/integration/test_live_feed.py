"""The live view's feed on a stack that is not there any more."""

from pathlib import Path

import pytest

from embedded.engine import EngineAddress
from embedded.live_reading import LiveFeed
from embedded.local import Running
from embedded.processes import free_port
from embedded.stack import Outputs
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.health import HealthRules
from tidegauge.settings import DatabaseAddress


def test_a_stack_that_was_stopped_before_the_view_begins_is_told_in_a_sentence(
    tmp_path: Path,
) -> None:
    running = Running(
        EngineAddress(free_port()),
        DatabaseAddress("127.0.0.1", free_port(), "tide", "secret", "gauge"),
        Outputs("events", "arn:aws:kinesis:x:1:stream/events", "windows", *["any"] * 10),
        "",
    )
    with pytest.raises(InvalidInput, match="`make live` comes back to it"):
        LiveFeed(running, HealthRules(), tmp_path / "alerts.jsonl")
