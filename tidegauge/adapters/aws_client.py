"""How our clients of AWS wait and retry; their addresses come from the environment."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botocore.config import Config

# No answer in so many seconds is no answer: a healthy call takes milliseconds.
TIMEOUT_S = 5.0


def client_config(*, read_timeout_s: float = TIMEOUT_S, attempts: int = 3) -> "Config":
    """Return the settings of a client.

    Args:
        read_timeout_s: How long to wait for an answer, seconds.
        attempts: How often botocore tries a call before it raises, the first time included.
    """
    from botocore.config import Config

    return Config(
        connect_timeout=TIMEOUT_S,
        read_timeout=read_timeout_s,
        retries={"total_max_attempts": attempts, "mode": "standard"},
    )
