"""From one width to the next: split, merge, drop, grow, and the risk on the lines between networks.

Oracles: quadrature in two dimensions with the derivatives of erf written down, least squares on its
nodes, and the risk of `erf_oracle` under SciPy's minimiser.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special

import jaxcompress as jc
from jaxcompress.landscape import (
    census,
    distance,
    drop,
    escape_matrix,
    grow,
    merge,
    risk_along,
    split,
    splitting_spectrum,
)
from jaxcompress.landscape.width_steps._growing import extended, residual
from jaxcompress.theory import copy_average
from tests import erf_oracle
from tests.problems import network, run

RELU, ERF, SIGMOID = jc.activations.relu, jc.activations.erf, jc.activations.sigmoid
POINTS = jnp.asarray(np.random.default_rng(0).normal(size=(50, 3)))

# Against four orthonormal erf neurons: the minima of two and of three neurons.
TARGET = jc.targets.orthonormal(4, 4, activation=ERF)
TWO, THREE = (copy_average(TARGET, sizes) for sizes in [(1, 3), (1, 1, 2)])


def _quadrature(count=100):
    """Nodes and weights of two standard normal inputs."""
    x, w = np.polynomial.hermite_e.hermegauss(count)
    grid = np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2)
    return grid, np.outer(w, w).ravel() / (2 * np.pi)


def _rich(seed, width, dim=3):
    """A network with everything."""
    return network(seed, width, dim, ERF, outputs=2, bias=True, output_bias=True)


@pytest.mark.parametrize("net", [network(1, 1, 3, RELU), _rich(2, 3)], ids=["one", "rich"])
def test_a_split_keeps_the_function_for_any_share(net):
    shares = np.array([-0.5, 0.0, 0.3, 1.0, 2.0])
    many = split(net, 0, shares)
    assert many.weights.shape == (5, net.width + 1, 3)
    for i, share in enumerate(shares):
        np.testing.assert_allclose(run(many, i)(POINTS), net(POINTS), atol=1e-14)
        np.testing.assert_allclose(run(many, i).readout[0], share * net.readout[0], rtol=1e-15)
        np.testing.assert_array_equal(split(net, 0, share).weights, run(many, i).weights)


def test_the_escape_matrix_is_the_bend_of_the_activation_against_the_residual_by_quadrature():
    student, target = _rich(3, 2, 2), _rich(4, 3, 2)
    nodes, weights = _quadrature()
    away = np.asarray(student(jnp.asarray(nodes)) - target(jnp.asarray(nodes)))
    extended_nodes = np.concatenate([nodes, np.ones((len(nodes), 1))], 1)
    for i in range(2):
        z = nodes @ np.asarray(student.weights[i]) + float(student.bias[i])
        bend = -z * np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2)  # erf(z/√2)″
        density = 2 * weights * bend * (away @ np.asarray(student.readout[i]))
        expected = np.einsum("m,mi,mj->ij", density, extended_nodes, extended_nodes)
        np.testing.assert_allclose(escape_matrix(student, target, i), expected, atol=1e-10)


@pytest.mark.parametrize("f", [ERF, RELU], ids=str)
def test_halves_that_part_change_the_risk_by_the_escape_matrix_at_any_network(f):
    student, target = network(5, 2, 3, f), network(6, 3, 3, f)
    shift, step = np.random.default_rng(7).normal(size=3), 1e-3
    matrix = np.asarray(escape_matrix(student, target, 1))
    for share in (0.3, -0.4):

        def parted(t, share=share):
            halves = split(student, 1, share)
            weights = (
                halves.weights.at[1].add((1 - share) * t * shift).at[2].add(-share * t * shift)
            )
            return float(
                jc.population_risk(jc.TwoLayer(weights, halves.readout, activation=f), target)
            )

        bend = (parted(step) - 2 * parted(0.0) + parted(-step)) / step**2
        # for ReLU the third derivative jumps at the line, and differences are good to their step
        tolerance = 1e-4 if f == ERF else 1e-2
        assert (
            abs(bend - share * (1 - share) * shift @ matrix @ shift)
            <= tolerance * np.abs(matrix).max()
        )


def test_the_index_of_a_split_minimum_is_what_the_escape_matrix_and_finite_differences_say():
    shares = np.array([-0.5, 0.25, 0.5, 1.5])
    # a neuron that copies, and one that averages over three
    for neuron, leaving in ((0, 0), (1, 2)):
        values = np.linalg.eigvalsh(escape_matrix(TWO, TARGET, neuron))
        assert (values < -1e-10).sum() == leaving
        assert (values > 1e-10).sum() == 0
        found = splitting_spectrum(TWO, TARGET, neuron, shares)
        np.testing.assert_array_equal(found.index, [0, leaving, leaving, 0])
        for i, share in enumerate(shares):
            slope, expected = erf_oracle.certificate(split(TWO, neuron, share), TARGET)
            assert slope <= 1e-13
            np.testing.assert_allclose(found.eigenvalues[i], expected, atol=1e-8)
            assert (expected < -1e-7).sum() == found.index[i]
    one = jax.eval_shape(lambda share: splitting_spectrum(TWO, TARGET, 1, share), 0.5)
    assert (one.eigenvalues.shape, one.index.shape) == ((15,), ())


def _away(net, neuron, size=1e-3):
    """The network split in halves, which part along the way out."""
    values, vectors = np.linalg.eigh(escape_matrix(net, TARGET, neuron))
    assert values[0] < 0
    halves, shift = split(net, neuron), size * vectors[:, 0] / 2
    return jc.TwoLayer(
        halves.weights.at[neuron].add(shift).at[-1].add(-shift), halves.readout, activation=ERF
    )


def test_the_way_out_of_the_split_average_leads_to_the_next_minimum():
    up = jc.solve(_away(TWO, 1), TARGET)
    assert int(up.index) == 0
    assert distance(up.network, THREE, TARGET) <= 1e-8  # 4e-14
    line = risk_along((split(TWO, 1, 0.0), split(TWO, 1), up.network), TARGET, np.linspace(0, 2, 7))
    np.testing.assert_allclose(line[:4], line[0], rtol=1e-12)
    # level along the split, then over a hill
    assert float(line[-1]) < float(line[0]) < float(line.max())


def test_a_perfect_network_that_loses_a_neuron_keeps_its_symmetry_and_its_index_says_so():
    down = drop(TARGET, TARGET)
    np.testing.assert_allclose(down.candidates, down.candidates[0], rtol=1e-12)
    assert float(down.risk_before) <= 1e-15
    assert bool(down.solution.converged)
    assert jc.population_risk(THREE, TARGET) < down.risk < down.candidates[0]
    slope, values = erf_oracle.certificate(down.network, TARGET)
    assert slope <= 1e-10
    assert int(down.solution.index) == (values < -1e-7).sum() == 2
    way = np.linalg.norm(down.network.weights[0] - down.network.weights[1])
    other = np.linalg.norm(down.network.weights[0] - down.network.weights[2])
    assert abs(way - other) <= 1e-8  # three neurons, alike


def test_a_copy_is_dropped_before_an_average():
    out = drop(THREE, TARGET, refit=False)
    assert int(out.neuron) != int(jnp.argmax(THREE.readout))
    np.testing.assert_allclose(out.risk_before, jc.population_risk(THREE, TARGET), rtol=1e-12)


def test_growing_finds_the_best_new_neuron_and_then_the_next_minimum():
    grown = grow(TWO, TARGET, key=jax.random.key(0), num_starts=8)
    start = grown.start
    np.testing.assert_array_equal(start.weights[:2], TWO.weights)
    np.testing.assert_array_equal(start.readout[:2], TWO.readout)

    def with_neuron(z):
        weights = np.concatenate([TWO.weights, z[None, :4]])
        return erf_oracle.risk(
            weights, np.append(TWO.readout, z[4]), np.asarray(TARGET.weights), np.ones(4)
        )

    draws = np.random.default_rng(1).normal(size=(12, 5))
    best = min(
        scipy.optimize.minimize(with_neuron, draw, options={"gtol": 1e-8}).fun for draw in draws
    )
    assert abs(float(jc.population_risk(start, TARGET)) - best) <= 1e-9
    assert best < grown.risk_before - 1e-3  # 0.0383 of 0.0406
    assert distance(grown.network, THREE, TARGET) <= 1e-8
    assert grown.risk < best


def test_one_neuron_alone_averages_in_one_row_of_a_census():
    # three targets, written as six neurons in four dimensions: the solver that `grow` has compiled
    goal = jc.TwoLayer(jnp.eye(6, 4), jnp.array([1.0, 1, 1, 0, 0, 0]), activation=ERF)
    law = {
        "width": 1,
        "dim": 4,
        "activation": ERF,
        "outputs": None,
        "bias": False,
        "dtype": jnp.dtype("float64"),
    }
    starts = jc.initialize.Starts(jax.random.key(0), 8, jc.initialize.glorot_normal, **law)
    (row,) = census(starts, goal, max_steps=4096)
    assert (row.name, row.count, row.index) == ("copy–average 3", 8, 0)
    assert row.risk == pytest.approx(0.040593177313953954, abs=1e-13)


@pytest.mark.parametrize("biases", [(True, True), (False, True), (True, False)])
def test_the_residual_is_the_difference_of_the_functions_whichever_has_biases(biases):
    nets = [
        network(8 + i, 2 + i, 3, ERF, outputs=2, bias=b, output_bias=b)
        for i, b in enumerate(biases)
    ]
    np.testing.assert_allclose(
        residual(*nets)(POINTS), nets[1](POINTS) - nets[0](POINTS), atol=1e-14
    )
    bare = network(10, 1, 3, ERF, outputs=2, bias=biases[0])
    np.testing.assert_allclose(
        extended(nets[0], bare)(POINTS), nets[0](POINTS) + bare(POINTS), atol=1e-14
    )


def test_candidates_for_dropping_are_least_squares_on_quadrature_nodes():
    student, target = _rich(11, 3, 2), _rich(12, 3, 2)
    nodes, weights = _quadrature()
    hidden = scipy.special.erf(
        (nodes @ np.asarray(student.weights).T + np.asarray(student.bias)) / np.sqrt(2)
    )
    root = np.sqrt(weights)[:, None]
    aim = root * np.asarray(target(jnp.asarray(nodes)))
    columns = np.concatenate([hidden, np.ones((len(nodes), 1))], 1)
    expected = []
    for i in range(3):
        kept = root * np.delete(columns, i, axis=1)
        expected.append(((kept @ np.linalg.lstsq(kept, aim, rcond=None)[0] - aim) ** 2).sum())
    out = drop(student, target, refit=False)
    np.testing.assert_allclose(out.candidates, expected, atol=1e-10)
    assert int(out.neuron) == np.argmin(expected)
    assert out.network.width == 2
    np.testing.assert_allclose(out.risk, min(expected), atol=1e-10)
    np.testing.assert_array_equal(out.start.readout, out.network.readout)


def test_what_adds_nothing_is_dropped_first():
    student, target = network(13, 3, 3, ERF), network(14, 3, 3, ERF)
    idle = jc.TwoLayer(student.weights, student.readout.at[1].set(0), activation=ERF)
    assert int(drop(idle, target, refit=False).neuron) == 1
    again = jc.TwoLayer(target.weights.at[2].set(target.weights[0]), target.readout, activation=ERF)
    # one of two equal neurons costs nothing: the other takes its readout
    out = drop(again, again, refit=False)
    assert int(out.neuron) in (0, 2)
    assert float(out.risk) <= 1e-13
    assert float(out.candidates[1]) > 1e-2


def _with_rows(net, **rows):
    """The network with some rows of some arrays replaced."""
    arrays = {
        name: net.parameters().get(name) for name in ("weights", "readout", "bias", "output_bias")
    }
    arrays.update({name: arrays[name].at[1].set(row) for name, row in rows.items()})
    return jc.TwoLayer(**arrays, activation=net.activation)


def _mergeable():
    relu = network(15, 3, 3, RELU, outputs=2, bias=True)
    yield "scaled", _with_rows(relu, weights=3 * relu.weights[0], bias=3 * relu.bias[0])
    erf = network(16, 3, 3, ERF, bias=True)
    yield "equal", _with_rows(erf, weights=erf.weights[0], bias=erf.bias[0])
    yield "opposite", _with_rows(erf, weights=-erf.weights[0], bias=-erf.bias[0])
    yield "idle", _with_rows(erf, readout=0.0)
    yield "no weights", _with_rows(network(17, 3, 3, RELU), weights=jnp.zeros(3))
    even = network(18, 3, 3, jc.activations.cos)
    yield "even", _with_rows(even, weights=-even.weights[0])
    # sigmoid(−z) = 1 − sigmoid(z)
    logistic = network(19, 3, 3, SIGMOID, outputs=2, output_bias=True)
    yield "odd up to a constant", _with_rows(logistic, weights=-logistic.weights[0])
    jump = network(20, 3, 3, jc.activations.step, output_bias=True)
    yield "degree zero", _with_rows(jump, weights=-0.5 * jump.weights[0])


@pytest.mark.parametrize("net", [pytest.param(net, id=name) for name, net in _mergeable()])
def test_neurons_that_are_equal_by_symmetry_merge_into_one_with_the_same_function(net):
    for pair in ((0, 1), (1, 0)):
        merged = merge(net, *pair)
        assert merged.width == 2
        np.testing.assert_allclose(merged(POINTS), net(POINTS), atol=1e-13)


def test_a_split_is_undone_by_a_merge():
    net = _rich(21, 2)
    for share in (0.3, -1.0, 0.0):
        merged = merge(split(net, 1, share), 1, 2)
        for one, other in zip(jax.tree.leaves(merged), jax.tree.leaves(net), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-14)


@pytest.mark.parametrize("opposite", [False, True])
def test_other_neurons_merge_into_the_one_that_is_nearest_to_both(opposite):
    net = network(22, 3, 3, ERF)
    if opposite:  # relatives of one another, but of no symmetry
        net = jc.TwoLayer(net.weights.at[2].set(-2 * net.weights[0]), net.readout, activation=ERF)
    merged = merge(net, 0, 2)
    np.testing.assert_array_equal(merged.weights[1], net.weights[1])
    V, b = np.asarray(net.weights)[[0, 2]], np.asarray(net.readout)[[0, 2]]

    def error(z):
        return erf_oracle.risk(z[None, :3], z[3:], V, b)

    draws = np.random.default_rng(2).normal(size=(12, 4))
    best = min(scipy.optimize.minimize(error, draw, options={"gtol": 1e-8}).fun for draw in draws)
    assert error(np.append(merged.weights[0], merged.readout[0])) <= best + 1e-9


def test_the_risk_along_lines_is_that_of_the_networks_between():
    a, b, c = (network(seed, 3, 4, ERF) for seed in (23, 24, 25))
    points = np.array([-0.5, 0.0, 0.3, 1.0, 1.6, 2.0, 2.5])
    found = risk_along((a, b, c), TARGET, points)
    for t, value in zip(points, found, strict=True):
        first, last, s = (a, b, t) if t < 1 else (b, c, t - 1)
        pairs = (first.weights, last.weights), (first.readout, last.readout)
        weights, readout = (np.asarray((1 - s) * x + s * y) for x, y in pairs)
        expected = erf_oracle.risk(weights, readout, np.asarray(TARGET.weights), np.ones(4))
        np.testing.assert_allclose(value, expected, rtol=1e-12)
    lines = risk_along(split(TWO, 1, np.array([0.0, 0.5, 1.0])), TARGET, np.linspace(-1, 3, 7))
    np.testing.assert_allclose(lines, jc.population_risk(TWO, TARGET), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: drop(network(0, 1, 4, ERF), TARGET), "given a network of one neuron"),
        (lambda: drop(network(0, 2, 3, ERF), TARGET), "expected the same"),
        (
            lambda: grow(network(0, 2, 4, RELU), TARGET, key=jax.random.key(0)),
            "of relu and a target of erf",
        ),
        (lambda: split(TWO, 2), "given neuron=2; expected 0 or 1"),
        (lambda: split(TWO, 0.5), "given neuron=0.5"),
        (lambda: split(split(TWO, 0, np.zeros(2)), 0), "expected one TwoLayer"),
        (lambda: split(TWO, 0, np.zeros((2, 2))), "given shares of shape"),
        (lambda: split(TWO, 0, np.nan), "split: given share with NaN"),
        (lambda: escape_matrix(TWO, network(0, 2, 4, ERF, outputs=2), 0), "2 outputs"),
        (lambda: merge(TWO, 1, 1), "given neuron 1 twice"),
        (
            lambda: risk_along((TWO, THREE), TARGET, np.zeros(1)),
            "expected two or more networks of the same shapes",
        ),
        (lambda: risk_along(TWO, TARGET, np.zeros(1)), "pass a pair"),
        (lambda: risk_along((TWO, TWO), TARGET, 0.5), "given points of shape"),
        (
            lambda: risk_along((TWO, TWO), TARGET, np.array([np.nan])),
            "risk_along: given points with NaN",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
