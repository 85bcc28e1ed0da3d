"""The Hessian of the population risk, assembled in weight space from blocks that are finite
everywhere.

Letters as in `_population`. `θ_i = (w_i, bias_i)` are a neuron's inner parameters, `p` of them; on
standard normal inputs they act on `x̄ = (x, 1)`. With `C = a aᵀ` and `C′ = a bᵀ` (summed over
outputs) the blocks are

- own `(i, i)`: `2 Σ_j C_ij E[f″f x̄x̄ᵀ] − 2 Σ_j C′_ij E[f″g x̄x̄ᵀ]`, cross `(i, j)`: `2 C_ij E[f′f′
  x̄x̄ᵀ]`;
- `(θ_i, a_l)`: `2 a_i E[f′f x̄]_il`, and for `l = i` the residual `2 (Σ_j a_j E[f′f x̄]_ij − Σ_j
  b_j E[f′g x̄]_ij)`;
- `(a_i, a_j)`: `2 G_ij` for each output.

An output bias is a neuron that is always one, and enters the same formulas.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractInputs
from jaxcompress.kernels.internal import (
    GRADIENT,
    MIXED_DERIVATIVE,
    SECOND_DERIVATIVE,
    VALUE,
    First,
    Frames,
    Second,
)
from jaxcompress.networks import TwoLayer
from jaxcompress.networks.internal import Layer, as_layer, offset_of
from jaxcompress.risk._assembly import Blocks, WithOne, assembled
from jaxcompress.risk._meetings import look, meetings
from jaxcompress.risk._terms import Measured, total


def population_hessian(
    problem: Measured, inputs: AbstractInputs, student: TwoLayer, freeze: Sequence[str]
) -> Float[Array, "P P"]:
    """The Hessian of the population risk against a target that has been measured."""
    blocks = _blocks(problem, as_layer(student, inputs), offset_of(student))
    return assembled(student, blocks, _lift(inputs, student), freeze)


def _lift(inputs: AbstractInputs, student: TwoLayer) -> Float[Array, "p r1"]:
    """The linear map from a neuron's `(w, bias)` to its standardised weights and mean, read off the
    law itself.
    """
    d, has_bias = student.dim, student.bias is not None
    dtype = student.weights.dtype
    probe = jnp.eye(d + has_bias, d, dtype=dtype)
    shift = jnp.zeros(d + has_bias, dtype).at[d:].set(1)
    weights, mean = inputs.standardize(probe, shift)
    mean = shift if mean is None else mean
    return jnp.concatenate([weights, mean[:, None]], axis=1)


def _blocks(problem: Measured, x: Layer, offset: Array | None) -> Blocks:
    """Blocks on standard normal inputs: inner `(n, r+1, n, r+1)`, outer `(n, n)`, mixed `(n, r+1,
    n, o)`, means.
    """
    n, dim = x.weights.shape
    one, each = None, []
    for some in meetings(x, problem.layers, problem.gap(offset)):
        parts = (
            (VALUE, GRADIENT, SECOND_DERIVATIVE, MIXED_DERIVATIVE)
            if some.itself
            else (VALUE, GRADIENT, SECOND_DERIVATIVE)
        )
        pairs, ((table,), first, second, *cross) = look(x, some, parts)
        right, slopes = some.layer.readout, _slopes(First(*first), pairs)
        bend = _contract(Second(*second), pairs, x.readout @ right.T, dim)
        each.append((bend, jnp.einsum("ija,jo->iao", slopes, right)))
        if some.itself:
            outer, mixed = table[:, :n], slopes[:, :n]
            inner = _outer_blocks(Second(*(moment[:, :n] for moment in cross[0])), pairs, dim)
        if some.one is not None:
            one = WithOne(slopes[:, -1] / some.one, table[:, -1] / some.one)
    diagonal_blocks, residual = total(each)
    diagonal = np.arange(n)
    inner = 2 * (x.readout @ x.readout.T)[:, None, :, None] * inner
    inner = inner.at[diagonal, :, diagonal, :].add(2 * diagonal_blocks)
    mixed = 2 * jnp.einsum("io,ila->ialo", x.readout, mixed)
    mixed = mixed.at[diagonal, :, diagonal, :].add(2 * residual)
    return Blocks(inner, 2 * outer, mixed, one)


def _slopes(first: First, pairs: Frames) -> Float[Array, "n m r1"]:
    """`E[f′(X_i) g(Y_j) x̄]`."""
    by_weights = first.along[..., None] * pairs.along_x + first.across[..., None] * pairs.across_x
    return jnp.concatenate([by_weights, first.mean[..., None]], axis=-1)


def _contract(
    second: Second, pairs: Frames, coefficients: Array, dim: int
) -> Float[Array, "n r1 r1"]:
    """`Σ_j coefficients_ij E[q x̄x̄ᵀ]_ij`: sums in the frame of neuron `i` before any matrix is
    formed.
    """
    along, across = pairs.along_x[:, 0, :dim], pairs.across_x[..., :dim]
    m, a, c, aa, ac, cc = (coefficients * moment for moment in second)
    identity = jnp.sum(m, 1)
    mixed = jnp.einsum("ij,ijd->id", ac, across)
    out = identity[:, None, None] * jnp.eye(dim, dtype=along.dtype)[None]
    out += jnp.sum(aa - m, 1)[:, None, None] * along[:, :, None] * along[:, None, :]
    out += along[:, :, None] * mixed[:, None, :] + mixed[:, :, None] * along[:, None, :]
    out += jnp.einsum("ijd,ije->ide", (cc - m)[..., None] * across, across)
    edge = jnp.sum(a, 1)[:, None] * along + jnp.einsum("ij,ijd->id", c, across)
    return _bordered(out, edge, identity)


def _outer_blocks(second: Second, pairs: Frames, dim: int) -> Float[Array, "n r1 k r1"]:
    """`E[q x̄x̄ᵀ]` for every pair."""
    shape = second.mean.shape
    m, a, c, aa, ac, cc = (moment[..., None] for moment in second)
    along = jnp.broadcast_to(pairs.along_x[..., :dim], (*shape, dim))
    across = pairs.across_x[:, : shape[1], :dim]
    left_along, left_across = (aa - m) * along + ac * across, ac * along + (cc - m) * across
    out = m[..., None] * jnp.eye(dim, dtype=along.dtype).reshape((1,) * len(shape) + (dim, dim))
    out += (
        left_along[..., :, None] * along[..., None, :]
        + left_across[..., :, None] * across[..., None, :]
    )
    return _bordered(out, a * along + c * across, m[..., 0]).swapaxes(-3, -2)


def _bordered(block: Array, edge: Array, corner: Array) -> Array:
    """Append the row and column of the mean."""
    top = jnp.concatenate([block, edge[..., None]], axis=-1)
    bottom = jnp.concatenate([edge, corner[..., None]], axis=-1)
    return jnp.concatenate([top, bottom[..., None, :]], axis=-2)
