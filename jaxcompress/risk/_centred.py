"""The population risk for many students at once, along the last axis: what batched solvers evaluate
in their loops.

For one output or several, without biases, standard normal inputs and activations that have short
formulas (`kernels.centred`). Arrays may carry one trailing axis `runs` (`_centred_pairs`).

Letters as in `_population`; the unknowns of neuron `i` are `θ_i = (w_i, a_i)`, one neuron after
another.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcompress.kernels import AbstractActivation
from jaxcompress.kernels.internal import CentredFirst
from jaxcompress.risk._centred_pairs import (
    Border,
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
    exact: Bool[Array, ""] | None = None,
):
    """Risk and its magnitude `(*runs)`, and its gradient by weights and readout; what is not used
    is not computed. `exact` as in `kernels.zero_mean._forms`.
    """
    own, cross = pairs(weights, None), target.cross(f, weights, readout, exact)
    inner = formulas(f, f).first(own.s, own.t, own.q, exact)
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
    exact: Bool[Array, ""] | None = None,
) -> Float[Array, "P P *runs"]:
    """The Hessian in `(w_1, a_1, w_2, a_2, …)`, or in `(w_1, w_2, …)` where the readout stays."""
    own, cross = pairs(weights, None), target.cross_second(f, weights, readout, exact)
    c, p = table(readout, readout), across(own, weights, weights, f)
    inner, in_bend, in_cross = formulas(f, f).both(own.s, own.t, own.q, jnp.sum(p * p, 2), exact)
    bend = summed(in_bend, c, p, weights) - cross.bend
    border = None
    if move_readout:
        border = _border(inner, cross.residual, weights, readout)
    out = blocks(in_cross, c, p, weights, bend, border)
    unknowns = out.shape[0] * out.shape[1]
    return 2 * out.reshape(unknowns, unknowns, *weights.shape[2:])


def _border(
    inner: CentredFirst,
    residual: Float[Array, "n d o *runs"],
    weights: Float[Array, "n d *runs"],
    readout: Float[Array, "n o *runs"],
) -> Border:
    """Half the derivatives by the readout; `residual` is what the target adds to those of a neuron
    by itself.
    """
    n, o, *runs = readout.shape
    one = [1] * len(runs)
    itself = jnp.eye(n, dtype=weights.dtype).reshape(n, 1, n, 1, *one)
    slope = (
        inner.own[:, None] * weights[:, :, None]
        + inner.other[:, None] * jnp.swapaxes(weights, 0, 1)[None]
    )
    mine = apply(inner.own, readout)[:, None] * weights[:, :, None]
    mine += mixed(inner.other, readout, weights) - residual
    upper = slope[:, :, :, None] * readout[:, None, None] + itself * mine[:, :, None]
    each = jnp.eye(o, dtype=weights.dtype).reshape(1, o, 1, o, *one)
    lower = jnp.moveaxis(upper, (0, 1, 2, 3), (2, 3, 0, 1))
    return Border(upper, lower, inner.value[:, None, :, None] * each)
