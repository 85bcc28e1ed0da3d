"""The normal distribution in one and two dimensions, accurate relative to its own tails.

Letters: `h`, `k` are the standardised means of a Gaussian pair `(X, Y)` (mean over standard
deviation), `cos`, `sin` those of the angle between them (`cos` is their correlation), and `α = (h −
k cos)/sin`, `β = (k − h cos)/sin` the heights that remain on the lines `Y = 0` and `X = 0`. A wedge
`X > 0, Y > 0` has its corner at the distance `√(h² + β²) = √(k² + α²)` from the centre of the
Gaussian.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.special._safe import divide, sqrt

# Owen's integrand is cut where it has fallen by `exp(−8.5²/2) = 2e-16`; `jax.scipy.special.owens_t`
# (jax 0.10.2) does not cut it, and is off by 5e-6 at height 10 and by 1e-2 at height 16,
# relatively. Over these eight and a half standard deviations a Gauss–Legendre rule of 24 nodes
# leaves 2e-15 of the integral, 20 leave 3e-14; over the at most 30 degrees of the covariance
# integral 16 leave 1e-16 of √(Φ(h)Φ(k)).
_REACH = 8.5
_RULE = np.polynomial.legendre.leggauss(24)
_NODES, _WEIGHTS = 0.5 + 0.5 * _RULE[0], _RULE[1] / (4 * math.pi)
# Correlation up to which the covariance is integrated from independence rather than assembled from
# triangles.
_ARC_LIMIT = 0.5


def normal_pdf(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The standard normal density `exp(−x²/2)/√(2π)`.

    >>> from jaxcompress import special
    >>> round(float(special.normal_pdf(0.0)), 4)
    0.3989
    """
    return jnp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def normal_cdf(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The standard normal distribution function, relative accuracy also in the lower tail.

    One `erfc`: `jax.scipy.special.ndtr` evaluates three such functions and selects, to the same
    accuracy.

    >>> from jaxcompress import special
    >>> float(special.normal_cdf(0.0))
    0.5
    """
    return 0.5 * jax.lax.erfc(x / -math.sqrt(2))


def normal_tail(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """`Φ(−|x|)`, from which `from_tail` has the distribution function on either side.

    >>> from jaxcompress import special
    >>> round(float(special.normal_tail(1.96)), 4)
    0.025
    """
    return 0.5 * jax.lax.erfc(jnp.abs(x) / math.sqrt(2))


def from_tail(x: Float[Array, "..."], tail: Float[Array, "..."]) -> Float[Array, "..."]:
    """`Φ(x)` where `Φ(−|x|)` is known."""
    return jnp.where(x < 0, tail, 1 - tail)


class Sides(NamedTuple):
    """The two lines of a wedge on a leading axis, `X = 0` and `Y = 0`: `(h, k)`, `(β, α)`, and
    `Φ(−|·|)` of both.
    """

    height: Float[Array, "2 ..."]
    edge: Float[Array, "2 ..."]
    height_tail: Float[Array, "2 ..."]
    edge_tail: Float[Array, "2 ..."]


def _integrals(a: Array, b: Array, end: Array) -> Array:
    """`(1/2π)∫₀^end exp(−½(a(1 + x²) − b x√(1 + x²)))/(1 + x²) dx`: with `b = 0` Owen's `T(√a,
    end)`.

    One fused reduction over the nodes: unrolled, the same sum runs as fast and takes ten times as
    long to compile.
    """
    last = (1,) * end.ndim + (-1,)
    nodes, weights = (jnp.asarray(part, end.dtype).reshape(last) for part in (_NODES, _WEIGHTS))
    a, b, x = a[..., None], b[..., None], end[..., None] * nodes
    square = 1 + x * x
    integrand = jnp.exp(-0.5 * (a * square - b * (x * jnp.sqrt(square)))) / square
    return end * jnp.sum(integrand * weights, axis=-1)


def _flanks(at: Sides, triangle: Array, long: Array) -> Array:
    """`½Φ(−|height|) + sign(edge)·T(|height|, |edge/height|)`, without the cancellation where the
    edge is long.

    For `|edge| > |height|` Owen's T is reflected into `½Φ(−p) + ½Φ(−q) − Φ(−p)Φ(−q) − T(q, p/q)`,
    whose first term cancels the one in front when the edge is negative.
    """
    p, q = at.height_tail, at.edge_tail
    rest = jnp.where(long, q * (0.5 - p) - triangle, triangle)
    ahead = at.edge >= 0
    whole = jnp.where(long, jnp.where(ahead, p, 0), 0.5 * p)
    return whole + jnp.where(ahead, rest, -rest)


def _quadrants(at: Sides, cos: Array, sin: Array, angle: Array) -> tuple[Array, Array]:
    """`P(X > 0, Y > 0)` next to full correlation, and its excess over independence next to none.

    The first is one or zero less two flanks of the wedge, with a triangle each; the second one
    integral over the correlation (Drezner & Wesolowsky). Both are one integral with other numbers,
    which are chosen first.
    """
    h, k = at.height[0], at.height[1]
    near = jnp.abs(cos)[None] <= _ARC_LIMIT
    p, q = jnp.abs(at.height), jnp.abs(at.edge)
    upper, long = jnp.maximum(p, q), q > p
    reach = jnp.minimum(
        divide(jnp.minimum(p, q), upper), divide(jnp.full_like(upper, _REACH), upper)
    )
    first = jnp.asarray([True, False]).reshape(2, *[1] * cos.ndim)
    arc = jnp.where(first, divide(cos, sin)[None], 0)
    squares, product = (h * h + k * k)[None], (2 * h * k)[None]
    integrals = _integrals(
        jnp.where(near, squares, upper * upper),
        jnp.where(near, product, 0),
        jnp.where(near, arc, reach),
    )
    # the corner is the centre: the slopes are those of half the angle
    central = (h == 0) & (k == 0)
    whole = jnp.where((h >= 0) & (k >= 0), 1.0, 0.0).astype(h.dtype)
    flanks = jnp.where(at.height < 0, -1, 1) * _flanks(at, integrals, long)
    return jnp.where(central, 0.5 - angle / (2 * math.pi), whole - jnp.sum(flanks, 0)), integrals[0]


@jax.custom_jvp
def _wedge(at: Sides, cos: Array, sin: Array, angle: Array) -> tuple[Array, ...]:
    """`(P(X > 0, Y > 0), E[sign X sign Y], E[1(X > 0) sign Y], E[sign X 1(Y > 0)])`, for they share
    their integrals.
    """
    far, arc = _quadrants(at, cos, sin, angle)
    phi_h, phi_k = from_tail(at.height, at.height_tail)
    sign_h, sign_k = sign_mean(at.height)
    near = jnp.abs(cos) <= _ARC_LIMIT
    both = jnp.where(near, phi_h * phi_k + arc, far)
    signs = jnp.where(near, sign_h * sign_k + 4 * arc, 4 * both - 2 * phi_h - 2 * phi_k + 1)
    of_x = jnp.where(near, phi_h * sign_k + 2 * arc, 2 * both - phi_h)
    of_y = jnp.where(near, phi_k * sign_h + 2 * arc, 2 * both - phi_k)
    return both, signs, of_x, of_y


@_wedge.defjvp
def _wedge_jvp(primals, tangents):
    """Slepian's identities: ∂/∂h = φ(h)Φ(β), ∂/∂k = φ(k)Φ(α), ∂/∂angle = −φ(h)φ(β)."""
    at, *_ = primals
    moved, _, _, turned = tangents
    along_x, along_y = normal_pdf(at.height) * moved.height
    (above_x, above_y), (tilt_x, tilt_y) = from_tail(at.edge, at.edge_tail), sign_mean(at.edge)
    turn = normal_pdf(at.height[0]) * normal_pdf(at.edge[0]) * turned
    both = above_x * along_x + above_y * along_y - turn
    signs = 2 * (tilt_x * along_x + tilt_y * along_y - 2 * turn)
    of_x = tilt_x * along_x + 2 * above_y * along_y - 2 * turn
    of_y = 2 * above_x * along_x + tilt_y * along_y - 2 * turn
    return _wedge(*primals), (both, signs, of_x, of_y)


def sign_mean(h: Float[Array, "..."]) -> Float[Array, "..."]:
    """`E sign(h + Z) = erf(h/√2)` for a standard normal `Z`.

    >>> from jaxcompress import special
    >>> round(float(special.sign_mean(1.0)), 4)
    0.6827
    """
    return jax.lax.erf(h / math.sqrt(2))


def wedge_probabilities(h, k, cos, sin, angle, alpha, beta) -> tuple[Float[Array, "..."], ...]:
    """Probabilities of the quadrant of a Gaussian pair with standardised means `h`, `k` and
    correlation `cos`.

    Arguments, arrays that broadcast against each other:

    - `h`, `k`: the means of `X` and `Y` in their standard deviations;
    - `cos`, `sin`, `angle`: the angle in three ways, because near 0 and π no one of them determines
      the others to full precision;
    - `alpha`, `beta`: the means of the one on the line where the other is zero, in the standard
      deviations that are left there, `(h − k cos)/sin` and `(k − h cos)/sin`.

    Returns `P(X > 0, Y > 0)`, `E[sign X sign Y]`, `E[1(X > 0) sign Y]` and `E[sign X 1(Y > 0)]`.
    The first is Φ₂(h, k; cos), relative to `√(Φ(h)Φ(k))`; the others are relative to their own size
    also for small `h`, `k` and `cos`. They share their integrals.

    Reference: Owen 1956, *Tables for computing bivariate normal probabilities*, eq. 2.1, with the
    reflections of Patefield & Tandy 2000; for |cos| ≤ ½ Drezner & Wesolowsky 1990 (integral over
    the correlation).

    >>> import jax.numpy as jnp
    >>> from jaxcompress import special
    >>> zero, right = jnp.zeros(()), jnp.array(jnp.pi / 2)
    >>> found = special.wedge_probabilities(zero, zero, zero, jnp.ones(()), right, zero, zero)
    >>> round(float(found[0]), 4)
    0.25
    """
    height, edge = jnp.stack([h, k]), jnp.stack([beta, alpha])
    return wedge_between(
        Sides(height, edge, normal_tail(height), normal_tail(edge)), cos, sin, angle
    )


def wedge_between(at: Sides, cos, sin, angle) -> tuple[Float[Array, "..."], ...]:
    """`wedge_probabilities` where the tails are known; what `at` says beside `h` and `k` has no
    derivative.
    """
    return _wedge(at, cos, sin, angle)


def bivariate_normal_cdf(
    h: Float[Array, "..."], k: Float[Array, "..."], correlation: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Φ₂: the probability that two standard normals of this correlation are below `h` and `k`.

    >>> from jaxcompress import special
    >>> round(float(special.bivariate_normal_cdf(0.0, 0.0, 0.5)), 4)  # 1/3
    0.3333
    """
    h, k, correlation = jnp.broadcast_arrays(*map(jnp.asarray, (h, k, correlation)))
    sin = sqrt((1 - correlation) * (1 + correlation))
    far = jnp.asarray(1e4, h.dtype)
    alpha, beta = (
        jnp.where(sin > 0, divide(gap, sin), jnp.sign(gap) * far)
        for gap in (h - k * correlation, k - h * correlation)
    )
    return wedge_probabilities(h, k, correlation, sin, jnp.arctan2(sin, correlation), alpha, beta)[
        0
    ]
