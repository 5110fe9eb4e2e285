"""Worker processes as a test sees them: started, heard, told, and ended whatever happens."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tests.support.crashes.fates import Fate, Word
from tidegauge.domain.errors import Transient

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_SECONDS = 60.0


class Child:
    """One worker process.

    Args:
        folder: Where its world lies; its standard error goes there, too.
        url: Address of its database.
        arguments: Role and options.
        hear: Called with each word, in a thread of the child's own; with None once it has ended.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        arguments: list[str],
        hear: "Callable[[Child, Word | None], None]",
    ) -> None:
        self._hear = hear
        self._errors = folder / f"{arguments[0]}-{id(self):x}.err"
        command = [sys.executable, "-m", "tests.support.crashes", *arguments]
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [*command, "--folder", str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env={**os.environ, "DATABASE_URL": url},
            )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._hear(self, msgspec.json.decode(line, type=Word))
        self._process.wait()
        self._hear(self, None)

    def tell(self, line: str) -> None:
        """Tell the process a line; one that has just died does not hear it."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def befall(self, fate: Fate) -> None:
        """Give the process a fate; it hears of it between two pieces of work."""
        self.tell(f"fate {msgspec.json.encode(fate).decode()}")

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._process.send_signal(signal.SIGCONT)

    @property
    def killed(self) -> bool:
        """Whether it has ended by SIGKILL."""
        return self._process.returncode == -signal.SIGKILL

    @property
    def failure(self) -> str | None:
        """What went wrong, once it has ended; None where nothing did."""
        if self._process.returncode in (0, -signal.SIGKILL):
            return None
        return self._errors.read_text()[-3000:]

    def end(self) -> None:
        """Kill it if it still runs, frozen or not, and close its pipes."""
        self._process.kill()
        self._process.wait()
        self._thread.join(PATIENCE_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


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
    made: list[Hand] = []
    options = ["--mutant", mutant] if mutant else []
    try:
        for _ in range(number):
            hand = Hand()
            made.append(hand)
            hand.child = Child(
                folder,
                url,
                ["hand", *options],
                lambda _, word, to=hand: to.words.put(word),  # type: ignore[misc]
            )
        yield made
    finally:
        for hand in made:
            if hand.child is not None:
                hand.child.end()
