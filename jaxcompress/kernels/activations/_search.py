"""The search for jumps and for largest values of functions that have no closed form to ask."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

# Derivatives are searched for their largest value on this range, first in steps of 1e-2, then a
# thousand times finer about it.
_RANGE, _POINTS = 30.0, 6001
# Smoothing narrower than this is searched on a grid of its own, of ten widths on either side.
_NARROW = 0.1
# Halvings of a step of 1e-2 in the search for jumps: down to 2e-6, what float32 resolves at 30.
# What changes there by a thousandth of the largest value is a jump, or a curvature beyond 400 of
# such units.
_HALVINGS, _JUMP = 12, 1e-3


def largest(function: Callable, width: float) -> float:
    """The largest absolute value, infinite where it still grows at the ends of the range."""
    z = _grid()
    sizes = np.abs(_values(function, z))
    edge, half = max(sizes[0], sizes[-1]), max(sizes[_POINTS // 4], sizes[-(_POINTS // 4)])
    if not np.all(np.isfinite(sizes)) or (
        edge >= sizes.max() * (1 - 1e-9) and edge > half * (1 + 1e-6)
    ):
        return np.inf
    found = _refined(function, z, sizes)
    if width < _NARROW:
        z = z * width / 3
        found = max(found, _refined(function, z, np.abs(_values(function, z))))
    return found


def jumps(function: Callable) -> bool:
    """Whether a function jumps: every step of the grid is halved where it changes most."""
    left, right = _grid()[:-1], _grid()[1:]
    values = _values(function, _grid())
    low, high = values[:-1], values[1:]
    with np.errstate(invalid="ignore"):  # what overflows is no jump, and has no bound either
        for _ in range(_HALVINGS):
            middle = (left + right) / 2
            between = _values(function, middle)
            first = np.abs(between - low) >= np.abs(high - between)
            left, right = np.where(first, left, middle), np.where(first, middle, right)
            low, high = np.where(first, low, between), np.where(first, between, high)
        return bool(np.max(np.abs(high - low)) > _JUMP * np.max(np.abs(values)))


def _grid() -> np.ndarray:
    return np.linspace(-_RANGE, _RANGE, _POINTS)


def _values(function: Callable, z: np.ndarray) -> np.ndarray:
    return np.asarray(function(jnp.asarray(z)), float)


def _refined(function: Callable, z: np.ndarray, sizes: np.ndarray) -> float:
    around = z[np.argmax(sizes)] + (z[1] - z[0]) * np.linspace(-1, 1, 2001)
    return float(max(sizes.max(), np.abs(_values(function, around)).max()))
