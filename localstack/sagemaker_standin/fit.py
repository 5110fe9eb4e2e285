"""`python -m sagemaker_standin.fit FIXTURE --out FILE`: a first model from recorded events.

Takes a fixture, counts its distinct events per window and series, plainly, and fits the linear
model on what lies before `--until`. It is no part of SageMaker: it makes the model that a new local
stack serves before the stack has trained one.
"""

import argparse
import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.adapters.fixture_lines import OverlongLine
from tidegauge.adapters.fixtures import (
    FixtureKind,
    bare_blocks,
    open_fixture,
    recorded_lines,
)
from tidegauge.adapters.model_file import write_model
from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.errors import InvalidInput, Rejected, TidegaugeError
from tidegauge.domain.event import Event
from tidegauge.domain.event_time import parse_time_ms
from tidegauge.domain.features import FEATURE_NAMES, WEEK_MS, feature_matrix, stabilise
from tidegauge.domain.linear_model import LinearModel, fit_linear_model
from tidegauge.domain.record import Record
from tidegauge.domain.window import window_of

SIZE_MS = 300_000

# Rows of a series' first week lack "last week" and would teach the model to do without it.
WARM_UP_MS = WEEK_MS

# Beyond this some event's time is wrong, and counting zeros up to it would fill the memory.
MAX_WINDOWS = 5_000_000


class SeriesCounts(NamedTuple):
    """Counts of consecutive windows, zeros included, oldest first, (n_windows,)."""

    first_window_ms: int
    counts: NDArray[np.float64]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit and write a model; returns 2 with one sentence if that cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        until_ms = parse_time_ms(options.until) if options.until else None
        counts = count_windows(
            options.fixture, until_ms=until_ms, size_ms=options.window_seconds * 1000
        )
        model = fit_counts(counts, size_ms=options.window_seconds * 1000)
        write_model(options.out, model)
    except Rejected:
        sys.stderr.write(
            f"--until takes a time such as 2013-02-07T00:00:00Z, not {options.until}\n"
        )
        return 2
    except TidegaugeError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"cannot write {options.out}: {error.strerror}\n")
        return 2
    sys.stdout.write(f"{model.model_version} in {options.out}\n")
    return 0


def count_windows(path: Path, *, until_ms: int | None, size_ms: int) -> Mapping[str, SeriesCounts]:
    """Count a fixture's distinct events per series and window of event time.

    Args:
        path: The fixture.
        until_ms: Windows that end later are left out, ms since the epoch; None takes all.
        size_ms: Window length.

    Returns:
        For each series all windows from its first event's to the last one of any series.

    Raises:
        InvalidInput: The fixture cannot be read, or spans too long a time.
    """
    seen: set[int] = set()
    counts: dict[str, Counter[int]] = {}
    for event in _events_of(path):
        window = window_of(event.event_time_ms, size_ms=size_ms)
        if event.key in seen or (until_ms is not None and window.end_ms > until_ms):
            continue
        seen.add(event.key)
        counts.setdefault(event.series, Counter())[window.start_ms] += 1
    last_ms = max((max(windows) for windows in counts.values()), default=0)
    if sum((last_ms - min(windows)) // size_ms for windows in counts.values()) > MAX_WINDOWS:
        msg = f"the events of {path} span more than {MAX_WINDOWS} windows; is a time wrong?"
        raise InvalidInput(msg)
    return {
        series: SeriesCounts(
            min(windows),
            np.array(
                [windows[at] for at in range(min(windows), last_ms + 1, size_ms)], dtype=np.float64
            ),
        )
        for series, windows in sorted(counts.items())
    }


def fit_counts(counts: Mapping[str, SeriesCounts], *, size_ms: int) -> LinearModel:
    """Fit one model on all series, without each one's first week.

    The version names the model's content: the same events give the same version.

    Raises:
        InvalidInput: No series is more than a week long.
    """
    warm_up = WARM_UP_MS // size_ms
    rows = [
        feature_matrix(
            series.counts,
            first_window_ms=series.first_window_ms,
            size_ms=size_ms,
            first_row=warm_up,
        )
        for series in counts.values()
    ]
    labels = [stabilise(series.counts[warm_up:]) for series in counts.values()]
    if not sum(len(part) for part in labels):
        msg = "no series has events for more than a week; a model needs some days beyond it"
        raise InvalidInput(msg)
    model = fit_linear_model(
        np.vstack(rows), np.concatenate(labels), feature_names=FEATURE_NAMES, model_version="fit"
    )
    content = hashlib.blake2b(model.to_json(), digest_size=6).hexdigest()
    return msgspec.structs.replace(model, model_version=f"fit-{content}")


def _events_of(path: Path) -> Iterator[Event]:
    series_by = SeriesBy()
    for data in _payloads_of(path):
        for item in decode(data, series_by):
            if isinstance(item, Event):
                yield item


def _payloads_of(path: Path) -> Iterator[bytes]:
    fixture = open_fixture(path)
    if fixture.kind is FixtureKind.RECORDED:
        for _, record in recorded_lines(fixture):
            if isinstance(record, Record):
                yield record.data
        return
    for block in bare_blocks(fixture):
        for line in block.lines:
            if not isinstance(line, OverlongLine):
                yield line


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sagemaker_standin.fit", description=__doc__)
    parser.add_argument("fixture", type=Path, help="events as JSON lines, plain, .gz or .zst")
    parser.add_argument("--out", type=Path, required=True, help="where to write NAME.tar.gz")
    parser.add_argument("--until", help="use events before this time only (RFC 3339)")
    parser.add_argument("--window-seconds", type=int, default=SIZE_MS // 1000)
    return parser


if __name__ == "__main__":
    sys.exit(main())
