"""Narrow networks: the numbers of the reference page, ranks, the interpolating family, and
Levenberg–Marquardt.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.optimize
import scipy.special
from jax.flatten_util import ravel_pytree

import jaxcompress as jc
from jaxcompress import narrow

A = jc.activations
SMOOTH = [A.tanh, A.softplus, A.gelu, A.sigmoid]
# σ and σ′ in NumPy and SciPy, by their textbook formulas.
PLAIN = {
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "softplus": (lambda z: np.logaddexp(0, z), scipy.special.expit),
    "gelu": (
        lambda z: z * scipy.special.ndtr(z),
        lambda z: scipy.special.ndtr(z) + z * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi),
    ),
    "sigmoid": (scipy.special.expit, lambda z: scipy.special.expit(z) * scipy.special.expit(-z)),
}


def page(m):
    """The data of the reference page: samples and the centres of `m/2` pairs."""
    x = np.random.default_rng(0).standard_normal((64, 16))
    centres = np.random.default_rng(1).standard_normal((m // 2, 16)) / 4
    return jc.Samples(x, np.random.default_rng(3).choice([-1.0, 1.0], 64)), centres


def plain_network(student, x):
    """The function of a network in NumPy."""
    return PLAIN[repr(student.activation)][0](x @ np.asarray(student.weights).T) @ np.asarray(
        student.readout
    )


@pytest.mark.parametrize("f", SMOOTH, ids=repr)
@pytest.mark.parametrize(("m", "ranks"), [(6, (48, 51)), (8, (64, 64))])
def test_ranks_at_a_mirrored_start_are_those_of_the_reference_page(f, m, ranks):
    samples, centres = page(m)
    start = narrow.mirrored(centres, np.ones(m // 2), f)
    found = narrow.jacobian_rank(start, samples, "weights"), narrow.jacobian_rank(start, samples)
    assert tuple(map(int, found)) == ranks
    matrix = np.asarray(narrow.jacobian(start, samples))
    assert (np.linalg.matrix_rank(matrix[:, : 16 * m]), np.linalg.matrix_rank(matrix)) == ranks


@pytest.mark.parametrize("f", SMOOTH, ids=repr)
def test_the_jacobian_is_that_of_the_textbook_formulas(f):
    rng = np.random.default_rng(2)
    samples = jc.Samples(rng.normal(size=(5, 3)), rng.normal(size=5))
    student = jc.TwoLayer(rng.normal(size=(4, 3)), rng.normal(size=4), activation=f)
    x, w, v = (np.asarray(leaf) for leaf in (samples.inputs, student.weights, student.readout))
    value, slope = PLAIN[repr(f)]
    z = x @ w.T
    by_weights = np.einsum("sj,j,sp->sjp", slope(z), v, x).reshape(5, -1)
    np.testing.assert_allclose(
        narrow.jacobian(student, samples), np.hstack([by_weights, value(z)]), atol=2e-15
    )
    wanted = np.einsum("sj,sp->sjp", slope(z), x).reshape(5, -1)
    np.testing.assert_allclose(narrow.features(f, w, x), wanted, atol=2e-15)


def test_the_jacobian_of_biases_and_outputs_is_that_of_finite_differences():
    rng = np.random.default_rng(4)
    student = jc.TwoLayer(
        *(rng.normal(size=s) for s in ((3, 2), (3, 2), (3,), (2,))), activation=A.gelu
    )
    samples = jc.Samples(rng.normal(size=(4, 2)), rng.normal(size=(4, 2)))
    flat, unravel = ravel_pytree(student)
    columns = [
        (
            unravel(flat + 1e-6 * e)(samples.inputs) - unravel(flat - 1e-6 * e)(samples.inputs)
        ).reshape(-1)
        / 2e-6
        for e in np.eye(flat.size)
    ]
    np.testing.assert_allclose(narrow.jacobian(student, samples), np.array(columns).T, atol=2e-9)


def test_singular_value_radius_and_interpolant_have_the_digits_of_the_reference_page():
    samples, centres = page(10)
    matrix = narrow.features(A.tanh, centres, samples.inputs)
    assert float(narrow.smallest_singular_value(matrix)) == pytest.approx(0.2935796, abs=5e-8)
    start = narrow.mirrored(centres, np.ones(5), A.tanh)
    assert float(narrow.certified_radius(start, samples)) == pytest.approx(5.756791e-3, abs=5e-10)
    family = narrow.interpolation(centres, samples, A.tanh)
    assert float(jnp.linalg.norm(family.direction)) == pytest.approx(8.260939, abs=5e-7)
    assert float(narrow.loss(family.network(0.01), samples)) == pytest.approx(5.83505e-6, abs=5e-12)


def test_the_interpolating_family_converges_at_fourth_order():
    samples, centres = page(10)
    family = narrow.interpolation(centres, samples, A.softplus)
    losses = [float(narrow.loss(family.network(t), samples)) for t in (1e-2, 5e-3, 2.5e-3)]
    orders = np.log2(np.array(losses[:-1]) / np.array(losses[1:]))
    np.testing.assert_allclose(orders, 4, atol=0.05)


@pytest.mark.parametrize(
    ("f", "first", "second"),
    [
        (A.tanh, lambda z: 1 / mpmath.cosh(z) ** 2, 4 / (3 * mpmath.sqrt(3))),
        (A.softplus, lambda z: 1 / (1 + mpmath.exp(-z)), mpmath.mpf("0.25")),
        (A.sigmoid, lambda z: mpmath.exp(-z) / (1 + mpmath.exp(-z)) ** 2, 1 / (6 * mpmath.sqrt(3))),
        (A.gelu, lambda z: mpmath.ncdf(z) + z * mpmath.npdf(z), 2 / mpmath.sqrt(2 * mpmath.pi)),
    ],
    ids=["tanh", "softplus", "sigmoid", "gelu"],
)
def test_slope_bounds_are_the_suprema(f, first, second):
    most = max(first(mpmath.sqrt(2)), first(mpmath.mpf(0)), first(mpmath.mpf(40)))
    found = narrow.slope_bounds(f)
    assert found[0] == pytest.approx(float(most), rel=1e-7)
    assert found[1] == pytest.approx(float(second), rel=1e-7)


def test_functions_without_bounded_curvature_have_none():
    assert narrow.slope_bounds(A.relu) == (1.0, np.inf)
    assert narrow.slope_bounds(A.exp) == (np.inf, np.inf)
    # overflows on the way
    assert narrow.slope_bounds(A.elementwise(lambda z: jnp.exp(z**2))) == (np.inf, np.inf)
    assert narrow.slope_bounds(A.monomial(2)) == (np.inf, 2.0)
    assert narrow.slope_bounds(A.step) == narrow.slope_bounds(A.sign) == (np.inf, np.inf)
    # its derivative has a kink, but does not jump
    assert narrow.slope_bounds(A.rectified_power(2)) == (np.inf, 2.0)


# With closed forms or without: the derivative of each jumps, at 0 or at ±3.
KINKED = {
    "relu": A.relu,
    "leaky": A.leaky_relu(0.1),
    "selu": A.elementwise(jax.nn.selu),
    "leaky and tanh": A.elementwise(lambda z: jax.nn.leaky_relu(z) + 0.1 * jnp.tanh(z)),
    "hard swish": A.elementwise(jax.nn.hard_swish),
}


@pytest.mark.parametrize("f", KINKED.values(), ids=KINKED)
def test_where_the_derivative_jumps_no_radius_is_certified_and_a_warning_says_so(f):
    assert narrow.slope_bounds(f)[1] == np.inf
    with pytest.warns(narrow.NarrowWarning, match="no continuous derivative"):
        assert warned(f=f) == 0


def test_a_smooth_function_of_the_users_own_has_the_bounds_of_its_closed_form():
    own = A.elementwise(jnp.tanh)
    np.testing.assert_allclose(narrow.slope_bounds(own), narrow.slope_bounds(A.tanh), rtol=1e-9)


def test_widths_are_counted():
    assert [narrow.min_width(n, d) for n, d in ((64, 8), (128, 16), (256, 32), (65, 8))] == [
        16,
        16,
        16,
        18,
    ]
    assert narrow.min_width(10, 4, 3) == 16
    assert narrow.min_width(3, 10, 2) == 4  # three samples span three dimensions only
    assert [narrow.counting_width(n, d) for n, d in ((64, 8), (64, 15))] == [8, 4]
    assert narrow.counting_width(10, 3, 2) == 4


@pytest.mark.parametrize(("n", "d", "o"), [(10, 4, 3), (3, 10, 2), (6, 2, 2)])
def test_several_outputs_have_full_rank_from_the_stated_width_on_and_not_before(n, d, o):
    rng = np.random.default_rng(7)
    samples = jc.Samples(rng.normal(size=(n, d)), rng.normal(size=(n, o)))
    least = narrow.min_width(n, d, o)
    for m, full in ((least, True), (least - 2, False)):
        start = narrow.mirrored_lecun(jax.random.key(0), m, d, activation=A.tanh, outputs=o)
        assert (int(narrow.jacobian_rank(start, samples, "weights")) == n * o) is full
    start = narrow.mirrored_lecun(
        jax.random.key(0), least, d, activation=A.tanh, outputs=o, floor=5.0
    )
    # the signs alone tell outputs apart
    assert np.linalg.matrix_rank(np.sign(np.asarray(start.readout))) == o
    same = narrow.mirrored(start.weights[: least // 2], jnp.ones((least // 2, o)), A.tanh)
    assert int(narrow.jacobian_rank(same, samples, "weights")) <= n


def test_starts_have_the_laws_that_they_name():
    start = narrow.mirrored_lecun(jax.random.key(1), 4000, 25, activation=A.tanh)
    w, v = np.asarray(start.weights), np.asarray(start.readout)
    np.testing.assert_array_equal(w[:2000], w[2000:])
    np.testing.assert_array_equal(v[:2000], -v[2000:])
    assert w.std() == pytest.approx(0.2, rel=0.02)
    assert np.sqrt(np.mean(v**2)) == pytest.approx(4000**-0.5, rel=0.05)
    assert np.all(v[:2000] > 0)
    assert np.max(np.abs(start(jnp.ones((3, 25))))) < 1e-12
    batch = narrow.mirrored_lecun(jax.random.key(1), 4, 3, activation=A.tanh, floor=0.7, runs=3)
    alone = narrow.mirrored_lecun(
        jax.random.fold_in(jax.random.key(1), 2), 4, 3, activation=A.tanh, floor=0.7
    )
    np.testing.assert_array_equal(batch.weights[2], alone.weights)
    assert np.min(np.abs(np.asarray(batch.readout))) == pytest.approx(0.7)
    free = narrow.lecun(jax.random.key(1), 2000, 25, activation=A.tanh, floor=1e-9)
    assert np.asarray(free.readout).std() == pytest.approx(2000**-0.5, rel=0.05)


@pytest.mark.parametrize(
    ("n", "d", "f"), [(64, 8, f) for f in SMOOTH] + [(256, 32, A.sigmoid)], ids=str
)
def test_levenberg_marquardt_reaches_zero_loss_at_twice_n_over_d(n, d, f):
    """The other shapes and activations of the claim are rows of `benchmarks/narrow_networks.py`:
    each compiles anew.
    """
    rng = np.random.default_rng(5)
    samples = jc.Samples(rng.normal(size=(3, n, d)), rng.normal(size=(3, n)))
    starts = narrow.mirrored_lecun(
        jax.random.key(0), narrow.min_width(n, d), d, activation=f, runs=3
    )
    out = narrow.fit(starts, samples)
    assert np.all(np.asarray(out.converged))
    assert np.max(out.steps) < 60
    for i in range(3):
        student, x, y = jax.tree.map(
            lambda leaf, i=i: np.asarray(leaf[i]), (out.network, samples.inputs, samples.targets)
        )
        r = plain_network(student, x) - y
        assert r @ r / (2 * n) < 1e-20


def test_with_too_few_neurons_the_fit_ends_where_scipys_does_and_says_so():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    start = narrow.lecun(jax.random.key(2), 3, 3, activation=A.tanh)
    with pytest.warns(narrow.NarrowWarning, match="below min_width"):
        out = narrow.fit(start, jc.Samples(x, y), max_steps=400)
    assert not out.converged

    def residual(vector):
        return (np.tanh(x @ vector[:9].reshape(3, 3).T) @ vector[9:] - y) / 20**0.5

    end = np.concatenate([np.asarray(out.network.weights).ravel(), np.asarray(out.network.readout)])
    there = scipy.optimize.least_squares(residual, end, method="lm", xtol=1e-15, ftol=1e-15)
    assert float(out.loss) == pytest.approx(there.cost, rel=1e-3)


def test_a_fit_of_two_outputs_reaches_zero_loss():
    rng = np.random.default_rng(8)
    samples = jc.Samples(rng.normal(size=(12, 6)), rng.normal(size=(12, 2)))
    start = narrow.mirrored_lecun(
        jax.random.key(0), narrow.min_width(12, 6, 2), 6, activation=A.gelu, outputs=2
    )
    assert narrow.fit(start, samples).loss < 1e-20


def test_float32_stays_float32_and_reaches_its_own_floor():
    rng = np.random.default_rng(8)
    samples = jc.Samples(
        rng.normal(size=(16, 8)).astype("float32"), rng.normal(size=16).astype("float32")
    )
    start = narrow.mirrored_lecun(jax.random.key(0), 8, 8, activation=A.tanh, dtype="float32")
    out = narrow.fit(start, samples)
    assert {leaf.dtype for leaf in jax.tree.leaves((out.network, out.loss))} == {
        np.dtype("float32")
    }
    assert out.loss <= 1e-10
    assert narrow.certified_radius(start, samples).dtype == np.float32


def warned(m=16, f=A.tanh, x=None):
    """A fit of no steps on these samples."""
    x = np.random.default_rng(0).standard_normal((64, 8)) if x is None else x
    start = narrow.mirrored_lecun(jax.random.key(0), m, x.shape[1], activation=f)
    return narrow.certified_radius(start, jc.Samples(x, np.ones(len(x))))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"m": 14}, "width 14 is below min_width.64, 8, 1. = 16"),
        ({"f": A.hermite(3)}, "a polynomial"),
        ({"m": 4, "x": np.array([[1.0, 2.0], [3.0, 1.0], [1.0, 2.0]])}, "duplicate rows"),
        ({"m": 4, "x": np.array([[1.0, 2.0], [3.0, 1.0], [-1.0, -2.0]])}, "x and −x"),
        ({"m": 4, "x": np.array([[1.0, 2.0], [3.0, 1.0], [0.0, 0.0]])}, "rows of zeros"),
    ],
)
def test_what_the_theory_takes_for_granted_is_missed_aloud(arguments, says):
    with pytest.warns(narrow.NarrowWarning, match=says):
        radius = float(warned(**arguments))
    if "polynomial" not in says:
        assert radius < 1e-12


def test_opposite_samples_are_fine_where_the_derivative_is_not_even():
    assert warned(4, A.softplus, np.array([[1.0, 2.0], [3.0, 1.0], [-1.0, -2.0]])) > 1e-3


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: narrow.min_width(0, 3), "given n 0"),
        (lambda: narrow.min_width(6.5, 3), "given n 6.5"),
        (lambda: narrow.counting_width(6, True), "d True"),
        (lambda: narrow.lecun(jax.random.key(0), 4.0, 3, activation=A.tanh), "width 4.0"),
        (lambda: narrow.fit(*problem(4), max_steps=0), "max_steps=0"),
        (lambda: narrow.fit(*problem(4), max_steps=2.5), "max_steps=2.5"),
        (lambda: narrow.fit(problem(4)[0], (np.ones((3, 2)), np.ones(3))), "samples of type tuple"),
        (lambda: narrow.fit(np.ones((4, 2)), problem(4)[1]), "students of type ndarray"),
        (lambda: narrow.fit(*problem(4, runs=3, broken=2)), "weights with NaN"),
        (lambda: narrow.certified_radius(biased(), problem(4)[1]), "biases"),
        (
            lambda: narrow.interpolation(np.ones((2, 2)), problem(4)[1], A.tanh).network(0.0),
            "step=0.0",
        ),
        (
            lambda: narrow.mirrored_lecun(jax.random.key(0), 5, 3, activation=A.tanh),
            "width 5; expected an even",
        ),
        (
            lambda: narrow.mirrored_lecun(jax.random.key(0), 4, 3, activation=A.tanh, floor=-1.0),
            "floor=-1.0",
        ),
        (lambda: narrow.lecun(jax.random.key(0), 4, 0, activation=A.tanh), "dim 0"),
        (lambda: narrow.features(A.tanh, np.ones((2, 3)), np.ones((4, 2))), r"weights \(2, 3\)"),
        (lambda: narrow.features(A.tanh, np.ones((2, 3)), np.full((4, 3), np.nan)), "NaN"),
        (lambda: narrow.jacobian_rank(*problem(4), "readout"), "given 'readout'"),
        (
            lambda: narrow.fit(problem(4)[0], jc.Samples(np.ones((4, 3)), np.ones(4))),
            "input dimension 2",
        ),
        (lambda: narrow.fit(*problem(4), tolerance=-1.0), "tolerance=-1.0"),
        (
            lambda: narrow.interpolation(
                np.ones((2, 2)), jc.Samples(np.ones((4, 2)), np.ones((4, 2))), A.tanh
            ),
            "one scalar",
        ),
        (
            lambda: narrow.certified_radius(
                narrow.lecun(jax.random.key(0), 4, 2, activation=A.tanh), problem(4)[1]
            ),
            "mirr",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


def problem(m, runs=None, broken=None):
    """A mirrored start and three samples, NaN in one of the runs if asked for."""
    rng = np.random.default_rng(0)
    samples = jc.Samples(rng.normal(size=(3, 2)), rng.normal(size=3))
    start = narrow.mirrored_lecun(jax.random.key(0), m, 2, activation=A.tanh, runs=runs)
    if broken is not None:
        start = eqx.tree_at(lambda s: s.weights, start, start.weights.at[broken, 0, 0].set(jnp.nan))
    return start, samples


def biased():
    """A mirrored start but for hidden biases."""
    start = problem(4)[0]
    return jc.TwoLayer(start.weights, start.readout, jnp.full(4, 3.0), activation=A.tanh)


def test_radius_and_fit_under_jit_and_vmap_are_those_outside_with_samples_closed_over():
    samples = problem(4)[1]
    starts = narrow.mirrored_lecun(jax.random.key(0), 4, 2, activation=A.tanh, runs=2)
    one = jax.tree.map(lambda leaf: leaf[0], starts)
    wanted = float(narrow.certified_radius(one, samples))
    assert wanted > 0
    assert float(jax.jit(lambda s: narrow.certified_radius(s, samples))(one)) == pytest.approx(
        wanted, rel=1e-12
    )
    assert float(
        jax.vmap(lambda s: narrow.certified_radius(s, samples))(starts)[0]
    ) == pytest.approx(wanted, rel=1e-12)
    assert jax.jit(lambda s: narrow.fit(s, samples).loss)(one) < 1e-20
    free = narrow.lecun(jax.random.key(0), 4, 2, activation=A.tanh, runs=2)
    # not mirrored
    np.testing.assert_array_equal(jax.vmap(lambda s: narrow.certified_radius(s, samples))(free), 0)
