"""Tables by series, and by the exact formulas at the few pairs where a series does not end.

Coincident neurons of functions with kinks, and long ones, have spectra that fall slowly. These
pairs are gathered, so many at a time, and go through one evaluation of the exact formulas, as often
as there are such pairs: many cost what they always did, few cost nothing."""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcompress.kernels.activations._activation import AbstractActivation
from jaxcompress.kernels.moments._frames import one_pair
from jaxcompress.kernels.moments._moments import Part
from jaxcompress.kernels.moments._plane import Plane
from jaxcompress.kernels.moments._selection import formulas
from jaxcompress.kernels.tables._diagonal import diagonal, smoothed
from jaxcompress.kernels.tables._series import Limits, Orders, Series, family, series

# What a Hessian is made of; tables of the second neuron are those of the first, turned.
HESSIAN_ORDERS = ((0, 0), (1, 0), (2, 0), (1, 1), (3, 0), (2, 1), (4, 0), (3, 1), (2, 2))

# The most degrees that are summed: what is not done then has norms of some tens.
DEGREES = 512
# What is left of a table relative to √(E f² E g²), in units of the roundoff, where it is a value,
# and by how much more for one, two and three derivatives by `ρ`.
_TOLERANCE, _DERIVED = 30.0, (1.0, 10.0, 100.0, 3000.0)
# Nanoseconds a pair of the exact formulas over those of sixteen terms of a series (one core): with
# mixtures of widths, without means, and with neither.
_MIXED, _CENTRAL, _PLAIN = 3000.0, 200.0, 25.0
# One evaluation of the exact formulas takes so many pairs, or one in so many where that is more.
_FEWEST, _SHARE, _MOST = 4, 64, 1024


@functools.lru_cache(maxsize=1024)
def is_mixed(f: AbstractActivation) -> bool:
    """Whether an activation has a mixture of many widths, each pair of which has its own exact
    formula.
    """
    return any(len(term.mixture.widths) > 1 for term in f.terms or ())


@functools.lru_cache(maxsize=1024)
def has_series(f: AbstractActivation) -> bool:
    """Whether series serve an activation: it has kinks, sharp or smoothed, and no jump.

    Next to a jump the gradient of coincident neurons is a difference of infinite numbers, which the
    exact formulas take in another frame; powers and waves by themselves have short formulas.
    """
    terms = f.terms or ()
    kinks = [term for term in terms if term.kink is not None]
    smooth = [term for term in terms if term.kink is None]
    jumps = any(term.mixture.sharp and not term.power for term in kinks)
    return bool(kinks) and not jumps and all(term.rate == 0 for term in smooth)


def serves(f: AbstractActivation, g: AbstractActivation, n: int, m: int, dim: int) -> bool:
    """Whether a table is made by series unless somebody asks for something else."""
    if not (has_series(f) and has_series(g)):
        return False
    return is_mixed(f) or is_mixed(g) or (dim >= _WIDE and n * m >= _MANY)


# Kinked functions have long series in few dimensions, where many pairs are almost parallel, and a
# program of their own for series: what is small keeps the exact formulas alone.
_WIDE, _MANY = 24, 512


def tolerance(dtype, orders: Orders) -> float:
    """What is left of tables, relative to `√(E f² E g²)`."""
    steep = max(a + b for a, b in orders)
    return float(jnp.finfo(dtype).eps) * _TOLERANCE * _DERIVED[(steep + 1) // 2]


def tables(
    f: AbstractActivation,
    g: AbstractActivation,
    weights_x: Float[Array, "n d"],
    mean_x: Float[Array, " n"] | None,
    weights_y: Float[Array, "m d"],
    mean_y: Float[Array, " m"] | None,
    orders: Orders,
    itself: bool = False,
) -> Float[Array, "orders n m"]:
    """`E[f⁽ᵃ⁾(X_i) g⁽ᵇ⁾(Y_j)]` for every pair of orders, to the accuracy of the dtype; `itself`
    where the first family is what the second begins with."""
    done = open_tables(f, g, weights_x, mean_x, weights_y, mean_y, orders, itself)
    parts = tuple(Part(pair, ((0, 0),)) for pair in orders)

    def exactly(plane: Plane) -> Array:
        moments = formulas(f, g).expect(plane, parts)
        return jnp.stack([jnp.broadcast_to(moment, plane.cos.shape) for (moment,) in moments])

    def put(sums: Array, pairs: tuple[Array, ...], rows: Array, columns: Array) -> Array:
        exact = jax.vmap(lambda *pair: exactly(one_pair(*pair).plane))(*pairs)[:, :, 0, 0]
        return sums.at[:, rows, columns].set(exact.T, mode="drop")

    return for_open(put, done.tables, done.open, (weights_x, mean_x), (weights_y, mean_y))


def open_tables(f, g, weights_x, mean_x, weights_y, mean_y, orders, itself=False) -> Series:
    """What the series have, and which pairs they leave open."""
    weights_x, mean_x, weights_y, mean_y = _constant((weights_x, mean_x, weights_y, mean_y))
    x, y = family(weights_x, mean_x), family(weights_y, mean_y)
    mixed, central = is_mixed(f) or is_mixed(g), mean_x is None and mean_y is None
    cost = (_CENTRAL if central else _MIXED) if mixed else _PLAIN
    size = x.std.shape[0] * y.std.shape[0]
    limits = Limits(tolerance(x.std.dtype, orders), DEGREES, cost, at_once(size))
    if not (itself and smoothed(f)):
        return series(f, g, x, y, orders, limits, itself)
    exact, left = diagonal(f, x.mean, x.std, orders)
    n, m = x.std.shape[0], y.std.shape[0]
    own = jnp.eye(n, m, dtype=bool) & (left <= limits.tolerance)[:, None]
    done = series(f, g, x, y, orders, limits, itself, own)
    where_own, entries = own[None], jnp.pad(exact, ((0, 0), (0, m - n)))[:, None]
    return done._replace(tables=jnp.where(where_own, entries, done.tables))


@jax.custom_jvp
def _constant(layers):
    """Numbers whose derivatives are stated elsewhere, and are asked for only by mistake."""
    return layers


@_constant.defjvp
def _refuse(primals, tangents):
    del primals, tangents
    raise NotImplementedError(
        "jaxcompress: given tables by series to differentiate beyond their stated derivatives "
        "(third derivatives of a risk, or a Hessian by the target's weights); expected gradients "
        'and Hessians by the student; use gram(..., method="exact") for what is beyond'
    )


def truncated(
    f, g, weights_x, mean_x, weights_y, mean_y, order: tuple[int, int], degrees: int
) -> Float[Array, "n m"]:
    """One table by series alone, of so many degrees unless all pairs are done before."""
    return truncated_series(f, g, weights_x, mean_x, weights_y, mean_y, order, degrees).tables[0]


def truncated_series(f, g, weights_x, mean_x, weights_y, mean_y, order, degrees) -> Series:
    x, y = family(weights_x, mean_x), family(weights_y, mean_y)
    limits = Limits(tolerance(x.std.dtype, (order,)), degrees, math.inf)
    return series(f, g, x, y, (order,), limits)


def at_once(pairs: int) -> int:
    """How many open pairs one evaluation takes."""
    return max(1, min(pairs, max(_FEWEST, min(_MOST, pairs // _SHARE))))


def for_open(put, sums, is_open: Bool[Array, "n m"], x: tuple, y: tuple):
    """`sums = put(sums, pairs, rows, columns)` for so many open pairs at a time, until none is
    left.

    `pairs` are weights and means of both neurons, one pair a row; rows and columns beyond the table
    stand for no pair.
    """
    n, m = is_open.shape
    if not n * m:
        return sums
    most = at_once(n * m)
    turns = -(-n * m // most)
    places = jnp.nonzero(is_open.ravel(), size=turns * most, fill_value=n * m)[0]
    count = jnp.sum(is_open)

    def turn(carry):
        i, sums = carry
        some = jax.lax.dynamic_slice(places, (i * most,), (most,))
        rows, columns = some // m, some % m
        inside = jnp.minimum(rows, n - 1)
        pairs = (*_at(x, inside), *_at(y, columns))
        return i + 1, put(sums, pairs, rows, columns)

    zero = jnp.zeros((), count.dtype)
    return jax.lax.while_loop(lambda carry: carry[0] * most < count, turn, (zero, sums))[1]


def _at(layer: tuple, rows: Array) -> tuple:
    return tuple(None if part is None else part[rows] for part in layer)
