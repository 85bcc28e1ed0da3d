"""Hermite coefficients of neurons, and tables summed from them, against integrals by Gauss–Legendre
rules in NumPy that split at every kink and share no formula with the package.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import jaxcompress as jc
from jaxcompress import activations
from jaxcompress.kernels import gram, gram_error
from jaxcompress.kernels.spectra._spectrum import spectrum_of
from jaxcompress.kernels.tables._completed import serves, tables

_EXPIT, _CDF = scipy.special.expit, scipy.special.ndtr
PLAIN = {
    "relu": (activations.relu, lambda x: np.maximum(x, 0)),
    "erf": (activations.erf, lambda x: scipy.special.erf(x / math.sqrt(2))),
    "gelu": (activations.gelu, lambda x: x * _CDF(x)),
    "tanh": (activations.tanh, np.tanh),
    "sigmoid": (activations.sigmoid, _EXPIT),
    "softplus": (activations.softplus, lambda x: np.logaddexp(0, x)),
    "silu": (activations.silu, lambda x: x * _EXPIT(x)),
    "step": (activations.step, lambda x: 1.0 * (x > 0)),
    "sign": (activations.sign, np.sign),
    "abs": (activations.abs, np.abs),
    "leaky_relu": (activations.leaky_relu(0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
    "cube": (activations.rectified_power(3), lambda x: np.maximum(x, 0) ** 3),
    "bump": (activations.bump(0.7), lambda x: np.exp(-(x**2) / 0.98)),
    "sin": (activations.sin, np.sin),
    "cos": (activations.cos, np.cos),
    "exp": (activations.exp, np.exp),
    "monomial": (activations.monomial(4), lambda x: x**4),
    "hermite": (activations.hermite(3), lambda x: (x**3 - 3 * x) / math.sqrt(6)),
    "user": (activations.elementwise(jnp.arctan), np.arctan),
    "sum": (2 * activations.tanh - activations.relu, lambda x: 2 * np.tanh(x) - np.maximum(x, 0)),
}
MEANS = np.array([0.0, 0.7, -2.0, 1.3, 0.5, -3.0])
NORMS = np.array([1.0, 0.3, 1.5, 1e-3, 0.0, 0.8])
DEGREES = 48


def line(kink):
    """Nodes and weights of a standard normal variable, split at a point."""
    ends = np.unique(np.clip([-13.0, *np.linspace(-9, 9, 13), kink, 13.0], -13, 13))
    nodes, weights = np.polynomial.legendre.leggauss(40)
    middle, half = (ends[1:] + ends[:-1]) / 2, (ends[1:] - ends[:-1]) / 2
    z = (middle[:, None] + half[:, None] * nodes).ravel()
    w = (half[:, None] * weights).ravel() * np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return z, w


def coefficients(function, mean, norm, count):
    """`E[f(μ + σz) he_k(z)]` for `k < count`, and `E f²`."""
    z, w = line(-mean / norm if norm else 0.0)
    values = function(mean + norm * z) * w
    he = [np.ones_like(z), z]
    for k in range(1, count - 1):
        he.append((z * he[-1] - math.sqrt(k) * he[-2]) / math.sqrt(k + 1))
    return np.array(he[:count]) @ values, np.sum(values * function(mean + norm * z))


def pair_mean(f, g, mean_x, norm_x, mean_y, norm_y, cosine):
    """`E[f(X) g(Y)]` of smooth functions."""
    z, w = line(0.0)
    y = mean_y + norm_y * (cosine * z[:, None] + math.sqrt(1 - cosine * cosine) * z[None])
    return (w * f(mean_x + norm_x * z)) @ (g(y) @ w)


def spectrum(f):
    """Coefficients, and the bounds of the rests at every sixteenth degree."""

    @jax.jit
    def of(mean, std):
        known, rows, rests = spectrum_of(f), [], []
        state, zero = known.start(mean, std), jnp.zeros((), jnp.int32)
        for k in range(0, DEGREES, 16):
            rests.append(known.rest(state, zero + k))
            state, some = known.run(state, zero + k, 16)
            rows.append(some)
        return jnp.concatenate(rows), jnp.stack(rests)

    return of


@pytest.mark.parametrize("name", PLAIN)
def test_coefficients_are_integrals_and_their_rests_are_bounded(name):
    f, function = PLAIN[name]
    found, rests = (np.asarray(part) for part in spectrum(f)(jnp.array(MEANS), jnp.array(NORMS)))
    for i, (mean, norm) in enumerate(zip(MEANS, NORMS, strict=True)):
        wanted, square = coefficients(function, mean, norm, DEGREES)
        if name in ("step", "sign", "relu", "abs", "leaky_relu", "cube") and norm == mean == 0:
            wanted = 0 * wanted  # without norm and mean a kink is nowhere positive
        size = max(math.sqrt(square), 1e-3)
        # worst: 2e-14, softplus three deviations below zero; the user's by 257 nodes 1e-13; sums of
        # an exponential with polynomials of degree 47 leave the oracle 8e-13
        tolerance = 2e-12 if name == "exp" else 2e-13
        assert np.abs(found[:, i] - wanted).max() <= tolerance * size, (name, mean, norm)
        for rest, k in zip(rests[1:, i], range(16, DEGREES, 16), strict=True):
            left = math.sqrt(max(square - np.sum(wanted[:k] ** 2), 0))
            # what is left of a difference is good to its square root
            assert rest >= left - 3e-8 * size, (name, mean, norm, k)
            if left > 1e-6 * size:
                assert rest <= 50 * left, (name, mean, norm, k)


def layer(seed, count, dim, scale=1.0):
    rng = np.random.default_rng(seed)
    weights = scale * rng.normal(size=(count, dim)) / math.sqrt(dim)
    return jnp.array(weights), jnp.array(rng.normal(size=count))


def with_copies():
    """Five neurons and seven: two of these are copies, one is almost one, and one is opposite."""
    w, b = layer(0, 5, 9)
    v, c = layer(1, 7, 9)
    v = v.at[:2].set(w[:2]).at[2].set(w[2] + 1e-5).at[3].set(-w[3])
    return w, b, v, c.at[:3].set(b[:3]).at[3].set(-b[3])


@pytest.mark.parametrize("name", ["erf", "gelu", "tanh", "silu"])
def test_tables_are_integrals_also_where_neurons_coincide(name):
    f, function = PLAIN[name]
    w, b, v, c = with_copies()
    (found,) = jax.jit(lambda *a: tables(f, f, *a, ((0, 0),)))(w, b, v, c)
    norms_w, norms_v = (np.linalg.norm(part, axis=1) for part in (w, v))
    cosines = np.clip(np.asarray(w @ v.T) / np.outer(norms_w, norms_v), -1, 1)
    for i in range(5):
        for j in range(7):
            one, other = (float(b[i]), norms_w[i]), (float(c[j]), norms_v[j])
            wanted = pair_mean(function, function, *one, *other, cosines[i, j])
            assert abs(found[i, j] - wanted) <= 1e-13, (i, j)


def test_a_neuron_without_norm_has_the_derivative_of_its_function():
    """`∂/∂v E[tanh(w·x) tanh(v·x)] = w E tanh′(w·x)` at `v = 0`."""
    w, _ = layer(0, 1, 9)
    f = activations.tanh
    found = jax.grad(lambda v: gram(f, w, f, v)[0, 0])(jnp.zeros((1, 9)))
    z, weights = line(0.0)
    slope = np.sum(weights / np.cosh(np.linalg.norm(w) * z) ** 2)
    np.testing.assert_allclose(found, slope * w, rtol=1e-13)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", ["relu", "gelu", "tanh"])
def test_series_have_the_values_and_derivatives_of_the_exact_formulas(name, bias, monkeypatch):
    f = PLAIN[name][0]
    monkeypatch.setattr("jaxcompress.kernels.tables._completed._WIDE", 0)
    monkeypatch.setattr("jaxcompress.kernels.tables._completed._MANY", 0)
    arguments = with_copies()
    weights = jnp.array(np.random.default_rng(2).normal(size=(5, 7)))
    along = jax.tree.map(
        lambda leaf: jnp.cos(jnp.arange(leaf.size * 1.0)).reshape(leaf.shape), arguments
    )

    def everything(method):
        def total(w, b, v, c):
            shifts = {"bias_f": b, "bias_g": c} if bias else {}
            return jnp.sum(weights * gram(f, w, f, v, method=method, **shifts))

        def of(*args):
            value, gradient = jax.value_and_grad(total, (0, 1, 2, 3))(*args)
            forward = jax.jvp(jax.grad(total, (0, 1, 2, 3)), args, along)[1]
            return value, gradient, forward

        jax.clear_caches()  # the thresholds are no part of a cache's key
        return jax.jit(of)(*arguments)

    assert serves(f, f, 5, 7, 9)
    found, wanted = everything("auto"), everything("exact")
    for one, other, tolerance in zip(found, wanted, (1e-14, 1e-13, 2e-11), strict=True):
        for p, q in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(p, q, atol=tolerance, rtol=0)


def test_many_pairs_without_a_series_are_exact_pairs():
    """Norms of thirty: no series of 512 degrees has ended, and several turns are taken."""
    w, b = layer(3, 6, 4, 30.0)
    v, c = layer(4, 12, 4, 30.0)
    found = jax.jit(lambda *a: tables(activations.gelu, activations.gelu, *a, ((0, 0),))[0])(
        w, b, v, c
    )
    wanted = gram(activations.gelu, w, activations.gelu, v, bias_f=b, bias_g=c, method="exact")
    np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-13 * np.abs(wanted).max())


@pytest.mark.parametrize("name", ["relu", "abs", "tanh", "softplus", "sin", "exp", "user"])
def test_the_bound_of_a_series_holds_and_is_near(name):
    """Against the exact formulas, which the tests of the kernels hold against mpmath."""
    f, function = PLAIN[name]
    rng = np.random.default_rng(5)
    count = 64
    norms = 10 ** rng.uniform(-2, 0.5, (2, count))
    means = rng.uniform(-3, 3, (2, count))
    cosines = rng.choice([-1, 1], count) * (1 - 10 ** rng.uniform(-6, 0, count))
    w = np.zeros((count, 1, 2))
    v = np.zeros((count, 1, 2))
    w[:, 0, 0] = norms[0]
    v[:, 0] = np.stack([cosines, np.sqrt(1 - cosines**2)], 1) * norms[1][:, None]

    @jax.jit
    @jax.vmap
    def everything(w, b, v, c):
        shifts = {"bias_f": b, "bias_g": c}
        given = {**shifts, "method": "spectral", "order": 16}
        exact = gram(f, w, f, v, **shifts, method="exact") if name != "user" else jnp.zeros((1, 1))
        found = gram(f, w, f, v, **given), gram_error(f, w, f, v, **given), exact
        return tuple(table[0, 0] for table in found)

    arrays = jnp.array(w), means[0][:, None], jnp.array(v), means[1][:, None]
    found, bounds, wanted = (np.array(part) for part in everything(*arrays))
    if name == "user":
        pairs = zip(means[0], norms[0], means[1], norms[1], cosines, strict=True)
        wanted = np.array([pair_mean(function, function, *pair) for pair in pairs])
    errors = np.abs(found - wanted)
    noise = 1e-13 * np.abs(wanted) + 1e-15
    assert np.all(errors <= bounds + noise)
    if name != "user":  # of quadrature the estimate of tables is taken, with a quarter of the nodes
        assert np.median(bounds / np.maximum(errors, noise)) <= 1e3


def test_single_precision_stays_single_and_keeps_its_digits():
    w, b, v, c = with_copies()
    wide = gram(activations.tanh, w, activations.tanh, v, bias_f=b, bias_g=c)
    some = [part.astype(jnp.float32) for part in (w, b, v, c)]
    narrow = gram(
        activations.tanh, some[0], activations.tanh, some[2], bias_f=some[1], bias_g=some[3]
    )
    assert narrow.dtype == jnp.float32
    np.testing.assert_allclose(narrow, wide, atol=2e-6)


def test_blocks_of_rows_change_nothing(monkeypatch):
    w, b = layer(6, 11, 9)
    v, c = layer(7, 7, 9)
    given = {"bias_f": b, "bias_g": c}
    whole = gram(activations.tanh, w, activations.tanh, v, **given)
    monkeypatch.setattr("jaxcompress.kernels.tables._gram._PAIRS", 3 * 7)
    jax.clear_caches()
    np.testing.assert_allclose(
        gram(activations.tanh, w, activations.tanh, v, **given), whole, atol=1e-14
    )


def test_another_order_of_size_compiles_nothing():
    """How many degrees are summed is a matter of the data."""
    f = activations.softplus
    table = jax.jit(lambda w, b, v, c: gram(f, w, f, v, bias_f=b, bias_g=c))
    table(*layer(0, 5, 9), *layer(1, 7, 9))
    small, large = layer(0, 5, 9, 0.01), layer(1, 7, 9, 3.0)
    table(*small, *large)
    assert table._cache_size() == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"method": "series"},
            'gram: given method=\'series\'; expected "auto", "exact" or "spectral"',
        ),
        ({"order": 16}, 'expected it with "spectral" alone'),
        ({"method": "spectral", "order": 0}, "gram: given order=0"),
    ],
)
def test_unknown_methods_and_orders_are_refused(given, words):
    w, v = jnp.eye(2), jnp.eye(2)
    with pytest.raises(ValueError, match="gram") as error:
        gram(activations.relu, w, activations.relu, v, **given)
    assert words in str(error.value)


def test_risk_and_hessian_of_tanh_are_differences_of_integrals():
    """The risk by tables in NumPy, its slope and bend along a direction by central differences."""
    rng = np.random.default_rng(8)

    def network(count):
        parts = rng.normal(size=(count, 3)) / 2, rng.normal(size=count), rng.normal(size=count) / 2
        return [np.asarray(part) for part in parts]

    student, target, direction = network(2), network(3), network(2)

    def risk(parts):
        weights = np.concatenate([parts[0], target[0]])
        readout = np.concatenate([parts[1], -target[1]])
        means = np.concatenate([parts[2], target[2]])
        norms = np.linalg.norm(weights, axis=1)
        total = 0.0
        for i in range(5):
            for j in range(i + 1):
                cosine = 1.0 if i == j else weights[i] @ weights[j] / (norms[i] * norms[j])
                mean = pair_mean(
                    np.tanh, np.tanh, means[i], norms[i], means[j], norms[j], min(cosine, 1)
                )
                total += (2 - (i == j)) * readout[i] * readout[j] * mean
        return total

    def moved(step):
        return risk([part + step * by for part, by in zip(student, direction, strict=True)])

    step = 2e-3
    at = {k: moved(k * step) for k in (-2, -1, 0, 1, 2)}
    slope = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * step)
    bend = (16 * (at[1] + at[-1]) - (at[2] + at[-2]) - 30 * at[0]) / (12 * step**2)
    nets = [
        jc.TwoLayer(*(jnp.array(part) for part in parts), None, activations.tanh)
        for parts in (student, target)
    ]
    problem = jc.RiskProblem.of(nets[1])
    value, gradient = jax.jit(jax.value_and_grad(lambda s: problem.risk(s)))(nets[0])
    hessian = jax.jit(lambda s: problem.hessian(s))(nets[0])
    flat = np.concatenate([direction[0].ravel(), direction[1], direction[2]])
    parts = [gradient.weights, gradient.readout, gradient.bias]
    assert abs(float(value) - at[0]) <= 1e-13
    assert abs(np.concatenate([np.ravel(part) for part in parts]) @ flat - slope) <= 1e-9
    assert abs(flat @ np.asarray(hessian) @ flat - bend) <= 1e-6


def test_the_hessian_of_kinked_neurons_in_many_dimensions_is_that_of_the_exact_formulas(
    monkeypatch,
):
    rng = np.random.default_rng(9)

    def network(count):
        weights, bias = layer(count, count, 32)
        return jc.TwoLayer(weights, jnp.array(rng.normal(size=count)), bias, None, activations.relu)

    student, target = network(16), network(32)
    copies = target.weights.at[0].set(student.weights[0]).at[1].set(student.weights[1] + 1e-6)
    bias = target.bias.at[:2].set(student.bias[:2])
    target = jc.TwoLayer(copies, target.readout, bias, None, activations.relu)
    assert serves(activations.relu, activations.relu, 16, 48, 32)
    found = jc.risk_hessian(student, target)
    monkeypatch.setattr("jaxcompress.risk._meetings.serves", lambda *_: False)
    monkeypatch.setattr("jaxcompress.kernels.tables._gram.serves", lambda *_: False)
    jax.clear_caches()
    np.testing.assert_allclose(found, jc.risk_hessian(student, target), atol=2e-11)
