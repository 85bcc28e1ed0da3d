"""The eigenvalues of symmetric matrices, without the eigenvectors where the platform can leave them
out.

On a CPU `jnp.linalg.eigvalsh` computes all eigenvectors and drops them. LAPACK's `syevd` without
them takes half of the time (400 unknowns, one core: 5.9 against 11.9 ms); by reduction to
tridiagonal form and bisection, both of JAX, it is 7.5 ms.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# The calls by which JAX itself lowers `eigh` on a CPU, among those that `jax.export` keeps for
# good.
_SYEVD = {"float32": "lapack_ssyevd_ffi", "float64": "lapack_dsyevd_ffi"}


def eigenvalues(matrix: Float[Array, "*batch P P"]) -> Float[Array, "*batch P"]:
    """The eigenvalues, ascending, from the lower triangle; NaN where an entry of the matrix is not
    finite.
    """
    values = jax.lax.platform_dependent(matrix, cpu=_without_vectors, default=_by_jax)
    # LAPACK may pass over NaN: with two unknowns it returns numbers
    return jnp.where(jnp.all(jnp.isfinite(matrix), axis=(-2, -1))[..., None], values, jnp.nan)


def _without_vectors(matrix: Array) -> Array:
    """By LAPACK; NaN where that gives up."""
    _load_lapack()
    batch, size = matrix.shape[:-2], matrix.shape[-1]
    shapes = [
        jax.ShapeDtypeStruct(shape, dtype)
        for shape, dtype in (
            (matrix.shape, matrix.dtype),
            ((*batch, size), matrix.dtype),
            (batch, jnp.int32),
        )
    ]
    syevd = jax.ffi.ffi_call(_SYEVD[str(matrix.dtype)], shapes, vmap_method="broadcast_all")
    # rows are LAPACK's columns: its upper triangle is the lower one here
    _, values, failed = syevd(matrix, mode=np.uint8(ord("N")), uplo=np.uint8(ord("U")))
    return jnp.where((failed == 0)[..., None], values, jnp.nan)


@functools.cache
def _load_lapack() -> None:
    """JAX loads LAPACK when it lowers a call of its own, and before that no target may be called:
    lower one.
    """
    one = jax.ShapeDtypeStruct((1, 1), jnp.float32)
    jax.jit(jnp.linalg.cholesky).trace(one).lower(lowering_platforms=("cpu",))


def _by_jax(matrix: Array) -> Array:
    return jnp.linalg.eigvalsh(matrix, symmetrize_input=False)
