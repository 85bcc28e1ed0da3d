"""First-order optimality on the feasible set: half risk, projected gradient, multipliers."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxcompress._internal.checks import is_concrete
from jaxcompress.narrow._feasible import FeasibleSet, length
from jaxcompress.networks import TwoLayer
from jaxcompress.risk import Samples, empirical_risk
from jaxcompress.risk.internal import check_samples


def half_risk(student: TwoLayer, samples: Samples) -> Float[Array, ""]:
    """`ℓ = ‖f − y‖²/(2n)`, the loss of the paper: half of `empirical_risk`.

    Raises `ValueError` as `empirical_risk`.

    Example: `half_risk(fit(start, samples).network, samples)`.
    """
    check_samples("narrow.half_risk", student, samples)
    return 0.5 * empirical_risk(student, samples)


def kkt_residual(
    student: TwoLayer, samples: Samples, feasible: FeasibleSet | None = None
) -> Float[Array, ""]:
    """`‖θ − P(θ − ∇ℓ)‖`, zero exactly at the KKT points; without a set, the norm of the gradient.

    Raises `ValueError` when shapes do not fit together, and for NaN.

    Example: `kkt_residual(student, samples, FeasibleSet.of(start, radius=1.0))`.
    """
    # under the derivative NaN would pass unseen
    check_samples("narrow.kkt_residual", student, samples)
    gradient = jax.grad(half_risk)(student, samples)
    return residual_of(student, gradient, feasible)


def residual_of(
    student: TwoLayer, gradient: TwoLayer, feasible: FeasibleSet | None
) -> Float[Array, ""]:
    """`kkt_residual`, given the gradient."""
    if feasible is None:
        return norm(jax.tree.leaves(gradient))
    moved = feasible.project(jax.tree.map(jnp.subtract, student, gradient))
    return norm(jax.tree.leaves(jax.tree.map(jnp.subtract, student, moved)))


def norm(leaves: list[Array]) -> Array:
    """The Euclidean norm of all of them together."""
    return length(jnp.stack([length(leaf) for leaf in leaves]))


def scaled_kkt_residual(
    student: TwoLayer, samples: Samples, feasible: FeasibleSet
) -> Float[Array, ""]:
    """`kkt_residual` in the variables `(W − W0)/ε`, `εv`, in which its size does not depend on `ε`.

    Raises `ValueError` for an infinite radius, when shapes do not fit together, and for NaN.

    Example: `scaled_kkt_residual(student, samples, FeasibleSet.of(start, radius=1e-4))`.
    """
    if is_concrete(feasible.radius) and not np.all(np.isfinite(np.asarray(feasible.radius))):
        raise ValueError(
            "narrow.scaled_kkt_residual: given an infinite radius; expected a finite one, the unit "
            "of length; use kkt_residual"
        )
    feasible.check(student)
    check_samples("narrow.scaled_kkt_residual", student, samples)
    gradient = jax.grad(half_risk)(student, samples)
    return norm(list(feasible.scaled(student, gradient.weights, gradient.readout)))


class Multipliers(NamedTuple):
    """The multipliers at a KKT point, and which constraints are active.

    - `ball`, `floor_a`, `floor_b`: the multipliers `≥ 0` of `‖W − W0‖ ≤ ε`, `a ≥ κ`, `b ≥ κ`
    - `gap`: that of `a − b ≤ ζ` where it is positive, of `b − a ≤ ζ` where it is negative
    - `ball_active`, `floor_a_active`, `floor_b_active`, `gap_active`: whether each is active
    - `stationarity`: the norm of what the multipliers leave of the gradient, and of the negative
      parts that a multiplier would need to have: zero exactly at KKT points

    Example: `multipliers(student, samples, feasible).stationarity`.
    """

    ball: Float[Array, ""]
    floor_a: Array
    floor_b: Array
    gap: Array
    ball_active: Bool[Array, ""]
    floor_a_active: Array
    floor_b_active: Array
    gap_active: Array
    stationarity: Float[Array, ""]


def multipliers(
    student: TwoLayer, samples: Samples, feasible: FeasibleSet, tolerance: float | Array = 1e-9
) -> Multipliers:
    """The multipliers of `∇ℓ + Σ multiplier·∇constraint = 0` on the constraints that are active.

    Arguments:

    - `student`: a feasible point
    - `samples`: without leading axes
    - `feasible`: the constraints
    - `tolerance`: how far from its bound, relative to the size of the variables, a constraint still
      counts as active

    Returns `Multipliers`. Where several sets of multipliers fit (all three constraints of a pair
    are active), `gap` balances the floors.
    Raises `ValueError` when shapes do not fit together, and for NaN.

    Example: `multipliers(student, samples, FeasibleSet.of(start, radius=1.0))`.
    """
    feasible.check(student)
    check_samples("narrow.multipliers", student, samples)
    gradient = jax.grad(half_risk)(student, samples)
    out = student.weights - feasible.center
    size, radius = norm([out]), feasible.radius
    ball_on = size >= radius * (1 - tolerance)
    unit = out / jnp.where(size > 0, size, 1)
    ball = jnp.where(ball_on, -jnp.sum(gradient.weights * unit), 0)
    rest_w = gradient.weights + jnp.maximum(ball, 0) * unit
    a, b = feasible.pairs(student.readout)
    ga, gb = feasible.pairs(gradient.readout)
    near = tolerance * (1 + jnp.maximum(jnp.abs(a), jnp.abs(b)))
    low_a, low_b = a <= feasible.least() + near, b <= feasible.least() + near
    above, below = a - b >= feasible.gap - near, b - a >= feasible.gap - near
    # stationarity: g_a − μ_a + ν = 0, g_b − μ_b − ν = 0, with the floors' μ ≥ 0 and the signed ν of
    # the gap
    nu = jnp.where(low_a & ~low_b, gb, jnp.where(low_b & ~low_a, -ga, (gb - ga) / 2))
    nu = jnp.clip(nu, jnp.where(below, -jnp.inf, 0), jnp.where(above, jnp.inf, 0))
    mu_a, mu_b = (
        jnp.where(low, jnp.maximum(g, 0), 0) for low, g in ((low_a, ga + nu), (low_b, gb - nu))
    )
    left = norm([rest_w, ga - mu_a + nu, gb - mu_b - nu])
    return Multipliers(
        jnp.maximum(ball, 0), mu_a, mu_b, nu, ball_on, low_a, low_b, above | below, left
    )
