"""Sums over all pairs of two families of neurons, with or without a trailing axis of runs.

With that axis a processor's vectors run along it, and everything is sums of products; without it,
the same lines are products of matrices.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractActivation
from jaxcompress.kernels.internal import AbstractCentred, CentredSecond, centred


class Pairs(eqx.Module):
    """All pairs of two families: `s (n, 1, *runs)`, `t (1, m, *runs)`, `q (n, m, *runs)`."""

    s: Array
    t: Array
    q: Array


def pairs(x: Float[Array, "n d *runs"], y: Float[Array, "m d *runs"] | None) -> Pairs:
    """Measure all pairs; `None` for a family with itself, whose own products are then exactly its
    squares.
    """
    s = jnp.sum(x * x, 1)
    if y is not None:
        return Pairs(s[:, None], jnp.sum(y * y, 1)[None], table(x, y))
    itself = jnp.eye(x.shape[0], dtype=bool).reshape(x.shape[0], x.shape[0], *([1] * (x.ndim - 2)))
    return Pairs(s[:, None], s[None], jnp.where(itself, s[:, None], table(x, x)))


def table(x: Array, y: Array) -> Array:
    """`x_i·y_j`."""
    return x @ y.T if x.ndim == 2 else jnp.sum(x[:, None] * y[None], 2)


def apply(c: Array, y: Array) -> Array:
    """`Σ_j c_ij y_j`."""
    return c @ y if c.ndim == 2 else jnp.sum(c[:, :, None] * y[None], 1)


def formulas(f: AbstractActivation, g: AbstractActivation) -> AbstractCentred:
    """The short formulas of a pair that is known to have them."""
    found = centred(f, g)
    assert found is not None  # callers have asked `serves` before
    return found


def across(pair: Pairs, x: Array, y: Array, f: AbstractActivation) -> Float[Array, "n m d *runs"]:
    """`p_ij = y_j − (q_ij/s̃_i) x_i`."""
    s = pair.s + formulas(f, f).smoothing
    return y[None] - (pair.q / jnp.where(s > 0, s, 1))[:, :, None] * x[:, None]


def mixed(c: Array, readout: Array, y: Array) -> Float[Array, "n d o *runs"]:
    """`Σ_j c_ij y_j readout_jᵀ`."""
    if c.ndim == 2:
        return jnp.einsum("ij,jd,jo->ido", c, y, readout)
    return jnp.sum(c[:, :, None, None] * y[None, :, :, None] * readout[None, :, None], 1)


def summed(second: CentredSecond, c: Array, p: Array, x: Array) -> Float[Array, "n d d *runs"]:
    """`Σ_j c_ij E[q xxᵀ]_ij`."""
    d = x.shape[1]
    eye = jnp.eye(d, dtype=x.dtype).reshape(1, d, d, *([1] * (x.ndim - 2)))
    identity, ww = jnp.sum(c * second.identity, 1), jnp.sum(c * second.ww, 1)
    mixed_sum = jnp.sum((c * second.pw)[:, :, None] * p, 1)
    weighted = (c * second.pp)[:, :, None] * p
    if c.ndim == 2:
        square = jnp.einsum("ijd,ije->ide", weighted, p)
    else:
        square = jnp.sum(weighted[:, :, :, None] * p[:, :, None], 1)
    square += mixed_sum[:, :, None] * x[:, None] + x[:, :, None] * mixed_sum[:, None]
    return square + ww[:, None, None] * x[:, :, None] * x[:, None] + identity[:, None, None] * eye


class Border(NamedTuple):
    """What belongs to the readout in a Hessian: `upper (n, d, n, o, *runs)`, derivatives by weights
    and readout; `lower (n, o, n, d, *runs)`, the same transposed; `corner (n, o, n, o, *runs)`.
    """

    upper: Array
    lower: Array
    corner: Array


def blocks(
    second: CentredSecond,
    c: Array,
    p: Array,
    x: Array,
    diagonal: Float[Array, "n d d *runs"],
    border: Border | None,
) -> Float[Array, "n e n e *runs"]:
    """`c_il E[q xxᵀ]_il` for every pair, with `diagonal_i` besides where `i = l` and the border,
    `e = d + o`; without a border `e = d`.
    """
    n, d = x.shape[:2]
    itself = jnp.eye(n, dtype=x.dtype)
    eye = jnp.eye(d, dtype=x.dtype)
    if c.ndim == 2:
        # Row by row, for XLA would compute what a pair needs anew in each of its d² entries: 1.6 ms
        # a Hessian instead of 0.3 for ReLU, n = k = d = 20, and 6.5 instead of 5 for erf, n = 25,
        # k = 50, d = 51.
        identity, pp, pw, ww = ((c * part)[:, :, None] for part in second)
        by_p, by_x = pp * p + pw * x[:, None], pw * p + ww * x[:, None]
        inner = identity, p, by_p, x, by_x, itself, diagonal
        rows = jax.lax.map(lambda row: _row(eye, *row), inner)
        return _bordered(rows, border, 1)
    one = [1] * (x.ndim - 2)
    identity, pp, pw, ww = ((c * part)[:, None, :, None] for part in second)
    left, right = jnp.swapaxes(p, 1, 2)[:, :, :, None], p[:, None]
    x_left, x_right = x[:, :, None, None], x[:, None, None]
    spread = identity * eye.reshape(1, d, 1, d, *one) + left * (pp * right + pw * x_right)
    spread += x_left * (pw * right + ww * x_right)
    spread += itself.reshape(n, 1, n, 1, *one) * diagonal[:, :, None]
    return _bordered(spread, border, 1)


def _row(eye, identity, p, by_p, x, by_x, itself, diagonal) -> Float[Array, "d n d"]:
    """The blocks of one neuron with all: arguments as in `blocks`, without their first axis."""
    out = eye[:, None] * identity[None] + p.T[:, :, None] * by_p[None]
    return out + x[:, None, None] * by_x[None] + itself[None, :, None] * diagonal[:, None]


def _bordered(inner: Array, border: Border | None, axis: int) -> Array:
    """Blocks with their border; `axis` is that of the rows within a block."""
    if border is None:
        return inner
    upper = jnp.concatenate([inner, border.upper], axis + 2)
    lower = jnp.concatenate([border.lower, border.corner], axis + 2)
    return jnp.concatenate([upper, lower], axis)
