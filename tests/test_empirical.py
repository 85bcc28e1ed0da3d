"""The risk on samples: NumPy's sums, complex steps and SciPy's optimiser against it and the solvers
on it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from jax.flatten_util import ravel_pytree

import jaxcompress as jc
from jaxcompress.risk import EmpiricalProblem, minibatches
from jaxcompress.risk.internal import squared_errors
from tests.problems import network, run


def draw(seed, count, dim, outputs=None):
    """Standard normal samples."""
    rng = np.random.default_rng(seed)
    return jc.Samples(
        rng.normal(size=(count, dim)),
        rng.normal(size=(count,) if outputs is None else (count, outputs)),
    )


def plain_risk(student, samples):
    """The same risk of a tanh network in NumPy, as a function of the flat parameters, real or
    complex.
    """
    x, y = np.asarray(samples.inputs), np.asarray(samples.targets).reshape(samples.count, -1)
    n, d, o = student.width, student.dim, y.shape[1]

    def risk(vector):
        sizes = [
            n * d,
            n * o,
            n if student.bias is not None else 0,
            o if student.output_bias is not None else 0,
        ]
        w, a, b, c = np.split(vector, np.cumsum(sizes)[:-1])
        z = x @ w.reshape(n, d).T + (b if b.size else 0)
        r = np.tanh(z) @ a.reshape(n, o) + (c if c.size else 0) - y
        return np.sum(r * r) / len(x)

    return risk


def complex_gradient(risk, vector):
    """Exact to rounding: the imaginary part at a step of 1e-30."""
    return np.array([risk(vector + 1e-30j * e).imag / 1e-30 for e in np.eye(len(vector))])


@pytest.fixture(scope="module", params=[None, 2], ids=["scalar", "two outputs"])
def case(request):
    student = network(
        1, 4, 3, jc.activations.tanh, outputs=request.param, bias=True, output_bias=True
    )
    return student, draw(2, 20, 3, request.param)


def test_risk_gradient_and_hessian_are_those_of_the_sums_in_numpy(case):
    student, samples = case
    flat, unravel = ravel_pytree(student)
    vector, risk = np.asarray(flat), plain_risk(student, samples)
    value, gradient = jax.jit(jax.value_and_grad(lambda v: jc.empirical_risk(unravel(v), samples)))(
        flat
    )
    assert value == pytest.approx(risk(vector), rel=1e-14)
    np.testing.assert_allclose(gradient, complex_gradient(risk, vector), atol=2e-14)
    assert np.mean(squared_errors(student, samples)) == pytest.approx(risk(vector), rel=1e-14)
    step = 1e-5
    rows = [
        complex_gradient(risk, vector + s * step * e) * s
        for e in np.eye(len(vector))
        for s in (1, -1)
    ]
    differences = np.array(rows).reshape(len(vector), 2, -1).sum(1) / (2 * step)
    exact = jc.risk_hessian(student, samples)
    # of the differences; entries up to 10
    np.testing.assert_allclose(exact, differences, atol=3e-9)
    frozen = jc.risk_hessian(student, samples, freeze=("readout", "bias"))
    kept = np.r_[0 : student.weights.size, -(student.outputs or 1) + len(vector) : len(vector)]
    np.testing.assert_array_equal(frozen, np.asarray(exact)[np.ix_(kept, kept)])


def test_a_hessian_summed_in_pieces_is_the_whole_one(case, monkeypatch):
    student, samples = case

    def hessian():
        return jax.jit(lambda student: EmpiricalProblem.of(samples).hessian(student))(student)

    whole = hessian()
    monkeypatch.setattr(
        "jaxcompress.risk._empirical_terms._BLOCK", 7 * 16
    )  # seven samples at a time, the last piece short
    np.testing.assert_allclose(hessian(), whole, atol=1e-14)


def test_the_floor_covers_what_float32_does_to_the_risk_and_falls_with_it():
    student, samples = network(1, 6, 3, jc.activations.tanh), draw(2, 50, 3)
    small = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (student, samples))
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), small)
    off = abs(float(jc.empirical_risk(*small)) - float(jc.empirical_risk(*wide)))
    assert 0 < off <= EmpiricalProblem.of(small[1]).floor(small[0])
    met = jc.Samples(samples.inputs, student(samples.inputs))
    # eps squared: zero loss is resolved to 1e-30
    assert EmpiricalProblem.of(met).floor(student) < 1e-28


@pytest.fixture(scope="module")
def fits():
    """Two neurons on forty noisy outputs of two others: with random targets, minima may lie at
    infinity.
    """
    noise = 0.1 * np.random.default_rng(5).normal(size=40)
    clean = jc.Samples.of(jax.random.key(1), network(6, 2, 3, jc.activations.tanh, scale=1.0), 40)
    samples = jc.Samples(clean.inputs, clean.targets + noise)
    starts = jc.initialize.glorot_normal(
        jax.random.key(0), 2, 3, activation=jc.activations.tanh, runs=4
    )
    return starts, samples, jc.solve_many(starts, samples)


def test_solve_many_ends_at_minima_of_numpys_sums(fits):
    starts, samples, sols = fits
    assert np.all(sols.converged)
    assert np.all(np.asarray(sols.index) == 0)
    for i in range(4):
        flat, _ = ravel_pytree(run(sols.network, i))
        risk, vector = plain_risk(run(starts, i), samples), np.asarray(flat)
        assert sols.risk[i] == pytest.approx(risk(vector), rel=1e-13)
        assert np.max(np.abs(complex_gradient(risk, vector))) < 1e-10
        there = scipy.optimize.minimize(
            risk, vector, jac=lambda v, r=risk: complex_gradient(r, v), method="BFGS"
        )
        assert sols.risk[i] - there.fun < 1e-12


def test_every_solver_takes_samples_for_a_target(fits):
    starts, samples, sols = fits
    one = jc.gradient_flow(run(starts, 0), samples)
    assert float(one.risk) == pytest.approx(float(sols.risk[0]), abs=1e-9)
    assert float(jc.solve(run(starts, 0), samples).risk) == pytest.approx(
        float(sols.risk[0]), rel=1e-10
    )
    saddles = jc.critical_points(jax.tree.map(lambda leaf: 0.3 * leaf, starts), samples)
    assert np.any(np.asarray(saddles.converged))
    assert np.all(np.asarray(saddles.gradient_norm)[np.asarray(saddles.converged)] < 1e-10)


def test_every_run_may_have_samples_of_its_own_and_wide_inputs_are_reduced_to_their_span():
    each = [draw(20 + i, 4, 12) for i in range(2)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    starts = jc.initialize.glorot_normal(
        jax.random.key(3), 2, 12, activation=jc.activations.tanh, runs=2
    )
    flows = jc.flow_many(starts, stacked)
    assert np.all(np.asarray(flows.converged))
    for i, samples in enumerate(each):
        moved = np.asarray(run(flows.network, i).weights) - np.asarray(starts.weights[i])
        basis = np.linalg.qr(np.asarray(samples.inputs).T)[0]
        assert np.max(np.abs(moved)) > 0.01
        np.testing.assert_allclose(moved, moved @ basis @ basis.T, atol=1e-12)
        assert jc.empirical_risk(run(flows.network, i), samples) == pytest.approx(
            float(flows.risk[i]), abs=1e-15
        )


def test_the_empirical_risk_tends_to_the_population_risk_within_its_standard_error():
    # cheap to compile
    student, target = network(1, 4, 3, jc.activations.cos), network(2, 5, 3, jc.activations.sin)
    law = jc.Gaussian(jnp.asarray([0.3, -0.2, 0.1]), jnp.asarray(np.diag([1.0, 2.0, 0.5])))
    exact = float(jc.population_risk(student, target, inputs=law))
    for count in (10**3, 10**5):
        errors = np.asarray(
            squared_errors(student, jc.Samples.of(jax.random.key(4), target, count, inputs=law))
        )
        standard = errors.std(ddof=1) / count**0.5
        assert abs(errors.mean() - exact) < 4 * standard
    assert standard < 0.01 * exact


def test_minibatches_go_through_every_sample_once_an_epoch():
    rows = np.asarray(minibatches(jax.random.key(0), 10, 3, 7))
    assert rows.shape == (7, 3)
    for epoch in (rows[:3], rows[3:6]):
        assert len(np.unique(epoch)) == 9
    assert not np.array_equal(rows[:3], rows[3:6])
    samples = draw(1, 10, 2)
    np.testing.assert_array_equal(
        samples.batch(rows[0]).inputs, np.asarray(samples.inputs)[rows[0]]
    )


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: jc.Samples(np.zeros((3, 2)), np.zeros(4)),
            r"given inputs \(3, 2\) and targets \(4,\)",
        ),
        (lambda: jc.Samples(np.zeros((0, 2)), np.zeros(0)), "none of them empty"),
        (lambda: jc.Samples(np.full((3, 2), np.nan), np.zeros(3)), "NaN"),
        (lambda: jc.Samples(np.zeros((3, 2), int), np.zeros(3)), "floating-point"),
        (
            lambda: jc.empirical_risk(network(0, 2, 3, jc.activations.erf), draw(0, 4, 2)),
            "input dimension 3",
        ),
        (
            lambda: jc.solve(network(0, 2, 2, jc.activations.erf), draw(0, 4, 2, 2)),
            "a scalar output",
        ),
        (
            lambda: jc.solve(
                network(0, 2, 2, jc.activations.erf),
                draw(0, 4, 2),
                inputs=jc.Gaussian(jnp.ones(2), jnp.eye(2)),
            ),
            "leave inputs out",
        ),
        (
            lambda: jc.population_risk(network(0, 2, 2, jc.activations.erf), draw(0, 4, 2)),
            "type Samples",
        ),
        (
            lambda: jc.risk_hessian(network(0, 2, 3, jc.activations.erf), draw(0, 4, 2)),
            "input dimension 3",
        ),
        (
            lambda: jc.Samples(np.zeros((3, 4, 2)), np.zeros((3, 4))).batch(jnp.arange(2)),
            r"leading axes \(3,\)",
        ),
        (lambda: minibatches(jax.random.key(0), 4, 5, 1), "given size=5"),
        (
            lambda: jc.Samples.of(jax.random.key(0), network(0, 2, 2, jc.activations.erf), 0),
            "given count=0",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
