"""The crew of one race: many worker processes, what befalls them, and who follows them.

A post is what somebody has to do until the race is over, whoever does it: a process that dies is
followed by another, which goes on where the last acknowledged batch ended, as a mapping would.
"""

import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.crashes.children import Child
from tests.support.crashes.fates import COMMIT, LOCKS, Deed, Fate, Word
from tests.support.crashes.process import Part
from tests.support.crashes.stage import is_open
from tests.support.races import connection_to
from tidegauge.adapters.mysql.connection import Database
from tidegauge.domain.errors import Transient

POLL_SECONDS = 0.05
RACE_SECONDS = 120.0
LOCK_WAIT_TIMEOUT = "1205"


@dataclass
class Post:
    """One thing that somebody has to do.

    Attributes:
        role: What kind of worker does it.
        fates: What is still to befall whoever does it, one after the other.
        shard_id: A writer's shard.
        position: Up to where a writer's batches are acknowledged.
        batch: What it is counting, as a command for a hand.
        child: The process that does it now.
        fate: What that process has been given and not yet met.
        frozen: What it said before it froze; None while it is not frozen.
        refused: Whether somebody was refused the lock that it holds.
        thawing: Whether it has been told to go on.
        done: Whether it has come to its end.
    """

    role: str
    fates: deque[Fate]
    shard_id: str = ""
    position: int = 0
    batch: str = ""
    child: Child | None = None
    fate: Fate | None = None
    frozen: Word | None = None
    refused: bool = False
    thawing: bool = False
    done: bool = False

    @property
    def awaits_nothing(self) -> bool:
        """Whether all has befallen it."""
        return self.fate is None and not self.fates

    def holds(self, word: Word) -> bool:
        """Return whether it is frozen with the lock that somebody was refused."""
        same = self.frozen is not None and self.frozen.table == word.table
        return same and (word.table != "shard" or word.shard == self.shard_id)


@dataclass
class Tally:
    """What has happened in a race.

    `skipped` are batches that a writer delivered and somebody had counted whole: a zombie, or the
    writer itself, whose COMMIT held though its answer never came.
    """

    deaths: Counter[str] = field(default_factory=Counter)
    freezes: Counter[str] = field(default_factory=Counter)
    fells: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    skipped: int = 0

    def line(self) -> str:
        """Return all of it for a person."""
        parts = (
            ("deaths", self.deaths),
            ("freezes", self.freezes),
            ("server killed", self.fells),
            ("refused", self.refusals),
        )
        told = [f"{name} {sum(n.values())} {dict(sorted(n.items()))}" for name, n in parts]
        return "; ".join([*told, f"counted already {self.skipped}"])


class Crew:
    """Runs a race to its end.

    Args:
        folder: Where the world lies.
        url: The database.
        posts: Who takes part; one of them is a hand, which counts others' batches, too.
        fells: Roles whose processes kill the server, one after the other, and when.
        restart: Starts the server that was killed, on the same data and port.
        doubled: Tells whether the hand is to count a batch as well.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        posts: Sequence[Post],
        *,
        fells: Sequence[tuple[str, Fate]],
        restart: Callable[[], None],
        doubled: Callable[[], bool],
    ) -> None:
        self._folder = folder
        self._url = url
        self._posts = posts
        self._fells = deque(fells)
        self._felling = False
        self._restart = restart
        self._doubled = doubled
        self._heard: queue.Queue[tuple[Child, Word | None]] = queue.Queue()
        self._children: dict[Child, Post] = {}
        self._hand = next(post for post in posts if post.role == "hand")
        self._hand_is_idle = True
        self.tally = Tally()
        self.sent: list[str] = []

    def run(self) -> None:
        """Race until every log is counted and everything has befallen somebody."""
        deadline = time.monotonic() + RACE_SECONDS
        with connection_to(self._url) as watch:
            try:
                for post in self._posts:
                    self._start(post)
                while not self._over():
                    assert time.monotonic() < deadline, self._state()
                    self._listen()
                    self._look_after_frozen(watch)
                    self._look_after_server()
                    self._look_after_hand()
                for post in self._posts:
                    self._tell(post, "finish")
                while not all(post.done for post in self._posts):
                    assert time.monotonic() < deadline, self._state()
                    self._listen()
            finally:
                for child in self._children:
                    child.end()

    def _over(self) -> bool:
        if self._fells or self._felling:
            return False
        return all(
            post.done if post.role == "writer" else post.awaits_nothing for post in self._posts
        )

    def _state(self) -> str:
        left = [
            f"{post.role} {post.shard_id} awaits {post.fate}, frozen {post.frozen}"
            for post in self._posts
            if not post.done
        ]
        return "not over in time: " + "; ".join(left) + "; " + self.tally.line()

    # --- processes

    def _start(self, post: Post) -> None:
        post.fate = post.fates.popleft() if post.fates else None
        if post is self._hand:
            self._hand_is_idle = True
        part = Part(
            post.role,
            self._folder,
            self._url,
            seed=len(self._children),
            shard_id=post.shard_id,
            position=post.position,
            fate=post.fate,
        )
        post.child = Child(part, self._hear)
        self._children[post.child] = post

    def _tell(self, post: Post, line: str) -> None:
        if post.child is not None and not post.done:
            post.child.tell(line)

    def _next_fate(self, post: Post) -> None:
        if post.fate is None and post.fates and post.child is not None:
            post.fate = post.fates.popleft()
            post.child.befall(post.fate)

    def _hear(self, child: Child, word: Word | None) -> None:
        self._heard.put((child, word))

    def _listen(self) -> None:
        try:
            child, word = self._heard.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return
        post = self._children[child]
        if word is None:
            self._ended(post, child)
        else:
            _WORDS[word.kind](self, post, word)

    def _ended(self, post: Post, child: Child) -> None:
        child.wait()
        assert child.failure is None, f"{post.role}: {child.failure}"
        if child.killed:
            self._start(post)
            return
        post.done = True
        for fate in (post.fate, *post.fates):
            if fate is not None and fate.deed is Deed.FELL:  # its log was too short
                self._fells.appendleft(("closer", fate))
                self._felling = False

    # --- what they say

    def _counting(self, post: Post, word: Word) -> None:
        post.batch = f"count {word.shard} {word.start} {word.end}"
        if self._doubled():
            self._double(post)

    def _double(self, post: Post) -> None:
        if self._hand_is_idle:
            self._hand_is_idle = False
            self._tell(self._hand, post.batch)

    def _counted(self, post: Post, word: Word) -> None:
        post.position = word.end
        self.tally.skipped += word.what == "skipped"

    def _done(self, _post: Post, _word: Word) -> None:
        self._hand_is_idle = True

    def _refused(self, post: Post, word: Word) -> None:
        self.tally.refusals[word.what] += 1
        if post is self._hand:
            self._hand_is_idle = True
        if word.what == LOCK_WAIT_TIMEOUT:
            for other in self._posts:
                other.refused = other.refused or other.holds(word)

    def _sent(self, _post: Post, word: Word) -> None:
        self.sent.append(word.what)

    def _dying(self, post: Post, _word: Word) -> None:
        assert post.fate is not None
        what = "COMMIT" if post.fate.statement == COMMIT else "statement"
        self.tally.deaths[f"{post.fate.moment.value} {what}"] += 1

    def _frozen(self, post: Post, word: Word) -> None:
        post.frozen, post.refused, post.thawing = word, False, False

    def _thawed(self, post: Post, _word: Word) -> None:
        post.frozen = post.fate = None
        self._next_fate(post)

    def _felled(self, post: Post, _word: Word) -> None:
        self.tally.fells[post.role] += 1
        self._restart()
        for other in self._posts:  # a lock that died with the server refuses nobody any more
            if other.frozen is not None and not other.thawing and other.fate is not None:
                other.fates.appendleft(other.fate)
                other.thawing = True
        self._felling = False
        post.fate = None
        self._next_fate(post)

    # --- what is done about it

    def _look_after_frozen(self, watch: Database) -> None:
        for post in self._posts:
            frozen, fate, child = post.frozen, post.fate, post.child
            if frozen is None or fate is None or child is None:
                continue
            if not post.thawing and self._has_been_long(post, fate, frozen, watch):
                how = "session ended" if fate.ends else "others refused"
                self.tally.freezes[f"{frozen.table}, {how}"] += 1
                post.thawing = True
            if post.thawing:
                child.thaw()  # again, should it have come before the freeze
            elif frozen.table == "shard":
                self._double(post)

    @staticmethod
    def _has_been_long(post: Post, fate: Fate, frozen: Word, watch: Database) -> bool:
        if not fate.ends:
            return post.refused
        try:
            return not is_open(watch, frozen.connection)
        except Transient:
            return False  # the server is down

    def _look_after_server(self) -> None:
        """Let the next process kill the server, if one is able to now.

        The first does so at once. The others wait until nobody will freeze with a lock on verdicts
        any more: once the server is back, there may be nothing left to judge.
        """
        early = not self.tally.fells
        if self._felling or not (early or not any(map(_will_freeze_verdicts, self._posts))):
            return
        role = self._fells[0][0] if self._fells else ""
        able = [post for post in self._posts if post.role == role and self._may_fell(post)]
        if not able:
            return
        _, fate = self._fells.popleft()
        post = min(able, key=lambda post: post.position)
        self._felling = True
        post.fates.appendleft(fate)
        self._next_fate(post)

    def _look_after_hand(self) -> None:
        """Let the hand count on where it has counted too little to meet its fate."""
        writers = [post for post in self._posts if post.role == "writer"]
        if not self._hand.awaits_nothing and all(post.done for post in writers):
            self._double(writers[-1])

    @staticmethod
    def _may_fell(post: Post) -> bool:
        """Return whether a post's process still commits: a waiting child's does not."""
        return not post.done and (post.role != "writer" or post.position > 0)


def _will_freeze_verdicts(post: Post) -> bool:
    fates = [fate for fate in (post.fate, *post.fates) if fate is not None]
    return any(f.deed is Deed.FREEZE and f.statement == LOCKS["judging"] for f in fates)


_WORDS: dict[str, Callable[[Crew, Post, Word], None]] = {
    "counting": Crew._counting,  # noqa: SLF001
    "counted": Crew._counted,  # noqa: SLF001
    "done": Crew._done,  # noqa: SLF001
    "refused": Crew._refused,  # noqa: SLF001
    "sent": Crew._sent,  # noqa: SLF001
    "dying": Crew._dying,  # noqa: SLF001
    "frozen": Crew._frozen,  # noqa: SLF001
    "thawed": Crew._thawed,  # noqa: SLF001
    "felled": Crew._felled,  # noqa: SLF001
}
