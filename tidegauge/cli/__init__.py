"""The command line: each command wires steps to adapters and shows the outcome to a person.

Standard output holds results, standard error everything else. Exit code 0, 1 for something found
wrong, 2 for misuse, 130 for Ctrl-C, 143 for SIGTERM, which cleans up as Ctrl-C does; what a person
can mend is said in a sentence, never by a traceback. Each command imports what it needs only when
it runs.
"""

import io
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from tidegauge.domain.errors import InvalidInput, Misconfigured, TidegaugeError

_FOUND_WRONG = 1
_MISUSED = 2
_INTERRUPTED = 130


def main() -> None:
    """Run the command that the arguments name, and exit."""
    from tidegauge.cli.app import app

    _prepare_streams()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        # whoever read our output has closed it; nothing is left to flush at exit
        drop_standard_output()
        sys.exit(_FOUND_WRONG)
    except TidegaugeError as error:
        for sentence in error.problems if isinstance(error, Misconfigured) else (str(error),):
            sys.stderr.write(f"tidegauge: {sentence}\n")
        misused = isinstance(error, InvalidInput | Misconfigured)
        sys.exit(_MISUSED if misused else _FOUND_WRONG)
    except OSError as error:  # a full disk behind standard output, a folder that may not be read
        drop_standard_output()
        where = error.filename or "standard output, or a file"
        sys.stderr.write(f"tidegauge: {where} cannot be used: {error.strerror or error}\n")
        sys.exit(_FOUND_WRONG)


def _terminated(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _prepare_streams() -> None:
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  (as long as we)
            setattr(sys, name, nowhere)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a name that the terminal's encoding lacks is shown escaped, never a reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")


def drop_standard_output() -> None:
    """Let what still waits for standard output go nowhere, so that leaving cannot fail on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
