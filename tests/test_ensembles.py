"""Laws of random targets: what they draw, and what is expected of it.

Expected moments are held against sums and quadrature over the neurons themselves
(`ensemble_oracle`), against known laws of `|v|²` in many dimensions, and against networks that were
drawn. Sample means are held to four standard errors (missed by chance once in 16 000 draws); seeds
are fixed.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from mpmath import mp

import jaxcompress as jc
from jaxcompress import activations, ensembles
from jaxcompress.networks import _moments, target_moments
from jaxcompress.networks.ensembles import (
    ConstantReadout,
    Correlated,
    Ensemble,
    GaussianEntries,
    GaussianReadout,
    RademacherEntries,
    RademacherReadout,
    SparseEntries,
    Sphere,
    UniformEntries,
    UniformReadout,
)
from jaxcompress.networks.internal import orders_second_moment
from tests import ensemble_oracle as oracle

KEY = jax.random.key(0)
relu, erf = activations.relu, activations.erf
SCALE, PLANE, SPACE = 0.8, np.array([0.3, -0.5]), np.array([0.3, -0.5, 0.1, 0.4])
COVARIANCE = np.array([[0.9, 0.5], [0.5, 0.4]])
LAWS = {
    "gaussian": GaussianEntries,
    "rademacher": RademacherEntries,
    "uniform": UniformEntries,
    "sparse": lambda *given: SparseEntries(0.3, *given),
    "sphere": Sphere,
}


def ensemble(weights=None, width=7, dim=3, activation=relu, **options):
    return Ensemble(width, dim, activation=activation, weights=weights, **options)


def near(one, other, tolerance):
    """The same orders, each relative to its largest entry or to one."""
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, np.max(np.abs(b))))


# Laws
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAWS)
def test_neurons_have_the_mean_that_is_added_and_the_norm_that_is_asked_for(name):
    count, dim = 20_000, 4
    v = (
        np.asarray(ensemble(LAWS[name](SCALE, jnp.asarray(SPACE)), count, dim).draw(KEY).weights)
        - SPACE
    )
    unit = SCALE / dim**0.5
    assert np.all(np.abs(v.mean(0)) < 4 * unit / count**0.5)
    square = v.T @ v / count
    spread = np.std(np.einsum("ni,nj->nij", v, v), axis=0) + 1e-12
    assert np.all(np.abs(square - unit**2 * np.eye(dim)) < 4 * spread / count**0.5)


def test_entries_follow_their_laws():
    count, dim = 5000, 4
    unit = SCALE / dim**0.5

    def entries(name):
        return np.ravel(ensemble(LAWS[name](SCALE), count, dim).draw(KEY).weights) / unit

    assert scipy.stats.kstest(entries("gaussian"), "norm").pvalue > 1e-3
    assert scipy.stats.kstest(entries("uniform"), "uniform", (-(3**0.5), 2 * 3**0.5)).pvalue > 1e-3
    np.testing.assert_allclose(np.abs(entries("rademacher")), 1, rtol=1e-15)
    sparse = entries("sparse")
    there = sparse != 0
    np.testing.assert_allclose(np.abs(sparse[there]), 1 / 0.3**0.5, rtol=1e-15)
    assert abs(np.mean(there) - 0.3) < 4 * (0.3 * 0.7 / sparse.size) ** 0.5
    assert abs(np.mean(sparse[there] > 0) - 0.5) < 2 / np.sum(there) ** 0.5


def test_neurons_on_the_sphere_have_its_radius_and_no_preferred_direction():
    v = np.asarray(ensemble(Sphere(2.0), 5000, 3).draw(KEY).weights)
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 2, rtol=1e-15)
    assert scipy.stats.kstest(v[:, 0], "uniform", (-2, 4)).pvalue > 1e-3  # Archimedes


def test_correlated_neurons_have_their_covariance_also_where_it_is_singular():
    factor = np.array([[1.0, 0.0], [0.5, 0.2], [0.0, 1.0]])
    law = Correlated(jnp.asarray(factor @ factor.T), jnp.asarray(SPACE[:3]))
    v = np.asarray(ensemble(law, 20_000, 3).draw(KEY).weights) - SPACE[:3]
    np.testing.assert_allclose(v @ np.cross(*factor.T), 0, rtol=0, atol=1e-14)
    assert np.all(np.abs(v.T @ v / len(v) - factor @ factor.T) < 4 * 2**0.5 * 1.1 / len(v) ** 0.5)


@pytest.mark.parametrize(
    ("law", "mean", "std"),
    [
        (ConstantReadout(2.0), 2.0, 0.0),
        (GaussianReadout(0.5, 2.0), 0.5, 2.0),
        (UniformReadout(-1.0, 3.0), 1.0, 4 / 12**0.5),
        (RademacherReadout(), 0.0, 1.0),
    ],
)
@pytest.mark.parametrize(("scaling", "divisor"), [("1/N", 4000.0), ("1/sqrt(N)", 4000**0.5)])
def test_readouts_have_their_moments_and_the_scaling_of_the_network(
    law, mean, std, scaling, divisor
):
    b = (
        np.asarray(
            ensemble(None, 4000, 1, readout=law, scaling=scaling, outputs=2).draw(KEY).readout
        )
        * divisor
    )
    assert b.shape == (4000, 2)
    np.testing.assert_allclose(law.expectation, mean)
    assert abs(b.mean() - mean) <= 4 * std / b.size**0.5 + 1e-12
    assert abs(b.std() - std) <= 4 * std / b.size**0.5 + 1e-12


@pytest.mark.parametrize("name", [*LAWS, "correlated"])
def test_networks_and_expectations_come_in_the_dtype_that_was_asked_for(name):
    law = Correlated(jnp.eye(4)) if name == "correlated" else LAWS[name](SCALE, jnp.asarray(SPACE))
    for dtype in (jnp.float32, jnp.float64):
        one = ensemble(law, 5, 4, readout=UniformReadout(), dtype=dtype)
        made = (
            jax.eval_shape(one.draw, KEY),
            jax.eval_shape(one.moments, KEY),
            jax.eval_shape(one.expected_moments),
        )
        assert {leaf.dtype for leaf in jax.tree.leaves(made)} == {jnp.dtype(dtype)}


# Blocks
# --------------------------------------------------------------------------------------------------


def test_a_network_is_its_blocks_and_each_draws_from_its_own_key(monkeypatch):
    monkeypatch.setattr(_moments, "BLOCK", 8)
    one = ensemble(GaussianEntries(), 21, 3, readout=GaussianReadout(1.0), outputs=2)
    net, parts = one.draw(KEY), [one.block(KEY, i) for i in range(one.blocks)]
    assert one.blocks == 3
    np.testing.assert_array_equal(net.weights, jnp.concatenate([w for w, _ in parts])[:21])
    np.testing.assert_array_equal(net.readout, jnp.concatenate([b for _, b in parts])[:21])
    np.testing.assert_array_equal(parts[2][1][5:], 0)
    key = jax.random.fold_in(jax.random.fold_in(KEY, 1), 0)
    np.testing.assert_allclose(parts[1][0], jax.random.normal(key, (8, 3)) / 3**0.5, rtol=1e-15)
    assert not np.any(parts[0][0] == parts[1][0])


def test_moments_are_those_of_the_network_that_the_same_key_draws():
    one = ensemble(UniformEntries(), 40, 3, readout=GaussianReadout(1.0))
    streamed, whole = one.moments(KEY, order=2), target_moments(one.draw(KEY), order=2)
    for a, b in zip(jax.tree.leaves(streamed), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_wide_networks_are_reduced_in_one_pass_to_the_moments_of_the_network(monkeypatch):
    for option, value in (("BLOCK", 64), ("EXACT_WIDTH", 300), ("SAMPLES", 8), ("SAMPLE", 24)):
        monkeypatch.setattr(_moments, option, value)
    # a width of its own
    one = ensemble(SparseEntries(0.5), 421, 4, readout=GaussianReadout(1.0), outputs=2)
    net = one.draw(KEY)
    streamed, b = one.moments(KEY, order=2), np.asarray(net.readout).T
    for i in range(2):
        given = [leaf[i] for leaf in _orders(streamed)]
        near(given, oracle.orders("relu", np.asarray(net.weights), b[i]), 1e-13)
    table = np.asarray(jc.kernels.gram(relu, net.weights, relu, net.weights))
    assert abs(streamed.second_moment - np.sum(b @ table * b)) < 4 * streamed.second_moment_error
    assert 0 < streamed.second_moment_error < 0.1 * streamed.second_moment


def _orders(moments):
    return moments.constant, moments.linear, moments.quadratic


def test_a_million_neurons_take_little_memory():
    """Compiled, not run: what is held beyond arguments and results is a few blocks of 6.6 MB, not
    1.6 GB of network.
    """
    one = ensemble(None, 10**6, 200)
    compiled = jax.jit(lambda key: one.moments(key)).lower(KEY).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 2**27


def test_ensembles_are_compiled_and_mapped_over_keys():
    one = ensemble(RademacherEntries(), 6, 3, readout=RademacherReadout(), scaling="1/sqrt(N)")
    keys = jax.random.split(KEY, 3)
    nets, moments = jax.vmap(one.draw)(keys), jax.jit(jax.vmap(one.moments))(keys)
    assert nets.weights.shape == (3, 6, 3)
    for i in range(3):
        np.testing.assert_array_equal(nets.weights[i], one.draw(keys[i]).weights)
        alone = one.moments(keys[i])
        np.testing.assert_allclose(moments.linear[i], alone.linear, rtol=1e-14, atol=1e-16)
        np.testing.assert_allclose(moments.second_moment[i], alone.second_moment, rtol=1e-14)


# Expectations
# --------------------------------------------------------------------------------------------------

PLANAR = {
    "gaussian": oracle.gaussian_plane([0, 0], SCALE**2 / 2 * np.eye(2)),
    "sphere": oracle.sphere(np.zeros(2), SCALE, 2),
    "rademacher": oracle.enumerated(np.array([-1, 1]) * SCALE / 2**0.5, [0.5, 0.5], [0, 0]),
    "sparse": oracle.enumerated(np.array([-1, 0, 1]) * SCALE / 0.6**0.5, [0.15, 0.7, 0.15], [0, 0]),
}
SHIFTED = {
    "gaussian": oracle.gaussian_plane(PLANE, SCALE**2 / 2 * np.eye(2)),
    "uniform": oracle.uniform_plane(PLANE, SCALE * 1.5**0.5),
    "sphere": oracle.sphere(PLANE, SCALE, 2),
    "rademacher": oracle.enumerated(np.array([-1, 1]) * SCALE / 2**0.5, [0.5, 0.5], PLANE),
    "sparse": oracle.enumerated(np.array([-1, 0, 1]) * SCALE / 0.6**0.5, [0.15, 0.7, 0.15], PLANE),
}


def expects(law, neurons, shares):
    """Both closed forms at once: `3 relu + 2 erf`."""
    moments = ensemble(law, 1, neurons.shape[1], 3 * relu + 2 * erf).expected_moments(order=2)
    by_relu, by_erf = (oracle.orders(name, neurons, shares) for name in ("relu", "erf"))
    np.testing.assert_allclose(shares.sum(), 1, rtol=1e-13)
    # measured: 2e-14
    near(_orders(moments), [3 * a + 2 * b for a, b in zip(by_relu, by_erf, strict=True)], 5e-14)
    np.testing.assert_allclose(
        moments.second_moment, orders_second_moment(*_orders(moments)), rtol=1e-14
    )


@pytest.mark.parametrize("name", ["gaussian", "rademacher", "sphere", "sparse"])
def test_expected_moments_without_mean_are_averages_over_the_law(name):
    expects(LAWS[name](SCALE), *PLANAR[name])


@pytest.mark.parametrize("name", LAWS)
def test_expected_moments_with_a_mean_are_averages_over_the_law(name):
    expects(LAWS[name](SCALE, jnp.asarray(PLANE)), *SHIFTED[name])


@pytest.mark.parametrize("mean", [None, PLANE])
def test_expected_moments_of_correlated_neurons_are_averages_over_the_law(mean):
    law = Correlated(jnp.asarray(COVARIANCE), None if mean is None else jnp.asarray(mean))
    expects(law, *oracle.gaussian_plane(np.zeros(2) if mean is None else mean, COVARIANCE))


@pytest.mark.parametrize("dim", [1, 200, 10**5])
def test_expected_norms_of_gaussian_neurons_are_those_of_the_chi_law(dim):
    with mp.workdps(40):
        norm = float(
            mp.sqrt(mp.mpf(2) / dim) * mp.gamma(mp.mpf(dim + 1) / 2) / mp.gamma(mp.mpf(dim) / 2)
        )
    by_norm = ensemble(GaussianEntries(SCALE), 1, dim).expected_moments()
    np.testing.assert_allclose(by_norm.constant * (2 * np.pi) ** 0.5, SCALE * norm, rtol=2e-15)
    if dim <= 200:  # with a mean, though it is zero, the Laplace transform is taken
        by_transform = ensemble(GaussianEntries(SCALE, jnp.zeros(dim)), 1, dim).expected_moments()
        np.testing.assert_allclose(
            by_transform.constant * (2 * np.pi) ** 0.5, SCALE * norm, rtol=2e-15
        )


def test_expected_norms_in_many_dimensions_are_those_of_the_binomial_law():
    """Of 200 entries `m ± 1/√200`, or of those that are there, a binomial number has one sign."""
    dim, m, unit = 200, 0.07, 200**-0.5
    counts = np.arange(dim + 1)
    shares = scipy.stats.binom.pmf(counts, dim, 0.5)
    squares = counts * (m + unit) ** 2 + (dim - counts) * (m - unit) ** 2
    slopes = (counts * (m + unit) + (dim - counts) * (m - unit)) / dim / np.sqrt(1 + squares)
    moments = ensemble(
        RademacherEntries(1.0, jnp.full(dim, m)), 1, dim, relu + erf
    ).expected_moments()
    np.testing.assert_allclose(
        moments.constant, shares @ np.sqrt(squares / (2 * np.pi)), rtol=1e-14
    )
    np.testing.assert_allclose(
        moments.linear, m / 2 + (2 / np.pi) ** 0.5 * (shares @ slopes), rtol=1e-14
    )
    shares = scipy.stats.binom.pmf(counts, dim, 0.01)
    moments = ensemble(SparseEntries(0.01), 1, dim).expected_moments()
    np.testing.assert_allclose(
        moments.constant, shares @ np.sqrt(counts / 2 / (2 * np.pi)), rtol=1e-13
    )


def test_a_mean_much_longer_than_what_varies_is_no_trouble():
    """Uniform entries `10³` times narrower than the mean: `|v|` is smooth, so that a square needs
    few nodes.
    """
    mean, half = np.array([2.0, -0.3]), 2e-3 * 1.5**0.5
    expects(UniformEntries(2e-3, jnp.asarray(mean)), *oracle.uniform_plane(mean, half))


def on_line(f, v, shares):
    """The orders of any activation over neurons in weighted points, by its values: `E φ(rZ)·(1, Z,
    Z² − 1)`.
    """
    z, weights = oracle.composite(np.linspace(-10, 10, 11))
    density = weights * np.exp(-z * z / 2) / (2 * np.pi) ** 0.5
    norm = np.linalg.norm(v, axis=1)
    values = np.asarray(f(jnp.asarray(norm[:, None] * z))) * density
    mean, first, second = values.sum(1), values @ z, values @ (z * z - 1)
    unit = v / norm[:, None]
    return shares @ mean, (shares * first) @ unit, (unit * (shares * second)[:, None]).T @ unit


@pytest.mark.parametrize(
    ("law", "f", "points"),
    [
        (Sphere(SCALE), activations.gelu, PLANAR["sphere"]),
        (Sphere(SCALE, jnp.asarray(PLANE)), activations.softplus, SHIFTED["sphere"]),
        (
            Sphere(SCALE, jnp.asarray([0.2, -0.2, 0.1])),
            activations.tanh,
            oracle.sphere(np.array([0.2, -0.2, 0.1]), SCALE, 3, angles=60),
        ),
        (
            GaussianEntries(SCALE),
            activations.softplus,
            oracle.gaussian_plane([0, 0], SCALE**2 / 2 * np.eye(2), 4),
        ),
        (RademacherEntries(SCALE), activations.cos, PLANAR["rademacher"]),
    ],
)
def test_every_activation_has_expected_moments_where_directions_are_all_alike(law, f, points):
    v, shares = points
    moments = ensemble(law, 1, v.shape[1], f).expected_moments(order=2)
    near(_orders(moments), on_line(f, v, shares), 1e-14)  # measured: 1e-15


@pytest.mark.parametrize(
    "f", [activations.leaky_relu(0.1), activations.abs, activations.normal_cdf, 2 * erf - relu]
)
def test_sums_of_relu_erf_and_affine_functions_are_expected_under_every_law(f):
    neurons, law = SHIFTED["rademacher"], RademacherEntries(SCALE, jnp.asarray(PLANE))
    parts = {
        "leaky_relu(0.1)": ((0.9, "relu"), 0.1, 0),
        "abs": ((2.0, "relu"), -1.0, 0),
        "normal_cdf": ((0.5, "erf"), 0, 0.5),
    }
    moments = ensemble(law, 1, 2, f).expected_moments(order=2)
    if repr(f) in parts:
        (factor, name), slope, constant = parts[repr(f)]
        known = [factor * part for part in oracle.orders(name, *neurons)]
        known[0] += constant
        known[1] = known[1] + slope * (neurons[1] @ neurons[0])
    else:
        known = [
            2 * a - b
            for a, b in zip(
                *(oracle.orders(name, *neurons) for name in ("erf", "relu")), strict=True
            )
        ]
    near(_orders(moments), known, 5e-14)


def test_networks_that_are_drawn_have_the_expected_moments_on_average():
    """Width, readout, scaling and outputs come in here, where nothing but the draws is known."""
    law = RademacherEntries(SCALE, jnp.asarray(PLANE))
    one = ensemble(law, 30, 2, readout=UniformReadout(0.0, 2.0), scaling="1/sqrt(N)", outputs=2)
    drawn = jax.lax.map(lambda key: one.moments(key, order=2), jax.random.split(KEY, 500))
    expected = one.expected_moments(order=2)
    assert expected.outputs == 2
    for samples, mean in zip(_orders(drawn), _orders(expected), strict=True):
        error = np.std(samples, axis=0) / 500**0.5
        assert np.all(np.abs(np.mean(samples, axis=0) - mean) < 4 * error)
    assert expected.second_moment < np.mean(drawn.second_moment)


@pytest.mark.parametrize("name", ["uniform", "sparse", "sphere", "correlated"])
def test_expected_moments_in_float32_have_its_digits(name):
    law = (
        Correlated(jnp.asarray(COVARIANCE), jnp.asarray(PLANE))
        if name == "correlated"
        else LAWS[name](SCALE, jnp.asarray(PLANE))
    )
    one, other = (
        ensemble(law, 1, 2, relu + erf, dtype=dtype) for dtype in (jnp.float32, jnp.float64)
    )
    # measured: 1e-7
    near(_orders(one.expected_moments(order=2)), _orders(other.expected_moments(order=2)), 1e-6)


def test_expected_moments_have_derivatives_by_the_scale():
    """`E|v|` is proportional to it."""

    def constant(scale):
        return ensemble(SparseEntries(0.5, scale), 1, 5).expected_moments().constant

    value, slope = jax.value_and_grad(constant)(jnp.asarray(0.7))
    np.testing.assert_allclose(slope, value / 0.7, rtol=1e-12)


def test_neurons_that_are_all_zero_are_expected_to_be_so():
    for law in (SparseEntries(1.0, 0.0), GaussianEntries(0.0), Correlated(jnp.zeros((3, 3)))):
        moments = ensemble(law).expected_moments(order=2)
        np.testing.assert_array_equal(
            jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(moments)]), 0
        )


# Bad input
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda: ensemble(width=0), ("width 0", "at least 1", "raise")),
        (lambda: ensemble(outputs=0), ("outputs 0", "at least 1", "leave outputs out")),
        (lambda: ensemble(scaling="1/d"), ("scaling='1/d'", 'expected "1/N" or "1/sqrt(N)"')),
        (lambda: ensemble(dtype=jnp.int32), ("dtype=int32", "expected float32 or float64")),
        (
            lambda: ensemble("gaussian"),
            ("weights='gaussian'", "expected a module", "GaussianEntries()"),
        ),
        (lambda: ensemble(readout=1.0), ("readout=1.0", "expected a module", "ConstantReadout()")),
        (
            lambda: ensemble(activation="relu"),
            ("activation='relu'", "jaxcompress.activations.relu"),
        ),
        (lambda: ensemble(Sphere(1.0, jnp.ones(2))), ("dim 3", "dimension 2", "the same")),
        (lambda: ensemble(Correlated(jnp.eye(2))), ("dim 3", "dimension 2", "the same")),
        (lambda: GaussianEntries(-1.0), ("GaussianEntries", "scale=-1", "not negative")),
        (lambda: GaussianEntries(jnp.ones(2)), ("scale", "one finite real number")),
        (lambda: UniformEntries(jnp.nan), ("scale=nan", "one finite real number")),
        (
            lambda: Sphere(1.0, jnp.ones((2, 2))),
            ("Sphere", "mean of shape (2, 2)", "expected floats (d,)"),
        ),
        (lambda: Sphere(1.0, jnp.array([1.0, jnp.nan])), ("mean with NaN", "expected finite")),
        (lambda: SparseEntries(0.0), ("probability=0", "above 0 and up to 1")),
        (lambda: SparseEntries(1.5), ("probability=1.5", "above 0 and up to 1")),
        (
            lambda: Correlated(jnp.array([[1.0, 2.0], [2.0, 1.0]])),
            ("indefinite covariance", "semidefinite"),
        ),
        (lambda: GaussianReadout(0.0, -1.0), ("std=-1", "not negative")),
        (lambda: UniformReadout(1.0, 0.0), ("high=0", "at least low=1")),
        (
            lambda: ensemble().moments(KEY, order=3),
            ("Ensemble.moments", "order=3", "expected 1 or 2"),
        ),
        (
            lambda: ensemble().expected_moments(order=0),
            ("Ensemble.expected_moments", "order=0", "expected 1 or 2"),
        ),
        (
            lambda: ensemble(UniformEntries(), activation=activations.tanh).expected_moments(),
            ("given tanh and UniformEntries", "expected relu, erf", "moments(key)"),
        ),
        (
            lambda: ensemble(
                GaussianEntries(1.0, jnp.ones(3)), activation=activations.gelu
            ).expected_moments(),
            ("given gelu and GaussianEntries with a mean", "expected relu, erf", "moments(key)"),
        ),
    ],
)
def test_what_is_no_ensemble_is_refused_with_a_remedy(call, parts):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    assert all(part in str(caught.value) for part in parts), caught.value


def test_everything_that_is_public_is_listed():
    assert jc.ensembles is ensembles
    assert all(getattr(ensembles, name).__doc__ for name in ensembles.__all__)
