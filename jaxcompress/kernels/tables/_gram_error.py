"""How far a table of kernels may be off: rounding where there is a closed form, the rule's own
estimate elsewhere.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels._inputs import AbstractInputs
from jaxcompress.kernels.activations._activation import (
    AbstractActivation,
    Closed,
    Sum,
    check_activation,
    summands_of,
)
from jaxcompress.kernels.moments._exponentials import line_mean
from jaxcompress.kernels.moments._frames import frames
from jaxcompress.kernels.moments._pair import GaussianPair, expectation
from jaxcompress.kernels.moments._plane import Plane
from jaxcompress.kernels.moments._quadrature import exact_line, nodes_of, rule
from jaxcompress.kernels.tables._completed import truncated_series
from jaxcompress.kernels.tables._gram import checked_layers, checked_method

# What is left of an integrand by 16th differences along the grid is what the rule does not resolve.
# The factors were chosen on 3524 pairs of 13 functions, smooth and kinked, standard deviations 0.1
# to 10: with half of `_ALONG` the true error was at most 0.47 of the estimate with 65 nodes, on
# 1976 other pairs too, and at most 2.3 of it against closed forms.
_ORDER, _ALONG, _PRODUCT = 16, 1.0, 8.0
# Closed forms: worst error against mpmath in units of the roundoff, relative to √(E f² E g²).
_ROUNDING = 500.0
# What summing over the nodes leaves.
_FLOOR = 20.0
# Mean squares beyond this share of what the dtype holds may be those of a saturated exponential.
_MOST = 0.5


def gram_error(
    f: AbstractActivation,
    W: Float[Array, "n d"],
    g: AbstractActivation,
    V: Float[Array, "k d"],
    *,
    bias_f: Float[Array, " n"] | None = None,
    bias_g: Float[Array, " k"] | None = None,
    inputs: AbstractInputs | None = None,
    method: str = "auto",
    order: int | None = None,
) -> Float[Array, "n k"]:
    """An estimate of `|gram − the exact table|`, entry by entry; arguments, shapes and errors as
    for `gram`.

    Where both activations have closed forms it is a bound on rounding, 500 units relative to `√(E
    f² E g²)`, term by term where they are sums. Otherwise it is made of high differences of the
    integrand on the nodes of the rule: not below the true error by more than a factor of 2, usually
    far above it for smooth functions. A function that is zero at every node, as a kink many
    deviations out may be, escapes it. With `method="spectral"` comes to this a bound of what the
    series leaves, `|ρ|^K √(T_i T_j)` with `T = E f² − Σ_{k<K} c_k²` (Parseval), infinite where
    nothing is known.

    >>> import jax.numpy as jnp
    >>> from jaxcompress.kernels import activations, gram_error
    >>> bool(jnp.max(gram_error(activations.erf, jnp.eye(2), activations.relu, jnp.eye(2))) < 1e-3)
    True
    """
    check_activation("gram_error", f)
    check_activation("gram_error", g)
    degrees = checked_method("gram_error", method, order)
    layers = checked_layers("gram_error", W, bias_f, V, bias_g, inputs)
    if method == "spectral":
        return _of_series(f, g, degrees, *layers)
    return _estimate(f, g, frames(*layers).plane)


@eqx.filter_jit
def _of_series(f, g, degrees: int, weights_x, mean_x, weights_y, mean_y) -> Array:
    """What the series leaves, and the rounding of its terms."""
    layers = weights_x, mean_x, weights_y, mean_y
    done = truncated_series(f, g, *layers, (0, 0), degrees)
    return done.bound + _estimate(f, g, frames(*layers).plane)


def _estimate(f: AbstractActivation, g: AbstractActivation, at: Plane) -> Array:
    if isinstance(f, Sum) or isinstance(g, Sum):
        parts = [(abs(p * q), x, y) for p, x in summands_of(f) for q, y in summands_of(g)]
        return sum((factor * _estimate(x, y, at) for factor, x, y in parts), jnp.zeros_like(at.cos))
    if f.terms is None:
        return _of_rule(f, g, at)
    return _of_rule(g, f, at.swapped) if g.terms is None else _rounding(f, g, at)


def _rounding(f: AbstractActivation, g: AbstractActivation, at: Plane) -> Array:
    units = _ROUNDING * float(jnp.finfo(at.cos.dtype).eps)
    lost = _lost_by_oscillation(f, g, at.std_x) * _lost_by_oscillation(g, f, at.std_y)
    return units * lost * _size(f, at) * _size(g, at.swapped) * jnp.ones_like(at.cos)


def _lost_by_oscillation(wavy: AbstractActivation, other: AbstractActivation, std: Array) -> Array:
    """What sines and cosines lose against kinks: a factor of at most `1 + σ²` for every power
    beside the kink.
    """
    powers = [term.power for term in other.terms or () if not term.smooth]
    oscillates = any(complex(term.rate).imag for term in wavy.terms or ())
    return (1 + std * std) ** max(1, *powers) if oscillates and powers else jnp.ones_like(std)


def _size(f: AbstractActivation, at: Plane) -> Array:
    """`√E f(X)²`, term by term: what cancels in a sum leaves the rounding of its terms. Infinite on
    overflow.
    """
    variance, mean = at.std_x * at.std_x, at.mean_x
    pair = GaussianPair(variance, variance, variance, mean, mean)
    out = jnp.zeros_like(at.std_x)
    for term in f.terms or ():
        size = abs(term.coefficient)
        one = Closed("term", (term._replace(coefficient=term.coefficient / size),))
        out = out + size * jnp.sqrt(jnp.maximum(expectation(one, one, pair), 0))
    return jnp.where(out < math.sqrt(_MOST * float(jnp.finfo(out.dtype).max) ** 0.4), out, jnp.inf)


def _of_rule(f: AbstractActivation, g: AbstractActivation, at: Plane) -> Array:
    """The estimate for `f` without closed form: of both sums, or of the outer one where `g` has a
    closed form.
    """
    nodes = max(nodes_of(f), nodes_of(g))
    z, weights = (jnp.asarray(part, at.cos.dtype) for part in rule(nodes))
    numbers = (at.known_mean_x, at.std_x, at.known_mean_y, at.std_y, at.cos, at.sin)
    shape = jnp.broadcast_shapes(*(jnp.shape(number) for number in numbers))

    def of_pair(pair: tuple[Array, ...]) -> Array:
        mean_x, std_x, mean_y, std_y, cos, sin = pair
        left, means = f(mean_x + std_x * z), mean_y + std_y * cos * z
        if g.terms is None:
            right = g(means[:, None] + std_y * sin * z[None, :])
            return _left_over(left, left[:, None] * right, g(mean_y + std_y * z), weights)
        right = exact_line(g.terms)(means, std_y * sin * jnp.ones_like(means))[0]
        # what a partner too narrow for the nodes has between them
        missed = jnp.abs(jnp.sum(weights * right) - line_mean(g.terms, mean_y, std_y)) * jnp.max(
            jnp.abs(left)
        )
        edge = missed + jnp.sum(jnp.abs(left * right)[jnp.array([0, -1])] * weights[0])
        floor = _FLOOR * jnp.finfo(z.dtype).eps * jnp.sum(weights * jnp.abs(left * right))
        return _ALONG * _rough(left * right, weights) + edge + floor

    flat = tuple(
        jnp.broadcast_to(jnp.asarray(number, z.dtype), shape).ravel() for number in numbers
    )
    return jax.lax.map(
        of_pair, flat, batch_size=max(1, min(flat[0].size, 2**18 // nodes**2))
    ).reshape(shape)


def _left_over(left: Array, both: Array, right: Array, weights: Array) -> Array:
    """The estimate of a sum over the plane, from `f`, `f g` and `g` on its nodes."""
    rows = jnp.sum(weights * jax.vmap(_rough, (0, None))(both, weights))
    columns = jnp.sum(weights * jax.vmap(_rough, (1, None))(both, weights))
    sizes = jnp.abs(both) * weights[:, None] * weights[None]
    ring = jnp.sum(sizes[jnp.array([0, -1])]) + jnp.sum(sizes[:, jnp.array([0, -1])])
    product = _rough(left, weights) * _rough(right, weights)
    scale = jnp.sqrt(jnp.sum(weights * left * left) * jnp.sum(weights * right * right))
    return (
        _ALONG * (rows + columns)
        + _PRODUCT * product
        + ring
        + _FLOOR * jnp.finfo(left.dtype).eps * scale
    )


def _rough(values: Array, weights: Array) -> Array:
    """What differences of high order leave of values on the nodes; absolute values, so that nothing
    cancels.
    """
    half = _ORDER // 2
    left = jnp.abs(jnp.diff(values, n=_ORDER)) / math.comb(_ORDER, half)
    return jnp.sum(weights[half:-half] * left)
