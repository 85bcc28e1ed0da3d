"""The feasible set and optimality on it: projections against independent solvers, multipliers, the
bound.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import jaxcompress as jc
from jaxcompress import narrow

A = jc.activations
CASES = 1000


def nearest(point, normals, offsets):
    """The nearest point of `{x: normals x ≥ offsets}` by least distance programming (Lawson &
    Hanson; SciPy NNLS).
    """
    shifted = offsets - normals @ point
    stacked = np.vstack([normals.T, shifted[None]])
    goal = np.append(np.zeros(len(point)), 1.0)
    dual, _ = scipy.optimize.nnls(stacked, goal)
    r = stacked @ dual - goal
    return point - r[:-1] / r[-1]


def nearest_in_ball(point, centre, radius):
    """The nearest point of a ball, by a search for the multiplier of its constraint."""
    gap = lambda t: np.linalg.norm(point - centre) / (1 + t) - radius  # noqa: E731
    t = 0.0 if gap(0.0) <= 0 else scipy.optimize.brentq(gap, 0, 1e6, xtol=1e-15, rtol=9e-16)
    return (point + t * centre) / (1 + t)


@pytest.fixture(scope="module")
def cases():
    """A thousand sets of four neurons in two dimensions about random centres, two points near each,
    and projections.
    """
    rng = np.random.default_rng(11)
    starts = jc.TwoLayer(
        rng.normal(size=(CASES, 4, 2)), rng.normal(size=(CASES, 4)), activation=A.tanh
    )
    floors, gaps = rng.exponential(0.5, CASES), rng.exponential(0.5, CASES)
    gaps[::5], floors[::7], gaps[1::10] = 0.0, 0.0, np.inf
    feasible = narrow.FeasibleSet.of(starts, rng.exponential(2.0, CASES) + 1e-3, floors, gaps)

    def points():
        moved = starts.weights + rng.normal(size=(CASES, 4, 2))
        return jc.TwoLayer(moved, 2 * rng.normal(size=(CASES, 4)), activation=A.tanh)

    project = jax.jit(jax.vmap(lambda s, network: s.project(network)))
    one, two = points(), points()
    return feasible, one, two, project(feasible, one), project(feasible, two), project


def flat(network):
    """One row a network."""
    return np.hstack([np.asarray(network.weights).reshape(CASES, -1), np.asarray(network.readout)])


def test_the_projection_is_the_nearest_point_of_an_independent_solver(cases):
    feasible, points, _, projected, _, _ = cases
    worst = 0.0
    for i in range(CASES):
        centre, radius = np.asarray(feasible.center[i]).ravel(), float(feasible.radius[i])
        weights = nearest_in_ball(np.asarray(points.weights[i]).ravel(), centre, radius)
        worst = max(worst, np.max(np.abs(weights - np.asarray(projected.weights[i]).ravel())))
        kappa, zeta, v = (
            float(feasible.floor[i]),
            float(feasible.gap[i]),
            np.asarray(points.readout[i]),
        )
        for j, s in enumerate(np.asarray(feasible.signs[i])):
            # in the pair (v_j, v_{j+h}): s v_j ≥ κ, −s v_{j+h} ≥ κ, |s v_j + s v_{j+h}| ≤ ζ
            normals, offsets = [[s, 0], [0, -s]], [kappa, kappa]
            if np.isfinite(zeta):
                normals, offsets = [*normals, [s, s], [-s, -s]], [*offsets, -zeta, -zeta]
            wanted = nearest(v[[j, j + 2]], np.array(normals, float), np.array(offsets))
            worst = max(
                worst, np.max(np.abs(wanted - np.asarray(projected.readout[i])[[j, j + 2]]))
            )
    assert worst < 1e-10  # 1e-13 measured


def test_the_projection_is_idempotent_and_does_not_expand(cases):
    feasible, one, two, first, second, project = cases
    np.testing.assert_array_equal(flat(project(feasible, first)), flat(first))
    before, after = (
        np.linalg.norm(flat(one) - flat(two), axis=1),
        np.linalg.norm(flat(first) - flat(second), axis=1),
    )
    assert np.max(after / before) <= 1 + 1e-12
    assert np.min(after / before) < 0.5  # they do contract
    violations = jax.vmap(lambda s, network: s.violation(network))(feasible, first)
    assert np.max(violations) < 4e-15
    assert np.all(jax.vmap(lambda s, network: s.contains(network))(feasible, first))
    outside = jax.vmap(lambda s, network: s.contains(network))(feasible, one)
    assert 0 < np.sum(outside) < CASES / 10


@pytest.mark.parametrize(
    ("pair", "wanted"),
    [((0.3, 0.9), (0.55, 0.65)), ((2.0, 0.1), (1.1, 1.0)), ((-1.0, -2.0), (0.5, 0.5))],
)
def test_pairs_are_projected_as_on_the_reference_page(pair, wanted):
    start = narrow.mirrored(np.ones((1, 2)), np.ones(1), A.tanh)
    feasible = narrow.FeasibleSet.of(start, floor=0.5, gap=0.1)
    out = feasible.project(
        jc.TwoLayer(start.weights, jnp.array([pair[0], -pair[1]]), activation=A.tanh)
    )
    np.testing.assert_allclose(out.readout, [wanted[0], -wanted[1]], atol=1e-15)


def test_a_set_without_constraints_returns_every_network_bit_by_bit():
    rng = np.random.default_rng(0)
    start = jc.TwoLayer(rng.normal(size=(6, 3)), rng.normal(size=(6, 2)), activation=A.tanh)
    other = jc.TwoLayer(1e3 * rng.normal(size=(6, 3)), rng.normal(size=(6, 2)), activation=A.tanh)
    out = narrow.FeasibleSet.of(start, free_signs=True).project(other)
    np.testing.assert_array_equal(out.weights, other.weights)
    np.testing.assert_array_equal(out.readout, other.readout)


def small(seed=0, n=6, d=4, m=4):
    """A mirrored start with readouts of size one, and samples."""
    rng = np.random.default_rng(seed)
    samples = jc.Samples(rng.normal(size=(n, d)), rng.normal(size=n))
    return narrow.mirrored_lecun(jax.random.key(seed), m, d, activation=A.tanh, floor=1.0), samples


def broken():
    """A network with NaN that was not built as such."""
    start = small()[0]
    return eqx.tree_at(lambda s: s.readout, start, start.readout.at[3].set(jnp.nan))


def several():
    """Two starts."""
    return narrow.mirrored_lecun(jax.random.key(0), 4, 4, activation=A.tanh, runs=2)


def made_stationary(sign=1.0):
    """A point with the ball, floors and gaps active, and targets for which given multipliers
    balance the gradient.

    `Jᵀ r/n = g` can be solved for the residuals `r`, for there are more samples (40) than
    parameters (32).
    """
    rng = np.random.default_rng(2)
    x, w0 = rng.normal(size=(40, 3)), np.vstack([rng.normal(size=(4, 3))] * 2)
    out = rng.normal(size=(8, 3))
    out *= 0.6 / np.linalg.norm(out)
    # pairs (a, b): inside; a at the floor; b at the floor and the gap; the gap alone, the other way
    # round
    a, b = np.array([1.3, 1.0, 1.2, 1.4]), np.array([1.4, 1.1, 1.0, 1.6])
    w, v = w0 + out, np.concatenate([a, -b])
    ball, floor_a, floor_b, gap = (
        0.7,
        np.array([0, 0.3, 0, 0]),
        np.array([0, 0, 0.2, 0]),
        np.array([0, 0, 0.4, -0.25]),
    )
    by_w = -sign * ball * out / 0.6
    by_a, by_b = sign * (floor_a - gap), sign * (floor_b + gap)
    h = np.tanh(x @ w.T)
    slopes = (((1 - h**2) * v)[:, :, None] * x[:, None]).reshape(40, -1)
    j = np.hstack([slopes, h])
    wanted = np.concatenate([by_w.ravel(), by_a, -by_b])
    r = 40 * np.linalg.lstsq(j.T, wanted, rcond=None)[0]
    start = jc.TwoLayer(w0, np.concatenate([np.ones(4), -np.ones(4)]), activation=A.tanh)
    feasible = narrow.FeasibleSet.of(start, 0.6, 1.0, 0.2)
    known = {"ball": ball, "floor_a": floor_a, "floor_b": floor_b, "gap": gap}
    return jc.TwoLayer(w, v, activation=A.tanh), jc.Samples(x, h @ v - r), feasible, known


def test_where_given_multipliers_balance_the_gradient_the_residual_vanishes_and_they_are_found():
    point, samples, feasible, known = made_stationary()
    assert feasible.contains(point)
    assert narrow.kkt_residual(point, samples, feasible) < 1e-12
    assert narrow.scaled_kkt_residual(point, samples, feasible) < 1e-12
    assert narrow.kkt_residual(point, samples) > 0.5  # the gradient itself is not small
    found = narrow.multipliers(point, samples, feasible)
    assert found.stationarity < 1e-12
    for name, value in known.items():
        np.testing.assert_allclose(getattr(found, name), value, atol=1e-12)
    assert bool(found.ball_active)
    np.testing.assert_array_equal(found.floor_a_active, [False, True, False, False])
    np.testing.assert_array_equal(found.floor_b_active, [False, False, True, False])
    np.testing.assert_array_equal(found.gap_active, [False, False, True, True])


def test_multipliers_of_the_wrong_sign_make_no_kkt_point():
    point, samples, feasible, _ = made_stationary(sign=-1.0)
    assert narrow.kkt_residual(point, samples, feasible) > 0.1
    assert narrow.multipliers(point, samples, feasible).stationarity > 0.1


def test_without_a_ball_the_minimum_that_scipy_finds_has_no_residual():
    start, samples = small(n=12)
    feasible = narrow.FeasibleSet.of(start, np.inf, 1.3, 0.4)
    x, y = np.asarray(samples.inputs), np.asarray(samples.targets)

    def value(vector):
        w, v = vector[:16].reshape(4, 4), vector[16:]
        h = np.tanh(x @ w.T)
        r = h @ v - y
        return r @ r / 24, np.concatenate(
            [(((r[:, None] * (1 - h**2)) * v).T @ x / 12).ravel(), h.T @ r / 12]
        )

    rows = [
        {"type": "ineq", "fun": lambda p, s=s, j=j: s * p[16 + j] - 1.3}
        for j, s in enumerate((1, 1, -1, -1))
    ]
    pairs = [(j, s) for j in (0, 1) for s in (1, -1)]
    rows += [
        {"type": "ineq", "fun": lambda p, s=s, j=j: 0.4 - s * (p[16 + j] + p[18 + j])}
        for j, s in pairs
    ]
    begin = np.concatenate(
        [np.asarray(start.weights).ravel(), np.asarray(feasible.project(start).readout)]
    )
    options = {"ftol": 1e-16, "maxiter": 1000}
    found = scipy.optimize.minimize(
        value, begin, jac=True, constraints=rows, method="SLSQP", options=options
    )
    end = feasible.project(jc.TwoLayer(found.x[:16].reshape(4, 4), found.x[16:], activation=A.tanh))
    assert narrow.kkt_residual(end, samples, feasible) < 2e-6
    assert narrow.kkt_residual(feasible.project(start), samples, feasible) > 1e-2


def test_the_scaled_residual_is_the_plain_one_of_the_scaled_problem():
    start, samples = small()
    radius, floor, gap = 0.05, 1.0, 0.3
    feasible = narrow.FeasibleSet.of(start, radius, floor, gap)
    rng = np.random.default_rng(3)
    moved = (
        start.weights + 0.02 * rng.normal(size=(4, 4)),
        start.readout + 0.3 * rng.normal(size=4),
    )
    point = feasible.project(jc.TwoLayer(*moved, activation=A.tanh))
    gradient = jax.grad(narrow.half_risk)(point, samples)
    # W̃ = (W − W0)/ε, ṽ = εv: a set about zero of radius one, floor εκ, gap εζ
    zero = jc.TwoLayer(jnp.zeros_like(start.weights), radius * start.readout, activation=A.tanh)
    scaled = narrow.FeasibleSet.of(zero, 1.0, radius * floor, radius * gap)
    here = jc.TwoLayer(
        (point.weights - start.weights) / radius, radius * point.readout, activation=A.tanh
    )
    there = scaled.project(
        jc.TwoLayer(
            here.weights - radius * gradient.weights,
            here.readout - gradient.readout / radius,
            activation=A.tanh,
        )
    )
    wanted = np.sqrt(
        np.sum((here.weights - there.weights) ** 2) + np.sum((here.readout - there.readout) ** 2)
    )
    assert float(narrow.scaled_kkt_residual(point, samples, feasible)) == pytest.approx(
        wanted, rel=1e-12
    )


def test_the_optimality_bound_holds_at_a_thousand_random_points():
    rng = np.random.default_rng(5)
    samples = jc.Samples(rng.normal(size=(6, 4)), rng.normal(size=6))
    sizes = rng.exponential(1.0, (CASES, 1))
    points = jc.TwoLayer(
        sizes[:, :, None] * rng.normal(size=(CASES, 4, 4)),
        rng.normal(size=(CASES, 4)),
        activation=A.softplus,
    )
    bound, loss = jax.jit(
        jax.vmap(lambda p: (narrow.optimality_bound(p, samples), narrow.half_risk(p, samples)))
    )(points)
    ratio = np.asarray(bound) / np.asarray(loss)
    assert np.min(ratio) >= 1
    x, y = np.asarray(samples.inputs), np.asarray(samples.targets)
    w, v = np.asarray(points.weights[0]), np.asarray(points.readout[0])
    slopes = 1 / (1 + np.exp(-x @ w.T))
    r = np.logaddexp(0, x @ w.T) @ v - y
    by_w = ((r[:, None] * slopes) * v).T @ x / 6
    least = np.linalg.svd((slopes[:, :, None] * x[:, None]).reshape(6, -1), compute_uv=False)[-1]
    assert float(bound[0]) == pytest.approx(
        3 * np.sum((by_w / v[:, None]) ** 2) / least**2, rel=1e-9
    )
    # of one sample the singular value is the norm, and the bound is the loss
    single = jc.Samples(x[:1], y[:1])
    one = jax.tree.map(lambda leaf: leaf[0], points)
    assert float(narrow.optimality_bound(one, single)) == pytest.approx(
        float(narrow.half_risk(one, single)), rel=1e-12
    )


def test_the_bound_leaves_out_silent_neurons_and_is_infinite_where_nothing_is_known():
    start, samples = small()
    silent = jc.TwoLayer(start.weights, start.readout.at[0].set(0.0), activation=A.tanh)
    alone = jc.TwoLayer(start.weights[1:], start.readout[1:], activation=A.tanh)
    assert float(narrow.optimality_bound(silent, samples)) == pytest.approx(
        float(narrow.optimality_bound(alone, samples)), rel=1e-9
    )
    none = jc.TwoLayer(start.weights, jnp.zeros(4), activation=A.tanh)
    assert narrow.optimality_bound(none, samples) == np.inf


@pytest.mark.parametrize("silent", ["duplicate rows", "a row of zeros"])
def test_the_bound_is_infinite_where_features_have_no_full_rank_up_to_rounding(silent):
    """Targets off by what no gradient sees: a tiny singular value would have made the bound smaller
    than the loss.
    """
    rng = np.random.default_rng(3)
    x, net = (
        rng.normal(size=(6, 4)),
        jc.TwoLayer(rng.normal(size=(4, 4)), rng.normal(size=4), activation=A.softplus),
    )
    x[1] = x[0] if silent == "duplicate rows" else 0
    y = np.array(net(jnp.asarray(x)))
    y[:2] += (1, -1) if silent == "duplicate rows" else (0, 1)
    samples = jc.Samples(x, y)
    assert narrow.smallest_singular_value(narrow.features(A.softplus, net.weights, x)) == 0
    assert narrow.optimality_bound(net, samples) == np.inf
    assert narrow.half_risk(net, samples) > 0.05


@pytest.mark.parametrize("size", [1e-150, 1e-290, 1e-307])
def test_the_bound_does_not_depend_on_how_small_readouts_are(size):
    start, samples = small()
    tiny = jc.TwoLayer(start.weights, size * start.readout, activation=A.tanh)
    r = -np.asarray(samples.targets)  # the function is zero to 1e-150
    k = np.asarray(narrow.features(A.tanh, start.weights, samples.inputs))
    wanted = np.sum((k.T @ r) ** 2) / 12 / np.linalg.svd(k, compute_uv=False)[5] ** 2
    assert float(narrow.optimality_bound(tiny, samples)) == pytest.approx(wanted, rel=1e-9)
    assert narrow.optimality_bound(tiny, samples) >= narrow.half_risk(tiny, samples)


def test_a_readout_of_zero_is_a_kkt_point_of_positive_loss_and_no_set_that_holds_it_is_certified():
    start, samples = small()
    feasible = narrow.FeasibleSet.of(start, 0.01, 0.0, 0.0)
    dead = jc.TwoLayer(start.weights, jnp.zeros(4), activation=A.tanh)
    assert feasible.contains(dead)
    assert narrow.kkt_residual(dead, samples, feasible) < 1e-12
    assert narrow.half_risk(dead, samples) > 0.1
    assert narrow.certified_radius(start, samples, floor=0.0, gap=0.0) == 0
    assert not narrow.is_certified(feasible, samples, A.tanh)


@pytest.mark.parametrize(("dtype", "far"), [("float32", 1e21), ("float64", 1e160)])
def test_a_point_whose_square_overflows_is_projected_onto_the_ball(dtype, far):
    start = jax.tree.map(lambda leaf: leaf.astype(dtype), small()[0])
    feasible = narrow.FeasibleSet.of(start, 0.5, 1.0, 0.1)
    out = jc.TwoLayer(
        start.weights.at[0, 0].add(far).at[2, 1].add(far), start.readout * far, activation=A.tanh
    )
    near = feasible.project(out)
    moved = np.asarray(near.weights, float) - np.asarray(start.weights, float)
    wanted = np.zeros((4, 4))
    wanted[0, 0] = wanted[2, 1] = 0.5 / 2**0.5
    np.testing.assert_allclose(moved, wanted, atol=8 * np.finfo(dtype).eps)
    assert feasible.contains(near)
    assert np.isfinite(feasible.violation(out))
    assert feasible.violation(out) > far


@pytest.mark.parametrize("gap", [0.0, 0.5, 2.0])
def test_points_made_stationary_in_the_weights_on_a_certified_ball_are_never_so_in_the_readouts(
    gap,
):
    """For residuals `r` and readouts at corners of their polygons, `D = −ε v Kᵀr/‖v Kᵀr‖` meets the
    ball's condition.

    Targets `f − r` make it a point with loss, and the certificate says that it is no KKT point:
    some pair still gains by raising both of its readouts. The least gain of these, over `‖r‖`, is
    3.9e-3; the theory's factor is not sharp.
    """
    start, samples = small()
    radius = 0.99 * float(narrow.certified_radius(start, samples, floor=1.0, gap=gap))
    feasible = narrow.FeasibleSet.of(start, radius, 1.0, gap)
    rng, x, w0 = np.random.default_rng(1), np.asarray(samples.inputs), np.asarray(start.weights)
    corners = np.array([(1, 1), (1, 1 + gap), (1 + gap, 1), (5, 5 + gap)])
    for i in range(60):
        pairs, r, out = corners[rng.integers(4, size=2)], rng.normal(size=6), np.zeros((4, 4))
        v = np.concatenate([pairs[:, 0], -pairs[:, 1]])
        r /= np.linalg.norm(r)
        for _ in range(60):  # a contraction, to 1e-17
            u = ((1 - np.tanh(x @ (w0 + out).T) ** 2) * r[:, None] * v).T @ x
            out = 0.5 * out - 0.5 * radius * u / np.linalg.norm(u)
        by_v = np.tanh(x @ (w0 + out).T).T @ r
        gain = np.max(by_v[2:] - by_v[:2])
        assert gain > 3e-3
        if i % 20 == 0:
            point = jc.TwoLayer(w0 + out, v, activation=A.tanh)
            data = jc.Samples(x, np.tanh(x @ (w0 + out).T) @ v - r)
            found = narrow.multipliers(point, data, feasible)
            assert found.ball > 0
            assert found.stationarity > 0.1 * gain / 6
            assert narrow.kkt_residual(point, data, feasible) > 0.1 * gain / 6


def test_the_certified_radius_falls_with_the_gap_and_is_zero_where_readouts_may_vanish():
    start, samples = small()
    radii = [
        float(narrow.certified_radius(start, samples, floor=1.0, gap=g))
        for g in (0.0, 0.5, 2.0, np.inf)
    ]
    np.testing.assert_allclose(
        np.array(radii[:3]) / radii[0], [1, 1.5 / 1.75, 1.5 / 2.5], rtol=1e-12
    )
    assert radii[3] == 0
    assert narrow.certified_radius(start, samples, floor=0.0, gap=0.1) == 0
    for share, known in ((0.99, True), (1.01, False)):
        feasible = narrow.FeasibleSet.of(start, share * radii[1], 1.0, 0.5)
        assert bool(narrow.is_certified(feasible, samples, A.tanh)) is known


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"radius": 0.0}, "radius=0.0"),
        ({"radius": -1.0}, "radius=-1.0"),
        ({"radius": np.nan}, "radius=nan"),
        ({"floor": -0.1}, "floor=-0.1"),
        ({"floor": np.nan}, "floor=nan"),
        ({"gap": -0.1}, "gap=-0.1"),
        ({"gap": np.nan}, "gap=nan"),
        ({"floor": 1.0, "free_signs": True}, "free_signs=True"),
        ({"radius": 1e-14}, "rounding moves them"),
    ],
)
def test_a_set_of_impossible_numbers_is_refused_in_one_line(arguments, says):
    with pytest.raises(ValueError, match=says) as caught:
        narrow.FeasibleSet.of(small()[0], **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda s: narrow.FeasibleSet.of(jc.TwoLayer(np.ones((3, 2)), np.ones(3))),
            "given 3 neurons",
        ),
        (
            lambda s: narrow.FeasibleSet.of(jc.TwoLayer(np.ones((2, 2)), np.ones(2), np.ones(2))),
            "biases",
        ),
        (lambda s: s.project(small(m=6)[0]), r"weights \(6, 4\)"),
        (lambda s: s.violation(small(d=5)[0]), r"weights \(4, 5\)"),
        (
            lambda s: s.contains(jc.TwoLayer(np.ones((4, 4)), np.ones((4, 2)), activation=A.tanh)),
            r"readout \(4, 2\)",
        ),
        (lambda s: narrow.kkt_residual(small()[0], small(d=3)[1], s), "input dimension 4"),
        (lambda s: narrow.scaled_kkt_residual(*small(), s), "infinite radius"),
        (lambda s: narrow.multipliers(small(m=6)[0], small()[1], s), r"weights \(6, 4\)"),
        (
            lambda s: narrow.optimality_bound(
                jc.TwoLayer(np.ones((4, 4)), np.ones((4, 2)), activation=A.tanh),
                jc.Samples(np.ones((3, 4)), np.ones((3, 2))),
            ),
            "one scalar output",
        ),
        (
            lambda s: narrow.is_certified(
                narrow.FeasibleSet.of(small()[0], free_signs=True), small()[1], A.tanh
            ),
            "free",
        ),
        (
            lambda s: narrow.is_certified(narrow.FeasibleSet.of(several()), small()[1], A.tanh),
            "jax.vmap for leading",
        ),
        (lambda s: narrow.FeasibleSet.of(broken()), "NaN"),
        (lambda s: s.project(broken()), "NaN"),
        (lambda s: s.violation(broken()), "NaN"),
        (lambda s: narrow.kkt_residual(broken(), small()[1]), "NaN"),
        (lambda s: narrow.kkt_residual(broken(), small()[1], s), "NaN"),
        (
            lambda s: narrow.scaled_kkt_residual(
                broken(), small()[1], narrow.FeasibleSet.of(small()[0], 1.0)
            ),
            "NaN",
        ),
        (lambda s: narrow.multipliers(broken(), small()[1], s), "NaN"),
    ],
)
def test_what_does_not_fit_the_set_is_refused_in_one_line(call, says):
    feasible = narrow.FeasibleSet.of(small()[0], floor=0.5)
    with pytest.raises(ValueError, match=says) as caught:
        call(feasible)
    assert "\n" not in str(caught.value)
