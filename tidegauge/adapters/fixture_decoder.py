"""Decoding the lines of a bare fixture, in this process or in several.

Takes blocks of lines, gives what they offer in the order of the file. With several processes the
blocks are decoded side by side and come back in order, so the results are the same bytes; only
decoding is shared out, counting stays in one process, where one state decides. Blocks and answers
go through pipes as MessagePack.
"""

import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue

from tidegauge.adapters.decode_worker import WireBlock, pack_lines, read_frame, unpack, write_frame
from tidegauge.adapters.fixture_lines import Block, OverlongLine
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.errors import TidegaugeError
from tidegauge.domain.event import Rejection, RejectReason
from tidegauge.domain.offered import Offered, offered_in

Progress = Callable[[int], None]
_AHEAD = 2  # blocks in flight for each process: one being decoded, one waiting


def offered_by(
    blocks: Iterable[Block], series_by: SeriesBy, *, jobs: int, progress: Progress
) -> Iterator[Offered]:
    """Yield what the lines offer, in order; blank lines offer nothing.

    Args:
        blocks: Lines of a bare fixture.
        series_by: Names the series of an event.
        jobs: Processes that decode; 1 for this one alone.
        progress: Told after each block how much of the file was read, bytes.
    """
    if jobs == 1:
        for block in blocks:
            yield from _offered_here(block, series_by)
            progress(block.read_bytes)
        return
    with ExitStack() as stack:
        team = stack.enter_context(_Team(jobs, series_by))
        waiting: deque[tuple[Block, Future[WireBlock]]] = deque()
        for block in blocks:
            waiting.append((block, team.submit(block)))
            if len(waiting) > jobs * _AHEAD:
                yield from _offered_back(*waiting.popleft(), progress)
        while waiting:
            yield from _offered_back(*waiting.popleft(), progress)


def _offered_here(block: Block, series_by: SeriesBy) -> Iterator[Offered]:
    for number, line in enumerate(block.lines, block.first_line):
        if isinstance(line, OverlongLine):
            yield _offered_overlong(number, line)
        elif line and not line.isspace():
            yield from offered_in(number, line, series_by)


def _offered_back(
    block: Block, answer: "Future[WireBlock]", progress: Progress
) -> Iterator[Offered]:
    lines = [line for line in block.lines if isinstance(line, bytes)]
    numbers = [
        number
        for number, line in enumerate(block.lines, block.first_line)
        if isinstance(line, bytes)
    ]
    overlong = {
        number: line
        for number, line in enumerate(block.lines, block.first_line)
        if isinstance(line, OverlongLine)
    }
    for offered in unpack(answer.result(), lines, numbers):
        while overlong and next(iter(overlong)) < offered.line:
            number = next(iter(overlong))
            yield _offered_overlong(number, overlong.pop(number))
        yield offered
    for number, line in overlong.items():
        yield _offered_overlong(number, line)
    progress(block.read_bytes)


def _offered_overlong(number: int, line: OverlongLine) -> Offered:
    data = line.as_data()
    return Offered(number, Rejection(RejectReason.TOO_LARGE, data), data)


class _Team:
    """Worker processes, each driven by a thread of its own that waits for its pipes."""

    def __init__(self, jobs: int, series_by: SeriesBy) -> None:
        self._jobs = jobs
        self._fields = series_by.fields
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "_Team":
        command = [sys.executable, "-m", "tidegauge.adapters.decode_worker", *self._fields]
        for _ in range(self._jobs):
            process = subprocess.Popen(  # noqa: S603  (our own module, no shell)
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for us alone; closed pipes end the workers
            )
            self._processes.append(process)
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(self._jobs)
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            with process:  # closes its pipes, which ends it, and waits
                pass

    def submit(self, block: Block) -> "Future[WireBlock]":
        lines = [line for line in block.lines if isinstance(line, bytes)]
        return self._threads.submit(self._decode, lines)

    def _decode(self, lines: list[bytes]) -> WireBlock:
        process = self._idle.get()
        try:
            if process.stdin is None or process.stdout is None:
                raise _ended()
            write_frame(process.stdin, pack_lines(lines))
            answer = read_frame(process.stdout, WireBlock)
        except OSError as error:
            raise _ended() from error
        finally:
            self._idle.put(process)
        if answer is None:
            raise _ended()
        return answer


def _ended() -> TidegaugeError:
    return TidegaugeError("a decoding process ended before its work; try again with --jobs 1")
