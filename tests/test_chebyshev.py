"""Runge–Kutta–Chebyshev: order, stability and cost, against SciPy's DOP853, NumPy's eigenvalues and
the exponential.
"""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from jaxcompress.solvers import Chebyshev
from jaxcompress.solvers._chebyshev import (
    chebyshev_step,
    longest_step,
    spectral_radius,
    stage_count,
)


def _matrix(eigenvalues, seed=0):
    """A symmetric matrix with these eigenvalues, and its eigenvectors in columns."""
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(eigenvalues),) * 2))
    return (basis * np.asarray(eigenvalues)) @ basis.T, basis


def _quartic(dim=5, seed=1):
    """The field `−Ay − y³` of `φ = yᵀAy/2 + Σy⁴/4`, slot by slot, and a start."""
    matrix, _ = _matrix(np.linspace(-1.0, 8.0, dim), seed)
    start = np.random.default_rng(seed).normal(size=dim)
    return lambda y: -jnp.asarray(matrix, y.dtype) @ y - y**3, start


def _integrate(field, y0, t1, rtol, max_stages=250, ts=None, atol=1e-9, max_steps=4096):
    return diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: field(y)),
        Chebyshev(max_stages),
        t0=0.0,
        t1=t1,
        dt0=None,
        y0=y0,
        saveat=diffrax.SaveAt(t1=ts is None, ts=ts, solver_state=True),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        max_steps=max_steps,
    )


@pytest.mark.parametrize("rho", [10.0, 2000.0])  # 2 stages a step, and 9 to 4
def test_halving_the_step_quarters_the_distance_to_dop853(rho):
    field, start = _quartic()
    exact = scipy.integrate.solve_ivp(
        lambda t, y: np.asarray(field(jnp.asarray(y))),
        (0, 1),
        start,
        method="DOP853",
        rtol=1e-12,
        atol=1e-13,
    ).y[:, -1]

    @jax.jit
    def end(steps):
        y = jnp.asarray(start)

        def step(_, carry):
            return chebyshev_step(field, *carry, 1 / steps, jnp.asarray(rho), 250)[:2]

        return jax.lax.fori_loop(0, steps, step, (y, field(y)))[0]

    errors = np.array([np.linalg.norm(end(steps) - exact) for steps in (40, 80, 160, 320)])
    orders = np.log2(errors[:-1] / errors[1:])
    assert np.all(np.abs(orders - 2) < 0.15)


def test_steps_of_any_number_of_stages_are_stable_as_far_as_promised():
    @jax.jit
    def multiplied(z, rho):
        one = jnp.ones((1, z.size))
        return chebyshev_step(lambda y: -z[None] * y, one, -z[None], jnp.asarray(1.0), rho, 250)

    for stages in (2, 3, 4, 10, 57, 250):
        rho = (1 - 1e-12) * longest_step(jnp.asarray(1.0), stages)
        y, _, _, used = multiplied(jnp.linspace(0, 1, 4001) * rho, rho)
        assert np.all(np.asarray(used) == stages)
        assert np.max(np.abs(y)) <= 1 + 1e-12


def test_a_stiff_linear_flow_ends_at_its_exponential_after_few_stages():
    eigenvalues = np.geomspace(1.0, 1e4, 24)
    matrix, basis = _matrix(eigenvalues)
    start = basis @ np.ones(24)
    calls = []

    def field(y):  # a tree, so that the raveling is tried too
        jax.debug.callback(lambda: calls.append(1))
        flat = -jnp.asarray(matrix) @ jnp.concatenate([y["first"], y["rest"].reshape(-1)])
        return {"first": flat[:4], "rest": flat[4:].reshape(5, 4)}

    y0 = {"first": jnp.asarray(start[:4]), "rest": jnp.asarray(start[4:].reshape(5, 4))}
    sol = _integrate(field, y0, 1.0, 1e-3, atol=1e-5)
    jax.effects_barrier()
    end = np.concatenate([sol.ys["first"][-1], np.asarray(sol.ys["rest"][-1]).reshape(-1)])
    assert np.linalg.norm(end - basis @ np.exp(-eigenvalues)) <= 1e-3  # 4.1e-4
    # stability alone would ask 5000 of Euler's method; 1093 of all evaluations, rejected steps and
    # Jacobians included
    assert len(calls) <= 1200
    assert int(sol.solver_state.stages) <= 1050  # 961, in 94 steps


def test_a_cap_on_the_stages_shortens_the_steps_and_nothing_else():
    matrix, basis = _matrix(np.geomspace(1.0, 1e4, 12))
    sol = _integrate(
        lambda y: -jnp.asarray(matrix) @ y,
        jnp.asarray(basis @ np.ones(12)),
        1.0,
        1e-2,
        max_stages=20,
    )
    assert int(sol.solver_state.stages) <= 20 * int(sol.stats["num_accepted_steps"])
    assert sol.stats["num_accepted_steps"] > 1.54 * 1e4 / (20**2 - 1)
    # 1e-5
    np.testing.assert_allclose(sol.ys[-1], basis @ np.exp(-np.geomspace(1.0, 1e4, 12)), atol=1e-3)
    with pytest.raises(ValueError, match="at least 2"):
        Chebyshev(1)


@pytest.mark.parametrize("seed", range(5))
def test_the_spectral_radius_is_bounded_within_its_safety_factor(seed):
    eigenvalues = np.append(np.random.default_rng(seed).uniform(-1, 3, 19), [3.5, -4.0])
    matrix, basis = _matrix(eigenvalues, seed)
    # a field with nothing along the vector that is sought
    slow = jnp.asarray(basis[:, :5] @ np.ones(5))

    @jax.jit
    def radius(start):
        return spectral_radius(lambda y: -jnp.asarray(matrix) @ y, jnp.zeros(21), slow, start)

    cold, v = radius(jnp.zeros(21))
    assert 4.0 <= cold <= 1.2 * 4.0 + 1e-12
    assert abs(jnp.sum(v * v) - 1) <= 1e-12
    warm, _ = radius(jnp.asarray(basis[:, -1]))
    assert 1.19 * 4.0 <= warm <= 1.2 * 4.0 + 1e-12
    v = jnp.asarray(basis[:, 0])
    for _ in range(10):  # a wrong vector is left; 4 calls at worst in these five
        mended, v = radius(v)
    assert 4.0 <= mended <= 1.2 * 4.0 + 1e-12


def test_slots_step_as_they_would_alone():
    field, start = _quartic()
    y = jnp.asarray(np.stack([start, 0.1 * start, 2 * start, -start, start], axis=1))
    h = jnp.asarray([0.1, 1.0, 0.01, 3.0, 1e5])
    v = jnp.zeros_like(y).at[0, 1].set(1.0)

    @jax.jit
    def step(y, h, v):
        f = field(y)
        rho, v = spectral_radius(field, y, f, v)
        return rho, v, *chebyshev_step(field, y, f, h, rho, 30)

    together = step(y, h, v)
    stages = np.asarray(together[-1])
    assert len(set(stages.tolist())) >= 4
    for slot in range(5):
        alone = step(y[:, slot], h[slot], v[:, slot])
        for many, single in zip(together, alone, strict=True):
            np.testing.assert_allclose(many[..., slot], single, rtol=1e-11, atol=1e-11)
    assert stages[4] == 0
    assert np.all(np.isnan(together[2][:, 4]))


def test_steps_that_are_too_long_backward_or_not_finite_are_refused():
    rho = jnp.asarray(2.0)
    longest = longest_step(rho, 9)
    lengths = jnp.stack([longest, 1.01 * longest, -longest, jnp.nan, jnp.inf, 0.0])
    assert stage_count(lengths, jnp.full(6, 2.0), 9).tolist() == [9, 0, 0, 0, 0, 2]
    assert stage_count(jnp.asarray(1e9), jnp.asarray(0.0), 9) == 2


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_dense_output_passes_where_dop853_passes_in_the_dtype_of_the_start(dtype):
    field, start = _quartic()
    times = np.linspace(0, 2, 23)
    exact = scipy.integrate.solve_ivp(
        lambda t, y: np.asarray(field(jnp.asarray(y))),
        (0, 2),
        start,
        t_eval=times,
        rtol=1e-11,
        method="DOP853",
    ).y.T
    sol = _integrate(
        field, jnp.asarray(start, dtype), 2.0, 1e-4, ts=jnp.asarray(times, dtype), atol=1e-6
    )
    assert sol.ys.dtype == dtype
    assert sol.solver_state.f.dtype == sol.solver_state.v.dtype == dtype
    np.testing.assert_allclose(sol.ys, exact, atol=1e-3)  # 4.5e-4
    y = jnp.asarray(start, dtype)
    rho, v = spectral_radius(field, y, field(y), jnp.zeros_like(y))
    y1, f1, error, _ = chebyshev_step(field, y, field(y), jnp.asarray(0.1), rho, 250)
    assert {x.dtype for x in (rho, v, y1, f1, error)} == {jnp.dtype(dtype)}
