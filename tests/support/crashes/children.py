"""Worker processes as a test sees them: started, heard, told, and ended whatever happens."""

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tests.support.crashes.fates import Fate, Word
from tests.support.crashes.process import Part, play
from tidegauge.domain.errors import Transient

PATIENCE_SECONDS = 60.0
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([play.__module__])


class Child:
    """One worker process.

    Args:
        part: What it is started for.
        hear: Called with each word, in a thread of the child's own; with None once it is silent.
    """

    def __init__(self, part: Part, hear: "Callable[[Child, Word | None], None]") -> None:
        self._hear = hear
        self._wire, theirs = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(target=play, args=(part, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.failure: str | None = None
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                word = msgspec.json.decode(self._wire.recv_bytes(), type=Word)
                if word.kind == "failed":
                    self.failure = word.what
                else:
                    self._hear(self, word)
        self._hear(self, None)

    def tell(self, line: str) -> None:
        """Tell the process a line; one that has just died does not hear it."""
        with suppress(OSError):
            self._wire.send_bytes(line.encode())

    def befall(self, fate: Fate) -> None:
        """Give the process a fate; it hears of it between two pieces of work."""
        self.tell(f"fate {msgspec.json.encode(fate).decode()}")

    def thaw(self) -> None:
        """Let a frozen process go on."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGCONT)

    @property
    def killed(self) -> bool:
        """Whether it has ended by SIGKILL."""
        return self._process.exitcode == -signal.SIGKILL

    def wait(self) -> None:
        """Wait for the end of a silent process.

        In the thread that starts processes: one that starts looks after the ended ones, too.
        """
        self._process.join(PATIENCE_SECONDS)
        if self.failure is None and self._process.exitcode not in (0, -signal.SIGKILL):
            self.failure = f"ended with {self._process.exitcode}"

    def end(self) -> None:
        """Kill it if it still runs, frozen or not, and close its wire."""
        self._process.kill()
        self._process.join(PATIENCE_SECONDS)
        self._thread.join(PATIENCE_SECONDS)
        self._wire.close()


@dataclass
class Hand:
    """A process that does what it is told, one thing at a time."""

    words: "queue.Queue[Word | None]" = field(default_factory=queue.Queue)
    child: Child | None = None

    def start(self, line: str) -> None:
        """Tell it something."""
        assert self.child is not None
        self.child.tell(line)

    def expect(self, *kinds: str) -> Word:
        """Return its next word, which has to be one of these kinds."""
        word = self.words.get(timeout=PATIENCE_SECONDS)
        assert self.child is not None
        if word is None:
            self.child.wait()
        assert word is not None, self.child.failure
        assert word.kind in kinds, word
        return word

    def do(self, line: str) -> None:
        """Tell it something and wait until it is done. Raises Transient where it was refused."""
        self.start(line)
        word = self.expect("done", "refused")
        if word.kind == "refused":
            raise Transient(word.what)

    def befall(self, fate: Fate) -> None:
        """Give it a fate."""
        assert self.child is not None
        self.child.befall(fate)


@contextmanager
def hands(folder: Path, url: str, *, number: int, mutant: str = "") -> Iterator[list[Hand]]:
    """Give some hands until the block ends."""
    made = [Hand() for _ in range(number)]
    part = Part("hand", folder, url, mutant=mutant)
    try:
        for hand in made:
            hand.child = Child(part, lambda _, word, words=hand.words: words.put(word))  # type: ignore[misc]
        yield made
    finally:
        for hand in made:
            if hand.child is not None:
                hand.child.end()
