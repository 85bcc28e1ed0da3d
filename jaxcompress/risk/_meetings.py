"""All neurons that a student meets, in as few tables as may be: one for all of one activation.

Letters: `W` the student's weights, `a` its readout; `r` the readouts of what it meets: `a` again
for itself, `−b` for a target, `c` for a neuron that is always one. A risk is `Σ_ij a_i r_j G_ij`,
each pair of different networks twice, its gradient by `a` is `2 G r`, by `w_i` it is `2 a_i Σ_j r_j
E[f′g x]_ij`: one look at every pair `(W, [W; V; 1])` is all, and of a pair only the derivative by
its first neuron, for the student's own table is symmetric.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractActivation
from jaxcompress.kernels.internal import (
    VALUE,
    Frames,
    Part,
    formulas,
    frames,
    frames_within,
    in_one_piece,
    serves,
    tables,
)
from jaxcompress.networks.internal import ONE, Layer, Sized, still

# Where a neuron that sees nothing of the inputs may stand for the constant: the first of these
# means at which its activation is at least this large; its own table loses a digit otherwise.
_MEANS, _LEAST = (1.0, -1.0, 2.0, 0.0), 0.25


class Met(NamedTuple):
    """Neurons of one activation, with readouts `r` and the sizes of what these are the sums of.

    The first `itself` of them are the student; `one` is what the last of them has to be divided by
    to be the constant one, or `None` where it is no constant.
    """

    layer: Layer
    size: Float[Array, "m o"]
    itself: int
    one: Float[Array, ""] | None

    @property
    def shares(self) -> np.ndarray:
        """How often each enters the risk: pairs of different networks do twice."""
        return np.where(np.arange(self.size.shape[0]) < self.itself, 1.0, 2.0)


def meetings(x: Layer, target: Sequence[Layer], gap: Sized | None) -> tuple[Met, ...]:
    """What a student meets: first all of its own activation, last the constant, whose readout is
    `gap`.
    """
    alike, strangers = [x], list[Layer]()
    for y in target:
        other = Layer(y.weights, y.mean, -y.readout, y.activation)
        (alike if _alike(x, y) else strangers).append(other)
    sizes = [jnp.abs(y.readout) for y in alike]
    stand_in = None if gap is None or x.mean is None else _stand_in(x.activation)
    one = None
    if gap is not None and stand_in is not None:
        mean = jnp.asarray([stand_in], x.weights.dtype)
        one = x.activation(mean)[0]
        alike.append(Layer(still(x), mean, (gap[0] / one)[None], x.activation))
        sizes.append((gap[1] / jnp.abs(one))[None])
    first = Met(_joined(alike), jnp.concatenate(sizes), x.weights.shape[0], one)
    rest = [Met(y, jnp.abs(y.readout), 0, None) for y in strangers]
    if gap is not None and one is None:
        rest.append(
            Met(
                Layer(still(x), None, gap[0][None], ONE),
                gap[1][None],
                0,
                jnp.ones((), x.weights.dtype),
            )
        )
    return (first, *rest)


def in_small_tables(x: Layer, target: Sequence[Layer]) -> bool:
    """Whether all tables fit into memory at once and are no matter of matrix products."""
    f, u, mean = x.activation, x.weights, x.mean
    return all(in_one_piece(f, y.activation, u, mean, y.weights, y.mean) for y in (x, *target))


def look(x: Layer, met: Met, parts: Sequence[Part]) -> tuple[Frames, list[tuple[Array, ...]]]:
    """The frames of all pairs and their moments."""
    y = met.layer
    within = (
        functools.partial(frames_within, rows=met.itself)
        if met.itself
        else functools.partial(frames, x.weights, x.mean)
    )
    pairs = within(y.weights, y.mean)
    return pairs, formulas(x.activation, y.activation).expect(pairs.plane, parts)


def by_series(x: Layer, met: Met) -> bool:
    """Whether tables are made by series (`kernels/tables/_series`)."""
    (n, dim), y = x.weights.shape, met.layer
    return serves(x.activation, y.activation, n, y.weights.shape[0], dim)


def met_tables(x: Layer, met: Met, orders: Sequence[tuple[int, int]]) -> Float[Array, "orders n m"]:
    """`E[f⁽ᵃ⁾(X_i) g⁽ᵇ⁾(Y_j)]` of all pairs, by series."""
    y = met.layer
    both = (x.activation, y.activation, x.weights, x.mean, y.weights, y.mean)
    return tables(*both, orders, itself=bool(met.itself))


def met_table(x: Layer, met: Met) -> Float[Array, "n m"]:
    """`E f g` of all pairs."""
    if by_series(x, met):
        return met_tables(x, met, ((0, 0),))[0]
    ((table,),) = look(x, met, (VALUE,))[1]
    return table


def _alike(x: Layer, y: Layer) -> bool:
    return bool(x.activation == y.activation) and (x.mean is None) == (y.mean is None)


def _joined(layers: Sequence[Layer]) -> Layer:
    if len(layers) == 1:
        return layers[0]
    means = [y.mean for y in layers if y.mean is not None]
    return Layer(
        jnp.concatenate([y.weights for y in layers]),
        jnp.concatenate(means) if means else None,
        jnp.concatenate([y.readout for y in layers]),
        layers[0].activation,
    )


@functools.lru_cache(maxsize=1024)
def _stand_in(f: AbstractActivation) -> float | None:
    """A mean at which a still neuron is no zero.

    `None` for powers and waves: their formulas with the constant itself are shorter.
    """
    if f.terms is not None and any(term.smooth for term in f.terms):
        return None
    with jax.ensure_compile_time_eval():
        points = jnp.asarray(_MEANS)
        found = zip(_MEANS, np.asarray(f(points)).tolist(), strict=True)
    return next((mean for mean, value in found if abs(value) >= _LEAST), None)
