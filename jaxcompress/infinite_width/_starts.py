"""Balanced initial points: `b` uniform on the unit sphere, `a = ±1`.

Run `i` draws from `fold_in(key, i)`; `b` from `fold_in(·, 0)`, signs from `fold_in(·, 1)`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress._internal.deprecation import renamed_arguments
from jaxcompress.infinite_width._particles import Particles, ReducedParticles
from jaxcompress.infinite_width._rules import check_dims


def uniform_start(
    key: Array, width: int, dim: int, *, runs: int | None = None, dtype=None
) -> Particles:
    """`width` independent particles, the sign of each a fair coin.

    Arguments:

    - `key`: a key of JAX
    - `width`, `dim`: `m` and `d` (static)
    - `runs`: with it (static), every array has a leading axis of this length
    - `dtype`: the default float type when left out

    Returns `Particles`.
    Raises `ValueError` for sizes below 1.

    Example: `uniform_start(jax.random.key(0), 512, 10)`.
    """

    def one(key: Array) -> Particles:
        sign = jax.random.rademacher(jax.random.fold_in(key, 1), (width,), dtype)
        return Particles(sign, _sphere(jax.random.fold_in(key, 0), width, dim, dtype))

    dtype = _checked("uniform_start", width, dim, runs, 1, dtype)
    return _repeated(one, key, runs)


def paired_start(
    key: Array, width: int, dim: int, *, runs: int | None = None, dtype=None
) -> Particles:
    """`width/2` independent particles `(a, b)`, then their opposites `(−a, −b)`: against an odd
    target the predictor stays odd.

    Arguments, returns and errors as for `uniform_start`; `ValueError` also for an odd width.

    Example: `paired_start(jax.random.key(0), 512, 10)`.
    """

    def one(key: Array) -> Particles:
        half = uniform_start(key, width // 2, dim, dtype=dtype)
        return Particles(*(jnp.concatenate([x, -x]) for x in (half.readout, half.weights)))

    dtype = _checked("paired_start", width, dim, runs, 2, dtype)
    return _repeated(one, key, runs)


def doubled_start(
    key: Array, width: int, dim: int, *, runs: int | None = None, dtype=None
) -> Particles:
    """`width/2` directions, each with `a = 1`, then with `a = −1`: the predictor is zero.

    Arguments, returns and errors as for `uniform_start`; `ValueError` also for an odd width.

    Example: `doubled_start(jax.random.key(0), 512, 10)`.
    """

    def one(key: Array) -> Particles:
        weights = _sphere(jax.random.fold_in(key, 0), width // 2, dim, dtype)
        sign = jnp.ones((width // 2,), dtype)
        return Particles(jnp.concatenate([sign, -sign]), jnp.concatenate([weights, weights]))

    dtype = _checked("doubled_start", width, dim, runs, 2, dtype)
    return _repeated(one, key, runs)


@renamed_arguments(near="dim_target", far="dim_rest")
def reduced_start(
    key: Array, width: int, dim_target: int, dim_rest: int, *, runs: int | None = None, dtype=None
) -> ReducedParticles:
    """`width/2` independent orbits of uniform directions, each with `a = 1` and with `a = −1`.

    `r²` is drawn from its distribution, so that the cost does not depend on `dim_rest`.

    Arguments:

    - `key`: a key of JAX
    - `width`: the number of orbits `m`, even (static)
    - `dim_target`, `dim_rest`: `d_H` and `d_⊥` (static)
    - `runs`: with it (static), every array has a leading axis of this length
    - `dtype`: the default float type when left out

    Returns `ReducedParticles`.
    Raises `ValueError` for dimensions below 1 or an odd width.

    Example: `reduced_start(jax.random.key(0), 256, 2, 10**6)`.
    """
    check_dims("reduced_start", dim_target, dim_rest)

    def one(key: Array) -> ReducedParticles:
        half = width // 2
        across = jax.random.normal(jax.random.fold_in(key, 0), (half, dim_target), dtype)
        along = jnp.sqrt(
            2 * jax.random.gamma(jax.random.fold_in(key, 1), dim_rest / 2, (half,), dtype)
        )
        norm = jnp.sqrt(jnp.sum(across**2, -1) + along**2)
        sign = jnp.ones((half,), dtype)
        both = (jnp.concatenate([x, x]) for x in (across / norm[:, None], along / norm))
        return ReducedParticles(jnp.concatenate([sign, -sign]), *both)

    dtype = _checked("reduced_start", width, dim_target, runs, 2, dtype)
    return _repeated(one, key, runs)


def _sphere(key: Array, width: int, dim: int, dtype) -> Array:
    rows = jax.random.normal(key, (width, dim), dtype)
    return rows / jnp.linalg.norm(rows, axis=-1, keepdims=True)


def _repeated(one: Callable, key: Array, runs: int | None):
    if runs is None:
        return one(key)
    return jax.vmap(lambda i: one(jax.random.fold_in(key, i)))(jnp.arange(runs))


def _checked(where: str, width: int, dim: int, runs: int | None, by: int, dtype):
    if min(width, dim, 1 if runs is None else runs) < 1 or width % by:
        raise ValueError(
            f"{where}: given width {width}, dim {dim}, runs {runs}; expected all at least "
            f"1{'' if by == 1 else ' and an even width, because particles come in pairs'}; "
            "change what differs"
        )
    return dtype or jnp.result_type(float)
