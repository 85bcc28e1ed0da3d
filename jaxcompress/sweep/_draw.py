"""From run numbers to problems: starts, targets and the input distribution of a block, each run
from its own key.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxcompress.kernels import AbstractInputs
from jaxcompress.networks import (
    TargetMoments,
    TwoLayer,
    ensembles,
    initialize,
    target_moments,
    targets,
)
from jaxcompress.sweep._cells import Cell
from jaxcompress.sweep._distributions import (
    INPUTS,
    READOUTS,
    WEIGHTS,
    activation_of,
    distribution_named,
)
from jaxcompress.sweep._parts import Orthonormal, Start
from jaxcompress.sweep._plan import Plan

_LAWS = {"glorot_normal": initialize.glorot_normal, "glorot_uniform": initialize.glorot_uniform}
# A start draws from `fold_in(key, 0)` and `fold_in(key, 1)` of its run's key (`initialize`), a
# target from this one.
_TARGET = 2


def base_key(plan: Plan) -> Array:
    """The key of a plan: `jax.random.key(plan.key)`, with the generator named and its two words
    written out, so that neither `jax_default_prng_impl` nor `jax_random_seed_offset` changes what a
    run is.
    """
    return jax.random.wrap_key_data(jnp.array([0, plan.key], jnp.uint32), impl="threefry2x32")


def _as_ever() -> Any:
    """A context in which the generator fills arrays in JAX's present way, whatever the process has
    chosen.
    """
    return jax.threefry_partitionable(True)


def students_of(plan: Plan, cell: Cell, runs: Int[np.ndarray, " runs"]) -> TwoLayer:
    """The starts of these runs, with a leading axis."""
    f = activation_of("activation", cell.activation)
    scales = jnp.asarray([plan.start.scale, plan.start.readout or 0.0], plan.precision)
    with _as_ever():
        return _students(
            base_key(plan), jnp.asarray(runs, jnp.uint32), scales, plan.start, f, cell.n, cell.d
        )


@eqx.filter_jit
def _students(
    key: Array, runs: Array, scales: Array, start: Start, f: Any, n: int, d: int
) -> TwoLayer:
    biases = {"bias": start.bias, "output_bias": start.output_bias}

    def one(run: Array) -> TwoLayer:
        drawn = _LAWS[start.law](
            jax.random.fold_in(key, run), n, d, activation=f, dtype=scales.dtype, **biases
        )
        weights, readout = scales[0] * drawn.weights, scales[0] * drawn.readout
        if start.readout is not None:
            readout = jnp.broadcast_to(scales[1], readout.shape)
        return eqx.tree_at(lambda net: (net.weights, net.readout), drawn, (weights, readout))

    return jax.vmap(one)(runs)


def targets_of(plan: Plan, cell: Cell, runs: Int[np.ndarray, " runs"]) -> TwoLayer | TargetMoments:
    """What these runs are fitted to: one target for all, or one for each with a leading axis; or
    its moments.
    """
    f = activation_of("target.activation", cell.target_activation)
    simplified = plan.risk == "simplified"
    if isinstance(cell.target, Orthonormal):
        network = targets.orthonormal(
            cell.k, cell.d, activation=f, readout=cell.target.readout, dtype=plan.precision
        )
        return target_moments(network) if simplified else network
    law = ensembles.Ensemble(
        cell.k,
        cell.d,
        activation=f,
        weights=distribution_named("target.weights", cell.target.weights, WEIGHTS),
        readout=distribution_named("target.readout", cell.target.readout, READOUTS),
        scaling="1/N" if cell.target.scaling == "1/N" else "1/sqrt(N)",
        dtype=plan.precision,
    )
    first = np.array([cell.number * plan.runs])
    with _as_ever():
        drawn = _targets(
            base_key(plan),
            jnp.asarray(runs if cell.own_targets else first, jnp.uint32),
            law,
            simplified,
        )
    return drawn if cell.own_targets else drawn[0]


@eqx.filter_jit
def _targets(
    key: Array, runs: Array, law: ensembles.Ensemble, simplified: bool
) -> TwoLayer | TargetMoments:
    """One after the other: a wide target is large, and what is left of it small."""

    def one(run: Array) -> TwoLayer | TargetMoments:
        own = jax.random.fold_in(jax.random.fold_in(key, run), _TARGET)
        return law.moments(own) if simplified else law.draw(own)

    return jax.lax.map(one, runs)


def inputs_of(plan: Plan, cell: Cell) -> AbstractInputs:
    """The input distribution in the dimension of a cell."""
    return distribution_named("inputs", plan.inputs, INPUTS)(cell.d, plan.precision)
