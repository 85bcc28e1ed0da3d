"""The target `‖x_H‖`: its pull on a neuron by the neuron's angle alone.

`E[‖x_H‖ relu(u·x)] = T(θ)` for a unit vector at the angle θ from H,
`T(θ) = C ₂F₁(−½, −½; d_H/2; cos²θ)`, `C = Γ((d_H+1)/2)/(√π Γ(d_H/2))`, whatever the dimension.
"""

import math
from functools import lru_cache

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.fft
import scipy.special
from jaxtyping import Array, Float
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from jaxcompress.infinite_width._rules import check_dims, gamma_ratio
from jaxcompress.infinite_width._targets import AbstractTarget
from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.special.internal import divide, sqrt

# For d_H = 2 there is θ⁴ log θ at θ = 0, and Chebyshev coefficients of T′ fall like n^−7: 1e-17 at
# 384. What is smooth is cut where its coefficients have reached rounding.
_NODES = 384


class AngleProfile(eqx.Module):
    """`T(θ)` and `T′(θ)` on [0, π/2], from their Chebyshev series; to 4e-16 of `T`, and 4e-15 for
    `T′`.
    """

    series: Float[Array, "n 2"]

    def __init__(self, near: int, dtype=None):
        self.series = jnp.asarray(_series(near), dtype or jnp.result_type(float))

    def __call__(self, angle: Float[Array, " m"]) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
        turn = jnp.arccos(jnp.clip(angle * (4 / math.pi) - 1, -1, 1))
        orders = jnp.arange(self.series.shape[0], dtype=angle.dtype)
        both = jnp.matmul(jnp.cos(turn[:, None] * orders[None]), self.series, precision="highest")
        return both[:, 0], both[:, 1]


@lru_cache(maxsize=64)
def _series(near: int) -> NDArray:
    """Chebyshev coefficients of both functions in `4θ/π − 1`, on the host.

    `T` is integrated from `T′`: SciPy's ₂F₁(−½, −½; ·) has lost two digits for odd d_H.
    """
    grid = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
    theta, half = (grid + 1) * np.pi / 4, near / 2
    scale = gamma_ratio(half) / math.sqrt(math.pi)
    slope = -scale * np.sin(2 * theta) / (4 * half) * _bent(half + 1, np.cos(theta) ** 2)
    slope = scipy.fft.dct(slope) / _NODES
    slope[0] /= 2
    noise = np.abs(slope[-32:]).max()
    slope = slope[: np.nonzero(np.abs(slope) > 6 * noise)[0].max() + 1]
    value = chebyshev.chebint(slope, scl=np.pi / 4, lbnd=1, k=scale)
    return np.stack([value, np.append(slope, 0)], -1)


def _bent(c: float, u: NDArray) -> NDArray:
    """`₂F₁(½, ½; c; u)`; SciPy's for small `c`, and from 20 on its power series, of which 100 terms
    leave 1e-18.
    """
    if c < 20:
        return scipy.special.hyp2f1(0.5, 0.5, c, u)
    n = np.arange(100)
    terms = np.cumprod((n + 0.5) ** 2 / ((n + 1) * (n + c)))
    return 1 + (terms * u[:, None] ** (n + 1)).sum(-1)


def norm_mass(near: int) -> float:
    """`α = 2√π Γ((d_H+1)/2)/Γ(d_H/2)`: the mass at θ = 0 of the only minimiser, `α δ_0`, against
    `‖x_H‖`.
    """
    check_dims("norm_mass", near, 1)
    return 2 * math.sqrt(math.pi) * gamma_ratio(near / 2)


class NormTarget(AbstractTarget):
    """`f*(x) = ‖x_H‖`, `H` the first `near` coordinates, on standard normal inputs.

    Raises `ValueError` unless `near ≥ 1`.
    """

    near: int = eqx.field(static=True)
    profile: AngleProfile
    inputs: AbstractInputs

    def __init__(self, near: int, *, dtype=None):
        check_dims("NormTarget", near, 1)
        self.near, self.profile, self.inputs = near, AngleProfile(near, dtype), StandardNormal()

    @property
    def dim(self) -> int:
        return self.near

    @property
    def energy(self) -> Float[Array, ""]:
        return jnp.asarray(self.near, self.profile.series.dtype)

    def pull(self, weights):
        """The gradient of `‖b‖ T(θ)`, by `∂θ/∂b = (−sinθ b̂_H, cosθ b̂_⊥)/‖b‖`."""
        near, rest = weights[:, : self.near], weights[:, self.near :]
        length, far = sqrt(jnp.sum(near * near, -1)), sqrt(jnp.sum(rest * rest, -1))
        norm = sqrt(length**2 + far**2)
        cos, sin = divide(length, norm), divide(far, norm)
        value, slope = self.profile(jnp.arctan2(far, length))
        by_near, by_far = value * cos - slope * sin, value * sin + slope * cos
        return jnp.concatenate(
            [divide(by_near, length)[:, None] * near, divide(by_far, far)[:, None] * rest], -1
        )
