"""Targets of a user's own kind go through every function that takes a target."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.solvers import Chebyshev, Rodas5P
from tests.problems import network

ERF, TANH = jc.activations.erf, jc.activations.tanh
SHARES = jnp.asarray([0.7, 0.3])


class OneOf(jc.risk.AbstractTarget):
    """Teacher `i` with probability `p_i`: the example of the documentation."""

    teachers: tuple[jc.TwoLayer, ...]
    shares: jax.Array

    @property
    def dim(self):
        return self.teachers[0].dim

    @property
    def outputs(self):
        return self.teachers[0].outputs

    @property
    def runs(self):
        return self.shares.shape[:-1]

    def problem(self, inputs):
        each = [jc.RiskProblem.of(teacher, inputs) for teacher in self.teachers]
        moments = jnp.stack([problem.second_moment for problem in each])
        return Average(self.shares @ moments, tuple(each), self.shares)


class Average(jc.risk.AbstractProblem):
    second_moment: jax.Array
    problems: tuple[jc.RiskProblem, ...]
    shares: jax.Array

    def risk_and_floor(self, student):
        each = [problem.risk_and_floor(student) for problem in self.problems]
        risks, floors = (jnp.stack(numbers) for numbers in zip(*each, strict=True))
        return self.shares @ risks, self.shares @ floors

    def hessian(self, student, freeze=()):
        each = [problem.hessian(student, freeze) for problem in self.problems]
        return jnp.tensordot(self.shares, jnp.stack(each), 1)


class Known(jc.risk.AbstractTarget):
    """A function that is no network, known by its values and by its moments."""

    moments: jc.TargetMoments

    @property
    def dim(self):
        return self.moments.dim

    @property
    def outputs(self):
        return None

    def __call__(self, x):
        return jnp.exp(0.5 * x @ self.direction - 0.5 * 0.25)

    @property
    def direction(self):
        return self.moments.linear / 0.5

    def problem(self, inputs):
        return jc.RiskProblem.of(self.moments, inputs)

    def span(self):
        return self.moments.linear[None]

    def in_span(self, rows):
        return eqx.tree_at(lambda t: t.moments.linear, self, rows[0])


def exponential(dim):
    """`exp(v·x/2 − 1/8)` of a unit vector `v`: its mean is 1, `E f z = v/2`, `E f² = exp(1/4)`."""
    second_moment = jnp.asarray(np.exp(0.25))
    linear = 0.5 * jnp.ones(dim) / jnp.sqrt(float(dim))
    return Known(jc.TargetMoments(jnp.ones(()), linear, None, second_moment, 1e-16 * second_moment))


class Decay(jc.risk.AbstractProblem):
    """A risk with weight decay: a problem that knows no more than its value."""

    second_moment: jax.Array
    plain: jc.RiskProblem

    def risk_and_floor(self, student):
        risk, floor = self.plain.risk_and_floor(student)
        return risk + 0.1 * jnp.sum(student.weights**2), floor


@pytest.fixture(scope="module")
def mixture():
    teachers = network(1, 2, 2, ERF), network(2, 3, 2, TANH)
    return OneOf(teachers, SHARES)


@jax.jit
def expected_risk(student, target):
    """The oracle: the average of the population risks."""
    risks = [jc.population_risk(student, teacher) for teacher in target.teachers]
    return target.shares @ jnp.stack(risks)


@jax.jit
def gradient_norm(student, target):
    gradient = jax.grad(expected_risk)(student, target)
    return jnp.max(jnp.abs(jax.flatten_util.ravel_pytree(gradient)[0]))


def test_risk_and_hessian_against_a_mixture_are_the_averages_of_those_of_its_parts(mixture):
    student = network(3, 2, 2, ERF)
    risk = jc.population_risk(student, mixture)
    assert float(risk) == pytest.approx(float(expected_risk(student, mixture)), abs=1e-15)
    parts = [jc.risk_hessian(student, teacher, freeze=("readout",)) for teacher in mixture.teachers]
    whole = jc.risk_hessian(student, mixture, freeze=("readout",))
    np.testing.assert_allclose(whole, 0.7 * parts[0] + 0.3 * parts[1], atol=1e-15)


def test_solve_takes_a_mixture_to_a_critical_point_of_the_average_risk(mixture):
    end = jc.solve(network(3, 2, 2, ERF), mixture)
    assert bool(end.converged)
    assert gradient_norm(end.network, mixture) <= 1e-10
    assert float(end.risk) == pytest.approx(float(expected_risk(end.network, mixture)), abs=1e-14)
    whole = jc.risk_hessian(end.network, mixture)
    np.testing.assert_allclose(end.eigenvalues, np.linalg.eigvalsh(whole), atol=1e-12)


def test_a_batch_of_mixtures_is_solved_run_by_run(mixture):
    students = jc.initialize.glorot_normal(jax.random.key(0), 2, 2, activation=ERF, runs=2)
    other = eqx.tree_at(lambda t: t.shares, mixture, SHARES[::-1])
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), mixture, other)
    ends = jc.solve_many(students, both)
    assert np.all(np.asarray(ends.converged))
    for i, target in enumerate((mixture, other)):
        assert gradient_norm(ends[i].network, target) <= 1e-10


def test_flows_and_searches_take_a_mixture(mixture):
    student = network(3, 2, 2, ERF)
    flow = jc.gradient_flow(student, mixture)
    assert gradient_norm(flow.network, mixture) <= 1e-8
    batch = jax.tree.map(lambda leaf: leaf[None], student)
    (risk,) = np.asarray(jc.flow_many(batch, mixture, rtol=1e-5, atol=1e-7).risk)
    assert risk == pytest.approx(float(flow.risk), abs=1e-12)
    points = jc.critical_points(jax.tree.map(lambda leaf: leaf[None], flow.network), mixture)
    assert bool(points.converged[0])
    assert gradient_norm(points[0].network, mixture) <= 1e-10
    line = jc.landscape.risk_along((student, flow.network), mixture, jnp.asarray([0.0, 1.0]))
    ends = [float(expected_risk(end, mixture)) for end in (student, flow.network)]
    np.testing.assert_allclose(line, ends, atol=1e-14)


def test_a_function_that_is_known_by_its_moments_is_fitted_in_its_span():
    target = exponential(12)
    start = network(4, 1, 12, jc.activations.relu)
    end = jc.solve(start, target)
    assert bool(end.converged)
    moments = jc.solve(start, target.moments)
    np.testing.assert_allclose(end.network.weights, moments.network.weights, atol=1e-9)
    assert end.eigenvalues.shape == moments.eigenvalues.shape == (1 + 1 + 1 + 1,)
    # its moments are those of its values: by quadrature along v, to 2e-14
    z, weight = np.polynomial.hermite_e.hermegauss(40)
    values = np.asarray(target(z[:, None] * np.asarray(target.direction)[None]))
    weight = weight / weight.sum()
    found = [weight @ values, weight @ (values * z), weight @ values**2]
    np.testing.assert_allclose(found, [1, 0.5, np.exp(0.25)], atol=1e-13)


def test_a_problem_that_knows_only_its_risk_has_the_hessian_of_automatic_differentiation():
    student, plain = network(5, 2, 2, ERF), jc.RiskProblem.of(network(6, 3, 2, ERF))
    decay = Decay(plain.second_moment, plain)
    hessian = jax.jit(lambda problem: problem.hessian(student, ("readout",)))
    np.testing.assert_allclose(hessian(decay), hessian(plain) + 0.2 * np.eye(4), atol=1e-14)
    measured = jc.solvers.certify(decay, student, polish=False)
    assert float(measured.risk) == float(jax.jit(type(decay).risk)(decay, student))


def test_parameters_of_an_own_target_have_names_for_messages(mixture):
    assert next(iter(mixture.parameters())) == "teachers[0].weights"
    student = network(3, 2, 2, ERF)
    with pytest.raises(ValueError, match=r"^solve: target: given shares with NaN"):
        jc.solve(student, eqx.tree_at(lambda t: t.shares, mixture, SHARES.at[0].set(jnp.nan)))
    with pytest.raises(
        ValueError, match=r"^drop: given a problem of type Average; expected a Risk"
    ):
        jc.landscape.drop(student, mixture)


@pytest.mark.parametrize(
    "solver", [Rodas5P(), Chebyshev(max_stages=60)], ids=["rosenbrock", "cheb"]
)
def test_the_solver_that_is_asked_for_steps_the_flow_alone_and_in_batches(solver):
    student, target = network(7, 2, 2, ERF), network(8, 3, 2, ERF)
    batch = jc.initialize.glorot_normal(jax.random.key(1), 2, 2, activation=ERF, runs=3)
    known = {Rodas5P: jc.solvers.METHODS.rosenbrock, Chebyshev: jc.solvers.METHODS.chebyshev}
    free = jc.gradient_flow(student, target)
    flow = jc.gradient_flow(student, target, solver=solver)
    assert bool(flow.stats["method"] == known[type(solver)])
    assert float(flow.risk) == pytest.approx(float(free.risk), abs=1e-9)
    ends = jc.flow_many(batch, target, solver=solver)
    assert np.all(np.asarray(ends.converged))
    assert bool(jnp.all(ends.stats["method"] == known[type(solver)]))
    explicit = np.asarray(ends.stats["explicit_steps"])
    assert np.all(explicit == (0 if isinstance(solver, Rodas5P) else ends.stats["steps"]))
    by_itself = jc.flow_many(batch, target)
    np.testing.assert_allclose(ends.risk, by_itself.risk, atol=1e-9)
