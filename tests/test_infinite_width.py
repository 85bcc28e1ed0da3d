"""Infinite width: the numbers that the flows are made of, against mpmath, SciPy's quadrature and
reference values.
"""

import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
from scipy.special import betaln

import jaxcompress as jc
from jaxcompress import infinite_width as iw
from jaxcompress.infinite_width import _rules

ANGLES = jnp.array([0.0, 0.3, 0.9, 1.3, math.pi / 2])


def profile_oracle(near, theta):
    """T and T′ in 30 digits."""
    with mpmath.workdps(30):
        half, theta = mpmath.mpf(near) / 2, mpmath.mpf(float(theta))
        scale = mpmath.gamma(half + 0.5) / mpmath.sqrt(mpmath.pi) / mpmath.gamma(half)
        value = scale * mpmath.hyp2f1(-0.5, -0.5, half, mpmath.cos(theta) ** 2)
        slope = (
            -mpmath.sin(2 * theta)
            * scale
            / (4 * half)
            * mpmath.hyp2f1(0.5, 0.5, half + 1, mpmath.cos(theta) ** 2)
        )
        return float(value), float(slope)


@pytest.mark.parametrize("near", [1, 2, 3, 4, 30, 10**5])
def test_the_profile_of_the_norm_agrees_with_mpmath(near):
    theta = np.array([0, 1e-3, 0.2, 0.7, 1.2, math.pi / 2])
    value, slope = iw.AngleProfile(near)(jnp.asarray(theta))
    expected = np.array([profile_oracle(near, t) for t in theta])
    scale = expected[:, 0].max()
    # measured 1.6e-15
    np.testing.assert_allclose(value, expected[:, 0], rtol=0, atol=3e-15 * scale)
    # 8e-15, two dimensions
    np.testing.assert_allclose(slope, expected[:, 1], rtol=0, atol=1.5e-14 * scale)


def test_profile_and_mass_have_the_reference_values():
    value, slope = iw.AngleProfile(3)(jnp.array([0.9]))
    assert abs(float(value[0]) - 0.678486349165) < 5e-13
    assert abs(float(slope[0]) + 0.107930964984) < 5e-13
    assert abs(iw.norm_mass(5) - 16 / 3) < 1e-14


@pytest.mark.parametrize("x", [0.5, 1.0, 7.5, 31.9, 32.0, 5e5, 1e9])
def test_the_ratio_of_gammas_keeps_its_digits(x):
    with mpmath.workdps(40):
        exact = mpmath.gamma(mpmath.mpf(x) + 0.5) / mpmath.gamma(mpmath.mpf(x))
        assert abs(mpmath.mpf(_rules.gamma_ratio(x)) / exact - 1) < 1e-15  # measured 7e-16


@pytest.mark.parametrize(("near", "far"), [(1, 1), (2, 1), (3, 7), (30, 60), (3, 10**6 - 3)])
def test_gauss_rules_have_the_moments_of_their_laws(near, far):
    u, weights = _rules.share_rule(near, far, 12)
    for power in (0, 1, 2, 5, 11):
        a, b = near / 2, far / 2
        exact = (
            math.exp(betaln(a + power, b) - betaln(a, b))
            if far < 1000
            else np.prod([(a + k) / (a + b + k) for k in range(power)])
        )
        assert weights @ u**power == pytest.approx(exact, rel=2e-13)
    s, weights = _rules.coordinate_rule(far, 12)
    assert weights @ s**2 == pytest.approx(1 / far, rel=1e-14)
    assert weights @ s**4 == pytest.approx(3 / (far * (far + 2)), rel=1e-14)


def test_the_pair_kernel_has_its_reference_values():
    spectral = iw.Spectral(3, 7)
    assert spectral.tail <= 1e-11
    table = iw.angle_kernel(spectral, jnp.array([0.9, 0.0]), jnp.array([1.3, 0.0]))
    assert abs(float(table[0, 0]) - 0.166513616647) < 5e-13
    assert abs(float(table[1, 1]) - 3 / 16) < spectral.tail  # measured 1.0e-11, all of the tail


def test_the_pair_kernel_is_the_mean_of_its_definition():
    near, far, one, other = 3, 4, 0.9, 1.3

    def kappa(z):
        edge = math.sqrt(max(0, 1 - z * z))
        return (edge + (math.pi - math.acos(max(-1, min(1, z)))) * z) / (2 * math.pi)

    law = lambda dim, s: (1 - s * s) ** ((dim - 3) / 2) / math.exp(betaln(0.5, (dim - 1) / 2))  # noqa: E731
    cos, sin = math.cos(one) * math.cos(other), math.sin(one) * math.sin(other)
    mean, _ = scipy.integrate.dblquad(
        lambda s, r: kappa(cos * r + sin * s) * law(near, r) * law(far, s),
        -1,
        1,
        -1,
        1,
        epsabs=1e-9,
    )
    got = iw.angle_kernel(iw.Spectral(near, far), jnp.array([one]), jnp.array([other]))
    assert float(got[0, 0]) == pytest.approx(mean, abs=1e-8)


# Measured 8e-11 with three dimensions and one (64 nodes), 4e-11 with two (160), 4e-11 at (1, 60)
# (the modes' tail).
@pytest.mark.parametrize(
    ("near", "far"),
    [
        (1, 1),
        (1, 2),
        (2, 2),
        (2, 3),
        (3, 1),
        (3, 7),
        (1, 60),
        (2, 60),
        (30, 1),
        (30, 60),
        (3, 10**6 - 3),
    ],
)
def test_both_routes_to_the_pair_kernel_agree(near, far):
    table = iw.angle_kernel(iw.Spectral(near, far), ANGLES, ANGLES)
    other = iw.angle_kernel(iw.Quadrature(near, far), ANGLES, ANGLES)
    np.testing.assert_allclose(table, other, rtol=0, atol=1e-10)


def test_quadrature_falls_like_its_law_where_both_angles_are_equal():
    gaps = [
        abs(
            float(iw.angle_kernel(iw.Quadrature(2, 60, nodes=n), ANGLES[:1], ANGLES[:1])[0, 0])
            - 2 / math.pi**2
        )
        for n in (40, 80)
    ]
    assert math.log2(gaps[0] / gaps[1]) == pytest.approx(4, abs=0.1)
    assert gaps[1] == pytest.approx(0.024 * 80**-4, rel=0.1)


@pytest.mark.parametrize(("far", "modes"), [(1, 128), (60, 4096), (10**6, 128), (10**6, 4096)])
def test_what_modes_leave_out_is_bounded_by_the_tail(far, modes):
    kernel = iw.Spectral(1, far, modes=modes)
    left = 0.25 - float(iw.angle_kernel(kernel, ANGLES[:1], ANGLES[:1])[0, 0])  # K(0, 0) = ¼
    assert left - 1e-15 <= kernel.tail <= 1.2 * left  # measured 1.001 to 1.125


def test_the_derivatives_of_both_routes_agree():
    charges = jnp.array([1.0, -0.5, 2.0])
    at, sources = jnp.array([0.2, 0.8, 1.4]), jnp.array([0.4, 1.0, 1.2])
    _, one = iw.Spectral(3, 7).sums(at, sources, charges)
    _, other = iw.Quadrature(3, 7, nodes=48).sums(at, sources, charges)
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


def test_the_pull_of_the_norm_agrees_with_quadrature():
    b = np.array([[0.6, -0.3, 0.2, 0.5, -0.1]])
    near, rest = b[0, :3], b[0, 3:]
    length, far = np.linalg.norm(near), np.linalg.norm(rest)
    chi = scipy.stats.chi(3).pdf

    def mean(of):  # over the radius of x_H and its cosine with b_H, uniform in three dimensions
        return scipy.integrate.dblquad(
            lambda c, r: of(r, length * r * c / far, c) * chi(r) / 2, 0, 12, -1, 1
        )[0]

    by_near = mean(lambda r, h, c: r * r * c * scipy.stats.norm.cdf(h))
    by_far = mean(lambda r, h, c: r * math.exp(-h * h / 2) / math.sqrt(2 * math.pi))
    expected = np.concatenate([by_near * near / length, by_far * rest / far])
    target = iw.NormTarget(3)
    np.testing.assert_allclose(target.pull(jnp.asarray(b))[0], expected, rtol=0, atol=1e-8)
    assert np.all(np.isfinite(target.pull(jnp.zeros((1, 5)))))


def test_hermite_targets_pull_as_their_function_does():
    def function(x):
        return x[:, 0] - 0.5 + x[:, 0] * x[:, 1] + x[:, 0] * x[:, 1] ** 2 + 0.1 * x[:, 1] ** 4

    target = iw.hermite_target(function, 2, 4)
    b = jnp.array([[0.6, -0.3, 0.5, 0.9], [0.0, 0.2, -1.0, 0.0]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(90)
    weights = weights / weights.sum()
    x, w = (
        np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1).reshape(-1, 2),
        np.outer(weights, weights).ravel(),
    )
    for row, got in zip(np.asarray(b), np.asarray(target.pull(b)), strict=True):
        far = np.linalg.norm(row[2:])
        height = x @ row[:2] / far
        near = (w * function(x) * scipy.stats.norm.cdf(height)) @ x
        across = (w * function(x)) @ scipy.stats.norm.pdf(height) * row[2:] / far
        np.testing.assert_allclose(got, np.concatenate([near, across]), rtol=0, atol=1e-10)
    assert float(target.energy) == pytest.approx(w @ function(x) ** 2, rel=1e-12)
    assert float(target.seen) == pytest.approx(float(target.energy), rel=1e-12)


@pytest.mark.parametrize("degree", [2, 4, 8])
def test_hermite_targets_know_what_they_leave_out_of_a_kink(degree):
    target = iw.hermite_target(lambda x: np.abs(x[:, 0]), 1, degree)
    # E|x| He_2k = √(2/π) (−1)^{k+1} (2k − 3)!!, with (−3)!! = −1
    known = sum(
        2 / math.pi * float(mpmath.fac2(2 * k - 3) if k else 1) ** 2 / math.factorial(2 * k)
        for k in range(degree // 2 + 1)
    )
    # 4, 7 and 13 % off
    assert float(target.second - target.seen) == pytest.approx(1 - known, rel=0.15)


def test_odd_polynomials_have_the_moments_of_their_quadrature():
    covariance = np.array([[1.0, 0.3], [0.3, 0.5]])
    target = iw.odd_polynomial(
        [(1.0, (0,)), (-0.5, (0, 1, 1)), (0.2, (1, 1, 1))], 2, jc.Gaussian(None, covariance)
    )
    nodes, weights = np.polynomial.hermite_e.hermegauss(10)
    z = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1).reshape(-1, 2)
    x, w = (
        z @ np.linalg.cholesky(covariance).T,
        np.outer(weights, weights).ravel() / weights.sum() ** 2,
    )
    values = x[:, 0] - 0.5 * x[:, 0] * x[:, 1] ** 2 + 0.2 * x[:, 1] ** 3
    np.testing.assert_allclose(target.moment, (w * values) @ x, rtol=1e-13)
    assert float(target.energy) == pytest.approx(w @ values**2, rel=1e-13)


def test_velocities_are_gradients_of_the_population_risk():
    law = jc.Gaussian(None, jnp.diag(jnp.array([1.0, 2.0, 0.5])) + 0.05)
    teacher = jc.targets.random(jax.random.key(0), 3, 3, activation=jc.activations.relu)
    start = iw.uniform_start(jax.random.key(1), 5, 3)
    system = iw.ParticleSystem(iw.NetworkTarget(teacher, law))
    half_risk = lambda state: 0.5 * jc.population_risk(state.network(), teacher, inputs=law)  # noqa: E731
    value, gradient = jax.jit(jax.value_and_grad(half_risk))(start)
    motion, half = jax.jit(lambda state: (system.velocity(state), system.half_risk(state)))(start)
    assert float(half) == pytest.approx(float(value), abs=1e-15)
    np.testing.assert_allclose(motion.velocity.weights, -5 * gradient.weights, rtol=0, atol=2e-15)
    np.testing.assert_allclose(motion.velocity.readout, -5 * gradient.readout, rtol=0, atol=2e-15)
    slope = 5 * (jnp.sum(gradient.weights**2) + jnp.sum(gradient.readout**2))
    assert float(motion.dissipation) == pytest.approx(float(slope), rel=1e-13)


def test_targets_of_other_activations_pull_as_their_quadrature():
    teacher = jc.TwoLayer(
        np.array([[0.7, -0.4]]), np.array([1.5]), np.array([0.3]), activation=jc.activations.erf
    )
    pull = iw.NetworkTarget(teacher).pull(jnp.array([[1.0, 0.0]]))[0]
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    half, density = scipy.special.roots_legendre(200)
    x = 5 * (half + 1)  # 0 … 10
    density = 5 * density * scipy.stats.norm.pdf(x)
    f = 1.5 * scipy.special.erf((0.7 * x[:, None] - 0.4 * nodes[None] + 0.3) / math.sqrt(2))
    expected = [(density * x) @ f @ weights, density @ f @ (weights * nodes)]
    np.testing.assert_allclose(pull, expected, rtol=0, atol=1e-12)


def test_a_step_of_the_angles_costs_what_its_particles_cost():
    def flops(nodes):
        system = iw.AngleSystem(3, 7)
        compiled = (
            jax.jit(lambda state: system.velocity(state))
            .lower(iw.angle_start(3, 7, nodes))
            .compile()
        )
        cost = compiled.cost_analysis()
        return cost["flops"] + cost["transcendentals"]

    assert flops(800) == pytest.approx(2 * flops(400), rel=0.01)
    # XLA counts a loop's body once, so that the modes are not in it: they are the same in every
    # dimension.
    assert iw.AngleSystem(3, 7).kernel.modes == iw.AngleSystem(3, 10**6 - 3).kernel.modes == 128


def angle_state():
    return iw.AngleParticles(
        jnp.array([0.2, 0.5, 1.3]), jnp.array([2.0, 1.0, -0.5]), jnp.array([0.25, 0.25, 0.5])
    )


def test_observables_are_weighted_sums():
    state = angle_state()
    mass, lean, gap = iw.masses(state), iw.alignment(state), iw.limit_distance(state, 3)
    assert (float(mass.plus), float(mass.minus)) == (0.75, 0.25)
    assert float(lean.plus) == pytest.approx(
        (2 * math.cos(0.2) ** 2 + math.cos(0.5) ** 2) / 3, rel=1e-15
    )
    assert float(lean.minus) == pytest.approx(math.cos(1.3) ** 2, rel=1e-15)
    far = scipy.stats.wasserstein_distance([0.2, 0.5], [0.0], [2, 1], [1])
    assert float(gap.wasserstein) == pytest.approx(far, rel=1e-15)
    assert float(gap.mass_gap) == pytest.approx(0.75 - 4, rel=1e-14)
    edges, plus, minus = iw.angle_histogram(state, 7)
    assert np.sum(plus * np.diff(edges)) == pytest.approx(0.75)
    assert np.sum(minus * np.diff(edges)) == pytest.approx(0.25)


@pytest.mark.parametrize(("near", "far"), [(3, 7), (1, 2), (2, 1)])
def test_the_predictor_on_the_sphere_is_the_mean_of_relu(near, far):
    """Against draws of both directions, to five standard errors."""
    rng, count = np.random.default_rng(0), 400_000

    def coordinate(dim):
        rows = rng.standard_normal((count, dim))
        return rows[:, 0] / np.linalg.norm(rows, axis=1)

    state, psi = angle_state(), np.array([0.0, 0.4, 1.1, math.pi / 2])
    got = iw.sphere_predictor(state, near, far, psi)
    r, s, charge = coordinate(near), coordinate(far), np.asarray(state.shares * state.mass)
    for angle, value in zip(psi, got, strict=True):
        heights = np.cos(angle) * np.cos(state.angle)[None] * r[:, None]
        heights = heights + np.sin(angle) * np.sin(state.angle)[None] * s[:, None]
        drawn = np.maximum(heights, 0) @ charge
        assert abs(drawn.mean() - value) < 5 * drawn.std() / math.sqrt(count) + 1e-4


def test_the_dependence_on_the_rest_is_a_conditional_variance():
    start = iw.uniform_start(jax.random.key(2), 5, 2)
    a, b = np.asarray(start.shares * start.readout), np.asarray(start.weights)
    x, z = np.meshgrid(*[np.linspace(-9, 9, 801)] * 2, indexing="ij")
    f = np.maximum(np.stack([x, z], -1) @ b.T, 0) @ a
    density = scipy.stats.norm.pdf(np.linspace(-9, 9, 801)) * (18 / 800)
    mean = f @ density
    expected = density @ (f**2 @ density - mean**2)
    assert float(iw.conditional_variance(start, 1)) == pytest.approx(expected, abs=1e-5)
    orbits = iw.reduce_particles(start, 1)
    both = iw.conditional_variance(iw.lift(orbits, 1), 1)
    assert float(iw.conditional_variance(orbits, 1, 1)) == pytest.approx(float(both), abs=1e-15)
