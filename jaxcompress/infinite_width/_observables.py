"""What to look at along a flow: the measures τ^±, how near they are to their limit, the
predictor.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray
from scipy.special import betainc

from jaxcompress._internal.jit import jitted
from jaxcompress.infinite_width._angles import signed
from jaxcompress.infinite_width._norm_target import norm_mass
from jaxcompress.infinite_width._pairs import along, averaged_pull, network_pull
from jaxcompress.infinite_width._particles import (
    AngleParticles,
    Particles,
    ReducedParticles,
    check_range,
)
from jaxcompress.infinite_width._rules import check_count, check_dims, coordinate_rule, gamma_ratio
from jaxcompress.infinite_width._system import ParticleSystem
from jaxcompress.infinite_width._targets import AbstractTarget
from jaxcompress.special.internal import divide


class Signed(NamedTuple):
    """One number of τ⁺ and one of τ⁻."""

    plus: Float[Array, "*times"]
    minus: Float[Array, "*times"]


def masses(state: AngleParticles) -> Signed:
    """`∫ dτ⁺`, `∫ dτ⁻`, for any leading axes."""
    return Signed(*(jnp.sum(charge, -1) for charge in signed(state)))


def alignment(state: AngleParticles) -> Signed:
    """`∫ cos²θ dτ^± / ∫ dτ^±`: one in H, zero in H⊥; zero without mass."""
    cos2 = jnp.cos(state.angle) ** 2
    return Signed(
        *(divide(jnp.sum(cos2 * charge, -1), jnp.sum(charge, -1)) for charge in signed(state))
    )


class LimitDistance(NamedTuple):
    """How far from the only minimiser `α δ_0`: `wasserstein`, the W₁ of τ⁺ (of mass one) from δ_0,
    in radians; `mass_gap`, `∫dτ⁺ − α`; `minus`, what is left of τ⁻."""

    wasserstein: Float[Array, "*times"]
    mass_gap: Float[Array, "*times"]
    minus: Float[Array, "*times"]


def limit_distance(state: AngleParticles, near: int) -> LimitDistance:
    """The distance to the limit; to a point mass W₁ is the mean of the angle."""
    plus, _ = signed(state)
    mass = masses(state)
    mean = divide(jnp.sum(plus * state.angle, -1), mass.plus)
    return LimitDistance(mean, mass.plus - norm_mass(near), mass.minus)


def angle_histogram(state: AngleParticles, bins: int = 40) -> tuple[NDArray, NDArray, NDArray]:
    """Edges `(bins + 1,)` on [0, π/2], and the densities of τ⁺ and τ⁻ `(bins,)`, of one state;
    NumPy.
    """
    check_count("angle_histogram", bins=bins)
    _check_one("angle_histogram", state)
    edges = np.linspace(0, np.pi / 2, bins + 1)
    angle = np.clip(np.asarray(state.angle), 0, np.pi / 2)
    plus, minus = (
        np.histogram(angle, edges, weights=np.asarray(each))[0] for each in signed(state)
    )
    return edges, plus / np.diff(edges), minus / np.diff(edges)


def sphere_predictor(
    state: AngleParticles, near: int, far: int, angles, *, nodes: int = 64
) -> NDArray:
    """`f(x)` on the unit sphere at the angles of `x` from H, for one state of `AngleSystem`; NumPy.

    `f = Σ share c E relu(A r + B s)`, `A = cosθ cosψ`, `B = sinθ sinψ`; the mean over the variable
    with the larger factor is closed, which smooths the other's kink; that one has `nodes` Gauss
    nodes. Error about `nodes^−2` of `|A|` where both factors are equal in low dimensions, else
    exponentially small.
    """
    check_dims("sphere_predictor", near, far)
    check_count("sphere_predictor", nodes=nodes)
    _check_one("sphere_predictor", state)
    check_range("sphere_predictor", "angles", np.asarray(angles, np.float64), 0, np.pi / 2)
    theta, psi = np.asarray(state.angle, np.float64), np.asarray(angles, np.float64)
    one, other = np.outer(np.cos(psi), np.cos(theta)), np.outer(np.sin(psi), np.sin(theta))
    larger = np.abs(one) >= np.abs(other)
    value = np.where(
        larger, _hinge(one, other, near, far, nodes), _hinge(other, one, far, near, nodes)
    )
    return value @ np.asarray(state.shares * state.mass, np.float64)


def _check_one(where: str, state) -> None:
    if state.shares.ndim != 1:
        raise ValueError(
            f"{where}: given shares {state.shares.shape}; expected one state (m,); pick one with "
            "path.at(i)"
        )


def _hinge(scale: NDArray, shift: NDArray, dim: int, other: int, nodes: int) -> NDArray:
    """`E relu(scale·s + shift·r)`, closed in `s` of `dim` dimensions."""
    total = np.zeros_like(scale)
    for r, weight in zip(*coordinate_rule(other, nodes), strict=True):
        cut = np.clip(
            np.divide(-shift * r, scale, out=np.zeros_like(scale), where=scale != 0), -1, 1
        )
        if dim == 1:
            mean = (np.maximum(scale + shift * r, 0) + np.maximum(shift * r - scale, 0)) / 2
        else:
            above = np.where(cut > 0, 0.5 * betainc((dim - 1) / 2, 0.5, 1 - cut**2), 0)
            above = np.where(cut > 0, above, 1 - 0.5 * betainc((dim - 1) / 2, 0.5, 1 - cut**2))
            edge = (
                gamma_ratio((dim - 1) / 2)
                / np.sqrt(np.pi)
                / (dim - 1)
                * (1 - cut**2) ** ((dim - 1) / 2)
            )
            mean = scale * edge + shift * r * above
        total += weight * mean
    return total


@jitted
def far_dependence(
    particles: Particles | ReducedParticles, near: int, far: int | None = None, *, nodes: int = 16
) -> Float[Array, ""]:
    """`E Var[f(x) | x_H]`: how much of the predictor depends on the other coordinates, on standard
    normal inputs.

    Closed form: `Σ_ij q_i q_j (g(b_i, b_j) − g_H(b_i, b_j))`, where `g_H` has the covariance of the
    H parts alone.
    Arguments: one state; for `ReducedParticles` also `far = d − d_H`, and `nodes` for the average
    over an angle.
    """
    _check_one("far_dependence", particles)
    check_count("far_dependence", nodes=nodes)
    orbits = isinstance(particles, ReducedParticles)
    most = particles.near.shape[-1] if isinstance(particles, ReducedParticles) else particles.dim
    if not (near == most if orbits else 1 <= near <= most) or orbits != (far is not None):
        raise ValueError(
            f"far_dependence: given near={near} and far={far} for {type(particles).__name__} of "
            f"{most} coordinates; expected near of them (all, and far, for orbits); pass d_H, and "
            "d − d_H for orbits only"
        )
    charge = particles.shares * particles.readout
    if isinstance(particles, ReducedParticles):
        check_dims("far_dependence", near, far)  # type: ignore[arg-type]
        rule = (jnp.asarray(each, charge.dtype) for each in coordinate_rule(far or 1, nodes))
        at = particles.stacked
        whole = averaged_pull(at, at, charge, *rule)
    else:
        at = particles.weights
        whole = network_pull(at, at, charge)
    alone = network_pull(at, at, charge, at.at[:, near:].set(0))
    return jnp.maximum(jnp.sum(charge * along(at, whole - alone)), 0)


@jitted
def function_gap(particles: Particles, target: AbstractTarget) -> Float[Array, ""]:
    """`√E (f − f*)²` of one state; with `linear_target` the distance from a linear predictor. No ½
    here.

    The square is right to 1e-15 of `E f² + E f*²`: what is below 3e-8 of their root is rounding, or
    zero.
    """
    return jnp.sqrt(2 * ParticleSystem(target).risk(particles))
