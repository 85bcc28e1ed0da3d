"""The kernel library: every activation with every kind of partner, quadrature, error estimates,
neural kernels.

The oracle integrates the activations' plain NumPy definitions over the plane by Gauss–Legendre
panels that are cut where either function has its kink; it knows nothing of closed forms.
Derivatives are differences of it.
"""

import functools
import itertools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special

import jaxcompress as jc
from jaxcompress.kernels import (
    AbstractActivation,
    GaussianPair,
    activations,
    dual_activation,
    expectation,
    gram,
    gram_error,
    hermite_coefficients,
    nngp,
    ntk,
)
from jaxcompress.kernels.internal import derivative_of, formulas, frames

PLAIN = {
    activations.identity: lambda x: x,
    activations.relu: lambda x: np.maximum(x, 0),
    activations.leaky_relu(0.1): lambda x: np.where(x > 0, x, 0.1 * x),
    activations.abs: np.abs,
    activations.step: lambda x: np.where(x > 0, 1.0, 0.0),
    activations.sign: np.sign,
    activations.rectified_power(3): lambda x: np.maximum(x, 0) ** 3,
    activations.erf: lambda x: scipy.special.erf(x / 2**0.5),
    activations.normal_cdf: scipy.special.ndtr,
    activations.gelu: lambda x: x * scipy.special.ndtr(x),
    activations.sin: np.sin,
    activations.cos: np.cos,
    activations.exp: np.exp,
    activations.bump(0.7): lambda x: np.exp(-x * x / 0.98),
    activations.monomial(2): lambda x: x * x,
    activations.hermite(3): lambda x: scipy.special.eval_hermitenorm(3, x) / 6**0.5,
    2 * activations.relu - activations.identity: np.abs,
    activations.tanh: np.tanh,
    activations.sigmoid: scipy.special.expit,
    activations.softplus: lambda x: np.logaddexp(0, x),
    activations.silu: lambda x: x * scipy.special.expit(x),
}
PARTNERS = (activations.relu, activations.gelu, activations.sin)  # sharp, smoothed, no kink
NODES, WEIGHTS = np.polynomial.legendre.leggauss(60)
REACH = 9.0


def panels(cut: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and normal weights on both sides of a cut, in six panels; the last axis is new."""
    low, cut = np.full_like(cut, -REACH), np.clip(cut, -REACH, REACH)
    edges = [low, low + (cut - low) / 3, low + 2 * (cut - low) / 3, cut]
    edges += [cut + (REACH - cut) / 3, cut + 2 * (REACH - cut) / 3, np.full_like(cut, REACH)]
    z = [
        0.5 * (a + b)[..., None] + 0.5 * (b - a)[..., None] * NODES
        for a, b in itertools.pairwise(edges)
    ]
    w = [0.5 * (b - a)[..., None] * WEIGHTS for a, b in itertools.pairwise(edges)]
    z, w = np.concatenate(z, -1), np.concatenate(w, -1)
    return z, w * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def exact(f, g, point: np.ndarray) -> float:
    """`E[f(w·x + μ) g(v·x + ν)]` for `point = (w, μ, v, ν)`, `w` and `v` of length 3."""
    w, mu, v, nu = point[:3], point[3], point[4:7], point[7]
    std_x, std_y = np.linalg.norm(w), np.linalg.norm(v)
    along = w @ v / std_x
    across = math.sqrt(max(std_y**2 - along**2, 0.0))
    z, outer = panels(np.asarray(-mu / std_x))
    mean = nu + along * z
    y, inner = panels(-mean / across)
    means = np.sum(PLAIN[g](mean[:, None] + across * y) * inner, -1)
    return float(np.sum(outer * PLAIN[f](mu + std_x * z) * means))


def differences(f, g, point: np.ndarray, step: float = 2e-3) -> np.ndarray:
    """The gradient, by central differences of order six."""
    stencil = ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))

    def along(i: int) -> float:
        shift = step * np.eye(8)[i]
        return (
            sum(
                c * (exact(f, g, point + k * shift) - exact(f, g, point - k * shift))
                for k, c in stencil
            )
            / step
        )

    return np.array([along(i) for i in range(8)])


RNG = np.random.default_rng(5)
POINTS = RNG.normal(size=(2, 8))
POINTS[1, [3, 7]] = 0.0
POINTS[1, :3] *= 3


def kernel(f, g, point):
    """One entry of a table, as a function of everything it depends on."""
    return gram(
        f, point[None, :3], g, point[None, 4:7], bias_f=point[None, 3], bias_g=point[None, 7]
    )[0, 0]


# Each activation with one of the partners, and with itself where that is a case of its own.
PAIRS = [*zip(PLAIN, itertools.cycle(PARTNERS), strict=False)]
PAIRS += [
    (f, f)
    for f in (activations.sign, activations.exp, activations.bump(0.7), activations.hermite(3))
]
PAIRS += [(activations.tanh, activations.tanh), (activations.gelu, activations.gelu)]


def test_every_named_activation_is_checked_here():
    names = {re.sub(r"\(.*", "", repr(activation)) for activation in PLAIN}
    assert names >= set(activations.__all__) - {"elementwise"}


@pytest.mark.parametrize(("f", "g"), PAIRS, ids=repr)
def test_every_activation_has_the_kernel_and_gradient_of_its_definition(f, g):
    # the panels end before large exponentials do
    points = POINTS * (0.2 if f == activations.exp else 1)
    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(functools.partial(kernel, f, g))))(
        jnp.asarray(points)
    )
    for point, value, gradient in zip(points, values, gradients, strict=True):
        want, slopes = exact(f, g, point), differences(f, g, point)
        # measured: 4e-15, and 5e-11 of the differences' own error
        assert abs(value - want) < 1e-13 * max(1, abs(want)), point
        np.testing.assert_allclose(
            gradient, slopes, rtol=0, atol=1e-9 * max(1, np.abs(slopes).max())
        )


SECOND = [
    (activations.gelu, activations.gelu),
    (activations.step, activations.erf),
    (activations.rectified_power(3), activations.bump(0.7)),
    (activations.sin, activations.relu),
    (activations.hermite(3), activations.normal_cdf),
]


@pytest.mark.parametrize("pair", SECOND, ids=repr)
def test_second_derivatives_are_those_of_the_gradient(pair):
    point, step = 0.7 * POINTS[0], 1e-4
    points = point + step * np.concatenate([np.zeros((1, 8)), np.eye(8), -np.eye(8)])

    def twice(x):
        gradient = jax.grad(functools.partial(kernel, *pair))(x)
        return gradient, gradient

    hessians, gradients = jax.jit(jax.vmap(jax.jacfwd(twice, has_aux=True)))(points)
    hessian, rows = np.asarray(hessians[0]), np.asarray(gradients[1:9] - gradients[9:]) / (2 * step)
    # of the differences; measured 6e-9
    np.testing.assert_allclose(hessian, rows, rtol=0, atol=1e-7)
    np.testing.assert_allclose(hessian, hessian.T, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    "f", [f for f in PLAIN if f not in (activations.step, activations.sign)], ids=repr
)
def test_a_slope_is_the_derivative_and_can_be_taken_twice_where_it_is_smooth(f):
    x, step = jnp.linspace(-2.2, 2.3, 19), 1e-5
    np.testing.assert_allclose(
        derivative_of(f)(x), (f(x + step) - f(x - step)) / (2 * step), rtol=0, atol=1e-8
    )
    if all(not term.mixture.sharp or term.smooth for term in f.terms):
        bend = (derivative_of(f)(x + step) - derivative_of(f)(x - step)) / (2 * step)
        np.testing.assert_allclose(derivative_of(derivative_of(f))(x), bend, rtol=0, atol=1e-8)


DIRECTIONS = np.array(
    [[1.0, 0, 0], [0, 1, 0], [1, 1e-3, 0], [1, 1e-9, 0], [1, 1e-15, 0], [-1, 0, 0], [-1, 1e-9, 0]]
)
CORNERS = np.concatenate([DIRECTIONS, 1e-8 * DIRECTIONS, 1e8 * DIRECTIONS, np.zeros((1, 3))])
MEANS = (None, np.linspace(-6, 6, len(CORNERS)))


@pytest.fixture(scope="module")
def corner_planes():
    """Every pair of corners, in both dtypes, with and without means."""
    measure = jax.jit(lambda weights, mean: frames(weights, mean, weights, mean).plane)
    planes = []
    for dtype in (np.float32, np.float64):
        weights = jnp.asarray(CORNERS, dtype)
        planes += [
            measure(weights, None if mean is None else jnp.asarray(mean, dtype)) for mean in MEANS
        ]
    return planes


# The logistic family shares its formulas with erf and gelu; tanh stands for what its loop adds.
WITHOUT_LOOPS = [
    f for f in PLAIN if f.terms and all(len(term.mixture.widths) == 1 for term in f.terms)
]


@pytest.mark.parametrize("f", WITHOUT_LOOPS, ids=repr)
def test_no_moment_is_nan_at_any_corner(f, corner_planes):
    """Coincident, opposite and almost so; norms 1e-8 and 1e8; a norm of zero; with and without
    means.

    The second derivative of a step of norm 1e-8 against a sine of norm 1e8 is beyond the range of
    float32.
    """
    for g in (activations.relu, activations.gelu, activations.sin):
        pair = formulas(f, g)
        for plane in corner_planes:
            moments = (
                pair.value(plane),
                pair.gradient(plane),
                pair.second_derivative(plane),
                pair.mixed_derivative(plane),
            )
            within = (
                (plane.std_y < 1e10 * plane.std_x)
                | (plane.cos.dtype == np.float64)
                | (plane.std_x == 0)
            )
            for leaf in jax.tree.leaves(moments):
                assert leaf.dtype == plane.cos.dtype
                assert not np.any(np.isnan(leaf) & within), g


def test_no_moment_of_a_blend_is_nan_at_any_corner(corner_planes):
    pair = formulas(activations.tanh, activations.step)
    for leaf in jax.tree.leaves(jax.jit(pair.second_derivative)(corner_planes[-1])):
        assert not np.any(np.isnan(leaf))


def test_a_step_and_its_kin_follow_the_convention_of_zero_at_zero():
    """A neuron without norm or mean is at the kink: steps and signs are 0 there, and all
    derivatives are stated 0.
    """
    dead, alive = np.zeros((1, 3)), np.ones((1, 3))
    kinked = activations.step, activations.sign, activations.abs, activations.rectified_power(3)
    pairs = [
        (f, g) for f in kinked for g in (f, activations.relu, activations.gelu, activations.exp)
    ]

    @jax.jit
    def table(w, v):
        return [jax.value_and_grad(lambda w, f=f, g=g: gram(f, w, g, v)[0, 0])(w) for f, g in pairs]

    for pair, (value, slope_of_it) in zip(pairs, table(dead, alive), strict=True):
        assert value == 0, pair
        assert not np.any(slope_of_it), pair
    for (f, g), (_, slope_of_it) in zip(pairs, table(alive, alive), strict=True):
        # the derivative by the angle is infinite where two steps coincide
        if f == g and f in kinked[:2]:
            assert not np.any(slope_of_it), f


jitted_gram, jitted_error = (
    jax.jit(function, static_argnums=(0, 2)) for function in (gram, gram_error)
)


@functools.cache
def wrapped(name):
    """A named activation as a function of the users, one for all scales: it is static in what is
    compiled.
    """
    return activations.elementwise(lambda x: getattr(activations, name)(x))


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("name", ["tanh", "softplus", "gelu"])
def test_a_function_of_the_users_agrees_with_the_closed_form_within_the_estimate(name, scale):
    known, function = getattr(activations, name), wrapped(name)
    rows = np.asarray(jax.random.normal(jax.random.key(0), (4, 5)))
    W, V = scale * rows, scale * np.concatenate([rows[:2], -rows[:1], np.zeros((1, 5))])
    exact_table = np.asarray(jitted_gram(known, W, known, V))
    for f, g in ((function, function), (function, known), (known, function)):
        error, estimate = (
            np.abs(jitted_gram(f, W, g, V) - exact_table),
            np.asarray(jitted_error(f, W, g, V)),
        )
        assert np.all(error <= 2 * estimate + 1e-16)
        assert np.max(estimate) < 3e-3


def test_the_estimate_sees_a_kink_and_closed_forms_bound_their_rounding():
    kinked = activations.elementwise(lambda x: jnp.maximum(x - 0.3, 0))
    W, relu = np.asarray(jax.random.normal(jax.random.key(1), (6, 4))), activations.relu
    shifted = np.full(6, -0.3)
    exact_table = np.asarray(gram(relu, W, relu, W, bias_f=shifted, bias_g=shifted))
    error = np.abs(jitted_gram(kinked, W, kinked, W) - exact_table)
    estimate = np.asarray(jitted_error(kinked, W, kinked, W))
    assert np.all(error <= 2 * estimate)
    assert np.max(error) > 1e-6  # the rule is not made for kinks
    bound = np.asarray(jitted_error(relu, W, relu, W))
    assert np.all((bound > 0) & (bound < 1e-11))


class Cubic(AbstractActivation):
    """What a user may define outside the package: a value and a derivative."""

    def __call__(self, x):
        return x**3 / 6 - x

    def derivative(self, x):
        return x**2 / 2 - 1


def test_an_activation_defined_outside_has_kernels_with_both_derivatives():
    known = activations.monomial(3) / 6 - activations.identity

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def everything(f, g, point):
        of_pair = functools.partial(kernel, f, g)
        return *jax.value_and_grad(of_pair)(point), jax.hessian(of_pair)(point)

    for other in (activations.identity, activations.erf):
        ours, theirs = (everything(f, other, POINTS[0]) for f in (Cubic(), known))
        np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-12)
        np.testing.assert_allclose(ours[1], theirs[1], rtol=0, atol=1e-11)
        np.testing.assert_allclose(ours[2], theirs[2], rtol=0, atol=1e-10)


def test_an_activation_defined_outside_is_compressed_by_the_solver():
    import jaxcompress as jc

    known = activations.monomial(3) / 6 - activations.identity
    starts = [
        jc.initialize.glorot_normal(jax.random.key(2), 2, 4, activation=f, runs=3)
        for f in (Cubic(), known)
    ]
    ends = [jc.solve_many(s, jc.targets.orthonormal(3, 4, activation=s.activation)) for s in starts]
    assert np.all(ends[0].converged)
    np.testing.assert_allclose(ends[0].risk, ends[1].risk, rtol=0, atol=1e-10)


def test_sums_of_activations_are_sums_of_their_kernels():
    W = jax.random.normal(jax.random.key(3), (3, 4))
    mixed = 2 * activations.tanh + 0.5 * activations.elementwise(jnp.cos) - activations.relu
    parts = [(2.0, activations.tanh), (0.5, activations.cos), (-1.0, activations.relu)]
    want = sum(p * gram(f, W, activations.erf, W) for p, f in parts)
    np.testing.assert_allclose(gram(mixed, W, activations.erf, W), want, rtol=0, atol=1e-12)
    np.testing.assert_allclose(mixed(W), sum(p * f(W) for p, f in parts), rtol=0, atol=1e-15)
    assert activations.relu - activations.relu == 0 * activations.erf


def test_the_error_of_a_sum_that_cancels_is_bounded_by_that_of_its_parts():
    difference, w = activations.softplus - activations.relu, jnp.asarray([[1e4, 0.0]])
    # E (softplus − relu)² = 2 ∫₀^∞ log²(1 + e^{−x}) φ(x/σ)/σ dx, where φ(x/σ) is φ(0) to 1e-8
    integral = 2 * scipy.integrate.quad(lambda x: np.log1p(np.exp(-x)) ** 2, 0, 60, epsabs=1e-14)[0]
    want = integral / (1e4 * math.sqrt(2 * math.pi))
    error = abs(float(gram(difference, w, difference, w)[0, 0]) - want)
    assert error <= float(gram_error(difference, w, difference, w)[0, 0])


def test_sums_with_a_function_of_the_users_keep_what_is_closed_closed():
    mine = activations.elementwise(jnp.tanh)
    mixed, known, x = (
        mine + activations.relu,
        activations.tanh + activations.relu,
        jnp.asarray(POINTS[:, :3]),
    )
    # neurons that coincide are another matter: there the rule meets the kink itself
    x, y = x[:1], x[1:]
    np.testing.assert_allclose(ntk(mixed, x, y), ntk(known, x, y), rtol=0, atol=1e-7)
    coefficients = [hermite_coefficients(f, 8) for f in (mixed, known)]
    np.testing.assert_allclose(*coefficients, rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match="which jumps"):
        derivative_of(mine + activations.step)


def test_sums_are_written_as_what_they_are():
    relu, erf = activations.relu, activations.erf
    assert 1 * relu == relu
    assert -1 * (-relu) == relu
    assert repr(0.5 * (relu + activations.identity)) == "0.5*relu + 0.5*identity"
    assert sum([relu, erf]) == relu + erf
    assert activations.elementwise(jnp.tanh) + relu - relu == activations.elementwise(jnp.tanh)


def test_tables_of_data_keep_their_dtype():
    x = jnp.asarray(POINTS[:, :3], jnp.float32)
    for table in (nngp, ntk):
        assert table(activations.relu, x, x[:1], weight_std=np.sqrt(2.0)).dtype == jnp.float32


@pytest.mark.parametrize("f", PLAIN, ids=repr)
def test_what_is_asked_in_single_precision_is_answered_in_it_where_jax_has_double(f):
    """Only traced: a number of Python that meets no array on its way is of the default dtype, and
    stopped a loop.
    """
    x = jnp.ones(3, jnp.float32)
    target = jc.TwoLayer(jnp.ones((3, 2), jnp.float32), x, x, x[0], f)
    plain = jc.TwoLayer(target.weights, x, activation=f)

    def everything(x, target, plain):
        pairs = GaussianPair(x, x, x), GaussianPair(x, x, x, x, x)
        return (
            [expectation(f, g, pair) for g in (f, activations.identity) for pair in pairs],
            gram(f, plain.weights, f, plain.weights),
            [jc.target_moments(each) for each in (target, plain)],
            jax.value_and_grad(lambda student: jc.population_risk(student, target))(target),
        )

    for leaf in jax.tree.leaves(jax.eval_shape(everything, x, target, plain)):
        assert leaf.dtype == jnp.float32


# What follows is checked against numbers and formulas of the literature.


def test_dual_activations_are_those_of_the_literature():
    """Daniely, Frostig & Singer 2016, table 1 (ReLU, step, exponential, sine); Cho & Saul 2009;
    Williams 1997 (erf).
    """
    rho = jnp.linspace(-1, 1, 11)
    known = {
        activations.relu: (np.sqrt(1 - rho**2) + (np.pi - np.arccos(rho)) * rho) / (2 * np.pi),
        activations.step: 0.5 - np.arccos(rho) / (2 * np.pi),
        activations.sign: 2 / np.pi * np.arcsin(rho),
        activations.abs: 2 / np.pi * (np.sqrt(1 - rho**2) + rho * np.arcsin(rho)),
        activations.exp: np.exp(1 + rho),
        activations.sin: np.exp(-1) * np.sinh(rho),
        activations.cos: np.exp(-1) * np.cosh(rho),
        activations.erf: 2 / np.pi * np.arcsin(rho / 2),
        activations.normal_cdf: 0.25 + np.arcsin(rho / 2) / (2 * np.pi),
        activations.bump(): 1 / np.sqrt(4 - rho**2),
        activations.hermite(3): rho**3,
        activations.monomial(2): 1 + 2 * rho**2,
        activations.rectified_power(2): (
            3 * np.sqrt(1 - rho**2) * rho + (np.pi - np.arccos(rho)) * (1 + 2 * rho**2)
        )
        / (2 * np.pi),
    }
    for f, want in known.items():
        np.testing.assert_allclose(
            dual_activation(f, rho), want, rtol=0, atol=5e-15 * float(np.max(np.abs(want)))
        )


def test_the_dual_of_the_derivative_is_the_derivative_of_the_dual():
    rho = np.linspace(-0.9, 0.9, 7)
    every = (
        activations.relu,
        activations.gelu,
        activations.tanh,
        activations.elementwise(jnp.arctan),
    )

    @jax.jit
    def both(rho):
        return [
            (
                dual_activation(derivative_of(f), rho),
                jax.vmap(jax.grad(functools.partial(dual_activation, f)))(rho),
            )
            for f in every
        ]

    for f, (dual, slopes) in zip(every, both(rho), strict=True):
        np.testing.assert_allclose(dual, slopes, rtol=0, atol=1e-13, err_msg=repr(f))


@pytest.mark.parametrize(
    "f", [activations.gelu, activations.tanh, activations.elementwise(jnp.tanh)], ids=repr
)
def test_the_squares_of_hermite_coefficients_sum_to_the_dual(f):
    coefficients, rho = hermite_coefficients(f, 60), 0.6
    series = jnp.sum(coefficients**2 * rho ** jnp.arange(61.0))
    np.testing.assert_allclose(series, dual_activation(f, jnp.asarray(rho)), rtol=0, atol=1e-14)


def test_hermite_coefficients_of_relu_are_the_known_ones_at_any_degree_and_scale():
    """Daniely, Frostig & Singer 2016: `c_0 = 1/√2π`, `c_1 = ½`, `c_{2j} = (−1)^{j+1} (2j−3)!!/√(2π
    (2j)!)`.
    """
    coefficients = hermite_coefficients(activations.relu, 40, scale=2.0) / 2
    odd = coefficients[3::2]
    even = [(-1) ** (j + 1) * math.prod(range(2 * j - 3, 0, -2)) for j in range(1, 21)]
    even = [
        e / math.sqrt(2 * math.pi * math.factorial(2 * j))
        for j, e in zip(range(1, 21), even, strict=True)
    ]
    np.testing.assert_allclose(coefficients[:2], [1 / math.sqrt(2 * math.pi), 0.5], rtol=1e-15)
    np.testing.assert_allclose(coefficients[2::2], even, rtol=1e-13)
    assert not np.any(odd)


def test_the_tangent_kernel_is_that_of_a_wide_network():
    """Monte Carlo over the parameters, four standard errors."""
    x = jnp.asarray(np.random.default_rng(4).normal(size=(3, 5)))
    key_w, key_b = jax.random.split(jax.random.key(6))
    w, b = jax.random.normal(key_w, (400_000, 5)), jax.random.normal(key_b, (400_000,))
    u = 1.3 * x @ w.T / math.sqrt(5) + 0.4 * b[None]
    settings = {"weight_std": 1.3, "bias_std": 0.4}
    covariance = 1.69 * x @ x.T / 5 + 0.16
    for f in (activations.relu, activations.tanh):
        outputs = f(u)[:, None] * f(u)[None]
        slopes = (f.derivative(u)[:, None] * f.derivative(u)[None]) * covariance[..., None]
        for table, samples in (
            (nngp(f, x, **settings), outputs),
            (ntk(f, x, **settings), outputs + slopes),
        ):
            error = np.std(samples, axis=-1) / math.sqrt(400_000)
            assert np.all(np.abs(table - np.mean(samples, -1)) < 4 * error)


def test_an_expectation_takes_every_activation_and_any_shape():
    one = jnp.ones(())
    pair = GaussianPair(one, 2 * one, jnp.linspace(-1, 1, 5))
    values = expectation(activations.tanh, activations.abs, pair)
    assert values.shape == (5,)
    np.testing.assert_allclose(values, 0, atol=1e-16)  # odd times even


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: activations.elementwise(jnp.sum), "of shape ()"),
        (lambda: activations.elementwise(lambda x: x + 1j), "complex64"),
        (lambda: activations.elementwise(lambda x: jnp.sign(x).astype(int)), "int"),
        (lambda: activations.elementwise("tanh"), "expected a function"),
        (lambda: activations.elementwise(activations.relu), "an activation already"),
        (lambda: activations.elementwise(lambda x: x.missing), "fails on an array"),
        (lambda: activations.elementwise(jnp.tanh, nodes=64), "odd number"),
        (lambda: activations.elementwise(jax.nn.softmax), "one by one"),
        (lambda: activations.relu / 0, "not zero"),
        (lambda: activations.hermite(200), "from 0 to 40"),
        (lambda: activations.hermite(-1), "from 0 to"),
        (lambda: activations.bump(0.0), "positive number"),
        (lambda: activations.relu * jnp.ones(()), "finite Python number"),
        (lambda: derivative_of(activations.step), "which jumps"),
        (lambda: nngp(activations.relu, jnp.ones(3)), "nngp: given inputs of shape (3,)"),
        (lambda: ntk(activations.relu, jnp.ones(3)), "ntk: given inputs of shape (3,)"),
        (lambda: ntk(activations.step, jnp.ones((3, 2))), "ntk: given step, which jumps"),
        (lambda: ntk(jnp.tanh, jnp.ones((3, 2))), "ntk: given the activation"),
        (lambda: nngp(activations.relu, jnp.ones((3, 2)), jnp.ones((3, 4))), "one dimension"),
        (lambda: hermite_coefficients(activations.relu, -2), "degree=-2"),
        (
            lambda: gram(
                activations.tanh, jnp.ones((2, 3), complex), activations.tanh, jnp.ones((2, 3))
            ),
            "complex128",
        ),
        (
            lambda: gram(
                activations.tanh, jnp.ones((2, 3), int), activations.tanh, jnp.ones((2, 3))
            ),
            "int64",
        ),
    ],
)
def test_bad_activations_are_refused_with_what_was_given(call, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call()
