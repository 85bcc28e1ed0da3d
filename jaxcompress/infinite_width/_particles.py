"""The three kinds of particles: whole neurons, orbits under a symmetry, and angles.

Shares are the weights of the particles under the probability distribution μ: `f(x) = Σ_i share_i
a_i relu(b_i·x)`, `Σ share_i = 1`; the flow does not move them.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import (
    as_array,
    as_integer,
    check_finite,
    check_floating,
    is_concrete,
)
from jaxcompress._internal.deprecation import renamed_arguments, renamed_attribute
from jaxcompress.kernels import activations
from jaxcompress.networks import TwoLayer
from jaxcompress.special.internal import sqrt


class Particles(eqx.Module):
    """Neurons `(a, b)` of a network in mean-field scaling.

    Arguments (of one floating dtype):

    - `readout (*runs, m)`: the `a`
    - `weights (*runs, m, d)`: the `b`
    - `shares (*runs, m)`: positive with sum one; `1/m` when left out

    Raises `ValueError` for shapes or dtypes that do not fit.

    Example: `Particles([1.0, -1.0], [[1.0, 0.0], [0.0, 1.0]]).network()`.
    """

    readout: Float[Array, "*runs m"]
    weights: Float[Array, "*runs m d"]
    shares: Float[Array, "*runs m"]

    def __init__(self, readout, weights, shares=None):
        self.readout = as_array("Particles", "readout", readout)
        self.weights = as_array("Particles", "weights", weights)
        self.shares = _shares("Particles", self.readout, shares)
        _check("Particles", self, {"weights": 1})

    @property
    def width(self) -> int:
        """Number of particles `m`."""
        return self.weights.shape[-2]

    @property
    def dim(self) -> int:
        """Input dimension `d`."""
        return self.weights.shape[-1]

    @property
    def balance(self) -> Float[Array, "*runs m"]:
        """`a² − ‖b‖²`, which the flow conserves."""
        return self.readout**2 - jnp.sum(self.weights**2, -1)

    def network(self) -> TwoLayer:
        """The same function as a `TwoLayer`, its readout `share·a`."""
        return TwoLayer(self.weights, self.shares * self.readout, activation=activations.relu)


class ReducedParticles(eqx.Module):
    """Orbits `(a, b_H, r = ‖b_⊥‖)` under the rotations of H⊥.

    Arguments (of one floating dtype):

    - `readout (*runs, m)`: the `a`
    - `weights_target (*runs, m, d_H)`: the `b_H`, the weights of the coordinates that the target
      reads
    - `norm_rest (*runs, m)`: the `r ≥ 0`, the norm of the weights of all others
    - `shares (*runs, m)`: as in `Particles`

    Raises `ValueError` for shapes or dtypes that do not fit.

    Example: `reduce_particles(particles, dim_target=2)`, `reduced_start(key, 256, 2, 10**6)`.
    """

    readout: Float[Array, "*runs m"]
    weights_target: Float[Array, "*runs m h"]
    norm_rest: Float[Array, "*runs m"]
    shares: Float[Array, "*runs m"]

    near = renamed_attribute("near", "weights_target")
    far = renamed_attribute("far", "norm_rest")

    @renamed_arguments(near="weights_target", far="norm_rest")
    def __init__(self, readout, weights_target, norm_rest, shares=None):
        self.readout = as_array("ReducedParticles", "readout", readout)
        self.weights_target = as_array("ReducedParticles", "weights_target", weights_target)
        self.norm_rest = as_array("ReducedParticles", "norm_rest", norm_rest)
        self.shares = _shares("ReducedParticles", self.readout, shares)
        _check("ReducedParticles", self, {"weights_target": 1})

    @property
    def balance(self) -> Float[Array, "*runs m"]:
        """`a² − ‖b‖²`, which the flow conserves."""
        return self.readout**2 - jnp.sum(self.weights_target**2, -1) - self.norm_rest**2

    @property
    def stacked(self) -> Float[Array, "*runs m h+1"]:
        """`(b_H, r)`."""
        return jnp.concatenate([self.weights_target, self.norm_rest[..., None]], -1)


class AngleParticles(eqx.Module):
    """Orbits of balanced particles under the rotations of H and of H⊥: `b/‖b‖ = cosθ s_H + sinθ
    s_⊥`.

    The measure τ⁺ − τ⁻ has the mass `share·c` at `θ`. Arguments (of one floating dtype):

    - `angle (*runs, m)`: the `θ` in [0, π/2]
    - `mass (*runs, m)`: the signed `c = a‖b‖`
    - `shares (*runs, m)`: as in `Particles`

    Raises `ValueError` for shapes or dtypes that do not fit.

    Example: `angle_start(3, 7, nodes=100)`, `to_angles(orbits)`.
    """

    angle: Float[Array, "*runs m"]
    mass: Float[Array, "*runs m"]
    shares: Float[Array, "*runs m"]

    def __init__(self, angle, mass, shares=None):
        self.angle = as_array("AngleParticles", "angle", angle)
        self.mass = as_array("AngleParticles", "mass", mass)
        self.shares = _shares("AngleParticles", self.mass, shares)
        _check("AngleParticles", self, {})


def _shares(where: str, like: Array, shares) -> Array:
    if shares is not None:
        return as_array(where, "shares", shares)
    return jnp.full(like.shape, 1 / max(1, like.shape[-1] if like.ndim else 1), like.dtype)


def _check(where: str, particles, longer: dict[str, int]) -> None:
    arrays = {name: getattr(particles, name) for name in particles.__dataclass_fields__}
    check_floating(where, **arrays)
    check_finite(where, **arrays)
    lead = particles.shares.shape
    fits = all(
        array.ndim == len(lead) + longer.get(name, 0) and array.shape[: len(lead)] == lead
        for name, array in arrays.items()
    )
    if not fits or not lead or lead[-1] < 1:
        given = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(
            f"{where}: given {given}; expected one number a particle, and one row a particle in "
            f"{', '.join(longer) or 'nothing'}, with the same leading axes on all; transpose or "
            "reshape what differs"
        )


def check_start(where: str, shares: Array) -> None:
    """Raise `ValueError` unless the shares are a probability distribution.

    Velocities have the same type, and their shares need not be one.
    """
    check_range(where, "shares", shares, 0, 1)
    if is_concrete(shares) and np.abs(np.asarray(shares).sum(-1) - 1).max() > slack(shares):
        raise ValueError(
            f"{where}: given shares whose sum is not one; expected one; divide them by their sum"
        )


def check_range(where: str, name: str, values, least: float, most: float) -> None:
    """Raise `ValueError` for concrete numbers outside `[least, most]` by more than `slack`."""
    if is_concrete(values):
        array = np.asarray(values)
        if not np.all((array >= least - slack(array)) & (array <= most + slack(array))):
            raise ValueError(
                f"{where}: given {name} from {array.min():.6g} to {array.max():.6g}; expected "
                f"{least:.6g} to {most:.6g}; change those that are out of it"
            )


def slack(array) -> float:
    """How far the steps of a flow may leave a constraint: 1e-6, and 3e-3 in float32."""
    return 1e-6 if array.dtype == np.float64 else 3e-3


@renamed_arguments(near="dim_target")
def reduce_particles(particles: Particles, dim_target: int) -> ReducedParticles:
    """`(a, b) ↦ (a, b_H, ‖b_⊥‖)`, where H are the first `dim_target` coordinates.

    The places of the particles within their orbits are lost: the reduced flow is that of whole
    orbits.
    Raises `ValueError` unless `1 ≤ dim_target < d`.

    Example: `reduce_particles(uniform_start(key, 512, 10), dim_target=3)`.
    """
    if not 1 <= (as_integer(dim_target) or 0) < particles.dim:
        raise ValueError(
            f"reduce_particles: given dim_target={dim_target!r} for particles in {particles.dim} "
            f"dimensions; expected 1 ≤ dim_target < {particles.dim}; H must be smaller than the "
            "space"
        )
    norm_rest = sqrt(jnp.sum(particles.weights[..., dim_target:] ** 2, -1))
    return ReducedParticles(
        particles.readout, particles.weights[..., :dim_target], norm_rest, particles.shares
    )


def to_angles(particles: ReducedParticles, *, tolerance: float | None = None) -> AngleParticles:
    """Balanced orbits by their angles, `θ = atan2(r, ‖b_H‖)`, and signed masses, `c = a‖b‖`.

    Raises `ValueError` where `|a² − ‖b‖²|` is above `tolerance` (1e-8; 1e-4 in float32) times `a²`.

    Example: `to_angles(reduced_start(key, 256, 3, 7))`.
    """
    norm_target = sqrt(jnp.sum(particles.weights_target**2, -1))
    if tolerance is None:
        tolerance = 1e-8 if particles.readout.dtype == jnp.float64 else 1e-4
    if is_concrete(particles.readout):
        gap, size = np.abs(np.asarray(particles.balance)), np.asarray(particles.readout) ** 2
        if not np.all(gap <= tolerance * size):
            raise ValueError(
                f"to_angles: given particles with |a² − ‖b‖²| up to {gap.max():.1e}; expected "
                "balanced orbits, |a| = ‖b‖; use ReducedSystem for others, whose angles do not "
                "determine how they move"
            )
    norm = sqrt(norm_target**2 + particles.norm_rest**2)
    return AngleParticles(
        jnp.arctan2(particles.norm_rest, norm_target), particles.readout * norm, particles.shares
    )
