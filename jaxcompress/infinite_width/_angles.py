"""The angle dynamics against `‖x_H‖`: particles `(θ, c)` under the rotations of H and of H⊥."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.infinite_width._angle_kernels import AbstractAngleKernel, Spectral
from jaxcompress.infinite_width._norm_target import AngleProfile
from jaxcompress.infinite_width._particles import AngleParticles, check_range, check_start
from jaxcompress.infinite_width._rules import check_count, check_dims, share_rule
from jaxcompress.infinite_width._system import AbstractSystem, Motion, half_square

# The same in every dimension, so that a step costs the same; see `AngleSystem`.
_MODES = 128


class AngleSystem(AbstractSystem[AngleParticles]):
    """`c′ = 2|c| G(θ)`, `θ′ = sign(c) G′(θ)`, `G = T − ∫ K(·,θ′) d(τ⁺ − τ⁻)`: the flow against
    `‖x_H‖`.

    As a PDE `∂_t τ^± = ∓∂_θ(G′ τ^±) ± 2G τ^±`; `F = ½[d_H − 2∫T dτ + ∬K dτ dτ]`; `dF/dt = −∫(2G² +
    G′²) d|τ|`.
    Arguments: `near = d_H`, `far = d − d_H`; `kernel`, `Spectral` with 128 modes when left out, in
    any dimension. They leave 4e-12 of K at (3, 7), 4e-9 at (1, 1), 2e-8 at (3, 10⁶ − 3), and most
    where one of the dimensions is one and the other large: 7e-8 at (1, 9), 4e-7 at (30, 1), 9e-7 at
    (1, 60), 1e-5 at (1, 10⁶), where both angles are zero, or π/2 (`system.kernel.tail`). With any
    kernel it is a flow of gradients whose risk falls. The risk at (3, 10⁶ − 3), times 4 and 12, is
    the same to all digits with 512 modes. A velocity costs `O(particles × modes)`. Static: the
    dimensions.
    Reference: Hajjar & Chizat 2022, the section on `‖x_H‖`.
    """

    near: int = eqx.field(static=True)
    far: int = eqx.field(static=True)
    profile: AngleProfile
    kernel: AbstractAngleKernel

    def __init__(
        self, near: int, far: int, *, kernel: AbstractAngleKernel | None = None, dtype=None
    ):
        check_dims("AngleSystem", near, far)
        self.near, self.far, self.profile = near, far, AngleProfile(near, dtype)
        self.kernel = Spectral(near, far, modes=_MODES, dtype=dtype) if kernel is None else kernel
        if self.kernel.dims != (near, far):
            raise ValueError(
                f"AngleSystem: given a kernel for (d_H, d_⊥) = {self.kernel.dims} in "
                f"{(near, far)}; expected the same; make it with {near}, {far}"
            )

    def potential(
        self, state: AngleParticles, at: Float[Array, " n"] | None = None
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """`G` and `V = G′` at angles, those of the particles when left out."""
        at = state.angle if at is None else at
        value, slope = self.profile(at)
        own, own_slope = self.kernel.sums(at, state.angle, state.shares * state.mass)
        return value - own, slope - own_slope

    def motion(self, state):
        height, drift = self.potential(state)
        size, sign = jnp.abs(state.mass), jnp.sign(state.mass)
        velocity = AngleParticles(sign * drift, 2 * size * height, jnp.zeros_like(state.shares))
        return Motion(velocity, jnp.sum(state.shares * size * (2 * height**2 + drift**2)))

    def risk(self, state):
        charge = state.shares * state.mass
        own, _ = self.kernel.sums(state.angle, state.angle, charge)
        energy = jnp.asarray(self.near, charge.dtype)
        return half_square(
            energy, jnp.sum(charge * self.profile(state.angle)[0]), jnp.sum(charge * own)
        )

    def check(self, state):
        if not isinstance(state, AngleParticles):
            raise ValueError(
                f"AngleSystem: given a start of type {type(state).__name__}; expected "
                "AngleParticles; see angle_start and to_angles"
            )
        check_start("AngleSystem", state.shares)
        check_range("AngleSystem", "angle", state.angle, 0, np.pi / 2)


def angle_start(near: int, far: int, nodes: int, *, dtype=None) -> AngleParticles:
    """The balanced start of infinite width: θ from the Gauss nodes of `cos²θ ~ Beta(d_H/2, d_⊥/2)`,
    `c = ±1`.

    Returns `2·nodes` particles, first those of `c = 1`; each has half a Gauss weight as its share.
    Results converge exponentially in `nodes` where both dimensions are three or more (from 50 to
    200 nodes 1e-13 of the risk at (3, 7), time 4); in low dimensions like a power, for K has a kink
    where angles are equal (5e-9 at (1, 1)).
    Raises `ValueError` for dimensions or nodes below 1.
    """
    check_dims("angle_start", near, far)
    check_count("angle_start", nodes=nodes)
    u, weights = share_rule(near, far, nodes)
    angle = np.arccos(np.sqrt(u))
    sign = np.repeat([1.0, -1.0], nodes)
    dtype = dtype or jnp.result_type(float)
    return AngleParticles(
        *(jnp.asarray(each, dtype) for each in (np.tile(angle, 2), sign, np.tile(weights, 2) / 2))
    )


def signed(state: AngleParticles) -> tuple[Array, Array]:
    """The masses `share·|c|` of τ⁺ and of τ⁻, zero for the particles of the other sign."""
    charge = state.shares * state.mass
    return jnp.maximum(charge, 0), jnp.maximum(-charge, 0)
