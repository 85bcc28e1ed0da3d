"""The lowest Hermite orders of a target: all that a student sees of many generic neurons.

On standard normal inputs `z`, a target is `f* = C + T·z + ½⟨Q, zzᵀ − I⟩ + (higher orders)` with `C
= E f*`, `T = E f* z` and `Q = E f* (zzᵀ − I)`. For a neuron `φ(v·z + μ)` with mean `m(μ, s)`, `s =
|v|²`, Stein's lemma gives `m`, `m′v` and `m″vvᵀ`, primes by `μ`, and `m″v = ∂m/∂v` (Price).
References: Amani et al. 2022; O'Donnell 2014, *Analysis of Boolean Functions*, chapter 11.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress._internal.checks import (
    check_finite,
    check_integer,
)
from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.kernels.internal import check_inputs, summed_blocks
from jaxcompress.networks._layer import Layer, as_layer, form, hermite_orders, offset_of
from jaxcompress.networks._target_moments import TargetMoments, orders_second_moment
from jaxcompress.networks._two_layer import TwoLayer
from jaxcompress.special.internal import divide

# Neurons that are reduced at a time.
BLOCK = 4096
# Widths up to which the second moment is the exact sum over all pairs (3e8 of them: seconds), and,
# beyond, how many samples of how many neurons it is estimated from.
EXACT_WIDTH, SAMPLES, SAMPLE = 2**14, 8, 1024
# Numbers up to which the second order is kept for the sake of that estimate: 128 MiB in float64.
SECOND_SIZE = 2**24


class Sums(NamedTuple):
    """The moments of some neurons of a target, with the axis of outputs, and what each neuron alone
    leaves to the orders that are not there: `Σ_i |b_i|² (E φ_i² − these orders)`."""

    constant: Float[Array, " o"]
    linear: Float[Array, "o r"]
    quadratic: Float[Array, "o r r"] | None
    alone: Float[Array, ""]

    @property
    def second_moment(self) -> Float[Array, ""]:
        """The second moment of these orders."""
        return orders_second_moment(self.constant, self.linear, self.quadratic)


def sums(layer: Layer, order: int) -> Sums:
    """The moments of a few neurons up to this order."""
    v, b, orders = layer.weights, layer.readout, hermite_orders(layer)
    quadratic = None
    if order == 2:
        bend = b * divide(orders.bend, orders.std)[:, None]  # b m″
        quadratic = jnp.stack([(bend[:, o, None] * v).T @ v for o in range(b.shape[1])])
        quadratic = 0.5 * (quadratic + jnp.swapaxes(quadratic, 1, 2))
    alone = jnp.sum(jnp.sum(b * b, axis=1) * orders.beyond(order))
    return Sums(b.T @ orders.mean, (b * orders.slope[:, None]).T @ v, quadratic, alone)


def rest_in_sample(sample: Layer, width: int, order: int) -> Float[Array, ""]:
    """An unbiased estimate, from some of `width` exchangeable neurons, of what the pairs of
    different ones leave to the orders beyond this one."""
    count = sample.weights.shape[0]
    part = sums(sample, order)
    pairs = form(sample, sample).value - part.second_moment - part.alone
    return pairs * (width / count) * ((width - 1) / (count - 1))


def estimated_second_moment(total: Sums, rests: Float[Array, " samples"]) -> tuple[Array, Array]:
    """The second moment from its exact parts and samples of the rest, and its standard error."""
    error = jnp.std(rests, ddof=1) / math.sqrt(rests.shape[0])
    # the orders alone are a lower bound, which a wide scatter of samples may miss
    return jnp.maximum(
        total.second_moment + total.alone + jnp.mean(rests), total.second_moment
    ), error


def as_moments(
    total: Sums,
    offset: Array | None,
    order: int,
    second_moment: Array,
    second_moment_error: Array,
    outputs: int | None,
) -> TargetMoments:
    """Sums over all neurons as moments; `second_moment` is that of the neurons, without the output
    bias.
    """
    constant, linear, quadratic = (
        total.constant,
        total.linear,
        total.quadratic if order == 2 else None,
    )
    if offset is not None:
        second_moment = second_moment + jnp.sum(offset * (2 * constant + offset))
        constant = constant + offset
    if outputs is None:
        constant, linear, quadratic = jax.tree.map(
            lambda leaf: leaf[0], (constant, linear, quadratic)
        )
    return TargetMoments(constant, linear, quadratic, second_moment, second_moment_error, outputs)


def summed_order(width: int, dim: int, outputs: int, order: int) -> int:
    """The order up to which sums go: where the second moment is estimated, the second makes it
    precise, if a matrix fits.
    """
    return 2 if order == 2 or (width > EXACT_WIDTH and outputs * dim**2 <= SECOND_SIZE) else 1


def target_moments(
    target: TwoLayer, *, order: int = 1, inputs: AbstractInputs | None = None
) -> TargetMoments:
    """The lowest Hermite orders of a target and its second moment: all that `simplified_risk` needs
    of it.

    Arguments: a target of any activation and structure; with a leading axis on its arrays it is a
    batch, measured one after another. `order` (static), 1 as in the paper or 2 to keep `E f* (zzᵀ −
    I)` as well, a matrix an output; `inputs`, the distribution under which students will be
    compared (`StandardNormal()` when left out).
    Returns `TargetMoments`.
    Cost: one pass over the neurons, in blocks. Up to width 16384 the second moment is exact, from
    all pairs; beyond, pairs of different neurons are sampled for what they have in orders above 2
    (8 samples of 1024 neurons drawn by a fixed key), and `second_moment_error` is the standard
    error: many digits with readouts of one sign, few in two or three dimensions with centred
    readouts. Only a constant of the risk depends on it.
    Raises `ValueError` when `order` is neither 1 nor 2, for NaN, and when distribution and target
    do not fit. For `r` starts of each of many targets, `jax.tree.map(lambda leaf: jnp.repeat(leaf,
    r, axis=0), moments)` is the batch that `solve_many` takes.
    Reference: Amani et al. 2022, lemma on the simplified risk.

    >>> from jaxcompress.kernels import activations
    >>> from jaxcompress.networks import target_moments, targets
    >>> target_moments(targets.orthonormal(2, 3, activation=activations.relu)).linear.tolist()
    [0.5, 0.5, 0.0]
    """
    inputs = StandardNormal() if inputs is None else inputs
    check_order("target_moments", order)
    if not isinstance(target, TwoLayer) or target.weights.ndim not in (2, 3):
        given = (
            f"weights {target.weights.shape}"
            if isinstance(target, TwoLayer)
            else type(target).__name__
        )
        raise ValueError(
            f"target_moments: given {given}; expected a TwoLayer with weights (k, d), or (runs, k, "
            "d) for a batch; use jax.vmap for more axes, and Ensemble.moments(key) for an ensemble"
        )
    check_inputs("target_moments", inputs, target.dim)
    check_finite("target_moments", **target.parameters())
    return _measured(target, inputs, order)


def check_order(where: str, order: int) -> None:
    """Raise `ValueError` unless the order is one that is kept."""
    check_integer(where, "order", order, 1, 2, remedy="higher ones are in population_risk")


@eqx.filter_jit
def _measured(target: TwoLayer, inputs: AbstractInputs, order: int) -> TargetMoments:
    if target.weights.ndim == 3:
        return jax.lax.map(lambda one: _of_one(one, inputs, order), target)
    return _of_one(target, inputs, order)


def _of_one(target: TwoLayer, inputs: AbstractInputs, order: int) -> TargetMoments:
    layer = as_layer(target, inputs)
    width, dim = layer.weights.shape
    upto = summed_order(width, dim, layer.readout.shape[1], order)
    arrays = layer.weights, layer.mean, layer.readout

    def part(rows: tuple[Array, Array | None, Array]) -> Layer:
        weights, mean, readout = rows
        return Layer(weights, mean, readout, layer.activation)

    total = summed_blocks(lambda rows: sums(part(rows), upto), arrays, BLOCK)
    if width <= EXACT_WIDTH:
        own = form(layer, layer)
        second_moment, error = own.value, jnp.finfo(own.value.dtype).eps * own.size
    else:
        chosen = jax.random.permutation(jax.random.key(0), width)[: SAMPLES * SAMPLE].reshape(
            SAMPLES, SAMPLE
        )
        rests = jax.lax.map(
            lambda ids: rest_in_sample(
                part(jax.tree.map(lambda leaf: leaf[ids], arrays)), width, upto
            ),
            chosen,
        )
        second_moment, error = estimated_second_moment(total, rests)
    return as_moments(total, offset_of(target), order, second_moment, error, target.outputs)
