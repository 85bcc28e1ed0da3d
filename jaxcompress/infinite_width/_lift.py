"""Back from orbits to particles: nets of any width that a reduced flow stands for."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.infinite_width._particles import AngleParticles, Particles, ReducedParticles
from jaxcompress.infinite_width._rules import check_dims
from jaxcompress.special.internal import sqrt

# Weights of one lifted net: 8 GiB in float64.
_MOST = 2**30


def lift(
    particles: ReducedParticles, far: int, *, key: Array | None = None, copies: int | None = None
) -> Particles:
    """Every orbit `(a, b_H, r)` as particles `(a, (b_H, r s))` with directions `s` in H⊥, its share
    divided among them.

    Arguments: one state, without leading axes; `far = d_⊥`; without `key` the `2·far` directions
    `±e_i`, exact for `far = 1`; with it `copies` pairs of opposite random directions, drawn for
    each orbit.
    Returns `Particles`; the function is that of the orbit as far as its directions fill the sphere.
    Raises `ValueError` for leading axes, `far` below 1, more than 10⁹ weights, or only one of `key`
    and `copies`.
    """
    check_dims("lift", particles.near.shape[-1], far)
    if (
        particles.shares.ndim != 1
        or (key is None) != (copies is None)
        or (copies is not None and copies < 1)
    ):
        raise ValueError(
            f"lift: given shares {particles.shares.shape}, copies={copies} and "
            f"{'no' if key is None else 'a'} key; expected one state, and key and copies ≥ 1 "
            "together or none; pick a state with path.at(i)"
        )
    m, dtype = particles.shares.shape[0], particles.shares.dtype
    entries = m * 2 * (far if copies is None else copies) * (particles.near.shape[1] + far)
    if entries > _MOST:
        raise ValueError(
            f"lift: given {m} orbits and far={far}, which make {entries:.1e} weights; expected at "
            f"most {_MOST:.1e}; pass key and fewer copies"
        )
    if key is None or copies is None:
        directions = jnp.broadcast_to(jnp.eye(far, dtype=dtype)[None], (m, far, far))
    else:
        rows = jax.random.normal(key, (m, copies, far), dtype)
        directions = rows / jnp.linalg.norm(rows, axis=-1, keepdims=True)
    directions = jnp.concatenate([directions, -directions], 1)
    each = directions.shape[1]
    near = jnp.repeat(particles.near, each, axis=0)
    rest = (particles.far[:, None, None] * directions).reshape(-1, far)
    readout, shares = (jnp.repeat(x, each) for x in (particles.readout, particles.shares / each))
    return Particles(readout, jnp.concatenate([near, rest], -1), shares)


def lift_angles(particles: AngleParticles, near: int) -> ReducedParticles:
    """Every `(θ, c)` as `2·near` balanced orbits: `b_H = ±√|c| cosθ e_i`, `r = √|c| sinθ`, `a =
    sign(c) √|c|`.

    Exact for `near = 1`. Raises `ValueError` for leading axes or `near` below 1.
    """
    check_dims("lift_angles", near, 1)
    if particles.shares.ndim != 1:
        raise ValueError(
            f"lift_angles: given shares {particles.shares.shape}; expected one state; pick one "
            "with path.at(i)"
        )
    axes = jnp.eye(near, dtype=particles.shares.dtype)
    axes, norm = jnp.concatenate([axes, -axes]), sqrt(jnp.abs(particles.mass))
    rows = ((norm * jnp.cos(particles.angle))[:, None, None] * axes[None]).reshape(-1, near)
    each = 2 * near
    readout, far, shares = (
        jnp.repeat(x, each)
        for x in (
            jnp.sign(particles.mass) * norm,
            norm * jnp.sin(particles.angle),
            particles.shares / each,
        )
    )
    return ReducedParticles(readout, rows, far, shares)
