"""The interface of a flow: a state, how fast it moves, its risk; and the two flows of neurons.

Risk here is `F = ½ E (f* − f)²`, with the ½ of Hajjar & Chizat 2022. Velocities are mean-field:
those of `−m ∇F` for equal shares, so that they do not depend on the number of particles; `dF/dt =
−Σ_i share_i ‖velocity_i‖²`.
"""

import abc
from typing import ClassVar, Generic, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.infinite_width._laws import check_law, coloured, whitened
from jaxcompress.infinite_width._pairs import along, averaged_pull, network_pull
from jaxcompress.infinite_width._particles import (
    Particles,
    ReducedParticles,
    check_range,
    check_start,
)
from jaxcompress.infinite_width._rules import check_count, check_dims, coordinate_rule
from jaxcompress.infinite_width._targets import AbstractTarget, check_room
from jaxcompress.kernels import StandardNormal

State = TypeVar("State")


class Motion(NamedTuple):
    """A velocity, shaped like the state, and the dissipation `−dF/dt ≥ 0`."""

    velocity: object
    dissipation: Float[Array, ""]


class AbstractSystem(eqx.Module, Generic[State]):
    """A gradient flow with closed-form velocity and risk. Formulas on one state; batching is the
    flow's.

    `rank` is how many axes the last array of one state has.
    """

    rank: ClassVar[int] = 1

    @abc.abstractmethod
    def motion(self, state: State) -> Motion:
        """Velocity and dissipation."""

    @abc.abstractmethod
    def risk(self, state: State) -> Float[Array, ""]:
        """`F = ½ E (f* − f)²`; never negative, right to about 1e-15 of `E f*² + E f²`."""

    @abc.abstractmethod
    def check(self, state: State) -> None:
        """Raise `ValueError` for a state (with leading axes `runs`, maybe) that is none of this
        system.
        """


def half_square(energy: Array, cross: Array, own: Array) -> Float[Array, ""]:
    """`½(E f*² − 2 E f* f + E f²)`, at least zero."""
    return jnp.maximum(0.5 * (energy - 2 * cross + own), 0)


class ParticleSystem(AbstractSystem[Particles]):
    """All neurons: `a′ = E[R relu(b·x)]`, `b′ = a E[R 1(b·x>0) x]`, `R = f* − f`.

    Arguments: `target`, which also has the input law. Cost: `O(m² d)` a velocity.
    """

    target: AbstractTarget

    def pulls(self, state: Particles) -> tuple[Float[Array, "m d"], Float[Array, "m d"]]:
        """`E[q(x) 1(b·x>0) x]` of the target and of the network itself."""
        law = self.target.inputs
        at = whitened(law, state.weights)
        own = network_pull(at, at, state.shares * state.readout)
        return self.target.pull(state.weights), coloured(law, own)

    def motion(self, state):
        target, own = self.pulls(state)
        pull = target - own
        readout, weights = along(state.weights, pull), state.readout[:, None] * pull
        dissipation = jnp.sum(state.shares * (readout**2 + jnp.sum(weights**2, -1)))
        return Motion(Particles(readout, weights, jnp.zeros_like(state.shares)), dissipation)

    def risk(self, state):
        charge = state.shares * state.readout
        target, own = (jnp.sum(charge * along(state.weights, pull)) for pull in self.pulls(state))
        return half_square(self.target.energy, target, own)

    def check(self, state):
        _check_kind("ParticleSystem", state, Particles)
        check_start("ParticleSystem", state.shares)
        check_room("ParticleSystem", self.target, state.dim)


class ReducedSystem(AbstractSystem[ReducedParticles]):
    """Orbits `(a, b_H, r)` under the rotations of H⊥, exact in the limit of infinite width, for a
    target `f_H(x_H)`.

    Arguments: `target`, on standard normal inputs, whose `target.dim` coordinates are H; `far = d −
    d_H ≥ 1`; `nodes` for the average over the angle of two orthogonal parts (two are exact for `far
    = 1`). Static: all but the target, whose dtype is that of the system when `dtype` is left out.
    Cost: `O(m² nodes)` a velocity, for any `d`. The average converges exponentially but for
    particles of one direction: there the risk errs like `nodes^−(far+2)` and the velocity like
    `nodes^−far` (16 nodes: 2e-10 and 2e-8 for far = 7, 6e-8 and 1e-5 for far = 3, of the charges of
    such pairs). It stays a gradient flow whose risk falls and whose particles stay balanced, for
    any nodes.
    """

    target: AbstractTarget
    far: int = eqx.field(static=True)
    cosines: Float[Array, " nodes"]
    weights: Float[Array, " nodes"]

    def __init__(self, target: AbstractTarget, far: int, *, nodes: int = 16, dtype=None):
        check_dims("ReducedSystem", target.dim, far)
        check_law("ReducedSystem", target.inputs)
        if not isinstance(target.inputs, StandardNormal):
            raise ValueError(
                "ReducedSystem: given a target on Gaussian inputs with a covariance; expected "
                "StandardNormal(), for rotations of H⊥ must leave the law as it is: rescale x, or "
                "use ParticleSystem"
            )
        self.target, self.far = target, far
        check_count("ReducedSystem", nodes=nodes)
        dtypes = {leaf.dtype for leaf in jax.tree.leaves(eqx.filter(target, eqx.is_inexact_array))}
        dtype = dtype or (jnp.result_type(*dtypes) if dtypes else jnp.result_type(float))
        self.cosines, self.weights = (
            jnp.asarray(each, dtype) for each in coordinate_rule(far, nodes)
        )

    def pulls(self, state: ReducedParticles) -> tuple[Float[Array, "m p"], Float[Array, "m p"]]:
        """As of `ParticleSystem`, in the coordinates `(b_H, r)`."""
        at = state.stacked
        own = averaged_pull(at, at, state.shares * state.readout, self.cosines, self.weights)
        return self.target.pull(at), own

    def motion(self, state):
        target, own = self.pulls(state)
        pull = target - own
        readout, weights = along(state.stacked, pull), state.readout[:, None] * pull
        dissipation = jnp.sum(state.shares * (readout**2 + jnp.sum(weights**2, -1)))
        velocity = ReducedParticles(
            readout, weights[:, :-1], weights[:, -1], jnp.zeros_like(state.shares)
        )
        return Motion(velocity, dissipation)

    def risk(self, state):
        charge = state.shares * state.readout
        target, own = (jnp.sum(charge * along(state.stacked, pull)) for pull in self.pulls(state))
        return half_square(self.target.energy, target, own)

    def check(self, state):
        _check_kind("ReducedSystem", state, ReducedParticles)
        check_start("ReducedSystem", state.shares)
        check_range("ReducedSystem", "far", state.far, 0, jnp.inf)
        if state.near.shape[-1] != self.target.dim:
            raise ValueError(
                f"ReducedSystem: given particles with {state.near.shape[-1]} coordinates in H for "
                f"a target of {self.target.dim}; expected the same; reduce the start with "
                f"near={self.target.dim}"
            )


def _check_kind(where: str, state, kind: type) -> None:
    if not isinstance(state, kind):
        raise ValueError(
            f"{where}: given a start of type {type(state).__name__}; expected {kind.__name__}; see "
            "uniform_start, reduced_start, reduce_particles and lift"
        )
