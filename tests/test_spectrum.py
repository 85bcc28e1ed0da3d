"""Eigenvalues without vectors, against NumPy's."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcompress.solvers._spectrum import eigenvalues


def _symmetric(size, dtype, count=3):
    square = np.random.default_rng(size).normal(size=(count, size, size))
    return (square + np.swapaxes(square, 1, 2)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 2, 24, 130])
def test_eigenvalues_are_those_of_numpy_however_matrices_are_batched(size, dtype):
    """Worst case: 28 units of rounding of the largest (130 unknowns, float64)."""
    matrices = _symmetric(size, dtype)
    wanted = np.linalg.eigvalsh(matrices.astype("float64"))
    lower = jnp.asarray(np.tril(matrices))  # the upper triangle is not looked at
    for values in (
        jax.jit(eigenvalues)(lower),
        jax.jit(jax.vmap(eigenvalues))(lower),
        jax.jit(lambda all: jax.lax.map(eigenvalues, all))(lower),
    ):
        assert values.dtype == dtype
        allowed = 80 * float(jnp.finfo(dtype).eps) * np.abs(wanted).max()
        np.testing.assert_allclose(values, wanted, rtol=0, atol=allowed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("size", [1, 2, 24])
def test_a_matrix_that_is_not_finite_has_no_eigenvalues_and_spoils_no_other(size, bad, dtype):
    matrices = _symmetric(size, dtype)
    broken = matrices.copy()
    broken[1, -1, 0] = bad
    values = jax.jit(eigenvalues)(jnp.asarray(broken))
    assert np.all(np.isnan(values[1]))
    np.testing.assert_array_equal(values[::2], jax.jit(eigenvalues)(jnp.asarray(matrices))[::2])


@pytest.mark.parametrize("call", ["eigenvalues", "jax.jit(eigenvalues)"])
def test_eigenvalues_may_be_the_first_that_a_process_asks_of_lapack(call):
    """Which must have been loaded before it is called."""
    script = (
        "import jax, jax.numpy as jnp; from jaxcompress.solvers._spectrum import eigenvalues; "
        f"print({call}(jnp.diag(jnp.arange(3.0))))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[0. 1. 2.]"
