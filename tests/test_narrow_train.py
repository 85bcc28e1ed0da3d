"""Training: against plain loops in NumPy, feasibility of every iterate, and the end in the
certified region.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxcompress as jc
from jaxcompress import narrow
from jaxcompress.narrow._train import _uniform as uniform
from jaxcompress.risk import minibatches

A = jc.activations
RATES = [0.1, 0.3]


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    samples = jc.Samples(rng.normal(size=(16, 8)), rng.normal(size=16))
    starts = narrow.mirrored_lecun(jax.random.key(0), 4, 8, activation=A.tanh, floor=1.0, runs=2)
    return starts, samples


@pytest.fixture(scope="module")
def constrained(problem):
    starts, samples = problem
    feasible = narrow.FeasibleSet.of(starts, 0.4, 1.0, 0.2)
    out = narrow.train(
        starts,
        samples,
        RATES,
        optimiser=narrow.momentum(0.8),
        feasible=feasible,
        steps=60,
        records=60,
    )
    return feasible, out


def run(batch, *index):
    """One of a batch."""
    return jax.tree.map(lambda leaf: leaf[index], batch)


def descent(
    start, x, y, rate, beta, steps, project=lambda w, v: (w, v), rows=None, readout_rate=1.0
):
    """Heavy-ball descent of a tanh network in NumPy, on half the mean square."""
    w, v = np.array(start.weights), np.array(start.readout)
    pw, pv = np.zeros_like(w), np.zeros_like(v)
    for t in range(steps):
        xs, ys = (x, y) if rows is None else (x[rows[t]], y[rows[t]])
        h = np.tanh(xs @ w.T)
        r = (h @ v - ys) / len(ys)
        pw, pv = beta * pw + ((r[:, None] * (1 - h**2)) * v).T @ xs, beta * pv + h.T @ r
        w, v = project(w - rate * pw, v - rate * readout_rate * pv)
    return w, v


def test_projected_momentum_does_the_steps_of_a_plain_loop(problem, constrained):
    starts, samples = problem
    _, out = constrained

    def project(w, v):
        start = np.asarray(starts.weights[1])
        size = np.linalg.norm(w - start)
        w = start + (w - start) * min(1, 0.4 / size)
        pairs = []
        for a, b in zip(v[:2], -v[2:], strict=True):
            a1, b1 = max(a, 1.0), max(b, 1.0)
            if abs(a1 - b1) > 0.2:
                s = max((a + b) / 2, 1.1)
                a1, b1 = s + np.sign(a - b) * 0.1, s - np.sign(a - b) * 0.1
            pairs.append((a1, b1))
        a, b = np.array(pairs).T
        return w, np.concatenate([a, -b])

    for i, rate in enumerate(RATES):
        w, v = descent(
            run(starts, 1),
            *map(np.asarray, (samples.inputs, samples.targets)),
            rate,
            0.8,
            60,
            project,
        )
        np.testing.assert_allclose(out.network.weights[1, i], w, atol=1e-12)
        np.testing.assert_allclose(out.network.readout[1, i], v, atol=1e-12)


def test_every_iterate_is_feasible_and_the_histories_are_those_of_the_ends(problem, constrained):
    starts, samples = problem
    feasible, out = constrained
    assert out.half_risk.shape == (2, 2, 60)
    assert np.max(out.violation) < 4e-15  # recorded at every step, and the worst of all between
    assert np.any(
        np.abs(np.linalg.norm(out.network.weights - starts.weights[:, None], axis=(2, 3)) - 0.4)
        < 1e-12
    )
    for i in range(2):
        for j in range(2):
            end, here = run(out.network, i, j), run(feasible, i)
            assert here.contains(end)
            assert float(narrow.half_risk(end, samples)) == pytest.approx(
                float(out.half_risk[i, j, -1]), rel=1e-13
            )
            assert float(narrow.kkt_residual(end, samples, here)) == pytest.approx(
                float(out.kkt_residual[i, j, -1]), rel=1e-9, abs=1e-14
            )
    np.testing.assert_array_equal(out.steps, np.arange(1, 61))


def test_without_constraints_the_projected_method_is_the_unconstrained_one(problem):
    starts, samples = problem
    free = narrow.FeasibleSet.of(starts, jnp.inf, 0.0, jnp.inf, free_signs=True)
    options = {"optimiser": narrow.momentum(0.9), "steps": 40, "records": 4}
    with_set = narrow.train(starts, samples, RATES, feasible=free, **options)
    without = narrow.train(starts, samples, RATES, **options)
    for a, b in zip(
        jax.tree.leaves(with_set.network), jax.tree.leaves(without.network), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(with_set.half_risk, without.half_risk)
    # up to the rounding of θ − (θ − ∇) in the residual
    np.testing.assert_allclose(with_set.kkt_residual, without.kkt_residual, rtol=1e-10)


def test_minibatches_and_block_steps_are_those_of_a_plain_loop_and_runs_draw_by_their_number(
    problem,
):
    starts, samples = problem
    key, steps = jax.random.key(9), 30
    out = narrow.train(
        starts,
        samples,
        [0.2],
        block_rates={"readout": 0.5},
        steps=steps,
        records=1,
        batch_size=5,
        key=key,
    )
    for i in range(2):
        rows = np.asarray(minibatches(jax.random.fold_in(key, i), 16, 5, steps))
        data = map(np.asarray, (samples.inputs, samples.targets))
        w, v = descent(run(starts, i), *data, 0.2, 0.0, steps, rows=rows, readout_rate=0.5)
        np.testing.assert_allclose(out.network.weights[i, 0], w, atol=1e-13)
        np.testing.assert_allclose(out.network.readout[i, 0], v, atol=1e-13)


def test_projections_of_optax_and_its_optimisers_take_part(problem):
    starts, samples = problem

    def above(network):
        return eqx.tree_at(
            lambda s: s.weights, network, optax.projections.projection_non_negative(network.weights)
        )

    out = narrow.train(
        starts, samples, [0.05], optimiser=optax.adam, feasible=above, steps=40, records=2
    )
    assert np.min(out.network.weights) == 0
    assert np.all(out.half_risk[..., -1] < out.half_risk[..., 0])


def test_a_run_that_diverges_stays_finite_and_says_so(problem):
    starts, samples = problem
    out = narrow.train(
        starts, samples, [0.1, 1e200], optimiser=narrow.momentum(0.9), steps=40, records=4
    )
    np.testing.assert_array_equal(out.diverged, [[False, True]] * 2)
    assert np.all(np.isinf(out.final_half_risk[:, 1]))
    assert np.all(np.isfinite(out.final_half_risk[:, 0]))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(out.network))
    assert not np.any(np.isnan(out.half_risk))


@pytest.mark.parametrize("gap", [0.0, 0.5])
def test_in_the_certified_region_a_converged_run_has_zero_loss_and_residual(gap):
    """With `ζ = 0`, steps in the units of the set, `ε²` and `1/ε²`; with a gap, the sum of a pair
    bounds the second.
    """
    rng = np.random.default_rng(1)
    samples = jc.Samples(rng.normal(size=(6, 8)), 0.15 * rng.normal(size=6))
    starts = narrow.mirrored_lecun(
        jax.random.key(4), 8, 8, activation=A.softplus, floor=1.0, runs=2
    )
    radii = jnp.stack(
        [narrow.certified_radius(run(starts, i), samples, floor=1.0, gap=gap) for i in range(2)]
    )
    radius = 0.9 * jnp.min(radii)
    assert radius > 0.02
    feasible = narrow.FeasibleSet.of(starts, radius, 1.0, gap)
    assert all(narrow.is_certified(run(feasible, i), samples, A.softplus) for i in range(2))
    scaled = {"weights": 0.3 * radius**2, "readout": 0.3 / radius**2}
    out = narrow.train(
        starts,
        samples,
        [1.0],
        optimiser=narrow.momentum(0.97),
        feasible=feasible,
        block_rates={"weights": 0.01, "readout": 0.1} if gap else scaled,
        steps=8000,
        records=10,
    )
    assert np.max(out.half_risk[..., -1]) < 1e-20
    assert np.max(out.kkt_residual[..., -1]) <= 1e-10
    assert np.max(out.violation) < 1e-12
    for i in range(2):
        end = run(out.network, i, 0)
        assert narrow.scaled_kkt_residual(end, samples, run(feasible, i)) <= 1e-10
        assert narrow.half_risk(end, samples) <= narrow.optimality_bound(end, samples) * (1 + 1e-9)


def test_adam_with_a_finite_ball_is_warned_of_and_rests_where_there_is_no_kkt_point(problem):
    """With readouts held, momentum comes to rest at a KKT point of the ball (1e-16), Adam at
    another point (0.1).
    """
    starts, samples = problem
    feasible = narrow.FeasibleSet.of(starts, 0.3, 1.0, 0.2)
    options = {"feasible": feasible, "block_rates": {"readout": 0.0}, "steps": 3000, "records": 300}
    with pytest.warns(narrow.NarrowWarning, match="scales single parameters"):
        adam = narrow.train(starts, samples, [1e-3], optimiser=optax.adam, **options)
    plain = narrow.train(starts, samples, [0.05], optimiser=narrow.momentum(0.9), **options)
    ends = []
    for out in (plain, adam):
        # at rest, over a hundred steps
        assert np.max(np.abs(np.diff(np.asarray(out.half_risk)[:, 0, -10:]))) < 1e-4
        for i in range(2):
            end, centre = run(out.network, i, 0), np.asarray(starts.weights[i])
            moved = np.asarray(end.weights - jax.grad(narrow.half_risk)(end, samples).weights)
            back = centre + (moved - centre) * min(1, 0.3 / np.linalg.norm(moved - centre))
            ends.append(np.linalg.norm(np.asarray(end.weights) - back))
    assert max(ends[:2]) < 1e-12
    assert min(ends[2:]) > 1e-2
    assert np.all(plain.half_risk[..., -1] < adam.half_risk[..., -1])
    infinite = narrow.FeasibleSet.of(starts, jnp.inf, 1.0, 0.2)
    narrow.train(
        starts, samples, [1e-3], optimiser=optax.adam, **{**options, "feasible": infinite}
    )  # no warning


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rates": [-0.1]}, "all positive"),
        ({"rates": 0.1}, r"expected \(rates,\)"),
        ({"rates": [np.inf]}, "all positive and finite"),
        ({"steps": 0}, "steps=0"),
        ({"steps": 20.0}, "steps=20.0"),
        ({"steps": 10, "records": 3}, "records=3 for steps=10"),
        ({"block_rates": {"bias": 1.0}}, "block_rates for 'bias'"),
        ({"block_rates": {"readout": -1.0}}, "'readout': -1.0"),
        ({"block_rates": {"readout": np.nan}}, "'readout': nan"),
        ({"batch_size": 2.5, "key": jax.random.key(0)}, "batch_size=2.5"),
        ({"batch_size": 4}, "no key"),
        ({"batch_size": 17, "key": jax.random.key(0)}, "batch_size=17"),
        ({"samples": jc.Samples(np.ones((4, 3)), np.ones(4))}, "input dimension 8"),
        ({"samples": (np.ones((4, 8)), np.ones(4))}, "samples of type tuple"),
        ({"samples": jc.Samples(np.ones((3, 4, 8)), np.ones((3, 4)))}, r"leading axes \(3,\)"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(problem, change, says):
    starts, samples = problem
    given = {"samples": samples, "rates": RATES, "steps": 20, **change}
    with pytest.raises(ValueError, match=says) as caught:
        narrow.train(starts, given.pop("samples"), given.pop("rates"), **given)
    assert "\n" not in str(caught.value)


def test_sets_about_other_starts_and_starts_with_nan_are_refused(problem):
    starts, samples = problem
    wide = narrow.mirrored_lecun(jax.random.key(0), 6, 8, activation=A.tanh, runs=2)
    with pytest.raises(ValueError, match="about weights"):
        narrow.train(starts, samples, RATES, feasible=narrow.FeasibleSet.of(wide))
    broken = eqx.tree_at(lambda s: s.readout, starts, jnp.full_like(starts.readout, jnp.nan))
    with pytest.raises(ValueError, match="NaN"):
        narrow.train(broken, samples, RATES)
    each = jc.Samples(np.ones((2, 16, 8)), np.ones((2, 16)))
    with pytest.raises(ValueError, match="targets with NaN"):  # in the second data set only
        narrow.train(
            starts,
            eqx.tree_at(lambda s: s.targets, each, each.targets.at[1, 0].set(jnp.nan)),
            RATES,
        )


# What steps on a ball must be: multiples of the gradient inside each block.
UNIFORM = {
    "SGD": (optax.sgd, True),
    "momentum": (narrow.momentum(0.9), True),
    "global clip": (lambda r: optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(r)), True),
    "own rate of a block": (lambda r: by_block(optax.sgd(r), optax.sgd(r / 2)), True),
    "held block": (lambda r: by_block(optax.sgd(r), optax.set_to_zero()), True),
    "Adam in a block": (lambda r: by_block(optax.sgd(r), optax.adam(r)), False),
    "weight decay": (lambda r: optax.chain(optax.add_decayed_weights(0.1), optax.sgd(r)), False),
    "clipped entries": (lambda r: optax.chain(optax.clip(10.0), optax.sgd(r)), False),
    "Adam": (optax.adam, False),
}


def by_block(weights, readout):
    """An optimiser for each block."""
    names = lambda p: eqx.tree_at(lambda q: (q.weights, q.readout), p, ("w", "v"))  # noqa: E731
    return optax.multi_transform({"w": weights, "v": readout}, names)


@pytest.mark.parametrize(("optimiser", "known"), UNIFORM.values(), ids=UNIFORM)
def test_optimisers_whose_steps_are_multiples_of_the_gradient_in_every_block_are_told_apart(
    problem, optimiser, known
):
    assert uniform(optimiser, run(problem[0], 0)) is known


def test_budgets_that_twenty_does_not_divide_have_fewer_records_also_under_jit(
    problem,
):
    starts, samples = problem
    train = jax.jit(lambda s: narrow.train(s, samples, [0.1], steps=50))
    out = train(starts)
    np.testing.assert_array_equal(out.steps, np.arange(5, 51, 5))
    w, v = descent(
        run(starts, 0), *map(np.asarray, (samples.inputs, samples.targets)), 0.1, 0.0, 50
    )
    np.testing.assert_allclose(out.network.weights[0, 0], w, atol=1e-13)
    np.testing.assert_allclose(out.network.readout[0, 0], v, atol=1e-13)


def test_in_float32_a_rate_of_1e21_leaves_runs_on_their_set_and_infinite_loss_is_divergence(
    problem,
):
    starts, samples = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), problem)
    feasible = narrow.FeasibleSet.of(starts, 0.5, 1.0, 0.1)
    out = narrow.train(starts, samples, [0.1, 1e21], feasible=feasible, steps=4, records=4)
    assert not np.any(out.diverged[:, 0])
    # readouts of 1e21, whose squares overflow; the other run is thrown back to its floor
    assert out.diverged[0, 1]
    np.testing.assert_array_equal(out.diverged, np.isinf(out.final_half_risk))
    assert not np.any(np.isinf(out.half_risk[..., -1]) & ~out.diverged)
    moved = np.linalg.norm(
        np.asarray(out.network.weights - starts.weights[:, None], float), axis=(2, 3)
    )
    assert np.max(moved) < 0.5 + 1e-6
