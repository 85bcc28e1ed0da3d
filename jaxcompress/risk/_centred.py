"""The population risk for many students at once, along the last axis: what batched solvers evaluate
in their loops.

For one output or several, without biases, standard normal inputs and activations that have short
formulas (`kernels.centred`). Arrays may carry one trailing axis `runs` (`_centred_pairs`).

Letters as in `_population`; the unknowns of neuron `i` are `θ_i = (w_i, a_i)`, one neuron after
another.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractActivation
from jaxcompress.risk._centred_pairs import (
    across,
    apply,
    blocks,
    formulas,
    mixed,
    pairs,
    summed,
    table,
)
from jaxcompress.risk._centred_target import AbstractCentredTarget


def centred_risk(
    f: AbstractActivation,
    target: AbstractCentredTarget,
    weights: Float[Array, "n d *runs"],
    readout: Float[Array, "n o *runs"],
):
    """Risk and its magnitude `(*runs)`, and its gradient by weights and readout; what is not used
    is not computed.
    """
    own, cross = pairs(weights, None), target.cross(f, weights, readout)
    inner = formulas(f, f).first(own.s, own.t, own.q)
    c, size = table(readout, readout), jnp.abs(readout)
    by_weights = (
        jnp.sum(c * inner.own, 1)[:, None] * weights
        + apply(c * inner.other, weights)
        - cross.by_weights
    )
    combined = apply(inner.value, readout)
    value = jnp.sum(readout * (combined - 2 * cross.wanted), (0, 1)) + target.second_moment
    sizes = jnp.sum(table(size, size) * jnp.abs(inner.value), (0, 1)) + 2 * cross.size
    return value, sizes + target.magnitude, 2 * by_weights, 2 * (combined - cross.wanted)


def centred_hessian(
    f: AbstractActivation,
    target: AbstractCentredTarget,
    weights: Float[Array, "n d *runs"],
    readout: Float[Array, "n o *runs"],
    move_readout: bool,
) -> Float[Array, "P P *runs"]:
    """The Hessian in `(w_1, a_1, w_2, a_2, …)`, or in `(w_1, w_2, …)` where the readout stays."""
    own, cross = pairs(weights, None), target.cross_second(f, weights, readout)
    c, p = table(readout, readout), across(own, weights, weights, f)
    in_bend, in_cross = formulas(f, f).second(own.s, own.t, own.q, jnp.sum(p * p, 2))
    bend = summed(in_bend, c, p, weights) - cross.bend
    n, d = weights.shape[:2]
    runs = weights.shape[2:]
    one = [1] * len(runs)
    itself = jnp.eye(n, dtype=weights.dtype).reshape(n, 1, n, 1, *one)
    inner_blocks = blocks(in_cross, c, p, weights) + itself * bend[:, :, None]
    if not move_readout:
        return 2 * inner_blocks.reshape(n * d, n * d, *runs)
    o = readout.shape[1]
    inner = formulas(f, f).first(own.s, own.t, own.q)
    slope = (
        inner.own[:, None] * weights[:, :, None]
        + inner.other[:, None] * jnp.swapaxes(weights, 0, 1)[None]
    )
    residual = apply(inner.own, readout)[:, None] * weights[:, :, None]
    residual += mixed(inner.other, readout, weights) - cross.residual
    edge = slope[:, :, :, None] * readout[:, None, None] + itself * residual[:, :, None]
    each = jnp.eye(o, dtype=weights.dtype).reshape(1, o, 1, o, *one)
    corner = inner.value[:, None, :, None] * each
    upper = jnp.concatenate([inner_blocks, edge], 3)
    lower = jnp.concatenate([jnp.moveaxis(edge, (0, 1, 2, 3), (2, 3, 0, 1)), corner], 3)
    return 2 * jnp.concatenate([upper, lower], 1).reshape(n * (d + o), n * (d + o), *runs)
