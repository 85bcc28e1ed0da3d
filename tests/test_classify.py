"""Names of critical points: known points and their images are named, with the distance; other
networks are not.

Known points are written out from their formulas or solved in their sectors, and moved by symmetries
that are made from their definitions (`symmetry_oracle`); names must come back.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.landscape import classify
from jaxcompress.sectors import Sector, perturbed_copy_sector, solve_sector
from jaxcompress.theory import partitions
from tests.problems import network
from tests.symmetry_oracle import image, orthonormal_map, with_rows

A = jc.activations
D = 6  # the target of five neurons leaves one dimension free


def target(k, f=A.erf, d=D):
    return jc.targets.orthonormal(k, d, activation=f)


def copy_average(partition, d=D):
    """Each neuron stands for a part of an orthonormal erf target (Şimşek et al. 2023)."""
    w, start = np.zeros((len(partition), d)), 0
    for row, part in zip(w, partition, strict=True):
        row[start : start + part] = 1 / math.sqrt(part * (2 * part - 1))
        start += part
    return with_rows(w, partition, A.erf)


def moved(net, k, seed, **only):
    """An image under a random symmetry of the network and of an orthonormal target."""
    rng = np.random.default_rng(seed)
    return image(net, rng, q=orthonormal_map(rng, k, net.dim), **only)


def with_neurons(net, weights, readout):
    """The network with more neurons."""
    return jc.TwoLayer(
        jnp.concatenate([net.weights, jnp.asarray(weights, float)]),
        jnp.concatenate([net.readout, jnp.asarray(readout, float)]),
        activation=net.activation,
    )


def group(partition):
    """The isotropy of a copy–average point: copied neurons change places with their copies,
    averaged ones freely.
    """
    sizes = [part for part in partition if part > 1] + [sum(part == 1 for part in partition)]
    return "×".join(f"S{size}" for size in sorted(sizes, reverse=True) if size > 1) or "1"


@pytest.mark.parametrize(
    "partition", [p for k in (2, 3, 5) for n in range(1, k) for p in partitions(n, k)], ids=str
)
def test_every_copy_average_point_is_named_with_its_partition_wherever_symmetries_take_it(
    partition,
):
    k = sum(partition)
    found = classify(moved(copy_average(partition), k, 0), target(k))
    assert (found.kind, found.partition) == ("copy-average", tuple(sorted(partition, reverse=True)))
    assert found.isotropy.split(",")[0] == group(
        partition
    )  # equal averages have swaps of whole groups besides
    assert found.distance < 1e-13
    assert not found.boundary


@pytest.mark.parametrize(
    ("net", "remark"),
    [
        (with_neurons(copy_average((3, 1)), [[0.3, 1, 0, 2, 0, 1]], [0.0]), "1 at zero"),
        (with_neurons(copy_average((3, 1)), np.zeros((1, D)), [0.7]), "1 at zero"),  # erf(0) = 0
        (
            with_neurons(copy_average((3, 1)), [np.eye(D)[3], -np.eye(D)[3]], [0.4, 0.4]),
            "2 repeated",
        ),
        (
            with_neurons(copy_average((3, 1)), [np.ones(D), np.ones(D)], [0.8, -0.8]),
            "2 at zero",
        ),  # they cancel
        (with_neurons(copy_average((3, 1)), [[0, 1e7, 0, 0, 0, 0]], [0.0]), "1 at zero"),
    ],
    ids=["no readout", "no weights", "split", "cancelled", "long and dead"],
)
def test_neurons_that_do_not_count_leave_the_name_and_are_remarked(net, remark):
    found = classify(moved(net, 4, 1), target(4))
    assert found.kind == "copy-average"
    assert found.name == f"copy–average 3+1, {remark}"
    assert found.distance <= 1e-12
    assert found.boundary == ("zero" in remark)


@pytest.mark.parametrize(
    ("weights", "readout", "infinite"),
    [
        ([[0, 1e7, 0, 0, 0, 0]], [0.7], 1),  # a step
        # a derivative
        ([0.5 * np.eye(D)[0] + 1e-3 * np.eye(D)[1], 0.5 * np.eye(D)[0]], [1e3, -1e3], 2),
        # the same, turned round
        ([0.5 * np.eye(D)[0] + 1e-3 * np.eye(D)[1], -0.5 * np.eye(D)[0]], [1e3, 1e3], 2),
    ],
    ids=["step", "derivative", "turned"],
)
def test_what_works_at_infinity_is_no_neuron_that_does_not_count(weights, readout, infinite):
    found = classify(with_neurons(copy_average((3, 1)), weights, readout), target(4))
    assert (found.kind, found.infinite, found.boundary) == ("infinite", infinite, True)
    assert found.distance <= found.threshold
    assert found.point is None


@pytest.mark.parametrize(
    ("net", "goal"),
    [
        # a derivative of moderate size: no neuron is infinite, and the two are not one
        (
            with_neurons(
                copy_average((3, 1)), [np.eye(D)[0] + 0.1 * np.eye(D)[1], np.eye(D)[0]], [10, -10]
            ),
            target(4),
        ),
        (with_rows([[1.0, 0], [1, 5e-2], [0, 1]], [-9.0, 10, 1]), target(2, d=2)),
        # an output bias that the target does not have
        (
            jc.TwoLayer(*copy_average((3, 1)).parameters().values(), None, jnp.asarray(5.0), A.erf),
            target(4),
        ),
        # small next to one, not next to the target
        (
            with_rows([[1, 1, 1, 0, 0, 0]], [5e-4]),
            jc.targets.orthonormal(3, D, activation=A.erf, readout=1e-3),
        ),
        # one dead neuron gives the others no licence
        (
            with_neurons(
                with_rows(copy_average((3, 1)).weights + 4e-3, [3, 1]), np.zeros((1, D)), [0]
            ),
            target(4),
        ),
    ],
    ids=["derivative", "derivative beside the target", "output bias", "small target", "licence"],
)
def test_other_functions_do_not_get_the_name_of_what_they_are_near(net, goal):
    assert classify(net, goal).kind in ("unknown", "symmetric")


def test_readouts_of_the_target_are_units_and_names_follow_them():
    goal = jc.targets.orthonormal(4, D, activation=A.erf, readout=-1e-3)
    exact = copy_average((3, 1))
    net = with_rows(exact.weights, -1e-3 * np.asarray(exact.readout))
    found = classify(moved(net, 4, 8), goal)
    assert (found.kind, found.partition) == ("copy-average", (3, 1))
    assert found.distance < 1e-13


def test_even_activations_are_named_with_either_sign():
    goal = target(3, A.cos)
    net = jc.theory.copy_average(goal, (1, 2))
    for seed in range(4):
        assert classify(moved(net, 3, seed), goal).partition == (2, 1)


def test_students_and_targets_of_other_kinds_are_served_without_a_name():
    for f in (A.tanh, A.gelu):
        found = classify(network(1, 2, D, f), target(3, f))
        assert found.kind == "unknown"
        # a group for every target neuron, and no sector for it
        fixed = with_rows(0.3 * np.ones((1, D)), [1.0], f)
        assert classify(fixed, target(D, f)).kind == "symmetric"
    assert classify(network(1, 2, D, A.relu), target(3, A.erf)).kind == "unknown"


def test_in_float32_names_come_with_its_tolerance():
    exact = copy_average((3, 1))
    net = jc.TwoLayer(
        exact.weights.astype("float32"), exact.readout.astype("float32"), activation=A.erf
    )
    goal = target(4)
    single = jc.TwoLayer(
        goal.weights.astype("float32"), goal.readout.astype("float32"), activation=A.erf
    )
    for each in (goal, single):
        found = classify(net, each)
        assert found.kind == "copy-average"
        assert 1e-6 < found.threshold < 1e-3
        assert found.distance < 1e-6


def test_a_nearly_dead_neuron_is_named_only_within_the_loose_threshold_and_says_so():
    net = with_neurons(copy_average((3, 1)), [[0.3, 1, 0, 2, 0, 1]], [1e-3])
    found = classify(net, target(4))
    assert found.name == "copy–average 3+1, 1 at zero"
    assert found.distance == pytest.approx(1e-3)
    assert found.threshold == 1e-2
    assert classify(net, target(4), loose=1e-4).kind == "unknown"


def test_perturbed_copies_and_leaning_averages_are_the_critical_points_of_their_sectors():
    copy = solve_sector(perturbed_copy_sector(3, 4), A.erf).lift(D)
    found = classify(moved(copy, 4, 2), target(4))
    assert (found.kind, found.isotropy) == ("perturbed copy", "S3")
    assert found.distance < 1e-12
    leaning = solve_sector(Sector((2, 3), (0, None)), A.relu).lift(D)
    found = classify(moved(leaning, 5, 3), target(5, A.relu))
    assert (found.kind, found.partition, found.isotropy) == (
        "perturbed copy-average",
        (3, 1, 1),
        "S3×S2",
    )
    assert found.distance < 1e-12


def test_a_perturbed_copy_is_named_in_float32_with_float64_and_by_its_isotropy_without():
    copy = solve_sector(perturbed_copy_sector(3, 4), A.erf).lift(D)
    single = jax.tree.map(lambda leaf: leaf.astype("float32"), copy)
    found = classify(moved(single, 4, 9), target(4))
    assert (found.kind, found.point.weights.dtype) == ("perturbed copy", jnp.float32)
    assert found.distance < 1e-6
    goal = jax.tree.map(lambda leaf: leaf.astype("float32"), target(4))
    with jax.enable_x64(False):
        assert classify(single, goal).name == "symmetric S3"


def test_a_point_of_the_right_isotropy_that_is_no_critical_one_is_named_by_its_isotropy_alone():
    copy = solve_sector(perturbed_copy_sector(3, 4), A.erf).lift(D)
    longer = jc.TwoLayer(1.3 * copy.weights, copy.readout, activation=A.erf)
    found = classify(moved(longer, 4, 4), target(4))
    assert (found.kind, found.name) == ("symmetric", "symmetric S3")
    assert found.point is None
    assert found.distance < 1e-13


@pytest.mark.parametrize("f", [A.relu, A.softplus, A.tanh], ids=str)
@pytest.mark.parametrize("bias", [False, True], ids=["plain", "biases"])
def test_a_target_that_is_realised_is_named_whatever_it_is(f, bias):
    goal = network(3, 3, 4, f, bias=bias, outputs=2)
    split = jc.TwoLayer(
        jnp.concatenate([goal.weights, goal.weights[:1], jnp.ones((1, 4))]),
        jnp.concatenate(
            [goal.readout.at[0].multiply(0.3), 0.7 * goal.readout[:1], jnp.zeros((1, 2))]
        ),
        jnp.concatenate([goal.bias, goal.bias[:1], jnp.ones(1)]) if bias else None,
        activation=f,
    )
    found = classify(image(split, np.random.default_rng(5)), goal)
    assert (found.kind, found.name) == ("target", "the target, 1 at zero, 1 repeated")
    assert found.distance < 1e-12


def test_one_neuron_averages_for_every_activation():
    for f in (A.erf, A.relu, A.tanh):
        best = jc.theory.one_neuron(f, 3)
        net = with_rows(float(best.scale) * np.eye(D)[:3].sum(0)[None], [float(best.readout)], f)
        found = classify(moved(net, 3, 6), target(3, f))
        assert (found.kind, found.partition) == ("copy-average", (3,))
        assert found.distance < 1e-8  # of a tanh that averages three, the norm is known to that


def test_nothing_is_left_of_a_network_of_dead_neurons():
    found = classify(with_rows(np.ones((2, D)), [0, 0], A.relu), target(3, A.relu))
    assert (found.kind, found.dead, found.core) == ("nothing", 2, None)
    assert found.boundary


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([-9, -8, -7, -4, -3, -2]))
def test_a_name_has_its_distance_and_never_one_beyond_its_threshold(seed, exponent):
    rng = np.random.default_rng(seed)
    exact = copy_average((3, 1))
    step = rng.normal(size=(2, D + 1))
    step *= 10.0**exponent / np.linalg.norm(step)
    net = with_rows(
        np.asarray(exact.weights) + step[:, :D], np.asarray(exact.readout) + step[:, D], A.erf
    )
    found = classify(moved(net, 4, seed), target(4))
    if exponent <= -7:
        assert found.kind == "copy-average"
        assert found.distance == pytest.approx(10.0**exponent, rel=1e-4)
    else:
        assert found.kind == "unknown"
        assert found.distance == math.inf
    assert found.kind == "unknown" or found.distance <= found.threshold


def test_random_networks_have_no_name():
    for seed in range(5):
        assert classify(network(seed, 3, D, A.relu), target(4, A.relu)).kind == "unknown"


def test_bad_input_is_refused():
    net = copy_average((2, 1))
    with pytest.raises(ValueError, match="given a target of dimension 5 for weights"):
        classify(net, target(3, d=5))
    with pytest.raises(ValueError, match="expected one TwoLayer"):
        classify(jc.TwoLayer(net.weights[None], net.readout[None], activation=A.erf), target(3))
    for freeze in ("readout", ("readot",)):
        with pytest.raises(ValueError, match="expected a tuple of names among weights, readout"):
            classify(net, target(3), freeze=freeze)
    with pytest.raises(ValueError, match="given target, NoneType"):
        classify(net, None)
    with pytest.raises(ValueError, match="expected concrete ones"):
        jax.jit(lambda net: classify(net, target(3)).distance)(net)
    for loose in (1.0, np.inf):
        with pytest.raises(ValueError, match="loose < 1"):
            classify(net, target(3), loose=loose)
    with pytest.raises(ValueError, match="tolerance"):
        classify(net, target(3), tolerance=-1.0)
    with pytest.raises(ValueError, match="loose"):
        classify(net, target(3), tolerance=1e-3, loose=1e-4)
