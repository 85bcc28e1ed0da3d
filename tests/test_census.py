"""Censuses: the reference minima with their frequencies, modes and names; merging, storing, labels.

One compiled solver of (3, 6) erf and one of (2, 4) ReLU serve all tests: narrower targets have
neurons of no readout. The census of one neuron alone is in `test_splitting`, and that of saddles in
`test_critical`, whose solvers they share.
"""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.landscape import (
    census_of,
    distance,
    load_census,
    save_census,
    split,
    target_symmetries,
)
from jaxcompress.landscape.symmetry._modes import symmetry_modes
from tests.problems import network, run

A = jc.activations
STARTS = 96
ERF_MINIMUM = 0.05675452774074975  # shared/reference: n = 3, k = 6
RELU_MINIMUM = 0.384746413873  # n = 2, k = 4
RELU_ONE = (
    4 / 2
    + 4 * 3 / (2 * math.pi)
    - (8 * ((math.sqrt(3) + math.pi - math.acos(0.5)) / (4 * math.pi))) ** 2 / 2
)


@functools.cache
def solved(f, n, k, felt=None):
    """Ends of starts against `k` orthonormal neurons, of which the first `felt` have a readout."""
    target = jc.targets.orthonormal(k, k, activation=f)
    if felt is not None:
        target = eqx.tree_at(
            lambda net: net.readout, target, jnp.where(jnp.arange(k) < felt, 1.0, 0.0)
        )
    students = jc.initialize.glorot_normal(jax.random.key(0), n, k, activation=f, runs=STARTS)
    return jc.solve_many(students, target), target


@jax.jit
def risks(networks, target, inputs):
    return jax.vmap(lambda network: jc.population_risk(network, target, inputs=inputs))(networks)


def as_if(solutions, target, inputs=None):
    """The same ends, with the risks that they would have in another problem."""
    return eqx.tree_at(lambda s: s.risk, solutions, risks(solutions.network, target, inputs))


@functools.cache
def taken(f, n, k):
    return census_of(*solved(f, n, k))


def test_all_starts_of_three_against_six_end_at_the_reference_minimum_and_it_is_named():
    found = taken(A.erf, 3, 6)
    (row,) = found
    assert row.risk == pytest.approx(ERF_MINIMUM, abs=1e-13)
    assert (row.name, row.index, row.count) == ("copy–average 4+1+1", 0, STARTS)
    assert row.classification.distance < 1e-10
    assert (row.zero_modes, row.symmetry_modes) == (0, 0)
    assert row.eigenvalues[0] == pytest.approx(0.001266, abs=1e-6)  # work B's


def test_relu_has_the_reference_minimum_with_one_zero_mode_a_neuron_and_a_boundary():
    found = taken(A.relu, 2, 4)
    first, second, *_ = found
    assert first.risk == pytest.approx(RELU_MINIMUM, abs=1e-11)
    assert (first.zero_modes, first.symmetry_modes, first.index) == (2, 2, 0)
    assert first.name == "perturbed copy–average 3+1"
    # where a neuron dies, or joins the other, one neuron averages all: one row, two names
    assert second.risk == pytest.approx(RELU_ONE, abs=1e-12)
    assert set(second.names) <= {"copy–average 4, 1 repeated", "copy–average 4, 1 at zero"}
    assert sum(row.count for row in found) + found.unconverged == STARTS
    assert all(row.classification.kind != "unknown" for row in found)


def test_modes_outside_of_the_span_are_counted_as_the_dimension_of_their_orbit():
    goal = jc.targets.orthonormal(2, 5, activation=A.tanh)
    symmetries = target_symmetries(goal)
    net = network(0, 2, 5, A.tanh)
    tangents = []
    for i, j in ((2, 3), (2, 4), (3, 4)):
        turn = np.zeros((5, 5))
        turn[i, j], turn[j, i] = 1, -1
        tangents.append(np.ravel(net.weights @ turn))
    assert symmetry_modes(net, symmetries, ()) == np.linalg.matrix_rank(tangents) == 3
    assert symmetry_modes(net, symmetries, ("weights",)) == 0
    assert symmetry_modes(network(0, 2, 5, A.relu), symmetries, ()) == 3 + 2
    assert symmetry_modes(network(0, 2, 5, A.relu), symmetries, ("readout",)) == 3
    assert (
        symmetry_modes(network(0, 2, 5, A.sign), symmetries, ("readout",)) == 3 + 2
    )  # sign needs no readout for it
    # one more dimension turns freely
    dead = eqx.tree_at(lambda net: net.readout, goal, jnp.array([1.0, 0.0]))
    assert symmetry_modes(network(0, 1, 5, A.tanh), target_symmetries(dead), ()) == 3


def test_frequencies_carry_wilsons_interval():
    found = taken(A.relu, 2, 4)
    for i, row in enumerate(found):
        share, low, high = found.frequency(i)
        p, n, z = row.count / STARTS, STARTS, 1.959963984540054
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        assert share == p
        assert (low, high) == pytest.approx(
            ((middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n))
        )


def test_a_merged_census_is_the_census_of_all_starts():
    solutions, target = solved(A.relu, 2, 4)
    halves = [census_of(solutions[part], target) for part in (slice(0, 40), slice(40, STARTS))]
    merged, whole = halves[0].merge(halves[1]), taken(A.relu, 2, 4)
    assert [row.count for row in merged] == [row.count for row in whole]
    assert [set(row.names) for row in merged] == [set(row.names) for row in whole]
    np.testing.assert_allclose(
        [row.risk for row in merged], [row.risk for row in whole], rtol=1e-12
    )
    assert merged.runs == STARTS
    nothing = census_of(
        eqx.tree_at(lambda s: s.converged, solutions, jnp.zeros(STARTS, bool)), target
    )
    for one, other in ((nothing, whole), (whole, nothing)):
        both = one.merge(other)
        assert [row.count for row in both] == [row.count for row in whole]
        assert (both.runs, both.unconverged) == (2 * STARTS, STARTS + whole.unconverged)
    with pytest.raises(ValueError, match="given censuses with activation relu and erf"):
        merged.merge(taken(A.erf, 3, 6))
    laws = [
        jc.Gaussian(jnp.zeros(4), jnp.diag(jnp.array([1.0, 1, 1, last]))) for last in (2.0, 7.0)
    ]
    one, other = (census_of(as_if(solutions, target, law), target, inputs=law) for law in laws)
    with pytest.raises(ValueError, match="given censuses with inputs 'Gaussian"):
        one.merge(other)
    larger = jc.targets.orthonormal(4, 4, activation=A.relu, readout=1.5)
    other = census_of(as_if(solutions, larger), larger)
    with pytest.raises(ValueError, match="given censuses of two targets"):
        whole.merge(other)
    with pytest.raises(ValueError, match="given int"):
        merged.merge(3)


def test_a_stored_census_comes_back_and_can_be_merged(tmp_path):
    found = taken(A.relu, 2, 4)
    save_census(tmp_path / "census.npz", found)
    back = load_census(tmp_path / "census.npz")
    assert back.columns() == found.columns()
    assert str(back) == str(found)
    for one, other in zip(back, found, strict=True):
        np.testing.assert_array_equal(one.eigenvalues, other.eigenvalues)
        np.testing.assert_array_equal(one.network.weights, other.network.weights)
    assert [row.count for row in back.merge(found)] == [2 * row.count for row in found]
    jc.save(tmp_path / "network.npz", found[0].network)
    with pytest.raises(ValueError, match=r"network\.npz: given an archive with"):
        load_census(tmp_path / "network.npz")


def test_a_census_is_a_table_with_labels():
    found = taken(A.relu, 2, 4)
    columns = found.columns()
    assert {len(values) for values in columns.values()} == {len(found)}
    data = found.to_xarray()
    assert data.sizes["row"] == len(found)
    assert data["weights"].dims == ("row", "neuron", "input")
    np.testing.assert_array_equal(data["count"], columns["count"])
    frame = data[["risk", "count", "name"]].to_dataframe()
    assert list(frame["name"]) == columns["name"]
    assert data.attrs["runs"] == STARTS


def test_rows_are_distinct_points_and_representatives_are_critical():
    found = taken(A.relu, 2, 4)
    target = found.target
    slope = jax.jit(jax.grad(jc.population_risk))
    for i, row in enumerate(found):
        gradient = slope(row.network, target)
        assert max(float(np.max(np.abs(leaf))) for leaf in jax.tree.leaves(gradient)) < 1e-9
        for other in found.rows[:i]:
            assert distance(row.network, other.network, target) > 1e-2


def test_families_keep_the_indices_of_all_their_members():
    target = jc.targets.orthonormal(6, 6, activation=A.erf)
    halves = split(
        jc.theory.copy_average(target, (1, 5)), 1, jnp.tile(jnp.array([0.5, 1.5]), STARTS // 2)
    )
    solutions = jc.solve_many(halves, target)  # critical points stay where they are
    found = census_of(solutions, target)
    # Fukumizu & Amari 2000: between the halves, and outside
    assert sorted(solutions.index.tolist()) == [0] * (STARTS // 2) + [4] * (STARTS // 2)
    (row,) = found
    assert row.indices == (0, 4)
    assert "0|4" in str(found)


def test_in_float32_ends_of_one_point_are_one_row():
    solutions, target = solved(A.erf, 3, 6)
    single = jax.tree.map(
        lambda leaf: leaf.astype("float32") if leaf.dtype == jnp.float64 else leaf, solutions
    )
    noise = 1e-5 * jax.random.normal(jax.random.key(1), single.network.weights.shape, "float32")
    single = eqx.tree_at(
        lambda s: (s.network.weights, s.risk, s.risk_floor),
        single,
        (
            single.network.weights + noise,
            single.risk + noise[:, 0, 0] / 20,
            jnp.full(STARTS, 1e-6, "float32"),
        ),
    )
    (row,) = census_of(single, jax.tree.map(lambda leaf: leaf.astype("float32"), target))
    assert (row.count, row.name) == (STARTS, "copy–average 4+1+1")


@pytest.mark.parametrize(
    ("f", "n", "k", "felt"), [(A.erf, 3, 6, 2), (A.relu, 2, 4, 1)], ids=["erf", "relu"]
)
def test_more_students_than_targets_realise_it_in_one_row_whatever_the_extra_neuron_does(
    f, n, k, felt
):
    solutions, target = solved(f, n, k, felt)
    found = census_of(solutions, target)
    best = found[0]
    assert best.risk < 1e-12
    assert best.classification.kind == "target"
    assert all(name.startswith("the target, 1 ") for name in best.names)
    assert best.count == int(jnp.sum(solutions.converged & (solutions.risk < 1e-12)))
    assert best.count >= STARTS // 2
    assert len([row for row in found if row.risk < 1e-9]) == 1


def test_a_census_equals_itself_alone_and_its_tolerance_may_be_an_array(tmp_path):
    solutions, target = solved(A.erf, 3, 6)
    found = census_of(solutions, target, tolerance=jnp.asarray(1e-6))
    save_census(tmp_path / "census.npz", found)
    again = load_census(tmp_path / "census.npz")
    assert str(again) == str(found)
    assert (found == found, found == again, found[0] == again[0]) == (True, False, False)
    assert len({found, again, found[0]}) == 3


def test_ends_that_did_not_converge_are_counted_and_in_no_row():
    solutions, target = solved(A.erf, 3, 6)
    spoiled = eqx.tree_at(lambda s: s.converged, solutions, jnp.arange(STARTS) >= 5)
    found = census_of(spoiled, target)
    assert (found.runs, found.unconverged, found[0].count) == (STARTS, 5, STARTS - 5)
    assert "5 not converged" in str(found)
    nothing = census_of(
        eqx.tree_at(lambda s: s.converged, solutions, jnp.zeros(STARTS, bool)), target
    )
    assert (len(nothing), nothing.unconverged) == (0, STARTS)
    assert nothing.to_xarray().sizes["row"] == 0


def test_where_inputs_are_not_isotropic_nothing_is_named_and_targets_do_not_change_places():
    solutions, target = solved(A.erf, 3, 6)
    law = jc.Gaussian(jnp.zeros(6), jnp.diag(jnp.arange(1.0, 7.0)))
    found = census_of(as_if(solutions, target, law), target, inputs=law)
    assert {row.classification.kind for row in found} == {"unknown"}
    # a row for every pair of target neurons that is copied
    copied = [
        tuple(np.flatnonzero(np.max(np.abs(w), axis=0) > 0.9))
        for w in np.asarray(solutions.network.weights)
    ]
    assert all(len(pair) == 2 for pair in copied)
    assert sorted(row.count for row in found) == sorted(copied.count(pair) for pair in set(copied))


def test_bad_input_is_refused():
    solutions, target = solved(A.erf, 3, 6)
    with pytest.raises(ValueError, match="expected those of solve_many"):
        census_of(solutions[0], target)
    flowed = eqx.tree_at(lambda s: (s.eigenvalues, s.index), solutions, (None, None))
    with pytest.raises(ValueError, match="given solutions with risk"):
        census_of(flowed, target)
    with pytest.raises(ValueError, match="dimension"):
        census_of(solutions, jc.targets.orthonormal(5, 5, activation=A.erf))
    for f, readout in ((A.erf, 1.01), (A.relu, 1.0)):
        other = jc.targets.orthonormal(6, 6, activation=f, readout=readout)
        with pytest.raises(ValueError, match="given ends of risk"):
            census_of(solutions, other)
    with pytest.raises(ValueError, match="given ends of risk"):
        census_of(solutions, target, inputs=jc.Gaussian(jnp.zeros(6), 1.01 * jnp.eye(6)))
    for each in (-1.0, float("nan"), 10.0):
        with pytest.raises(ValueError, match="0 < tolerance ≤ loose < 1"):
            census_of(solutions, target, tolerance=each)
    assert run(solutions.network, 0).width == 3
