"""The short formulas of hot loops against mpmath and against the exact tables, with which they
share no formula.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp

import jaxcompress as jc
from jaxcompress.kernels.internal import centred
from jaxcompress.risk import RiskProblem
from jaxcompress.risk.internal import CentredTarget, centred_hessian, centred_risk
from jaxcompress.special import arctangent
from tests import oracles
from tests.compiling import usual_jit
from tests.problems import network

RELU, ERF, TANH = jc.activations.relu, jc.activations.erf, jc.activations.tanh
SOFTPLUS, SILU, GELU = jc.activations.softplus, jc.activations.silu, jc.activations.gelu
ACTIVATIONS = {"erf": ERF, "relu": RELU, "gelu": GELU}


# The arctangent.


def _ulps(y, x, dtype):
    """The error of `arctangent` in units of the last place of the true angle: worst cases 2.7 and,
    float32, 2.8.
    """
    y, x = (np.asarray(a, dtype) for a in (y, x))
    found = np.asarray(usual_jit(arctangent)(jnp.asarray(y), jnp.asarray(x)))
    assert found.dtype == dtype
    with mp.workdps(40):
        wanted = [mp.atan2(oracles.exact(b), oracles.exact(a)) for b, a in zip(y, x, strict=True)]
        unit = np.spacing(np.abs(np.array([float(w) for w in wanted])).astype(dtype))
        return np.array(
            [
                abs(float((oracles.exact(f) - w) / oracles.exact(u)))
                for f, w, u in zip(found, wanted, unit, strict=True)
            ]
        )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_arctangent_is_within_four_units_in_the_last_place(dtype):
    rng = np.random.default_rng(5)
    angles = np.concatenate(
        [rng.uniform(-np.pi / 2, np.pi / 2, 3000), np.pi / 4 + np.linspace(-1e-6, 1e-6, 101)]
    )
    lengths = np.exp(rng.uniform(-20, 20, angles.size))
    assert _ulps(lengths * np.sin(angles), lengths * np.cos(angles), dtype).max() <= 4


@pytest.mark.parametrize(("dtype", "far"), [(np.float64, 1e300), (np.float32, 1e37)])
def test_the_arctangent_keeps_its_digits_at_the_axes_and_at_any_ratio(dtype, far):
    sizes = np.array([0.0, 1 / far, 1e-9, 1.0, 1e9, far])
    y, x = (a.ravel() for a in np.meshgrid(np.concatenate([-sizes[1:], sizes]), sizes))
    # ratios that underflow are zero or subnormal, of which ulps mean nothing
    normal = (np.abs(y) >= x * np.finfo(dtype).tiny * 1e3) & ((x > 0) | (y != 0))
    assert _ulps(y[normal], x[normal], dtype).max() <= 4
    found = np.asarray(arctangent(jnp.asarray(y, dtype), jnp.asarray(x, dtype)))
    np.testing.assert_allclose(found, np.arctan2(y, x), rtol=1e-6, atol=1e-36)
    assert found[(y == 0) & (x == 0)] == 0


# Pairs.


@functools.cache
def _corners(name):
    """Pairs at norms where the short formulas serve, with mpmath's derivatives by `w` and `v`."""
    kept = [
        c
        for c in oracles.centred_corners()
        if "norms" not in c.name or c.name.endswith("norms 1 1")
    ]
    return [(corner, oracles.centred(name, name, corner.w, corner.v)) for corner in kept]


@pytest.mark.parametrize("name", ["erf", "relu", "gelu"])
def test_the_formulas_of_a_pair_are_those_of_mpmath_at_every_corner(name):
    """Worst cases: slopes 6e-17, second derivatives 5e-15, although `√Δ` is off by 1e-8 at an angle
    of 1e-9.
    """
    formulas = centred(ACTIVATIONS[name], ACTIVATIONS[name])
    eye = np.eye(oracles.DIM)
    for corner, oracle in _corners(name):
        w, v = corner.w, corner.v
        s, t, q = (jnp.asarray(x) for x in (w @ w, v @ v, w @ v))
        value, own, other = formulas.first(s, t, q)
        assert abs(value - oracle.value) < 2e-15, corner.name
        slope = float(own) * w + float(other) * v
        np.testing.assert_allclose(
            slope, oracle.gradient[: oracles.DIM], rtol=0, atol=1e-14, err_msg=corner.name
        )
        smooth = float(s) + formulas.smoothing
        p = v - (float(q) / smooth if smooth else 0) * w
        _, *parts = formulas.both(s, t, q, jnp.asarray(p @ p))
        blocks = (
            oracle.hessian[: oracles.DIM, : oracles.DIM],
            oracle.hessian[: oracles.DIM, oracles.DIM :],
        )
        for part, wanted in zip(parts, blocks, strict=True):
            identity, pp, pw, ww = map(float, part)
            found = (
                identity * eye
                + pp * np.outer(p, p)
                + pw * (np.outer(p, w) + np.outer(w, p))
                + ww * np.outer(w, w)
            )
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12, err_msg=corner.name)


def test_pairs_without_short_formulas_have_none():
    identity = jc.activations.identity
    without = (identity, jc.activations.abs, jc.activations.sin, TANH + 0.5 * identity)
    without += (SILU + jc.activations.monomial(0),)
    others = [(f, f) for f in without]
    for f, g in ((RELU, ERF), (ERF, RELU), (TANH, SILU), (identity, ERF), *others):
        assert centred(f, g) is None


@pytest.mark.parametrize("activation", [TANH, SOFTPLUS, SILU], ids=str)
def test_the_rough_form_is_off_by_a_millionth_and_is_taken_only_when_asked_for(activation):
    s, t, q = (jnp.asarray(x) for x in ([0.1, 1.0, 4.0], [2.0, 1.0, 9.0], [0.3, 1.0, -5.0]))
    formulas = centred(activation, activation)
    plain, exact, rough = (formulas.first(s, t, q, *how) for how in ((), (True,), (False,)))
    for a, b, c in zip(plain, exact, rough, strict=True):
        np.testing.assert_array_equal(a, b)
        assert 1e-12 < np.max(np.abs(c - a)) < 1e-5


def test_a_solve_that_flows_by_the_rough_form_ends_at_an_exact_critical_point():
    target = network(2, K, D, TANH, 1)
    starts = jc.initialize.glorot_normal(
        jax.random.key(0), N, D, activation=TANH, outputs=1, runs=4
    )
    found = jc.solve_many(starts, target)
    exactly = jc.solve_many(starts, target, rtol=9e-5)  # below what the rough form is good for
    assert np.all(found.converged & exactly.converged)
    np.testing.assert_allclose(found.risk, exactly.risk, rtol=0, atol=1e-14)
    for end in (found, exactly):
        risk, slopes = jax.vmap(jax.value_and_grad(lambda s: jc.population_risk(s, target)))(
            end.network
        )
        np.testing.assert_allclose(end.risk, risk, rtol=0, atol=1e-14)
        assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(slopes)) < 2e-10


# Risk and Hessian.

N, K, D = 3, 4, 5


def _problem(activation, outputs, change=None):
    """A random student and target; `change(student weights, target weights)` puts neurons where
    they are wanted.
    """
    student, target = (
        network(seed, size, D, activation, outputs) for seed, size in ((1, N), (2, K))
    )
    if change is None:
        return student, target
    W, V = change(student.weights, target.weights)
    return tuple(
        jc.TwoLayer(x, y.readout, activation=activation) for x, y in ((W, student), (V, target))
    )


PLACES = {
    "generic": None,
    "coincident with the target": lambda W, V: (W.at[0].set(2 * V[1]).at[1].set(V[0]), V),
    "coincident with each other": lambda W, V: (W.at[1].set(0.5 * W[0]), V),
    "opposite to the target": lambda W, V: (W.at[0].set(-V[1]), V),
    "opposite to each other": lambda W, V: (W.at[2].set(-W[0]), V),
    "one neuron at zero": lambda W, V: (W.at[1].set(0.0), V),
    "target neuron at zero": lambda W, V: (W, V.at[2].set(0.0)),
}


def _centred_target(target):
    problem = RiskProblem.of(target)
    return CentredTarget(
        problem.layers[0].weights,
        problem.layers[0].readout,
        problem.second_moment,
        problem.magnitude,
        target.activation,
    )


@functools.partial(usual_jit, static_argnames="activation")
def _short(activation, target, weights, readout):
    """The risk with its gradient, and the Hessians with the readout moving and without."""
    hessians = [
        centred_hessian(activation, target, weights, readout, move) for move in (True, False)
    ]
    return centred_risk(activation, target, weights, readout), hessians


def _by_neurons(outputs, move_readout):
    """Positions in the flattened student (all weights, then the readout) in the order neuron by
    neuron.
    """
    weights, readout = (
        np.arange(N * D).reshape(N, D),
        N * D + np.arange(N * outputs).reshape(N, outputs),
    )
    return (np.concatenate([weights, readout], axis=1) if move_readout else weights).ravel()


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("activation", [ERF, RELU, TANH, SOFTPLUS, SILU], ids=str)
def test_short_risk_and_hessian_are_the_exact_ones_with_and_without_an_axis_of_runs(
    activation, outputs
):
    students, targets = zip(
        *(_problem(activation, outputs, change) for change in PLACES.values()), strict=True
    )
    stack = lambda trees, axis: jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=axis), *trees)  # noqa: E731
    exact = jax.device_get(_exact(stack(students, 0), stack(targets, 0)))
    centred_targets = [_centred_target(target) for target in targets]
    batch, target = stack(students, -1), stack(centred_targets, -1)
    wide = jax.device_get(_short(activation, target, batch.weights, batch.readout))
    for i, name in enumerate(PLACES):
        _agree(jax.tree.map(lambda leaf: leaf[..., i], wide), exact, i, outputs, name)  # noqa: B023
        if outputs == 2:  # products of matrices instead of sums along the runs
            arrays = students[i].weights, students[i].readout
            _agree(_short(activation, centred_targets[i], *arrays), exact, i, outputs, name)


@jax.jit
@jax.vmap
def _exact(student, target):
    """Risk, its gradient by autodiff and its Hessian from the exact tables."""
    value, slopes = jax.value_and_grad(jc.population_risk)(student, target)
    return value, slopes, jc.risk_hessian(student, target)


def _agree(found, exact, i, outputs, name):
    """Short formulas, with the readout moving and without, against the exact ones: worst case
    4e-15.
    """
    (value, size, by_weights, by_readout), (both, weights_only) = found
    assert abs(value - exact[0][i]) < 1e-13, name
    assert value <= size
    assert by_readout.shape == (N, outputs)
    np.testing.assert_allclose(by_weights, exact[1].weights[i], rtol=0, atol=1e-12, err_msg=name)
    wanted = exact[1].readout[i].reshape(N, outputs)
    np.testing.assert_allclose(by_readout, wanted, rtol=0, atol=1e-12, err_msg=name)
    for hessian, move in ((both, True), (weights_only, False)):
        order = _by_neurons(outputs, move)
        wanted = np.asarray(exact[2][i])[np.ix_(order, order)]
        np.testing.assert_allclose(hessian, wanted, rtol=0, atol=1e-12, err_msg=name)


def test_short_formulas_in_float32_are_the_exact_ones_to_its_digits():
    student, target = _problem(RELU, 2, PLACES["opposite to the target"])
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (_centred_target(target), student))
    (value, _, by_weights, _), (hessian, _) = _short(
        RELU, single[0], single[1].weights, single[1].readout
    )
    order = _by_neurons(2, True)
    assert value.dtype == by_weights.dtype == hessian.dtype == jnp.float32
    wanted, _, hessians = _exact(
        *(jax.tree.map(lambda leaf: leaf[None], net) for net in (student, target))
    )
    exact = np.asarray(hessians[0])[np.ix_(order, order)]
    assert abs(value - wanted[0]) < 1e-5
    np.testing.assert_allclose(hessian, exact, rtol=0, atol=1e-5)  # 2e-7
