"""`python -m sagemaker_standin.fit_young --out FILE`: a first model for series that just began.

A model of weeks leans on yesterday and last week, of which a series of some minutes knows nothing.
This one is fitted on drawn counts, each stretch without a past: what it learns is how far to trust
the last windows, and how the mean of many beats the last one. It is no part of SageMaker.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from tidegauge.adapters.model_file import write_model
from tidegauge.domain.errors import TidegaugeError
from tidegauge.domain.features import DAY_MS, FEATURE_NAMES, WEEK_MS, feature_matrix, stabilise
from tidegauge.domain.linear_model import LinearModel, fit_linear_model

_SEED = 20_130_208
_STRETCHES = 400
_LEAST_EVENTS, _MOST_EVENTS = 2.0, 5_000.0
_FIRST_ROW = 6
_ROWS_OF_A_STRETCH = 150
# Days differ by so much about their mean at most.
_SWING = 0.6


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit and write a model; returns 2 with one sentence if that cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        write_model(options.out, fit_young(size_ms=options.window_seconds * 1000))
    except TidegaugeError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"cannot write {options.out}: {error.strerror}\n")
        return 2
    return 0


def fit_young(*, size_ms: int) -> LinearModel:
    """Fit a model on stretches of Poisson counts around daily waves of any level and phase.

    The version names the model's content.

    Args:
        size_ms: Window length.
    """
    drawn = np.random.default_rng(_SEED)
    longest = max(2 * _ROWS_OF_A_STRETCH, DAY_MS // size_ms)
    rows, labels = [], []
    for _ in range(_STRETCHES):
        first_ms = int(drawn.integers(0, 52 * WEEK_MS // size_ms)) * size_ms
        moments = first_ms + np.arange(int(_between(drawn, 20, longest))) * size_ms
        level = _between(drawn, _LEAST_EVENTS, _MOST_EVENTS)
        phase, swing = drawn.uniform(0.0, 2.0 * np.pi), drawn.uniform(0.0, _SWING)
        wave = 1.0 + swing * np.sin(2.0 * np.pi * (moments % DAY_MS) / DAY_MS + phase)
        counts = drawn.poisson(level * wave).astype(np.float64)
        row = max(_FIRST_ROW, len(counts) - _ROWS_OF_A_STRETCH)
        rows.append(
            feature_matrix(counts, first_window_ms=first_ms, size_ms=size_ms, first_row=row)
        )
        labels.append(stabilise(counts[row:]))
    model = fit_linear_model(
        np.vstack(rows), np.concatenate(labels), feature_names=FEATURE_NAMES, model_version="young"
    )
    content = hashlib.blake2b(model.to_json(), digest_size=6).hexdigest()
    return msgspec.structs.replace(model, model_version=f"young-{content}")


def _between(drawn: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose every doubling is as likely as any other."""
    return float(np.exp(drawn.uniform(np.log(low), np.log(high))))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sagemaker_standin.fit_young", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where to write NAME.tar.gz")
    parser.add_argument("--window-seconds", type=int, default=300)
    return parser


if __name__ == "__main__":
    sys.exit(main())
