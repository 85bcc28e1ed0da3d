"""The simplified risk: its value, its derivatives, its distance from the true risk, and the solvers
on it.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree
from scipy.special import ndtr

import jaxcompress as jc
from jaxcompress.risk import RiskProblem
from jaxcompress.risk.internal import CentredPolynomial, centred_hessian, centred_risk
from tests.problems import network, run, singular_law

RELU, ERF, TANH = jc.activations.relu, jc.activations.erf, jc.activations.tanh
REFERENCE = {0.0: -0.1343346, 0.5: -0.20150205, 1.5: -0.69621382}


def relu_formula(student, target):
    """The simplified risk of Amani et al. without its constant, from norms and angles by NumPy."""
    w, a, v, b = (
        np.asarray(x) for x in (student.weights, student.readout, target.weights, target.readout)
    )
    norms = np.linalg.norm(w, axis=1)
    cos = np.clip(w @ w.T / np.outer(norms, norms), -1, 1)
    gram = (
        np.outer(norms, norms)
        * (np.sqrt(1 - cos**2) + cos * (np.pi - np.arccos(cos)))
        / (2 * np.pi)
    )
    total, lean = b @ np.linalg.norm(v, axis=1), b @ v
    return a @ gram @ a - 2 * a @ (norms * total / (2 * np.pi) + w @ lean / 4)


def test_for_relu_it_is_the_formula_of_the_paper():
    student, target = network(1, 4, 5, RELU), network(2, 30, 5, RELU)
    found = jc.simplified_risk(student, jc.target_moments(target))
    second_moment = jc.population_risk(network(3, 1, 5, RELU, scale=0.0), target)
    assert found - second_moment == pytest.approx(relu_formula(student, target), abs=1e-13)
    by_hand = jc.relu_moments(
        target.readout @ jnp.linalg.norm(target.weights, axis=1), target.readout @ target.weights
    )
    assert jc.simplified_risk(student, by_hand) - by_hand.second_moment == pytest.approx(
        float(found - second_moment), abs=1e-13
    )


def grid(law):
    """Nodes of two standard normal numbers, what the law makes of them, and weights: the
    trapezoidal rule, which is right to rounding for functions without poles near the real axis."""
    nodes = np.arange(-90, 91) * 0.1
    weights = 0.1 * np.exp(-(nodes**2) / 2) / math.sqrt(2 * np.pi)
    z = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1).reshape(-1, 2)
    return (
        z,
        np.asarray(law.mean) + z @ np.asarray(law.factor).T,
        np.outer(weights, weights).ravel(),
    )


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("activation", [ERF, TANH], ids=["erf", "tanh"])
def test_for_any_structure_it_is_the_distance_to_the_projected_target(activation, order):
    law = jc.Gaussian(jnp.array([0.3, -0.2]), jnp.array([[1.1, 0.4], [0.4, 0.7]]))
    student = network(1, 3, 2, activation, 2, bias=True, output_bias=True, scale=0.5)
    target = network(2, 6, 2, activation, 2, bias=True, output_bias=True, scale=0.5)
    z, x, weights = grid(law)
    f, g = np.asarray(student(jnp.asarray(x))), np.asarray(target(jnp.asarray(x)))
    basis = [np.ones(len(z)), z[:, 0], z[:, 1]]
    if order == 2:
        basis += [
            (z[:, 0] ** 2 - 1) / math.sqrt(2),
            (z[:, 1] ** 2 - 1) / math.sqrt(2),
            z[:, 0] * z[:, 1],
        ]
    basis = np.stack(basis, 1)
    projected = basis @ ((basis * weights[:, None]).T @ g)
    expected = weights @ np.sum(f * f - 2 * f * projected + g * g, 1)
    moments = jc.target_moments(target, order=order, inputs=law)
    # 2e-13
    assert jc.simplified_risk(student, moments, inputs=law) == pytest.approx(expected, rel=1e-11)


def test_a_target_that_is_a_polynomial_loses_nothing():
    quadratic = jc.activations.identity + 0.7 * jc.activations.hermite(2)
    student, target = network(1, 3, 4, RELU), network(2, 5, 4, quadratic)
    exact = jc.population_risk(student, target)
    assert jc.simplified_risk(student, jc.target_moments(target, order=2)) == pytest.approx(
        float(exact), rel=1e-13
    )
    assert abs(jc.simplified_risk(student, jc.target_moments(target)) - exact) > 1e-4
    assert jc.simplified_risk_bound(student, target, order=2) < 1e-6


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("activation", [RELU, ERF, TANH], ids=["relu", "erf", "tanh"])
def test_its_hessian_is_the_derivative_of_its_gradient(activation, order):
    student, target = network(1, 3, 4, activation), network(2, 9, 4, activation)
    moments = jc.target_moments(target, order=order)
    hessian = jc.risk_hessian(student, moments)
    vector, unravel = ravel_pytree(student)
    gradient = jax.jit(jax.grad(lambda v: jc.simplified_risk(unravel(v), moments)))
    step = 1e-5
    columns = [
        (gradient(vector + step * e) - gradient(vector - step * e)) / (2 * step)
        for e in np.eye(len(vector))
    ]
    np.testing.assert_allclose(hessian, np.stack(columns), rtol=0, atol=2e-9)


N, D = 4, 3
PLACES = {
    "generic": None,
    "coincident": lambda W: W.at[1].set(0.5 * W[0]),
    "opposite": lambda W: W.at[2].set(-W[0]),
    "one neuron at zero": lambda W: W.at[1].set(0.0),
}


@pytest.mark.parametrize("outputs", [None, 2])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("activation", [RELU, ERF], ids=["relu", "erf"])
def test_the_short_formulas_are_the_exact_ones_with_and_without_an_axis_of_runs(
    activation, order, outputs
):
    target = network(9, 12, D, activation, outputs)
    moments = jc.target_moments(target, order=order)
    students = [network(i, N, D, activation, outputs) for i in range(len(PLACES))]
    for i, change in enumerate(PLACES.values()):
        if change is not None:
            W = change(students[i].weights)
            students[i] = jc.TwoLayer(W, students[i].readout, activation=activation)
    constant, linear, quadratic = moments.with_outputs()
    short = CentredPolynomial(
        constant=constant,
        linear=linear,
        quadratic=quadratic,
        second_moment=moments.second_moment,
        magnitude=moments.second_moment,
    )
    wide_target = jax.tree.map(lambda leaf: leaf[..., None], short)
    readouts = [student.readout.reshape(N, -1) for student in students]
    stacked = jnp.stack([s.weights for s in students], -1), jnp.stack(readouts, -1)

    @jax.jit
    def both(target, weights, readout):
        return centred_risk(activation, target, weights, readout), centred_hessian(
            activation, target, weights, readout, True
        )

    wide = both(wide_target, *stacked)
    o = outputs or 1
    order_of = np.concatenate(
        [np.arange(N * D).reshape(N, D), N * D + np.arange(N * o).reshape(N, o)], 1
    ).ravel()
    exactly = jax.jit(jax.value_and_grad(RiskProblem.of(moments).risk))
    for i, name in enumerate(PLACES):
        exact, slopes = exactly(students[i])
        hessian = np.asarray(jc.risk_hessian(students[i], moments))[np.ix_(order_of, order_of)]
        alone = both(short, students[i].weights, readouts[i])
        beside_others = jax.tree.map(lambda leaf, i=i: leaf[..., i], wide)
        for (value, size, by_weights, by_readout), second in (alone, beside_others):
            assert abs(value - exact) < 1e-13 * size, name
            np.testing.assert_allclose(by_weights, slopes.weights, rtol=0, atol=1e-12, err_msg=name)
            np.testing.assert_allclose(
                by_readout, slopes.readout.reshape(N, o), rtol=0, atol=1e-12, err_msg=name
            )
            np.testing.assert_allclose(second, hessian, rtol=0, atol=1e-12, err_msg=name)


@functools.cache
def judged(activation, order):
    """Compiled once for all draws: both risks, the bound and the floor of the exact risk."""

    @jax.jit
    def all_four(student, target):
        simplified = jc.simplified_risk(student, jc.target_moments(target, order=order))
        return (
            jc.population_risk(student, target),
            simplified,
            jc.simplified_risk_bound(student, target, order=order),
            RiskProblem.of(target).floor(student),
        )

    return all_four


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), aligned=st.floats(0, 1), scale=st.floats(1e-3, 30))
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("activation", [RELU, ERF], ids=["relu", "erf"])
def test_the_bound_holds_for_any_networks(activation, order, seed, aligned, scale):
    rng = np.random.default_rng(seed)
    lean = aligned * rng.normal(size=5)
    W, V = (scale * (lean + (1 - aligned) * rng.normal(size=(n, 5))) for n in (3, 8))
    student = jc.TwoLayer(jnp.asarray(W), jnp.asarray(rng.normal(size=3)), activation=activation)
    target = jc.TwoLayer(jnp.asarray(V), jnp.asarray(rng.normal(size=8)), activation=activation)
    exact, simplified, bound, floor = map(float, judged(activation, order)(student, target))
    assert abs(exact - simplified) <= bound * (1 + 1e-9) + 20 * floor


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("aligned", [0.0, 1.0])
@pytest.mark.parametrize("activation", [RELU, TANH], ids=["relu", "tanh"])
def test_the_bound_holds_with_biases_several_outputs_and_any_law(activation, aligned, order):
    """One readout that adds up over its outputs and one that cancels; the law has fewer dimensions
    than its inputs.
    """
    law = singular_law(dim=3, rank=2)
    student = network(1, 2, 3, activation, 2, bias=True, output_bias=True)
    target = network(2, 5, 3, activation, 2, bias=True, output_bias=True)
    turned = aligned * target.weights[:1] + (1 - aligned) * target.weights
    target = jc.TwoLayer(turned, target.readout, target.bias, target.output_bias, activation)
    for sign in (1.0, -1.0):
        readout = student.readout.at[:, 1].set(sign * student.readout[:, 0])
        one = jc.TwoLayer(student.weights, readout, student.bias, student.output_bias, activation)
        moments = jc.target_moments(target, order=order, inputs=law)
        gap = abs(
            jc.population_risk(one, target, inputs=law)
            - jc.simplified_risk(one, moments, inputs=law)
        )
        bound = jc.simplified_risk_bound(one, target, order=order, inputs=law)
        assert 1e-6 * bound < gap <= bound


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("norm", [2e-4, 1e-4, 1e-6])
def test_the_bound_survives_the_cancellation_in_an_almost_linear_neuron(norm, order):
    student = jc.TwoLayer(jnp.array([[norm, 0.0]]), jnp.array([1 / norm]), activation=ERF)
    target = jc.TwoLayer(jnp.array([[1.5, 0.0]]), jnp.ones(1), activation=ERF)
    exact, simplified, bound, floor = map(float, judged(ERF, order)(student, target))
    assert abs(exact - simplified) <= bound + 20 * floor


def test_the_bound_of_relu_is_the_one_of_the_design_page():
    student, target = network(1, 4, 6, RELU), network(2, 20, 6, RELU)
    w, a, v, b = (
        np.asarray(x) for x in (student.weights, student.readout, target.weights, target.readout)
    )
    norms = np.linalg.norm(v, axis=1)
    matrix = (v * (np.abs(b) / norms)[:, None]).T @ v
    expected = (
        2
        * (0.25 - 1 / (2 * np.pi))
        * np.linalg.norm(matrix, 2)
        * np.abs(a)
        @ np.linalg.norm(w, axis=1)
    )
    assert jc.simplified_risk_bound(student, target) == pytest.approx(expected, rel=1e-13)


def test_the_bound_of_erf_uses_what_its_neurons_hide():
    """One neuron each, orthogonal to nothing: `E erf² − slope²` from the arcsine and the
    density.
    """
    w, v = 1.3, 0.8

    def unseen(r):
        total = 2 / np.pi * np.arcsin(r * r / (1 + r * r))
        return math.sqrt(total - r * r * 2 / np.pi / (1 + r * r))

    def line(r):
        return jc.TwoLayer(jnp.array([[r, 0.0]]), jnp.array([1.0]), activation=ERF)

    assert jc.simplified_risk_bound(line(w), line(v)) == pytest.approx(
        2 * unseen(w) * unseen(v), rel=1e-12
    )


START = functools.partial(jc.initialize.glorot_normal, jax.random.key(0), activation=RELU, runs=64)


@functools.cache
def reference_solutions():
    """The reference problems, one compiled call: every run has its own moments."""
    t = jnp.repeat(jnp.asarray(list(REFERENCE)), 64)
    moments = jax.vmap(lambda size: jc.relu_moments(1.0, size * jnp.eye(6)[2]))(t)
    starts = jax.tree.map(lambda leaf: jnp.tile(leaf, (3,) + (1,) * (leaf.ndim - 1)), START(4, 6))
    return moments, starts, jc.solve_many(starts, moments)


def test_the_solver_finds_the_reference_minima():
    moments, _, solutions = reference_solutions()
    assert solutions.converged.all()
    lowest = (solutions.risk - moments.second_moment).reshape(3, 64).min(axis=1)
    np.testing.assert_allclose(lowest, list(REFERENCE.values()), rtol=0, atol=1e-7)
    best = solutions[128 + int(jnp.argmin(solutions.risk[128:]))]
    assert best.index == 0
    assert best.gradient_norm < 1e-13


def test_a_dimension_that_nothing_spans_changes_nothing():
    """20 dimensions are solved in the span of the students and `t`."""
    wide = START(4, 20)
    moments = jc.relu_moments(1.0, 0.5 * jnp.eye(20)[3])
    solutions = jc.solve_many(wide, moments)
    assert solutions.converged.all()
    assert solutions.risk.min() - moments.second_moment == pytest.approx(REFERENCE[0.5], abs=1e-7)
    assert jc.simplified_risk(solutions.best.network, moments) == pytest.approx(
        float(solutions.best.risk), abs=1e-14
    )
    nothing = jc.relu_moments(1.0, jnp.zeros(20))
    centred = jc.solve_many(wide, nothing)
    assert centred.risk.min() - nothing.second_moment == pytest.approx(REFERENCE[0.0], abs=1e-7)


def test_one_run_and_the_flow_alone_know_moments_too():
    moments, _, solutions = reference_solutions()
    start, one = run(START(4, 6), 5), run(moments, 64)
    alone = jc.solve(start, one)
    assert alone.risk == pytest.approx(float(solutions.risk[69]), abs=1e-12)
    flowed = jc.gradient_flow(start, one)
    assert flowed.risk == pytest.approx(float(solutions.risk[69]), abs=1e-9)


def test_neurons_of_the_wrong_sign_slide_to_zero_and_the_run_is_certified():
    start = jc.TwoLayer(0.3 * run(START(3, 4), 0).weights, -jnp.ones(3), activation=RELU)
    solution = jc.solve(start, jc.relu_moments(1.0, jnp.zeros(4)), throw=False)
    assert solution.converged
    assert solution.stats["neurons_at_zero"] == 3
    assert str(solution.message)


def test_activations_without_short_formulas_and_biases_are_solved_as_well():
    target = network(3, 40, 3, TANH, bias=True)
    moments = jc.target_moments(target, order=2)
    # TANH itself compiles for more than a minute
    bent = jc.activations.identity + 0.3 * jc.activations.monomial(2)
    start = network(4, 2, 3, bent, bias=True, output_bias=True)
    solution = jc.solve(start, moments)
    assert solution.converged
    assert solution.risk < jc.simplified_risk(start, moments)
    vector, unravel = ravel_pytree(solution.network)
    gradient = jax.grad(lambda v: jc.simplified_risk(unravel(v), moments))(vector)
    assert jnp.max(jnp.abs(gradient)) < 1e-10


def test_float32_stays_float32():
    student, target = (
        jax.tree.map(lambda leaf: leaf.astype(jnp.float32), network(seed, width, 5, RELU))
        for seed, width in ((1, 4), (2, 30))
    )
    moments = jc.target_moments(target, order=2)
    assert all(array.dtype == jnp.float32 for array in moments.parameters().values())
    single = jc.simplified_risk(student, moments)
    assert single.dtype == jc.simplified_risk_bound(student, target).dtype == jnp.float32
    double = jc.simplified_risk(
        network(1, 4, 5, RELU), jc.target_moments(network(2, 30, 5, RELU), order=2)
    )
    assert single == pytest.approx(float(double), rel=1e-5)


def test_erf_of_a_neuron_is_the_normal_distribution_function():
    """What `ERF` means here, so that the quadrature above compares the same functions."""
    x = jnp.linspace(-3, 3, 7)
    np.testing.assert_allclose(ERF(x), 2 * ndtr(np.asarray(x)) - 1, atol=1e-15)


def test_an_second_moment_that_is_too_low_clips_no_risk():
    """Estimated, or written by hand: the orders themselves are a lower bound, and `best` needs the
    differences.
    """
    moments, starts, solutions = reference_solutions()
    careless = jc.TargetMoments(
        moments.constant, moments.linear, None, jnp.zeros(192), jnp.zeros(192)
    )
    again = jc.solve_many(starts, careless)
    np.testing.assert_allclose(again.risk, solutions.risk, rtol=0, atol=1e-13)
    assert again.risk.min() > 0


STUDENT = network(1, 3, 4, RELU)
MOMENTS = jc.relu_moments(1.0, jnp.ones(4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: jc.simplified_risk(network(1, 3, 5, RELU), MOMENTS),
            "dimension 5 and moments.*dimension 4",
        ),
        (
            lambda: jc.simplified_risk(network(1, 3, 4, RELU, 2), MOMENTS),
            "2 outputs and a target with a scalar",
        ),
        (
            lambda: jc.simplified_risk(
                STUDENT, jax.vmap(jc.relu_moments)(jnp.ones(2), jnp.ones((2, 4)))
            ),
            "vmap",
        ),
        (lambda: jc.simplified_risk(STUDENT, jnp.ones(4)), "expected the moments"),
        (lambda: jc.simplified_risk(STUDENT, STUDENT), "given TwoLayer; expected the moments"),
        (
            lambda: RiskProblem.of(MOMENTS, jc.Gaussian(jnp.zeros(5), jnp.eye(5))),
            "dimension 4 and inputs of dimension 5",
        ),
        (
            lambda: RiskProblem.of(jax.vmap(jc.relu_moments)(jnp.ones(2), jnp.ones((2, 4)))),
            "leading axes",
        ),
        (
            lambda: jc.TargetMoments(
                jnp.ones(()), jnp.ones((1, 4)), None, jnp.ones(()), jnp.ones(())
            ),
            "linear",
        ),
        (
            lambda: jc.TargetMoments(
                jnp.ones(()), jnp.ones(4), jnp.eye(3), jnp.ones(()), jnp.ones(())
            ),
            "quadratic",
        ),
        (lambda: jc.relu_moments(jnp.ones(2), jnp.ones(4)), "expected a number"),
        (lambda: jc.target_moments(STUDENT, order=2.0), "order=2.0"),
        (lambda: jc.target_moments(STUDENT, inputs="normal"), "expected a distribution"),
        (lambda: jc.simplified_risk(STUDENT, jc.relu_moments(jnp.nan, jnp.ones(4))), "NaN"),
        (
            lambda: jc.simplified_risk_bound(STUDENT, network(2, 3, 4, RELU), order=3),
            "order=3; expected 1 or 2",
        ),
        (lambda: jc.simplified_risk_bound(STUDENT, MOMENTS), "moments of a target"),
        (lambda: jc.population_risk(STUDENT, MOMENTS), "moments are for simplified_risk"),
        (lambda: jc.target_moments(STUDENT, order=0), "order=0"),
        (
            lambda: jc.target_moments(STUDENT, inputs=jc.Gaussian(jnp.zeros(5), jnp.eye(5))),
            "dimension 5",
        ),
        (lambda: jc.target_moments(jnp.ones((3, 4))), "expected a TwoLayer"),
        (lambda: jc.relu_moments(1.0, jnp.ones((2, 4))), "expected \\(d,\\)"),
        (
            lambda: jc.solve_many(
                START(3, 4), jax.vmap(jc.relu_moments)(jnp.ones(2), jnp.ones((2, 4)))
            ),
            "as many",
        ),
        (lambda: jc.solve_many(START(3, 5), MOMENTS), "dimension 5"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
