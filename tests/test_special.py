"""The special functions against mpmath, also in the tails and at angles that one number cannot
describe.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf

from jaxcompress import special
from jaxcompress.special import internal as special_internal
from tests import oracles
from tests.compiling import usual_jit

HEIGHTS = (-16.0, -5.0, -0.75, -1e-6, 0.0, 0.3, 2.0, 5.0)
ANGLES = (1e-12, 1e-6, 1e-3, 0.5, 1.25, math.pi / 2, 1.75, 2.8, math.pi - 1e-3, math.pi - 1e-6)
cdf_gradient = usual_jit(jax.grad(special.bivariate_normal_cdf, argnums=(0, 1, 2)))
CORRELATIONS = (-1.0, -0.999999, -0.75, -0.25, 0.0, 1e-8, 0.4, 0.6, 0.95, 1 - 1e-12, 1.0)


def lower_tail(x: float) -> float:
    """The standard normal distribution function."""
    with mp.workdps(50):
        return float(mp.erfc(-oracles.exact(x) / mp.sqrt(2)) / 2)


def wedge_arguments(h: float, k: float, angle: float) -> tuple[list[float], mpf, mpf]:
    """The seven arguments of `wedge_probabilities`, each rounded once, and the cosine and sine of
    the angle.
    """
    with mp.workdps(60):
        cosine, sine = mp.cos(oracles.exact(angle)), mp.sin(oracles.exact(angle))
        alpha, beta = (mpf(h) - mpf(k) * cosine) / sine, (mpf(k) - mpf(h) * cosine) / sine
        clipped = [max(min(float(x), 1e4), -1e4) for x in (alpha, beta)]
        return [h, k, float(cosine), float(sine), angle, *clipped], cosine, sine


def test_wedge_probabilities_keep_their_digits_in_the_tails_and_at_small_angles():
    cases = [
        (h, k, angle)
        for i, h in enumerate(HEIGHTS)
        for k in HEIGHTS[i::3]
        for angle in ANGLES[i % 4 :: 4]
    ]
    arguments, expected = [], []
    for h, k, angle in cases:
        row, cosine, sine = wedge_arguments(h, k, angle)
        arguments.append(row)
        expected.append(oracles.quadrant(h, k, cosine, sine))
    results = usual_jit(special.wedge_probabilities)(*jnp.asarray(np.array(arguments).T))
    both, signs = np.asarray(results[0]), np.asarray(results[1])
    scale = np.array([math.sqrt(lower_tail(h) * lower_tail(k)) for h, k, _ in cases])
    # h = -16 and k = -16 loses to the exponential of -128: 1e-14; others 5e-16
    np.testing.assert_array_less(np.abs(both - np.array(expected, dtype=float)), 1e-12 * scale)
    with mp.workdps(50):
        wanted = [
            float(4 * p - 2 * oracles._distribution(mpf(h)) - 2 * oracles._distribution(mpf(k)) + 1)
            for p, (h, k, _) in zip(expected, cases, strict=True)
        ]
    np.testing.assert_allclose(signs, wanted, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("small", [1e-4, 1e-9])
def test_the_mean_of_two_signs_is_relative_to_itself_where_it_is_small(small):
    angle = math.pi / 2 - small
    row, cosine, sine = wedge_arguments(small, -2 * small, angle)
    signs = float(special.wedge_probabilities(*map(jnp.asarray, row))[1])
    with mp.workdps(50):
        p = oracles.quadrant(small, -2 * small, cosine, sine)
        wanted = (
            4 * p
            - 2 * oracles._distribution(mpf(small))
            - 2 * oracles._distribution(-2 * mpf(small))
            + 1
        )
    assert signs == pytest.approx(float(wanted), rel=1e-14)


def plain_cdf(h: float, k: float, correlation: float) -> float:
    """Φ₂ by quadrature; at correlation ±1 from the one-dimensional distribution."""
    if abs(correlation) == 1:
        return (
            lower_tail(min(h, k)) if correlation > 0 else max(lower_tail(h) - lower_tail(-k), 0.0)
        )
    with mp.workdps(60):
        r = oracles.exact(correlation)
        return float(oracles.quadrant(h, k, r, mp.sqrt(1 - r * r)))


def test_the_bivariate_normal_cdf_is_right_at_every_correlation():
    cases = [
        (h, k, r)
        for i, h in enumerate(HEIGHTS)
        for k in HEIGHTS[i::4]
        for r in CORRELATIONS[i % 4 :: 4]
    ]
    values = usual_jit(special.bivariate_normal_cdf)(*jnp.asarray(np.array(cases).T))
    expected = np.array([plain_cdf(*case) for case in cases])
    scale = np.array([math.sqrt(lower_tail(h) * lower_tail(k)) for h, k, _ in cases])
    np.testing.assert_array_less(np.abs(values - expected), 1e-12 * scale)


def test_the_bivariate_normal_cdf_broadcasts_and_has_the_derivatives_of_slepian():
    table = jax.eval_shape(special.bivariate_normal_cdf, 0.5, jnp.zeros(2), jnp.zeros(()))
    assert table.shape == (2,)
    for case in ((0.5, -1.0, 0.25), (-3.0, -2.5, 0.75)):
        with mp.workdps(50):
            step, slopes = mpf(10) ** -12, []
            for place in range(3):
                up, down = (
                    [mpf(x) + s * step * (i == place) for i, x in enumerate(case)] for s in (1, -1)
                )
                high, low = (
                    oracles.quadrant(h, k, r, mp.sqrt(1 - r * r)) for h, k, r in (up, down)
                )
                slopes.append(float((high - low) / (2 * step)))
        np.testing.assert_allclose(cdf_gradient(*case), slopes, rtol=1e-13)


@pytest.mark.parametrize("correlation", [-1.0, 1.0])
def test_the_derivatives_of_the_cdf_are_finite_at_full_correlation(correlation):
    for h, k in ((0.5, 0.5), (0.5, -0.5), (0.0, 0.0), (1.0, -2.0)):
        slopes = cdf_gradient(h, k, correlation)
        assert np.all(np.isfinite(slopes))


def test_one_dimensional_normal_functions_keep_their_digits_in_the_tails():
    x = np.array([-30.0, -16.0, -5.0, -1e-9, 0.0, 0.5, 6.0])
    np.testing.assert_allclose(
        special.normal_cdf(jnp.asarray(x)), [lower_tail(a) for a in x], rtol=2e-13
    )
    with mp.workdps(40):
        density = [float(oracles._density(oracles.exact(a))) for a in x]
        signs = [float(mp.erf(oracles.exact(a) / mp.sqrt(2))) for a in x]
    np.testing.assert_allclose(special.normal_pdf(jnp.asarray(x)), density, rtol=1e-13)
    np.testing.assert_allclose(special.sign_mean(jnp.asarray(x)), signs, rtol=1e-15)


@pytest.mark.parametrize(("dtype", "ulps"), [(jnp.float64, 8), (jnp.float32, 8)])
def test_sine_minus_arc_cosine_is_good_to_a_few_ulps_of_itself(dtype, ulps):
    crossover = [0.99, 1.0 - 1e-7, 1.0, 1.0 + 1e-7, 1.01]
    x = np.array([1e-9, 1e-6, 1e-3, 0.1, 0.5, *crossover, 1.5, 2.0, 2.5, 3.0, math.pi], dtype=dtype)
    values = usual_jit(special_internal.sine_minus_arc_cosine)(jnp.asarray(x))
    assert values.dtype == dtype
    with mp.workdps(60):
        exact = [float(mp.sin(a) - a * mp.cos(a)) for a in map(oracles.exact, x)]
    np.testing.assert_allclose(
        np.asarray(values, np.float64), exact, rtol=ulps * float(jnp.finfo(dtype).eps)
    )
    slopes = usual_jit(jax.vmap(jax.grad(special_internal.sine_minus_arc_cosine)))(jnp.asarray(x))
    wanted = np.asarray(x, np.float64) * np.sin(np.asarray(x, np.float64))
    np.testing.assert_allclose(
        np.asarray(slopes, np.float64)[:-1], wanted[:-1], rtol=30 * float(jnp.finfo(dtype).eps)
    )


def test_sine_minus_arc_cosine_is_zero_at_zero_with_its_derivatives():
    f = special_internal.sine_minus_arc_cosine
    assert [float(usual_jit(g)(0.0)) for g in (f, jax.grad(f), jax.grad(jax.grad(f)))] == [
        0.0,
        0.0,
        0.0,
    ]


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_unit_rows_keep_the_direction_to_almost_twice_the_precision(dtype):
    rng = np.random.default_rng(53)
    big, small = (1e300, 1e-290) if dtype == jnp.float64 else (1e30, 1e-30)
    rows = rng.normal(size=(8, 5)) * np.array([1, 1, 1e6, 1e-6, big, small, 1, 1])[:, None]
    rows[6, 1:] *= 1e-9
    rows[7] = [0, 0, -3, 0, 0]
    x = jnp.asarray(rows, dtype)
    unit = usual_jit(special_internal.unit)(x)
    eps = float(jnp.finfo(dtype).eps)
    assert unit.head.dtype == unit.norm.dtype == dtype
    for row, head, tail, norm in zip(x, unit.head, unit.tail, unit.norm, strict=True):
        with mp.workdps(60):
            exact = [oracles.exact(a) for a in row]
            length = mp.sqrt(sum(a * a for a in exact))
            direction = [a / length for a in exact]
            got = [oracles.exact(a) + oracles.exact(b) for a, b in zip(head, tail, strict=True)]
            along = sum(a * b for a, b in zip(got, direction, strict=True))
            across = mp.sqrt(sum((a - along * b) ** 2 for a, b in zip(got, direction, strict=True)))
            # the angle is what small angles between neurons are measured with, the length what erf
            # of large norm needs
            assert float(across) <= 2 * eps**1.5  # measured 0.2 eps**1.5
            assert abs(float(along - 1)) <= 2 * eps**1.5
            assert abs(float(oracles.exact(norm) / length - 1)) <= 4 * eps


def test_a_row_of_zeros_has_no_direction_and_no_norm():
    unit = special_internal.unit(jnp.zeros((2, 3)))
    for part in (*unit, unit.direction):
        np.testing.assert_array_equal(part, 0)


def test_safe_division_and_root_have_derivative_zero_where_they_are_patched():
    assert float(special_internal.divide(jnp.asarray(3.0), jnp.asarray(0.0), at_zero=7.0)) == 7.0
    assert jax.grad(special_internal.divide, argnums=(0, 1))(3.0, 0.0) == (0.0, 0.0)
    assert jax.grad(special_internal.divide, argnums=(0, 1))(3.0, 2.0) == (0.5, -0.75)
    for x in (0.0, -1.0):
        assert (
            float(special_internal.sqrt(jnp.asarray(x))),
            float(jax.grad(special_internal.sqrt)(x)),
        ) == (0.0, 0.0)
    assert (
        float(special_internal.sqrt(jnp.asarray(4.0))),
        float(jax.grad(special_internal.sqrt)(4.0)),
    ) == (2.0, 0.25)
