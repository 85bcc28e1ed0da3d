"""The population risk against Monte Carlo and finite differences, its Hessian against differences
of its gradient.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import jaxcompress as jc
from jaxcompress.risk import RiskProblem, normal_equations
from tests.compiling import usual_jit
from tests.problems import network, singular_law

RELU, ERF, IDENTITY = jc.activations.relu, jc.activations.erf, jc.activations.identity

# student, target, law: each line of the structure that a risk may have, at least once
CASES = {
    "plain relu": (network(1, 2, 3, RELU), network(2, 4, 3, RELU), jc.StandardNormal()),
    "biases and output biases": (
        network(3, 2, 3, RELU, bias=True, output_bias=True),
        network(4, 4, 3, RELU, bias=True, output_bias=True),
        jc.StandardNormal(),
    ),
    "three outputs, target without biases": (
        network(5, 2, 3, ERF, outputs=3, bias=True, output_bias=True),
        network(6, 4, 3, ERF, outputs=3),
        jc.StandardNormal(),
    ),
    "full covariance with a mean": (
        network(7, 2, 3, RELU),
        network(8, 4, 3, RELU, bias=True),
        singular_law(),
    ),
    "relu student of an erf target": (
        network(9, 2, 3, RELU, outputs=2, bias=True),
        network(10, 4, 3, ERF, outputs=2, output_bias=True),
        singular_law(),
    ),
    "linear student": (network(11, 1, 3, IDENTITY), network(12, 4, 3, RELU), jc.StandardNormal()),
}
case = pytest.mark.parametrize("name", CASES)
STEP = 1e-5


@functools.cache
def _measured(name):
    """The risk, its gradient and its second derivatives by autodiff, at the student and at points
    about it for central differences; compiled once for all that is compared with them.
    """
    student, target, law = CASES[name]
    vector, unravel = ravel_pytree(student)
    around = np.concatenate([np.zeros((1, vector.size)), np.eye(vector.size), -np.eye(vector.size)])
    risk = lambda z: jc.population_risk(unravel(z), target, inputs=law)  # noqa: E731

    def thrice(z):
        value, gradient = jax.value_and_grad(risk)(z)
        return gradient, (value, gradient)

    everything = jax.jit(jax.vmap(jax.jacfwd(thrice, has_aux=True)))
    seconds, (risks, gradients) = everything(np.asarray(vector) + STEP * around)
    return risks, gradients, seconds


def _quotients(values):
    """The central differences of what was measured about the student."""
    up, down = np.split(np.asarray(values)[1:], 2)
    return (up - down) / (2 * STEP)


@pytest.mark.parametrize(
    "name", [name for name in CASES if name not in ("plain relu", "linear student")]
)
def test_risk_is_the_mean_squared_difference_over_ten_million_inputs(name):
    student, target, law = CASES[name]

    def block(key):
        x = law.sample(key, (100_000,), 3, jnp.float64)
        error = ((student(x) - target(x)) ** 2).reshape(len(x), -1).sum(1)
        return error.mean(), (error**2).mean()

    keys = jax.random.split(jax.random.key(0), 100)
    # most of the time they run
    mean, square = usual_jit(lambda keys: jax.lax.map(block, keys))(keys)
    standard_error = jnp.sqrt((square.mean() - mean.mean() ** 2) / 1e7)
    assert abs(mean.mean() - jc.population_risk(student, target, inputs=law)) < 4 * standard_error


@case
def test_gradient_is_the_finite_difference_of_the_risk(name):
    risks, gradients, _ = _measured(name)
    # worst case 4e-10, set by the difference quotient
    np.testing.assert_allclose(gradients[0], _quotients(risks), rtol=0, atol=5e-9 * float(risks[0]))


@case
def test_hessian_is_the_finite_difference_of_the_gradient_and_equal_to_autodiff(name):
    student, target, law = CASES[name]
    _, gradients, by_autodiff = _measured(name)
    difference = _quotients(gradients)
    hessian = jc.risk_hessian(student, target, inputs=law)
    scale = float(jnp.abs(hessian).max())
    np.testing.assert_allclose(hessian, difference, rtol=0, atol=1e-8 * scale)  # worst case 3e-10
    np.testing.assert_allclose(hessian, by_autodiff[0], rtol=0, atol=1e-13 * scale)


def test_frozen_parameters_leave_the_rest_of_the_hessian_as_it_was():
    student, target, law = CASES["biases and output biases"]
    full = jc.risk_hessian(student, target, inputs=law)
    kept = np.r_[0:6, 8:10]  # weights (2, 3), readout (2,), bias (2,), output_bias ()
    np.testing.assert_array_equal(
        jc.risk_hessian(student, target, inputs=law, freeze=("readout", "output_bias")),
        full[np.ix_(kept, kept)],
    )


def test_hessian_at_copies_of_target_neurons_is_that_of_the_isolated_formula():
    """Orthonormal ReLU target, student equal to it: blocks are known in closed form (Safran &
    Shamir 2018).
    """
    target = jc.targets.orthonormal(3, 3, activation=RELU)
    hessian = jc.risk_hessian(target, target, freeze=("readout",)).reshape(3, 3, 3, 3)
    unit = np.eye(3)
    np.testing.assert_allclose(hessian[0, :, 0, :], unit, atol=1e-15)
    outer = np.outer(unit[0], unit[1])
    expected = 2 * (np.pi / 2 * unit + outer + outer.T) / (2 * np.pi)
    np.testing.assert_allclose(hessian[0, :, 1, :], expected, atol=1e-15)


def test_risk_of_the_target_itself_is_below_its_floor_and_not_negative():
    both = jax.jit(lambda net: (jc.population_risk(net, net), RiskProblem.of(net).floor(net)))
    for seed in range(20):
        risk, floor = both(network(seed, 6, 4, RELU, bias=True, output_bias=True))
        assert 0 <= risk <= 10 * floor


def test_gradient_survives_where_the_risk_is_clipped_at_zero():
    target = network(1, 6, 4, ERF)
    nearby = jax.tree.map(lambda leaf: leaf + 1e-9, target)
    gradient, _ = ravel_pytree(jax.grad(lambda s: jc.population_risk(s, target))(nearby))
    hessian = jc.risk_hessian(target, target)
    moved = ravel_pytree(nearby)[0] - ravel_pytree(target)[0]
    np.testing.assert_allclose(gradient, hessian @ moved, rtol=0, atol=1e-14)  # worst case 3e-15


def test_a_dead_relu_neuron_has_no_derivative_and_no_nan():
    student = jc.TwoLayer(jnp.asarray([[0.0, 0.0], [1.0, 0.5]]), jnp.asarray([1.0, -1.0]))
    target = network(3, 3, 2, RELU)
    vector, unravel = ravel_pytree(student)
    gradient = jax.grad(lambda z: jc.population_risk(unravel(z), target))(vector)
    hessian = jc.risk_hessian(student, target)
    assert bool(jnp.all(jnp.isfinite(gradient)))
    assert bool(jnp.all(jnp.isfinite(hessian)))
    np.testing.assert_array_equal(gradient[:2], 0)
    np.testing.assert_array_equal(hessian[:2, :], 0)


def test_normal_equations_hold_the_readout_at_which_the_readout_gradient_vanishes():
    student, target, law = CASES["biases and output biases"]
    problem = RiskProblem.of(target, law)
    matrix, right = jax.jit(normal_equations)(problem, student)
    solution = np.linalg.solve(matrix, right)[:, 0]
    best = jc.TwoLayer(student.weights, solution[:2], student.bias, solution[2], RELU)
    risk_and_gradient = jax.jit(jax.value_and_grad(problem.risk))
    risk, gradient = risk_and_gradient(best)
    assert max(float(jnp.abs(gradient.readout).max()), float(jnp.abs(gradient.output_bias))) < 1e-14
    assert risk < risk_and_gradient(student)[0]


def test_risk_under_vmap_and_jit_is_the_risk_one_by_one():
    target = network(1, 4, 3, RELU)
    students = jc.initialize.glorot_normal(jax.random.key(0), 2, 3, activation=RELU, runs=3)
    batch = jax.jit(jax.vmap(lambda s: jc.population_risk(s, target)))(students)
    single = [
        jc.population_risk(jax.tree.map(lambda leaf, i=i: leaf[i], students), target)
        for i in range(3)
    ]
    np.testing.assert_allclose(batch, single, rtol=1e-14)


def test_float32_stays_float32_and_agrees_to_single_precision():
    student, target, _ = CASES["biases and output biases"]
    low = [jax.tree.map(lambda leaf: leaf.astype(jnp.float32), net) for net in (student, target)]
    risk = jc.population_risk(*low)
    assert risk.dtype == jnp.float32
    assert jc.risk_hessian(*low).dtype == jnp.float32
    np.testing.assert_allclose(risk, jc.population_risk(student, target), rtol=1e-5)
