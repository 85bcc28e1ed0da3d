"""Critical points of any index: found from starts of all kinds, and counted by an oracle that
shares nothing.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import jaxcompress as jc
from jaxcompress.landscape import census_of, distance
from jaxcompress.theory import copy_average
from tests.erf_oracle import certificate
from tests.problems import network, run

RELU, ERF = jc.activations.relu, jc.activations.erf


def _stack(networks):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *networks)


def _near(point, seed, size=1e-2):
    """A network at a small distance."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + size * jnp.asarray(rng.normal(size=leaf.shape)), point)


# Partitions of six target neurons into three groups, with the index of their copy–average networks:
# one for each group but one that averages. The last is the best of all partitions, a minimum.
PARTITIONS = {(2, 2, 2): 3, (1, 2, 3): 1, (1, 1, 4): 0}
# Images of that minimum: other neurons are copied, or the same ones by other neurons.
IMAGES = [
    (0, 2, 1, 3, 4, 5),
    (1, 0, 2, 3, 4, 5),
    (5, 1, 2, 3, 4, 0),
    (0, 5, 2, 3, 4, 1),
    (5, 4, 2, 3, 1, 0),
]


@pytest.fixture(scope="module")
def erf_batch():
    """In one batch, against six erf neurons: three perturbed copies of each copy–average network
    (rows 0 to 8), midpoints between images of the minimum (9 to 13, the last one at the head of a
    valley of ‖∇R‖²), and Glorot starts (14 to 21)."""
    target = jc.targets.orthonormal(6, 6, activation=ERF)
    exact = [copy_average(target, sizes) for sizes in PARTITIONS for _ in range(3)]
    images = [
        jc.TwoLayer(exact[-1].weights[:, jnp.array(p)], exact[-1].readout, activation=ERF)
        for p in IMAGES
    ]
    middle = [jax.tree.map(lambda x, y: (x + y) / 2, exact[-1], image) for image in images]
    drawn = jc.initialize.glorot_normal(jax.random.key(3), 3, 6, activation=ERF, runs=8)
    near = [_near(point, seed) for seed, point in enumerate(exact)]
    starts = _stack([*near, *middle, *(run(drawn, i) for i in range(8))])
    return target, exact, jc.critical_points(starts, target), starts


def test_copy_average_networks_of_any_partition_are_found_again_with_their_index(erf_batch):
    target, exact, sols, _ = erf_batch
    assert bool(sols.converged[:9].all())
    for i, (point, index) in enumerate(
        zip(exact, np.repeat(list(PARTITIONS.values()), 3), strict=True)
    ):
        assert distance(sols[i].network, point, target) <= 1e-8  # worst case 3e-13
        assert int(sols.index[i]) == index
        assert int(sols.stats["flat_modes"][i]) == 0


@pytest.mark.parametrize(
    "kind", [slice(0, 9, 3), slice(9, 13), slice(14, 17)], ids=["near", "middle", "drawn"]
)
def test_what_is_found_is_critical_and_has_the_spectrum_that_finite_differences_see(
    erf_batch, kind
):
    target, _, sols, _ = erf_batch
    found = sols[kind]
    assert bool(found.converged.all())
    for i in range(found.risk.size):
        slope, values = certificate(found[i].network, target)
        assert slope <= 1e-10  # worst case 2e-15
        np.testing.assert_allclose(found.eigenvalues[i], values, atol=1e-7)  # worst case 3e-9
        assert int(found.index[i]) == (values < -1e-8).sum()


def test_a_census_of_what_the_search_finds_has_saddles_by_name_with_their_index(erf_batch):
    target, _, sols, _ = erf_batch
    found = {row.name: row for row in census_of(sols[:9], target)}
    assert {name: (row.count, row.index) for name, row in found.items()} == {
        "copy–average 2+2+2": (3, 3),
        "copy–average 3+2+1": (3, 1),
        "copy–average 4+1+1": (3, 0),
    }
    assert all(row.classification.distance < 1e-8 for row in found.values())


def test_midpoints_between_minima_lead_to_saddles_between_them(erf_batch):
    target, exact, sols, _ = erf_batch
    minimum = jc.population_risk(exact[-1], target)
    assert bool((sols.index[9:13] >= 1).all())
    assert bool((sols.risk[9:13] > minimum + 1e-3).all())
    assert float(sols.risk[9:13].max()) < 0.1


STARTS = jc.initialize.Starts(
    jax.random.key(0), 24, jc.initialize.glorot_normal, width=2, dim=3, activation=RELU
)


@pytest.fixture(scope="module")
def relu_batch():
    target = network(4, 3, 3, RELU)
    return target, jc.critical_points(STARTS, target)


def test_relu_saddles_have_a_flat_mode_for_every_neuron_and_the_index_of_finite_differences(
    relu_batch,
):
    target, sols = relu_batch
    norms = jnp.linalg.norm(sols.network.weights, axis=2)
    alive = np.asarray(sols.converged & (norms > 0.1).all(1) & (norms < 10).all(1))
    assert alive.sum() >= 8  # 9 of 24; others end with a neuron of zeros or far out
    assert bool((sols.stats["flat_modes"][alive] >= 2).all())
    assert bool((sols.index[alive] >= 1).any())
    counted = 0
    _, unravel = ravel_pytree(sols[0].network)
    gradient = jax.jit(lambda z: ravel_pytree(jax.grad(jc.population_risk)(unravel(z), target))[0])
    for i in np.flatnonzero(alive):
        # neurons are parallel at most of them, where the third derivative jumps: differences are
        # good to their step
        z = ravel_pytree(sols[i].network)[0]
        rows = [(gradient(z + row) - gradient(z - row)) / 2e-6 for row in 1e-6 * np.eye(z.size)]
        values = np.linalg.eigvalsh((np.array(rows) + np.array(rows).T) / 2)
        assert float(jnp.abs(gradient(z)).max()) <= 1e-10
        np.testing.assert_allclose(sols.eigenvalues[i], values, atol=1e-5)  # worst case 1e-8
        if (np.abs(values) < 1e-5).sum() == int(
            sols.stats["flat_modes"][i]
        ):  # zeros converge slowly elsewhere
            assert int(sols.index[i]) == (values < -1e-5).sum()
            counted += 1
    assert counted >= 5  # mostly halves of one neuron, with the share as a third flat mode


def test_a_network_without_a_hessian_is_no_critical_point(relu_batch):
    _, sols = relu_batch
    nothing = sols.index < 0
    assert bool(nothing.any())
    assert not bool((sols.converged & nothing).any())
    assert not bool(jnp.isnan(sols.eigenvalues).any())


def test_a_search_that_gets_stuck_or_runs_out_of_steps_says_which(erf_batch):
    target, _, sols, starts = erf_batch
    spent, stuck = sols[13], jc.critical_points(starts, target, max_steps=3000)[13]
    assert not bool(spent.converged | stuck.converged)
    assert bool(spent.result == jc.RESULTS.max_steps_reached)
    assert bool(stuck.result == jc.RESULTS.gradient_floor)
    assert int(spent.stats["steps"]) == 300
    assert 1e-6 < float(stuck.gradient_norm) < float(spent.gradient_norm)  # 4e-5 and 5e-4


def test_a_gradient_that_rounding_stops_is_told_apart_from_a_critical_point():
    sols = jc.critical_points(STARTS, network(4, 3, 3, RELU), gradient_tolerance=1e-25)
    stopped = np.asarray(sols.gradient_norm > 1e-25)
    assert stopped.any()
    assert not bool(sols.converged[stopped].any())


def test_float32_finds_the_saddle_that_float64_finds():
    target = jc.targets.orthonormal(4, 4, activation=ERF)
    saddle = copy_average(target, (2, 2))
    start = _stack([_near(saddle, 1)])
    low = jc.critical_points(
        *(jax.tree.map(lambda leaf: leaf.astype(jnp.float32), tree) for tree in (start, target))
    )
    assert low.risk.dtype == low.eigenvalues.dtype == jnp.float32
    assert bool(low.converged[0])
    assert (
        distance(low[0].network, jax.tree.map(lambda leaf: leaf.astype(jnp.float32), saddle))
        <= 1e-4
    )
    values = certificate(saddle, target)[1]
    # worst cases 2.6e-5 and 3e-6
    np.testing.assert_allclose(low.eigenvalues[0], values, rtol=1e-4, atol=1e-5)
    assert int(low.index[0]) == (values < -1e-8).sum()


def test_wide_inputs_are_searched_in_the_span_and_frozen_parameters_stay():
    target = jc.targets.orthonormal(4, 12, activation=ERF)
    saddle = copy_average(target, (2, 2))
    start = jc.TwoLayer(_near(saddle, 2).weights, saddle.readout, activation=ERF)
    sol = jc.critical_points(_stack([start]), target, freeze=("readout",))[0]
    np.testing.assert_array_equal(sol.network.readout, saddle.readout)
    assert bool(sol.converged)
    assert float(jnp.abs(jax.grad(jc.population_risk)(sol.network, target).weights).max()) <= 1e-10


@pytest.mark.parametrize(
    ("students", "message"),
    [
        (network(0, 2, 4, ERF), r"given students' weights \(2, 4\).*; expected \(runs, n, d\)"),
        (_stack([network(0, 2, 3, ERF)]), "expected the same"),
        (_stack([network(0, 2, 4, ERF, outputs=2)]), "given a student with 2 outputs"),
        (_stack([network(0, 1001, 4, ERF)]), "given 5005 unknowns; expected at most 4000"),
    ],
    ids=["one", "dimension", "outputs", "size"],
)
def test_what_cannot_be_searched_is_refused(students, message):
    with pytest.raises(ValueError, match=message):
        jc.critical_points(students, network(1, 3, 4, ERF))
