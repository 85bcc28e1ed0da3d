"""Large tables by matrix products against mpmath at every corner, and against the exact tables as a
whole.

Errors are relative to `√(E f² E g²)` where weights change by a share of their own norms: an error
of the gradient by `w` counts times `|w|`, of a Hessian times both norms. Neurons of norm zero are
compared as they are.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp

import jaxcompress as jc
from jaxcompress.kernels import activations, gram
from jaxcompress.kernels.activations._activation import Affine
from jaxcompress.kernels.internal import table_times
from jaxcompress.kernels.tables import _products
from jaxcompress.kernels.tables._pairwise import table
from jaxcompress.special import arcsine
from tests import oracles
from tests.compiling import usual_jit
from tests.oracles import Corner
from tests.problems import network

ACTIVATIONS = {"relu": activations.relu, "erf": activations.erf, "identity": activations.identity}
CURVED, MIXED = (
    [("relu", "relu"), ("erf", "erf")],
    [("relu", "erf"), ("identity", "relu"), ("erf", "identity")],
)

# The arcsine.


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_arcsine_is_within_three_units_in_the_last_place(dtype):
    """Worst cases 1.6 and, float32, 2.1."""
    rng = np.random.default_rng(3)
    small = 10.0 ** rng.uniform(-30, 0, 1000)
    rest = np.concatenate(
        [10.0 ** rng.uniform(-30, -0.31, 1000), np.linspace(0.45, 0.55, 200), [0.0]]
    ).astype(dtype)
    with mp.workdps(60):
        x = np.concatenate([small, rng.uniform(-1, 1, 1000), [0.0, 0.5, -0.5]]).astype(dtype)
        exact = [oracles.exact(a) for a in x] + [1 - oracles.exact(a) for a in rest]
        given = (
            np.concatenate([x, (1 - rest).astype(dtype)]),
            np.concatenate([(1 - np.abs(x)).astype(dtype), rest]),
        )
        wanted = [mp.asin(a) for a in exact]
        found = np.asarray(usual_jit(arcsine)(*map(jnp.asarray, given)))
        unit = np.spacing(
            np.maximum(np.abs(np.array([float(a) for a in wanted])), 1e-35).astype(dtype)
        )
        errors = [
            abs(float((oracles.exact(f) - w) / oracles.exact(u)))
            for f, w, u in zip(found, wanted, unit, strict=True)
        ]
    # between a half and one, `1 − |x|` is exact; `1 − rest` is not, and the answer is that of
    # `rest`
    assert found.dtype == dtype
    assert max(errors) <= 3


def test_the_arcsine_takes_a_remainder_below_zero_for_zero():
    np.testing.assert_array_equal(
        arcsine(jnp.asarray([1.0, -1.0]), jnp.asarray([-1e-16, -1e-16])), [np.pi / 2, -np.pi / 2]
    )


# The corners.


@functools.cache
def _corners() -> list[Corner]:
    """Those of the exact path, smaller angles, norms of 1e-8 and 1e8, and norms about where erf
    turns precise.
    """
    rng = np.random.default_rng(3)
    out = list(oracles.centred_corners())
    for angle in (0.0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 1.0, np.pi, np.pi - 1e-9, np.pi - 1e-3):
        for norms in (
            (1e-8, 1e-8),
            (1e8, 1e8),
            (1e-8, 1e8),
            (30.0, 31.0),
            (1.0, 1.0),
            (300.0, 1.0),
            (300.0, 40.0),
        ):
            title = f"further angle {angle:g}, norms {norms[0]:g} {norms[1]:g}"
            out.append(Corner(title, *oracles._pair_at(angle, *norms, rng)))
    return out


@functools.cache
def _derivatives(f, g):
    """Value, gradient and Hessian of a pair in one vector; each pair of a batch decides by itself
    how precise.
    """
    shape = _products.profile(ACTIVATIONS[f], ACTIVATIONS[g])

    def kernel(x):
        w, v = jnp.split(x[None], 2, axis=1)
        return _products.table_by_products(shape, w, v)[0, 0]

    return usual_jit(jax.vmap(lambda x: (*jax.value_and_grad(kernel)(x), jax.hessian(kernel)(x))))


def _errors(f, g, corner, oracle, found):
    norms = np.linalg.norm(corner.w), np.linalg.norm(corner.v)
    rms = oracles.root_mean_square(f, float(norms[0]), 0.0) * oracles.root_mean_square(
        g, float(norms[1]), 0.0
    )
    scale = np.repeat(norms, oracles.DIM) if rms else np.ones(2 * oracles.DIM)
    sizes = 1.0, scale, np.outer(scale, scale)
    wanted = oracle.value, oracle.gradient, oracle.hessian
    with np.errstate(invalid="ignore"):
        out = [np.abs(x - y).max(initial=0) if np.ndim(size) == 0 else (np.abs(x - y) * size).max()
               for x, y, size in zip(found, wanted, sizes, strict=True)]  # fmt: skip
    return [error / (rms or 1.0) if np.isfinite(error) else math.inf for error in out]


# Measured: values 3.7e-15 (erf, norms 30), else 3e-16. Gradients 5e-16, and erf 1.5e-8 at norms 1e8
# (3e-12 at 1e6, 2e-14 at 30). Hessians of ReLU 6e-13; those of erf grow with the cube of the norm
# and are compared up to 40.
VALUE, GRADIENT, FAR_GRADIENT, HESSIAN = 1e-14, 1e-13, 1e-7, 1e-11


@pytest.mark.parametrize(("f", "g"), [*CURVED, *MIXED])
def test_products_know_values_and_both_derivatives_at_every_corner(f, g):
    rows = jnp.asarray(np.array([np.r_[corner.w, corner.v] for corner in _corners()]))
    found = [np.asarray(part) for part in _derivatives(f, g)(rows)]
    failures = []
    for i, corner in enumerate(_corners()):
        oracle = oracles.centred(f, g, corner.w, corner.v)
        shorter = min(np.linalg.norm(corner.w), np.linalg.norm(corner.v))
        errors = _errors(f, g, corner, oracle, [part[i] for part in found])
        curved = (f, g) == ("erf", "erf")
        limits = VALUE, FAR_GRADIENT if curved and shorter > 1e5 else GRADIENT
        limits += (math.inf if curved and shorter > 40 else HESSIAN,)
        failures += [
            f"{what} at {corner.name}: {error:.1e}"
            for what, error, limit in zip(
                ("value", "gradient", "Hessian"), errors, limits, strict=True
            )
            if not error <= limit
        ]
        assert all(np.all(np.isfinite(part[i])) for part in found), corner.name
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize(("f", "g"), CURVED)
def test_products_keep_the_digits_of_float32(f, g):
    """Worst cases: 6e-7 and 4e-6 (erf, norms about 6), else 3e-7."""
    single = [
        Corner(c.name, *(x.astype(np.float32).astype(np.float64) for x in (c.w, c.v)))
        for c in _corners()
    ]
    kept = [c for c in single if f == "relu" or max(np.linalg.norm(c.w), np.linalg.norm(c.v)) < 100]
    rows = jnp.asarray(np.array([np.r_[c.w, c.v] for c in kept]), jnp.float32)
    value, gradient, hessian = (np.asarray(part, np.float64) for part in _derivatives(f, g)(rows))
    assert all(part.dtype == jnp.float32 for part in _derivatives(f, g)(rows))
    for i, corner in enumerate(kept):
        oracle = oracles.centred(f, g, corner.w, corner.v)
        errors = _errors(f, g, corner, oracle, (value[i], gradient[i], hessian[i]))
        assert errors[0] <= 1e-6, corner.name
        assert errors[1] <= 1e-5, corner.name


# Whole tables.

N, K, D = 40, 70, 100  # from 2^18 numbers on, `gram` goes by products


def _families(seed=0, n=N, k=K, d=D):
    """Neurons of norm about one, of which some meet, oppose, almost meet or vanish."""
    rng = np.random.default_rng(seed)
    W, V = rng.normal(size=(n, d)) / d**0.5, rng.normal(size=(k, d)) / d**0.5
    V[0], V[1], V[2], V[3], V[4] = W[0], -W[1], 2 * W[2], 0, W[4] + 1e-9 * V[4]
    W[5], W[6], W[7] = 0, W[0], W[0] * (1 + 1e-15)
    return jnp.asarray(W), jnp.asarray(V)


def _weighted(build, cotangent):
    return lambda W, V: jnp.sum(cotangent * build(W, V))


@pytest.mark.parametrize(("f", "g"), [*CURVED, MIXED[0]])
def test_a_large_table_has_the_values_and_derivatives_of_the_exact_one(f, g):
    """Forward, reverse, and both second orders; worst cases 5e-16 a value, 3e-15 and 1e-14 a sum of
    forty.
    """
    f, g = ACTIVATIONS[f], ACTIVATIONS[g]
    W, V = _families()
    rng = np.random.default_rng(1)
    cotangent, dW, dV = (
        jnp.asarray(rng.normal(size=shape)) for shape in ((N, K), W.shape, V.shape)
    )

    def everything(build):
        total = _weighted(build, cotangent)

        def run(W, V):
            forward = jax.jvp(build, (W, V), (dW, dV))
            gradient = jax.grad(total, (0, 1))
            mixed = jax.jvp(gradient, (W, V), (dW, dV))[1]
            again = jax.grad(
                lambda W, V: sum(
                    jnp.vdot(x, y) for x, y in zip(gradient(W, V), (dW, dV), strict=True)
                )
            )
            return forward, gradient(W, V), mixed, again(W, V)

        return run

    large = usual_jit(everything(lambda W, V: gram(f, W, g, V)))(W, V)
    exact = jax.jit(everything(lambda W, V: table(f, g, W, None, V, None)))(W, V)
    for one, other in zip(jax.tree.leaves(large), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * float(jnp.abs(other).max()))
    np.testing.assert_allclose(large[0][0], exact[0][0], rtol=0, atol=1e-15)


def test_affine_activations_with_a_constant_have_large_tables_too():
    W, V = _families()
    affine = Affine(constant=0.5, slope=-2.0)
    exactly = jax.jit(table, static_argnums=(0, 1))
    for g in (activations.relu, activations.erf, affine):
        for f, x, h, y in ((affine, W, g, V), (g, W, affine, V)):
            exact = exactly(f, h, x, None, y, None)
            np.testing.assert_allclose(gram(f, x, h, y), exact, rtol=0, atol=3e-15)


@pytest.mark.parametrize("name", ["relu", "erf"])
def test_a_table_of_a_family_with_itself_has_the_difference_quotient_for_gradient(name):
    f = ACTIVATIONS[name]
    W = _families(n=60)[0]
    # the dead neuron stays
    move = jnp.asarray(np.random.default_rng(2).normal(size=W.shape)).at[5].set(0)

    def total(step):
        moved = W + step * move
        return jnp.sum(jnp.sin(gram(f, moved, f, moved)))

    total, h = jax.jit(total), 1e-5
    slope, quotient = jax.jit(jax.grad(total))(0.0), (total(h) - total(-h)) / (2 * h)
    # worst case 2e-9: kinks of second derivatives where neurons meet
    assert slope == pytest.approx(float(quotient), rel=3e-8)


def test_a_dead_neuron_has_no_derivative_in_a_large_table():
    W, V = _families()
    for g in (activations.relu, activations.erf, activations.identity):
        total = _weighted(lambda W, V, g=g: gram(activations.relu, W, g, V), 1.0)
        by_w, by_v = usual_jit(jax.grad(total, (0, 1)))(W, V)
        np.testing.assert_array_equal(by_w[5], 0)
        assert np.all(np.isfinite(by_w))
        assert np.all(np.isfinite(by_v))


@pytest.mark.parametrize("name", ["relu", "erf"])
def test_large_tables_under_vmap_are_those_one_by_one(name):
    """One of the three families is so long that erf takes its precise correlations, the others are
    not.
    """
    f = ACTIVATIONS[name]
    families = [_families(seed) for seed in range(3)]
    families[1] = tuple(100 * family for family in families[1])
    W, V = (jnp.stack(family) for family in zip(*families, strict=True))
    both = jax.jit(jax.value_and_grad(lambda W, V: jnp.sum(gram(f, W, f, V) ** 2), (0, 1)))
    batch = jax.jit(jax.vmap(both))(W, V)
    for i in range(3):
        for one, other in zip(
            jax.tree.leaves(batch), jax.tree.leaves(both(W[i], V[i])), strict=True
        ):
            np.testing.assert_allclose(
                one[i], other, rtol=0, atol=1e-12 * float(jnp.abs(other).max())
            )


def test_float32_tables_stay_float32():
    W, V = (family.astype(jnp.float32) for family in _families())
    for f in (activations.relu, activations.erf):
        value, slope = usual_jit(jax.value_and_grad(lambda W, f=f: jnp.sum(gram(f, W, f, V))))(W)
        exact = jax.jit(
            jax.value_and_grad(
                lambda W, f=f: jnp.sum(table(f, f, W, None, V.astype(W.dtype), None))
            )
        )
        wanted = exact(W.astype(jnp.float64))
        assert value.dtype == slope.dtype == jnp.float32
        np.testing.assert_allclose(value, wanted[0], rtol=1e-5)
        np.testing.assert_allclose(
            slope, wanted[1], rtol=0, atol=1e-5 * float(jnp.abs(wanted[1]).max())
        )


# Blocks.


@pytest.mark.parametrize("name", ["relu", "erf"])
@pytest.mark.parametrize(("n", "k"), [(7, 11), (8, 12), (1, 5), (13, 1)])
def test_blocks_that_divide_or_do_not_change_nothing(name, n, k, monkeypatch):
    shape = _products.profile(ACTIVATIONS[name], ACTIVATIONS[name])
    rng = np.random.default_rng(n)
    W, V, right = (jnp.asarray(rng.normal(size=shape)) for shape in ((n, 3), (k, 3), (k, 2)))

    def everything():
        def total(W, V, right):
            whole = _products.table_by_products(shape, W, V)
            value, sizes = _products.times_by_products(shape, W, V, right)
            return jnp.sum(jnp.sin(whole)) + jnp.sum(jnp.cos(value)), (whole, value, sizes)

        run = jax.jit(jax.value_and_grad(total, (0, 1, 2), has_aux=True)).trace(W, V, right)
        along = lambda W, V, right: jax.jvp(lambda W: total(W, V, right)[0], (W,), (W[::-1],))  # noqa: E731
        return run.lower().compile()(W, V, right), jax.jit(along)(W, V, right), str(run.jaxpr)

    whole = everything()
    monkeypatch.setattr(_products, "_PAIRS", {})
    monkeypatch.setattr(_products, "_PAIRS_ELSEWHERE", 3 * k if k > 1 else 4)
    monkeypatch.setattr(_products, "_FEWEST_ROWS", 1)
    monkeypatch.setattr(_products, "_ROWS", 5)
    blocked = everything()
    assert ("scan" in blocked[2], "scan" in whole[2]) == (n > 1, False)
    for one, other in zip(jax.tree.leaves(blocked[:2]), jax.tree.leaves(whole[:2]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-14)
    (_, (table, value, sizes)), _ = whole[0]
    np.testing.assert_allclose(value, table @ right, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(sizes, jnp.abs(table) @ jnp.abs(right), rtol=1e-13)


# Risks.


def _plain_risk(student, target):
    """From exact tables, held as a whole."""
    tables = [
        table(x.activation, y.activation, x.weights, None, y.weights, None)
        for x, y in ((student, student), (student, target), (target, target))
    ]
    a, b = student.readout, target.readout
    return (
        jnp.sum(a * (tables[0] @ a))
        - 2 * jnp.sum(a * (tables[1] @ b))
        + jnp.sum(b * (tables[2] @ b))
    )


@pytest.mark.parametrize(
    ("f", "g", "outputs"), [("relu", "relu", None), ("erf", "erf", 2), ("relu", "erf", None)]
)
def test_a_large_risk_has_the_value_gradient_and_curvature_of_exact_tables(f, g, outputs):
    """Blocks of 256 rows are left over here; worst cases 3e-15 of the second moment, 2e-15 of the
    gradient.
    """
    student = network(1, 20, 30, ACTIVATIONS[f], outputs, scale=0.2)
    target = network(2, 600, 30, ACTIVATIONS[g], outputs, scale=0.2)
    weights = (
        student.weights.at[0].set(target.weights[0]).at[1].set(-target.weights[1]).at[2].set(0)
    )
    student = jc.TwoLayer(weights, student.readout, activation=student.activation)
    direction = jax.tree.map(jnp.cos, student)

    def run(risk):
        gradient = jax.grad(risk)
        product = lambda s, t: jax.jvp(lambda s: gradient(s, t), (s,), (direction,))[1]  # noqa: E731
        return jax.jit(lambda s, t: (risk(s, t), gradient(s, t), product(s, t)))(student, target)

    for one, other in zip(
        *(jax.tree.leaves(run(risk)) for risk in (jc.population_risk, _plain_risk)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * float(jnp.abs(other).max()))


@pytest.mark.parametrize("name", ["relu", "erf"])
def test_a_gradient_against_a_wide_target_holds_neither_its_own_table_nor_theirs(name):
    """The target's own table would be 80 GB, the student's table with it 51 MB."""

    def wide(width):
        return jc.TwoLayer(jnp.ones((width, 16)), jnp.ones(width), activation=ACTIVATIONS[name])

    gradient = jax.jit(
        lambda student, target: jax.grad(jc.population_risk)(student, target).weights
    )
    memory = gradient.lower(wide(64), wide(100_000)).compile().memory_analysis()
    # measured: 16 MB (ReLU) and 9 MB (erf), in eight and four blocks
    assert memory.temp_size_in_bytes < 100_000 * 64 * 8 / 2


def test_a_table_times_a_matrix_is_their_product_also_with_means():
    W, V = (family[:5] for family in _families(d=3))
    mean, right = (
        jnp.asarray([0.1, -0.2, 0.0, 1.0, 0.3]),
        jnp.asarray(np.random.default_rng(1).normal(size=(5, 2))),
    )
    f, g = activations.relu, activations.identity

    @jax.jit
    def both(W, mean, V, right):
        return table(f, g, W, mean, V, None), table_times(f, g, W, mean, V, None, right)

    entries, (value, sizes) = jax.tree.map(np.asarray, both(W, mean, V, right))
    np.testing.assert_allclose(value, entries @ right, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(sizes, np.abs(entries) @ np.abs(right), rtol=1e-14)
