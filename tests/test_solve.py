"""Flow, polish and batches, against SciPy's LSODA and the table of reference minima."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
from jax.flatten_util import ravel_pytree

import jaxcompress as jc
from jaxcompress.risk import RiskProblem
from jaxcompress.solvers import certify
from tests.problems import network, run

RELU, ERF = jc.activations.relu, jc.activations.erf

# Risks E[(f − f*)²] of the minima for orthonormal targets with unit readout: Şimşek et al. 2023
# (erf, one neuron and copy–average in closed form, the others computed independently of this
# package), to the digits known.
REFERENCE = [
    (ERF, 3, 6, [0.05675452774074974]),
    (ERF, 6, 8, [0.040593177314, 0.041364548462]),
    (ERF, 9, 10, [0.019682157473]),
    (RELU, 1, 5, [1.560152994504]),
    (RELU, 2, 4, [0.384746413873]),
    (RELU, 3, 6, [0.586392382455]),
]


# One program for all that share a shape.
risk_and_gradient = jax.jit(jax.value_and_grad(jc.population_risk))


def _starts(activation, width, dim, runs=64, seed=0):
    return jc.initialize.glorot_normal(
        jax.random.key(seed), width, dim, activation=activation, runs=runs
    )


@pytest.mark.parametrize(("activation", "width", "k", "risks"), REFERENCE)
def test_reference_minima_are_found_from_sixty_four_starts(activation, width, k, risks):
    target = jc.targets.orthonormal(k, k, activation=activation)
    sols = jc.solve_many(_starts(activation, width, k), target)
    certified = np.asarray(sols.converged & (sols.index == 0))
    for risk in risks:
        distance = np.where(certified, np.abs(np.asarray(sols.risk) - risk), np.inf)
        assert distance.min() <= 1e-9  # worst case 6e-13, the digits of the table
        assert sols.gradient_norm[distance.argmin()] <= 1e-10  # worst case 3e-15
    assert np.asarray(sols.risk)[certified].min() >= min(risks) - 1e-9
    # 63 of erf (9, 10), where one crawls to infinity, and 64 of 64 elsewhere
    assert certified.sum() >= 62


@pytest.fixture(scope="module")
def erf_problem():
    target = jc.targets.orthonormal(4, 4, activation=ERF)
    return run(_starts(ERF, 2, 4, runs=1), 0), target


def test_flow_passes_where_lsoda_passes_at_the_same_times(erf_problem):
    student, target = erf_problem
    times = np.array([0.0, 0.5, 2.0, 10.0, 40.0])
    sol = jc.gradient_flow(
        student,
        target,
        t1=40.0,
        save_at=times,
        rtol=1e-9,
        atol=1e-11,
        freeze=(),
        rates={"readout": 0.5},
    )
    start, unravel = ravel_pytree(student)
    rate = np.concatenate([np.ones(8), 0.5 * np.ones(2)])
    gradient = jax.jit(jax.grad(lambda z: jc.population_risk(unravel(z), target)))
    lsoda = scipy.integrate.solve_ivp(
        lambda t, z: -rate * np.asarray(gradient(z)),
        (0, 40),
        start,
        "LSODA",
        times,
        rtol=1e-10,
        atol=1e-12,
    )
    ours = np.stack([ravel_pytree(run(sol.trajectory, i))[0] for i in range(len(times))])
    np.testing.assert_allclose(ours, lsoda.y.T, rtol=0, atol=1e-7)  # worst case 2e-9
    assert bool(sol.result == jc.RESULTS.time_reached)
    assert sol.time == 40.0


def test_flow_lowers_the_risk_until_the_gradient_is_within_the_tolerance(erf_problem):
    student, target = erf_problem
    sol = jc.gradient_flow(student, target, gradient_tolerance=1e-6)
    gradient = risk_and_gradient(sol.network, target)[1]
    assert bool(sol.converged)
    assert float(jnp.abs(ravel_pytree(gradient)[0]).max()) <= 1e-6
    assert sol.risk < risk_and_gradient(student, target)[0]
    assert sol.message == "The gradient is within the tolerance."


def test_times_after_the_end_of_the_flow_hold_its_end_point(erf_problem):
    student, target = erf_problem
    sol = jc.gradient_flow(
        student, target, gradient_tolerance=1e-3, save_at=[0.0, 0.5, 2.0, 1e6, 1e7]
    )
    np.testing.assert_array_equal(run(sol.trajectory, 4).weights, sol.network.weights)
    np.testing.assert_allclose(run(sol.trajectory, 0).weights, student.weights, rtol=1e-15)


def test_frozen_parameters_do_not_move_at_all(erf_problem):
    student, target = erf_problem
    sol = jc.solve(student, target, freeze=("readout",))
    np.testing.assert_array_equal(sol.network.readout, student.readout)
    assert sol.eigenvalues.shape == (8,)
    gradient = risk_and_gradient(sol.network, target)[1]
    assert float(jnp.abs(gradient.weights).max()) < 1e-10


def test_doubling_every_rate_halves_the_time(erf_problem):
    student, target = erf_problem
    names = {"weights": 2.0, "readout": 2.0}
    fast = jc.gradient_flow(student, target, t1=2.0, rates=names, rtol=1e-9, atol=1e-11)
    slow = jc.gradient_flow(student, target, t1=4.0, rtol=1e-9, atol=1e-11)
    # worst case 1e-10
    np.testing.assert_allclose(fast.network.weights, slow.network.weights, atol=1e-8)


def test_a_spent_step_budget_is_a_result_code_and_raises_only_when_asked(erf_problem):
    student, target = erf_problem
    sol = jc.gradient_flow(student, target, max_steps=3, throw=False)
    assert not bool(sol.converged)
    assert bool(sol.result == jc.RESULTS.max_steps_reached)
    with pytest.raises(jc.SolveError, match="step budget"):
        jc.gradient_flow(student, target, max_steps=3)


def test_a_gradient_that_rounding_cannot_lower_to_the_tolerance_says_so(erf_problem):
    student, target = erf_problem
    sol = jc.solve(student, target, gradient_tolerance=1e-25, throw=False)
    assert bool(sol.result == jc.RESULTS.gradient_floor)
    assert float(sol.gradient_norm) < 1e-14


def test_eigenvalues_are_those_of_the_hessian_and_relu_scaling_is_flat():
    target = jc.targets.orthonormal(3, 3, activation=RELU)
    near = network(1, 1, 3, RELU)
    sol = jc.solve(jax.tree.map(jnp.abs, near), target)
    expected = np.linalg.eigvalsh(jc.risk_hessian(sol.network, target))
    np.testing.assert_allclose(sol.eigenvalues, expected, atol=1e-13)
    assert int(sol.index) == 0
    assert abs(float(sol.eigenvalues[0])) < 1e-12  # (w, a) → (λw, a/λ)
    assert float(sol.eigenvalues[1]) > 1e-2
    # one ReLU neuron for k = 3: R* = k/2 + k(k−1)/(2π) − ½(2k h(1/√k))², Şimşek et al. 2023
    k, u = 3, 1 / np.sqrt(3)
    h = (np.sqrt(1 - u**2) + u * (np.pi - np.arccos(u))) / (2 * np.pi)
    assert abs(float(sol.risk) - (k / 2 + k * (k - 1) / (2 * np.pi) - (2 * k * h) ** 2 / 2)) < 1e-13


def test_the_best_single_neuron_split_in_two_is_a_saddle_and_its_index_says_so():
    """Together the halves are the best single neuron, a critical point that a pair can improve
    on.
    """
    target = jc.targets.orthonormal(4, 4, activation=ERF)
    one = jnp.ones(4) / np.sqrt(4 * 7)  # w = Σ v_j/√(k(2k−1)), a = k: Şimşek et al. 2023
    pair = jc.TwoLayer(jnp.stack([one, one]), jnp.asarray([2.5, 1.5]), activation=ERF)
    sol = certify(RiskProblem.of(target), pair)
    assert bool(sol.converged)
    assert abs(float(sol.risk) - (4 / 3 - (2 / np.pi) * 16 * np.arcsin(1 / 8))) < 1e-14
    assert int(sol.index) >= 1
    assert float(sol.eigenvalues[0]) < -1e-3


@pytest.fixture(scope="module")
def batch(erf_problem):
    """Three runs with a target each, the last from a start that overflows."""
    keys = jax.random.split(jax.random.key(1), 2)
    drawn = jax.vmap(lambda key: jc.targets.random(key, 4, 4, activation=ERF))(keys)
    targets = jax.tree.map(
        lambda many, one: jnp.concatenate([one[None], many]), drawn, erf_problem[1]
    )
    starts = _starts(ERF, 2, 4, runs=3)
    starts = jc.TwoLayer(starts.weights, starts.readout.at[2].mul(1e200), activation=ERF)
    return starts, targets, jc.solve_many(starts, targets)


def test_every_run_of_a_batch_ends_where_it_ends_alone_with_its_target(batch):
    starts, targets, sols = batch
    for i in range(2):
        alone = jc.solve(run(starts, i), run(targets, i), throw=False)
        np.testing.assert_allclose(sols[i].risk, alone.risk, atol=1e-12)
        risk = risk_and_gradient(sols[i].network, run(targets, i))[0]
        np.testing.assert_allclose(sols[i].risk, risk, atol=1e-15)
        assert sols[i].message == alone.message
    assert len(sols.message) == 3


def test_a_run_that_breaks_down_is_not_the_best_and_is_no_minimum(batch):
    _, _, sols = batch
    assert sols.best.risk == sols.risk[:2].min()
    assert not bool(
        jnp.isnan(sols.risk).any()
        | jnp.isnan(sols.eigenvalues).any()
        | jnp.isnan(sols.gradient_norm).any()
    )
    assert not bool(sols.converged[2])
    assert int(sols.index[0]) == 0


def test_a_certificate_without_polish_measures_the_point_where_it_stands(erf_problem):
    student, target = erf_problem
    measured = certify(RiskProblem.of(target), student, polish=False)
    gradient = ravel_pytree(risk_and_gradient(student, target)[1])[0]
    assert float(measured.gradient_norm) == pytest.approx(float(jnp.abs(gradient).max()), rel=1e-12)
    assert measured.eigenvalues is None
    assert not bool(measured.converged)


def test_flows_may_be_traced_and_mapped_over_starts_without_solve_many():
    target, starts = network(5, 4, 4, ERF), _starts(ERF, 2, 4, runs=2)
    flow = jax.vmap(lambda s: jc.gradient_flow(s, target, t1=1.0, throw=False).risk)
    assert jax.eval_shape(flow, starts).shape == (2,)


@pytest.mark.parametrize("times", [[2.0, 1.0], [2.0, 5.0], [-1.0, 2.0], [1.0, np.nan], 1.0])
def test_times_that_cannot_be_saved_at_are_refused(erf_problem, times):
    student, target = erf_problem
    with pytest.raises(ValueError, match=r"given save_at .*; expected .*; "):
        jc.gradient_flow(student, target, t1=3.0, save_at=times)


def test_float32_is_certified_to_the_tolerance_of_its_own_dtype(erf_problem):
    student, target = erf_problem
    sol = jc.solve(student, target)
    problem, point = (
        jax.tree.map(lambda leaf: leaf.astype(jnp.float32), tree)
        for tree in (RiskProblem.of(target), sol.network)
    )
    low = certify(problem, point)
    assert low.risk.dtype == low.network.weights.dtype == jnp.float32
    assert bool(low.converged)
    np.testing.assert_allclose(low.risk, sol.risk, atol=1e-5)
