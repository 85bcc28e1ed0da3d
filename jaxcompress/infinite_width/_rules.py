"""Gauss rules and recurrences of the laws of a uniform direction, stable for a million dimensions.

`u = ‖x_H‖²` of a uniform unit vector has the law Beta(d_H/2, d_⊥/2); one coordinate `s` has the
density `∝ (1−s²)^{(d−3)/2}`. The rules are eigenproblems of symmetric tridiagonal matrices whose
entries are sums of positive terms, so that nothing cancels when a dimension is enormous. Numbers of
the host, in float64.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal

from jaxcompress._internal.checks import check_integer

# Γ(x+½)/(√x Γ(x)) in powers of 1/x; from x = 32 on the next term is below 1e-17.
_SERIES = (
    1.0,
    -1 / 8,
    1 / 128,
    5 / 1024,
    -21 / 32768,
    -399 / 262144,
    869 / 4194304,
    39325 / 33554432,
    -334477 / 2147483648,
)
_LARGE = 32.0


def check_dims(where: str, near: int, far: int) -> None:
    """Raise `ValueError` unless the target's dimension and the rest are whole numbers, 1 at
    least.
    """
    for name, value in (("near", near), ("far", far)):
        remedy = (
            "near = d_H and far = d − d_H: the target must read fewer coordinates than there are"
        )
        check_integer(where, name, value, 1, remedy=remedy)


def check_count(where: str, **counts: int) -> None:
    """Raise `ValueError` unless numbers of nodes, bins and steps are whole numbers, 1 at least."""
    for name, value in counts.items():
        check_integer(where, name, value, 1, remedy="raise it")


def gamma_ratio(x: float) -> float:
    """`Γ(x + ½)/Γ(x)` for `x > 0`; relative error below 1e-15, also where logarithms of Γ
    cancel.
    """
    factor = 1.0
    while x < _LARGE:
        factor *= x / (x + 0.5)
        x += 1
    return factor * math.sqrt(x) * math.fsum(c / x**n for n, c in enumerate(_SERIES))


@lru_cache(maxsize=256)
def coordinate_rule(dim: int, count: int) -> tuple[NDArray, NDArray]:
    """Nodes and weights for `E f(s)`, `s` one coordinate of a uniform unit vector of `dim`
    dimensions; ±1 for one.
    """
    if dim == 1:
        return np.array([-1.0, 1.0]), np.array([0.5, 0.5])
    n = np.arange(2, count)
    first = np.array([1 / dim])[: count - 1]
    squares = np.concatenate([first, n * (n + dim - 3) / ((2 * n + dim - 2) * (2 * n + dim - 4))])
    nodes, weights = _gauss(np.zeros(count), np.sqrt(squares))
    return (nodes - nodes[::-1]) / 2, (weights + weights[::-1]) / 2


@lru_cache(maxsize=256)
def share_rule(near: int, far: int, count: int) -> tuple[NDArray, NDArray]:
    """Nodes and weights for `E f(u)`, `u ~ Beta(near/2, far/2)`."""
    centre, square = share_recurrence(near, far, count)
    nodes, weights = _gauss(centre, np.sqrt(square[1:]))
    return np.clip(nodes, 0, 1), weights


def share_recurrence(near: int, far: int, count: int) -> tuple[NDArray, NDArray]:
    """`A_n`, `B_n` of the monic polynomials `q_{n+1} = (u − A_n) q_n − B_n q_{n−1}` under
    Beta(near/2, far/2).

    Jacobi's, with `α = far/2 − 1`, `β = near/2 − 1`, moved to [0, 1]; `B_0` is not used.
    """
    alpha, beta = far / 2 - 1, near / 2 - 1
    n = np.arange(1, count)
    s = 2 * n + alpha + beta
    centre = ((2 * n + beta) * (s + alpha) + beta * beta + 2 * s) / (2 * s * (s + 2))
    total = alpha + beta + 2
    square = np.empty(count)
    square[0] = 1.0
    # The general term is 0/0 at n = 1 in two dimensions.
    square[1:2] = (1 + alpha) * (1 + beta) / (total**2 * (total + 1))
    n, s = n[1:], s[1:]
    square[2:] = n * (n + alpha) * (n + beta) * (n + alpha + beta) / (s**2 * (s + 1) * (s - 1))
    return np.concatenate([[(beta + 1) / total], centre]), square


def _gauss(diagonal: NDArray, beside: NDArray) -> tuple[NDArray, NDArray]:
    """Golub & Welsch 1969, for a law of mass one."""
    nodes, vectors = eigh_tridiagonal(diagonal, beside)
    weights = vectors[0] ** 2
    return nodes, weights / weights.sum()
