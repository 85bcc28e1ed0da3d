"""Tables of derivatives, `T_ab = E[f⁽ᵃ⁾(X_i) g⁽ᵇ⁾(Y_j)]`, several orders at once.

Price's theorem: for `X = w·z + μ`, `Y = v·z + ν` the derivative of `T_ab` is `T_{a+2,b} w·dw +
T_{a+1,b+1} (v·dw + w·dv) + T_{a,b+2} v·dv + T_{a+1,b} dμ + T_{a,b+1} dν`: such tables again, to any
order, all of which one call evaluates.
"""

import functools

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from jaxcompress.kernels.activations._activation import AbstractActivation
from jaxcompress.kernels.moments._frames import frames
from jaxcompress.kernels.moments._moments import Part
from jaxcompress.kernels.moments._selection import formulas
from jaxcompress.kernels.tables._completed import serves, tables
from jaxcompress.kernels.tables._correlations import product

Orders = tuple[tuple[int, int], ...]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2, 3))
def derivative_tables(
    f,
    g,
    orders: Orders,
    itself: bool,
    weights_x: Float[Array, "n d"],
    mean_x: Float[Array, " n"] | None,
    weights_y: Float[Array, "k d"],
    mean_y: Float[Array, " k"] | None,
) -> Float[Array, "orders n k"]:
    """`T_ab` for every pair of orders: by series where these serve, by the exact formulas
    elsewhere; `itself` where the first family is what the second begins with.

    Not for two activations with sharp kinks, whose `T_22` is infinite where neurons coincide.
    """
    families = weights_x, mean_x, weights_y, mean_y
    (n, d), k = weights_x.shape, weights_y.shape[0]
    if serves(f, g, n, k, d):
        return tables(f, g, *families, orders, itself)
    plane = frames(*families).plane
    parts = tuple(Part(pair, ((0, 0),)) for pair in orders)
    moments = formulas(f, g).expect(plane, parts)
    return jnp.stack([jnp.broadcast_to(moment, (n, k)) for (moment,) in moments])


def sharp(f: AbstractActivation) -> bool:
    """Whether an activation has a kink or a jump that nothing smooths."""
    return any(term.kink is not None and min(term.mixture.widths) == 0 for term in f.terms or ())


def _jvp(f, g, orders, itself, primals, tangents):
    changes = _changes(primals, tangents)
    raised = [(a + p, b + q) for a, b in orders for p, q in changes]
    every = tuple(dict.fromkeys((*orders, *raised)))
    some = derivative_tables(f, g, every, itself, *primals)
    known = dict(zip(every, some, strict=True))
    moved = [
        sum(known[a + p, b + q] * change for (p, q), change in changes.items()) for a, b in orders
    ]
    return some[: len(orders)], jnp.stack(moved)


def _changes(primals, tangents) -> dict[tuple[int, int], Array]:
    """By how much the orders rise, and what the tables of risen orders are multiplied by."""
    weights_x, _, weights_y, _ = primals
    by_x, by_mean_x, by_y, by_mean_y = (None if _is_zero(each) else each for each in tangents)
    changes: dict[tuple[int, int], Array] = {}
    if by_x is not None:
        changes[2, 0] = jnp.sum(weights_x * by_x, 1)[:, None]
        changes[1, 1] = product(by_x, weights_y.T)
    if by_y is not None:
        changes[0, 2] = jnp.sum(weights_y * by_y, 1)[None]
        both = product(weights_x, by_y.T)
        changes[1, 1] = changes[1, 1] + both if by_x is not None else both
    if by_mean_x is not None:
        changes[1, 0] = by_mean_x[:, None]
    if by_mean_y is not None:
        changes[0, 1] = by_mean_y[None]
    return changes


def _is_zero(tangent) -> bool:
    return tangent is None or isinstance(tangent, SymbolicZero)


derivative_tables.defjvp(_jvp, symbolic_zeros=True)
