"""What happens by itself, each minute."""

import pytest

from tests.support.address import Address
from tests.support.live import until

pytestmark = pytest.mark.stack


def test_the_schedule_sweeps(address: Address, old_message: str) -> None:
    # Nobody but the sweep deletes old messages, and no test calls the sweep.
    until(
        lambda: not address.rows("SELECT 1 FROM outbox WHERE message_key = %s", old_message),
        seconds=150,
        what="the sweep deletes a message that was sent a week ago",
    )
