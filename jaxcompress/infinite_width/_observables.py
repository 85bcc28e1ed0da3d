"""Observables of a flow: the measures τ^±, their distance to the limit, the predictor."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray
from scipy.special import betainc

from jaxcompress._internal.deprecation import renamed_arguments
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
from jaxcompress.infinite_width._targets import AbstractFlowTarget
from jaxcompress.special.internal import divide


class Signed(NamedTuple):
    """One number of τ⁺ and one of τ⁻.

    Example: `masses(state).plus`.
    """

    plus: Float[Array, "*times"]
    minus: Float[Array, "*times"]


def masses(state: AngleParticles) -> Signed:
    """`∫ dτ⁺` and `∫ dτ⁻`, for any leading axes.

    Example: `masses(path.states).plus`.
    """
    return Signed(*(jnp.sum(charge, -1) for charge in signed(state)))


def alignment(state: AngleParticles) -> Signed:
    """`∫ cos²θ dτ^± / ∫ dτ^±`: one in H, zero in H⊥, and zero where there is no mass.

    Example: `alignment(path.states).minus`.
    """
    cos2 = jnp.cos(state.angle) ** 2
    return Signed(
        *(divide(jnp.sum(cos2 * charge, -1), jnp.sum(charge, -1)) for charge in signed(state))
    )


class LimitDistance(NamedTuple):
    """The distance from the only minimiser `α δ_0`.

    - `wasserstein`: the W₁ distance of τ⁺, scaled to mass one, from δ_0, in radians
    - `mass_gap`: `∫dτ⁺ − α`
    - `minus`: the mass that is left of τ⁻

    Example: `limit_distance(path.states, dim_target=3).mass_gap`.
    """

    wasserstein: Float[Array, "*times"]
    mass_gap: Float[Array, "*times"]
    minus: Float[Array, "*times"]


@renamed_arguments(near="dim_target")
def limit_distance(state: AngleParticles, dim_target: int) -> LimitDistance:
    """The distance to the limit `α δ_0`; to a point mass, W₁ is the mean of the angle.

    Arguments: `state` with any leading axes; `dim_target = d_H`.

    Example: `limit_distance(path.states, dim_target=3).wasserstein`.
    """
    plus, _ = signed(state)
    mass = masses(state)
    mean = divide(jnp.sum(plus * state.angle, -1), mass.plus)
    return LimitDistance(mean, mass.plus - norm_mass(dim_target), mass.minus)


def angle_histogram(state: AngleParticles, bins: int = 40) -> tuple[NDArray, NDArray, NDArray]:
    """The densities of τ⁺ and τ⁻ over the angle, of one state, as a histogram in NumPy.

    Returns the edges `(bins + 1,)` on [0, π/2], and both densities `(bins,)`.
    Raises `ValueError` for a state with leading axes and for `bins` below 1.

    Example: `edges, plus, minus = angle_histogram(path.at(-1), bins=24)`.
    """
    check_count("angle_histogram", bins=bins)
    _check_one("angle_histogram", state)
    edges = np.linspace(0, np.pi / 2, bins + 1)
    angle = np.clip(np.asarray(state.angle), 0, np.pi / 2)
    plus, minus = (
        np.histogram(angle, edges, weights=np.asarray(each))[0] for each in signed(state)
    )
    return edges, plus / np.diff(edges), minus / np.diff(edges)


@renamed_arguments(near="dim_target", far="dim_rest")
def sphere_predictor(
    state: AngleParticles, dim_target: int, dim_rest: int, angles, *, nodes: int = 64
) -> NDArray:
    """`f(x)` on the unit sphere, for one state of `AngleSystem`; NumPy.

    `f = Σ share c E relu(A r + B s)`, `A = cosθ cosψ`, `B = sinθ sinψ`. The mean over the variable
    with the larger factor is closed, which smooths the kink of the other one, and that one has
    `nodes` Gauss nodes.

    Arguments:

    - `state`: one state
    - `dim_target`, `dim_rest`: `d_H` and `d_⊥`
    - `angles (…,)`: the angles `ψ` between `x` and H, in [0, π/2]
    - `nodes`: Gauss nodes

    Returns the values at the angles. The error is about `nodes^−2` of `|A|` where both factors are
    equal in low dimensions, and exponentially small otherwise.
    Raises `ValueError` for dimensions or nodes below 1, angles out of range, or leading axes.

    Example: `sphere_predictor(path.at(-1), 3, 7, np.linspace(0, np.pi / 2, 61))`.
    """
    check_dims("sphere_predictor", dim_target, dim_rest)
    check_count("sphere_predictor", nodes=nodes)
    _check_one("sphere_predictor", state)
    check_range("sphere_predictor", "angles", np.asarray(angles, np.float64), 0, np.pi / 2)
    theta, psi = np.asarray(state.angle, np.float64), np.asarray(angles, np.float64)
    one, other = np.outer(np.cos(psi), np.cos(theta)), np.outer(np.sin(psi), np.sin(theta))
    larger = np.abs(one) >= np.abs(other)
    value = np.where(
        larger,
        _hinge(one, other, dim_target, dim_rest, nodes),
        _hinge(other, one, dim_rest, dim_target, nodes),
    )
    return value @ np.asarray(state.shares * state.mass, np.float64)


def _check_one(where: str, state) -> None:
    if state.shares.ndim != 1:
        raise ValueError(
            f"{where}: given shares {state.shares.shape}; expected one state (m,); select one with "
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


@renamed_arguments(near="dim_target", far="dim_rest")
def conditional_variance(
    particles: Particles | ReducedParticles,
    dim_target: int,
    dim_rest: int | None = None,
    *,
    nodes: int = 16,
) -> Float[Array, ""]:
    """`E Var[f(x) | x_H]`: how much of the predictor depends on the coordinates outside H.

    Inputs are standard normal. In closed form it is `Σ_ij q_i q_j (g(b_i, b_j) − g_H(b_i, b_j))`,
    where `g_H` has the covariance of the H parts alone.

    Arguments:

    - `particles`: one state
    - `dim_target`: `d_H`, for `ReducedParticles` the number of coordinates that they have in H
    - `dim_rest`: `d_⊥`, for `ReducedParticles` only
    - `nodes`: Gauss nodes of the average over an angle, for `ReducedParticles` only

    Raises `ValueError` for leading axes and for dimensions that do not fit.

    Example: `conditional_variance(path.at(-1), dim_target=2)`.
    """
    _check_one("conditional_variance", particles)
    check_count("conditional_variance", nodes=nodes)
    if isinstance(particles, ReducedParticles):
        most = particles.weights_target.shape[-1]
        fits = dim_target == most and dim_rest is not None
    else:
        most = particles.dim
        fits = 1 <= dim_target <= most and dim_rest is None
    if not fits:
        raise ValueError(
            f"conditional_variance: given dim_target={dim_target} and dim_rest={dim_rest} for "
            f"{type(particles).__name__} of {most} coordinates; expected dim_target of them (all, "
            "and dim_rest, for orbits); pass d_H, and d − d_H for orbits only"
        )
    if dim_rest is None:
        rule = None
    else:
        check_dims("conditional_variance", dim_target, dim_rest)
        rule = coordinate_rule(dim_rest, nodes)
    return _conditional_variance(particles, dim_target, rule)


@jitted
def _conditional_variance(
    particles: Particles | ReducedParticles, dim_target: int, rule: tuple[NDArray, NDArray] | None
) -> Array:
    charge = particles.shares * particles.readout
    if isinstance(particles, ReducedParticles):
        assert rule is not None
        at = particles.stacked
        whole = averaged_pull(at, at, charge, *(jnp.asarray(each, charge.dtype) for each in rule))
    else:
        at = particles.weights
        whole = network_pull(at, at, charge)
    alone = network_pull(at, at, charge, at.at[:, dim_target:].set(0))
    return jnp.maximum(jnp.sum(charge * along(at, whole - alone)), 0)


@jitted
def function_gap(particles: Particles, target: AbstractFlowTarget) -> Float[Array, ""]:
    """`√E (f − f*)²` of one state: the root of the risk, without a factor ½.

    With `linear_target` it is the distance from a linear predictor. The square is right to 1e-15 of
    `E f² + E f*²`: a result below 3e-8 of their root is rounding, or zero.

    Example: `function_gap(path.at(-1), linear_target(w))`.
    """
    return jnp.sqrt(2 * ParticleSystem(target).half_risk(particles))
