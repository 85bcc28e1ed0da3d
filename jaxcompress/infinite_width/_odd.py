"""Odd targets: the predictor is linear, and second moments or a closed form say how it moves.

With a start that `(a, b) ↦ (−a, −b)` leaves invariant, `f = w·x` and every particle obeys `a′ = ½
g·b`, `b′ = ½ a g`, `g = E[f*(x) x] − Σw`. The second moments `M = E[(a,b)(a,b)ᵀ]` close: `M′ = ½(GM
+ MG)`, `G = [[0, gᵀ], [g, 0]]`, `w = M_{0b}/2`. `F = ½ E (f* − f)²`, with the ½.
"""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import is_concrete
from jaxcompress.infinite_width._laws import best_linear, times_covariance
from jaxcompress.infinite_width._particles import Particles
from jaxcompress.infinite_width._system import AbstractSystem, Motion, half_square
from jaxcompress.infinite_width._targets import AbstractTarget, check_room
from jaxcompress.kernels import AbstractInputs, Gaussian

# Directions at which a target is asked whether it is odd: to a neuron, an odd one looks the same
# from all.
_DIRECTIONS = 8


def odd_moment(target: AbstractTarget, dim: int) -> Float[Array, " d"]:
    """`E[f*(x) x]` of an odd target.

    An odd target pulls on all neurons alike, by half of this; asked at eight directions and their
    opposites.
    Raises `ValueError` where the pulls differ by more than rounding: then the target is not odd.
    (Even parts that no ReLU sees do not exist; odd parts of degree three and more are seen by
    none.)
    """
    check_room("odd_moment", target, dim)
    rows = np.random.default_rng(0).standard_normal((_DIRECTIONS, dim))
    energy = target.energy
    pulls = target.pull(jnp.asarray(np.concatenate([rows, -rows]), energy.dtype))
    if is_concrete(pulls):
        spread, size = np.ptp(np.asarray(pulls), axis=0).max(), float(jnp.sqrt(energy))
        if spread > 1e4 * float(jnp.finfo(energy.dtype).eps) * size:
            raise ValueError(
                f"odd_moment: given a target whose pull on neurons differs by {spread:.1e} between "
                "directions; expected an odd target, f*(−x) = −f*(x); take its odd part, or use "
                "ParticleSystem"
            )
    return 2 * jnp.mean(pulls, 0)


class MomentSystem(AbstractSystem[Float[Array, "d+1 d+1"]]):
    """The flow of the second moments `M`, for any centred input law, exact for every start that is
    odd.

    Arguments: an odd `target`; `dim = d`.
    Cost: `O(d²)` a velocity.
    Raises `ValueError` for a target that is not odd.
    """

    rank: ClassVar[int] = 2
    moment: Float[Array, " d"]
    energy: Float[Array, ""]
    inputs: AbstractInputs

    def __init__(self, target: AbstractTarget, dim: int):
        self.moment, self.energy, self.inputs = (
            odd_moment(target, dim),
            target.energy,
            target.inputs,
        )

    def drive(self, state: Float[Array, "d+1 d+1"]) -> Float[Array, " d"]:
        """`g`."""
        return self.moment - times_covariance(self.inputs, predictor(state))

    def motion(self, state):
        g = self.drive(state)
        drive = jnp.zeros_like(state).at[0, 1:].set(g).at[1:, 0].set(g)
        half = 0.5 * jnp.matmul(drive, state, precision="highest")
        speed = 0.25 * (state[0, 0] * g + jnp.matmul(state[1:, 1:], g, precision="highest"))
        return Motion(half + half.T, jnp.dot(g, speed, precision="highest"))

    def risk(self, state):
        w = predictor(state)
        return half_square(self.energy, w @ self.moment, w @ times_covariance(self.inputs, w))

    def optimum(self) -> Float[Array, " d"]:
        """`w* = Σ⁺ E[f*(x) x]`."""
        return best_linear(self.inputs, self.moment)

    def contraction(self, state: Float[Array, "d+1 d+1"]) -> Float[Array, ""]:
        """`2 λ_min(H) λ_min(Σ)`, `H = ¼(E[a²] I + E[bbᵀ])`: at least the rate of `F − F*` now."""
        least = jnp.linalg.eigvalsh(state[1:, 1:])[0]
        law = (
            jnp.linalg.eigvalsh(self.inputs.covariance)[0]
            if isinstance(self.inputs, Gaussian)
            else 1
        )
        return 0.5 * (state[0, 0] + least) * law

    def check(self, state):
        size = self.moment.shape[0] + 1
        if not eqx.is_array(state) or state.shape[-2:] != (size, size):
            raise ValueError(
                "MomentSystem: given a start of shape "
                f"{getattr(state, 'shape', type(state).__name__)}; expected second moments "
                f"({size}, {size}) of (a, b); see second_moments and isotropic_moments"
            )


def predictor(state: Float[Array, "*lead d+1 d+1"]) -> Float[Array, "*lead d"]:
    """`w = ½ E[ab]`."""
    return 0.5 * state[..., 0, 1:]


def second_moments(particles: Particles) -> Float[Array, "*runs d+1 d+1"]:
    """`M = Σ share (a,b)(a,b)ᵀ`."""
    rows = jnp.concatenate([particles.readout[..., None], particles.weights], -1)
    return jnp.einsum("...m,...mi,...mj->...ij", particles.shares, rows, rows, precision="highest")


def isotropic_moments(dim: int, *, dtype=None) -> Float[Array, "d+1 d+1"]:
    """`M` of the balanced start of infinite width: `a = ±1`, `b` uniform on the sphere."""
    return jnp.diag(jnp.asarray([1.0] + [1 / dim] * dim, dtype or jnp.result_type(float)))


class IsotropicOdd(eqx.Module):
    """The closed form for `Σ = vI` and the balanced start of infinite width (Hajjar & Chizat 2022).

    With `V = 1 + 1/d`, `W = ‖w*‖`, `R = √(W² + V²/16)`, `T = tanh(vRt/2)`, `q = WT/(R + VT/4)`:
    `w(t) = (V/2) q/(1−q²) w*/W`, `1 − q = (V²/(16(R+W)) + VT/4 + W(1−T))/(R + VT/4)`, so that
    nothing cancels: to 3e-15 at any time, for `W` from 0 to 1e20.
    Arguments: an odd `target` and `dim = d`.
    Raises `ValueError` for a target that is not odd or a law with `Σ ≠ vI` (under a trace the
    covariance is taken at its word).
    """

    optimum: Float[Array, " d"]
    variance: Float[Array, ""]
    energy: Float[Array, ""]

    def __init__(self, target: AbstractTarget, dim: int):
        moment = odd_moment(target, dim)
        variance = jnp.ones((), moment.dtype)
        if isinstance(target.inputs, Gaussian):
            given, variance = target.inputs.covariance, target.inputs.covariance[0, 0]
            covariance = np.asarray(given) if is_concrete(given) else np.eye(dim)
            error = 5e3 * float(jnp.finfo(moment.dtype).eps)
            if (
                not np.abs(covariance - covariance[0, 0] * np.eye(dim)).max()
                <= error * covariance[0, 0]
                > 0
            ):
                raise ValueError(
                    "IsotropicOdd: given a covariance that is no positive multiple of I; expected "
                    "vI; use MomentSystem"
                )
        self.optimum, self.variance, self.energy = moment / variance, variance, target.energy

    @property
    def _letters(self) -> tuple[Array, Array, Array]:
        V = jnp.asarray(1 + 1 / self.optimum.shape[0], self.optimum.dtype)
        W = jnp.linalg.norm(self.optimum)
        return V, W, jnp.hypot(W, V / 4)

    @property
    def rate(self) -> Float[Array, ""]:
        """The asymptotic rate of `‖w − w*‖`, `v√(W² + V²/16)`."""
        return self.variance * self._letters[2]

    def norm(self, times: Float[Array, " times"]) -> Float[Array, " times"]:
        """`‖w(t)‖`."""
        V, _, _ = self._letters
        q, short, _ = self._ratio(times)
        return 0.5 * V * q / (short * (1 + q))

    def distance(self, times: Float[Array, " times"]) -> Float[Array, " times"]:
        """`‖w(t) − w*‖`, with all its digits also where it is tiny."""
        V, W, R = self._letters
        q, short, rest = self._ratio(times)
        last = W / (R + V / 4)
        return W * (R / (R + V * (1 - rest) / 4)) * rest * (1 + q * last) / (short * (1 + q))

    def predictor(self, times: Float[Array, " times"]) -> Float[Array, "times d"]:
        """`w(t)`."""
        W = self._letters[1]
        direction = jnp.where(W > 0, self.optimum / jnp.where(W > 0, W, 1), 0)
        return self.norm(times)[:, None] * direction[None]

    def risk(self, times: Float[Array, " times"]) -> Float[Array, " times"]:
        """`F(t)`, with the ½."""
        least = half_square(
            self.energy, jnp.zeros_like(self.energy), -self.variance * self._letters[1] ** 2
        )
        return least + 0.5 * self.variance * self.distance(times) ** 2

    def bound(self, times: Float[Array, " times"]) -> Float[Array, " times"]:
        """`W exp(−vVt/4) ≥ ‖w(t) − w*‖` at all times."""
        V, W, _ = self._letters
        return W * jnp.exp(-self.variance * V * times / 4)

    def _ratio(self, times: Array) -> tuple[Array, Array, Array]:
        """`q`, `1 − q` and `1 − T`."""
        V, W, R = self._letters
        decay = jnp.exp(-self.variance * R * times)
        T = -jnp.expm1(-self.variance * R * times) / (1 + decay)
        rest = 2 * decay / (1 + decay)
        below = R + V * T / 4
        return W * T / below, (V**2 / (16 * (R + W)) + V * T / 4 + W * rest) / below, rest


def linear_part(particles: Particles) -> Float[Array, "*runs d"]:
    """`½ Σ share a b`: the predictor's linear part, all of it for an odd law."""
    charge = particles.shares * particles.readout
    return 0.5 * jnp.einsum("...m,...md->...d", charge, particles.weights, precision="highest")
