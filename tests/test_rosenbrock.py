"""Rodas5P: its coefficients by the order conditions, its order and dense output against SciPy's
DOP853, stiff flows.
"""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from jaxcompress.solvers import Rodas5P
from jaxcompress.solvers._rosenbrock import _A, _C, GAMMA, rosenbrock_stages

DIM = 5
_BASIS, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(DIM, DIM)))
MATRIX = (_BASIS * np.linspace(-1.0, 8.0, DIM)) @ _BASIS.T
START = 0.5 * np.random.default_rng(2).normal(size=DIM)


def _field(y):
    """`−∇φ` for `φ = yᵀAy/2 + Σy⁴/4`, with one falling direction at the origin."""
    return -jnp.asarray(MATRIX) @ y - y**3


@pytest.fixture(scope="module")
def exact():
    """The solution at any times, by DOP853: good to 1e-12."""

    def at(times):
        out = scipy.integrate.solve_ivp(
            lambda t, y: -MATRIX @ y - y**3,
            (0, max(times)),
            START,
            "DOP853",
            times,
            rtol=1e-13,
            atol=1e-14,
        )
        return out.y.T

    return at


def _diffeqsolve(field, y0, t1, controller, dt0=None, ts=None):
    return diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: field(y)),
        Rodas5P(),
        t0=0.0,
        t1=t1,
        dt0=dt0,
        y0=y0,
        saveat=diffrax.SaveAt(t1=ts is None, ts=ts),
        stepsize_controller=controller,
    )


# The coefficients. `α`, `γ` and the weights `b`, `b̂` of the classical form (Hairer & Wanner 1996,
# IV.7) from those of the form without products by the Jacobian: `Γ = (I/γ − C)⁻¹`, `α = AΓ`, and
# the weights are rows times `Γ`.
_SUM = np.linalg.inv(np.eye(8) / GAMMA - _C)
ALPHA, BETA = _A @ _SUM, (_A + np.eye(8)) @ _SUM
WEIGHTS = {"solution": (_A[7] + np.eye(8)[7]) @ _SUM, "estimate": _A[7] @ _SUM}


def _conditions(b, order):
    """What the order conditions of Rosenbrock methods say up to this order: `(sum, what it must
    be)`.
    """
    a, beta = ALPHA.sum(1), BETA.sum(1)
    bend = ALPHA @ beta  # Σ_j α_ij β_j
    out = [(b.sum(), 1), (b @ beta, 1 / 2), (b @ a**2, 1 / 3), (b @ BETA @ beta, 1 / 6)]
    out += [
        (b @ a**3, 1 / 4),
        (b @ (a * bend), 1 / 8),
        (b @ BETA @ a**2, 1 / 12),
        (b @ BETA @ BETA @ beta, 1 / 24),
    ]
    if order == 5:
        out += [
            (b @ a**4, 1 / 5),
            (b @ (a**2 * bend), 1 / 10),
            (b @ bend**2, 1 / 20),
            (b @ (a * (ALPHA @ a**2)), 1 / 15),
            (b @ (a * (ALPHA @ BETA @ beta)), 1 / 30),
            (b @ BETA @ a**3, 1 / 20),
            (b @ BETA @ (a * bend), 1 / 40),
            (b @ BETA @ BETA @ a**2, 1 / 60),
            (b @ BETA @ BETA @ BETA @ beta, 1 / 120),
        ]
    return np.array(out).T


@pytest.mark.parametrize(("name", "order"), [("solution", 5), ("estimate", 4)])
def test_the_coefficients_satisfy_every_order_condition(name, order):
    found, wanted = _conditions(WEIGHTS[name], order)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_the_estimate_is_not_of_order_five():
    found, wanted = _conditions(WEIGHTS["estimate"], 5)
    assert np.abs(found - wanted)[8:].max() > 1e-4


def test_the_method_is_stiffly_accurate_and_vanishes_at_infinite_stiffness():
    assert np.all(np.diag(_SUM) == pytest.approx(GAMMA, abs=1e-15))
    np.testing.assert_allclose(WEIGHTS["solution"], BETA[7], atol=1e-13)  # b_i = α_8i + γ_8i
    assert ALPHA[7].sum() == pytest.approx(1, abs=1e-12)
    # R(−∞) = 1 − bᵀB⁻¹1, for the solution and for the estimate
    for b in WEIGHTS.values():
        assert abs(1 - b @ np.linalg.solve(BETA, np.ones(8))) < 1e-11


def _stability(z):
    """`R(z)` of one step on `y′ = λy`, all `z = λh` at once as slots."""
    z = jnp.asarray(z)
    step = jax.jit(
        lambda z: rosenbrock_stages(
            lambda y: -z[None] * y, -z[:, None, None], jnp.ones((1, z.size)), -z[None], 1 + 0 * z
        )
    )
    return np.asarray(step(z)[0][0])


def test_no_stiffness_is_amplified_and_the_stiffest_modes_are_gone_in_one_step():
    factors = _stability(-np.geomspace(1e-6, 1e12, 2000))
    assert np.abs(factors).max() < 1
    assert np.abs(factors[-200:]).max() < 1e-9


# Order.


def test_halving_the_step_divides_the_error_by_thirty_two(exact):
    (wanted,) = exact([1.0])

    @jax.jit
    def end(count):
        def step(_, y):
            hessian = (-jax.jacfwd(_field)(y[:, 0]))[None]
            slots = lambda y: -_field(y[:, 0])[:, None]  # noqa: E731
            return rosenbrock_stages(slots, hessian, y, slots(y), 1 / count[None])[0]

        return jax.lax.fori_loop(0, count.astype(int), step, jnp.asarray(START)[:, None])[:, 0]

    errors = np.array(
        [np.linalg.norm(end(jnp.asarray(float(n))) - wanted) for n in (20, 40, 80, 160)]
    )
    orders = np.log2(errors[:-1] / errors[1:])
    assert np.all(np.abs(orders - 5) < 0.3), orders  # 4.76, 4.91, 4.96


def test_halving_the_step_divides_the_error_between_steps_by_thirty_two(exact):
    """Order four: a local error of order five, which the whole error shares."""
    times = np.linspace(0, 1, 38)
    wanted = exact(times)

    @jax.jit
    def path(h):
        return _diffeqsolve(
            _field, jnp.asarray(START), 1.0, diffrax.ConstantStepSize(), h, jnp.asarray(times)
        ).ys

    errors = np.array([np.abs(path(1 / n) - wanted).max() for n in (10, 80)])
    assert np.log2(errors[0] / errors[1]) / 3 > 4.7, errors  # 4.9, of errors 6e-5 and 2e-9


# As a solver of diffrax.


def test_the_path_at_any_times_is_as_exact_as_the_tolerance(exact):
    times = np.array([0.0, 0.013, 0.21, 0.5, 1.9, 4.0, 11.0])
    controller = diffrax.PIDController(rtol=1e-8, atol=1e-10)
    out = _diffeqsolve(_field, jnp.asarray(START), 11.0, controller, ts=jnp.asarray(times))
    np.testing.assert_allclose(out.ys, exact(times), rtol=0, atol=1e-7)  # 1e-9
    assert int(out.stats["num_steps"]) < 100


def test_a_stiff_linear_flow_follows_its_exponential_in_few_steps():
    eigenvalues = np.geomspace(0.5, 1e9, 12)
    basis, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(12, 12)))
    start = basis @ np.ones(12)
    matrix = jnp.asarray((basis * eigenvalues) @ basis.T)
    times = np.array([0.0, 1e-8, 1e-4, 0.3, 2.0])
    tree = {"a": jnp.asarray(start[:5]), "b": jnp.asarray(start[5:])}  # raveling is tried too

    def field(y):
        out = -matrix @ jnp.concatenate([y["a"], y["b"]])
        return {"a": out[:5], "b": out[5:]}

    controller = diffrax.PIDController(rtol=1e-6, atol=1e-8)
    out = _diffeqsolve(field, tree, 2.0, controller, ts=jnp.asarray(times))
    ours = np.concatenate([out.ys["a"], out.ys["b"]], axis=1) @ basis
    np.testing.assert_allclose(ours, np.exp(-eigenvalues[None] * times[:, None]), rtol=0, atol=1e-6)
    assert int(out.stats["num_steps"]) < 250


def test_a_step_too_long_for_its_matrix_is_nan_and_is_rejected(exact):
    """At `h = 100` the falling direction makes `I/(γh) + ∇²φ` indefinite, and Cholesky has no
    factor.
    """
    start = 1e-3 * START
    column = jnp.asarray(start)[:, None]
    hessian = (-jax.jacfwd(_field)(column[:, 0]))[None]
    slots = lambda y: -_field(y[:, 0])[:, None]  # noqa: E731
    point, _ = rosenbrock_stages(slots, hessian, column, slots(column), jnp.asarray([100.0]))
    assert np.all(np.isnan(point))
    controller = diffrax.PIDController(rtol=1e-8, atol=1e-10)
    out = _diffeqsolve(_field, jnp.asarray(start), 100.0, controller, 100.0)
    wanted = scipy.integrate.solve_ivp(
        lambda t, y: -MATRIX @ y - y**3, (0, 100), start, "DOP853", rtol=1e-12, atol=1e-14
    ).y[:, -1]
    np.testing.assert_allclose(out.ys[0], wanted, rtol=0, atol=1e-8)
    assert int(out.stats["num_rejected_steps"]) >= 1
