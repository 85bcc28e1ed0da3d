"""The population risk for many students at once, along the last axis: what batched solvers evaluate in their loops.

For one output or several, without biases, standard normal inputs and pairs of activations that have short formulas
(`kernels.centred`). Arrays may carry one trailing axis `runs`: then a processor's vectors run along it, and everything
is sums of products; without it, the same lines are products of matrices.

Letters as in `_population`; the unknowns of neuron `i` are `θ_i = (w_i, a_i)`, one neuron after another.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractActivation, AbstractCentred, CentredSecond, centred


class CentredTarget(eqx.Module):
    """A target's weights `(k, d, *runs)`, readout `(k, o, *runs)`, energy and its magnitude `(*runs)`."""

    weights: Float[Array, "k d *runs"]
    readout: Float[Array, "k o *runs"]
    energy: Float[Array, "*runs"]
    magnitude: Float[Array, "*runs"]


class Pairs(eqx.Module):
    """All pairs of two families: `s (n, 1, *runs)`, `t (1, m, *runs)`, `q (n, m, *runs)`."""

    s: Array
    t: Array
    q: Array


def pairs(x: Float[Array, "n d *runs"], y: Float[Array, "m d *runs"] | None) -> Pairs:
    """Measure all pairs; `None` for a family with itself, whose own products are then exactly its squares."""
    s = jnp.sum(x * x, 1)
    if y is not None:
        return Pairs(s[:, None], jnp.sum(y * y, 1)[None], _table(x, y))
    itself = jnp.eye(x.shape[0], dtype=bool).reshape(x.shape[0], x.shape[0], *([1] * (x.ndim - 2)))
    return Pairs(s[:, None], s[None], jnp.where(itself, s[:, None], _table(x, x)))


def _table(x: Array, y: Array) -> Array:
    """`x_i·y_j`."""
    return x @ y.T if x.ndim == 2 else jnp.sum(x[:, None] * y[None], 2)


def _apply(c: Array, y: Array) -> Array:
    """`Σ_j c_ij y_j`."""
    return c @ y if c.ndim == 2 else jnp.sum(c[:, :, None] * y[None], 1)


def centred_risk(
    f: AbstractActivation,
    g: AbstractActivation,
    target: CentredTarget,
    weights: Float[Array, "n d *runs"],
    readout: Float[Array, "n o *runs"],
):
    """Risk and its magnitude `(*runs)`, and its gradient by weights and readout; what is not used is not computed."""
    own, cross = pairs(weights, None), pairs(weights, target.weights)
    inner, outer = _formulas(f, f).first(own.s, own.t, own.q), _formulas(f, g).first(cross.s, cross.t, cross.q)
    c, b = _table(readout, readout), _table(readout, target.readout)
    along = jnp.sum(c * inner.own, 1) - jnp.sum(b * outer.own, 1)
    by_weights = along[:, None] * weights + _apply(c * inner.other, weights) - _apply(b * outer.other, target.weights)
    mixed, wanted = _apply(inner.value, readout), _apply(outer.value, target.readout)
    value = jnp.sum(readout * (mixed - 2 * wanted), (0, 1)) + target.energy
    size_x, size_y = jnp.abs(readout), jnp.abs(target.readout)
    sizes = jnp.sum(_table(size_x, size_x) * jnp.abs(inner.value), (0, 1))
    sizes += 2 * jnp.sum(_table(size_x, size_y) * jnp.abs(outer.value), (0, 1))
    return value, sizes + target.magnitude, 2 * by_weights, 2 * (mixed - wanted)


def _formulas(f: AbstractActivation, g: AbstractActivation) -> AbstractCentred:
    found = centred(f, g)
    assert found is not None  # whoever comes here has asked
    return found


def centred_hessian(
    f: AbstractActivation,
    g: AbstractActivation,
    target: CentredTarget,
    weights: Float[Array, "n d *runs"],
    readout: Float[Array, "n o *runs"],
    move_readout: bool,
) -> Float[Array, "P P *runs"]:
    """The Hessian in `(w_1, a_1, w_2, a_2, …)`, or in `(w_1, w_2, …)` where the readout stays."""
    own, cross = pairs(weights, None), pairs(weights, target.weights)
    c, b = _table(readout, readout), _table(readout, target.readout)
    in_p, out_p = _across(own, weights, weights, f), _across(cross, weights, target.weights, f)
    in_bend, in_cross = _formulas(f, f).second(own.s, own.t, own.q, jnp.sum(in_p * in_p, 2))
    out_bend, _ = _formulas(f, g).second(cross.s, cross.t, cross.q, jnp.sum(out_p * out_p, 2))
    bend = _summed(in_bend, c, in_p, weights) - _summed(out_bend, b, out_p, weights)
    n, d = weights.shape[:2]
    runs = weights.shape[2:]
    one = [1] * len(runs)
    itself = jnp.eye(n, dtype=weights.dtype).reshape(n, 1, n, 1, *one)
    blocks = _blocks(in_cross, c, in_p, weights) + itself * bend[:, :, None]
    if not move_readout:
        return 2 * blocks.reshape(n * d, n * d, *runs)
    o = readout.shape[1]
    inner, outer = _formulas(f, f).first(own.s, own.t, own.q), _formulas(f, g).first(cross.s, cross.t, cross.q)
    slope = inner.own[:, None] * weights[:, :, None] + inner.other[:, None] * jnp.swapaxes(weights, 0, 1)[None]
    along = _apply(inner.own, readout) - _apply(outer.own, target.readout)
    residual = along[:, None] * weights[:, :, None]
    residual += _mixed(inner.other, readout, weights) - _mixed(outer.other, target.readout, target.weights)
    mixed = slope[:, :, :, None] * readout[:, None, None] + itself * residual[:, :, None]
    each = jnp.eye(o, dtype=weights.dtype).reshape(1, o, 1, o, *one)
    corner = inner.value[:, None, :, None] * each
    upper = jnp.concatenate([blocks, mixed], 3)
    lower = jnp.concatenate([jnp.moveaxis(mixed, (0, 1, 2, 3), (2, 3, 0, 1)), corner], 3)
    return 2 * jnp.concatenate([upper, lower], 1).reshape(n * (d + o), n * (d + o), *runs)


def _across(pair: Pairs, x: Array, y: Array, f: AbstractActivation) -> Float[Array, "n m d *runs"]:
    """`p_ij = y_j − (q_ij/s̃_i) x_i`."""
    s = pair.s + _formulas(f, f).smoothing
    return y[None] - (pair.q / jnp.where(s > 0, s, 1))[:, :, None] * x[:, None]


def _mixed(c: Array, readout: Array, y: Array) -> Float[Array, "n d o *runs"]:
    """`Σ_j c_ij y_j readout_jᵀ`."""
    if c.ndim == 2:
        return jnp.einsum("ij,jd,jo->ido", c, y, readout)
    return jnp.sum(c[:, :, None, None] * y[None, :, :, None] * readout[None, :, None], 1)


def _summed(second: CentredSecond, c: Array, p: Array, x: Array) -> Float[Array, "n d d *runs"]:
    """`Σ_j c_ij E[q xxᵀ]_ij`."""
    d = x.shape[1]
    eye = jnp.eye(d, dtype=x.dtype).reshape(1, d, d, *([1] * (x.ndim - 2)))
    identity, ww = jnp.sum(c * second.identity, 1), jnp.sum(c * second.ww, 1)
    lean = jnp.sum((c * second.pw)[:, :, None] * p, 1)
    weighted = (c * second.pp)[:, :, None] * p
    if c.ndim == 2:
        square = jnp.einsum("ijd,ije->ide", weighted, p)
    else:
        square = jnp.sum(weighted[:, :, :, None] * p[:, :, None], 1)
    square += lean[:, :, None] * x[:, None] + x[:, :, None] * lean[:, None]
    return square + ww[:, None, None] * x[:, :, None] * x[:, None] + identity[:, None, None] * eye


def _blocks(second: CentredSecond, c: Array, p: Array, x: Array) -> Float[Array, "n d n d *runs"]:
    """`c_il E[q xxᵀ]_il` for every pair."""
    d = x.shape[1]
    eye = jnp.eye(d, dtype=x.dtype).reshape(1, d, 1, d, *([1] * (x.ndim - 2)))
    identity, pp, pw, ww = ((c * part)[:, None, :, None] for part in second)
    left, right = jnp.swapaxes(p, 1, 2)[:, :, :, None], p[:, None]
    x_left, x_right = x[:, :, None, None], x[:, None, None]
    return identity * eye + left * (pp * right + pw * x_right) + x_left * (pw * right + ww * x_right)
