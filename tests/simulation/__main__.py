"""Plays seeds and prints a verdict as JSON a line: `python -m tests.simulation FIRST COUNT STEP`.

A fourth argument names a mutant. `tidegauge chaos` runs some of these side by side.
"""

import sys

import msgspec

from tests.simulation.mutants import broken
from tests.simulation.run import run_seed


def main() -> None:
    """Play the seeds that the arguments name."""
    first, count, step = map(int, sys.argv[1:4])
    with broken(sys.argv[4] if len(sys.argv) > 4 else None):
        for seed in range(first, first + count * step, step):
            sys.stdout.buffer.write(msgspec.json.encode(run_seed(seed)) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
