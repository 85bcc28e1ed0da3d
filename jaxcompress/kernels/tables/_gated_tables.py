"""Tables of gated neurons, `E[φ(G_i) U_i ψ(H_j) V_j]`, made of tables of derivatives.

Letters: gates `G = g·z + μ`, `H = h·z + ν`, factors `U = u·z + m`, `V = v·z + n` of standard
normal `z`; `T_ab = E[φ⁽ᵃ⁾(G) ψ⁽ᵇ⁾(H)]`. By Stein's lemma every factor `z` is a derivative of what
is beside it:

- `E[φψ U] = m T_00 + u·g T_10 + u·h T_01`;
- `E[φψ U V] = (mn + u·v) T_00 + (m v·g + n u·g) T_10 + (m v·h + n u·h) T_01 + u·g v·g T_20 + (u·g
  v·h + u·h v·g) T_11 + u·h v·h T_02`.

Where both activations have sharp kinks, `_gated_kinks` serves. Reference: Stein 1981, lemma 2.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels.activations._activation import AbstractActivation, Sum, summands_of
from jaxcompress.kernels.moments._static_zeros import Number, plus, times
from jaxcompress.kernels.tables._blocks import in_blocks
from jaxcompress.kernels.tables._completed import is_mixed
from jaxcompress.kernels.tables._correlations import product
from jaxcompress.kernels.tables._derivative_tables import derivative_tables, sharp
from jaxcompress.kernels.tables._gated_kinks import table_of_kinks
from jaxcompress.kernels.tables._neurons import Neurons

# Numbers in one block of rows: so many tables of derivatives, or components of difference vectors,
# are there for every pair. 128 MiB in float64.
_BLOCK, _TABLES = 2**24, 32


@eqx.filter_jit
def gated_table(
    f: AbstractActivation,
    g: AbstractActivation,
    x: Neurons,
    y: Neurons,
    itself: bool = False,
) -> Float[Array, "n k"]:
    """The table of two families, in blocks of rows whose memory is given back; `itself` where the
    first family, of one activation with the second, is what that begins with.
    """
    parts = [(p * q, a, b) for p, a in summands_of(f) for q, b in summands_of(g)]
    if len(parts) > 1 and any(_of_kinds(each) for each in (f, g)):
        each = [factor * gated_table(a, b, x, y, itself and bool(a == b)) for factor, a, b in parts]
        return sum(each[1:], each[0])
    k, d = y.gates.shape
    rows = max(1, _BLOCK // max(1, k * max(d, _TABLES)))
    own = itself and x.gates.shape[0] <= rows
    if sharp(f) and sharp(g):
        return in_blocks(lambda some: table_of_kinks(f, g, some, y), x, rows)
    return in_blocks(lambda some: _of_derivatives(f, g, some, y, own), x, rows)


def _of_kinds(f: AbstractActivation) -> bool:
    """Whether an activation is a sum of parts that different formulas serve."""
    return isinstance(f, Sum) or (sharp(f) and is_mixed(f))


class _Factor(NamedTuple):
    """The factors of a family beside pairs of gates: their means, and their covariances with the
    gates of the first and of the second neuron.
    """

    mean: Number
    first: Float[Array, "..."]
    second: Float[Array, "..."]


def _of_derivatives(f, g, x: Neurons, y: Neurons, itself: bool) -> Float[Array, "n k"]:
    """From the tables of derivatives, all of them in one evaluation."""
    most = (x.weights is not None) + (y.weights is not None)
    orders = tuple((a, b) for total in range(most + 1) for a, b in _shared(total))
    some = derivative_tables(f, g, orders, itself, x.gates, x.gate_mean, y.gates, y.gate_mean)
    t = dict(zip(orders, some, strict=True))
    factors = []
    if x.weights is not None:
        own = jnp.sum(x.weights * x.gates, 1)[:, None]
        mean = 0.0 if x.mean is None else x.mean[:, None]
        factors.append(_Factor(mean, own, product(x.weights, y.gates.T)))
    if y.weights is not None:
        own = jnp.sum(y.weights * y.gates, 1)[None]
        mean = 0.0 if y.mean is None else y.mean[None]
        factors.append(_Factor(mean, product(x.gates, y.weights.T), own))
    if not factors:
        return t[0, 0]
    u = factors[0]
    if len(factors) == 1:
        return _sum((u.mean, t[0, 0]), (u.first, t[1, 0]), (u.second, t[0, 1]))
    v = factors[1]
    assert x.weights is not None
    assert y.weights is not None
    return _sum(
        (product(x.weights, y.weights.T), t[0, 0]),
        (u.mean, v.mean, t[0, 0]),
        (u.mean, v.first, t[1, 0]),
        (v.mean, u.first, t[1, 0]),
        (u.mean, v.second, t[0, 1]),
        (v.mean, u.second, t[0, 1]),
        (u.first, v.first, t[2, 0]),
        (u.first, v.second, t[1, 1]),
        (u.second, v.first, t[1, 1]),
        (u.second, v.second, t[0, 2]),
    )


def _sum(*products: tuple[Number, ...]) -> Array:
    """The sum of products, without those that are zero at trace time."""
    return jnp.asarray(plus(*(times(*factors) for factors in products)))


def _shared(total: int) -> list[tuple[int, int]]:
    """The pairs of orders with this sum."""
    return [(total - b, b) for b in range(total + 1)]
