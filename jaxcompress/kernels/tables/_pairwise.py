"""The table of kernels between two families of neurons, with its derivatives stated once.

The rule is Price's theorem in weight space (see `_moments`): the table's derivative is a table of
vectors `E[f′g x]`, whose own derivative is made of the blocks `E[f″g xxᵀ]` and `E[f′g′ xxᵀ]`. Both
are written with in-plane moments that stay finite where neurons coincide, so first and second
derivatives are exact there too.
"""

import functools

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from jaxcompress.kernels.activations._activation import AbstractActivation
from jaxcompress.kernels.moments._frames import apply_second, as_vectors, frames
from jaxcompress.kernels.moments._selection import formulas


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def table(
    f: AbstractActivation,
    g: AbstractActivation,
    weights_x: Float[Array, "n d"],
    mean_x: Float[Array, " n"] | None,
    weights_y: Float[Array, "k d"],
    mean_y: Float[Array, " k"] | None,
) -> Float[Array, "n k"]:
    """`E[f(w_i·z + μ_i) g(v_j·z + ν_j)]` for standard normal `z`; a mean that is `None` is exactly
    zero.
    """
    return formulas(f, g).value(frames(weights_x, mean_x, weights_y, mean_y).plane) * _ones(
        weights_x, weights_y
    )


def table_gradient(f, g, weights_x, mean_x, weights_y, mean_y):
    """The derivatives of each entry by its two neurons.

    Returns `(n, k, d)` by the weights and `(n, k)` by the mean of the first neuron, then of the
    second.
    """
    return _value_and_gradient(f, g, weights_x, mean_x, weights_y, mean_y)[1]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _value_and_gradient(f, g, weights_x, mean_x, weights_y, mean_y):
    """`table` and `table_gradient` from one measurement of the pairs."""
    pairs = frames(weights_x, mean_x, weights_y, mean_y)
    forward, backward = formulas(f, g), formulas(g, f)
    of_x, of_y = forward.gradient(pairs.plane), backward.gradient(pairs.plane.swapped)
    ones = _ones(weights_x, weights_y)
    return forward.value(pairs.plane) * ones, (
        as_vectors(of_x, pairs.along_x, pairs.across_x),
        of_x.mean * ones,
        as_vectors(of_y, pairs.along_y, pairs.across_y),
        of_y.mean * ones,
    )


def _ones(weights_x: Array, weights_y: Array) -> Array:
    """Some formulas are constant along an axis; their tables are not."""
    return jnp.ones((weights_x.shape[0], weights_y.shape[0]), weights_x.dtype)


def _is_zero(tangent) -> bool:
    return tangent is None or isinstance(tangent, SymbolicZero)


def _table_jvp(f, g, primals, tangents):
    value, gradient = _value_and_gradient(f, g, *primals)
    return value, _along(gradient, tangents)


def _along(gradient, tangents) -> Float[Array, "n k"]:
    """The directional derivative of every entry."""
    d_weights_x, d_mean_x, d_weights_y, d_mean_y = tangents
    by_weights_x, by_mean_x, by_weights_y, by_mean_y = gradient
    out = jnp.zeros_like(by_mean_x)
    if not _is_zero(d_weights_x):
        out += jnp.einsum("ijd,id->ij", by_weights_x, d_weights_x)
    if not _is_zero(d_mean_x):
        out += by_mean_x * d_mean_x[:, None]
    if not _is_zero(d_weights_y):
        out += jnp.einsum("ijd,jd->ij", by_weights_y, d_weights_y)
    if not _is_zero(d_mean_y):
        out += by_mean_y * d_mean_y[None, :]
    return out


def _value_and_gradient_jvp(f, g, primals, tangents):
    primals_out = _value_and_gradient(f, g, *primals)
    pairs = frames(*primals)
    d_weights_x, d_mean_x, d_weights_y, d_mean_y = (
        None if _is_zero(tangent) else tangent for tangent in tangents
    )
    u, eta = _column(d_weights_x), _column(d_mean_x)
    v, nu = _row(d_weights_y), _row(d_mean_y)
    second_x, second_y = (
        formulas(f, g).second_derivative(pairs.plane),
        formulas(g, f).second_derivative(pairs.plane.swapped),
    )
    cross = formulas(f, g).mixed_derivative(pairs.plane)
    x_by_x = apply_second(second_x, pairs.along_x, pairs.across_x, u, eta)
    x_by_y = apply_second(cross, pairs.along_x, pairs.across_x, v, nu)
    y_by_x = apply_second(cross, pairs.along_x, pairs.across_x, u, eta)
    y_by_y = apply_second(second_y, pairs.along_y, pairs.across_y, v, nu)
    ones = _ones(primals[0], primals[2])
    tangent_out = (
        (x_by_x[0] + x_by_y[0]) * ones[..., None],
        (x_by_x[1] + x_by_y[1]) * ones,
        (y_by_x[0] + y_by_y[0]) * ones[..., None],
        (y_by_x[1] + y_by_y[1]) * ones,
    )
    return primals_out, (_along(primals_out[1], tangents), tangent_out)


def _column(tangent: Array | None) -> Array | None:
    return None if tangent is None else tangent[:, None]


def _row(tangent: Array | None) -> Array | None:
    return None if tangent is None else tangent[None]


table.defjvp(_table_jvp, symbolic_zeros=True)
_value_and_gradient.defjvp(_value_and_gradient_jvp, symbolic_zeros=True)
