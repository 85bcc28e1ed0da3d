"""Runge–Kutta–Chebyshev of second order (RKC2) for gradient flows `dy/dt = f(y) = −∇φ(y)` with many
unknowns.

Explicit and matrix free. A step of `s` stages is stable on the negative real axis up to `0.65(s² −
1)`, so a step of length `h` over curvatures up to `ρ` costs about `√(1.54 hρ)` gradients, where a
plain explicit method takes `hρ/2`. The spectral radius `ρ` is measured by a power method with
products by the Jacobian.

Letters: `s` stages, `ρ` spectral radius, `δ = ε/s²` with the damping `ε = 2/13`, `w0 = 1 + δ`, and
with Chebyshev's polynomials `T_j`: `w1 = T'_s(w0)/T''_s(w0)`, `b_j = T''_j(w0)/T'_j(w0)²` but `b_0
= b_1 = b_2`, and `a_j = 1 − b_j T_j(w0)`. With `d_j` the displacement of stage `j` from `y`, `d_0 =
0` and `d_1 = b_1 w1 h f(y)`:

`d_j = 2 w0 (b_j/b_{j−1}) d_{j−1} − (b_j/b_{j−2}) d_{j−2} + 2 w1 (b_j/b_{j−1}) h (f(y + d_{j−1}) −
a_{j−1} f(y))`.

Reference: Sommeijer, Shampine & Verwer 1998, *RKC: an explicit solver for parabolic PDEs*, J.
Comput. Appl. Math. 88, 315–326; the constants without another source are theirs.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcompress.solvers._vectors import direction, length

_DAMPING = 2 / 13
# `s² − 1 ≥ 1.54 hρ` is stable with 0.6 % to spare; the last bits of a step as long as the cap
# allows may use a sixth.
_LENGTH, _SLACK = 1.54, 1.001
# The power method ends when the radius changes by less than 1 %, or after 50 products, and 20 % are
# added.
_SETTLED, _PRODUCTS, _SAFETY = 0.01, 50, 1.2
# A gradient has little along stiff directions and nothing along those that break a symmetry of the
# point, and the method may settle before it finds them. So it starts with a fixed vector that has
# everything: half of a first start, which takes ten products at least, and a tenth of a later one,
# where it lowers the radius by 0.5 % at most. Cold starts from slow fields, 5 to 2000 unknowns, 100
# draws of each of five spectra: 1.02 to 1.2 of the radius, but down to 0.85 where one eigenvalue
# stands 30 % above many others.
_COLD, _WARM = (1.0, 10), (0.1, 2)
# With `j²δ ≤ 2/13` the term `k = 9` of the series is below 4e-17 of the first, in the second
# derivative too.
_TERMS = 9


def longest_step(rho: Float[Array, "..."], max_stages: int) -> Float[Array, "..."]:
    """The longest step that `max_stages` stages keep stable over curvatures up to `rho`; infinite
    where it is zero.
    """
    return (max_stages**2 - 1) / (_LENGTH * rho)


def stage_count(
    h: Float[Array, "..."], rho: Float[Array, "..."], max_stages: int
) -> Int[Array, "..."]:
    """`1 + ⌊√(1 + 1.54 hρ)⌋`, the stages of a step of length `h`; zero for a step that must be
    refused.

    Steps longer than `longest_step`, steps back in time and steps that are not finite are refused.
    """
    size = h * rho
    fine = (h >= 0) & (size <= _SLACK * (max_stages**2 - 1) / _LENGTH)  # false for NaN
    needed = 1 + jnp.floor(jnp.sqrt(1 + _LENGTH * jnp.where(fine, size, 0))).astype(jnp.int32)
    return jnp.where(fine, jnp.minimum(needed, max_stages), 0)


def spectral_radius(
    field: Callable[[Array], Array],
    y: Float[Array, "P ..."],
    f: Float[Array, "P ..."],
    v: Float[Array, "P ..."],
) -> tuple[Float[Array, "..."], Float[Array, "P ..."]]:
    """A bound of the spectral radius of the Jacobian of `field` at `y`, and the unit vector that
    attains it.

    The power method `v ← Jv/‖Jv‖`, for a symmetric Jacobian: `‖Jv‖` is no more than the radius, and
    it is enlarged by 20 %. Where the field states its own derivative, that is used.

    Arguments: `field`, which treats slots apart; `f`, the field at `y`; `v`, the vector of an
    earlier point, or zeros to start from `f`.
    Where it fails: a vector that was right until another eigenvalue overtook it is left within a
    few calls only, 16 at worst in the trials above; the error estimate rejects what grows
    meanwhile.
    """
    _, push = jax.linearize(field, y)
    return radius_of(push, f, v)


def radius_of(
    push: Callable[[Array], Array], f: Float[Array, "P ..."], v: Float[Array, "P ..."]
) -> tuple[Float[Array, "..."], Float[Array, "P ..."]]:
    """`spectral_radius` from the products `push` by the Jacobian alone, wherever they come from."""
    cold = length(v) == 0
    share, least = (
        jnp.where(cold, first, later) for first, later in zip(_COLD, _WARM, strict=True)
    )
    known = direction(jnp.where(cold[None], f, v))
    start = direction(known + share.astype(f.dtype)[None] * direction(_generic(f)))

    def going(count, radius, last):
        # false for zero and NaN
        return (count < least) | (jnp.abs(radius - last) > _SETTLED * radius)

    def unsettled(carry):
        count, _, radius, last = carry
        return (count < _PRODUCTS) & jnp.any(going(count, radius, last))

    def multiply(carry):
        count, v, radius, last = carry
        # a slot that has settled stays, or it would depend on the others
        moving = going(count, radius, last)
        image = push(v)
        size = length(image)
        v = jnp.where((moving & (size > 0) & jnp.isfinite(size))[None], direction(image), v)
        return count + 1, v, jnp.where(moving, size, radius), jnp.where(moving, radius, last)

    zero = jnp.zeros(f.shape[1:], f.dtype)
    _, v, radius, _ = jax.lax.while_loop(unsettled, multiply, (0, start, zero, zero))
    return _SAFETY * radius, v


def _generic(y: Float[Array, "P ..."]) -> Float[Array, "P ..."]:
    """A fixed vector without a structure, the same in every slot."""
    vector = np.random.default_rng(0).standard_normal(y.shape[0])
    return jnp.broadcast_to(jnp.asarray(vector, y.dtype).reshape(-1, *[1] * (y.ndim - 1)), y.shape)


def chebyshev_step(
    field: Callable[[Array], Array],
    y: Float[Array, "P ..."],
    f0: Float[Array, "P ..."],
    h: Float[Array, "..."],
    rho: Float[Array, "..."],
    max_stages: int,
) -> tuple[Float[Array, "P ..."], Float[Array, "P ..."], Float[Array, "P ..."], Int[Array, "..."]]:
    """One step of length `h` from `y`, where the field is `f0`: the new point, the field there, the
    error, the stages.

    The error is `0.8(y − y1) + 0.4h(f0 + f1)`, of order `h³`. Stages are field evaluations, the one
    at the new point included. Slots with fewer stages wait for the longest. A step that
    `stage_count` refuses has no stages, and all its results are NaN.
    """
    h, rho = (jnp.broadcast_to(jnp.asarray(x, y.dtype), y.shape[1:]) for x in (h, rho))
    stages = stage_count(h, rho, max_stages)
    first = first_displacement(f0, h, stages)

    def under_way(carry):
        return carry[0] <= jnp.max(stages)

    def stage(carry):
        j, f1, now = carry
        f = field(y + now.moved)
        f1 = jnp.where((j <= stages)[None], f, f1)
        return j + 1, f1, next_displacement(j, now, f, f0, h, stages)

    _, f1, last = jax.lax.while_loop(under_way, stage, (jnp.asarray(1, jnp.int32), f0, first))
    moved, f1 = (jnp.where((stages > 0)[None], x, jnp.nan) for x in (last.moved, f1))
    return y + moved, f1, step_error(moved, f0, f1, h), stages


class Displacement(NamedTuple):
    """Where a stage leads and where the one before led, as displacements `d_j` and `d_{j−1}` from
    `y`; `b_j`, `b_{j−1}` and `a_j` of the recurrence."""

    moved: Float[Array, "P ..."]
    before: Float[Array, "P ..."]
    b: Float[Array, "..."]
    b_before: Float[Array, "..."]
    a: Float[Array, "..."]


def _constants(stages: Int[Array, "..."], dtype) -> tuple[Array, Array, Array]:
    """`δ`, `w0` and `w1` of a step."""
    count = jnp.maximum(stages, 2).astype(dtype)
    delta = _DAMPING / (count * count)
    _, slope, curvature = _polynomials(count, delta)
    return delta, 1 + delta, delta * slope / curvature


def first_displacement(f0: Array, h: Array, stages: Int[Array, "..."]) -> Displacement:
    """`d_1`, from the field `f0` at `y`."""
    _, w0, w1 = _constants(stages, h.dtype)
    b1 = 1 / (4 * w0 * w0)
    return Displacement((b1 * w1 * h)[None] * f0, jnp.zeros_like(f0), b1, b1, 1 - b1 * w0)


def next_displacement(
    j: Array, now: Displacement, f: Array, f0: Array, h: Array, stages: Int[Array, "..."]
) -> Displacement:
    """`d_{j+1}` from the field `f` at `y + d_j`; a slot whose stages are over stays."""
    delta, w0, w1 = _constants(stages, h.dtype)
    value, slope, curvature = _polynomials((j + 1).astype(h.dtype), delta)
    b = curvature / (slope * slope)
    ratio = b / now.b
    after = (2 * w0 * ratio)[None] * now.moved - (b / now.b_before)[None] * now.before
    after = after + (2 * w1 * ratio * h)[None] * (f - now.a[None] * f0)
    on = (j < stages)[None]
    moved, before = jnp.where(on, after, now.moved), jnp.where(on, now.moved, now.before)
    return Displacement(moved, before, b, now.b, 1 - b * value)


def step_error(moved: Array, f0: Array, f1: Array, h: Array) -> Array:
    """`0.8(y − y1) + 0.4h(f0 + f1)`."""
    return (0.4 * h)[None] * (f0 + f1) - 0.8 * moved


def _polynomials(j: Float[Array, ""] | Float[Array, "..."], delta: Float[Array, "..."]):
    """`T_j`, `δT'_j` and `δ²T''_j` at `1 + δ`, by Taylor's series at 1.

    All its terms are positive. Worst relative error up to 250 stages in float32, against mpmath:
    2e-7; the recurrence by `j` reaches 2e-3, and hyperbolic functions, where `T''_2` cancels, 2e-2.
    """
    term = value = jnp.ones_like(delta)
    slope = curvature = jnp.zeros_like(delta)
    for k in range(1, _TERMS):
        term = term * delta * (j * j - (k - 1) ** 2) / (k * (2 * k - 1))
        value, slope, curvature = value + term, slope + k * term, curvature + k * (k - 1) * term
    return value, slope, curvature
