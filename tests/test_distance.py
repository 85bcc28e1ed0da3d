"""Distances modulo the symmetries of the risk: images are at rounding distance, other networks are
not.

Images are made here from the definition of each symmetry, and exact distances by trying every
member of the group.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.landscape import align, distance, fingerprint, target_symmetries
from tests.problems import network, run
from tests.symmetry_oracle import (
    EVEN,
    ODD,
    PLAIN,
    SCALED,
    A,
    exact,
    image,
    orthonormal_map,
    rotation,
    with_rows,
)


def copy_average(partition, d, f=A.erf):
    """Students that copy or average an orthonormal target, one for every part (Şimşek et al.
    2023).
    """
    w, start = np.zeros((len(partition), d)), 0
    for row, part in zip(w, partition, strict=True):
        row[start : start + part] = 1 / math.sqrt(part * (2 * part - 1))
        start += part
    return with_rows(w, partition, f)


def gap(a, b, target=None):
    """The distance of two fingerprints."""
    return float(jnp.linalg.norm(fingerprint(a, target) - fingerprint(b, target)))


# — images
# ——————————————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize("kind", ["order", "sign", "scale", "all"])
@pytest.mark.parametrize("f", [*ODD, *EVEN, *SCALED, *PLAIN], ids=str)
def test_symmetries_of_the_activation_leave_a_network_where_it_is(f, kind):
    rng = np.random.default_rng(0)
    only = dict.fromkeys(("order", "sign", "scale"), kind == "all") | (
        {} if kind == "all" else {kind: True}
    )
    for outputs, bias in ((None, False), (2, True)):
        net = network(1, 4, 3, f, outputs=outputs, bias=bias, output_bias=bias)
        other = image(net, rng, **only)
        x = jnp.asarray(rng.normal(size=(5, 3)))
        np.testing.assert_allclose(other(x), net(x), rtol=1e-9, atol=1e-12)  # it is a symmetry
        assert distance(net, other) < 1e-13
        assert gap(net, other) < 1e-13


@pytest.mark.parametrize("f", [A.relu, A.erf, A.abs, A.softplus], ids=str)
@pytest.mark.parametrize(
    ("n", "k", "d"), [(1, 1, 1), (3, 4, 4), (3, 6, 9), (6, 8, 9), (20, 20, 20)]
)
def test_all_symmetries_at_once_leave_a_network_where_it_is(f, n, k, d):
    rng = np.random.default_rng(2)
    target = jc.targets.orthonormal(k, d, activation=f)
    symmetries = target_symmetries(target)
    x = jnp.asarray(rng.normal(size=(5, d)))
    for net in (
        network(3, n, d, f),
        with_rows(np.eye(n, d) + 0.2 * (np.arange(d) < k), np.ones(n), f),
    ):
        q = orthonormal_map(rng, k, d, turns=f in EVEN)
        other = image(net, rng, q)
        np.testing.assert_allclose(target(x @ q), target(x), atol=1e-12)
        np.testing.assert_allclose(other(x @ q), net(x), rtol=1e-9, atol=1e-11)
        assert distance(net, other, symmetries) < 1e-12  # worst 5e-14
        assert gap(net, other, symmetries) < 1e-12
        assert distance(net, align(net, other, symmetries)) < 1e-12


@pytest.mark.parametrize(
    "weights",
    [
        np.ones((12, 12)) / 6,  # one neuron twelve times
        np.kron(np.eye(6), np.ones((2, 2))),  # pairs of copies that average pairs
        np.eye(12) + 0.5 * np.roll(np.eye(12), 1, 1),  # a cycle
        np.eye(12) - 0.1,  # all neurons alike
        np.diag([*np.ones(11), -2.0]),  # eleven copies, and one that turned around
        np.zeros((12, 12)),
    ],
)
@pytest.mark.parametrize("f", [A.relu, A.erf], ids=str)
def test_repeated_structure_does_not_hide_an_image(f, weights):
    rng = np.random.default_rng(4)
    target = jc.targets.orthonormal(12, 12, activation=f)
    net = with_rows(weights, np.ones(12), f)
    other = image(net, rng, orthonormal_map(rng, 12, 12))
    symmetries = target_symmetries(target)
    assert distance(net, other, symmetries) < 1e-13
    assert distance(net, align(net, other, symmetries)) < 1e-13


def test_neurons_that_nearly_coincide_are_matched_to_their_own_partners():
    """Costs that differ by 1e-16 of the largest decide here: worst of 100 draws 3e-14 at spreads of
    1e-6 to 1e-12.
    """
    rng = np.random.default_rng(5)
    w = np.concatenate([1 + 1e-8 * rng.normal(size=(6, 4)), 10 * rng.normal(size=(2, 4))])
    net = with_rows(w, np.ones(8), A.softplus)
    assert distance(net, image(net, rng)) < 1e-14


def test_a_sigmoid_turns_around_where_an_output_bias_takes_its_constant_up():
    net = network(6, 3, 4, A.sigmoid, bias=True, output_bias=True)
    flip = jnp.asarray([1.0, -1.0, 1.0])
    other = jc.TwoLayer(
        net.weights * flip[:, None],
        net.readout * flip,
        net.bias * flip,
        net.output_bias + net.readout[1],
        net.activation,
    )
    x = jax.random.normal(jax.random.key(0), (5, 4))
    np.testing.assert_allclose(other(x), net(x), atol=1e-14)
    assert distance(net, other) < 1e-14
    assert gap(net, other) < 1e-14
    np.testing.assert_allclose(align(net, other).output_bias, net.output_bias, atol=1e-14)


def test_rotations_of_the_inputs_count_only_where_they_fix_the_target():
    rng = np.random.default_rng(7)
    net = network(8, 3, 4, A.erf)
    target = jc.targets.orthonormal(2, 4, activation=A.erf)
    turned = image(net, rng, orthonormal_map(rng, 2, 4))
    assert distance(net, turned, target) < 1e-13
    assert distance(net, turned) > 0.1
    assert distance(net, image(net, rng, rotation(rng, 4)), target) > 0.1
    assert distance(net, image(net, rng, np.diag([-1.0, 1, 1, 1])), target) > 0.1


# — exact values and bounds
# ———————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize("f", [A.relu, A.erf, A.abs, A.softplus], ids=str)
@pytest.mark.parametrize(("n", "k", "d"), [(2, 3, 3), (3, 3, 3), (2, 2, 4)])
def test_distances_are_exact_in_the_span_and_bounds_elsewhere(f, n, k, d):
    target = jc.targets.orthonormal(k, d, activation=f)
    listed, relaxed = target_symmetries(target), target_symmetries(target, limit=1)
    for seed in range(4):
        a, b = network(20 + seed, n, d, f), network(30 + seed, n, d, f)
        if seed % 2:  # one network in the span
            a = with_rows(a.weights * (jnp.arange(d) < k)[None], a.readout, f)
        truth = exact(a, b, k)
        if seed % 2 or k == d:
            assert distance(a, b, listed) == pytest.approx(truth, rel=1e-12)
            assert distance(a, align(a, b, listed)) <= truth * (1 + 1e-12)
        for symmetries in (listed, relaxed):
            assert 0.4 * truth < distance(a, b, symmetries) <= truth * (1 + 1e-12)
            assert 0.2 * truth < gap(a, b, symmetries) <= truth * (1 + 1e-12)
            assert distance(a, align(a, b, symmetries), symmetries) == pytest.approx(
                distance(a, b, symmetries)
            )


@pytest.mark.parametrize("f", [A.relu, A.erf, A.abs, A.sigmoid], ids=str)
def test_aligning_moves_a_network_by_a_symmetry_and_nothing_else(f):
    target = network(40, 2, 5, f, outputs=2)
    a, b = (network(seed, 3, 5, f, outputs=2, bias=True, output_bias=True) for seed in (41, 42))
    moved = align(a, b, target)
    if f in (A.relu, A.erf):
        risks = [float(jc.population_risk(each, target)) for each in (b, moved)]
        assert risks[1] == pytest.approx(risks[0], rel=1e-12)
    assert distance(a, moved) <= distance(a, b) + 1e-12
    assert distance(b, moved, target) < 1e-12


def test_a_neuron_is_aligned_to_the_scale_of_its_partner():
    rng = np.random.default_rng(43)
    net = network(44, 4, 3, A.relu)
    moved = align(net, image(net, rng))
    np.testing.assert_allclose(moved.weights, net.weights, rtol=1e-13)
    np.testing.assert_allclose(moved.readout, net.readout, rtol=1e-13)


# — axioms
# ——————————————————————————————————————————————————————————————————————————————————————————————————

entries = st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0]) | st.floats(-3, 3, width=32)
AXIOMS = [
    (f, None if k is None else target_symmetries(jc.targets.orthonormal(k, 4, activation=f), limit))
    for f in (A.relu, A.erf, A.abs)
    for k, limit in ((None, 1), (3, 1000), (4, 1))
]


@st.composite
def triples(draw):
    """Three networks of three neurons in four dimensions, with zeros and repetitions."""
    f, symmetries = draw(st.sampled_from(AXIOMS))
    numbers = draw(st.lists(entries, min_size=45, max_size=45))
    nets = [with_rows(rows[:, :4], rows[:, 4], f) for rows in np.reshape(numbers, (3, 3, 5))]
    return nets, symmetries


@settings(max_examples=200, deadline=None, derandomize=True)
@given(triples())
def test_the_distance_is_a_pseudometric(given_networks):
    (a, b, c), symmetries = given_networks
    ab, bc, ac = (distance(x, y, symmetries) for x, y in ((a, b), (b, c), (a, c)))
    assert distance(a, a, symmetries) < 1e-12
    assert distance(b, a, symmetries) == pytest.approx(ab, abs=1e-12)
    assert ac <= ab + bc + 1e-12
    assert gap(a, b, symmetries) <= distance(a, align(a, b, symmetries)) + 1e-12
    assert ab <= distance(a, align(a, b, symmetries)) + 1e-12


# — points that are known to be distinct
# ——————————————————————————————————————————————————————————————————————————————


def partitions(k, n, least=1):
    """The partitions of `k` into `n` parts."""
    if n == 1:
        return [(k,)] if k >= least else []
    return [
        (first, *rest)
        for first in range(least, k // n + 1)
        for rest in partitions(k - first, n - 1, first)
    ]


@pytest.mark.parametrize(("n", "k"), [(3, 6), (5, 12)])
def test_copies_and_averages_of_different_partitions_are_apart(n, k):
    rng = np.random.default_rng(50)
    symmetries = target_symmetries(jc.targets.orthonormal(k, k + 1, activation=A.erf))
    points = [copy_average(partition, k + 1) for partition in partitions(k, n)]
    for i, a in enumerate(points):
        for j, b in enumerate(points):
            other = image(b, rng, orthonormal_map(rng, k, k + 1))
            found = distance(a, other, symmetries)
            assert found < 1e-13 if i == j else found > 0.5
            assert (
                (gap(a, other, symmetries) < 1e-13) if i == j else (gap(a, other, symmetries) > 0.1)
            )


def test_one_cycle_of_neurons_is_not_two():
    """Every neuron and every target sees the same in both: only inner products across the network
    differ.
    """
    symmetries = target_symmetries(jc.targets.orthonormal(12, 12, activation=A.erf))
    one = np.eye(12) + 0.5 * np.roll(np.eye(12), 1, 1)
    two = np.kron(np.eye(2), np.eye(6) + 0.5 * np.roll(np.eye(6), 1, 1))
    a, b = with_rows(one, np.ones(12), A.erf), with_rows(two, np.ones(12), A.erf)
    assert distance(a, b, symmetries) > 1e-3
    # two entries of one half moved: an upper bound
    assert distance(a, align(a, b, symmetries)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("f", "starts", "levels"),
    [
        (A.relu, [np.eye(2, 4), np.ones((2, 4)) / 2], [0.384746413873]),
        (
            A.erf,
            [np.eye(6, 8), copy_average((1, 1, 1, 1, 1, 3), 8).weights],
            [0.040593177314, 0.041364548462],
        ),
    ],
    ids=["relu", "erf"],
)
def test_minima_that_are_found_are_as_many_points_as_risks(f, starts, levels):
    """The reference minima, found by SciPy from two starts, each moved about by noise and by
    symmetries.
    """
    n, k = starts[0].shape
    target = jc.targets.orthonormal(k, k, activation=f)
    slope = jax.jit(jax.value_and_grad(lambda net: jc.population_risk(net, target)))

    def of(numbers):
        return with_rows(numbers[: n * k].reshape(n, k), numbers[n * k :], f)

    def value_and_slope(numbers):
        value, gradient = slope(of(numbers))
        return float(value), np.concatenate(
            [np.ravel(gradient.weights), np.ravel(gradient.readout)]
        )

    rng = np.random.default_rng(51)
    found = []
    for weights in [*starts, *starts]:
        noisy = weights + 0.1 * rng.normal(size=(n, k))
        start = image(with_rows(noisy, np.ones(n), f), rng, orthonormal_map(rng, k, k), scale=False)
        numbers = np.concatenate([np.ravel(start.weights), np.ravel(start.readout)])
        found.append(scipy.optimize.minimize(value_and_slope, numbers, jac=True, tol=1e-9))
    risks = np.array([each.fun for each in found])
    assert np.all(np.min(np.abs(risks[:, None] - np.array(levels)[None]), axis=0) < 1e-10)
    symmetries = target_symmetries(target)
    for one, other in itertools.combinations(found, 2):
        a, b = of(one.x), of(other.x)
        if abs(one.fun - other.fun) < 1e-10:
            assert distance(a, align(a, b, symmetries)) < 1e-5
        else:
            assert distance(a, b, symmetries) > 1e-2


# — degenerate cases
# ——————————————————————————————————————————————————————————————————————————————————————————————————


def test_duplicated_neurons_are_not_their_sum():
    rng = np.random.default_rng(60)
    row = rng.normal(size=(1, 3))
    halves = with_rows(np.repeat(row, 2, 0), [0.5, 0.5], A.erf)
    thirds = with_rows(np.repeat(row, 2, 0), [1 / 3, 2 / 3], A.erf)
    assert distance(halves, image(halves, rng)) < 1e-15
    assert distance(halves, thirds) == pytest.approx(math.sqrt(2) / 6)


def test_a_homogeneous_neuron_that_carries_nothing_is_nowhere_in_particular():
    """Scaling moves it to zero, whatever its weights: a distance that scaling leaves alone cannot
    see them.
    """
    for dead in ([[1.0, 2.0]], [[0.0, 0.0]], [[-3.0, 1e-9]]):
        a = with_rows([[1.0, 1.0], *dead], [2.0, 0.0], A.relu)
        b = with_rows([[1.0, 1.0], [0.0, 0.0]], [2.0, 5.0], A.relu)
        assert distance(a, b) < 1e-15
        assert gap(a, b) < 1e-15
        assert np.all(np.isfinite(align(a, b).weights))
    erf = [with_rows([[1.0, 1.0], dead], [2.0, 0.0], A.erf) for dead in ([1.0, 0.0], [0.0, 0.0])]
    assert distance(*erf) == pytest.approx(1.0)


def test_norms_at_the_edge_of_the_numbers_have_distances():
    rng = np.random.default_rng(61)
    net = network(62, 3, 4, A.relu)
    for factor in (1e-140, 1e140):
        other = jc.TwoLayer(net.weights * factor, net.readout / factor, activation=A.relu)
        assert distance(net, image(other, rng)) < 1e-13
        assert gap(net, other) < 1e-13


def test_float32_networks_are_compared_to_their_precision():
    rng = np.random.default_rng(63)
    target = jc.TwoLayer(
        jnp.eye(3, 4, dtype=jnp.float32), jnp.ones(3, jnp.float32), activation=A.relu
    )
    net = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), network(64, 3, 4, A.relu))
    other = image(net, rng, orthonormal_map(rng, 3, 4))
    assert distance(net, other, target) < 1e-6
    assert gap(net, other, target) < 3e-6
    assert fingerprint(net, target).dtype == align(net, other, target).weights.dtype == jnp.float32


def test_fingerprints_of_many_networks_are_those_of_each():
    target = jc.targets.orthonormal(4, 5, activation=A.relu)
    symmetries = target_symmetries(target)
    many = jc.initialize.glorot_normal(jax.random.key(1), 3, 5, activation=A.relu, runs=6)
    prints = jax.jit(jax.vmap(lambda net: fingerprint(net, symmetries)))(many)
    for i in range(6):
        np.testing.assert_allclose(prints[i], fingerprint(run(many, i), target), atol=1e-14)


# — what is refused
# ——————————————————————————————————————————————————————————————————————————————————————————————————

NET = network(70, 3, 4, A.relu)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (NET, network(71, 2, 4, A.relu)),
            r"given .*\(3, 4.*\(2, 4.*expected networks of the same sizes",
        ),
        ((NET, network(71, 3, 4, A.erf)), "relu.*erf.*same sizes, biases, activation"),
        ((NET, network(71, 3, 4, A.relu, bias=True)), "biases"),
        ((NET, jax.tree.map(lambda leaf: leaf.astype(jnp.float32), NET)), "float32.*cast"),
        (
            (jax.tree.map(lambda leaf: leaf[None], NET), NET),
            r"given a, \(1, 3, 4\).*out of the batch",
        ),
        ((NET, 3), "given b, int"),
        ((NET, jc.TwoLayer(NET.weights * jnp.nan, NET.readout)), "distance: b.*NaN"),
        (
            (NET, NET, jc.targets.orthonormal(2, 3, activation=A.relu)),
            r"dimension 3.*weights \(3, 4\)",
        ),
        ((NET, NET, network(72, 2, 4, A.relu, outputs=2)), "outputs of the networks"),
        ((NET, NET, jc.relu_moments(1.0, jnp.ones(4))), "TargetMoments.*moments do not tell"),
        (
            (NET, NET, jax.tree.map(lambda leaf: leaf[None], NET)),
            r"distance: given a target, \(1, 3, 4\)",
        ),
    ],
)
def test_networks_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        distance(*arguments)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda target: jc.landscape.distance(NET, NET, target), "distance"),
        (lambda target: jc.landscape.align(NET, NET, target), "align"),
        (lambda target: jc.landscape.fingerprint(NET, target), "fingerprint"),
        (lambda target: jc.landscape.classify(NET, target), "classify"),
        (lambda target: jc.landscape.target_symmetries(target), "target_symmetries"),
    ],
)
def test_a_target_that_does_not_fit_is_refused_by_the_function_that_was_called(call, name):
    for target in (jax.tree.map(lambda leaf: leaf[None], NET), jc.relu_moments(1.0, jnp.ones(4))):
        with pytest.raises(ValueError, match=f"^{name}: given"):
            call(target)


def test_what_a_trace_hides_is_not_compared():
    for call in (lambda net: distance(net, NET), lambda net: distance(NET, NET, net)):
        with pytest.raises(ValueError, match=r"expected concrete ones.*call it outside"):
            jax.jit(call)(NET)
