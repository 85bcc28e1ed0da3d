"""How steep and how bent an activation may be, and whether it jumps: read off its values, of closed
forms or not.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.kernels import AbstractActivation
from jaxcompress.risk.internal import curvature

# Slopes are searched for their largest on this range, first in steps of 1e-2, then a thousand times
# finer about it.
_RANGE, _POINTS = 30.0, 6001
# Halvings of a step of 1e-2 in the search for jumps: down to 2e-6, what float32 resolves at 30.
# What changes there by a thousandth of the largest value is a jump, or a curvature beyond 400 of
# such units.
_HALVINGS, _JUMP = 12, 1e-3


@functools.lru_cache(maxsize=128)
def slope_bounds(activation: AbstractActivation) -> tuple[float, float]:
    """`sup|σ′|` and `sup|σ″|`, infinite where they have none: ReLU and its kin, powers,
    exponentials.

    Found by search to 1e-9 of their size: tanh 1 and 0.7698, softplus 1 and 0.25, sigmoid 0.25 and
    0.09623, GELU 1.1290 and 0.79788.
    Where it fails: functions of the user's own that grow, or turn, only beyond |z| = 30 or within
    1e-2, or whose derivative jumps by less than a thousandth of its largest value.

    Example: `slope_bounds(activations.tanh)`.
    """
    with jax.ensure_compile_time_eval():
        first = np.inf if _jumps(activation) else _largest(activation.derivative)
        return first, np.inf if kinked(activation) else _largest(lambda z: curvature(activation, z))


@functools.lru_cache(maxsize=128)
def kinked(activation: AbstractActivation) -> bool:
    """Whether the function or its derivative jumps, found by halving every step of the search where
    it changes most.
    """
    with jax.ensure_compile_time_eval():
        return _jumps(activation) or _jumps(activation.derivative)


def _grid() -> np.ndarray:
    return np.linspace(-_RANGE, _RANGE, _POINTS)


def _values(function: Callable, z: np.ndarray) -> np.ndarray:
    return np.asarray(function(jnp.asarray(z)), float)


def _largest(function: Callable) -> float:
    z = _grid()
    sizes = np.abs(_values(function, z))
    edge, half = max(sizes[0], sizes[-1]), max(sizes[_POINTS // 4], sizes[-(_POINTS // 4)])
    if not np.all(np.isfinite(sizes)) or (
        edge >= sizes.max() * (1 - 1e-9) and edge > half * (1 + 1e-6)
    ):
        return np.inf
    around = z[np.argmax(sizes)] + (z[1] - z[0]) * np.linspace(-1, 1, 2001)
    return float(max(sizes.max(), np.abs(_values(function, around)).max()))


def _jumps(function: Callable) -> bool:
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
