"""Gated neurons against mpmath, Monte Carlo and differences: tables, networks, risk, solvers."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from mpmath import mp, mpf

import jaxcompress as jc
from jaxcompress.kernels import activations, gated_gram
from tests.gated_oracle import DIM, PAIRS, STORE, expectation

STORED = json.loads(STORE.read_text())
KEY = jax.random.key(20261130)


def arrays(numbers):
    """Gates, their biases, factors and biases of both neurons of many pairs, one pair a row."""
    rows = np.asarray(numbers).reshape(-1, 4, DIM + 1)
    cut = [(jnp.asarray(row[:, :DIM]), jnp.asarray(row[:, DIM])) for row in np.moveaxis(rows, 1, 0)]
    (g, mu), (h, nu), (u, m), (v, n) = cut
    return g, mu, u, m, h, nu, v, n


def table(name, numbers):
    """The package's table of the first neurons of all pairs with the second ones of all pairs."""
    f, g = (getattr(activations, each) for each in name.split())
    gate, mu, u, m, other, nu, v, n = arrays(numbers)
    biases = {"gate_bias_f": mu, "bias_f": m, "gate_bias_g": nu, "bias_g": n}
    return gated_gram(f, gate, u, g, other, v, **biases)


# --- tables ---


@pytest.mark.parametrize("name", PAIRS)
def test_values_are_those_of_quadrature_in_fifty_digits(name):
    some = [entry for entry in STORED if entry["pair"] == name]
    found = jnp.diagonal(table(name, [entry["numbers"] for entry in some]))
    exact = np.array([entry["value"] for entry in some])
    assert len(some) == PAIRS[name]
    assert np.max(np.abs(found - exact)) < 2e-14  # worst 6e-15, tanh by sigmoid


def test_the_stored_values_are_what_the_oracle_gives():
    with mp.workdps(75):
        for entry in STORED[::100]:
            numbers = [mpf(x) for x in entry["numbers"]]
            assert float(expectation(*entry["pair"].split(), numbers)) == entry["value"]


@pytest.mark.parametrize("entry", [e for e in STORED if "gradient" in e], ids=lambda e: e["pair"])
def test_derivatives_are_those_of_differences_of_fifty_digits(entry):
    def value(numbers):
        return table_of(entry["pair"], numbers)

    @jax.jit
    def derivatives(numbers, direction):
        gradient, along = jax.jvp(jax.grad(value), (numbers,), (direction,))
        return gradient, along

    numbers = jnp.asarray(entry["numbers"])
    v, w = (jnp.asarray(row) for row in entry["directions"])
    gradient, along_v = derivatives(numbers, v)
    _, along_w = derivatives(numbers, w)
    second = [v @ along_v, w @ along_v, w @ along_w]
    assert np.max(np.abs(gradient - np.array(entry["gradient"]))) < 1e-15
    assert np.max(np.abs(np.array(second) - np.array(entry["second"]))) < 1e-14


def table_of(name, numbers):
    """The entry of one pair, traceable in its numbers."""
    f, g = (getattr(activations, each) for each in name.split())
    gate, mu, other, nu, u, m, v, n = (
        numbers[i : i + size][None] if size > 1 else numbers[i][None]
        for start in range(0, 4 * (DIM + 1), DIM + 1)
        for i, size in ((start, DIM), (start + DIM, 1))
    )
    biases = {"gate_bias_f": mu, "bias_f": m, "gate_bias_g": nu, "bias_g": n}
    return gated_gram(f, gate, u, g, other, v, **biases)[0, 0]


def test_a_kinked_gate_that_meets_itself_has_exact_derivatives():
    """`E[(g·x)₊² (u·x)²] = (|g|²|u|² + 2 (g·u)²)/2` without biases, differentiated twice."""
    rng = np.random.default_rng(1)
    g, u = jnp.asarray(rng.normal(size=(2, 1, DIM)))

    def own(both):
        g, u = both
        return gated_gram(activations.relu, g, u, activations.relu, g, u)[0, 0]

    def exact(both):
        g, u = both
        return 0.5 * jnp.sum(g * g) * jnp.sum(u * u) + jnp.sum(g * u) ** 2

    flat, unravel = ravel_pytree((g, u))
    found = jax.jit(jax.hessian(lambda x: own(unravel(x))))(flat)
    slopes = jax.jit(jax.grad(lambda x: own(unravel(x))))(flat)
    np.testing.assert_allclose(own((g, u)), exact((g, u)), rtol=1e-14)
    np.testing.assert_allclose(slopes, jax.grad(lambda x: exact(unravel(x)))(flat), atol=1e-13)
    np.testing.assert_allclose(found, jax.hessian(lambda x: exact(unravel(x)))(flat), atol=1e-13)


@pytest.mark.parametrize("name", ["relu", "gelu", "sin"])
def test_corners_give_numbers_and_no_nan(name):
    """Coincident, opposite and almost coincident gates, and gates of no norm."""
    f = getattr(activations, name)
    rng = np.random.default_rng(2)
    g, u = rng.normal(size=(2, DIM))
    gates = jnp.asarray(np.stack([g, g, -g, g * (1 + 1e-9) + 1e-9, 0 * g]))
    factors = jnp.asarray(np.stack([u, -u, u, g, u]))

    def total(gates, factors):
        return jnp.sum(gated_gram(f, gates, factors, f, gates, factors))

    value, slopes = jax.jit(jax.value_and_grad(total, (0, 1)))(gates, factors)
    assert np.all(np.isfinite(value))
    assert all(np.all(np.isfinite(slope)) for slope in slopes)


def test_single_precision_is_kept():
    numbers = [entry["numbers"] for entry in STORED if entry["pair"] == "gelu gelu"]
    exact = table("gelu gelu", numbers)
    f = activations.gelu
    gate, mu, u, m, other, nu, v, n = (x.astype(jnp.float32) for x in arrays(numbers))
    biases = {"gate_bias_f": mu, "bias_f": m, "gate_bias_g": nu, "bias_g": n}
    found = gated_gram(f, gate, u, f, other, v, **biases)
    assert found.dtype == jnp.float32
    assert np.max(np.abs(found - exact)) < 1e-5 * np.max(np.abs(exact))


# --- networks ---


def drawn(seed, width, activation, gated=True):
    """A network with two outputs and all biases."""
    rng = np.random.default_rng(seed)

    def some(*shape):
        return jnp.asarray(0.6 * rng.normal(size=shape))

    rows = some(width, DIM), some(width, DIM)
    readout, bias, gate_bias, offset = some(width, 2), some(width), some(width), some(2)
    if gated:
        return jc.GatedTwoLayer(*rows, readout, gate_bias, bias, offset, activation)
    return jc.TwoLayer(rows[0], readout, bias, offset, activation)


def law():
    rng = np.random.default_rng(7)
    root = rng.normal(size=(DIM, DIM))
    return jc.Gaussian(jnp.asarray(0.4 * rng.normal(size=DIM)), jnp.asarray(root @ root.T / DIM))


MET = {
    "ReGLU by ReGLU": (drawn(1, 3, activations.relu), drawn(2, 2, activations.relu)),
    "SwiGLU by SwiGLU": (drawn(3, 3, activations.silu), drawn(4, 2, activations.silu)),
    "ReGLU by plain erf": (drawn(5, 3, activations.relu), drawn(6, 2, activations.erf, False)),
    "plain ReLU by GeGLU": (drawn(7, 3, activations.relu, False), drawn(8, 2, activations.gelu)),
}


@pytest.mark.parametrize("met", MET)
def test_the_risk_is_that_of_a_million_samples(met):
    student, target = MET[met]
    risk = float(jc.population_risk(student, target, inputs=law()))
    x = law().sample(KEY, (1_000_000,), DIM, jnp.float64)
    errors = np.sum(np.asarray(student(x) - target(x)) ** 2, axis=1)
    assert abs(np.mean(errors) - risk) < 4 * np.std(errors) / 1000


def test_the_hessian_of_the_risk_is_the_derivative_of_its_gradient():
    student, target = MET["ReGLU by ReGLU"]
    problem = jc.RiskProblem.of(target, law())
    flat, unravel = ravel_pytree(student)
    slope = jax.jit(jax.grad(lambda vector: problem.risk(unravel(vector))))
    hessian = jc.risk_hessian(student, target, inputs=law())
    axes = 1e-5 * np.eye(flat.size)[::5]
    differences = [(slope(flat + e) - slope(flat - e)) / 2e-5 for e in axes]
    size = np.max(np.abs(hessian))
    assert np.max(np.abs(np.stack(differences) - hessian[::5])) < 1e-8 * size
    frozen = jax.eval_shape(lambda s: problem.hessian(s, ("gate_weights", "readout")), student)
    assert frozen.shape == (flat.size - 9 - 6,) * 2


def test_a_network_is_what_its_formula_says_and_its_risk_to_itself_is_nothing():
    network = drawn(9, 3, activations.relu)
    x = jnp.asarray([0.3, -1.2, 0.7])
    hidden = activations.relu(network.gate_weights @ x + network.gate_bias)
    hidden = hidden * (network.weights @ x + network.bias)
    np.testing.assert_allclose(network(x), hidden @ network.readout + network.output_bias)
    problem = jc.RiskProblem.of(network, law())
    assert problem.risk(network) <= 10 * problem.floor(network)


def test_a_saved_network_is_loaded_as_it_was(tmp_path):
    network = drawn(10, 3, activations.silu)
    jc.save(tmp_path / "gated.npz", network)
    assert eqx.tree_equal(jc.load(tmp_path / "gated.npz"), network)


def test_a_batch_of_starts_is_indexed_and_drawn_run_by_run():
    silu, start = activations.silu, jc.initialize.gated_glorot_normal
    starts = start(KEY, 3, 5, activation=silu, gate_bias=True, runs=4)
    one = start(jax.random.fold_in(KEY, 2), 3, 5, activation=silu, gate_bias=True)
    assert starts.runs == (4,)
    assert eqx.tree_equal(starts[2], one)


# --- solvers ---


def test_a_solver_ends_at_a_critical_point_also_where_inputs_are_wide():
    start = jc.initialize.gated_glorot_normal
    target = start(jax.random.key(1), 2, 12, activation=activations.relu)
    student = start(jax.random.key(2), 1, 12, activation=activations.relu)
    solution = jc.solve(student, target)
    assert isinstance(solution.network, jc.GatedTwoLayer)
    assert solution.index == 0
    problem = jc.RiskProblem.of(target)
    value, slopes = jax.jit(jax.value_and_grad(problem.risk))(solution.network)
    np.testing.assert_allclose(value, solution.risk, rtol=1e-12)
    assert value < problem.risk(student)
    assert max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(slopes)) < 1e-10


# --- what is refused ---


def test_what_does_not_fit_is_refused_in_words():
    network = drawn(1, 3, activations.relu)
    relu, rows = activations.relu, jnp.ones((2, 3))
    with pytest.raises(ValueError, match=r"GatedTwoLayer: given gate_weights \(2, 3\)"):
        jc.GatedTwoLayer(rows, rows[:, :2], jnp.ones(2))
    with pytest.raises(ValueError, match=r"gated_gram: given G of shape \(2, 3\) and U of shape"):
        gated_gram(relu, rows, rows[:1], relu, rows, rows)
    with pytest.raises(ValueError, match="gated_gram: given no gate_bias_f, no U"):
        gated_gram(relu, rows, None, relu, rows, rows, bias_f=jnp.ones(2))
    with pytest.raises(ValueError, match="gated_gram: given G of 3 and H of 2 input dimensions"):
        gated_gram(relu, rows, rows, relu, rows[:, :2], None)
    with pytest.raises(ValueError, match="compress: given target of type GatedTwoLayer"):
        jc.compress(network, 2, key=KEY)
    with pytest.raises(ValueError, match="given student of type GatedTwoLayer"):
        jc.empirical_risk(network, jc.Samples(jnp.ones((4, 3)), jnp.ones((4, 2))))
    with pytest.raises(ValueError, match="given freeze"):
        jc.risk_hessian(network, network, freeze=("gates",))
