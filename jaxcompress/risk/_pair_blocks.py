"""What pairs of neurons contribute to a Hessian: from their own frames, or by series.

Letters as in `_curvature`. With the tables `T_ab = E[f⁽ᵃ⁾(X_i) g⁽ᵇ⁾(Y_j)]` Stein's lemma gives

`E[f′g x] = T_20 w + T_11 v`, `E[f″g xxᵀ] = T_20 I + T_40 wwᵀ + T_31 (wvᵀ + vwᵀ) + T_22 vvᵀ`,
`E[f′g′ xxᵀ] = T_11 I + T_31 wwᵀ + T_22 (wvᵀ + vwᵀ) + T_13 vvᵀ`,

so that sums over a target are products of matrices. Pairs whose series do not end enter with their
own frames, in which nothing is infinite where kinks coincide.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels.internal import (
    GRADIENT,
    HESSIAN_ORDERS,
    MIXED_DERIVATIVE,
    SECOND_DERIVATIVE,
    VALUE,
    First,
    Frames,
    Second,
    for_open,
    formulas,
    one_pair,
    open_tables,
)
from jaxcompress.networks.internal import Layer
from jaxcompress.risk._meetings import Met, by_series, look


class PairBlocks(NamedTuple):
    """`E f g`; `Σ_j c_ij E[f″g x̄x̄ᵀ]`; `Σ_j r_jo E[f′g x̄]`; of the pairs within the layer, and
    of those with the last neuron, `E[f′g x̄]`; within it also `E[f′f′ x̄x̄ᵀ]`.
    """

    table: Float[Array, "n m"]
    bend: Float[Array, "n r1 r1"]
    residual: Float[Array, "n r1 o"]
    slopes: Float[Array, "n s r1"]
    last: Float[Array, "n r1"]
    inner: Float[Array, "n s r1 r1"]


def pair_blocks(x: Layer, some: Met, c: Float[Array, "n m"]) -> PairBlocks:
    """The contributions of a layer's neurons with what it meets, `c` their products of readouts."""
    return _by_series(x, some, c) if by_series(x, some) else _by_frames(x, some, c)


def _by_frames(x: Layer, some: Met, c: Array) -> PairBlocks:
    dim, right, n = x.weights.shape[1], some.layer.readout, some.itself
    parts = (VALUE, GRADIENT, SECOND_DERIVATIVE, MIXED_DERIVATIVE)
    pairs, ((table,), first, second, *cross) = look(x, some, parts if n else parts[:3])
    slopes = vectors(First(*first), pairs)
    inner = jnp.zeros((len(x.weights), 0, dim + 1, dim + 1), c.dtype)
    if n:
        inner = matrices(Second(*(moment[:, :n] for moment in cross[0])), pairs, dim)
    return PairBlocks(
        table,
        _contract(Second(*second), pairs, c, dim),
        jnp.einsum("ija,jo->iao", slopes, right),
        slopes[:, :n],
        slopes[:, -1],
        inner,
    )


def _by_series(x: Layer, some: Met, c: Array) -> PairBlocks:
    y, n = some.layer, some.itself
    w, v, right = x.weights, y.weights, y.readout
    done = open_tables(
        x.activation, y.activation, w, x.mean, v, y.mean, HESSIAN_ORDERS, itself=bool(n)
    )
    # within the layer a pair is open both ways: its tables stand for those of the other order too
    is_open = done.open.at[:, :n].set(done.open[:, :n] | done.open[:, :n].T) if n else done.open
    closed = jnp.where(is_open[None], 0, done.tables)
    sums = PairBlocks(
        closed[0],
        _bend(closed, w, v, c),
        _residual(closed, w, v, right),
        *_within(closed, w, v, n),
    )
    return for_open(_exactly(x, some, c), sums, is_open, (w, x.mean), (v, y.mean))


def _bend(tables: Array, w: Array, v: Array, c: Array) -> Float[Array, "n r1 r1"]:
    """`Σ_j c_ij E[f″g x̄x̄ᵀ]`."""
    _, _, t20, _, t30, t21, t40, t31, t22 = tables
    mean = jnp.sum(c * t20, 1)
    mixed = w[:, :, None] * ((c * t31) @ v)[:, None]
    out = mean[:, None, None] * jnp.eye(w.shape[1], dtype=w.dtype)[None]
    out += mixed + jnp.swapaxes(mixed, 1, 2)
    out += jnp.sum(c * t40, 1)[:, None, None] * w[:, :, None] * w[:, None]
    out += jnp.einsum("ij,jd,je->ide", c * t22, v, v)
    edge = jnp.sum(c * t30, 1)[:, None] * w + (c * t21) @ v
    return _bordered(out, edge, mean)


def _residual(tables: Array, w: Array, v: Array, right: Array) -> Float[Array, "n r1 o"]:
    """`Σ_j r_jo E[f′g x̄]`."""
    _, t10, t20, t11, *_ = tables
    out = w[:, :, None] * (t20 @ right)[:, None] + jnp.einsum("ij,jo,jd->ido", t11, right, v)
    return jnp.concatenate([out, (t10 @ right)[:, None]], axis=1)


def _within(tables: Array, w: Array, v: Array, n: int) -> tuple[Array, Array, Array]:
    """`E[f′g x̄]` within the layer and with the last neuron, `E[f′f′ x̄x̄ᵀ]` within it, where the
    tables of the second neuron are those of the first, turned.
    """
    _, t10, t20, t11, _, t21, _, t31, t22 = tables
    u, dim = v[:n], w.shape[1]
    slopes = t20[:, :n, None] * w[:, None] + t11[:, :n, None] * u[None]
    slopes = jnp.concatenate([slopes, t10[:, :n, None]], axis=-1)
    last = t20[:, -1:] * w + t11[:, -1:] * v[-1:]
    last = jnp.concatenate([last, t10[:, -1:]], axis=-1)
    if not n:
        return slopes, last, jnp.zeros((len(w), 0, dim + 1, dim + 1), w.dtype)
    ww = w[:, None, :, None] * w[:, None, None]
    uu = u[None, :, :, None] * u[None, :, None]
    wu = w[:, None, :, None] * u[None, :, None]
    t13, t12 = t31[:, :n].T[..., None, None], t21[:, :n].T[..., None]
    square = t11[:, :n, None, None] * jnp.eye(dim, dtype=w.dtype)[None, None]
    square += t31[:, :n, None, None] * ww + t13 * uu
    square += t22[:, :n, None, None] * (wu + jnp.swapaxes(wu, 2, 3))
    side = t21[:, :n, None] * w[:, None] + t12 * u[None]
    return slopes, last, _bordered(square, side, t11[:, :n])


def _exactly(x: Layer, some: Met, c: Array):
    """What puts open pairs into their places, from their own frames."""
    y, n, dim = some.layer, some.itself, x.weights.shape[1]
    moments = formulas(x.activation, y.activation)
    final = y.weights.shape[0] - 1

    def of_pair(w, mean_x, v, mean_y):
        pair = one_pair(w, mean_x, v, mean_y)
        parts = (VALUE, GRADIENT, SECOND_DERIVATIVE, MIXED_DERIVATIVE)
        found = moments.expect(pair.plane, parts if n else parts[:3])
        shape = pair.plane.cos.shape
        (table,), first, second, *cross = (
            tuple(jnp.broadcast_to(moment, shape) for moment in each) for each in found
        )
        bend = matrices(Second(*second), pair, dim)[0, 0]
        inner = matrices(Second(*cross[0]), pair, dim)[0, 0] if n else None
        return table[0, 0], vectors(First(*first), pair)[0, 0], bend, inner

    def put(sums: PairBlocks, pairs, rows, columns) -> PairBlocks:
        table, slopes, bend, inner = jax.vmap(of_pair)(*pairs)
        inside = jnp.minimum(rows, len(x.weights) - 1)
        residual = slopes[:, :, None] * y.readout[columns][:, None]
        ends = jnp.where(columns == final, rows, len(x.weights))
        within = jnp.where(columns < n, rows, len(x.weights))
        return PairBlocks(
            sums.table.at[rows, columns].set(table, mode="drop"),
            sums.bend.at[rows].add(c[inside, columns][:, None, None] * bend, mode="drop"),
            sums.residual.at[rows].add(residual, mode="drop"),
            sums.slopes.at[within, columns].set(slopes, mode="drop"),
            sums.last.at[ends].set(slopes, mode="drop"),
            sums.inner.at[within, columns].set(inner, mode="drop") if n else sums.inner,
        )

    return put


def vectors(first: First, pairs: Frames) -> Float[Array, "n m r1"]:
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


def matrices(second: Second, pairs: Frames, dim: int) -> Float[Array, "n k r1 r1"]:
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
    return _bordered(out, a * along + c * across, m[..., 0])


def _bordered(block: Array, edge: Array, corner: Array) -> Array:
    """Append the row and column of the mean."""
    top = jnp.concatenate([block, edge[..., None]], axis=-1)
    bottom = jnp.concatenate([edge, corner[..., None]], axis=-1)
    return jnp.concatenate([top, bottom[..., None, :]], axis=-2)
