"""Back from orbits to particles: networks of any width that a reduced flow describes."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress._internal.deprecation import renamed_arguments
from jaxcompress.infinite_width._particles import AngleParticles, Particles, ReducedParticles
from jaxcompress.infinite_width._rules import check_dims
from jaxcompress.special.internal import sqrt

# The most weights of a lifted network: 8 GiB in float64.
_MOST = 2**30


@renamed_arguments(far="dim_rest")
def lift(
    particles: ReducedParticles,
    dim_rest: int,
    *,
    key: Array | None = None,
    copies: int | None = None,
) -> Particles:
    """Replace every orbit `(a, b_H, r)` by particles `(a, (b_H, r s))` with directions `s` in H⊥.

    The share of an orbit is divided among its particles.

    Arguments:

    - `particles`: one state, without leading axes
    - `dim_rest`: `d_⊥` (static)
    - `key`, `copies`: left out, `s` are the `2·d_⊥` directions `±e_i`, exact for `d_⊥ = 1`; given
      (`copies` static), `copies` pairs of opposite random directions, drawn for each orbit

    Returns `Particles`, whose function approximates that of the orbits the better, the more evenly
    the directions fill the sphere.
    Raises `ValueError` for leading axes, `dim_rest` below 1, more than 10⁹ weights, or only one of
    `key` and `copies`.

    Example: `lift(path.at(-1), dim_rest=7).network()`.
    """
    check_dims("lift", particles.weights_target.shape[-1], dim_rest)
    if (
        particles.shares.ndim != 1
        or (key is None) != (copies is None)
        or (copies is not None and copies < 1)
    ):
        raise ValueError(
            f"lift: given shares {particles.shares.shape}, copies={copies} and "
            f"{'no' if key is None else 'a'} key; expected one state, and key and copies ≥ 1 "
            "together or none; select a state with path.at(i)"
        )
    m, dtype = particles.shares.shape[0], particles.shares.dtype
    entries = (
        m
        * 2
        * (dim_rest if copies is None else copies)
        * (particles.weights_target.shape[1] + dim_rest)
    )
    if entries > _MOST:
        raise ValueError(
            f"lift: given {m} orbits and dim_rest={dim_rest}, which make {entries:.1e} weights; "
            f"expected at most {_MOST:.1e}; pass key and fewer copies"
        )
    if key is None or copies is None:
        directions = jnp.broadcast_to(jnp.eye(dim_rest, dtype=dtype)[None], (m, dim_rest, dim_rest))
    else:
        rows = jax.random.normal(key, (m, copies, dim_rest), dtype)
        directions = rows / jnp.linalg.norm(rows, axis=-1, keepdims=True)
    directions = jnp.concatenate([directions, -directions], 1)
    each = directions.shape[1]
    in_target = jnp.repeat(particles.weights_target, each, axis=0)
    in_rest = (particles.norm_rest[:, None, None] * directions).reshape(-1, dim_rest)
    readout, shares = (jnp.repeat(x, each) for x in (particles.readout, particles.shares / each))
    return Particles(readout, jnp.concatenate([in_target, in_rest], -1), shares)


@renamed_arguments(near="dim_target")
def lift_angles(particles: AngleParticles, dim_target: int) -> ReducedParticles:
    """Replace every `(θ, c)` by `2·d_H` balanced orbits: `b_H = ±√|c| cosθ e_i`, `r = √|c| sinθ`,
    `a = sign(c) √|c|`.

    Arguments: `particles`, one state; `dim_target = d_H` (static). Exact for `d_H = 1`.
    Returns `ReducedParticles`.
    Raises `ValueError` for leading axes or `dim_target` below 1.

    Example: `lift(lift_angles(path.at(-1), dim_target=3), dim_rest=7)`.
    """
    check_dims("lift_angles", dim_target, 1)
    if particles.shares.ndim != 1:
        raise ValueError(
            f"lift_angles: given shares {particles.shares.shape}; expected one state; select one "
            "with path.at(i)"
        )
    axes = jnp.eye(dim_target, dtype=particles.shares.dtype)
    axes, norm = jnp.concatenate([axes, -axes]), sqrt(jnp.abs(particles.mass))
    rows = ((norm * jnp.cos(particles.angle))[:, None, None] * axes[None]).reshape(-1, dim_target)
    each = 2 * dim_target
    readout, norm_rest, shares = (
        jnp.repeat(x, each)
        for x in (
            jnp.sign(particles.mass) * norm,
            norm * jnp.sin(particles.angle),
            particles.shares / each,
        )
    )
    return ReducedParticles(readout, rows, norm_rest, shares)
