"""`python -m producers.replayer STREAM FIXTURE [OPTION]...`: puts a fixture on a stream.

The same as `tidegauge replay --to STREAM FIXTURE [OPTION]...`.
"""

import sys

from tidegauge.cli import main

_USAGE = (
    "Usage: python -m producers.replayer STREAM FIXTURE [--speed X] [--shift-to-now] [--json]\n"
)


def replay_to_stream(arguments: list[str]) -> None:
    """Run the replay command with its target in front."""
    if not arguments or arguments[0].startswith("-"):
        sys.stderr.write(_USAGE)
        sys.exit(0 if arguments in (["-h"], ["--help"]) else 2)
    sys.argv = ["tidegauge", "replay", "--to", *arguments]
    main()


if __name__ == "__main__":
    replay_to_stream(sys.argv[1:])
