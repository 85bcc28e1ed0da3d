"""The table of kernels made by series, with its derivatives stated once.

Price's theorem in weight space: with the tables `T_ab = E[f⁽ᵃ⁾(X_i) g⁽ᵇ⁾(Y_j)]` the derivative of
`T_00` by `w_i` is `T_20 w_i + T_11 v_j`, by its mean `T_10`: two matrix products, no vector a pair.
Second derivatives are those of the exact formulas, in the frames of the pairs: next to coincident
kinks the derivatives of `T_20` and `T_11` are infinite one by one, and finite together.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from jaxcompress.kernels.moments._frames import Frames, frames
from jaxcompress.kernels.moments._moments import Second
from jaxcompress.kernels.moments._selection import formulas
from jaxcompress.kernels.tables._blocks import in_blocks
from jaxcompress.kernels.tables._completed import tables, truncated
from jaxcompress.kernels.tables._correlations import product
from jaxcompress.special.internal import divide

_VALUE = ((0, 0),)
# Numbers in the difference vectors of a block of pairs.
_BLOCK = 2**24


class Scalars(NamedTuple):
    """The tables that value and gradient are made of; `None` for what no tangent asks for."""

    value: Float[Array, "n m"]
    bend_x: Float[Array, "n m"] | None = None
    bend_y: Float[Array, "n m"] | None = None
    both: Float[Array, "n m"] | None = None
    slope_x: Float[Array, "n m"] | None = None
    slope_y: Float[Array, "n m"] | None = None


_ORDERS = dict(zip(Scalars._fields, ((0, 0), (2, 0), (0, 2), (1, 1), (1, 0), (0, 1)), strict=True))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def table_by_series(f, g, itself, weights_x, mean_x, weights_y, mean_y) -> Float[Array, "n m"]:
    """`_pairwise.table`, by series; `itself` where the second family begins with the first."""
    return tables(f, g, weights_x, mean_x, weights_y, mean_y, _VALUE, itself)[0]


def _table_jvp(f, g, itself, primals, tangents):
    names = _names(tangents)
    scalars = _scalars(f, g, itself, names, *primals)
    return scalars.value, _along(scalars, primals, tangents)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2, 3))
def truncated_table(
    f, g, degrees, orders, weights_x, mean_x, weights_y, mean_y
) -> Float[Array, "n m"]:
    """`E[f⁽ᵃ⁾ g⁽ᵇ⁾]` by series alone, of at most so many degrees. By Price's theorem its
    derivatives are such tables again, to any order."""
    return truncated(f, g, weights_x, mean_x, weights_y, mean_y, orders, degrees)


def _truncated_jvp(f, g, degrees, orders, primals, tangents):
    a, b = orders

    def at(more: int, beside: int) -> Array:
        return truncated_table(f, g, degrees, (a + more, b + beside), *primals)

    scalars = Scalars(**{name: at(*_ORDERS[name]) for name in _names(tangents)})
    return scalars.value, _along(scalars, primals, tangents)


def _names(tangents) -> tuple[str, ...]:
    """What these tangents need, in the order of `Scalars`."""
    by_x, by_mean_x, by_y, by_mean_y = (not _is_zero(tangent) for tangent in tangents)
    needs = {
        "value": True,
        "bend_x": by_x,
        "bend_y": by_y,
        "both": by_x or by_y,
        "slope_x": by_mean_x,
        "slope_y": by_mean_y,
    }
    return tuple(name for name, needed in needs.items() if needed)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2, 3))
def _scalars(f, g, itself, names, weights_x, mean_x, weights_y, mean_y) -> Scalars:
    orders = tuple(_ORDERS[name] for name in names)
    some = tables(f, g, weights_x, mean_x, weights_y, mean_y, orders, itself)
    return Scalars(**dict(zip(names, some, strict=True)))


def _along(scalars: Scalars, primals, tangents) -> Float[Array, "n m"]:
    """The directional derivative of every entry."""
    weights_x, _, weights_y, _ = primals
    by_x, by_mean_x, by_y, by_mean_y = (None if _is_zero(each) else each for each in tangents)
    out = jnp.zeros_like(scalars.value)
    if by_x is not None:
        assert scalars.bend_x is not None  # the names follow the tangents
        assert scalars.both is not None
        out += scalars.bend_x * jnp.sum(weights_x * by_x, 1)[:, None]
        out += scalars.both * product(by_x, weights_y.T)
    if by_y is not None:
        assert scalars.bend_y is not None
        assert scalars.both is not None
        out += scalars.bend_y * jnp.sum(weights_y * by_y, 1)[None]
        out += scalars.both * product(weights_x, by_y.T)
    if by_mean_x is not None:
        assert scalars.slope_x is not None
        out += scalars.slope_x * by_mean_x[:, None]
    if by_mean_y is not None:
        assert scalars.slope_y is not None
        out += scalars.slope_y * by_mean_y[None]
    return out


def _scalars_jvp(f, g, itself, names, primals, tangents):
    """Second derivatives, from the exact formulas, in blocks of rows."""
    needed = {*names, *_names(tangents)}
    union = tuple(name for name in Scalars._fields if name in needed)
    everything = _scalars(f, g, itself, union, *primals)
    scalars = Scalars(**{name: getattr(everything, name) for name in names})
    moved = [None if _is_zero(each) else each for each in tangents]
    weights_x, mean_x, weights_y, mean_y = primals
    rows = max(1, _BLOCK // max(1, weights_y.size))

    def some(x):
        (weights, mean), by = x
        return _bent(f, g, (weights, mean, weights_y, mean_y), (*by, *moved[2:]))

    known = in_blocks(some, ((weights_x, mean_x), tuple(moved[:2])), rows)
    known["value"] = _along(everything, primals, tangents)
    return scalars, Scalars(**{name: known[name] for name in names})


def _bent(f, g, primals, tangents) -> dict[str, Float[Array, "n m"]]:
    """The derivatives of the scalars but the value, along tangents of which some are `None`."""
    pairs = frames(*primals)
    by_x, by_mean_x, by_y, by_mean_y = tangents
    x = None if by_x is None else by_x[:, None], None if by_mean_x is None else by_mean_x[:, None]
    y = None if by_y is None else by_y[None], None if by_mean_y is None else by_mean_y[None]
    forward, backward, swapped = formulas(f, g), formulas(g, f), pairs.plane.swapped
    of_x = [
        (forward.second_derivative(pairs.plane), *x),
        (forward.mixed_derivative(pairs.plane), *y),
    ]
    of_y = [(backward.second_derivative(swapped), *y), (backward.mixed_derivative(swapped), *x)]
    straight = [_moved(*each, pairs, swapped=False) for each in of_x]
    turned = [_moved(*each, pairs, swapped=True) for each in of_y]
    along_x, across_x, slope_x = (sum(parts) for parts in zip(*straight, strict=True))
    along_y, across_y, slope_y = (sum(parts) for parts in zip(*turned, strict=True))
    plane = pairs.plane
    one = jnp.ones((len(primals[0]), len(primals[2])), plane.sin.dtype)
    std_x, std_y = plane.std_x * one, plane.std_y * one
    # What lies across vanishes with the sine, and of a sine that is rounding nothing is left.
    sine = jnp.where(plane.sin > jnp.finfo(one.dtype).eps ** 0.75, plane.sin, 0) * one
    on_x, on_y = divide(across_x, sine), divide(across_y, sine)
    return {
        "bend_x": divide(along_x - plane.cos * on_x, std_x),
        "bend_y": divide(along_y - plane.cos * on_y, std_y),
        "both": divide(on_x, std_y),
        "slope_x": slope_x * one,
        "slope_y": slope_y * one,
    }


def _moved(second: Second, vectors, shifts, pairs: Frames, swapped: bool):
    """`E[q x xᵀ] u + E[q x] η` beyond `E[q] u`, along and across the neuron, and `E[q xᵀ] u + E[q]
    η`.
    """
    along, across = (pairs.along_y, pairs.across_y) if swapped else (pairs.along_x, pairs.across_x)
    m, a, c, aa, ac, cc = second
    eta = jnp.zeros_like(m) if shifts is None else shifts
    if vectors is None:
        return a * eta, c * eta, m * eta
    p, q = jnp.sum(along * vectors, -1), jnp.sum(across * vectors, -1)
    return (aa - m) * p + ac * q + a * eta, ac * p + (cc - m) * q + c * eta, m * eta + a * p + c * q


def _is_zero(tangent) -> bool:
    return tangent is None or isinstance(tangent, SymbolicZero)


table_by_series.defjvp(_table_jvp, symbolic_zeros=True)
truncated_table.defjvp(_truncated_jvp, symbolic_zeros=True)
_scalars.defjvp(_scalars_jvp, symbolic_zeros=True)
