"""Batches in slots: whatever the slots, devices, order and dimension, every run ends at its own
critical point.

One small problem (erf, two neurons for four, 67 runs) serves most claims, so that few programs are
compiled.
"""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
from jax.flatten_util import ravel_pytree

import jaxcompress as jc
from tests.problems import network, run

RELU, ERF, IDENTITY = jc.activations.relu, jc.activations.erf, jc.activations.identity
RUNS, LANES = 67, 8  # neither slots nor devices divide the runs
RESULTS = jc.RESULTS


def _starts(activation, width, dim, runs, seed=0, **options):
    return jc.initialize.glorot_normal(
        jax.random.key(seed), width, dim, activation=activation, runs=runs, **options
    )


def _distance(one, other):
    """The largest difference between two networks, or batches of them."""
    return max(
        float(jnp.abs(x - y).max())
        for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def _identical(one, other):
    """Whether two trees hold the same bits."""
    return all(
        np.array_equal(x, y)
        for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


@jax.jit
def _risks_and_gradients(students, targets, inputs=None):
    """The exact risk of every run with its gradient, by autodiff; compiled once for every shape."""
    own = 0 if targets.weights.ndim == 3 else None
    both = jax.value_and_grad(
        lambda student, target: jc.population_risk(student, target, inputs=inputs)
    )
    return jax.vmap(both, in_axes=(0, own))(students, targets)


def _slopes(students, targets, inputs=None, freeze=()):
    """`max|∂R/∂θ|` over what moves, of every run."""
    slopes = _risks_and_gradients(students, targets, inputs)[1]
    moving = [leaf for name, leaf in slopes.parameters().items() if name not in freeze]
    return np.max([np.abs(leaf).reshape(len(leaf), -1).max(1) for leaf in moving], axis=0)


def _is(sols, code):
    """Which runs ended with this code."""
    return np.asarray(jax.vmap(lambda result: result == code)(sols.result))


@contextlib.contextmanager
def compilations():
    """Collects one entry for every program that is compiled, or fetched from the cache of compiled
    ones.
    """
    found = []

    def listen(name, seconds, **_):
        if name == "/jax/core/compile/backend_compile_duration":
            found.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@pytest.fixture(scope="module")
def problem():
    """The starts and the target that most tests share."""
    return _starts(ERF, 2, 4, RUNS), jc.targets.orthonormal(4, 4, activation=ERF)


@pytest.fixture(scope="module")
def base(problem):
    """Its ends with eight slots on one device."""
    return jc.solve_many(*problem, slots=LANES)


def test_every_run_ends_at_a_critical_point_of_the_exact_risk(problem, base):
    assert np.all(base.converged)
    assert np.all(_is(base, RESULTS.converged))
    assert _slopes(base.network, problem[1]).max() < 1e-12  # 2e-15
    risks = _risks_and_gradients(base.network, problem[1])[0]
    np.testing.assert_allclose(base.risk, risks, rtol=0, atol=1e-14)


@pytest.fixture(scope="module")
def listened(problem):
    """The same in three slots, and what a listener hears meanwhile."""
    heard = []
    sols = jc.solve_many(*problem, slots=3, progress=lambda count: heard.append(int(count)))
    jax.effects_barrier()
    return sols, heard


def test_three_slots_and_a_listener_change_no_end(base, listened):
    sols, heard = listened
    assert _distance(sols.network, base.network) <= 1e-9  # worst case 1e-13
    assert len(heard) >= RUNS // 3 - 1  # once a deck at least
    assert 0 < min(heard) <= max(heard) <= RUNS


def test_the_listener_hears_ever_larger_numbers(listened):
    _, heard = listened
    assert heard == sorted(set(heard))


def test_drawn_starts_in_more_slots_on_two_devices_end_where_the_batch_does(problem, base):
    drawn = jc.initialize.Starts(
        jax.random.key(0), RUNS, jc.initialize.glorot_normal, width=2, dim=4, activation=ERF
    )
    sols = jc.solve_many(drawn, problem[1], slots=32, devices=jax.devices()[:2])
    assert sols.risk.shape == (RUNS,)
    assert len(sols.risk.sharding.device_set) == 2
    assert _distance(sols.network, base.network) <= 1e-9  # worst case 1.4e-13


def test_drawn_starts_are_those_of_the_batch_and_fewer_than_one_is_refused():
    drawn = jc.initialize.Starts(
        jax.random.key(3), 5, jc.initialize.glorot_normal, width=2, dim=4, activation=ERF
    )
    for i in range(5):
        assert _distance(drawn.draw(i), run(_starts(ERF, 2, 4, 5, seed=3), i)) < 1e-15
    for runs in (0, -1):
        with pytest.raises(
            ValueError, match=f"given runs={runs}; expected a whole number, at least 1"
        ):
            jc.initialize.Starts(
                jax.random.key(3), runs, jc.initialize.glorot_normal, width=2, dim=4, activation=ERF
            )
    three = jc.targets.orthonormal(4, 4, activation=ERF)
    three = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), three)
    with pytest.raises(ValueError, match="given 5 starts to draw and targets"):
        jc.solve_many(drawn, three)


def test_one_run_in_more_slots_than_runs_ends_where_it_does_in_the_batch(problem, base):
    starts, target = problem
    one = jc.solve_many(run(starts, slice(4, 5)), target, slots=50)
    assert one.risk.shape == (1,)
    assert _distance(one.network, run(base.network, slice(4, 5))) <= 1e-9
    alone = jc.solve(run(starts, 4), target)
    assert _distance(alone.network, run(one.network, 0)) <= 1e-12


def test_the_order_of_the_queue_changes_no_bit_of_any_end(problem, base):
    starts, target = problem
    order = np.random.default_rng(0).permutation(RUNS)
    shuffled = jax.device_get(jc.solve_many(run(starts, order), target, slots=LANES))
    expected = run(jax.device_get(base), order)
    for name in set(base.stats) - {"occupancy"}:  # that is one number of the whole batch
        assert _identical(shuffled.stats[name], expected.stats[name]), name
    for name in (
        "network",
        "risk",
        "gradient_norm",
        "eigenvalues",
        "index",
        "time",
        "converged",
        "result",
    ):
        assert _identical(getattr(shuffled, name), getattr(expected, name)), name


def test_changed_tolerances_rates_budgets_seeds_and_targets_compile_nothing(problem, base):
    starts, target = problem
    others = (
        _starts(ERF, 2, 4, RUNS, seed=9),
        jc.targets.random(jax.random.key(5), 4, 4, activation=ERF),
    )
    with compilations() as found:
        jax.jit(lambda x: x + jnp.pi)(jnp.ones(1)).block_until_ready()
    assert found  # the listener hears
    with compilations() as found:
        jc.solve_many(starts, target, slots=LANES, rtol=1e-4, atol=1e-6, max_steps=300)
        jc.solve_many(*others, slots=LANES, gradient_tolerance=1e-9, flow_tolerance=1e-7)
        sols = jc.solve_many(starts, target, slots=LANES, rates={"readout": 0.5})
        jax.block_until_ready(sols)
    assert found == []


def test_runs_that_overflow_say_so_and_disturb_no_other(problem, base):
    starts, target = problem
    broken = np.isin(np.arange(RUNS), (0, 3, 40))
    wild = jnp.where(jnp.asarray(broken)[:, None], 1e200 * starts.readout, starts.readout)
    sols = jc.solve_many(jc.TwoLayer(starts.weights, wild, activation=ERF), target, slots=LANES)
    assert _identical(run(sols.network, ~broken), run(base.network, ~broken))
    assert np.array_equal(_is(sols, RESULTS.nonfinite), broken)
    assert np.array_equal(sols.converged, ~broken)
    assert np.all(np.asarray(sols.index)[broken] == -1)
    assert not np.isnan(sols.risk).any()
    assert not np.isnan(sols.eigenvalues).any()


def test_runs_whose_budget_is_spent_say_so_wherever_the_polish_ends(problem, base):
    starts, target = problem
    needed = np.asarray(base.stats["steps"])
    budget = int(np.median(needed))
    sols = jc.solve_many(starts, target, slots=LANES, max_steps=budget)
    spent, steps = _is(sols, RESULTS.max_steps_reached), np.asarray(sols.stats["steps"])
    assert 0 < spent.sum() < RUNS
    assert np.array_equal(sols.converged, ~spent)
    assert np.array_equal(_is(sols, RESULTS.converged), ~spent)
    assert np.array_equal(spent, needed >= budget)  # one that needs its last step is not taken over
    assert np.all(steps[spent] == budget)
    assert _identical(run(sols.network, ~spent), run(base.network, ~spent))
    # the certificate is that of the point, which the flow need not have led to
    assert _slopes(sols.network, target).max() == pytest.approx(
        float(sols.gradient_norm.max()), abs=1e-13
    )


def test_a_tolerance_below_rounding_is_reported_as_such(problem):
    sols = jc.solve_many(*problem, slots=LANES, gradient_tolerance=1e-25)
    exact = np.asarray(sols.gradient_norm) <= 1e-25
    assert exact.sum() < RUNS // 2
    assert np.array_equal(_is(sols, RESULTS.gradient_floor), ~exact)
    assert np.array_equal(sols.converged, exact)
    assert np.asarray(sols.gradient_norm).max() < 1e-13


# The exact reduction: n + k + 1 = 6 dimensions are the most that is not reduced.

WIDE, NARROW_DIM = 40, 6
_UP = jnp.asarray(np.linalg.qr(np.random.default_rng(4).normal(size=(WIDE, NARROW_DIM)))[0].T)


def _up(net):
    """A network of the narrow dimension, turned into the wide one."""
    return jc.TwoLayer(net.weights @ _UP, net.readout, activation=net.activation)


def _well_spanned(runs=10):
    """Starts and a target whose weights are all nearly at right angles to each other."""
    rng = np.random.default_rng(11)
    target = jc.TwoLayer(
        jnp.eye(3, NARROW_DIM), jnp.asarray(rng.normal(size=(3, 2))), activation=ERF
    )
    weights = np.eye(NARROW_DIM)[3:5] + 0.2 * rng.normal(size=(runs, 2, NARROW_DIM))
    return jc.TwoLayer(
        jnp.asarray(weights), jnp.asarray(rng.normal(size=(runs, 2, 2))), activation=ERF
    ), target


def _in_the_span(runs=10):
    """Starts whose weights are combinations of the target's."""
    starts, target = _well_spanned(runs)
    mix = jnp.asarray(np.random.default_rng(12).normal(size=(runs, 2, 3)))
    return jc.TwoLayer(mix @ target.weights, starts.readout, activation=ERF), target


def _twins(runs=10):
    """A target two of whose neurons coincide, and a third that is opposite to them."""
    starts, target = _well_spanned(runs)
    first = target.weights[0]
    return starts, jc.TwoLayer(
        jnp.stack([first, first, -2 * first]), target.readout, activation=ERF
    )


@pytest.mark.parametrize("make", [_well_spanned, _in_the_span, _twins])
def test_the_ends_in_many_dimensions_are_those_in_few_turned(make):
    starts, target = make()
    few = jc.solve_many(starts, target, slots=4)
    many = jc.solve_many(_up(starts), _up(target), slots=4)
    assert np.all(few.converged)
    assert _slopes(few.network, target).max() <= 1e-10
    assert _distance(_up(few.network), many.network) <= 1e-10  # worst case 2e-12
    assert _slopes(many.network, _up(target)).max() <= 1e-10
    assert np.array_equal(few.index, many.index)


def test_runs_with_targets_of_their_own_are_reduced_to_the_same_ends():
    starts, target = _well_spanned()
    kinds = [
        target,
        _twins()[1],
        jc.TwoLayer(target.weights[::-1] * 1.5, target.readout, activation=ERF),
    ]
    which = np.arange(10) % 3
    targets = jax.tree.map(lambda *leaves: jnp.stack(leaves)[which], *kinds)
    sols = jc.solve_many(_up(starts), _up(targets), slots=4)
    assert np.all(sols.converged)
    for i, kind in enumerate(kinds):
        shared = jc.solve_many(starts, kind, slots=4)
        mine = which == i
        # worst case 2e-12
        assert _distance(run(_up(shared.network), mine), run(sols.network, mine)) <= 1e-10


# Structures that take other roads.


def _anisotropic():
    """An anisotropic law, where `d` exceeds `n + k + 1`: the gradient leaves the span of the
    weights.
    """
    rng = np.random.default_rng(3)
    factor = rng.normal(size=(6, 6)) * np.array([2.0, 1.5, 1.0, 0.7, 0.4, 0.2])
    law = jc.Gaussian(None, jnp.asarray(factor @ factor.T / 6))
    return _starts(ERF, 1, 6, 5), network(4, 2, 6, ERF), law, ()


def _frozen():
    """Two outputs, a frozen readout of every run's own, and rates."""
    starts = _starts(RELU, 2, 3, 7, outputs=2)
    return starts, network(6, 3, 3, RELU, 2), None, ("readout",)


@pytest.mark.parametrize("make", [_anisotropic, _frozen])
def test_other_structures_end_at_critical_points_of_the_exact_risk(make):
    starts, target, law, freeze = make()
    sols = jc.solve_many(starts, target, inputs=law, freeze=freeze, rates={"weights": 2.0}, slots=3)
    assert np.all(sols.converged)
    assert _slopes(sols.network, target, law, freeze).max() <= 1e-9  # 5e-16
    for name in freeze:
        assert np.array_equal(getattr(sols.network, name), getattr(starts, name))


def test_flows_alone_are_followed_to_the_tolerance_or_say_what_stopped_them():
    """A linear student with biases, of an erf target: the general road."""
    target = network(8, 2, 3, ERF)
    starts = _starts(IDENTITY, 1, 3, 5, bias=True, output_bias=True)
    starts = jc.TwoLayer(
        starts.weights, 1 + starts.readout**2, starts.bias, starts.output_bias, IDENTITY
    )
    sols = jc.flow_many(starts, target, gradient_tolerance=1e-9, slots=2)
    assert np.all(sols.converged)
    assert np.all(_is(sols, RESULTS.converged))
    assert sols.eigenvalues is None
    assert _slopes(sols.network, target).max() <= 1e-9
    # E[x erf(v·x/√2)] = √(2/π) v/√(1 + |v|²): the linear part of the target, which is all that the
    # student finds
    V, b = np.asarray(target.weights), np.asarray(target.readout)
    best = np.sqrt(2 / np.pi) * (b / np.sqrt(1 + (V**2).sum(1))) @ V
    found = np.asarray(sols.network.readout[:, 0, None] * sols.network.weights[:, 0])
    np.testing.assert_allclose(found, np.broadcast_to(best, found.shape), atol=1e-7)
    cut = jc.flow_many(starts, target, gradient_tolerance=1e-9, max_steps=4, slots=2)
    assert np.all(_is(cut, RESULTS.max_steps_reached))
    assert np.all(np.asarray(cut.stats["steps"]) == 4)
    assert not np.any(cut.converged)
    np.testing.assert_allclose(cut.gradient_norm, _slopes(cut.network, target), rtol=1e-9)


# ReLU neurons that slide to zero, and queues of uneven runs.

MANY = 240


@pytest.fixture(scope="module")
def sliding():
    """ReLU starts, of which 19 of 240 slide, their target and their ends."""
    starts, target = _starts(RELU, 2, 4, MANY), jc.targets.orthonormal(4, 4, activation=RELU)
    return starts, target, jc.solve_many(starts, target, slots=LANES)


def test_neurons_that_slide_to_zero_are_a_truthful_event(sliding):
    _, target, sols = sliding
    at_zero = np.asarray(sols.stats["neurons_at_zero"])
    assert np.asarray(sols.stats["steps"]).max() < 2000  # 74 at most
    assert np.all(sols.converged)
    assert 12 <= (at_zero > 0).sum() <= 30
    assert np.array_equal(_is(sols, RESULTS.neuron_at_zero), at_zero > 0)
    assert np.array_equal((np.asarray(sols.network.weights) == 0).all(2).sum(1), at_zero)
    assert _slopes(sols.network, target).max() <= 1e-10  # 2e-13


def test_the_risk_rises_wherever_a_neuron_could_leave_zero(sliding):
    _, target, sols = sliding
    slid = np.flatnonzero(_is(sols, RESULTS.neuron_at_zero))
    directions = np.random.default_rng(2).normal(size=(100, 4))
    directions = np.concatenate([directions, -directions, np.eye(4), -np.eye(4)])
    directions = jnp.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True))
    zero = jnp.all(sols.network.weights == 0, axis=2)[slid]

    @jax.jit
    @jax.vmap
    def rises(net, zero):
        """How much the risk rises per unit of norm."""

        def at(direction):
            moved = jnp.where(zero[:, None], 1e-5 * direction[None], net.weights)
            return jc.population_risk(jc.TwoLayer(moved, net.readout, activation=RELU), target)

        return (jax.vmap(at)(directions) - jc.population_risk(net, target)) / 1e-5

    assert np.asarray(rises(run(sols.network, slid), zero)).min() > 0


def test_lsoda_sees_the_same_neuron_fall_to_zero(sliding):
    starts, target, sols = sliding
    i = int(np.flatnonzero(_is(sols, RESULTS.neuron_at_zero))[0])
    neuron = int(np.flatnonzero((np.asarray(sols.network.weights[i]) == 0).all(1))[0])
    vector, unravel = ravel_pytree(run(starts, i))
    slope = jax.jit(jax.grad(lambda z: jc.population_risk(unravel(z), target)))

    def norm(_, z):
        return np.linalg.norm(z[4 * neuron : 4 * neuron + 4]) - 1e-3

    norm.terminal = True
    path = scipy.integrate.solve_ivp(
        lambda _, z: -np.asarray(slope(z)),
        (0, 1e4),
        vector,
        "LSODA",
        events=norm,
        rtol=1e-9,
        atol=1e-11,
    )
    assert path.status == 1  # the event
    end, other = path.y[:, -1], 1 - neuron
    # the radial slope is positive: it goes on falling; and the other one is on its way to its end
    w = end[4 * neuron : 4 * neuron + 4]
    assert np.asarray(slope(end))[4 * neuron : 4 * neuron + 4] @ w > 0
    assert end[4 * other : 4 * other + 4] @ np.asarray(sols.network.weights[i, other]) > 0


def test_slots_are_busy_while_runs_of_very_different_lengths_wait(sliding):
    starts, target, _ = sliding
    factors = jnp.asarray(np.random.default_rng(0).permutation(np.geomspace(0.1, 10, MANY)))
    mixed = jc.TwoLayer(
        starts.weights * factors[:, None, None], starts.readout * factors[:, None], activation=RELU
    )
    sols = jc.solve_many(mixed, target, slots=LANES)
    steps = np.asarray(sols.stats["steps"])
    assert steps.max() > 2.5 * np.median(steps)
    assert steps.max() < 2000
    assert np.asarray(sols.stats["occupancy"]).min() >= 0.95  # 0.999
    assert np.all(sols.converged)
    assert np.array_equal(
        _is(sols, RESULTS.neuron_at_zero), np.asarray(sols.stats["neurons_at_zero"]) > 0
    )
