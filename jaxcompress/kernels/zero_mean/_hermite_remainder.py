"""The Hermite remainder of a pair without means: its orders from 2 on, without cancellation.

Between `k` almost orthogonal neurons the orders 0 and 1 add up to `k²` and the remainder to much
less: risks of thousands of neurons keep their digits if each is summed on its own. A pair is two
vectors of neurons here, for derivatives by `s`, `t`, `q` alone do not exist between parallel ReLUs.

Letters: `w`, `u` neurons; `s = |w|²`, `t = |u|²`, `q = w·u`; `φ = arcsin(q/√(st))`, the complement
of the angle between them; `r = E[f(w·x) f(u·x)] − E f(w·x) E f(u·x) − (w·u) E f′(w·x) E f′(u·x)`.
"""

import abc
import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels.activations._activation import AbstractActivation, Erf, Relu
from jaxcompress.special.internal import divide, sine_minus_arc_cosine

_CIRCLE = 2 * math.pi
_OWN = 0.25 - 1 / _CIRCLE
# arcsin x − x = Σ_{n≥1} (2n choose n) x^{2n+1}/(4ⁿ(2n+1)); at the crossover, beyond the ½ of a unit
# neuron with itself, 30 terms leave 1e-17 of their sum.
_SERIES = [math.comb(2 * n, n) / 4**n / (2 * n + 1) for n in range(1, 31)]
_CROSSOVER = 0.55


class AbstractHermiteRemainder(abc.ABC):
    """The Hermite remainder `r` of pairs of neurons of one activation.

    Vectors lie along the last axis, all others are batches.

    Value, gradient and Hessian hold where neurons coincide or oppose; at norm zero they are those
    of a dead neuron.
    """

    @abc.abstractmethod
    def own(self, s: Float[Array, "..."]) -> Float[Array, "..."]:
        """`r` of a neuron with itself."""

    @abc.abstractmethod
    def pair(self, w: Float[Array, "... d"], u: Float[Array, "... d"]) -> Float[Array, "..."]:
        """`r`, to a few ulp of its own size also where `q` is small."""

    @abc.abstractmethod
    def squared_distance(
        self, w: Float[Array, "... d"], u: Float[Array, "... d"]
    ) -> Float[Array, "..."]:
        """`r(w, w) − 2r(w, u) + r(u, u)`, the square of a distance, with digits of its own next to
        `w = u`.
        """


class ErfRemainder(AbstractHermiteRemainder):
    """`r = (2/π)(arcsin x − x)`, `x = q/√((1+s)(1+t))`."""

    def own(self, s):
        return 2 / math.pi * _excess(s / (1 + s))

    def pair(self, w, u):
        return 2 / math.pi * _excess(_dot(w, u) / jnp.sqrt((1 + _dot(w, w)) * (1 + _dot(u, u))))

    def squared_distance(self, w, u):
        return _erf_distance(w, u)


class ReluRemainder(AbstractHermiteRemainder):
    """`r = √(st)(φ sin φ − 2 sin²(φ/2))/2π`, with `∂r/∂w = (φu − 2√(t/s) sin²(φ/2) w)/2π`."""

    def own(self, s):
        return _OWN * s

    def pair(self, w, u):
        return _relu_pair(w, u)

    def squared_distance(self, w, u):
        return _relu_distance(w, u)


@functools.cache
def hermite_remainder(f: AbstractActivation) -> AbstractHermiteRemainder | None:
    """The Hermite remainder of an activation with itself, or `None` where no formula without
    cancellation is known.
    """
    match f:
        case Erf():
            return ErfRemainder()
        case Relu():
            return ReluRemainder()
        case _:
            return None


def _dot(x: Array, y: Array) -> Array:
    return jnp.sum(x * y, -1)


def _norm(x: Array) -> Array:
    return jnp.linalg.norm(x, axis=-1)


@jax.custom_jvp
def _excess(x: Array) -> Array:
    """`arcsin x − x`, relative to itself."""
    small = jnp.where(jnp.abs(x) < _CROSSOVER, x, 0)
    square = small * small
    series = jnp.full_like(x, _SERIES[-1])
    for coefficient in _SERIES[-2::-1]:
        series = series * square + coefficient
    return jnp.where(jnp.abs(x) < _CROSSOVER, small * square * series, jnp.arcsin(x) - x)


@_excess.defjvp
def _excess_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    root = jnp.sqrt((1 - x) * (1 + x))
    return _excess(x), x * x / (root * (1 + root)) * dx


def _climb(x: Array, y: Array, gap: Array) -> Array:
    """`(arcsin x − x) − (arcsin y − y)` for `x > 0`, given `gap = x − y`; `sin(arcsin x − arcsin
    y)` has no difference but `gap`."""
    sine = jnp.sqrt((1 - y) * (1 + y)) * x + jnp.sqrt((1 - x) * (1 + x)) * y
    near = jnp.arcsin(jnp.clip(divide(gap * (x + y), sine), -1, 1)) - gap
    return jnp.where(y > 0, near, _excess(x) - _excess(y))


@jax.custom_jvp
def _erf_distance(w: Array, u: Array) -> Array:
    """With `x̄` the mean of the two own `x = s/(1+s)` and `h` half their difference, a second
    difference of `arcsin x − x` and twice a first one; `x̄ − x_wu = ½|w/√(1+s) − u/√(1+t)|²`."""
    s, t = 1 + _dot(w, w), 1 + _dot(u, u)
    half, middle = 0.5 * _dot(w - u, w + u) / (s * t), 1 - 0.5 * (1 / s + 1 / t)
    gap = w / jnp.sqrt(s)[..., None] - u / jnp.sqrt(t)[..., None]
    gap = 0.5 * _dot(gap, gap)
    second = _climb(middle + half, middle, half) - _climb(middle, middle - half, half)
    return 2 / math.pi * (second + 2 * _climb(middle, middle - gap, gap))


@_erf_distance.defjvp
def _erf_distance_jvp(primals, tangents):
    known = ErfRemainder()
    _, change = jax.jvp(functools.partial(_plainly, known), primals, tangents)
    return _erf_distance(*primals), change


def _plainly(known: AbstractHermiteRemainder, w: Array, u: Array) -> Array:
    """`squared_distance` as it is defined.

    Its derivatives cancel to an absolute ulp, which is all that a Newton step feels.
    """
    return known.own(_dot(w, w)) + known.own(_dot(u, u)) - 2 * known.pair(w, u)


def _angles(w: Array, u: Array) -> tuple[Array, Array, Array, Array]:
    """Norms and unit vectors."""
    s, t = _norm(w), _norm(u)
    return s, t, divide(w, s[..., None]), divide(u, t[..., None])


@jax.custom_jvp
def _complement(w: Array, u: Array) -> Array:
    """`φ`; `cos φ = ½|ŵ − û||ŵ + û|` has its digits next to parallel neurons."""
    _, _, w, u = _angles(w, u)
    return jnp.arctan2(_dot(w, u), 0.5 * _norm(w - u) * _norm(w + u))


@_complement.defjvp
def _complement_jvp(primals, tangents):
    """`n·dw/|w| + m·du/|u|`, `n = unit(û − sin φ ŵ)`, `m = unit(ŵ − sin φ û)`; between parallel
    neurons, where it has no derivative, zero: what it multiplies in `r` vanishes there."""
    (w, u), (dw, du) = primals, tangents
    s, t, w, u = _angles(w, u)
    sign = jnp.where(_dot(w, u) < 0, -1.0, 1.0).astype(w.dtype)[..., None]
    away = u - sign * w
    # 1 − |sin φ| = ½|û ∓ ŵ|²
    short = 0.5 * _dot(away, away)[..., None]
    open_by = (0.5 * _norm(w - u) * _norm(w + u))[..., None]
    n, m = divide(away + short * sign * w, open_by), divide(sign * (short * u - away), open_by)
    rate = divide(_dot(n, dw), s) + divide(_dot(m, du), t)
    return jnp.arctan2(_dot(w, u), open_by[..., 0]), rate


@jax.custom_jvp
def _relu_pair(w: Array, u: Array) -> Array:
    phi = _complement(w, u)
    return _norm(w) * _norm(u) * (phi * jnp.sin(phi) - 2 * jnp.sin(phi / 2) ** 2) / _CIRCLE


@_relu_pair.defjvp
def _relu_pair_jvp(primals, tangents):
    (w, u), (dw, du) = primals, tangents
    s, t, phi = jnp.sqrt(_dot(w, w)), jnp.sqrt(_dot(u, u)), _complement(w, u)
    shrink = 2 * jnp.sin(phi / 2) ** 2
    rate = phi * (_dot(u, dw) + _dot(w, du)) - shrink * (
        divide(t, s) * _dot(w, dw) + divide(s, t) * _dot(u, du)
    )
    return _relu_pair(w, u), rate / _CIRCLE


@jax.custom_jvp
def _relu_distance(w: Array, u: Array) -> Array:
    """`(¼ − 1/2π)(√s − √t)² + 2√(st)(π sin²(θ/2) − (sin θ − θ cos θ))/2π`, `θ = π/2 − φ`."""
    s, t, w_hat, u_hat = _angles(w, u)
    angle = 2 * jnp.arctan2(_norm(w_hat - u_hat), _norm(w_hat + u_hat))
    turned = math.pi * jnp.sin(angle / 2) ** 2 - sine_minus_arc_cosine(angle)
    longer = divide(_dot(w - u, w + u), s + t)
    return _OWN * longer**2 + 2 * s * t * turned / _CIRCLE


@_relu_distance.defjvp
def _relu_distance_jvp(primals, tangents):
    known = ReluRemainder()
    _, change = jax.jvp(functools.partial(_plainly, known), primals, tangents)
    return _relu_distance(*primals), change
