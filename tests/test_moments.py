"""Moments of targets: the Hermite orders against quadrature by mpmath, the second moment against
the risk.

The oracle knows no Stein's lemma: a neuron's orders are `E φ(X) h(Z)` for the Hermite polynomials
`1, Z, Z² − 1` of the direction that it sees.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp

import jaxcompress as jc
from jaxcompress import activations
from jaxcompress.kernels import gram
from jaxcompress.networks import TargetMoments, _moments, relu_moments, target_moments
from jaxcompress.networks.internal import orders_second_moment
from tests.problems import network, run, singular_law

PLAIN = {
    "relu": lambda x: max(x, mp.mpf(0)),
    "erf": lambda x: mp.erf(x / mp.sqrt(2)),
    "tanh": mp.tanh,
    "gelu": lambda x: x * mp.ncdf(x),
}


@functools.cache
def neuron_orders(name, mean, std):
    """`E φ`, `E φ Z` and `E φ (Z² − 1)` for `X = mean + std·Z`, to 20 digits."""
    with mp.workdps(20):
        mean, std, phi = mp.mpf(mean), mp.mpf(std), PLAIN[name]
        kink = [-mean / std] if std > 0 and abs(mean) < 12 * std else []
        points = [-12, *kink, 12] if name == "relu" else [-12, -4, 0, 4, 12]

        def moment(hermite):
            return float(mp.quad(lambda z: phi(mean + std * z) * mp.npdf(z) * hermite(z), points))

        return moment(lambda z: 1), moment(lambda z: z), moment(lambda z: z * z - 1)


def by_quadrature(name, target, factor=None, shift=0.0):
    """Constant, linear and quadratic order of a target on inputs `shift + factor·z`, with the axis
    of outputs.
    """
    weights, readout = (
        np.asarray(target.weights),
        np.asarray(target.readout).reshape(target.width, -1),
    )
    means = weights @ (shift * np.ones(target.dim)) + (
        0 if target.bias is None else np.asarray(target.bias)
    )
    v = weights if factor is None else weights @ factor
    std = np.linalg.norm(v, axis=1)
    m, first, second = np.array(
        [neuron_orders(name, *pair) for pair in zip(means, std, strict=True)]
    ).T
    unit = v / np.where(std > 0, std, 1)[:, None]
    offset = 0 if target.output_bias is None else np.asarray(target.output_bias)
    return (
        readout.T @ m + offset,
        np.einsum("io,i,ij->oj", readout, first, unit),
        np.einsum("io,i,ij,ik->ojk", readout, second, unit, unit),
    )


def close(moments, oracle):
    """Orders relative to the largest entry of each; measured: 1e-15."""
    for given, expected in zip(
        (moments.constant, moments.linear, moments.quadratic), oracle, strict=True
    ):
        expected = expected if moments.outputs else expected[0]
        scale = max(1e-3, np.max(np.abs(expected)))
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-14 * scale)


@pytest.mark.parametrize(
    ("name", "bias"),
    [
        ("relu", False),
        ("relu", True),
        ("erf", True),
        ("gelu", True),
        ("tanh", False),
        ("tanh", True),
    ],
)
def test_moments_are_the_hermite_orders_of_the_target(name, bias):
    target = network(1, 4, 3, getattr(activations, name), outputs=2, bias=bias, output_bias=bias)
    close(target_moments(target, order=2), by_quadrature(name, target))


@pytest.mark.parametrize("name", ["relu", "erf"])
def test_under_a_gaussian_law_the_moments_are_those_of_its_standard_normal_inputs(name):
    target, law = (
        network(2, 3, 3, getattr(activations, name), bias=True, output_bias=True),
        singular_law(),
    )
    moments = target_moments(target, order=2, inputs=law)
    assert moments.dim == 2
    close(moments, by_quadrature(name, target, np.asarray(law.factor), np.asarray(law.mean)))


@pytest.mark.parametrize(("name", "bias"), [("relu", False), ("relu", True), ("tanh", True)])
def test_a_neuron_of_norm_zero_counts_as_the_constant_that_it_is(name, bias):
    target = network(3, 3, 2, getattr(activations, name), bias=bias)
    dead = jc.TwoLayer(
        target.weights.at[1].set(0), target.readout, target.bias, activation=target.activation
    )
    moments = target_moments(dead, order=2)
    close(moments, by_quadrature(name, dead))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(moments))


@pytest.mark.parametrize("size", [1e-150, 1e-8, 1e8, 1e150])
def test_norms_may_have_any_size(size):
    """ReLU is homogeneous: `C`, `T` and `Q` are multiplied by what the weights are."""
    target = network(4, 5, 3, activations.relu)
    big = jc.TwoLayer(target.weights * size, target.readout / size, activation=target.activation)
    one, other = target_moments(target, order=2), target_moments(big, order=2)
    for a, b in (
        (one.constant, other.constant),
        (one.linear, other.linear),
        (one.quadratic, other.quadratic),
    ):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "structure"), [("relu", {"outputs": 2, "output_bias": True}), ("tanh", {})]
)
def test_the_second_moment_is_the_risk_of_a_student_that_says_nothing(name, structure):
    target = network(5, 6, 3, getattr(activations, name), **structure)
    silent = jc.TwoLayer(target.weights[:1], 0 * target.readout[:1], activation=target.activation)
    moments, risk = target_moments(target), jc.population_risk(silent, target)
    np.testing.assert_allclose(moments.second_moment, risk, rtol=1e-13)
    assert 0 < moments.second_moment_error < 1e-13 * risk


def test_the_second_moment_is_at_least_that_of_the_orders_and_equal_to_it_for_quadratic_targets():
    target = network(6, 5, 3, activations.hermite(2) + activations.identity, outputs=2)
    moments = target_moments(target, order=2)
    own = orders_second_moment(moments.constant, moments.linear, moments.quadratic)
    np.testing.assert_allclose(moments.second_moment, own, rtol=1e-13)
    relu = target_moments(network(6, 5, 3, activations.relu), order=2)
    assert relu.second_moment > orders_second_moment(relu.constant, relu.linear, relu.quadratic)


@pytest.mark.parametrize(("name", "bias"), [("relu", False), ("sin", True)])
def test_an_estimated_second_moment_is_within_four_standard_errors_of_the_sum_over_all_pairs(
    name, bias, monkeypatch
):
    for option, value in (("EXACT_WIDTH", 300), ("SAMPLES", 8), ("SAMPLE", 48), ("BLOCK", 128)):
        monkeypatch.setattr(_moments, option, value)
    f = getattr(activations, name)
    for seed in range(4):
        # a width of its own: nothing compiled is met again
        target = network(seed, 384, 6, f, bias=bias)
        guess, readout = target_moments(target), target.readout
        table = gram(f, target.weights, f, target.weights, bias_f=target.bias, bias_g=target.bias)
        assert guess.quadratic is None
        assert abs(guess.second_moment - readout @ table @ readout) < 4 * guess.second_moment_error
        assert guess.second_moment_error < 0.5 * guess.second_moment  # measured: 0.007 to 0.41


def test_a_wide_target_is_summed_in_blocks(monkeypatch):
    monkeypatch.setattr(_moments, "BLOCK", 32)  # 130 = 4·32 + 2
    target = network(7, 130, 3, activations.relu)
    moments, b, v = (
        target_moments(target, order=2),
        np.asarray(target.readout),
        np.asarray(target.weights),
    )
    norm = np.linalg.norm(v, axis=1)
    np.testing.assert_allclose(moments.constant, b @ norm / np.sqrt(2 * np.pi), rtol=1e-13)
    np.testing.assert_allclose(moments.linear, b @ v / 2, rtol=1e-13)
    np.testing.assert_allclose(
        moments.quadratic, (v.T * (b / norm)) @ v / np.sqrt(2 * np.pi), rtol=1e-12, atol=1e-13
    )


def test_a_batch_is_measured_target_by_target():
    targets = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *[network(i, 4, 3, activations.erf) for i in range(3)]
    )
    together = target_moments(targets, order=2)
    assert together.runs == (3,)
    assert (together.order, together.dim) == (2, 3)
    for i in range(3):
        alone = target_moments(run(targets, i), order=2)
        for a, b in zip(jax.tree.leaves(run(together, i)), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)


def test_relu_moments_are_those_of_a_target_with_this_total_and_direction():
    target = network(8, 6, 4, activations.relu)
    total = jnp.sum(target.readout * jnp.linalg.norm(target.weights, axis=1))
    moments, known = relu_moments(total, target.readout @ target.weights), target_moments(target)
    np.testing.assert_allclose(moments.constant, known.constant, rtol=1e-14)
    np.testing.assert_allclose(moments.linear, known.linear, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(
        moments.second_moment, orders_second_moment(known.constant, known.linear, None), rtol=1e-13
    )


def test_moments_come_in_the_dtype_of_the_target():
    target = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), network(9, 5, 3, activations.relu))
    moments = target_moments(target, order=2)
    assert {leaf.dtype for leaf in jax.tree.leaves(moments)} == {jnp.dtype("float32")}
    exact = target_moments(jax.tree.map(lambda leaf: leaf.astype(jnp.float64), target), order=2)
    for a, b in zip(jax.tree.leaves(moments)[:4], jax.tree.leaves(exact)[:4], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)  # measured: 3e-7


def test_moments_have_the_derivatives_of_their_formulas():
    """ReLU without biases: `∂C/∂v = b v/(|v|√2π)`; at a neuron of norm zero it is stated to be
    zero.
    """
    target = network(10, 4, 3, activations.relu)
    target = jc.TwoLayer(target.weights.at[2].set(0), target.readout, activation=activations.relu)
    gradient = jax.grad(lambda net: target_moments(net).constant)(target)
    norm = np.linalg.norm(target.weights, axis=1, keepdims=True)
    expected = (
        np.asarray(target.readout)[:, None]
        * target.weights
        / np.where(norm > 0, norm, 1)
        / np.sqrt(2 * np.pi)
    )
    np.testing.assert_allclose(gradient.weights, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (
            lambda net: target_moments(net, order=3),
            ("order=3", "expected 1 or 2", "population_risk"),
        ),
        (lambda net: target_moments(net, order=True), ("order=True", "expected 1 or 2")),
        (lambda net: target_moments(net.weights), ("given", "expected a TwoLayer")),
        (
            lambda net: target_moments(net, inputs=singular_law(4)),
            ("dimension 3", "dimension 4", "pad"),
        ),
        (
            lambda net: target_moments(jc.TwoLayer(net.weights.at[0, 0].set(jnp.nan), net.readout)),
            ("weights with NaN", "expected finite"),
        ),
        (
            lambda net: relu_moments(1.0, net.weights),
            ("direction of shape (4, 3)", "expected (d,)", "vmap"),
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_with_a_remedy(call, parts):
    with pytest.raises(
        ValueError, match=parts[0].replace("(", r"\(").replace(")", r"\)")
    ) as caught:
        call(network(11, 4, 3, activations.relu))
    assert all(part in str(caught.value) for part in parts)


def test_moments_are_a_tree_of_arrays_with_static_outputs():
    moments = target_moments(network(12, 4, 3, activations.relu, outputs=2))
    assert isinstance(moments, TargetMoments)
    assert (moments.outputs, moments.order, moments.constant.shape, moments.linear.shape) == (
        2,
        1,
        (2,),
        (2, 3),
    )
    assert len(jax.tree.leaves(moments)) == 4


def test_the_old_names_of_the_second_moment_work_for_one_release():
    moments = relu_moments(jnp.ones(()), jnp.arange(3.0))
    problem = jc.RiskProblem.of(moments)
    for value, old, new in (
        (moments, "energy", "second_moment"),
        (moments, "energy_error", "second_moment_error"),
        (problem, "energy", "second_moment"),
    ):
        words = f"{type(value).__name__}.{old} is now called {type(value).__name__}.{new}"
        with pytest.warns(DeprecationWarning, match=words):
            assert getattr(value, old) is getattr(value, new)
