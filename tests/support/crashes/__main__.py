"""One worker process of a race: `python -m tests.support.crashes ROLE --folder FOLDER`.

It works on the database of DATABASE_URL with the code of the product, tells the test each step in a
line of JSON on standard output and hears from it on standard input: `fate …`, `go`, `finish`, or
what a hand has to do. It ends when standard input does, and when the test dies.
"""

import argparse
import ctypes
import random
import signal
import sys
from pathlib import Path

import msgspec
import pymysql

from tests.support.crashes import mutants
from tests.support.crashes.fates import Fate, FatedConnection
from tests.support.crashes.roles import ROLES
from tests.support.crashes.worker import Over, Worker
from tests.support.crashes.world import load
from tidegauge.adapters.mysql import connection

_PDEATHSIG = 1


def main() -> int:
    """Play a role to its end."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("role")
    arguments.add_argument("--folder", type=Path, required=True)
    arguments.add_argument("--seed", default="0")
    arguments.add_argument("--shard", default="")
    arguments.add_argument("--position", type=int, default=0)
    arguments.add_argument("--fate", default="")
    arguments.add_argument("--mutant", default="")
    given = arguments.parse_args()
    die_with_the_test()
    connection._LOCK_WAIT_SECONDS = 1  # noqa: SLF001
    worker = Worker(
        given.folder,
        random.Random(f"{given.seed} {given.role} {given.shard} {given.position}"),  # noqa: S311
        given.position,
        given.shard,
        load(given.folder),
    )
    FatedConnection.fortune = worker.fortune
    pymysql.connect = FatedConnection  # type: ignore[assignment]
    if given.mutant:
        mutants.apply(given.mutant)
    if given.fate:
        worker.fortune.await_fate(msgspec.json.decode(given.fate, type=Fate))
    try:
        ROLES[given.role](worker)
    except Over:
        return 0
    return 0


def die_with_the_test() -> None:
    """Let the kernel end this process with its parent, frozen or not, where it can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
