"""The kernels against mpmath: values, gradients and Hessians, also where neurons coincide, oppose
or vanish.

Errors of values are relative to `√(E f² E g²)`, those of gradients and Hessians to their largest
entry. One exception: the gradient of two ReLU neurons that are almost opposite is a small
difference of large numbers as soon as they have means, and zero when they are exactly opposite
without means; there the scale is the bound `max(√(P(X > 0) E g²), √(P(Y > 0) E f²))` of Cauchy and
Schwarz (`√(P(X > 0) P(Y > 0))` for the Hessian) if that is larger; so it is in float32 for ReLU
neurons of mean -5. Measured worst cases stand next to the tolerances; they are those of x86-64, jax
0.10.2.
"""

import functools
import math

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf

from jaxcompress.kernels import (
    Gaussian,
    GaussianPair,
    StandardNormal,
    activations,
    expectation,
    gram,
)
from jaxcompress.kernels.internal import table_in_blocks
from jaxcompress.kernels.tables import _pairwise
from tests import oracles
from tests.compiling import usual_jit
from tests.oracles import Corner, Derivatives

ACTIVATIONS = {"relu": activations.relu, "erf": activations.erf, "identity": activations.identity}
ALL_PAIRS = [(f, g) for f in ACTIVATIONS for g in ACTIVATIONS]
CURVED_PAIRS = [(f, g) for f, g in ALL_PAIRS if "identity" not in (f, g)]

# Acceptance of the kernels. Measured over all corners below: 1.4e-15; 2.5e-14 (9e-13 for ReLU with
# itself); 9.4e-12 (erf, norms 1e6 at 1e-12 with means 0.3; 3.8e-12 at means -5; 1.6e-12 without
# means; else 3e-15); 3.8e-10 (ReLU, nearly opposite, means 5 and -5; 1.7e-10 for ReLU of norm 1e-6
# with erf; else 1e-12).
VALUE, FAR_VALUE, GRADIENT, HESSIAN = 1e-13, 1e-10, 1e-11, 1e-9
# In float32, over the corners that float32 holds exactly.
SINGLE_VALUE, SINGLE_GRADIENT = 1e-6, 1e-5


def twice_reversed(f: str, g: str, biased: bool) -> bool:
    return (f, g) == ("relu", "erf") if biased else (f, g) in oracles.STORED_PAIRS


@functools.cache
def derivatives(f: str, g: str, biased: bool, second: bool = True):
    """Value, gradient and Hessian (forward over reverse) for a batch of parameter vectors.

    Where `twice_reversed` says so, the Hessian by reverse over reverse is a fourth result: both are
    made of the same rules, and compiling it for every pair would take long. The parameters are
    those of the oracles: `w, v`, each followed by its mean if the pair is biased.
    """

    def kernel(x):
        w, v = jnp.split(x[None], 2, axis=1)
        if not biased:
            return gram(ACTIVATIONS[f], w, ACTIVATIONS[g], v)[0, 0]
        return gram(
            ACTIVATIONS[f], w[:, :-1], ACTIVATIONS[g], v[:, :-1], bias_f=w[:, -1], bias_g=v[:, -1]
        )[0, 0]

    def everything(x):
        first = jax.value_and_grad(kernel)(x)
        if not second:
            return first
        reverse = (jax.jacrev(jax.grad(kernel))(x),) if twice_reversed(f, g, biased) else ()
        return (*first, jax.hessian(kernel)(x), *reverse)

    # Of the last digits are the pairs that are not these exchanged, and have no identity.
    compiled = usual_jit if (f, g) in oracles.STORED_PAIRS else jax.jit
    return compiled(jax.vmap(everything))


# Every batch in float64 has this many rows, so that each pair of activations is compiled once.
BATCH = 96


def evaluate(f: str, g: str, biased: bool, rows: jax.Array) -> list[np.ndarray]:
    """All derivatives at each row, of which there are at most `BATCH`."""
    padded = jnp.concatenate([rows, jnp.ones((BATCH - len(rows), rows.shape[1]))])
    return [np.asarray(result)[: len(rows)] for result in derivatives(f, g, biased)(padded)]


def stacked(corners: list[Corner], biased: bool, dtype=jnp.float64) -> jax.Array:
    rows = [
        # the means of the others are zero
        np.r_[c.w, c.mean_w, c.v, c.mean_v] if biased else np.r_[c.w, c.v]
        for c in corners
    ]
    return jnp.asarray(np.array(rows), dtype)


def exchanged(corner: Corner) -> Corner:
    return Corner(corner.name, corner.v, corner.w, corner.mean_v, corner.mean_w)


def positive_part(mean: float, weights: np.ndarray) -> float:
    norm = float(np.linalg.norm(weights))
    return 0.5 * math.erfc(-mean / (norm * math.sqrt(2))) if norm else float(mean > 0)


def scales(f: str, g: str, corner: Corner, oracle: Derivatives, bounded: bool = False) -> tuple:
    """What errors of the value, the gradient and the Hessian are relative to; `bounded` asks for
    the bound.
    """
    rms_f = oracles.root_mean_square(f, float(np.linalg.norm(corner.w)), corner.mean_w)
    rms_g = oracles.root_mean_square(g, float(np.linalg.norm(corner.v)), corner.mean_v)
    gradient, hessian = np.abs(oracle.gradient).max(), np.abs(oracle.hessian).max()
    if (f, g) == ("relu", "relu"):
        exactly, biased = "opposite" in corner.name, len(oracle.gradient) == 2 * oracles.DIM + 2
        if bounded or exactly or ("pi-" in corner.name and biased):
            p, q = positive_part(corner.mean_w, corner.w), positive_part(corner.mean_v, corner.v)
            gradient = max(gradient, math.sqrt(p) * rms_g, math.sqrt(q) * rms_f)
            hessian = max(hessian, math.sqrt(p * q)) if exactly else hessian
    return rms_f * rms_g, gradient, hessian


def far_from(got, expected, scale: float) -> float:
    """The largest error in units of the scale; an error on a scale of zero is infinite, and so is a
    NaN.
    """
    error = np.abs(np.asarray(got, dtype=np.float64) - expected).max()
    if error == 0:
        return 0.0
    return float(error / scale) if scale > 0 and np.isfinite(error) else math.inf


def compare(f: str, g: str, pairs: list[tuple[Corner, Derivatives]], biased: bool) -> None:
    corners, expected = zip(*pairs, strict=True)
    results = evaluate(f, g, biased, stacked(corners, biased))
    failures = []
    for i, (corner, oracle) in enumerate(zip(corners, expected, strict=True)):
        value_scale, gradient_scale, hessian_scale = scales(f, g, corner, oracle)
        value, gradient, hessian, *reverse = (result[i] for result in results)
        value_limit = FAR_VALUE if 5 in (abs(corner.mean_w), abs(corner.mean_v)) else VALUE
        for what, got, want, scale, limit in (
            ("value", value, oracle.value, value_scale, value_limit),
            ("gradient", gradient, oracle.gradient, gradient_scale, GRADIENT),
            ("hessian", hessian, oracle.hessian, hessian_scale, HESSIAN),
            *(
                ("reverse hessian", again, oracle.hessian, hessian_scale, HESSIAN)
                for again in reverse
            ),
        ):
            error = far_from(got, want, scale)
            if error > limit:
                failures.append(f"{what} of {f}, {g} at {corner.name}: {error:.1e}")
    assert not failures, "\n".join(failures)


# The oracles themselves.


@pytest.mark.parametrize(("f", "g"), [p for p in ALL_PAIRS if p[0] >= p[1]])
def test_closed_forms_and_quadrature_agree_on_a_generic_pair(f, g):
    rng = np.random.default_rng(7)
    w, v = rng.normal(size=(2, oracles.DIM))
    closed, integrated = oracles.centred(f, g, w, v), oracles.conditioned(f, g, w, v, 0.0, 0.0)
    weights = np.array([0, 1, 2, 4, 5, 6])
    assert closed.value == pytest.approx(integrated.value, rel=1e-15)
    np.testing.assert_allclose(
        closed.gradient, integrated.gradient[weights], rtol=1e-14, atol=1e-30
    )
    np.testing.assert_allclose(
        closed.hessian, integrated.hessian[np.ix_(weights, weights)], rtol=1e-14, atol=1e-30
    )


@pytest.mark.parametrize("name", ["angle 1e-12, norms 1e-06 1", "opposite, norms 1e+06 1e+06"])
def test_closed_forms_and_quadrature_agree_on_extreme_relu_pairs(name):
    (corner,) = (c for c in oracles.centred_corners() if c.name == name)
    closed, integrated = (
        oracles.centred("relu", "relu", corner.w, corner.v),
        oracles.conditioned("relu", "relu", corner.w, corner.v, 0.0, 0.0),
    )
    weights = np.array([0, 1, 2, 4, 5, 6])
    np.testing.assert_allclose(
        closed.gradient, integrated.gradient[weights], rtol=1e-14, atol=1e-30
    )
    np.testing.assert_allclose(
        closed.hessian, integrated.hessian[np.ix_(weights, weights)], rtol=1e-14, atol=1e-30
    )


@pytest.mark.parametrize(("f", "g"), oracles.STORED_PAIRS)
def test_quadrature_of_derivatives_agrees_with_differences_of_quadrature(f, g):
    rng = np.random.default_rng(11)
    at, along = rng.normal(size=(2, 2 * oracles.DIM + 2))
    oracle = oracles.conditioned(f, g, at[:3], at[4:7], at[3], at[7])
    with mp.workdps(40):
        step = mpf(10) ** -10

        def moved(sign):
            x = [
                oracles.exact(a) + sign * step * oracles.exact(b)
                for a, b in zip(at, along, strict=True)
            ]
            return oracles.conditioned_value(f, g, x[:3], x[4:7], x[3], x[7], digits=40)

        up, here, down = moved(1), moved(0), moved(-1)
        slope, bend = float((up - down) / (2 * step)), float((up - 2 * here + down) / step**2)
    assert oracle.value == pytest.approx(float(here), rel=1e-15)
    assert oracle.gradient @ along == pytest.approx(slope, rel=1e-13)
    assert along @ oracle.hessian @ along == pytest.approx(bend, rel=1e-13)


def test_stored_oracles_are_those_of_the_declared_corners():
    for family, corners in (
        ("double", oracles.mean_corners()),
        ("single", oracles.single_corners()),
    ):
        assert [entry.corner.name for entry in oracles.stored(family)] == [
            corner.name for corner in corners
        ]
        for entry, corner in zip(oracles.stored(family), corners, strict=True):
            np.testing.assert_allclose(entry.corner.w, corner.w, rtol=1e-14)
            np.testing.assert_allclose(entry.corner.v, corner.v, rtol=1e-14)
            assert (entry.corner.mean_w, entry.corner.mean_v) == (corner.mean_w, corner.mean_v)


@pytest.mark.parametrize(("f", "g"), oracles.STORED_PAIRS)
def test_a_stored_oracle_computed_anew_is_the_same(f, g):
    (entry,) = (
        e
        for e in oracles.stored("double")
        if e.corner.name == "angle 1e-6, norms 1 1, means 0.3 -0.3"
    )
    anew, kept = oracles.conditioned(f, g, *entry.corner[1:]), entry.oracles[f, g]
    assert anew.value == kept.value
    np.testing.assert_array_equal(anew.gradient, kept.gradient)
    np.testing.assert_array_equal(anew.hessian, kept.hessian)


# The corners.


@pytest.mark.parametrize(("f", "g"), ALL_PAIRS)
def test_pairs_without_means_are_exact_to_second_order_at_every_corner(f, g):
    pairs = [
        (corner, oracles.centred(f, g, corner.w, corner.v)) for corner in oracles.centred_corners()
    ]
    compare(f, g, pairs, biased=False)


@pytest.mark.parametrize(("f", "g"), CURVED_PAIRS)
def test_pairs_with_means_are_exact_to_second_order_at_every_corner(f, g):
    if (f, g) in oracles.STORED_PAIRS:
        pairs = [(entry.corner, entry.oracles[f, g]) for entry in oracles.stored("double")]
    else:
        pairs = [
            (exchanged(entry.corner), oracles.swapped(entry.oracles[g, f]))
            for entry in oracles.stored("double")
        ]
    compare(f, g, pairs, biased=True)


@pytest.mark.parametrize(("f", "g"), [("relu", "identity"), ("identity", "erf")])
def test_the_identity_with_means_is_exact_to_second_order(f, g):
    corners = oracles.mean_corners()
    # a few, and of those at the end, where norms are zero, half
    corners = corners[:-12:11] + corners[-12::2]
    compare(f, g, [(c, oracles.affine(f, g, *c[1:])) for c in corners], biased=True)


def test_one_mean_that_is_none_is_a_mean_of_zero():
    f, g = "relu", "erf"
    rng = np.random.default_rng(3)
    W, V, bias = (jnp.asarray(rng.normal(size=shape)) for shape in ((4, 3), (5, 3), (5,)))
    V = V.at[:2].set(W[:2]).at[2].set(-W[2])
    table = jax.jit(lambda W, V, bias: gram(ACTIVATIONS[f], W, ACTIVATIONS[g], V, bias_g=bias))(
        W, V, bias
    )
    np.testing.assert_allclose(
        table, jitted_gram(f, g)(W, V, jnp.zeros(4), bias), rtol=1e-14, atol=1e-15
    )
    assert np.all(np.isfinite(table))


def test_a_mean_that_is_none_leaves_the_other_derivatives_as_they_are():
    rng = np.random.default_rng(4)
    W, V, bias = (jnp.asarray(rng.normal(size=shape)) for shape in ((3, 3), (3, 3), (3,)))

    def total(W, V, bias):
        return jnp.trace(gram(activations.relu, W, activations.erf, V, bias_g=bias))

    by_w, by_v, by_bias = jax.jit(jax.grad(total, argnums=(0, 1, 2)))(W, V, bias)
    rows = jnp.concatenate([W, jnp.zeros((3, 1)), V, bias[:, None]], axis=1)
    gradients = evaluate("relu", "erf", True, rows)[1]
    np.testing.assert_allclose(by_w, gradients[:, :3], rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(by_v, gradients[:, 4:7], rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(by_bias, gradients[:, 7], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("f", "g", "biased"),
    [*((*pair, True) for pair in oracles.STORED_PAIRS), ("relu", "relu", False)],
)
def test_float32_keeps_its_digits_at_every_corner(f, g, biased):
    entries = oracles.stored("single")
    if biased:
        pairs = [(entry.corner, entry.oracles[f, g]) for entry in entries]
    else:
        corners = [
            entry.corner for entry in entries if entry.corner.mean_w == entry.corner.mean_v == 0
        ]
        pairs = [(corner, oracles.centred(f, g, corner.w, corner.v)) for corner in corners]
    corners, expected = zip(*pairs, strict=True)
    values, gradients = derivatives(f, g, biased, second=False)(
        stacked(corners, biased, jnp.float32)
    )
    assert values.dtype == gradients.dtype == jnp.float32
    failures = []
    for i, (corner, oracle) in enumerate(zip(corners, expected, strict=True)):
        value_scale, gradient_scale, _ = scales(
            f, g, corner, oracle, bounded=-5 in (corner.mean_w, corner.mean_v)
        )
        errors = (
            far_from(values[i], oracle.value, value_scale),
            far_from(gradients[i], oracle.gradient, gradient_scale),
        )
        if errors[0] > SINGLE_VALUE or errors[1] > SINGLE_GRADIENT:
            failures.append(f"{corner.name}: value {errors[0]:.1e}, gradient {errors[1]:.1e}")
    assert not failures, "\n".join(failures)


# Tables.


@pytest.mark.parametrize(("f", "g", "biased"), [("relu", "relu", False)])
def test_a_table_holds_the_kernels_of_its_pairs_and_so_does_its_gradient(f, g, biased):
    rng = np.random.default_rng(5)
    W, V, cotangent = (jnp.asarray(rng.normal(size=shape)) for shape in ((3, 3), (4, 3), (3, 4)))
    bias_f, bias_g = (jnp.asarray(rng.normal(size=n)) if biased else None for n in (3, 4))

    def total(W, V):
        table = gram(ACTIVATIONS[f], W, ACTIVATIONS[g], V, bias_f=bias_f, bias_g=bias_g)
        return jnp.sum(cotangent * table), table

    (by_w, by_v), table = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(W, V)
    first = W if bias_f is None else jnp.column_stack([W, bias_f])
    second = V if bias_g is None else jnp.column_stack([V, bias_g])
    rows = jnp.stack([jnp.concatenate([x, y]) for x in first for y in second])
    values, gradients, *_ = evaluate(f, g, biased, rows)
    np.testing.assert_allclose(table, values.reshape(3, 4), rtol=1e-14, atol=1e-15)
    weighted = np.asarray(cotangent)[..., None] * gradients.reshape(3, 4, -1)
    np.testing.assert_allclose(by_w, weighted.sum(1)[:, :3], rtol=1e-13, atol=1e-14)
    half = first.shape[1]
    np.testing.assert_allclose(by_v, weighted.sum(0)[:, half : half + 3], rtol=1e-13, atol=1e-14)


def test_a_table_in_blocks_has_the_value_and_the_gradient_of_one_block(monkeypatch):
    rng = np.random.default_rng(13)
    W, V = jnp.asarray(rng.normal(size=(7, 3))), jnp.asarray(rng.normal(size=(4, 3)))
    bias = jnp.asarray(rng.normal(size=7))
    monkeypatch.setattr(
        "jaxcompress.kernels.tables._gram._BLOCK", 4 * 3 * 2
    )  # two rows at a time, and one left over

    def run(build):
        def total(W, V, bias):
            table = build(activations.relu, activations.identity, W, bias, V, None)
            return jnp.sum(table**2), table

        return jax.jit(jax.grad(total, argnums=(0, 1, 2), has_aux=True))

    whole, blocked = run(_pairwise.table), run(table_in_blocks)
    assert "scan" in str(jax.make_jaxpr(blocked)(W, V, bias))  # and not one block after all
    for one, other in zip(
        jax.tree.leaves(blocked(W, V, bias)), jax.tree.leaves(whole(W, V, bias)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-14, atol=1e-14)


def test_a_gradient_flows_through_part_of_the_arguments():
    W = jnp.asarray(np.random.default_rng(17).normal(size=(3, 4)))
    bias = jnp.asarray([0.1, -0.2, 0.3])

    def total(W, bias):
        return gram(
            activations.relu, W, activations.identity, jax.lax.stop_gradient(W), bias_f=bias
        ).sum()

    by_bias = jax.jit(jax.grad(lambda b: total(W, b)))(bias)
    np.testing.assert_allclose(by_bias, jax.jit(jax.grad(total, argnums=1))(W, bias), rtol=1e-14)
    direction = jnp.asarray([1.0, 2.0, -1.0])
    _, forward = jax.jit(lambda b, db: jax.jvp(lambda b: total(W, b), (b,), (db,)))(bias, direction)
    assert forward == pytest.approx(float(by_bias @ direction), rel=1e-14)


weights = hypothesis.extra.numpy.arrays(
    np.float64, (4, 3), elements=st.floats(-4, 4, allow_subnormal=False).map(lambda x: round(x, 3))
)
means = hypothesis.extra.numpy.arrays(
    np.float64, (4,), elements=st.floats(-2, 2).map(lambda x: round(x, 3))
)


@functools.cache
def jitted_gram(f: str, g: str):
    return usual_jit(
        lambda W, V, b, c: gram(ACTIVATIONS[f], W, ACTIVATIONS[g], V, bias_f=b, bias_g=c)
    )


@pytest.mark.parametrize(("f", "g"), [("relu", "erf")])
@hypothesis.settings(max_examples=40, derandomize=True, deadline=None, database=None)
@hypothesis.given(W=weights, V=weights, b=means, c=means)
def test_exchanging_the_families_transposes_the_table(f, g, W, V, b, c):
    table, other = jitted_gram(f, g)(W, V, b, c), jitted_gram(g, f)(V, W, c, b)
    np.testing.assert_allclose(table, other.T, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("f", ["relu", "erf"])
@hypothesis.settings(max_examples=40, derandomize=True, deadline=None, database=None)
@hypothesis.given(W=weights, b=means)
def test_a_table_of_a_family_with_itself_is_positive_semidefinite(f, W, b):
    table = np.asarray(jitted_gram(f, f)(W, W, b, b))
    assert np.linalg.eigvalsh((table + table.T) / 2).min() >= -1e-14 * max(1.0, np.trace(table))


# Expectations over five numbers.

FIVE = [  # var_x, var_y, cov, mean_x, mean_y
    (1.25, 0.5, 0.375, 0.75, -0.5),
    (1.0, 4.0, -1.9375, 0.3, 0.0),
    (2.0, 2.0, 0.0, -1.0, 1.5),
]
FIVE_KEYS = [(2, 0, 0, 0), (0, 2, 0, 0), (1, 1, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0)]


def five_numbers(f: str, g: str, numbers) -> tuple[float, np.ndarray]:
    """The value and the derivatives by var_x, var_y, cov, mean_x, mean_y, by quadrature."""
    with mp.workdps(50):
        s, t, c, mu, nu = (oracles.exact(x) for x in numbers)
        cosine = c / mp.sqrt(s * t)
        plane = (mp.sqrt(s), mp.sqrt(t), cosine, mp.sqrt(1 - cosine**2))
        moments = oracles._moments(f, g, mu, nu, plane, keys=[(0, 0, 0, 0), *FIVE_KEYS])
        factors = (0.5, 0.5, 1, 1, 1)
        slopes = [
            float(factor * moments[key]) for factor, key in zip(factors, FIVE_KEYS, strict=True)
        ]
        return float(moments[0, 0, 0, 0]), np.array(slopes)


@pytest.mark.parametrize(("f", "g"), [("erf", "relu")])
def test_an_expectation_has_the_value_of_the_pair_and_the_derivatives_of_price(f, g):
    numbers = jnp.asarray(FIVE)
    kernel = usual_jit(
        jax.vmap(
            jax.value_and_grad(lambda x: expectation(ACTIVATIONS[f], ACTIVATIONS[g], pair_of(x)))
        )
    )
    values, slopes = kernel(numbers)
    for i, row in enumerate(FIVE):
        value, slope = five_numbers(f, g, row)
        assert values[i] == pytest.approx(value, rel=1e-13)  # measured 1e-15
        np.testing.assert_allclose(slopes[i], slope, rtol=1e-11, atol=1e-13)  # measured 3e-15


def pair_of(x) -> GaussianPair:
    return GaussianPair(var_x=x[0], var_y=x[1], cov=x[2], mean_x=x[3], mean_y=x[4])


def test_the_derivatives_of_price_are_differences_of_the_quadrature():
    row = [mpf(x) for x in FIVE[0]]
    _, slopes = five_numbers("relu", "erf", FIVE[0])
    along = np.array([1.0, -0.5, 0.25, 0.5, 2.0])

    def moved(step):
        s, t, c, mu, nu = (x + step * mpf(float(a)) for x, a in zip(row, along, strict=True))
        w, v = [mp.sqrt(s), mpf(0)], [c / mp.sqrt(s), mp.sqrt(t - c * c / s)]
        return oracles.conditioned_value("relu", "erf", w, v, mu, nu, digits=40)

    with mp.workdps(40):
        step = mpf(10) ** -10
        slope = float((moved(step) - moved(-step)) / (2 * step))
    assert slopes @ along == pytest.approx(slope, rel=1e-13)


@pytest.mark.parametrize(("f", "g"), [p for p in ALL_PAIRS if p[0] >= p[1]])
def test_an_expectation_without_means_is_the_closed_form_also_for_degenerate_pairs(f, g):
    numbers = np.array(
        [
            *(
                (1.0, 1.0, 1.0),
                (1.0, 1.0, -1.0),
                (4.0, 0.25, 1.0),
                (0.0, 2.0, 0.0),
                (0.0, 0.0, 0.0),
            ),
            *(
                (1.0, 1.0, 1 - 1e-12),
                (1e12, 1e12, 1e12 - 1e6),
                (1e-12, 1.0, 5e-7),
                (2.0, 3.0, -0.5),
            ),
        ]
    )
    pair = GaussianPair(*jnp.asarray(numbers.T))
    total = lambda pair: expectation(ACTIVATIONS[f], ACTIVATIONS[g], pair).sum()  # noqa: E731
    values = usual_jit(expectation, static_argnums=(0, 1))(ACTIVATIONS[f], ACTIVATIONS[g], pair)
    for got, (s, t, c) in zip(values, numbers, strict=True):
        with mp.workdps(80):
            expected = float(oracles.closed_form(f, g, *(oracles.exact(x) for x in (s, t, c))))
        scale = oracles.root_mean_square(f, math.sqrt(s), 0.0) * oracles.root_mean_square(
            g, math.sqrt(t), 0.0
        )
        assert far_from(got, expected, scale) <= 1e-13  # measured 6e-16
    first, second = jax.jit(
        lambda pair: (jax.grad(total)(pair), jax.jacfwd(jax.grad(total))(pair))
    )(pair)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((first, second)))


def test_an_expectation_broadcasts_its_numbers():
    pair = GaussianPair(jnp.ones(3), jnp.ones(()), jnp.asarray([[0.1], [0.2]]), mean_y=jnp.zeros(3))
    shape = jax.eval_shape(
        functools.partial(expectation, activations.relu, activations.erf), pair
    ).shape
    assert shape == (2, 3)


# Input laws.


@functools.cache
def covariance(singular: bool) -> np.ndarray:
    """A covariance in four dimensions; a singular one has a constant input and only two
    directions.
    """
    factor = np.random.default_rng(23).normal(size=(4, 2 if singular else 4))
    if singular:
        factor[1] = 0
    return factor @ factor.T


def by_hand(matrix: np.ndarray) -> np.ndarray:
    """A factor that is neither symmetric nor orthogonal: `L Lᵀ = matrix`, by singular values."""
    left, values, _ = np.linalg.svd(matrix)
    turn = np.linalg.qr(np.random.default_rng(29).normal(size=matrix.shape))[0]
    return left * np.sqrt(np.where(values > 1e-12 * values[0], values, 0)) @ turn


@pytest.mark.parametrize(("f", "g", "singular"), [("relu", "erf", True)])
def test_gaussian_inputs_are_weights_transformed_by_hand(f, g, singular):
    rng = np.random.default_rng(31)
    W, V, mean = (jnp.asarray(rng.normal(size=shape)) for shape in ((3, 4), (2, 4), (4,)))
    bias_f = jnp.asarray(rng.normal(size=3))
    matrix = covariance(singular)
    law, factor = Gaussian(mean, jnp.asarray(matrix)), jnp.asarray(by_hand(matrix))
    f, g = ACTIVATIONS[f], ACTIVATIONS[g]

    def with_law(W, V):
        table = gram(f, W, g, V, bias_f=bias_f, inputs=law)
        return jnp.sum(table**2), table

    def transformed(W, V):
        table = gram(f, W @ factor, g, V @ factor, bias_f=bias_f + W @ mean, bias_g=V @ mean)
        return jnp.sum(table**2), table

    (gradient, table), (expected_gradient, expected) = (
        jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(W, V)
        for total in (with_law, transformed)
    )
    np.testing.assert_allclose(table, expected, rtol=1e-13, atol=1e-14)  # measured 2e-15
    for one, other in zip(gradient, expected_gradient, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)  # measured 2e-15


def test_a_singular_covariance_lives_in_its_rank_and_gives_finite_second_derivatives():
    law = Gaussian(jnp.zeros(4), jnp.asarray(covariance(True)))
    assert law.factor.shape == (4, 2)
    np.testing.assert_allclose(law.factor @ law.factor.T, covariance(True), atol=1e-14)
    # the first sees the constant input only
    W = jnp.asarray([[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 2.0, -1.0]])

    def table(W):
        return gram(activations.relu, W, activations.relu, W, inputs=law)

    hessian, values = jax.jit(lambda W: (jax.hessian(lambda W: table(W).sum())(W), table(W)))(W)
    assert np.all(np.isfinite(hessian))
    np.testing.assert_allclose(values[0], 0, atol=1e-15)


def test_centred_unit_gaussian_inputs_are_standard_normal():
    W = jnp.asarray(np.random.default_rng(37).normal(size=(3, 4)))
    law = Gaussian(None, jnp.eye(4))
    laws = (law, StandardNormal(), None)
    tables = jax.jit(
        lambda: [gram(activations.relu, W, activations.relu, W, inputs=law) for law in laws]
    )()
    np.testing.assert_allclose(tables[0], tables[1], rtol=1e-14)
    np.testing.assert_array_equal(tables[1], tables[2])


def test_a_covariance_may_be_traced():
    W, mean = jnp.asarray(np.random.default_rng(41).normal(size=(3, 4))), jnp.ones(4)

    def table(covariance):
        return gram(activations.relu, W, activations.identity, W, inputs=Gaussian(mean, covariance))

    matrix = jnp.asarray(covariance(False))
    known = jax.jit(lambda: table(matrix))()
    np.testing.assert_allclose(jax.jit(table)(matrix), known, rtol=1e-12, atol=1e-14)


def test_sampled_inputs_have_the_expectation_within_five_standard_errors():
    rng = np.random.default_rng(43)
    w, v, mean = (jnp.asarray(rng.normal(size=4)) for _ in range(3))
    law = Gaussian(mean, jnp.asarray(covariance(True)))
    x = law.sample(jax.random.key(0), (100_000,), 4, jnp.float64)
    products = np.asarray(activations.relu(x @ w) * activations.identity(x @ v))
    exact = float(
        jax.jit(
            lambda: gram(activations.relu, w[None], activations.identity, v[None], inputs=law)[0, 0]
        )()
    )
    assert abs(products.mean() - exact) < 5 * products.std() / math.sqrt(len(products))
    assert StandardNormal().sample(jax.random.key(0), (2, 3), 5, jnp.float32).shape == (2, 3, 5)


# What is refused.


def refusal(call) -> str:
    """The message of the `ValueError`, which must say what was given, what was expected and what to
    do.
    """
    with pytest.raises(ValueError, match="given") as caught:
        call()
    message = str(caught.value)
    given, expected, advice = (
        message.index("given"),
        message.index("; expected"),
        message.rindex("; "),
    )
    assert given < expected < advice, f"no advice in: {message}"
    return message


def table_of(W=None, V=None, f=activations.relu, g=activations.relu, **options):
    W = jnp.ones((2, 3)) if W is None else W
    V = jnp.ones((4, 3)) if V is None else V
    return functools.partial(gram, f, W, g, V, **options)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (table_of(W=jnp.ones(3)), ["W", "(3,)"]),
        (table_of(V=jnp.ones((2, 4, 3))), ["V", "(2, 4, 3)", "jax.vmap"]),
        (table_of(V=jnp.ones((4, 2))), ["(2, 3)", "(4, 2)", "dimension"]),
        (table_of(bias_f=jnp.ones(4)), ["bias", "(4,)", "(2,)"]),
        (table_of(bias_g=jnp.ones((4, 1))), ["bias", "(4, 1)", "(4,)"]),
        (table_of(inputs=Gaussian(jnp.zeros(2), jnp.eye(2))), ["dimension 2", "(2, 3)"]),
    ],
    ids=["one axis", "three axes", "dimensions", "bias length", "bias axes", "law"],
)
def test_gram_refuses_shapes_that_do_not_fit(call, words):
    message = refusal(call)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (table_of(W=np.ones((2, 3), dtype=np.int64)), ["W", "int64", "cast"]),
        (table_of(V=jnp.ones((4, 3), dtype=jnp.complex128)), ["V", "complex128", "cast"]),
        (table_of(W=jnp.ones((2, 3), jnp.float32)), ["float32", "float64", "one dtype"]),
        (table_of(bias_f=jnp.ones(2, jnp.float32)), ["bias_f", "float32", "float64"]),
        (table_of(bias_g=np.ones(4, dtype=bool)), ["bias_g", "bool"]),
        (
            table_of(inputs=Gaussian(jnp.zeros(3, jnp.float32), jnp.eye(3, dtype=jnp.float32))),
            ["mean", "float32", "float64"],
        ),
    ],
    ids=["integers", "complex numbers", "mixed weights", "mixed bias", "booleans", "mixed law"],
)
def test_gram_refuses_dtypes_that_are_not_one_real_floating_dtype(call, words):
    message = refusal(call)
    assert all(word in message for word in words), message


def test_gram_takes_lists_of_numbers():
    rows, bias = [[1.0, 2.0], [0.0, -1.0]], [0.5, 0.25]
    table = jax.jit(
        lambda: gram(activations.identity, rows, activations.identity, rows, bias_f=bias)
    )()
    np.testing.assert_allclose(table, np.array(rows) @ np.array(rows).T, atol=1e-15)


@pytest.mark.parametrize("unknown", [jnp.tanh, "relu"], ids=["function", "string"])
@pytest.mark.parametrize("other", ["relu", "erf", "identity"])
def test_what_is_no_activation_is_refused_by_name(unknown, other):
    known = ACTIVATIONS[other]
    for f, g in ((unknown, known), (known, unknown)):
        assert str(unknown) in refusal(table_of(f=f, g=g)) or repr(unknown) in refusal(
            table_of(f=f, g=g)
        )
        one = jnp.ones(())
        assert "relu" in refusal(
            functools.partial(expectation, f, g, GaussianPair(one, one, 0.5 * one))
        )


def test_an_expectation_refuses_integers_and_mixed_dtypes():
    one = jnp.ones(())
    integers = GaussianPair(one, one, jnp.zeros((), jnp.int64))
    assert "cov of dtype int64" in refusal(
        lambda: expectation(activations.relu, activations.erf, integers)
    )
    mixed = GaussianPair(one, one, one, mean_x=jnp.zeros((), jnp.float32))
    assert "mean_x of dtype float32" in refusal(
        lambda: expectation(activations.relu, activations.erf, mixed)
    )


@pytest.mark.parametrize(
    ("mean", "matrix", "words"),
    [
        (np.zeros(3), np.eye(2), ["(3,)", "(2, 2)"]),
        (np.zeros((2, 1)), np.eye(2), ["(2, 1)"]),
        (np.zeros(2), np.ones(2), ["(2,)"]),
        (np.zeros(2, np.float32), np.eye(2), ["float32", "float64"]),
        (np.zeros(2, int), np.eye(2, dtype=int), ["int64"]),
        (np.zeros(2), np.array([[1.0, 0.5], [0.0, 1.0]]), ["symmetric", "0.5"]),
        (np.zeros(2), np.array([[1.0, 2.0], [2.0, 1.0]]), ["indefinite", "-1"]),
        (np.zeros(2), np.array([[-1.0, 0.0], [0.0, -2.0]]), ["indefinite", "-2"]),
        (np.zeros(2), np.array([[1.0, np.nan], [np.nan, 1.0]]), ["covariance", "NaN"]),
        (np.array([np.inf, 0.0]), np.eye(2), ["mean", "infinite"]),
    ],
    ids=[
        "sizes",
        "mean axes",
        "no matrix",
        "mixed",
        "integers",
        "skew",
        "indefinite",
        "negative",
        "nan",
        "infinite",
    ],
)
def test_gaussian_inputs_refuse_what_is_no_mean_and_covariance(mean, matrix, words):
    message = refusal(lambda: Gaussian(mean, matrix))
    assert all(word in message for word in words), message


def test_a_covariance_with_rounding_noise_is_accepted():
    matrix = covariance(True) + 1e-16 * np.random.default_rng(47).normal(size=(4, 4))
    assert Gaussian(jnp.zeros(4), jnp.asarray(matrix)).factor.shape[1] in (2, 3)
