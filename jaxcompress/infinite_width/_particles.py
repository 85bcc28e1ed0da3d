"""The three kinds of particles: all of a neuron, what a symmetry leaves of it, and its angle.

Shares are the weights of the particles under the law μ: `f(x) = Σ_i share_i a_i relu(b_i·x)`, `Σ
share_i = 1`; they do not move.
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
from jaxcompress.kernels import activations
from jaxcompress.networks import TwoLayer
from jaxcompress.special.internal import sqrt


class Particles(eqx.Module):
    """Neurons `(a, b)` of a network in mean-field scaling.

    Arguments: `readout (*runs, m)`, the `a`; `weights (*runs, m, d)`, the `b`; `shares (*runs, m)`,
    positive with sum one, `1/m` when left out; one floating dtype.
    Raises `ValueError` for shapes or dtypes that do not fit.
    """

    readout: Float[Array, "*runs m"]
    weights: Float[Array, "*runs m d"]
    shares: Float[Array, "*runs m"]

    def __init__(self, readout, weights, shares=None):
        self.readout, self.weights = (
            as_array("Particles", "readout", readout),
            as_array("Particles", "weights", weights),
        )
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
        """`a² − ‖b‖²`, which the flow keeps."""
        return self.readout**2 - jnp.sum(self.weights**2, -1)

    def network(self) -> TwoLayer:
        """The same function as a `TwoLayer`, its readout `share·a`."""
        return TwoLayer(self.weights, self.shares * self.readout, activation=activations.relu)


class ReducedParticles(eqx.Module):
    """Orbits `(a, b_H, r = ‖b_⊥‖)` under the rotations of H⊥.

    Arguments: `readout (*runs, m)`; `near (*runs, m, d_H)`; `far (*runs, m)`, not negative;
    `shares` as in `Particles`.
    Raises `ValueError` for shapes or dtypes that do not fit.
    """

    readout: Float[Array, "*runs m"]
    near: Float[Array, "*runs m h"]
    far: Float[Array, "*runs m"]
    shares: Float[Array, "*runs m"]

    def __init__(self, readout, near, far, shares=None):
        self.readout = as_array("ReducedParticles", "readout", readout)
        self.near, self.far = (
            as_array("ReducedParticles", "near", near),
            as_array("ReducedParticles", "far", far),
        )
        self.shares = _shares("ReducedParticles", self.readout, shares)
        _check("ReducedParticles", self, {"near": 1})

    @property
    def balance(self) -> Float[Array, "*runs m"]:
        """`a² − ‖b‖²`, which the flow keeps."""
        return self.readout**2 - jnp.sum(self.near**2, -1) - self.far**2

    @property
    def stacked(self) -> Float[Array, "*runs m h+1"]:
        """`(b_H, r)`."""
        return jnp.concatenate([self.near, self.far[..., None]], -1)


class AngleParticles(eqx.Module):
    """Orbits of balanced particles under the rotations of H and of H⊥: `b/‖b‖ = cosθ s_H + sinθ
    s_⊥`.

    Arguments: `angle (*runs, m)`, the θ in [0, π/2]; `mass (*runs, m)`, the signed `c = a‖b‖`;
    `shares` as in `Particles`. The measure τ⁺ − τ⁻ has `share·c` at `θ`.
    Raises `ValueError` for shapes or dtypes that do not fit.
    """

    angle: Float[Array, "*runs m"]
    mass: Float[Array, "*runs m"]
    shares: Float[Array, "*runs m"]

    def __init__(self, angle, mass, shares=None):
        self.angle, self.mass = (
            as_array("AngleParticles", "angle", angle),
            as_array("AngleParticles", "mass", mass),
        )
        self.shares = _shares("AngleParticles", self.mass, shares)
        _check("AngleParticles", self, {})


def _shares(where: str, like: Array, shares) -> Array:
    return (
        jnp.full(like.shape, 1 / max(1, like.shape[-1] if like.ndim else 1), like.dtype)
        if shares is None
        else (as_array(where, "shares", shares))
    )


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
    """Raise `ValueError` unless the shares of a start are a law: velocities, of the same type, need
    not be one.
    """
    check_range(where, "shares", shares, 0, 1)
    if is_concrete(shares) and np.abs(np.asarray(shares).sum(-1) - 1).max() > slack(shares):
        raise ValueError(
            f"{where}: given shares whose sum is not one; expected a law; divide them by their sum"
        )


def check_range(where: str, name: str, values, least: float, most: float) -> None:
    """Raise `ValueError` for concrete numbers out of `[least, most]` by more than a flow's steps
    may leave.
    """
    if is_concrete(values):
        array = np.asarray(values)
        if not np.all((array >= least - slack(array)) & (array <= most + slack(array))):
            raise ValueError(
                f"{where}: given {name} from {array.min():.6g} to {array.max():.6g}; expected "
                f"{least:.6g} to {most:.6g}; change those that are out of it"
            )


def slack(array) -> float:
    """1e-6 of one, 3e-3 in float32."""
    return 1e-6 if array.dtype == np.float64 else 3e-3


def reduce_particles(particles: Particles, near: int) -> ReducedParticles:
    """`(a, b) ↦ (a, b_H, ‖b_⊥‖)`; `H` are the first `near` coordinates.

    What is lost is where the particles of an orbit were: the reduced flow is that of the whole
    orbit.
    Raises `ValueError` unless `1 ≤ near < d`.
    """
    if not 1 <= (as_integer(near) or 0) < particles.dim:
        raise ValueError(
            f"reduce_particles: given near={near!r} for particles in {particles.dim} dimensions; "
            f"expected 1 ≤ near < {particles.dim}; H must be smaller than the space"
        )
    far = sqrt(jnp.sum(particles.weights[..., near:] ** 2, -1))
    return ReducedParticles(particles.readout, particles.weights[..., :near], far, particles.shares)


def to_angles(particles: ReducedParticles, *, tolerance: float | None = None) -> AngleParticles:
    """Balanced orbits by their angles, `θ = atan2(r, ‖b_H‖)`, and signed masses, `c = a‖b‖`.

    Raises `ValueError` where `|a² − ‖b‖²|` is above `tolerance` (1e-8; 1e-4 in float32) times `a²`.
    """
    near = sqrt(jnp.sum(particles.near**2, -1))
    if tolerance is None:
        tolerance = 1e-8 if particles.readout.dtype == jnp.float64 else 1e-4
    if is_concrete(particles.readout):
        gap, size = np.abs(np.asarray(particles.balance)), np.asarray(particles.readout) ** 2
        if not np.all(gap <= tolerance * size):
            raise ValueError(
                f"to_angles: given particles with |a² − ‖b‖²| up to {gap.max():.1e}; expected a "
                "balanced start, |a| = ‖b‖; the angle alone does not say how the others move"
            )
    norm = sqrt(near**2 + particles.far**2)
    return AngleParticles(
        jnp.arctan2(particles.far, near), particles.readout * norm, particles.shares
    )
