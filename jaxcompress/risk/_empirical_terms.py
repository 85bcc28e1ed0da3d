"""Residuals of the empirical risk `mean_s ‖f(x_s) − y_s‖²` and the blocks of its Hessian.

Letters: `h = φ(z)`, `h′`, `h″` of the pre-activations `z (samples, n)`; `x̄ = (x, 1)`; `r = f(x) −
y` the residuals; means are over samples. The Hessian is the Gauss–Newton matrix and the terms of
the residuals, all of it products of matrices:

- own `(i, i)`: `2 E[(r·a_i) h″_i x̄x̄ᵀ]`, cross `(i, j)`: `2 a_i·a_j E[h′_i h′_j x̄x̄ᵀ]`;
- `(θ_i, a_l)`: `2 a_i E[h′_i h_l x̄]`, and for `l = i` also `2 E[r h′_i x̄]`; `(a_i, a_j)`: `2
  E[h_i h_j]`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.kernels.internal import second_derivative
from jaxcompress.networks import TwoLayer
from jaxcompress.networks.internal import offset_of
from jaxcompress.risk._assembly import Blocks, WithOne

# Numbers in the slopes `h′ x̄` of the samples that a Hessian takes at a time: 128 MiB in float64.
_BLOCK = 2**24


class _Sums(NamedTuple):
    """The means of the module's formulas over some samples."""

    cross: Float[Array, "n p n p"]
    own: Float[Array, "n p p"]
    mixed: Float[Array, "n p n"]
    residual: Float[Array, "n p o"]
    outer: Float[Array, "n n"]
    one: WithOne


def residuals(
    student: TwoLayer, x: Float[Array, "samples d"], y: Float[Array, "samples o"]
) -> tuple[Float[Array, "samples o"], Float[Array, "samples o"]]:
    """Residuals and the sums of the absolute values of their terms, those inside the activations
    too.
    """
    z = preactivations(student, x)
    a = student.readout_matrix
    hidden = student.activation(z)
    inside = jnp.abs(x) @ jnp.abs(student.weights).T
    if student.bias is not None:
        inside = inside + jnp.abs(student.bias)[None]
    moved = jnp.abs(hidden) + jnp.abs(student.activation.derivative(z)) * inside
    out = hidden @ a - y
    size = moved @ jnp.abs(a) + jnp.abs(y)
    offset = offset_of(student)
    return (out, size) if offset is None else (out + offset[None], size + jnp.abs(offset)[None])


def preactivations(student: TwoLayer, x: Float[Array, "samples d"]) -> Float[Array, "samples n"]:
    """`w_i·x + bias_i`."""
    z = x @ student.weights.T
    return z if student.bias is None else z + student.bias[None]


def empirical_blocks(
    student: TwoLayer, x: Float[Array, "samples d"], y: Float[Array, "samples o"]
) -> Blocks:
    """The blocks on `x̄`, summed over as many samples at a time as memory allows."""
    count, n, p = x.shape[0], student.width, student.dim + 1
    size = min(count, max(1, _BLOCK // (n * p)))
    pieces = -(-count // size)
    short = pieces * size - count

    def cut(leaf: Array) -> Array:
        padded = (
            jnp.concatenate([leaf, jnp.zeros((short, *leaf.shape[1:]), leaf.dtype)])
            if short
            else leaf
        )
        return padded.reshape(pieces, size, *leaf.shape[1:])

    weight = jnp.full(count, 1 / count, x.dtype)
    everything = jax.tree.map(cut, (x, y, weight))
    if pieces == 1:
        sums = _sums(student, *jax.tree.map(lambda leaf: leaf[0], everything))
    else:
        parts = jax.eval_shape(
            lambda: _sums(student, *jax.tree.map(lambda leaf: leaf[0], everything))
        )
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), parts)
        add = lambda total, rows: (jax.tree.map(jnp.add, total, _sums(student, *rows)), None)  # noqa: E731
        sums, _ = jax.lax.scan(add, zeros, everything)
    a, diagonal = student.readout_matrix, np.arange(n)
    inner = 2 * (a @ a.T)[:, None, :, None] * sums.cross
    inner = inner.at[diagonal, :, diagonal, :].add(2 * sums.own)
    mixed = 2 * a[:, None, None, :] * sums.mixed[..., None]
    mixed = mixed.at[diagonal, :, diagonal, :].add(2 * sums.residual)
    return Blocks(inner, 2 * sums.outer, mixed, sums.one)


def _sums(student: TwoLayer, x: Array, y: Array, weight: Array) -> _Sums:
    """The sums over some samples, each with its weight."""
    n, p, a, f = student.width, student.dim + 1, student.readout_matrix, student.activation
    lifted = jnp.concatenate([x, jnp.ones_like(x[:, :1])], axis=1)
    z = preactivations(student, x)
    hidden, offset = f(z), offset_of(student)
    r = hidden @ a - y + (0 if offset is None else offset[None])
    slopes = (f.derivative(z)[:, :, None] * lifted[:, None]).reshape(-1, n * p)
    weighted = weight[:, None] * slopes
    bent = (
        (weight[:, None] * (r @ a.T) * second_derivative(f, z))[:, :, None] * lifted[:, None]
    ).reshape(-1, n * p)
    light = weight[:, None] * hidden
    return _Sums(
        cross=(slopes.T @ weighted).reshape(n, p, n, p),
        own=(bent.T @ lifted).reshape(n, p, p),
        mixed=(slopes.T @ light).reshape(n, p, n),
        residual=(weighted.T @ r).reshape(n, p, -1),
        outer=hidden.T @ light,
        one=WithOne(jnp.sum(weighted, 0).reshape(n, p), jnp.sum(light, 0)),
    )
