"""The risk of a layer and its gradient from one look at all pairs.

Letters as in `_meetings`. Where tables are too large to be held, where the target moves too, and
for second derivatives, JAX differentiates the tables themselves (`_of_tables`).
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels.internal import GRADIENT, VALUE
from jaxcompress.networks.internal import GatedLayer, Layer, Sized, form, forms, layer_mean, mean_of
from jaxcompress.risk._meetings import (
    Met,
    by_series,
    in_small_tables,
    look,
    meetings,
    met_table,
    met_tables,
)

# What value and gradient are made of: `E f g`, `E f′g`, and of `E[f′g x] = E f″g w + E f′g′ v`.
_ORDERS = ((0, 0), (1, 0), (2, 0), (1, 1))
_EXACT = jax.lax.Precision.HIGHEST  # accelerators would round float32 to fewer bits


class Measured(Protocol):
    """A target with what of it is constant in the risk, as `RiskProblem` has it."""

    layers: tuple[Any, ...]  # `Layer`; for `terms` and what it makes of tables `GatedLayer` too
    second_moment: Float[Array, ""]
    magnitude: Float[Array, ""]
    average: Sized

    def gap(self, offset: Float[Array, " o"] | None) -> Sized | None:
        """What is left of a student's offset beside the target's."""


class Unknowns(NamedTuple):
    """What of a student moves, on standard normal inputs; a mean or an offset of `None` is exactly
    zero.
    """

    weights: Float[Array, "n r"]
    mean: Float[Array, " n"] | None
    readout: Float[Array, "n o"]
    offset: Float[Array, " o"] | None


def total(parts: Sequence[Any]) -> Any:
    """The sum of trees of arrays."""
    return functools.reduce(lambda one, other: jax.tree.map(jnp.add, one, other), parts)


class Slopes(NamedTuple):
    """A risk before it is clipped, the size of its terms, and its gradient."""

    value: Float[Array, ""]
    size: Float[Array, ""]
    gradient: Unknowns


def terms(problem: Measured, x: Layer | GatedLayer, offset: Float[Array, " o"] | None) -> Sized:
    """The risk before it is clipped, and the size of its terms."""
    if _at_once(x, problem.layers):
        return Sized(*_terms(problem, x, offset))
    return _of_tables(problem, x, offset)


def _at_once(x: Layer | GatedLayer, target: Sequence[Layer | GatedLayer]) -> bool:
    """Whether one look at all pairs is enough: none is gated, and their tables are small."""
    plain = [layer for layer in (x, *target) if isinstance(layer, Layer)]
    return len(plain) == 1 + len(target) and in_small_tables(plain[0], plain[1:])


@eqx.filter_custom_jvp
def _terms(problem, x, offset):
    return tuple(slopes(problem, x, offset)[:2])


@_terms.def_jvp
def _terms_jvp(primals, tangents):
    problem, x, offset = primals
    by_problem, by_x, by_offset = tangents
    if jax.tree.leaves(by_problem):
        value, tangent = eqx.filter_jvp(_of_tables, primals, tangents)
        return tuple(value), tuple(tangent)
    value, size, gradient = slopes(problem, x, offset)
    moved = Unknowns(by_x.weights, by_x.mean, by_x.readout, by_offset)
    along = [
        jnp.sum(slope * by) for slope, by in zip(gradient, moved, strict=True) if by is not None
    ]
    return (value, size), (sum(along[1:], along[0]), None)


@eqx.filter_custom_jvp
def slopes(problem: Measured, x: Layer, offset: Float[Array, " o"] | None) -> Slopes:
    """The risk of a layer whose tables are small, and its gradient."""
    met = meetings(x, problem.layers, problem.gap(offset))
    each, means = zip(*(_with(x, some) for some in met), strict=True)
    second_moment, by_weights, by_mean, by_readout = total(each)
    value, size = (
        second_moment.value + problem.second_moment,
        second_moment.size + problem.magnitude,
    )
    by_offset = None
    if offset is not None:
        average = problem.average
        value += jnp.sum(offset * (offset - 2 * average.value))
        size += jnp.sum(jnp.abs(offset) * (jnp.abs(offset) + 2 * average.size))
        by_offset = 2 * (sum(mean for mean in means if mean is not None) + offset - average.value)
    gradient = Unknowns(
        2 * by_weights, None if x.mean is None else 2 * by_mean, 2 * by_readout, by_offset
    )
    return Slopes(value, size, gradient)


class _Pairs(NamedTuple):
    """`E f g`, `E f′g`, and `Σ_j c_ij E[f′g x]`, of a layer and what it meets."""

    table: Float[Array, "n m"]
    slopes: Float[Array, "n m"]
    by_weights: Float[Array, "n r"]


def _pairs(x: Layer, some: Met, c: Float[Array, "n m"]) -> _Pairs:
    """From one look at every pair: by series, or in the pair's own plane."""
    y = some.layer
    if by_series(x, some):
        table, slopes, bend, both = met_tables(x, some, _ORDERS)
        by_weights = jnp.sum(c * bend, 1)[:, None] * x.weights
        by_weights += jnp.matmul(c * both, y.weights, precision=_EXACT)
        return _Pairs(table, slopes, by_weights)
    pairs, ((table,), (mean, along, across)) = look(x, some, (VALUE, GRADIENT))
    by_weights = jnp.sum(c * along, 1)[:, None] * pairs.along_x[:, 0]
    by_weights += jnp.sum((c * across)[:, :, None] * pairs.across_x, 1)
    return _Pairs(table, mean, by_weights)


def _with(x: Layer, some: Met) -> tuple[tuple[Sized, Array, Array, Array], Array | None]:
    """What one meeting adds: to the risk, half of what it adds to the gradient, and `E f` from the
    constant.
    """
    right = some.layer.readout
    c = jnp.matmul(x.readout, right.T, precision=_EXACT)
    table, mean, by_weights = _pairs(x, some, c)
    by_readout = jnp.matmul(table, right, precision=_EXACT)
    # a table by quadrature is symmetric to the rule's error only
    if some.itself and x.activation.terms is None:
        square = table[:, : some.itself]
        by_readout += jnp.matmul(0.5 * (square.T - square), x.readout, precision=_EXACT)
    sums = _summed(x, some, table), by_weights, jnp.sum(c * mean, 1), by_readout
    return sums, None if some.one is None else jnp.matmul(
        table[:, -1] / some.one, x.readout, precision=_EXACT
    )


@slopes.def_jvp
def _slopes_jvp(primals, tangents):
    return slopes(*primals), eqx.filter_jvp(_slopes_of_tables, primals, tangents)[1]


def _summed(x: Layer, some: Met, table: Float[Array, "n m"]) -> Sized:
    """What pairs with these neurons add to the risk."""
    shares = jnp.asarray(some.shares, table.dtype)
    sizes = jnp.matmul(jnp.abs(x.readout), some.size.T, precision=_EXACT)
    # Neuron by neuron: added up in one go, 180 pairs were off by 3e-14, twice their floor.
    products = jnp.matmul(table, shares[:, None] * some.layer.readout, precision=_EXACT)
    return Sized(jnp.sum(x.readout * products), jnp.sum(shares[None] * sizes * jnp.abs(table)))


def _of_tables(problem: Measured, x: Layer | GatedLayer, offset: Array | None) -> Sized:
    """`terms`, table by table."""
    (value, size), *crosses = forms(x, (x, *problem.layers))
    value, size = value + problem.second_moment, size + problem.magnitude
    for cross in crosses:
        value, size = value - 2 * cross.value, size + 2 * cross.size
    gap = problem.gap(offset)
    if gap is not None:
        mean = layer_mean(x)
        value += 2 * jnp.sum(gap.value * mean.value)
        size += 2 * jnp.sum(gap.size * mean.size)
    if offset is not None:
        value += jnp.sum(offset * (offset - 2 * problem.average.value))
        size += jnp.sum(jnp.abs(offset) * (jnp.abs(offset) + 2 * problem.average.size))
    return Sized(value, size)


def _slopes_of_tables(problem: Measured, x: Layer, offset: Array | None) -> Slopes:
    def risk(moved: Unknowns) -> tuple[Array, Array]:
        both = _of_tables(
            problem, Layer(moved.weights, moved.mean, moved.readout, x.activation), moved.offset
        )
        return both.value, both.size

    moved = Unknowns(x.weights, x.mean, x.readout, offset)
    (value, size), gradient = jax.value_and_grad(risk, has_aux=True)(moved)
    return Slopes(value, size, gradient)


@eqx.filter_jit
def measured(layer: Layer | GatedLayer, offset: Float[Array, " o"] | None) -> tuple[Sized, Sized]:
    """`E‖f‖²` and `E f` of a layer and its offset; what is not used costs nothing under `jit`."""
    constant = jnp.zeros_like(layer.readout[0]) if offset is None else offset
    away = Sized(constant, jnp.abs(constant))
    if isinstance(layer, Layer) and in_small_tables(layer, ()):
        each, means = [], None
        for some in meetings(layer, (), away):
            table = met_table(layer, some)
            each.append(_summed(layer, some, table))
            means = means if some.one is None else table[:, -1] / some.one
        assert means is not None  # the constant is there
        second_moment, mean = total(each), mean_of(layer, means)
    else:
        plain, mean = form(layer, layer), layer_mean(layer)
        second_moment = Sized(
            plain.value + 2 * jnp.sum(constant * mean.value),
            plain.size + 2 * jnp.sum(away.size * mean.size),
        )
    square = jnp.sum(constant * constant)
    return Sized(second_moment.value + square, second_moment.size + square), Sized(
        mean.value + constant, mean.size + away.size
    )
