"""The interface of a flow (a state, its velocity, its half risk), and the two flows of neurons.

The half risk is `F = ½ E (f* − f)²`, with the ½ of Hajjar & Chizat 2022. Velocities are mean-field:
those of `−m ∇F` for equal shares, so that they do not depend on the number of particles; `dF/dt =
−Σ_i share_i ‖velocity_i‖²`.
"""

import abc
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress._internal.deprecation import renamed_arguments, renamed_attribute
from jaxcompress.infinite_width._inputs import check_inputs, coloured, whitened
from jaxcompress.infinite_width._pairs import along, averaged_pull, network_pull
from jaxcompress.infinite_width._particles import (
    Particles,
    ReducedParticles,
    check_range,
    check_start,
)
from jaxcompress.infinite_width._rules import check_count, check_dims, coordinate_rule
from jaxcompress.infinite_width._targets import AbstractFlowTarget, check_fits
from jaxcompress.kernels import StandardNormal

State = TypeVar("State")


class Velocity(NamedTuple):
    """The velocity of a flow, shaped like the state, and its dissipation `−dF/dt ≥ 0`.

    Example: `system.velocity(state).dissipation`.
    """

    velocity: Any
    dissipation: Float[Array, ""]


class AbstractSystem(eqx.Module, Generic[State]):
    """A gradient flow whose velocity and half risk are closed forms.

    Formulas are written for one state; `flow` and `flow_batch` take care of batches. `rank` is the
    number of axes of the last array of one state.

    Example: `ParticleSystem`, `ReducedSystem`, `AngleSystem` and `MomentSystem` are subclasses.
    """

    rank: ClassVar[int] = 1

    risk = renamed_attribute("risk", "half_risk")
    motion = renamed_attribute("motion", "velocity")

    @abc.abstractmethod
    def velocity(self, state: State) -> Velocity:
        """The velocity and the dissipation at a state."""

    @abc.abstractmethod
    def half_risk(self, state: State) -> Float[Array, ""]:
        """`F = ½ E (f* − f)²`, half of `population_risk`.

        Never negative, and right to about 1e-15 of `E f*² + E f²`.
        """

    @abc.abstractmethod
    def check(self, state: State) -> None:
        """Raise `ValueError` unless a state (maybe with a leading axis `runs`) fits this system."""


def half_square(second_moment: Array, cross: Array, own: Array) -> Float[Array, ""]:
    """`½(E f*² − 2 E f* f + E f²)`, at least zero."""
    return jnp.maximum(0.5 * (second_moment - 2 * cross + own), 0)


class ParticleSystem(AbstractSystem[Particles]):
    """All neurons: `a′ = E[R relu(b·x)]`, `b′ = a E[R 1(b·x>0) x]`, `R = f* − f`.

    Arguments: `target`, which also has the input distribution. Cost: `O(m² d)` for a velocity.

    Example: `flow(ParticleSystem(NormTarget(3)), uniform_start(key, 512, 10), [1.0, 2.0])`.
    """

    target: AbstractFlowTarget

    def pulls(self, state: Particles) -> tuple[Float[Array, "m d"], Float[Array, "m d"]]:
        """`E[q(x) 1(b·x>0) x]` for `q` the target, and for `q` the network itself."""
        inputs = self.target.inputs
        at = whitened(inputs, state.weights)
        own = network_pull(at, at, state.shares * state.readout)
        return self.target.pull(state.weights), coloured(inputs, own)

    def velocity(self, state):
        target, own = self.pulls(state)
        pull = target - own
        readout, weights = along(state.weights, pull), state.readout[:, None] * pull
        dissipation = jnp.sum(state.shares * (readout**2 + jnp.sum(weights**2, -1)))
        return Velocity(Particles(readout, weights, jnp.zeros_like(state.shares)), dissipation)

    def half_risk(self, state):
        charge = state.shares * state.readout
        target, own = (jnp.sum(charge * along(state.weights, pull)) for pull in self.pulls(state))
        return half_square(self.target.energy, target, own)

    def check(self, state):
        _check_kind("ParticleSystem", state, Particles)
        check_start("ParticleSystem", state.shares)
        check_fits("ParticleSystem", self.target, state.dim)


class ReducedSystem(AbstractSystem[ReducedParticles]):
    """Orbits `(a, b_H, r)` under the rotations of H⊥, for a target `f_H(x_H)`.

    Exact in the limit of infinite width. Arguments (all but the target are static):

    - `target`: on standard normal inputs; its `target.dim` coordinates are H
    - `dim_rest`: `d_⊥ = d − d_H ≥ 1`
    - `nodes`: for the average over the angle between two orthogonal parts (for `d_⊥ = 1` two nodes
      are exact)
    - `dtype`: that of the target when left out

    Cost: `O(m² nodes)` for a velocity, in any dimension. The average converges exponentially,
    except for particles of one direction: there the risk has an error like `nodes^−(d_⊥+2)` and the
    velocity one like `nodes^−d_⊥` (16 nodes: 2e-10 and 2e-8 for `d_⊥ = 7`, 6e-8 and 1e-5 for `d_⊥ =
    3`, of the charges of such pairs). For any number of nodes it is a gradient flow: its risk falls
    and its particles stay balanced.
    Raises `ValueError` for other inputs, and for a dimension or nodes below 1.

    Example: `flow(ReducedSystem(NormTarget(2), 10**6), reduced_start(key, 256, 2, 10**6), times)`.
    """

    target: AbstractFlowTarget
    dim_rest: int = eqx.field(static=True)
    cosines: Float[Array, " nodes"]
    weights: Float[Array, " nodes"]

    far = renamed_attribute("far", "dim_rest")

    @renamed_arguments(far="dim_rest")
    def __init__(self, target: AbstractFlowTarget, dim_rest: int, *, nodes: int = 16, dtype=None):
        check_dims("ReducedSystem", target.dim, dim_rest)
        check_inputs("ReducedSystem", target.inputs)
        if not isinstance(target.inputs, StandardNormal):
            raise ValueError(
                "ReducedSystem: given a target on Gaussian inputs with a covariance; expected "
                "StandardNormal(), which rotations of H⊥ leave as it is; rescale x, or "
                "use ParticleSystem"
            )
        self.target, self.dim_rest = target, dim_rest
        check_count("ReducedSystem", nodes=nodes)
        dtypes = {leaf.dtype for leaf in jax.tree.leaves(eqx.filter(target, eqx.is_inexact_array))}
        dtype = dtype or (jnp.result_type(*dtypes) if dtypes else jnp.result_type(float))
        self.cosines, self.weights = (
            jnp.asarray(each, dtype) for each in coordinate_rule(dim_rest, nodes)
        )

    def pulls(self, state: ReducedParticles) -> tuple[Float[Array, "m p"], Float[Array, "m p"]]:
        """As for `ParticleSystem`, in the coordinates `(b_H, r)`."""
        at = state.stacked
        own = averaged_pull(at, at, state.shares * state.readout, self.cosines, self.weights)
        return self.target.pull(at), own

    def velocity(self, state):
        target, own = self.pulls(state)
        pull = target - own
        readout, weights = along(state.stacked, pull), state.readout[:, None] * pull
        dissipation = jnp.sum(state.shares * (readout**2 + jnp.sum(weights**2, -1)))
        velocity = ReducedParticles(
            readout, weights[:, :-1], weights[:, -1], jnp.zeros_like(state.shares)
        )
        return Velocity(velocity, dissipation)

    def half_risk(self, state):
        charge = state.shares * state.readout
        target, own = (jnp.sum(charge * along(state.stacked, pull)) for pull in self.pulls(state))
        return half_square(self.target.energy, target, own)

    def check(self, state):
        _check_kind("ReducedSystem", state, ReducedParticles)
        check_start("ReducedSystem", state.shares)
        check_range("ReducedSystem", "norm_rest", state.norm_rest, 0, jnp.inf)
        if state.weights_target.shape[-1] != self.target.dim:
            raise ValueError(
                f"ReducedSystem: given particles with {state.weights_target.shape[-1]} coordinates "
                f"in H for a target of {self.target.dim}; expected the same; reduce particles with "
                f"dim_target={self.target.dim}"
            )


def _check_kind(where: str, state, kind: type) -> None:
    if not isinstance(state, kind):
        raise ValueError(
            f"{where}: given an initial point of type {type(state).__name__}; expected "
            f"{kind.__name__}; see uniform_start, reduced_start, reduce_particles and lift"
        )
