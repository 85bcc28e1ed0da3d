"""The target `‖x_H‖`, whose pull on a neuron depends on the neuron's angle alone.

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

from jaxcompress._internal.deprecation import renamed_arguments, renamed_attribute
from jaxcompress.infinite_width._rules import check_dims, gamma_ratio
from jaxcompress.infinite_width._targets import AbstractFlowTarget
from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.special.internal import divide, sqrt

# For d_H = 2 the profile has a term θ⁴ log θ at θ = 0, and the Chebyshev coefficients of T′ fall
# like n^−7: 1e-17 at 384. Smoother profiles are cut where their coefficients have reached rounding.
_NODES = 384


class AngleProfile(eqx.Module):
    """`T(θ)` and `T′(θ)` on [0, π/2] from their Chebyshev series; errors 4e-16 of `T`, 4e-15 of
    `T′`.

    Arguments: `dim_target = d_H` (static); `dtype`, the default float type when left out.

    Example: `value, derivative = AngleProfile(3)(angles)`.
    """

    series: Float[Array, "n 2"]

    @renamed_arguments(near="dim_target")
    def __init__(self, dim_target: int, dtype=None):
        self.series = jnp.asarray(_series(dim_target), dtype or jnp.result_type(float))

    def __call__(self, angle: Float[Array, " m"]) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
        turn = jnp.arccos(jnp.clip(angle * (4 / math.pi) - 1, -1, 1))
        orders = jnp.arange(self.series.shape[0], dtype=angle.dtype)
        both = jnp.matmul(jnp.cos(turn[:, None] * orders[None]), self.series, precision="highest")
        return both[:, 0], both[:, 1]


@lru_cache(maxsize=64)
def _series(dim_target: int) -> NDArray:
    """Chebyshev coefficients of both functions in `4θ/π − 1`, on the host.

    `T` is integrated from `T′`: SciPy's ₂F₁(−½, −½; ·) has lost two digits for odd d_H.
    """
    grid = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
    theta, half = (grid + 1) * np.pi / 4, dim_target / 2
    scale = gamma_ratio(half) / math.sqrt(math.pi)
    slope = -scale * np.sin(2 * theta) / (4 * half) * _hypergeometric(half + 1, np.cos(theta) ** 2)
    slope = scipy.fft.dct(slope) / _NODES
    slope[0] /= 2
    noise = np.abs(slope[-32:]).max()
    slope = slope[: np.nonzero(np.abs(slope) > 6 * noise)[0].max() + 1]
    value = chebyshev.chebint(slope, scl=np.pi / 4, lbnd=1, k=scale)
    return np.stack([value, np.append(slope, 0)], -1)


def _hypergeometric(c: float, u: NDArray) -> NDArray:
    """`₂F₁(½, ½; c; u)`: SciPy's for small `c`, from 20 on the power series (100 terms leave
    1e-18).
    """
    if c < 20:
        return scipy.special.hyp2f1(0.5, 0.5, c, u)
    n = np.arange(100)
    terms = np.cumprod((n + 0.5) ** 2 / ((n + 1) * (n + c)))
    return 1 + (terms * u[:, None] ** (n + 1)).sum(-1)


@renamed_arguments(near="dim_target")
def norm_mass(dim_target: int) -> float:
    """`α = 2√π Γ((d_H+1)/2)/Γ(d_H/2)`, the mass of the only minimiser `α δ_0` against `‖x_H‖`.

    Raises `ValueError` unless `dim_target ≥ 1`.

    Example: `norm_mass(1) == 2.0`.
    """
    check_dims("norm_mass", dim_target, 1)
    return 2 * math.sqrt(math.pi) * gamma_ratio(dim_target / 2)


class NormTarget(AbstractFlowTarget):
    """`f*(x) = ‖x_H‖` on standard normal inputs, where H are the first `dim_target` coordinates.

    Raises `ValueError` unless `dim_target ≥ 1`.

    Example: `flow(ParticleSystem(NormTarget(3)), uniform_start(key, 512, 10), [1.0, 2.0])`.
    """

    dim_target: int = eqx.field(static=True)
    profile: AngleProfile
    inputs: AbstractInputs

    near = renamed_attribute("near", "dim_target")

    @renamed_arguments(near="dim_target")
    def __init__(self, dim_target: int, *, dtype=None):
        check_dims("NormTarget", dim_target, 1)
        self.dim_target, self.profile, self.inputs = (
            dim_target,
            AngleProfile(dim_target, dtype),
            StandardNormal(),
        )

    @property
    def dim(self) -> int:
        return self.dim_target

    @property
    def energy(self) -> Float[Array, ""]:
        return jnp.asarray(self.dim_target, self.profile.series.dtype)

    def pull(self, weights):
        """The gradient of `‖b‖ T(θ)`, by `∂θ/∂b = (−sinθ b̂_H, cosθ b̂_⊥)/‖b‖`."""
        in_target, in_rest = weights[:, : self.dim_target], weights[:, self.dim_target :]
        length = sqrt(jnp.sum(in_target * in_target, -1))
        length_rest = sqrt(jnp.sum(in_rest * in_rest, -1))
        norm = sqrt(length**2 + length_rest**2)
        cos, sin = divide(length, norm), divide(length_rest, norm)
        value, slope = self.profile(jnp.arctan2(length_rest, length))
        by_target, by_rest = value * cos - slope * sin, value * sin + slope * cos
        return jnp.concatenate(
            [
                divide(by_target, length)[:, None] * in_target,
                divide(by_rest, length_rest)[:, None] * in_rest,
            ],
            -1,
        )
