"""Rules for the norm of a random vector whose directions are all alike, and for the height of a
point on a sphere.

Both are trapezoidal rules in a variable in which the density decays at both ends and is analytic
around the real line; the dimension is static, so nodes and weights are constants.
"""

import functools
import math
from collections.abc import Callable

import numpy as np

# Nodes of a rule, and what is cut off at its ends: densities below `exp(−_DEPTH) = 4e-18` of their
# maximum. The coarsest steps (1 dimension and 2) are 0.11 and 0.2 in strips of half-width π/4 and
# π/2: the rules are off by `exp(−46)`.
_COUNT, _DEPTH = 401, 40.0


@functools.cache
def norm_rule(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and probabilities for `|z|/√d`, `z` standard normal in `d` dimensions: the rule in `y =
    log(|z|/√d)`.
    """

    def exponent(y: float | np.ndarray) -> np.ndarray:
        return dim * (y - 0.5 * np.expm1(2 * y))

    low, high = _end(exponent, -1 - _DEPTH), _end(exponent, 4.0)
    y = np.linspace(low, high, _COUNT)
    weights = np.exp(exponent(y))
    return np.exp(y), weights / weights.sum()


def _end(exponent: Callable, far: float) -> float:
    """Where an exponent that falls from zero on has fallen to `−_DEPTH`, by bisection between zero
    and `far`.
    """
    near = 0.0
    for _ in range(60):
        middle = 0.5 * (near + far)
        near, far = (middle, far) if exponent(middle) > -_DEPTH else (near, middle)
    return far


@functools.cache
def height_rule(dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes `t`, `√(1 − t²)` and probabilities for one coordinate of a uniform point on the unit
    sphere.

    The density `(1 − t²)^{(d−3)/2}` is `sech^{d−1}` in `x = artanh t`.
    """
    if dim == 1:
        return np.array([-1.0, 1.0]), np.zeros(2), np.full(2, 0.5)
    reach = math.acosh(math.exp(_DEPTH / (dim - 1)))
    x = np.linspace(-reach, reach, _COUNT)
    weights = np.exp((1 - dim) * np.log(np.cosh(x)))
    return np.tanh(x), 1 / np.cosh(x), weights / weights.sum()
