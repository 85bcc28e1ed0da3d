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
from jaxcompress.networks import TwoLayer
from jaxcompress.networks.internal import Layer, as_layer, offset_of
from jaxcompress.risk._assembly import Blocks, WithOne, assembled
from jaxcompress.risk._meetings import meetings
from jaxcompress.risk._pair_blocks import pair_blocks
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
    n = x.weights.shape[0]
    one, each = None, []
    for some in meetings(x, problem.layers, problem.gap(offset)):
        found = pair_blocks(x, some, x.readout @ some.layer.readout.T)
        each.append((found.bend, found.residual))
        if some.itself:
            outer, mixed, inner = found.table[:, :n], found.slopes, found.inner
        if some.one is not None:
            one = WithOne(found.last / some.one, found.table[:, -1] / some.one)
    diagonal_blocks, residual = total(each)
    diagonal = np.arange(n)
    inner = 2 * (x.readout @ x.readout.T)[:, None, :, None] * jnp.swapaxes(inner, 1, 2)
    inner = inner.at[diagonal, :, diagonal, :].add(2 * diagonal_blocks)
    mixed = 2 * jnp.einsum("io,ila->ialo", x.readout, mixed)
    mixed = mixed.at[diagonal, :, diagonal, :].add(2 * residual)
    return Blocks(inner, 2 * outer, mixed, one)
