"""The tight frames: every phase is a critical point, no search finds a lower one, and the phases
meet where they say.

The oracle writes the simplified risk with `arccos` in the neurons' weights, and differentiates it
by hand; it is itself held against mpmath. Searches are SciPy's, from random starts with readouts of
either sign.
"""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from mpmath import mp, mpf

import jaxcompress as jc
from jaxcompress.theory import (
    FramePhase,
    frame_risks,
    pair_threshold,
    predict_frame,
    simplex_frame,
    tight_frame,
)

TURN = 2 * np.pi
# (M, d, ‖t‖) at S = 1, one or more in every phase.
CASES = {
    "isotropic": [(1, 1, 0.0), (2, 1, 0.0), (4, 6, 0.0), (5, 4, 0.0)],
    "tilted": [(1, 1, 0.7), (2, 2, 1e-9), (2, 2, 0.9), (4, 6, 0.5)],
    "split": [(3, 2, 0.3), (3, 2, 0.5), (5, 4, 0.45)],
    "pair": [(2, 1, 0.2), (2, 2, 1.1), (4, 6, 1.5), (5, 4, 0.6)],
}
EVERY = [(name, *case) for name, cases in CASES.items() for case in cases]


def simplified(W, a, S, t):
    """The simplified risk less its constant, and its gradients by weights and readout, one formula
    a line.
    """
    r = np.linalg.norm(W, axis=1)
    U = W / np.where(r > 0, r, 1)[:, None]
    cosines = np.clip(U @ U.T, -1, 1)
    angles = np.arccos(cosines)
    np.fill_diagonal(angles, 0)
    h = (np.sin(angles) + (np.pi - angles) * cosines) / TURN
    np.fill_diagonal(h, 0.5)
    mass = a * r
    reward = S / TURN + U @ t / 4
    by_mass = 2 * (h @ mass - reward)
    across = np.where(np.eye(len(a)) == 1, 0, (np.pi - angles) / TURN)
    by_direction = 2 * mass[:, None] * (across @ (mass[:, None] * U)) - mass[:, None] * t / 2
    by_direction -= np.sum(by_direction * U, 1, keepdims=True) * U
    by_weights = (by_mass * a)[:, None] * U + by_direction / np.where(r > 0, r, 1)[:, None]
    return mass @ h @ mass - 2 * mass @ reward, by_weights, by_mass * r


def searched(S, t, width, starts=16, seed=0):
    """The lowest risk of SciPy's descents over weights and readouts."""
    rng, d = np.random.default_rng(seed), len(t)

    def packed(x):
        risk, by_weights, by_readout = simplified(
            x[: width * d].reshape(width, d), x[width * d :], S, t
        )
        return risk, np.concatenate([by_weights.ravel(), by_readout])

    risks = []
    for start in range(starts):
        readout = np.abs(rng.normal(size=width)) * np.where(
            rng.random(width) < 0.25 * (start % 3), -1, 1
        )
        x = np.concatenate([rng.normal(size=width * d), readout])
        options = {"maxiter": 2000, "ftol": 1e-14, "gtol": 1e-9, "maxcor": 20}
        risks.append(
            scipy.optimize.minimize(packed, x, jac=True, method="L-BFGS-B", options=options).fun
        )
    return min(risks)


def direction(dim, norm, seed=0):
    """A vector of this norm, not along an axis."""
    v = np.random.default_rng(seed).normal(size=dim)
    return norm * v / np.linalg.norm(v)


@functools.cache
def predicted(width, dim, norm):
    return predict_frame(
        jc.relu_moments(jnp.asarray(1.0), jnp.asarray(direction(dim, norm))), width, dim
    )


def parts(network):
    """Unit directions and signed masses, and the sum of their products."""
    W, a = np.asarray(network.weights), np.asarray(network.readout)
    r = np.linalg.norm(W, axis=1)
    return W / r[:, None], a * r, a @ W


@pytest.mark.parametrize(("m", "d"), [(1, 1), (1, 3), (2, 1), (2, 4), (4, 3), (5, 9), (40, 39)])
def test_a_simplex_frame_has_unit_rows_of_equal_inner_products_and_no_sum(m, d):
    frame = np.asarray(simplex_frame(m, d))
    assert frame.shape == (m, d)
    expected = np.full((m, m), -1 / max(m - 1, 1))
    np.fill_diagonal(expected, 1)
    np.testing.assert_allclose(frame @ frame.T, expected, atol=1e-15)
    if m > 1:
        np.testing.assert_allclose(frame.sum(0), 0, atol=1e-14)
    assert simplex_frame(m, d, dtype=jnp.float32).dtype == jnp.float32


def test_the_oracle_is_the_risk_and_its_gradient_by_finite_differences_in_mpmath():
    rng = np.random.default_rng(3)
    W, a, S, t = rng.normal(size=(3, 2)), np.array([0.7, -0.4, 1.1]), 1.3, np.array([0.2, -0.5])
    risk, by_weights, by_readout = simplified(W, a, S, t)

    def exact(x):
        rows, readout = [x[0:2], x[2:4], x[4:6]], x[6:9]
        norms = [mp.sqrt(u * u + v * v) for u, v in rows]
        total = mpf(0)
        for i in range(3):
            reward = (
                norms[i] * mpf(S) / (2 * mp.pi)
                + (rows[i][0] * mpf(t[0]) + rows[i][1] * mpf(t[1])) / 4
            )
            total -= 2 * readout[i] * reward
            for j in range(3):
                scale = norms[i] * norms[j]
                angle = mp.acos(min((rows[i][0] * rows[j][0] + rows[i][1] * rows[j][1]) / scale, 1))
                mean = scale * (mp.sin(angle) + (mp.pi - angle) * mp.cos(angle)) / (2 * mp.pi)
                total += readout[i] * readout[j] * mean
        return total

    with mp.workdps(50):
        x = [mpf(float(v)) for v in (*W.ravel(), *a)]
        assert abs(float(exact(x)) - risk) < 1e-14
        step = mpf(10) ** -15
        slopes = []
        for i in range(9):
            up, down = ([v + sign * step * (j == i) for j, v in enumerate(x)] for sign in (1, -1))
            slopes.append(float((exact(up) - exact(down)) / (2 * step)))
    np.testing.assert_allclose(np.concatenate([by_weights.ravel(), by_readout]), slopes, atol=1e-13)


@pytest.mark.parametrize(
    ("norm", "risk", "digits"), [(0.0, -0.1343346, 7), (0.5, -0.20150205, 8), (1.5, -0.69621382, 8)]
)
def test_the_recorded_minima_for_four_neurons_in_six_dimensions_are_met(norm, risk, digits):
    assert round(float(predicted(4, 6, norm).risk), digits) == risk


@pytest.mark.parametrize(("phase", "width", "dim", "norm"), EVERY)
def test_the_network_is_a_critical_point_of_the_risk_that_is_said_in_the_phase_that_is_said(
    phase, width, dim, norm
):
    found = predicted(width, dim, norm)
    assert bool(found.phase == getattr(FramePhase, phase))
    assert found.message == FramePhase[getattr(FramePhase, phase)]
    assert int(found.groups.sum()) == width
    W, a = np.asarray(found.network.weights), np.asarray(found.network.readout)
    risk, by_weights, by_readout = simplified(W, a, 1.0, direction(dim, norm))
    # Worst measured: 3e-16 and 2e-16; near a = −1 and 1 the oracle's arccos is right to 1e-8 and
    # its square counts.
    assert abs(risk - float(found.risk)) < 1e-14
    assert max(np.abs(by_weights).max(), np.abs(by_readout).max()) < 1e-10
    np.testing.assert_allclose(np.linalg.norm(W, axis=1), np.abs(a), atol=1e-15)


@pytest.mark.parametrize(("phase", "width", "dim", "norm"), EVERY)
def test_the_room_risk_finds_the_same_risk_and_no_gradient(phase, width, dim, norm):
    moments = jc.relu_moments(jnp.asarray(1.0), jnp.asarray(direction(dim, norm)))
    found = predicted(width, dim, norm)
    risk, slope = jax.value_and_grad(jc.simplified_risk)(found.network, moments)
    assert abs(float(risk - moments.second_moment - found.risk)) < 1e-14
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(slope)) < 1e-14


@pytest.mark.parametrize(
    ("width", "dim", "norm"),
    [
        *[
            (1, 1, 0.8),
            (2, 1, 0.4),
            (2, 2, 0.3),
            (2, 2, 0.99),
            (2, 2, 1.01),
            (3, 3, 0.0),
            (3, 3, 0.78),
            (3, 3, 0.83),
        ],
        *[(4, 6, 0.2), (4, 6, 0.69), (4, 6, 0.71), (4, 6, 3.0), (5, 5, 0.62), (5, 5, 0.63)],
        *[(3, 2, 0.42), (3, 2, 0.45), (3, 2, 0.61), (3, 2, 0.66), (5, 4, 0.2), (5, 4, 0.5)],
    ],
)
def test_no_search_over_weights_ends_lower_and_one_ends_there(width, dim, norm):
    lowest = searched(1.0, direction(dim, norm), width)
    assert abs(lowest - float(predicted(width, dim, norm).risk)) < 1e-9


@pytest.mark.parametrize(("width", "dim", "norm"), [(2, 2, 0.3), (4, 6, 0.5)])
def test_the_tilt_solves_its_equation_to_rounding(width, dim, norm):
    with mp.workdps(40):
        T, M = mpf(norm), mpf(width)

        def risk(x):
            c = (M * x * x - 1) / (M - 1)
            mean = (mp.sqrt(1 - c * c) + c * (mp.pi - mp.acos(c))) / (2 * mp.pi)
            return -M * (1 / (2 * mp.pi) + x * T / 4) ** 2 / (mpf(1) / 2 + (M - 1) * mean)

        x = mp.findroot(lambda x: mp.diff(risk, x), (0.3, 0.5))
        exact_risk, exact_x = float(risk(x)), float(x)
    found = predicted(width, dim, norm)
    directions, masses, _ = parts(found.network)
    assert abs(float(found.risk) - exact_risk) < 1e-15
    np.testing.assert_allclose(directions @ direction(dim, 1.0), exact_x, rtol=1e-14)
    np.testing.assert_allclose(masses, masses[0], rtol=1e-14)


@pytest.mark.parametrize(("width", "dim", "norm"), CASES["pair"])
def test_the_pair_carries_the_linear_part_exactly_on_orthonormal_lines_of_equal_even_mass(
    width, dim, norm
):
    directions, masses, total = parts(predicted(width, dim, norm).network)
    np.testing.assert_allclose(total, direction(dim, norm), atol=1e-15)
    np.testing.assert_allclose(directions[1], -directions[0], atol=1e-15)
    lines, even = directions[np.r_[0, 2:width]], np.r_[masses[:2].sum(), masses[2:]]
    np.testing.assert_allclose(lines @ lines.T, np.eye(width - 1), atol=1e-15)
    np.testing.assert_allclose(even, even[0], atol=1e-15)


def test_a_tilted_frame_is_orthonormal_and_exact_at_one_norm():
    width = 5
    mass = (2 / np.pi) / (1 + (width - 1) * 2 / np.pi)
    norm = mass * width**0.5
    directions, masses, total = parts(predicted(width, 5, norm).network)
    np.testing.assert_allclose(directions @ directions.T, np.eye(width), atol=1e-14)
    np.testing.assert_allclose(masses, mass, rtol=1e-14)
    np.testing.assert_allclose(total, direction(5, norm), atol=1e-14)


@pytest.mark.parametrize("width", [2, 5])
def test_at_the_threshold_the_tilted_frame_hands_over_to_the_pair_without_a_jump_in_the_risk(width):
    norm = float(pair_threshold(width))
    before, after = (at(width, width, 1.0, direction(width, norm + step)) for step in (-1e-9, 1e-9))
    assert bool(before.phase == FramePhase.tilted)
    assert bool(after.phase == FramePhase.pair)
    assert 0 < float(before.risk - after.risk) < 2e-9
    risks = frame_risks(jnp.ones(()), jnp.asarray(norm), width, width)
    assert abs(float(risks["tilted"] - risks["pair"])) < 1e-15


def test_the_risks_of_all_phases_stand_side_by_side_and_the_prediction_is_the_least():
    cases = [
        (3, 3, 0.5, {"tilted", "pair"}),
        (3, 3, 0.9, {"tilted", "pair"}),
        (3, 2, 0.5, {"split", "pair"}),
    ]
    for width, dim, norm, there in [*cases, (1, 1, 0.8, {"tilted"})]:
        risks = frame_risks(-jnp.ones(()), jnp.asarray(norm), width, dim)
        assert {name for name, risk in risks.items() if np.isfinite(risk)} == there
        assert abs(float(predicted(width, dim, norm).risk) - float(min(risks.values()))) < 1e-15
    nothing = frame_risks(jnp.ones(()), jnp.zeros(()), 3, 3)
    assert abs(float(nothing["isotropic"] - predicted(3, 3, 0.0).risk)) < 1e-15
    assert np.isinf(nothing["pair"])


def at(width, dim, S, t):
    return predict_frame(jc.relu_moments(jnp.asarray(S), jnp.asarray(t)), width, dim)


coordinates = st.floats(-2, 2, allow_subnormal=False).map(lambda x: round(x, 3))


@pytest.mark.parametrize(("width", "dim"), [(3, 3), (3, 2)])
@hypothesis.settings(max_examples=40, derandomize=True, deadline=None, database=None)
@hypothesis.given(
    S=coordinates,
    t=st.lists(coordinates, min_size=3, max_size=3),
    factor=st.sampled_from([-1, 1e-6, -1e3]),
)
def test_any_moments_have_a_finite_critical_network_and_scaling_them_scales_the_risk(
    width, dim, S, t, factor
):
    t = np.array(t[:dim])
    found = at(width, dim, S, t)
    W, a = np.asarray(found.network.weights), np.asarray(found.network.readout)
    risk, by_weights, by_readout = simplified(W, a, S, t)
    assert abs(risk - float(found.risk)) < 1e-13
    # The oracle's arccos: an angle of opposite neurons is right to 2e-8, times masses up to 2.
    assert max(np.abs(by_weights).max(), np.abs(by_readout).max()) < 1e-7
    other = at(width, dim, factor * S, factor * t)
    np.testing.assert_allclose(other.risk, factor**2 * found.risk, rtol=1e-12, atol=1e-300)


def test_without_an_even_part_the_pair_stands_alone_and_without_any_part_nothing_does():
    for width, dim in [(2, 1), (3, 2), (3, 3)]:
        t = direction(dim, 0.7)
        found = at(width, dim, 0.0, t)
        assert abs(float(found.risk) + 0.49 / 4) < 1e-16
        np.testing.assert_allclose(found.network.readout @ found.network.weights, t, atol=1e-15)
        assert np.count_nonzero(np.abs(found.network.readout) > 1e-12) == 2
        nothing = at(width, dim, 0.0, np.zeros(dim))
        assert all(
            np.all(np.asarray(leaf) == 0)
            for leaf in jax.tree.leaves((nothing.network, nothing.risk))
        )


@pytest.mark.parametrize(
    ("width", "dim", "norm"), [case[1:] for case in EVERY if case[1:3] in [(2, 2), (3, 2), (4, 6)]]
)
def test_the_risk_differentiates_by_the_moments_to_what_the_network_says(width, dim, norm):
    # At a minimum only the explicit dependence counts: ∂R/∂S = −Σα/π and ∂R/∂t = −Σα u/2.
    by_total, by_direction = slopes(width, dim)(1.0, jnp.asarray(direction(dim, norm)))
    _, masses, total = parts(predicted(width, dim, norm).network)
    assert abs(float(by_total) + masses.sum() / np.pi) < 1e-14
    np.testing.assert_allclose(by_direction, -total / 2, atol=1e-14)


@functools.cache
def slopes(width, dim):
    return jax.jit(jax.grad(lambda S, t: at(width, dim, S, t).risk, (0, 1)))


@pytest.mark.parametrize(("width", "dim", "norm"), [(3, 3, 0.5), (3, 2, 0.5)])
def test_the_network_differentiates_by_the_moments_as_finite_differences_do(width, dim, norm):
    t, push = direction(dim, norm), direction(dim, 1.0, seed=1)

    def products(s):
        network = at(width, dim, 1 + s, t + s * push).network
        return network.readout[:, None] * network.weights

    _, slope = jax.jvp(products, (jnp.zeros(()),), (jnp.ones(()),))
    np.testing.assert_allclose(slope, (products(1e-5) - products(-1e-5)) / 2e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("phase", "width", "dim", "norm"), [case for case in EVERY if case[2] != 4]
)
def test_float32_stays_float32_and_is_right_to_its_rounding(phase, width, dim, norm):
    exact = predicted(width, dim, norm)
    moments = jc.relu_moments(jnp.float32(1), jnp.asarray(direction(dim, norm), jnp.float32))
    found = predict_frame(moments, width, dim)
    assert {leaf.dtype for leaf in jax.tree.leaves((found.network, found.risk))} == {
        jnp.dtype("float32")
    }
    assert bool(found.phase == exact.phase)
    np.testing.assert_allclose(found.risk, exact.risk, rtol=1e-6)
    _, _, total = parts(found.network)
    _, _, exact_total = parts(exact.network)
    np.testing.assert_allclose(total, exact_total, atol=3e-6)


def test_many_moments_at_once_give_what_each_gives_alone():
    norms = [0.0, 0.3, 0.6, 0.9, 2.0]
    t = jnp.asarray(np.stack([direction(3, norm) for norm in norms]))
    many = jax.vmap(lambda t: predict_frame(jc.relu_moments(jnp.ones(()), t), 3, 3))(t)
    for i, norm in enumerate(norms):
        alone = predicted(3, 3, norm)
        assert abs(float(many.risk[i] - alone.risk)) < 1e-15
        np.testing.assert_allclose(many.network.weights[i], alone.network.weights, atol=1e-14)
    assert len(set(np.asarray(jax.tree.leaves(many.phase)[0]).tolist())) == 3


def test_tight_frame_is_the_network_of_the_prediction_and_takes_the_moments_of_a_target():
    target = jc.targets.random(
        jax.random.key(0), 50, 3, activation=jc.activations.relu, readout="constant"
    )
    moments = jc.target_moments(target)
    network = tight_frame(moments, 3, 3)
    found = predict_frame(moments, 3, 3)
    np.testing.assert_array_equal(network.weights, found.network.weights)
    np.testing.assert_allclose(
        jc.simplified_risk(network, moments), found.risk + moments.second_moment, atol=1e-14
    )


@pytest.mark.parametrize("sizes", [(0, 2), (2, 0), (4, 2)])
def test_a_simplex_frame_that_cannot_be_is_refused(sizes):
    with pytest.raises(
        ValueError, match=r"simplex_frame: given .*expected m ≥ 1, d ≥ 1 and m ≤ d \+ 1"
    ):
        simplex_frame(*sizes)


def test_what_has_no_prediction_is_refused():
    moments = jc.relu_moments(1.0, jnp.ones(3))
    for width, dim in [(0, 3), (5, 3), (2, 4)]:
        with pytest.raises(ValueError, match="tight_frame: given width"):
            tight_frame(moments, width, dim)
    two = jc.TwoLayer(jnp.ones((2, 3)), jnp.ones((2, 2)))
    for bad in (
        jc.target_moments(two),
        jc.target_moments(jc.TwoLayer(jnp.ones((2, 3)), jnp.ones(2)), order=2),
    ):
        with pytest.raises(ValueError, match="predict_frame: given moments of order"):
            predict_frame(bad, 2, 3)
    one = jnp.ones(())
    for arguments in [
        (jnp.ones(2), one, 2, 2),
        (one, one, 4, 2),
        (one, one, 0, 2),
        (jnp.ones((), int), one, 2, 2),
    ]:
        with pytest.raises(ValueError, match="frame_risks: given"):
            frame_risks(*arguments)
    with pytest.raises(ValueError, match="pair_threshold: given width 1"):
        pair_threshold(1)
