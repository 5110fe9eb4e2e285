"""One worker process of a race, from its first statement to its end.

Processes are forked from one that has imported everything: a race starts dozens of them, and what
is to be seen is how they die.
"""

import ctypes
import random
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pymysql

from tests.support.crashes import mutants
from tests.support.crashes.fates import Fate, FatedConnection, Word
from tests.support.crashes.roles import ROLES
from tests.support.crashes.worker import Over, Worker
from tidegauge.adapters.mysql import connection

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_PDEATHSIG = 1


class Part(msgspec.Struct, frozen=True):
    """What a process is started for.

    Attributes:
        role: What it does.
        folder: Where its world lies.
        url: Its database.
        seed: Decides what it leaves to chance.
        shard_id: A writer's shard.
        position: Up to where a writer's batches are acknowledged.
        fate: What befalls it; None for nothing yet.
        mutant: The fault in its code; empty for none.
    """

    role: str
    folder: Path
    url: str
    seed: int = 0
    shard_id: str = ""
    position: int = 0
    fate: Fate | None = None
    mutant: str = ""


def play(part: Part, wire: "Connection[bytes, bytes]") -> None:
    """Play a part to its end; tell the test what goes wrong."""
    _die_with_the_test()
    connection._LOCK_WAIT_SECONDS = 1  # noqa: SLF001
    chance = random.Random(f"{part.seed} {part.role} {part.shard_id}")  # noqa: S311
    worker = Worker(part.folder, part.url, wire, chance, part.shard_id, part.position)
    FatedConnection.fortune = worker.fortune
    pymysql.connect = FatedConnection  # type: ignore[assignment]
    if part.mutant:
        mutants.apply(part.mutant)
    if part.fate is not None:
        worker.fortune.await_fate(part.fate)
    try:
        ROLES[part.role](worker)
    except Over:
        return
    except BaseException:  # noqa: BLE001 - shown by the test
        worker.tell(Word("failed", what=traceback.format_exc()))
        sys.exit(1)


def _die_with_the_test() -> None:
    """Let the kernel end this process, frozen or not, with the one that it was forked from.

    That one ends with the test.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
