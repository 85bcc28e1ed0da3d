"""One Gaussian pair by its five numbers, and the expectation of a product of activations over
it.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress._internal.checks import check_floating
from jaxcompress.kernels.activations._activation import AbstractActivation, check_activation
from jaxcompress.kernels.moments._plane import Angle, Plane, plane
from jaxcompress.kernels.moments._selection import formulas
from jaxcompress.special.internal import divide, sqrt


class GaussianPair(eqx.Module):
    """Two jointly Gaussian pre-activations `(X, Y)`: means, variances, covariance.

    Five arrays of one floating dtype that broadcast against each other; means may be `None`,
    exactly zero, which selects the shorter centred formulas. Variances must not be negative and
    `cov² ≤ var_x var_y`; a covariance beyond that (rounding) is taken as full correlation.

    Example: that of `expectation`.
    """

    var_x: Float[Array, "..."]
    var_y: Float[Array, "..."]
    cov: Float[Array, "..."]
    mean_x: Float[Array, "..."] | None = None
    mean_y: Float[Array, "..."] | None = None


def expectation(
    f: AbstractActivation, g: AbstractActivation, pair: GaussianPair
) -> Float[Array, "..."]:
    """`E[f(X) g(Y)]` for a Gaussian pair.

    Returns an array of the shape that the pair's numbers broadcast to. Derivatives by the five
    numbers are those of Price's theorem (`∂/∂cov = E[f′g′]`, `∂/∂var_x = ½E[f″g]`, `∂/∂mean_x =
    E[f′g]`); where two kinked neurons coincide, second derivatives by these numbers do not exist
    and are stated to be zero. In weight space they do exist: `gram` has them.
    Raises `ValueError` for dtypes that differ, or what is no activation.
    Reference: Price 1958, *A useful theorem for nonlinear devices having Gaussian inputs*.

    >>> import jax.numpy as jnp
    >>> from jaxcompress.kernels import GaussianPair, activations, expectation
    >>> pair = GaussianPair(var_x=jnp.array(1.0), var_y=jnp.array(1.0), cov=jnp.array(1.0))
    >>> float(expectation(activations.relu, activations.relu, pair))
    0.5
    """
    check_activation("expectation", f)
    check_activation("expectation", g)
    check_floating(
        "expectation",
        var_x=pair.var_x,
        var_y=pair.var_y,
        cov=pair.cov,
        mean_x=pair.mean_x,
        mean_y=pair.mean_y,
    )
    var_x, var_y, cov, *means = jnp.broadcast_arrays(
        pair.var_x, pair.var_y, pair.cov, *(m for m in (pair.mean_x, pair.mean_y) if m is not None)
    )
    given = iter(means)
    mean_x, mean_y = (None if m is None else next(given) for m in (pair.mean_x, pair.mean_y))
    return _expectation(f, g, GaussianPair(var_x, var_y, cov, mean_x, mean_y))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _expectation(f: AbstractActivation, g: AbstractActivation, pair: GaussianPair) -> Array:
    return formulas(f, g).value(_plane_of(pair)) + jnp.zeros_like(pair.cov)


@_expectation.defjvp
def _price(f, g, primals, tangents):
    (pair,), (tangent,) = primals, tangents
    at = _plane_of(pair)
    forward, backward = formulas(f, g), formulas(g, f)
    out = forward.mixed_derivative(at).mean * tangent.cov
    out += (
        0.5 * forward.second_derivative(at).mean * tangent.var_x
        + 0.5 * backward.second_derivative(at.swapped).mean * tangent.var_y
    )
    if pair.mean_x is not None:
        out += forward.gradient(at).mean * tangent.mean_x
    if pair.mean_y is not None:
        out += backward.gradient(at.swapped).mean * tangent.mean_y
    return _expectation(f, g, pair), out


def _plane_of(pair: GaussianPair) -> Plane:
    """The geometry of five numbers; the angle is as good as they determine it."""
    std_x, std_y = sqrt(pair.var_x), sqrt(pair.var_y)
    cos = jnp.clip(divide(pair.cov, std_x * std_y), -1, 1)
    determinant = pair.var_x * pair.var_y - pair.cov**2
    alive = (pair.var_x > 0) & (pair.var_y > 0)
    sin = jnp.where(alive, divide(sqrt(determinant), std_x * std_y), 1)
    angle = Angle(cos, sin, jnp.arctan2(sin, cos), jnp.arctan2(sin, -cos))
    return plane(pair.mean_x, pair.mean_y, std_x, std_y, angle)
