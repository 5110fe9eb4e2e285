"""Kills the processes in which the engine runs functions, while they run.

The engine runs each function in child processes of its own, and tells in its log how each batch of
a mapping ended. Only processes that descend from the engine of the given stack are ever killed.
"""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from embedded import processes
from embedded.places import Places

PROC = Path("/proc")
POLL_SECONDS = 0.005
# So long without a batch, and a function has nothing to do; it may be killed another time.
BATCH_SECONDS = 2.0
# The engine delivers a failed batch again after a second, in a process that it has to start.
BEGIN_SECONDS = 15.0
MOST_BATCHES = 4


class EngineLog:
    """What the engine has told of its functions since this was made."""

    def __init__(self, places: Places) -> None:
        self._path = places.logs / "engine.log"
        self._read = self._path.stat().st_size
        self._rest = b""
        self._told: Counter[tuple[str, str]] = Counter()
        self._dead: set[tuple[str, str]] = set()

    def told(self, what: str, function_name: str) -> int:
        """Return how often the engine told something of a function.

        Args:
            what: `spawned`, `processed`, `died`, or `died late`: when the batch had been counted.
            function_name: The function.
        """
        with self._path.open("rb") as log:
            log.seek(self._read)
            new = self._rest + log.read()
            self._read = log.tell()
        *lines, self._rest = new.split(b"\n")
        for line in lines:
            self._note(line.decode(errors="replace"))
        return self._told[what, function_name]

    def _note(self, line: str) -> None:
        _, spawned, name = line.partition("Lambda worker spawned for ")
        if spawned:
            self._told["spawned", name.split()[0]] += 1
        _, told, words = line.partition("ESM: Lambda ")
        if told:
            name, how = words.split()[:2]
            if how == "processed":
                self._told["processed", name] += 1
            elif how == "failed" and "Worker process died" in words:
                self._told["died", name] += 1
                self._dead.add((name, words.partition(" from ")[2].split()[0].rpartition("/")[2]))
        elif line.startswith("{") and '"message":"counted"' in line:
            self._note_batch(json.loads(line))

    def _note_batch(self, batch: dict[str, Any]) -> None:
        """Note the first batch of a shard that came after a death: the same one once more."""
        name, shard_id = batch["function_name"], batch["shard_id"]
        if (name, shard_id) in self._dead:
            self._dead.remove((name, shard_id))
            self._told["died late", name] += not (batch["events"] or batch["duplicates"])


class FunctionKiller:
    """Kills functions of one stack.

    Args:
        places: The folders of the stack.
        chance: Chooses the moments.

    Attributes:
        chance: As given.
        log: What the engine tells of its functions meanwhile.
        kills: Processes killed at a batch, some of them between two, by function.
    """

    def __init__(self, places: Places, chance: random.Random) -> None:
        engine = processes.running(places.state / "engine.pid")
        assert engine is not None, "the engine does not run"
        self._engine_pid = engine.pid
        self.chance = chance
        self.log = EngineLog(places)
        self.kills: Counter[str] = Counter()

    def deaths(self, function_name: str) -> int:
        """Return how many batches of a mapping have failed because the function died."""
        return self.log.told("died", function_name)

    def kill_at_a_batch(self, function_name: str, *others: str) -> bool:
        """Let a function take some batches of a mapping, and kill it at any moment in the next.

        One that died has begun again when this returns.

        Args:
            function_name: The function.
            others: Killed at the same moment; it may be one of them that runs then.

        Returns:
            False where the function took no batch; nothing is killed then.
        """
        began = time.monotonic()
        taken, deaths = self.log.told("processed", function_name), self.deaths(function_name)
        number = self.chance.randint(1, MOST_BATCHES)
        self._wait(lambda: self.log.told("processed", function_name) >= taken + number)
        new = self.log.told("processed", function_name) - taken
        if not new:
            return False
        time.sleep(self.chance.uniform(0, (time.monotonic() - began) / new))
        spawned = self.log.told("spawned", function_name)
        for name in (function_name, *others):
            self.kills[name] += self.kill(name)
        if self._wait(lambda: self.deaths(function_name) > deaths):
            self._wait(lambda: self.log.told("spawned", function_name) > spawned, BEGIN_SECONDS)
        return True

    def kill(self, function_name: str) -> bool:
        """Kill what runs of a function now; return whether anything did."""
        found = False
        for pid in self._descendants():
            # The descriptor holds on to this very process, whoever has its number later.
            with suppress(ProcessLookupError, FileNotFoundError):
                descriptor = os.pidfd_open(pid)
                try:
                    if self._runs(pid, function_name):
                        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                        found = True
                finally:
                    os.close(descriptor)
        return found

    def _runs(self, pid: int, function_name: str) -> bool:
        variables = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
        named = f"AWS_LAMBDA_FUNCTION_NAME={function_name}".encode() in variables
        return named and self._engine_pid in _ancestors(pid)

    def _descendants(self) -> list[int]:
        numbers = (int(path.name) for path in PROC.iterdir() if path.name.isdigit())
        return [pid for pid in numbers if self._engine_pid in _ancestors(pid)]

    def _wait(self, reached: Callable[[], bool], seconds: float = BATCH_SECONDS) -> bool:
        """Wait until something is so, or for so long; return whether it is."""
        deadline = time.monotonic() + seconds
        while not (is_so := reached()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return is_so


def _ancestors(pid: int) -> set[int]:
    """Return the processes above one; none for one that is gone."""
    above: set[int] = set()
    while pid > 1:
        try:
            # The command's name may hold spaces and brackets: count fields after the last bracket.
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except (ProcessLookupError, FileNotFoundError):
            return set()
        pid = int(fields[1])
        above.add(pid)
    return above
