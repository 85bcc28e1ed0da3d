"""Random targets by their distributions: whole, block by block, or as the moments that are left of
a very wide one.

An `Ensemble` is a distribution of neurons (`GaussianEntries`, `RademacherEntries`,
`UniformEntries`, `SparseEntries`, `Sphere`, `Correlated`), a distribution of readouts
(`ConstantReadout`, `GaussianReadout`, `UniformReadout`, `RademacherReadout`), both modules, and
sizes.
"""

import math
from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import check_integer, check_sizes, is_concrete
from jaxcompress.kernels import AbstractActivation
from jaxcompress.kernels.internal import summed_blocks
from jaxcompress.networks import _moments
from jaxcompress.networks._expected import expected_orders
from jaxcompress.networks._layer import Layer
from jaxcompress.networks._moments import as_moments, check_order, target_moments
from jaxcompress.networks._network import output_axis
from jaxcompress.networks._readout_distributions import (
    AbstractReadout,
    ConstantReadout,
    GaussianReadout,
    RademacherReadout,
    UniformReadout,
)
from jaxcompress.networks._target_moments import TargetMoments, orders_second_moment
from jaxcompress.networks._two_layer import TwoLayer
from jaxcompress.networks._weight_distributions import (
    AbstractWeights,
    Correlated,
    GaussianEntries,
    RademacherEntries,
    SparseEntries,
    Sphere,
    UniformEntries,
)

__all__ = [
    "AbstractReadout",
    "AbstractWeights",
    "ConstantReadout",
    "Correlated",
    "Ensemble",
    "GaussianEntries",
    "GaussianReadout",
    "RademacherEntries",
    "RademacherReadout",
    "SparseEntries",
    "Sphere",
    "UniformEntries",
    "UniformReadout",
]

Scaling = Literal["1/N", "1/sqrt(N)"]


class Ensemble(eqx.Module):
    """The distribution of a random target `f*(x) = N^{−γ} Σ_i b_i φ(v_i·x)`, with i.i.d. neurons
    `v_i` and readouts `b_i`.

    Arguments, static but for the two distributions, which are traced:

    - `width`, `dim`: `N` and `d`;
    - `activation`: one of `jaxcompress.activations`;
    - `weights`: the distribution of neurons (`GaussianEntries()` when left out);
    - `readout`: the distribution of readouts (`ConstantReadout()` when left out);
    - `scaling`: `"1/N"`, as for averages, or `"1/sqrt(N)"`, as for centred readouts;
    - `outputs`: `None` for one scalar output;
    - `dtype`: the default float type when left out.

    Everything can be compiled, and mapped over keys.
    Raises `ValueError` for sizes below 1, an unknown scaling, what is no distribution, and a
    distribution of another dimension.
    Reference: Amani et al. 2022 (ensembles and their scalings).
    """

    width: int = eqx.field(static=True)
    dim: int = eqx.field(static=True)
    activation: AbstractActivation = eqx.field(static=True)
    scaling: Scaling = eqx.field(static=True)
    outputs: int | None = eqx.field(static=True)
    dtype: np.dtype = eqx.field(static=True)
    weights: AbstractWeights
    readout: AbstractReadout

    def __init__(
        self,
        width: int,
        dim: int,
        *,
        activation: AbstractActivation,
        weights: AbstractWeights | None = None,
        readout: AbstractReadout | None = None,
        scaling: Scaling = "1/N",
        outputs: int | None = None,
        dtype=None,
    ):
        self.width, self.dim, self.outputs = check_sizes(
            "Ensemble",
            "raise what is below, or leave outputs out",
            width=width,
            dim=dim,
            outputs=outputs,
        )
        self.activation = activation
        self.weights = GaussianEntries() if weights is None else weights
        self.readout = ConstantReadout() if readout is None else readout
        self.scaling = scaling
        self.dtype = jnp.dtype(jnp.result_type(float) if dtype is None else dtype)
        self._check()

    def _check(self) -> None:
        if self.scaling not in get_args(Scaling):
            raise ValueError(
                f'Ensemble: given scaling={self.scaling!r}; expected "1/N" or "1/sqrt(N)"; choose '
                f"one"
            )
        if self.dtype not in (jnp.float32, jnp.float64):
            raise ValueError(
                f"Ensemble: given dtype={self.dtype}; expected float32 or float64; choose one"
            )
        for name, law, kind, example in (
            ("activation", self.activation, AbstractActivation, "jaxcompress.activations.relu"),
            ("weights", self.weights, AbstractWeights, "ensembles.GaussianEntries()"),
            ("readout", self.readout, AbstractReadout, "ensembles.ConstantReadout()"),
        ):
            if not isinstance(law, kind):
                raise ValueError(
                    f"Ensemble: given {name}={law!r}; expected a module such as {example}; pass one"
                )
        given = self.weights.dim
        if given not in (None, self.dim):
            raise ValueError(
                f"Ensemble: given dim {self.dim} and a law of weights in dimension {given}; "
                "expected the same; change the ensemble's dim, or the law's mean and covariance"
            )

    @property
    def blocks(self) -> int:
        """Blocks in which neurons are drawn."""
        return -(-self.width // self._block_size)

    @property
    def _block_size(self) -> int:
        return min(_moments.BLOCK, self.width)

    @property
    def _divisor(self) -> float:
        return float(self.width) if self.scaling == "1/N" else math.sqrt(self.width)

    def block(self, key: Array, i: Array | int) -> tuple[Float[Array, "block d"], Array]:
        """Block `i` of the network that `draw(key)` gives: 4096 neurons (or all, if fewer) and
        their readout.

        Both draw from `fold_in(key, i)`: the weights from `fold_in(·, 0)` of that, the readout from
        `fold_in(·, 1)`. Neurons of the last block beyond the width have a readout of zero: sums
        over blocks are sums over the network.
        Raises `ValueError` for a number that is no block's.
        """
        if is_concrete(i):
            i = check_integer("Ensemble.block", "i", i, 0, self.blocks - 1, remedy="see `blocks`")
        return self._block(key, jnp.asarray(i, jnp.int32))

    @eqx.filter_jit
    def _block(self, key: Array, i: Array) -> tuple[Float[Array, "block d"], Array]:
        key, size = jax.random.fold_in(key, i), self._block_size
        shape = (size,) if self.outputs is None else (size, self.outputs)
        weights = self.weights.draw(jax.random.fold_in(key, 0), size, self.dim, self.dtype)
        readout = self.readout.draw(jax.random.fold_in(key, 1), shape, self.dtype) / self._divisor
        there = i * size + jnp.arange(size) < self.width
        return weights, jnp.where(there if self.outputs is None else there[:, None], readout, 0)

    @eqx.filter_jit
    def draw(self, key: Array) -> TwoLayer:
        """The whole network of this key: a `TwoLayer` with weights `(N, d)` and readout `(N,)` or
        `(N, o)`.
        """
        parts = jax.lax.map(lambda i: self.block(key, i), jnp.arange(self.blocks))
        weights, readout = (leaf.reshape(-1, *leaf.shape[2:])[: self.width] for leaf in parts)
        return TwoLayer(weights, readout, activation=self.activation)

    def moments(self, key: Array, *, order: int = 1) -> TargetMoments:
        """The moments of the network that `draw(key)` gives, in one pass that holds one block at a
        time.

        Arguments: a key; `order` (static), 1 or 2.
        Returns `TargetMoments`, those of `target_moments(draw(key))`; beyond width 16384 both
        estimate the second moment, each from its own samples of pairs: here from the first blocks,
        for neurons are exchangeable. Raises `ValueError` when `order` is neither 1 nor 2.
        """
        check_order("Ensemble.moments", order)
        if self.width <= _moments.EXACT_WIDTH:
            return target_moments(self.draw(key), order=order)
        return _streamed(self, key, order)

    @eqx.filter_jit
    def expected_moments(self, *, order: int = 1) -> TargetMoments:
        """The moments averaged over the ensemble, without drawing any network: `E C`, `E T` and,
        for order 2, `E Q`.

        Arguments: `order` (static), 1 or 2.
        Returns `TargetMoments` whose second moment is that of these averaged orders alone: networks
        drawn have more on average, for they fluctuate and have higher orders. For ReLU `C = N^{1−γ}
        b̄ E|v|/√(2π)`, `T = N^{1−γ} b̄ E v/2`. There are closed forms, or rules that are right to
        rounding, for relu, erf, affine functions and their sums under every distribution, and for
        every activation under `GaussianEntries` and `RademacherEntries` without mean and under
        `Sphere`.
        Raises `ValueError` for the other activations and distributions, and when `order` is neither
        1 nor 2.
        Reference: Amani et al. 2022 (the moments that wide targets concentrate on).
        """
        check_order("Ensemble.expected_moments", order)
        orders = expected_orders(self.weights, self.activation, self.dim, order, self.dtype)
        total = self.readout.expectation.astype(self.dtype) * (self.width / self._divisor)

        def of_outputs(leaf: Array) -> Array:
            return total * (
                leaf
                if self.outputs is None
                else jnp.broadcast_to(leaf, (self.outputs, *leaf.shape))
            )

        constant, linear, quadratic = jax.tree.map(of_outputs, tuple(orders))
        second_moment = orders_second_moment(constant, linear, quadratic)
        return TargetMoments(
            constant,
            linear,
            quadratic,
            second_moment,
            8 * jnp.finfo(self.dtype).eps * second_moment,
            self.outputs,
        )


@eqx.filter_jit
def _streamed(ensemble: Ensemble, key: Array, order: int) -> TargetMoments:
    width, upto = (
        ensemble.width,
        _moments.summed_order(ensemble.width, ensemble.dim, ensemble.outputs or 1, order),
    )

    def layer(weights: Array, readout: Array) -> Layer:
        return Layer(weights, None, output_axis(readout, ensemble.outputs), ensemble.activation)

    total = summed_blocks(
        lambda i: _moments.sums(layer(*ensemble.block(key, i[0])), upto),
        jnp.arange(ensemble.blocks),
        1,
    )
    samples, count = _moments.SAMPLES, _moments.SAMPLE
    first = [ensemble.block(key, i) for i in range(-(-samples * count // _moments.BLOCK))]
    arrays = (jnp.concatenate(parts)[: samples * count] for parts in zip(*first, strict=True))
    chosen = tuple(leaf.reshape(samples, count, *leaf.shape[1:]) for leaf in arrays)
    rests = jax.lax.map(lambda rows: _moments.rest_in_sample(layer(*rows), width, upto), chosen)
    second_moment, error = _moments.estimated_second_moment(total, rests)
    return as_moments(total, None, order, second_moment, error, ensemble.outputs)
