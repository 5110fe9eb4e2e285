"""Minima of losses with kinks, to the last digits: a primal-dual interior-point method.

Takes rows, targets and how steep each row's loss may get; gives the minimum. With `slope` for each
row's derivative of its loss, the minimum is where `rows.T @ slope = curvature @ solution`, each
`residual = softness * slope + above - below`, and `above` (`below`) is zero unless the slope is at
its upper (lower) bound. Newton steps of Mehrotra's predictor-corrector kind go there through the
inside of the bounds, as Portnoy and Koenker do for quantiles ("The Gaussian Hare and the Laplacian
Tortoise", 1997); some twenty steps are usual, whatever the number of rows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Far outliers make for short steps, and then some hundred are needed.
MAX_STEPS = 500

# The mean loss is at most this share of the targets' spread above its minimum.
TOLERANCE = 1e-13

# Where to begin: the product of each row's distances from its bounds, in residuals' spreads.
START = 0.1
HALVINGS = 30

# A step stops short of the bounds.
SHORT_OF_BOUNDS = 0.9995


class Piece(NamedTuple):
    """Rows with one kind of loss; see `regressor.Loss`.

    Attributes:
        rows: (n_rows, n_unknowns).
        targets: (n_rows,).
        softness: 0 or more.
        lowest: Least slope, below zero.
        highest: Greatest slope, above zero.
    """

    rows: Array
    targets: Array
    softness: float
    lowest: float
    highest: float


class _Point(NamedTuple):
    solution: Array
    slopes: Array
    above: Array
    below: Array


class _Problem(NamedTuple):
    rows: Array
    targets: Array
    softness: Array
    lowest: Array
    highest: Array
    curvature: Array


def minimise(pieces: Sequence[Piece], curvature: Array) -> Array:
    """Return what minimises the sum of the losses and `solution @ curvature @ solution / 2`.

    Args:
        pieces: The losses; their rows together span all unknowns.
        curvature: (n_unknowns, n_unknowns), symmetric, of no direction below zero.

    Raises:
        ArithmeticError: No minimum was found in `MAX_STEPS` steps.
    """
    problem = _joined(pieces, curvature)
    unit = float(np.std(problem.targets)) or 1.0
    point = _start(problem, unit)
    for _ in range(MAX_STEPS):
        gap = _gap(problem, point)
        slack = problem.rows.T @ point.slopes - curvature @ point.solution
        if gap <= TOLERANCE * unit * len(problem.targets) and _is_small(slack, problem):
            return point.solution
        point = _step(problem, point, slack, gap, least=TOLERANCE * unit)
    msg = f"no minimum was found in {MAX_STEPS} steps"
    raise ArithmeticError(msg)


def _joined(pieces: Sequence[Piece], curvature: Array) -> _Problem:
    def spread(values: Sequence[float]) -> Array:
        lengths = [len(piece.targets) for piece in pieces]
        return np.repeat(np.asarray(values, dtype=np.float64), lengths)

    return _Problem(
        np.vstack([piece.rows for piece in pieces]),
        np.concatenate([piece.targets for piece in pieces]),
        spread([piece.softness for piece in pieces]),
        spread([piece.lowest for piece in pieces]),
        spread([piece.highest for piece in pieces]),
        curvature,
    )


def _start(problem: _Problem, unit: float) -> _Point:
    """Return the best fit under squares, with each row as far from its bounds as any other."""
    gram = problem.rows.T @ problem.rows + problem.curvature
    solution = np.linalg.solve(gram, problem.rows.T @ problem.targets)
    residuals = problem.targets - problem.rows @ solution
    product = START * (float(np.std(residuals)) or unit)
    lowest, highest = problem.lowest.copy(), problem.highest.copy()
    # What is sought grows with the slope, from below any residual to above any.
    for _ in range(HALVINGS):
        slopes = (lowest + highest) / 2.0
        above, below = product / (problem.highest - slopes), product / (slopes - problem.lowest)
        too_high = problem.softness * slopes + above - below > residuals
        highest = np.where(too_high, slopes, highest)
        lowest = np.where(too_high, lowest, slopes)
    return _Point(np.asarray(solution, dtype=np.float64), slopes, above, below)


def _gap(problem: _Problem, point: _Point) -> float:
    """Return how far the losses are above their minimum at most, once the slopes balance."""
    return float(
        point.above @ (problem.highest - point.slopes)
        + point.below @ (point.slopes - problem.lowest)
    )


def _is_small(slack: Array, problem: _Problem) -> bool:
    return bool(np.max(np.abs(slack)) <= 1e-8 * np.abs(problem.rows).sum(axis=0).max())


def _step(problem: _Problem, point: _Point, slack: Array, gap: float, *, least: float) -> _Point:
    to_highest, to_lowest = problem.highest - point.slopes, point.slopes - problem.lowest
    stiffness = problem.softness + point.above / to_highest + point.below / to_lowest
    weighted = problem.rows / stiffness[:, np.newaxis]
    gram = weighted.T @ problem.rows + problem.curvature
    # Beside rows of exact fit, the others weigh nothing: a breath keeps the system solvable.
    gram[np.diag_indices_from(gram)] += 1e-14 * np.trace(gram) / len(gram)
    missing = (
        problem.targets
        - problem.rows @ point.solution
        - problem.softness * point.slopes
        - point.above
        + point.below
    )

    def newton(above_product: Array, below_product: Array) -> _Point:
        """Return the step to where `above * to_highest` and its like have these values."""
        pull = (
            missing
            - (above_product / to_highest - point.above)
            + (below_product / to_lowest - point.below)
        )
        solution = np.asarray(np.linalg.solve(gram, weighted.T @ pull + slack))
        slopes = (pull - problem.rows @ solution) / stiffness
        above = (above_product + point.above * slopes) / to_highest - point.above
        below = (below_product - point.below * slopes) / to_lowest - point.below
        return _Point(solution, slopes, above, below)

    nothing = np.zeros_like(point.slopes)
    straight = newton(nothing, nothing)
    reached = _moved(point, straight, _length(problem, point, straight))
    mean_gap = gap / (2 * len(point.slopes))
    centre = (_gap(problem, reached) / gap) ** 3 * mean_gap
    # No closer to the bounds than is wanted, while the slopes do not balance yet.
    centre = max(centre, least / 20.0)
    step = newton(
        centre + straight.above * straight.slopes, centre - straight.below * straight.slopes
    )
    return _moved(point, step, SHORT_OF_BOUNDS * _length(problem, point, step))


def _length(problem: _Problem, point: _Point, step: _Point) -> float:
    """Return how much of a step leads no further than the bounds, at most 1."""
    rooms = (
        (problem.highest - point.slopes, -step.slopes),
        (point.slopes - problem.lowest, step.slopes),
        (point.above, step.above),
        (point.below, step.below),
    )
    length = 1.0
    for room, change in rooms:
        shrinking = change < 0
        if shrinking.any():
            length = min(length, float(np.min(room[shrinking] / -change[shrinking])))
    return length


def _moved(point: _Point, step: _Point, length: float) -> _Point:
    return _Point(*(value + length * change for value, change in zip(point, step, strict=True)))
